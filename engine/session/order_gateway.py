"""Order entry over REST and over the WebSocket API: one request out, one answer (or its lack) back."""

from __future__ import annotations

import asyncio
import itertools
import random
import ssl
from collections.abc import Callable

from engine.model.errors import NotSent, Unanswered, UsageError
from engine.model.instrument import Instrument
from engine.model.orders import AmendOrder, NewOrder, OrderAck, RejectReason, VenueError
from engine.model.ports import Clock, GatewayReply, ReplyHandler, Sent
from engine.model.wire import HttpRequest
from engine.session.venue_clock import VenueClock
from engine.transport.http import HttpPool, HttpResponse
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.request_budget import RequestBudget
from engine.transport.websocket import SessionDown, SessionUp, WebSocketSession
from engine.venues.base import (
    Amending,
    Continued,
    SignedDialling,
    StreamDown,
    ToSend,
    TradingAdapter,
    WsReply,
)

LATE_S = 30.0


def punish(budget: RequestBudget, error: VenueError) -> None:
    """Stop sending for as long as the venue asks after a rate or ban answer."""
    if error.reason in (RejectReason.RATE_LIMIT, RejectReason.BANNED):
        budget.block(error.retry_after_ms, f"{error.reason.value}: {error.code}")


def amending(adapter: TradingAdapter) -> Amending:
    """Return the adapter as one that amends orders.

    Raises:
        UsageError: its venue does not.
    """
    if not isinstance(adapter, Amending):
        raise UsageError(
            f"{adapter.venue} {adapter.product.value} does not amend orders: cancel and place a new one"
        )
    return adapter


