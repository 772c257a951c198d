"""A book whose venue gives snapshots to who asks: asked for on the stream first, subscribed anew second."""

from __future__ import annotations

import asyncio
import io
import json
import random
import zlib
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

import engine.book.sync as sync_module
import engine.session.resubscriber as desk_module
from engine.book.l2 import BookLike, new_book
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.session.market_link import MarketTaps
from engine.session.market_session import MarketSession
from engine.session.snapshots import SnapshotDesk
from engine.telemetry.clock import SystemClock
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.reconnect import ConnectionBudget
from engine.transport.request_budget import RequestBudget
from engine.venues.base import Endpoints, Topic
from engine.venues.bitmart.adapter import BitmartMarketData


def instrument(product: Product, base: str) -> Instrument:
    is_spot = product is Product.SPOT
    return Instrument(
        venue="bitmart", product=product, symbol=f"{base}_USDT" if is_spot else f"{base}USDT",
        universal=f"{base}/USDT" if is_spot else f"{base}/USDT:USDT", base=base, quote="USDT",
        settle=None if is_spot else "USDT", status=InstrumentStatus.TRADING, price_scale=1, qty_scale=8,
        tick_size=1, lot_size=1, market_lot_size=1, price_min=0, price_max=0, qty_min=1, qty_max=0,
        market_qty_max=0, notional_min=Decimal(0), notional_max=Decimal(0),
    )  # fmt: skip


class Venue:
    """One socket of either family; the test says what goes wrong."""

    def __init__(self, product: Product) -> None:
        self.is_spot = product is Product.SPOT
        self.heard: list[tuple[str, str]] = []
        self.connections = 0
        self.is_mute = False
        self.version: dict[str, int] = {}
        self.socket: ServerConnection | None = None

    async def handler(self, connection: ServerConnection) -> None:
        self.connections += 1
        self.socket = connection
        async for text in connection:
            if text == "ping":
                await connection.send("pong")
                continue
            message = json.loads(text)
            operation = message["op" if self.is_spot else "action"]
            for topic in message.get("args", ()):
                symbol = topic.partition(":")[2].partition("@")[0]
                self.heard.append((operation, symbol))
                if operation != "request":
                    await connection.send(json.dumps(self.acknowledgement(operation, topic)))
                if operation == "subscribe" or (operation == "request" and not self.is_mute):
                    self.version.setdefault(symbol, 100)
                    await self.send(symbol, "snapshot")

    def acknowledgement(self, operation: str, topic: str) -> dict[str, Any]:
        if self.is_spot:
            return {"event": operation, "topic": topic}
        return {"action": operation, "group": topic, "success": True, "request": {"args": [topic]}}

    async def send(self, symbol: str, kind: str) -> None:
        assert self.socket is not None
        version = self.version[symbol]
        levels: Any = [[[f"{price + version}.5", "1"]] for price in (40_000, 50_000)]
        if not self.is_spot:
            levels = [[{"price": row[0], "vol": row[1]} for row in side] for side in levels]
        row = {
            "bids": levels[0], "asks": levels[1], "ms_t": 1795478400000, "symbol": symbol, "type": kind,
            "version": version,
        }  # fmt: skip
        if self.is_spot:
            text = json.dumps({"data": [row], "table": "spot/depth/increase100"}).encode()
            packer = zlib.compressobj(6, zlib.DEFLATED, -15)
            await self.socket.send(packer.compress(text) + packer.flush())
        else:
            await self.socket.send(
                json.dumps({"data": row, "group": f"futures/depthIncrease50:{symbol}@100ms"})
            )

    async def update(self, symbol: str, *, lose: bool = False) -> None:
        """Send one delta; ``lose`` skips one before it."""
        self.version[symbol] += 2 if lose else 1
        await self.send(symbol, "update")


