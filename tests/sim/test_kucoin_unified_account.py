"""The engine on a unified KuCoin account: orders over both transports, fills, fees, balances, cancel-all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import UsageError
from engine.model.market import Side
from engine.model.orders import OrderState, TimeInForce, VenueError
from engine.router.order import Order
from engine.supervisor import wiring
from tests.sim.engine_rig import PERP, SPOT, Rig, rig, until

ACCOUNT = "carol"
QTY = "0.01"


class Bench:
    """An engine with one product, trading the exchange's unified account."""

    def __init__(self, bench: Rig, universal: str) -> None:
        self.rig = bench
        self.universal = universal
        self.desk = bench.desk(universal)
        self.instrument = bench.venue(universal).instruments[universal]

    def price(self, percent: int) -> str:
        """Return a price in percent of the best bid, on tick."""
        scaled = self.rig.venue(self.universal).books[self.universal].touch()[0] * percent // 100
        return f"{self.instrument.price(scaled - scaled % self.instrument.tick_size):f}"

    def place(self, side: Side, price: str | None, transport: str, **options: Any) -> Order:
        return self.desk.place(self.universal, side, QTY, price, transport=transport, **options)

    async def truth(self, what: str) -> Any:
        return await self.rig.truth(what, account=ACCOUNT)


@pytest.fixture(params=[SPOT, PERP])
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(wiring, "SIM_ACCOUNT", ACCOUNT)
    universal: str = request.param
    async with rig(tmp_path, (universal,), 100, venue_name="kucoin", account="unified") as running:
        yield Bench(running, universal)


async def reached(order: Order, state: OrderState) -> None:
    await until(lambda: order.state is state, what=order)


@pytest.mark.parametrize("transport", ["rest", "ws"])
async def test_an_order_rests_and_is_cancelled(bench: Bench, transport: str) -> None:
    order = bench.place(Side.BUY, bench.price(97), transport)
    await reached(order, OrderState.WORKING)
    (row,) = [row for row in await bench.truth("orders") if row["client_order_id"] == order.client_order_id]
    assert Decimal(row["qty"]) == Decimal(QTY)
    listed = await bench.desk.open_orders(bench.universal)
    assert [each.client_order_id for each in listed] == [order.client_order_id]
    with pytest.raises(UsageError, match="cancel and place"):
        bench.desk.amend(bench.universal, order.client_order_id, price=bench.price(96))
    bench.desk.router.cancel(order.client_order_id, transport)
    await reached(order, OrderState.CANCELLED)
    assert await bench.desk.open_orders(bench.universal) == []


@pytest.mark.parametrize("transport", ["rest", "ws"])
async def test_orders_that_take_know_their_fills_and_fees(bench: Bench, transport: str) -> None:
    bought = bench.place(Side.BUY, bench.price(101), transport)
    await reached(bought, OrderState.FILLED)
    sold = bench.place(Side.SELL, None, transport)
    await reached(sold, OrderState.FILLED)
    for order in (bought, sold):
        await until(lambda order=order: sum(fill.qty for fill in order.fills) == order.cum_qty, what=order)  # type: ignore[misc]
        await until(lambda order=order: all(fill.fee is not None for fill in order.fills), what=order.fills)  # type: ignore[misc]
        rows = [row for row in await bench.truth("fills") if row["client_order_id"] == order.client_order_id]
        assert sum(Decimal(row["qty"]) for row in rows) == bench.instrument.qty(order.cum_qty)
        paid = sum((Decimal(row["fee"]) for row in rows), Decimal(0))
        assert abs(paid - sum(order.fees.values(), Decimal(0))) <= len(rows) * Decimal("1e-8")
    assert bench.desk.router.stats.counts.get("contradictions", 0) == 0


async def test_time_in_force_and_refusals(bench: Bench) -> None:
    late = bench.place(Side.BUY, bench.price(97), "rest", time_in_force=TimeInForce.IOC)
    await until(lambda: late.state.is_final, what=late)
    assert (late.state, late.cum_qty) == (OrderState.EXPIRED, 0)
    if bench.universal == SPOT:
        huge = bench.desk.place(SPOT, Side.BUY, "5000", bench.price(97), transport="rest")
        await until(lambda: huge.state is not OrderState.PENDING_NEW, what=huge)
        assert huge.state is OrderState.REJECTED
        assert huge.reason.startswith("insufficient_funds"), huge.reason


async def test_cancel_all_balances_and_positions(bench: Bench) -> None:
    orders = [bench.place(Side.BUY, bench.price(percent), "rest") for percent in (97, 96)]
    for order in orders:
        await reached(order, OrderState.WORKING)
    await bench.rig.engine.handle("cancel", {"exchange": "kucoin", "pair": bench.universal, "all": True})
    for order in orders:
        await reached(order, OrderState.CANCELLED)
    bought = bench.place(Side.BUY, bench.price(101), "rest")
    await reached(bought, OrderState.FILLED)
    await bench.desk.refresh()
    assert bench.desk.balances["USDT"].free > 0
    if bench.universal == PERP:
        assert bench.desk.positions[PERP].position_qty == Decimal(QTY)


async def test_the_account_check_tells_the_two_kinds_apart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = bench.desk.adapter
    request = adapter.account_check_http(bench.desk.venue_clock.stamp_ms())
    assert request is not None
    answer = await bench.desk.pool.request(request, 5.0)
    assert adapter.decode_account_check(answer.status, answer.body) == ""
    monkeypatch.setattr(wiring, "SIM_ACCOUNT", "alice")  # a classic account
    config = bench.rig.engine.config
    keys = wiring.credentials_for("kucoin", config)
    assert keys is not None
    stranger = wiring.trading_adapter(
        "kucoin", adapter.product, bench.desk.market.endpoints, keys, {}, config.venues["kucoin"]
    )
    request = stranger.account_check_http(bench.desk.venue_clock.stamp_ms())
    assert request is not None
    answer = await bench.desk.pool.request(request, 5.0)
    told = stranger.decode_account_check(answer.status, answer.body)
    assert not isinstance(told, VenueError)
    assert 'account = "classic"' in told
