"""The classic sockets of a host: a token in the address, a welcome, acknowledgements, the client's pings.

Source: KuCoin API docs, "WebSocket / Introduction"; frames recorded in 2021-04 and on 2026-09-22.
UNCONFIRMED: the documents disagree on topics per connection (300 or 400 on spot, no limit on futures); 400
and none here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.classic_topics import TopicError, key_of, split
from engine.sim.kucoin.errors import KucoinError
from engine.sim.kucoin.gate import Tokens
from engine.sim.kucoin.hub import Hub, Key, Session
from engine.sim.kucoin.instruments import Listing
from engine.sim.kucoin.push_sockets import BUFFER_LIMIT, Arrivals, Door
from engine.sim.sockets import Flushes

TOPICS_PER_FRAME = 100
TOPICS_PER_SESSION = {"spot": 400, "futures": 1 << 30}
MESSAGES_MOST = 100
MESSAGES_S = 10.0
CONNECTS_MOST = 30
CONNECTS_S = 60.0
SILENCE_S = 60.0
PATHS = ("", "/", "/endpoint")


class ClassicSockets:
    """Serves the classic socket of a host, public and private by its tokens.

    Args:
        scale: how many times faster than real silence ends a connection.

    Attributes:
        sessions: what is connected; private ones have an account.
    """

    def __init__(
        self, host: str, hub: Hub, flushes: Flushes, listing: Listing, tokens: Tokens,
        faults: Mapping[str, FaultPoints], now_ms: Callable[[], int], scale: float,
    ) -> None:  # fmt: skip
        self._host = host
        self._hub = hub
        self._flushes = flushes
        self._listing = listing
        self._tokens = tokens
        self._now_ms = now_ms
        self._scale = scale
        self._door = Door(faults, CONNECTS_MOST, CONNECTS_S / scale)
        self.sessions: dict[Session, None] = {}

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse paths that do not exist, and too many connections."""
        return self._door.refuse(connection, request, PATHS)

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it."""
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        session = Session(self._flushes.outlet(connection, BUFFER_LIMIT), is_binary=False)
        connect_id = query.get("connectId", [secrets.token_urlsafe(8)])[0]
        try:
            session.account = self._tokens.find(query.get("token", [""])[0], self._host).account
        except KucoinError as error:
            session.send({"id": connect_id, "type": "error", "code": int(error.code), "data": error.message})
            session.outlet.close(1000, "Bye")
            return
        session.send({"id": connect_id, "type": "welcome"})
        self.sessions[session] = None
        life = asyncio.create_task(self._watch(session))
        arrivals = Arrivals(MESSAGES_MOST, MESSAGES_S / self._scale)
        try:
            async for message in connection:
                session.heard = time.monotonic()
                self._hear(session, message, arrivals)
        except ConnectionClosed:
            pass
        finally:
            life.cancel()
            del self.sessions[session]
            self._hub.forget(session)
            with contextlib.suppress(asyncio.CancelledError):
                await life

    async def _watch(self, session: Session) -> None:
        """End a connection whose client has been silent, however much it was sent."""
        while (left := session.heard + SILENCE_S / self._scale - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 5.0) + 0.001)
        session.send({"id": secrets.token_hex(8), "type": "error", "code": 400, "data": "ping timeout"})
        session.outlet.close(1000, "Bye")

    def _hear(self, session: Session, message: str | bytes, arrivals: Arrivals) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            word = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
            text = f"Unrecognized token '{word.split()[0][:20] if word.split() else ''}': was expecting JSON"
            session.send({"id": secrets.token_hex(8), "type": "error", "code": 400, "data": text})
            return
        if not isinstance(request, dict):
            request = {}
        number = str(request.get("id", ""))
        kind = request.get("type")
        try:
            if not arrivals.admit():
                raise TopicError(509, "exceed permits per second limitation")
            if kind == "ping":
                session.send({"id": number, "type": "pong", "timestamp": self._now_ms() * 1000})
            elif kind in ("subscribe", "unsubscribe"):
                self._subscribe(session, request, is_end=kind == "unsubscribe")
                if request.get("response") in (True, "true"):
                    session.send({"id": number, "type": "ack"})
            else:
                raise TopicError(415, "type is not supported")
        except TopicError as error:
            session.send({"id": number, "type": "error", "code": error.code, "data": str(error)})

    def _subscribe(self, session: Session, request: Mapping[str, Any], is_end: bool) -> None:
        """Begin or end subscriptions, all of a frame's or none; raises TopicError."""
        topic = request.get("topic")
        if not isinstance(topic, str) or not topic:
            raise TopicError(406, "topic is required")
        topics = split(topic)
        if len(topics) > TOPICS_PER_FRAME:
            raise TopicError(509, f"exceed max subscription count limitation of {TOPICS_PER_FRAME} per time")
        found = [key_of(each, self._host, session.account, self._listing) for each in topics]
        keys: list[Key] = [key for key in found if key is not None]
        if is_end:
            for key in keys:
                self._hub.remove(session, key)
            return
        fresh = [key for key in keys if key not in session.keys]
        most = TOPICS_PER_SESSION[self._host]
        if len(session.keys) + len(fresh) > most:
            raise TopicError(509, f"exceed max subscription count limitation of {most} per session")
        for key in fresh:
            self._hub.add(session, key)
