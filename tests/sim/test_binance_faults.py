"""Every fault strikes where it says and nowhere else, and the exchange's truth stays what it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engine.sim import faults
from engine.sim.binance.wire import WireOptions
from tests.sim.binance_rig import KEYS, Rig
from tests.sim.loopback_rig import eventually

PLACE = {"quantity": "0.01", "price": "59000", "newClientOrderId": "mine"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def change(rig: Rig, product: str, lots: int) -> int:
    """Publish one batch of one level and return its id."""
    market = rig.market(product)
    middle = round(market.spec.initial_price / market.spec.tick_size)
    market.set_background(market.asks, middle + 5, lots)
    rig.exchange.publish(market)
    return market.published_id


def orders(rig: Rig, product: str = "spot") -> list[str]:
    return [order.client_order_id for order in rig.exchange.open_orders(rig.account(), product)]


# -- depth -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("drop_depth", [0, 2, 3]), ("duplicate_depth", [0, 1, 1, 2, 3]), ("reorder_depth", [0, 2, 1, 3]),
    ],
)  # fmt: skip
async def test_depth_frames_lost_doubled_late(rig: Rig, fault: str, expected: list[int]) -> None:
    async with rig.stream("perp", "/public/ws/btcusdt@depth@100ms") as stream:
        assert await stream.ask("LIST_SUBSCRIPTIONS") is not None
        ids = [change(rig, "perp", 10)]
        rig.faults.arm(fault, "binance", "perp", "BTCUSDT")
        ids += [change(rig, "perp", lots) for lots in (11, 12, 13)]
        seen = [(await stream.next())["u"] for _ in expected]
        assert seen == [ids[index] for index in expected]
        assert rig.faults.happened == {fault: 1}


@pytest.mark.parametrize("kind", ["truncated", "types", "huge", "utf8", "bytes", "nesting", "empty"])
async def test_garbage_frames_are_garbage_and_the_good_frame_follows(rig: Rig, kind: str) -> None:
    async with rig.stream("spot", "/ws/btcusdt@depth@100ms") as stream:
        assert await stream.ask("LIST_SUBSCRIPTIONS") is not None
        rig.faults.arm("garbage_frame", kind=kind)
        number = change(rig, "spot", 10)
        if kind in ("utf8", "bytes"):
            with pytest.raises(ConnectionClosed) as closed:
                await stream.next()
            assert "1007" in str(closed.value)
            return
        raw = await asyncio.wait_for(stream.connection.recv(), 5)
        if kind in ("types", "huge"):
            event = json.loads(raw)
            assert event["u"] == "x" or event["u"] > 10**300
        else:
            with pytest.raises((ValueError, RecursionError)):
                json.loads(raw)
        assert (await stream.next())["u"] == number


async def test_a_partial_book_may_turn_up_among_the_diffs(rig: Rig) -> None:
    async with rig.stream("perp", "/public/ws/btcusdt@depth@100ms") as stream:
        assert await stream.ask("LIST_SUBSCRIPTIONS") is not None
        change(rig, "perp", 10)
        assert len((await stream.next())["a"]) == 1
        rig.faults.arm("partial_depth_as_diff")
        number = change(rig, "perp", 11)
        wrong, right = await stream.next(), await stream.next()
        assert (wrong["e"], len(wrong["b"]), len(wrong["a"])) == ("depthUpdate", 5, 5)
        assert (right["u"], len(right["a"])) == (number, 1)


async def test_a_silent_topic_and_its_return(rig: Rig) -> None:
    async with rig.stream("spot", "/stream?streams=btcusdt@depth@100ms/ethusdt@bookTicker") as stream:
        change(rig, "spot", 10)
        await stream.next()
        fault = rig.faults.arm("silent_topic", product="spot", symbol="BTCUSDT", count=None)
        topic = rig.wire.products["spot"].hub.topic("btcusdt@depth@100ms")
        await eventually(lambda: topic.silent, "the topic falls silent")
        change(rig, "spot", 11)
        assert await stream.silent(lambda _: True)
        rig.faults.clear(fault.number)
        await eventually(lambda: not topic.silent, "the topic speaks again")
        number = change(rig, "spot", 12)
        assert (await stream.next())["data"]["u"] == number
        assert rig.faults.happened["silent_topic"] == 1


# -- connections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "code"), [("disconnect", 1006), ("close", 1001)])
async def test_connections_are_cut_or_closed(rig: Rig, fault: str, code: int) -> None:
    async with rig.stream("spot", "/ws") as stream:
        rig.faults.arm(fault)
        with pytest.raises(ConnectionClosed):
            await stream.next()
        assert stream.connection.close_code == code


async def test_a_half_open_connection_says_nothing_and_stays(rig: Rig) -> None:
    async with rig.stream("spot", "/ws/btcusdt@depth@100ms") as stream:
        assert await stream.ask("LIST_SUBSCRIPTIONS") is not None
        rig.faults.arm("half_open", product="spot")
        await eventually(lambda: rig.faults.happened.get("half_open") == 1, "half open")
        change(rig, "spot", 10)
        await stream.connection.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        pong = await stream.connection.ping()
        assert await stream.silent(lambda _: True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pong, 0.05)
        assert stream.connection.close_code is None
        stream.connection.transport.abort()


async def test_server_shutdown_is_announced_on_spot_then_closed(rig: Rig) -> None:
    async with rig.stream("spot", "/ws") as stream, rig.api("spot") as api:
        assert (await api.call("ping"))["status"] == 200
        rig.faults.arm("server_shutdown", product="spot", delay_ms=100)
        assert (await stream.next())["e"] == "serverShutdown"
        assert (await api.event("serverShutdown"))["E"] > 0
        with pytest.raises(ConnectionClosed):
            await stream.next()
        with pytest.raises(ConnectionClosed):
            await api.next()


async def test_refused_connections(rig: Rig) -> None:
    rig.faults.arm("refuse_connect", status=502)
    with pytest.raises(InvalidStatus) as refused:
        async with rig.stream("spot", "/ws"):
            pass
    assert refused.value.response.status_code == 502
    async with rig.stream("spot", "/ws"):
        pass


# -- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "params", "status", "code", "text", "happened"),
    [
        ("http_503_unknown", {}, 503, None, "Unknown error, please check your request", True),
        ("http_503_unknown", {"accepted": False}, 503, None, "Unknown error, please check", False),
        ("http_503_unavailable", {}, 503, None, "Service Unavailable.", False),
        ("http_503_internal", {}, 503, -1001, "Internal error; unable to process your request.", False),
        ("error_1007_accepted", {}, 408, -1007, "Timeout waiting for response from", True),
        ("error_1007_not_accepted", {}, 408, -1007, "Timeout waiting for response from", False),
        ("html_error", {"accepted": True}, 502, None, "<html>", True),
        ("html_error", {}, 502, None, "<html>", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("product", ["spot", "perp"])
async def test_answers_that_lie_or_keep_silent(
    rig: Rig,
    product: str,
    fault: str,
    params: dict[str, Any],
    status: int,
    code: int | None,
    text: str,
    happened: bool,
) -> None:
    rig.faults.arm(fault, **params)
    reply = await rig.order(product, **PLACE)
    assert reply.status == status
    assert text in reply.text
    if reply.body is not None and code is not None:
        assert reply.code == code
    assert orders(rig, product) == (["mine"] if happened else [])
    assert (await rig.order(product, **(PLACE | {"newClientOrderId": "next"}))).status == 200


@pytest.mark.parametrize(("fault", "happened"), [("drop_answer_accepted", True), ("drop_request", False)])
async def test_lost_requests_and_lost_answers(rig: Rig, fault: str, happened: bool) -> None:
    rig.faults.arm(fault)
    with pytest.raises(aiohttp.ClientConnectionError):
        await rig.order("spot", **PLACE)
    assert orders(rig) == (["mine"] if happened else [])
    rig.faults.arm(fault)
    async with rig.api("spot") as api:
        with pytest.raises(ConnectionClosed):
            await api.call(
                "order.place", "bob", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", **PLACE
            )
    assert len(rig.exchange.open_orders(rig.account("bob"), "spot")) == happened


async def test_a_slow_answer_is_accepted_at_once(rig: Rig) -> None:
    rig.faults.arm("slow_answer_accepted", delay_ms=60_000)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rig.order("spot", **PLACE), 0.3)
    assert orders(rig) == ["mine"]


async def test_a_fill_before_its_ack(rig: Rig) -> None:
    async with rig.api("spot") as api:
        await api.call("userDataStream.subscribe.signature", "alice")
        rig.faults.arm("fill_before_ack")
        await api.call(
            "order.place", "alice", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="IOC",
            quantity="0.01", price="60000.01",
        )  # fmt: skip
        before = [frame["event"]["x"] for frame in api.skipped if frame.get("event", {}).get("x")]
        assert before == ["NEW", "TRADE"]


async def test_answers_come_first_by_default(rig: Rig) -> None:
    async with rig.api("spot") as api:
        await api.call("userDataStream.subscribe.signature", "alice")
        await api.call(
            "order.place", "alice", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="IOC",
            quantity="0.01", price="60000.01",
        )  # fmt: skip
        assert api.skipped == []
        assert (await api.event("executionReport"))["x"] == "NEW"


async def test_private_events_doubled_reordered_lost(rig: Rig) -> None:
    reply = await rig.raw("perp", "POST", "/fapi/v1/listenKey", key=KEYS["alice"])
    async with rig.stream("perp", f"/private/ws?listenKey={reply.body['listenKey']}") as stream:
        for fault, expected in (
            ("duplicate_private", ["NEW", "NEW", "CANCELED"]),
            ("reorder_private", ["CANCELED", "NEW"]),
            ("drop_private", ["CANCELED"]),
        ):
            rig.faults.arm(fault, product="perp")
            number = (await rig.order("perp", quantity="0.01", price="59000")).body["orderId"]
            await rig.signed("perp", "DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=number)
            assert [(await stream.next())["o"]["x"] for _ in expected] == expected
        assert await stream.silent(lambda _: True)


async def test_young_orders_are_not_found_for_a_moment(rig: Rig) -> None:
    order = (await rig.order("spot", **PLACE)).body["orderId"]
    fault = rig.faults.arm("not_found_for_a_moment", count=None, age_ms=60_000)
    query = {"symbol": "BTCUSDT", "orderId": order}
    assert (await rig.signed("spot", "GET", "/api/v3/order", **query)).code == -2013
    assert orders(rig) == ["mine"]
    rig.faults.clear(fault.number)
    assert (await rig.signed("spot", "GET", "/api/v3/order", **query)).status == 200


@pytest.mark.parametrize(("product", "path"), [("spot", "/api/v3/order"), ("perp", "/fapi/v1/order")])
async def test_a_cancel_that_loses_the_race(rig: Rig, product: str, path: str) -> None:
    order = (await rig.order(product, **PLACE)).body["orderId"]
    rig.faults.arm("cancel_race_fill")
    lost = await rig.signed(product, "DELETE", path, symbol="BTCUSDT", orderId=order)
    assert (lost.code, lost.body["msg"]) == (-2011, "Unknown order sent.")
    state = await rig.signed(product, "GET", path, symbol="BTCUSDT", orderId=order)
    assert state.body["status"] == "FILLED"


async def test_429_then_418(rig: Rig) -> None:
    rig.faults.arm("rate_limit_429")
    limited = await rig.public("spot", "/api/v3/time")
    assert (limited.status, limited.code) == (429, -1003)
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    rig.faults.arm("ban_418", product="perp", seconds=1)
    banned = await rig.public("perp", "/fapi/v1/time")
    assert banned.status == 418
    assert "IP banned until" in banned.body["msg"]
    async with rig.http.get(rig.urls["perp"]["rest"] + "/fapi/v1/time") as reply:
        assert reply.status == 418


# -- snapshots -------------------------------------------------------------------------------------


async def test_a_stale_snapshot_is_older_than_the_stream(rig: Rig) -> None:
    ids = [change(rig, "perp", lots) for lots in range(10, 30)]
    rig.faults.arm("stale_snapshot", batches=10)
    old = (await rig.public("perp", "/fapi/v1/depth", symbol="BTCUSDT", limit=10)).body
    assert old["lastUpdateId"] == ids[-11]
    assert ["60000.50", "0.019"] in old["asks"]
    fresh = (await rig.public("perp", "/fapi/v1/depth", symbol="BTCUSDT", limit=10)).body
    assert fresh["lastUpdateId"] == ids[-1]


async def test_snapshots_fail_or_take_long(rig: Rig) -> None:
    rig.faults.arm("snapshot_error", status=500)
    assert (await rig.public("spot", "/api/v3/depth", symbol="BTCUSDT")).status == 500
    rig.faults.arm("slow_snapshot", delay_ms=60_000)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rig.public("spot", "/api/v3/depth", symbol="BTCUSDT"), 0.2)


async def test_a_snapshot_waits_behind_the_stream_by_default() -> None:
    options = WireOptions(snapshot_delay_s=0.1, connection_attempts=None)
    async with Rig(options=options) as rig, rig.stream("spot", "/ws/btcusdt@depth@100ms") as stream:
        asked = asyncio.create_task(rig.public("spot", "/api/v3/depth", symbol="BTCUSDT"))
        product = rig.wire.products["spot"]
        await eventually(lambda: product.limits.used_weight("127.0.0.1", rig.clock.now_ms()) >= 5, "taken")
        number = change(rig, "spot", 10)
        assert (await stream.next())["u"] == number
        assert not asked.done()
        assert (await asked).body["lastUpdateId"] < number


# -- sessions, clock, markets ----------------------------------------------------------------------


async def test_revoked_sessions_hear_an_error_with_id_null(rig: Rig) -> None:
    async with rig.api("spot") as api:
        await api.call("session.logon", "carol")
        rig.faults.arm("revoke_session", product="spot")
        frame = await api.next()
        assert (frame["id"], frame["status"], frame["error"]["code"]) == (None, 401, -2015)
        assert (await api.call("session.status"))["result"]["apiKey"] is None


async def test_listen_keys_expire_on_demand(rig: Rig) -> None:
    reply = await rig.raw("perp", "POST", "/fapi/v1/listenKey", key=KEYS["alice"])
    async with rig.stream("perp", f"/private/ws?listenKey={reply.body['listenKey']}") as stream:
        assert await stream.ask("LIST_SUBSCRIPTIONS") is not None
        rig.faults.arm("listenkey_expire", product="perp")
        assert (await stream.next())["e"] == "listenKeyExpired"


async def test_a_skewed_clock_refuses_honest_timestamps(rig: Rig) -> None:
    honest = rig.clock.now_ms
    fault = rig.faults.arm("clock_skew", count=None, skew_ms=-4000)
    await eventually(lambda: rig.clock.offset_ms == -4000, "the clock is skewed")
    ahead = await rig.signed("spot", "GET", "/api/v3/openOrders", timestamp=honest() + 4000)
    assert ahead.code == -1021
    rig.faults.clear(fault.number)
    await eventually(lambda: rig.clock.offset_ms == 0, "the clock is right again")
    assert (await rig.signed("spot", "GET", "/api/v3/openOrders")).status == 200


@pytest.mark.parametrize(
    ("fault", "spot_status", "perp_status", "perp_code"),
    [
        ("symbol_halt", "HALT", "TRADING_HALT", -4141),
        ("symbol_cancel_only", "CANCEL_ONLY", "TRADING_CANCEL_ONLY", -4140),
    ],
)
async def test_halted_symbols(
    rig: Rig, fault: str, spot_status: str, perp_status: str, perp_code: int
) -> None:
    order = (await rig.order("spot", **PLACE)).body["orderId"]
    armed = rig.faults.arm(fault, symbol="BTCUSDT", count=None)
    await eventually(lambda: rig.market("perp").status != "TRADING" != rig.market("spot").status, "halted")
    refused = await rig.order("spot", **(PLACE | {"newClientOrderId": "two"}))
    assert (refused.code, refused.body["msg"]) == (-2010, "Market is closed.")
    assert (await rig.order("perp", **PLACE)).code == perp_code
    info = (await rig.public("spot", "/api/v3/exchangeInfo", symbol="BTCUSDT")).body
    assert info["symbols"][0]["status"] == spot_status
    info = (await rig.public("perp", "/fapi/v1/exchangeInfo")).body
    assert info["symbols"][0]["status"] == perp_status
    gone = await rig.signed("spot", "DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order)
    assert gone.status == 200
    rig.faults.clear(armed.number)
    await eventually(
        lambda: rig.market("perp").status == "TRADING" == rig.market("spot").status, "open again"
    )
    assert (await rig.order("spot", **PLACE)).status == 200


async def test_the_engine_checks_the_time_again() -> None:
    options = WireOptions(snapshot_delay_s=0.0, queue_delay_s=0.2, connection_attempts=None)
    async with Rig(options=options) as rig:
        for product, code in (("spot", -1021), ("perp", -5028)):
            late = await rig.order(product, **PLACE, recvWindow=100)
            assert late.code == code
            assert orders(rig, product) == []
            assert (await rig.order(product, **PLACE)).status == 200


def test_every_fault_on_the_board_has_a_place_where_it_bites() -> None:
    """Some bite at other venues alone: a wire that restarts its books, a socket whose trading ends."""
    folder = Path(faults.__file__).parent
    files = [path for path in folder.rglob("*.py") if path != Path(faults.__file__)]
    source = "".join(path.read_text() for path in files)
    assert [name for name in faults.SENTENCES if f'"{name}"' not in source] == []
