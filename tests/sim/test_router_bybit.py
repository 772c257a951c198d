"""Orders and books of Bybit through the simulated exchange, with what only this venue does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.model.market import Side
from engine.model.orders import OrderState, RejectReason
from engine.router.order import Order
from tests.sim.engine_rig import PERP, SPOT, Rig, rig, until

pytestmark = pytest.mark.timeout(120)


def price_at(bench: Rig, universal: str, part: int) -> str:
    """Return a bid at so many thousandths of the best."""
    venue = bench.venue(universal)
    instrument = venue.instruments[universal]
    target = venue.books[universal].touch()[0] * part // 1000
    return f"{instrument.price(target - target % instrument.tick_size):f}"


def place(bench: Rig, universal: str, transport: str = "rest", part: int = 970, **options: Any) -> Order:
    price = price_at(bench, universal, part)
    return bench.desk(universal).place(universal, Side.BUY, "0.01", price, transport=transport, **options)


async def filled(order: Order) -> None:
    """Wait for the order's end and for every fill of it."""
    await until(lambda: order.state is OrderState.FILLED, what=order)
    await until(lambda: sum(fill.qty for fill in order.fills) == order.qty, what=order)


@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_open_orders_are_listed_to_the_last_page(tmp_path: Path, universal: str) -> None:
    async with rig(tmp_path, (universal,), venue_name="bybit") as bench:
        desk = bench.desk(universal)
        orders: list[Order] = []
        while len(orders) < 60:
            await until(lambda: desk.market.budget.order_wait_ms(1) == 0, what="the order limit")
            orders.append(place(bench, universal))
            await until(lambda: orders[-1].state is OrderState.WORKING, what=orders[-1])
        listed = await desk.open_orders(universal)
        assert sorted(each.client_order_id for each in listed) == sorted(
            each.client_order_id for each in orders
        )
        assert len(listed) == 60  # a page has 50


@pytest.mark.parametrize("transport", ["rest", "ws"])
async def test_the_venues_own_count_of_orders_is_taken_over(tmp_path: Path, transport: str) -> None:
    async with rig(tmp_path, (PERP,), venue_name="bybit") as bench:
        desk = bench.desk(PERP)
        orders: list[Order] = []
        while len(orders) < 60 and not (orders and orders[-1].state is OrderState.NOT_SENT):
            orders.append(place(bench, PERP, transport))
            await until(lambda: orders[-1].state is not OrderState.PENDING_NEW, what=orders[-1])
        assert "orders_1s is used up (10/10)" in orders[-1].reason
        assert all(order.state is OrderState.WORKING for order in orders[:-1]), "none is refused there"
        assert not desk.market.budget.is_blocked


@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_numbers_that_start_over_are_a_new_book(tmp_path: Path, universal: str) -> None:
    async with rig(tmp_path, (universal,), venue_name="bybit") as bench:
        book = bench.venue(universal).books[universal]
        await bench.fault("restart_depth", universal, count=1)
        await until(lambda: book.sequence < 1_000 and book.is_live, what=bench.venue(universal).health())
        health = bench.venue(universal).health()
        assert (health["gaps"], health["rejected"], health["reconnects"]) == (0, 0, 0)
        assert health["resyncs"] == 0, "nothing had to be asked for"


@pytest.mark.parametrize("fault", ["drop_answer_accepted", "error_1007_accepted", "html_error"])
@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_unanswered_but_accepted_is_found(tmp_path: Path, universal: str, fault: str) -> None:
    async with rig(tmp_path, (universal,), venue_name="bybit") as bench:
        await bench.desk(universal).account.stop()  # the query alone has to find it
        await bench.fault(fault, universal, count=1, params={"accepted": True})
        order = place(bench, universal)
        await until(lambda: order.state is not OrderState.PENDING_NEW, what=order)
        await until(lambda: order.state is OrderState.WORKING, what=order)
        assert await bench.order_truth(order.client_order_id) is not None
        assert bench.logged("order.in_doubt")


