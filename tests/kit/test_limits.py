"""An exchange's limit answer holds the engine back for as long as it says, and nothing is banned."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from engine.model.orders import OrderState
from engine.router.order import Order
from tests.kit.markets import LOOP, Bench, Market, each_entry, running
from tests.sim.engine_rig import until

pytestmark = [pytest.mark.timeout(180), LOOP]
QUICK_MS = 2_500
"""A longer wait is not sat out here: the slow test does that, over REST."""


async def placed(bench: Bench, transport: str) -> Order:
    order = bench.rest(transport)
    await until(lambda: order.state is not OrderState.PENDING_NEW, what=order)
    return order


async def refused_by_the_exchange(bench: Bench, transport: str) -> int:
    """Have one order refused for the rate; return how long the engine then waits, in milliseconds."""
    for _ in range(5):  # another request of the engine may meet the fault first
        await bench.rig.fault("rate_limit_429", bench.universal, symbol=False, count=1)
        order = await placed(bench, transport)
        if order.state is not OrderState.WORKING:
            break
    assert order.state is OrderState.REJECTED, order
    assert order.reason.startswith("rate_limit"), order
    assert await bench.rig.order_truth(order.client_order_id) is None
    held = bench.rest(transport)
    assert held.state is OrderState.NOT_SENT, "what would only make it worse stays here"
    return wait_of(held)


def wait_of(order: Order) -> int:
    """Return the wait that a local refusal states, in milliseconds."""
    stated = re.search(r"(\d+) ms", order.reason)
    assert stated is not None, order
    return int(stated[1])


async def recovered(bench: Bench, transport: str, patience_ms: int) -> None:
    """Wait as long as the engine says; the next order must be taken, and no answer was a refusal again.

    A wait that is longer than the patience ends the test: it is known, and kept.
    """
    loop = asyncio.get_running_loop()
    met = (await bench.rig.happened())["rate_limit_429"]
    deadline = loop.time() + 100
    while (order := bench.rest(transport)).state is OrderState.NOT_SENT:
        assert loop.time() < deadline, order
        if wait_of(order) > patience_ms:
            return
        await asyncio.sleep(min(1.0, wait_of(order) / 1000 + 0.01))
    await until(lambda: order.state is OrderState.WORKING, what=order)
    assert (await bench.rig.happened())["rate_limit_429"] == met
    assert "ban" not in bench.desk.market.budget.block_reason


@pytest.mark.fault("H08")
@each_entry
async def test_a_limit_answer_is_obeyed(market: Market, transport: str, tmp_path: Path) -> None:
    async with running(market, tmp_path) as bench:
        wait_ms = await refused_by_the_exchange(bench, transport)
        assert 0 < wait_ms <= 61_000
        await recovered(bench, transport, QUICK_MS)


@pytest.mark.slow
@each_entry
async def test_a_long_wait_ends(market: Market, transport: str, tmp_path: Path) -> None:
    async with running(market, tmp_path) as bench:
        await refused_by_the_exchange(bench, transport)
        await recovered(bench, transport, 61_000)
