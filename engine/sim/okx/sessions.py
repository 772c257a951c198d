"""OKX's WebSocket connections: subscriptions, login, text pings, silence.

Source: OKX v5 docs, "WebSocket", "Subscribe", "Login" and the close codes, seen 2026-08.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.faultpoints import FaultPoints
from engine.sim.okx.channels import Channels
from engine.sim.okx.errors import OkxError
from engine.sim.okx.hub import Arg, Hub, Key, Session
from engine.sim.okx.instruments import Listing
from engine.sim.okx.options import Options
from engine.sim.okx.order_ops import ORDER_OPS, OrderOps
from engine.sim.okx.private import PrivateFeed
from engine.sim.okx.signing import Gate
from engine.sim.sockets import CountedConnection, Flushes, text_frame

PATHS = {"/ws/v5/public": "public", "/ws/v5/private": "private", "/ws/v5/business": "business"}
PRIVATE_CHANNELS = ("orders", "account", "positions", "balance_and_position")
TYPED_CHANNELS = ("orders", "positions")
TYPES = ("ANY", "SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
VIP_CHANNELS = ("books-l2-tbt", "books50-l2-tbt")
BUSINESS_CHANNELS = ("trades-all", "candle1m", "candle1D", "orders-algo", "deposit-info")
OPERATIONS = ("subscribe", "unsubscribe", "login")
LARGEST_REQUEST = 64 * 1024
BUFFER_LIMIT = 16 * 1024 * 1024
INTERVALS = {"account": ("0",), "positions": ("0", "2000", "3000", "4000")}
REQUEST_ID = re.compile(r"[A-Za-z0-9]{1,32}")


class SocketServer:
    """Serves every path of the venue.

    Args:
        orders: runs order operations. faults: fault hooks by product.
    """

    def __init__(
        self,
        hub: Hub,
        flushes: Flushes,
        listing: Listing,
        gate: Gate,
        channels: Channels,
        private: PrivateFeed,
        orders: OrderOps,
        faults: Mapping[str, FaultPoints],
        options: Options,
    ) -> None:
        self._options = options
        self._hub = hub
        self._flushes = flushes
        self._listing = listing
        self._gate = gate
        self._channels = channels
        self._private = private
        self._orders = orders
        self._faults = faults
        self._attempts: dict[str, deque[float]] = {}
        self.sessions: dict[Session, None] = {}

    def serve_kwargs(self) -> dict[str, Any]:
        """Return the arguments `serve` needs beside handler and address."""
        return {
            "create_connection": CountedConnection, "compression": None, "ping_interval": None,
            "ping_timeout": None, "max_size": LARGEST_REQUEST, "close_timeout": 2, "server_header": None,
        }  # fmt: skip

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse paths that do not exist, and more than three attempts a second from one address."""
        for faults in self._faults.values():
            if (refused := faults.take("refuse_connect")) is not None:
                return connection.respond(int(refused.get("status", 503)), "refused\n")
        if request.path.partition("?")[0] not in PATHS:
            return connection.respond(404, "Not Found\n")
        attempts = self._attempts.setdefault(str((connection.remote_address or ("",))[0]), deque())
        now = time.monotonic()
        # A little less than a second: a client that counts by its own clock is let in.
        while attempts and now - attempts[0] > 0.95:
            attempts.popleft()
        if len(attempts) >= self._options.connects_per_s:
            return connection.respond(429, "Too Many Requests\n")
        attempts.append(now)
        return None

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it."""
        assert connection.request is not None
        url = PATHS[connection.request.path.partition("?")[0]]
        session = Session(self._flushes.outlet(connection, BUFFER_LIMIT), url)
        self.sessions[session] = None
        life = asyncio.create_task(self._watch(session))
        try:
            async for message in connection:
                session.heard = time.monotonic()
                await self._hear(session, message)
        except ConnectionClosed:
            pass
        finally:
            life.cancel()
            for task in list(session.tasks):
                task.cancel()
            del self.sessions[session]
            for key in list(session.keys):
                self._hub.remove(session, key)
            with contextlib.suppress(asyncio.CancelledError):
                await life

    async def _watch(self, session: Session) -> None:
        while time.monotonic() - max(session.heard, session.pushed) < self._options.silence_s:
            await asyncio.sleep(min(0.5, self._options.silence_s / 4))
        session.outlet.close(4004, "No data received in 30s.")

    async def _hear(self, session: Session, message: str | bytes) -> None:
        if message == "ping":
            session.pushed = time.monotonic()
            session.outlet.send(text_frame(b"pong"))
            return
        shown = message[:200] if isinstance(message, str) else "binary"
        request_id = ""
        try:
            request = _decoded(message)
            if request is None:
                raise OkxError("60012", f"Invalid request: {shown}")
            operation = request["op"]
            if operation in ORDER_OPS:
                await self._operate(session, request)
                return
            request_id = _request_id(request)
            if operation not in OPERATIONS:
                raise OkxError("60019", f"Invalid op: {operation}")
            args = request.get("args")
            if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
                raise OkxError("60013", "Invalid args")
            self._count(session)
        except OkxError as error:
            session.event("error", request_id, code=error.code, msg=error.message)
            return
        for arg in args:
            # Whether the other arguments of a request survive a wrong one is UNCONFIRMED; here they do.
            try:
                self._control(session, operation, arg, request_id)
            except OkxError as error:
                session.event("error", request_id, code=error.code, msg=error.message)

    async def _operate(self, session: Session, request: dict[str, Any]) -> None:
        """Run an order operation; while faults may hold an answer back, beside what comes after it."""
        if not any(faults.armed for faults in self._faults.values()):
            await self._orders.operate(session, request)
            return
        task = asyncio.create_task(self._orders.operate(session, request))
        session.tasks.add(task)
        task.add_done_callback(session.tasks.discard)

    def _control(self, session: Session, operation: str, arg: Arg, request_id: str) -> None:
        if operation == "login":
            self._login(session, arg, request_id)
        elif operation == "subscribe":
            self._subscribe(session, arg, request_id)
        else:
            self._hub.remove(session, self._key(session, arg), arg)
            session.event("unsubscribe", request_id, arg=arg)

    def _count(self, session: Session) -> None:
        now = time.monotonic()
        while session.requests and now - session.requests[0] > 3600:
            session.requests.popleft()
        if len(session.requests) >= self._options.requests_per_hour:
            raise OkxError("60014", "Requests too frequent")
        session.requests.append(now)

    def _login(self, session: Session, arg: Arg, request_id: str) -> None:
        if session.account is not None:
            raise OkxError("60031", "The WebSocket endpoint does not allow multiple or repeated logins.")
        try:
            session.account = self._gate.login(arg)
        except OkxError as error:
            session.event("error", request_id, code=error.code, msg=error.message)
            session.outlet.close(4001, "Login failed.")
            return
        session.event("login", request_id, code="0", msg="")

    def _subscribe(self, session: Session, arg: Arg, request_id: str) -> None:
        key = self._key(session, arg)
        channel = key[0]
        if channel not in PRIVATE_CHANNELS:
            new = self._hub.add(session, key, arg)
            session.event("subscribe", request_id, arg=arg)
            if new is not None:
                # What others were pushed for this batch must leave before this session joins them.
                words = self._channels.first_words(key)
                self._flushes.flush()
                if words is not None:
                    session.outlet.send(text_frame(words))
            return
        repeat_ms = _repeat_ms(channel, arg, self._options.repeat_ms)
        assert session.account is not None
        told = {name: value for name, value in arg.items() if name != "extraParams"}
        shown = told | {"uid": str(session.account.uid)}
        new = self._hub.add(session, key, shown, repeat_ms)
        session.event("subscribe", request_id, arg=arg)
        count = sum(key in each.keys for each in self.sessions)
        if count > self._options.private_connections:
            self._hub.remove(session, key, shown)
            most = str(self._options.private_connections)
            session.event("channel-conn-count-error", "", channel=channel, connCount=most)
            return
        session.event("channel-conn-count", "", channel=channel, connCount=str(count))
        if new is not None:
            self._private.first_words(session, channel, new)
            session.outlet.flush()

    def _key(self, session: Session, arg: Arg) -> Key:
        """Return what an argument names; raises OkxError where it cannot be had here."""
        channel, inst_id = str(arg.get("channel", "")), str(arg.get("instId", "") or "")
        wrong = OkxError(
            "60018",
            f"Wrong URL or channel:{channel}, instId:{inst_id} doesn't exist. Please use the correct URL, "
            "channel and parameters referring to API document.",
        )
        if channel in PRIVATE_CHANNELS or channel == "fills":
            return self._private_key(session, arg, channel, wrong)
        if channel in BUSINESS_CHANNELS:
            if session.url != "business":
                raise OkxError("64001", "This channel has been migrated to the '/business' URL.")
            if not self._channels.knows((channel, inst_id)):
                raise wrong
            return channel, inst_id
        if session.url == "business":
            raise OkxError("64002", "This channel is not supported by '/business' URL.")
        if session.url != "public":
            raise wrong
        if channel in VIP_CHANNELS:
            if session.account is None:
                raise OkxError("60011", "Please log in")
            raise _no_vip()
        if channel == "status":
            return channel, ""
        if channel == "instruments" and arg.get("instType") in TYPES[1:]:
            return channel, str(arg["instType"])
        if not self._channels.knows((channel, inst_id)):
            raise wrong
        return channel, inst_id

    def _private_key(self, session: Session, arg: Arg, channel: str, wrong: OkxError) -> Key:
        if session.url != "private":
            raise wrong
        if session.account is None:
            raise OkxError("60011", "Please log in")
        if channel == "fills":
            raise _no_vip()
        if channel in TYPED_CHANNELS and arg.get("instType") not in TYPES:
            raise wrong
        if arg.get("instId") and str(arg["instId"]) not in self._listing.by_id:
            raise wrong
        return channel, session.account.name


def _no_vip() -> OkxError:
    return OkxError("64003", "Your trading fee tier doesn't meet the requirement to access this channel")


def _decoded(message: str | bytes) -> dict[str, Any] | None:
    """Return a request with an operation, None where there is none."""
    try:
        request = json.loads(message)
    except (ValueError, RecursionError):
        return None
    is_request = isinstance(request, dict) and isinstance(request.get("op"), str)
    return request if is_request else None


def _request_id(request: dict[str, Any]) -> str:
    value = request.get("id")
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or REQUEST_ID.fullmatch(value) is None:
        raise OkxError("60033", "Parameter id error")
    return value


def _repeat_ms(channel: str, arg: Arg, usual_ms: int) -> int:
    """Return how often a private channel repeats itself: 0 never; raises OkxError 60033."""
    if channel not in INTERVALS:
        return 0
    raw = arg.get("extraParams")
    if raw in (None, ""):
        return usual_ms
    try:
        interval = json.loads(raw)["updateInterval"] if isinstance(raw, str) else None
    except (ValueError, TypeError, KeyError):
        interval = None
    if interval is None or str(interval) not in INTERVALS[channel]:
        raise OkxError("60033", "Parameter extraParams error")
    return int(interval)
