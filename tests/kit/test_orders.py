"""Orders on every venue and transport: what it offers works, what it refuses is told apart."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from engine.model.errors import UsageError
from engine.model.instrument import Product
from engine.model.market import Side
from engine.model.orders import OrderState, TimeInForce
from engine.router.order import Order
from tests.kit.markets import LOOP, Bench, Market, each_entry, each_market, running, shared
from tests.sim.engine_rig import until

pytestmark = [pytest.mark.timeout(180), LOOP]


async def reached(order: Order, state: OrderState) -> None:
    await until(lambda: order.state is state, what=order)


def numbered(trade_id: str) -> str:
    """Return the exchange's own number of a trade: wires that write longer ids have it at their end."""
    *head, last = trade_id.split("-")
    if head:
        return str(int(last, 16))  # a UUID
    return str(int(last[-12:])) if last.isdecimal() else last


async def assert_fills_are_the_exchanges(bench: Bench, order: Order) -> None:
    """Wait until every fill and fee is known; both must be the exchange's own."""
    await until(lambda: sum(fill.qty for fill in order.fills) == order.cum_qty, what=order)
    await until(lambda: all(fill.fee is not None for fill in order.fills), what=order)
    rows = [
        row
        for row in await bench.rig.truth("fills", account="alice")
        if row["client_order_id"] == order.client_order_id
    ]
    qty = bench.instrument.qty
    assert sorted((numbered(str(row["trade_id"])), Decimal(row["qty"])) for row in rows) == sorted(
        (numbered(fill.trade_id), qty(fill.qty)) for fill in order.fills
    )
    # Wires cut fees off after eight decimals, the exchange's own ledger does not.
    paid = sum((Decimal(row["fee"]) for row in rows), Decimal(0))
    assert abs(paid - sum(order.fees.values(), Decimal(0))) <= len(rows) * Decimal("1e-8")


@each_entry
async def test_an_order_rests_and_is_cancelled(market: Market, transport: str) -> None:
    async with shared(market) as bench:
        order = bench.rest(transport)
        await reached(order, OrderState.WORKING)
        truth = await bench.rig.order_truth(order.client_order_id)
        assert truth is not None
        assert Decimal(truth["qty"]) == bench.instrument.qty(order.qty), (
            "base units, whatever the wire counts"
        )
        assert Decimal(truth["price"]) == bench.instrument.price(order.price)
        listed = await bench.desk.open_orders(bench.universal)
        assert [each.client_order_id for each in listed] == [order.client_order_id]
        bench.desk.router.cancel(order.client_order_id, transport)
        await reached(order, OrderState.CANCELLED)
        assert await bench.desk.open_orders(bench.universal) == []
        with pytest.raises(UsageError, match="cancelled already"):
            bench.desk.router.cancel(order.client_order_id, transport)


