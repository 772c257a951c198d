"""The exchange's clock, with an offset that faults may set."""

from __future__ import annotations

import time


class SimClock:
    """UTC milliseconds of the simulated exchange.

    Attributes:
        offset_ms: added to the machine's time; clock faults change it.
    """

    def __init__(self) -> None:
        self.offset_ms = 0

    def now_ms(self) -> int:
        """Return the exchange's UTC time in milliseconds."""
        return time.time_ns() // 1_000_000 + self.offset_ms

    def mono(self) -> float:
        """Return monotonic seconds, for schedules; offsets do not touch it."""
        return time.monotonic()


class ManualSimClock(SimClock):
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 1_790_000_000_000) -> None:
        super().__init__()
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the set time plus the offset."""
        return self._now_ms + self.offset_ms

    def mono(self) -> float:
        """Return the set time in seconds."""
        return self._now_ms / 1000

    def advance(self, milliseconds: int) -> None:
        """Move forward."""
        self._now_ms += milliseconds
