"""A book whose snapshot comes on the stream is repaired by a new subscription of its topic alone."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

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
from engine.venues.okx.adapter import OkxMarketData


def instrument(base: str) -> Instrument:
    return Instrument(
        venue="okx", product=Product.SPOT, symbol=f"{base}-USDT", universal=f"{base}/USDT", base=base,
        quote="USDT", settle=None, status=InstrumentStatus.TRADING, price_scale=1, qty_scale=8, tick_size=1,
        lot_size=1, market_lot_size=1, price_min=0, price_max=0, qty_min=1, qty_max=0, market_qty_max=0,
        notional_min=Decimal(0), notional_max=Decimal(0),
    )  # fmt: skip


INSTRUMENTS = {each.universal: each for each in (instrument("BTC"), instrument("ETH"))}


class Venue:
    """One socket that speaks OKX's ``books`` channel; the test says what goes wrong."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.connections = 0
        self.is_deaf = False
        self.sequence = {"BTC-USDT": 100, "ETH-USDT": 100}
        self.socket: ServerConnection | None = None

    async def handler(self, connection: ServerConnection) -> None:
        self.connections += 1
        self.socket = connection
        async for text in connection:
            if text == "ping":
                await connection.send("pong")
                continue
            message = json.loads(text)
            for arg in message["args"]:
                self.heard.append((message["op"], arg["instId"]))
                if self.is_deaf and self.connections == 1 and len(self.heard) > 2:
                    continue
                answer = {"id": message["id"], "event": message["op"], "arg": arg, "connId": "a4d3ae55"}
                await connection.send(json.dumps(answer))
                if message["op"] == "subscribe":
                    await self.send(arg["instId"], "snapshot", -1)

    async def send(self, symbol: str, action: str, previous: int) -> None:
        assert self.socket is not None
        sequence = self.sequence[symbol]
        row = {
            "asks": [[f"{50_000 + sequence}.5", "1", "0", "1"]],
            "bids": [[f"{40_000 + sequence}.5", "2", "0", "1"]],
            "ts": "1795478400000", "checksum": 0, "seqId": sequence, "prevSeqId": previous,
        }  # fmt: skip
        message = {"arg": {"channel": "books", "instId": symbol}, "action": action, "data": [row]}
        await self.socket.send(json.dumps(message))

    async def update(self, symbol: str, *, lose: bool = False) -> None:
        """Send one delta; ``lose`` skips one before it."""
        self.sequence[symbol] += 1
        previous = self.sequence[symbol] - 1
        if lose:
            self.sequence[symbol] += 1
            previous += 1
        await self.send(symbol, "update", previous)


class Bench:
    def __init__(self, venue: Venue, session: MarketSession, books: dict[str, BookLike]) -> None:
        self.venue, self.session, self.books = venue, session, books
        self.fell: list[str] = []

    async def until(self, done: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not done():
                self.session.tick(SystemClock().mono_ns())
                await asyncio.sleep(0.01)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    venue, clock, log = Venue(), SystemClock(), EventLog("critical", "json", io.StringIO())
    async with serve(venue.handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        endpoints = Endpoints("http://127.0.0.1:1", f"ws://127.0.0.1:{port}/ws/v5/public")
        adapter = OkxMarketData(Product.SPOT, endpoints)
        books = {name: new_book(name, 1, 8, number) for number, name in enumerate(INSTRUMENTS)}
        (plan,) = adapter.market_plans(list(INSTRUMENTS.values()), frozenset({Topic.DEPTH}))
        desk = SnapshotDesk(
            adapter, HttpPool(endpoints.rest, clock), RequestBudget(adapter.rest_budgets, clock), clock, log,
            concurrency=1, timeout_s=1, instrument_of=list(INSTRUMENTS.values()).__getitem__,
        )  # fmt: skip
        nothing = MarketTaps(lambda _: None, lambda _: None, lambda _: None)
        session = MarketSession(
            plan, adapter, INSTRUMENTS, books, desk, nothing, clock=clock, log=log, tls=None,
            budget=ConnectionBudget(100, 1, clock), generator=random.Random(1), buffer_frames_max=100,
            stale_after_ms=60_000,
        )  # fmt: skip
        made = Bench(venue, session, books)
        session.start()
        try:
            await made.until(lambda: all(book.is_live for book in books.values()))
            yield made
        finally:
            await session.stop()
            await desk.stop()


def bid(book: BookLike) -> int:
    return book.touch()[0]


@pytest.mark.fault("P01")
async def test_a_gap_costs_one_topic_and_no_connection(bench: Bench) -> None:
    venue, btc, eth = bench.venue, bench.books["BTC/USDT"], bench.books["ETH/USDT"]
    assert sorted(venue.heard) == [("subscribe", "BTC-USDT"), ("subscribe", "ETH-USDT")]
    await venue.update("BTC-USDT")
    await bench.until(lambda: bid(btc) == 401_015)
    await venue.update("BTC-USDT", lose=True)
    await bench.until(lambda: not btc.is_live)
    assert eth.is_live
    await bench.until(lambda: btc.is_live)
    assert venue.heard[2:] == [("unsubscribe", "BTC-USDT"), ("subscribe", "BTC-USDT")]
    assert bid(btc) == 401_035
    assert btc.depth(0, 10).shape == (1, 2), "the new snapshot replaced everything"
    await venue.update("BTC-USDT")
    await bench.until(lambda: bid(btc) == 401_045)
    assert eth.is_live
    assert venue.connections == 1
    assert [sync.gaps for sync in bench.session.syncs] == [1, 0]


@pytest.mark.fault("W15")
async def test_a_subscription_that_is_not_answered_costs_the_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "ANSWER_S", 0.2)
    bench.venue.is_deaf = True
    await bench.venue.update("BTC-USDT", lose=True)
    await bench.until(lambda: bench.venue.connections == 2)
    await bench.until(lambda: all(book.is_live for book in bench.books.values()))
    assert bench.venue.heard[2] == ("unsubscribe", "BTC-USDT")


async def test_nothing_outlives_the_connection(bench: Bench) -> None:
    await bench.venue.update("BTC-USDT", lose=True)
    await bench.until(lambda: not bench.books["BTC/USDT"].is_live)
    assert bench.venue.socket is not None
    with contextlib.suppress(Exception):
        await bench.venue.socket.close()
    await bench.until(lambda: bench.venue.connections == 2)
    await bench.until(lambda: all(book.is_live for book in bench.books.values()))
    resubscriber = bench.session.links[0].resubscriber
    assert resubscriber is not None
    await bench.until(lambda: not resubscriber._tasks)
    assert not resubscriber._waiting
