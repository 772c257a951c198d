"""Settlements from before the exchange started: no real contract begins its life with the process.

A contract that settles more often than every eight hours did so only lately: before that it had longer
intervals, each half or a quarter of the one before, changed at times that both have in common.
"""

from __future__ import annotations

import random
from decimal import Decimal

HOUR_MS = 3_600_000
LONGEST_H = 8
LATE_SETTLEMENTS = 60
"""At least so many settlements of each interval but the longest."""
EARLY_SETTLEMENTS = 120
"""So many of the longest."""
_LONGER_H = {1: 4, 2: 8, 4: 8}
_RATE_MAX = Decimal("0.00050000")
_STEP = Decimal("1e-8")

Settlement = tuple[int, Decimal, Decimal]
"""Time (ms), rate and mark price."""


def past_settlements(
    interval_h: int, next_ms: int, scale: int, initial_price: Decimal, seed: int
) -> list[Settlement]:
    """Return what was settled before ``next_ms``, oldest first.

    Args:
        interval_h: the contract's interval now.
        next_ms: its next settlement. scale: how many times faster than the calendar it settles.
        initial_price: what mark prices wander around.
    """
    generator = random.Random(seed)
    rows: list[Settlement] = []
    rate, at_ms = Decimal("0.0001"), next_ms
    for interval_ms, count, longer_ms in _eras(interval_h, scale):
        settled = 0
        while settled < count or (longer_ms and at_ms % longer_ms):
            at_ms -= interval_ms
            if at_ms <= 0:
                return rows[::-1]
            drift = Decimal(generator.randint(-2_000, 2_000)) * _STEP
            rate = (rate * 9 + Decimal("0.0001")) / 10 + drift
            rate = max(-_RATE_MAX, min(_RATE_MAX, rate)).quantize(_STEP)
            mark = initial_price * (1 + Decimal(generator.randint(-300, 300)) / 10_000)
            rows.append((at_ms, rate, mark.quantize(_STEP)))
            settled += 1
    return rows[::-1]


def _eras(interval_h: int, scale: int) -> list[tuple[int, int, int]]:
    """Return (interval, least number of settlements, the interval before it or 0), newest era first."""
    eras = []
    while True:
        longer_h = _LONGER_H.get(interval_h, 0) if interval_h < LONGEST_H else 0
        count = LATE_SETTLEMENTS if longer_h else EARLY_SETTLEMENTS
        eras.append((interval_h * HOUR_MS // scale, count, longer_h * HOUR_MS // scale))
        if not longer_h:
            return eras
        interval_h = longer_h
