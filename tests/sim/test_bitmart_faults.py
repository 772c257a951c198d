"""Every fault that BitMart's wire honours, and the limits and refusals of its front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from engine.sim.bitmart.limits import Rate, RestLimits
from engine.sim.clock import ManualSimClock
from tests.sim.bitmart_rig import BOOKS, MARKETS, Rig
from tests.sim.loopback_rig import Message

PLACE = {"spot": "/spot/v2/submit_order", "perp": "/contract/private/submit-order"}
BODY: dict[str, Message] = {
    "spot": {"symbol": "BTC_USDT", "side": "buy", "type": "limit", "size": "0.01", "price": "50000"},
    "perp": {"symbol": "BTCUSDT", "side": 1, "size": 10, "price": "50000", "open_type": "cross"},
}
each_product = pytest.mark.parametrize("product", ["spot", "perp"])


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def placing(rig: Rig, product: str) -> tuple[int, Any, Any]:
    return await rig.post_raw(product, PLACE[product], BODY[product])


def executed(rig: Rig, product: str) -> int:
    return len(rig.exchange.history(rig.account(), rig.market(product)))


@each_product
@pytest.mark.parametrize(("name", "runs"), [("drop_request", 0), ("drop_answer_accepted", 1)])
async def test_cut_instead_of_answered(rig: Rig, product: str, name: str, runs: int) -> None:
    rig.faults.arm(name, product=product, symbol=MARKETS[product])
    with pytest.raises(aiohttp.ClientConnectionError):
        await placing(rig, product)
    assert executed(rig, product) == runs


@each_product
@pytest.mark.parametrize(
    ("name", "params", "status", "codes", "runs"),
    [("http_503_unavailable", {}, 503, (30014, 30014), 0), ("http_503_internal", {}, 500, (59002, 40012), 0),
     ("error_1007_not_accepted", {}, 500, (59002, 40012), 0),
     ("error_1007_accepted", {}, 500, (59002, 40012), 1), ("rate_limit_429", {}, 429, (30013, 30013), 0)],
)  # fmt: skip
async def test_answers_that_leave_the_outcome_open(
    rig: Rig, product: str, name: str, params: Message, status: int, codes: tuple[int, int], runs: int
) -> None:
    rig.faults.arm(name, product=product, **params)
    got, answer, _ = await placing(rig, product)
    assert (got, answer["code"]) == (status, codes[product == "perp"])
    assert executed(rig, product) == runs


@each_product
@pytest.mark.parametrize(("name", "status"), [("html_error", 502), ("http_503_unknown", 503)])
@pytest.mark.parametrize("accepted", [False, True])
async def test_pages(rig: Rig, product: str, name: str, status: int, accepted: bool) -> None:
    rig.faults.arm(name, product=product, accepted=accepted)
    got, answer, headers = await placing(rig, product)
    assert (got, headers["Content-Type"].partition(";")[0]) == (status, "text/html")
    assert "cloudflare" in answer
    assert executed(rig, product) == accepted


async def test_default_agents_are_refused_by_the_front(rig: Rig) -> None:
    agent = {"User-Agent": "Python-urllib/3.11"}
    status, answer, _ = await rig.raw("spot", "GET", "/system/time", headers=agent)
    assert status == 403
    assert "1010" in answer


@each_product
async def test_late_answers(rig: Rig, product: str) -> None:
    topic = {"spot": "spot/user/orders:ALL_SYMBOLS", "perp": "futures/order"}[product]
    for name in ("slow_answer_accepted", "fill_before_ack"):
        private = await rig.private(product, topic)
        rig.faults.arm(name, product=product, delay_ms=400)
        pending = asyncio.create_task(placing(rig, product))
        await private.push(topic)
        assert not pending.done(), "the push was there before the answer"
        assert (await pending)[0] == 200


@each_product
async def test_private_faults(rig: Rig, product: str) -> None:
    topic = {"spot": "spot/user/orders:ALL_SYMBOLS", "perp": "futures/order"}[product]
    private = await rig.private(product, topic)

    def client_id(row: Any) -> str:
        return str(row["client_order_id"] if product == "spot" else row[0]["order"]["client_order_id"])

    rig.faults.arm("drop_private", product=product)
    await rig.placed(product, client_order_id="lost")
    rig.faults.arm("duplicate_private", product=product)
    await rig.placed(product, client_order_id="twice")
    assert [client_id(await private.push(topic)) for _ in range(2)] == ["twice", "twice"]
    rig.faults.arm("reorder_private", product=product)
    await rig.placed(product, client_order_id="first")
    await rig.placed(product, client_order_id="second")
    assert [client_id(await private.push(topic)) for _ in range(2)] == ["second", "first"]
    rig.faults.arm("events_after_ack", product=product, delay_ms=100)
    await rig.placed(product, client_order_id="later")
    assert client_id(await private.push(topic)) == "later"


@each_product
async def test_an_order_is_not_found_for_a_moment(rig: Rig, product: str) -> None:
    order_id = await rig.placed(product)
    fault = rig.faults.arm("not_found_for_a_moment", product=product, count=None, age_ms=60_000)

    async def found() -> int:
        if product == "spot":
            answer = await rig.post("spot", "/spot/v4/query/order", {"orderId": order_id})
        else:
            answer = await rig.get(
                "perp", "/contract/private/order", "alice", symbol="BTCUSDT", order_id=order_id
            )
        return int(answer["code"])

    assert await found() == {"spot": 50005, "perp": 40035}[product]
    rig.faults.clear(fault.number)
    assert await found() == 1000


@each_product
async def test_an_order_is_filled_just_before_its_cancel(rig: Rig, product: str) -> None:
    order_id = await rig.placed(product)
    rig.faults.arm("cancel_race_fill", product=product, symbol=MARKETS[product])
    path = {"spot": "/spot/v3/cancel_order", "perp": "/contract/private/cancel-order"}[product]
    answer = await rig.post(product, path, {"symbol": MARKETS[product], "order_id": order_id})
    assert answer["code"] == {"spot": 50031, "perp": 40036}[product]
    (order,) = rig.exchange.history(rig.account(), rig.market(product))
    assert order.leaves_lots == 0


@each_product
@pytest.mark.parametrize(
    ("name", "codes"), [("symbol_halt", (50040, 40015)), ("symbol_cancel_only", (50023, 40014))]
)
async def test_markets_that_stop(rig: Rig, product: str, name: str, codes: tuple[int, int]) -> None:
    fault = rig.faults.arm(name, product=product, symbol=MARKETS[product], count=None)
    await rig.settled(lambda: rig.market(product).status != "TRADING")
    assert (await rig.place(product))["code"] == codes[product == "perp"]
    if product == "spot":
        details = (await rig.get("spot", "/spot/v1/symbols/details"))["data"]["symbols"]
        assert [row["trade_status"] for row in details] == ["pre-trade", "trading"]
    rig.faults.clear(fault.number)
    await rig.settled(lambda: rig.market(product).status == "TRADING")
    await rig.placed(product)


async def test_the_end_of_trading_comes_in_two_stages(rig: Rig) -> None:
    spot, perp = await rig.placed("spot"), await rig.placed("perp")
    fault = rig.faults.arm("trading_ends", count=None)
    answers = [await placing(rig, product) for product in ("spot", "perp")]
    assert [(status, answer["code"]) for status, answer, _ in answers] == [(200, 30019)] * 2
    cancelled = await rig.post("spot", "/spot/v3/cancel_order", {"symbol": "BTC_USDT", "order_id": spot})
    assert cancelled["code"] == 1000
    rig.faults.clear(fault.number)
    rig.faults.arm("trading_ends", count=None, stage="all")
    body = {"symbol": "BTCUSDT", "order_id": perp}
    status, answer, _ = await rig.post_raw("perp", "/contract/private/cancel-order", body)
    assert (status, answer["code"]) == (200, 30016)
    assert (await rig.get("spot", "/spot/v1/wallet", "alice"))["code"] == 30016
    assert (await rig.get("perp", "/contract/public/depth", symbol="BTCUSDT"))["code"] == 1000
    socket = await rig.listening("perp", BOOKS["perp"])
    assert await socket.push(BOOKS["perp"]), "market data goes on"


@each_product
async def test_rest_books_may_be_slow_or_broken(rig: Rig, product: str) -> None:
    path = {"spot": "/spot/quotation/v3/books", "perp": "/contract/public/depth"}[product]
    rig.faults.arm("snapshot_error", product=product, status=502)
    status, _, _ = await rig.raw(product, "GET", path, f"symbol={MARKETS[product]}")
    assert status == 502
    rig.faults.arm("slow_snapshot", product=product, delay_ms=30)
    assert (await rig.get(product, path, symbol=MARKETS[product]))["code"] == 1000
    rig.faults.arm("slow_request", product=product, delay_ms=30)
    assert (await rig.get(product, path, symbol=MARKETS[product]))["code"] == 1000
    assert rig.faults.happened == {"snapshot_error": 1, "slow_snapshot": 1, "slow_request": 1}


async def test_a_blocked_address(rig: Rig) -> None:
    rig.faults.arm("ban_418", product="spot", seconds=0.3)
    status, answer, _ = await rig.raw("spot", "GET", "/system/time")
    assert (status, answer["code"]) == (418, 30017)

    async def lifted() -> bool:
        return (await rig.raw("spot", "GET", "/system/time"))[0] == 200

    async with asyncio.timeout(10):
        while not await lifted():
            await asyncio.sleep(0.02)


@each_product
@pytest.mark.parametrize("name", ["disconnect", "close", "server_shutdown"])
async def test_connections_that_end(rig: Rig, product: str, name: str) -> None:
    socket = await rig.listening(product, BOOKS[product])
    rig.faults.arm(name, product=product, delay_ms=20)
    assert await socket.closed() == (1006 if name == "disconnect" else 1001)


@each_product
async def test_revoked_logins(rig: Rig, product: str) -> None:
    public, private = await rig.listening(product, BOOKS[product]), await rig.private(product)
    rig.faults.arm("revoke_session", product=product)
    assert await private.closed() == 1000
    assert await public.push(BOOKS[product])


async def test_half_open_connections(rig: Rig) -> None:
    socket = await rig.listening("perp", BOOKS["perp"])
    await socket.push(BOOKS["perp"])
    rig.faults.arm("half_open", product="perp")
    await rig.settled(lambda: rig.faults.happened.get("half_open") == 1)
    pong = await socket.connection.ping()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pong, 0.3)
    assert socket.connection.close_code is None


async def test_refused_connects(rig: Rig) -> None:
    rig.faults.arm("refuse_connect", product="spot")
    with pytest.raises(InvalidStatus, match="503"):
        await rig.socket("spot")
    await rig.socket("spot")


async def test_the_clock_may_be_off(rig: Rig) -> None:
    rig.faults.arm("clock_skew", count=None, skew_ms=70_000)
    await rig.settled(lambda: rig.clock.offset_ms == 70_000)
    status, answer, _ = await rig.post_raw("spot", PLACE["spot"], BODY["spot"], shift_ms=-70_000)
    assert (status, answer["code"]) == (401, 30007)


# ------------------------------------------------------------------------------------------- rate limits


def test_a_fixed_window_counts_what_is_used() -> None:
    clock = ManualSimClock(1_790_000_000_000)
    limits = RestLimits(clock.now_ms)
    rate = Rate(2, 2, "IP")
    told = [limits.take("/x", rate, "a") for _ in range(3)]
    assert [is_within for _, is_within in told] == [True, True, False]
    assert told[0][0] == {
        "X-BM-RateLimit-Limit": "2", "X-BM-RateLimit-Remaining": "1", "X-BM-RateLimit-Reset": "2",
        "X-BM-RateLimit-Mode": "IP",
    }  # fmt: skip
    assert [headers["X-BM-RateLimit-Remaining"] for headers, _ in told] == ["1", "2", "2"]
    assert limits.take("/x", rate, "b")[1]
    assert limits.take("/y", rate, "a")[1]
    clock.advance(2_000)
    assert limits.take("/x", rate, "a")[1]


def test_who_goes_on_is_blocked_for_a_minute() -> None:
    clock = ManualSimClock()
    limits = RestLimits(clock.now_ms)
    for _ in range(20):
        limits.refused("a")
    assert not limits.is_blocked("a")
    limits.refused("a")
    assert limits.is_blocked("a")
    assert not limits.is_blocked("b")
    clock.advance(60_000)
    assert not limits.is_blocked("a")
    for _ in range(60):
        limits.refused("a")
        clock.advance(600)
    assert not limits.is_blocked("a"), "refusals that are far apart are forgiven"


async def test_limits_escalate_from_429_to_418() -> None:
    async with Rig(strict=True, clock=ManualSimClock()) as rig:
        seen = []
        for _ in range(50):
            status, answer, headers = await rig.raw(
                "perp", "GET", "/contract/public/open-interest", "symbol=BTCUSDT"
            )
            seen.append((status, answer["code"]))
            if status != 418:
                assert headers["X-BM-RateLimit-Limit"] == "2"
                assert "Retry-After" not in headers
        assert seen[:2] == [(200, 1000)] * 2
        assert seen[2] == (429, 30013)
        assert seen[-1] == (418, 30017)
        status, _, _ = await rig.raw("spot", "GET", "/system/time")
        assert status == 418, "the address is blocked everywhere"


async def test_limits_of_an_account_are_its_own() -> None:
    async with Rig(strict=True, clock=ManualSimClock()) as rig:
        body = {"symbol": "BTC_USDT"}
        answers = [
            await rig.post_raw("spot", "/spot/v4/cancel_all", body, name)
            for name in ("alice", "alice", "bob")
        ]
        assert [answer["code"] for _, answer, _ in answers] == [1000, 30013, 1000]
        assert answers[0][2]["X-BM-RateLimit-Mode"] == "UID"
        assert answers[0][2]["X-BM-RateLimit-Reset"] == "3"


async def test_gateway_errors_say_msg(rig: Rig) -> None:
    status, answer, _ = await rig.raw("perp", "GET", "/contract/public/nothing")
    assert (status, list(answer)) == (404, ["trace", "msg", "code"])
    assert (answer["code"], answer["msg"]) == (30000, "Not found")
    status, answer, _ = await rig.raw("perp", "GET", "/contract/v1/tickers")
    assert (status, answer["code"]) == (200, 30030)
    assert answer["msg"] == "Futures V1 API has been deprecated. Please use the V2 API"
    assert (await rig.raw("spot", "GET", "/contract/public/details"))[0] == 404, "each host has its own calls"
    assert (await rig.raw("perp", "GET", "/spot/v1/wallet"))[0] == 404
    assert (await rig.raw("spot", "POST", "/system/time"))[0] == 404
