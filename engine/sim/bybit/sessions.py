"""Bybit's WebSocket connections: paths, pings, subscriptions, login, order entry, silence.

Source: Bybit v5 docs, "WebSocket Stream / Connect", "WebSocket Trade Guideline", seen 2026-07.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.bybit.desk import Desk
from engine.sim.bybit.errors import BybitError, wrong
from engine.sim.bybit.gate import WINDOW_MS, Gate, Limits, Spent
from engine.sim.bybit.hub import Hub, Key, Session, private_topic, public_topic
from engine.sim.bybit.instruments import CATEGORIES, Listing
from engine.sim.faultpoints import FaultPoints
from engine.sim.sockets import CountedConnection, Flushes
from engine.sim.unanswered import NoAnswer, Page

PATHS = {
    "/v5/public/spot": "spot", "/v5/public/linear": "linear", "/v5/private": "private", "/v5/trade": "trade",
}  # fmt: skip
TRADE_OPS = ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
SPOT_ARGS = 10
ADDRESS_REQUESTS_PER_SECOND = 3_000
TOPIC_CHARACTERS = 21_000
CONNECTS = 500
CONNECTS_S = 300.0
PATIENCE_S = 600.0
BUFFER_LIMIT = 16 * 1024 * 1024
_ACTIVE = re.compile(r"(\d{1,4})([sm])")


def patience_s(target: str) -> float:
    """Return how long a silent connection of this address lives: ``max_active_time``, 30 s to 10 min."""
    wanted = parse_qs(urlsplit(target).query).get("max_active_time", [""])[0]
    match = _ACTIVE.fullmatch(wanted)
    if match is None:
        return PATIENCE_S
    return float(min(600, max(30, int(match[1]) * (60 if match[2] == "m" else 1))))


class SocketServer:
    """Serves every path of the venue.

    Args:
        first_words: called with (session, topic) after an acknowledgement: sends what a topic begins with.
        scale: how many times faster than real silence ends a connection.
    """

    def __init__(
        self, hub: Hub, flushes: Flushes, listing: Listing, gate: Gate, desk: Desk, limits: Limits,
        faults: Mapping[str, FaultPoints], first_words: Callable[[Session, str], None], scale: float,
    ) -> None:  # fmt: skip
        self._hub = hub
        self._flushes = flushes
        self._listing = listing
        self._gate = gate
        self._desk = desk
        self._limits = limits
        self._faults = faults
        self._first_words = first_words
        self._scale = scale
        self._attempts: dict[str, deque[float]] = {}
        self.sessions: dict[Session, None] = {}

    def serve_kwargs(self) -> dict[str, Any]:
        """Return the arguments `serve` needs beside handler and address."""
        return {
            "create_connection": CountedConnection, "compression": None, "ping_interval": None,
            "ping_timeout": None, "max_size": 256 * 1024, "close_timeout": 2, "server_header": None,
        }  # fmt: skip

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse paths that do not exist, and more than 500 connections in five minutes."""
        for faults in self._faults.values():
            if (refused := faults.take("refuse_connect")) is not None:
                return connection.respond(int(refused.get("status", 503)), "refused\n")
        if urlsplit(request.path).path not in PATHS:
            return connection.respond(404, "Not Found\n")
        attempts = self._attempts.setdefault(str((connection.remote_address or ("",))[0]), deque())
        now = time.monotonic()
        while attempts and now - attempts[0] > CONNECTS_S / self._scale:
            attempts.popleft()
        if len(attempts) >= CONNECTS:
            return connection.respond(403, "access too frequent\n")
        attempts.append(now)
        return None

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it."""
        assert connection.request is not None
        target = connection.request.path
        path = PATHS[urlsplit(target).path]
        number = str(uuid.uuid4()) if path == "spot" else f"{secrets.token_hex(10)}-{secrets.token_hex(2)}"
        patience = patience_s(target) / self._scale
        session = Session(self._flushes.outlet(connection, BUFFER_LIMIT), path, number, patience)
        self.sessions[session] = None
        life = asyncio.create_task(self._watch(session))
        try:
            async for message in connection:
                session.heard = time.monotonic()
                self._hear(session, message)
        except ConnectionClosed:
            pass
        finally:
            life.cancel()
            del self.sessions[session]
            for topic in list(session.topics):
                self._hub.remove(session, self._key(session, topic))
            await asyncio.gather(life, return_exceptions=True)

    async def _watch(self, session: Session) -> None:
        while (left := max(session.heard, session.pushed) + session.patience_s - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 30.0) + 0.001)
        session.outlet.close(1000, "")

    def _key(self, session: Session, topic: str) -> Key:
        return (session.account.name if session.account is not None else session.path), topic

    def _hear(self, session: Session, message: str | bytes) -> None:
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            self._control(session, "", None, False, "Params Error")
            return
        operation = str(request.get("op", ""))
        request_id = request.get("req_id", request.get("reqId"))
        named = None if request_id is None else str(request_id)
        if operation == "ping":
            self._pong(session, named)
        elif operation == "auth":
            self._login(session, request.get("args"), named)
        elif session.path == "trade":
            self._operate(session, operation, request, named)
        elif operation in ("subscribe", "unsubscribe"):
            self._subscribe(session, operation, request.get("args"), named)
        else:
            self._control(session, operation, named, False, "Params Error")

    def _pong(self, session: Session, request_id: str | None) -> None:
        now = str(self._limits.now_ms())
        named = {} if request_id is None else {"req_id": request_id}
        if session.path == "trade":
            head = {} if request_id is None else {"reqId": request_id}
            pong = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [now], "connId": session.number}
            session.send(head | pong)
        elif session.path == "private":
            session.send(named | {"op": "pong", "args": [now], "conn_id": session.number})
        else:
            if session.path == "linear":
                named = named or {"req_id": ""}
            self._control(session, "ping", named.get("req_id"), True, "pong")

    def _control(
        self, session: Session, operation: str, request_id: str | None, is_good: bool, text: str
    ) -> None:
        named = {} if request_id is None else {"req_id": request_id}
        head = {"success": is_good, "ret_msg": text, "conn_id": session.number}
        session.send(head | named | {"op": operation})

    # ---------------------------------------------------------------------------------------- login

    def _login(self, session: Session, args: Any, request_id: str | None) -> None:
        code, text = 0, "OK"
        try:
            if session.path not in ("private", "trade"):
                raise wrong("Params Error")
            if session.account is not None:
                raise BybitError(20001, "Repeat auth")
            session.account = self._gate.socket(args)
        except BybitError as error:
            code, text = error.code, error.message
        if session.path == "trade":
            named = {} if request_id is None else {"reqId": request_id}
            session.send(named | {"retCode": code, "retMsg": text, "op": "auth", "connId": session.number})
        else:
            self._control(session, "auth", request_id, code == 0, "" if code == 0 else text)
        if code and code != 20001:
            session.outlet.close(1000, "")

    # ------------------------------------------------------------------------------------ subscribe

    def _subscribe(self, session: Session, operation: str, args: Any, request_id: str | None) -> None:
        problem = self._problem(session, operation, args)
        if problem is not None:
            self._control(session, operation, request_id, False, problem)
            return
        fresh = []
        for topic in args:
            key = self._key(session, topic)
            if operation == "unsubscribe":
                self._hub.remove(session, key)
            elif topic not in session.topics:
                fresh.append(topic)
        self._control(session, operation, request_id, True, operation if session.path == "spot" else "")
        for topic in fresh:
            self._first_words(session, topic)
            self._hub.add(session, self._key(session, topic))

    def _problem(self, session: Session, operation: str, args: Any) -> str | None:
        """Return why a request fails as a whole, None when it does not."""
        if not isinstance(args, list) or not args or not all(isinstance(topic, str) for topic in args):
            return "Params Error"
        if session.path == "spot" and len(args) > SPOT_ARGS:
            return "args size >10"
        if operation == "unsubscribe":
            return None
        if session.path == "private" and session.account is None:
            return "Request not authorized"
        if len("".join(session.topics)) + len("".join(args)) > TOPIC_CHARACTERS:
            return "args length >21000"
        forms: dict[str, bool] = {}
        for topic in args:
            if session.path == "private":
                plain = private_topic(topic)
                if plain is not None and forms.setdefault(plain, plain == topic) != (plain == topic):
                    return "Params Error"
                known = plain is not None
            else:
                known = public_topic(self._listing, session.path, topic) is not None
            if not known:
                return f"error:handler not found,topic:{topic}"
        return None

    # ----------------------------------------------------------------------------------- order entry

    def _operate(
        self, session: Session, operation: str, request: Mapping[str, Any], request_id: str | None
    ) -> None:
        """Execute a request and answer it; a held answer lets later ones pass."""
        code, text, data, extra = 0, "OK", {}, {}
        hold_s = 0.0
        header: dict[str, str] = {}
        try:
            item = self._item(session, operation, request, request_id)
            assert session.account is not None
            outcome = self._desk.run(operation.removeprefix("order."), session.account, item)
            data, extra, header = outcome.result, outcome.extra, outcome.left.headers()
            hold_s = outcome.hold_s
        except BybitError as error:
            code, text, header = error.code, error.message, dict(error.headers)
        except Page:
            code, text = 10016, "Internal server error."
        except NoAnswer:
            session.outlet.abort()
            return
        header |= {"Traceid": secrets.token_hex(16), "Timenow": str(self._limits.now_ms())}
        answer = {
            "retCode": code, "retMsg": text, "op": operation, "data": data, "retExtInfo": extra,
            "header": header, "connId": session.number,
        }  # fmt: skip
        answer = ({} if request_id is None else {"reqId": request_id}) | answer
        if hold_s:
            asyncio.get_running_loop().call_later(hold_s, session.send, answer)
        else:
            session.send(answer)

    def _item(
        self, session: Session, operation: str, request: Mapping[str, Any], request_id: str | None
    ) -> Mapping[str, Any]:
        """Check what surrounds an order request and return its one argument; raises BybitError."""
        if session.account is None:
            raise BybitError(10004, "Request not authorized, please auth first")
        if session.is_restarting:
            raise BybitError(10019, "ws trade service is restarting")
        self._limit_address(session)
        if not operation.startswith("order.") or operation.removeprefix("order.") not in TRADE_OPS:
            raise BybitError(10404, f"op type is not found: {operation}")
        if request_id is not None:
            if not request_id or len(request_id) > 36:
                raise wrong("params error: reqId")
            if request_id in session.request_ids:
                raise BybitError(20006, "reqId is duplicated")
            session.request_ids.add(request_id)
        header, args = request.get("header"), request.get("args")
        if not isinstance(header, dict) or "X-BAPI-TIMESTAMP" not in header:
            raise wrong("params error: X-BAPI-TIMESTAMP is missing in the header")
        window = str(header.get("X-BAPI-RECV-WINDOW", "") or WINDOW_MS)
        self._gate.check_time(str(header["X-BAPI-TIMESTAMP"]), window)
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            raise wrong("params error: args must hold exactly one object")
        for faults in self._faults.values():
            if faults.take("rate_limit_429") is not None:
                raise BybitError(10429, "System level frequency protection")
        item: Mapping[str, Any] = args[0]
        if item.get("category") not in CATEGORIES:
            raise BybitError(10404, "category is not correct/supported")
        return item

    def _limit_address(self, session: Session) -> None:
        """Count a request against the limit of its address; raises BybitError."""
        try:
            self._limits.take("trade", session.outlet.address, ADDRESS_REQUESTS_PER_SECOND)
        except Spent:
            raise BybitError(10403, "Exceeded IP rate limit. 3000 requests per second per IP") from None
