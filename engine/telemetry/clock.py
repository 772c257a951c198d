"""The only reader of time in the package."""

from __future__ import annotations

import time


class SystemClock:
    """The operating system's clocks (``CLOCK_MONOTONIC`` and ``CLOCK_REALTIME``)."""

    __slots__ = ()

    mono_ns = staticmethod(time.monotonic_ns)
    utc_ns = staticmethod(time.time_ns)


class ManualClock:
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
