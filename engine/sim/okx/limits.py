"""Request limits: so many in two seconds, per address or per user, often per instrument.

Windows start at even seconds; whether the venue's slide is UNCONFIRMED (its documentation does not say).

Source: OKX v5 docs, "Rate Limits" and the limit of each endpoint, seen 2026-08.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from engine.sim.okx.errors import OkxError
from engine.sim.okx.instruments import Instrument
from engine.sim.windows import Window

TWO_SECONDS_MS = 2_000
SINGLE_ORDERS = 60
BATCHED_ORDERS = 300
DERIVATIVE_ORDERS = 1_000
"""New and amended derivative orders of one user in two seconds, all instruments together."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one endpoint allows: ``count`` requests in ``length_ms``.

    Attributes:
        per: the parameter whose values count apart, "" where none does.
    """

    count: int
    per: str = ""
    length_ms: int = TWO_SECONDS_MS


class RateLimits:
    """Counters of every endpoint and every client; REST and WebSocket share those of order requests."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self._windows: dict[tuple[str, str, str], Window] = {}

    def take(self, endpoint: str, limit: Limit, who: str, what: str = "") -> None:
        """Count a request; raises OkxError 50011 when the window has no room for it."""
        window = self._window((endpoint, who, what), limit.count, limit.length_ms)
        if window.count(self.now_ms()) >= limit.count:
            raise OkxError("50011", "Too Many Requests")
        window.add(self.now_ms(), 1)

    def take_orders(self, action: str, who: str, instruments: Iterable[Instrument | None]) -> None:
        """Count the items of one order request, all or none.

        Args:
            action: ``place``, ``amend`` or ``cancel``: each has its own windows.
            instruments: one for each item; a batch of one counts as a single order.

        Raises:
            OkxError: 50011 (one instrument's window is full), 50061 (the sub-account's is).
        """
        items = list(instruments)
        now = self.now_ms()
        kind, most = ("single", SINGLE_ORDERS) if len(items) == 1 else ("batch", BATCHED_ORDERS)
        wanted = []
        for name, count in Counter(one.inst_id if one else "" for one in items).items():
            window = self._window((f"{action} {kind}", who, name), most, TWO_SECONDS_MS)
            if window.count(now) + count > most:
                raise OkxError("50011", "Too Many Requests")
            wanted.append((window, count))
        derivatives = sum(one is not None and one.is_swap for one in items)
        if action != "cancel" and derivatives:
            window = self._window(("derivative orders", who, ""), DERIVATIVE_ORDERS, TWO_SECONDS_MS)
            if window.count(now) + derivatives > DERIVATIVE_ORDERS:
                raise OkxError("50061", "Sub-account rate limit exceeded.")
            wanted.append((window, derivatives))
        for window, count in wanted:
            window.add(now, count)

    def _window(self, key: tuple[str, str, str], count: int, length_ms: int) -> Window:
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(count, length_ms)
        return window
