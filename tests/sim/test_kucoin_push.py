"""The unified sockets: books that can be rebuilt, trades, marks, private pushes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from engine.sim.flow import MarketFlow
from engine.sim.kucoin.wire import WireOptions
from engine.sim.market import Market
from engine.sim.ports import Settings
from tests.sim.kucoin_rig import Rig, Socket, sign

KINDS = [("spot", "SPOT", "BTC-USDT"), ("perp", "FUTURES", "XBTUSDTM")]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


class Book:
    """A book kept by the documented rules; any break of them is a failure."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"a": {}, "b": {}}
        self.last = 0
        self.deltas = 0

    def take(self, frame: Any) -> None:
        data = frame["d"]
        if frame["t"] == "snapshot":
            assert data["O"] == data["C"]
            self.sides = {side: dict(data[side]) for side in ("a", "b")}
        else:
            assert data["O"] == self.last + 1, "a gap"
            assert data["C"] >= data["O"]
            self.deltas += 1
            for side in ("a", "b"):
                for price, size in data[side]:
                    if size == "0":
                        assert price in self.sides[side], "a delete names a level that was not shown"
                        del self.sides[side][price]
                    else:
                        self.sides[side][price] = size
        self.last = data["C"]

    def equals(self, market: Market, levels: int) -> None:
        truth = market.published_at(self.last)
        assert truth is not None
        for side, sign_, known in (("b", -1, truth.bids), ("a", 1, truth.asks)):
            best = sorted(known.items(), key=lambda row: sign_ * row[0])[:levels]
            unit = market.spec.contract_size if market.spec.product == "perp" else D(1)
            wanted = {market.price(ticks): market.qty(lots) / unit for ticks, lots in best}
            assert {D(price): D(size) for price, size in self.sides[side].items()} == wanted


def stir(rig: Rig, symbol: str, flow: MarketFlow, steps: int) -> None:
    for _ in range(steps):
        flow.step()
        rig.exchange.publish(rig.market(symbol))


@pytest.mark.parametrize(("product", "kind", "symbol"), KINDS)
async def test_the_windowed_book_is_the_top_500_of_the_truth(
    rig: Rig, product: str, kind: str, symbol: str
) -> None:
    flow = MarketFlow(rig.exchange, rig.market(symbol), 7)
    socket = await rig.push(product)
    answer = await socket.follow("obu", tradeType=kind, symbol=symbol, depth="increment@10ms")
    assert answer == {"id": "s1", "result": True}
    book = Book()
    book.take(await socket.topic(f"obu.{kind}", t="snapshot"))
    book.equals(rig.market(symbol), 500)
    assert len(book.sides["a"]) == 500
    while book.deltas < 25:
        stir(rig, symbol, flow, 12)
        book.take(await socket.topic(f"obu.{kind}", t="delta"))
        book.equals(rig.market(symbol), 500)
    assert all(isinstance(text, bytes) for text in socket.raw), "every frame is binary"


async def test_a_later_subscriber_gets_the_same_numbers(rig: Rig) -> None:
    flow = MarketFlow(rig.exchange, rig.market("XBTUSDTM"), 8)
    books = []
    for _ in range(2):
        socket = await rig.push()
        await socket.follow("obu", tradeType="FUTURES", symbol="XBTUSDTM", depth="increment@10ms")
        book = Book()
        book.take(await socket.topic("obu.FUTURES", t="snapshot"))
        books.append((socket, book))
        stir(rig, "XBTUSDTM", flow, 5)
    last = rig.market("XBTUSDTM").published_id
    for socket, book in books:
        while book.last < last:
            book.take(await socket.topic("obu.FUTURES", t="delta"))
        book.equals(rig.market("XBTUSDTM"), 500)


