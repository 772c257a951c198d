"""Armed faults really happen on KuCoin's wire, and are counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.sim.kucoin_rig import Rig, Socket
from tests.sim.test_kucoin_classic import V2, private

HF = "/api/v1/hf/orders"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def followed(rig: Rig) -> Socket:
    socket = await rig.push()
    await socket.follow("obu", tradeType="FUTURES", symbol="XBTUSDTM", depth="increment@10ms")
    await socket.topic("obu.FUTURES", t="snapshot")
    return socket


async def deltas(rig: Rig, socket: Socket, count: int) -> list[tuple[int, int]]:
    """Change the book ``count`` times, each in a frame of its own; return (O, C) of the frames that came."""
    before = len(socket.seen)
    for number in range(count):
        asked = rig.wire.venue.hub.frames_sent
        rig.exchange.background_trade(rig.market("XBTUSDTM"), "BUY", 1)
        rig.exchange.publish(rig.market("XBTUSDTM"))
        happened = sum(rig.faults.happened.values())
        await rig.settled(
            lambda asked=asked, happened=happened: (
                rig.wire.venue.hub.frames_sent > asked  # type: ignore[misc]
                or sum(rig.faults.happened.values()) > happened
            )
        )
        await socket.ask({"id": f"m{number}", "action": "subscribe", "channel": "x"})
    return [(each["d"]["O"], each["d"]["C"]) for each in socket.seen[before:] if each.get("t") == "delta"]


async def test_depth_frames_are_dropped_repeated_and_swapped(rig: Rig) -> None:
    socket = await followed(rig)
    [first] = await deltas(rig, socket, 1)
    rig.faults.arm("drop_depth", "kucoin", "perp", "XBTUSDTM")
    after = await deltas(rig, socket, 2)
    assert [row[0] for row in after] == [first[1] + 2], "one frame is missing"
    rig.faults.arm("duplicate_depth", "kucoin", "perp", "XBTUSDTM")
    twice = await deltas(rig, socket, 1)
    assert len(twice) == 2
    assert twice[0] == twice[1]
    rig.faults.arm("reorder_depth", "kucoin", "perp", "XBTUSDTM")
    swapped = await deltas(rig, socket, 2)
    assert swapped[0][0] == swapped[1][1] + 1
    assert rig.faults.happened == {"drop_depth": 1, "duplicate_depth": 1, "reorder_depth": 1}


async def test_another_symbol_is_left_alone(rig: Rig) -> None:
    socket = await followed(rig)
    rig.faults.arm("drop_depth", "kucoin", "perp", "ETHUSDTM")
    assert len(await deltas(rig, socket, 2)) == 2
    assert rig.faults.happened == {}


@pytest.mark.parametrize("kind", ["truncated", "types", "huge", "utf8", "bytes", "nesting", "empty"])
async def test_garbage_comes_beside_the_healthy_frame(rig: Rig, kind: str) -> None:
    socket = await followed(rig)
    rig.faults.arm("garbage_frame", "kucoin", "perp", "XBTUSDTM", kind=kind)
    rig.exchange.background_trade(rig.market("XBTUSDTM"), "BUY", 1)
    broken = await asyncio.wait_for(socket.connection.recv(), 5)
    try:
        data = json.loads(broken)
    except (ValueError, RecursionError):
        data = None
    assert data is None or kind in ("types", "huge")
    healthy = json.loads(await asyncio.wait_for(socket.connection.recv(), 5))
    assert healthy["t"] == "delta"


async def test_disguised_and_unknown_frames(rig: Rig) -> None:
    socket = await followed(rig)
    rig.faults.arm("partial_depth_as_diff", "kucoin", "perp", "XBTUSDTM")
    rig.faults.arm("unknown_event", "kucoin", "perp", "XBTUSDTM")
    rows = await deltas(rig, socket, 1)
    assert len(rows) == 2
    assert any(each.get("T") == "something.new" for each in socket.seen)


async def test_faults_strike_the_classic_streams_too(rig: Rig) -> None:
    socket = await rig.classic("perp")
    await socket.subscribe("/contractMarket/level2:XBTUSDTM")
    rig.faults.arm("drop_depth", "kucoin", "perp", "XBTUSDTM")
    for _ in range(2):
        rig.exchange.background_trade(rig.market("XBTUSDTM"), "BUY", 1)
        rig.exchange.publish(rig.market("XBTUSDTM"))
    frame = await socket.topic("/contractMarket/level2:XBTUSDTM")
    assert frame["data"]["sequence"] == rig.market("XBTUSDTM").published_id


async def test_connections_are_cut_closed_and_refused(rig: Rig) -> None:
    socket = await followed(rig)
    rig.faults.arm("disconnect", "kucoin", "perp")
    with pytest.raises(ConnectionClosed) as cut:
        await socket.until(lambda each: False)
    assert cut.value.rcvd is None
    socket = await followed(rig)
    rig.faults.arm("close", "kucoin", "perp", code=1012)
    with pytest.raises(ConnectionClosed) as closed:
        await socket.until(lambda each: False)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    rig.faults.arm("refuse_connect", "kucoin")
    with pytest.raises(InvalidStatus):
        await rig.push()
    await followed(rig)


async def test_half_open_sockets_say_nothing_more(rig: Rig) -> None:
    socket = await followed(rig)
    rig.faults.arm("half_open", "kucoin", "perp")
    await rig.settled(lambda: rig.faults.happened.get("half_open") == 1)
    await socket.send({"id": "p", "type": "ping"})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(socket.connection.recv(), 0.3)


async def test_one_symbol_falls_silent(rig: Rig) -> None:
    socket = await followed(rig)
    fault = rig.faults.arm("silent_topic", "kucoin", "perp", "XBTUSDTM", count=None)
    await rig.settled(lambda: "XBTUSDTM" in rig.wire.venue.hub.silent)
    rig.exchange.background_trade(rig.market("XBTUSDTM"), "BUY", 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(socket.connection.recv(), 0.2)
    rig.faults.clear(fault.number)
    await rig.settled(lambda: not rig.wire.venue.hub.silent)


async def test_snapshots_fail_late_and_old(rig: Rig) -> None:
    target = "/api/v1/level2/snapshot?symbol=XBTUSDTM"
    for _ in range(3):
        rig.exchange.background_trade(rig.market("XBTUSDTM"), "BUY", 1)
        rig.exchange.publish(rig.market("XBTUSDTM"))
    rig.faults.arm("snapshot_error", "kucoin", "perp", "XBTUSDTM", status=502)
    assert (await rig.raw("perp", "GET", target))[0] == 502
    fresh = (await rig.raw("perp", "GET", target))[1]["data"]["sequence"]
    rig.faults.arm("stale_snapshot", "kucoin", "perp", "XBTUSDTM")
    assert (await rig.raw("perp", "GET", target))[1]["data"]["sequence"] == fresh - 2
    rig.faults.arm("slow_snapshot", "kucoin", "perp", "XBTUSDTM", delay_ms=150)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await rig.raw("perp", "GET", target)
    assert loop.time() - began >= 0.15
    rig.faults.arm("snapshot_error", "kucoin", "perp", "XBTUSDTM")
    socket = await rig.push()
    await socket.follow("obu", tradeType="FUTURES", symbol="XBTUSDTM", depth="increment@10ms")
    await socket.ask({"id": "p", "type": "ping"})
    assert not any(each.get("T") for each in socket.seen), "the stream's snapshot does not come either"


# -- orders ----------------------------------------------------------------------------------------


async def raw_order(rig: Rig, oid: str) -> tuple[int, Any]:
    body = json.dumps({"clientOid": oid, "symbol": "BTC-USDT", "side": "buy", "type": "limit",
                       "size": "0.01", "price": "58000"})  # fmt: skip
    status, answer, _ = await rig.raw("spot", "POST", HF, body, "alice")
    return status, answer


def exists(rig: Rig, oid: str) -> bool:
    return any(order.client_order_id == oid for order in rig.exchange.orders)


@pytest.mark.parametrize(
    ("name", "params", "status", "code", "runs"),
    [
        ("http_503_unknown", {}, 500, "500000", True),
        ("http_503_unknown", {"accepted": False}, 500, "500000", False),
        ("http_503_unavailable", {}, 429, "429000", False),
        ("http_503_internal", {}, 500, "500000", False),
        ("error_1007_accepted", {}, 200, "408000", True),
        ("error_1007_not_accepted", {}, 200, "408000", False),
        ("html_error", {"accepted": True}, 502, None, True),
        ("html_error", {}, 502, None, False),
        ("rate_limit_429", {}, 429, "429000", False),
    ],
)
async def test_answers_lie_or_fail(
    rig: Rig, name: str, params: dict[str, Any], status: int, code: str | None, runs: bool
) -> None:
    rig.faults.arm(name, "kucoin", "spot", **params)
    got, answer = await raw_order(rig, "x1")
    assert got == status
    assert (answer["code"] if code else "Bad Gateway" in answer) == (code or True)
    assert exists(rig, "x1") is runs
    assert rig.faults.happened == {name: 1}


@pytest.mark.parametrize(("name", "runs"), [("drop_answer_accepted", True), ("drop_request", False)])
async def test_the_connection_is_cut_instead_of_answered(rig: Rig, name: str, runs: bool) -> None:
    rig.faults.arm(name, "kucoin", "spot", "BTC-USDT")
    with pytest.raises(aiohttp.ClientError):
        await raw_order(rig, "x1")
    assert exists(rig, "x1") is runs
    trade = await rig.trade()
    rig.faults.arm(name, "kucoin", "perp", "XBTUSDTM")
    args = {"clientOid": "w1", "symbol": "XBTUSDTM", "side": "buy", "type": "limit", "size": 1,
            "price": "58000", "leverage": 2}  # fmt: skip
    await trade.send({"id": "1", "op": "futures.order", "args": args})
    with pytest.raises(ConnectionClosed):
        await trade.until(lambda each: False)
    assert exists(rig, "w1") is runs


async def test_a_query_does_not_find_a_young_order(rig: Rig) -> None:
    rig.faults.arm("not_found_for_a_moment", "kucoin", "spot", count=None, age_ms=200)
    order_id = (await rig.spot(clientOid="young"))["data"]["orderId"]
    answer = await rig.call("GET", f"{HF}/{order_id}", symbol="BTC-USDT")
    assert answer == {"code": "100001", "msg": "error.getOrder.orderNotExist"}
    async with asyncio.timeout(5):
        while (await rig.call("GET", f"{HF}/client-order/young", symbol="BTC-USDT"))["code"] != "200000":
            await asyncio.sleep(0.02)


async def test_a_fill_races_a_cancel(rig: Rig) -> None:
    order_id = (await rig.spot())["data"]["orderId"]
    rig.faults.arm("cancel_race_fill", "kucoin", "spot", "BTC-USDT")
    assert (await rig.call("DELETE", f"{HF}/{order_id}", symbol="BTC-USDT"))["code"] == "200000"
    order = await rig.get(f"{HF}/{order_id}", name="alice", symbol="BTC-USDT")
    assert (order["active"], order["cancelExist"], order["dealSize"]) == (False, False, "0.01")


async def test_private_events_are_dropped_repeated_swapped_and_late(rig: Rig) -> None:
    socket = await private(rig, "spot", V2)
    rig.faults.arm("drop_private", "kucoin", "spot")
    await rig.spot(clientOid="a")
    opened = await socket.topic(V2, clientOid="a")
    assert opened["data"]["type"] == "open", "received was dropped"
    rig.faults.arm("duplicate_private", "kucoin", "spot")
    await rig.spot(clientOid="b")
    await socket.topic(V2, clientOid="b", type="open")
    kinds = [each["data"]["type"] for each in socket.seen if each.get("data", {}).get("clientOid") == "b"]
    assert kinds == ["received", "received", "open"]
    rig.faults.arm("reorder_private", "kucoin", "spot")
    await rig.spot(clientOid="c")
    await socket.topic(V2, clientOid="c", type="received")
    assert socket.seen[-2]["data"]["type"] == "open"
    rig.faults.arm("events_after_ack", "kucoin", "spot", delay_ms=150)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await rig.spot(clientOid="d")
    await socket.topic(V2, clientOid="d", type="received")
    assert loop.time() - began >= 0.14


async def test_an_answer_waits_until_its_events_are_out(rig: Rig) -> None:
    socket = await private(rig, "spot", V2)
    rig.faults.arm("fill_before_ack", "kucoin", "spot", delay_ms=300)
    placing = asyncio.create_task(rig.spot(clientOid="f", price="60000.1"))
    await socket.topic(V2, clientOid="f", type="filled")
    assert not placing.done()
    assert (await placing)["code"] == "200000"


async def test_halts_clocks_bans_tokens_and_sessions(rig: Rig) -> None:
    fault = rig.faults.arm("symbol_halt", "kucoin", "spot", "BTC-USDT", count=None)
    await rig.settled(lambda: rig.market().status == "HALTED")
    assert (await rig.spot())["code"] == "400600"
    rig.faults.clear(fault.number)
    await rig.settled(lambda: rig.market().status == "TRADING")
    fault = rig.faults.arm("clock_skew", "kucoin", count=None, skew_ms=60_000)
    await rig.settled(lambda: rig.clock.offset_ms == 60_000)
    assert (await rig.raw("spot", "GET", "/api/v1/accounts", name="alice", shift_ms=-60_000))[1][
        "code"
    ] == "400002"
    rig.faults.clear(fault.number)
    await rig.settled(lambda: rig.clock.offset_ms == 0)
    token = (await rig.bullet("spot"))["token"]
    rig.faults.arm("listenkey_expire", "kucoin")
    await rig.settled(lambda: rig.faults.happened.get("listenkey_expire") == 1)
    late = await rig._open(f"{rig.wire.venue.addresses['spot']}?token={token}")
    assert (await late.until(lambda each: True))["data"] == "token is expired"
    trade = await rig.trade()
    rig.faults.arm("revoke_session", "kucoin")
    with pytest.raises(ConnectionClosed):
        await trade.until(lambda each: False)
    rig.faults.arm("ban_418", "kucoin", "spot", seconds=0.2)
    status, text, _ = await rig.raw("spot", "GET", "/api/v1/timestamp")
    assert (status, text) == (429, "error code: 1015")


async def test_shutdowns_slow_answers_and_markets_that_only_cancel(rig: Rig) -> None:
    order_id = (await rig.spot())["data"]["orderId"]
    fault = rig.faults.arm("symbol_cancel_only", "kucoin", "spot", "BTC-USDT", count=None)
    await rig.settled(lambda: rig.market().status == "CANCEL_ONLY")
    assert (await rig.spot())["code"] == "400600"
    assert (await rig.call("DELETE", f"{HF}/{order_id}", symbol="BTC-USDT"))["code"] == "200000"
    rig.faults.clear(fault.number)
    await rig.settled(lambda: rig.market().status == "TRADING")
    rig.faults.arm("slow_request", "kucoin", "spot", delay_ms=150)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await rig.get("/api/v1/timestamp")
    assert loop.time() - began >= 0.15
    socket, private_socket = await followed(rig), await rig.private()
    rig.faults.arm("server_shutdown", "kucoin", "perp", delay_ms=100)
    for each in (socket, private_socket):
        with pytest.raises(ConnectionClosed) as closed:
            await each.until(lambda message: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