@each_entry
async def test_orders_that_take(market: Market, transport: str) -> None:
    async with shared(market) as bench:
        if "market" in market.offers.order_types:
            bought = bench.desk.place(bench.universal, Side.BUY, bench.qty, None, transport=transport)
            await reached(bought, OrderState.FILLED)
            await assert_fills_are_the_exchanges(bench, bought)
            sold = bench.desk.place(
                bench.universal, Side.SELL, bench.qty, None, transport=transport,
                reduce_only=market.offers.reduce_only,
            )  # fmt: skip
            await reached(sold, OrderState.FILLED)
            await assert_fills_are_the_exchanges(bench, sold)
        crossing = bench.rest(transport, price=bench.price(bench.touch()[1] * 101 // 100))
        await reached(crossing, OrderState.FILLED)
        await assert_fills_are_the_exchanges(bench, crossing)


@each_entry
async def test_every_time_in_force_away_from_the_market_and_across_it(market: Market, transport: str) -> None:
    async with shared(market) as bench:
        for word in market.offers.time_in_force:
            far = bench.rest(transport, time_in_force=TimeInForce(word))
            if word == "gtc":
                await reached(far, OrderState.WORKING)
                await bench.cancelled(far)
            else:
                await until(lambda far=far: far.state.is_final, what=far)  # type: ignore[misc]
                assert far.state in (OrderState.EXPIRED, OrderState.CANCELLED, OrderState.REJECTED), far
            assert far.cum_qty == 0
            across = bench.price(bench.touch()[1] * 101 // 100)
            taken = bench.rest(transport, time_in_force=TimeInForce(word), price=across)
            await reached(taken, OrderState.FILLED)
            await assert_fills_are_the_exchanges(bench, taken)


@each_entry
async def test_post_only(market: Market, transport: str) -> None:
    market.need(market.offers.post_only, "post-only orders")
    async with shared(market) as bench:
        maker = bench.rest(transport, post_only=True)
        await reached(maker, OrderState.WORKING)
        taker = bench.rest(transport, post_only=True, price=bench.price(bench.touch()[1] * 101 // 100))
        await until(lambda: taker.state.is_final, what=taker)
        assert taker.cum_qty == 0
        assert taker.state in (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED), taker
        bench.desk.router.cancel(maker.client_order_id, transport)
        await reached(maker, OrderState.CANCELLED)


@each_entry
async def test_refusals(market: Market, transport: str) -> None:
    async with shared(market) as bench:
        price = bench.price(bench.touch()[0] * 103 // 100)
        qty = bench.large_qty
        orders: list[Order] = []
        budget = bench.desk.market.budget
        while len(orders) < 120 and not (orders and orders[-1].state.is_final):
            await until(lambda: budget.order_wait_ms(1) == budget.wait_ms(1) == 0, what=budget.usage())
            orders.append(bench.rest(transport, side=Side.SELL, qty=qty, price=price))
            await until(lambda: orders[-1].state is not OrderState.PENDING_NEW, what=orders[-1])
        poor = orders[-1]
        assert poor.state is OrderState.REJECTED, poor
        assert poor.reason.startswith("insufficient_funds"), poor
        assert await bench.rig.order_truth(poor.client_order_id) is None
        for qty, price_text in (("0", price), (bench.qty, "0"), ("-1", price), (bench.qty, "1e-30")):
            with pytest.raises(UsageError):
                bench.desk.place(bench.universal, Side.BUY, qty, price_text, transport=transport)
        if market.offers.reduce_only:
            opener = bench.rest(transport, reduce_only=True)
            await until(lambda: opener.state.is_final, what=opener)
            assert opener.cum_qty == 0, "nothing to reduce"


@each_market
async def test_cancel_all(market: Market) -> None:
    market.need(market.offers.cancel_all, "cancel-all")
    async with shared(market) as bench:
        orders = [
            bench.rest(market.offers.order_entry[0], price=bench.price(bench.touch()[0] * part // 1000))
            for part in (970, 960, 950)
        ]
        for order in orders:
            await reached(order, OrderState.WORKING)
        await bench.rig.engine.handle(
            "cancel", {"exchange": market.venue, "pair": bench.universal, "all": True}
        )
        for order in orders:
            await reached(order, OrderState.CANCELLED)
        assert await bench.desk.open_orders(bench.universal) == []


@each_market
async def test_unanswered_but_accepted_is_found(market: Market) -> None:
    async with shared(market) as bench:
        # Without the private stream the query alone has to find it.
        await bench.rig.fault("drop_private", bench.universal, symbol=False, count=None, duration_s=10)
        await bench.rig.fault("drop_answer_accepted", bench.universal, count=1)
        order = bench.rest("rest")
        await until(lambda: order.state is not OrderState.PENDING_NEW, what=order)
        await reached(order, OrderState.WORKING)
        assert await bench.rig.order_truth(order.client_order_id) is not None
        doubts = [row["client_order_id"] for row in bench.rig.logged("order.in_doubt")]
        assert order.client_order_id in doubts


@each_market
async def test_a_fill_missed_by_the_private_stream_is_found(market: Market) -> None:
    async with shared(market) as bench:
        await bench.rig.fault("drop_private", bench.universal, symbol=False, count=None, duration_s=3)
        order = bench.rest("rest", price=bench.price(bench.touch()[1] * 101 // 100))
        await until(lambda: order.state is not OrderState.PENDING_NEW, what=order)
        bench.desk.account.session.drop("test: a new private stream makes the engine ask")
        await reached(order, OrderState.FILLED)
        truth = await bench.rig.order_truth(order.client_order_id)
        assert truth is not None
        assert Decimal(truth["filled"]) == bench.instrument.qty(order.cum_qty)


@each_market
async def test_balances_and_positions_are_the_exchanges(market: Market) -> None:
    async with shared(market) as bench:
        order = bench.rest("rest", price=bench.price(bench.touch()[1] * 101 // 100))
        await reached(order, OrderState.FILLED)
        if market.product is Product.PERP:
            await until(lambda: bench.universal in bench.desk.positions, what=bench.desk.positions)
            await bench.desk.refresh()
            position = bench.desk.positions[bench.universal]
            assert position.position_qty == bench.instrument.qty(order.qty)
        else:
            await bench.desk.refresh()
            asset = bench.instrument.base
            truth = await bench.rig.truth("balances", account="alice")
            assert bench.desk.balances[asset].free == Decimal(truth["spot"][asset]["free"])


@pytest.mark.fault("H13", "P26", "S01")
@each_market
async def test_a_venue_clock_that_is_set_is_measured_anew(market: Market, tmp_path: Path) -> None:
    """Forwards and back again: the engine finds out by itself, and signed calls go on."""
    async with running(market, tmp_path) as bench:
        clock = bench.desk.venue_clock
        for number, skew_ms in enumerate((70_000, 0), 1):
            if skew_ms:
                await bench.rig.fault(
                    "clock_skew", "", venue=market.venue, count=None, params={"skew_ms": skew_ms}
                )
            else:
                await bench.rig.clear()
            refused = 0
            while clock.steps < number or clock.is_doubtful:  # its events tell, or a stamp that it refuses
                order = bench.rest("rest")
                await until(lambda order=order: order.state.is_final or order.was_acked, what=order)  # type: ignore[misc]
                assert order.state is not OrderState.REJECTED or "clock" in order.reason, order
                refused += order.state is OrderState.REJECTED
                await bench.cancelled(order)
                await asyncio.sleep(0.3)
                assert refused < 20, "the clock is not measured anew"
            low, high = clock.bounds_ns() or (0, 0)
            assert low <= skew_ms * 1_000_000 <= high
            assert high - low < 500_000_000
            assert len(bench.rig.logged("clock.stepped")) >= number
            again = bench.rest("rest")
            await reached(again, OrderState.WORKING)
            await bench.cancelled(again)
