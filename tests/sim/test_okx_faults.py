"""Every fault that OKX's wire can honour does what it says, and is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.sim.okx_rig import SPOT, SWAP, Rig, Socket

ORDERS = {"channel": "orders", "instType": "ANY"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def arm(rig: Rig, name: str, symbol: str | None = None, **more: Any) -> None:
    rig.faults.arm(name, venue="okx", symbol=symbol, **more)


async def chain(socket: Socket) -> tuple[int, int]:
    data = (await socket.push("books"))["data"][0]
    return data["prevSeqId"], data["seqId"]


# -- books


@pytest.mark.parametrize(
    ("fault", "order"),
    [("drop_depth", [0, 2]), ("duplicate_depth", [0, 1, 1, 2]), ("reorder_depth", [0, 2, 1])],
)
async def test_frames_are_lost_doubled_and_late(rig: Rig, fault: str, order: list[int]) -> None:
    socket = await rig.listening("books")
    numbers = [(await chain(socket))[1]]
    seen = [numbers[0]]
    arm(rig, fault, SWAP)
    for step in (1, 2):
        rig.shake(SWAP, step)
        numbers.append(rig.market().published_id)
    while len(seen) < len(order):
        seen.append((await chain(socket))[1])
    assert seen == [numbers[index] for index in order]
    assert rig.faults.happened[fault] == 1


async def test_numbers_go_back_and_the_chain_holds(rig: Rig) -> None:
    socket = await rig.listening("books")
    before = (await chain(socket))[1]
    arm(rig, "reset_sequence", SWAP)
    await rig.settled(lambda: rig.faults.happened.get("reset_sequence") == 1)
    assert rig.market().published_at(before) is not None, "the last book keeps its number"
    rig.shake(SWAP, 1)
    previous, number = await chain(socket)
    assert previous == before
    assert number < before
    assert rig.market().published_at(number) is not None
    rig.shake(SWAP, 2)
    assert (await chain(socket))[0] == number
    other = await rig.listening("books", "ETH-USDT-SWAP")
    assert (await chain(other))[1] > 1_000_000_000, "other instruments count on"


async def test_a_frame_without_levels_repeats_the_number(rig: Rig) -> None:
    socket = await rig.listening("books")
    number = (await chain(socket))[1]
    arm(rig, "heartbeat_depth", SWAP)
    assert await chain(socket) == (number, number)
    rig.shake(SWAP, 1)
    assert (await chain(socket))[0] == number


async def test_best_levels_that_look_like_an_update(rig: Rig) -> None:
    socket = await rig.listening("books")
    await socket.push("books")
    arm(rig, "partial_depth_as_diff", SWAP)
    rig.shake(SWAP, 1)
    partial = await socket.push("books")
    assert "action" not in partial
    assert len(partial["data"][0]["bids"]) == 5
    assert (await socket.push("books"))["action"] == "update"


@pytest.mark.parametrize("kind", ["truncated", "types", "huge", "utf8", "bytes", "nesting", "empty"])
async def test_malformed_frames(rig: Rig, kind: str) -> None:
    socket = await rig.listening("books")
    await socket.push("books")
    arm(rig, "garbage_frame", SWAP, kind=kind)
    rig.shake(SWAP, 1)
    await rig.settled(lambda: rig.faults.happened.get("garbage_frame") == 1)
    if kind in ("utf8", "bytes"):
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.connection.recv(), 10)
        return
    text = await asyncio.wait_for(socket.connection.recv(), 10)
    if kind in ("types", "huge"):
        assert not isinstance(json.loads(text)["data"][0]["bids"], list) or kind == "huge"
    else:
        with pytest.raises((ValueError, RecursionError)):
            json.loads(text)
    assert (await socket.push("books"))["action"] == "update", "the healthy frame follows"


async def test_unknown_events_come_between(rig: Rig) -> None:
    socket = await rig.listening("books")
    arm(rig, "unknown_event", SWAP)
    rig.shake(SWAP, 1)
    strange = await socket.until(lambda each: each.get("arg", {}).get("channel") == "something-new")
    assert "zz" in strange["data"][0]


async def test_a_silent_topic(rig: Rig) -> None:
    socket = await rig.listening("books")
    await socket.ask("subscribe", {"channel": "books", "instId": SPOT})
    arm(rig, "silent_topic", SWAP, count=None)
    await rig.settled(lambda: rig.faults.happened.get("silent_topic") == 1)
    rig.shake(SWAP, 1)
    rig.shake(SPOT, 1)
    await socket.until(lambda each: each.get("action") == "update")
    updates = [each["arg"]["instId"] for each in socket.seen if each.get("action") == "update"]
    assert updates == [SPOT]
    rig.faults.clear()
    await rig.settled(lambda: not rig.wire.venue.hub.silent)
    rig.shake(SWAP, 2)
    message = await socket.until(lambda each: each.get("action") == "update")
    assert message["arg"]["instId"] == SWAP
    assert message["data"][0]["prevSeqId"] != socket.seen[1]["data"][0]["seqId"], "what was not sent is a gap"


async def test_snapshots_over_rest(rig: Rig) -> None:
    arm(rig, "snapshot_error", status=502)
    assert (await rig.raw("GET", "/market/books", f"instId={SWAP}", name=None))[0] == 502
    old = rig.market().published_id
    rig.shake(SWAP, 1)
    arm(rig, "stale_snapshot", SWAP)
    assert [row["seqId"] for row in await rig.rows("/market/books", instId=SWAP)] == [old]
    assert [row["seqId"] for row in await rig.rows("/market/books", instId=SWAP)] == [
        rig.market().published_id
    ]
    arm(rig, "slow_snapshot", delay_ms=30)
    arm(rig, "slow_request", delay_ms=30)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await rig.rows("/market/books", instId=SWAP)
    assert loop.time() - began >= 0.06


# -- connections


async def test_connections_are_cut_closed_and_mute(rig: Rig) -> None:
    public, private = await rig.listening("books"), await rig.private()
    arm(rig, "disconnect")
    assert await public.closed() == 1006
    public = await rig.listening("books")
    arm(rig, "close", code=1012)
    assert await public.closed() == 1012
    await private.send("ping")
    assert await private.connection.recv() == "pong", "the account's connection was spared"
    public = await rig.listening("books")
    await public.push("books")
    arm(rig, "half_open")
    await rig.settled(lambda: rig.faults.happened.get("half_open") == 1)
    await public.send("ping")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(public.connection.recv(), 0.2)


async def test_revoked_keys_and_upgrades(rig: Rig) -> None:
    public, private = await rig.socket(), await rig.private()
    arm(rig, "server_shutdown", delay_ms=50)
    for socket in (public, private):
        notice = await socket.until(lambda each: each.get("event") == "notice")
        assert notice["code"] == "64008"
        assert await socket.closed() == 1001
    private = await rig.private()
    arm(rig, "revoke_session")
    assert await private.closed() == 4007


async def test_refused_connections(rig: Rig) -> None:
    arm(rig, "refuse_connect", status=502)
    with pytest.raises(InvalidStatus, match="502"):
        await rig.socket()
    await rig.socket()


# -- orders


async def place(rig: Rig, transport: str, socket: Socket, **changed: Any) -> Any:
    """Return the answer of an order, None where the connection was cut instead."""
    try:
        if transport == "ws":
            return await socket.order("order", rig.coded(**changed))
        return await rig.post("/trade/order", rig.item(**changed))
    except (ConnectionClosed, aiohttp.ClientError):
        return None


@pytest.mark.parametrize("transport", ["rest", "ws"])
@pytest.mark.parametrize(
    ("fault", "code", "is_placed"),
    [
        ("drop_request", None, False), ("drop_answer_accepted", None, True),
        ("error_1007_not_accepted", "50004", False), ("error_1007_accepted", "50004", True),
        ("rate_limit_429", "50011", False), ("slow_answer_accepted", "0", True),
        ("fill_before_ack", "0", True),
    ],
)  # fmt: skip
async def test_lost_late_and_timed_out_answers(
    rig: Rig, transport: str, fault: str, code: str | None, is_placed: bool
) -> None:
    socket, hearer = await rig.private(), await rig.private(ORDERS)
    arm(rig, fault, delay_ms=80)
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await place(rig, transport, socket, clOrdId="f1")
    assert (answer and answer["code"]) == code
    if fault in ("slow_answer_accepted", "fill_before_ack"):
        assert loop.time() - began >= 0.08
    if is_placed:
        assert (await hearer.push("orders"))["data"][0]["clOrdId"] == "f1"
    assert len(rig.exchange.orders) == is_placed
    assert rig.faults.happened == {fault: 1}


async def test_a_late_answer_holds_nothing_else_back(rig: Rig) -> None:
    socket = await rig.private()
    arm(rig, "slow_answer_accepted", delay_ms=400)
    await socket.send({"id": "late", "op": "order", "args": [rig.coded(clOrdId="late")]})
    assert (await socket.order("order", rig.coded(clOrdId="next"), number="next"))["code"] == "0"
    answers = [each["id"] for each in socket.seen if "op" in each]
    assert answers == ["next"], "answers come in any order"
    assert [order.extra["clOrdId"] for order in rig.exchange.orders] == ["late", "next"], "orders do not"
    assert (await socket.until(lambda each: each.get("id") == "late"))["code"] == "0"


@pytest.mark.parametrize(
    ("fault", "more", "status", "code", "is_placed"),
    [
        ("http_503_unknown", {"accepted": True}, 503, "50001", True),
        ("http_503_unknown", {"accepted": False}, 503, "50001", False),
        ("http_503_unavailable", {}, 503, "50001", False), ("http_503_internal", {}, 500, "50026", False),
        ("html_error", {"accepted": True}, 502, None, True),
        ("html_error", {"status": 504}, 504, None, False),
    ],
)  # fmt: skip
async def test_servers_that_are_down(
    rig: Rig, fault: str, more: Any, status: int, code: str | None, is_placed: bool
) -> None:
    arm(rig, fault, SWAP, **more)
    got, body, _ = await rig.raw("POST", "/trade/order", body=json.dumps(rig.item()))
    assert got == status
    assert (body["code"] if isinstance(body, dict) else None) == code
    assert len(rig.exchange.orders) == is_placed


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("error_1007_accepted", "51149", 500),
        ("error_1007_not_accepted", "51054", 500),
        ("rate_limit_429", "50013", 429),
    ],
)
async def test_other_codes_of_the_same_kind(rig: Rig, fault: str, code: str, status: int) -> None:
    arm(rig, fault, code=code)
    got, body, headers = await rig.raw("POST", "/trade/order", body=json.dumps(rig.item()))
    assert (got, body["code"], body["data"]) == (status, code, [])
    assert ("Retry-After" in headers) == (status == 429)
    assert len(rig.exchange.orders) == (fault == "error_1007_accepted")


async def test_an_order_is_not_found_for_a_moment(rig: Rig) -> None:
    row = await rig.place()
    arm(rig, "not_found_for_a_moment", SWAP, count=None, age_ms=150)
    ask = {"instId": SWAP, "ordId": row["ordId"]}
    assert (await rig.get("/trade/order", "alice", **ask))["code"] == "51603"
    async with asyncio.timeout(10):
        while (await rig.get("/trade/order", "alice", **ask))["code"] != "0":
            pass


@pytest.mark.parametrize("transport", ["rest", "ws"])
async def test_an_order_is_filled_just_before_its_cancel(rig: Rig, transport: str) -> None:
    row, socket = await rig.place(), await rig.private()
    arm(rig, "cancel_race_fill", SWAP)
    name = {"ordId": row["ordId"]}
    if transport == "ws":
        answer = await socket.order("cancel-order", {"instIdCode": rig.codes[SWAP], **name})
    else:
        answer = await rig.post("/trade/cancel-order", {"instId": SWAP, **name})
    assert answer["data"][0]["sCode"] == "51400"
    assert (await rig.rows("/trade/order", "alice", instId=SWAP, **name))[0]["state"] == "filled"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("drop_private", ["b", "c"]), ("duplicate_private", ["a", "a", "b", "c"]),
        ("reorder_private", ["b", "a", "c"]), ("events_after_ack", ["b", "c", "a"]),
    ],
)  # fmt: skip
async def test_private_events_are_lost_doubled_and_late(rig: Rig, fault: str, told: list[str]) -> None:
    socket = await rig.private(ORDERS)
    arm(rig, fault, delay_ms=300)
    for name in "abc":
        await rig.place(clOrdId=name)
    heard = [(await socket.push("orders"))["data"][0]["clOrdId"] for _ in told]
    assert heard == told


# -- markets and clocks


@pytest.mark.parametrize("fault", ["symbol_halt", "symbol_cancel_only"])
async def test_a_market_stops(rig: Rig, fault: str) -> None:
    row = await rig.place()
    arm(rig, fault, SWAP, count=None)
    await rig.settled(lambda: rig.faults.happened.get(fault) == 1)
    assert (await rig.place())["sCode"] == "51022"
    assert (await rig.place(SPOT))["sCode"] == "0"
    [listed] = await rig.rows("/public/instruments", instType="SWAP", instId=SWAP)
    assert listed["state"] == "suspend"
    body = {"instId": SWAP, "ordId": row["ordId"]}
    assert (await rig.post("/trade/cancel-order", body))["code"] == "0"
    rig.faults.clear()
    await rig.settled(lambda: rig.market().status == "TRADING")
    assert (await rig.place())["sCode"] == "0"


@pytest.mark.parametrize("product", [None, "spot", "perp"])
async def test_the_clock_is_off(rig: Rig, product: str | None) -> None:
    rig.faults.arm("clock_skew", venue="okx", product=product, count=None, skew_ms=60_000)
    await rig.settled(lambda: rig.clock.offset_ms == 60_000)
    status, body, _ = await rig.raw("GET", "/account/config", shift_ms=-60_000)
    assert (status, body["code"]) == (401, "50102")
    rig.faults.clear()
    await rig.settled(lambda: rig.clock.offset_ms == 0)
