"""Who listens to what: connections by topic, frames made once for all of them.

Source: KuCoin API docs, "WebSocket / Introduction" (classic: text frames); the unified sockets send the
same kind of JSON in binary frames (recorded 2026-09-22).
"""

from __future__ import annotations

import time
from typing import Any

from engine.sim.accounts import Account
from engine.sim.sockets import Outlet, text_frame
from engine.sim.texts import compact_json

Key = tuple[str, str, str]
"""Scope (``uta``, ``spot``, ``futures`` or ``private <account>``), topic, symbol ("" where it has none)."""


def to_json(value: Any) -> bytes:
    """Return compact JSON."""
    return compact_json(value).encode()


def binary_frame(payload: bytes) -> bytes:
    """Return one unmasked, final WebSocket binary frame around ``payload``."""
    return b"\x82" + text_frame(payload)[1:]


class Session:
    """One connection.

    Attributes:
        is_binary: whether it is spoken to in binary frames. heard: when the client last said something.
        keys: what it listens to. account: whose private topics it may have.
    """

    def __init__(self, outlet: Outlet, is_binary: bool) -> None:
        self.outlet = outlet
        self.is_binary = is_binary
        self.account: Account | None = None
        self.keys: dict[Key, None] = {}
        self.born = self.heard = time.monotonic()
        self.is_ready = True

    def frame(self, payload: bytes) -> bytes:
        """Return a payload as this connection gets it."""
        return binary_frame(payload) if self.is_binary else text_frame(payload)

    def send(self, message: Any) -> None:
        """Write a message now."""
        self.outlet.send(self.frame(to_json(message)))


class Hub:
    """Listeners by key.

    Attributes:
        listeners: connections by key, never an empty set of them. silent: symbols whose topics say nothing (a
            fault). frames_sent: how many frames were handed out.
    """

    def __init__(self) -> None:
        self.listeners: dict[Key, dict[Session, None]] = {}
        self.silent: set[str] = set()
        self._names: dict[str, int] = {}
        self.frames_sent = 0

    def has(self, key: Key) -> bool:
        """Tell whether anybody listens."""
        return key in self.listeners

    def has_name(self, name: str) -> bool:
        """Tell whether anybody listens to a classic topic of this name, for whatever symbol."""
        return name in self._names

    def push(self, key: Key, frame: bytes, count: int = 1) -> None:
        """Hand one prepared frame (or ``count`` joined ones) to every listener's current round."""
        listeners = self.listeners.get(key)
        if listeners is None or key[2] in self.silent:
            return
        self.frames_sent += count * len(listeners)
        for session in listeners:
            session.outlet.push(frame)

    def add(self, session: Session, key: Key) -> None:
        """Subscribe."""
        session.keys[key] = None
        if key not in self.listeners:
            self.listeners[key] = {}
            name = key[1].partition(":")[0]
            self._names[name] = self._names.get(name, 0) + 1
        self.listeners[key][session] = None

    def remove(self, session: Session, key: Key) -> None:
        """End a subscription."""
        session.keys.pop(key, None)
        listeners = self.listeners.get(key)
        if listeners is not None:
            listeners.pop(session, None)
            if not listeners:
                del self.listeners[key]
                name = key[1].partition(":")[0]
                self._names[name] -= 1
                if not self._names[name]:
                    del self._names[name]

    def forget(self, session: Session) -> None:
        """End every subscription of a connection."""
        for key in list(session.keys):
            self.remove(session, key)
