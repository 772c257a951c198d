"""Fetches depth snapshots for one venue product: few at a time, within the request budget, never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.book.sync import BookSync
from engine.model.errors import NotSent, ProtocolViolation, Unanswered
from engine.model.instrument import Instrument
from engine.model.ports import Clock
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.request_budget import RequestBudget
from engine.venues.base import Dial, Handshake, MarketDataAdapter


class SnapshotDesk:
    """Answers the snapshot requests of every ``BookSync`` of a venue product.

    Args:
        concurrency: requests in flight at the same time.
        instrument_of: finds a book's instrument by the book's id.
    """

    def __init__(
        self,
        adapter: MarketDataAdapter,
        pool: HttpPool,
        budget: RequestBudget,
        clock: Clock,
        log: EventLog,
        *,
        concurrency: int,
        timeout_s: float,
        instrument_of: Callable[[int], Instrument],
    ) -> None:
        self._adapter = adapter
        self._pool = pool
        self._budget = budget
        self._clock = clock
        self._log = log
        self._slots = asyncio.Semaphore(concurrency)
        self._timeout_s = timeout_s
        self._instrument_of = instrument_of
        self._tasks: set[asyncio.Task[None]] = set()
        self.fetched = 0
        self.failed = 0

    def request(self, sync: BookSync, delay_ms: int) -> None:
        """Fetch a snapshot for a book after a pause; the result goes back to ``sync``."""
        task = asyncio.get_running_loop().create_task(self._fetch(sync, sync.generation, delay_ms))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ask_address(self, handshake: Handshake) -> Dial:
        """Ask the venue for the address of a connection.

        Raises:
            NotSent, Unanswered: no answer came. ProtocolViolation: a refusal, or nothing that can be read.
        """
        self._budget.take(handshake.request)
        response = await self._pool.request(handshake.request, self._timeout_s)
        self._budget.learn(response.headers, handshake.request)
        answer = handshake.decode(response.status, response.body)
        if isinstance(answer, Dial):
            return answer
        raise ProtocolViolation(f"no address: {answer.code} {answer.message}"[:200])

    async def stop(self) -> None:
        """Abandon what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fetch(self, sync: BookSync, generation: int, delay_ms: int) -> None:
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        instrument = self._instrument_of(sync.book.book_id)
        request = self._adapter.snapshot_request(instrument)
        async with self._slots:
            while sync.generation == generation:
                wait_ms = self._budget.wait_ms(request.weight)
                if wait_ms == 0:
                    break
                await asyncio.sleep(min(wait_ms, 1_000) / 1000)
            if sync.generation != generation:
                return  # the connection was lost, or another restart has asked anew
            try:
                self._budget.take(request)
                response = await self._pool.request(request, self._timeout_s)
                self._budget.learn(response.headers, request)
                if response.status != 200:
                    self._refused(response.status, response.headers.get("retry-after"))
                    raise ProtocolViolation(f"HTTP {response.status}", response.body)
                snapshot = self._adapter.decode_snapshot(instrument, response.body)
            except (NotSent, Unanswered, ProtocolViolation) as error:
                self.failed += 1
                retry_ms = sync.on_snapshot_failed(generation)
                self._log.emit(
                    events.SNAPSHOT_FAILED,
                    venue=instrument.venue,
                    instrument=instrument.universal,
                    error=str(error)[:200],
                    retry_ms=retry_ms,
                )
                return
        self.fetched += 1
        sync.on_snapshot(snapshot, generation, self._clock.mono_ns())

    def _refused(self, status: int, retry_after: str | None) -> None:
        if status in (418, 429, 403):
            wait = int(retry_after) * 1000 if retry_after and retry_after.isdecimal() else None
            self._budget.block(wait, f"HTTP {status}")
