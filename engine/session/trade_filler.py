"""Asks a venue for its latest prints and fills holes with them: few at a time, within the request budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.model.errors import NotSent, ProtocolViolation, Unanswered
from engine.model.instrument import Instrument
from engine.model.market import Trade
from engine.model.ports import Clock
from engine.model.trades import MissedTrades, TradeList, TradeListReader
from engine.prints.tape import PrintTape
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.request_budget import RequestBudget

SETTLE_S = 0.25
"""So long after a hole shows a twin may still bring the print, and the venue's list is behind the stream."""
ATTEMPTS = 6
PAUSE_MAX_S = 5.0
BUDGET_WAIT_S = 60.0
"""A hole that the request budget has no room for within this time is given up."""


class TradeFiller:
    """Fills the holes of one venue product's tapes.

    Args:
        filled: told of (tape, prints): missing ones, in order.
        closed: told of (tape, what is lost or ``None``) once nothing more can be had.

    Attributes:
        fetched, failed: lists that came, and that did not.
    """

    def __init__(
        self,
        reader: TradeListReader,
        pool: HttpPool,
        budget: RequestBudget,
        clock: Clock,
        log: EventLog,
        *,
        timeout_s: float,
        concurrency: int,
        filled: Callable[[PrintTape, list[Trade]], None],
        closed: Callable[[PrintTape, MissedTrades | None], None],
    ) -> None:
        self._reader = reader
        self._pool = pool
        self._budget = budget
        self._clock = clock
        self._log = log
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(concurrency)
        self._filled = filled
        self._closed = closed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.fetched = 0
        self.failed = 0

    def request(self, tape: PrintTape, instrument: Instrument) -> None:
        """Fill a tape's hole; nothing where that is under way already."""
        if tape.universal in self._tasks:
            return
        task = asyncio.get_running_loop().create_task(
            self._fill(tape, instrument), name=f"trades {instrument.venue} {tape.universal}"
        )
        self._tasks[tape.universal] = task
        task.add_done_callback(lambda done: self._ended(tape.universal, done))

    def _ended(self, universal: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(universal, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.emit(events.TASK_FAILED, task=task.get_name(), error=repr(error)[:300], retry_s=None)

    async def stop(self) -> None:
        """Abandon what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fill(self, tape: PrintTape, instrument: Instrument) -> None:
        pause = SETTLE_S
        for _ in range(ATTEMPTS):
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_MAX_S)
            if tape.hole is None:
                self._closed(tape, None)  # a twin has brought what was missing
                return
            rows = await self._fetch(instrument)
            if rows is None:
                continue
            result = tape.fill(rows.trades, rows.is_capped)
            self._filled(tape, result.trades)
            if result.is_closed:
                self._closed(tape, result.missed)
                return
            if result.missed is not None:
                self._closed(tape, result.missed)
        self._closed(tape, tape.abandon(self._clock.utc_ns() + self._budget.offset_ns))

    async def latest(self, instrument: Instrument) -> list[Trade]:
        """Return what the venue's list has now, oldest first; nothing where it did not come."""
        rows = await self._fetch(instrument)
        return [] if rows is None else rows.trades

    async def _fetch(self, instrument: Instrument) -> TradeList | None:
        request = self._reader.request(instrument)
        async with self._slots:
            deadline = asyncio.get_running_loop().time() + BUDGET_WAIT_S
            while (wait_ms := self._budget.wait_ms(request.weight)) > 0:
                if asyncio.get_running_loop().time() > deadline:
                    return None
                await asyncio.sleep(min(wait_ms, 1_000) / 1000)
            try:
                self._budget.take(request)
                response = await self._pool.request(request, self._timeout_s)
                self._budget.learn(response.headers, request)
                if response.status != 200:
                    raise ProtocolViolation(f"HTTP {response.status} for the latest trades", response.body)
                now = self._clock
                rows = self._reader.decode(instrument, response.body, now.mono_ns(), now.utc_ns())
            except (NotSent, Unanswered, ProtocolViolation):
                self.failed += 1
                return None
        self.fetched += 1
        return rows
