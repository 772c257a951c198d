"""Amends: the table of moves, terms in whatever order they are told, and what the router sends and asks."""

from __future__ import annotations

import io
import itertools
import json
from decimal import Decimal

import msgspec
import pytest

from engine.model.errors import NotSent, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import Side
from engine.model.orders import (
    AmendOrder,
    ExecutionReport,
    Fill,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    Retry,
    VenueError,
)
from engine.model.ports import GatewayReply, ReplyHandler, Sent
from engine.router.order import AMEND_MOVES, AmendState, Change, Order
from engine.router.router import NOT_FOUND_INTERVAL_NS, OrderRouter
from engine.router.rows import order_row
from engine.telemetry.clock import ManualClock
from engine.telemetry.log import EventLog

S, A = OrderState, AmendState
MS = 1_000_000
DEADLINE_NS = 1_000
INSTRUMENT = Instrument(
    venue="v", product=Product.SPOT, symbol="BTCUSDT", universal="BTC/USDT", base="BTC", quote="USDT",
    settle=None, status=InstrumentStatus.TRADING, price_scale=2, qty_scale=2, tick_size=1, lot_size=1,
    market_lot_size=1, price_min=0, price_max=0, qty_min=0, qty_max=0, market_qty_max=0,
    notional_min=Decimal(0), notional_max=Decimal(0),
)  # fmt: skip
NEW = NewOrder(
    venue="v", universal="BTC/USDT", client_order_id="c1", side=Side.BUY, order_type=OrderType.LIMIT, qty=100,
    price=50,
)  # fmt: skip


def ack(
    price: int,
    qty: int,
    ms: int | None,
    cum_qty: int = 0,
    state: OrderState = S.WORKING,
    venue_id: str = "v1",
) -> OrderAck:
    return OrderAck(
        client_order_id="c1", venue_order_id=venue_id, state=state, price=price, qty=qty, cum_qty=cum_qty,
        cum_quote=None, side=Side.BUY, venue_utc_ns=None if ms is None else ms * MS,
    )  # fmt: skip


def report(
    price: int, qty: int, ms: int, cum_qty: int | None = 0, state: OrderState = S.WORKING,
    venue_id: str = "v1", amended: bool | None = None, fill: Fill | None = None,
) -> ExecutionReport:  # fmt: skip
    return ExecutionReport(
        venue="v", universal="BTC/USDT", client_order_id="c1", venue_order_id=venue_id, side=Side.BUY,
        state=state, price=price, qty=qty, cum_qty=cum_qty, fill=fill, reason=None, venue_utc_ns=ms * MS,
        recv_mono_ns=1, amended=amended,
    )  # fmt: skip


def fill(trade_id: str, qty: int) -> Fill:
    return Fill(trade_id=trade_id, price=50, qty=qty, fee=None, fee_asset=None, is_maker=None, venue_utc_ns=1)


def error(outcome: Outcome, reason: RejectReason = RejectReason.PRICE_FILTER) -> VenueError:
    return VenueError("-1", "text", outcome, reason, Retry.NEVER)


def working() -> Order:
    """Return an order of 100 at 50 that works since the venue's millisecond 10."""
    order = Order(NEW, 1)
    order.on_report(report(50, 100, 10))
    assert order.state is S.WORKING
    return order


def amended(qty: int = 150, price: int = 60) -> Order:
    """Return that order with an amend on its way; its deadline is ``DEADLINE_NS``."""
    order = working()
    order.on_amend_sent(qty, price, 5, DEADLINE_NS)
    return order


def state(order: Order) -> OrderState:
    """Ask anew: a type checker believes that what it has seen asserted stays so."""
    return order.state


def terms(order: Order) -> tuple[int, int, AmendState]:
    return order.price, order.qty, order.amend_state


@pytest.mark.parametrize(("start", "end"), list(itertools.product(A, A)))
def test_every_move_of_the_table_and_of_its_complement(start: AmendState, end: AmendState) -> None:
    order = working()
    order.amend_state = start
    if end in AMEND_MOVES[start]:
        assert order.move_amend(end, "why")
        assert (order.amend_state, order.amend_reason) == (end, "why")
    else:
        assert not order.move_amend(end, "why")
        assert (order.amend_state, order.amend_reason) == (start, "")


