"""Futures orders: four-way sides, whole contracts, integer order ids.

Source: BitMart futures v2 docs, "Trading", mirrored copy of 2025-11. UNCONFIRMED: that an amended order keeps
its id; ``price`` in the reply to a market order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from engine.sim.accounts import Account
from engine.sim.bitmart.errors import BitMartError, refusal
from engine.sim.bitmart.futures_views import FuturesViews
from engine.sim.bitmart.instruments import Instrument, Listing, number_text
from engine.sim.bitmart.params import CLIENT_ID, Item, count, decimal, given, whole
from engine.sim.bitmart.positions import (
    CLOSE_LONG,
    CLOSE_SHORT,
    HEDGE,
    LONG,
    ONE_WAY,
    OPEN_LONG,
    OPEN_SHORT,
    SHORT,
    Positions,
)
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import NewOrder, Order, OrderKind, RefusalReason, Refused

STP = {1: "EXPIRE_MAKER", 2: "EXPIRE_TAKER", 3: "EXPIRE_BOTH"}
GTC, FOK, IOC, MAKER_ONLY = 1, 2, 3, 4
ROWS_MOST = 200
OPEN_MOST = 100
LONGEST_S = 90 * 86_400
LEAST_TIMEOUT_S = 5


class FuturesOrders:
    """Executes futures order requests and answers questions about orders.

    Args:
        race: called before a cancel; True when the order was just filled, so that the cancel comes too late.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, views: FuturesViews, positions: Positions,
        faults: FaultPoints, race: Callable[[Order, Instrument], bool],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._positions = positions
        self._faults = faults
        self._race = race
        self._client_ids: set[tuple[str, str]] = set()
        self._timers: dict[tuple[Account, Instrument], asyncio.TimerHandle] = {}

    def instrument(self, item: Item) -> Instrument:
        """Return the instrument that ``symbol`` names; raises BitMartError."""
        one = self._listing.by_name.get(("perp", str(item.get("symbol", ""))))
        if one is None:
            raise BitMartError(40034, "Symbol Not Exist")
        return one

    # ---------------------------------------------------------------------------------------- place

    def submit(self, account: Account, item: Item) -> dict[str, Any]:
        """Place an order; raises BitMartError."""
        one = self.instrument(item)
        code = item.get("side")
        if isinstance(code, bool) or code not in (OPEN_LONG, CLOSE_SHORT, CLOSE_LONG, OPEN_SHORT):
            raise BitMartError(40030, "Invalid side")
        kind = str(given(item, "type") or "limit")
        if kind not in ("limit", "market"):
            raise BitMartError(40041, "Invalid type")
        mode = given(item, "mode") or GTC
        if isinstance(mode, bool) or mode not in (GTC, FOK, IOC, MAKER_ONLY):
            raise BitMartError(40041, "Invalid mode")
        stp = given(item, "stp_mode") or 1
        if isinstance(stp, bool) or stp not in STP:
            raise BitMartError(40041, "Invalid stp_mode")
        size = item.get("size")
        lots = self._lots(size if isinstance(size, int) and not isinstance(size, bool) else None, one)
        price = 0 if kind == "market" else self._price(item, one)
        client_id = self._client_id(account, item)
        open_type, leverage = self._margin(account, item, one, code)
        is_market, side = kind == "market", "BUY" if code in (OPEN_LONG, CLOSE_SHORT) else "SELL"
        new = self._new(account, one, code, lots)
        new.kind = OrderKind.MARKET if is_market else OrderKind.LIMIT
        new.price_ticks, new.client_order_id, new.stp_mode = price, client_id, STP[stp]
        if not is_market:
            times: dict[int, Literal["GTC", "IOC", "FOK"]] = {FOK: "FOK", IOC: "IOC"}
            new.time_in_force = times.get(mode, "GTC")
            new.post_only = mode == MAKER_ONLY
        new.extra.update(
            side=code, type=kind, client_order_id=client_id, open_type=open_type, leverage=str(leverage)
        )
        account.leverage[one.symbol] = leverage
        self._positions.setting(account, one).open_type = open_type
        try:
            order = self._exchange.submit(new)
        except Refused as error:
            if error.reason is RefusalReason.MARGIN and is_market:
                # The venue has two codes for this; the one with HTTP 200 is the easier to overlook.
                raise BitMartError(42000, "Insufficient balance", 200) from None
            raise refusal(error.reason, True) from None
        if client_id:
            self._client_ids.add((account.name, client_id))
        touch = one.market.asks.best if side == "BUY" else one.market.bids.best
        shown = price if not is_market else touch or one.market.last_price_ticks
        return {"order_id": one.order_id(order.order_id), "price": number_text(one.market.price(shown))}

    def _new(self, account: Account, one: Instrument, code: int, lots: int) -> NewOrder:
        """Return an order for a four-way side; in hedge mode closing is checked against its leg here."""
        side: Literal["BUY", "SELL"] = "BUY" if code in (OPEN_LONG, CLOSE_SHORT) else "SELL"
        closes = code in (CLOSE_SHORT, CLOSE_LONG)
        new = NewOrder(
            account, one.market, side, OrderKind.LIMIT, qty_lots=lots, post_only_cancels=True,
            reduce_only=closes,
        )  # fmt: skip
        if closes and self._positions.mode(account) == HEDGE:
            new.reduce_only = False
            leg = self._positions.leg_lots(account, one, LONG if code == CLOSE_LONG else SHORT)
            if leg == 0:
                raise refusal(RefusalReason.REDUCE_ONLY, True)
            frozen = sum(
                order.leaves_lots
                for order in self._exchange.open_orders(account, "perp", one.market)
                if order.extra["side"] == code
            )
            if lots + frozen > leg:
                raise BitMartError(40020, "Your position is not enough")
        return new

    @staticmethod
    def _lots(size: int | None, one: Instrument) -> int:
        """Return a number of contracts in lots."""
        spec = one.market.spec
        if size is None:
            raise BitMartError(40044, "Invalid size: a whole number of contracts")
        base = size * one.size_step
        if size < 1 or base < spec.min_qty or base > spec.max_qty:
            raise BitMartError(40044, "Invalid size: out of range")
        if base % spec.lot_size:
            raise BitMartError(40043, "Invalid vol precision")
        return int(base / spec.lot_size)

    def _price(self, item: Item, one: Instrument) -> int:
        price, tick = decimal(item, "price"), one.market.spec.tick_size
        if price is None:
            raise BitMartError(40042, "Invalid price")
        if price % tick:
            raise BitMartError(40043, "Invalid price precision")
        return int(price / tick)

    def _client_id(self, account: Account, item: Item) -> str:
        value = given(item, "client_order_id")
        if value is None:
            return ""
        text = str(value)
        if len(text) > 32:
            raise BitMartError(40049, "Client OrderId is too long: 32 characters at most", 403)
        if CLIENT_ID.fullmatch(text) is None:
            raise BitMartError(40048, "Client OrderId holds letters and digits only", 403)
        if (account.name, text) in self._client_ids:
            raise BitMartError(40050, "Client OrderId duplicated with existing orders", 403)
        return text

    def _margin(self, account: Account, item: Item, one: Instrument, code: int) -> tuple[str, int]:
        """Return open type and leverage of an order; opening ones must agree with what is open already."""
        setting = self._positions.setting(account, one)
        current = self._exchange.clearing.leverage(account, one.market)
        open_type, leverage = given(item, "open_type"), given(item, "leverage")
        if code in (CLOSE_SHORT, CLOSE_LONG):
            return setting.open_type, current
        if open_type not in ("cross", "isolated"):
            raise BitMartError(40045, "Invalid open_type")
        wanted = current if leverage is None else self._leverage(leverage, one)
        is_open = one.market.open_count.get(account.name) or not self._positions.is_flat(account, one)
        if is_open and wanted != current:
            raise BitMartError(40040, "The leverage differs from that of the position or of open orders")
        if is_open and open_type != setting.open_type:
            raise BitMartError(40045, "The open_type differs from that of the position or of open orders")
        return str(open_type), wanted

    def _leverage(self, value: Any, one: Instrument) -> int:
        text = str(value)
        if not text.isdecimal() or not 1 <= int(text) <= one.market.spec.max_leverage:
            raise BitMartError(40029, "Invalid leverage")
        return int(text)

    # ------------------------------------------------------------------------------- amend, cancel

    def _find(self, account: Account, item: Item, one: Instrument) -> Order:
        """Return the order that ``order_id`` or ``client_order_id`` names; raises BitMartError."""
        order_id, client_id = given(item, "order_id"), given(item, "client_order_id")
        try:
            if order_id is not None:
                number = one.order_number(order_id)
                if not number:
                    raise Refused(RefusalReason.UNKNOWN_ORDER)
                return self._exchange.find(account, one.market, number)
            order = self._exchange.find(account, one.market, client_order_id=str(client_id))
            if order.extra["client_order_id"] != str(client_id):
                raise Refused(RefusalReason.UNKNOWN_ORDER)
        except Refused:
            raise BitMartError(40037, "The order id is not exist") from None
        return order

    def cancel(self, account: Account, item: Item) -> dict[str, Any]:
        """Cancel one order. A body that names no order cancels everything on the symbol."""
        one = self.instrument(item)
        if given(item, "order_id") is None and given(item, "client_order_id") is None:
            return self.cancel_all(account, item)
        order = self._find(account, item, one)
        if not order.is_open or self._race(order, one):
            raise BitMartError(40036, "The order status is invalid")
        self._cancel(order)
        return {}

    def _cancel(self, order: Order) -> None:
        try:
            self._exchange.cancel(order)
        except Refused as error:
            raise refusal(error.reason, True) from None

    def cancel_all(self, account: Account, item: Item) -> dict[str, Any]:
        """Cancel everything on a symbol."""
        one = self.instrument(item)
        for order in self._exchange.open_orders(account, "perp", one.market):
            self._cancel(order)
        return {}

    def modify(self, account: Account, item: Item) -> dict[str, Any]:
        """Change price or size of a limit order, which loses its place in the queue."""
        one = self.instrument(item)
        if given(item, "order_id") is None and given(item, "client_order_id") is None:
            raise BitMartError(40011, "Invalid request: order_id or client_order_id is required")
        order = self._find(account, item, one)
        if not order.is_open:
            raise BitMartError(40036, "The order status is invalid")
        price, lots = order.price_ticks, order.qty_lots
        if given(item, "price") is not None:
            price = self._price(item, one)
        if given(item, "size") is not None:
            lots = self._lots(whole(item, "size"), one)  # here clients send it as text, too
        if lots <= order.filled_lots:
            raise BitMartError(40044, "Invalid size: not above what is filled")
        try:
            self._exchange.amend(order, price, lots)
        except Refused as error:
            raise refusal(error.reason, True) from None
        return {
            "order_id": one.order_id(order.order_id), "client_order_id": order.extra["client_order_id"],
        }  # fmt: skip

    def cancel_all_after(self, account: Account, item: Item) -> dict[str, Any]:
        """Cancel everything on a symbol after ``timeout`` seconds unless asked again; 0 calls it off."""
        one = self.instrument(item)
        timeout = whole(item, "timeout")
        if timeout is None or 0 < timeout < LEAST_TIMEOUT_S:
            raise BitMartError(40011, f"Invalid request: timeout is 0 or at least {LEAST_TIMEOUT_S}")
        if (timer := self._timers.pop((account, one), None)) is not None:
            timer.cancel()
        now_s = self._exchange.clock.now_ms() // 1000
        if timeout:
            loop = asyncio.get_running_loop()
            after = loop.call_later(timeout, self.cancel_all, account, {"symbol": one.symbol})
            self._timers[account, one] = after
        return {"result": True, "set_time": now_s, "cancel_time": now_s + timeout if timeout else 0}

    def stop(self) -> None:
        """Call every timer off."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # ------------------------------------------------------------------------------------- settings

    def set_leverage(self, account: Account, item: Item) -> dict[str, Any]:
        """Set leverage and open type of a contract."""
        one = self.instrument(item)
        open_type = item.get("open_type")
        if open_type not in ("cross", "isolated"):
            raise BitMartError(40045, "Invalid open_type")
        leverage = self._leverage(item.get("leverage"), one)
        setting = self._positions.setting(account, one)
        is_open = one.market.open_count.get(account.name) or not self._positions.is_flat(account, one)
        if is_open and open_type != setting.open_type:
            raise BitMartError(40045, "The open_type differs from that of the position or of open orders")
        setting.open_type = open_type
        account.leverage[one.symbol] = leverage
        return {
            "symbol": one.symbol, "leverage": str(leverage), "open_type": open_type,
            "max_value": str(one.market.spec.max_leverage),
        }  # fmt: skip

    def set_mode(self, account: Account, item: Item) -> dict[str, Any]:
        """Set the position mode; refused while anything is open."""
        mode = item.get("position_mode")
        if mode not in (ONE_WAY, HEDGE):
            raise BitMartError(40011, "Invalid request: position_mode")
        for one in self._listing.of("perp"):
            if one.market.open_count.get(account.name) or not self._positions.is_flat(account, one):
                raise BitMartError(40021, "The mode cannot change while orders or positions are open")
        self._positions.set_mode(account, mode)
        return {"position_mode": mode}

    # ---------------------------------------------------------------------------------------- query

    def order(self, account: Account, item: Item) -> dict[str, Any]:
        """Return one order, open or ended; only its id finds it."""
        one = self.instrument(item)
        if given(item, "order_id") is None:
            raise BitMartError(40011, "Invalid request: order_id is required")
        order = self._find(account, {"order_id": item["order_id"]}, one)
        if self._is_hidden(order, one):
            raise BitMartError(40035, "The order is not exist")
        return self._views.order(order)

    def _is_hidden(self, order: Order, one: Instrument) -> bool:
        if not self._faults.armed or not self._faults.lasts("not_found_for_a_moment", one.symbol):
            return False
        params = self._faults.params("not_found_for_a_moment", one.symbol)
        is_young = self._exchange.clock.now_ms() - order.created_ms < float(params.get("age_ms", 1000))
        return is_young and self._faults.take("not_found_for_a_moment", one.symbol) is not None

    def open_orders(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Return open orders, newest first."""
        market = self.instrument(item).market if given(item, "symbol") is not None else None
        kind, state = given(item, "type"), given(item, "order_state")
        orders = [
            order
            for order in reversed(self._exchange.open_orders(account, "perp", market))
            if kind in (None, order.extra["type"])
            and (state != "partially_filled" or order.filled_lots)
            and not self._is_hidden(order, self._listing.by_market[order.market])
        ]
        return [self._views.order(order) for order in orders[: count(item, "limit", OPEN_MOST, OPEN_MOST)]]

    def _period_ms(self, item: Item) -> tuple[int, int]:
        """Return from when to when a query asks, in milliseconds; it asks in seconds, 90 days at most."""
        now_s = self._exchange.clock.now_ms() // 1000
        end = whole(item, "end_time")
        start = whole(item, "start_time")
        if end is None:
            end = now_s + 1
        if start is None:
            start = end - 7 * 86_400
        if end < start or end - start > LONGEST_S:
            raise BitMartError(40039, "The time range is invalid: 90 days at most")
        return start * 1000, end * 1000 + 999

    def _names(self, order: Order, item: Item) -> bool:
        """Tell whether a query's optional filters leave an order in."""
        one = self._listing.by_market[order.market]
        wanted, client = given(item, "order_id"), given(item, "client_order_id")
        if wanted is not None and str(wanted) != str(one.order_id(order.order_id)):
            return False
        return client is None or client == order.extra["client_order_id"]

    def history(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Return ended orders of a symbol, newest first."""
        one = self.instrument(item)
        start, end = self._period_ms(item)
        rows = [
            self._views.order(order)
            for order in reversed(self._exchange.history(account, one.market))
            if not order.is_open and start <= order.created_ms <= end and self._names(order, item)
        ]
        return rows[:ROWS_MOST]

    def trades(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Return fills, newest first."""
        market = self.instrument(item).market if given(item, "symbol") is not None else None
        start, end = self._period_ms(item)
        rows = [
            self._views.fill(fill)
            for fill in reversed(self._exchange.fills(account, market))
            if fill.order.market.spec.product == "perp"
            and start <= fill.time_ms <= end
            and self._names(fill.order, item)
        ]
        return rows[:ROWS_MOST]
