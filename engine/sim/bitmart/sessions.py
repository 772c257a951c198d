"""BitMart's WebSocket connections: paths, heartbeats, logins, subscriptions, limits.

Source: BitMart spot docs, "WebSocket Subscription" and "Connection Limit"; futures v2 docs likewise, mirrored
copy of 2025-11; futures host as probed, 2026-09-23 (text ``ping`` refused, JSON ping, acks, 1009).
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import json
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event

from engine.sim.bitmart.feed import Feed
from engine.sim.bitmart.frames import takes_compressed
from engine.sim.bitmart.gate import Gate, SocketRefusal
from engine.sim.bitmart.hub import Hub, Session
from engine.sim.bitmart.instruments import Listing
from engine.sim.bitmart.limits import SocketLimits
from engine.sim.bitmart.topics import (
    Topic,
    futures_private,
    futures_public,
    spot_private,
    spot_public,
)
from engine.sim.faultpoints import FaultPoints
from engine.sim.sockets import CountedConnection, Flushes, text_frame

BUFFER_LIMIT = 16 * 1024 * 1024
FLOOD_S = 10.0
MINUTE_S = 60.0
REFUSE_S = 60.0
"""How long an address is refused after its second flood; its length is our choice."""
PONG_S = 60.0


class BitMartConnection(CountedConnection):
    """A connection that knows when it last heard something, and how much in the last ten seconds."""

    most: int | None = None
    on_flood: Callable[[], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heard = time.monotonic()
        self._arrivals: deque[float] = deque()

    def process_event(self, event: Event) -> None:
        """Note a data or control frame before the library handles it."""
        if isinstance(event, Frame) and event.opcode is not Opcode.CLOSE:
            now = self.heard = time.monotonic()
            arrivals = self._arrivals
            arrivals.append(now)
            while now - arrivals[0] > FLOOD_S:
                arrivals.popleft()
            if self.most is not None and len(arrivals) > self.most and not self.too_fast:
                self.too_fast = True
                if self.on_flood is not None:
                    self.loop.call_soon(self.on_flood)
        super().process_event(event)


class SocketServer(abc.ABC):
    """Serves ``/api`` and ``/user`` of one product; `SpotSockets` and `FuturesSockets` speak.

    Args:
        limits: of public and private connections. scale: how many times faster than real long periods run.

    Attributes:
        sessions: every open connection.
    """

    def __init__(
        self, hub: Hub, flushes: Flushes, listing: Listing, gate: Gate, feed: Feed, faults: FaultPoints,
        limits: tuple[SocketLimits, SocketLimits], scale: float,
    ) -> None:  # fmt: skip
        self._hub = hub
        self._flushes = flushes
        self._listing = listing
        self._gate = gate
        self._feed = feed
        self._faults = faults
        self._limits = limits
        self._scale = scale
        self._attempts: dict[str, deque[float]] = {}
        self._floods: dict[str, int] = {}
        self._refused_until: dict[str, float] = {}
        self.sessions: dict[Session, None] = {}

    def serve_kwargs(self) -> dict[str, Any]:
        """Return the arguments `serve` needs beside handler and address."""
        deflate = ServerPerMessageDeflateFactory(
            server_no_context_takeover=True, client_no_context_takeover=True
        )
        return {
            "create_connection": BitMartConnection, "compression": None, "extensions": [deflate],
            "ping_interval": None, "ping_timeout": None, "max_size": self._limits[0].frame_bytes,
            "close_timeout": 2, "server_header": None,
        }  # fmt: skip

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse paths that do not exist and addresses that have flooded."""
        if (refused := self._faults.take("refuse_connect")) is not None:
            return connection.respond(int(refused.get("status", 503)), "refused\n")
        if urlsplit(request.path).path not in ("/api", "/user"):
            return connection.respond(404, "Not Found\n")
        if time.monotonic() < self._refused_until.get(_address(connection), 0.0):
            return connection.respond(403, "Forbidden\n")
        return None

    # ----------------------------------------------------------------------------------------- life

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it."""
        assert isinstance(connection, BitMartConnection)
        assert connection.request is not None
        is_private = urlsplit(connection.request.path).path == "/user"
        limits = self._limits[is_private]
        outlet = self._flushes.outlet(connection, BUFFER_LIMIT)
        session = Session(outlet, is_private, takes_compressed(connection))
        problem = self._connect_problem(outlet.address, is_private, limits)
        if problem is not None:
            self._end(session, *problem)
            return
        self.sessions[session] = None
        connection.most = limits.messages_per_10s
        connection.on_flood = lambda: self._flooded(session)
        life = asyncio.create_task(self._watch(session, connection, limits))
        try:
            async for message in connection:
                self._hear(session, message)
        except ConnectionClosed:
            pass
        finally:
            life.cancel()
            del self.sessions[session]
            for topic in list(session.topics.values()):
                self._leave(session, topic)
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await life

    def _connect_problem(
        self, address: str, is_private: bool, limits: SocketLimits
    ) -> tuple[str, str] | None:
        attempts = self._attempts.setdefault(address, deque())
        now = time.monotonic()
        while attempts and now - attempts[0] > MINUTE_S / self._scale:
            attempts.popleft()
        if limits.connects_per_minute is not None and len(attempts) >= limits.connects_per_minute:
            return "94001", "Reconnecting too often"
        attempts.append(now)
        alive = sum(
            session.outlet.address == address and session.is_private == is_private
            for session in self.sessions
        )
        return ("94002", "Too many connections per IP") if alive >= limits.connections else None

    def _end(self, session: Session, code: str, text: str) -> None:
        """Say why, and end the connection."""
        session.send(self.error("", code, text))
        session.outlet.close(1008, text)

    def _flooded(self, session: Session) -> None:
        address = session.outlet.address
        self._floods[address] = self._floods.get(address, 0) + 1
        if self._floods[address] > 1:
            self._refused_until[address] = time.monotonic() + REFUSE_S / self._scale
        self._end(session, "90007", "Message frequency exceeded")

    async def _watch(self, session: Session, connection: BitMartConnection, limits: SocketLimits) -> None:
        """Ping on schedule; end a connection that is silent, or without a subscription, for too long."""
        next_ping = time.monotonic() + (limits.ping_s or 0.0)
        while True:
            now = time.monotonic()
            if session.topics:
                session.subscribed = now
            due = []
            if limits.idle_s is not None:
                due.append(max(connection.heard, session.pushed) + limits.idle_s)
            if limits.unsubscribed_s is not None:
                due.append(session.subscribed + limits.unsubscribed_s / self._scale)
            if any(moment <= now for moment in due):
                session.outlet.close(1000, "")
                return
            if limits.ping_s is not None:
                if now >= next_ping:
                    next_ping = now + limits.ping_s
                    if not session.outlet.muted:
                        await connection.ping()
                due.append(next_ping)
            await asyncio.sleep(max(0.005, min(due) - now) if due else 3600.0)

    def _leave(self, session: Session, topic: Topic) -> None:
        self._hub.remove(session, topic.name)
        self._feed.left(topic)

    @abc.abstractmethod
    def _hear(self, session: Session, message: str | bytes) -> None:
        """Take a message of the client's."""

    @abc.abstractmethod
    def error(self, event: str, code: str, text: str) -> dict[str, Any]:
        """Return an error message."""