def test_the_table_is_whole() -> None:
    assert set(AMEND_MOVES) == set(A)
    assert all(ends and all(ends.values()) and start not in ends for start, ends in AMEND_MOVES.items())


def test_the_old_terms_work_until_the_venue_has_answered() -> None:
    order = amended()
    assert terms(order) == (50, 100, A.SENT)
    assert order.leaves_qty == 150, "what may still be filled, at worst"
    assert order.on_amend_ack(ack(60, 150, 20), 1) is Change.AMENDED
    assert terms(order) == (60, 150, A.NONE)
    assert (order.leaves_qty, order.amend_reason) == (150, "")


def test_a_smaller_amend_does_not_shrink_what_may_be_filled_before_it_is_proven() -> None:
    order = amended(qty=20)
    assert order.leaves_qty == 100
    order.on_amend_ack(ack(60, 20, 20), 1)
    assert order.leaves_qty == 20


def test_an_answer_of_ids_alone_proves_no_terms() -> None:
    order = amended()
    assert order.on_amend_ack(ack(0, 0, 20), 1) is Change.AMENDED
    assert terms(order) == (50, 100, A.ACCEPTED)
    assert order.is_amend_unproven
    assert order.on_report(report(60, 150, 21, amended=True)) is Change.AMENDED
    assert terms(order) == (60, 150, A.NONE)


def test_what_was_accepted_may_fail_afterwards() -> None:
    order = amended()
    order.on_amend_ack(ack(0, 0, 20), 1)
    order.on_report(report(50, 100, 21, amended=False))
    assert terms(order) == (50, 100, A.NONE)
    assert order.amend_reason


def test_the_failure_of_an_earlier_amend_says_nothing_of_this_one() -> None:
    order = amended()
    order.on_amend_ack(ack(60, 150, 20), 1)
    order.on_amend_sent(170, 60, 5, DEADLINE_NS)
    order.on_report(report(50, 100, 15, amended=False))
    assert terms(order) == (60, 150, A.SENT)


def test_a_stale_report_undoes_nothing() -> None:
    order = amended()
    order.on_amend_ack(ack(60, 150, 20), 1)
    for ms in (10, 15, 19):
        order.on_report(report(50, 100, ms))
        assert terms(order) == (60, 150, A.NONE)
    assert order.on_report(report(50, 100, 21)) is Change.AMENDED, "somebody else changed it back"
    assert terms(order) == (50, 100, A.NONE)


def test_a_report_of_the_same_millisecond_shows_the_open_amend_or_nothing() -> None:
    order = amended()
    order.on_report(report(60, 150, 10))
    assert terms(order) == (60, 150, A.NONE)
    order.on_report(report(50, 100, 10))
    assert terms(order) == (60, 150, A.NONE)
    asked = order.terms_number
    order.on_query(ack(50, 100, 10), asked - 1, 1, 1)
    assert terms(order) == (60, 150, A.NONE), "asked before the terms were known"
    order.on_query(ack(50, 100, 10), asked, 1, 1)
    assert terms(order) == (50, 100, A.NONE), "asked since: the answer is younger"


def test_a_report_overtakes_the_answer() -> None:
    order = amended()
    order.on_report(report(60, 150, 20, amended=True))
    assert terms(order) == (60, 150, A.NONE)
    assert order.on_amend_ack(ack(60, 150, 20), 1) is Change.NOTHING


@pytest.mark.parametrize("evidence", [report(0, 150, 20), report(60, 0, 20), report(60, 150, 0)])
def test_terms_that_are_not_told_whole_teach_nothing(evidence: ExecutionReport) -> None:
    order = amended()
    order.on_report(evidence)
    assert terms(order) == (50, 100, A.SENT)


def test_a_refused_amend_leaves_the_old_terms() -> None:
    order = amended()
    assert order.on_amend_error(error(Outcome.REFUSED), 1) is Change.AMENDED
    assert terms(order) == (50, 100, A.NONE)
    assert order.leaves_qty == 100
    assert order.amend_reason.startswith("price_filter")


