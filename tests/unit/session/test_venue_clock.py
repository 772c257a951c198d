"""The clock model: what each kind of evidence proves, and what contradiction does."""

from __future__ import annotations

import pytest

from engine.session.venue_clock import (
    CLOCK_GUARD_NS,
    EVENT_GUARD_NS,
    MS,
    SPREAD_NS,
    Interval,
    VenueClock,
)
from engine.telemetry.clock import ManualClock

NOW = 1_790_000_000_000 * MS
SECOND = 1_000 * MS


class Bench:
    """A venue clock model, our clock, and a venue whose true clock is known."""

    def __init__(self, offset_ns: int = 0, drift_ppm: int = 200, window_ms: int = 2_000) -> None:
        self.clock = ManualClock(mono_ns=5_000 * SECOND, utc_ns=NOW)
        self.offset_ns = offset_ns
        self.steps: list[tuple[int, int]] = []
        self.model = VenueClock(
            self.clock,
            drift_ppm=drift_ppm,
            window_ms=window_ms,
            on_step=lambda *step: self.steps.append(step),
        )

    def venue_ns(self) -> int:
        return self.clock.utc_ns() + self.offset_ns

    def ask(self, out_ms: int = 5, back_ms: int = 5) -> None:
        """Ask the venue for its time, which it tells in whole milliseconds."""
        sent = self.clock.mono_ns()
        self.clock.advance(out_ms * MS)
        said = self.venue_ns() // MS * MS
        self.clock.advance(back_ms * MS)
        assert self.model.round_trip(sent, self.clock.mono_ns(), said)

    def hear(self, delay_ms: int, ahead_ms: int = 0) -> bool:
        """Hear of an event that was stamped some time ago."""
        said = (self.venue_ns() - delay_ms * MS + ahead_ms * MS) // MS * MS
        return self.model.event(self.clock.mono_ns(), said)

    def assert_true(self) -> None:
        bounds = self.model.bounds_ns()
        assert bounds is not None
        assert bounds[0] <= self.offset_ns <= bounds[1]


def test_nothing_is_known_before_the_first_answer() -> None:
    bench = Bench(70 * SECOND)
    assert not bench.model.is_measured
    assert bench.model.bounds_ns() is None
    assert (bench.model.offset_ns, bench.model.error_ns) == (0, -1)
    assert bench.model.latency_ns(bench.clock.mono_ns(), NOW) is None
    assert bench.model.stamp_ms() == NOW // MS


@pytest.mark.parametrize("offset_ms", [-500, 0, 500])
@pytest.mark.parametrize(("out_ms", "back_ms"), [(0, 0), (10, 0), (0, 10), (3, 40)])
def test_a_round_trip_bounds_the_offset_on_both_sides(offset_ms: int, out_ms: int, back_ms: int) -> None:
    bench = Bench(offset_ms * MS)
    bench.ask(out_ms, back_ms)
    bench.assert_true()
    width = (out_ms + back_ms + 1) * MS
    assert width // 2 <= bench.model.error_ns <= width // 2 + 10_000


def test_the_latest_answer_is_what_is_believed_and_a_slow_one_is_called_vague() -> None:
    bench = Bench(123 * MS)
    bench.ask(1, 1)
    bench.ask(40, 0)
    bench.assert_true()
    assert bench.model.error_ns > 20 * MS, "a small step may hide in a slow answer"
    assert bench.model.is_vague
    bench.ask(1, 1)
    assert bench.model.error_ns < 2 * MS
    assert not bench.model.is_vague


def test_a_step_smaller_than_a_round_trip_is_within_the_interval_at_once() -> None:
    bench = Bench(5 * MS)
    bench.ask(0, 10)
    bench.offset_ns = 12 * MS
    bench.ask(10, 0)
    bench.assert_true()


def test_an_event_bounds_the_offset_from_below_and_never_from_above() -> None:
    bench = Bench(0)
    bench.ask(40, 40)
    low, high = bench.model.bounds_ns() or (0, 0)
    assert bench.hear(delay_ms=3)
    bounds = bench.model.bounds_ns()
    assert bounds is not None
    assert bounds[0] > low
    assert bounds[1] >= high
    bench.assert_true()
    assert bench.hear(delay_ms=30_000), "an old event says nothing, and is no contradiction"
    assert bench.model.bounds_ns() == bounds
    assert (bench.model.ahead, bench.model.is_doubtful) == (0, False)


