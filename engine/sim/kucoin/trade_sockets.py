"""Order entry over WebSocket: a signed address, a challenge, then requests told apart by ``id``.

The client answers the challenge with the bare base64 signature of its very text.

Source: KuCoin API docs, "WebSocket / Add, cancel, modify order", seen 2025-11. UNCONFIRMED: the ``uta.*``
operations (one client), when the venue cuts a silent connection (60 s here, as the classic sockets).
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from engine.sim.accounts import Account
from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.calls import Call
from engine.sim.kucoin.desk import Desk
from engine.sim.kucoin.errors import KucoinError, wrong
from engine.sim.kucoin.futures_orders import FuturesOrders
from engine.sim.kucoin.gate import Gate, Left, Pools, Spent, signature
from engine.sim.kucoin.hub import Session
from engine.sim.kucoin.private import is_unified
from engine.sim.kucoin.push_sockets import BUFFER_LIMIT, CONNECTS_MOST, CONNECTS_S, Door
from engine.sim.kucoin.rest import PING_INTERVAL_MS, PING_TIMEOUT_MS
from engine.sim.kucoin.spot_orders import SpotOrders
from engine.sim.kucoin.unified_orders import UnifiedOrders, check_mode
from engine.sim.sockets import Flushes
from engine.sim.unanswered import NoAnswer, Page

ANSWER_S = 30.0
SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: what runs it, its pool (shared with REST), weight, product (``*``: as its args say)."""

    run: Callable[[Call], Any]
    pool: str
    weight: int
    product: str