async def test_the_real_time_channel_has_no_snapshot_and_is_seeded_over_rest(rig: Rig) -> None:
    flow = MarketFlow(rig.exchange, rig.market("BTC-USDT"), 9)
    socket = await rig.push("spot")
    await socket.follow("obu", tradeType="SPOT", symbol="BTC-USDT", depth="increment")
    seed = await rig.get("/api/ua/v1/market/orderbook", tradeType="SPOT", symbol="BTC-USDT", limit="FULL")
    book = Book()
    book.sides = {"a": dict(seed["asks"]), "b": dict(seed["bids"])}
    book.last = int(seed["sequence"])
    stir(rig, "BTC-USDT", flow, 20)
    first = await socket.topic("obu.SPOT", dp="increment")
    assert first["t"] == "delta"
    end = rig.market("BTC-USDT").published_id
    frame = first
    while True:
        data = frame["d"]
        assert data["O"] == book.last + 1
        for side in ("a", "b"):
            for price, size in data[side]:
                book.sides[side].pop(price, None) if size == "0" else book.sides[side].update({price: size})
        book.last = data["C"]
        if book.last == end:
            break
        frame = await socket.topic("obu.SPOT", dp="increment")
    book.equals(rig.market("BTC-USDT"), 10_000)


async def test_part_books_and_the_best_level(rig: Rig) -> None:
    socket = await rig.push()
    for number, depth in enumerate(("5", "50", "1")):
        await socket.follow("obu", f"n{number}", tradeType="FUTURES", symbol="XBTUSDTM", depth=depth)
    await rig.future(price="59999.9", size=7)
    top = await socket.topic("obu.FUTURES", dp="1")
    assert (top["t"], top["d"]["b"]) == ("snapshot", [["59999.9", "1007"]])
    for levels in (5, 50):
        frame = await socket.topic("obu.FUTURES", dp=str(levels), t="snapshot")
        assert len(frame["d"]["b"]) == len(frame["d"]["a"]) == levels


async def test_refusals_of_subscriptions(rig: Rig) -> None:
    socket = await rig.push()
    asked = {"tradeType": "FUTURES", "symbol": "XBTUSDTM", "depth": "increment@10ms"}
    answer = await socket.follow("obu", "a", **(asked | {"depth": "7"}))
    assert answer == {"id": "a", "result": False, "message": "invalid request data"}
    assert (await socket.follow("nope", "b", **asked))["message"] == "invalid request data"
    answer = await socket.follow("obu", "c", **(asked | {"tradeType": "SPOT", "symbol": "BTC-USDT"}))
    assert answer["reason"] == 'topic Obu type = "public_spot" not allowed in current environment'
    answer = await socket.follow("obu", "d", symbols=["XBTUSDTM"], **asked)
    assert answer["reason"] == "symbols are not supported for topic obu"
    assert (await socket.follow("obu", "e", **(asked | {"symbol": "NOPE"})))["result"] is True
    assert (await socket.ask({"id": "f", "action": "subscribe", "channel": "trade", "tradeType": "FUTURES",
                              "symbols": ["XBTUSDTM", "ETHUSDTM"]}))["result"] is True  # fmt: skip
    await socket.send("not json")
    pong = await socket.ask({"id": "p", "type": "ping"})
    assert pong["type"] == "pong"
    assert pong["ts"] > 10**18


async def test_unsubscribing_and_subscribing_again_is_a_resync(rig: Rig) -> None:
    socket = await rig.push()
    asked = {"channel": "obu", "tradeType": "FUTURES", "symbol": "XBTUSDTM", "depth": "increment@10ms"}
    await socket.ask({"id": "1", "action": "subscribe", **asked})
    await socket.topic("obu.FUTURES", t="snapshot")
    assert (await socket.ask({"id": "2", "action": "subscribe", **asked}))["result"] is True
    assert (await socket.ask({"id": "3", "action": "Unsubscribe", **asked}))["result"] is True
    assert [each["t"] for each in socket.seen if each.get("T")] == ["snapshot"], "a second one was not sent"
    await socket.ask({"id": "4", "action": "SUBSCRIBE", **asked})
    await socket.topic("obu.FUTURES", t="snapshot")


