"""Bybit's public side: instruments, books, trades, tickers, sessions and their limits."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.bybit.instruments import number_text
from tests.sim.bybit_rig import Rig, Socket
from tests.sim.loopback_rig import Message


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


class Book:
    """A client's book by the published rule: any jump of ``u`` and any delete of an unknown price fails."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.last = -1

    def apply(self, message: Message) -> None:
        data = message["data"]
        if message["type"] == "snapshot":
            self.sides = {side: dict(data[side]) for side in "ba"}
        else:
            assert data["u"] == self.last + 1, "a gap"
            for side in "ba":
                for price, size in data[side]:
                    if size == "0":
                        del self.sides[side][price]
                    else:
                        self.sides[side][price] = size
        self.last = data["u"]

    def levels(self, depth: int) -> dict[str, list[tuple[D, D]]]:
        bids, asks = (sorted((D(p), D(q)) for p, q in self.sides[side].items()) for side in "ba")
        assert len(bids) <= depth
        assert len(asks) <= depth
        return {"bids": bids[::-1], "asks": asks}


def truth(rig: Rig, product: str, depth: int) -> dict[str, list[tuple[D, D]]]:
    market = rig.market(product)
    shown = {}
    for name, side in (("bids", market.bids), ("asks", market.asks)):
        best = itertools.islice(side.best_first(), depth)
        shown[name] = [(market.price(price), market.qty(lots)) for price, lots in best]
    return shown


def shake(rig: Rig, product: str, step: int) -> None:
    """Change the book near and around its best prices, as a moving market does."""
    market = rig.market(product)
    middle = round(market.spec.initial_price / market.spec.tick_size)
    market.set_background(market.bids, middle - 1 - step % 60, (step * 7) % 5 * 100)
    market.set_background(market.asks, middle + 1 + step % 60, (step * 3) % 4 * 100)
    rig.exchange.publish(market)


async def subscribed(rig: Rig, product: str, *topics: str) -> Socket:
    socket = await rig.socket("public", product)
    answer = await socket.ask({"op": "subscribe", "req_id": "s", "args": list(topics)})
    assert answer["success"] is True
    assert answer["req_id"] == "s"
    return socket


@pytest.mark.parametrize("product", ["spot", "perp"])
@pytest.mark.parametrize("depth", [50, 200, 1000])
async def test_a_book_follows_the_exchange(rig: Rig, product: str, depth: int) -> None:
    topic = f"orderbook.{depth}.BTCUSDT"
    socket = await subscribed(rig, product, topic)
    book, deltas = Book(), 0
    first = await socket.topic(topic)
    assert first["type"] == "snapshot"
    assert first["cts"] < first["ts"]
    order = (
        ["topic", "type", "ts", "data", "cts"]
        if product == "perp"
        else ["topic", "ts", "type", "data", "cts"]
    )
    assert list(first) == order
    book.apply(first)
    for step in range(1, 25):
        shake(rig, product, step)
        message = await socket.topic(topic)
        assert message["type"] == "delta"
        assert list(message) == order
        deltas += 1
        book.apply(message)
        assert book.levels(depth) == truth(rig, product, depth)
        assert message["data"]["seq"] == rig.market(product).published_id
    assert deltas == 24


async def test_a_second_listener_joins_at_the_same_number(rig: Rig) -> None:
    topic = "orderbook.200.BTCUSDT"
    first, books = await subscribed(rig, "perp", topic), [Book(), Book()]
    books[0].apply(await first.topic(topic))
    shake(rig, "perp", 3)
    second = await subscribed(rig, "perp", topic)
    books[1].apply(await second.topic(topic))
    books[0].apply(await first.topic(topic))
    assert books[0].last == books[1].last
    assert books[0].sides == books[1].sides
    shake(rig, "perp", 4)
    for socket, book in zip((first, second), books, strict=True):
        book.apply(await socket.topic(topic))
    assert books[0].sides == books[1].sides


async def test_a_second_subscription_does_not_start_the_book_again(rig: Rig) -> None:
    topic = "orderbook.50.BTCUSDT"
    socket = await subscribed(rig, "perp", topic)
    await socket.topic(topic)
    assert (await socket.ask({"op": "subscribe", "args": [topic]}))["success"] is True
    shake(rig, "perp", 2)
    assert (await socket.topic(topic))["type"] == "delta"


