"""Protocols by which packages of equal rank reach each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from engine.model.funding import FundingPage, FundingQuestion, FundingTerms, PredictedRate, SettledRate
from engine.model.instrument import Instrument
from engine.model.orders import AmendOrder, NewOrder, OrderAck, VenueError


class Clock(Protocol):
    """The only source of time. ``engine.telemetry.clock.SystemClock`` is the real one."""

    def mono_ns(self) -> int:
        """Return monotonic nanoseconds, for durations and deadlines."""
        ...

    def utc_ns(self) -> int:
        """Return UTC nanoseconds since the epoch, for people, files and signatures."""
        ...


class MessageHandler(Protocol):
    """Takes a whole WebSocket message that no frame sink consumed."""

    def __call__(self, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        """Handle one message; must not block. An exception quarantines the message, not the link."""
        ...


class GatewayReply(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How an order request ended.

    Attributes:
        result: the venue's answer, or ``None`` when there was none.
        unanswered: why there was none, "" otherwise.
        first_mono_ns, done_mono_ns: first byte and last byte of the answer; 0 when there was none.
        is_late: the request was reported unanswered before.
    """

    result: OrderAck | VenueError | None
    unanswered: str = ""
    first_mono_ns: int = 0
    done_mono_ns: int = 0
    is_late: bool = False


class Sent(msgspec.Struct, frozen=True, gc=False):
    """Stages of a request that has left: mono_ns of its encoding and of its hand-over to the socket."""

    encoded_mono_ns: int
    written_mono_ns: int


ReplyHandler = Callable[[GatewayReply], None]


class OrderGateway(Protocol):
    """Takes orders to one venue product over one transport.

    Every method writes in the very call or raises ``NotSent``; ``done`` is called once, and a second time
    with ``is_late`` should an answer come after its deadline.
    """

    transport: str

    def place(self, order: NewOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        """Send a place."""
        ...

    def amend(self, amend: AmendOrder, instrument: Instrument, done: ReplyHandler) -> Sent:
        """Send an amend; raises UsageError where the venue does not amend orders in this way."""
        ...

    def cancel(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str, done: ReplyHandler
    ) -> Sent:
        """Send a cancel; by the venue's id when it is known."""
        ...

    def query(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str, done: ReplyHandler
    ) -> Sent:
        """Send a status query."""
        ...


class FundingReader(Protocol):
    """How one venue is asked for what its streams do not tell of funding: terms, and what was settled.

    Decoders return the venue's refusal as a value, and raise ProtocolViolation for what is malformed.

    Attributes:
        predicted: what this venue means by a predicted rate.
    """

    predicted: PredictedRate

    def questions(self, instruments: Sequence[Instrument]) -> list[FundingQuestion]:
        """Return what must be asked to know the terms of these contracts; may be ``Continued``."""
        ...

    def decode_terms(
        self, question: FundingQuestion, status: int, body: bytes, retry_after: str | None = None
    ) -> list[FundingTerms] | VenueError:
        """Decode the answer to a question, or one part of it; contracts not asked for are left out."""
        ...

    def page(self, instrument: Instrument, before_utc_ns: int, rows: int) -> FundingPage:
        """Return the request for settled rates before (not at) a time, ``rows`` of them if it can say so."""
        ...

    def decode_page(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[SettledRate] | VenueError:
        """Decode a page of settled rates, newest first; it may hold more than was asked for."""
        ...


@runtime_checkable
class WithFunding(Protocol):
    """Offered besides ``MarketDataAdapter`` where a venue has perpetuals."""

    @property
    def funding(self) -> FundingReader | None:
        """Return who asks for funding; ``None`` on products without it."""
        ...
