"""The operations of USDⓈ-M and the names they go by: REST paths and WebSocket API methods.

Source: USDⓈ-M docs, REST and WebSocket API; weights as of 2026-07.
"""

from __future__ import annotations

from engine.sim.binance.gate import Operation
from engine.sim.binance.http_api import Routes
from engine.sim.binance.limits import FIVE_MINUTES_MS, AddressLimit
from engine.sim.binance.market_data import MarketData, by_symbol, perp_depth_weight, perp_kline_weight
from engine.sim.binance.order_counts import OrderCounts
from engine.sim.binance.perp_account import PerpAccounts
from engine.sim.binance.perp_trading import PerpTrading, batch_size
from engine.sim.binance.spot_account import no_symbols
from engine.sim.binance.user_data import PerpUserData

_PLACE = frozenset(
    [
        "symbol",
        "side",
        "type",
        "timeInForce",
        "quantity",
        "price",
        "newClientOrderId",
        "newOrderRespType",
        "positionSide",
        "reduceOnly",
        "priceMatch",
        "selfTradePreventionMode",
        "goodTillDate",
        "stopPrice",
        "closePosition",
        "activationPrice",
        "callbackRate",
        "workingType",
        "priceProtect",
    ]
)
_AMEND = frozenset(
    [
        "symbol",
        "orderId",
        "origClientOrderId",
        "side",
        "quantity",
        "price",
        "priceMatch",
        "modifyId",
        "reduceOnly",
    ]
)
_CANCEL = frozenset(["symbol", "orderId", "origClientOrderId"])


def _trading(trading: PerpTrading) -> dict[tuple[str, str], Operation]:
    def signed(name: str, run: object, weight: object = 1, **more: object) -> Operation:
        return Operation(name, run, weight, "signed", **more)  # type: ignore[arg-type]

    place = signed("order.place", trading.place, 0, orders=1, trades=True, accepts=_PLACE)
    amend = signed("order.modify", trading.amend, 0, orders=1, trades=True, accepts=_AMEND)
    cancel = signed("order.cancel", trading.cancel, trades=True, accepts=_CANCEL)
    return {
        ("POST", "/fapi/v1/order"): place,
        ("PUT", "/fapi/v1/order"): amend,
        ("DELETE", "/fapi/v1/order"): cancel,
        ("GET", "/fapi/v1/order"): signed("order.status", trading.status),
        ("POST", "/fapi/v1/order/test"): signed("order.test", trading.test, 0, orders=1, accepts=_PLACE),
        ("GET", "/fapi/v1/openOrder"): signed("openOrder", trading.open_order),
        ("GET", "/fapi/v1/openOrders"): signed("openOrders", trading.open_orders, by_symbol(1, 40)),
        ("DELETE", "/fapi/v1/allOpenOrders"): signed("allOpenOrders", trading.cancel_all, trades=True),
        ("POST", "/fapi/v1/batchOrders"): signed(
            "batch.place", trading.place_batch, 5, orders=batch_size, trades=True
        ),
        ("PUT", "/fapi/v1/batchOrders"): signed(
            "batch.modify", trading.amend_batch, 5, orders=batch_size, trades=True
        ),
        ("DELETE", "/fapi/v1/batchOrders"): signed("batch.cancel", trading.cancel_batch, trades=True),
        ("POST", "/fapi/v1/countdownCancelAll"): signed("countdown", trading.countdown_cancel_all, 10),
        ("GET", "/fapi/v1/allOrders"): signed("allOrders", trading.all_orders, 5),
        ("GET", "/fapi/v1/userTrades"): signed("userTrades", trading.user_trades, 5),
        ("GET", "/fapi/v1/orderAmendment"): signed("orderAmendment", trading.amendments),
    }


