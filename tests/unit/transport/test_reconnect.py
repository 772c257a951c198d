"""When to try again, and how often at most."""

from __future__ import annotations

import random

import msgspec
import pytest

from engine.model.errors import UsageError
from engine.model.wire import ConnectionRules, Heartbeat
from engine.telemetry.clock import SystemClock
from engine.transport.reconnect import Backoff, ConnectionBudget, ConnectionBudgets


class HandClock(SystemClock):
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def mono_ns(self) -> int:
        return self.now_ms * 1_000_000

    utc_ns = mono_ns


def test_pauses_grow_within_their_ceilings_and_begin_with_none() -> None:
    for seed in range(200):
        backoff = Backoff(100, 3_000, random.Random(seed))
        assert backoff.next_ms() == 0
        for ceiling in (100, 200, 400, 800, 1_600, 3_000, 3_000):
            assert ceiling // 10 <= backoff.next_ms() <= ceiling


def test_a_crowd_does_not_return_in_step() -> None:
    pauses = set()
    for seed in range(100):
        backoff = Backoff(1_000, 60_000, random.Random(seed))
        backoff.next_ms()
        pauses.add(backoff.next_ms())
    assert len(pauses) > 80


def test_a_year_of_failures_does_not_overflow_and_a_reset_forgets_them() -> None:
    backoff = Backoff(100, 30_000, random.Random(1))
    assert max(backoff.next_ms() for _ in range(100_000)) <= 30_000
    backoff.reset()
    assert backoff.next_ms() == 0
    assert backoff.next_ms() <= 100


def test_never_more_attempts_in_any_window_than_allowed() -> None:
    clock, generator = HandClock(), random.Random(7)
    budget = ConnectionBudget(5, 1.0, clock)
    taken: list[int] = []
    for _ in range(5_000):
        wait = budget.wait_ms()
        if wait:
            clock.now_ms += wait - 2  # it rounds up to the next millisecond
            assert budget.wait_ms(), "the wait it gave was longer than need be"
            clock.now_ms += 2
            assert not budget.wait_ms(), "the wait it gave was too short"
        taken.append(clock.now_ms)
        clock.now_ms += generator.choice((0, 0, 1, 50, 300))
    for first, sixth in zip(taken, taken[5:], strict=False):
        assert sixth - first >= 1_000


def test_a_hold_is_kept_and_a_shorter_one_does_not_shorten_it() -> None:
    clock = HandClock()
    budget = ConnectionBudget(5, 1.0, clock)
    budget.hold(10_000)
    budget.hold(1_000)
    assert budget.wait_ms() in (10_000, 10_001)
    clock.now_ms += 10_001
    assert budget.wait_ms() == 0


@pytest.mark.parametrize(("attempts", "window_s"), [(0, 60), (-1, 60), (5, 0), (5, -1)])
def test_a_budget_that_allows_nothing_is_refused(attempts: int, window_s: float) -> None:
    with pytest.raises(UsageError, match="allows none"):
        ConnectionBudget(attempts, window_s, HandClock())


def test_sessions_of_a_host_share_its_budget() -> None:
    rules = ConnectionRules(
        heartbeat=Heartbeat(1_000),
        messages_per_s=5,
        streams_max=10,
        connects=1,
        connects_window_s=60,
        lifetime_s=60,
    )
    budgets = ConnectionBudgets(HandClock())
    public = budgets.of("venue", "wss://ws.venue.example:8443/public", rules)
    assert budgets.of("venue", "wss://ws.venue.example:8443/private?key=1", rules) is public
    assert budgets.of("venue", "wss://ws.venue.example/public", rules) is public, "counted over all ports"
    assert public.wait_ms() == 0
    assert public.wait_ms() > 0
    assert budgets.of("venue", "wss://fws.venue.example/public", rules).wait_ms() == 0
    assert budgets.of("other", "wss://ws.venue.example/public", rules).wait_ms() == 0
    wider = msgspec.structs.replace(rules, connects=2)
    assert budgets.of("venue", "wss://ws.venue.example/trade", wider).wait_ms() == 0, "a limit of its own"
