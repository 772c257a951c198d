"""BitMart's books: version chains, windows, frames, faults, and the truth at a version."""

from __future__ import annotations

import asyncio
import itertools
import json
import zlib
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from engine.sim.bitmart.topics import futures_public
from engine.sim.bitmart.wire import build
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.ports import Settings
from tests.sim.bitmart_rig import BOOKS, MARKETS, SPECS, Rig, Socket
from tests.sim.loopback_rig import DEADLINE_S, Message

PRODUCTS = ("spot", "perp")
DEPTHS = {"spot": 100, "perp": 50}
each_product = pytest.mark.parametrize("product", PRODUCTS)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


class Gap(AssertionError):
    """A version is missing."""


class Book:
    """A client's book by the published rule; on spot it trims to the window, on futures it need not."""

    def __init__(self, product: str) -> None:
        self.product = product
        self.sides: dict[str, dict[D, D]] = {"bids": {}, "asks": {}}
        self.version = -1
        self.discarded = 0

    def apply(self, data: Message) -> None:
        version = data["version"]
        rows = {
            side: [(D(row["price"]), D(row["vol"])) if isinstance(row, dict) else (D(row[0]), D(row[1]))
                   for row in data[side]]
            for side in ("bids", "asks")
        }  # fmt: skip
        if data["type"] == "snapshot":
            self.sides = {side: dict(levels) for side, levels in rows.items()}
            self.version = version
            return
        if version <= self.version:
            self.discarded += 1
            return
        if version != self.version + 1:
            raise Gap(f"{self.version} then {version}")
        self.version = version
        for side, levels in rows.items():
            for price, qty in levels:
                if qty:
                    self.sides[side][price] = qty
                else:
                    self.sides[side].pop(price, None)
        if self.product == "spot":
            self.sides["bids"] = dict(sorted(self.sides["bids"].items(), reverse=True)[:100])
            self.sides["asks"] = dict(sorted(self.sides["asks"].items())[:100])

    def levels(self) -> dict[str, list[tuple[D, D]]]:
        return {
            "bids": sorted(self.sides["bids"].items(), reverse=True),
            "asks": sorted(self.sides["asks"].items()),
        }


def truth(rig: Rig, product: str, version: int) -> dict[str, list[tuple[D, D]]]:
    """Return what the exchange published at a version, in the wire's unit, as deep as the window."""
    market = rig.market(product)
    reference = market.published_at(version)
    assert reference is not None
    unit = market.spec.contract_size if product == "perp" else D(1)
    depth = DEPTHS[product]
    return {
        "bids": [
            (market.price(p), market.qty(q) / unit) for p, q in sorted(reference.bids.items(), reverse=True)
        ][:depth],
        "asks": [(market.price(p), market.qty(q) / unit) for p, q in sorted(reference.asks.items())][:depth],
    }


def shake(rig: Rig, product: str, step: int) -> None:
    """Change the book near its best prices and around the window's edge, as a moving market does."""
    market = rig.market(product)
    middle = round(market.spec.initial_price / market.spec.tick_size)
    for distance in (1 + step % 9, 1 + (step * 37) % 155):
        market.set_background(market.bids, middle - distance, (step * 7) % 5 * 100)
        market.set_background(market.asks, middle + distance, (step * 3) % 4 * 100)
    rig.exchange.publish(market)


async def joined(rig: Rig, product: str) -> tuple[Socket, Book]:
    socket, book = await rig.listening(product, BOOKS[product]), Book(product)
    book.apply(await socket.push(BOOKS[product], lambda data: data["type"] == "snapshot"))
    return socket, book


async def caught_up(rig: Rig, product: str, socket: Socket, book: Book) -> None:
    """Apply what comes until the book is the exchange's as it is now."""
    market = rig.market(product)

    def is_there() -> bool:
        reference = market.published_at(book.version)
        return reference is not None and book.levels() == truth(rig, product, market.published_id)

    async with asyncio.timeout(DEADLINE_S):
        while not is_there():
            book.apply(await socket.push(BOOKS[product]))


@each_product
async def test_a_book_follows_the_exchange(rig: Rig, product: str) -> None:
    socket, book = await joined(rig, product)
    assert len(book.sides["bids"]) == DEPTHS[product]
    versions = []
    for step in range(1, 60):
        shake(rig, product, step)
        book.apply(await socket.push(BOOKS[product]))
        versions.append(book.version)
        assert book.levels() == truth(rig, product, book.version)
    assert book.discarded == 0
    assert versions == sorted(versions)


async def test_a_futures_book_needs_no_trimming(rig: Rig) -> None:
    """Levels that leave the window of fifty are announced, so a kept book never has more."""
    socket, book = await joined(rig, "perp")
    for step in range(1, 40):
        shake(rig, "perp", step)
        book.apply(await socket.push(BOOKS["perp"]))
        assert max(len(side) for side in book.sides.values()) <= 50


