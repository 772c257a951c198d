"""OKX's order entry over WebSocket: the number instead of the name, envelopes, whole-request refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sim.okx_rig import NUMBERLESS, SPECS, SPOT, SWAP, Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def test_place_amend_and_cancel(rig: Rig) -> None:
    socket = await rig.private()
    answer = await socket.order("order", rig.coded(clOrdId="a2"), number="1512")
    assert (answer["id"], answer["op"], answer["code"], answer["msg"]) == ("1512", "order", "0", "")
    assert int(answer["inTime"]) <= int(answer["outTime"])
    [row] = answer["data"]
    assert (row["clOrdId"], row["sCode"], row["sMsg"]) == ("a2", "0", "")
    code = rig.codes[SWAP]
    item = {"instIdCode": code, "ordId": row["ordId"], "reqId": "r2", "newPx": "58000.5"}
    answer = await socket.order("amend-order", item)
    assert (answer["code"], answer["data"][0]["reqId"]) == ("0", "r2")
    answer = await socket.order("cancel-order", {"instIdCode": code, "clOrdId": "a2"})
    assert (answer["code"], answer["data"][0]["ordId"]) == ("0", row["ordId"])
    answer = await socket.order("cancel-order", {"instIdCode": code, "clOrdId": "a2"})
    assert (answer["code"], answer["data"][0]["sCode"]) == ("1", "51400")


async def test_batches(rig: Rig) -> None:
    socket = await rig.private()
    items = [rig.coded(clOrdId="b1"), rig.coded(SPOT, clOrdId="b2", px="1"), rig.coded(clOrdId="b1")]
    answer = await socket.order("batch-orders", *items)
    assert answer["code"] == "2"
    assert [row["sCode"] for row in answer["data"]] == ["0", "0", "51016"]
    code = rig.codes[SWAP]
    answer = await socket.order("batch-amend-orders", {"instIdCode": code, "clOrdId": "b1", "newSz": "2"})
    assert answer["code"] == "0"
    answer = await socket.order("batch-cancel-orders", {"instIdCode": code, "clOrdId": "b1"})
    assert answer["code"] == "0"


@pytest.mark.parametrize(
    ("code", "sent", "text"),
    [
        (None, "50014", "Parameter instIdCode can not be empty"), (7, "51001", ""), ("10458", "51001", ""),
        (True, "51001", ""), (10458.0, "51001", ""),
    ],
)  # fmt: skip
async def test_the_number_of_the_instrument_is_a_must(rig: Rig, code: Any, sent: str, text: str) -> None:
    socket = await rig.private()
    item = rig.item() | ({"instIdCode": code} if code is not None else {})
    answer = await socket.order("order", item)
    [row] = answer["data"]
    assert (answer["code"], row["sCode"]) == ("1", sent)
    assert text in row["sMsg"]
    assert not rig.exchange.orders


@pytest.mark.parametrize(
    ("number", "items", "root", "code"),
    [
        ("", [{}], {}, "60033"), ("a-b", [{}], {}, "60033"), ("x" * 33, [{}], {}, "60033"),
        ("1", [], {}, "60013"), ("1", ["x"], {}, "60013"), ("1", [{}, {}], {}, "60013"),
        ("1", [{}], {"expTime": "1"}, "50036"),
    ],
)  # fmt: skip
async def test_whole_requests_that_fail(rig: Rig, number: str, items: Any, root: Any, code: str) -> None:
    socket = await rig.private()
    answer = await socket.order("order", *items, number=number, **root)
    assert (answer["code"], answer["data"]) == (code, [])
    assert answer["msg"]
    assert "inTime" in answer


async def test_an_instrument_may_have_no_number() -> None:
    name = NUMBERLESS.symbol
    async with Rig(specs=[*SPECS, NUMBERLESS]) as rig:
        [listed] = await rig.rows("/public/instruments", instType="SWAP", instId=name)
        assert listed["instIdCode"] is None
        socket = await rig.private()
        answer = await socket.order("order", rig.coded(name))
        assert answer["data"][0]["sCode"] == "51001", "its place in the list is no number of it"
        assert (await rig.place(name))["sCode"] == "51008", "over REST it is traded: here for want of USDC"


async def test_a_batch_holds_twenty(rig: Rig) -> None:
    socket = await rig.private()
    answer = await socket.order("batch-orders", *[rig.coded()] * 21)
    assert (answer["code"], answer["data"]) == ("60013", [])
    assert not rig.exchange.orders


async def test_orders_need_the_private_address_and_a_login(rig: Rig) -> None:
    public, stranger = await rig.socket(), await rig.socket("private")
    assert (await public.order("order", rig.coded()))["code"] == "60028"
    assert (await stranger.order("order", rig.coded()))["code"] == "60011"
    assert not rig.exchange.orders


async def test_orders_outlive_their_connection(rig: Rig) -> None:
    socket = await rig.private()
    await socket.order("order", rig.coded(clOrdId="x1"))
    await socket.connection.close()
    await rig.settled(lambda: not rig.wire.venue.sockets.sessions)
    assert [row["clOrdId"] for row in await rig.rows("/trade/orders-pending", "alice")] == ["x1"]


async def test_order_requests_do_not_count_as_subscriptions(rig: Rig) -> None:
    socket = await rig.private()
    [session] = rig.wire.venue.sockets.sessions
    before = len(session.requests)
    await socket.order("order", rig.coded())
    assert len(session.requests) == before == 1
