"""The circuit breaker: rests grow, one request tries, and what never left says nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.router.breaker import FAILURES, REST_FIRST_S, REST_MAX_S, CircuitBreaker
from engine.telemetry.clock import ManualClock


def is_open(breaker: CircuitBreaker) -> bool:
    """Ask anew: a type checker believes that what it has seen asserted stays so."""
    return breaker.is_open


def opened() -> tuple[CircuitBreaker, ManualClock]:
    clock = ManualClock(mono_ns=10**9)
    breaker = CircuitBreaker(clock)
    for number in range(FAILURES):
        assert breaker.allow()
        assert breaker.failed() == (REST_FIRST_S if number == FAILURES - 1 else 0.0)
    return breaker, clock


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker(ManualClock())
    for _ in range(20):
        for _ in range(FAILURES - 1):
            assert not breaker.failed()
        assert not breaker.succeeded()
    assert breaker.allow()
    assert not is_open(breaker)


def test_one_tries_and_decides() -> None:
    breaker, clock = opened()
    assert is_open(breaker)
    assert not breaker.allow()
    clock.advance(int(REST_FIRST_S * 1e9) - 1)
    assert not breaker.allow()
    clock.advance(1)
    assert breaker.allow()
    assert not breaker.allow(), "one at a time"
    assert is_open(breaker)
    assert breaker.succeeded()
    assert not is_open(breaker)
    assert breaker.allow()
    assert breaker.allow()


def test_rests_double_up_to_the_limit_and_start_anew_after_success() -> None:
    breaker, clock = opened()
    rests = []
    for _ in range(8):
        clock.advance(int(REST_MAX_S * 1e9))
        assert breaker.allow()
        rests.append(breaker.failed())
    assert rests == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    clock.advance(int(REST_MAX_S * 1e9))
    assert breaker.allow()
    assert breaker.succeeded()
    assert [breaker.failed() for _ in range(FAILURES)][-1] == REST_FIRST_S


def test_a_trial_that_never_left_leaves_the_next_one_its_turn() -> None:
    breaker, clock = opened()
    clock.advance(int(REST_FIRST_S * 1e9))
    assert breaker.allow()
    breaker.not_tried()
    assert breaker.allow()


@given(st.lists(st.sampled_from(["allow", "failed", "succeeded", "not_tried", "wait"]), max_size=60))
def test_it_never_stays_shut_for_ever(steps: list[str]) -> None:
    clock = ManualClock(mono_ns=1)
    breaker = CircuitBreaker(clock)
    for step in steps:
        if step == "wait":
            clock.advance(500_000_000)
        else:
            getattr(breaker, step)()
    breaker.not_tried()  # whoever was trying has come back
    clock.advance(int(REST_MAX_S * 1e9))
    assert breaker.allow()
