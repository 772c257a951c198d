"""OKX's public side: books by the published chain rule, trades, tickers, marks, funding."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from decimal import Decimal as D

import pytest

from engine.sim.okx.options import Options
from tests.sim.loopback_rig import Message
from tests.sim.okx_rig import MANY, SPOT, SWAP, Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


class Book:
    """A client's book by the published rule; a broken chain fails, deletes of unknown prices do not."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self.last: int | None = None
        self.unknown_deletes = 0

    def apply(self, message: Message) -> None:
        [data] = message["data"]
        if message["action"] == "snapshot":
            assert data["prevSeqId"] == -1
            self.sides = {side: {row[0]: row[1] for row in data[side]} for side in self.sides}
        else:
            assert data["prevSeqId"] == self.last, "a gap"
            for side, levels in self.sides.items():
                for price, size, zero, orders in data[side]:
                    assert zero == "0"
                    assert (orders == "0") == (size == "0")
                    if size != "0":
                        levels[price] = size
                    elif levels.pop(price, None) is None:
                        self.unknown_deletes += 1
        assert data["checksum"] == 0
        self.last = data["seqId"]

    def levels(self) -> dict[str, list[tuple[D, D]]]:
        bids, asks = (sorted((D(p), D(q)) for p, q in levels.items()) for levels in self.sides.values())
        return {"bids": bids[::-1], "asks": asks}


def truth(rig: Rig, inst_id: str, depth: int = 400) -> dict[str, list[tuple[D, D]]]:
    """Return the exchange's own best levels, sizes as the wire counts them."""
    market = rig.market(inst_id)
    size = market.spec.contract_size
    return {
        name: [
            (market.price(price), market.qty(lots) / size)
            for price, lots in itertools.islice(side.best_first(), depth)
        ]
        for name, side in (("bids", market.bids), ("asks", market.asks))
    }


# -- books


@pytest.mark.parametrize("inst_id", [SPOT, SWAP])
async def test_a_book_follows_the_exchange(rig: Rig, inst_id: str) -> None:
    socket, book = await rig.listening("books", inst_id), Book()
    first = await socket.push("books")
    assert list(first) == ["arg", "action", "data"]
    assert list(first["data"][0]) == ["asks", "bids", "ts", "checksum", "seqId", "prevSeqId"]
    book.apply(first)
    jumps = 0
    for step in range(1, 25):
        before = book.last
        rig.shake(inst_id, step)
        message = await socket.push("books")
        assert message["action"] == "update"
        book.apply(message)
        assert book.last is not None
        assert before is not None
        jumps += book.last - before > 1
        assert book.levels() == truth(rig, inst_id)
        assert book.last == rig.market(inst_id).published_id
    assert jumps > 0, "numbers that rise by one would teach clients a rule that does not hold"


async def test_a_swap_is_counted_in_contracts(rig: Rig) -> None:
    socket = await rig.listening("books", SWAP)
    # A level of 1000 lots of 0.0001 BTC is 10 contracts of 0.01 BTC.
    assert (await socket.push("books"))["data"][0]["bids"][0][:2] == ["59999.9", "10"]


async def test_the_window_is_kept_by_deletes_and_adds(rig: Rig) -> None:
    market = rig.market(SPOT)
    middle = 600_000
    for distance in range(101, 451):
        market.set_background(market.bids, middle - distance, 5)
    rig.exchange.publish(market)
    socket, book = await rig.listening("books", SPOT), Book()
    book.apply(await socket.push("books"))
    assert len(book.sides["bids"]) == 400
    market.set_background(market.bids, middle, 7)  # a better price pushes the worst out
    rig.exchange.publish(market)
    message = await socket.push("books")
    assert message["data"][0]["bids"] == [["60000", "0.000007", "0", "1"], ["59960", "0", "0", "0"]]
    book.apply(message)
    market.set_background(market.bids, middle, 0)  # and when it goes, the worst comes back
    market.set_background(market.bids, middle - 1, 0)
    rig.exchange.publish(market)
    book.apply(await socket.push("books"))
    assert book.levels()["bids"] == truth(rig, SPOT)["bids"]
    assert len(book.sides["bids"]) == 400


async def test_deletes_may_name_prices_that_nobody_holds(rig: Rig) -> None:
    market = rig.market(SPOT)
    socket, book = await rig.listening("books", SPOT), Book()
    book.apply(await socket.push("books"))
    market.set_background(market.bids, 600_000, 9)
    market.set_background(market.bids, 600_000, 0)
    rig.exchange.publish(market)
    book.apply(await socket.push("books"))
    assert book.unknown_deletes == 1
    assert book.levels() == truth(rig, SPOT)


