"""The market-stream server of one product: paths, routes, handshake limit, control messages.

What flows is put into topics by the publisher.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.binance import control, topics
from engine.sim.binance.limits import FIVE_MINUTES_MS
from engine.sim.binance.topics import Hub, Subscriber
from engine.sim.sockets import CountedConnection, Flushes, SocketRules, live, text_frame
from engine.sim.windows import Window

SPOT_PREFIX = "/stream-spot"
"""Optional first path part of the spot server: clients tell spot from futures by ``/stream`` in the
address.
"""

_PERP_ROUTES = (topics.PUBLIC, topics.MARKET, topics.PRIVATE)


@dataclass(frozen=True, slots=True)
class StreamPath:
    """What a stream address asks for."""

    route: str
    combined: bool
    names: tuple[str, ...]
    listen_keys: tuple[str, ...]
    events: frozenset[str] | None


def parse_path(product: str, target: str) -> StreamPath | None:
    """Read a request target such as ``/public/stream?streams=btcusdt@depth``; None: no such path."""
    split = urlsplit(target)
    path = split.path
    if product == "spot":
        route = topics.SPOT
        path = path.removeprefix(SPOT_PREFIX)
    else:
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        route = first if first in _PERP_ROUTES else topics.LEGACY
        path = path if route == topics.LEGACY else path[len(first) + 1 :]
    query = parse_qs(split.query)
    keys = tuple(query.get("listenKey", ())) if route == topics.PRIVATE else ()
    events = frozenset(name for text in query.get("events", ()) for name in text.split("/")) or None
    if path == "/stream" or path == "/stream/":
        names = [name for text in query.get("streams", ()) for name in text.split("/")]
        return StreamPath(route, True, _streams(names), keys, events)
    if path == "/ws" or path.startswith("/ws/"):
        names = [unquote(name) for name in path[4:].split("/")]
        return StreamPath(route, False, _streams(names), keys, events)
    return None


def _streams(names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if "@" in name or name.startswith("!"))


class PrivateFeeds(Protocol):
    """Where the server hands over names that are listen keys."""

    def attach(self, subscriber: Subscriber, listen_key: str, events: frozenset[str] | None) -> None:
        """Send the account's events to the subscriber; an unknown key stays silent."""
        ...

    def detach(self, subscriber: Subscriber, listen_key: str | None) -> None:
        """Stop one key's events, or all of the subscriber's when None."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides about a handshake before it is answered.

    Attributes:
        now_ms: the venue's clock.
        refused_status: asks the fault board whether this connection is refused, and with which status.
        attempts: connection attempts allowed per address in five minutes; None: unlimited.
    """

    now_ms: Callable[[], int]
    refused_status: Callable[[], int | None]
    attempts: int | None


class StreamServer:
    """Handler and handshake of one product's market streams (and the futures' private ones)."""

    def __init__(
        self,
        product: str,
        hub: Hub,
        flushes: Flushes,
        rules: SocketRules,
        admission: Admission,
        private: PrivateFeeds | None,
    ) -> None:
        self.product = product
        self.hub = hub
        self.rules = rules
        self._flushes = flushes
        self._admission = admission
        self._private = private
        self._attempts: dict[str, Window] = {}

    def serve_kwargs(self) -> dict[str, Any]:
        """Return the arguments `websockets.asyncio.server.serve` needs beside handler and address."""
        return serve_kwargs(self.rules, max_size=64 * 1024)

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a handshake that must not become a connection."""
        refused = admit(connection, self._admission, self._attempts)
        if refused is not None:
            return refused
        if parse_path(self.product, request.path) is None:
            return connection.respond(404, "no such stream path\n")
        return None

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it."""
        assert connection.request is not None
        path = parse_path(self.product, connection.request.path)
        assert path is not None
        outlet = self._flushes.outlet(connection, self.rules.buffer_limit)
        subscriber = Subscriber(outlet, path.route, path.combined)
        self.hub.subscribers[subscriber] = None
        for name in path.names[: self.rules.max_streams]:
            self.hub.add(subscriber, name)
        for key in path.listen_keys:
            self._on_name(subscriber, key, True, path.events)
        life = asyncio.create_task(live(outlet, self.rules, lambda: self.announce_end(subscriber)))
        try:
            async for message in connection:
                answer = control.answer(self.hub, subscriber, message, self.rules.max_streams, self._on_name)
                outlet.send(text_frame(answer))
        except ConnectionClosed:
            pass
        finally:
            life.cancel()
            self.hub.drop(subscriber)
            if self._private is not None:
                self._private.detach(subscriber, None)
            with contextlib.suppress(asyncio.CancelledError):
                await life

    def announce_end(self, subscriber: Subscriber) -> None:
        """Send spot's ``serverShutdown``; futures connections end without a word."""
        if self.product != "spot":
            return
        event: dict[str, Any] = {"e": "serverShutdown", "E": self._admission.now_ms()}
        if subscriber.combined:
            event = {"stream": "!serverShutdown", "data": event}
        subscriber.outlet.send(text_frame(json.dumps(event, separators=(",", ":")).encode()))

    def _on_name(
        self, subscriber: Subscriber, name: str, subscribed: bool, events: frozenset[str] | None = None
    ) -> None:
        if self._private is None or subscriber.route != topics.PRIVATE:
            return
        if subscribed:
            self._private.attach(subscriber, name, events)
        else:
            self._private.detach(subscriber, name)


def serve_kwargs(rules: SocketRules, max_size: int) -> dict[str, Any]:
    """Return `serve` arguments: own pings, no compression, counted messages."""

    class Counted(CountedConnection):
        messages_per_s = rules.messages_per_s

    return {
        "create_connection": Counted,
        "compression": None,
        "ping_interval": None,
        "ping_timeout": None,
        "max_size": max_size,
        "close_timeout": 2,
        "server_header": None,
    }


def admit(connection: ServerConnection, admission: Admission, attempts: dict[str, Window]) -> Response | None:
    """Count a connection attempt; return the refusal if there is one."""
    refused = admission.refused_status()
    if refused is not None:
        return connection.respond(refused, "refused\n")
    if admission.attempts is None:
        return None
    peer = connection.remote_address
    address = str(peer[0]) if peer else "127.0.0.1"
    window = attempts.get(address)
    if window is None:
        window = attempts[address] = Window(admission.attempts, FIVE_MINUTES_MS)
    if window.add(admission.now_ms(), 1) > window.limit:
        return connection.respond(429, "Too many connection attempts\n")
    return None
