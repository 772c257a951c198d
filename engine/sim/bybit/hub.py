"""Who listens to what: connections by topic, and the reading of topic names.

Source: Bybit v5 docs, "WebSocket Stream / Connect" and the public topics, seen 2026-07.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bybit.books import PACE_MS
from engine.sim.bybit.instruments import Instrument, Listing
from engine.sim.sockets import Outlet, text_frame
from engine.sim.texts import compact_json

PRIVATE_TOPICS = ("order", "execution", "execution.fast", "position", "wallet")

Key = tuple[str, str]
"""Category (public) or account name (private), and topic."""


def to_json(value: Any) -> bytes:
    """Return compact JSON."""
    return compact_json(value).encode("utf-8", "replace")


class Session:
    """One connection.

    Attributes:
        path: ``spot``, ``linear``, ``private`` or ``trade``. number: its ``conn_id``.
        topics: what it listens to. account: set by a login. request_ids: those used on ``/v5/trade``.
        is_restarting: its service takes no new orders (10019).
    """

    def __init__(self, outlet: Outlet, path: str, number: str, patience_s: float) -> None:
        self.outlet = outlet
        self.path = path
        self.number = number
        self.patience_s = patience_s
        self.account: Account | None = None
        self.topics: dict[str, None] = {}
        self.request_ids: set[str] = set()
        self.is_restarting = False
        self.heard = self.pushed = time.monotonic()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a message now; ``>`` is escaped as the venue does."""
        self.pushed = time.monotonic()
        self.outlet.send(text_frame(to_json(message).replace(b">", b"\\u003e")))


class Hub:
    """Listeners by key."""

    def __init__(self) -> None:
        self.listeners: dict[Key, dict[Session, None]] = {}
        self.silent: set[Key] = set()

    def has(self, key: Key) -> bool:
        """Tell whether anybody listens."""
        return bool(self.listeners.get(key))

    def push(self, key: Key, payload: bytes) -> None:
        """Hand one payload to every listener's current round."""
        self.push_frames(key, [text_frame(payload)])

    def push_frames(self, key: Key, frames: list[bytes]) -> None:
        """Hand prepared frames to every listener's current round."""
        listeners = self.listeners.get(key)
        if not listeners or (key[0], key[1].rpartition(".")[2]) in self.silent:
            return
        now = time.monotonic()
        for session in listeners:
            session.pushed = now
            for frame in frames:
                session.outlet.push(frame)

    def add(self, session: Session, key: Key) -> None:
        """Subscribe."""
        session.topics[key[1]] = None
        self.listeners.setdefault(key, {})[session] = None

    def remove(self, session: Session, key: Key) -> None:
        """End a subscription."""
        session.topics.pop(key[1], None)
        self.listeners.get(key, {}).pop(session, None)


def public_topic(listing: Listing, category: str, topic: str) -> tuple[str, int, Instrument] | None:
    """Return kind, depth (0 where there is none) and instrument of a topic; None: there is no such topic."""
    parts = topic.split(".")
    one = listing.by_name.get((category, parts[-1]))
    if one is None:
        return None
    if parts[0] == "orderbook" and len(parts) == 3 and parts[1].isdecimal() and int(parts[1]) in PACE_MS:
        return "orderbook", int(parts[1]), one
    if len(parts) == 2 and parts[0] in ("publicTrade", "tickers", "priceLimit", "allLiquidation"):
        return parts[0], 0, one
    return None


def private_topic(topic: str) -> str | None:
    """Return the all-in-one form of a private topic; None: there is no such topic."""
    if topic in PRIVATE_TOPICS:
        return topic
    head, _, category = topic.rpartition(".")
    if category == "linear" and head in PRIVATE_TOPICS[:4]:
        return head
    if category == "spot" and head in PRIVATE_TOPICS[:3]:
        return head
    return None
