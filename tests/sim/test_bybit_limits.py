"""Bybit's limits: rolling seconds per account and endpoint, requests per address, connections, silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from engine.sim.bybit.gate import Limits, Spent
from engine.sim.bybit.sessions import patience_s
from engine.sim.clock import ManualSimClock
from engine.sim.ports import Settings
from tests.sim.bybit_rig import Rig

ORDER = {
    "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "50000",
}  # fmt: skip


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """Return a rig with the venue's own limits and a clock that stands still."""
    async with Rig(Settings(time_scale=15.0), ManualSimClock()) as running:
        yield running


def test_a_rolling_second() -> None:
    clock = ManualSimClock()
    limits, start = Limits(clock.now_ms), clock.now_ms()
    lefts = []
    for _ in range(3):
        lefts.append(limits.take("create", "alice", 3).left)
        clock.advance(100)
    assert lefts == [2, 1, 0]
    with pytest.raises(Spent) as caught:
        limits.take("create", "alice", 3)
    assert caught.value.left.headers() == {
        "X-Bapi-Limit": "3", "X-Bapi-Limit-Status": "0",
        "X-Bapi-Limit-Reset-Timestamp": str(start + 1000),
    }  # fmt: skip
    assert limits.take("create", "bob", 3).left == 2
    assert limits.take("cancel", "alice", 3).left == 2
    clock.advance(700)
    assert limits.take("create", "alice", 3).left == 0, "the first request has left the window"
    with pytest.raises(Spent):
        limits.take("create", "alice", 3)


def test_an_address_that_asks_too_often_is_banned_and_let_in_again() -> None:
    clock = ManualSimClock()
    limits = Limits(clock.now_ms)
    assert all(limits.admit("a") for _ in range(600))
    clock.advance(4_999)
    assert not limits.admit("a")
    assert limits.admit("b")
    clock.advance(599_999)
    assert not limits.admit("a")
    clock.advance(2)
    assert limits.admit("a")


@pytest.mark.parametrize(
    ("path", "category", "limit"),
    [("create", "linear", 10), ("create", "spot", 20), ("amend", "linear", 10), ("amend", "spot", 10),
     ("cancel", "linear", 10), ("cancel", "spot", 20), ("cancel-all", "linear", 10),
     ("create-batch", "spot", 20)],
)  # fmt: skip
async def test_order_endpoints_say_what_is_left(rig: Rig, path: str, category: str, limit: int) -> None:
    body = f'{{"category":"{category}","request":[{{}}]}}'
    _, _, headers = await rig.raw("POST", f"/v5/order/{path}", body=body)
    assert headers["X-Bapi-Limit"] == str(limit)
    assert headers["X-Bapi-Limit-Status"] == str(limit - 1)
    assert abs(int(headers["X-Bapi-Limit-Reset-Timestamp"]) - rig.clock.now_ms()) < 5_000


async def test_too_many_orders_are_refused_with_the_time_to_wait(rig: Rig) -> None:
    codes = [(await rig.place())["retCode"] for _ in range(12)]
    assert codes == [0] * 10 + [10006] * 2, "ten a second on linear"
    _, answer, headers = await rig.raw("POST", "/v5/order/create", body='{"category":"linear"}')
    assert (answer["retCode"], answer["retMsg"], answer["result"]) == (10006, "Too many visits!", {})
    assert headers["X-Bapi-Limit-Status"] == "0"
    assert int(headers["X-Bapi-Limit-Reset-Timestamp"]) == rig.clock.now_ms() + 1000
    spot = await rig.place(category="spot", price="59000", qty="0.001")
    assert spot["retCode"] == 0, "each category has its own"
    clock = rig.clock
    assert isinstance(clock, ManualSimClock)
    clock.advance(1_000)
    assert (await rig.place())["retCode"] == 0


async def test_a_batch_passes_as_far_as_the_limit_reaches(rig: Rig) -> None:
    body = {"category": "linear", "request": [ORDER] * 8}
    answer = await rig.post("/order/create-batch", body)
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0] * 8
    answer = await rig.post("/order/create-batch", body)
    assert answer["retCode"] == 0
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0] * 2 + [10006] * 6
    assert (await rig.post("/order/create-batch", body))["retCode"] == 10006
    assert (await rig.place())["retCode"] == 0, "single orders have a budget of their own"


async def test_a_banned_address_gets_403_on_everything(rig: Rig) -> None:
    rig.wire.venue.limits.ban("127.0.0.1", 60_000)
    for path in ("/v5/market/time", "/v5/order/realtime"):
        status, answer, _ = await rig.raw("GET", path)
        assert (status, answer["retMsg"]) == (403, "access too frequent")
    rig.wire.venue.limits.ban("127.0.0.1", 0)
    assert (await rig.raw("GET", "/v5/market/time"))[0] == 200


@pytest.mark.parametrize(
    ("target", "seconds"),
    [
        ("/v5/private", 600), ("/v5/private?max_active_time=30s", 30), ("/v5/trade?max_active_time=1m", 60),
        ("/v5/private?max_active_time=2s", 30), ("/v5/private?max_active_time=90m", 600),
        ("/v5/private?max_active_time=soon", 600),
    ],
)  # fmt: skip
def test_how_long_a_silent_connection_lives(target: str, seconds: float) -> None:
    assert patience_s(target) == seconds


async def test_a_silent_connection_is_closed_and_a_pinging_one_is_not(rig: Rig) -> None:
    silent = await rig.socket("private", query="?max_active_time=30s")  # two seconds at this scale
    alive = await rig.socket("private", query="?max_active_time=30s")

    is_over = asyncio.Event()

    async def ping() -> None:
        while not is_over.is_set():
            await alive.ask({"op": "ping"})

    pinging = asyncio.create_task(ping())
    await asyncio.wait_for(silent.connection.wait_closed(), 10)
    assert silent.connection.close_code == 1000
    is_over.set()
    await pinging
    assert (await alive.ask({"op": "ping"}))["op"] == "pong"


async def test_paths_and_too_many_connections_are_refused(rig: Rig, monkeypatch: Any) -> None:
    base = rig.urls["perp"]["ws_private"].removesuffix("/private")
    rig.urls["perp"]["ws_public"] = f"{base}/public/inverse"
    with pytest.raises(InvalidStatus) as caught:
        await rig.socket("public")
    assert caught.value.response.status_code == 404
    monkeypatch.setattr("engine.sim.bybit.sessions.CONNECTS", 2)
    await rig.socket("private")
    await rig.socket("private")
    with pytest.raises(InvalidStatus) as caught:
        await rig.socket("private")
    assert caught.value.response.status_code == 403
