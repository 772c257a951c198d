"""Any order of answers, losses, fills, amends, repeats and queries: the router ends up with the truth.

The venue is a few lines of bookkeeping; what the router is told of it is late, twice, out of order or not at
all, as hypothesis likes. tests/sim has the same against the simulated exchange, over sockets.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
from engine.router.order import MOVES, AmendState, Change, Order
from engine.router.router import NOT_FOUND_INTERVAL_NS, OrderRouter
from engine.telemetry.clock import ManualClock
from engine.telemetry.log import EventLog

S = OrderState
UNIVERSAL = "BTC/USDT"
QTY = 100
VALIDITY_MS = 5_000
LOG = EventLog("critical", "json", io.StringIO())
INSTRUMENT = Instrument(
    venue="v", product=Product.SPOT, symbol="BTCUSDT", universal=UNIVERSAL, base="BTC", quote="USDT",
    settle=None, status=InstrumentStatus.TRADING, price_scale=2, qty_scale=2, tick_size=1, lot_size=1,
    market_lot_size=1, price_min=0, price_max=0, qty_min=0, qty_max=0, market_qty_max=0,
    notional_min=Decimal(0), notional_max=Decimal(0),
)  # fmt: skip
NOT_THERE = VenueError("-2013", "no such order", Outcome.REFUSED, RejectReason.UNKNOWN_ORDER, Retry.READ)
REFUSED = VenueError("-2010", "no funds", Outcome.REFUSED, RejectReason.INSUFFICIENT_FUNDS, Retry.NEVER)
UNKNOWN = VenueError("-1007", "timeout", Outcome.UNKNOWN, RejectReason.OTHER, Retry.NEVER)


BAD_PRICE = VenueError("-4014", "off tick", Outcome.REFUSED, RejectReason.PRICE_FILTER, Retry.NEVER)
TOO_LATE = VenueError("-1021", "outside", Outcome.REFUSED, RejectReason.CLOCK, Retry.RESIGN)


class Truth:
    """One order at the venue; ``state`` is None until the venue has seen it."""

    def __init__(self, new: NewOrder) -> None:
        self.id = new.client_order_id
        self.venue_id = f"v{self.id}"
        self.state: OrderState | None = None
        self.cum_qty = 0
        self.fills = 0
        self.price, self.qty = new.price, new.qty
        self.history = [(new.price, new.qty)]
        self.stamp_ns = 0
        self.amends = 0

    def ack(self, is_bare: bool = False) -> OrderAck:
        """Return an answer; a bare one names ids alone."""
        assert self.state is not None
        return OrderAck(
            client_order_id=self.id, venue_order_id=self.venue_id,
            state=S.WORKING if is_bare else self.state, price=0 if is_bare else self.price,
            qty=0 if is_bare else self.qty, cum_qty=0 if is_bare else self.cum_qty, cum_quote=None,
            side=Side.BUY, venue_utc_ns=self.stamp_ns,
        )  # fmt: skip

    def report(
        self, fill: Fill | None = None, amended: bool | None = None, state: OrderState | None = None
    ) -> ExecutionReport:
        assert self.state is not None
        return ExecutionReport(
            venue="v", universal=UNIVERSAL, client_order_id=self.id, venue_order_id=self.venue_id,
            side=Side.BUY, state=state or self.state, price=self.price, qty=self.qty, cum_qty=self.cum_qty,
            fill=fill, reason=None, venue_utc_ns=self.stamp_ns, recv_mono_ns=1, amended=amended,
        )  # fmt: skip


@dataclass
class Request:
    """What was sent; ``result`` is set once the venue has processed it."""

    action: str
    id: str
    venue_id: str
    done: ReplyHandler
    sent_ns: int
    amend: AmendOrder | None = None
    result: OrderAck | VenueError | None = None


class Venue:
    """Implements ``ports.OrderGateway``: keeps what was sent, answers when it is told to."""

    transport = "rest"

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.is_down = False
        self.orders: dict[str, Truth] = {}
        self.sent: dict[str, int] = {}
        self.amends: dict[str, int] = {}
        self.waiting: list[Request] = []

    def _take(
        self, action: str, id: str, venue_id: str, done: ReplyHandler, amend: AmendOrder | None = None
    ) -> Sent:
        if self.is_down:
            raise NotSent("down")
        now = self.clock.mono_ns()
        self.waiting.append(Request(action, id, venue_id, done, now, amend))
        return Sent(now, now)

    def place(self, order: NewOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        sent = self._take("place", order.client_order_id, "", done)
        self.sent[order.client_order_id] = self.sent.get(order.client_order_id, 0) + 1
        self.orders[order.client_order_id] = Truth(order)
        return sent

    def amend(self, amend: AmendOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        sent = self._take("amend", amend.client_order_id, amend.venue_order_id, done, amend)
        self.amends[amend.client_order_id] = self.amends.get(amend.client_order_id, 0) + 1
        return sent

    def cancel(self, instrument: Instrument, client_order_id: str, venue_id: str, done: ReplyHandler) -> Sent:
        return self._take("cancel", client_order_id, venue_id, done)

    def query(self, instrument: Instrument, client_order_id: str, venue_id: str, done: ReplyHandler) -> Sent:
        return self._take("query", client_order_id, venue_id, done)


class RouterAgainstVenue(RuleBasedStateMachine):
    """The rules pick what the venue does and what the router gets to hear of it."""

    renames = False
    """Whether the venue gives an amended order a new id, and tells the end of the old one."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(mono_ns=10**9, utc_ns=10**18)
        self.venue = Venue(self.clock)
        self.router = OrderRouter(
            "v", {"rest": self.venue}, {UNIVERSAL: INSTRUMENT}, self.clock, LOG,
            proof_after_ms=VALIDITY_MS, allowed=lambda: "", renames=self.renames,
        )  # fmt: skip
        self.venue_ns = 10**18
        self.has_ties = False
        self.router.listeners.append(self.moved)
        self.reports: list[ExecutionReport] = []
        self.late: list[Request] = []
        self.states: dict[str, OrderState] = {}
        self.cums: dict[str, int] = {}
        self.count = 0

    # --------------------------------------------------------------------------------- what is watched

    def moved(self, order: Order, change: Change) -> None:
        assert change is not Change.CONTRADICTION, order
        before = self.states.get(order.client_order_id, S.PENDING_NEW)
        if order.state is not before:
            assert order.state in MOVES[before], (before, order.state)
            if before.is_final:
                assert order.state is S.FILLED, "an end is final, save for fills that complete it"
        self.states[order.client_order_id] = order.state

    @invariant()
    def filled_only_grows_and_never_too_far(self) -> None:
        for order in self.router.orders.values():
            assert self.cums.get(order.client_order_id, 0) <= order.cum_qty
            assert order.cum_qty >= sum(fill.qty for fill in order.fills)
            assert (
                order.cum_qty <= self.truth(order).cum_qty
                if order.client_order_id in self.venue.orders
                else True
            )
            assert len({fill.trade_id for fill in order.fills}) == len(order.fills)
            assert not order.is_overfilled
            self.cums[order.client_order_id] = order.cum_qty

    @invariant()
    def nothing_is_sent_twice(self) -> None:
        assert all(times == 1 for times in self.venue.sent.values())
        for client_order_id, times in self.venue.amends.items():
            assert times == self.router.orders[client_order_id].amend_number

    @invariant()
    def terms_were_the_venues_and_exposure_is_never_understated(self) -> None:
        for order in self.router.orders.values():
            truth = self.venue.orders.get(order.client_order_id)
            if truth is None:
                continue
            assert (order.price, order.qty) in truth.history
            assert order.is_amend_open == (order.amend_state is not AmendState.NONE)
            # Within one tick of the venue's clock the order of two statements cannot be told.
            if truth.state is S.WORKING and not order.state.is_final and not self.has_ties:
                assert order.leaves_qty >= truth.qty - truth.cum_qty

    @invariant()
    def what_is_open_is_counted(self) -> None:
        open_now = sum(not order.state.is_final for order in self.router.orders.values())
        assert self.router._open.get(UNIVERSAL, 0) == open_now
        assert not self.router.paused

    @invariant()
    def nothing_that_works_is_believed_never_to_have_been(self) -> None:
        for order in self.router.orders.values():
            if order.state in (S.REJECTED, S.NOT_SENT, S.ABSENT):
                truth = self.venue.orders.get(order.client_order_id)
                assert truth is None or truth.state in (None, S.REJECTED)

    @invariant()
    def whoever_is_in_doubt_is_asked_for(self) -> None:
        for order in self.router.orders.values():
            if order.state is S.IN_DOUBT or (order.is_amend_unproven and not order.state.is_final):
                assert order.client_order_id in self.router._doubts

    def truth(self, order: Order) -> Truth:
        return self.venue.orders[order.client_order_id]

    # ------------------------------------------------------------------------------------ what we do

    @rule(down=st.booleans())
    def place(self, down: bool) -> None:
        if len(self.router.orders) >= 4 or self.router.breaker.is_open:
            return
        self.count += 1
        self.venue.is_down = down
        order = self.router.place(
            NewOrder(
                venue="v", universal=UNIVERSAL, client_order_id=f"c{self.count}", side=Side.BUY,
                order_type=OrderType.LIMIT, qty=QTY, price=1,
            )
        )  # fmt: skip
        self.venue.is_down = False
        assert order.state is (S.NOT_SENT if down else S.PENDING_NEW)

    @rule(pick=st.integers(0, 100), down=st.booleans())
    def cancel(self, pick: int, down: bool) -> None:
        live = [order for order in self.router.orders.values() if not order.state.is_final]
        if live:
            self.venue.is_down = down
            self.router.cancel(live[pick % len(live)].client_order_id)
            self.venue.is_down = False

    @rule(
        pick=st.integers(0, 100), qty=st.sampled_from([None, 20, 45, QTY, 150]),
        price=st.sampled_from([None, 1, 2]), down=st.booleans(),
    )  # fmt: skip
    def amend(self, pick: int, qty: int | None, price: int | None, down: bool) -> None:
        live = [order for order in self.router.orders.values() if not order.state.is_final]
        if not live or self.router.breaker.is_open:
            return
        order = live[pick % len(live)]
        before = order.amend_number
        refusal = order.amend_refusal(qty or order.qty, price or order.price)
        self.venue.is_down = down
        if refusal:
            with pytest.raises(UsageError):
                self.router.amend(order.client_order_id, qty, price)
        else:
            self.router.amend(order.client_order_id, qty, price)
        self.venue.is_down = False
        assert order.amend_number == before + (not down and not refusal)

    # ------------------------------------------------------------------------------ what the venue does

    def _decide(self, request: Request, refuse: bool) -> OrderAck | VenueError:
        """Let the venue process a request, once; return its answer."""
        if request.result is None:
            request.result = self._process(request, self.venue.orders[request.id], refuse)
        return request.result

    def _process(self, request: Request, truth: Truth, refuse: bool) -> OrderAck | VenueError:
        is_valid = self.clock.mono_ns() - request.sent_ns <= VALIDITY_MS * 1_000_000
        if request.action == "place":
            if truth.state is None:
                truth.state = S.WORKING if is_valid and not refuse else S.REJECTED
                truth.stamp_ns = self.venue_ns
                if truth.state is S.WORKING:
                    self.reports.append(truth.report())
            return REFUSED if truth.state is S.REJECTED else truth.ack()
        if truth.state in (None, S.REJECTED):
            return NOT_THERE
        is_replaced = request.venue_id not in ("", truth.venue_id)
        if request.action == "query":
            return NOT_THERE if is_replaced else truth.ack()
        if truth.state is not S.WORKING or is_replaced:
            return NOT_THERE
        if request.amend is not None:
            return self._amend(request.amend, truth, refuse) if is_valid else TOO_LATE
        truth.state = S.CANCELLED
        truth.stamp_ns = self.venue_ns
        self.reports.append(truth.report())
        return truth.ack()

    def _amend(self, amend: AmendOrder, truth: Truth, refuse: bool) -> OrderAck | VenueError:
        """Change the order, or not; every other order is answered by ids alone, as some venues do."""
        is_bare = int(truth.id[1:]) % 2 == 0
        if refuse and not is_bare:
            return BAD_PRICE
        if refuse:
            accepted = truth.ack(is_bare=True)
            truth.stamp_ns = max(truth.stamp_ns, self.venue_ns)
            self.reports.append(truth.report(amended=False))
            return accepted
        self.has_ties |= truth.stamp_ns == self.venue_ns
        truth.stamp_ns = self.venue_ns
        if amend.qty <= truth.cum_qty:
            truth.state = S.CANCELLED
        else:
            if self.renames:
                self.reports.append(truth.report(state=S.CANCELLED))
                truth.amends += 1
                truth.venue_id = f"v{truth.id}-{truth.amends}"
            truth.price, truth.qty = amend.price, amend.qty
            truth.history.append((amend.price, amend.qty))
        self.reports.append(truth.report(amended=True))
        return truth.ack(is_bare)

    @rule()
    def tick(self) -> None:
        """Let the venue's clock go on by one of its milliseconds."""
        self.venue_ns += 1_000_000

    @precondition(lambda self: self.venue.waiting)
    @rule(
        pick=st.integers(0, 100), refuse=st.booleans(), is_done=st.booleans(),
        answer=st.sampled_from(["answered", "answered", "unanswered", "unknown", "late"]),
    )  # fmt: skip
    def answer(self, pick: int, refuse: bool, is_done: bool, answer: str) -> None:
        request = self.venue.waiting.pop(pick % len(self.venue.waiting))
        truth = self.venue.orders[request.id]
        if answer == "answered":
            request.done(self._reply(self._decide(request, refuse)))
            return
        if answer == "late":
            self.late.append(request)
        elif is_done:
            self._decide(request, refuse)  # it happened, and nobody says so
        elif request.action == "place" and truth.state is None:
            truth.state = S.REJECTED  # it never got there
        request.done(self._reply(UNKNOWN if answer == "unknown" else None))

    @precondition(lambda self: self.late)
    @rule(pick=st.integers(0, 100), refuse=st.booleans())
    def answer_late(self, pick: int, refuse: bool) -> None:
        request = self.late.pop(pick % len(self.late))
        request.done(self._reply(self._decide(request, refuse), is_late=True))

    def _reply(self, result: OrderAck | VenueError | None, is_late: bool = False) -> GatewayReply:
        now = self.clock.mono_ns() if result is not None else 0
        why = "" if result is not None else "deadline"
        return GatewayReply(
            result=result, unanswered=why, first_mono_ns=now, done_mono_ns=now, is_late=is_late
        )

    @rule(pick=st.integers(0, 100), qty=st.sampled_from([1, 30, QTY]))
    def fill(self, pick: int, qty: int) -> None:
        working = [truth for truth in self.venue.orders.values() if truth.state is S.WORKING]
        if working:
            truth = working[pick % len(working)]
            qty = min(qty, truth.qty - truth.cum_qty)
            truth.cum_qty += qty
            truth.fills += 1
            truth.stamp_ns = self.venue_ns
            if truth.cum_qty == truth.qty:
                truth.state = S.FILLED
            self.reports.append(
                truth.report(Fill(
                    trade_id=f"{truth.id}-{truth.fills}", price=1, qty=qty, fee=None, fee_asset=None,
                    is_maker=None, venue_utc_ns=1,
                ))
            )  # fmt: skip

    @precondition(lambda self: self.reports)
    @rule(pick=st.integers(0, 100), is_repeated=st.booleans())
    def tell(self, pick: int, is_repeated: bool) -> None:
        index = pick % len(self.reports)
        report = self.reports[index] if is_repeated else self.reports.pop(index)
        self.router.on_report(report)

    @rule(ms=st.sampled_from([1, 600, VALIDITY_MS + 1_001]))
    def wait(self, ms: int) -> None:
        self.clock.advance(ms * 1_000_000)

    @rule(is_answered=st.booleans(), wait_ms=st.sampled_from([0, 600]), is_reconciling=st.booleans())
    def ask(self, is_answered: bool, wait_ms: int, is_reconciling: bool) -> None:
        self.clock.advance(wait_ms * 1_000_000)
        if is_reconciling:
            self.router.reconcile()
        others = self.venue.waiting
        self.venue.waiting = []
        for client_order_id in list(self.router._doubts):
            self.router._query(self.router.orders[client_order_id])
        while is_answered and self.venue.waiting:
            self.answer(0, False, True, "answered")
        self.venue.waiting += others

    @precondition(lambda self: self.venue.waiting)
    @rule(pick=st.integers(0, 100), refuse=st.booleans())
    def arrive(self, pick: int, refuse: bool) -> None:
        """Let the venue process a request whose answer comes later: its reports may overtake it."""
        self._decide(self.venue.waiting[pick % len(self.venue.waiting)], refuse)

    # ------------------------------------------------------------------------------------- in the end

    def teardown(self) -> None:
        """Once all that was said has arrived, and doubts were asked for, both sides agree."""
        self._drain()
        self.clock.advance((VALIDITY_MS + 1_001) * 1_000_000)
        for _ in range(4):
            self.ask(True, 0, True)
            self._drain()
            self.clock.advance(NOT_FOUND_INTERVAL_NS)
        for order in self.router.orders.values():
            truth = self.venue.orders.get(order.client_order_id)
            if truth is None:
                assert order.state is S.NOT_SENT
            elif truth.state is S.REJECTED:
                assert order.state in (S.REJECTED, S.ABSENT), order
            else:
                assert (order.state, order.cum_qty) == (truth.state, truth.cum_qty), (order, truth.state)
                assert order.amend_state is AmendState.NONE
                if truth.state is S.WORKING:
                    assert (order.price, order.qty) == (truth.price, truth.qty)
                    assert order.venue_order_id == truth.venue_id
        for check in (self.nothing_is_sent_twice, self.what_is_open_is_counted):
            check()

    def _drain(self) -> None:
        steps: list[tuple[list[Any], Callable[[], None]]] = [
            (self.late, lambda: self.answer_late(0, False)),
            (self.venue.waiting, lambda: self.answer(0, False, True, "answered")),
            (self.reports, lambda: self.tell(0, False)),
        ]
        while any(queue for queue, _ in steps):
            for queue, step in steps:
                if queue:
                    step()