def test_an_unanswered_amend_is_proven_by_queries_alone() -> None:
    order = amended()
    assert order.on_amend_unanswered("deadline", 1) is Change.AMENDED
    assert terms(order) == (50, 100, A.UNKNOWN)
    assert order.leaves_qty == 150
    for asked_ns in (10, 500, DEADLINE_NS - 1):
        order.on_query(ack(50, 100, 10), order.terms_number, asked_ns, 100)
        assert terms(order) == (50, 100, A.UNKNOWN), "the amend may still arrive there"
    order.on_query(ack(50, 100, 10), order.terms_number, DEADLINE_NS, 100)
    order.on_query(ack(50, 100, 10), order.terms_number, DEADLINE_NS + 99, 100)
    assert terms(order) == (50, 100, A.UNKNOWN), "once is not enough"
    assert order.on_query(ack(50, 100, 10), order.terms_number, DEADLINE_NS + 100, 100) is Change.AMENDED
    assert terms(order) == (50, 100, A.NONE)
    assert order.amend_reason == "it did not take effect"


def test_an_unanswered_amend_that_happened_is_seen_in_a_query() -> None:
    order = amended()
    order.on_amend_unanswered("deadline", 1)
    assert order.on_query(ack(60, 150, 20), order.terms_number, 6, 100) is Change.AMENDED
    assert terms(order) == (60, 150, A.NONE)


def test_the_late_answer_of_one_amend_does_not_settle_the_next() -> None:
    order = amended()
    order.on_amend_unanswered("deadline", 1)
    order.on_report(report(60, 150, 20))
    order.on_amend_sent(200, 70, 6, DEADLINE_NS)
    order.on_amend_error(error(Outcome.REFUSED), 1)
    assert terms(order) == (60, 150, A.SENT)
    order.on_amend_ack(ack(60, 150, 20), 1)
    assert terms(order) == (60, 150, A.SENT)
    order.on_amend_unanswered("deadline", 1)
    assert terms(order) == (60, 150, A.SENT)


def test_an_order_that_may_have_grown_is_not_taken_for_filled() -> None:
    order = amended()
    order.on_report(report(0, 0, 11, None, fill=fill("t1", 100)))
    assert (order.state, order.cum_qty, order.is_overfilled) == (S.WORKING, 100, False)
    order.on_report(report(0, 0, 12, None, fill=fill("t2", 30)))
    assert (order.state, order.cum_qty, order.is_overfilled) == (S.WORKING, 130, False)
    order.on_amend_ack(ack(60, 150, 20, 130), 1)
    assert (order.state, order.leaves_qty) == (S.WORKING, 20)


def test_a_refused_amend_finishes_an_order_that_was_filled_meanwhile() -> None:
    order = amended()
    order.on_report(report(0, 0, 11, None, fill=fill("t1", 100)))
    assert order.on_amend_error(error(Outcome.REFUSED), 1) is Change.MOVED
    assert (order.state, order.amend_state) == (S.FILLED, A.NONE)


def test_fills_before_a_smaller_quantity_took_effect_are_no_overfill() -> None:
    order = amended(qty=40)
    order.on_amend_ack(ack(60, 40, 20, 70, S.CANCELLED), 1)
    assert (order.state, order.cum_qty, order.is_overfilled) == (S.CANCELLED, 70, False)
    again = amended(qty=40)
    again.on_report(report(60, 40, 20, 70, S.FILLED))
    assert (again.state, again.cum_qty, again.is_overfilled) == (S.FILLED, 70, False)


def test_fills_beyond_the_smaller_quantity_are_an_overfill() -> None:
    order = amended(qty=40)
    order.on_amend_ack(ack(60, 40, 20, 30), 1)
    order.on_report(report(0, 0, 30, None, fill=fill("t1", 60)))
    assert order.is_overfilled


def test_the_end_of_the_order_closes_its_amend() -> None:
    order = amended()
    assert order.on_report(report(50, 100, 20, 30, S.CANCELLED)) is Change.MOVED
    assert (order.state, order.amend_state, order.leaves_qty) == (S.CANCELLED, A.NONE, 0)
    assert order.on_amend_error(error(Outcome.REFUSED, RejectReason.UNKNOWN_ORDER), 1) is Change.NOTHING


def test_a_quantity_that_was_cut_to_what_was_filled_is_no_fill_of_all() -> None:
    order = working()
    order.on_report(report(50, 30, 20, 30, S.CANCELLED))
    assert (order.state, order.qty, order.cum_qty) == (S.CANCELLED, 100, 30)


