"""One order's life: the table of legal moves, and how evidence from any side is merged into it.

Evidence arrives late, twice and out of order: an ack after the fill it belongs to, a fill after the
cancel's ack, a stream report before either. So facts are merged, never overwritten: filled quantity only
grows, each trade id counts once, and a final state is left only by proof that it was wrong (a fill, or the
end of doubt).
"""

from __future__ import annotations

import enum
from decimal import Decimal

from engine.model.market import Side
from engine.model.orders import (
    ExecutionReport,
    Fill,
    NewOrder,
    OrderAck,
    OrderState,
    Outcome,
    VenueError,
)

_S = OrderState
_WORKING, _FILLED, _ABSENT = OrderState.WORKING, OrderState.FILLED, OrderState.ABSENT

MOVES: dict[OrderState, dict[OrderState, str]] = {
    _S.PENDING_NEW: {
        _S.WORKING: "the venue accepted it",
        _S.PENDING_CANCEL: "a cancel was sent before the answer to the place",
        _S.FILLED: "it filled at once, or the fill overtook the ack",
        _S.CANCELLED: "cancelled by the venue or by us before its ack was seen",
        _S.EXPIRED: "an IOC or FOK remainder, or prevented from trading with ourselves",
        _S.REJECTED: "the venue refused it",
        _S.NOT_SENT: "no byte left this host",
        _S.IN_DOUBT: "no definite answer came",
    },
    _S.WORKING: {
        _S.PENDING_CANCEL: "a cancel was sent",
        _S.FILLED: "fully executed",
        _S.CANCELLED: "cancelled",
        _S.EXPIRED: "ended by the venue's rules",
    },
    _S.PENDING_CANCEL: {
        _S.WORKING: "the cancel was refused or not sent: it works on",
        _S.FILLED: "it filled before the cancel arrived",
        _S.CANCELLED: "the cancel was confirmed",
        _S.EXPIRED: "ended by the venue's rules meanwhile",
        _S.REJECTED: "the place, not yet answered, was refused",
        _S.IN_DOUBT: "the place, not yet answered, got no definite answer",
    },
    _S.IN_DOUBT: {
        _S.WORKING: "found working",
        _S.PENDING_CANCEL: "a cancel was sent while it was in doubt",
        _S.FILLED: "found filled",
        _S.CANCELLED: "found cancelled",
        _S.EXPIRED: "found expired",
        _S.REJECTED: "a late answer refused it",
        _S.ABSENT: "proven never accepted: validity over, not found twice, no fills",
    },
    _S.CANCELLED: {_S.FILLED: "a fill that completes it was reported after the cancel"},
    _S.EXPIRED: {_S.FILLED: "a fill that completes it was reported after its end"},
    _S.FILLED: {},
    _S.REJECTED: {},
    _S.NOT_SENT: {},
    _S.ABSENT: {
        _S.WORKING: "seen after all: the proof was wrong, and is reported as such",
        _S.FILLED: "a fill arrived after all: the proof was wrong, and is reported as such",
        _S.CANCELLED: "seen after all",
        _S.EXPIRED: "seen after all",
    },
}
"""From, to, why. Anything else is illegal: the event is counted as contradictory and changes nothing."""


_NEVER_WORKED = (OrderState.REJECTED, OrderState.NOT_SENT)
_NOT_ACCEPTED_YET = (OrderState.PENDING_NEW, OrderState.IN_DOUBT, OrderState.ABSENT)


class Change(enum.Enum):
    """What an event did to an order."""

    NOTHING = "nothing"
    """It was known already, or says nothing new."""
    MOVED = "moved"
    FILLED = "filled"
    """A new fill was booked (the state may have moved as well)."""
    CONTRADICTION = "contradiction"
    """It cannot be true of this order: kept in ``order.contradictions``."""