class RouterAgainstRenamingVenue(RouterAgainstVenue):
    """The same where an amended order gets a new id, and the end of the old id is told."""

    renames = True


TestRouterAgainstRenamingVenue = RouterAgainstRenamingVenue.TestCase
TestRouterAgainstRenamingVenue.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestRouterAgainstVenue = RouterAgainstVenue.TestCase
TestRouterAgainstVenue.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def test_absence_is_not_proven_early_because_the_order_was_asked_for_already() -> None:
    machine = RouterAgainstVenue()
    machine.place(down=False)
    (order,) = machine.router.orders.values()
    machine.router.cancel(order.client_order_id)
    machine.ask(is_answered=True, wait_ms=0, is_reconciling=True)
    machine.answer(pick=0, refuse=False, is_done=False, answer="late")
    assert order.state is S.IN_DOUBT
    for _ in range(8):
        machine.ask(is_answered=True, wait_ms=600, is_reconciling=False)
        assert order.state is S.IN_DOUBT, "the place may still arrive"
    machine.wait(VALIDITY_MS + 1_001)
    machine.ask(is_answered=True, wait_ms=600, is_reconciling=False)
    machine.ask(is_answered=True, wait_ms=600, is_reconciling=False)
    assert machine.router.orders[order.client_order_id].state is S.ABSENT
