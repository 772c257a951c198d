"""The unified push sockets: public ones per product, without a token, and the private one.

Every frame that the server sends is binary. Unknown symbols are acknowledged and stay silent.

Source: KuCoin API docs, "UTA / WebSocket / Introduction"; public sockets recorded 2026-09-22. UNCONFIRMED:
the ``op: auth`` frame (one client), what the private socket answers to a bad token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.errors import KucoinError
from engine.sim.kucoin.gate import Gate, Tokens
from engine.sim.kucoin.hub import Hub, Key, Session
from engine.sim.kucoin.instruments import Listing
from engine.sim.kucoin.market_queries import CANDLES
from engine.sim.kucoin.rest import PING_INTERVAL_MS
from engine.sim.sockets import CountedConnection, Flushes

DEPTHS = ("increment@10ms", "increment", "50", "5", "1")
TOPICS_MOST = 600
MESSAGES_MOST = 300
MESSAGES_S = 10.0
CONNECTS_MOST = 250
CONNECTS_S = 300.0
IDLE_S = 60.0
PING_GAP_S = 0.9
LOGIN_S = 30.0
BUFFER_LIMIT = 16 * 1024 * 1024
PRIVATE_CHANNELS = ("order", "orderAll", "execution", "execution.lite", "position", "positionAll", "balance",
                    "leverage", "lw")  # fmt: skip
TRADE_TYPES = ("SPOT", "FUTURES", "UNIFIED", "TRADE")
SERVE_KWARGS: Mapping[str, Any] = {
    "create_connection": CountedConnection, "compression": None, "ping_interval": None, "ping_timeout": None,
    "max_size": 256 * 1024, "close_timeout": 2, "server_header": None,
}  # fmt: skip


class Refusal(Exception):
    """A control message that is answered with ``result: false``; ``word`` is the key of the text."""

    def __init__(self, text: str, word: str = "message") -> None:
        super().__init__(text)
        self.word = word


INVALID = "invalid request data"


class Arrivals:
    """Counts events in a sliding window; for messages of a connection and connections of an address."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._times: deque[float] = deque()

    def admit(self) -> bool:
        """Count one event; False where it is one too many."""
        now = time.monotonic()
        while self._times and now - self._times[0] > self._seconds:
            self._times.popleft()
        if len(self._times) >= self._most:
            return False
        self._times.append(now)
        return True


class Door:
    """Admits connections: the armed fault, the path, the number of new ones per address."""

    def __init__(self, faults: Mapping[str, FaultPoints], most: int, seconds: float) -> None:
        self._faults = faults
        self._most = most
        self._seconds = seconds
        self._arrivals: dict[str, Arrivals] = {}

    def refuse(
        self, connection: ServerConnection, request: Request, paths: tuple[str, ...]
    ) -> Response | None:
        """Return the refusal of a connection, None where it may come in."""
        for faults in self._faults.values():
            if (refused := faults.take("refuse_connect")) is not None:
                return connection.respond(int(refused.get("status", 503)), "refused\n")
        if urlsplit(request.path).path not in paths:
            return connection.respond(404, "Not Found\n")
        address = str((connection.remote_address or ("",))[0])
        arrivals = self._arrivals.setdefault(address, Arrivals(self._most, self._seconds))
        return None if arrivals.admit() else connection.respond(429, "too many connections\n")


