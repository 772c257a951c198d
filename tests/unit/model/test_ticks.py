"""The tick counter as a clock: bracketed by CLOCK_MONOTONIC itself, while its rate is being learnt."""

from __future__ import annotations

import time

import pytest

native = pytest.importorskip("engine.model._native", reason="nothing was compiled")

SLACK_NS = 2_000
"""Comparing two clocks takes two reads; the core may be taken away between them, up to three times."""


def test_it_tells_what_clock_monotonic_tells() -> None:
    clock = native.TickClock()
    until = time.monotonic_ns() + 1_200_000_000  # past the first second, when the rate's anchor moves on
    off, looks = 0, 0
    while time.monotonic_ns() < until:
        before = time.monotonic_ns()
        told = clock.mono_ns()
        after = time.monotonic_ns()
        off += not before - SLACK_NS <= told <= after + SLACK_NS
        looks += 1
    assert looks > 100
    # Where the core was taken away in the middle of all three tries, a millisecond's stamps are late at once.
    assert off <= looks // 20, f"{off} of {looks} stamps lay outside of what CLOCK_MONOTONIC told"


def test_a_pause_without_looks_does_not_lead_it_astray() -> None:
    clock = native.TickClock()
    clock.mono_ns()
    for _ in range(3):
        time.sleep(0.2)
        before = time.monotonic_ns()
        told = clock.mono_ns()
        assert before - SLACK_NS <= told <= time.monotonic_ns() + SLACK_NS
