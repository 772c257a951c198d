"""One order's life: the table of legal moves, and how evidence from any side is merged into it.

Evidence arrives late, twice and out of order: an ack after the fill it belongs to, a fill after the
cancel's ack, a stream report before either. So facts are merged, never overwritten: filled quantity only
grows, each trade id counts once, and a final state is left only by proof that it was wrong (a fill, or the
end of doubt).

An amend is a request of its own with a state of its own (``AmendState``): while it has not been answered the
order works with its old terms, and may be filled up to the larger of both quantities. Terms (price and
quantity) are told by acks, reports and queries alike; the venue's own time stamps say which of them is the
newest, so a late report of the old terms undoes nothing.
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
_MS = 1_000_000
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


class AmendState(enum.Enum):
    """Where the last amend of an order stands."""

    NONE = "none"
    """No amend is open: the order's terms are proven."""
    SENT = "sent"
    """Its bytes left and no answer came yet: the old terms work until the venue says otherwise."""
    ACCEPTED = "accepted"
    """The venue took it without telling the new terms: a report or a query has to show them."""
    UNKNOWN = "unknown"
    """No definite answer came: the old terms work or the new ones do. Asked for, never sent again."""


_A = AmendState

AMEND_MOVES: dict[AmendState, dict[AmendState, str]] = {
    _A.NONE: {_A.SENT: "an amend was sent"},
    _A.SENT: {
        _A.NONE: "answered with its terms, refused, seen in a report, or overtaken by the order's end",
        _A.ACCEPTED: "the venue took it and names no terms",
        _A.UNKNOWN: "no definite answer came",
    },
    _A.ACCEPTED: {
        _A.NONE: "its terms were seen, the venue took its word back, or it is proven to have had no effect",
    },
    _A.UNKNOWN: {
        _A.NONE: "its terms were seen, a late answer refused it, or it is proven to have had no effect",
        _A.ACCEPTED: "a late answer accepted it",
    },
}
"""From, to, why: one amend of an order at a time. Anything else changes nothing."""


_NEVER_WORKED = (OrderState.REJECTED, OrderState.NOT_SENT)
_NOT_ACCEPTED_YET = (OrderState.PENDING_NEW, OrderState.IN_DOUBT, OrderState.ABSENT)


class Change(enum.Enum):
    """What an event did to an order."""

    NOTHING = "nothing"
    """It was known already, or says nothing new."""
    MOVED = "moved"
    FILLED = "filled"
    """A new fill was booked (the state may have moved as well)."""
    AMENDED = "amended"
    """Its terms changed, or its amend was settled (the state may have moved as well)."""
    CONTRADICTION = "contradiction"
    """It cannot be true of this order: kept in ``order.contradictions``."""


NOTHING, MOVED, AMENDED, CONTRADICTION = Change.NOTHING, Change.MOVED, Change.AMENDED, Change.CONTRADICTION
_PENDING_NEW, _UNAMENDED = OrderState.PENDING_NEW, AmendState.NONE
# Read on the order path, where an enum's attribute costs as much as a call (until Python 3.12).


