"""Fills whose fee the private stream does not tell: asked for until each is known, one question for many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import Unanswered
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import ExecutionReport, Fill, NewOrder, OrderState, OrderType
from engine.router.order import Change, Order
from engine.supervisor import missing_fees
from engine.supervisor.missing_fees import MissingFees
from engine.transport.http import HttpResponse
from engine.venues.base import Credentials, Secret
from engine.venues.kucoin.adapter import KucoinTrading
from engine.venues.kucoin.endpoints import LIVE
from engine.venues.kucoin.instruments import decode_listing

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "kucoin"
LISTING = (GOLDEN / "http_instruments_spot.json").read_bytes()
FILLS = (GOLDEN / "http_fills_spot.json").read_bytes()
ORDER_ID = "6717422bd51c29000775ea03"


class Desk:
    """What the trading desk gives: orders, and a venue that answers as it is told."""

    def __init__(self) -> None:
        known = {each.symbol: each for each in decode_listing(Product.SPOT, LISTING).instruments}
        self.btc: Instrument = known["BTC-USDT"]
        keys = Credentials(Secret("k"), Secret("s"), Secret("p"))
        adapter = KucoinTrading(Product.SPOT, LIVE[Product.SPOT], keys, known)
        self.answers: list[bytes | Exception] = []
        self.asked = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.orders: dict[str, Order] = {}
        self.fees = MissingFees(
            adapter, {"BTC/USDT": self.btc}, self._ask, lambda: 1, self._report, self._spawn
        )

    async def _ask(self, request: Any) -> list[HttpResponse]:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else FILLS
        if isinstance(answer, Exception):
            raise answer
        return [HttpResponse(200, b"", answer, 0, 0, 0)]

    def _spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    def _report(self, report: ExecutionReport) -> None:
        for order in self.orders.values():
            if order.venue_order_id == report.venue_order_id:
                order.on_report(report)

    def filled(self, name: str, trade_id: str, venue_id: str = ORDER_ID) -> Order:
        """Tell a fill as the private stream tells it: without a fee."""
        btc = self.btc
        order = self.orders.get(name)
        if order is None:
            new = NewOrder(
                venue="kucoin", universal="BTC/USDT", client_order_id=name, side=Side.BUY,
                order_type=OrderType.LIMIT, qty=btc.scale_qty(Decimal("0.1")), price=btc.tick_size * 677_176,
            )  # fmt: skip
            order = self.orders[name] = Order(new, 0)
        fill = Fill(
            trade_id=trade_id, price=btc.tick_size * 677_176, qty=btc.scale_qty(Decimal("0.00001")), fee=None,
            fee_asset=None, is_maker=None, venue_utc_ns=1,
        )  # fmt: skip
        report = ExecutionReport(
            venue="kucoin", universal="BTC/USDT", client_order_id=name, venue_order_id=venue_id,
            side=Side.BUY, state=OrderState.WORKING, price=order.price, qty=order.qty, cum_qty=None,
            fill=fill, reason=None, venue_utc_ns=1, recv_mono_ns=1,
        )  # fmt: skip
        change = order.on_report(report)
        assert change is Change.FILLED
        self.fees.heard(order, change)
        return order


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not done():
            await asyncio.sleep(0.001)


@pytest.fixture
async def desk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(missing_fees, "PAUSES_S", (0.001, 0.002, 0.003, 0.004))
    made = Desk()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_the_list_of_fills_completes_what_the_stream_told(desk: Desk) -> None:
    order = desk.filled("a1", "7")
    desk.filled("a1", "12")
    assert desk.fees.waiting == 1
    await until(lambda: all(fill.fee is not None for fill in order.fills))
    await until(lambda: not desk.fees.waiting)
    assert order.fees == {"USDT": Decimal("0.000677176") - Decimal("0.00027")}
    assert len(desk.tasks) == 1
    assert desk.asked == 1


async def test_an_answer_that_fails_or_lags_is_asked_for_again(desk: Desk) -> None:
    empty = b'{"code":"200000","data":{"items":[],"lastId":0}}'
    desk.answers = [Unanswered("deadline"), b"<html>", empty]
    order = desk.filled("a1", "7")
    await until(lambda: order.fills[0].fee is not None)
    assert desk.asked == 4


async def test_a_fill_that_never_shows_is_given_up(desk: Desk) -> None:
    order = desk.filled("a1", "999")
    await until(lambda: not desk.fees.waiting)
    assert order.fills[0].fee is None
    assert desk.asked == 4
    later = desk.filled("a2", "7")  # and the next fill is asked for
    await until(lambda: later.fills[0].fee is not None)


async def test_fills_that_have_their_fee_are_not_asked_for(desk: Desk) -> None:
    order = desk.filled("a1", "7")
    await until(lambda: not desk.fees.waiting)
    asked = desk.asked
    desk.fees.heard(order, Change.FILLED)
    desk.fees.heard(order, Change.MOVED)
    assert desk.fees.waiting == 0
    assert desk.asked == asked
