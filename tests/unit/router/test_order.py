"""The table of moves, all of it and all of its complement; evidence in every order."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest

from engine.model.market import Side
from engine.model.orders import (
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
from engine.router.order import MOVES, Change, Order

S = OrderState
QTY = 100


def new_order(qty: int = QTY) -> Order:
    return Order(
        NewOrder(
            venue="binance", universal="BTC/USDT", client_order_id="c1", side=Side.BUY,
            order_type=OrderType.LIMIT, qty=qty, price=50,
        ),
        now_ns=1,
    )  # fmt: skip


def state(order: Order) -> OrderState:
    """Ask anew: a type checker believes that what it has seen asserted stays so."""
    return order.state


def ack(state: OrderState, cum_qty: int = 0, venue_order_id: str = "v1") -> OrderAck:
    return OrderAck(
        client_order_id="c1", venue_order_id=venue_order_id, state=state, price=50, qty=QTY, cum_qty=cum_qty,
        cum_quote=None, side=Side.BUY, venue_utc_ns=None,
    )  # fmt: skip


def report(
    state: OrderState, cum_qty: int | None = None, fill: Fill | None = None, venue_order_id: str = "v1"
) -> ExecutionReport:
    return ExecutionReport(
        venue="binance", universal="BTC/USDT", client_order_id="c1", venue_order_id=venue_order_id,
        side=Side.BUY, state=state, price=50, qty=QTY, cum_qty=cum_qty, fill=fill, reason=None,
        venue_utc_ns=5, recv_mono_ns=9,
    )  # fmt: skip


def fill(trade_id: str, qty: int, **options: Any) -> Fill:
    return Fill(**{
        "trade_id": trade_id, "price": 50, "qty": qty, "fee": None, "fee_asset": None, "is_maker": None,
        "venue_utc_ns": 4, **options,
    })  # fmt: skip


def error(outcome: Outcome, reason: RejectReason = RejectReason.OTHER) -> VenueError:
    return VenueError("-1", "text", outcome, reason, Retry.NEVER)


@pytest.mark.parametrize(("start", "end"), list(itertools.product(S, S)))
def test_every_move_of_the_table_and_of_its_complement(start: OrderState, end: OrderState) -> None:
    order = new_order()
    order.state = start
    change = order.move(end, "why")
    if start is end:
        assert (change, order.state, order.contradictions, order.reason) == (Change.NOTHING, start, 0, "")
    elif end in MOVES[start]:
        assert (change, order.state, order.contradictions, order.reason) == (Change.MOVED, end, 0, "why")
    else:
        assert (change, order.state, order.contradictions, order.reason) == (
            Change.CONTRADICTION, start, 1, "",
        )  # fmt: skip


def test_the_table_is_whole() -> None:
    assert set(MOVES) == set(S)
    for start, ends in MOVES.items():
        assert start not in ends
        assert all(ends.values()), "every move says why"
        if start.is_final:
            # An end is left by proof that it was wrong only; what was refused or never left stays so.
            assert set(ends) <= {S.FILLED} or start is S.ABSENT
    reachable = {S.PENDING_NEW}
    while True:
        more = reachable | {end for start in reachable for end in MOVES[start]}
        if more == reachable:
            break
        reachable = more
    assert reachable == set(S)


EVIDENCE = {
    "ack": lambda order: order.on_ack(ack(S.WORKING)),
    "half": lambda order: order.on_report(report(S.WORKING, 40, fill("t1", 40))),
    "half again": lambda order: order.on_report(report(S.WORKING, 40, fill("t1", 40))),
    "rest": lambda order: order.on_report(report(S.FILLED, 100, fill("t2", 60))),
    "doubt": lambda order: order.on_doubt("deadline"),
    "unknown": lambda order: order.on_place_error(error(Outcome.UNKNOWN)),
}


def test_a_filled_order_is_filled_in_whatever_order_it_is_told() -> None:
    for names in itertools.permutations(EVIDENCE):
        order = new_order()
        for name in names:
            EVIDENCE[name](order)
        assert order.state is S.FILLED, names
        assert order.cum_qty == QTY
        assert sorted(each.trade_id for each in order.fills) == ["t1", "t2"]
        assert (order.contradictions, order.is_overfilled, order.leaves_qty) == (0, False, 0), names
        assert order.cum_quote_scaled == QTY * 50


@pytest.mark.parametrize("names", list(itertools.permutations(["ack", "half", "cancelled", "doubt"])))
def test_a_cancelled_order_keeps_its_fill_in_whatever_order_it_is_told(names: tuple[str, ...]) -> None:
    order = new_order()
    for name in names:
        if name == "cancelled":
            order.on_report(report(S.CANCELLED, 40))
        else:
            EVIDENCE[name](order)
    assert (order.state, order.cum_qty, len(order.fills), order.contradictions) == (S.CANCELLED, 40, 1, 0)


def test_a_fee_told_late_is_added_once() -> None:
    order = new_order()
    order.on_report(report(S.WORKING, 40, fill("t1", 40)))
    assert order.fees == {}
    for _ in range(3):
        order.on_report(report(S.WORKING, 40, fill("t1", 40, fee=Decimal("0.1"), fee_asset="BNB")))
    order.on_report(report(S.FILLED, 100, fill("t2", 60, fee=Decimal("0.2"), fee_asset="BNB")))
    assert order.fees == {"BNB": Decimal("0.3")}


def test_another_order_under_the_same_id_is_a_contradiction_and_books_nothing() -> None:
    order = new_order()
    order.on_ack(ack(S.WORKING))
    assert order.on_ack(ack(S.CANCELLED, venue_order_id="v2")) is Change.CONTRADICTION
    stranger = report(S.FILLED, 100, fill("t9", 100), venue_order_id="v2")
    assert order.on_report(stranger) is Change.CONTRADICTION
    assert (order.state, order.cum_qty, order.contradictions) == (S.WORKING, 0, 2)


def test_overfilling_is_seen() -> None:
    order = new_order()
    order.on_report(report(S.WORKING, 60, fill("t1", 60)))
    order.on_report(report(S.FILLED, 120, fill("t2", 60)))
    assert order.is_overfilled
    assert order.cum_qty == 120


@pytest.mark.parametrize("start", [S.REJECTED, S.NOT_SENT])
@pytest.mark.parametrize(
    "evidence",
    [report(S.WORKING), report(S.WORKING, 40, fill("t1", 40)), report(S.FILLED, 100, fill("t1", 100)),
     report(S.CANCELLED, 40, fill("t1", 40))],
)  # fmt: skip
def test_a_refused_order_that_the_venue_works_is_a_contradiction(
    start: OrderState, evidence: ExecutionReport
) -> None:
    order = new_order()
    order.move(start)
    assert order.on_report(evidence) is Change.CONTRADICTION
    assert order.state is start
    assert order.contradictions == 1
    assert order.cum_qty == (evidence.cum_qty or 0), "what was filled is known all the same"


def test_a_refusal_told_twice_is_no_contradiction() -> None:
    order = new_order()
    assert order.on_report(report(S.REJECTED)) is Change.MOVED
    assert order.on_place_error(error(Outcome.REFUSED)) is Change.NOTHING
    assert order.on_report(report(S.EXPIRED)) is Change.NOTHING
    assert (order.state, order.contradictions) == (S.REJECTED, 0)


def test_a_refusal_of_what_was_accepted_is_not_believed() -> None:
    order = new_order()
    order.on_report(report(S.WORKING))
    assert order.on_place_error(error(Outcome.REFUSED)) is Change.NOTHING
    assert order.state is S.WORKING


def test_absence_takes_two_answers_after_the_deadline_apart() -> None:
    order = new_order()
    order.on_doubt("deadline")
    order.doubt_deadline_ns = 1_000
    assert order.on_not_found(999, 100) is Change.NOTHING  # too early: it may still arrive there
    assert order.not_found == 0
    assert order.on_not_found(1_000, 100) is Change.NOTHING
    assert order.on_not_found(1_099, 100) is Change.NOTHING  # the same moment, as good as one answer
    assert state(order) is S.IN_DOUBT
    assert order.on_not_found(1_100, 100) is Change.MOVED
    assert state(order) is S.ABSENT
    assert order.on_report(report(S.WORKING)) is Change.MOVED  # the proof was wrong


@pytest.mark.parametrize("seen", [ack(S.WORKING), ack(S.CANCELLED)])
def test_what_was_seen_is_never_absent(seen: OrderAck) -> None:
    order = new_order()
    order.on_doubt("deadline")
    order.on_ack(seen)
    for now in range(0, 10**6, 10**4):
        order.on_not_found(now, 1)
    assert order.state is seen.state


@pytest.mark.parametrize("state", [state for state in S if state is not S.IN_DOUBT])
def test_not_found_ends_nothing_but_doubt(state: OrderState) -> None:
    order = new_order()
    order.state = state
    assert order.on_not_found(10**18, 0) is Change.NOTHING
    assert order.on_not_found(2 * 10**18, 0) is Change.NOTHING
    assert order.state is state


def test_a_refusal_that_comes_after_absence_was_proven_confirms_it() -> None:
    order = new_order()
    order.on_doubt("deadline")
    order.on_not_found(10, 5)
    order.on_not_found(20, 5)
    assert state(order) is S.ABSENT
    assert order.on_place_error(error(Outcome.REFUSED)) is Change.NOTHING
    assert (state(order), order.contradictions) == (S.ABSENT, 0)
