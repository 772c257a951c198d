"""OKX's WebSocket connections: subscriptions, login, order entry, text pings, silence.

Source: OKX v5 docs, "WebSocket", "Subscribe", "Login", "WS / Place order" and the close codes, seen 2026-08.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.accounts import Account
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.okx.errors import OkxError
from engine.sim.okx.instruments import Instrument, Listing
from engine.sim.okx.rest import Limits
from engine.sim.okx.signing import Gate
from engine.sim.okx.trading import Trading, envelope
from engine.sim.sockets import CountedConnection, Flushes, Outlet, text_frame

PATHS = {"/ws/v5/public": "public", "/ws/v5/private": "private", "/ws/v5/business": "business"}
BOOK_CHANNELS = ("books", "books5", "bbo-tbt")
PUBLIC_CHANNELS = (
    *BOOK_CHANNELS, "trades", "tickers", "funding-rate", "mark-price", "open-interest", "price-limit",
    "index-tickers",
)  # fmt: skip
TYPE_CHANNELS = ("instruments",)
VIP_CHANNELS = ("books-l2-tbt", "books50-l2-tbt")
PRIVATE_CHANNELS = ("orders", "account", "positions", "balance_and_position")
BUSINESS_CHANNELS = ("trades-all", "candle1m", "orders-algo")
ORDER_OPS = {
    "order": ("place", False), "batch-orders": ("place", True), "cancel-order": ("cancel", False),
    "batch-cancel-orders": ("cancel", True), "amend-order": ("amend", False),
    "batch-amend-orders": ("amend", True),
}  # fmt: skip
SILENCE_S = 30.0
REQUESTS_PER_HOUR = 480
CONNECTS = 3
BUFFER_LIMIT = 16 * 1024 * 1024
_ID = re.compile(r"[A-Za-z0-9]{1,32}")

Key = tuple[str, str]
"""Channel, and instrument id or instrument type ("" where the channel has neither)."""


class Session:
    """One connection."""

    def __init__(self, outlet: Outlet, url: str) -> None:
        self.outlet = outlet
        self.url = url
        self.number = secrets.token_hex(4)
        self.account: Account | None = None
        self.keys: dict[Key, dict[str, str]] = {}
        self.requests: deque[float] = deque()
        self.heard = self.pushed = time.monotonic()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a message now."""
        self.pushed = time.monotonic()
        self.outlet.send(text_frame(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()))

    def event(self, name: str, request_id: str, **fields: Any) -> None:
        """Write an event."""
        head = {"id": request_id} if request_id else {}
        self.send(head | {"event": name} | fields | {"connId": self.number})


class Hub:
    """Who listens to what."""

    def __init__(self) -> None:
        self.listeners: dict[Key, dict[Session, None]] = {}
        self.silent: set[str] = set()

    def push(self, key: Key, payload: bytes) -> None:
        """Hand one payload to every listener's current round."""
        self.push_frames(key, [text_frame(payload)])

    def push_frames(self, key: Key, frames: list[bytes]) -> None:
        """Hand prepared frames to every listener's current round."""
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

    def add(self, session: Session, key: Key, arg: dict[str, str]) -> None:
        """Subscribe."""
        session.keys[key] = arg
        self.listeners.setdefault(key, {})[session] = None

    def remove(self, session: Session, key: Key) -> None:
        """End a subscription."""
        session.keys.pop(key, None)
        self.listeners.get(key, {}).pop(session, None)