def _accounts(accounts: PerpAccounts, counts: OrderCounts) -> dict[tuple[str, str], Operation]:
    rows = [
        ("GET", "v3/balance", accounts.balances, 5),
        ("GET", "v3/account", accounts.account, 5),
        ("GET", "v3/positionRisk", accounts.position_risk, 5),
        ("POST", "v1/leverage", accounts.set_leverage, 1),
        ("POST", "v1/marginType", accounts.set_margin_type, 1),
        ("GET", "v1/positionSide/dual", accounts.position_mode, 30),
        ("POST", "v1/positionSide/dual", accounts.set_position_mode, 1),
        ("GET", "v1/multiAssetsMargin", accounts.multi_assets, 30),
        ("GET", "v1/symbolConfig", accounts.symbol_config, 5),
        ("GET", "v1/accountConfig", accounts.account_config, 5),
        ("GET", "v1/leverageBracket", accounts.leverage_brackets, 1),
        ("GET", "v1/commissionRate", accounts.commission_rate, 20),
        ("GET", "v1/income", accounts.income, 30),
        ("GET", "v1/rateLimit/order", counts.rows, 1),
    ]
    return {
        (method, f"/fapi/{path}"): Operation(path, run, weight, "signed")
        for method, path, run, weight in rows
    }


def _market(data: MarketData) -> dict[tuple[str, str], Operation]:
    funding = AddressLimit(500, FIVE_MINUTES_MS)
    rows = [
        ("v1/ping", Operation("ping", data.ping)),
        ("v1/time", Operation("time", data.time)),
        ("v1/exchangeInfo", Operation("exchangeInfo", data.info)),
        ("v1/depth", Operation("depth", data.depth, perp_depth_weight)),
        ("v1/trades", Operation("trades", data.trades, 5)),
        ("v1/historicalTrades", Operation("historicalTrades", data.trades, 200, "key")),
        ("v1/aggTrades", Operation("aggTrades", data.agg_trades, 20)),
        ("v1/klines", Operation("klines", data.klines, perp_kline_weight)),
        ("v1/premiumIndex", Operation("premiumIndex", data.premium_index, by_symbol(1, 10))),
        ("v1/fundingRate", Operation("fundingRate", funding.guard(data.funding_rate), 0)),
        ("v1/fundingInfo", Operation("fundingInfo", funding.guard(data.funding_info), 0)),
        ("v1/openInterest", Operation("openInterest", data.open_interest)),
        ("v1/ticker/24hr", Operation("ticker.24hr", data.day, by_symbol(1, 40))),
        ("v1/ticker/price", Operation("ticker.price", data.price, by_symbol(1, 2))),
        ("v2/ticker/price", Operation("ticker.price", data.price, by_symbol(1, 2))),
        ("v1/ticker/bookTicker", Operation("ticker.book", data.book_ticker, by_symbol(2, 5))),
    ]
    return {("GET", f"/fapi/{path}"): operation for path, operation in rows}


def routes(
    trading: PerpTrading,
    data: MarketData,
    accounts: PerpAccounts,
    counts: OrderCounts,
    user_data: PerpUserData,
) -> Routes:
    """Return the REST routes."""
    table = _trading(trading) | _accounts(accounts, counts) | _market(data)
    for method, name, run in (
        ("POST", "start", user_data.start),
        ("PUT", "ping", user_data.ping),
        ("DELETE", "stop", user_data.stop),
    ):
        table[method, "/fapi/v1/listenKey"] = Operation(f"userDataStream.{name}", run, 1, "key")
    table["GET", "/dapi/v1/exchangeInfo"] = Operation("exchangeInfo.none", no_symbols)
    return table


def methods(table: Routes) -> dict[str, Operation]:
    """Return the WebSocket API methods, taken from the REST routes."""
    names = {
        "order.place": ("POST", "/fapi/v1/order"),
        "order.modify": ("PUT", "/fapi/v1/order"),
        "order.cancel": ("DELETE", "/fapi/v1/order"),
        "order.status": ("GET", "/fapi/v1/order"),
        "account.balance": ("GET", "/fapi/v3/balance"),
        "account.status": ("GET", "/fapi/v3/account"),
        "account.position": ("GET", "/fapi/v3/positionRisk"),
        "v2/account.balance": ("GET", "/fapi/v3/balance"),
        "v2/account.status": ("GET", "/fapi/v3/account"),
        "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
        "depth": ("GET", "/fapi/v1/depth"),
        "ticker.price": ("GET", "/fapi/v1/ticker/price"),
        "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
        "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
        "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
        "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
    }
    return {name: table[key] for name, key in names.items()}