async def test_an_order_that_ended_unheard_is_found(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,), venue_name="bybit") as bench:
        desk = bench.desk(SPOT)
        order = place(bench, SPOT)
        await until(lambda: order.state is OrderState.WORKING, what=order)
        await desk.account.stop()
        desk.router.cancel(order.client_order_id)
        await until(lambda: order.state is OrderState.PENDING_CANCEL, what=order)
        desk.router.reconcile()
        await until(lambda: order.state is OrderState.CANCELLED, what=order)


async def test_never_accepted_is_in_doubt_until_proven_absent(tmp_path: Path) -> None:
    async with rig(tmp_path, (PERP,), venue_name="bybit") as bench:
        desk = bench.desk(PERP)
        desk.router._proof_after_ns = 1_500_000_000  # the venue's own numbers would make this 14 s
        await bench.fault("drop_request", PERP, count=1)
        order = place(bench, PERP)
        await until(lambda: order.state is OrderState.IN_DOUBT, what=order)
        placed = desk.router.stats.counts["placed"]
        await until(lambda: order.state is OrderState.ABSENT, what=order)
        assert order.not_found >= 2
        assert desk.router.stats.counts["placed"] == placed, "never sent again"
        assert await bench.order_truth(order.client_order_id) is None


@pytest.mark.parametrize("fault", ["duplicate_private", "reorder_private", "fill_before_ack"])
async def test_disorder_on_the_private_stream(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, (PERP,), venue_name="bybit") as bench:
        await bench.fault(fault, PERP, symbol=False, count=None, duration_s=20)
        for transport in ("rest", "ws", "rest"):
            order = bench.desk(PERP).place(PERP, Side.BUY, "0.05", None, transport=transport)
            await filled(order)
            rows = [
                row
                for row in await bench.truth("fills", account="alice")
                if row["client_order_id"] == order.client_order_id
            ]
            assert len(rows) == len(order.fills) == len({fill.trade_id for fill in order.fills})
            assert order.contradictions == 0
        assert (await bench.happened()).get(fault, 0) > 0
        assert not bench.desk(PERP).router.paused


@pytest.mark.parametrize("universal", [SPOT, PERP])
async def test_a_fill_that_races_the_cancel(tmp_path: Path, universal: str) -> None:
    async with rig(tmp_path, (universal,), venue_name="bybit") as bench:
        order = place(bench, universal)
        await until(lambda: order.state is OrderState.WORKING, what=order)
        await bench.fault("cancel_race_fill", universal, count=1)
        bench.desk(universal).router.cancel(order.client_order_id)
        await until(lambda: order.state is OrderState.FILLED, what=order)
        truth = await bench.order_truth(order.client_order_id)
        assert truth is not None
        assert truth["status"] == "FILLED"


async def test_an_address_that_is_limited_sends_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,), venue_name="bybit") as bench:
        desk = bench.desk(SPOT)
        await bench.fault("rate_limit_429", SPOT, symbol=False, count=1)
        refused = place(bench, SPOT)
        await until(lambda: refused.state.is_final, what=refused)
        assert refused.state is OrderState.REJECTED
        assert refused.reason.startswith(RejectReason.RATE_LIMIT.value)
        assert desk.market.budget.is_blocked
        unsent = place(bench, SPOT)
        assert unsent.state is OrderState.NOT_SENT
        assert await bench.order_truth(unsent.client_order_id) is None


async def test_the_account_check_passes_question_by_question(tmp_path: Path) -> None:
    async with rig(tmp_path, (PERP,), venue_name="bybit") as bench:
        desk = bench.desk(PERP)
        request = desk.adapter.account_check_http(desk.venue_clock.stamp_ms())
        assert request is not None
        parts = await desk._ask(request)
        assert [desk.adapter.decode_account_check(each.status, each.body) for each in parts] == ["", "", ""]
