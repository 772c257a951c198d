"""A small Bybit on loopback for tests: real servers, few markets, quiet books."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable, Mapping
from decimal import Decimal as D
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, serve
from yarl import URL

from engine.sim.accounts import Account, Balance
from engine.sim.bybit.wire import WireOptions, build
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import MarketSpec, ProductName
from engine.sim.ports import Settings
from tests.sim.binance_rig import lay_book

DEADLINE_S = 10.0
SECRETS = {"alice": "aliceSecret", "bob": "bobSecret"}
Message = dict[str, Any]


def spec(product: ProductName, symbol: str, price: str, tick: str, lot: str, **more: Any) -> MarketSpec:
    return MarketSpec(
        venue="bybit", product=product, symbol=symbol, base=symbol[:3], quote="USDT",
        settle=None if product == "spot" else "USDT", tick_size=D(tick), lot_size=D(lot), price_decimals=2,
        qty_decimals=6, min_qty=D(lot), max_qty=D(1000), min_notional=D(5), initial_price=D(price),
        max_num_orders=500, **more,
    )  # fmt: skip


SPECS = [
    spec("spot", "BTCUSDT", "60000", "0.1", "0.000001"),
    spec("spot", "ETHUSDT", "3000", "0.01", "0.00001"),
    spec("perp", "BTCUSDT", "60000", "0.10", "0.001", maker_fee=D("-0.0001"), taker_fee=D("0.00055")),
    spec("perp", "ETHUSDT", "3000", "0.01", "0.01", funding_interval_h=4),
]


def sign(name: str, text: str) -> str:
    payload = text.encode("utf-8", "surrogateescape")
    return hmac.new(SECRETS[name].encode(), payload, hashlib.sha256).hexdigest()


class Socket:
    """One client connection; what came in is kept in order."""

    def __init__(self, connection: ClientConnection, rig: Rig) -> None:
        self.connection = connection
        self.rig = rig
        self.seen: list[Message] = []
        self.texts: list[str] = []

    async def send(self, message: Message | str) -> None:
        await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def until(self, wanted: Callable[[Message], bool]) -> Message:
        """Return the next message that fits, passing over (and keeping) others."""

        async def look() -> Message:
            while True:
                text = await self.connection.recv()
                assert isinstance(text, str)
                message: Message = json.loads(text)
                self.texts.append(text)
                self.seen.append(message)
                if wanted(message):
                    return message

        return await asyncio.wait_for(look(), DEADLINE_S)

    async def ask(self, message: Message) -> Message:
        """Send a request and return what answers its op."""
        await self.send(message)
        return await self.until(
            lambda each: each.get("op") in (message["op"], "pong") and "topic" not in each
        )

    async def topic(self, topic: str, **fields: Any) -> Message:
        """Return the next push of a topic whose row or data bears these fields."""

        def fits(each: Message) -> bool:
            if each.get("topic") != topic:
                return False
            data = each["data"]
            row = data[0] if isinstance(data, list) else data
            return all(row.get(name, each.get(name)) == value for name, value in fields.items())

        return await self.until(fits)

    async def login(self, name: str) -> Message:
        expires = self.rig.clock.now_ms() + 5_000
        args = [f"{name}Key", expires, sign(name, f"GET/realtime{expires}")]
        return await self.ask({"op": "auth", "req_id": "login", "args": args})

    async def order(self, operation: str, body: Message, request_id: str | None = None) -> Message:
        now = str(self.rig.clock.now_ms())
        number = request_id or f"r{next(self.rig.numbers)}"
        message = {"reqId": number, "header": {"X-BAPI-TIMESTAMP": now}, "op": operation, "args": [body]}
        await self.send(message)
        return await self.until(lambda each: each.get("reqId") == number)


class Rig:
    """Start with ``async with Rig() as rig``."""

    def __init__(self, settings: Settings | None = None, clock: SimClock | None = None) -> None:
        self.clock = clock or SimClock()
        self.faults = FaultBoard(11)
        accounts = []
        for number, name in enumerate(SECRETS):
            account = Account(name, f"{name}Key", SECRETS[name], uid=1000 + number)
            account.balances["spot"] = {"USDT": Balance(D(1_000_000)), "BTC": Balance(D(10))}
            accounts.append(account)
        self.exchange = Exchange("bybit", SPECS, accounts, self.clock)
        for market in self.exchange.markets.values():
            lay_book(market, levels=100)
        many = {
            action: {"linear": 1000, "spot": 1000} for action in ("create", "amend", "cancel", "cancel-all")
        }
        options = WireOptions(per_second=many) if settings is None else WireOptions()
        self.wire = build(self.exchange, self.faults, self.clock, settings or Settings(), options)
        self.numbers = itertools.count(1)
        self.urls: dict[str, dict[str, str]] = {}
        self._runners: list[web.AppRunner] = []
        self._servers: list[Server] = []
        self._sockets: list[Socket] = []

    async def __aenter__(self) -> Rig:
        for name, product in self.wire.products.items():
            runner = web.AppRunner(product.http, access_log=None, shutdown_timeout=0.2)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._runners.append(runner)
            server = product.ws_servers["ws"]
            running = await serve(
                server.handler, "127.0.0.1", 0, process_request=server.process_request, **server.kwargs
            )
            self._servers.append(running)
            base = f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"
            self.urls[name] = product.endpoints(f"http://127.0.0.1:{runner.addresses[0][1]}", {"ws": base})
            await product.start()
        self.http = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for socket in self._sockets:
            await socket.connection.close()
        await self.http.close()
        for product in self.wire.products.values():
            await product.stop()
        for server in self._servers:
            server.close(close_connections=True)
            await server.wait_closed()
        for runner in self._runners:
            await runner.cleanup()

    def market(self, product: str = "perp", symbol: str = "BTCUSDT") -> Market:
        return self.exchange.markets[product, symbol]

    async def socket(self, kind: str, product: str = "perp", query: str = "") -> Socket:
        socket = Socket(await connect(self.urls[product][f"ws_{kind}"] + query, compression=None), self)
        self._sockets.append(socket)
        return socket

    async def private(self, *topics: str, name: str = "alice") -> Socket:
        socket = await self.socket("private")
        assert (await socket.login(name))["success"] is True
        answer = await socket.ask({"op": "subscribe", "args": list(topics)})
        assert answer["success"] is True, answer
        return socket

    async def trade(self, name: str = "alice") -> Socket:
        socket = await self.socket("trade")
        assert (await socket.login(name))["retCode"] == 0
        return socket

    def signed(self, name: str, payload: str, shift_ms: int = 0) -> dict[str, str]:
        """Return the headers that sign a query or body."""
        stamp = str(self.clock.now_ms() + shift_ms)
        return {
            "X-BAPI-API-KEY": f"{name}Key", "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign(name, f"{stamp}{name}Key5000{payload}"), "Content-Type": "application/json",
        }  # fmt: skip

    async def raw(
        self, method: str, path: str, query: str = "", body: str = "", name: str | None = "alice",
        shift_ms: int = 0, headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Return status, body and headers of an answer; ``name`` None: unsigned."""
        payload = query if method == "GET" else body
        sent = self.signed(name, payload, shift_ms) if name is not None else {}
        sent |= headers or {}
        url = URL(self.urls["spot"]["rest"] + path + (f"?{query}" if query else ""), encoded=True)
        async with self.http.request(
            method, url, data=body.encode("utf-8", "surrogateescape") or None, headers=sent
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return answer.status, json.loads(text) if is_json else text, answer.headers

    async def get(self, path: str, name: str | None = None, **params: Any) -> Any:
        """Return the body of a GET, signed where a name is given."""
        return (await self.raw("GET", f"/v5{path}", urlencode(params), name=name))[1]

    async def post(self, path: str, body: Message, name: str = "alice") -> Any:
        """Return the body of a signed POST."""
        return (await self.raw("POST", f"/v5{path}", body=json.dumps(body), name=name))[1]

    async def place(self, name: str = "alice", **changed: Any) -> Any:
        """Return the answer of order/create: by default 0.01 BTC bought far below the market on linear."""
        body = {
            "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
            "price": "50000", **changed,
        }  # fmt: skip
        return await self.post(
            "/order/create", {key: value for key, value in body.items() if value != ""}, name
        )

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, "not in time"
            await asyncio.sleep(0.005)