class SocketServer:
    """Serves every path of the venue.

    Args:
        first_words: called with (session, key) after an acknowledgement: pushes what a channel begins with.
        faults: fault hooks by product. execute: runs order operations with the faults of REST.
    """

    def __init__(
        self,
        hub: Hub,
        flushes: Flushes,
        listing: Listing,
        gate: Gate,
        trading: Trading,
        limits: Limits,
        faults: Mapping[str, FaultPoints],
        first_words: Callable[[Session, Key], None],
        deliver: Callable[[], None],
        race: Callable[[Account, Any, Instrument], None],
    ) -> None:
        self._hub = hub
        self._flushes = flushes
        self._listing = listing
        self._gate = gate
        self._trading = trading
        self._limits = limits
        self._faults = faults
        self._first_words = first_words
        self._deliver = deliver
        self._race = race
        self._attempts: dict[str, deque[float]] = {}
        self.sessions: dict[Session, None] = {}

    def serve_kwargs(self) -> dict[str, Any]:
        """Return the arguments `serve` needs beside handler and address."""
        return {
            "create_connection": CountedConnection, "compression": None, "ping_interval": None,
            "ping_timeout": None, "max_size": 64 * 1024, "close_timeout": 2, "server_header": None,
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
        if len(attempts) >= CONNECTS:
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
            del self.sessions[session]
            for key in list(session.keys):
                self._hub.remove(session, key)
            with contextlib.suppress(asyncio.CancelledError):
                await life

    async def _watch(self, session: Session) -> None:
        while time.monotonic() - max(session.heard, session.pushed) < SILENCE_S:
            await asyncio.sleep(0.5)
        session.outlet.close(4004, "No data received in 30s.")

    async def _hear(self, session: Session, message: str | bytes) -> None:
        if message == "ping":
            session.pushed = time.monotonic()
            session.outlet.send(text_frame(b"pong"))
            return
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("op"), str):
            shown = message if isinstance(message, str) else "binary"
            session.event("error", "", code="60012", msg=f"Invalid request: {shown[:200]}")
            return
        operation, request_id = request["op"], str(request.get("id", "") or "")
        args = request.get("args")
        try:
            if operation in ORDER_OPS:
                await self._operate(session, request)
                return
            if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
                raise OkxError("60012", f"Invalid request: {str(message)[:200]}")
            if operation not in ("subscribe", "unsubscribe", "login"):
                raise OkxError("60012", f"Invalid request: {str(message)[:200]}")
            self._count(session)
            if operation == "login":
                self._login(session, args[0], request_id)
                return
            for arg in args:
                self._subscribe(session, operation, arg, request_id)
        except OkxError as error:
            session.event("error", request_id, code=error.code, msg=error.message)

    def _count(self, session: Session) -> None:
        now = time.monotonic()
        while session.requests and now - session.requests[0] > 3600:
            session.requests.popleft()
        if len(session.requests) >= REQUESTS_PER_HOUR:
            raise OkxError("60014", "Requests too frequent")
        session.requests.append(now)

    def _login(self, session: Session, arg: dict[str, Any], request_id: str) -> None:
        if session.url == "public":
            raise OkxError("60018", "Wrong URL or channel: login doesn't exist on this URL.")
        if session.account is not None:
            raise OkxError("60031", "The WebSocket endpoint does not support multiple account batch login.")
        try:
            session.account = self._gate.login(arg)
        except OkxError as error:
            session.event("error", request_id, code=error.code, msg=error.message)
            session.outlet.close(4001, "Login failed.")
            return
        session.event("login", request_id, code="0", msg="")

    def _subscribe(self, session: Session, operation: str, arg: dict[str, Any], request_id: str) -> None:
        key = self._key(session, arg)
        if operation == "unsubscribe":
            self._hub.remove(session, key)
            session.event("unsubscribe", request_id, arg=arg)
            return
        is_new = key not in session.keys
        if key[0] in PRIVATE_CHANNELS:
            assert session.account is not None
            self._hub.add(session, key, arg | {"uid": str(session.account.uid)})
        else:
            self._hub.add(session, key, arg)
        session.event("subscribe", request_id, arg=arg)
        if key[0] in PRIVATE_CHANNELS:
            count = sum(key in each.keys for each in self.sessions if each.account is session.account)
            session.event("channel-conn-count", "", channel=key[0], connCount=str(count))
        if is_new:
            self._first_words(session, key)

    def _key(self, session: Session, arg: dict[str, Any]) -> Key:
        channel, inst_id = str(arg.get("channel", "")), str(arg.get("instId", "") or "")
        wrong = OkxError(
            "60018",
            f"Wrong URL or channel:{channel}, instId:{inst_id} doesn't exist. Please use the correct URL, "
            "channel and parameters referring to API document.",
        )
        if channel in VIP_CHANNELS or channel == "fills":
            raise OkxError(
                "64003", "Your trading fee tier doesn't meet the requirement to access this channel"
            )
        if channel in PRIVATE_CHANNELS:
            if session.url != "private":
                raise wrong
            if session.account is None:
                raise OkxError("60011", "Please log in")
            return channel, session.account.name
        if channel in BUSINESS_CHANNELS or session.url != "public":
            raise wrong
        if channel == "status":
            return channel, ""
        if channel in TYPE_CHANNELS:
            return channel, str(arg.get("instType", ""))
        one = self._listing.by_id.get(inst_id)
        if channel not in PUBLIC_CHANNELS or (one is None and channel != "index-tickers"):
            raise wrong
        if one is not None and not one.is_swap and channel in ("funding-rate", "mark-price", "open-interest"):
            raise wrong
        return channel, inst_id

    # ----------------------------------------------------------------------------------- order entry

    async def _operate(self, session: Session, request: dict[str, Any]) -> None:
        came_us = time.time_ns() // 1000
        operation, request_id, items = request["op"], request.get("id"), request.get("args")
        echo = {"id": request_id, "op": operation}

        def refuse(code: str, message: str) -> None:
            times = {"inTime": str(came_us), "outTime": str(time.time_ns() // 1000)}
            session.send(echo | {"data": [], "code": code, "msg": message} | times)

        if session.url != "private":
            refuse("60028", "The current operation is not supported by this URL.")
            return
        if session.account is None:
            refuse("60011", "Please log in")
            return
        if not isinstance(request_id, str) or _ID.fullmatch(request_id) is None:
            refuse("60033", "Parameter id error")
            return
        if not isinstance(items, list) or not 1 <= len(items) <= 20 or not all(
            isinstance(item, dict) for item in items
        ):  # fmt: skip
            refuse("60013", "Invalid args")
            return
        deadline = request.get("expTime")
        if deadline is not None and (not str(deadline).isdecimal() or int(deadline) < self._limits.now_ms()):
            refuse("50036", "The expTime can't be earlier than the current system time.")
            return
        name, is_batch = ORDER_OPS[operation]
        if not is_batch:
            items = items[:1]
        try:
            rows = await self._rows(session, session.account, name, items)
        except OkxError as error:
            refuse(error.code, error.message)
            return
        if rows is not None:
            session.send(echo | envelope(rows, came_us, time.time_ns() // 1000))

    async def _rows(
        self, session: Session, account: Account, name: str, items: list[dict[str, Any]]
    ) -> list[dict[str, Any]] | None:
        """Run the items; None where a fault took the answer away."""
        one = self._trading.by_code(items[0])
        product = one.market.spec.product if isinstance(one, Instrument) else "spot"
        symbol = one.inst_id if isinstance(one, Instrument) else None
        faults = self._faults[product]
        if faults.take("drop_request", symbol) is not None:
            session.outlet.abort()
            return None
        if faults.take("error_1007_not_accepted", symbol) is not None:
            raise OkxError("50004", "API endpoint request timeout")
        rows = []
        for item in items:
            one = self._trading.by_code(item)
            where = one.inst_id if isinstance(one, Instrument) else ""
            limit = 60 if len(items) == 1 else 300
            kind = f"/api/v5/trade/{'order' if name == 'place' else name + '-order'}"
            self._limits.take(f"{kind} {limit}", f"{account.name} {where}", limit)
            if name == "cancel" and isinstance(one, Instrument):
                self._race(account, item, one)
            rows.append(self._trading.answer(getattr(self._trading, name), account, item, one))
        if faults.armed:
            if faults.take("drop_answer_accepted", symbol) is not None:
                session.outlet.abort()
                return None
            if faults.take("error_1007_accepted", symbol) is not None:
                raise OkxError("50004", "API endpoint request timeout")
            for fault, default_ms in (("slow_answer_accepted", 5000), ("fill_before_ack", 50)):
                if (strike := faults.take(fault, symbol)) is not None:
                    self._deliver()
                    await asyncio.sleep(delay_s(strike, default_ms))
        return rows
