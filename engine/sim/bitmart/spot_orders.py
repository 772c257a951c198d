"""Spot orders: place, cancel, query. An accepted order need not rest; what became of it is pushed.

Source: BitMart spot docs, "Trading" v2 to v4, mirrored copy of 2025-11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

from engine.sim.accounts import Account
from engine.sim.bitmart.errors import BitMartError, bad_parameter, refusal
from engine.sim.bitmart.instruments import Instrument, Listing, number_text
from engine.sim.bitmart.params import CLIENT_ID, Item, count, decimal, given, whole
from engine.sim.bitmart.spot_views import SpotViews
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import NewOrder, Order, OrderKind, OrderStatus, RefusalReason, Refused

TYPES = ("limit", "market", "limit_maker", "ioc")
STP = {
    "none": "NONE", "cancel_maker": "EXPIRE_MAKER", "cancel_taker": "EXPIRE_TAKER",
    "cancel_both": "EXPIRE_BOTH",
}  # fmt: skip
BATCH_MOST = 10
ROWS_MOST = 200
CANCEL_ALL_AFTER_S = 0.02
"""How long ``cancel_all`` is answered before it happens; documented is only that it is asynchronous."""


class SpotOrders:
    """Executes spot order requests and answers questions about orders.

    Args:
        race: called before a cancel; True when the order was just filled, so that the cancel comes too late.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, views: SpotViews, faults: FaultPoints,
        race: Callable[[Order, Instrument], bool],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._faults = faults
        self._race = race
        self._client_ids: set[tuple[str, str]] = set()

    def instrument(self, item: Item) -> Instrument:
        """Return the instrument that ``symbol`` names; raises BitMartError."""
        one = self._listing.by_name.get(("spot", str(item.get("symbol", ""))))
        if one is None:
            raise BitMartError(50001, "Symbol not found")
        return one

    # ---------------------------------------------------------------------------------------- place

    def submit(self, account: Account, item: Item) -> dict[str, Any]:
        """Place an order (v2, snake_case); raises BitMartError."""
        return {"order_id": self._place(account, item, "client_order_id")}

    def _place(self, account: Account, item: Item, id_name: str) -> str:
        one = self.instrument(item)
        side_text, kind = item.get("side"), item.get("type")
        if side_text not in ("buy", "sell"):
            raise bad_parameter("side")
        if kind not in TYPES:
            raise bad_parameter("type")
        side: Literal["BUY", "SELL"] = "BUY" if side_text == "buy" else "SELL"
        stp = str(given(item, "stpMode") or "none")
        if stp not in STP:
            raise bad_parameter("stpMode")
        client_id = self._client_id(account, item, id_name)
        price, lots, amount = self._numbers(item, one, side, str(kind))
        is_market = kind == "market"
        new = NewOrder(
            account=account, market=one.market, side=side,
            kind=OrderKind.MARKET if is_market else OrderKind.LIMIT, price_ticks=price, qty_lots=lots,
            quote_amount=amount, time_in_force="IOC" if kind == "ioc" else "GTC",
            post_only=kind == "limit_maker", post_only_cancels=True, client_order_id=client_id,
            stp_mode=STP[stp],
            extra={"type": str(kind), "client_order_id": client_id, "stpMode": stp},
        )  # fmt: skip
        try:
            order = self._exchange.submit(new)
        except Refused as error:
            raise refusal(error.reason, False) from None
        if client_id:
            self._client_ids.add((account.name, client_id))
        return str(one.order_id(order.order_id))

    def _client_id(self, account: Account, item: Item, name: str) -> str:
        value = given(item, name)
        if value is None:
            return ""
        text = str(value)
        if len(text) > 32:
            raise BitMartError(50037, "The client order id is too long: 32 characters at most")
        if CLIENT_ID.fullmatch(text) is None:
            raise BitMartError(50038, "The client order id holds letters and digits only")
        if (account.name, text) in self._client_ids:
            raise refusal(RefusalReason.DUPLICATE_CLIENT_ID, False)
        return text

    def _numbers(self, item: Item, one: Instrument, side: str, kind: str) -> tuple[int, int, Decimal | None]:
        """Return price in ticks, size in lots, and the amount of a market buy."""
        spec, buys = one.market.spec, side == "BUY"
        if kind == "market" and buys:
            if given(item, "size") is not None:
                raise BitMartError(50021, "Invalid size: a market buy takes notional")
            amount = decimal(item, "notional")
            if amount is None:
                raise BitMartError(50012, "RequestParam notional is required")
            self._check_value(amount, one, buys)
            return 0, 0, amount
        size = decimal(item, "size")
        if size is None:
            raise BitMartError(50010, "RequestParam size is required")
        price = 0
        if kind != "market":
            wanted = decimal(item, "price")
            if wanted is None:
                raise BitMartError(50011, "RequestParam price is required")
            price = int(wanted / spec.tick_size)  # decimals beyond the tick are cut off, not refused
            if price == 0:
                raise BitMartError(50008, f"Minimum price is {number_text(spec.tick_size)}")
        if size < spec.min_qty:
            raise BitMartError(50006, f"Minimum size is {number_text(spec.min_qty)}")
        if size > spec.max_qty:
            raise BitMartError(50007, f"Maximum size is {number_text(spec.max_qty)}")
        if size % spec.lot_size:
            raise bad_parameter("size")
        self._check_value(size * one.market.price(price or one.market.last_price_ticks), one, buys)
        return price, int(size / spec.lot_size), None

    def _check_value(self, value: Decimal, one: Instrument, buys: bool) -> None:
        least = one.market.spec.min_notional
        if value < least:
            code, word = (51011, "buy") if buys else (51012, "sell")
            raise BitMartError(code, f"The minimum {word} amount is {number_text(least)}")

    def batch(self, account: Account, item: Item) -> dict[str, Any]:
        """Place up to ten orders (v4, camelCase); one that is refused undoes those before it."""
        rows = item.get("orderParams")
        if not isinstance(rows, list) or not 1 <= len(rows) <= BATCH_MOST:
            raise bad_parameter("orderParams")
        ids: list[str] = []
        one = self.instrument(item)
        try:
            for row in rows:
                if not isinstance(row, dict):
                    raise bad_parameter("orderParams")
                ids.append(self._place(account, {**row, "symbol": one.symbol}, "clientOrderId"))
        except BitMartError as error:
            for order_id in ids:
                order = self._find(account, one, order_id, None)
                if order is not None and order.is_open:
                    self._exchange.cancel(order)
            return {"code": error.code, "msg": error.text, "data": {"orderIds": []}}
        return {"code": 0, "msg": "success", "data": {"orderIds": ids}}

    # --------------------------------------------------------------------------------------- cancel

    def _find(self, account: Account, one: Instrument, order_id: Any, client_id: Any) -> Order | None:
        """Return an order, open or ended; None when the account has none by that id."""
        try:
            if order_id is not None:
                number = one.order_number(order_id)
                return self._exchange.find(account, one.market, number) if number else None
            found = self._exchange.find(account, one.market, client_order_id=str(client_id))
        except Refused:
            return None
        return found if found.extra.get("client_order_id") == client_id else None

    def _cancel(self, account: Account, one: Instrument, order_id: Any, client_id: Any) -> None:
        order = self._find(account, one, order_id, client_id)
        if order is None:
            raise BitMartError(50032, "Order does not exist")
        if order.is_open and not self._race(order, one):
            try:
                self._exchange.cancel(order)
            except Refused as error:
                raise refusal(error.reason, False) from None
        elif order.status is OrderStatus.FILLED:
            raise BitMartError(50031, "Order is already completed")
        else:
            raise BitMartError(50030, "Order is already canceled")

    def cancel(self, account: Account, item: Item) -> dict[str, Any]:
        """Cancel one order (v3, snake_case); raises BitMartError."""
        order_id, client_id = given(item, "order_id"), given(item, "client_order_id")
        if order_id is None and client_id is None:
            raise BitMartError(50039, "order_id or client_order_id is required")
        self._cancel(account, self.instrument(item), order_id, client_id)
        return {"result": True}

    def cancel_several(self, account: Account, item: Item) -> dict[str, Any]:
        """Cancel up to ten orders (v4, camelCase)."""
        one = self.instrument(item)
        name = "orderIds" if given(item, "orderIds") is not None else "clientOrderIds"
        ids = item.get(name)
        if not isinstance(ids, list) or not 1 <= len(ids) <= BATCH_MOST:
            raise bad_parameter(name)
        good: list[Any] = []
        bad: list[Any] = []
        for each in ids:
            try:
                self._cancel(account, one, *((each, None) if name == "orderIds" else (None, each)))
                good.append(each)
            except BitMartError:
                bad.append(each)
        return {
            "successIds": good, "failIds": bad, "totalCount": len(ids), "successCount": len(good),
            "failedCount": len(bad),
        }  # fmt: skip

    def cancel_all(self, account: Account, item: Item) -> dict[str, Any]:
        """Accept the cancel of everything, or of one symbol or side; it happens a moment later."""
        market = self.instrument(item).market if given(item, "symbol") is not None else None
        side = given(item, "side")
        if side not in (None, "buy", "sell"):
            raise bad_parameter("side")
        wanted = None if side is None else str(side).upper()
        orders = [
            order
            for order in self._exchange.open_orders(account, "spot", market)
            if wanted in (None, order.side)
        ]

        def happen() -> None:
            for order in orders:
                if order.is_open and order.market.status != "SETTLING":
                    self._exchange.cancel(order)

        asyncio.get_running_loop().call_later(CANCEL_ALL_AFTER_S, happen)
        return {}

    # ---------------------------------------------------------------------------------------- query

    def query_order(self, account: Account, item: Item) -> dict[str, Any]:
        """Return the order of ``orderId``, among the open ones or, if asked for, the ended ones."""
        order_id = given(item, "orderId")
        if order_id is None:
            raise BitMartError(50039, "orderId is required")
        return self._queried(account, item, order_id, None)

    def query_client_order(self, account: Account, item: Item) -> dict[str, Any]:
        """Return the order of ``clientOrderId``, likewise."""
        client_id = given(item, "clientOrderId")
        if client_id is None:
            raise BitMartError(50039, "clientOrderId is required")
        return self._queried(account, item, None, client_id)

    def _queried(self, account: Account, item: Item, order_id: Any, client_id: Any) -> dict[str, Any]:
        wanted = str(given(item, "queryState") or "open")
        if wanted not in ("open", "history"):
            raise bad_parameter("queryState")
        for one in self._listing.of("spot"):
            order = self._find(account, one, order_id, client_id)
            if order is not None and order.is_open == (wanted == "open") and not self._is_hidden(order, one):
                return self._views.order(order)
        raise BitMartError(50005, "Order Id not found")

    def _is_hidden(self, order: Order, one: Instrument) -> bool:
        if not self._faults.armed or not self._faults.lasts("not_found_for_a_moment", one.symbol):
            return False
        params = self._faults.params("not_found_for_a_moment", one.symbol)
        is_young = self._exchange.clock.now_ms() - order.created_ms < float(params.get("age_ms", 1000))
        return is_young and self._faults.take("not_found_for_a_moment", one.symbol) is not None

    def _of(self, account: Account, item: Item) -> tuple[Instrument | None, int | None, int | None, int]:
        one = self.instrument(item) if given(item, "symbol") is not None else None
        return one, whole(item, "startTime"), whole(item, "endTime"), count(item, "limit", 50, ROWS_MOST)

    def open_orders(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Return open orders, newest first."""
        one, start, end, most = self._of(account, item)
        market = one.market if one is not None else None
        orders = reversed(self._exchange.open_orders(account, "spot", market))
        return [self._views.order(order) for order in orders if _within(order.created_ms, start, end)][:most]

    def history_orders(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Return ended orders, newest first."""
        one, start, end, most = self._of(account, item)
        rows: list[dict[str, Any]] = []
        for order in reversed(self._exchange.orders):
            mine = order.account is account and order.market.spec.product == "spot" and not order.is_open
            fits = one in (None, self._listing.by_market[order.market])
            if mine and fits and _within(order.created_ms, start, end):
                rows.append(self._views.order(order))
            if len(rows) == most:
                break
        return rows

    def trades(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Return fills, newest first."""
        one, start, end, most = self._of(account, item)
        fills = reversed(self._exchange.fills(account, one.market if one is not None else None))
        found = [
            fill
            for fill in fills
            if fill.order.market.spec.product == "spot" and _within(fill.time_ms, start, end)
        ]
        return [self._views.fill(fill) for fill in found[:most]]

    def order_trades(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Return the fills of one order."""
        order_id = given(item, "orderId")
        if order_id is None:
            raise BitMartError(50039, "orderId is required")
        for one in self._listing.of("spot"):
            if (order := self._find(account, one, order_id, None)) is not None:
                return [self._views.fill(fill) for fill in order.fills]
        raise BitMartError(50005, "Order Id not found")


def _within(at_ms: int, start: int | None, end: int | None) -> bool:
    return (start is None or at_ms >= start) and (end is None or at_ms <= end)