@pytest.mark.fault("S02")
def test_what_is_known_widens_with_its_age() -> None:
    bench = Bench(0, drift_ppm=100)
    bench.ask(0, 0)
    fresh = bench.model.error_ns
    bench.clock.advance(100 * SECOND)
    assert bench.model.error_ns == pytest.approx(fresh + 10 * MS, abs=1_000)


def test_a_step_is_taken_over_when_a_second_answer_confirms_it() -> None:
    bench = Bench(0)
    bench.ask()
    bench.offset_ns = -70 * SECOND
    bench.ask()
    assert bench.model.is_doubtful
    bench.assert_true()  # both are possible: the interval holds both
    assert bench.model.error_ns > 30 * SECOND
    assert abs(bench.model.stamp_ms() * MS - bench.venue_ns()) < 20 * MS, "stamps go by the latest answer"
    bench.ask()
    bench.assert_true()
    assert bench.model.error_ns < 10 * MS
    assert (bench.model.steps, bench.model.outliers, bench.model.is_doubtful) == (1, 0, False)
    [(before, after)] = bench.steps
    assert after - before == pytest.approx(-70 * SECOND, abs=10 * MS)


def test_an_answer_that_no_other_confirms_is_an_outlier() -> None:
    bench = Bench(0)
    bench.ask()
    sent = bench.clock.mono_ns()
    bench.clock.advance(MS)
    bench.model.round_trip(sent, bench.clock.mono_ns(), bench.venue_ns() - 30 * SECOND)  # from a cache
    bench.assert_true()
    bench.ask()
    bench.assert_true()
    assert (bench.model.steps, bench.model.outliers, bench.model.is_doubtful) == (0, 1, False)
    assert bench.steps == []
    assert bench.model.error_ns < 10 * MS


def test_two_steps_in_a_row_are_told_from_outliers_by_the_last_two_answers() -> None:
    bench = Bench(0)
    bench.ask()
    for offset_s in (5, 9):
        bench.offset_ns = offset_s * SECOND
        bench.ask()
        bench.assert_true()
    bench.ask()
    bench.assert_true()
    assert (bench.model.steps, bench.model.outliers) == (1, 1)
    assert bench.model.error_ns < 10 * MS


def test_an_answer_too_slow_to_decide_decides_nothing() -> None:
    bench = Bench(0)
    bench.ask()
    bench.offset_ns = 2 * SECOND
    bench.ask()
    bench.ask(2_000, 2_000)
    assert bench.model.is_doubtful
    bench.assert_true()
    bench.ask()
    assert bench.model.steps == 1


def test_another_machine_of_the_venue_is_no_step() -> None:
    bench = Bench(0)
    bench.ask(0, 0)
    bench.offset_ns = 6 * MS
    bench.ask(0, 0)
    bench.assert_true()
    assert (bench.model.disagreements, bench.model.steps, bench.model.is_doubtful) == (1, 0, False)
    bench.offset_ns = 6 * MS + SPREAD_NS + 3 * MS
    bench.ask(0, 0)
    assert bench.model.is_doubtful


def test_events_from_the_future_raise_doubt_and_change_nothing() -> None:
    bench = Bench(0)
    bench.ask()
    before = bench.model.bounds_ns()
    bench.offset_ns = 70 * SECOND
    assert bench.hear(delay_ms=1)
    assert bench.model.is_doubtful
    assert bench.model.ahead == 1
    assert bench.model.bounds_ns() == before
    bench.ask()
    bench.ask()
    bench.assert_true()
    assert bench.model.steps == 1


@pytest.mark.fault("S01")
def test_a_step_of_our_own_wall_clock_moves_no_stamp() -> None:
    bench = Bench(40 * MS)
    bench.ask()
    before = bench.model.stamp_ms()
    bench.clock.step_utc(3_600 * SECOND)
    assert bench.model.stamp_ms() == before
    bounds = bench.model.bounds_ns()
    assert bounds is not None
    assert bounds[0] <= 40 * MS - 3_600 * SECOND <= bounds[1], "told against our clock as it is now"
    bench.offset_ns -= 3_600 * SECOND
    bench.ask()
    assert (bench.model.steps, bench.model.is_doubtful) == (0, False)