@pytest.mark.parametrize("names", list(itertools.permutations(["old end", "new", "ack"])))
def test_a_new_venue_id_is_the_same_order_in_whatever_order_it_is_told(names: tuple[str, ...]) -> None:
    order = amended()
    order.renames = True
    told = {
        "old end": lambda: order.on_report(report(50, 100, 20, 0, S.CANCELLED)),
        "new": lambda: order.on_report(report(60, 150, 20, venue_id="v2")),
        "ack": lambda: order.on_amend_ack(ack(0, 0, 20, venue_id="v2"), 1),
    }
    for name in names:
        assert told[name]() is not Change.CONTRADICTION
    assert (order.state, *terms(order)) == (S.WORKING, 60, 150, A.NONE)
    assert (order.venue_order_id, order.replaced_ids, order.contradictions) == ("v2", ("v1",), 0)
    order.on_report(report(60, 150, 30, 150, S.FILLED, "v2", fill=fill("t1", 150)))
    assert order.state is S.FILLED


def test_a_foreign_venue_id_stays_a_contradiction_where_ids_survive() -> None:
    order = amended()
    assert order.on_amend_ack(ack(60, 150, 20, venue_id="v2"), 1) is Change.CONTRADICTION
    assert terms(order) == (50, 100, A.SENT)


# -------------------------------------------------------------------------------------------- router


