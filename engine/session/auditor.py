"""Audits books of one venue product against REST answers, one after another, in the budget's slack."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from engine.book.audit import AuditResult, beyond, compare
from engine.book.l2 import BookLike, decimal_text
from engine.model.errors import NotSent, ProtocolViolation, Unanswered
from engine.model.instrument import Instrument
from engine.model.ports import Clock
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.request_budget import RequestBudget
from engine.venues.base import MarketDataAdapter

MARGIN_S = 1.0
"""Deltas are collected from so long before the question until so long after the answer: neither the venue's
cache nor our stream is older than that."""
SLACK = 0.5
"""Audits leave the other half of the request budget alone."""


class Verdict(enum.Enum):
    """What one audit of a book said."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNDECIDED = "undecided"
    """The book fell or was replaced meanwhile, no answer came, or nothing was left untouched."""


class Auditor:
    """Compares books with the venue's REST answers.

    Args:
        books, instruments: by universal symbol.
        distrust: called with (book, cause) where two audits in a row found a difference.

    Attributes:
        counts: audits by verdict.
        compared: prices compared in all. extended: levels added beyond horizons.
    """

    def __init__(
        self,
        adapter: MarketDataAdapter,
        pool: HttpPool,
        budget: RequestBudget,
        clock: Clock,
        log: EventLog,
        *,
        timeout_s: float,
        books: Mapping[str, BookLike],
        instruments: Mapping[str, Instrument],
        distrust: Callable[[BookLike, str], None],
    ) -> None:
        self._adapter = adapter
        self._pool = pool
        self._budget = budget
        self._clock = clock
        self._log = log
        self._timeout_s = timeout_s
        self._books = books
        self._instruments = instruments
        self._distrust = distrust
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts = dict.fromkeys(Verdict, 0)
        self.compared = 0
        self.extended = 0

    def start(self, interval_s: float) -> None:
        """Audit one book after another, one every ``interval_s`` seconds."""
        self._spawn(self._rotate(interval_s))

    def ask(self, universal: str, done: Callable[[Verdict], None]) -> bool:
        """Audit one book now and tell the verdict; False where it is being audited already."""
        if universal in self._under_way:
            return False

        async def run() -> None:
            done(await self.audit(universal))

        self._spawn(run())
        return True

    async def stop(self) -> None:
        """Abandon what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name="audit")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.emit(events.TASK_FAILED, task="audit", error=repr(error)[:200], retry_s=None)

    async def _rotate(self, interval_s: float) -> None:
        while True:
            for universal in list(self._books):
                await asyncio.sleep(interval_s)
                book = self._books[universal]
                if book.is_live and universal not in self._under_way and self._budget.used_share() < SLACK:
                    await self.audit(universal)

    async def audit(self, universal: str) -> Verdict:
        """Audit one book; a difference is looked at twice before it is believed."""
        self._under_way.add(universal)
        try:
            verdict, result = await self._compare(universal)
            if verdict is Verdict.DIFFERENT:
                verdict, result = await self._compare(universal)
        finally:
            self._under_way.discard(universal)
            self._books[universal].touched = None
        self.counts[verdict] += 1
        if result is not None:
            self.compared += result.compared
            if verdict is Verdict.DIFFERENT:
                self._disagree(universal, result)
        return verdict

    def _disagree(self, universal: str, result: AuditResult) -> None:
        instrument, book = self._instruments[universal], self._books[universal]

        def shown(rows: tuple[tuple[int, int, int], ...]) -> list[str]:
            return [
                f"{'ask' if side else 'bid'} {decimal_text(price, book.price_scale)}"
                f" x {decimal_text(qty, book.qty_scale)}"
                for side, price, qty in rows
            ]

        self._log.emit(
            events.BOOK_DISAGREED,
            venue=instrument.venue,
            instrument=universal,
            sequence=book.sequence,
            ours=shown(result.only_book),
            theirs=shown(result.only_venue),
        )
        self._distrust(book, "an audit found a difference")

    async def _compare(self, universal: str) -> tuple[Verdict, AuditResult | None]:
        book, instrument = self._books[universal], self._instruments[universal]
        epoch, touched = book.epoch, set[int]()
        book.touched = touched
        await asyncio.sleep(MARGIN_S)
        request = self._adapter.snapshot_request(instrument)
        try:
            self._budget.take(request)
            response = await self._pool.request(request, self._timeout_s)
            self._budget.learn(response.headers, request)
            if response.status != 200:
                return Verdict.UNDECIDED, None
            answer = self._adapter.decode_snapshot(instrument, response.body)
        except (NotSent, Unanswered, ProtocolViolation):
            return Verdict.UNDECIDED, None
        await asyncio.sleep(MARGIN_S)
        if not book.is_live or book.epoch != epoch or book.touched is not touched:
            return Verdict.UNDECIDED, None
        result = compare(book, answer, touched)
        if not result.is_equal:
            return Verdict.DIFFERENT, result
        if self._adapter.schema.is_in_band:
            return (Verdict.EQUAL if result.compared else Verdict.UNDECIDED), result
        for side, theirs in enumerate((answer.bids, answer.asks)):
            # The stream tells of every level, however deep (one with snapshots in-band need not). As the
            # market moves, a book's horizon comes nearer: what an audit proves pushes it out again.
            if len(missing := beyond(book, side, answer, touched)):
                book.extend(side, missing, int(theirs[-1, 0]))
                self.extended += len(missing)
        return (Verdict.EQUAL if result.compared else Verdict.UNDECIDED), result