@pytest.mark.parametrize("out_ms", [0, 5, 200, 900])
@pytest.mark.parametrize("age_s", [0, 30, 300])
def test_a_stamp_is_never_from_the_venues_future_nor_older_than_half_the_window(
    out_ms: int, age_s: int
) -> None:
    for offset_ms in (-500, 500):
        bench = Bench(offset_ms * MS, window_ms=5_000)
        bench.ask(out_ms, 3)
        bench.clock.advance(age_s * SECOND)
        behind_ms = bench.venue_ns() / MS - bench.model.stamp_ms()
        assert 0 <= behind_ms < 2_500 + 300 * 0.4 + 1


def test_where_less_is_known_than_half_the_window_stamps_stay_within_it() -> None:
    bench = Bench(0, window_ms=1_000)
    bench.ask(0, 4_000)
    low, high = bench.model.bounds_ns() or (0, 0)
    stamped = bench.model.stamp_ms() * MS - bench.clock.utc_ns()
    assert high - 501 * MS <= stamped <= high
    bench.model.use_window(60_000)
    assert bench.model.stamp_ms() * MS - bench.clock.utc_ns() == pytest.approx(low, abs=2 * MS)


WRONG = {
    "seconds": NOW // (1_000 * MS),
    "milliseconds": NOW // MS,
    "microseconds": NOW // 1_000,
    "microseconds_as_milliseconds": NOW * 1_000,
    "a_year_ago": NOW - 365 * 86_400 * SECOND,
    "in_ten_years": NOW + 3_650 * 86_400 * SECOND,
    "zero": 0,
    "largest": 2**63 - 1,
}


@pytest.mark.fault("P26")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("is_measured", [False, True])
def test_times_in_a_wrong_unit_or_years_off_are_counted_and_never_used(wrong: int, is_measured: bool) -> None:
    bench = Bench(0)
    if is_measured:
        bench.ask()
    before, stamp = bench.model.bounds_ns(), bench.model.stamp_ms()
    mono = bench.clock.mono_ns()
    assert not bench.model.event(mono, wrong)
    assert not bench.model.round_trip(mono - MS, mono, wrong)
    assert not bench.model.believes(wrong)
    assert bench.model.implausible == 3
    assert (bench.model.events, bench.model.ahead, bench.model.is_doubtful) == (0, 0, False)
    assert bench.model.bounds_ns() == before
    assert bench.model.stamp_ms() == stamp


def test_where_the_guards_are() -> None:
    bench = Bench(0)
    bench.ask(0, 0)
    mono = bench.clock.mono_ns()
    assert bench.model.event(mono, NOW - EVENT_GUARD_NS + 10 * MS)
    assert not bench.model.event(mono, NOW - EVENT_GUARD_NS - 10 * MS)
    assert bench.model.round_trip(mono, mono, NOW - CLOCK_GUARD_NS + 10 * MS)
    assert not bench.model.round_trip(mono, mono, NOW - CLOCK_GUARD_NS - 10 * MS)
    assert not bench.model.round_trip(mono, mono - 1, NOW), "answered before it was sent"


def test_latency_is_told_with_its_uncertainty() -> None:
    bench = Bench(-300 * MS)
    bench.ask(4, 4)
    said = (bench.venue_ns() - 50 * MS) // MS * MS
    low, high = bench.model.latency_ns(bench.clock.mono_ns(), said) or (0, 0)
    assert low <= 50 * MS <= high
    assert high - low < 12 * MS


def test_intervals() -> None:
    one = Interval(0, 10, 100)
    assert one.gap_ns(Interval(10, 20, 100)) == 0
    assert one.gap_ns(Interval(13, 20, 100)) == Interval(13, 20, 100).gap_ns(one) == 3
    assert one.covers(Interval(15, 20, 100)) == Interval(0, 20, 100)
    assert one.aged(1_000_100, 1_000) == Interval(-1_001, 1_011, 1_000_100)