async def test_trades_tickers_candles_marks_and_funding(rig: Rig) -> None:
    socket = await rig.push()
    for number, channel in enumerate(("trade", "ticker", "mark-price", "funding-fee", "kline")):
        asked = {"tradeType": "FUTURES", "symbol": "XBTUSDTM", "interval": "1min"}
        assert (await socket.follow(channel, f"t{number}", **asked))["result"] is True
    await rig.future(type="market", price="", size=1000)
    trade = (await socket.topic("trade.FUTURES"))["d"]
    assert (trade["S"], trade["p"], trade["q"], trade["s"]) == ("buy", "60000.1", "1000", "XBTUSDTM")
    [ticker] = [each["d"] for each in socket.seen if each.get("T") == "ticker.FUTURES"] or [
        (await socket.topic("ticker.FUTURES"))["d"]
    ]
    assert (ticker["a"], ticker["b"], ticker["l"]) == ("60000.2", "59999.9", "60000.1")
    seen = {each.get("T") for each in socket.seen}
    for topic in {"mark-price", "funding-fee", "kline.FUTURES"} - seen:
        await socket.topic(topic)
    funding = next(each for each in socket.seen if each.get("T") == "funding-fee")["d"]
    assert funding["nt"] - funding["ft"] == funding["gl"] == 28_800_000
    second = await socket.topic("mark-price")
    assert second["d"]["ts"] % 1000 == 0


async def test_a_silent_socket_is_cut_unless_it_listens() -> None:
    async with Rig(Settings(time_scale=150.0)) as rig:
        idle, listening = await rig.push(), await rig.push()
        await listening.follow("trade", tradeType="FUTURES", symbol="XBTUSDTM")
        began = time.monotonic()
        with pytest.raises(ConnectionClosed):
            await idle.until(lambda each: False)
        assert 0.3 < time.monotonic() - began < 5
        assert (await listening.ask({"id": "p", "type": "ping"}))["type"] == "pong"


async def test_snapshots_come_late_and_not_after_an_unsubscription() -> None:
    async with Rig(options=WireOptions(snapshot_delay_s=0.2)) as rig:
        socket = await rig.push()
        asked = {"channel": "obu", "tradeType": "FUTURES", "symbol": "XBTUSDTM", "depth": "increment@10ms"}
        began = time.monotonic()
        await socket.ask({"id": "1", "action": "subscribe", **asked})
        await socket.topic("obu.FUTURES", t="snapshot")
        assert time.monotonic() - began >= 0.19
        other = await rig.push()
        await other.ask({"id": "1", "action": "subscribe", **asked})
        await other.ask({"id": "2", "action": "unsubscribe", **asked})
        await asyncio.sleep(0.3)
        await other.ask({"id": "3", "type": "ping"})
        assert not any(each.get("T") for each in other.seen)


# -- private ---------------------------------------------------------------------------------------


async def follow_all(socket: Socket, kind: str) -> None:
    for number, channel in enumerate(("orderAll", "execution", "execution.lite", "positionAll")):
        assert (await socket.follow(channel, f"x{number}", tradeType=kind))["result"] is True
    assert (await socket.follow("balance", "x9", accountType=kind))["result"] is True


