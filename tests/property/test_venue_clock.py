"""The stated interval holds the true offset at every moment, whatever network and clocks do."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.session.venue_clock import MS, VenueClock
from engine.telemetry.clock import ManualClock

START_UTC_NS = 1_790_000_000_000 * MS
DRIFT_PPM = 100


class World:
    """Our clocks, a venue whose true clock drifts and steps, and a network that delays at will."""

    def __init__(self, offset_ms: int, window_ms: int) -> None:
        self.clock = ManualClock(7_777 * MS, START_UTC_NS)
        self.venue_ns = START_UTC_NS + offset_ms * MS
        self.drift_ppm = 0
        self.model = VenueClock(self.clock, drift_ppm=DRIFT_PPM, window_ms=window_ms)
        self.is_known = False
        """An answer has come since the clock was last set."""
        self.stepped_at_ns = self.clock.mono_ns()
        self.checked = self.steps = 0

    def passes(self, ns: int) -> None:
        self.clock.advance(ns)
        self.venue_ns += ns + ns * self.drift_ppm // 1_000_000
        self.check()

    def step(self, ns: int) -> None:
        self.venue_ns += ns
        self.is_known = False
        self.stepped_at_ns = self.clock.mono_ns()
        self.steps += 1

    def ask(self, out_ns: int, back_ns: int, tick_ns: int) -> None:
        sent = self.clock.mono_ns()
        self.passes(out_ns)
        said = self.venue_ns // tick_ns * tick_ns
        self.passes(back_ns)
        assert self.model.round_trip(sent, self.clock.mono_ns(), said, tick_ns)
        self.is_known = True
        self.check()

    def hear(self, delay_ns: int) -> None:
        """Hear of an event that is younger than the last step."""
        said = self.venue_ns // MS * MS
        self.passes(delay_ns)
        assert self.model.event(self.clock.mono_ns(), said)
        self.check()

    def check(self) -> None:
        if not self.is_known:
            return
        self.checked += 1
        bounds = self.model.bounds_ns()
        assert bounds is not None
        truth = self.venue_ns - self.clock.utc_ns()
        assert bounds[0] <= truth <= bounds[1], (bounds, truth)
        known = self.model.interval(self.clock.mono_ns())
        assert known is not None
        if not self.model.is_doubtful and known.high_ns - known.low_ns <= self.window_ns // 2:
            behind = self.venue_ns - self.model.stamp_ms() * MS
            assert behind >= 0, "a stamp from the venue's future"
            assert behind <= known.high_ns - known.low_ns + MS

    @property
    def window_ns(self) -> int:
        return self.model._half_window_ns * 2


DELAYS = st.one_of(st.integers(0, 20 * MS), st.integers(0, 3_000 * MS))
OPS = st.one_of(
    st.tuples(st.just("ask"), DELAYS, DELAYS),
    st.tuples(st.just("hear"), DELAYS, st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 600_000 * MS), st.just(0)),
    st.tuples(st.just("drift"), st.integers(-DRIFT_PPM, DRIFT_PPM), st.just(0)),
    st.tuples(st.just("step"), st.integers(-70_000 * MS, 70_000 * MS), st.just(0)),
    st.tuples(st.just("step"), st.integers(-30 * MS, 30 * MS), st.just(0)),
    st.tuples(st.just("our step"), st.integers(-3_600_000 * MS, 3_600_000 * MS), st.just(0)),
)


def play(offset_ms: int, window_ms: int, tick_ns: int, ops: list[tuple[str, int, int]]) -> World:
    world = World(offset_ms, window_ms)
    world.ask(2 * MS, 2 * MS, tick_ns)
    for name, first, second in ops:
        if name == "ask":
            world.ask(first, second, tick_ns)
        elif name == "hear":
            world.hear(first)
        elif name == "wait":
            world.passes(first)
        elif name == "drift":
            world.drift_ppm = first
        elif name == "step":
            world.step(first)
        else:
            world.clock.step_utc(first)
    return world


@pytest.mark.fault("S01", "S02")
@settings(max_examples=600, deadline=None, derandomize=True)
@given(
    offset_ms=st.integers(-500, 500),
    window_ms=st.sampled_from([1_000, 5_000, 30_000]),
    tick_ns=st.sampled_from([1, 1_000, MS]),
    ops=st.lists(OPS, max_size=60),
)
@example(500, 5_000, MS, [("drift", 100, 0), ("wait", 600_000 * MS, 0), ("ask", 0, 20 * MS)])
@example(
    -500, 5_000, MS, [("drift", -100, 0), ("wait", 600_000 * MS, 0), ("step", 12 * MS, 0), ("ask", 9 * MS, 0)]
)
def test_the_interval_holds_the_truth_at_every_moment(
    offset_ms: int, window_ms: int, tick_ns: int, ops: list[tuple[str, int, int]]
) -> None:
    """From the first answer after a step on, with all the drift allowed, and steps of our own clock."""
    assert play(offset_ms, window_ms, tick_ns, ops).checked > 0


@pytest.mark.fault("P26")
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    offset_ms=st.integers(-500, 500),
    step_ms=st.integers(100, 70_000),
    sign=st.sampled_from([-1, 1]),
    delays=st.lists(st.integers(0, 10 * MS), min_size=6, max_size=6),
)
def test_every_real_step_is_found_by_two_quick_answers(
    offset_ms: int, step_ms: int, sign: int, delays: list[int]
) -> None:
    world = World(offset_ms, 5_000)
    world.ask(delays[0], delays[1], MS)
    world.step(sign * step_ms * MS)
    world.ask(delays[2], delays[3], MS)
    assert (world.model.steps, world.model.is_doubtful) == (0, True)
    world.ask(delays[4], delays[5], MS)
    assert (world.model.steps, world.model.is_doubtful) == (1, False)
    assert world.model.error_ns <= 11 * MS
