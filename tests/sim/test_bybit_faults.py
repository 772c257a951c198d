"""Faults on Bybit's wire: each strikes once where it is armed, and is told or hidden as the venue would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.sim.bybit_rig import Rig
from tests.sim.loopback_rig import Message

ORDER: Message = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
    "price": "50000",
}  # fmt: skip
LINEAR = {"category": "linear", "symbol": "BTCUSDT"}
BOOK = "orderbook.50.BTCUSDT"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def arm(rig: Rig, name: str, **params: Any) -> None:
    rig.faults.arm(name, venue="bybit", product="perp", **params)


def is_spent(rig: Rig, name: str) -> bool:
    return rig.faults.happened.get(name) == 1 and not rig.faults.armed


# -- order requests


@pytest.mark.parametrize(
    ("name", "params", "code", "executed"),
    [
        ("http_503_unknown", {}, 10016, True), ("http_503_unknown", {"accepted": False}, 10016, False),
        ("http_503_unavailable", {}, 10429, False), ("http_503_internal", {}, 10016, False),
        ("error_1007_accepted", {}, 10000, True), ("error_1007_not_accepted", {}, 10000, False),
        ("rate_limit_429", {}, None, False),
    ],
)  # fmt: skip
async def test_answers_that_leave_the_outcome_open(
    rig: Rig, name: str, params: dict[str, Any], code: int | None, executed: bool
) -> None:
    trade = await rig.trade()
    for way in ("rest", "socket"):
        arm(rig, name, symbol=None if name == "rate_limit_429" else "BTCUSDT", **params)
        before = len(rig.market().orders)
        if way == "rest":
            status, answer, _ = await rig.raw("POST", "/v5/order/create", body=json.dumps(ORDER))
            assert status == 200
            wanted = code or 10006
        else:
            answer = await trade.order("order.create", ORDER)
            wanted = code or 10429
        assert answer["retCode"] == wanted
        assert len(rig.market().orders) - before == executed
        assert not rig.faults.armed
    assert (await rig.place())["retCode"] == 0


@pytest.mark.parametrize(("name", "executed"), [("drop_answer_accepted", True), ("drop_request", False)])
async def test_connections_cut_instead_of_an_answer(rig: Rig, name: str, executed: bool) -> None:
    arm(rig, name)
    with pytest.raises(ClientError):
        await rig.place()
    assert len(rig.market().orders) == executed
    trade = await rig.trade()
    arm(rig, name)
    with pytest.raises(ConnectionClosed):
        await trade.order("order.create", ORDER)
    assert len(rig.market().orders) == 2 * executed


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_page_of_html(rig: Rig, accepted: bool) -> None:
    arm(rig, "html_error", accepted=accepted)
    status, answer, headers = await rig.raw("POST", "/v5/order/create", body=json.dumps(ORDER))
    assert (status, headers["Content-Type"].split(";")[0]) == (502, "text/html")
    assert answer.startswith("<html>")
    assert len(rig.market().orders) == accepted


@pytest.mark.parametrize("name", ["slow_answer_accepted", "fill_before_ack"])
async def test_events_come_before_a_held_answer_and_later_answers_pass_it(rig: Rig, name: str) -> None:
    trade, private = await rig.trade(), await rig.private("order")
    arm(rig, name, delay_ms=300)
    stamp = {"X-BAPI-TIMESTAMP": str(rig.clock.now_ms())}
    await trade.send({"reqId": "slow", "header": stamp, "op": "order.create", "args": [ORDER]})
    assert (await private.topic("order"))["data"][0]["orderStatus"] == "New"
    assert not trade.seen[1:], "not answered yet"
    assert (await trade.order("order.create", ORDER, "fast"))["retCode"] == 0
    slow = await trade.until(lambda each: each.get("reqId") == "slow")
    assert slow["retCode"] == 0
    assert is_spent(rig, name)


async def test_a_held_rest_answer(rig: Rig) -> None:
    private = await rig.private("order")
    arm(rig, "slow_answer_accepted", delay_ms=200)
    asked = asyncio.create_task(rig.place())
    await private.topic("order")
    assert not asked.done()
    assert (await asked)["retCode"] == 0


async def test_a_cancel_that_comes_too_late_tells_the_fill_twice(rig: Rig) -> None:
    private = await rig.private("order")
    await rig.place(orderLinkId="a", price="59999.9")
    arm(rig, "cancel_race_fill", symbol="BTCUSDT")
    assert (await rig.post("/order/cancel", LINEAR | {"orderLinkId": "a"}))["retCode"] == 0
    first = (await private.topic("order", orderStatus="Filled"))["data"][0]
    second = (await private.topic("order", orderStatus="Filled"))["data"][0]
    assert (first["cancelType"], first["rejectReason"]) == ("UNKNOWN", "EC_NoError")
    assert (second["cancelType"], second["rejectReason"]) == ("CancelByUser", "EC_OrigClOrdIDDoesNotExist")
    assert first["orderId"] == second["orderId"]


async def test_young_orders_are_not_found_for_a_moment(rig: Rig) -> None:
    await rig.place(orderLinkId="a")
    arm(rig, "not_found_for_a_moment", age_ms=300, count=None)

    async def found() -> bool:
        return bool((await rig.get("/order/realtime", "alice", **LINEAR, orderLinkId="a"))["result"]["list"])

    assert not await found()
    assert (await rig.get("/order/realtime", "alice", **LINEAR))["result"]["list"] == []
    async with asyncio.timeout(10):
        while not await found():
            await asyncio.sleep(0.01)


# -- private topics


@pytest.mark.parametrize(
    ("name", "expected"),
    [("drop_private", ["b"]), ("duplicate_private", ["a", "a", "b"]), ("reorder_private", ["b", "a"])],
)
async def test_private_events_lost_doubled_and_out_of_order(rig: Rig, name: str, expected: list[str]) -> None:
    private = await rig.private("order")
    # Spot orders far from the market say nothing but their own state.
    rig.faults.arm(name, venue="bybit", product="spot")
    for link_id in "ab":
        await rig.place(category="spot", price="59000", qty="0.001", orderLinkId=link_id)
    seen = [(await private.topic("order"))["data"][0]["orderLinkId"] for _ in expected]
    assert seen == expected


async def test_private_events_after_the_answer(rig: Rig) -> None:
    private = await rig.private("order")
    arm(rig, "events_after_ack", delay_ms=150, count=2)
    before = rig.clock.now_ms()
    assert (await rig.place())["retCode"] == 0
    message = await private.topic("order")
    assert message["creationTime"] - before >= 150


# -- connections


async def test_connections_cut_closed_and_revoked(rig: Rig) -> None:
    for name, code in (("disconnect", 1006), ("close", 1013), ("revoke_session", 1000)):
        public, private = await rig.socket("public"), await rig.private("order")
        spot = await rig.socket("public", "spot")
        arm(rig, name, **({"code": 1013} if name == "close" else {}))
        for socket in (private,) if name == "revoke_session" else (public, private):
            await asyncio.wait_for(socket.connection.wait_closed(), 10)
            assert socket.connection.close_code == code
        assert (await spot.ask({"op": "ping"}))["success"] is True
        assert rig.faults.happened[name] == 1


async def test_a_half_open_connection_says_nothing(rig: Rig) -> None:
    public = await rig.socket("public")
    await public.ask({"op": "subscribe", "args": [BOOK]})
    arm(rig, "half_open")
    await rig.settled(lambda: is_spent(rig, "half_open"))
    await public.send({"op": "ping"})
    heard = asyncio.create_task(public.until(lambda each: each.get("ret_msg") == "pong"))
    done, _ = await asyncio.wait([heard], timeout=0.2)
    assert not done
    assert public.connection.close_code is None
    heard.cancel()


async def test_a_restarting_service_takes_no_orders_and_forgets_closed_ones(rig: Rig) -> None:
    trade, public = await rig.trade(), await rig.socket("public")
    await rig.place(orderLinkId="open")
    await rig.place(orderLinkId="closed")
    await rig.post("/order/cancel", LINEAR | {"orderLinkId": "closed"})
    arm(rig, "server_shutdown", delay_ms=500)
    await rig.settled(lambda: is_spent(rig, "server_shutdown"))
    answer = await trade.order("order.create", ORDER)
    assert answer["retCode"] == 10019
    assert len(rig.market().orders) == 2
    for socket in (trade, public):
        await asyncio.wait_for(socket.connection.wait_closed(), 10)
    assert (await (await rig.trade()).order("order.create", ORDER))["retCode"] == 0
    shown = [
        (await rig.get(path, "alice", **LINEAR, orderLinkId=name))["result"]["list"]
        for path in ("/order/realtime", "/order/history")
        for name in ("open", "closed")
    ]
    assert [len(rows) for rows in shown] == [1, 0, 0, 1]


async def test_refused_connections(rig: Rig) -> None:
    arm(rig, "refuse_connect", status=502)
    with pytest.raises(InvalidStatus) as caught:
        await rig.socket("public")
    assert caught.value.response.status_code == 502
    assert (await (await rig.socket("public")).ask({"op": "ping"}))["success"] is True


# -- market data and the market itself


async def test_a_silent_topic(rig: Rig) -> None:
    public = await rig.socket("public")
    other = "orderbook.50.ETHUSDT"
    await public.ask({"op": "subscribe", "args": [BOOK, other]})
    for topic in (BOOK, other):
        await public.topic(topic)
    arm(rig, "silent_topic", symbol="BTCUSDT", count=None)
    await rig.settled(lambda: rig.faults.happened.get("silent_topic") == 1)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        market = rig.market("perp", symbol)
        assert market.bids.best is not None
        market.set_background(market.bids, market.bids.best, 77)
        rig.exchange.publish(market)
    await public.topic(other)
    assert sum(each.get("topic") == BOOK for each in public.seen) == 1
    rig.faults.clear()
    market = rig.market()
    assert market.bids.best is not None
    stream = rig.wire.venue.books["linear", BOOK]
    silent_id = stream.update_id
    await rig.settled(lambda: not rig.wire.venue.hub.silent)
    market.set_background(market.bids, market.bids.best, 78)
    rig.exchange.publish(market)
    assert (await public.topic(BOOK))["data"]["u"] == silent_id + 1


async def test_odd_frames_come_beside_the_healthy_one(rig: Rig) -> None:
    public = await rig.socket("public")
    await public.ask({"op": "subscribe", "args": [BOOK]})
    start = (await public.topic(BOOK))["data"]["u"]
    arm(rig, "unknown_event")
    arm(rig, "partial_depth_as_diff")
    market = rig.market()
    assert market.bids.best is not None
    market.set_background(market.bids, market.bids.best, 77)
    rig.exchange.publish(market)
    await public.until(lambda each: each.get("topic") == "something.new")
    frames = [each for each in public.seen if each.get("topic") == BOOK]
    assert [(each["type"], each["data"]["u"] - start) for each in frames] == [
        ("snapshot", 0), ("delta", 1), ("delta", 1),
    ]  # fmt: skip
    assert [len(each["data"]["b"]) for each in frames[1:]] == [5, 1]


@pytest.mark.parametrize(
    ("name", "params"),
    [("slow_snapshot", {"delay_ms": 150}), ("snapshot_error", {"status": 503}), ("stale_snapshot", {})],
)
async def test_book_snapshots_over_rest(rig: Rig, name: str, params: dict[str, Any]) -> None:
    before = (await rig.get("/market/orderbook", **LINEAR, limit=1000))["result"]["u"]
    market = rig.market()
    assert market.bids.best is not None
    market.set_background(market.bids, market.bids.best, 77)
    arm(rig, name, **params)
    asked = rig.clock.now_ms()
    status, answer, _ = await rig.raw("GET", "/v5/market/orderbook", "category=linear&symbol=BTCUSDT&limit=9")
    if name == "snapshot_error":
        assert status == 503
        return
    assert answer["result"]["u"] == before + (name != "stale_snapshot")
    if name == "slow_snapshot":
        assert answer["time"] - asked >= 150


@pytest.mark.parametrize(
    ("name", "linear", "spot"), [("symbol_halt", 110074, 170151), ("symbol_cancel_only", 110066, 170157)]
)
async def test_halted_markets(rig: Rig, name: str, linear: int, spot: int) -> None:
    await rig.place(orderLinkId="a")
    for category, product, code in (("linear", "perp", linear), ("spot", "spot", spot)):
        rig.faults.arm(name, venue="bybit", product=product, symbol="BTCUSDT", count=None)
        market = rig.market(product)
        await rig.settled(lambda market=market: market.status != "TRADING")  # type: ignore[misc]
        assert (await rig.place(category=category, price="59000"))["retCode"] == code
    assert (await rig.post("/order/cancel", LINEAR | {"orderLinkId": "a"}))["retCode"] == 0
    shown = await rig.get("/market/instruments-info", **LINEAR)
    assert len(shown["result"]["list"]) == (name == "symbol_cancel_only")
    rig.faults.clear()
    await rig.settled(lambda: rig.market().status == rig.market("spot").status == "TRADING")
    assert (await rig.place())["retCode"] == 0


@pytest.mark.parametrize("product", ["spot", "perp"])
async def test_a_skewed_clock(rig: Rig, product: str) -> None:
    rig.faults.arm("clock_skew", venue="bybit", product=product, count=None, skew_ms=-60_000)
    await rig.settled(lambda: rig.clock.offset_ms == -60_000)
    answer = await rig.raw("GET", "/v5/order/realtime", "category=linear&symbol=BTCUSDT", shift_ms=60_000)
    assert answer[1]["retCode"] == 10002
    rig.faults.clear()
    await rig.settled(lambda: rig.clock.offset_ms == 0)
    assert (await rig.place())["retCode"] == 0


async def test_slow_and_banned_requests(rig: Rig) -> None:
    arm(rig, "slow_request", delay_ms=150)
    asked = rig.clock.now_ms()
    assert (await rig.get("/market/time"))["time"] - asked >= 150
    arm(rig, "ban_418", seconds=0.3)
    assert (await rig.raw("GET", "/v5/market/time"))[0] == 403
    async with asyncio.timeout(10):
        while (await rig.raw("GET", "/v5/market/time"))[0] == 403:
            await asyncio.sleep(0.01)
    assert is_spent(rig, "ban_418")
