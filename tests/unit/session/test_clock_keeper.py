"""Measuring a venue's clock: with nothing but its public time request, seldom, and at once when in doubt."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from engine.book.l2 import new_book
from engine.model.errors import NotSent, ProtocolViolation
from engine.model.instrument import Product
from engine.model.wire import BudgetRule, HttpRequest
from engine.session.clock_keeper import DOUBT_PAUSE_NS, ClockKeeper
from engine.session.feed_latency import WINDOW_NS, FeedLatency
from engine.session.venue_clock import MS, VenueClock
from engine.telemetry.clock import ManualClock
from engine.telemetry.log import EventLog
from engine.transport.request_budget import RequestBudget

NOW = 1_790_000_000_000 * MS
SECOND = 1_000 * MS


class Venue:
    """A venue that tells its time, by a pool and an adapter that do as little as possible."""

    venue, product = "acorn", Product.SPOT

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.offset_ns = 0
        self.asked = 0
        self.fails: Exception | None = None

    def time_request(self) -> HttpRequest:
        return HttpRequest(method="GET", target="/time", label="acorn.time")

    async def request(self, request: HttpRequest, timeout_s: float) -> Any:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        self.clock.advance(4 * MS)
        said = self.clock.utc_ns() + self.offset_ns
        self.clock.advance(4 * MS)
        now = self.clock.mono_ns()
        return SimpleNamespace(
            body=str(said // MS).encode(), headers={}, first_mono_ns=now, written_mono_ns=now
        )

    def decode_time_ns(self, body: bytes) -> int:
        if not body.isdigit():
            raise ProtocolViolation("no time", body)
        return int(body) * MS


class Bench:
    def __init__(self, interval_ms: int = 30_000, limit: int = 1_000) -> None:
        self.clock = ManualClock(1_000 * SECOND, NOW)
        self.venue = Venue(self.clock)
        self.stream = io.StringIO()
        self.log = EventLog("info", "json", self.stream)
        self.model = VenueClock(self.clock)
        self.budget = RequestBudget([BudgetRule("weight", "weight", 60_000, limit, "")], self.clock)
        self.forgotten = 0
        self.keeper = ClockKeeper(
            self.model, self.venue, self.venue, self.budget, self.clock,  # type: ignore[arg-type]
            self.log, interval_ms, self._forget,
        )  # fmt: skip

    def _forget(self) -> None:
        self.forgotten += 1

    def logged(self, event: str) -> list[dict[str, Any]]:
        self.log.flush()
        rows = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [row for row in rows if row["event"] == event]


async def until(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not done():
            await asyncio.sleep(0)


async def test_three_answers_at_the_start_and_the_offset_is_handed_on() -> None:
    bench = Bench()
    bench.venue.offset_ns = 123 * MS
    bench.keeper.start()
    await until(lambda: bench.venue.asked == 3 and bench.budget.offset_ns)
    await bench.keeper.stop()
    assert bench.venue.asked == 3
    low, high = bench.model.bounds_ns() or (0, 0)
    assert low <= 123 * MS <= high
    assert bench.budget.offset_ns == pytest.approx(123 * MS, abs=6 * MS)
    assert bench.logged("clock.measured")[0]["offset_ms"] == pytest.approx(123, abs=6)


@pytest.mark.fault("P26", "H13")
async def test_a_doubt_is_settled_at_once_and_a_step_is_told() -> None:
    bench = Bench()
    bench.keeper.start()
    await until(lambda: bench.venue.asked == 3)
    bench.venue.offset_ns = -70 * SECOND
    bench.keeper.doubt()
    await until(lambda: bench.model.steps)
    await bench.keeper.stop()
    assert bench.venue.asked == 5, "two answers decide"
    assert bench.logged("clock.stepped")[0]["step_ms"] == pytest.approx(-70_000, abs=20)
    assert bench.forgotten == 1


async def test_unfounded_doubts_cost_ever_fewer_requests() -> None:
    bench = Bench()
    bench.keeper.start()
    await until(lambda: bench.venue.asked == 3)
    for _ in range(600):  # a minute of doubts, ten a second
        asked = bench.venue.asked
        bench.keeper.doubt()
        if bench.keeper._wake.is_set():
            await until(lambda asked=asked: bench.venue.asked == asked + 2)  # type: ignore[misc]
            await until(lambda: not bench.keeper._wake.is_set())
        bench.clock.advance(100 * MS)
    await bench.keeper.stop()
    assert 2 * 4 <= bench.venue.asked - 3 <= 2 * 7, "after 1, 2, 4, 8, 16, 30 s"
    assert bench.keeper._pause_ns > DOUBT_PAUSE_NS


@pytest.mark.parametrize("failure", [NotSent("no connection"), ProtocolViolation("no time", b"x")])
async def test_no_answer_is_no_measurement(failure: Exception) -> None:
    bench = Bench()
    bench.venue.fails = failure
    await bench.keeper.measure(2)
    assert not bench.model.is_measured
    assert bench.keeper.failed == 2
    assert bench.logged("clock.measured")[0]["error_ms"] is None


async def test_a_used_up_limit_is_not_overdrawn() -> None:
    bench = Bench(limit=10)
    await bench.keeper.measure(20)
    assert bench.venue.asked <= 10
    assert bench.keeper.failed >= 10


@pytest.mark.fault("P26")
async def test_a_clock_more_than_a_day_off_is_refused_and_told() -> None:
    bench = Bench()
    bench.venue.offset_ns = 365 * 86_400 * SECOND
    await bench.keeper.measure(1)
    assert not bench.model.is_measured
    assert bench.logged("clock.refused")[0]["offset_ms"] == pytest.approx(365 * 86_400_000, abs=100)


def applied(bench: Bench, book: Any, age_ms: int) -> None:
    """Let a book have taken a delta that the venue stamped a while ago."""
    book.updates += 1
    book.recv_mono_ns = bench.clock.mono_ns()
    book.venue_utc_ns = bench.clock.utc_ns() + bench.venue.offset_ns - age_ms * MS


async def test_feed_latency_is_measured_across_two_clocks_and_says_how_well() -> None:
    bench = Bench()
    bench.venue.offset_ns = 400 * MS
    book: Any = SimpleNamespace(book_id=1, updates=0, recv_mono_ns=0, venue_utc_ns=0)
    latency = FeedLatency(bench.model, has_event_times=True)
    assert not latency.look({"X": book}, bench.clock.mono_ns())
    await bench.keeper.measure(1)
    for age_ms in (30, 31, 32, 33):
        bench.clock.advance(SECOND)
        applied(bench, book, age_ms)
        assert not latency.look({"X": book}, bench.clock.mono_ns())
        assert not latency.look({"X": book}, bench.clock.mono_ns()), "looked at once"
    view = latency.view()
    assert view is not None
    assert view["count"] == 4
    assert view["error_ns"] < 6 * MS
    assert abs(view["p50"] - 31 * MS) < view["error_ns"] + MS
    for _ in range(2):
        bench.clock.advance(WINDOW_NS + 1)
        latency.look({"X": book}, bench.clock.mono_ns())
    assert latency.view() is None, "what is older than two minutes is forgotten"


@pytest.mark.fault("P26")
async def test_events_that_all_seem_late_raise_a_doubt_and_odd_ones_count_for_nothing() -> None:
    bench = Bench()
    await bench.keeper.measure(1)
    book: Any = SimpleNamespace(book_id=1, updates=1, recv_mono_ns=1, venue_utc_ns=NOW)
    latency = FeedLatency(bench.model, has_event_times=True)
    latency.look({"X": book}, bench.clock.mono_ns())
    applied(bench, book, 70_000)
    assert latency.look({"X": book}, bench.clock.mono_ns()), "a slow feed, or a clock that was set back"
    book.updates += 1
    book.venue_utc_ns //= 1_000
    assert not latency.look({"X": book}, bench.clock.mono_ns())
    assert bench.model.implausible == 1
    view = latency.view()
    assert view is not None
    assert view["count"] == 1


def test_without_event_times_nothing_is_measured() -> None:
    bench = Bench()
    book = new_book("X", 2, 3, 1)
    latency = FeedLatency(bench.model, has_event_times=False)
    assert not latency.look({"X": book}, bench.clock.mono_ns())
    assert latency.view() is None
