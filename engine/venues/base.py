"""What a venue adapter offers to sessions, router and supervisor: bytes in, values out, no I/O.

An adapter is built per (venue, product). It never awaits, sleeps, logs or reads a clock: stamps come
in as arguments, the same bytes give the same values. Requests come out ready to be written.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from engine.model.account import Balance, Position
from engine.model.instrument import Instrument, InstrumentsTold, Product
from engine.model.market import BookSnapshot, DepthSchema, FundingUpdate, TopOfBook, Trade
from engine.model.orders import AmendOrder, ExecutionReport, NewOrder, OrderAck, VenueError
from engine.model.ports import WithFunding as WithFunding
from engine.model.wire import Allowance as Allowance
from engine.model.wire import BudgetRule as BudgetRule
from engine.model.wire import ConnectionRules as ConnectionRules
from engine.model.wire import Heartbeat as Heartbeat
from engine.model.wire import HttpRequest as HttpRequest


class Secret:
    """A secret text that never shows itself: ``repr``, ``str`` and formatting give a mask.

    Use :meth:`reveal` only where bytes are signed or put on the wire.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not picklable")


class Credentials(msgspec.Struct, frozen=True):
    """API credentials of one venue; ``passphrase`` is also BitMart's memo."""

    key: Secret
    secret: Secret
    passphrase: Secret | None = None


class Endpoints(msgspec.Struct, frozen=True):
    """Base addresses of one venue product; the meaning of each base is in the venue's ``endpoints.py``.

    ``rest_trade`` is where orders and account are asked for, where that is another host than market data's.
    """

    rest: str
    ws_public: str
    ws_private: str | None = None
    ws_trade: str | None = None
    rest_trade: str | None = None


class Topic(enum.Enum):
    """Public data kinds a subscription can ask for."""

    DEPTH = "depth"
    TRADES = "trades"
    TOP_OF_BOOK = "top_of_book"
    FUNDING = "funding"
    INSTRUMENTS = "instruments"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What one product of one venue offers, as far as this engine speaks it: one row of the matrix.

    A conformance test that leaves something out must find the reason here.

    Attributes:
        depth: channel and cadence of the depth stream, in the venue's own words.
        depth_rule: how a gap is found: ``range``, ``previous``, ``chain``.
        snapshots: ``joined`` (asked for and joined with the stream) or ``streamed``.
        funding: what perpetuals stream of: ``rate`` (of the next settlement), ``settlement`` (its time),
            ``mark``, ``index``, ``open interest``.
        order_entry: transports, of ``rest`` and ``ws``.
        time_in_force: of ``gtc``, ``ioc``, ``fok``.
        private: how the private stream is opened: ``listen key``, ``login``, ``token``, ``subscription``.
        amend: orders can be changed in place. amend_only: of ``price``, ``larger``, ``smaller``, where an
            amend cannot change everything. fills_page: own fills can be asked for.
        complete_tops: the top-of-book stream tells every change, counted on the depth's ids: it audits books.
        notes: what a trader must know, in a few words.
    """

    depth: str
    depth_rule: str
    snapshots: str
    trades: bool = True
    top_of_book: bool = True
    funding: tuple[str, ...] = ()
    order_entry: tuple[str, ...] = ("rest", "ws")
    order_types: tuple[str, ...] = ("limit", "market")
    time_in_force: tuple[str, ...] = ("gtc", "ioc", "fok")
    post_only: bool = True
    reduce_only: bool = False
    amend: bool = False
    amend_only: tuple[str, ...] = ()
    cancel_all: bool = True
    fills_page: bool = True
    complete_tops: bool = False
    private: str = "login"
    notes: str = ""


class Dial(msgspec.Struct, frozen=True):
    """Where the next connection goes, as the venue answered when asked; the address may hold a token.

    Attributes:
        heartbeat: the venue's own rule for that connection, or ``None`` to keep the one of the rules.
    """

    url: str
    heartbeat: Heartbeat | None = None

    def __repr__(self) -> str:
        """Return what may be logged: no query, which holds the token."""
        return f"Dial({self.url.partition('?')[0]})"


class Handshake(msgspec.Struct, frozen=True):
    """What must be asked over HTTP before each connect, and how the answer (status, body) is read."""

    request: HttpRequest
    decode: Callable[[int, bytes], Dial | VenueError]


class ConnectionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One market-data connection to open.

    Attributes:
        name: stable, secret-free name for logs and counters, e.g. ``binance.spot.public.0``.
        url: full address; "" where ``handshake`` finds it.
        subscribe: control messages to send after every connect, in order, paced by ``rules``.
        handshake: asked before every connect, ``None`` where the address is fixed.
        awaits_welcome: nothing may be sent before the venue's ``Welcome`` was decoded.
        depth_routes: (route, universal) pairs for the kernel; see ``DepthSchema.route_keys``.
        universals: every instrument that this connection serves.
        has_trades: it brings these instruments' prints, where they are subscribed.
    """

    name: str
    url: str
    subscribe: tuple[bytes, ...]
    rules: ConnectionRules
    depth_routes: tuple[tuple[str, str], ...] = ()
    universals: tuple[str, ...] = ()
    has_trades: bool = True
    handshake: Handshake | None = None
    awaits_welcome: bool = False


