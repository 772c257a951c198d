"""Asks for what fills cost where the private stream does not say it: the venue's list of fills does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from engine.model.errors import NotSent, Unanswered
from engine.model.instrument import Instrument
from engine.model.orders import ExecutionReport, VenueError
from engine.model.wire import HttpRequest
from engine.router.order import Change, Order
from engine.transport.http import HttpResponse
from engine.venues.base import TradingAdapter

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Before each question: the list of fills lags behind the stream."""


class MissingFees:
    """Fills without a fee, by instrument; one question serves every order of an instrument.

    Args:
        ask: sends a request within the budget, and returns the answer's pages; may raise NotSent, Unanswered.
        stamp_ms: returns the venue's time.
        on_report: is told the rows of the list: known fills take over their fees.
        spawn: runs a task that somebody else ends.
    """

    def __init__(
        self,
        adapter: TradingAdapter,
        instruments: Mapping[str, Instrument],
        ask: Callable[[HttpRequest], Awaitable[Sequence[HttpResponse]]],
        stamp_ms: Callable[[], int],
        on_report: Callable[[ExecutionReport], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._adapter = adapter
        self._instruments = instruments
        self._ask = ask
        self._stamp_ms = stamp_ms
        self._on_report = on_report
        self._spawn = spawn
        self._waiting: dict[str, dict[str, Order]] = {}
        self._more: dict[str, asyncio.Event] = {}

    @property
    def waiting(self) -> int:
        """Return how many orders have fills whose fee is not known yet."""
        return sum(len(orders) for orders in self._waiting.values())

    def heard(self, order: Order, change: Change) -> None:
        """Look at an order that changed."""
        if change is not Change.FILLED or not _lacks_fee(order):
            return
        orders = self._waiting.setdefault(order.universal, {})
        orders[order.client_order_id] = order
        if order.universal in self._more:
            self._more[order.universal].set()
        else:
            self._more[order.universal] = asyncio.Event()
            self._spawn(self._complete(order.universal, orders))

    async def _complete(self, universal: str, orders: dict[str, Order]) -> None:
        more = self._more[universal]
        attempt = 0
        try:
            while orders and attempt < len(PAUSES_S):
                if attempt and await _is_set_within(more, PAUSES_S[attempt]):
                    attempt = 0
                if not attempt:  # several fills mostly come together: one question for all of them
                    await asyncio.sleep(PAUSES_S[0])
                more.clear()
                attempt += 1
                await self._look(universal)
                for order in list(orders.values()):
                    if not _lacks_fee(order):
                        del orders[order.client_order_id]
        finally:
            del self._waiting[universal], self._more[universal]

    async def _look(self, universal: str) -> None:
        instrument = self._instruments[universal]
        try:
            pages = await self._ask(self._adapter.fills_http(instrument, None, self._stamp_ms()))
        except (NotSent, Unanswered):
            return
        for page in pages:
            rows = self._adapter.decode_fills(instrument, page.status, page.body)
            if not isinstance(rows, VenueError):
                for row in rows:
                    self._on_report(row)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _lacks_fee(order: Order) -> bool:
    return any(fill.fee is None for fill in order.fills)