class SpotSockets(SocketServer):
    """Spot: ``op`` and ``event``, text heartbeats, numbered errors."""

    def error(self, event: str, code: str, text: str) -> dict[str, Any]:
        """Return an error message."""
        head = {"event": event} if event else {}
        return {**head, "errorCode": code, "errorMessage": text}

    def _hear(self, session: Session, message: str | bytes) -> None:
        if message == "ping":
            session.send_frame(text_frame(b"pong"))
            return
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            session.send(self.error("", "90001", "Invalid message format"))
            return
        operation, args = str(request.get("op", "")), request.get("args")
        if operation == "login" and session.is_private:
            self._login(session, args)
        elif operation not in ("subscribe", "unsubscribe", "request"):
            session.send(self.error(operation, "90002", "Invalid op"))
        elif not isinstance(args, list) or not args or not all(isinstance(name, str) for name in args):
            session.send(self.error(operation, "90003", "Invalid args"))
        else:
            self._topics(session, operation, args)

    def _login(self, session: Session, args: Any) -> None:
        if session.account is not None:
            session.send(self.error("login", "91005", "Already logged in"))
            return
        try:
            session.account = self._gate.socket(args)
        except SocketRefusal as refusal:
            session.send(self.error("login", refusal.code, refusal.text))
            session.outlet.close(1008, refusal.text)
            return
        session.send({"event": "login"})

    def _topics(self, session: Session, operation: str, names: list[str]) -> None:
        limits = self._limits[session.is_private]
        if limits.topics_per_frame is not None and len(names) > limits.topics_per_frame:
            self._end(session, "90005", "Too many topics in one message")
            return
        for name in names:
            problem = self._problem(session, operation, name)
            if problem is not None:
                session.send(self.error(operation, *problem))
                if problem[0] == "90006":
                    session.outlet.close(1008, problem[1])
                    return

    def _problem(self, session: Session, operation: str, name: str) -> tuple[str, str] | None:
        """Serve one topic of a frame; return what is wrong with it, None when nothing is."""
        if session.is_private and session.account is None:
            return "91006", "Not logged in"
        reader = spot_private if session.is_private else spot_public
        try:
            topic = reader(self._listing, name)
        except KeyError:
            return "92001", "Invalid symbol"
        if topic is None:
            return "90004", "Invalid channel param"
        if operation != "subscribe" and name not in session.topics:
            return "90009", "Invalid subscription"
        if operation == "request":
            refused = topic.kind == "delta" and not self._feed.request(session, topic)
            return ("95000", "Internal error") if refused else None
        if operation == "unsubscribe":
            self._leave(session, topic)
        elif name in session.topics:
            return "90008", "Duplicate subscription"
        elif len(session.topics) >= (self._limits[session.is_private].topics or 1 << 30):
            return "90006", "Total topics exceeded"
        session.send({"event": operation, "topic": name})
        if operation == "subscribe":
            if session.is_private:
                self._hub.add(session, topic)
            else:
                self._feed.begin(session, topic)
        return None