class PushSockets:
    """Serves the public socket of a product (``is_futures``) or, with None, the private one.

    Args:
        faults: fault hooks by product. begin: called with (session, key) after an acknowledgement; starts
            what a public topic begins with and adds the listener. scale: how many times faster silence ends a
            connection.
    """

    def __init__(
        self, is_futures: bool | None, hub: Hub, flushes: Flushes, listing: Listing, gate: Gate,
        tokens: Tokens, faults: Mapping[str, FaultPoints], begin: Callable[[Session, Key], None],
        drop: Callable[[Session, Key], None], now_ns: Callable[[], int], scale: float,
    ) -> None:  # fmt: skip
        self._is_futures = is_futures
        self._hub = hub
        self._flushes = flushes
        self._listing = listing
        self._gate = gate
        self._tokens = tokens
        self._begin = begin
        self._drop = drop
        self._now_ns = now_ns
        self._scale = scale
        self._door = Door(faults, CONNECTS_MOST, CONNECTS_S / scale)
        self.sessions: dict[Session, None] = {}

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse paths that do not exist, and too many connections."""
        return self._door.refuse(connection, request, ("", "/"))

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it."""
        assert connection.request is not None
        session = Session(self._flushes.outlet(connection, BUFFER_LIMIT), is_binary=True)
        query = parse_qs(urlsplit(connection.request.path).query)
        if self._is_futures is None and "token" in query:
            try:
                session.account = self._tokens.find(query["token"][0], "unified").account
            except KucoinError as error:
                session.send({"id": "", "type": "error", "code": int(error.code), "data": error.message})
                session.outlet.close(1008, error.message)
                return
        welcome = {"sessionId": str(uuid.uuid4()), "message": "welcome", "pingInterval": PING_INTERVAL_MS}
        session.send(welcome)
        self.sessions[session] = None
        life = asyncio.create_task(self._watch(session))
        arrivals, pinged = Arrivals(MESSAGES_MOST, MESSAGES_S / self._scale), 0.0
        try:
            async for message in connection:
                session.heard = now = time.monotonic()
                request = _object(message)
                if request is None:
                    continue
                if not arrivals.admit():
                    session.outlet.close(1008, "too many messages")
                elif str(request.get("type", request.get("op", ""))).lower() == "ping":
                    if now - pinged < PING_GAP_S / self._scale:
                        session.outlet.abort()
                    pinged = now
                    session.send({"type": "pong", "id": request.get("id", ""), "ts": self._now_ns()})
                else:
                    self._control(session, request)
        except ConnectionClosed:
            pass
        finally:
            life.cancel()
            del self.sessions[session]
            for key in list(session.keys):
                self._drop(session, key)
            self._hub.forget(session)
            with contextlib.suppress(asyncio.CancelledError):
                await life

    async def _watch(self, session: Session) -> None:
        """Cut a connection that listens to nothing and says nothing."""
        while True:
            due = session.heard + IDLE_S / self._scale
            if session.keys:
                due = time.monotonic() + 1.0
            left = due - time.monotonic()
            if left <= 0:
                session.outlet.abort()
                return
            await asyncio.sleep(min(left, 1.0) + 0.001)

    # ---------------------------------------------------------------------------------------- control

    def _control(self, session: Session, request: Mapping[str, Any]) -> None:
        number = {"id": request["id"]} if "id" in request else {}
        try:
            if self._is_futures is None and request.get("op") == "auth":
                self._login(session, request)
                session.send(number | {"result": True})
                return
            action = str(request.get("action", "")).lower()
            if action not in ("subscribe", "unsubscribe"):
                raise Refusal(INVALID)
            keys = self._private(session, request) if self._is_futures is None else self._public(request)
            fresh = [key for key in keys if key not in session.keys]
            if action == "subscribe" and len(session.keys) + len(fresh) > TOPICS_MOST:
                raise Refusal("exceed max subscription count limitation of 600 per session", "reason")
        except Refusal as error:
            session.send(number | {"result": False, error.word: str(error)})
            return
        session.send(number | {"result": True})
        if action == "unsubscribe":
            for key in keys:
                self._drop(session, key)
                self._hub.remove(session, key)
            return
        for key in fresh:
            session.keys[key] = None
            if self._is_futures is None:
                self._hub.add(session, key)
            else:
                self._begin(session, key)

    def _login(self, session: Session, request: Mapping[str, Any]) -> None:
        try:
            session.account = self._gate.push_login(request)
        except KucoinError as error:
            session.outlet.connection.loop.call_later(0.05, session.outlet.close, 1008, error.message)
            raise Refusal(f"{error.code} {error.message}") from None

    def _private(self, session: Session, request: Mapping[str, Any]) -> list[Key]:
        """Return the keys of a private subscription; raises Refusal."""
        channel = str(request.get("channel", ""))
        kind = str(request.get("accountType" if channel == "balance" else "tradeType", ""))
        if channel not in PRIVATE_CHANNELS or kind not in TRADE_TYPES:
            raise Refusal(INVALID)
        symbol = str(request.get("symbol") or "")
        if channel in ("order", "position") and not symbol:
            raise Refusal(INVALID)
        if session.account is None:
            raise Refusal("login is required")
        return [(f"private {session.account.name}", f"{channel}.{kind}|{symbol}", "")]

    def _public(self, request: Mapping[str, Any]) -> list[Key]:
        """Return the keys of a public subscription, those of unknown symbols too; raises Refusal."""
        channel, kind = str(request.get("channel", "")), str(request.get("tradeType", ""))
        mine = "FUTURES" if self._is_futures else "SPOT"
        symbols = request.get("symbols")
        if channel == "obu" and symbols is not None:
            raise Refusal("symbols are not supported for topic obu", "reason")
        if not isinstance(symbols, list):
            symbols = [request.get("symbol")]
        if channel == "funding-fee-all-symbols" and self._is_futures:
            return [("uta", channel, "")]
        if not all(isinstance(symbol, str) and symbol for symbol in symbols):
            raise Refusal(INVALID)
        if channel in ("mark-price", "funding-fee"):
            if not self._is_futures:
                raise Refusal(INVALID)
            return [("uta", channel, symbol) for symbol in symbols]
        if channel not in ("obu", "ticker", "trade", "kline") or kind not in ("SPOT", "FUTURES"):
            raise Refusal(INVALID)
        if kind != mine:
            name = "Obu" if channel == "obu" else channel.capitalize()
            text = f'topic {name} type = "public_{kind.lower()}" not allowed in current environment'
            raise Refusal(text, "reason")
        detail = ""
        if channel == "obu":
            detail = str(request.get("depth", ""))
        elif channel == "kline":
            detail = str(request.get("interval", ""))
        if (channel == "obu" and detail not in DEPTHS) or (channel == "kline" and detail not in CANDLES):
            raise Refusal(INVALID)
        topic = f"{channel}.{kind}" + (f".{detail}" if detail else "")
        return [("uta", topic, symbol) for symbol in symbols]


def _object(message: str | bytes) -> Mapping[str, Any] | None:
    """Return a client's message, None where it is no JSON object: those are ignored in silence."""
    try:
        request = json.loads(message)
    except ValueError:
        return None
    return request if isinstance(request, dict) else None
