"""A circuit breaker: after failures in a row, requests rest for a while, then one may try.

States: closed (all pass), open (none pass until a time), half-open (one passes; its end decides).
"""

from __future__ import annotations

from engine.model.ports import Clock

FAILURES = 5
REST_FIRST_S = 1.0
REST_MAX_S = 30.0


class CircuitBreaker:
    """The breaker of one venue product's new orders; cancels and queries are never held back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._rest_s = REST_FIRST_S
        self._until_ns = 0
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        """Tell whether new orders are held back now."""
        return self._until_ns > 0 and (self._clock.mono_ns() < self._until_ns or self._is_trying)

    def allow(self) -> bool:
        """Return whether a new order may pass; in the half-open state only one does."""
        if self._until_ns == 0:
            return True
        if self._is_trying or self._clock.mono_ns() < self._until_ns:
            return False
        self._is_trying = True
        return True

    def not_tried(self) -> None:
        """Take back an :meth:`allow`: the request never left, so it says nothing about the venue."""
        self._is_trying = False

    def succeeded(self) -> bool:
        """Note an answer (a refusal is an answer); return whether this closed an open circuit."""
        was_open = self._until_ns > 0
        self._failures, self._until_ns, self._is_trying = 0, 0, False
        self._rest_s = REST_FIRST_S
        return was_open

    def failed(self) -> float:
        """Note a request without an answer; return the rest in seconds if this opened the circuit, else 0."""
        self._failures += 1
        if self._failures < FAILURES and not self._is_trying:
            return 0.0
        self._is_trying = False
        rest = self._rest_s
        self._until_ns = self._clock.mono_ns() + int(rest * 1e9)
        self._rest_s = min(rest * 2, REST_MAX_S)
        return rest
