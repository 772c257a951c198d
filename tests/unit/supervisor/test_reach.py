"""When an account counts as stranded, and how old what is shown of it is."""

from __future__ import annotations

import asyncio
import io
from decimal import Decimal
from typing import Any

import pytest

import engine.supervisor.reach as reach_module
from engine.model.account import Balance, Position
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import Side
from engine.model.orders import NewOrder, OrderState, OrderType
from engine.router.order import Order
from engine.supervisor.reach import AccountReach
from engine.telemetry.log import EventLog
from tests.unit.transport.test_reconnect import HandClock

BTC = Instrument(
    venue="v", product=Product.PERP, symbol="BTC", universal="BTC/USDT:USDT", base="BTC", quote="USDT",
    settle="USDT", status=InstrumentStatus.TRADING, price_scale=1, qty_scale=3, tick_size=1, lot_size=1,
    market_lot_size=1, price_min=0, price_max=0, qty_min=1, qty_max=0, market_qty_max=0,
    notional_min=Decimal(0), notional_max=Decimal(0),
)  # fmt: skip


class Bench:
    def __init__(self, stranded_after_ms: int = 60_000) -> None:
        self.clock = HandClock()
        self.is_up = True
        self.asked = 0
        self.answers = False
        self._log = EventLog("info", "json", io.StringIO())
        self.reach = AccountReach(
            ("v", "perp"), self.clock, self._log,
            stranded_after_ms=stranded_after_ms, is_up=lambda: self.is_up,
            down_reason=lambda: "HTTP 503", ask=self._ask,
        )  # fmt: skip
        self.orders: list[Order] = []

    async def _ask(self) -> None:
        self.asked += 1
        if self.answers:
            self.reach.told("balance", ("USDT",))

    def order(self, state: OrderState, universal: str = BTC.universal) -> Order:
        new = NewOrder(
            venue="v", universal=universal, client_order_id=f"o{len(self.orders)}", side=Side.SELL,
            order_type=OrderType.LIMIT, qty=1_500, price=10,
        )  # fmt: skip
        made = Order(new, self.clock.mono_ns())
        made.state = state
        self.orders.append(made)
        return made

    def view(self) -> dict[str, Any] | None:
        positions = {
            name: Position("v", name, Decimal(qty), Decimal(9), None, None, None, None, None)
            for name, qty in ((BTC.universal, "-0.5"), ("FLAT/USDT:USDT", "0"))
        }
        balances = {
            asset: Balance("v", "perp", asset, Decimal(free), Decimal(locked), None)
            for asset, free, locked in (("USDT", "7", "0"), ("BTC", "0", "1"), ("DUST", "0", "0"))
        }
        return self.reach.view(balances, positions, self.orders, {BTC.universal: BTC})

    @property
    def log(self) -> dict[str, int]:
        return dict(self._log.counts)


def test_an_account_that_is_up_is_never_stranded() -> None:
    bench = Bench()
    bench.clock.now_ms += 10_000_000
    bench.reach.judge()
    assert (bench.view(), bench.reach.silent_s, bench.log) == (None, 0.0, {})


def test_silence_strands_after_its_time_and_not_before() -> None:
    bench = Bench()
    bench.reach.judge()
    bench.is_up = False
    bench.clock.now_ms += 60_000
    bench.reach.judge()
    assert bench.view() is None
    bench.clock.now_ms += 1
    bench.reach.judge()
    bench.reach.judge()
    assert bench.reach.is_stranded
    assert bench.log == {"account.stranded": 1}
    bench.is_up = True
    bench.reach.judge()
    assert bench.view() is None
    assert bench.log == {"account.stranded": 1, "account.reached": 1}


def test_everything_is_shown_with_its_own_age() -> None:
    bench = Bench()
    working = bench.order(OrderState.WORKING)
    bench.order(OrderState.CANCELLED)
    bench.order(OrderState.IN_DOUBT)
    bench.order(OrderState.WORKING, "GONE/USDT:USDT")
    bench.reach.told("position", (BTC.universal,))
    bench.clock.now_ms += 5_000
    bench.reach.told("balance", ("USDT",))
    bench.is_up = False
    bench.clock.now_ms += 61_000
    working.updated_ns = bench.clock.mono_ns() - 2_000_000_000
    bench.reach.judge()
    assert bench.view() == {
        "silent_s": 61.0,
        "reason": "HTTP 503",
        "positions": {BTC.universal: {"qty": "-0.5", "entry_price": "9", "age_s": 66.0}},
        "balances": {
            "USDT": {"free": "7", "locked": "0", "age_s": 61.0},
            "BTC": {"free": "0", "locked": "1", "age_s": None},  # nobody told it in this run
        },
        "orders": [
            {
                "client_order_id": "o0", "pair": BTC.universal, "side": "sell", "state": "working",
                "leaves_qty": "1.5", "age_s": 2.0,
            },
            {
                "client_order_id": "o2", "pair": BTC.universal, "side": "sell", "state": "in_doubt",
                "leaves_qty": "1.5", "age_s": 66.0,
            },
        ],
    }  # fmt: skip


@pytest.mark.parametrize("answers", [True, False])
async def test_an_account_without_its_stream_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setattr(reach_module, "WATCH_S", 0.0)
    bench = Bench(9_000)  # asked for every 3 s
    bench.is_up, bench.answers = False, answers
    task = asyncio.get_running_loop().create_task(bench.reach.watch())
    try:
        for number in range(5):
            bench.clock.now_ms += 3_000
            async with asyncio.timeout(10):
                while bench.asked <= number:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert bench.asked == 5
        assert bench.reach.is_stranded is not answers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
