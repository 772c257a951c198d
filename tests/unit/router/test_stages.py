"""Each stage of an order lands in its own histogram, with the nanoseconds that the clocks say."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import Side
from engine.model.orders import ExecutionReport, Fill, NewOrder, OrderAck, OrderState, OrderType
from engine.model.ports import GatewayReply, ReplyHandler, Sent
from engine.router.router import STAGES, OrderRouter
from engine.telemetry.clock import ManualClock
from engine.telemetry.log import EventLog

UTC_NS = 1_800_000_000_000_000_000
AHEAD_NS = 250_000_000
INSTRUMENT = Instrument(
    venue="v", product=Product.SPOT, symbol="BTCUSDT", universal="BTC/USDT", base="BTC", quote="USDT",
    settle=None, status=InstrumentStatus.TRADING, price_scale=2, qty_scale=2, tick_size=1, lot_size=1,
    market_lot_size=1, price_min=0, price_max=0, qty_min=0, qty_max=0, market_qty_max=0,
    notional_min=Decimal(0), notional_max=Decimal(0),
)  # fmt: skip
NEW = NewOrder(
    venue="v", universal="BTC/USDT", client_order_id="c1", side=Side.BUY, order_type=OrderType.LIMIT, qty=100,
    price=1,
)  # fmt: skip


class Gateway:
    """Takes 3 us to encode and 5 to write; the answer comes when the test says so."""

    transport = "ws"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.done: ReplyHandler | None = None

    def place(self, order: NewOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        self.done = done
        self._clock.advance(3_000)
        encoded = self._clock.mono_ns()
        self._clock.advance(5_000)
        return Sent(encoded, self._clock.mono_ns())

    def cancel(self, *_: Any) -> Sent:
        raise AssertionError("nothing is cancelled here")

    amend = query = cancel


def report(trade_id: str, at_ns: int) -> ExecutionReport:
    fill = Fill(
        trade_id=trade_id, price=1, qty=10, fee=None, fee_asset=None, is_maker=None, venue_utc_ns=UTC_NS
    )
    return ExecutionReport(
        venue="v", universal="BTC/USDT", client_order_id="c1", venue_order_id="1", side=Side.BUY,
        state=OrderState.WORKING, price=1, qty=100, cum_qty=None, fill=fill, reason=None, venue_utc_ns=UTC_NS,
        recv_mono_ns=at_ns,
    )  # fmt: skip


def test_every_stage_is_recorded_once() -> None:
    clock = ManualClock(mono_ns=10**9, utc_ns=UTC_NS)
    gateway = Gateway(clock)
    router = OrderRouter(
        "v", {"ws": gateway}, {"BTC/USDT": INSTRUMENT}, clock, EventLog("critical", "json", io.StringIO()),
        proof_after_ms=5_000, allowed=lambda: "", venue_offset_ns=lambda: AHEAD_NS,
    )  # fmt: skip
    decided = clock.mono_ns()
    clock.advance(1_000)
    order = router.place(NEW, "ws", decided)
    assert (order.transport, order.written_ns - decided) == ("ws", 9_000)
    written_utc_ns = clock.utc_ns()
    clock.advance(2_000_000)
    first = clock.mono_ns()
    clock.advance(7_000)
    taken = OrderAck(
        client_order_id="c1", venue_order_id="1", state=OrderState.WORKING, price=1, qty=100, cum_qty=0,
        cum_quote=None, side=Side.BUY, venue_utc_ns=written_utc_ns + AHEAD_NS + 900_000,
    )  # fmt: skip
    assert gateway.done is not None
    gateway.done(
        GatewayReply(result=taken, first_mono_ns=first, done_mono_ns=clock.mono_ns() - 4_000, unanswered="")
    )
    router.on_report(report("t1", order.written_ns + 3_000_000))
    router.on_report(report("t2", order.written_ns + 8_000_000))
    wanted = {
        "decided_to_encoded": 4_000, "encoded_to_written": 5_000, "decided_to_written": 9_000,
        "round_trip": 2_000_000, "ack_to_updated": 4_000, "written_to_venue": 900_000,
        "written_to_first_fill": 3_000_000,
    }  # fmt: skip
    assert tuple(wanted) == STAGES
    histograms = router.stats.histograms
    assert {key: int(histograms[key].counts().sum()) for key in histograms} == {
        ("ws", "place", each): 1 for each in STAGES
    }
    assert {stage: histograms["ws", "place", stage].max for stage in STAGES} == wanted


def test_a_stamp_that_the_venue_cut_off_is_never_negative() -> None:
    clock = ManualClock(mono_ns=10**9, utc_ns=UTC_NS)
    gateway = Gateway(clock)
    router = OrderRouter(
        "v", {"ws": gateway}, {"BTC/USDT": INSTRUMENT}, clock, EventLog("critical", "json", io.StringIO()),
        proof_after_ms=5_000, allowed=lambda: "",
    )  # fmt: skip
    router.place(NEW, "ws")
    taken = OrderAck(
        client_order_id="c1", venue_order_id="1", state=OrderState.WORKING, price=1, qty=100, cum_qty=0,
        cum_quote=None, side=Side.BUY, venue_utc_ns=UTC_NS - 500_000,
    )  # fmt: skip
    assert gateway.done is not None
    gateway.done(GatewayReply(result=taken, first_mono_ns=1, done_mono_ns=1, unanswered=""))
    assert router.stats.histograms["ws", "place", "written_to_venue"].quantile(1.0) == 0
