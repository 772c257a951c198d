"""OKX's connections: paths, subscriptions and their refusals, pings, silence, counts of requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from engine.sim.okx.options import Options
from tests.sim.okx_rig import SPOT, SWAP, Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def test_each_argument_is_acknowledged_with_the_request_id(rig: Rig) -> None:
    socket = await rig.socket()
    args = [{"channel": "books", "instId": name} for name in (SPOT, SWAP)]
    await socket.send({"id": "1512", "op": "subscribe", "args": args})
    acks = [await socket.until(lambda each: each.get("event") == "subscribe") for _ in args]
    assert [(ack["arg"], ack["id"]) for ack in acks] == [(arg, "1512") for arg in args]
    assert acks[0]["connId"] == acks[1]["connId"]


async def test_a_text_ping_is_answered_with_a_text(rig: Rig) -> None:
    socket = await rig.socket()
    await socket.send("ping")
    assert await socket.connection.recv() == "pong"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "60012"), ("[]", "60012"), ('"subscribe"', "60012"), ('{"op":7}', "60012"),
        ("[" * 5000, "60012"),
        ('{"op":"dance","args":[{}]}', "60019"), ('{"op":"subscribe","args":{}}', "60013"),
        ('{"op":"subscribe","args":[]}', "60013"), ('{"op":"subscribe","args":["books"]}', "60013"),
        ('{"op":"subscribe","argss":[]}', "60013"), ('{"op":"subscribe","id":"a-b","args":[{}]}', "60033"),
        ('{"op":"subscribe","id":7,"args":[{}]}', "60033"),
    ],
)  # fmt: skip
async def test_nonsense_is_refused_and_the_connection_lives(rig: Rig, sent: str, code: str) -> None:
    socket = await rig.socket()
    await socket.send(sent)
    answer = await socket.until(lambda each: True)
    assert (answer["event"], answer["code"]) == ("error", code)
    assert (await socket.ask("subscribe", {"channel": "trades", "instId": SWAP}))["event"] == "subscribe"


@pytest.mark.parametrize(
    ("url", "arg", "code"),
    [
        ("public", {"channel": "index-tickers", "instId": SWAP}, "60018"),
        ("public", {"channel": "books", "instId": "NOPE"}, "60018"),
        ("public", {"channel": "books", "instId": SWAP.lower()}, "60018"),
        ("public", {"channel": "nope", "instId": SWAP}, "60018"), ("public", {}, "60018"),
        ("public", {"channel": "funding-rate", "instId": SPOT}, "60018"),
        ("public", {"channel": "instruments", "instType": "NOPE"}, "60018"),
        ("public", {"channel": "orders", "instType": "ANY"}, "60018"),
        ("private", {"channel": "books", "instId": SWAP}, "60018"),
        ("public", {"channel": "trades-all", "instId": SWAP}, "64001"),
        ("business", {"channel": "books", "instId": SWAP}, "64002"),
        ("private", {"channel": "orders", "instType": "ANY"}, "60011"),
        ("public", {"channel": "books-l2-tbt", "instId": SWAP}, "60011"),
    ],
)  # fmt: skip
async def test_channels_stand_on_their_own_address(rig: Rig, url: str, arg: Any, code: str) -> None:
    socket = await rig.socket(url)
    answer = await socket.ask("subscribe", arg, number="x1")
    assert (answer["event"], answer["code"], answer["id"]) == ("error", code, "x1")
    if code == "60018":
        shown = (
            f"Wrong URL or channel:{arg.get('channel', '')}, instId:{arg.get('instId', '')} doesn't exist."
        )
        assert answer["msg"].startswith(shown)


async def test_quick_books_and_fills_need_a_fee_tier(rig: Rig) -> None:
    private, public = await rig.private(), await rig.socket()
    assert (await private.ask("subscribe", {"channel": "fills"}))["code"] == "64003"
    await public.login()
    assert (await public.ask("subscribe", {"channel": "books-l2-tbt", "instId": SWAP}))["code"] == "64003"


@pytest.mark.parametrize(
    "arg",
    [
        {"channel": "orders"}, {"channel": "orders", "instType": "NOPE"}, {"channel": "positions"},
        {"channel": "orders", "instType": "SWAP", "instId": "NOPE"},
    ],
)  # fmt: skip
async def test_private_channels_check_their_arguments(rig: Rig, arg: Any) -> None:
    assert (await (await rig.private()).ask("subscribe", arg))["code"] == "60018"


@pytest.mark.parametrize("extra", ['{"updateInterval":"7"}', "{", "5", {"updateInterval": "0"}])
async def test_extra_parameters_are_a_text_of_json(rig: Rig, extra: Any) -> None:
    answer = await (await rig.private()).ask("subscribe", {"channel": "account", "extraParams": extra})
    assert answer["code"] == "60033"


async def test_subscribing_twice_brings_no_second_snapshot(rig: Rig) -> None:
    socket = await rig.listening("books")
    await socket.push("books")
    await socket.ask("subscribe", {"channel": "books", "instId": SWAP})
    rig.shake(SWAP, 1)
    assert (await socket.push("books"))["action"] == "update"


async def test_requests_of_an_hour_are_counted_by_request_not_by_argument() -> None:
    async with Rig(Options(connects_per_s=1_000, requests_per_hour=4)) as rig:
        socket = await rig.private()
        args = [{"channel": "orders", "instType": kind} for kind in ("SPOT", "SWAP")]
        for operation in ("subscribe", "unsubscribe"):
            await socket.send({"op": operation, "args": args})
        for _ in range(2):
            await socket.until(lambda each: each.get("event") == "unsubscribe")
        assert (await socket.ask("subscribe", args[0]))["event"] == "subscribe"
        assert (await socket.ask("subscribe", args[1]))["code"] == "60014"


async def test_a_request_has_a_size(rig: Rig) -> None:
    socket = await rig.socket()
    args = [{"channel": "books", "instId": SPOT}] * 1_200
    await socket.send(json.dumps({"op": "subscribe", "args": args}, separators=(",", ":")))
    await socket.until(lambda each: each.get("event") == "subscribe")
    await socket.send({"op": "subscribe", "args": args * 2})
    assert await socket.closed() == 1009


async def test_a_silent_connection_is_closed() -> None:
    async with Rig(Options(connects_per_s=1_000, silence_s=0.3)) as rig:
        talker, silent = await rig.socket(), await rig.socket()
        assert await _pinging(talker, silent) == 4004
        await talker.send("ping")
        assert await talker.connection.recv() == "pong"


async def _pinging(talker: Any, silent: Any) -> int:
    """Keep one connection awake until the other has been closed."""
    while silent.connection.close_code is None:
        await talker.send("ping")
        assert await talker.connection.recv() == "pong"
    return int(await silent.closed())


async def test_three_connections_a_second_from_one_address() -> None:
    async with Rig(Options()) as rig:
        for _ in range(3):
            await rig.socket()
        with pytest.raises(InvalidStatus, match="429"):
            await rig.socket()

        async def attempt() -> bool:
            try:
                await rig.socket()
            except InvalidStatus:
                return False
            return True

        while not await attempt():
            pass


async def test_unknown_paths_are_not_found(rig: Rig) -> None:
    for path in ("nope", "public/"):
        with pytest.raises(InvalidStatus, match="404"):
            await rig.socket(path)
    await rig.socket("public?brokerId=9999")


async def test_connections_of_a_private_channel_are_counted_and_bounded() -> None:
    async with Rig(Options(connects_per_s=1_000, private_connections=2)) as rig:
        arg = {"channel": "account"}
        for number in (1, 2):
            socket = await rig.private(arg)
            told = await socket.until(lambda each: each.get("event") == "channel-conn-count")
            assert (told["channel"], told["connCount"]) == ("account", str(number))
        late = await rig.private(arg)
        told = await late.until(lambda each: "conn-count" in each.get("event", ""))
        assert (told["event"], told["connCount"]) == ("channel-conn-count-error", "2")
        await late.send("ping")
        assert await late.connection.recv() == "pong", "dropped: no snapshot has come"
        await rig.private(arg, name="bob")
