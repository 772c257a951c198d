"""Who listens to what: connections by topic, and one encoding of each push for all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bitmart.frames import compressed_frame, market_frame, to_json
from engine.sim.bitmart.topics import Topic
from engine.sim.sockets import Outlet, text_frame

Key = tuple[str, str]
"""Account name (private) or "" (public), and topic."""


class Session:
    """One connection.

    Attributes:
        is_private: on ``/user``. account: set by a login. topics: what it listens to, by name.
        heard, pushed: when something last came in and went out. subscribed: when it last had a topic.
        deflates: takes frames compressed by permessage-deflate.
    """

    def __init__(self, outlet: Outlet, is_private: bool, deflates: bool) -> None:
        self.outlet = outlet
        self.is_private = is_private
        self.deflates = deflates
        self.account: Account | None = None
        self.topics: dict[str, Topic] = {}
        self.heard = self.pushed = self.subscribed = time.monotonic()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a control message now, as text."""
        self.send_frame(text_frame(to_json(message)))

    def send_frame(self, frame: bytes) -> None:
        """Write a prepared frame now."""
        self.pushed = time.monotonic()
        self.outlet.send(frame)

    def key(self, topic: str) -> Key:
        """Return under which key this connection listens to a topic."""
        return (self.account.name if self.is_private and self.account is not None else ""), topic


class Hub:
    """Listeners of one product by key.

    Attributes:
        silent: symbols whose public topics are mute (a fault).
    """

    def __init__(self, is_spot: bool) -> None:
        self.is_spot = is_spot
        self.listeners: dict[Key, dict[Session, None]] = {}
        self.silent: set[str] = set()

    def has(self, key: Key) -> bool:
        """Tell whether anybody listens."""
        return bool(self.listeners.get(key))

    def pack(self, payload: bytes) -> bytes:
        """Return the frame of a market-data push."""
        return market_frame(payload) if self.is_spot else text_frame(payload)

    def publish(self, topic: str, symbol: str, payload: bytes) -> None:
        """Hand one market-data push to every listener's current round."""
        listeners = self.listeners.get(("", topic))
        if not listeners or symbol in self.silent:
            return
        if self.is_spot:
            self._push(listeners, [market_frame(payload)])
            return
        now = time.monotonic()
        plain = text_frame(payload)
        small: bytes | None = None
        for session in listeners:
            session.pushed = now
            if session.deflates:
                if small is None:
                    small = compressed_frame(payload)
                session.outlet.push(small)
            else:
                session.outlet.push(plain)

    def publish_frames(self, topic: str, symbol: str, frames: list[bytes]) -> None:
        """Hand prepared frames to every listener's current round."""
        listeners = self.listeners.get(("", topic))
        if listeners and symbol not in self.silent:
            self._push(listeners, frames)

    def tell(self, account: Account, topic: str, payload: bytes) -> None:
        """Hand a private push to the account's listeners, as text."""
        if listeners := self.listeners.get((account.name, topic)):
            self._push(listeners, [text_frame(payload)])

    def _push(self, listeners: Mapping[Session, None], frames: list[bytes]) -> None:
        now = time.monotonic()
        for session in listeners:
            session.pushed = now
            for frame in frames:
                session.outlet.push(frame)

    def add(self, session: Session, topic: Topic) -> None:
        """Subscribe."""
        session.topics[topic.name] = topic
        self.listeners.setdefault(session.key(topic.name), {})[session] = None

    def remove(self, session: Session, name: str) -> None:
        """End a subscription."""
        session.topics.pop(name, None)
        self.listeners.get(session.key(name), {}).pop(session, None)
