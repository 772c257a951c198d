"""Bybit's lists: pages by cursor, filters, time ranges, what closed orders may be asked for."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.sim.bybit.errors import BybitError
from engine.sim.bybit.query import Query, paged
from tests.sim.bybit_rig import Rig

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def pages(
    rig: Rig, path: str, limit: int, name: str | None = "alice", **params: Any
) -> list[list[Any]]:
    """Return all pages of a list."""
    found: list[list[Any]] = []
    cursor = ""
    while True:
        asked = params | {"limit": limit} | ({"cursor": cursor} if cursor else {})
        result = (await rig.get(path, name, **asked))["result"]
        found.append(result["list"])
        cursor = result["nextPageCursor"]
        if not cursor:
            return found
        assert len(found) < 50


async def test_open_orders_come_newest_first_page_by_page(rig: Rig) -> None:
    names = [f"o{number}" for number in range(5)]
    for name in names:
        await rig.place(orderLinkId=name)
    found = await pages(rig, "/order/realtime", 2, **LINEAR)
    assert [[row["orderLinkId"] for row in page] for page in found] == [["o4", "o3"], ["o2", "o1"], ["o0"]]
    whole = await pages(rig, "/order/realtime", 50, category="linear", settleCoin="USDT")
    assert [len(page) for page in whole] == [5]
    assert (await rig.get("/order/realtime", "alice", category="linear"))["retCode"] == 10001
    assert (await rig.get("/order/realtime", "alice", category="spot"))["result"]["list"] == []


async def test_an_order_that_comes_meanwhile_shifts_no_page(rig: Rig) -> None:
    for name in "abcd":
        await rig.place(orderLinkId=name)
    first = (await rig.get("/order/realtime", "alice", **LINEAR, limit=2))["result"]
    await rig.place(orderLinkId="e")
    rest = await rig.get("/order/realtime", "alice", **LINEAR, limit=2, cursor=first["nextPageCursor"])
    assert [row["orderLinkId"] for row in rest["result"]["list"]] == ["b", "a"]


async def test_closed_orders(rig: Rig) -> None:
    for name in "abc":
        await rig.place(orderLinkId=name)
    await rig.post("/order/cancel", LINEAR | {"orderLinkId": "b"})
    await rig.place(orderLinkId="f", orderType="Market", price="")
    closed = await rig.get("/order/realtime", "alice", **LINEAR, openOnly=1)
    assert [row["orderLinkId"] for row in closed["result"]["list"]] == ["f", "b"]
    found = await pages(rig, "/order/history", 1, **LINEAR)
    assert [row["orderLinkId"] for page in found for row in page] == ["f", "b"]
    filled = await rig.get("/order/history", "alice", **LINEAR, orderStatus="Filled")
    assert [row["orderLinkId"] for row in filled["result"]["list"]] == ["f"]
    assert (await rig.get("/order/history", "alice", **LINEAR, orderLinkId="a"))["result"]["list"] == []
    named = await rig.get("/order/realtime", "alice", **LINEAR, orderLinkId="b")
    assert [row["orderStatus"] for row in named["result"]["list"]] == ["Cancelled"]


async def test_time_ranges(rig: Rig) -> None:
    await rig.place(orderType="Market", price="")
    now, day = rig.clock.now_ms(), 86_400_000
    for path in ("/order/history", "/execution/list"):
        for start, end, count in (
            (now - day, None, 1), (None, now + day, 1), (None, now - day, 0), (now - day, now - day // 2, 0),
            (now - 8 * day, None, 0),
        ):  # fmt: skip
            params = {"startTime": start, "endTime": end}
            given = {key: value for key, value in params.items() if value is not None}
            rows = (await rig.get(path, "alice", **LINEAR, **given))["result"]["list"]
            assert bool(rows) == bool(count), (path, start, end)
        wide = await rig.get(path, "alice", **LINEAR, startTime=now - 8 * day, endTime=now)
        assert wide["retCode"] == 10001
        assert (await rig.get(path, "alice", **LINEAR, startTime="x"))["retCode"] == 10001


async def test_fills_page_by_page(rig: Rig) -> None:
    for name in "abc":
        await rig.place(orderType="Market", price="", qty="0.001", orderLinkId=name)
    await rig.place(category="spot", orderType="Market", price="", qty="60", orderLinkId="s")
    found = await pages(rig, "/execution/list", 2, **LINEAR)
    assert [[row["orderLinkId"] for row in page] for page in found] == [["c", "b"], ["a"]]
    one = await rig.get("/execution/list", "alice", category="linear", orderLinkId="b")
    assert [row["orderLinkId"] for row in one["result"]["list"]] == ["b"]
    [spot] = await pages(rig, "/execution/list", 5, category="spot")
    assert [row["orderLinkId"] for row in spot] == ["s"]


async def test_instruments_and_open_interest_page_by_page(rig: Rig) -> None:
    found = await pages(rig, "/market/instruments-info", 1, None, category="linear")
    assert [[row["symbol"] for row in page] for page in found] == [["BTCUSDT"], ["ETHUSDT"]]
    found = await pages(rig, "/market/open-interest", 80, None, **LINEAR, intervalTime="5min")
    stamps = [int(row["timestamp"]) for page in found for row in page]
    assert [len(page) for page in found] == [80, 80, 40]
    assert {early - late for early, late in itertools.pairwise(stamps)} == {300_000}


def query(**params: str) -> Query:
    return Query(params)


def test_rows_with_the_same_name_do_not_hold_a_reader_up() -> None:
    rows, cursor, seen = [{"id": "x"}] * 3, "", 0
    while True:
        page = paged(rows, query(limit="1", cursor=cursor), 20, 50, "id")
        seen += len(page["list"])
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert seen == 3


@pytest.mark.parametrize("params", [
    {"limit": "0"}, {"limit": "x"}, {"limit": "-1"}, {"cursor": "x"}, {"cursor": "x:y"}, {"cursor": "1:"},
    {"limit": "9" * 5000},
])  # fmt: skip
def test_pages_that_cannot_be(params: dict[str, str]) -> None:
    with pytest.raises(BybitError) as caught:
        paged([{"id": "x"}], query(**params), 20, 50, "id")
    assert caught.value.code == 10001


def test_a_limit_above_the_most_is_the_most() -> None:
    rows = [{"id": str(number)} for number in range(60)]
    assert len(paged(rows, query(limit="900"), 20, 50, "id")["list"]) == 50
    assert len(paged(rows, query(), 20, 50, "id")["list"]) == 20