async def test_level_one_is_snapshots_repeated_after_three_seconds(rig: Rig) -> None:
    topic = "orderbook.1.BTCUSDT"
    socket = await subscribed(rig, "perp", topic)
    first = await socket.topic(topic)
    assert list(first) == ["topic", "ts", "type", "data", "cts"]
    again = await socket.topic(topic)
    assert again["data"] == first["data"]
    assert again["ts"] - first["ts"] >= 3000
    market = rig.market()
    market.set_background(market.bids, 599_999, 1234)
    changed = await socket.topic(topic)
    assert changed["type"] == "snapshot"
    assert changed["data"]["u"] == first["data"]["u"] + 1
    assert changed["data"]["b"] == [["59999.9", "1.234"]]


async def test_rest_book_shares_its_number_with_the_thousand_level_stream(rig: Rig) -> None:
    topic, book = "orderbook.1000.BTCUSDT", Book()
    socket = await subscribed(rig, "spot", topic)
    book.apply(await socket.topic(topic))
    shake(rig, "spot", 5)
    result = (await rig.get("/market/orderbook", category="spot", symbol="BTCUSDT", limit=1000))["result"]
    book.apply(await socket.topic(topic, u=result["u"]))
    assert {row[0]: row[1] for row in result["b"]} == book.sides["b"]
    assert {row[0]: row[1] for row in result["a"]} == book.sides["a"]
    one = (await rig.get("/market/orderbook", category="spot", symbol="BTCUSDT"))["result"]
    assert (len(one["a"]), len(one["b"])) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "numbers"),
    [("drop_depth", [1, 3]), ("duplicate_depth", [1, 2, 2, 3]), ("reorder_depth", [1, 3, 2]),
     ("restart_depth", [1])],
)  # fmt: skip
async def test_depth_faults(rig: Rig, fault: str, numbers: list[int]) -> None:
    topic = "orderbook.50.BTCUSDT"
    socket = await subscribed(rig, "perp", topic)
    start = (await socket.topic(topic))["data"]["u"]
    shake(rig, "perp", 1)
    seen = [(await socket.topic(topic))["data"]["u"] - start]
    rig.faults.arm(fault, venue="bybit", product="perp", symbol="BTCUSDT")
    if fault == "restart_depth":
        message = await socket.topic(topic)
        assert (message["type"], message["data"]["u"]) == ("snapshot", 1)
    else:
        market = rig.market()
        stream = rig.wire.venue.books["linear", topic]
        for step in (2, 3):
            before = stream.update_id
            shake(rig, "perp", step)
            await rig.settled(lambda before=before: stream.update_id > before)  # type: ignore[misc]
        while len(seen) < len(numbers):
            seen.append((await socket.topic(topic))["data"]["u"] - start)
        assert market.published_id == market.last_id
    assert seen == numbers
    assert rig.faults.happened[fault] == 1


@pytest.mark.parametrize("keeps_count", [True, False])
async def test_a_snapshot_may_come_unasked(rig: Rig, keeps_count: bool) -> None:
    topic, book = "orderbook.50.BTCUSDT", Book()
    socket = await subscribed(rig, "perp", topic)
    book.apply(await socket.topic(topic))
    before = book.last
    rig.faults.arm("restart_depth", venue="bybit", symbol="BTCUSDT", product="perp", keeps_count=keeps_count)
    message = await socket.topic(topic)
    assert message["type"] == "snapshot"
    assert message["data"]["u"] == (before + 1 if keeps_count else 1)
    book.apply(message)
    shake(rig, "perp", 4)
    book.apply(await socket.topic(topic))
    assert book.levels(50) == truth(rig, "perp", 50)


@pytest.mark.parametrize("kind", ["truncated", "types", "huge", "utf8", "bytes", "nesting", "empty"])
async def test_a_malformed_frame_is_sent_beside_the_healthy_one(rig: Rig, kind: str) -> None:
    topic = "orderbook.50.ETHUSDT"
    socket = await subscribed(rig, "spot", "orderbook.50.BTCUSDT", topic)
    await socket.topic(topic)
    rig.faults.arm("garbage_frame", venue="bybit", product="spot", kind=kind)
    shake(rig, "spot", 1)
    await rig.settled(lambda: rig.faults.happened.get("garbage_frame") == 1)


