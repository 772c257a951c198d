"""Rate-limit windows that start at calendar multiples of their length; they do not slide."""

from __future__ import annotations


class Window:
    """A counter that starts again at each calendar multiple of its length."""

    __slots__ = ("_count", "_start_ms", "length_ms", "limit")

    def __init__(self, limit: int, length_ms: int) -> None:
        self.limit = limit
        self.length_ms = length_ms
        self._start_ms = -1
        self._count = 0

    def count(self, now_ms: int) -> int:
        """Return what was used in the window holding ``now_ms``."""
        start = now_ms - now_ms % self.length_ms
        if start != self._start_ms:
            self._start_ms = start
            self._count = 0
        return self._count

    def add(self, now_ms: int, amount: int) -> int:
        """Add ``amount`` (negative gives back, never below zero) and return the new count."""
        self._count = max(0, self.count(now_ms) + amount)
        return self._count

    def retry_after_s(self, now_ms: int) -> int:
        """Return the whole seconds until the next window begins, at least 1."""
        return max(1, -(-(self.length_ms - now_ms % self.length_ms) // 1000))
