"""Replacements and twins under load: the book stays LIVE for whoever reads it, and no update is lost."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from engine.book.consolidated import new_top
from engine.book.l2 import BookLike, new_book
from engine.model.instrument import Product
from engine.model.market import BookState
from engine.session import market_session as module
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
from tests.unit.session.test_in_band import INSTRUMENTS

SYMBOLS = {"BTC-USDT": "BTC/USDT", "ETH-USDT": "ETH/USDT"}


class Venue:
    """Sends every update to every connection, as a venue does."""

    def __init__(self) -> None:
        self.sockets: dict[ServerConnection, None] = {}
        self.connections = 0
        self.sequence = dict.fromkeys(SYMBOLS, 100)
        self.is_refusing = False

    async def handler(self, connection: ServerConnection) -> None:
        self.connections += 1
        if self.is_refusing:
            await connection.close(1013)
            return
        with contextlib.suppress(Exception):
            async for text in connection:
                if text == "ping":
                    await connection.send("pong")
                    continue
                message = json.loads(text)
                for arg in message["args"]:
                    answer = {"id": message["id"], "event": message["op"], "arg": arg, "connId": "a4d3ae55"}
                    await connection.send(json.dumps(answer))
                    await connection.send(self.frame(arg["instId"], "snapshot", -1))
                self.sockets[connection] = None
        self.sockets.pop(connection, None)

    def frame(self, symbol: str, action: str, previous: int) -> str:
        sequence = self.sequence[symbol]
        row = {
            "asks": [[f"{90_000}.5", f"{sequence}", "0", "1"]],
            "bids": [[f"{40_000}.5", f"{sequence}", "0", "1"]],
            "ts": str(1795478400000 + sequence), "checksum": 0, "seqId": sequence, "prevSeqId": previous,
        }  # fmt: skip
        return json.dumps({"arg": {"channel": "books", "instId": symbol}, "action": action, "data": [row]})

    async def emit(self) -> None:
        for symbol in SYMBOLS:
            previous = self.sequence[symbol]
            self.sequence[symbol] += 1
            frame = self.frame(symbol, "update", previous)
            for socket in list(self.sockets):
                with contextlib.suppress(Exception):
                    await socket.send(frame)


class Bench:
    def __init__(
        self,
        venue: Venue,
        session: MarketSession,
        books: dict[str, BookLike],
        log: EventLog,
        stream: io.StringIO,
    ) -> None:
        self.venue, self.session, self.books = venue, session, books
        self._log, self._stream = log, stream
        self.seen: dict[str, list[int]] = {name: [] for name in books}
        self.tops = []
        for name, book in books.items():
            top = new_top()
            top.add(book)
            top.on_change = lambda each, name=name: self.seen[name].append(each.touch()[1] // 10**8)
            self.tops.append(top)

    def logged(self, event: str) -> list[Any]:
        self._log.flush()
        return [
            row
            for line in self._stream.getvalue().splitlines()
            if (row := json.loads(line))["event"] == event
        ]

    async def run(self, done: Callable[[], Any], load: bool = True) -> None:
        async with asyncio.timeout(30):
            while not done():
                if load:
                    await self.venue.emit()
                self.session.tick(SystemClock().mono_ns())
                await asyncio.sleep(0.002)

    def assert_unbroken(self) -> None:
        """Every quantity was seen exactly once, in order: LIVE all the time, no update lost."""
        for name, seen in self.seen.items():
            assert seen == list(range(seen[0], seen[0] + len(seen))), name
            assert 0 not in seen


@contextlib.asynccontextmanager
async def running(has_twins: bool = False, lifetime_s: int = 0) -> AsyncIterator[Bench]:
    stream = io.StringIO()
    venue, clock, log = Venue(), SystemClock(), EventLog("info", "json", stream)
    async with serve(venue.handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        endpoints = Endpoints("http://127.0.0.1:1", f"ws://127.0.0.1:{port}/ws/v5/public")
        adapter = OkxMarketData(Product.SPOT, endpoints)
        books = {name: new_book(name, 1, 8, number) for number, name in enumerate(INSTRUMENTS)}
        (plan,) = adapter.market_plans(list(INSTRUMENTS.values()), frozenset({Topic.DEPTH}))
        rules = msgspec.structs.replace(plan.rules, lifetime_s=lifetime_s)
        desk = SnapshotDesk(
            adapter, HttpPool(endpoints.rest, clock), RequestBudget(adapter.rest_budgets, clock), clock, log,
            concurrency=1, timeout_s=1, instrument_of=list(INSTRUMENTS.values()).__getitem__,
        )  # fmt: skip
        session = MarketSession(
            msgspec.structs.replace(plan, rules=rules), adapter, INSTRUMENTS, books, desk,
            MarketTaps(lambda _: None, lambda _: None, lambda _: None), clock=clock, log=log, tls=None,
            budget=ConnectionBudget(100, 1, clock), generator=random.Random(1), buffer_frames_max=100,
            stale_after_ms=60_000, has_twins=has_twins,
        )  # fmt: skip
        made = Bench(venue, session, books, log, stream)
        session.start()
        try:
            await made.run(
                lambda: all(book.is_live for book in books.values()) and session.leader, load=False
            )
            await made.run(lambda: all(link.is_ready for link in session.links), load=False)
            yield made
        finally:
            await session.stop()
            await desk.stop()
            log.close()


@pytest.fixture(autouse=True)
def _quick_handover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDOVER_NS", 100_000_000)


@pytest.mark.fault("W17")
async def test_a_replacement_serves_before_the_old_connection_is_closed() -> None:
    async with running() as bench:
        session = bench.session
        old = session.leader
        session.rotate("test")
        session.rotate("asked twice")
        await bench.run(lambda: bench.logged("rotation.completed"))
        assert session.leader is not old
        assert session.links == [session.leader]
        assert len(bench.logged("rotation.started")) == 1
        before = session.messages
        target = bench.venue.sequence["BTC-USDT"] + 50
        await bench.run(lambda: bench.venue.sequence["BTC-USDT"] >= target)
        await bench.run(
            lambda: bench.books["BTC/USDT"].sequence == bench.venue.sequence["BTC-USDT"], load=False
        )
        assert session.messages > before, "counters of the closed connection stay in the sums"
        assert bench.venue.connections == 2
        assert [sync.resyncs for sync in session.syncs] == [0, 0]
        bench.assert_unbroken()


@pytest.mark.fault("W17")
async def test_a_connection_is_replaced_before_its_lifetime_ends() -> None:
    async with running(lifetime_s=1) as bench:
        await bench.run(lambda: bench.logged("rotation.completed"))
        assert bench.logged("rotation.started")[0]["cause"] == "near its lifetime"
        bench.assert_unbroken()


async def test_without_a_replacement_the_old_connection_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROTATION_TIMEOUT_S", 0.3)
    async with running() as bench:
        old = bench.session.leader
        bench.venue.is_refusing = True
        bench.session.rotate("test")
        await bench.run(lambda: bench.logged("rotation.failed"))
        assert bench.session.links == [old]
        assert bench.session.leader is old
        bench.assert_unbroken()


async def test_the_old_connection_dies_while_its_replacement_is_opened() -> None:
    async with running() as bench:
        bench.session.rotate("test")
        old = bench.session.leader
        await bench.run(lambda: len(bench.session.links) == 2 and bench.session.links[1].is_ready)
        assert old is not None
        old.session.drop("test: it dies")
        await bench.run(lambda: bench.session.leader not in (None, old))
        await bench.run(lambda: len(bench.session.links) == 1)
        assert all(book.is_live for book in bench.books.values())
        bench.assert_unbroken()


def has_reached(bench: Bench, target: int) -> bool:
    is_whole = all(link.is_ready for link in bench.session.links)
    return is_whole and bench.venue.sequence["BTC-USDT"] >= target


@pytest.mark.fault("P30")
async def test_either_twin_may_die_and_no_reader_notices() -> None:
    async with running(has_twins=True) as bench:
        session = bench.session
        for round_ in range(4):
            victim = session.leader if round_ % 2 == 0 else next(
                link for link in session.links if link is not session.leader
            )  # fmt: skip
            assert victim is not None
            victim.session.drop("test: a twin dies")
            target = bench.venue.sequence["BTC-USDT"] + 30
            await bench.run(functools.partial(has_reached, bench, target))
        await bench.run(
            lambda: bench.books["ETH/USDT"].sequence == bench.venue.sequence["ETH-USDT"], load=False
        )
        assert session.promotions == 2
        assert [sync.gaps for sync in session.syncs] == [0, 0]
        bench.assert_unbroken()


async def test_twins_rotate_by_changing_places() -> None:
    async with running(has_twins=True) as bench:
        first = bench.session.leader
        bench.session.rotate("test")
        await bench.run(lambda: bench.logged("rotation.completed"))
        assert bench.session.leader is not first
        await bench.run(lambda: all(link.is_ready for link in bench.session.links))
        assert len(bench.session.links) == 2
        bench.assert_unbroken()


async def test_both_twins_dead_is_stale_at_once_and_heals() -> None:
    async with running(has_twins=True) as bench:
        for link in bench.session.links:
            link.session.drop("test: both die")
        await bench.run(lambda: bench.session.leader is None, load=False)
        assert {book.state for book in bench.books.values()} == {BookState.STALE}
        await bench.run(lambda: all(book.is_live for book in bench.books.values()))
