"""Orders through the real simulated exchange, with the faults that lose money elsewhere."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import UsageError
from engine.model.market import Side
from engine.model.orders import OrderState, TimeInForce
from engine.router.order import Order
from tests.sim.engine_rig import PERP, SPOT, Rig, rig, until

pytestmark = pytest.mark.timeout(120)


def resting_price(bench: Rig, universal: str) -> str:
    venue = bench.venue(universal)
    instrument = venue.instruments[universal]
    target = venue.books[universal].touch()[0] * 97 // 100
    return f"{instrument.price(target - target % instrument.tick_size):f}"


def place(bench: Rig, universal: str, transport: str, **options: Any) -> Order:
    price = options.pop("price", None) or resting_price(bench, universal)
    return bench.desk(universal).place(universal, Side.BUY, "0.01", price, transport=transport, **options)


@pytest.mark.parametrize("transport", ["rest", "ws"])
@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_life_of_orders(tmp_path: Path, universal: str, transport: str) -> None:
    async with rig(tmp_path, (universal,)) as bench:
        desk = bench.desk(universal)
        order = place(bench, universal, transport, post_only=True)
        assert order.state is OrderState.PENDING_NEW
        await until(lambda: order.state is OrderState.WORKING)
        assert order.written_ns >= order.encoded_ns >= order.decided_ns
        truth = await bench.order_truth(order.client_order_id)
        assert truth is not None
        assert truth["status"] == "NEW"
        assert str(truth["order_id"]) == order.venue_order_id
        with pytest.raises(UsageError, match="used before"):
            desk.router.place(_again(order), transport)
        desk.router.cancel(order.client_order_id, transport)
        await until(lambda: order.state is OrderState.CANCELLED)
        with pytest.raises(UsageError, match="cancelled already"):
            desk.router.cancel(order.client_order_id, transport)

        ask = bench.venue(universal).books[universal].touch()[2]
        instrument = bench.venue(universal).instruments[universal]
        too_high = f"{instrument.price(ask + 50 * instrument.tick_size):f}"
        taker = place(bench, universal, transport, price=too_high, post_only=True)
        await until(lambda: taker.state is OrderState.REJECTED)
        assert "would_take" in taker.reason
        assert await bench.order_truth(taker.client_order_id) is None

        market = desk.place(universal, Side.BUY, "0.01", None, transport=transport)
        await until(lambda: market.state is OrderState.FILLED and market.fills)
        await until(lambda: sum(fill.qty for fill in market.fills) == market.qty)
        await until(lambda: all(fill.fee is not None for fill in market.fills))
        truths = [row for row in await bench.truth("fills", account="alice")
                  if row["client_order_id"] == market.client_order_id]  # fmt: skip
        assert {(str(row["trade_id"]), Decimal(row["qty"])) for row in truths} == {
            (fill.trade_id, instrument.qty(fill.qty)) for fill in market.fills
        }
        assert sum(Decimal(row["fee"]) for row in truths) == sum(market.fees.values())

        ioc = place(bench, universal, transport, time_in_force=TimeInForce.IOC)
        await until(lambda: ioc.state is OrderState.EXPIRED)
        stages = desk.router.stats.view()["latency_ns"]
        for stage in ("decided_to_encoded", "encoded_to_written", "round_trip", "ack_to_updated"):
            assert stages[f"{transport}.place.{stage}"]["count"] > 0


async def filled(order: Order) -> None:
    await until(lambda: order.state is OrderState.FILLED, what=order)
    await until(lambda: sum(fill.qty for fill in order.fills) == order.qty, what=order)


def _again(order: Order) -> Any:
    from engine.model.orders import NewOrder, OrderType

    return NewOrder(
        venue=order.venue, universal=order.universal, client_order_id=order.client_order_id, side=order.side,
        order_type=OrderType.LIMIT, qty=order.qty, price=order.price,
    )  # fmt: skip


ACCEPTED = [
    ("drop_answer_accepted", {}),
    ("error_1007_accepted", {}),
    ("http_503_unknown", {"params": {"accepted": True}}),
    ("html_error", {"params": {"accepted": True}}),
]


@pytest.mark.parametrize(("fault", "body"), ACCEPTED)
@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_unanswered_but_accepted_is_found(
    tmp_path: Path, universal: str, fault: str, body: dict[str, Any]
) -> None:
    async with rig(tmp_path, (universal,)) as bench:
        # Without the private stream the query alone has to find it.
        await bench.desk(universal).account.stop()
        await bench.fault(fault, universal, count=1, **body)
        order = place(bench, universal, "rest")
        await until(lambda: order.state is not OrderState.PENDING_NEW)
        await until(lambda: order.state is OrderState.WORKING)
        truth = await bench.order_truth(order.client_order_id)
        assert truth is not None
        assert truth["status"] == "NEW"
        assert (await bench.happened())[fault] == 1
        assert bench.logged("order.in_doubt")


async def test_ws_answer_lost_with_the_connection(tmp_path: Path) -> None:
    async with rig(tmp_path, (PERP,)) as bench:
        await bench.fault("drop_answer_accepted", PERP, count=1)
        order = place(bench, PERP, "ws")
        await until(lambda: order.state is OrderState.WORKING)
        assert (await bench.order_truth(order.client_order_id)) is not None
        await until(lambda: bench.desk(PERP).ws.is_ready)  # type: ignore[union-attr]
        bench.desk(PERP).router.cancel(order.client_order_id, "ws")
        await until(lambda: order.state is OrderState.CANCELLED)


async def test_never_accepted_is_in_doubt_until_proven_absent(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        desk = bench.desk(SPOT)
        desk.router._proof_after_ns = 1_500_000_000  # the venue's own numbers would make this 13 s
        await bench.fault("drop_request", SPOT, count=1)
        order = place(bench, SPOT, "rest")
        await until(lambda: order.state is OrderState.IN_DOUBT)
        placed = desk.router.stats.counts["placed"]
        await until(lambda: order.state is OrderState.ABSENT)
        assert order.not_found >= 2
        assert desk.router.stats.counts["placed"] == placed, "never sent again"
        assert await bench.order_truth(order.client_order_id) is None


async def test_not_found_for_a_moment_proves_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        await bench.desk(SPOT).account.stop()
        await bench.fault("not_found_for_a_moment", SPOT, count=None, duration_s=2, params={"age_ms": 1500})
        await bench.fault("drop_answer_accepted", SPOT, count=1)
        order = place(bench, SPOT, "rest")
        await until(lambda: order.state is OrderState.IN_DOUBT)
        await until(lambda: order.state is OrderState.WORKING)
        assert (await bench.happened())["not_found_for_a_moment"] > 0


@pytest.mark.parametrize("fault", ["duplicate_private", "reorder_private", "fill_before_ack"])
@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_disorder_on_the_private_stream(tmp_path: Path, universal: str, fault: str) -> None:
    async with rig(tmp_path, (universal,)) as bench:
        await bench.fault(fault, universal, symbol=False, count=None, duration_s=20)
        instrument = bench.venue(universal).instruments[universal]
        for _ in range(3):
            order = bench.desk(universal).place(universal, Side.BUY, "0.05", None, transport="rest")
            await filled(order)
            rows = [row for row in await bench.truth("fills", account="alice")
                    if row["client_order_id"] == order.client_order_id]  # fmt: skip
            assert sorted((str(row["trade_id"]), Decimal(row["qty"])) for row in rows) == sorted(
                (fill.trade_id, instrument.qty(fill.qty)) for fill in order.fills
            )
        assert (await bench.happened()).get(fault, 0) > 0


async def test_a_fill_that_races_the_cancel(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        order = place(bench, SPOT, "rest")
        await until(lambda: order.state is OrderState.WORKING)
        await bench.fault("cancel_race_fill", SPOT, count=1)
        bench.desk(SPOT).router.cancel(order.client_order_id)
        await until(lambda: order.state.is_final)
        truth = await bench.order_truth(order.client_order_id)
        assert truth is not None
        assert truth["status"] == "FILLED"
        await until(lambda: order.state is OrderState.FILLED)


async def test_rate_limit_and_ban_stop_requests(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        desk = bench.desk(SPOT)
        await bench.fault("rate_limit_429", SPOT, symbol=False, count=1)
        refused = place(bench, SPOT, "rest")
        await until(lambda: refused.state.is_final)
        assert refused.state is OrderState.REJECTED
        assert desk.market.budget.is_blocked
        unsent = place(bench, SPOT, "rest")
        assert unsent.state is OrderState.NOT_SENT
        assert await bench.order_truth(unsent.client_order_id) is None


@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_both_transports_count_on_one_budget(tmp_path: Path, universal: str) -> None:
    async with rig(tmp_path, (universal,)) as bench:
        desk = bench.desk(universal)
        for transport in ("ws", "rest", "ws"):
            order = place(bench, universal, transport)
            await until(lambda order=order: order.state is OrderState.WORKING, what=order)  # type: ignore[misc]
        used, limit = map(int, desk.market.budget.usage()["orders_10s"].split("/"))
        assert used in (1, 2, 3), "1 and 2 only when ten seconds ended between the orders"
        window = next(each for each in desk.market.budget._windows if each.rule.name == "orders_10s")
        window.count = limit
        unsent = place(bench, universal, "ws")
        assert unsent.state is OrderState.NOT_SENT
        assert "orders_10s is used up" in unsent.reason


async def test_clock_skew_is_refused_not_guessed(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        await bench.fault(
            "clock_skew", "", venue="binance", count=None, duration_s=30, params={"skew_ms": 8_000}
        )
        while not (await bench.happened()).get("clock_skew"):
            await asyncio.sleep(0.02)
        order = place(bench, SPOT, "rest")
        await until(lambda: order.state.is_final, what=order)
        assert order.state is OrderState.REJECTED
        assert "clock" in order.reason
        await bench.desk(SPOT).market.clock_keeper.measure(2)
        again = place(bench, SPOT, "rest")
        await until(lambda: again.state is OrderState.WORKING)


async def test_the_exchange_dies_with_an_order_in_flight_and_comes_back(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        engine = bench.engine
        assert engine.sim is not None
        assert engine.sim._process is not None
        keeper = asyncio.create_task(engine._keep_sim())
        engine.sim._process.kill()
        await until(lambda: not bench.venue(SPOT).books[SPOT].is_live)
        order = bench.desk(SPOT).place(SPOT, Side.BUY, "0.01", "70000", transport="rest")
        await until(lambda: bench.venue(SPOT).books[SPOT].is_live, 40)
        # The new exchange never heard of it: it is in doubt, or its bytes never left; it is not sent again.
        assert order.state in (OrderState.IN_DOUBT, OrderState.NOT_SENT)
        assert await bench.order_truth(order.client_order_id) is None
        keeper.cancel()
