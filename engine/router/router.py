"""The order router: checks, sends, measures, and proves what happened to every order.

From decision to socket there is no await: ``place`` and ``cancel`` write in the very call. Whatever comes
back, from any side and in any order, is merged into the order (``order.py``). An order without a definite
answer is IN_DOUBT; it is asked for with growing pauses until it is proven, and never sent again.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from engine.model.errors import NotSent, UsageError
from engine.model.instrument import Instrument
from engine.model.market import Side
from engine.model.orders import (
    AmendOrder,
    ExecutionReport,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    VenueError,
)
from engine.model.ports import Clock, GatewayReply, OrderGateway
from engine.router.breaker import CircuitBreaker
from engine.router.doubts import Doubts
from engine.router.order import AMENDED, CONTRADICTION, MOVED, NOTHING, AmendState, Change, Order
from engine.router.rows import order_row
from engine.router.stats import STAGES as STAGES
from engine.router.stats import RouterStats as RouterStats
from engine.telemetry import events
from engine.telemetry.log import EventLog

NOT_FOUND_INTERVAL_NS = 500_000_000
CONFIRM_AFTER_NS = 250_000_000
"""How long the report of an amend that was only accepted is waited for before anybody asks."""
MARGIN_NS = 1_000_000_000
AHEAD_NS = 3_600_000_000_000
"""A venue's time this far ahead of the venue's own clock is no time: a wrong unit, or a clock gone astray."""
FINISHED_KEPT = 20_000
Evidence = TypeVar("Evidence", OrderAck, ExecutionReport)
_IN_DOUBT = OrderState.IN_DOUBT
_SAYS_OTHERWISE = (RejectReason.UNKNOWN_ORDER, RejectReason.NO_CHANGE, RejectReason.DUPLICATE_CLIENT_ORDER_ID)


class OrderRouter:
    """Orders of one venue product.

    Args:
        gateways: by transport name (``rest``, ``ws``).
        instruments: universal symbol to instrument.
        proof_after_ms: how long after sending the venue can still accept a request: validity, its own
            giving up, and the clock's uncertainty.
        allowed: returns why orders may not leave, or "".
        venue_offset_ns: returns how far the venue's clock is ahead of ours.
        on_venue_time: told (encoded, answered, the venue's own time of a place between the two).
        renames: an amended order gets a new venue id.
    """

    def __init__(
        self,
        venue: str,
        gateways: Mapping[str, OrderGateway],
        instruments: Mapping[str, Instrument],
        clock: Clock,
        log: EventLog,
        *,
        proof_after_ms: int,
        allowed: Callable[[], str],
        open_orders_max: int = 200,
        venue_offset_ns: Callable[[], int] = lambda: 0,
        on_venue_time: Callable[[int, int, int], object] | None = None,
        renames: bool = False,
    ) -> None:
        self.venue = venue
        self._gateways = gateways
        self._instruments = instruments
        self._clock = clock
        self._log = log
        self._proof_after_ns = proof_after_ms * 1_000_000 + MARGIN_NS
        self._allowed = allowed
        self._open_max = open_orders_max
        self._venue_offset_ns = venue_offset_ns
        self._on_venue_time = on_venue_time
        self._renames = renames
        self.orders: dict[str, Order] = {}
        self._by_venue_id: dict[tuple[str, str], Order] = {}
        self._finished: deque[str] = deque()
        self._finished_ids: set[str] = set()
        self._open: dict[str, int] = {}
        self._doubts = Doubts(
            venue, clock, log, lambda client_order_id: self._query(self.orders[client_order_id])
        )
        self._cancel_wanted: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._stamp_max_ns = 0
        self.paused: dict[str, str] = {}
        self.breaker = CircuitBreaker(clock)
        self.stats = RouterStats()
        self.listeners: list[Callable[[Order, Change], None]] = []

    def start(self) -> None:
        """Start to resolve doubts in the background."""
        self._task = asyncio.get_running_loop().create_task(
            self._doubts.run(lambda: self.stats.count("queries_failed")), name=f"doubts {self.venue}"
        )

    async def stop(self) -> None:
        """Stop; orders stay where they are."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # ---------------------------------------------------------------------------------------- place

    def place(self, new: NewOrder, transport: str = "rest", decided_ns: int = 0) -> Order:
        """Send an order now and return it; its state tells what is proven so far.

        ``decided_ns`` is when the caller decided (mono_ns), for tick-to-trade; default: now.

        Raises:
            UsageError: the order may not leave (no consent, paused instrument, repeated client id, limit).
        """
        now = self._clock.mono_ns()
        self._refuse_locally(new)
        order = Order(new, decided_ns or now)
        instrument = self._instruments.get(new.universal)
        if instrument is None:
            raise UsageError(f"{self.venue} has no instrument {new.universal}")
        gateway = self._gateway(transport)
        if not self.breaker.allow():
            return self._not_sent(order, "the circuit is open after failures in a row")
        try:
            sent = gateway.place(new, instrument, functools.partial(self._on_place, order, transport))
        except NotSent as error:
            self.breaker.not_tried()
            return self._not_sent(order, str(error))
        except UsageError:
            self.breaker.not_tried()
            raise
        # Only now, on the wire already: nothing can have come back, the loop has not run since.
        self._register(order)
        order.transport = transport
        order.encoded_ns, order.written_ns = sent.encoded_mono_ns, sent.written_mono_ns
        self._record_sent(transport, "place", order.decided_ns, sent.encoded_mono_ns, sent.written_mono_ns)
        return order

    def _register(self, order: Order) -> None:
        self.orders[order.client_order_id] = order
        self._open[order.universal] = self._open.get(order.universal, 0) + 1
        self.stats.count("placed")

    def _not_sent(self, order: Order, reason: str) -> Order:
        self._register(order)
        order.move(OrderState.NOT_SENT, reason)
        self._changed(order, MOVED)
        return order

    def _refuse_locally(self, new: NewOrder) -> None:
        why = self._allowed()
        if why:
            raise UsageError(why)
        if new.universal in self.paused:
            raise UsageError(f"{new.universal} is paused: {self.paused[new.universal]}")
        if new.client_order_id in self.orders:
            raise UsageError(f"client order id {new.client_order_id} was used before")
        if self._open.get(new.universal, 0) >= self._open_max:
            raise UsageError(f"{new.universal}: {self._open_max} orders are open already")

    def _gateway(self, transport: str) -> OrderGateway:
        gateway = self._gateways.get(transport)
        if gateway is None:
            raise UsageError(
                f"{self.venue} has no order entry {transport!r}; it has: {', '.join(self._gateways)}"
            )
        return gateway

    def _record_sent(self, transport: str, action: str, decided: int, encoded: int, written: int) -> None:
        stats = self.stats
        stats.record(transport, action, "decided_to_encoded", encoded - decided)
        stats.record(transport, action, "encoded_to_written", written - encoded)
        stats.record(transport, action, "decided_to_written", written - decided)

    def _record_reply(
        self, transport: str, action: str, written: int, updated_ns: int, reply: GatewayReply
    ) -> None:
        if reply.done_mono_ns and not reply.is_late:
            self.stats.record(transport, action, "round_trip", reply.first_mono_ns - written)
            self.stats.record(transport, action, "ack_to_updated", updated_ns - reply.done_mono_ns)

    def _on_place(self, order: Order, transport: str, reply: GatewayReply) -> None:
        result = reply.result
        if isinstance(result, OrderAck):
            result = self._dated(result)
            change = order.on_ack(result)
            order.acked_ns = order.acked_ns or reply.done_mono_ns
        elif isinstance(result, VenueError):
            change = order.on_place_error(result)
            if result.reason is RejectReason.CLOCK:
                self.stats.count("clock_refusals")
        else:
            change = order.on_doubt(reply.unanswered)
        updated_ns = self._clock.mono_ns()
        self._changed(order, change)  # whoever waits for the order comes before the bookkeeping
        self._record_reply(transport, "place", order.written_ns, updated_ns, reply)
        if isinstance(result, OrderAck) and result.venue_utc_ns:
            self._record_venue_time(order, result.venue_utc_ns)
        self._breaker_told(result)

    def _record_venue_time(self, order: Order, venue_utc_ns: int) -> None:
        clock = self._clock
        written_utc_ns = clock.utc_ns() - (clock.mono_ns() - order.written_ns)
        taken = venue_utc_ns - self._venue_offset_ns() - written_utc_ns
        # The venue cuts its stamp off: what looks like the past happened within the tick of its clock.
        self.stats.record(order.transport, "place", "written_to_venue", max(0, taken))
        if self._on_venue_time is not None:
            # The written stamp is taken when the bytes have left already: the venue may have been faster.
            self._on_venue_time(order.encoded_ns, order.acked_ns, venue_utc_ns)

    def _breaker_told(self, result: OrderAck | VenueError | None) -> None:
        unknown = isinstance(result, VenueError) and result.outcome is Outcome.UNKNOWN
        if result is not None and not unknown:
            if self.breaker.succeeded():
                self._log.emit(events.CIRCUIT_CLOSED, venue=self.venue, product="")
            return
        rest = self.breaker.failed()
        if rest:
            self._log.emit(events.CIRCUIT_OPENED, venue=self.venue, product="", seconds=rest)

    # --------------------------------------------------------------------------------------- cancel

    def cancel(self, client_order_id: str, transport: str = "rest") -> Order:
        """Send a cancel now; the order works until the venue says otherwise. Repeating is harmless.

        While the place is in doubt the cancel goes by client id, and again once the order shows up.

        Raises:
            UsageError: no such order, or it has ended.
        """
        order = self.orders.get(client_order_id)
        if order is None:
            raise UsageError(f"no order {client_order_id} is known")
        if order.state.is_final:
            raise UsageError(f"order {client_order_id} is {order.state.value} already")
        decided = self._clock.mono_ns()
        if not order.was_acked:
            self._cancel_wanted.add(client_order_id)
        if order.state in (OrderState.WORKING, OrderState.PENDING_NEW):
            self._changed(order, order.move(OrderState.PENDING_CANCEL))
        written = 0

        def done(reply: GatewayReply) -> None:
            self._on_cancel(order, transport, written, reply)

        try:
            sent = self._gateway(transport).cancel(
                self._instruments[order.universal], order.client_order_id, order.venue_order_id, done
            )
        except NotSent as error:
            self.stats.count("cancels_not_sent")
            order.reason = f"cancel not sent: {error}"
            if order.state is OrderState.PENDING_CANCEL and order.was_acked:
                self._changed(order, order.move(OrderState.WORKING))
            return order
        written = sent.written_mono_ns
        self._record_sent(transport, "cancel", decided, sent.encoded_mono_ns, written)
        return order

    def _on_cancel(self, order: Order, transport: str, written: int, reply: GatewayReply) -> None:
        result = reply.result
        if isinstance(result, OrderAck):
            change = order.on_ack(self._dated(result))
        elif isinstance(result, VenueError) and result.outcome is Outcome.REFUSED:
            change = NOTHING
            if result.reason is RejectReason.UNKNOWN_ORDER:
                self._doubts.soon(order)  # filled, cancelled or not there yet: the query tells
            elif order.state is OrderState.PENDING_CANCEL and order.was_acked:
                change = order.move(OrderState.WORKING, f"cancel refused: {result.message}")
        else:
            change = NOTHING
            self._doubts.soon(order)
        updated_ns = self._clock.mono_ns()
        self._changed(order, change)
        self._record_reply(transport, "cancel", written, updated_ns, reply)

    # ---------------------------------------------------------------------------------------- amend

    def amend(
        self,
        client_order_id: str,
        qty: int | None = None,
        price: int | None = None,
        transport: str = "rest",
        decided_ns: int = 0,
    ) -> Order:
        """Send a change of a working limit order now; its old terms work until the venue says otherwise.

        ``qty`` (whole quantity, what was filled included) and ``price`` are scaled; ``None`` keeps what is.
        One amend of an order at a time, and none is sent twice: without a definite answer the order is asked
        for until its terms are proven (``Order.amend_state``).

        Raises:
            UsageError: no such order, it cannot be amended now, nothing would change, or not more would be
                left than was filled.
        """
        order = self.orders.get(client_order_id)
        if order is None:
            raise UsageError(f"no order {client_order_id} is known")
        decided = decided_ns or self._clock.mono_ns()
        new_qty = order.qty if qty is None else qty
        new_price = order.price if price is None else price
        self._refuse_amend(order, new_qty, new_price)
        gateway = self._gateway(transport)
        if not self.breaker.allow():
            return self._amend_not_sent(order, "the circuit is open after failures in a row")
        wanted = AmendOrder(
            venue=order.venue,
            universal=order.universal,
            client_order_id=client_order_id,
            venue_order_id=order.venue_order_id,
            side=order.side,
            qty=new_qty,
            price=new_price,
            known_qty=order.qty,
            known_price=order.price,
        )
        number = order.amend_number + 1
        try:
            sent = gateway.amend(
                wanted,
                self._instruments[order.universal],
                functools.partial(self._on_amend, order, number, transport),
            )
        except NotSent as error:
            self.breaker.not_tried()
            return self._amend_not_sent(order, str(error))
        except UsageError:
            self.breaker.not_tried()
            raise
        written = sent.written_mono_ns
        order.renames = self._renames
        order.on_amend_sent(new_qty, new_price, written, written + self._proof_after_ns)
        self.stats.count("amends")
        self._record_sent(transport, "amend", decided, sent.encoded_mono_ns, written)
        return order

    def _refuse_amend(self, order: Order, qty: int, price: int) -> None:
        why = self._allowed()
        if not why and order.universal in self.paused:
            why = f"{order.universal} is paused: {self.paused[order.universal]}"
        if why:
            raise UsageError(why)
        name = f"order {order.client_order_id}"
        if refusal := order.amend_refusal(qty, price):
            raise UsageError(f"{name} {refusal}")

    def _amend_not_sent(self, order: Order, reason: str) -> Order:
        self.stats.count("amends_not_sent")
        order.amend_reason = f"not sent: {reason}"
        return order

    def _on_amend(self, order: Order, number: int, transport: str, reply: GatewayReply) -> None:
        result = reply.result
        if isinstance(result, OrderAck):
            change = order.on_amend_ack(self._dated(result), number)
        elif isinstance(result, VenueError):
            change = order.on_amend_error(result, number)
            if result.reason is RejectReason.CLOCK:
                self.stats.count("clock_refusals")
        else:
            change = order.on_amend_unanswered(reply.unanswered, number)
        updated_ns = self._clock.mono_ns()
        self._changed(order, change)
        self._ask_after_amend(order, result, change)
        if number == order.amend_number:
            self._record_reply(transport, "amend", order.amend_written_ns, updated_ns, reply)
        self._breaker_told(result)

    def _ask_after_amend(self, order: Order, result: OrderAck | VenueError | None, change: Change) -> None:
        """Ask for what the answer to an amend left open."""
        if order.state.is_final:
            return
        if order.amend_state is AmendState.ACCEPTED:
            self._doubts.unless_reported(order, CONFIRM_AFTER_NS)
        elif order.amend_state is AmendState.UNKNOWN:
            if change is AMENDED:
                self._doubt_amend(order)
        elif isinstance(result, VenueError) and (order.renames or result.reason in _SAYS_OTHERWISE):
            self._doubts.soon(order)  # the venue's order is not what we took it for

    def _doubt_amend(self, order: Order) -> None:
        self.stats.count("amends_in_doubt")
        self._doubts.soon(order)
        self._log.emit(
            events.ORDER_IN_DOUBT,
            venue=self.venue,
            instrument=order.universal,
            client_order_id=order.client_order_id,
            cause=f"amend: {order.amend_reason}",
        )

    # ------------------------------------------------------------------------------------- evidence

    def on_report(self, report: ExecutionReport) -> None:
        """Take a private-stream report or a row of the fill history."""
        order = self.orders.get(report.client_order_id) if report.client_order_id else None
        if order is None:
            order = self._by_venue_id.get((report.universal, report.venue_order_id))
        if order is None:
            if not report.client_order_id:
                return  # a fill of an order that this process never knew
            order = self._adopt(
                report.universal, report.client_order_id, report.side, report.qty, report.price
            )
        had_fills = bool(order.fills)
        self._changed(order, order.on_report(self._dated(report)))
        if order.first_fill_ns and not had_fills and order.written_ns:
            self.stats.record(
                order.transport, "place", "written_to_first_fill", order.first_fill_ns - order.written_ns
            )

    def adopt_ack(self, universal: str, ack: OrderAck) -> Order:
        """Take in an order that the venue listed, whoever placed it, and return it."""
        order = self.orders.get(ack.client_order_id)
        if order is None:
            if ack.side is None:
                raise UsageError(f"order {ack.client_order_id} cannot be taken in: its side is not known")
            order = self._adopt(universal, ack.client_order_id, ack.side, ack.qty, ack.price)
        self._changed(order, order.on_ack(self._dated(ack)))
        return order

    def _dated(self, evidence: Evidence) -> Evidence:
        """Return evidence, without its time where that cannot be: what comes later would count as older."""
        stamp = evidence.venue_utc_ns
        if not stamp or stamp <= self._stamp_max_ns:
            return evidence
        self._stamp_max_ns = self._clock.utc_ns() + self._venue_offset_ns() + AHEAD_NS
        if stamp <= self._stamp_max_ns:
            return evidence
        self.stats.count("odd_times")
        return msgspec.structs.replace(evidence, venue_utc_ns=0)

    def _adopt(self, universal: str, client_order_id: str, side: Side, qty: int, price: int) -> Order:
        """Take in an order that somebody else placed: it counts in positions and open orders."""
        new = NewOrder(
            venue=self.venue,
            universal=universal,
            client_order_id=client_order_id,
            side=side,
            order_type=OrderType.LIMIT,
            qty=qty,
            price=price,
        )
        order = Order(new, self._clock.mono_ns(), is_external=True)
        self.orders[client_order_id] = order
        self._open[universal] = self._open.get(universal, 0) + 1
        self.stats.count("external")
        return order

    def _changed(self, order: Order, change: Change) -> None:
        if order.venue_order_id:
            self._by_venue_id.setdefault((order.universal, order.venue_order_id), order)
        if change is NOTHING:
            return
        order.updated_ns = self._clock.mono_ns()
        if change is CONTRADICTION:
            self.stats.count("contradictions")
            if order.state in (OrderState.REJECTED, OrderState.NOT_SENT):
                self._pause(order, f"is {order.state.value}, yet the venue works or filled it")
        if order.is_overfilled:
            self._pause(order, "was filled beyond its quantity")
        if order.client_order_id in self._finished_ids and not order.state.is_final:
            self._reopen(order)
        if order.state is _IN_DOUBT:
            self._doubt(order)
        elif order.client_order_id in self._doubts:
            self._doubts.settle(order)
        if order.was_acked and order.client_order_id in self._cancel_wanted:
            self._cancel_wanted.discard(order.client_order_id)
            if not order.state.is_final:
                self.cancel(
                    order.client_order_id, "rest" if "rest" in self._gateways else next(iter(self._gateways))
                )
        if order.state.is_final and change is not CONTRADICTION:
            self._finish(order)
        for listener in self.listeners:
            listener(order, change)

    def _pause(self, order: Order, why: str) -> None:
        self.paused.setdefault(order.universal, f"order {order.client_order_id} {why}")

    def _reopen(self, order: Order) -> None:
        """Take back an end that was wrong: the order counts as open again, and is not forgotten."""
        self._finished_ids.discard(order.client_order_id)
        self._finished.remove(order.client_order_id)
        self._open[order.universal] += 1

    def _finish(self, order: Order) -> None:
        if order.client_order_id in self._finished_ids:
            return
        self._finished_ids.add(order.client_order_id)
        self.stats.count(order.state.value)
        self._open[order.universal] -= 1
        self._finished.append(order.client_order_id)
        self._log.emit(
            events.ORDER_FINISHED,
            venue=self.venue,
            instrument=order.universal,
            client_order_id=order.client_order_id,
            state=order.state.value,
            cum_qty=order.cum_qty,
            reason=order.reason,
        )
        if len(self._finished) > FINISHED_KEPT:
            gone = self.orders.pop(self._finished.popleft())
            self._finished_ids.discard(gone.client_order_id)
            for venue_order_id in (gone.venue_order_id, *gone.replaced_ids):
                self._by_venue_id.pop((gone.universal, venue_order_id), None)

    # --------------------------------------------------------------------------------------- doubts

    def _doubt(self, order: Order) -> None:
        # Also for one that is asked for already (for its cancel's sake): before this nothing proves absence.
        order.doubt_deadline_ns = (order.written_ns or order.decided_ns) + self._proof_after_ns
        self.stats.count("in_doubt")
        self._doubts.soon(order)
        self._log.emit(
            events.ORDER_IN_DOUBT,
            venue=self.venue,
            instrument=order.universal,
            client_order_id=order.client_order_id,
            cause=order.reason,
        )

    def reconcile(self) -> int:
        """Ask for every order that is not final (after a reconnect); return how many."""
        waiting = [order for order in self.orders.values() if not order.state.is_final]
        for order in waiting:
            self._doubts.soon(order)
        return len(waiting)

    def _query(self, order: Order) -> None:
        if order.state.is_final:
            self._doubts.drop(order.client_order_id)
            return
        gateway = self._gateways.get("rest") or next(iter(self._gateways.values()))
        self.stats.count("queries")
        # The old venue id of an order that may have been renamed names what was replaced.
        venue_order_id = "" if order.renames and order.is_amend_open else order.venue_order_id
        asked = (order.terms_number, self._clock.mono_ns())
        try:
            gateway.query(
                self._instruments[order.universal],
                order.client_order_id,
                venue_order_id,
                lambda reply: self._on_query(order, reply, *asked),
            )
        except NotSent:
            self.stats.count("queries_not_sent")

    def _on_query(self, order: Order, reply: GatewayReply, asked_terms: int, asked_ns: int) -> None:
        result = reply.result
        if isinstance(result, OrderAck):
            was_cancelling = order.state is OrderState.PENDING_CANCEL
            was_in_doubt = order.state is _IN_DOUBT or order.is_amend_unproven
            change = order.on_query(self._dated(result), asked_terms, asked_ns, NOT_FOUND_INTERVAL_NS)
            if not was_in_doubt:
                self._doubts.drop(order.client_order_id)
            still_works = result.state is OrderState.WORKING and order.state is OrderState.PENDING_CANCEL
            if was_cancelling and still_works and change is not CONTRADICTION:
                # The cancel got no definite answer and the order works on: say so, the caller may repeat.
                change = order.move(OrderState.WORKING, "the cancel did not take effect")
            self._changed(order, change)
        elif isinstance(result, VenueError) and result.reason is RejectReason.UNKNOWN_ORDER:
            change = order.on_not_found(self._clock.mono_ns(), NOT_FOUND_INTERVAL_NS)
            if order.state is _IN_DOUBT:
                return
            self._changed(order, change)

    def view(self) -> list[dict[str, Any]]:
        """Return orders for people, newest last."""
        return [
            order_row(order, self._instruments[order.universal])
            for order in self.orders.values()
            if order.universal in self._instruments
        ]
