"""OKX's private channels: orders, account, positions, balance_and_position."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.accounts import Balance
from engine.sim.okx.options import Options
from tests.sim.okx_rig import SPOT, SWAP, Rig

ORDERS = {"channel": "orders", "instType": "ANY"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def rows(message: Any) -> list[Any]:
    return list(message["data"])


# -- orders


async def test_the_orders_channel_has_no_snapshot(rig: Rig) -> None:
    await rig.place(clOrdId="old")
    socket = await rig.private(ORDERS)
    await rig.place(clOrdId="new")
    message = await socket.push("orders")
    assert message["arg"] == {**ORDERS, "uid": "354937000"}
    assert rows(message)[0]["clOrdId"] == "new"


async def test_an_order_tells_its_life(rig: Rig) -> None:
    socket = await rig.private(ORDERS)
    placed = await rig.place(px="60000", sz="3", clOrdId="L1")
    live = rows(await socket.push("orders"))[0]
    assert (live["state"], live["accFillSz"], live["avgPx"], live["tradeId"]) == ("live", "0", "0", "")
    assert (live["fillSz"], live["uTime"] == live["cTime"], live["reduceOnly"]) == ("0", True, "false")
    rig.exchange.background_trade(rig.market(), "SELL", 100)
    part = rows(await socket.push("orders"))[0]
    assert (part["state"], part["accFillSz"], part["fillSz"]) == ("partially_filled", "1", "1")
    assert (part["execType"], part["fillPx"], part["avgPx"]) == ("M", "60000", "60000")
    assert D(part["fillFee"]) == D(part["fee"]) == -D("0.01") * 60_000 * D("0.0002")
    assert D(part["fillNotionalUsd"]) == 600
    rig.exchange.background_trade(rig.market(), "SELL", 200)
    full = rows(await socket.push("orders"))[0]
    assert (full["state"], full["accFillSz"], full["fillSz"]) == ("filled", "3", "2")
    assert D(full["fee"]) == 3 * D(part["fee"])
    assert full["tradeId"] != part["tradeId"]
    assert {row["ordId"] for row in (live, part, full)} == {placed["ordId"]}


async def test_a_post_only_order_that_would_take_is_told_once(rig: Rig) -> None:
    socket = await rig.private(ORDERS)
    await rig.place(ordType="post_only", px="60000.1", clOrdId="P1")
    await rig.place(clOrdId="P2")
    told = [rows(await socket.push("orders"))[0] for _ in range(2)]
    assert [(row["clOrdId"], row["state"], row["cancelSource"]) for row in told] == [
        ("P1", "canceled", "31"), ("P2", "live", ""),
    ]  # fmt: skip


async def test_an_amend_is_told_with_its_request_id(rig: Rig) -> None:
    socket = await rig.private(ORDERS)
    await rig.place(clOrdId="A1", sz="2")
    await socket.push("orders")
    body = {"instId": SWAP, "clOrdId": "A1", "reqId": "q1", "newSz": "1"}
    assert (await rig.post("/trade/amend-order", body))["code"] == "0"
    row = rows(await socket.push("orders"))[0]
    assert (row["reqId"], row["amendResult"], row["amendSource"], row["sz"]) == ("q1", "0", "1", "1")
    await rig.post("/trade/cancel-order", {"instId": SWAP, "clOrdId": "A1"})
    row = rows(await socket.push("orders"))[0]
    assert (row["reqId"], row["amendResult"], row["cancelSource"]) == ("", "", "1")


@pytest.mark.parametrize(("cancels", "result", "state"), [(False, "-1", "live"), (True, "1", "canceled")])
async def test_an_amend_may_fail_after_its_acknowledgement(
    rig: Rig, cancels: bool, result: str, state: str
) -> None:
    socket = await rig.private(ORDERS)
    await rig.place(SPOT, clOrdId="A1", sz="1")
    await socket.push("orders")
    rig.account().balances["spot"]["USDT"].free = D(10)
    body = {"instId": SPOT, "clOrdId": "A1", "reqId": "q1", "newSz": "2", "cxlOnFail": cancels}
    assert (await rig.post("/trade/amend-order", body))["code"] == "0"
    row = rows(await socket.push("orders"))[0]
    assert (row["amendResult"], row["reqId"], row["code"], row["state"]) == (result, "q1", "51008", state)
    assert (row["sz"], bool(row["msg"])) == ("1", True)


async def test_subscriptions_of_one_channel_are_told_apart(rig: Rig) -> None:
    socket = await rig.private(
        {"channel": "orders", "instType": "SPOT"}, {"channel": "orders", "instType": "SWAP", "instId": SWAP},
    )  # fmt: skip
    await rig.place(SPOT, clOrdId="s")
    await rig.place("ETH-USDT-SWAP", px="2900", clOrdId="e")
    await rig.place(clOrdId="b")
    told = [await socket.push("orders") for _ in range(2)]
    assert [(each["arg"]["instType"], rows(each)[0]["clOrdId"]) for each in told] == [
        ("SPOT", "s"), ("SWAP", "b"),
    ]  # fmt: skip
    await socket.ask("unsubscribe", {"channel": "orders", "instType": "SPOT"})
    await rig.place(SPOT, clOrdId="s2")
    await rig.place(clOrdId="b2")
    assert rows(await socket.push("orders"))[0]["clOrdId"] == "b2"


async def test_accounts_hear_nothing_of_each_other(rig: Rig) -> None:
    socket = await rig.private(ORDERS, name="bob")
    await rig.place(clOrdId="mine")
    await rig.place(name="bob", clOrdId="his")
    assert rows(await socket.push("orders"))[0]["clOrdId"] == "his"


# -- account and positions


async def test_the_account_comes_whole_and_in_pages(rig: Rig) -> None:
    for number in range(6):
        rig.account().balances["spot"][f"C{number}"] = Balance(D(1))
    socket = await rig.private({"channel": "account"})
    pages = [await socket.push("account") for _ in range(2)]
    assert [(page["eventType"], page["curPage"], page["lastPage"]) for page in pages] == [
        ("snapshot", 1, False), ("snapshot", 2, True),
    ]  # fmt: skip
    names = [detail["ccy"] for page in pages for detail in rows(page)[0]["details"]]
    assert names == ["USDT", "BTC", "C0", "C1", "C2", "C3", "C4", "C5"]


async def test_an_account_event_lists_what_changed(rig: Rig) -> None:
    socket = await rig.private({"channel": "account"})
    await socket.push("account")
    await rig.place(SPOT, sz="1")
    event = await socket.push("account")
    assert (event["eventType"], "curPage" in event) == ("event_update", False)
    [detail] = rows(event)[0]["details"]
    assert (detail["ccy"], detail["ordFrozen"], detail["cashBal"]) == ("USDT", "58000", "1000000")


async def test_one_currency_alone(rig: Rig) -> None:
    socket = await rig.private({"channel": "account", "ccy": "BTC"})
    [detail] = rows(await socket.push("account"))[0]["details"]
    assert detail["ccy"] == "BTC"
    await rig.place(SPOT, sz="1")
    await rig.place(SPOT, sz="1", side="sell", px="62000")
    [detail] = rows(await socket.push("account"))[0]["details"]
    assert (detail["ccy"], detail["ordFrozen"]) == ("BTC", "1")


async def test_positions_open_change_and_close(rig: Rig) -> None:
    socket = await rig.private({"channel": "positions", "instType": "SWAP"})
    first = await socket.push("positions")
    assert (first["eventType"], rows(first), first["lastPage"]) == ("snapshot", [], True)
    await rig.place(ordType="market", px=None, sz="2")
    event = await socket.push("positions", lambda row: row["pos"] == "2")
    row = rows(event)[0]
    assert (event["eventType"], row["posSide"], row["avgPx"]) == ("event_update", "net", "60000.1")
    await rig.place(ordType="market", px=None, sz="5", side="sell")
    await socket.push("positions", lambda row: row["pos"] == "-3")
    await rig.place(ordType="market", px=None, sz="3")
    closed = rows(await socket.push("positions", lambda row: row["pos"] == "0"))[0]
    assert D(closed["realizedPnl"]) < 0
    assert closed["avgPx"] == ""


async def test_fills_of_a_moment_are_one_event(rig: Rig) -> None:
    socket = await rig.private({"channel": "positions", "instType": "ANY"})
    await socket.push("positions")
    await rig.place(ordType="market", px=None, sz="25")  # three levels, three fills
    event = await socket.push("positions")
    assert [(row["instId"], row["pos"]) for row in rows(event)] == [(SWAP, "25")]


async def test_regular_snapshots_unless_events_alone_are_wanted() -> None:
    async with Rig(Options(connects_per_s=1_000, repeat_ms=100)) as rig:
        only_events = {"channel": "positions", "instType": "ANY", "extraParams": '{"updateInterval":"0"}'}
        socket = await rig.private({"channel": "account"}, only_events)
        for _ in range(3):
            assert (await socket.push("account"))["eventType"] == "snapshot"
        pushes = [each for each in socket.seen if each.get("arg", {}).get("channel") == "positions"]
        assert [each["eventType"] for each in pushes if "data" in each] == ["snapshot"]
        assert "extraParams" not in next(each for each in pushes if "data" in each)["arg"]


# -- balance_and_position


async def test_fills_come_at_once_with_their_trades(rig: Rig) -> None:
    socket = await rig.private({"channel": "balance_and_position"}, ORDERS)
    first = rows(await socket.push("balance_and_position"))[0]
    assert (first["eventType"], first["posData"]) == ("snapshot", [])
    assert [row["ccy"] for row in first["balData"]] == ["USDT", "BTC"]
    await rig.place(SPOT, clOrdId="rests")
    await rig.place(ordType="market", px=None, sz="1")
    row = rows(await socket.push("balance_and_position"))[0]
    assert row["eventType"] == "filled", "a resting order moves no money"
    filled = rows(await socket.push("orders", lambda each: each["state"] == "filled"))[0]
    assert row["trades"] == [{"instId": SWAP, "tradeId": filled["tradeId"]}]
    [position] = row["posData"]
    assert (position["pos"], position["tradeId"]) == ("1", filled["tradeId"])
    [balance] = row["balData"]
    assert D(balance["cashBal"]) == D(1_000_000) + D(filled["fee"])


async def test_funding_is_told_and_billed(rig: Rig) -> None:
    await rig.place(ordType="market", px=None, sz="1")
    socket = await rig.private(
        {"channel": "balance_and_position"}, {"channel": "positions", "instType": "SWAP"}
    )
    await socket.push("balance_and_position")
    rig.exchange.settle_funding(rig.market(), rig.clock.now_ms())
    row = rows(await socket.push("balance_and_position"))[0]
    assert (row["eventType"], row["trades"], row["balData"][0]["ccy"]) == ("funding_fee", [], "USDT")
    paid = -D("0.01") * 60_000 * D("0.0001")
    row = rows(await socket.push("positions", lambda each: each["fundingFee"] != "0"))[0]
    assert D(row["fundingFee"]) == paid
    [bill] = await rig.rows("/account/bills", "alice", type="8")
    assert (bill["subType"], D(bill["balChg"])) == ("173", paid)


async def test_messages_of_one_round_keep_their_order(rig: Rig) -> None:
    socket = await rig.private(ORDERS)
    await asyncio.gather(*(rig.place(clOrdId=f"n{number}") for number in range(10)))
    placed = [row.extra["clOrdId"] for row in rig.exchange.orders]
    told = [rows(await socket.push("orders"))[0]["clOrdId"] for _ in range(10)]
    assert told == placed
