"""The engine on the simulated BitMart: what only this venue has, end to end."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import UsageError
from engine.model.instrument import Instrument
from engine.model.market import Side
from engine.model.orders import OrderState, TimeInForce, VenueError
from engine.router.order import Order
from engine.supervisor.trading import TradingDesk
from engine.venues.bitmart.adapter import BitmartTrading
from tests.sim.engine_rig import PERP, SPOT, Rig, rig, until

pytestmark = pytest.mark.timeout(180)

each_product = pytest.mark.parametrize("universal", [SPOT, PERP], ids=["spot", "perp"])


def running(tmp_path: Path, *universals: str) -> Any:
    return rig(tmp_path, universals or (SPOT, PERP), venue_name="bitmart")


def adapter_of(desk: TradingDesk) -> BitmartTrading:
    adapter = desk.adapter
    assert isinstance(adapter, BitmartTrading)
    return adapter


def price_at(bench: Rig, universal: str, percent: int) -> str:
    """Return so many percent of the best bid, on tick."""
    market = bench.venue(universal)
    instrument, bid = market.instruments[universal], market.books[universal].touch()[0]
    scaled = bid * percent // 100
    return f"{instrument.price(scaled - scaled % instrument.tick_size):f}"


def bid(bench: Rig, universal: str, percent: int = 97, qty: str = "0.01", **options: Any) -> Order:
    price = price_at(bench, universal, percent)
    return bench.desk(universal).place(universal, Side.BUY, qty, price, **options)


async def reached(order: Order, state: OrderState) -> None:
    await until(lambda: order.state is state, what=order)


def instrument_of(bench: Rig, universal: str) -> Instrument:
    return bench.venue(universal).instruments[universal]


async def test_a_futures_order_is_amended_and_keeps_its_id(tmp_path: Path) -> None:
    async with running(tmp_path, PERP) as bench:
        desk = bench.desk(PERP)
        order = bid(bench, PERP, 97)
        await reached(order, OrderState.WORKING)
        venue_id, target = order.venue_order_id, price_at(bench, PERP, 95)
        desk.amend(PERP, order.client_order_id, "0.007", target)
        await until(lambda: not order.is_amend_open, what=order)
        instrument = instrument_of(bench, PERP)
        assert (instrument.price(order.price), instrument.qty(order.qty)) == (
            Decimal(target), Decimal("0.007"),
        )  # fmt: skip
        assert (order.venue_order_id, order.state, order.contradictions) == (venue_id, OrderState.WORKING, 0)
        truth = await bench.order_truth(order.client_order_id)
        assert truth is not None
        assert (Decimal(truth["price"]), Decimal(truth["qty"])) == (Decimal(target), Decimal("0.007"))


async def test_spot_orders_are_not_amended(tmp_path: Path) -> None:
    async with running(tmp_path, SPOT) as bench:
        order = bid(bench, SPOT)
        await reached(order, OrderState.WORKING)
        with pytest.raises(UsageError, match="spot does not amend"):
            bench.desk(SPOT).amend(SPOT, order.client_order_id, "0.007", price_at(bench, SPOT, 95))
        assert not order.is_amend_open


@each_product
async def test_cancel_all_of_one_instrument(tmp_path: Path, universal: str) -> None:
    async with running(tmp_path, universal) as bench:
        desk = bench.desk(universal)
        orders = [bid(bench, universal, percent) for percent in (97, 96, 95)]
        for order in orders:
            await reached(order, OrderState.WORKING)
        instrument = instrument_of(bench, universal)
        request = adapter_of(desk).cancel_all_http(instrument, desk.venue_clock.stamp_ms())
        (answer,) = await desk._ask(request)
        assert desk.adapter.decode_orders(answer.status, answer.body) == []
        for order in orders:
            await reached(order, OrderState.CANCELLED)
        assert await desk.open_orders(universal) == []


@each_product
@pytest.mark.parametrize("percent", [97, 103], ids=["rests", "filled"])
async def test_an_order_whose_answer_is_lost_is_found_open_or_finished(
    tmp_path: Path, universal: str, percent: int
) -> None:
    """Without the private stream only the two questions of a query can find it."""
    async with running(tmp_path, universal) as bench:
        await bench.desk(universal).account.stop()
        await bench.fault("drop_answer_accepted", universal, count=1)
        order = bid(bench, universal, percent)
        await until(lambda: order.state is not OrderState.PENDING_NEW, what=order)
        await reached(order, OrderState.WORKING if percent < 100 else OrderState.FILLED)
        assert bench.logged("order.in_doubt")
        truth = await bench.order_truth(order.client_order_id)
        assert truth is not None
        assert Decimal(truth["filled"]) == instrument_of(bench, universal).qty(order.cum_qty)


@each_product
async def test_an_order_that_never_arrived_is_proven_absent(tmp_path: Path, universal: str) -> None:
    async with running(tmp_path, universal) as bench:
        desk = bench.desk(universal)
        desk.router._proof_after_ns = 500_000_000  # a minute and more otherwise
        await bench.fault("drop_request", universal, count=1)
        order = bid(bench, universal)
        await reached(order, OrderState.IN_DOUBT)
        await reached(order, OrderState.ABSENT)
        assert await bench.order_truth(order.client_order_id) is None


@each_product
async def test_own_fills_are_the_exchanges(tmp_path: Path, universal: str) -> None:
    async with running(tmp_path, universal) as bench:
        desk = bench.desk(universal)
        order = bid(bench, universal, 103)
        await reached(order, OrderState.FILLED)
        instrument = instrument_of(bench, universal)
        request = adapter_of(desk).fills_http(instrument, None, desk.venue_clock.stamp_ms())
        (answer,) = await desk._ask(request)
        reports = desk.adapter.decode_fills(instrument, answer.status, answer.body)
        assert not isinstance(reports, VenueError)
        fills = [report.fill for report in reports if report.fill is not None]
        truth = [
            row
            for row in await bench.truth("fills", account="alice")
            if row["client_order_id"] == order.client_order_id
        ]
        ours = [(fill.trade_id, instrument.qty(fill.qty), instrument.price(fill.price)) for fill in fills]
        theirs = [(str(row["trade_id"]), Decimal(row["qty"]), Decimal(row["price"])) for row in truth]
        assert sorted(ours) == sorted(theirs)
        assert all(report.side is Side.BUY for report in reports)


async def test_a_spot_market_sell_works_and_a_buy_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path, SPOT) as bench:
        desk = bench.desk(SPOT)
        with pytest.raises(UsageError, match="use a limit IOC order"):
            desk.place(SPOT, Side.BUY, "0.01", None)
        assert not desk.router.orders
        sold = desk.place(SPOT, Side.SELL, "0.01", None)
        await reached(sold, OrderState.FILLED)
        bought = bid(bench, SPOT, 103, time_in_force=TimeInForce.IOC)  # what the advice says
        await reached(bought, OrderState.FILLED)


async def test_sides_of_a_position_open_reduce_and_turn(tmp_path: Path) -> None:
    async with running(tmp_path, PERP) as bench:
        desk = bench.desk(PERP)

        async def trade(side: Side, qty: str, **options: Any) -> Decimal:
            order = desk.place(PERP, side, qty, None, **options)
            await reached(order, OrderState.FILLED)
            await desk.refresh()
            position = desk.positions.get(PERP)
            return position.position_qty if position is not None else Decimal(0)

        assert await trade(Side.BUY, "0.03") == Decimal("0.03")
        assert await trade(Side.SELL, "0.01", reduce_only=True) == Decimal("0.02")
        assert await trade(Side.SELL, "0.05") == Decimal("-0.03")
        assert await trade(Side.BUY, "0.03", reduce_only=True) == 0
        opener = desk.place(PERP, Side.BUY, "0.01", None, reduce_only=True)
        await until(lambda: opener.state.is_final, what=opener)
        assert opener.cum_qty == 0
        request = adapter_of(desk).account_check_http(desk.venue_clock.stamp_ms())
        assert request is not None
        (answer,) = await desk._ask(request)
        assert desk.adapter.decode_account_check(answer.status, answer.body) == ""
