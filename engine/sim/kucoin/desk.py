"""Where an order request is executed, over REST or WebSocket: between the faults before and after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.kucoin.errors import KucoinError
from engine.sim.kucoin.gate import Spent
from engine.sim.unanswered import NoAnswer, Page

T = TypeVar("T")


class Desk:
    """Runs order requests through the armed faults.

    Args:
        faults: fault hooks by product (``spot``, ``perp``). deliver: sends private events that wait.
    """

    def __init__(self, faults: Mapping[str, FaultPoints], deliver: Callable[[], None]) -> None:
        self._faults = faults
        self._deliver = deliver

    async def run(self, product: str, symbol: str | None, execute: Callable[[], T]) -> T:
        """Execute; raises KucoinError, NoAnswer, Page."""
        faults = self._faults[product]
        if not faults.armed:
            return execute()
        self._before(faults, symbol, execute)
        outcome = execute()
        await self._after(faults, symbol)
        return outcome

    def _before(self, faults: FaultPoints, symbol: str | None, execute: Callable[[], T]) -> None:
        """Strike before the engine: nothing is executed unless the fault says so."""
        take = faults.take
        if take("drop_request", symbol) is not None:
            raise NoAnswer
        if (page := take("html_error", symbol)) is not None:
            if page.get("accepted"):
                execute()
            raise Page(int(page.get("status", 502)))
        if (unknown := take("http_503_unknown", symbol)) is not None:
            if unknown.get("accepted", True):
                execute()
            raise KucoinError("500000", "Internal Server Error", 500)
        if take("http_503_unavailable", symbol) is not None:
            raise Spent(None)
        if take("http_503_internal", symbol) is not None:
            raise KucoinError("500000", "Internal Server Error", 500)
        if take("error_1007_not_accepted", symbol) is not None:
            raise KucoinError("408000", "Network timeout, please try again later.")

    async def _after(self, faults: FaultPoints, symbol: str | None) -> None:
        take = faults.take
        if take("drop_answer_accepted", symbol) is not None:
            raise NoAnswer
        if take("error_1007_accepted", symbol) is not None:
            raise KucoinError("408000", "Network timeout, please try again later.")
        for name, default_ms in (("slow_answer_accepted", 5000), ("fill_before_ack", 50)):
            if (strike := take(name, symbol)) is not None:
                self._deliver()
                await asyncio.sleep(delay_s(strike, default_ms))