class Welcome(msgspec.Struct, frozen=True, gc=False):
    """The venue is ready to hear subscriptions on this connection (see ``ConnectionPlan.awaits_welcome``)."""


class ControlReply(msgspec.Struct, frozen=True, gc=False):
    """A venue's answer to a control message; ``error`` is ``None`` when it was accepted."""

    request_id: str | None
    error: str | None


class PlannedShutdown(msgspec.Struct, frozen=True, gc=False):
    """The venue says that this connection will be closed soon."""

    venue_utc_ns: int | None


class VenueTime(msgspec.Struct, frozen=True, gc=False):
    """The venue's clock, as its answer to our ping tells it; ``resolution_ns`` is the tick of that time."""

    venue_utc_ns: int
    resolution_ns: int


MarketEvent = (
    Trade | TopOfBook | FundingUpdate | ControlReply | PlannedShutdown | Welcome | VenueTime | InstrumentsTold
)


class StreamDown(msgspec.Struct, frozen=True, gc=False):
    """The private stream ended or lapsed although the connection may be open."""

    reason: str


class WsReply(msgspec.Struct, frozen=True, gc=False):
    """Answer to a WebSocket API request: the session's own (``result`` None), or an order's.

    An order request that is answered with ``result`` None was not understood: its outcome is unknown.

    Attributes:
        request_id: ``None`` where the venue answered bytes that it could not read.
        usage: what is used of the budgets, as ``(BudgetRule.name, count)``, where the answer says so.
        allowance: what is left of a limit, where the answer says that instead.
    """

    request_id: str | None
    result: OrderAck | VenueError | None
    usage: tuple[tuple[str, int], ...] = ()
    allowance: Allowance | None = None


class ToSend(msgspec.Struct, frozen=True, gc=False):
    """What the venue must hear next on the connection whose message was decoded.

    Some venues take subscriptions only after the login was answered: the adapter knows when.
    """

    payload: bytes


PrivateEvent = ExecutionReport | Balance | Position | StreamDown | WsReply | PlannedShutdown | ToSend