class Order:
    """One order as far as it is proven.

    Attributes:
        state: see ``OrderState``. qty, price, cum_qty: scaled.
        venue_order_id: "" until known. transport: by which it was placed, "" if not by this process.
        was_acked: whether any proof of acceptance was seen.
        is_overfilled: more was filled than ordered: trading on the instrument must pause.
        decided_ns .. first_fill_ns: stage stamps (mono_ns), 0 = not reached.
        doubt_deadline_ns: before this a "not found" proves nothing (mono_ns).
    """

    __slots__ = (
        "acked_ns", "client_order_id", "contradictions", "cum_qty", "cum_quote_scaled", "decided_ns",
        "doubt_deadline_ns", "encoded_ns", "fees", "fills", "first_fill_ns", "is_external", "is_overfilled",
        "not_found", "not_found_ns", "price", "qty", "reason", "side", "state", "trade_ids", "transport",
        "universal", "updated_ns", "venue", "venue_order_id", "venue_utc_ns", "was_acked", "written_ns",
    )  # fmt: skip

    def __init__(self, new: NewOrder, now_ns: int, is_external: bool = False) -> None:
        self.venue = new.venue
        self.universal = new.universal
        self.client_order_id = new.client_order_id
        self.venue_order_id = ""
        self.transport = ""
        self.side: Side = new.side
        self.price = new.price
        self.qty = new.qty
        self.state = OrderState.PENDING_NEW
        self.cum_qty = 0
        self.cum_quote_scaled = 0
        self.fees: dict[str, Decimal] = {}
        self.fills: list[Fill] = []
        self.trade_ids: set[str] = set()
        self.reason = ""
        self.was_acked = is_external
        self.is_external = is_external
        self.is_overfilled = False
        self.contradictions = 0
        self.decided_ns = now_ns
        self.encoded_ns = self.written_ns = self.acked_ns = self.first_fill_ns = 0
        self.updated_ns = now_ns
        self.venue_utc_ns = 0
        self.doubt_deadline_ns = 0
        self.not_found = 0
        self.not_found_ns = 0

    @property
    def leaves_qty(self) -> int:
        """Return what may still be filled (scaled); 0 once the order is final."""
        return 0 if self.state.is_final else max(0, self.qty - self.cum_qty)

    def __repr__(self) -> str:
        return (
            f"Order({self.client_order_id} {self.universal} {self.side.word} {self.state.value}"
            f" {self.cum_qty}/{self.qty} {self.reason!r})"
        )

    def move(self, state: OrderState, reason: str = "") -> Change:
        """Go to ``state`` if the table allows it."""
        if state is self.state:
            return Change.NOTHING
        if state not in MOVES[self.state]:
            self.contradictions += 1
            return Change.CONTRADICTION
        self.state = state
        if reason:
            self.reason = reason
        return Change.MOVED

    # ------------------------------------------------------------------------------------- evidence

    def on_ack(self, ack: OrderAck) -> Change:
        """Merge an accepted place, a cancel's answer or a query's answer."""
        if self.venue_order_id and ack.venue_order_id != self.venue_order_id:
            self.contradictions += 1
            return Change.CONTRADICTION
        self.venue_order_id = ack.venue_order_id
        self.was_acked = True
        self.not_found = 0
        if ack.qty and not self.qty:
            self.qty = ack.qty
        if ack.venue_utc_ns:
            self.venue_utc_ns = max(self.venue_utc_ns, ack.venue_utc_ns)
        return self._merge(ack.state, ack.cum_qty, "")

    def on_report(self, report: ExecutionReport) -> Change:
        """Merge a private-stream report or a row of the fill history."""
        if self.venue_order_id and report.venue_order_id != self.venue_order_id:
            self.contradictions += 1
            return Change.CONTRADICTION
        self.venue_order_id = report.venue_order_id
        self.was_acked = True
        self.not_found = 0
        self.venue_utc_ns = max(self.venue_utc_ns, report.venue_utc_ns)
        booked = report.fill is not None and self._book(report.fill, report.recv_mono_ns)
        change = self._merge(report.state, report.cum_qty or 0, report.reason or "")
        return Change.FILLED if booked and change is not Change.CONTRADICTION else change

    def _book(self, fill: Fill, mono_ns: int) -> bool:
        """Book a fill once; a trade id seen before may only add the fee that an early print lacked."""
        if fill.trade_id in self.trade_ids:
            for index, known in enumerate(self.fills):
                if known.trade_id == fill.trade_id and known.fee is None and fill.fee is not None:
                    self.fills[index] = fill
                    self._add_fee(fill)
            return False
        self.trade_ids.add(fill.trade_id)
        self.fills.append(fill)
        self.cum_quote_scaled += fill.price * fill.qty
        self._add_fee(fill)
        if not self.first_fill_ns:
            self.first_fill_ns = mono_ns
        return True

    def _add_fee(self, fill: Fill) -> None:
        if fill.fee is not None and fill.fee_asset:
            self.fees[fill.fee_asset] = self.fees.get(fill.fee_asset, Decimal(0)) + fill.fee

    def _merge(self, state: OrderState, cum_qty: int, reason: str) -> Change:
        if cum_qty or self.fills:
            booked = sum(fill.qty for fill in self.fills)
            self.cum_qty = max(self.cum_qty, cum_qty, booked)
            if self.qty and self.cum_qty > self.qty:
                self.is_overfilled = True
            if self.qty and self.cum_qty >= self.qty:
                state = _FILLED
        if self.state in _NEVER_WORKED and (self.cum_qty or not state.is_final):
            # The venue works an order that was refused, or never left: somebody has to look.
            self.contradictions += 1
            return Change.CONTRADICTION
        if state is _WORKING:
            # Proof of acceptance, and of nothing later: it must not undo a cancel under way or an end.
            return self.move(state, reason) if self.state in _NOT_ACCEPTED_YET else Change.NOTHING
        if self.state.is_final and state is not _FILLED:
            return Change.NOTHING if self.state is not _ABSENT else self.move(state, reason)
        return self.move(state, reason)

    def on_place_error(self, error: VenueError) -> Change:
        """Merge an error answer to the place: refused, or in doubt."""
        if self.state is _ABSENT and error.outcome is Outcome.REFUSED:
            return Change.NOTHING  # a late refusal only confirms the proof
        if error.outcome is Outcome.REFUSED and not self.was_acked:
            return self.move(OrderState.REJECTED, f"{error.reason.value}: {error.code} {error.message}")
        return self.on_doubt(f"{error.code} {error.message}")

    def on_doubt(self, reason: str) -> Change:
        """Note that no definite answer came; evidence of acceptance outweighs it."""
        if self.was_acked or self.state.is_final:
            return Change.NOTHING
        return self.move(OrderState.IN_DOUBT, reason)

    def on_not_found(self, now_ns: int, interval_ns: int) -> Change:
        """Merge a "no such order" answer to a query.

        It proves absence only after the doubt's deadline, the second time, an interval after the first, and
        only if the order was never seen.
        """
        if self.state is not OrderState.IN_DOUBT or self.was_acked or self.fills:
            return Change.NOTHING
        if now_ns < self.doubt_deadline_ns:
            return Change.NOTHING
        if self.not_found and now_ns - self.not_found_ns < interval_ns:
            return Change.NOTHING
        self.not_found += 1
        self.not_found_ns = now_ns
        if self.not_found < 2:
            return Change.NOTHING
        return self.move(OrderState.ABSENT, "proven never accepted")