class FuturesSockets(SocketServer):
    """Futures: ``action`` and ``group``, JSON heartbeats, one acknowledgement per topic."""

    def error(self, event: str, code: str, text: str) -> dict[str, Any]:
        """Return an error message; futures send no codes."""
        return {"success": False, "error": text}

    def _hear(self, session: Session, message: str | bytes) -> None:
        text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            shown = f"Invalid message: message must be JSON: {text[:200]}"
            session.send({"success": False, "error": shown})
            return
        action, args = str(request.get("action", "")), request.get("args")
        if action == "ping":
            session.send({"group": "System", "data": f"pong+{uuid.uuid4()}"})
        elif action == "access" and session.is_private:
            self._access(session, args)
        elif action not in ("subscribe", "unsubscribe", "request"):
            error = f"Invalid action: not found {action}"
            session.send({"action": action, "success": False, "error": error, "request": request})
        elif not isinstance(args, list) or not args or not all(isinstance(name, str) for name in args):
            error = "Invalid args: args must be a list of channels"
            session.send({"action": action, "success": False, "error": error, "request": request})
        else:
            for name in args:
                self._topic(session, action, name, request)

    def _access(self, session: Session, args: Any) -> None:
        try:
            account = self._gate.socket(args)
        except SocketRefusal as refusal:
            session.send({"action": "access", "success": False, "error": f"access failed: {refusal.text}"})
            session.outlet.close(1008, refusal.text)
            return
        # Topics are kept by account: a second login does not move them to another one.
        session.account = session.account or account
        session.send({"action": "access", "success": True})

    def _topic(self, session: Session, action: str, name: str, request: dict[str, Any]) -> None:
        head = {"action": action, "group": name}
        topic = futures_private(name) if session.is_private else futures_public(self._listing, name)
        error = None
        if topic is None:
            error = f"Invalid channel: not found {name}"
        elif session.is_private and session.account is None:
            error = "authentication is required"
        elif action == "request":
            is_sent = name in session.topics and self._feed.request(session, topic)
            if is_sent:
                return
            error = f"request failed: {name}"
        if error is not None or topic is None:
            session.send({**head, "success": False, "error": error, "request": request})
            return
        session.send({**head, "success": True, "request": request})
        if action == "unsubscribe":
            self._leave(session, topic)
        elif name not in session.topics:
            if session.is_private:
                self._hub.add(session, topic)
            else:
                self._feed.begin(session, topic)


def _address(connection: ServerConnection) -> str:
    peer = connection.remote_address
    return str(peer[0]) if peer else ""
