"""The classic sockets: tokens, acknowledgements, books by the documented calibration, private topics."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed

from engine.sim.flow import MarketFlow
from engine.sim.market import Market
from engine.sim.ports import Settings
from tests.sim.kucoin_rig import Rig, Socket


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


# -- connections -----------------------------------------------------------------------------------


async def test_tokens_are_per_host_and_expire(rig: Rig) -> None:
    data = await rig.bullet("spot")
    server = data["instanceServers"][0]
    assert (server["pingInterval"], server["pingTimeout"], server["encrypt"]) == (18000, 10000, False)
    futures = (await rig.bullet("perp"))["instanceServers"][0]["endpoint"]
    old = (await rig.bullet("spot"))["token"]
    rig.clock.offset_ms += 24 * 3_600_000
    for url, token, text in (
        (futures, data["token"], "token is invalid"),
        (server["endpoint"], "", "token is invalid"),
        (server["endpoint"], old, "token is expired"),
    ):
        socket = await rig._open(f"{url}?token={quote(token)}&connectId=1")
        error = await socket.until(lambda each: True)
        assert (error["type"], error["code"], error["data"]) == ("error", 401, text)
        with pytest.raises(ConnectionClosed):
            await socket.until(lambda each: False)


async def test_unknown_query_parameters_are_ignored(rig: Rig) -> None:
    socket = await rig.classic(query="&acceptUserMessage=true&privateChannel=false")
    assert (await socket.ask({"id": "1", "type": "ping"}))["type"] == "pong"


async def test_acknowledgements_and_errors(rig: Rig) -> None:
    socket = await rig.classic()
    asked = {"id": 7, "type": "subscribe", "topic": "/market/level2:NO-PE", "response": True}
    assert await socket.ask(asked) == {"id": "7", "type": "ack"}
    for topic, code in (
        ("/market/nothing:BTC-USDT", 404),
        ("/contractMarket/level2:XBTUSDTM", 404),
        ("/market/level2", 400),
        ("/account/balance", 403),
        ("", 406),
        ("/market/level2:" + ",".join(["BTC-USDT"] * 101), 509),
    ):
        answer = await socket.subscribe(topic, f"n{code}{len(topic)}")
        assert (answer["type"], answer["code"]) == ("error", code), topic
    answer = await socket.ask({"id": "x", "type": "dance"})
    assert (answer["code"], answer["data"]) == (415, "type is not supported")
    await socket.send("not json")
    broken = await socket.until(lambda each: each.get("code") == 400 and "Unrecognized" in str(each["data"]))
    assert broken["data"].startswith("Unrecognized token 'not'")
    pong = await socket.ask({"id": "p", "type": "ping"})
    assert 10**15 < pong["timestamp"] < 10**16, "microseconds"


async def test_no_acknowledgement_is_sent_unasked(rig: Rig) -> None:
    socket = await rig.classic()
    await socket.send({"id": "1", "type": "subscribe", "topic": "/market/match:BTC-USDT"})
    await socket.ask({"id": "2", "type": "ping"})
    assert not any(each["type"] == "ack" for each in socket.seen)
    await rig.spot(type="market", price="")
    await socket.topic("/market/match:BTC-USDT")


async def test_too_many_messages_are_refused(rig: Rig) -> None:
    socket = await rig.classic()
    for number in range(101):
        await socket.send({"id": str(number), "type": "ping"})
    answer = await socket.until(lambda each: each["type"] == "error")
    assert (answer["code"], answer["data"]) == (509, "exceed permits per second limitation")


async def test_a_client_that_says_nothing_is_cut_even_while_data_flows() -> None:
    async with Rig(Settings(time_scale=100.0)) as rig:
        socket = await rig.classic("perp")
        await socket.subscribe("/contractMarket/level2Depth5:XBTUSDTM")
        began = time.monotonic()
        last = await socket.until(lambda each: each["type"] == "error")
        assert (last["code"], last["data"]) == (400, "ping timeout")
        assert 0.3 < time.monotonic() - began < 5
        with pytest.raises(ConnectionClosed) as closed:
            await socket.until(lambda each: False)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "Bye")


# -- books -----------------------------------------------------------------------------------------


def check(sides: dict[str, dict[D, D]], market: Market, sequence: int) -> None:
    truth = market.published_at(sequence)
    assert truth is not None
    unit = market.spec.contract_size if market.spec.product == "perp" else D(1)
    for side, levels in (("bids", truth.bids), ("asks", truth.asks)):
        assert sides[side] == {market.price(ticks): market.qty(lots) / unit for ticks, lots in levels.items()}


def stir(rig: Rig, symbol: str, flow: MarketFlow, steps: int) -> int:
    for _ in range(steps):
        flow.step()
        rig.exchange.publish(rig.market(symbol))
    return rig.market(symbol).published_id


async def test_the_spot_book_by_the_calibration_of_the_documents(rig: Rig) -> None:
    symbol, flow = "BTC-USDT", MarketFlow(rig.exchange, rig.market(), 5)
    socket = await rig.classic()
    await socket.subscribe("/market/level2:BTC-USDT,ETH-USDT")
    stir(rig, symbol, flow, 10)
    snapshot = await rig.get("/api/v3/market/orderbook/level2", name="alice", symbol=symbol)
    sides = {side: {D(price): D(size) for price, size in snapshot[side]} for side in ("bids", "asks")}
    last = int(snapshot["sequence"])
    end = stir(rig, symbol, flow, 40)
    zeros = bundles = 0
    while last < end:
        data = (await socket.topic("/market/level2:BTC-USDT"))["data"]
        if data["sequenceEnd"] <= last:
            continue
        assert data["sequenceStart"] == last + 1
        bundles += data["sequenceEnd"] > data["sequenceStart"]
        for side in ("bids", "asks"):
            for price, size, number in data["changes"][side]:
                assert data["sequenceStart"] <= int(number) <= data["sequenceEnd"]
                if price == "0":
                    assert size == "0"
                    zeros += 1
                elif size == "0":
                    sides[side].pop(D(price), None)
                else:
                    sides[side][D(price)] = D(size)
        last = data["sequenceEnd"]
        assert max(sides["bids"]) < min(sides["asks"]), "crossed between two frames"
    check(sides, rig.market(), end)
    assert zeros > 50, "events that change nothing visible"
    assert bundles >= 2, "several numbers in one frame"


async def test_the_futures_book_rises_by_one_and_one_level_a_frame(rig: Rig) -> None:
    symbol, flow = "XBTUSDTM", MarketFlow(rig.exchange, rig.market("XBTUSDTM"), 6)
    socket = await rig.classic("perp")
    await socket.subscribe("/contractMarket/level2:XBTUSDTM")
    stir(rig, symbol, flow, 5)
    snapshot = await rig.get("/api/v1/level2/snapshot", "perp", symbol=symbol)
    sides = {side: {D(str(price)): D(size) for price, size in snapshot[side]} for side in ("bids", "asks")}
    last = snapshot["sequence"]
    end = stir(rig, symbol, flow, 30)
    while last < end:
        frame = await socket.topic("/contractMarket/level2:XBTUSDTM")
        data = frame["data"]
        assert frame["sn"] == data["sequence"]
        if data["sequence"] <= last:
            continue
        assert data["sequence"] == last + 1
        last = data["sequence"]
        price, side, size = data["change"].split(",")
        book = sides["bids" if side == "buy" else "asks"]
        if size == "0":
            book.pop(D(price), None)
        else:
            book[D(price)] = D(size)
        assert max(sides["bids"]) < min(sides["asks"]), "crossed between two frames"
    check(sides, rig.market(symbol), end)


@pytest.mark.parametrize(
    ("product", "symbol", "topic"),
    [
        ("spot", "BTC-USDT", "/market/level2:BTC-USDT"),
        ("perp", "XBTUSDTM", "/contractMarket/level2:XBTUSDTM"),
    ],
)
async def test_an_ask_goes_before_a_bid_takes_its_price(
    rig: Rig, product: str, symbol: str, topic: str
) -> None:
    socket, market = await rig.classic(product), rig.market(symbol)
    await socket.subscribe(topic)
    best = market.asks.best
    assert best is not None
    market.set_background(market.asks, best, 0)
    market.set_background(market.bids, best, 5)
    rig.exchange.publish(market)
    told: list[str] = []
    while len(told) < 2:
        data = (await socket.topic(topic))["data"]
        if "change" in data:
            told.append(data["change"].split(",")[1])
        else:
            told += [side for side in ("asks", "bids") for row in data["changes"][side] if row[0] != "0"]
    assert told in (["asks", "bids"], ["sell", "buy"])


async def test_paced_books_and_tickers(rig: Rig) -> None:
    spot, futures = await rig.classic(), await rig.classic("perp")
    for number, topic in enumerate(("/spotMarket/level2Depth5", "/spotMarket/level1", "/market/ticker")):
        await spot.subscribe(f"{topic}:BTC-USDT", f"a{number}")
    await spot.subscribe("/market/ticker:all", "a9")
    for number, topic in enumerate(("/contractMarket/level2Depth50", "/contractMarket/tickerV2")):
        await futures.subscribe(f"{topic}:XBTUSDTM", f"b{number}")
    await rig.spot(price="60000", size="0.5")
    await rig.future(price="60000", size=3)
    level = await spot.topic("/spotMarket/level1:BTC-USDT")
    assert (level["subject"], level["data"]["bids"]) == ("level1", ["60000", "0.5"])
    ticker = await spot.topic("/market/ticker:BTC-USDT")
    assert (ticker["subject"], ticker["data"]["bestBid"]) == ("trade.ticker", "60000")
    every = await spot.topic("/market/ticker:all")
    assert every["subject"] == "BTC-USDT"
    part = await spot.topic("/spotMarket/level2Depth5:BTC-USDT")
    assert part["data"]["bids"][0] == ["60000", "0.5"]
    assert "sequence" not in part["data"]
    quotes = await futures.topic("/contractMarket/tickerV2:XBTUSDTM")
    assert (quotes["data"]["bestBidPrice"], quotes["data"]["bestBidSize"]) == ("60000", 3)
    part = await futures.topic("/contractMarket/level2Depth50:XBTUSDTM")
    assert (part["subject"], part["data"]["bids"][0]) == ("level2", ["60000", 3])
    assert part["sn"] != part["data"]["sequence"]


async def test_trades_candles_marks_and_settlements(rig: Rig) -> None:
    spot, futures = await rig.classic(), await rig.classic("perp")
    await spot.subscribe("/market/match:BTC-USDT", "1")
    await spot.subscribe("/market/candles:BTC-USDT_1min", "2")
    for number, topic in enumerate(("/contractMarket/execution", "/contract/instrument")):
        await futures.subscribe(f"{topic}:XBTUSDTM", f"f{number}")
    await futures.subscribe("/contract/announcement", "f8")
    await rig.spot(type="market", price="")
    match = (await spot.topic("/market/match:BTC-USDT"))["data"]
    assert (match["side"], match["price"], match["size"]) == ("buy", "60000.1", "0.01")
    assert isinstance(match["time"], str)
    candle = (await spot.topic("/market/candles:BTC-USDT_1min"))["data"]["candles"]
    assert candle[1:6] == ["60000.1", "60000.1", "60000.1", "60000.1", "0.01"]
    await rig.future(type="market", price="")
    trade = (await futures.topic("/contractMarket/execution:XBTUSDTM"))["data"]
    assert (trade["size"], trade["price"], trade["tradeId"]) == (10, "60000.1", str(trade["sequence"]))
    mark = await futures.topic("/contract/instrument:XBTUSDTM", granularity=1000)
    assert (mark["subject"], mark["data"]["timestamp"] % 1000) == ("mark.index.price", 0)
    rig.exchange.settle_funding(rig.market("XBTUSDTM"), rig.clock.now_ms())
    settled = await futures.topic("/contract/instrument:XBTUSDTM", granularity=28_800_000)
    assert settled["subject"] == "funding.rate"
    begin = await futures.topic("/contract/announcement", symbol="XBTUSDTM")
    assert begin["subject"] == "funding.begin"


# -- private ---------------------------------------------------------------------------------------

V1, V2 = "/spotMarket/tradeOrders", "/spotMarket/tradeOrdersV2"


async def story(socket: Socket, topic: str, oid: str, end: str) -> list[tuple[str, str]]:
    """Return (type, status) of an order's messages on a topic, up to a type."""
    await socket.until(lambda each: each.get("topic") == topic and each["data"].get("clientOid") == oid
                       and each["data"]["type"] == end)  # fmt: skip
    rows = [each["data"] for each in socket.seen if each.get("topic") == topic]
    return [(row["type"], row["status"]) for row in rows if row["clientOid"] == oid]


