"""The WebSocket API of one product: requests matched by id, sessions by Ed25519 logon, user data on spot.

Source: Binance spot API docs, web-socket-api; USDⓈ-M docs, "Websocket API General Info".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.binance import errors
from engine.sim.binance.desk import Answer, Desk, HtmlPage, NoAnswer, to_json
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Call, Credential, Operation
from engine.sim.binance.streams import Admission, admit, serve_kwargs
from engine.sim.sockets import Flushes, Outlet, SocketRules, live, text_frame
from engine.sim.windows import Window

_VERSION = re.compile(r"v\d+/")
_STRING_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
PATHS = {"spot": "/ws-api/v3", "perp": "/ws-fapi/v1"}
CONNECT_WEIGHT = {"spot": 2, "perp": 5}
NOT_ED25519 = {
    "spot": (-1022, "Signature for this request is not valid."),
    "perp": (-4056, "HMAC_SHA256 API key is not supported."),
}
"""Answer to a HMAC key at ``session.logon``: unpublished, our choice."""


class ApiSession:
    """One WebSocket API connection: its logon and its user-data subscriptions."""

    __slots__ = ("address", "authorized_ms", "connected_ms", "credential", "logon_subscription", "outlet",
                 "rate_limits", "subscriptions", "subscriptions_made")  # fmt: skip

    def __init__(self, outlet: Outlet, connected_ms: int, rate_limits: bool) -> None:
        self.outlet = outlet
        self.address = outlet.address
        self.connected_ms = connected_ms
        self.rate_limits = rate_limits
        self.credential: Credential | None = None
        self.authorized_ms: int | None = None
        self.subscriptions: dict[int, Credential] = {}
        self.subscriptions_made = 0
        self.logon_subscription: int | None = None


class Subscriptions(Protocol):
    """The private subscriptions of connections, told when one of them or all are over."""

    def forget(self, session: ApiSession) -> None:
        """Drop whatever the session had subscribed."""
        ...

    def unsubscribe(self, session: ApiSession, number: int) -> None:
        """End one subscription of the session."""
        ...


class WsApi:
    """Handler, handshake and session methods of one product's WebSocket API."""

    def __init__(
        self,
        product: str,
        desk: Desk,
        methods: Mapping[str, Operation],
        flushes: Flushes,
        rules: SocketRules,
        admission: Admission,
        feeds: Subscriptions | None,
    ) -> None:
        self.product = product
        self.sessions: dict[ApiSession, None] = {}
        self._desk = desk
        self._flushes = flushes
        self._rules = rules
        self._admission = admission
        self._feeds = feeds
        self._attempts: dict[str, Window] = {}
        self._methods = {
            **methods,
            "session.logon": Operation("session.logon", self._logon, 2, "signed"),
            "session.status": Operation("session.status", self._status, 2),
            "session.logout": Operation("session.logout", self._logout, 2),
        }

    def serve_kwargs(self) -> dict[str, Any]:
        """Return the arguments `websockets.asyncio.server.serve` needs beside handler and address."""
        return serve_kwargs(self._rules, max_size=256 * 1024)

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a handshake that must not become a connection; a connection costs weight."""
        refused = admit(connection, self._admission, self._attempts)
        if refused is not None:
            return refused
        path = urlsplit(request.path).path.rstrip("/")
        if path != PATHS[self.product]:
            return connection.respond(404, "no such path\n")
        peer = connection.remote_address
        address = str(peer[0]) if peer else "127.0.0.1"
        now = self._admission.now_ms()
        try:
            self._desk.limits.admit(address, now)
        except ApiError as refusal:
            return connection.respond(refusal.status, refusal.msg + "\n")
        self._desk.limits.charge(address, CONNECT_WEIGHT[self.product], now)
        return None

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it; requests run side by side."""
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        outlet = self._flushes.outlet(connection, self._rules.buffer_limit)
        wants_limits = query.get("returnRateLimits", ["true"])[-1].lower() != "false"
        session = ApiSession(outlet, self._admission.now_ms(), wants_limits)
        self.sessions[session] = None
        life = asyncio.create_task(live(outlet, self._rules, lambda: self.announce_end(session)))
        running: set[asyncio.Task[None]] = set()
        try:
            async for message in connection:
                task = asyncio.create_task(self._serve(session, message))
                running.add(task)
                task.add_done_callback(running.discard)
        except ConnectionClosed:
            pass
        finally:
            life.cancel()
            self.sessions.pop(session, None)
            if self._feeds is not None:
                self._feeds.forget(session)
            with contextlib.suppress(asyncio.CancelledError):
                await life

    def announce_end(self, session: ApiSession) -> None:
        """Send spot's ``serverShutdown``; futures connections end without a word."""
        if self.product == "spot":
            event = {"event": {"e": "serverShutdown", "E": self._admission.now_ms()}}
            session.outlet.send(text_frame(to_json(event).encode()))

    def revoke(self, session: ApiSession) -> None:
        """End a logon from the venue's side: an error with id null, as for a revoked key."""
        if session.credential is None:
            return
        session.credential = None
        session.authorized_ms = None
        body = {"id": None, "status": 401, "error": errors.unknown_key().body()}
        session.outlet.send(text_frame(to_json(body).encode()))

    async def _serve(self, session: ApiSession, message: str | bytes) -> None:
        request_id: Any = None
        rate_limits = session.rate_limits
        operation: Operation | None = None
        account: str | None = None
        now = self._admission.now_ms()
        limits = self._desk.limits
        try:
            try:
                self._desk.refuse_by_fault(session.address)
                request = _parse(message)
                request_id = request.get("id")
                limits.admit(session.address, now)
                operation, params = self._look_up(request)
                rate_limits = _wants_limits(params, rate_limits)
                call = self._desk.gate.websocket(operation, params, session.credential, session.address)
                call.session = session
                if call.credential is not None:
                    account = call.account.name
                answer = await self._desk.perform(operation, call)
            except ApiError as refusal:
                if refusal.code != -1003:
                    limits.charge(session.address, 1, now)
                answer = Answer(to_json(_with_ban(refusal, now).body()), refusal, False)
        except NoAnswer:
            session.outlet.abort()
            return
        except HtmlPage:
            return
        counted = account if operation is not None and operation.orders else None
        self._reply(session, request_id, answer, counted, rate_limits)

    def _reply(
        self, session: ApiSession, request_id: Any, answer: Answer, account: str | None, rate_limits: bool
    ) -> None:
        member = "result" if answer.refusal is None else "error"
        text = f'{{"id":{to_json(request_id)},"status":{answer.status},"{member}":{answer.text}'
        if rate_limits and answer.status != 418:
            rows = self._desk.limits.websocket_rows(session.address, account, self._admission.now_ms())
            text += f',"rateLimits":{to_json(rows)}'
        session.outlet.send(text_frame((text + "}").encode()))

    def _look_up(self, request: dict[str, Any]) -> tuple[Operation, dict[str, Any]]:
        method = request.get("method")
        params = request.get("params", {})
        if not isinstance(method, str) or not isinstance(params, dict):
            raise ApiError(-1135, "Invalid JSON Request")
        operation = self._methods.get(method) or self._methods.get(_VERSION.sub("", method, count=1))
        if operation is None:
            raise ApiError(-1000, f"Unknown method '{method}'")
        return operation, params

    # -- session methods -----------------------------------------------------------------------------------

    def _logon(self, call: Call) -> dict[str, Any]:
        session = _session(call)
        credential = call.credential
        assert credential is not None
        if not credential.key.may_logon:
            code, msg = NOT_ED25519[self.product]
            raise ApiError(code, msg)
        session.credential = credential
        session.authorized_ms = call.now_ms
        return self._describe(session, call.now_ms)

    def _status(self, call: Call) -> dict[str, Any]:
        return self._describe(_session(call), call.now_ms)

    def _logout(self, call: Call) -> dict[str, Any]:
        session = _session(call)
        session.credential = None
        session.authorized_ms = None
        if self._feeds is not None and session.logon_subscription is not None:
            self._feeds.unsubscribe(session, session.logon_subscription)
        return self._describe(session, call.now_ms)

    def _describe(self, session: ApiSession, now_ms: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "apiKey": None if session.credential is None else session.credential.api_key,
            "authorizedSince": session.authorized_ms,
            "connectedSince": session.connected_ms,
            "returnRateLimits": session.rate_limits,
            "serverTime": now_ms,
        }
        if self.product == "spot":
            body["userDataStream"] = session.logon_subscription is not None
        return body


