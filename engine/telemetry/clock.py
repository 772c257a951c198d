"""The only reader of time in the package.

The clock exists twice: compiled, so that the order path reads it by a C call, and here as its twin. Clocks of
tests and replays derive from it and say what they tell; compiled classes take no other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING


class PureSystemClock:
    """The operating system's clocks (``CLOCK_MONOTONIC`` and ``CLOCK_REALTIME``)."""

    __slots__ = ()

    def mono_ns(self) -> int:
        """Return monotonic nanoseconds, for durations and deadlines."""
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        """Return UTC nanoseconds since the epoch, for people, files and signatures."""
        return time.time_ns()


if TYPE_CHECKING:
    SystemClock = PureSystemClock
else:
    try:
        from engine.model._native import SystemClock
    except ImportError:
        SystemClock = PureSystemClock


class ManualClock(SystemClock):
    """A clock that moves only when told to, for tests and replays. Nanoseconds."""

    __slots__ = ("_mono", "_utc")

    def __init__(self, mono_ns: int = 0, utc_ns: int = 0) -> None:
        self._mono = mono_ns
        self._utc = utc_ns

    def mono_ns(self) -> int:
        """Return the set monotonic time."""
        return self._mono

    def utc_ns(self) -> int:
        """Return the set UTC time."""
        return self._utc

    def advance(self, ns: int) -> None:
        """Move both clocks forward by ``ns`` >= 0 nanoseconds."""
        assert ns >= 0
        self._mono += ns
        self._utc += ns

    def step_utc(self, ns: int) -> None:
        """Step the wall clock alone, as an NTP correction would."""
        self._utc += ns