async def private(rig: Rig, product: str, *topics: str, name: str = "alice") -> Socket:
    socket = await rig.classic(product, name)
    for number, topic in enumerate(topics):
        assert (await socket.subscribe(topic, f"p{number}"))["type"] == "ack"
    return socket


async def test_the_life_of_a_spot_order(rig: Rig) -> None:
    socket = await private(rig, "spot", V1, V2, "/account/balance")
    await rig.spot(price="60000.1", size="1.5", clientOid="taker")
    assert await story(socket, V2, "taker", "open") == [
        ("received", "new"),
        ("match", "match"),
        ("open", "open"),
    ]
    await rig.spot(name="bob", side="sell", price="60000.1", size="0.5", clientOid="other")
    assert (await story(socket, V2, "taker", "filled"))[3:] == [("match", "open"), ("filled", "done")]
    rows = [each["data"] for each in socket.seen if each.get("topic") == V2]
    assert [row.get("matchSize") for row in rows] == [None, "1", None, "0.5", None]
    assert [row.get("liquidity") for row in rows] == [None, "taker", None, "maker", None]
    assert [row.get("filledSize") for row in rows] == [None, "1", "1", "1.5", "1.5"]
    await rig.spot(clientOid="gone")
    await rig.call("DELETE", "/api/v1/hf/orders/client-order/gone", symbol="BTC-USDT")
    assert (await story(socket, V2, "gone", "canceled"))[-1] == ("canceled", "done")
    last = socket.seen[-1]["data"]
    assert (last["canceledSize"], last["remainSize"]) == ("0.01", "0")