class Gateway:
    """Implements ``ports.OrderGateway``: keeps what was sent."""

    transport = "rest"

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.is_down = False
        self.sent: list[tuple[str, object, ReplyHandler]] = []

    def _take(self, action: str, what: object, done: ReplyHandler) -> Sent:
        if self.is_down:
            raise NotSent("down")
        self.sent.append((action, what, done))
        self._clock.advance(3_000)
        encoded = self._clock.mono_ns()
        self._clock.advance(5_000)
        return Sent(encoded, self._clock.mono_ns())

    def place(self, order: NewOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        return self._take("place", order, done)

    def amend(self, amend: AmendOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        return self._take("amend", amend, done)

    def cancel(self, instrument: Instrument, client_order_id: str, venue_id: str, done: ReplyHandler) -> Sent:
        return self._take("cancel", venue_id, done)

    def query(self, instrument: Instrument, client_order_id: str, venue_id: str, done: ReplyHandler) -> Sent:
        return self._take("query", venue_id, done)


class Bench:
    """A router with one working order of 100 at 50."""

    def __init__(self, renames: bool = False) -> None:
        self.clock = ManualClock(mono_ns=10**9, utc_ns=10**18)
        self.gateway = Gateway(self.clock)
        self.stream = io.StringIO()
        self.log = EventLog("info", "json", self.stream)
        self.consent = ""
        self.router = OrderRouter(
            "v", {"rest": self.gateway}, {"BTC/USDT": INSTRUMENT}, self.clock,
            self.log, proof_after_ms=5_000, allowed=lambda: self.consent,
            renames=renames,
        )  # fmt: skip
        self.order = self.router.place(NEW)
        self.answer(ack(50, 100, 10))
        assert self.order.state is S.WORKING

    def answer(self, result: OrderAck | VenueError | None, index: int = -1) -> None:
        now = self.clock.mono_ns() if result is not None else 0
        why = "" if result is not None else "deadline"
        done = self.gateway.sent[index][2]
        done(GatewayReply(result=result, unanswered=why, first_mono_ns=now, done_mono_ns=now))

    def ask(self) -> None:
        for client_order_id in self.router._doubts:
            self.router._query(self.router.orders[client_order_id])

    def logged(self) -> list[str]:
        self.log.flush()
        return [json.loads(line)["event"] for line in self.stream.getvalue().splitlines()]

    def actions(self) -> list[str]:
        return [action for action, _, _ in self.gateway.sent]


def test_the_average_price_is_told_once_every_counted_fill_is_known() -> None:
    bench = Bench()
    bench.router.on_report(report(50, 100, 2, cum_qty=30, fill=fill("t1", 10)))
    assert order_row(bench.order, INSTRUMENT)["average_price"] is None, "20 more were counted"
    bench.router.on_report(
        report(50, 100, 3, cum_qty=30, fill=msgspec.structs.replace(fill("t2", 20), price=47))
    )
    assert order_row(bench.order, INSTRUMENT)["average_price"] == "0.48"


def test_the_router_sends_whole_terms_and_measures_every_stage() -> None:
    bench = Bench()
    bench.router.amend("c1", qty=150)
    assert bench.gateway.sent[-1][1] == AmendOrder(
        venue="v", universal="BTC/USDT", client_order_id="c1", venue_order_id="v1", side=Side.BUY, qty=150,
        price=50, known_qty=100, known_price=50,
    )  # fmt: skip
    row = order_row(bench.order, INSTRUMENT)
    assert (row["qty"], row["amend"]) == (
        "1", {"state": "sent", "reason": None, "qty": "1.5", "price": "0.5"},
    )  # fmt: skip
    bench.clock.advance(2_000_000)
    bench.answer(ack(50, 150, 20))
    row = order_row(bench.order, INSTRUMENT)
    assert (row["qty"], row["amend"]) == ("1.5", {"state": "none", "reason": None})
    stages = {
        stage: each for (_, action, stage), each in bench.router.stats.histograms.items() if action == "amend"
    }
    assert {stage: each.max for stage, each in stages.items()} == {
        "decided_to_encoded": 3_000, "encoded_to_written": 5_000, "decided_to_written": 8_000,
        "round_trip": 2_000_000, "ack_to_updated": 0,
    }  # fmt: skip
    assert bench.actions() == ["place", "amend"]
    assert list(bench.router._doubts) == []


@pytest.mark.parametrize(
    ("qty", "price", "match"),
    [(40, None, "cancel it instead"), (39, None, "cancel it instead"), (100, 50, "already"),
     (None, None, "already"), (0, None, "positive"), (None, -1, "positive")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_locally(qty: int | None, price: int | None, match: str) -> None:
    bench = Bench()
    bench.router.on_report(report(50, 100, 12, 40, fill=fill("t1", 40)))
    with pytest.raises(UsageError, match=match):
        bench.router.amend("c1", qty, price)
    assert bench.actions() == ["place"]


def test_one_amend_at_a_time_and_none_while_a_cancel_is_under_way() -> None:
    bench = Bench()
    bench.router.amend("c1", qty=150)
    with pytest.raises(UsageError, match="one at a time"):
        bench.router.amend("c1", qty=160)
    bench.answer(ack(50, 150, 20))
    bench.router.cancel("c1")
    with pytest.raises(UsageError, match="pending_cancel"):
        bench.router.amend("c1", qty=160)
    assert bench.actions() == ["place", "amend", "cancel"]
    with pytest.raises(UsageError, match="no order"):
        bench.router.amend("c2", qty=160)


def test_consent_and_pauses_hold_amends_back_too() -> None:
    bench = Bench()
    bench.consent = "live orders are off"
    with pytest.raises(UsageError, match="live orders are off"):
        bench.router.amend("c1", qty=150)
    bench.consent = ""
    bench.router.paused["BTC/USDT"] = "a test says so"
    with pytest.raises(UsageError, match="paused"):
        bench.router.amend("c1", qty=150)
    assert bench.actions() == ["place"]


def test_an_amend_that_did_not_leave_changes_nothing() -> None:
    bench = Bench()
    bench.gateway.is_down = True
    order = bench.router.amend("c1", qty=150)
    assert (*terms(order), order.amend_reason) == (50, 100, A.NONE, "not sent: down")
    bench.gateway.is_down = False
    bench.router.amend("c1", qty=150)
    assert terms(order) == (50, 100, A.SENT)


def test_an_unanswered_amend_is_asked_for_and_never_sent_again() -> None:
    bench = Bench()
    bench.router.amend("c1", qty=150)
    bench.answer(None)
    assert terms(bench.order) == (50, 100, A.UNKNOWN)
    bench.ask()
    bench.answer(ack(50, 100, 10))
    assert list(bench.router._doubts) == ["c1"], "it may still arrive"
    bench.router.on_report(report(50, 100, 15, 10, fill=fill("t1", 10)))
    assert list(bench.router._doubts) == ["c1"], "a fill tells nothing of the amend"
    bench.ask()
    bench.answer(ack(50, 150, 20, 10))
    assert terms(bench.order) == (50, 150, A.NONE)
    assert list(bench.router._doubts) == []
    assert bench.logged() == ["order.in_doubt", "order.resolved"]
    assert bench.actions() == ["place", "amend", "query", "query"]


def test_a_doubt_is_told_although_the_order_is_asked_for_already() -> None:
    bench = Bench()
    bench.router.amend("c1", qty=150)
    bench.router.reconcile()
    bench.answer(None)
    bench.answer(None, index=1)
    assert bench.router.stats.counts["amends_in_doubt"] == 1
    assert bench.logged() == ["order.in_doubt"]


def test_an_amend_without_effect_is_proven_after_its_deadline() -> None:
    bench = Bench()
    bench.router.amend("c1", qty=150)
    bench.answer(None)
    for _ in range(4):
        bench.ask()
        bench.answer(ack(50, 100, 10))
    assert bench.order.amend_state is A.UNKNOWN
    bench.clock.advance(6_001 * MS)
    for _ in range(2):
        bench.ask()
        bench.answer(ack(50, 100, 10))
        bench.clock.advance(NOT_FOUND_INTERVAL_NS)
    assert terms(bench.order) == (50, 100, A.NONE)
    assert list(bench.router._doubts) == []


@pytest.mark.parametrize("reason", [RejectReason.UNKNOWN_ORDER, RejectReason.NO_CHANGE])
def test_a_refusal_that_contradicts_what_is_known_is_looked_into(reason: RejectReason) -> None:
    bench = Bench()
    bench.router.amend("c1", qty=150)
    bench.answer(error(Outcome.REFUSED, reason))
    assert terms(bench.order) == (50, 100, A.NONE)
    assert list(bench.router._doubts) == ["c1"]
    bench.ask()
    bench.answer(ack(50, 100, 30, 100, S.FILLED))
    assert bench.order.state is S.FILLED
    assert list(bench.router._doubts) == []


def test_a_plain_refusal_needs_no_question() -> None:
    bench = Bench()
    bench.router.amend("c1", price=60)
    bench.answer(error(Outcome.REFUSED))
    assert list(bench.router._doubts) == []


def test_an_accepted_amend_waits_for_its_report_before_anybody_asks() -> None:
    bench = Bench()
    bench.router.amend("c1", price=60)
    bench.answer(ack(0, 0, 20))
    assert list(bench.router._doubts) == ["c1"]
    bench.router.on_report(report(60, 100, 20, amended=True))
    assert terms(bench.order) == (60, 100, A.NONE)
    assert list(bench.router._doubts) == []
    assert bench.logged() == []


def test_a_renamed_order_is_asked_for_by_our_own_id_and_found_by_either_of_theirs() -> None:
    bench = Bench(renames=True)
    bench.router.amend("c1", price=60)
    bench.answer(None)
    bench.ask()
    assert bench.gateway.sent[-1][:2] == ("query", ""), "the old id names what was replaced"
    bench.answer(ack(60, 100, 20, venue_id="v2"))
    assert (bench.order.venue_order_id, *terms(bench.order)) == ("v2", 60, 100, A.NONE)
    for venue_id, trade_id in (("v1", "t1"), ("v2", "t2")):
        nameless = report(0, 0, 30, None, venue_id=venue_id, fill=fill(trade_id, 10))
        bench.router.on_report(msgspec.structs.replace(nameless, client_order_id=""))
    assert bench.order.cum_qty == 20
    assert bench.order.contradictions == 0


def test_a_refused_amend_is_looked_into_where_the_end_of_the_order_may_have_been_passed_over() -> None:
    bench = Bench(renames=True)
    bench.router.amend("c1", price=60)
    bench.router.on_report(report(50, 100, 20, 0, S.CANCELLED))
    assert state(bench.order) is S.WORKING, "it may be no more than the end of the old id"
    bench.answer(error(Outcome.REFUSED))
    assert list(bench.router._doubts) == ["c1"]
    bench.ask()
    bench.answer(ack(50, 100, 20, 0, S.CANCELLED))
    assert state(bench.order) is S.CANCELLED


def test_a_cancel_that_had_no_effect_is_told_also_when_the_terms_are_new() -> None:
    bench = Bench()
    bench.router.cancel("c1")
    bench.answer(None)
    bench.ask()
    bench.answer(ack(60, 100, 20))
    assert (bench.order.state, *terms(bench.order)) == (S.WORKING, 60, 100, A.NONE)


def test_an_open_circuit_holds_amends_back() -> None:
    bench = Bench()
    while not bench.router.breaker.is_open:
        bench.router.breaker.failed()
    order = bench.router.amend("c1", qty=150)
    assert (order.amend_state, bench.actions()) == (A.NONE, ["place"])
    assert "circuit" in order.amend_reason
