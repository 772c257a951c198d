"""Protocols by which packages of equal rank reach each other."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The only source of time. ``engine.telemetry.clock.SystemClock`` is the real one."""

    def mono_ns(self) -> int:
        """Return monotonic nanoseconds, for durations and deadlines."""
        ...

    def utc_ns(self) -> int:
        """Return UTC nanoseconds since the epoch, for people, files and signatures."""
        ...


class MessageHandler(Protocol):
    """Takes a whole WebSocket message that no frame sink consumed."""

    def __call__(self, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        """Handle one message; must not block. An exception quarantines the message, not the link."""
        ...