def _session(call: Call) -> ApiSession:
    assert isinstance(call.session, ApiSession)
    return call.session


def _parse(message: str | bytes) -> dict[str, Any]:
    try:
        request = json.loads(message, parse_float=str)
    except (ValueError, RecursionError):
        raise ApiError(-1135, "Invalid JSON Request") from None
    if not isinstance(request, dict):
        raise ApiError(-1135, "Invalid JSON Request")
    request_id = request.get("id")
    if isinstance(request_id, str) and not _STRING_ID.fullmatch(request_id):
        raise errors.illegal_characters("id", r"^[a-zA-Z0-9-_]{1,36}$")
    if request_id is not None and (isinstance(request_id, bool) or not isinstance(request_id, int | str)):
        raise errors.illegal_characters("id", r"^[a-zA-Z0-9-_]{1,36}$")
    return request


def _wants_limits(params: Mapping[str, Any], default: bool) -> bool:
    wanted = params.get("returnRateLimits", default)
    return wanted if isinstance(wanted, bool) else str(wanted).lower() != "false"


def _with_ban(refusal: ApiError, now_ms: int) -> ApiError:
    """Add what a 429 or 418 says on the WebSocket API: times in epoch milliseconds."""
    if refusal.code == -1003 and refusal.retry_after_s is not None and refusal.data is None:
        refusal.data = {"serverTime": now_ms, "retryAfter": now_ms + refusal.retry_after_s * 1000}
    return refusal
