"""A venue's wire on loopback for tests: real servers on free ports, and clients that remember what came."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import aiohttp
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, serve
from websockets.exceptions import ConnectionClosed
from yarl import URL

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.market import Market
from engine.sim.ports import ProductWire, VenueWire

DEADLINE_S = 10.0
Message = dict[str, Any]
Wire = TypeVar("Wire", bound=VenueWire)


def lay_book(market: Market, levels: int = 30, lots: int = 1000) -> None:
    """Put ``levels`` prices a side, one tick apart, best ones a tick from the initial price."""
    middle = round(market.spec.initial_price / market.spec.tick_size)
    for distance in range(1, levels + 1):
        market.bids.level(middle - distance).add_background(lots)
        market.asks.level(middle + distance).add_background(lots)
    market.start_publishing()


async def eventually(check: Callable[[], bool], what: str) -> None:
    """Poll until ``check`` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.005)


class JsonSocket:
    """One client connection; what came in is kept in order."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[Message] = []
        self.raw: list[str | bytes] = []

    async def send(self, message: Message | str) -> None:
        await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def text(self) -> str:
        """Return the next frame as text."""
        frame = await asyncio.wait_for(self.connection.recv(), DEADLINE_S)
        self.raw.append(frame)
        return frame if isinstance(frame, str) else self.inflated(frame)

    def inflated(self, frame: bytes) -> str:
        """Return the text of a binary frame."""
        return frame.decode()

    async def next(self) -> Message:
        message: Message = json.loads(await self.text())
        self.seen.append(message)
        return message

    async def until(self, wanted: Callable[[Message], bool]) -> Message:
        """Return the next message that fits, passing over (and keeping) others."""
        async with asyncio.timeout(DEADLINE_S):
            while not wanted(message := await self.next()):
                pass
        return message

    async def closed(self) -> int:
        """Return the close code, once the connection has ended."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await self.connection.recv()
                except ConnectionClosed:
                    break
        assert self.connection.close_code is not None
        return self.connection.close_code


class LoopbackRig(Generic[Wire]):
    """The servers of a venue's wire, its exchange, and an HTTP client; start it with ``async with``."""

    def __init__(self, exchange: Exchange, wire: Wire) -> None:
        self.exchange = exchange
        self.wire = wire
        self.urls: dict[str, dict[str, str]] = {}
        self._runners: list[web.AppRunner] = []
        self._servers: list[Server] = []
        self._connections: list[ClientConnection] = []

    @property
    def served(self) -> Mapping[str, ProductWire]:
        """Return the products that get servers of their own."""
        return self.wire.products

    async def __aenter__(self) -> Self:
        for name, product in self.served.items():
            runner = web.AppRunner(product.http, access_log=None, shutdown_timeout=0.2)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._runners.append(runner)
            bases = {}
            for key, server in product.ws_servers.items():
                running = await serve(
                    server.handler, "127.0.0.1", 0, process_request=server.process_request, **server.kwargs
                )
                self._servers.append(running)
                bases[key] = f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"
            self.urls[name] = product.endpoints(f"http://127.0.0.1:{runner.addresses[0][1]}", bases)
            await product.start()
        self.http = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            await connection.close()
        await self.http.close()
        for product in self.served.values():
            await product.stop()
        for server in self._servers:
            server.close()
            await server.wait_closed()
        for runner in self._runners:
            await runner.cleanup()

    def account(self, name: str = "alice") -> Account:
        found = self.exchange.account_named(name)
        assert found is not None
        return found

    async def opened(self, url: str, compression: str | None = None) -> ClientConnection:
        """Open a connection that ends with the rig."""
        connection = await connect(url, compression=compression)
        self._connections.append(connection)
        return connection

    async def fetched(
        self, method: str, url: str, body: bytes | str, headers: Mapping[str, str] | None
    ) -> tuple[int, Any, Any]:
        """Send exactly these bytes; return status, body and headers of the answer."""
        payload = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body
        target = URL(url, encoded=True)
        async with self.http.request(method, target, data=payload or None, headers=headers) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            return answer.status, json.loads(text) if is_json else text, answer.headers

    async def settled(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds."""
        await eventually(condition, "a condition")
