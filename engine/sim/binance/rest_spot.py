"""The operations of spot and the names they go by: REST paths and WebSocket API methods.

Source: Binance spot API docs, rest-api and web-socket-api; weights as of 2026-07.
"""

from __future__ import annotations

from engine.sim.binance.gate import Operation
from engine.sim.binance.http_api import Routes
from engine.sim.binance.market_data import MarketData, by_symbol, spot_depth_weight
from engine.sim.binance.order_counts import OrderCounts
from engine.sim.binance.params import Params
from engine.sim.binance.spot_account import SpotAccounts, no_symbols
from engine.sim.binance.spot_trading import SpotTrading
from engine.sim.binance.user_data import SpotUserData

_PLACE = frozenset(
    [
        "symbol",
        "side",
        "type",
        "timeInForce",
        "quantity",
        "quoteOrderQty",
        "price",
        "newClientOrderId",
        "newOrderRespType",
        "icebergQty",
        "strategyId",
        "strategyType",
        "selfTradePreventionMode",
        "pegPriceType",
        "pegOffsetType",
        "pegOffsetValue",
        "stopPrice",
        "trailingDelta",
    ]
)
_CANCEL = frozenset(["symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions"])
_REPLACE = _PLACE | frozenset(
    [
        "cancelReplaceMode",
        "cancelOrderId",
        "cancelOrigClientOrderId",
        "cancelNewClientOrderId",
        "cancelRestrictions",
        "orderRateLimitExceededMode",
    ]
)
_AMEND = frozenset(["symbol", "orderId", "origClientOrderId", "newQty", "newClientOrderId"])


def _my_trades_weight(params: Params) -> int:
    return 5 if params.raw("orderId") else 20


def _test_weight(params: Params) -> int:
    return 20 if (params.raw("computeCommissionRates") or "").lower() == "true" else 1


def _trading(trading: SpotTrading) -> list[Operation]:
    return [
        Operation("order.place", trading.place, 1, "signed", 1, True, True, _PLACE),
        Operation(
            "order.test", trading.test, _test_weight, "signed", accepts=_PLACE | {"computeCommissionRates"}
        ),
        Operation("order.cancel", trading.cancel, 1, "signed", 0, True, True, _CANCEL),
        Operation(
            "openOrders.cancelAll", trading.cancel_all, 1, "signed", 0, True, True, frozenset({"symbol"})
        ),
        Operation("order.cancelReplace", trading.cancel_replace, 1, "signed", 0, True, True, _REPLACE),
        Operation("order.amend.keepPriority", trading.amend, 4, "signed", 0, True, True, _AMEND),
        Operation("order.status", trading.status, 4, "signed"),
        Operation("openOrders.status", trading.open_orders, by_symbol(6, 80), "signed"),
        Operation("allOrders", trading.all_orders, 20, "signed"),
        Operation("myTrades", trading.my_trades, _my_trades_weight, "signed"),
        Operation("order.amendments", trading.amendments, 4, "signed"),
    ]


def _market(data: MarketData) -> list[Operation]:
    return [
        Operation("ping", data.ping),
        Operation("time", data.time),
        Operation("exchangeInfo", data.info, 20),
        Operation("depth", data.depth, spot_depth_weight),
        Operation("trades.recent", data.trades, 25),
        Operation("trades.historical", data.trades, 25),
        Operation("trades.aggregate", data.agg_trades, 4),
        Operation("klines", data.klines, 2),
        Operation("avgPrice", data.average_price, 2),
        Operation("ticker.24hr", data.day, by_symbol(2, 80)),
        Operation("ticker.price", data.price, by_symbol(2, 4)),
        Operation("ticker.book", data.book_ticker, by_symbol(2, 4)),
        Operation("referencePrice", data.reference_price, 2),
    ]


_PATHS = {
    "order.place": ("POST", "order"),
    "order.test": ("POST", "order/test"),
    "order.cancel": ("DELETE", "order"),
    "openOrders.cancelAll": ("DELETE", "openOrders"),
    "order.cancelReplace": ("POST", "order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "order/amend/keepPriority"),
    "order.status": ("GET", "order"),
    "openOrders.status": ("GET", "openOrders"),
    "allOrders": ("GET", "allOrders"),
    "myTrades": ("GET", "myTrades"),
    "order.amendments": ("GET", "order/amendments"),
    "ping": ("GET", "ping"),
    "time": ("GET", "time"),
    "exchangeInfo": ("GET", "exchangeInfo"),
    "depth": ("GET", "depth"),
    "trades.recent": ("GET", "trades"),
    "trades.historical": ("GET", "historicalTrades"),
    "trades.aggregate": ("GET", "aggTrades"),
    "klines": ("GET", "klines"),
    "avgPrice": ("GET", "avgPrice"),
    "ticker.24hr": ("GET", "ticker/24hr"),
    "ticker.price": ("GET", "ticker/price"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "referencePrice": ("GET", "referencePrice"),
    "account.status": ("GET", "account"),
    "account.commission": ("GET", "account/commission"),
    "account.rateLimits.orders": ("GET", "rateLimit/order"),
}


def operations(
    trading: SpotTrading, data: MarketData, accounts: SpotAccounts, counts: OrderCounts
) -> dict[str, Operation]:
    """Return every operation that both roads share, by its WebSocket API method."""
    rows = [
        *_trading(trading),
        *_market(data),
        Operation("account.status", accounts.account, 20, "signed"),
        Operation("account.commission", accounts.commission, 20, "signed"),
        Operation("account.rateLimits.orders", counts.rows, 40, "signed"),
    ]
    return {row.name: row for row in rows}


def routes(shared: dict[str, Operation], accounts: SpotAccounts) -> Routes:
    """Return the REST routes; wallet and foreign products answer emptily, so that clients can load."""
    table = {(method, f"/api/v3/{path}"): shared[name] for name, (method, path) in _PATHS.items()}
    for path in ("capital/config/getall", "margin/allPairs", "margin/isolated/allPairs"):
        table["GET", f"/sapi/v1/{path}"] = Operation(path, accounts.nothing, 1, "key")
    for path in ("/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo"):
        table["GET", path] = Operation("exchangeInfo.none", no_symbols)
    return table


def methods(shared: dict[str, Operation], user_data: SpotUserData) -> dict[str, Operation]:
    """Return the WebSocket API methods."""
    return shared | {
        "userDataStream.subscribe": Operation("userDataStream.subscribe", user_data.subscribe, 2),
        "userDataStream.subscribe.signature": Operation(
            "userDataStream.subscribe.signature", user_data.subscribe_signature, 2, "signed"
        ),
        "userDataStream.unsubscribe": Operation("userDataStream.unsubscribe", user_data.unsubscribe_call, 2),
        "session.subscriptions": Operation("session.subscriptions", user_data.subscriptions, 2),
    }
