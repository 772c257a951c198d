"""Amends on every venue that has them: the terms end up as the exchange's, or stay as they were."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from engine.model.errors import UsageError
from engine.model.orders import OrderState
from engine.router.order import AmendState, Order
from tests.kit.markets import (
    LOOP,
    MARKETS,
    OPEN,
    Bench,
    Market,
    each_amend_entry,
    each_amending,
    shared,
)
from tests.sim.engine_rig import until

pytestmark = [pytest.mark.timeout(180), LOOP]


def changes(bench: Bench, order: Order) -> dict[str, dict[str, str]]:
    """Return amends of a resting order by kind: what each changes."""
    lot, tick = bench.instrument.lot_size, bench.instrument.tick_size
    fewer = max(1, order.qty * 9 // 10 // lot) * lot
    more = order.qty + max(1, order.qty // 10 // lot) * lot
    price = (order.price - 20 * tick) // tick * tick
    texts = {
        "smaller": {"qty": f"{bench.instrument.qty(fewer):f}"},
        "larger": {"qty": f"{bench.instrument.qty(more):f}"},
        "price": {"price": f"{bench.instrument.price(price):f}"},
    }
    if fewer == order.qty:
        del texts["smaller"]
    return texts


async def settled(order: Order) -> None:
    await until(lambda: order.amend_state is AmendState.NONE, what=f"{order} {order.amend_state}")


async def assert_terms_are_the_exchanges(bench: Bench, order: Order) -> None:
    row = await bench.order_row(order)
    assert Decimal(row["qty"]) == bench.instrument.qty(order.qty), order
    assert Decimal(row["price"]) == bench.instrument.price(order.price), order


async def resting(bench: Bench, transport: str) -> Order:
    order = bench.rest(transport, qty=bench.triple_qty)
    await until(lambda: order.state is OrderState.WORKING, what=order)
    return order


@each_amend_entry
async def test_price_and_quantity_are_amended(market: Market, transport: str) -> None:
    async with shared(market) as bench:
        order = await resting(bench, transport)
        kinds = changes(bench, order)
        offered = market.offers.amend_only or tuple(kinds)
        for kind in ("smaller", "larger", "price"):
            if kind not in kinds:
                continue
            wanted = kinds[kind]
            before = (order.qty, order.price)
            if kind not in offered:
                with pytest.raises(UsageError, match="cancel and place"):
                    bench.desk.amend(bench.universal, order.client_order_id, **wanted, transport=transport)
                assert (order.qty, order.price) == before
                continue
            bench.desk.amend(bench.universal, order.client_order_id, **wanted, transport=transport)
            assert order.amend_state is AmendState.SENT
            assert (order.qty, order.price) == before, "the old terms work until the venue has answered"
            await settled(order)
            assert order.amend_reason == ""
            shown = {"qty": bench.instrument.qty(order.qty), "price": bench.instrument.price(order.price)}
            assert {name: shown[name] for name in wanted} == {
                name: Decimal(text) for name, text in wanted.items()
            }
            await assert_terms_are_the_exchanges(bench, order)
        assert order.contradictions == 0
        stages = bench.desk.router.stats.view()["latency_ns"]
        assert stages[f"{transport}.amend.round_trip"]["count"] >= 1
        await bench.cancelled(order)
        assert order.state is OrderState.CANCELLED
        assert (await bench.order_row(order))["status"] not in OPEN


@each_amend_entry
async def test_a_partly_filled_order_is_amended(market: Market, transport: str) -> None:
    async with shared(market) as bench:
        for _ in range(5):
            order = await partly_filled(bench, transport)
            if order is not None:
                break
        else:
            pytest.fail("no order was filled in part in five attempts")
        lot = bench.instrument.lot_size
        if "price" in (market.offers.amend_only or ("price",)):
            price = bench.price(bench.touch()[0] * 97 // 100)
            bench.desk.amend(bench.universal, order.client_order_id, price=price, transport=transport)
        else:
            rest = max(lot, (order.qty - order.cum_qty) // 2 // lot * lot)
            qty = f"{bench.instrument.qty(order.cum_qty + rest):f}"
            bench.desk.amend(bench.universal, order.client_order_id, qty=qty, transport=transport)
        await settled(order)
        if not order.state.is_final:
            await assert_terms_are_the_exchanges(bench, order)
            with pytest.raises(UsageError, match="cancel it instead"):
                bench.desk.router.amend(order.client_order_id, order.cum_qty, transport=transport)
        await bench.cancelled(order)
        row = await bench.order_row(order)
        await until(lambda: bench.instrument.qty(order.cum_qty) >= Decimal(row["filled"]), what=order)
        assert not order.is_overfilled
        assert order.contradictions == 0


async def partly_filled(bench: Bench, transport: str) -> Order | None:
    """Take the best ask and let the rest of the order stand; None where that rest was filled as well."""
    _, _, ask, ask_qty = bench.rig.venue(bench.universal).books[bench.universal].touch()
    lot = bench.instrument.lot_size
    least = bench.instrument.scale_qty(Decimal(bench.triple_qty))
    qty = (ask_qty + least) // lot * lot
    if bench.instrument.qty_max:
        qty = min(qty, bench.instrument.qty_max)
    order = bench.rest(transport, price=bench.price(ask), qty=f"{bench.instrument.qty(qty):f}")
    await until(lambda: order.state is not OrderState.PENDING_NEW, what=order)
    with_fill = asyncio.get_running_loop().time() + 1.0
    while not order.cum_qty and not order.state.is_final and asyncio.get_running_loop().time() < with_fill:
        await asyncio.sleep(0.005)
    if order.state is OrderState.WORKING and order.cum_qty:
        return order
    await bench.cancelled(order)
    return None


@each_amend_entry
async def test_what_has_ended_is_not_amended(market: Market, transport: str) -> None:
    async with shared(market) as bench:
        filled = bench.rest(transport, price=bench.price(bench.touch()[1] * 101 // 100))
        await until(lambda: filled.state is OrderState.FILLED, what=filled)
        with pytest.raises(UsageError, match="filled: only a working order"):
            bench.desk.amend(bench.universal, filled.client_order_id, qty=bench.triple_qty)
        # Behind the engine's back: it hears nothing of the cancel, and the venue has nothing to amend.
        order = await resting(bench, transport)
        await bench.rig.fault("drop_private", bench.universal, symbol=False, count=None, duration_s=10)
        await bench.cancel_unseen(order)
        wanted = changes(bench, order)
        bench.desk.amend(bench.universal, order.client_order_id, **wanted["smaller"], transport=transport)
        await until(lambda: order.state is OrderState.CANCELLED, what=order)
        assert order.amend_state is AmendState.NONE


@each_amending
async def test_an_unanswered_amend_is_asked_for_and_sent_once(market: Market) -> None:
    async with shared(market) as bench:
        order = await resting(bench, "rest")
        await bench.rig.fault("drop_private", bench.universal, symbol=False, count=None, duration_s=10)
        await bench.rig.fault("drop_answer_accepted", bench.universal, count=1)
        wanted = changes(bench, order)["smaller"]
        seen: list[AmendState] = []
        bench.desk.router.listeners.append(lambda told, _: seen.append(told.amend_state))
        bench.desk.amend(bench.universal, order.client_order_id, **wanted, transport="rest")
        with pytest.raises(UsageError, match="one at a time"):
            bench.desk.amend(bench.universal, order.client_order_id, **wanted, transport="rest")
        await settled(order)
        bench.desk.router.listeners.pop()
        assert seen == [AmendState.UNKNOWN, AmendState.NONE]
        assert bench.instrument.qty(order.qty) == Decimal(wanted["qty"])
        assert order.amend_number == 1
        await assert_terms_are_the_exchanges(bench, order)
        doubts = [row["client_order_id"] for row in bench.rig.logged("order.in_doubt")]
        assert doubts.count(order.client_order_id) == 1


@pytest.mark.parametrize("market", [each for each in MARKETS if not each.offers.amend], ids=str)
async def test_where_nothing_is_amended_it_is_refused(market: Market) -> None:
    async with shared(market) as bench:
        order = await resting(bench, "rest")
        wanted = changes(bench, order)["price"]
        with pytest.raises(UsageError, match="cancel and place"):
            bench.desk.amend(bench.universal, order.client_order_id, **wanted, transport="rest")
        await assert_terms_are_the_exchanges(bench, order)
