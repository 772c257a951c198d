"""When to try again: exponential back-off with jitter, and a budget of connection attempts."""

from __future__ import annotations

import random
from collections import deque
from urllib.parse import urlsplit

from engine.model.errors import UsageError
from engine.model.ports import Clock
from engine.model.wire import ConnectionRules


class Backoff:
    """Pauses between attempts: none before the first, then a random part of a doubling ceiling.

    Jitter: a uniform draw from a tenth of the ceiling to all of it keeps a crowd of sessions from
    returning in step.

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
    """At most so many connection attempts in a sliding window, shared by all sessions of a host.

    Raises:
        UsageError: no attempt would ever be allowed.
    """

    def __init__(self, attempts: int, window_s: float, clock: Clock) -> None:
        if attempts < 1 or window_s <= 0:
            raise UsageError(f"a budget of {attempts} connection attempts in {window_s} s allows none")
        self._attempts = attempts
        self._window_ns = int(window_s * 1e9)
        self._clock = clock
        self._taken: deque[int] = deque()
        self._held_until_ns = 0

    def hold(self, wait_ms: int) -> None:
        """Allow no attempt for a while: the host has refused one for rate or ban, which holds for all."""
        self._held_until_ns = max(self._held_until_ns, self._clock.mono_ns() + wait_ms * 1_000_000)

    def wait_ms(self) -> int:
        """Take an attempt and return 0, or return how long to wait before asking again."""
        now = self._clock.mono_ns()
        if now < self._held_until_ns:
            return (self._held_until_ns - now) // 1_000_000 + 1
        while self._taken and now - self._taken[0] >= self._window_ns:
            self._taken.popleft()
        if len(self._taken) < self._attempts:
            self._taken.append(now)
            return 0
        return max(1, (self._taken[0] + self._window_ns - now) // 1_000_000 + 1)


class ConnectionBudgets:
    """The connection budgets of every host: venues count attempts per address of ours, not per session."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_host: dict[tuple[str, str, int, float], ConnectionBudget] = {}

    def of(self, venue: str, url: str, rules: ConnectionRules) -> ConnectionBudget:
        """Return the budget of ``url``'s host under these rules, made when it is first asked for.

        Not by port: a venue counts over all of them. By venue, because simulated ones share a host.
        """
        window = (rules.connects, rules.connects_window_s)
        key = (venue, urlsplit(url).hostname or "", *window)
        if key not in self._by_host:
            self._by_host[key] = ConnectionBudget(*window, self._clock)
        return self._by_host[key]