async def test_version_one_has_no_received(rig: Rig) -> None:
    socket = await private(rig, "spot", V1)
    await rig.spot(clientOid="quiet")
    await rig.call("DELETE", "/api/v1/hf/orders/client-order/quiet", symbol="BTC-USDT")
    assert await story(socket, V1, "quiet", "canceled") == [("open", "open"), ("canceled", "done")]


async def test_changes_of_an_order_are_told(rig: Rig) -> None:
    socket = await private(rig, "spot", V2)
    first = (await rig.spot(clientOid="alt"))["data"]["orderId"]
    await rig.call("DELETE", f"/api/v1/hf/orders/cancel/{first}", symbol="BTC-USDT", cancelSize="0.004")
    update = (await socket.topic(V2, type="update"))["data"]
    assert (update["oldSize"], update["size"], update["status"]) == ("0.01", "0.006", "open")
    body = {"symbol": "BTC-USDT", "orderId": first, "newPrice": "57000"}
    second = (await rig.call("POST", "/api/v1/hf/orders/alter", body))["data"]["newOrderId"]
    gone = (await socket.topic(V2, type="canceled"))["data"]
    assert (gone["orderId"], gone["canceledSize"]) == (first, "0.006")
    opened = (await socket.topic(V2, type="open"))["data"]
    assert (opened["orderId"], opened["price"], opened["clientOid"]) == (second, "57000", "alt")


