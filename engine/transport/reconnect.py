"""When to try again: full-jitter exponential back-off, and a budget of connection attempts."""

from __future__ import annotations

import random
from collections import deque

from engine.model.ports import Clock


class Backoff:
    """Pauses between attempts: none before the first, then a random part of a doubling ceiling.

    Full jitter: a uniform draw from zero to the ceiling keeps a crowd of sessions from returning in step.

    Args:
        first_ms, max_ms: ceiling of the first pause and of all.
        generator: seeded by the caller.
    """

    def __init__(self, first_ms: int, max_ms: int, generator: random.Random) -> None:
        self._first_ms = first_ms
        self._max_ms = max_ms
        self._random = generator
        self._attempt = 0

    def next_ms(self) -> int:
        """Return the pause before the next attempt, in milliseconds."""
        attempt, self._attempt = self._attempt, self._attempt + 1
        if attempt == 0:
            return 0
        ceiling = min(self._max_ms, self._first_ms << min(attempt - 1, 24))
        return self._random.randint(ceiling // 10, ceiling)

    def reset(self) -> None:
        """Forget the failures: the connection has proven itself."""
        self._attempt = 0


class ConnectionBudget:
    """At most so many connection attempts in a sliding window, shared by all sessions of a host."""

    def __init__(self, attempts: int, window_s: float, clock: Clock) -> None:
        self._attempts = attempts
        self._window_ns = int(window_s * 1e9)
        self._clock = clock
        self._taken: deque[int] = deque()

    def wait_ms(self) -> int:
        """Take an attempt and return 0, or return how long to wait before asking again."""
        now = self._clock.mono_ns()
        while self._taken and now - self._taken[0] >= self._window_ns:
            self._taken.popleft()
        if len(self._taken) < self._attempts:
            self._taken.append(now)
            return 0
        return max(1, (self._taken[0] + self._window_ns - now) // 1_000_000 + 1)