async def test_spot_does_not_announce_what_leaves_its_window(rig: Rig) -> None:
    market = rig.market("spot")
    socket, book = await joined(rig, "spot")
    edge = min(book.sides["bids"])
    best = market.bids.best
    assert best is not None
    market.set_background(market.bids, best + 1, 777)
    data = await socket.push(BOOKS["spot"], lambda data: data["bids"])
    assert [row[1] for row in data["bids"]] == ["0.00777"], "the new level alone"
    book.apply(data)
    assert edge not in book.sides["bids"], "the client trims it"
    market.set_background(market.bids, best + 1, 0)
    data = await socket.push(BOOKS["spot"], lambda data: data["bids"])
    assert [D(row[0]) for row in data["bids"]] == [market.price(best + 1), edge], "it comes back as a row"


async def test_a_quiet_spot_book_repeats_its_version_and_a_futures_book_counts(rig: Rig) -> None:
    spot, perp = await rig.listening("spot", BOOKS["spot"]), await rig.listening("perp", BOOKS["perp"])
    rows = [await spot.push(BOOKS["spot"]) for _ in range(3)]
    assert [row["type"] for row in rows] == ["snapshot", "update", "update"]
    assert len({row["version"] for row in rows}) == 1
    assert rows[1]["bids"] == rows[1]["asks"] == []
    rows = [await perp.push(BOOKS["perp"]) for _ in range(4)]
    assert [row["version"] - rows[0]["version"] for row in rows] == [0, 1, 2, 3]
    assert rows[2]["bids"] == rows[2]["asks"] == []


async def test_an_empty_contract_says_so_once(rig: Rig) -> None:
    market = rig.market("perp", "ETHUSDT")
    for side in (market.bids, market.asks):
        for price, _ in list(side.best_first()):
            market.set_background(side, price, 0)
    topic = "futures/depthIncrease50:ETHUSDT@100ms"
    socket = await rig.listening("perp", topic)
    data = await socket.push(topic)
    assert (data["type"], data["bids"], data["asks"]) == ("snapshot", [], [])
    await socket.ask("subscribe", BOOKS["perp"])
    for _ in range(3):
        await socket.push(BOOKS["perp"])
    assert [each for each in socket.seen if each.get("group") == topic and "data" in each][1:] == []
    answer = await rig.get("perp", "/contract/public/depth", symbol="ETHUSDT")
    assert (answer["code"], answer["data"]["asks"], answer["data"]["bids"]) == (1000, None, None)


@each_product
async def test_a_second_listener_joins_in_step(rig: Rig, product: str) -> None:
    first, one = await joined(rig, product)
    shake(rig, product, 3)
    second, two = await joined(rig, product)
    for step in range(4, 9):
        shake(rig, product, step)
        await caught_up(rig, product, first, one)
        await caught_up(rig, product, second, two)
        assert one.levels() == two.levels()


@each_product
async def test_versions_go_on_after_everybody_has_left(rig: Rig, product: str) -> None:
    socket, book = await joined(rig, product)
    await socket.ask("unsubscribe", BOOKS[product])
    shake(rig, product, 5)
    await socket.ask("subscribe", BOOKS[product])
    data = await socket.push(BOOKS[product])
    assert data["type"] == "snapshot"
    assert data["version"] > book.version
    book.apply(data)
    assert book.levels() == truth(rig, product, book.version)


@each_product
async def test_a_gap_is_repaired_by_a_request(rig: Rig, product: str) -> None:
    socket, book = await joined(rig, product)
    rig.faults.arm("drop_depth", product=product, symbol=MARKETS[product])
    shake(rig, product, 1)
    await rig.settled(lambda: rig.faults.happened.get("drop_depth") == 1)
    shake(rig, product, 2)
    with pytest.raises(Gap):
        await caught_up(rig, product, socket, book)
    await socket.send({socket.verb: "request", "args": [BOOKS[product]]})
    book.apply(await socket.push(BOOKS[product], lambda data: data["type"] == "snapshot"))
    shake(rig, product, 4)
    await caught_up(rig, product, socket, book)


@each_product
async def test_duplicates_and_old_versions_are_discarded(rig: Rig, product: str) -> None:
    socket, book = await joined(rig, product)
    steps = itertools.count(1)
    for fault in ("duplicate_depth", "partial_depth_as_diff"):
        before = book.discarded
        rig.faults.arm(fault, product=product)
        for step in steps:
            shake(rig, product, step)
            book.apply(await socket.push(BOOKS[product], lambda data: bool(data["bids"] or data["asks"])))
            if book.discarded > before:
                break
        await caught_up(rig, product, socket, book)


