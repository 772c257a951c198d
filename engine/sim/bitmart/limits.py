"""How often: fixed windows per endpoint, their headers, 429 and then 418; connections per address.

``X-BM-RateLimit-Remaining`` counts what is USED, whatever its name says.

Source: BitMart docs, "Rate Limit"; headers as probed on the futures host, 2026-09-23.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from engine.sim.bitmart.errors import BitMartError
from engine.sim.windows import Window

REFUSED_MOST = 20
REFUSED_WITHIN_MS = 10_000
BLOCK_MS = 60_000


@dataclass(frozen=True, slots=True)
class Rate:
    """``limit`` requests per ``seconds``, counted per ``mode``: ``IP``, ``UID`` or ``KEY``."""

    limit: int
    seconds: int
    mode: str


class Limited(BitMartError):
    """A limit is exceeded (429), or the sender is blocked for having gone on (418)."""

    def __init__(self, is_blocked: bool = False) -> None:
        if is_blocked:
            text = "Your account request is temporarily rejected due to violation of current limiting rules"
            super().__init__(30017, text, 418)
        else:
            super().__init__(30013, "Request too many requests", 429)


class RestLimits:
    """Counts requests.

    Args:
        scale: how many times faster than real a block ends. share: factor on every limit (tests).
    """

    def __init__(self, now_ms: Callable[[], int], scale: float = 1.0, share: int = 1) -> None:
        self.now_ms = now_ms
        self.block_ms = int(BLOCK_MS / scale)
        self._share = share
        self._windows: dict[tuple[str, str], Window] = {}
        self._refused: dict[str, deque[int]] = {}
        self._blocked_until_ms: dict[str, int] = {}

    def take(self, path: str, rate: Rate, owner: str) -> tuple[dict[str, str], bool]:
        """Count one request; return the headers of its answer and whether it is within the limit."""
        limit = rate.limit * self._share
        window = self._windows.get((path, owner))
        if window is None:
            window = self._windows[path, owner] = Window(limit, rate.seconds * 1000)
        used = window.add(self.now_ms(), 1)
        headers = {
            "X-BM-RateLimit-Limit": str(limit), "X-BM-RateLimit-Remaining": str(min(used, limit)),
            "X-BM-RateLimit-Reset": str(rate.seconds), "X-BM-RateLimit-Mode": rate.mode,
        }  # fmt: skip
        return headers, used <= limit

    def refused(self, owner: str) -> None:
        """Note a 429; who goes on all the same is blocked."""
        now = self.now_ms()
        refused = self._refused.setdefault(owner, deque())
        refused.append(now)
        while refused and refused[0] < now - REFUSED_WITHIN_MS:
            refused.popleft()
        if len(refused) > REFUSED_MOST:
            refused.clear()
            self.block(owner, self.block_ms)

    def block(self, owner: str, for_ms: int) -> None:
        """Refuse a sender for a while."""
        self._blocked_until_ms[owner] = self.now_ms() + for_ms

    def is_blocked(self, owner: str) -> bool:
        """Tell whether a sender is blocked."""
        return self.now_ms() < self._blocked_until_ms.get(owner, 0)


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one address and one connection may do.

    Attributes:
        connections: open at once per address. connects_per_minute: None without a limit.
        topics: per connection. topics_per_frame: None without a limit.
        messages_per_10s: client frames, pings included; None without a limit.
        frame_bytes: a longer frame closes the connection with 1009.
        idle_s: silence in both directions that ends a connection; None: never.
        unsubscribed_s: life of a connection without a subscription; None: for ever.
        ping_s: pause between the venue's own protocol pings; None: it sends none.
    """

    connections: int
    connects_per_minute: int | None
    topics: int | None
    topics_per_frame: int | None
    messages_per_10s: int | None
    frame_bytes: int
    idle_s: float | None
    unsubscribed_s: float | None
    ping_s: float | None


SPOT_PUBLIC = SocketLimits(20, 30, 115, 20, 100, 4096, 20.0, 300.0, None)
SPOT_PRIVATE = SocketLimits(10, 30, 100, 20, 100, 4096, 20.0, 300.0, None)
FUTURES = SocketLimits(500, None, None, None, None, 2100, None, None, 54.0)
"""Futures as probed: no cut by silence, frames of 2020 bytes pass and of 2186 close the connection."""