async def test_a_second_listener_joins_at_the_same_number(rig: Rig) -> None:
    first, books = await rig.listening("books"), [Book(), Book()]
    books[0].apply(await first.push("books"))
    rig.shake(SWAP, 3)
    second = await rig.listening("books")
    books[1].apply(await second.push("books"))
    books[0].apply(await first.push("books"))
    assert books[0].last == books[1].last
    assert books[0].sides == books[1].sides
    rig.shake(SWAP, 4)
    for socket, book in zip((first, second), books, strict=True):
        book.apply(await socket.push("books"))
    assert books[0].sides == books[1].sides


async def test_unsubscribing_and_subscribing_brings_a_new_snapshot(rig: Rig) -> None:
    socket = await rig.listening("books")
    await socket.push("books")
    arg = {"channel": "books", "instId": SWAP}
    assert (await socket.ask("unsubscribe", arg, number="7"))["id"] == "7"
    rig.shake(SWAP, 1)
    assert (await socket.ask("subscribe", arg))["event"] == "subscribe"
    assert (await socket.push("books"))["action"] == "snapshot"
    actions = [each["action"] for each in socket.seen if "action" in each]
    assert actions == ["snapshot", "snapshot"], "nothing came in between"


async def test_quiet_books_say_that_nothing_has_changed() -> None:
    async with Rig(Options(connects_per_s=1_000, heartbeat_ms=60)) as rig:
        socket, book = await rig.listening("books"), Book()
        first = await socket.push("books")
        book.apply(first)
        beat = (await socket.push("books"))["data"][0]
        assert (beat["asks"], beat["bids"]) == ([], [])
        assert beat["seqId"] == beat["prevSeqId"] == first["data"][0]["seqId"]
        await socket.ask("subscribe", {"channel": "bbo-tbt", "instId": SWAP})
        tops = [(await socket.push("bbo-tbt"))["data"][0] for _ in range(2)]
        assert [{**top, "ts": ""} for top in tops] == [{**tops[0], "ts": ""}] * 2


async def test_best_levels_come_whole(rig: Rig) -> None:
    socket = await rig.listening("bbo-tbt")
    await socket.ask("subscribe", {"channel": "books5", "instId": SWAP})
    top, five = await socket.push("bbo-tbt"), await socket.push("books5")
    assert "action" not in top
    assert list(top["data"][0]) == ["asks", "bids", "ts", "seqId"]
    assert list(five["data"][0]) == ["asks", "bids", "instId", "ts", "seqId"]
    assert len(five["data"][0]["asks"]) == 5
    market = rig.market()
    market.set_background(market.bids, 600_000, 50)
    rig.exchange.publish(market)
    row = (await socket.push("bbo-tbt"))["data"][0]
    assert row["bids"] == [["60000", "0.5", "0", "2"]]
    row = (await socket.push("books5"))["data"][0]
    assert [level[0] for level in row["bids"]] == ["60000", "59999.9", "59999.8", "59999.7", "59999.6"]


async def test_at_one_change_the_best_comes_before_the_book(rig: Rig) -> None:
    socket = await rig.listening("books")
    await socket.ask("subscribe", {"channel": "bbo-tbt", "instId": SWAP})
    await socket.push("bbo-tbt")
    await socket.push("books")
    market = rig.market()
    market.set_background(market.asks, 600_001, 7)
    rig.exchange.publish(market)
    await socket.push("books")
    assert [each["arg"]["channel"] for each in socket.seen[-2:]] == ["bbo-tbt", "books"]


# -- trades and prices


