"""BitMart's sockets: heartbeats, logins, acknowledgements, errors, limits, silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.sim.bitmart_rig import BOOKS, Rig, Socket

SPOT_TRADES = "spot/trade:BTC_USDT"
FUTURES_TRADES = "futures/trade:BTCUSDT"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def test_spot_answers_text_with_text(rig: Rig) -> None:
    socket = await rig.socket("spot")
    await socket.send("ping")
    assert await socket.text() == "pong"
    pong = await socket.connection.ping()
    await pong


async def test_futures_refuse_text_and_answer_json(rig: Rig) -> None:
    socket = await rig.socket("perp")
    await socket.send("ping")
    assert await socket.text() == (
        '{"success":false,"error":"Invalid message: message must be JSON: ping"}'
    )  # fmt: skip
    await socket.send({"action": "ping"})
    answer = await socket.next()
    assert list(answer) == ["group", "data"]
    assert answer["group"] == "System"
    assert answer["data"].startswith("pong+")
    pong = await socket.connection.ping()
    await pong


async def test_spot_acknowledges_each_topic(rig: Rig) -> None:
    socket = await rig.socket("spot")
    await socket.send({"op": "subscribe", "args": [SPOT_TRADES, "spot/trade:ETH_USDT"]})
    assert [await socket.next() for _ in range(2)] == [
        {"event": "subscribe", "topic": SPOT_TRADES}, {"event": "subscribe", "topic": "spot/trade:ETH_USDT"},
    ]  # fmt: skip
    assert await socket.ask("unsubscribe", SPOT_TRADES) == {"event": "unsubscribe", "topic": SPOT_TRADES}


async def test_futures_acknowledge_each_topic_and_repeat_the_request(rig: Rig) -> None:
    socket = await rig.socket("perp")
    request = {"action": "subscribe", "args": [FUTURES_TRADES, "futures/trade:NOPEUSDT", FUTURES_TRADES]}
    await socket.send(request)
    good = {"action": "subscribe", "group": FUTURES_TRADES, "success": True, "request": request}
    bad = {
        "action": "subscribe", "group": "futures/trade:NOPEUSDT", "success": False,
        "error": "Invalid channel: not found futures/trade:NOPEUSDT", "request": request,
    }  # fmt: skip
    assert [await socket.next() for _ in range(3)] == [good, bad, good]
    await rig.placed("perp", price="60000.1")
    await socket.push(FUTURES_TRADES)
    await socket.send({"action": "ping"})
    await socket.until(lambda each: each.get("group") == "System")
    pushes = [each for each in socket.seen if each.get("group") == FUTURES_TRADES and "data" in each]
    assert len(pushes) == 1, "acknowledged twice, one stream"


@pytest.mark.parametrize(
    ("message", "code"),
    [("hello", "90001"), ("[1]", "90001"), ({"op": "dance", "args": [SPOT_TRADES]}, "90002"),
     ({"op": "login", "args": ["k", "1", "s"]}, "90002"), ({"op": "subscribe"}, "90003"),
     ({"op": "subscribe", "args": []}, "90003"), ({"op": "subscribe", "args": [1]}, "90003"),
     ({"op": "subscribe", "args": ["spot/depth30:BTC_USDT"]}, "90004"),
     ({"op": "subscribe", "args": ["spot/user/orders:ALL_SYMBOLS"]}, "90004"),
     ({"op": "subscribe", "args": ["futures/trade:BTCUSDT"]}, "90004"),
     ({"op": "subscribe", "args": ["spot/trade:NOPE_USDT"]}, "92001"),
     ({"op": "unsubscribe", "args": [SPOT_TRADES]}, "90009"),
     ({"op": "request", "args": [BOOKS["spot"]]}, "90009")],
)  # fmt: skip
async def test_spot_errors_leave_the_connection_alone(rig: Rig, message: object, code: str) -> None:
    socket = await rig.socket("spot")
    await socket.send(message if isinstance(message, str) else json.dumps(message))
    answer = await socket.next()
    assert (answer["errorCode"], bool(answer["errorMessage"])) == (code, True)
    await socket.send("ping")
    assert await socket.text() == "pong"


async def test_a_second_subscription_is_told(rig: Rig) -> None:
    socket = await rig.listening("spot", SPOT_TRADES)
    assert (await socket.ask("subscribe", SPOT_TRADES))["errorCode"] == "90008"


@pytest.mark.parametrize("topic", [
    "futures/depthIncrease30:BTCUSDT", "futures/depthIncrease50:BTCUSDT@50ms", "futures/order",
    "spot/trade:BTC_USDT",
    "futures/trade:BTCUSDT@100ms", "futures/klineBin7m:BTCUSDT", "futures/v2/depth5:BTCUSDT", "futures/trade",
])  # fmt: skip
async def test_futures_channels_that_there_are_not(rig: Rig, topic: str) -> None:
    socket = await rig.socket("perp")
    answer = await socket.ask("subscribe", topic)
    assert (answer["success"], answer["error"]) == (False, f"Invalid channel: not found {topic}")


async def test_second_versions_of_futures_books_are_acknowledged_and_silent(rig: Rig) -> None:
    topic = "futures/v2/depthIncrease50:BTCUSDT@100ms"
    socket = await rig.listening("perp", topic, BOOKS["perp"])
    for _ in range(5):
        await socket.push(BOOKS["perp"])
    assert [each for each in socket.seen if each.get("group") == topic and "data" in each] == []


async def test_futures_actions_that_make_no_sense(rig: Rig) -> None:
    socket = await rig.socket("perp")
    for request in (
        {"action": "dance"},
        {"action": "subscribe", "args": "all"},
        {"action": "access", "args": []},
    ):
        await socket.send(request)
        answer = await socket.next()
        assert answer["success"] is False
        assert answer["request"] == request


async def test_logins(rig: Rig) -> None:
    spot, perp = await rig.socket("spot", "private"), await rig.socket("perp", "private")
    assert (await spot.ask("subscribe", "spot/user/orders:ALL_SYMBOLS"))["errorCode"] == "91006"
    assert (await perp.ask("subscribe", "futures/order"))["error"] == "authentication is required"
    assert await spot.login() == {"event": "login"}
    assert (await spot.login())["errorCode"] == "91005"
    assert await perp.login() == {"action": "access", "success": True}
    assert (await spot.ask("subscribe", "spot/user/order:BTC_USDT"))["topic"] == "spot/user/order:BTC_USDT"
    assert (await spot.ask("subscribe", "spot/user/orders"))["errorCode"] == "90004"
    assert (await spot.ask("subscribe", "spot/user/order:NOPE_USDT"))["errorCode"] == "92001"
    assert (await perp.ask("subscribe", "futures/asset:ETH"))["success"] is True
    assert (await perp.ask("subscribe", "futures/asset:DOGE"))["success"] is False


@pytest.mark.parametrize("product", ["spot", "perp"])
async def test_a_login_that_fails_ends_the_connection(rig: Rig, product: str) -> None:
    socket = await rig.socket(product, "private")
    answer = await socket.login(shift_ms=-61_000)
    if product == "spot":
        assert answer["errorCode"] == "91022"
    else:
        assert (answer["action"], answer["success"]) == ("access", False)
        assert "one-minute range" in answer["error"]
    assert await socket.closed() == 1008


async def test_paths(rig: Rig) -> None:
    rig.urls["spot"]["ws_public"] = rig.urls["spot"]["ws_public"].replace("/api", "/other")
    with pytest.raises(InvalidStatus, match="404"):
        await rig.socket("spot")


async def test_long_frames_end_futures_connections(rig: Rig) -> None:
    socket = await rig.socket("perp")
    await socket.send({"action": "ping", "pad": "x" * 1_980})
    assert (await socket.next())["group"] == "System"
    await socket.send({"action": "ping", "pad": "x" * 2_160})
    assert await socket.closed() == 1009


async def test_too_many_topics_in_a_frame_end_the_connection(rig: Rig) -> None:
    socket = await rig.socket("spot")
    await socket.send({"op": "subscribe", "args": [SPOT_TRADES] * 21})
    assert (await socket.next())["errorCode"] == "90005"
    assert await socket.closed() == 1008


async def test_too_many_topics_end_the_connection() -> None:
    async with Rig(topics=2) as rig:
        socket = await rig.listening("spot", SPOT_TRADES, "spot/trade:ETH_USDT")
        assert (await socket.ask("subscribe", "spot/ticker:BTC_USDT"))["errorCode"] == "90006"
        assert await socket.closed() == 1008


async def flood(socket: Socket, by_protocol: bool = False) -> None:
    for _ in range(2_000):
        if by_protocol:
            await (await socket.connection.ping())
        else:
            await socket.send("ping")
            await socket.text()


async def test_a_flood_ends_the_connection_and_the_second_shuts_the_door() -> None:
    async with Rig(strict=True) as rig:
        for _ in range(2):
            socket = await rig.socket("spot")
            with pytest.raises(ConnectionClosed):
                await flood(socket)
            assert await socket.closed() == 1008
        with pytest.raises(InvalidStatus, match="403"):
            await rig.socket("spot")


async def test_protocol_pings_count_as_messages() -> None:
    async with Rig(strict=True) as rig:
        socket = await rig.socket("spot")
        with pytest.raises(ConnectionClosed):
            await flood(socket, by_protocol=True)
        assert await socket.closed() == 1008


async def test_connections_of_one_address_are_counted() -> None:
    async with Rig(connections=2) as rig:
        kept = [await rig.socket("spot"), await rig.socket("spot")]
        third = await rig.socket("spot")
        assert (await third.next())["errorCode"] == "94002"
        assert await third.closed() == 1008
        private = await rig.socket("spot", "private")
        assert await private.login() == {"event": "login"}, "private ones are counted apart"
        await kept[0].connection.close()
        again = await rig.socket("spot")
        await again.send("ping")
        assert await again.text() == "pong"


async def test_connecting_too_often() -> None:
    async with Rig(connects_per_minute=3) as rig:
        for _ in range(3):
            await rig.socket("spot")
        late = await rig.socket("spot")
        assert (await late.next())["errorCode"] == "94001"
        assert await late.closed() == 1008


async def test_silence_ends_a_spot_connection_and_anything_said_keeps_it() -> None:
    async with Rig(idle_s=0.4) as rig:
        silent, talking = await rig.socket("spot"), await rig.socket("spot")
        pinging = await rig.socket("spot")
        async with asyncio.timeout(10):
            while silent.connection.close_code is None:
                await talking.send("ping")
                assert await talking.text() == "pong"
                await (await pinging.connection.ping())
                await asyncio.sleep(0.1)
        assert silent.connection.close_code == 1000
        await talking.send("ping")
        assert await talking.text() == "pong"
        await (await pinging.connection.ping())


async def test_pushes_keep_a_connection() -> None:
    async with Rig(idle_s=1.5) as rig:
        silent = await rig.socket("spot")
        fed = await rig.listening("spot", BOOKS["spot"])
        assert await silent.closed() == 1000
        assert (await fed.push(BOOKS["spot"]))["type"] == "snapshot"
        assert (await fed.push(BOOKS["spot"]))["bids"] == []


async def test_futures_do_not_mind_silence_and_ping_themselves() -> None:
    async with Rig(ping_s=0.05) as rig:
        socket = await rig.socket("perp")
        server = next(iter(rig.wire.venue.sides["perp"].sockets.sessions)).outlet.connection
        await rig.settled(lambda: server.latency > 0)
        await socket.send({"action": "ping"})
        assert (await socket.next())["group"] == "System"


async def test_a_connection_without_a_subscription_ends() -> None:
    async with Rig(unsubscribed_s=0.3) as rig:
        idle, used = await rig.socket("spot"), await rig.listening("spot", SPOT_TRADES)
        assert await idle.closed() == 1000
        await used.send("ping")
        await used.text()


async def test_a_slow_reader_is_cut() -> None:
    async with Rig() as rig:
        socket = await rig.listening("perp", BOOKS["perp"])
        (session,) = rig.wire.venue.sides["perp"].sockets.sessions
        session.outlet.buffer_limit = -1  # as if nothing could be written any more
        assert await socket.closed() == 1006
        await rig.settled(lambda: not rig.wire.venue.sides["perp"].sockets.sessions)
