"""Bybit's private topics: orders, fills, positions, wallet, and who may listen to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from tests.sim.bybit_rig import Rig, Socket
from tests.sim.loopback_rig import Message

MARKET = {"orderType": "Market", "price": ""}
SPOT = {"category": "spot", "qty": "0.001", "price": "59000"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def rows(socket: Socket, topic: str) -> list[Any]:
    return [row for each in socket.seen if each.get("topic") == topic for row in each["data"]]


async def test_a_resting_order_tells_its_life(rig: Rig) -> None:
    socket = await rig.private("order", "position", "wallet")
    answer = await rig.place(orderLinkId="a")
    message = await socket.topic("order")
    [row] = message["data"]
    assert (row["category"], row["orderStatus"], row["orderLinkId"]) == ("linear", "New", "a")
    assert (row["cancelType"], row["rejectReason"]) == ("UNKNOWN", "EC_NoError")
    assert row["orderId"] == answer["result"]["orderId"]
    position = (await socket.topic("position"))["data"][0]
    assert (position["size"], position["side"], position["entryPrice"], position["seq"]) == ("0", "", "0", -1)
    assert "avgPrice" not in position
    body = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"}
    await rig.post("/order/amend", body | {"price": "50001"})
    row = (await socket.topic("order"))["data"][0]
    assert (row["orderStatus"], row["price"]) == ("New", "50001.0")
    await socket.topic("position")
    await rig.post("/order/cancel", body)
    row = (await socket.topic("order"))["data"][0]
    assert (row["orderStatus"], row["cancelType"], row["rejectReason"]) == (
        "Cancelled", "CancelByUser", "EC_PerCancelRequest",
    )  # fmt: skip
    assert (await socket.topic("position"))["data"][0]["size"] == "0"


async def test_a_taken_order_is_told_on_every_topic(rig: Rig) -> None:
    socket = await rig.private("order", "execution", "execution.fast", "position", "wallet")
    market = rig.market()
    best = market.asks.best
    assert best is not None
    lots = market.asks.levels[best].total
    qty = market.qty(lots * 2)
    await rig.place(**MARKET, qty=f"{qty:f}", orderLinkId="t")
    fast = await socket.topic("execution.fast")
    assert "id" not in fast
    slow = await socket.topic("execution")
    assert len(slow["data"]) > 1, "the fills of one order share a message"
    assert [row["execId"] for row in slow["data"]] == [row["execId"] for row in fast["data"]]
    assert len({row["execId"] for row in slow["data"]}) == len(slow["data"])
    assert fast["data"][0]["orderLinkId"] == "t"
    last = slow["data"][-1]
    assert (last["leavesQty"], last["isMaker"], last["execType"]) == ("0.000", False, "Trade")
    assert D(last["execFee"]) == D(last["execValue"]) * D("0.00055")
    assert last["feeCurrency"] == "USDT"
    final = await socket.topic("order", orderStatus="Filled")
    assert final["data"][0]["cumExecQty"] == f"{qty:f}"
    assert final["data"][0]["cumFeeDetail"] == {
        "USDT": f"{sum((D(row['execFee']) for row in slow['data']), D(0)).normalize():f}"
    }
    position = await socket.topic("position", size=f"{qty:f}")
    assert position["data"][0]["seq"] == last["seq"], "symbol and seq link a position to its fills"
    wallet = (await socket.topic("wallet"))["data"][0]
    assert [row["coin"] for row in wallet["coin"]] == ["USDT"]
    assert wallet["accountType"] == "UNIFIED"


async def test_a_maker_is_rebated_and_not_named_in_the_fast_topic(rig: Rig) -> None:
    socket = await rig.private("execution", "execution.fast")
    await rig.place(price="59999.9", orderLinkId="m")
    order = next(iter(rig.market().orders.values()))
    rig.exchange.fill_resting(order, 4)
    fast = (await socket.topic("execution.fast"))["data"][0]
    assert (fast["orderLinkId"], fast["isMaker"], fast["execQty"]) == ("", True, "0.004")
    slow = (await socket.topic("execution"))["data"][0]
    assert (slow["orderLinkId"], slow["leavesQty"]) == ("m", "0.006")
    assert D(slow["execFee"]) == -D(slow["execValue"]) * D("0.0001")
    listed = (await rig.get("/execution/list", "alice", category="linear"))["result"]["list"]
    assert listed == [{key: value for key, value in slow.items() if key != "category"}]


async def test_a_fill_knows_how_much_it_closed(rig: Rig) -> None:
    socket = await rig.private("execution")
    await rig.place(**MARKET, qty="0.01")
    assert (await socket.topic("execution"))["data"][0]["closedSize"] == "0.000"
    await rig.place(**MARKET, qty="0.03", side="Sell")
    closed = [row["closedSize"] for row in (await socket.topic("execution"))["data"]]
    assert sum(map(D, closed)) == D("0.01")
    row = (await rig.get("/position/list", "alice", category="linear", symbol="BTCUSDT"))["result"]["list"][0]
    assert (row["side"], row["size"]) == ("Sell", "0.020")


async def test_categorised_forms_hear_their_category_only(rig: Rig) -> None:
    linear, spot = await rig.private("order.linear", "execution.linear"), await rig.private("order.spot")
    await rig.place(**SPOT, orderLinkId="s")
    await rig.place(orderLinkId="l")
    assert (await linear.topic("order.linear"))["data"][0]["orderLinkId"] == "l"
    row = (await spot.topic("order.spot"))["data"][0]
    assert (row["orderLinkId"], row["category"], row["isLeverage"]) == ("s", "spot", "0")
    for socket in (linear, spot):
        await socket.ask({"op": "ping"})
    assert len(rows(linear, "order.linear")) == 1
    assert len(rows(spot, "order.spot")) == 1


@pytest.mark.parametrize(
    ("topics", "text"),
    [
        (["order", "order.spot"], "Params Error"),
        (["orderbook.50.BTCUSDT"], "error:handler not found,topic:orderbook.50.BTCUSDT"),
        (["position.spot"], "error:handler not found,topic:position.spot"),
        (["wallet.linear"], "error:handler not found,topic:wallet.linear"),
    ],
)
async def test_wrong_private_topics(rig: Rig, topics: list[str], text: str) -> None:
    socket = await rig.socket("private")
    await socket.login("alice")
    answer = await socket.ask({"op": "subscribe", "req_id": "x", "args": topics})
    assert (answer["success"], answer["ret_msg"], answer["req_id"]) == (False, text, "x")


async def test_private_topics_need_a_login_and_show_one_account(rig: Rig) -> None:
    nobody = await rig.socket("private")
    answer = await nobody.ask({"op": "subscribe", "args": ["order"]})
    assert answer["success"] is False
    bob = await rig.private("order", name="bob")
    await rig.place()
    await rig.place("bob", orderLinkId="b")
    assert (await bob.topic("order"))["data"][0]["orderLinkId"] == "b"
    assert len(rows(bob, "order")) == 1


async def test_unsubscribed_topics_fall_silent(rig: Rig) -> None:
    socket = await rig.private("order", "wallet")
    assert (await socket.ask({"op": "unsubscribe", "args": ["order"]}))["success"] is True
    await rig.place(**SPOT)
    assert (await socket.topic("wallet"))["data"][0]["coin"][0]["locked"] == "59"
    assert not rows(socket, "order")


async def test_cancel_all_tells_several_orders_in_one_message(rig: Rig) -> None:
    socket = await rig.private("order")
    for name in "abc":
        await rig.place(orderLinkId=name)
        await socket.topic("order")
    await rig.post("/order/cancel-all", {"category": "linear", "symbol": "BTCUSDT"})
    message = await socket.topic("order")
    assert sorted(row["orderLinkId"] for row in message["data"]) == ["a", "b", "c"]


async def test_funding_is_an_execution_without_an_order(rig: Rig) -> None:
    socket = await rig.private("execution", "wallet")
    await rig.place(**MARKET, qty="0.1")
    await socket.topic("execution")
    account = rig.exchange.account_named("alice")
    assert account is not None
    before = account.balance("spot", "USDT").total
    market = rig.market()
    rig.exchange.settle_funding(market, rig.clock.now_ms())
    row = (await socket.topic("execution", execType="Funding"))["data"][0]
    paid = D("0.1") * market.mark_price * market.funding_rate
    assert D(row["execFee"]) == paid == before - account.balance("spot", "USDT").total
    assert (row["side"], row["execQty"], row["orderLinkId"]) == ("Buy", "0.100", "")
    listed = await rig.get("/execution/list", "alice", category="linear", execType="Funding")
    assert [each["execId"] for each in listed["result"]["list"]] == [row["execId"]]
    shown = await rig.get("/position/list", "alice", category="linear", symbol="BTCUSDT")
    fees = sum(D(each["execFee"]) for each in rows(socket, "execution"))
    assert D(shown["result"]["list"][0]["curRealisedPnl"]) == -fees


async def test_spot_fees_are_taken_in_what_is_received(rig: Rig) -> None:
    socket = await rig.private("execution")
    await rig.place(**SPOT | {"price": "60100"})
    assert (await socket.topic("execution"))["data"][0]["feeCurrency"] == "BTC"
    await rig.place(**SPOT | {"side": "Sell", "price": "59900"})
    row: Message = (await socket.topic("execution"))["data"][0]
    assert (row["feeCurrency"], row["closedSize"], row["markPrice"]) == ("USDT", "", "")
