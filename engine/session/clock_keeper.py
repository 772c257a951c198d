"""Keeps one venue product's clock measured: by its public time request, every so often and when in doubt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from engine.model.errors import NotSent, ProtocolViolation, Unanswered
from engine.model.ports import Clock
from engine.session.venue_clock import MS, VenueClock
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.request_budget import RequestBudget
from engine.venues.base import MarketDataAdapter

TIMEOUT_S = 2.0
FIRST_SAMPLES = 3
DOUBT_SAMPLES = 2
"""What contradicts is decided by a second answer."""
DOUBT_PAUSE_NS = 1_000_000_000
"""Doubts cost no more than one measurement in this time; unfounded ones ever fewer."""


class ClockKeeper:
    """The measurements of one venue product's clock.

    Args:
        venue_clock: fed here; it needs no keys, only the venue's public time request.
        interval_ms: between two measurements that nobody doubts.
        on_step: told when the venue's clock has stepped.

    Attributes:
        failed: measurements without an answer.
    """

    def __init__(
        self,
        venue_clock: VenueClock,
        adapter: MarketDataAdapter,
        pool: HttpPool,
        budget: RequestBudget,
        clock: Clock,
        log: EventLog,
        interval_ms: int,
        on_step: Callable[[], None],
    ) -> None:
        self._venue_clock = venue_clock
        venue_clock.on_step = self._stepped
        self._adapter = adapter
        self._pool = pool
        self._budget = budget
        self._clock = clock
        self._log = log
        self._interval_ns = interval_ms * MS
        self._on_step = on_step
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._not_before_ns = 0
        self._pause_ns = DOUBT_PAUSE_NS
        self.failed = 0

    def start(self) -> None:
        """Measure now, and from now on."""
        label = f"clock {self._adapter.venue}.{self._adapter.product.value}"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=label)
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.emit(
                events.TASK_FAILED, task=task.get_name(), error=f"{type(error).__name__}: {error}"[:300],
                retry_s=None,
            )  # fmt: skip

    async def _run(self) -> None:
        await self.measure(FIRST_SAMPLES)
        while True:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._interval_ns / 1e9)
            is_settling = self._wake.is_set()
            steps = self._venue_clock.steps
            await self.measure(DOUBT_SAMPLES if is_settling else 1)
            if is_settling:
                is_founded = self._venue_clock.steps > steps or self._venue_clock.is_doubtful
                self._pause_ns = DOUBT_PAUSE_NS if is_founded else min(2 * self._pause_ns, self._interval_ns)

    def doubt(self) -> None:
        """Something speaks against what is known of the clock: measure soon."""
        now = self._clock.mono_ns()
        if now >= self._not_before_ns:
            self._not_before_ns = now + self._pause_ns
            self._wake.set()

    def tick(self) -> None:
        """Settle doubts, and hand the offset to who aligns with the venue's calendar."""
        if self._venue_clock.is_doubtful or self._venue_clock.is_vague:
            self.doubt()
        self._budget.offset_ns = self._venue_clock.offset_ns

    async def measure(self, samples: int) -> None:
        """Ask for the venue's time; answers that do not come, or are no times, are left out."""
        request = self._adapter.time_request()
        for _ in range(samples):
            try:
                self._budget.take(request)
                # Before the bytes leave: a stamp taken after the write may be later than the venue's reading.
                sent_ns = self._clock.mono_ns()
                answer = await self._pool.request(request, TIMEOUT_S)
                self._budget.learn(answer.headers, request)
                venue_ns = self._adapter.decode_time_ns(answer.body)
            except (NotSent, Unanswered, ProtocolViolation):
                self.failed += 1
                continue
            if not self._venue_clock.round_trip(sent_ns, answer.first_mono_ns, venue_ns):
                self.failed += 1
                self._log.emit(
                    events.CLOCK_REFUSED,
                    venue=self._adapter.venue,
                    product=self._adapter.product.value,
                    offset_ms=(venue_ns - self._clock.utc_ns()) // MS,
                )
        self._budget.offset_ns = self._venue_clock.offset_ns
        self._log.emit(
            events.CLOCK_MEASURED,
            venue=self._adapter.venue,
            product=self._adapter.product.value,
            offset_ms=round(self._venue_clock.offset_ns / MS, 3),
            error_ms=round(self._venue_clock.error_ns / MS, 3) if self._venue_clock.is_measured else None,
        )

    def _stepped(self, before_ns: int, after_ns: int) -> None:
        self._log.emit(
            events.CLOCK_STEPPED,
            venue=self._adapter.venue,
            product=self._adapter.product.value,
            step_ms=round((after_ns - before_ns) / MS, 3),
        )
        self._on_step()