async def test_trades(rig: Rig) -> None:
    spot = await subscribed(rig, "spot", "publicTrade.BTCUSDT")
    linear = await subscribed(rig, "perp", "publicTrade.BTCUSDT")
    for product in ("spot", "perp"):
        rig.exchange.background_trade(rig.market(product), "SELL", 7)
    row = (await linear.topic("publicTrade.BTCUSDT"))["data"][0]
    assert (row["S"], row["v"], row["p"]) == ("Sell", "0.007", "59999.9")
    assert row["L"] == "ZeroPlusTick"
    assert row["i"].count("-") == 4
    row = (await spot.topic("publicTrade.BTCUSDT"))["data"][0]
    assert "L" not in row
    assert row["i"].isdecimal()
    assert row["v"] == "0.000007"
    listed = (await rig.get("/market/recent-trade", category="spot", symbol="BTCUSDT"))["result"]["list"]
    assert [each["execId"] for each in listed] == [row["i"]]
    assert listed[0]["side"] == "Sell"


async def test_linear_ticker_is_a_snapshot_then_what_changed(rig: Rig) -> None:
    topic, market = "tickers.BTCUSDT", rig.market()
    socket = await subscribed(rig, "perp", topic)
    whole = await socket.topic(topic)
    assert whole["type"] == "snapshot"
    assert "openInterestValue" in whole["data"]
    market.mark_price = D("60001.5")
    delta = await socket.topic(topic, type="delta")
    assert delta["data"]["markPrice"] == "60001.5"
    assert "fundingRate" not in delta["data"]
    assert "lastPrice" not in delta["data"]


async def test_spot_ticker_has_neither_bid_nor_ask(rig: Rig) -> None:
    socket = await subscribed(rig, "spot", "tickers.BTCUSDT")
    whole = await socket.topic("tickers.BTCUSDT")
    assert not [name for name in whole["data"] if name.startswith(("bid", "ask"))]
    assert "usdIndexPrice" in whole["data"]
    rest = (await rig.get("/market/tickers", category="spot", symbol="BTCUSDT"))["result"]["list"][0]
    assert rest["bid1Price"] == "59999.9"


# -- control


async def test_pongs_differ_by_path(rig: Rig) -> None:
    linear, spot = await rig.socket("public", "perp"), await rig.socket("public", "spot")
    private, trade = await rig.socket("private"), await rig.socket("trade")
    pong = await linear.ask({"op": "ping"})
    assert (pong["op"], pong["ret_msg"], pong["req_id"]) == ("ping", "pong", "")
    pong = await spot.ask({"op": "ping"})
    assert pong["success"] is True
    assert "req_id" not in pong
    pong = await spot.ask({"op": "ping", "req_id": 7})
    assert pong["req_id"] == "7"
    pong = await private.ask({"op": "ping", "req_id": "9"})
    assert (pong["op"], pong["req_id"]) == ("pong", "9")
    assert pong["args"][0].isdecimal()
    pong = await trade.ask({"op": "ping"})
    assert (pong["op"], pong["retCode"]) == ("pong", 0)
    assert pong["data"][0].isdecimal()


async def test_one_unknown_topic_fails_the_whole_request(rig: Rig) -> None:
    socket = await rig.socket("public", "perp")
    good = "orderbook.50.BTCUSDT"
    for bad in ("orderbook.500.BTCUSDT", "orderbook.50.NOPE", "dcp.future", "order"):
        answer = await socket.ask({"op": "subscribe", "req_id": "x", "args": [good, bad]})
        assert (answer["success"], answer["ret_msg"]) == (False, f"error:handler not found,topic:{bad}")
    shake(rig, "perp", 1)
    assert (await socket.ask({"op": "ping"}))["success"] is True
    assert not [each for each in socket.seen if "topic" in each]


async def test_spot_takes_ten_topics_a_request(rig: Rig) -> None:
    socket = await rig.socket("public", "spot")
    args = [f"orderbook.{depth}.BTCUSDT" for depth in (1, 50, 200, 1000)] * 3
    answer = await socket.ask({"op": "subscribe", "args": args[:11]})
    assert answer["success"] is False
    assert answer["ret_msg"] == "args size >10"
    assert "\\u003e10" in str(socket.raw[-1])
    assert (await socket.ask({"op": "subscribe", "args": args[:10]}))["ret_msg"] == "subscribe"


