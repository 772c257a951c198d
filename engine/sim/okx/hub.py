"""Connections and who listens to what.

Source: OKX v5 docs, "WebSocket / Subscribe", seen 2026-08.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.sim.accounts import Account
from engine.sim.sockets import Outlet, text_frame
from engine.sim.texts import compact_json

Key = tuple[str, str]
"""Channel, and instrument id, instrument type or account name ("" where the channel has none)."""

Arg = dict[str, Any]
_TELLING = ("instType", "instFamily", "instId", "ccy")
"""What tells two subscriptions of one private channel apart."""


def dump(value: Any) -> bytes:
    """Return compact JSON."""
    return compact_json(value).encode()


@dataclass(slots=True)
class Subscription:
    """One argument as it is repeated in pushes; ``repeat_ms`` 0: nothing is repeated by the clock."""

    arg: Arg
    repeat_ms: int = 0
    sent_ms: int = 0


class Session:
    """One connection.

    Attributes:
        url: ``public``, ``private`` or ``business``.
        number: its ``connId``.
        keys: what it listens to; the subscriptions by what tells them apart.
        requests: when control requests came, monotonic seconds. tasks: order requests whose answer waits.
        heard, pushed: monotonic seconds of the latest message in and out.
    """

    def __init__(self, outlet: Outlet, url: str) -> None:
        self.outlet = outlet
        self.url = url
        self.number = secrets.token_hex(4)
        self.account: Account | None = None
        self.keys: dict[Key, dict[tuple[str, ...], Subscription]] = {}
        self.requests: deque[float] = deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.heard = self.pushed = time.monotonic()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a message now, behind what waits."""
        self.pushed = time.monotonic()
        self.outlet.send(text_frame(dump(message)))

    def event(self, name: str, request_id: str, **fields: Any) -> None:
        """Write an event."""
        head = {"id": request_id} if request_id else {}
        self.send(head | {"event": name} | fields | {"connId": self.number})


class Hub:
    """All subscriptions.

    Attributes:
        silent: instruments whose listeners hear nothing (the silent-topic fault).
    """

    def __init__(self) -> None:
        self.listeners: dict[Key, dict[Session, None]] = {}
        self.silent: set[str] = set()

    def push(self, key: Key, payload: bytes) -> None:
        """Hand one payload to every listener's current round."""
        self.push_frames(key, [text_frame(payload)])

    def push_frames(self, key: Key, frames: list[bytes]) -> None:
        """Hand prepared frames, healthy or not, to every listener's current round."""
        listeners = self.listeners.get(key)
        if not listeners or key[1] in self.silent:
            return
        now = time.monotonic()
        for session in listeners:
            session.pushed = now
            for frame in frames:
                session.outlet.push(frame)

    def has(self, key: Key) -> bool:
        """Tell whether anybody listens."""
        return bool(self.listeners.get(key))

    def add(self, session: Session, key: Key, arg: Arg, repeat_ms: int = 0) -> Subscription | None:
        """Subscribe; return the subscription if it is new."""
        held = session.keys.setdefault(key, {})
        name = _told_apart(arg)
        self.listeners.setdefault(key, {})[session] = None
        if name in held:
            return None
        held[name] = Subscription(arg, repeat_ms)
        return held[name]

    def remove(self, session: Session, key: Key, arg: Arg | None = None) -> None:
        """End one subscription, or all of a key."""
        held = session.keys.get(key, {})
        if arg is not None:
            held.pop(_told_apart(arg), None)
        if arg is None or not held:
            session.keys.pop(key, None)
            self.listeners.get(key, {}).pop(session, None)


def _told_apart(arg: Arg) -> tuple[str, ...]:
    return tuple(str(arg.get(name, "") or "") for name in _TELLING)