@each_product
async def test_a_frame_after_its_successor_is_a_gap(rig: Rig, product: str) -> None:
    socket, book = await joined(rig, product)
    rig.faults.arm("reorder_depth", product=product)
    shake(rig, product, 1)
    await rig.settled(lambda: rig.faults.happened.get("reorder_depth") == 1)
    shake(rig, product, 2)
    with pytest.raises(Gap):
        await caught_up(rig, product, socket, book)


@each_product
async def test_a_stale_snapshot_is_followed_by_a_gap(rig: Rig, product: str) -> None:
    first, one = await joined(rig, product)
    for step in range(1, 4):
        shake(rig, product, step)
        await caught_up(rig, product, first, one)
    rig.faults.arm("stale_snapshot", product=product)
    second, two = await joined(rig, product)
    assert two.version < one.version
    assert two.levels() == truth(rig, product, two.version)
    shake(rig, product, 5)
    with pytest.raises(Gap):
        await caught_up(rig, product, second, two)


@each_product
async def test_a_late_snapshot_comes_after_updates(rig: Rig, product: str) -> None:
    rig.faults.arm("slow_snapshot", product=product, delay_ms=150)
    socket = await rig.listening(product, BOOKS[product])
    shake(rig, product, 1)
    kinds, book = [], Book(product)
    while "snapshot" not in kinds:
        data = await socket.push(BOOKS[product])
        kinds.append(data["type"])
    assert kinds[0] == "update"
    book.apply(data)
    shake(rig, product, 2)
    await caught_up(rig, product, socket, book)


@each_product
async def test_a_request_may_be_refused(rig: Rig, product: str) -> None:
    socket, _ = await joined(rig, product)
    rig.faults.arm("snapshot_error", product=product)
    answer = await socket.ask("request", BOOKS[product])
    if product == "spot":
        assert answer["errorCode"] == "95000"
    else:
        assert answer["success"] is False
        assert answer["group"] == BOOKS[product]


@each_product
async def test_a_stream_may_begin_again(rig: Rig, product: str) -> None:
    socket, book = await joined(rig, product)
    rig.faults.arm("restart_depth", product=product, symbol=MARKETS[product])
    data = await socket.push(BOOKS[product], lambda data: data["type"] == "snapshot")
    assert data["version"] == 1
    book.apply(data)
    shake(rig, product, 2)
    await caught_up(rig, product, socket, book)


@each_product
@pytest.mark.parametrize("kind", ["truncated", "types", "huge", "utf8", "bytes", "nesting", "empty"])
async def test_garbage_is_sent_as_asked(rig: Rig, product: str, kind: str) -> None:
    socket, _ = await joined(rig, product)
    rig.faults.arm("garbage_frame", product=product, kind=kind, instead=True)
    broken = 0
    for step in range(1, 30):
        shake(rig, product, step)
        frame = await asyncio.wait_for(socket.connection.recv(decode=False), 10)
        try:
            text = frame if frame[:1] in (b"{", b"[", b"") else zlib.decompress(frame, -15)
            message = json.loads(text)
            data = message["data"][0] if isinstance(message["data"], list) else message["data"]
            assert isinstance(data["version"], int)
            assert data["version"] < 10**300
        except (ValueError, zlib.error, AssertionError, RecursionError, KeyError, TypeError):
            broken += 1
            break
    assert broken == 1
    assert rig.faults.happened["garbage_frame"] == 1


async def test_an_unknown_event_may_come(rig: Rig) -> None:
    socket, _ = await joined(rig, "perp")
    rig.faults.arm("unknown_event", product="perp")
    assert (await socket.until(lambda each: each.get("group") == "futures/news"))["data"]


@each_product
async def test_one_topic_may_fall_silent(rig: Rig, product: str) -> None:
    other = BOOKS[product].replace("BTC", "ETH")
    socket = await rig.listening(product, BOOKS[product], other)
    fault = rig.faults.arm("silent_topic", product=product, symbol=MARKETS[product], count=None)
    await rig.settled(lambda: rig.faults.happened.get("silent_topic") == 1)
    symbol = MARKETS[product].replace("BTC", "ETH")
    await socket.push(other, lambda data: data["symbol"] == symbol and data["type"] == "update")
    rig.faults.clear(fault.number)
    shake(rig, product, 7)
    await socket.push(BOOKS[product], lambda data: data["symbol"] == MARKETS[product])


async def test_big_spot_pushes_are_raw_deflate_and_small_ones_text(rig: Rig) -> None:
    socket = await rig.listening("spot", BOOKS["spot"])
    data = await socket.push(BOOKS["spot"])
    assert len(socket.binary) == 1
    inflate = zlib.decompressobj(-15)
    assert json.loads(inflate.decompress(socket.binary[0]))["data"] == [data]
    assert inflate.eof, "a complete stream, final block included"
    assert inflate.unused_data == b""
    market = rig.market("spot")
    market.set_background(market.asks, market.asks.best or 0, 5)
    await socket.push(BOOKS["spot"], lambda data: len(data["asks"]) == 1)
    assert len(socket.binary) == 1, "one row is not worth compressing"


