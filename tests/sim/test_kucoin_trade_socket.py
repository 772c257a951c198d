"""Order entry over WebSocket: the challenge, operations, refusals, limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from engine.sim.kucoin.wire import WireOptions
from engine.sim.ports import Settings
from tests.sim.kucoin_rig import Rig, Socket

SPOT = {"symbol": "BTC-USDT", "side": "buy", "type": "limit", "size": "0.01", "price": "58000"}
FUTURES = {"symbol": "XBTUSDTM", "side": "buy", "type": "limit", "size": 10, "price": "58000", "leverage": 3}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def ask(socket: Socket, op: str, args: Any, number: str = "r1") -> Any:
    return await socket.ask({"id": number, "op": op, "args": args})


async def test_the_challenge_and_the_welcome(rig: Rig) -> None:
    socket = await rig.trade()
    challenge, welcome = socket.raw[:2]
    assert isinstance(challenge, str)
    assert challenge.startswith('{"sessionId":"')
    assert ', "timestamp":' in challenge
    assert '"data": "welcome", "pingInterval": 18000, "pingTimeout": 10000' in str(welcome)
    assert socket.seen[0]["sessionId"] == socket.seen[1]["sessionId"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"apikey": ""}, "400001"),
        ({"apikey": "nobody"}, "400003"),
        ({"passphrase": "alicePass"}, "400004"),
        ({"sign": "AAAA"}, "400005"),
        ({"timestamp": "1"}, "400002"),
    ],
)
async def test_a_bad_address_is_told_and_closed(rig: Rig, changed: dict[str, str], code: str) -> None:
    socket = await rig._open(rig.trade_url(**changed))
    assert (await socket.until(lambda each: True))["code"] == code
    with pytest.raises(ConnectionClosed):
        await socket.until(lambda each: False)


async def test_a_wrong_or_missing_answer_is_told_and_closed() -> None:
    async with Rig(Settings(time_scale=100.0)) as rig:
        for answer, code in (("AAAA", "400011"), (None, "400012")):
            socket = await rig._open(rig.trade_url())
            await socket.until(lambda each: "timestamp" in each)
            if answer is not None:
                await socket.send(answer)
            assert (await socket.until(lambda each: True))["code"] == code
            with pytest.raises(ConnectionClosed):
                await socket.until(lambda each: False)


async def test_spot_orders(rig: Rig) -> None:
    socket = await rig.trade()
    answer = await ask(socket, "spot.order", SPOT | {"clientOid": "w1"})
    assert (answer["op"], answer["code"], answer["data"]["clientOid"]) == ("spot.order", "200000", "w1")
    assert answer["inTime"] <= answer["outTime"]
    assert set(answer["userRateLimit"]) == {"limit", "reset", "remaining"}
    altered = await ask(
        socket, "spot.modify", {"symbol": "BTC-USDT", "clientOid": "w1", "newPrice": "57000"}, "r2"
    )
    order_id = altered["data"]["newOrderId"]
    assert order_id != answer["data"]["orderId"]
    gone = await ask(socket, "spot.cancel", {"symbol": "BTC-USDT", "orderId": order_id}, "r3")
    assert gone["data"] == {"orderId": order_id}
    row = (await ask(socket, "spot.sync_order", SPOT | {"price": "60000.1"}, "r4"))["data"]
    assert (row["status"], row["dealSize"]) == ("done", "0.01")
    placed = (await ask(socket, "spot.sync_order", SPOT, "r5"))["data"]
    words = {"symbol": "BTC-USDT", "orderId": placed["orderId"]}
    assert (await ask(socket, "spot.sync_cancel", words, "r6"))["data"]["status"] == "done"


async def test_futures_orders(rig: Rig) -> None:
    socket = await rig.trade()
    placed = await ask(socket, "futures.order", FUTURES | {"clientOid": "wf"})
    assert placed["code"] == "200000"
    words = {"symbol": "XBTUSDTM", "clientOid": "wf"}
    assert (await ask(socket, "futures.cancel", words, "r2"))["data"] == {"clientOid": "wf"}
    orders = [FUTURES | {"clientOid": "m1"}, FUTURES | {"clientOid": "m2", "price": "90000"}]
    rows = (await ask(socket, "futures.multi_order", orders, "r3"))["data"]
    assert [row["code"] for row in rows] == ["200000", "300011"]
    gone = await ask(socket, "futures.multi_cancel", {"orderIdsList": [rows[0]["orderId"]]}, "r4")
    assert gone["data"][0]["code"] == "200"


async def test_unified_orders_are_for_unified_accounts(rig: Rig) -> None:
    body = {
        "tradeType": "SPOT", "clientOid": "u1", "symbol": "BTC-USDT", "side": "BUY", "orderType": "LIMIT",
        "size": "0.01", "sizeUnit": "BASECCY", "price": "58000",
    }  # fmt: skip
    alice, carol = await rig.trade(), await rig.trade("carol")
    assert (await ask(alice, "uta.order", body))["code"] == "112010"
    assert (await ask(carol, "spot.order", SPOT))["code"] == "400200"
    assert (await ask(carol, "uta.order", body, "r2"))["data"]["clientOid"] == "u1"
    words = {"tradeType": "SPOT", "symbol": "BTC-USDT", "clientOid": "u1"}
    assert (await ask(carol, "uta.amend", words | {"price": "57000"}, "r3"))["code"] == "200000"
    assert (await ask(carol, "uta.cancel", words, "r4"))["code"] == "200000"
    assert (await ask(carol, "uta.cancel", words, "r5"))["code"] == "400100"


async def test_refusals(rig: Rig) -> None:
    socket = await rig.trade()
    poor = await ask(socket, "futures.order", FUTURES | {"clientOid": "p", "size": 900_000})
    assert (poor["code"], "data" in poor) == ("300003", False)
    assert (await ask(socket, "spot.dance", SPOT, "r2"))["code"] == "400100"
    assert (await ask(socket, "spot.order", "text", "r3"))["code"] == "400100"
    await socket.send({"op": "spot.order", "args": SPOT})
    assert (await socket.until(lambda each: True))["code"] == "4001002"
    await socket.send("not json")
    assert (await socket.until(lambda each: True))["code"] == "400100"
    pong = await socket.ask({"id": "p1", "op": "ping", "timestamp": 1})
    assert (pong["op"], pong["id"]) == ("pong", "p1")
    assert rig.exchange.open_orders(rig.account(), "spot") == []


async def test_the_pool_is_shared_with_rest() -> None:
    pools = dict.fromkeys(("spot", "futures", "management", "public", "unified"), (3, 30_000))
    async with Rig(options=WireOptions(pools=pools)) as rig:
        socket = await rig.trade()
        assert (await ask(socket, "spot.order", SPOT))["userRateLimit"]["remaining"] == 2
        assert (await rig.spot())["code"] == "200000"
        assert (await ask(socket, "spot.order", SPOT, "r2"))["code"] == "200000"
        spent = await ask(socket, "spot.order", SPOT, "r3")
        assert (spent["code"], spent["userRateLimit"]["remaining"]) == ("429000", 0)
        assert (await rig.spot())["code"] == "429000"


async def test_a_slow_answer_does_not_hold_up_the_next(rig: Rig) -> None:
    socket = await rig.trade()
    rig.faults.arm("slow_answer_accepted", "kucoin", "spot", delay_ms=300)
    await socket.send({"id": "slow", "op": "spot.order", "args": SPOT})
    await socket.send({"id": "quick", "op": "futures.order", "args": FUTURES | {"clientOid": "q"}})
    await socket.until(lambda each: each.get("id") == "slow")
    assert [each["id"] for each in socket.seen[-2:]] == ["quick", "slow"]