class MarketDataAdapter(Protocol):
    """Public side of one venue product."""

    venue: str
    product: Product
    schema: DepthSchema

    @property
    def rest_budgets(self) -> tuple[BudgetRule, ...]:
        """Return the documented limits."""
        ...

    def instruments_request(self) -> HttpRequest:
        """Return the request that lists all instruments."""
        ...

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return every listed instrument that this product covers; raises ProtocolViolation."""
        ...

    def decode_budgets(self, body: bytes) -> tuple[BudgetRule, ...]:
        """Return the limits that the instruments answer itself states, else ``rest_budgets``."""
        ...

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return the connections that serve these instruments within the venue's limits.

        From then on ``decode_market`` knows these instruments, and ignores the frames of others.
        """
        ...

    def depth_request(self, instrument: Instrument, is_wanted: bool, request_id: str) -> bytes:
        """Return the message that subscribes one instrument's depth alone, or ends that subscription.

        A ControlReply with this id (letters and digits) answers it. Where snapshots come on the stream, a
        book is repaired by ending the subscription and, once that is acknowledged, making it anew.
        """
        ...

    def depth_symbol(self, stream: str) -> str | None:
        """Return the venue's symbol of a depth route, None for any other stream (for replays)."""
        ...

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Return the depth snapshot request."""
        ...

    def decode_snapshot(self, instrument: Instrument, body: bytes) -> BookSnapshot:
        """Return the snapshot in the instrument's scales; raises ProtocolViolation."""
        ...

    def decode_market(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode a message that the depth kernel passed on; unknown kinds give ``()``."""
        ...

    def time_request(self) -> HttpRequest:
        """Return the request for the venue's clock."""
        ...

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds."""
        ...

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200; ``retry_after`` is that header's text."""
        ...


class TradingAdapter(Protocol):
    """Private side of one venue product. ``stamp_ms`` is venue time, offset already applied.

    ``retry_after`` is the text of the answer's Retry-After header. Decoders of answers never raise:
    what cannot be understood is an UNKNOWN VenueError. ``decode_private`` raises ProtocolViolation only.
    """

    venue: str
    product: Product
    private_rules: ConnectionRules
    trade_rules: ConnectionRules
    validity_ms: int
    """How long a signed request stays valid at the venue (recvWindow and the like)."""
    give_up_ms: int
    """How long the venue itself may still act on an accepted request after its validity."""

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place over REST."""
        ...

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel over REST; by venue id when known, else by client id."""
        ...

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query over REST."""
        ...

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders, of one instrument or of all."""
        ...

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of every open order of one instrument."""
        ...

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of own fills, ascending."""
        ...

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query."""
        ...

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a position query; ``None`` for spot."""
        ...

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode a place over the WebSocket order entry."""
        ...

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode a cancel over the WebSocket order entry."""
        ...

    def query_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode a status query over the WebSocket order entry."""
        ...

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, cancel or query. An undecodable body is an UNKNOWN VenueError."""
        ...

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode an answer that lists orders: open ones, or those that a cancel-all ended.

        Empty where a venue only confirms a cancel-all: the cancels then arrive as reports. "Nothing to
        cancel" is a REFUSED VenueError with reason UNKNOWN_ORDER where the venue says it so.
        """
        ...

    def decode_fills(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[ExecutionReport] | VenueError:
        """Decode a page of own fills, ascending by trade id.

        A fill list need not tell what its order looks like: ``client_order_id`` is then "", ``price`` and
        ``qty`` are 0, ``cum_qty`` is ``None``, and the state WORKING only says "was accepted".
        """
        ...

    def decode_balances(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Balance] | VenueError:
        """Decode balances."""
        ...

    def decode_positions(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Position] | VenueError:
        """Decode positions."""
        ...

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a question for the account's settings; ``None`` where nothing can be wrong."""
        ...

    def decode_account_check(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> str | VenueError:
        """Return why this account must not be traded (and what to do), or "" when it is fit."""
        ...

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        ...

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return the login message of the order-entry connection, or ``None`` if each request is signed.

        Empty where the venue speaks first: its words are answered by ``ToSend``, and a ``WsReply`` with this
        id ends the login.
        """
        ...

    def set_logged_on(self, logged_on: bool) -> None:
        """Say whether the order-entry connection is logged on; if not, each request is signed.

        Call it with False whenever that connection ends or its login is revoked.
        """
        ...

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return what to send on a fresh private connection."""
        ...

    def private_url(self, listen_key: str | None) -> str:
        """Return the address of the private connection."""
        ...

    def listen_key_request(self) -> HttpRequest | None:
        """Return the request that opens or renews a listen key, or ``None`` where there is none."""
        ...

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return the listen key."""
        ...

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the private connection; unknown kinds give ``()``."""
        ...

    def decode_trade(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the order-entry connection; unknown kinds give ``()``.

        A method of its own, because a venue may answer the login of either connection with the same bytes.
        """
        ...


@runtime_checkable
class SignedDialling(Protocol):
    """Offered besides ``TradingAdapter`` where private addresses are signed, each with its own stamp.

    Sessions ask ``isinstance(adapter, SignedDialling)``; the adapters of other venues need nothing of this.
    """

    def signed_listen_key_request(self, stamp_ms: int) -> HttpRequest:
        """Return ``TradingAdapter.listen_key_request`` signed for now; it is used in its place."""
        ...

    def trade_url(self, stamp_ms: int) -> str:
        """Return the address of the order-entry connection, good for one connect right now."""
        ...


@runtime_checkable
class SignedReading(Protocol):
    """Offered besides ``MarketDataAdapter`` where a venue gives more public data to those who sign for it."""

    def sign_reads(self, credentials: Credentials, stamp_ms: Callable[[], int]) -> None:
        """Sign such reads from now on; ``stamp_ms`` returns the venue's time.

        Raises:
            ConfigError: the key cannot be used.
        """
        ...


@runtime_checkable
class AskingForSnapshots(Protocol):
    """Offered besides ``MarketDataAdapter`` where a fresh in-band snapshot can be asked for by a message.

    It is the first thing tried for a book that fell; a new subscription follows where it does not help.
    """

    def snapshot_message(self, instrument: Instrument) -> bytes:
        """Return the message; the snapshot on the depth stream is its only answer."""
        ...


@runtime_checkable
class Amending(Protocol):
    """Offered besides ``TradingAdapter`` where the venue changes orders in place (``Capabilities.amend``).

    ``decode_order`` and ``decode_trade`` decode the answers: an ``OrderAck`` says that the change was
    accepted, and names the venue's new order id where the venue gives one.
    """

    def amend_http(self, amend: AmendOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign an amend over REST; by venue id when known, else by client id.

        Raises:
            UsageError: the venue does not change orders in this way (its ``NOTES.md`` says what it does).
        """
        ...

    def amend_ws(self, amend: AmendOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode an amend over the WebSocket order entry; raises as ``amend_http``."""
        ...


@runtime_checkable
class Renaming(Protocol):
    """Offered besides ``Amending`` where an amended order gets a new venue order id.

    The end of the old id may be told as if the order had ended: the router then waits for proof.
    """

    renames_amended: bool


class RecordedDialect(msgspec.Struct, frozen=True):
    """One way in which depth frames of a venue product were recorded.

    Attributes:
        schema: what such frames follow.
        symbol_of: a route's venue symbol, None for streams that are no depth of this product.
        translate: makes a frame of an older protocol generation what the schema reads, or ``None`` where
            nothing has to be made. It may remember earlier frames; a replay asks for dialects of its own.
    """

    schema: DepthSchema
    symbol_of: Callable[[str], str | None]
    translate: Callable[[bytes], bytes] | None = None


@runtime_checkable
class Recorded(Protocol):
    """Offered besides ``MarketDataAdapter`` where recordings come in other shapes than today's stream."""

    def recorded_dialects(self) -> Sequence[RecordedDialect]:
        """Return every shape in which depth frames of this product were recorded, today's first."""
        ...


@runtime_checkable
class Continued(Protocol):
    """Offered besides ``MarketDataAdapter`` or ``TradingAdapter`` where an answer may be only a part.

    Lists come in pages, and an order may stand in one of several places. Each part is decoded like a whole.
    """

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        """Return what must be asked next, ``None`` when the answer is whole.

        A further page adds to what was listed; the second place of an order query answers in its stead.
        """
        ...