async def test_matches_of_one_taker_at_one_price_are_one_message(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = rig.clock.now_ms()
    monkeypatch.setattr(rig.clock, "now_ms", lambda: moment)  # matches of two milliseconds are two messages
    socket, whole = await rig.listening("trades"), await rig.listening("trades-all", kind="business")
    for lots in (2, 3):
        await rig.place(name="bob", side="sell", px="60000", sz=f"0.0{lots}")
    await rig.place(side="buy", ordType="market", px=None, sz="0.05")
    row = (await socket.push("trades"))["data"][0]
    assert (row["count"], row["sz"], row["side"], row["px"]) == ("2", "0.05", "buy", "60000")
    assert isinstance(row["seqId"], int)
    each = [(await whole.push("trades-all"))["data"][0] for _ in range(2)]
    assert [one["sz"] for one in each] == ["0.02", "0.03"]
    assert each[-1]["tradeId"] == row["tradeId"]
    assert "count" not in each[0]
    listed = await rig.rows("/market/trades", instId=SWAP, limit=1)
    assert [one["tradeId"] for one in listed] == [row["tradeId"]]


async def test_prices_make_two_messages_of_one_taker(rig: Rig) -> None:
    socket = await rig.listening("trades", SPOT)
    await rig.place(SPOT, side="sell", ordType="market", px=None, sz="0.0015")
    rows = [(await socket.push("trades"))["data"][0] for _ in range(2)]
    assert [(row["px"], row["sz"], row["count"]) for row in rows] == [
        ("59999.9", "0.001", "1"), ("59999.8", "0.0005", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("inst_id", "volume", "turnover"), [(SWAP, "0.05", "0.0005"), (SPOT, "0.0005", "30")]
)
async def test_ticker_volumes(rig: Rig, inst_id: str, volume: str, turnover: str) -> None:
    socket = await rig.listening("tickers", inst_id)
    assert (await socket.push("tickers"))["data"][0]["vol24h"] == "0"
    rig.exchange.background_trade(rig.market(inst_id), "BUY", 5 if inst_id == SWAP else 500)
    row = (await socket.push("tickers", lambda row: row["vol24h"] != "0"))["data"][0]
    assert row["vol24h"] == volume
    assert D(row["volCcy24h"]).quantize(D("0.001")) == D(turnover).quantize(D("0.001"))
    assert (row["last"], row["bidPx"]) == ("60000.1", "59999.9")
    rest = (await rig.rows("/market/ticker", instId=inst_id))[0]
    assert rest | {"ts": ""} == row | {"ts": ""}


async def test_a_ticker_that_came_too_soon_is_not_lost(rig: Rig) -> None:
    socket, market = await rig.listening("tickers"), rig.market()
    for lots in range(1, 6):
        market.set_background(market.bids, 600_000, lots * 100)
        rig.exchange.publish(market)
        await asyncio.sleep(0)
    assert (await socket.push("tickers", lambda row: row["bidSz"] == "5"))["data"][0]["bidPx"] == "60000"


async def test_marks_limits_indices_interest_and_funding(rig: Rig) -> None:
    socket, market = await rig.socket(), rig.market()
    market.next_funding_ms = 1_790_000_000_000
    names = dict.fromkeys(("mark-price", "price-limit", "open-interest", "funding-rate"), SWAP)
    first = {}
    for channel, name in (names | {"index-tickers": "BTC-USDT"}).items():
        assert (await socket.ask("subscribe", {"channel": channel, "instId": name}))["event"] == "subscribe"
        first[channel] = (await socket.push(channel))["data"][0]
    assert first["funding-rate"]["nextFundingTime"] == str(1_790_000_000_000 + 8 * 3_600_000)
    assert first["funding-rate"]["nextFundingRate"] == ""
    assert first["open-interest"]["oi"] == "10000"
    assert first["open-interest"]["oiCcy"] == "100"
    assert (first["price-limit"]["buyLmt"], first["price-limit"]["sellLmt"]) == ("63000", "57000")
    assert first["index-tickers"]["idxPx"] == "60000"
    market.mark_price, market.index_price = D("60001.5"), D("60002.5")
    assert (await socket.push("mark-price"))["data"][0]["markPx"] == "60001.5"
    assert (await socket.push("price-limit"))["data"][0]["enabled"] is True
    assert (await socket.push("index-tickers"))["data"][0]["idxPx"] == "60002.5"


async def test_an_instrument_that_changes_its_state_is_told(rig: Rig) -> None:
    socket = await rig.socket()
    await socket.ask("subscribe", {"channel": "instruments", "instType": "SWAP"})
    rig.exchange.set_status(rig.market(), "HALTED")
    row = (await socket.push("instruments"))["data"][0]
    assert (row["instId"], row["state"]) == (SWAP, "suspend")
    assert row == (await rig.rows("/public/instruments", instType="SWAP", instId=SWAP))[0]


async def test_status_is_told_at_once(rig: Rig) -> None:
    socket = await rig.socket()
    assert (await socket.ask("subscribe", {"channel": "status"}))["event"] == "subscribe"
    assert (await socket.push("status"))["data"][0]["state"] == "completed"


def test_the_rig_is_as_strict_as_the_venue_but_for_the_pace_of_connecting() -> None:
    assert Options(connects_per_s=1_000) == MANY
    usual = Options()
    assert (usual.silence_s, usual.requests_per_hour, usual.connects_per_s) == (30.0, 480, 3)
    assert (usual.heartbeat_ms, usual.repeat_ms, usual.private_connections) == (60_000, 5_000, 30)