class TradeSockets:
    """Serves ``/v1/private``.

    Args:
        scale: how many times faster than real silence ends a connection.
    """

    def __init__(
        self, gate: Gate, pools: Pools, desk: Desk, spot: SpotOrders, futures: FuturesOrders,
        unified: UnifiedOrders, flushes: Flushes, faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int], scale: float,
    ) -> None:  # fmt: skip
        self._gate = gate
        self._pools = pools
        self._desk = desk
        self._flushes = flushes
        self._faults = faults
        self._now_ms = now_ms
        self._scale = scale
        self._door = Door(faults, CONNECTS_MOST, CONNECTS_S / scale)
        self._operations = {
            "spot.order": Operation(spot.place, "spot", 1, "spot"),
            "spot.sync_order": Operation(spot.place_sync, "spot", 1, "spot"),
            "spot.cancel": Operation(spot.cancel, "spot", 1, "spot"),
            "spot.sync_cancel": Operation(spot.cancel_sync, "spot", 1, "spot"),
            "spot.modify": Operation(spot.alter, "spot", 3, "spot"),
            "futures.order": Operation(futures.place, "futures", 2, "perp"),
            "futures.cancel": Operation(futures.cancel, "futures", 1, "perp"),
            "futures.multi_order": Operation(
                lambda call: futures.place_many(call, _orders(call)), "futures", 20, "perp"
            ),
            "futures.multi_cancel": Operation(
                lambda call: futures.cancel_many(call, call.item), "futures", 20, "perp"
            ),
            "uta.order": Operation(unified.place, "unified", 1, "*"),
            "uta.cancel": Operation(unified.cancel, "unified", 1, "*"),
            "uta.amend": Operation(unified.amend, "unified", 1, "*"),
        }
        self.sessions: dict[Session, None] = {}

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse paths that do not exist, and too many connections."""
        return self._door.refuse(connection, request, ("/v1/private",))

    async def handler(self, connection: ServerConnection) -> None:
        """Serve one connection until either side ends it."""
        session = Session(self._flushes.outlet(connection, BUFFER_LIMIT), is_binary=False)
        try:
            session.account = await self._admit(session, connection)
        except KucoinError as error:
            session.send({"code": error.code, "msg": error.message})
            session.outlet.close(1000, error.message)
            return
        except ConnectionClosed:
            return
        self.sessions[session] = None
        life = asyncio.create_task(self._watch(session))
        running: set[asyncio.Task[None]] = set()
        try:
            async for message in connection:
                session.heard = time.monotonic()
                task = asyncio.create_task(self._hear(session, session.account, message))
                running.add(task)
                task.add_done_callback(running.discard)
        except ConnectionClosed:
            pass
        finally:
            del self.sessions[session]
            for task in (life, *running):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life

    async def _admit(self, session: Session, connection: ServerConnection) -> Account:
        """Check the address, put the challenge, check its answer; raises KucoinError."""
        assert connection.request is not None
        query = {
            name: values[0] for name, values in parse_qs(urlsplit(connection.request.path).query).items()
        }
        account = self._gate.trade_socket(query)
        session_id = str(uuid.uuid4())
        challenge = f'{{"sessionId":"{session_id}", "timestamp":{self._now_ms()}}}'
        session.outlet.send(session.frame(challenge.encode()))
        try:
            answer = await asyncio.wait_for(connection.recv(), ANSWER_S / self._scale)
        except TimeoutError:
            raise KucoinError("400012", "session verify timeout") from None
        text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
        if not hmac.compare_digest(signature(account.secret, challenge).encode(), text.strip().encode()):
            raise KucoinError("400011", "session verify failed")
        welcome = (
            f'{{"sessionId":"{session_id}", "data": "welcome", "pingInterval": {PING_INTERVAL_MS}, '
            f'"pingTimeout": {PING_TIMEOUT_MS}}}'
        )
        session.outlet.send(session.frame(welcome.encode()))
        return account

    async def _watch(self, session: Session) -> None:
        while (left := session.heard + SILENCE_S / self._scale - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 5.0) + 0.001)
        session.outlet.close(1000, "Bye")

    async def _hear(self, session: Session, account: Account, message: str | bytes) -> None:
        arrived = self._now_ms()
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            session.send({"id": secrets.token_hex(8), "code": "400100", "msg": "Request is not JSON."})
            return
        number, name = request.get("id"), str(request.get("op", ""))
        if name == "ping":
            session.send({"id": number, "op": "pong", "timestamp": self._now_ms()})
            return
        head: dict[str, Any] = {"id": number, "op": name}
        left: Left | None = None
        try:
            if not isinstance(number, str) or not number:
                raise KucoinError("4001002", "id is invalid")
            operation = self._operations.get(name)
            if operation is None:
                raise wrong(f"op is not supported: {name}")
            left = self._count(operation, account)
            data = await self._run(operation, account, request.get("args"))
            body: dict[str, Any] = {"code": "200000", "data": data}
        except Spent as error:
            body, left = {"code": error.code, "msg": error.message}, error.left
        except KucoinError as error:
            body = {"code": error.code, "msg": error.message}
        except Page:
            body = {"code": "500000", "msg": "Internal Server Error"}
        except NoAnswer:
            session.outlet.abort()
            return
        body |= {"inTime": arrived, "outTime": self._now_ms()}
        if left is not None:
            body["userRateLimit"] = left.view()
        session.send(head | body)

    def _count(self, operation: Operation, account: Account) -> Left:
        for faults in self._faults.values():
            if faults.take("rate_limit_429") is not None:
                raise self._pools.empty(operation.pool)
        return self._pools.take(operation.pool, account.name, operation.weight)

    async def _run(self, operation: Operation, account: Account, args: Any) -> Any:
        if not isinstance(args, dict | list):
            raise wrong("args is invalid.")
        call = Call({}, args, {}, account)
        words = args if isinstance(args, dict) else args[0] if args and isinstance(args[0], dict) else {}
        product = operation.product
        if product == "*":
            check_mode(account, "unified")
            product = "perp" if words.get("tradeType") == "FUTURES" else "spot"
        elif is_unified(account):
            raise KucoinError("400200", "Forbidden: the account is a unified one.")
        symbol = str(words["symbol"]) if words.get("symbol") else None
        return await self._desk.run(product, symbol, lambda: operation.run(call))


def _orders(call: Call) -> list[Any]:
    """Return the orders of a batch: the arguments are a list, or hold one."""
    orders = call.body if isinstance(call.body, list) else call.body.get("orderList")
    if not isinstance(orders, list):
        raise wrong("args is invalid.")
    return orders