async def test_topics_of_a_connection_have_a_length_limit(rig: Rig) -> None:
    socket = await rig.socket("public", "perp")
    answer = await socket.ask({"op": "subscribe", "args": ["orderbook.50.BTCUSDT"] * 1100})
    assert answer["success"] is False


async def test_unsubscribed_topics_fall_silent_and_unknown_ones_are_acknowledged(rig: Rig) -> None:
    topic = "orderbook.50.BTCUSDT"
    socket = await subscribed(rig, "perp", topic)
    await socket.topic(topic)
    answer = await socket.ask({"op": "unsubscribe", "args": [topic, "orderbook.500.BTCUSDT"], "req_id": "u"})
    assert (answer["op"], answer["success"]) == ("unsubscribe", True)
    count = len(socket.seen)
    shake(rig, "perp", 1)
    await socket.ask({"op": "ping"})
    assert len(socket.seen) == count + 1
    await socket.ask({"op": "subscribe", "args": [topic]})
    assert (await socket.topic(topic))["type"] == "snapshot"


@pytest.mark.parametrize("sent", ["{", "[]", '{"op":"dance"}', '{"op":"subscribe","args":"x"}'])
async def test_nonsense_is_refused_and_the_socket_lives(rig: Rig, sent: str) -> None:
    socket = await rig.socket("public", "perp")
    await socket.send(sent)
    assert (await socket.until(lambda each: True))["success"] is False
    assert (await socket.ask({"op": "ping"}))["success"] is True


# -- REST


async def test_instruments(rig: Rig) -> None:
    linear = (await rig.get("/market/instruments-info", category="linear", limit=1))["result"]
    assert linear["list"][0]["contractType"] == "LinearPerpetual"
    assert linear["nextPageCursor"]
    lot = linear["list"][0]["lotSizeFilter"]
    assert (lot["qtyStep"], lot["minNotionalValue"]) == ("0.001", "5")
    rest = await rig.get(
        "/market/instruments-info", category="linear", limit=1, cursor=linear["nextPageCursor"]
    )
    assert [one["symbol"] for one in rest["result"]["list"]] == ["ETHUSDT"]
    assert rest["result"]["nextPageCursor"] == ""
    assert rest["result"]["list"][0]["fundingInterval"] == 240
    spot = (await rig.get("/market/instruments-info", category="spot"))["result"]["list"]
    assert [one["symbol"] for one in spot] == ["BTCUSDT", "ETHUSDT"]
    assert "qtyStep" not in spot[0]["lotSizeFilter"]
    assert spot[0]["lotSizeFilter"]["basePrecision"] == "0.000001"
    assert (await rig.get("/market/instruments-info", category="option"))["result"]["list"] == []


async def test_public_questions_and_their_errors(rig: Rig) -> None:
    time = await rig.get("/market/time")
    assert abs(int(time["result"]["timeNano"]) // 1_000_000 - rig.clock.now_ms()) < 5_000
    market = rig.market()
    rig.exchange.settle_funding(market, 1_790_000_000_000)
    rows = (await rig.get("/market/funding/history", category="linear", symbol="BTCUSDT"))["result"]["list"]
    assert rows == [{"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": "1790000000000"}]
    wrong: list[tuple[str, dict[str, Any], int]] = [
        ("/market/funding/history", {"category": "linear", "symbol": "BTCUSDT", "startTime": 1}, 10001),
        ("/market/tickers", {"category": "nope"}, 10001),
        ("/market/tickers", {"category": "spot", "symbol": "NOPE"}, 170121),
        ("/market/orderbook", {"category": "spot", "symbol": "BTCUSDT", "limit": "x"}, 10001),
        ("/market/open-interest", {"category": "linear", "symbol": "BTCUSDT"}, 10001),
    ]
    for path, params, code in wrong:
        assert (await rig.get(path, **params))["retCode"] == code, path
    interest = await rig.get(
        "/market/open-interest", category="linear", symbol="BTCUSDT", intervalTime="5min"
    )
    assert interest["result"]["list"][0]["openInterest"] == "1000.000"
    assert (await rig.raw("GET", "/v5/nope", name=None))[0] == 404


def test_numbers_have_no_tail() -> None:
    assert [number_text(D(text)) for text in ("1.500", "100", "0E-8", "-0.0", "1E+3")] == [
        "1.5", "100", "0", "0", "1000",
    ]  # fmt: skip
