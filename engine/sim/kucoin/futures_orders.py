"""Signed requests of the classic futures host: orders, fills, positions, account, settings.

Source: KuCoin API docs, "Futures Trading / Orders", "Positions", "Account Info", "Funding Fees", seen
2025-11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.calls import Call, Route, Routes, between, page
from engine.sim.kucoin.errors import KucoinError, no_order, wrong
from engine.sim.kucoin.instruments import Instrument, Listing, number, plain
from engine.sim.kucoin.ledger import FundingLedger
from engine.sim.kucoin.spot_orders import too_young
from engine.sim.kucoin.trading import Trading, amount, existing
from engine.sim.kucoin.views import Views, client_oid
from engine.sim.model import Order

BATCH_MOST = 20


class FuturesOrders:
    """Answers a futures customer's requests."""

    def __init__(
        self, exchange: Exchange, listing: Listing, views: Views, trading: Trading, ledger: FundingLedger,
        faults: FaultPoints, now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._trading = trading
        self._ledger = ledger
        self._faults = faults
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """Return the routes."""
        return {
            "POST /api/v1/orders": _order(self.place, 2),
            "POST /api/v1/orders/test": _order(self._test, 2),
            "POST /api/v1/orders/multi": _order(self._multi, 20),
            "DELETE /api/v1/orders/multi-cancel": _order(self._multi_cancel, 20),
            "DELETE /api/v1/orders/{orderId}": _order(self.cancel),
            "DELETE /api/v1/orders/client-order/{clientOid}": _order(self.cancel),
            "DELETE /api/v1/orders": _order(self._cancel_all, 800),
            "DELETE /api/v3/orders": _order(self._cancel_all, 10),
            "DELETE /api/v1/stopOrders": _order(lambda call: {"cancelledOrderIds": []}, 15),
            "GET /api/v1/orders/byClientOid": _signed(self._one, 5),
            "GET /api/v1/orders/{orderId}": _signed(self._one, 5),
            "GET /api/v1/orders": _signed(self._orders, 2),
            "GET /api/v1/stopOrders": _signed(lambda call: page([], call), 6),
            "GET /api/v1/recentDoneOrders": _signed(lambda call: self._listed(call, False)[:1000], 5),
            "GET /api/v1/fills": _signed(lambda call: page(self._fill_rows(call), call), 5),
            "GET /api/v1/recentFills": _signed(lambda call: self._fill_rows(call)[:1000], 3),
            "GET /api/v1/openOrderStatistics": _signed(self._statistics, 10),
            "GET /api/v1/positions": _signed(self._positions, 2),
            "GET /api/v1/position": _signed(lambda call: self._position(self._contract(call), call), 2),
            "GET /api/v2/position": _signed(lambda call: [self._position(self._contract(call), call)], 2),
            "GET /api/v1/account-overview": _signed(self._overview, 5),
            "GET /api/v1/funding-history": _signed(self._funding, 5),
            "GET /api/v1/transaction-history": _signed(self._transactions, 2),
            "GET /api/v1/trade-fees": _signed(self._trade_fee, 3),
            "GET /api/v2/position/getMarginMode": _signed(self._margin_mode, 2),
            "POST /api/v2/position/changeMarginMode": _signed(self._change_mode, 2),
            "POST /api/v2/position/batchChangeMarginMode": _signed(self._change_modes, 2),
            "GET /api/v2/getCrossUserLeverage": _signed(self._leverage, 2),
            "POST /api/v2/changeCrossUserLeverage": _signed(self._change_leverage, 2),
            "GET /api/v2/position/getPositionMode": _signed(lambda call: {"positionMode": 0}, 2),
            "POST /api/v2/position/switchPositionMode": _signed(self._switch_mode, 2),
            "GET /api/v2/getMaxOpenSize": _signed(self._max_open, 2),
            "GET /api/v1/history-positions": _signed(lambda call: page([], call, 10), 2),
        }

    def _contract(self, call: Call) -> Instrument:
        return self._trading.contract(call.item)

    # ---------------------------------------------------------------------------------- place, cancel

    def _placed(self, call: Call, item: Any) -> dict[str, Any]:
        order = self._trading.place(call.account, item, is_futures=True)
        assert order is not None
        return {"orderId": self._views.order_id(order), "clientOid": client_oid(order)}

    def place(self, call: Call) -> dict[str, Any]:
        """Place an order."""
        return self._placed(call, call.item)

    def _test(self, call: Call) -> dict[str, Any]:
        item = call.item
        self._trading.place(call.account, item, is_futures=True, is_test=True)
        return {"orderId": str(self._now_ms() * 100_000), "clientOid": item.get("clientOid", "")}

    def _multi(self, call: Call) -> list[dict[str, Any]]:
        if not isinstance(call.body, list):
            raise wrong("Request body must be a list.")
        return self.place_many(call, call.body)

    def place_many(self, call: Call, orders: list[Any]) -> list[dict[str, Any]]:
        """Place several orders, each for itself; raises KucoinError."""
        if not 1 <= len(orders) <= BATCH_MOST:
            raise wrong("The number of orders is invalid.")
        rows: list[dict[str, Any]] = []
        for each in orders:
            if not isinstance(each, dict):
                raise wrong("order is invalid.")
            row = {"orderId": None, "clientOid": each.get("clientOid"), "symbol": each.get("symbol")}
            try:
                rows.append(row | self._placed(call, each) | {"code": "200000", "msg": "success"})
            except KucoinError as error:
                rows.append(row | {"code": error.code, "msg": error.message})
        return rows

    def cancel(self, call: Call) -> dict[str, Any]:
        """Cancel an order by one of its ids."""
        item = call.item
        self._trading.cancel(self._trading.named(call.account, item, is_futures=True), is_futures=True)
        if item.get("orderId"):
            return {"cancelledOrderIds": [item["orderId"]]}
        return {"clientOid": item["clientOid"]}

    def _multi_cancel(self, call: Call) -> list[dict[str, Any]]:
        return self.cancel_many(call, call.item)

    def cancel_many(self, call: Call, item: Any) -> list[dict[str, Any]]:
        """Cancel several orders, each for itself; an item's success is ``"200"``."""
        ids, oids = item.get("orderIdsList") or [], item.get("clientOidsList") or []
        if not isinstance(ids, list) or not isinstance(oids, list) or not (ids or oids):
            raise wrong("orderIdsList or clientOidsList is required.")
        wanted = [{"orderId": each} for each in ids] + [each for each in oids if isinstance(each, dict)]
        rows = []
        for each in wanted:
            row = {"orderId": each.get("orderId"), "clientOid": each.get("clientOid")}
            try:
                order = self._trading.named(call.account, each, is_futures=True)
                self._trading.cancel(order, is_futures=True)
                rows.append(row | {"code": "200", "msg": "success"})
            except KucoinError as error:
                rows.append(row | {"code": error.code, "msg": error.message})
        return rows

    def _cancel_all(self, call: Call) -> dict[str, Any]:
        orders = self._trading.cancel_all(call.account, True, call.query.get("symbol") or None)
        return {"cancelledOrderIds": [self._views.order_id(order) for order in orders]}

    # ---------------------------------------------------------------------------------------- queries

    def _one(self, call: Call) -> dict[str, Any]:
        order = existing(self._trading.named(call.account, call.item, is_futures=True))
        if too_young(self._faults, order, self._now_ms()):
            raise no_order()
        return self._views.futures_order(order)

    def _listed(self, call: Call, is_open: bool) -> list[dict[str, Any]]:
        symbol = call.query.get("symbol")
        if symbol:
            self._contract(call)
        now = self._now_ms()
        orders: list[Order] = []
        for one in self._listing.of(True):
            if symbol in (None, "", one.symbol):
                orders += [
                    order for order in self._exchange.history(call.account, one.market)
                    if order.is_open == is_open and not too_young(self._faults, order, now)
                ]  # fmt: skip
        side, kind = call.query.get("side"), call.query.get("type")
        orders = between(orders, call, lambda order: int(order.created_ms), ("startAt", "endAt"))
        orders = [order for order in orders if side in (None, order.side.lower())
                  and kind in (None, order.kind.value.lower())]  # fmt: skip
        orders.sort(key=lambda order: (-order.created_ms, -order.order_id))
        return [self._views.futures_order(order) for order in orders]

    def _orders(self, call: Call) -> dict[str, Any]:
        status = call.query.get("status", "done")
        if status not in ("active", "done"):
            raise wrong("status is invalid.")
        return page(self._listed(call, status == "active"), call)

    def _fill_rows(self, call: Call) -> list[dict[str, Any]]:
        market = self._contract(call).market if call.query.get("symbol") else None
        fills = [fill for fill in self._exchange.fills(call.account, market)
                 if fill.order.market.spec.product == "perp"]  # fmt: skip
        fills = between(fills, call, lambda fill: int(fill.time_ms), ("startAt", "endAt"))
        wanted = call.query.get("orderId")
        rows = [self._views.futures_fill(fill) for fill in reversed(fills)]
        return [row for row in rows if wanted in (None, row["orderId"])]

    def _statistics(self, call: Call) -> dict[str, Any]:
        one = self._contract(call)
        orders = self._exchange.open_orders(call.account, "perp", one.market)
        shown: dict[str, Any] = {}
        for side, word in (("BUY", "Buy"), ("SELL", "Sell")):
            mine = [order for order in orders if order.side == side]
            cost = sum(order.leaves_lots * order.price_ticks for order in mine)
            spec = one.market.spec
            shown[f"openOrder{word}Size"] = sum(one.lots(order.leaves_lots) for order in mine)
            shown[f"openOrder{word}Cost"] = plain(cost * spec.tick_size * spec.lot_size)
        return shown | {"settleCurrency": one.market.spec.settle}

    # ------------------------------------------------------------------------------ positions, account

    def _position(self, one: Instrument, call: Call) -> dict[str, Any]:
        mode = self._trading.modes.mode(call.account, one.symbol)
        return self._views.position(call.account, one, mode, self._now_ms())

    def _positions(self, call: Call) -> list[dict[str, Any]]:
        currency = call.query.get("currency")
        return [
            self._position(one, call) for one in self._listing.of(True)
            if one.symbol in call.account.positions and call.account.position(one.symbol).lots
            and currency in (None, "", one.market.spec.settle)
        ]  # fmt: skip

    def _overview(self, call: Call) -> dict[str, Any]:
        return self._views.overview(call.account, call.query.get("currency") or "XBT")

    def _funding(self, call: Call) -> dict[str, Any]:
        one = self._contract(call)
        rows = [row for row in self._ledger.paid(call.account) if row["symbol"] == one.symbol]
        rows = between(rows, call, lambda row: int(row["timePoint"]), ("startAt", "endAt"))
        return {"dataList": rows[::-1][: call.number("maxCount", 10, 100)], "hasMore": False}

    def _transactions(self, call: Call) -> dict[str, Any]:
        rows = []
        for number_, fill in enumerate(self._exchange.fills(call.account)):
            if fill.order.market.spec.product == "perp":
                rows.append({
                    "time": fill.time_ms, "type": "RealisedPNL", "amount": number(fill.realised_pnl),
                    "fee": number(fill.fee), "accountEquity": 0, "status": "Completed",
                    "remark": fill.order.market.spec.symbol, "offset": number_, "currency": fill.fee_asset,
                })  # fmt: skip
        return {"dataList": rows[::-1][: call.number("maxCount", 50, 500)], "hasMore": False}

    def _trade_fee(self, call: Call) -> dict[str, Any]:
        spec = self._contract(call).market.spec
        return {"symbol": spec.symbol, "takerFeeRate": plain(spec.taker_fee),
                "makerFeeRate": plain(spec.maker_fee)}  # fmt: skip

    def _margin_mode(self, call: Call) -> dict[str, Any]:
        one = self._contract(call)
        return {"symbol": one.symbol, "marginMode": self._trading.modes.mode(call.account, one.symbol)}

    def _is_busy(self, call: Call, one: Instrument) -> bool:
        return bool(call.account.position(one.symbol).lots or one.market.open_count.get(call.account.name))

    def _change_mode(self, call: Call) -> dict[str, Any]:
        one, mode = self._contract(call), call.item.get("marginMode")
        if mode not in ("ISOLATED", "CROSS"):
            raise wrong("marginMode is invalid.")
        if mode != self._trading.modes.mode(call.account, one.symbol) and self._is_busy(call, one):
            raise KucoinError("330002", "exist.order.or.position")
        self._trading.modes.change(call.account, one.symbol, mode)
        return {"symbol": one.symbol, "marginMode": mode}

    def _change_modes(self, call: Call) -> dict[str, Any]:
        item = call.item
        changed, errors = {}, []
        symbols = item.get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
            raise wrong("symbols is invalid.")
        for symbol in symbols:
            one_call = Call({}, {"symbol": symbol, "marginMode": item.get("marginMode")}, {}, call.account)
            try:
                changed[symbol] = self._change_mode(one_call)["marginMode"]
            except KucoinError as error:
                errors.append({"code": error.code, "msg": error.message, "symbol": symbol})
        return {"marginMode": changed, "errors": errors}

    def _leverage(self, call: Call) -> dict[str, Any]:
        one = self._contract(call)
        return {"symbol": one.symbol,
                "leverage": str(self._exchange.clearing.leverage(call.account, one.market))}  # fmt: skip

    def _change_leverage(self, call: Call) -> bool:
        one, wanted = self._contract(call), amount(call.item, "leverage")
        if not 1 <= wanted <= one.market.spec.max_leverage:
            raise wrong("Leverage parameter invalid.")
        call.account.leverage[one.symbol] = int(wanted)
        return True

    def _switch_mode(self, call: Call) -> dict[str, Any]:
        if str(call.item.get("positionMode")) != "0":
            raise wrong("Hedge mode is not offered here.")
        return {"positionMode": 0}

    def _max_open(self, call: Call) -> dict[str, Any]:
        one = self._contract(call)
        money = self._exchange.clearing.available_margin(call.account, one.market.spec.settle or "")
        price, wanted = amount(call.item, "price"), amount(call.item, "leverage")
        lots = int(money * wanted / price / one.market.spec.lot_size)
        return {"symbol": one.symbol, "maxBuyOpenSize": one.lots(lots), "maxSellOpenSize": one.lots(lots)}


def _order(run: Callable[[Call], Any], weight: int = 1) -> Route:
    return Route(run, "futures", weight, is_signed=True, product="perp")


def _signed(run: Callable[[Call], Any], weight: int) -> Route:
    return Route(run, "futures", weight, is_signed=True)
