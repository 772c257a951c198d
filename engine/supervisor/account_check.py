"""Asks whether an account's settings are fit for trading; while they are not, no order leaves.

A hedged position mode, a read-only key or a classic account would make every order fail, or worse, mean
something else than was asked for. What is wrong is the adapter's to say (``decode_account_check``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from engine.model.errors import NotSent, Unanswered
from engine.model.orders import VenueError
from engine.model.wire import HttpRequest
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.transport.http import HttpResponse
from engine.venues.base import TradingAdapter

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 30.0


class AccountCheck:
    """The check of one venue product's account.

    Args:
        ask: returns every part of an answer; raises NotSent, Unanswered.
        stamp_ms: returns the venue's time for signatures.

    Attributes:
        problem: what is wrong with the account and what to do, "" when nothing is known to be.
    """

    def __init__(
        self,
        adapter: TradingAdapter,
        log: EventLog,
        ask: Callable[[HttpRequest], Awaitable[list[HttpResponse]]],
        stamp_ms: Callable[[], int],
    ) -> None:
        self._adapter = adapter
        self._log = log
        self._ask = ask
        self._stamp_ms = stamp_ms
        self.problem = ""

    async def once(self) -> bool:
        """Ask; return whether the account is known to be fit."""
        request = self._adapter.account_check_http(self._stamp_ms())
        if request is None:
            return True
        try:
            parts = await self._ask(request)
        except (NotSent, Unanswered):
            return False
        problem = ""
        for response in parts:
            answer = self._adapter.decode_account_check(response.status, response.body)
            if isinstance(answer, VenueError):
                return False  # says nothing of the account: what was known stays
            problem = problem or answer
        if problem and problem != self.problem:
            self._log.emit(
                events.ACCOUNT_UNFIT,
                venue=self._adapter.venue,
                product=self._adapter.product.value,
                reason=problem,
            )
        self.problem = problem
        return not problem

    async def watch(self) -> None:
        """Ask until the account is known to be fit, with growing pauses."""
        pause = RETRY_FIRST_S
        while not await self.once():
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX_S)