async def test_futures_frames_are_compressed_only_for_those_who_offer_it(rig: Rig) -> None:
    plain = await rig.listening("perp", BOOKS["perp"])
    offering = await rig.socket("perp", compression="deflate")
    await offering.ask("subscribe", BOOKS["perp"])
    first = await offering.push(BOOKS["perp"])
    assert first["type"] == "snapshot"
    assert [type(each).__name__ for each in offering.connection.protocol.extensions] == ["PerMessageDeflate"]
    assert not plain.connection.protocol.extensions
    for step in range(1, 5):
        shake(rig, "perp", step)
        books = [await each.push(BOOKS["perp"], lambda data: data["bids"]) for each in (plain, offering)]
    assert books[1]["type"] == "update"
    assert not offering.binary


async def test_a_window_too_small_for_our_frames_gets_them_plain(rig: Rig) -> None:
    for bits, deflates in ((9, False), (12, True), (15, True)):
        small = ClientPerMessageDeflateFactory(server_max_window_bits=bits)
        async with connect(rig.urls["perp"]["ws_public"], compression=None, extensions=[small]) as connection:
            await connection.send(json.dumps({"action": "subscribe", "args": [BOOKS["perp"]]}))
            assert json.loads(await connection.recv())["success"] is True
            assert json.loads(await connection.recv())["data"]["type"] == "snapshot"
            assert json.loads(await connection.recv())["data"]["type"] == "update"
            (session,) = rig.wire.venue.sides["perp"].sockets.sessions
            assert session.deflates is deflates
        await rig.settled(lambda: not rig.wire.venue.sides["perp"].sockets.sessions)


@pytest.mark.parametrize("name", ["depthIncrease5", "depthIncrease20", "depthIncrease50"])
async def test_delta_streams_of_other_depths_and_speeds(rig: Rig, name: str) -> None:
    depth = int(name.removeprefix("depthIncrease"))
    topics = [f"futures/{name}:BTCUSDT{speed}" for speed in ("", "@100ms", "@200ms")]
    socket = await rig.socket("perp")
    starts: list[int] = []
    for topic in topics:
        await socket.ask("subscribe", topic)
        data: Any = await socket.push(topic)
        assert len(data["bids"]) == len(data["asks"]) == depth
        starts.append(data["version"])
    assert len(set(starts)) == 3, "versions of different streams have nothing to do with each other"


async def test_whole_books(rig: Rig) -> None:
    spot = await rig.listening("spot", "spot/depth20:BTC_USDT")
    data = await spot.push("spot/depth20:BTC_USDT")
    assert len(data["bids"]) == len(data["asks"]) == 20
    perp = await rig.listening("perp", "futures/depthAll5:BTCUSDT@200ms")
    data = await perp.push("futures/depthAll5:BTCUSDT@200ms")
    assert [row["price"] for row in data["bids"]] == ["59999.9", "59999.8", "59999.7", "59999.6", "59999.5"]


async def test_one_side_per_frame(rig: Rig) -> None:
    topic = "futures/depth50:BTCUSDT"
    socket = await rig.listening("perp", topic)
    ways = [(await socket.push(topic))["way"] for _ in range(2)]
    assert ways == [1, 2]
    market = rig.market("perp")
    market.set_background(market.asks, market.asks.best or 0, 5)
    data = await socket.push(topic)
    assert (data["way"], len(data["depths"]), data["depths"][0]["vol"]) == (2, 50, "5")


async def test_every_change_where_no_pace_is_set() -> None:
    async with Rig(book_ms=0) as rig:
        for product in PRODUCTS:
            socket, book = await joined(rig, product)
            before = book.version
            for step in range(1, 8):
                shake(rig, product, step)
            while book.version < before + 7:
                book.apply(await socket.push(BOOKS[product]))
            assert book.levels() == truth(rig, product, book.version)


@pytest.mark.parametrize("book_ms", [None, 0, 1000])
async def test_the_run_sets_the_pace(book_ms: int | None) -> None:
    exchange = Exchange("bitmart", SPECS, [], SimClock())
    venue = build(exchange, FaultBoard(), exchange.clock, Settings(book_ms=book_ms)).venue
    topic = futures_public(venue.listing, BOOKS["perp"])
    assert topic is not None
    side = venue.sides["perp"]
    assert side.feed.stream(topic).pace_ms == (100 if book_ms is None else book_ms)
    slow = futures_public(venue.listing, BOOKS["perp"].replace("100ms", "200ms"))
    assert slow is not None
    assert side.feed.stream(slow).pace_ms == {None: 200, 0: 0, 1000: 1000}[book_ms]