async def test_balances_tell_changes_and_sums(rig: Rig) -> None:
    socket = await private(rig, "spot", "/account/balance")
    await rig.spot(clientOid="hold")
    held = (await socket.topic("/account/balance", currency="USDT"))["data"]
    assert (held["holdChange"], held["availableChange"]) == ("580.58", "-580.58")
    assert (held["relationEvent"], held["relationContext"]["symbol"]) == ("trade.hold", "BTC-USDT")
    assert isinstance(held["time"], str)
    await rig.spot(type="market", price="", size="0.02")
    gained = (await socket.topic("/account/balance", currency="BTC"))["data"]
    assert (gained["total"], gained["relationEvent"]) == ("10.02", "trade.setted")


async def test_the_life_of_a_futures_order_position_and_wallet(rig: Rig) -> None:
    every, one = "/contractMarket/tradeOrders", "/contractMarket/tradeOrders:XBTUSDTM"
    socket = await private(rig, "perp", every, one, "/contract/positionAll", "/contractAccount/wallet")
    await rig.future(price="60000.1", size=1500, clientOid="ft")
    assert await story(socket, every, "ft", "open") == [("match", "match"), ("open", "open")]
    match = next(each["data"] for each in socket.seen if each.get("topic") == every)
    assert (match["matchSize"], match["matchPrice"], match["size"]) == ("1000", "60000.1", "1500")
    assert isinstance(match["orderTime"], str)
    [position] = [each for each in socket.seen if each.get("topic") == "/contract/positionAll"]
    assert (position["subject"], position["data"]["currentQty"]) == ("position.change", 1000)
    assert any(each.get("topic") == one for each in socket.seen), "the topic is echoed as subscribed"
    wallets = [each["data"] for each in socket.seen if each.get("topic") == "/contractAccount/wallet"]
    if not wallets:
        wallets = [(await socket.topic("/contractAccount/wallet"))["data"]]
    versions = [int(row["version"]) for row in wallets]
    assert versions == sorted(set(versions))
    marked = await socket.topic("/contract/positionAll", changeReason="markPriceChange")
    assert "currentQty" not in marked["data"]
    rig.exchange.settle_funding(rig.market("XBTUSDTM"), rig.clock.now_ms())
    settled = await socket.until(lambda each: each.get("subject") == "position.settlement")
    assert settled["data"]["qty"] == 1000
    await rig.call("DELETE", "/api/v3/orders", None, "perp")
    assert (await story(socket, every, "ft", "canceled"))[-1] == ("canceled", "done")


async def test_a_position_topic_is_served_at_the_spot_socket_too(rig: Rig) -> None:
    socket = await private(rig, "spot", "/contract/position:XBTUSDTM")
    await rig.future(type="market", price="", size=5)
    frame = await socket.topic("/contract/position:XBTUSDTM", currentQty=5)
    assert frame["data"]["symbol"] == "XBTUSDTM"


async def test_private_topics_are_the_accounts_own(rig: Rig) -> None:
    hers, his = await private(rig, "spot", V2), await private(rig, "spot", V2, name="bob")
    await rig.spot(clientOid="hers")
    await hers.topic(V2, clientOid="hers")
    await rig.spot(name="bob", clientOid="his")
    await his.topic(V2, clientOid="his")
    told: list[Any] = [each["data"]["clientOid"] for each in his.seen if each.get("topic") == V2]
    assert set(told) == {"his"}