class RestGateway:
    """Orders over keep-alive HTTP; implements ``ports.OrderGateway``."""

    transport = "rest"

    def __init__(
        self,
        adapter: TradingAdapter,
        pool: HttpPool,
        budget: RequestBudget,
        venue_clock: VenueClock,
        clock: Clock,
        timeout_s: float,
    ) -> None:
        self._adapter = adapter
        self._pool = pool
        self._budget = budget
        self._venue_clock = venue_clock
        self._clock = clock
        self._timeout_s = timeout_s
        self._continued = adapter if isinstance(adapter, Continued) else None

    def place(self, order: NewOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        """Send a place."""
        request = self._adapter.place_http(order, instrument, self._venue_clock.stamp_ms())
        return self._send(request, instrument, done)

    def amend(self, amend: AmendOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        """Send an amend; raises UsageError where the venue does not amend orders in this way."""
        request = amending(self._adapter).amend_http(amend, instrument, self._venue_clock.stamp_ms())
        return self._send(request, instrument, done)

    def cancel(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str, done: ReplyHandler
    ) -> Sent:
        """Send a cancel."""
        stamp = self._venue_clock.stamp_ms()
        request = self._adapter.cancel_http(instrument, client_order_id, venue_order_id or None, stamp)
        return self._send(request, instrument, done)

    def query(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str, done: ReplyHandler
    ) -> Sent:
        """Send a status query."""
        stamp = self._venue_clock.stamp_ms()
        request = self._adapter.query_http(instrument, client_order_id, venue_order_id or None, stamp)
        return self._send(request, instrument, done, self._continued)

    def _send(
        self,
        request: HttpRequest,
        instrument: Instrument,
        done: ReplyHandler,
        continued: Continued | None = None,
    ) -> Sent:
        encoded_ns = self._clock.mono_ns()
        self._budget.take(request)
        is_late = False

        def answered(result: HttpResponse | Exception) -> None:
            nonlocal is_late
            if isinstance(result, HttpResponse):
                further = None if continued is None else self._further(continued, request, result)
                if further is None:
                    done(self._reply(result, instrument, is_late))
                self._budget.learn(result.headers, request)
                if further is not None:
                    self._follow(further, instrument, done, continued)
            else:
                reason = result.reason if isinstance(result, Unanswered) else type(result).__name__
                done(GatewayReply(result=None, unanswered=reason))
                is_late = True

        return Sent(encoded_ns, self._pool.send_now(request, self._timeout_s, answered))

    def _further(
        self, continued: Continued, request: HttpRequest, response: HttpResponse
    ) -> HttpRequest | None:
        stamp = self._venue_clock.stamp_ms()
        return continued.continuation(request, response.status, response.body, stamp)

    def _follow(
        self, request: HttpRequest, instrument: Instrument, done: ReplyHandler, continued: Continued | None
    ) -> None:
        """Ask on where the first answer was only a part: the last one is the answer."""
        try:
            self._send(request, instrument, done, continued)
        except NotSent as error:
            done(GatewayReply(result=None, unanswered=str(error)))

    def _reply(self, response: HttpResponse, instrument: Instrument, is_late: bool) -> GatewayReply:
        retry_after = response.headers.get("retry-after") if response.status != 200 else None
        result = self._adapter.decode_order(instrument, response.status, response.body, retry_after)
        if isinstance(result, VenueError):
            punish(self._budget, result)
        return GatewayReply(
            result=result,
            first_mono_ns=response.first_mono_ns,
            done_mono_ns=response.done_mono_ns,
            is_late=is_late,
        )


class _Flight:
    """A request on the WebSocket API that has not been answered."""

    __slots__ = ("done", "is_late", "timer")

    def __init__(self, done: ReplyHandler) -> None:
        self.done = done
        self.is_late = False
        self.timer: asyncio.TimerHandle | None = None


class WsGateway:
    """Orders over the venue's WebSocket API; implements ``ports.OrderGateway``.

    When the connection drops, everything in flight is reported as unanswered: nothing is sent again.
    """

    transport = "ws"

    def __init__(
        self,
        adapter: TradingAdapter,
        url: str,
        venue_clock: VenueClock,
        clock: Clock,
        timeout_s: float,
        *,
        budget: RequestBudget,
        tls: ssl.SSLContext | None,
        generator: random.Random,
        connects: ConnectionBudget,
        on_state: Callable[[bool, str], None],
    ) -> None:
        self._adapter = adapter
        self._url = url
        self._venue_clock = venue_clock
        self._clock = clock
        self._timeout_s = timeout_s
        self._budget = budget
        self._on_state = on_state
        self._ids = itertools.count(1)
        self._flights: dict[str, _Flight] = {}
        self._login_id = ""
        self._needs_login = False
        self.is_ready = False
        # The same budgets as REST's: what these requests cost, told apart from their bytes.
        label = f"{adapter.venue}.{adapter.product.value}"
        self._place_cost = HttpRequest(method="", target="", label=f"{label}.place", order_count=1)
        self._amend_cost = HttpRequest(method="", target="", label=f"{label}.amend", order_count=1)
        self._other_cost = HttpRequest(method="", target="", label=f"{label}.other", is_reserved=True)
        rules = adapter.trade_rules
        self.session = WebSocketSession(
            name=f"{adapter.venue}.{adapter.product.value}.orders",
            url=self._address,
            rules=rules,
            clock=clock,
            backoff=Backoff(200, 15_000, generator),
            budget=connects,
            on_message=self._on_message,
            on_up=self._on_up,
            on_down=self._on_down,
            on_quarantine=self._on_quarantine,
            tls=tls,
            greeting=self._greeting,
        )

    def _address(self) -> str:
        if isinstance(self._adapter, SignedDialling):
            return self._adapter.trade_url(self._venue_clock.stamp_ms())
        return self._url

    def _greeting(self) -> tuple[bytes, ...]:
        self._login_id = f"login-{next(self._ids)}"
        message = self._adapter.trade_login(self._login_id, self._venue_clock.stamp_ms())
        self._needs_login = message is not None
        return (message,) if message else ()

    def _on_up(self, event: SessionUp) -> None:
        if not self._needs_login:
            self._set_ready(True, "")

    def _set_ready(self, ready: bool, reason: str) -> None:
        if ready != self.is_ready:
            self.is_ready = ready
            self._on_state(ready, reason)

    def _on_down(self, event: SessionDown) -> None:
        self._adapter.set_logged_on(False)
        self._set_ready(False, event.reason)
        flights, self._flights = self._flights, {}
        for flight in flights.values():
            if flight.timer is not None:
                flight.timer.cancel()
            if not flight.is_late:
                flight.done(GatewayReply(result=None, unanswered="connection lost"))

    def _on_quarantine(self, payload: bytes, error: Exception) -> None:
        self._on_state(self.is_ready, f"message set aside: {type(error).__name__}")

    def _on_message(self, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        for event in self._adapter.decode_trade(payload, mono_ns, utc_ns):
            if isinstance(event, WsReply):
                self._answered(event, mono_ns)
            elif isinstance(event, ToSend):
                self.session.send(event.payload)
            elif isinstance(event, StreamDown):
                self.session.drop(event.reason)

    def _answered(self, reply: WsReply, mono_ns: int) -> None:
        if reply.request_id == self._login_id:
            refused = isinstance(reply.result, VenueError)
            self._adapter.set_logged_on(not refused)
            self._set_ready(not refused, str(reply.result.message) if refused else "")  # type: ignore[union-attr]
            return
        flight = self._flights.pop(reply.request_id or "", None)
        if flight is None:
            return
        if flight.timer is not None:
            flight.timer.cancel()
        self._budget.learn_usage(reply.usage)
        if reply.allowance is not None:
            self._budget.learn_allowance(reply.allowance)
        result: OrderAck | VenueError | None = reply.result
        if isinstance(result, VenueError):
            punish(self._budget, result)
        why = "" if result is not None else "answer without an order"
        flight.done(
            GatewayReply(
                result=result,
                unanswered=why,
                first_mono_ns=mono_ns,
                done_mono_ns=mono_ns,
                is_late=flight.is_late,
            )
        )

    def _expire(self, request_id: str) -> None:
        flight = self._flights.get(request_id)
        if flight is None:
            return
        if flight.is_late:
            del self._flights[request_id]
            return
        flight.is_late = True
        loop = asyncio.get_running_loop()
        flight.timer = loop.call_later(LATE_S, self._expire, request_id)
        flight.done(GatewayReply(result=None, unanswered="deadline"))

    def _send(self, cost: HttpRequest, request_id: str, payload: bytes, done: ReplyHandler) -> Sent:
        encoded_ns = self._clock.mono_ns()
        if not self.is_ready:
            raise NotSent(f"{self.session.name}: not connected")
        self._budget.take(cost)
        self.session.send(payload)
        written_ns = self._clock.mono_ns()
        flight = _Flight(done)
        self._flights[request_id] = flight
        loop = asyncio.get_running_loop()
        flight.timer = loop.call_later(self._timeout_s, self._expire, request_id)
        return Sent(encoded_ns, written_ns)

    def place(self, order: NewOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        """Send a place."""
        request_id = f"p{next(self._ids)}"
        stamp = self._venue_clock.stamp_ms()
        payload = self._adapter.place_ws(order, instrument, request_id, stamp)
        return self._send(self._place_cost, request_id, payload, done)

    def amend(self, amend: AmendOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        """Send an amend; raises UsageError where the venue does not amend orders in this way."""
        request_id = f"a{next(self._ids)}"
        stamp = self._venue_clock.stamp_ms()
        payload = amending(self._adapter).amend_ws(amend, instrument, request_id, stamp)
        return self._send(self._amend_cost, request_id, payload, done)

    def cancel(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str, done: ReplyHandler
    ) -> Sent:
        """Send a cancel."""
        request_id = f"c{next(self._ids)}"
        payload = self._adapter.cancel_ws(
            instrument, client_order_id, venue_order_id or None, request_id, self._venue_clock.stamp_ms()
        )
        return self._send(self._other_cost, request_id, payload, done)

    def query(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str, done: ReplyHandler
    ) -> Sent:
        """Send a status query."""
        request_id = f"q{next(self._ids)}"
        payload = self._adapter.query_ws(
            instrument, client_order_id, venue_order_id or None, request_id, self._venue_clock.stamp_ms()
        )
        return self._send(self._other_cost, request_id, payload, done)