class Bench:
    def __init__(
        self, venue: Venue, session: MarketSession, books: dict[str, BookLike], symbols: list[str]
    ) -> None:
        self.venue, self.session, self.books, self.symbols = venue, session, books, symbols

    @property
    def btc(self) -> BookLike:
        return next(iter(self.books.values()))

    async def until(self, done: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not done():
                self.session.tick(SystemClock().mono_ns())
                await asyncio.sleep(0.01)

    async def lose_one(self) -> None:
        heard = len(self.venue.heard)
        await self.venue.update(self.symbols[0], lose=True)
        await self.until(lambda: len(self.venue.heard) > heard)


@pytest.fixture(params=list(Product), ids=lambda product: product.value)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    product: Product = request.param
    instruments = {each.universal: each for each in (instrument(product, "BTC"), instrument(product, "ETH"))}
    venue, clock, log = Venue(product), SystemClock(), EventLog("critical", "json", io.StringIO())
    async with serve(venue.handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        endpoints = Endpoints("http://127.0.0.1:1", f"ws://127.0.0.1:{port}/api?protocol=1.1")
        adapter = BitmartMarketData(product, endpoints)
        books = {name: new_book(name, 1, 8, number) for number, name in enumerate(instruments)}
        (plan,) = adapter.market_plans(list(instruments.values()), frozenset({Topic.DEPTH}))
        desk = SnapshotDesk(
            adapter, HttpPool(endpoints.rest, clock), RequestBudget(adapter.rest_budgets, clock), clock, log,
            concurrency=1, timeout_s=1, instrument_of=list(instruments.values()).__getitem__,
        )  # fmt: skip
        nothing = MarketTaps(lambda _: None, lambda _: None, lambda _: None)
        session = MarketSession(
            plan, adapter, instruments, books, desk, nothing, clock=clock, log=log, tls=None,
            budget=ConnectionBudget(100, 1, clock), generator=random.Random(1), buffer_frames_max=100,
            stale_after_ms=60_000,
        )  # fmt: skip
        made = Bench(venue, session, books, [each.symbol for each in instruments.values()])
        session.start()
        try:
            await made.until(lambda: all(book.is_live for book in books.values()))
            yield made
        finally:
            await session.stop()
            await desk.stop()


async def test_a_gap_is_mended_by_asking(bench: Bench) -> None:
    venue, btc, symbol = bench.venue, bench.btc, bench.symbols[0]
    _, eth = bench.books.values()
    assert sorted(venue.heard) == sorted(("subscribe", each) for each in bench.symbols)
    await bench.lose_one()
    await bench.until(lambda: btc.is_live)
    assert venue.heard[2:] == [("request", symbol)]
    assert btc.sequence == 102
    await venue.update(symbol)
    await bench.until(lambda: btc.sequence == 103)
    assert btc.is_live
    assert eth.is_live
    assert venue.connections == 1
    assert [sync.gaps for sync in bench.session.syncs] == [1, 0]


async def test_who_falls_again_at_once_is_subscribed_anew(bench: Bench) -> None:
    symbol = bench.symbols[0]
    await bench.lose_one()
    await bench.until(lambda: bench.btc.is_live)
    await bench.lose_one()
    await bench.until(lambda: bench.btc.is_live)
    assert bench.venue.heard[2:] == [("request", symbol), ("unsubscribe", symbol), ("subscribe", symbol)]
    assert bench.venue.connections == 1


async def test_asking_is_tried_again_after_a_while(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "ASK_AGAIN_S", 0.0)
    for _ in range(2):
        await bench.lose_one()
        await bench.until(lambda: bench.btc.is_live)
    assert bench.venue.heard[2:] == [("request", bench.symbols[0])] * 2


@pytest.mark.fault("W15", "P07")
async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_module, "IN_BAND_WAIT_MS", 200)
    bench.venue.is_mute = True
    await bench.lose_one()
    await bench.until(lambda: bench.btc.is_live)
    symbol = bench.symbols[0]
    assert bench.venue.heard[2:] == [("request", symbol), ("unsubscribe", symbol), ("subscribe", symbol)]
    assert bench.venue.connections == 1
