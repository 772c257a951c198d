"""Rate limits as a client meets them: headers, 429 and 418, order counts, weights that success does not
cost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.sim.binance.limits import perp_rules, spot_rules
from engine.sim.binance.wire import WireOptions
from engine.sim.clock import ManualSimClock
from tests.sim.binance_rig import Rig

LIMITS = {"spot": spot_rules(weight_1m=60, orders_10s=4), "perp": perp_rules(weight_1m=40, orders_10s=3)}
PLACE = {"quantity": "0.01", "price": "59000"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    options = WireOptions(limits=LIMITS, snapshot_delay_s=0.0, connection_attempts=None)
    async with Rig(options=options, clock=ManualSimClock(1_790_000_040_000)) as running:
        yield running


def step(rig: Rig, milliseconds: int) -> None:
    assert isinstance(rig.clock, ManualSimClock)
    rig.clock.advance(milliseconds)


@pytest.mark.parametrize(
    ("product", "path", "retry_after"), [("spot", "/api/v3", True), ("perp", "/fapi/v1", False)]
)
async def test_weight_ends_in_429_then_418_until_the_ban_is_over(
    rig: Rig, product: str, path: str, retry_after: bool
) -> None:
    limit = LIMITS[product].weight_1m
    cost = {"spot": 25, "perp": 20}[product]
    used = 0
    while used < limit:
        reply = await rig.public(
            product, path + "/depth", symbol="BTCUSDT", limit=500 if product == "spot" else 1000
        )
        used += cost
        assert int(reply.headers["X-MBX-USED-WEIGHT-1M"]) == used
    step(rig, 1000)
    limited = await rig.public(product, path + "/time")
    assert (limited.status, limited.code) == (429, -1003)
    assert limited.body["msg"].startswith(
        f"Too much request weight used; current limit is {limit} request weight"
    )
    assert (limited.headers.get("Retry-After") == "59") == retry_after
    statuses = [(await rig.public(product, path + "/time")).status for _ in range(LIMITS[product].strikes)]
    assert statuses == [429] * (LIMITS[product].strikes - 1) + [418]
    step(rig, 60_000)
    assert (await rig.public(product, path + "/time")).status == 418
    step(rig, 60_000)
    assert (await rig.public(product, path + "/time")).status == 200


async def test_successful_spot_orders_cost_no_weight_and_failures_do(rig: Rig) -> None:
    good = await rig.order("spot", **PLACE)
    assert (good.headers["X-MBX-USED-WEIGHT-1M"], good.headers["X-MBX-ORDER-COUNT-10S"]) == ("0", "1")
    bad = await rig.order("spot", quantity="0.01", price="59000.001")
    assert bad.headers["X-MBX-USED-WEIGHT-1M"] == "1"
    assert "X-MBX-ORDER-COUNT-10S" not in bad.headers
    queried = await rig.signed("spot", "GET", "/api/v3/order", symbol="BTCUSDT", orderId=good.body["orderId"])
    assert queried.headers["X-MBX-USED-WEIGHT-1M"] == "5"


async def test_unfilled_order_count_falls_with_fills_on_spot(rig: Rig) -> None:
    for _ in range(6):
        filled = await rig.order("spot", quantity="0.001", price="60000.05")
        assert filled.body["status"] == "FILLED"
    for _ in range(4):
        assert (await rig.order("spot", **PLACE)).status == 200
    refused = await rig.order("spot", **PLACE)
    assert (refused.status, refused.code) == (429, -1015)
    assert refused.body["msg"] == "Too many new orders; current limit is 4 orders per 10 SECOND."
    assert refused.headers["Retry-After"] == "10"
    counts = await rig.signed("spot", "GET", "/api/v3/rateLimit/order")
    assert [(row["interval"], row["limit"], row["count"]) for row in counts.body] == [
        ("SECOND", 4, 4), ("DAY", 160_000, 4),
    ]  # fmt: skip
    step(rig, 10_000)
    assert (await rig.order("spot", **PLACE)).status == 200


async def test_futures_count_every_placement_and_amend(rig: Rig) -> None:
    order = (await rig.order("perp", quantity="0.01", price="60000.10")).body
    assert order["status"] == "NEW"
    resting = (await rig.order("perp", **PLACE)).body["orderId"]
    amended = await rig.signed(
        "perp",
        "PUT",
        "/fapi/v1/order",
        symbol="BTCUSDT",
        side="BUY",
        orderId=resting,
        quantity="0.02",
        price="59000",
    )
    assert amended.headers["X-MBX-ORDER-COUNT-10S"] == "3"
    assert (await rig.order("perp", **PLACE)).code == -1015
    assert (await rig.order("perp", "bob", **PLACE)).status == 200
    cancel = await rig.signed("perp", "DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=resting)
    assert cancel.status == 200


async def test_cancel_replace_in_cancel_only_mode_cancels_over_the_limit(rig: Rig) -> None:
    numbers = [(await rig.order("spot", **PLACE)).body["orderId"] for _ in range(4)]
    replace: dict[str, Any] = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "cancelReplaceMode": "ALLOW_FAILURE",
        "cancelOrderId": str(numbers[0]), **PLACE,
    }  # fmt: skip
    path = "/api/v3/order/cancelReplace"
    nothing = await rig.signed("spot", "POST", path, **replace)
    assert (nothing.status, nothing.code) == (429, -1015)
    assert len(rig.exchange.open_orders(rig.account(), "spot")) == 4
    only = await rig.signed("spot", "POST", path, **replace, orderRateLimitExceededMode="CANCEL_ONLY")
    assert (only.status, only.code) == (409, -2021)
    assert only.body["data"]["newOrderResponse"]["code"] == -1015
    assert len(rig.exchange.open_orders(rig.account(), "spot")) == 3


async def test_the_websocket_api_shares_the_budget_and_tells_when_to_return(rig: Rig) -> None:
    async with rig.api("spot") as api:
        pinged = await api.call("ping")
        assert pinged["rateLimits"][-1]["count"] == 3
        await rig.public("spot", "/api/v3/depth", symbol="BTCUSDT", limit=1000)
        assert (await api.call("ping"))["rateLimits"][-1]["count"] == 54
        await rig.public("spot", "/api/v3/depth", symbol="BTCUSDT", limit=1000)
        limited = await api.call("ping")
        assert limited["status"] == 429
        assert limited["error"]["data"] == {
            "serverTime": rig.clock.now_ms(), "retryAfter": rig.clock.now_ms() + 60_000,
        }  # fmt: skip