async def test_a_unified_account_is_told_everything_under_unified(rig: Rig) -> None:
    socket = await rig.private("carol")
    await follow_all(socket, "UNIFIED")
    body = {
        "tradeType": "FUTURES", "clientOid": "u-1", "symbol": "XBTUSDTM", "side": "BUY",
        "orderType": "MARKET", "size": "20", "sizeUnit": "UNIT",
    }  # fmt: skip
    placed = await rig.call("POST", "/api/ua/v1/unified/order/place", body, name="carol")
    new = (await socket.topic("orderAll.UNIFIED", eT="NEW"))["d"]
    assert (new["oi"], new["ci"], new["os"]) == (placed["data"]["orderId"], "u-1", 2)
    fill = (await socket.topic("orderAll.UNIFIED", eT="FILL"))["d"]
    assert (fill["os"], fill["fS"], fill["lS"], fill["aP"], fill["lR"]) == (3, "20", "20", "60000.1", "TAKER")
    execution = (await socket.topic("execution.UNIFIED"))["d"]
    lite = (await socket.topic("execution.lite.UNIFIED"))["d"]
    assert str(lite["ti"]) == fill["ti"] == str(execution["ti"])
    assert D(execution["f"]) == D("0.72000120")
    assert (await socket.topic("positionAll.UNIFIED", s="XBTUSDTM"))["d"]["q"] == "20"
    balance = (await socket.topic("balance.UNIFIED", c="USDT"))["d"]
    assert D(balance["b"]) == rig.account("carol").balance("spot", "USDT").total


@pytest.mark.parametrize(("kind", "place"), [("SPOT", "spot"), ("FUTURES", "future")])
async def test_a_classic_account_is_told_by_product(rig: Rig, kind: str, place: str) -> None:
    socket = await rig.private("alice")
    await follow_all(socket, kind)
    answer = await getattr(rig, place)(clientOid="c-1")
    order_id = answer["data"]["orderId"]
    assert (await socket.topic(f"orderAll.{kind}", eT="NEW"))["d"]["oi"] == order_id
    path = f"/api/v1/hf/orders/{order_id}?symbol=BTC-USDT" if kind == "SPOT" else f"/api/v1/orders/{order_id}"
    product = "spot" if kind == "SPOT" else "perp"
    await rig.raw(product, "DELETE", path, name="alice")
    gone = (await socket.topic(f"orderAll.{kind}", eT="CANCEL"))["d"]
    assert (gone["os"], gone["rS"], gone["cS"]) == (5, "0", gone["q"])
    assert (await socket.topic(f"balance.{kind}", c="USDT"))["d"]["c"] == "USDT"


async def test_login_by_frame_and_its_refusals(rig: Rig) -> None:
    socket = await rig.bare_private()
    answer = await socket.follow("orderAll", "a", tradeType="SPOT")
    assert (answer["result"], answer["message"]) == (False, "login is required")
    stamp = str(rig.clock.now_ms())
    frame = {
        "id": "b", "op": "auth", "kc-api-key": "aliceKey", "kc-api-timestamp": stamp,
        "kc-api-passphrase": sign("alice", "alicePass"),
        "kc-api-sign": sign("alice", stamp + "POST/api/websocket/users/verify"),
    }  # fmt: skip
    assert await socket.ask(frame) == {"id": "b", "result": True}
    assert (await socket.follow("orderAll", "c", tradeType="SPOT"))["result"] is True
    wrong = await rig.bare_private()
    assert (await wrong.ask(frame | {"kc-api-sign": "AAAA"}))["result"] is False
    with pytest.raises(ConnectionClosed):
        await wrong.until(lambda each: False)


async def test_bad_tokens_are_refused(rig: Rig) -> None:
    spot_token = (await rig.bullet("spot", "alice"))["token"]
    for token in ("nonsense", spot_token):
        socket = await rig._open(f"{rig.urls['spot']['ws_private']}?token={token}")
        error = await socket.until(lambda each: True)
        assert (error["type"], error["code"], error["data"]) == ("error", 401, "token is invalid")
        with pytest.raises(ConnectionClosed):
            await socket.until(lambda each: False)


async def test_too_many_topics_are_refused(rig: Rig) -> None:
    socket = await rig.push()
    names = [f"N{number}" for number in range(600)]
    asked = {"id": "1", "action": "subscribe", "channel": "trade", "tradeType": "FUTURES", "symbols": names}
    assert (await socket.ask(asked))["result"] is True
    answer = await socket.ask(asked | {"id": "2", "symbols": ["XBTUSDTM"]})
    assert (answer["result"], "600 per session" in answer["reason"]) == (False, True)
