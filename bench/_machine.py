"""What the machine itself does to a measurement: how often it takes the core away."""

from __future__ import annotations

import time

import msgspec

GAP_NS = 1_000
"""Two readings of the clock lie 50 to 100 ns apart; what is longer than this was not this program."""


class Interruptions(msgspec.Struct, frozen=True):
    """How often this core was taken away from a program that does nothing else than look at the clock.

    Attributes:
        per_s: how many times a second. share: of the time, 0 to 1.
    """

    per_s: float
    share: float

    def __str__(self) -> str:
        return (
            f"the machine takes the core away {self.per_s:,.0f} times a second ({self.share:.1%} of the time)"
        )


def interruptions(seconds: float = 0.3) -> Interruptions:
    """Look at the clock for so long, on the core that this runs on, and count the gaps."""
    now = time.perf_counter_ns
    began = last = now()
    end = began + int(seconds * 1e9)
    count = lost = 0
    while last < end:
        this = now()
        gap = this - last
        if gap > GAP_NS:
            count += 1
            lost += gap
        last = this
    took = last - began
    return Interruptions(count * 1e9 / took, lost / took)