class Order:
    """One order as far as it is proven.

    Attributes:
        state: see ``OrderState``. qty, price, cum_qty: scaled; qty and price are the proven terms.
        amend_state: see ``AmendState``. amend_qty, amend_price: what the open amend asked for, 0 without one.
        amend_number: how many amends were sent. amend_reason: why the last one had no effect, or is unproven.
        terms_utc_ns: the venue's time of the proven terms. terms_number: how often they changed.
        qty_most: what may be filled in all.
        renames: the venue gives an amended order a new id, and may report the end of the old one.
        venue_order_id: "" until known. replaced_ids: those before an amend.
        transport: by which it was placed, "" if not by this process.
        was_acked: whether any proof of acceptance was seen.
        is_overfilled: more was filled than ordered: trading on the instrument must pause.
        decided_ns .. first_fill_ns: stage stamps (mono_ns), 0 = not reached.
        doubt_deadline_ns: before this a "not found" proves nothing (mono_ns).
    """

    __slots__ = (
        "acked_ns", "amend_deadline_ns", "amend_number", "amend_price", "amend_qty", "amend_reason",
        "amend_state", "amend_unseen", "amend_unseen_ns", "amend_written_ns", "client_order_id",
        "contradictions", "cum_qty", "cum_quote_scaled", "decided_ns", "doubt_deadline_ns", "encoded_ns",
        "fees", "fills", "first_fill_ns", "is_external", "is_overfilled", "not_found", "not_found_ns",
        "price", "qty", "qty_most", "reason", "reduce_only", "renames", "replaced_ids", "side", "state",
        "terms_number", "terms_utc_ns", "trade_ids", "transport", "universal", "updated_ns", "venue",
        "venue_order_id", "venue_utc_ns", "was_acked", "written_ns",
    )  # fmt: skip

    def __init__(self, new: NewOrder, now_ns: int, is_external: bool = False) -> None:
        self.venue = new.venue
        self.universal = new.universal
        self.client_order_id = new.client_order_id
        self.venue_order_id = ""
        self.transport = ""
        self.side: Side = new.side
        self.price = new.price
        self.qty = self.qty_most = new.qty
        self.reduce_only = new.reduce_only
        self.state = _PENDING_NEW
        self.amend_state = _UNAMENDED
        self.amend_reason = ""
        self.amend_qty = self.amend_price = self.amend_number = 0
        self.amend_written_ns = self.amend_deadline_ns = self.amend_unseen = self.amend_unseen_ns = 0
        self.terms_utc_ns = self.terms_number = 0
        self.renames = False
        self.replaced_ids: tuple[str, ...] = ()
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
        """Return what may still be filled (scaled), at worst; 0 once the order is final."""
        return 0 if self.state.is_final else max(0, self.qty - self.cum_qty, self.amend_qty - self.cum_qty)

    @property
    def booked_qty(self) -> int:
        """Return how much of ``cum_qty`` is known fill by fill."""
        return sum(fill.qty for fill in self.fills)

    @property
    def is_amend_open(self) -> bool:
        """Tell whether an amend was sent whose effect is not proven yet."""
        return self.amend_qty != 0

    @property
    def is_amend_unproven(self) -> bool:
        """Tell whether the open amend has to be asked for: only a report or a query can show its terms."""
        return self.amend_state is _A.UNKNOWN or self.amend_state is _A.ACCEPTED

    def __repr__(self) -> str:
        return (
            f"Order({self.client_order_id} {self.universal} {self.side.word} {self.state.value}"
            f" {self.cum_qty}/{self.qty} {self.reason!r})"
        )

    def move(self, state: OrderState, reason: str = "") -> Change:
        """Go to ``state`` if the table allows it."""
        if state is self.state:
            return NOTHING
        if state not in MOVES[self.state]:
            self.contradictions += 1
            return CONTRADICTION
        self.state = state
        if reason:
            self.reason = reason
        if self.amend_qty and state.is_final:
            self._close_amend()
        return MOVED

    # ------------------------------------------------------------------------------------- evidence

    def on_ack(self, ack: OrderAck, asked_terms: int = -1) -> Change:
        """Merge an accepted place, a cancel's answer or, with ``asked_terms``, the answer to a query.

        ``asked_terms`` is ``terms_number`` of the moment when the query was sent: if the terms have not
        changed since, its answer is younger than they are, even where the venue's stamps cannot tell.
        """
        state = self._seen(ack.venue_order_id, ack.state)
        if state is None:
            return CONTRADICTION
        if ack.qty and not self.qty:
            self.qty = self.qty_most = ack.qty
        if ack.venue_utc_ns:
            self.venue_utc_ns = max(self.venue_utc_ns, ack.venue_utc_ns)
        is_amended = self._learn(ack.price, ack.qty, ack.cum_qty, state, ack.venue_utc_ns or 0, asked_terms)
        change = self._merge(state, ack.cum_qty, "")
        return AMENDED if is_amended and change is NOTHING else change

    def on_report(self, report: ExecutionReport) -> Change:
        """Merge a private-stream report or a row of the fill history."""
        state = self._seen(report.venue_order_id, report.state)
        if state is None:
            return CONTRADICTION
        self.venue_utc_ns = max(self.venue_utc_ns, report.venue_utc_ns)
        cum_qty = report.cum_qty
        is_amended = self._learn(report.price, report.qty, cum_qty, state, report.venue_utc_ns, -1)
        if report.amended is False and self.is_amend_open and report.venue_utc_ns >= self.terms_utc_ns:
            is_amended = self._close_amend(report.reason or "the venue took it and did not change the order")
        booked = report.fill is not None and self._book(report.fill, report.recv_mono_ns)
        change = self._merge(state, cum_qty or 0, report.reason or "")
        if change is CONTRADICTION:
            return change
        if booked:
            return Change.FILLED
        return AMENDED if is_amended and change is NOTHING else change

    def _seen(self, venue_order_id: str, state: OrderState) -> OrderState | None:
        """Note proof of acceptance; return what is proven of the state, or None where it is another order's.

        An amended order may get a new venue id. What is told of the old id after that is not the order's end,
        and while the amend is open the end of the id may be no more than its replacement.
        """
        is_replaced = False
        if venue_order_id and self.venue_order_id and venue_order_id != self.venue_order_id:
            if venue_order_id in self.replaced_ids:
                is_replaced = True
            elif self.renames and self.is_amend_open:
                self.replaced_ids += (self.venue_order_id,)
                self.venue_order_id = venue_order_id
            else:
                self.contradictions += 1
                return None
        else:
            self.venue_order_id = venue_order_id or self.venue_order_id  # some confirmations name no order
            is_replaced = self.renames and self.is_amend_open and state.is_final and state is not _FILLED
        self.was_acked = True
        self.not_found = 0
        return _WORKING if is_replaced else state

    def _learn(
        self, price: int, qty: int, cum_qty: int | None, state: OrderState, stamp_ns: int, asked_terms: int
    ) -> bool:
        """Take over terms that are not older than the known ones; return whether anything changed.

        Evidence of the same stamp as the known terms is believed where it shows what the open amend asked
        for, or answers a query that was sent after they were known.
        """
        if not (qty and price and stamp_ns and self.price):
            return False
        if state.is_final and state is not _FILLED and qty <= (cum_qty or 0):
            return False  # some venues cut an ended order down to what was filled
        is_target = self.is_amend_open and price == self.amend_price and qty == self.amend_qty
        is_same = price == self.price and qty == self.qty
        known_ns = self.terms_utc_ns
        if asked_terms == self.terms_number:
            known_ns -= known_ns % _MS  # queries tell milliseconds where streams tell nanoseconds
        elif stamp_ns == known_ns and not is_same and not is_target:
            return False
        if stamp_ns < known_ns:
            return False
        self.terms_utc_ns = max(stamp_ns, self.terms_utc_ns)
        if not is_same:
            self.price, self.qty = price, qty
            self.terms_number += 1
            # What was filled before a smaller quantity took effect is no overfill.
            self.qty_most = max(qty, self.qty_most if cum_qty is None else cum_qty, self.cum_qty)
        if is_target:
            self._close_amend()
        return is_target or not is_same

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
            self.cum_qty = max(self.cum_qty, cum_qty, self.booked_qty)
            if self.qty and self.cum_qty > max(self.qty_most, self.amend_qty):
                self.is_overfilled = True
            if self.qty and self.cum_qty >= max(self.qty, self.amend_qty):
                state = _FILLED
        if self.state in _NEVER_WORKED and (self.cum_qty or not state.is_final):
            # The venue works an order that was refused, or never left: somebody has to look.
            self.contradictions += 1
            return CONTRADICTION
        if state is _WORKING:
            # Proof of acceptance, and of nothing later: it must not undo a cancel under way or an end.
            return self.move(state, reason) if self.state in _NOT_ACCEPTED_YET else NOTHING
        if self.state.is_final and state is not _FILLED:
            return NOTHING if self.state is not _ABSENT else self.move(state, reason)
        return self.move(state, reason)

    def on_place_error(self, error: VenueError) -> Change:
        """Merge an error answer to the place: refused, or in doubt."""
        if self.state is _ABSENT and error.outcome is Outcome.REFUSED:
            return NOTHING  # a late refusal only confirms the proof
        if error.outcome is Outcome.REFUSED and not self.was_acked:
            return self.move(OrderState.REJECTED, f"{error.reason.value}: {error.code} {error.message}")
        return self.on_doubt(f"{error.code} {error.message}")

    def on_doubt(self, reason: str) -> Change:
        """Note that no definite answer came; evidence of acceptance outweighs it."""
        if self.was_acked or self.state.is_final:
            return NOTHING
        return self.move(OrderState.IN_DOUBT, reason)

    def on_not_found(self, now_ns: int, interval_ns: int) -> Change:
        """Merge a "no such order" answer to a query.

        It proves absence only after the doubt's deadline, the second time, an interval after the first, and
        only if the order was never seen.
        """
        if self.state is not OrderState.IN_DOUBT or self.was_acked or self.fills:
            return NOTHING
        if now_ns < self.doubt_deadline_ns:
            return NOTHING
        if self.not_found and now_ns - self.not_found_ns < interval_ns:
            return NOTHING
        self.not_found += 1
        self.not_found_ns = now_ns
        if self.not_found < 2:
            return NOTHING
        return self.move(OrderState.ABSENT, "proven never accepted")

    # --------------------------------------------------------------------------------------- amends

    def move_amend(self, state: AmendState, reason: str = "") -> bool:
        """Take the open amend to ``state`` if the table allows it, and tell whether it did."""
        if state not in AMEND_MOVES[self.amend_state]:
            return False
        self.amend_state = state
        if state is _A.NONE:
            self.amend_qty = self.amend_price = 0
        self.amend_reason = reason
        return True

    def _close_amend(self, reason: str = "") -> bool:
        return self.move_amend(_A.NONE, reason)

    def amend_refusal(self, qty: int, price: int) -> str:
        """Return why this order cannot be given these terms now, or ""."""
        if self.state is not _WORKING:
            return f"is {self.state.value}: only a working order can be amended"
        if not self.price:
            return "is a market order: only limit orders can be amended"
        if self.is_amend_open:
            return f"has an amend that is {self.amend_state.value}: one at a time"
        if price <= 0 or qty <= 0:
            return "needs a positive quantity and price"
        if qty <= self.cum_qty:
            return "was filled as far as that already; cancel it instead"
        if qty == self.qty and price == self.price:
            return "has this quantity and price already"
        return ""

    def on_amend_sent(self, qty: int, price: int, written_ns: int, deadline_ns: int) -> Change:
        """Note that an amend left; before ``deadline_ns`` (mono_ns) nothing proves that it had no effect."""
        assert self.move_amend(_A.SENT), self.amend_state
        self.amend_qty, self.amend_price = qty, price
        self.amend_number += 1
        self.amend_written_ns, self.amend_deadline_ns = written_ns, deadline_ns
        self.amend_unseen = self.amend_unseen_ns = 0
        return AMENDED

    def _is_open_amend(self, number: int) -> bool:
        return number == self.amend_number and self.is_amend_open

    def on_amend_ack(self, ack: OrderAck, number: int) -> Change:
        """Merge an accepted amend; ``number`` says which one, for its answer may come late.

        An answer that names the terms and their time settles it, whatever they are; ids alone do not.
        """
        change = self.on_ack(ack)
        if change is CONTRADICTION or not self._is_open_amend(number):
            return change
        if ack.qty and ack.venue_utc_ns:
            is_as_asked = (ack.qty, ack.price) == (self.amend_qty, self.amend_price)
            self._close_amend("" if is_as_asked else "the venue answered with other terms")
            ended = self._merge(_WORKING, 0, "")
            change = ended if ended is not NOTHING else change
        else:
            self.move_amend(_A.ACCEPTED)
        return AMENDED if change is NOTHING else change

    def on_amend_error(self, error: VenueError, number: int) -> Change:
        """Merge an error answer to an amend: refused (the old terms work on), or unknown."""
        if error.outcome is not Outcome.REFUSED:
            return self.on_amend_unanswered(f"{error.code} {error.message}", number)
        if not self._is_open_amend(number):
            return NOTHING
        self._close_amend(f"{error.reason.value}: {error.code} {error.message}")
        ended = self._merge(_WORKING, 0, "")
        return AMENDED if ended is NOTHING else ended

    def on_amend_unanswered(self, reason: str, number: int) -> Change:
        """Note that an amend got no definite answer: its effect has to be asked for."""
        if self._is_open_amend(number) and self.move_amend(_A.UNKNOWN, reason):
            return AMENDED
        return NOTHING

    def on_query(self, ack: OrderAck, asked_terms: int, asked_ns: int, interval_ns: int) -> Change:
        """Merge the answer to a query that was sent at ``asked_ns`` (mono_ns).

        Other terms than the open amend's prove that it had no effect only after its deadline, the second
        time, an interval after the first.
        """
        is_settled = False
        if (
            self.is_amend_unproven
            and ack.qty
            and (ack.price, ack.qty) != (self.amend_price, self.amend_qty)
            and asked_ns >= self.amend_deadline_ns
            and (not self.amend_unseen or asked_ns - self.amend_unseen_ns >= interval_ns)
        ):
            self.amend_unseen += 1
            self.amend_unseen_ns = asked_ns
            if self.amend_unseen > 1:
                is_settled = self._close_amend("it did not take effect")
        change = self.on_ack(ack, asked_terms)
        return AMENDED if is_settled and change is NOTHING else change
