"""Order values: what we want, what the venue answered, what happened.

What happened to a *request* and what happened to the *order* are two facts with two enums.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

from engine.model.errors import UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side


class _Word(enum.Enum):
    """A closed set of words. Members are singletons: they hash by identity, in C, as the order path needs."""

    __hash__ = object.__hash__


class OrderType(_Word):
    """How the order meets the book."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(_Word):
    """How long the order lives. Post-only is a flag, even where a venue encodes it here."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class OrderState(_Word):
    """Where an order stands, as far as it has been proven."""

    PENDING_NEW = "pending_new"
    """Accepted by our checks; its bytes may or may not have left."""
    WORKING = "working"
    """On the venue's book (or accepted), nothing or a part filled."""
    PENDING_CANCEL = "pending_cancel"
    """A cancel was sent; the order works until the venue says otherwise."""
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    """The venue refused it: it never worked."""
    NOT_SENT = "not_sent"
    """No byte left this host: it never worked."""
    IN_DOUBT = "in_doubt"
    """Sent, outcome unknown: asked for until proven, counted at worst case, never resent."""
    ABSENT = "absent"
    """Proven never to have been accepted (deadline passed, not found, no fills)."""

    is_final: bool
    """Whether no later evidence but fills can move the order."""


_FINAL = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
        OrderState.NOT_SENT,
        OrderState.ABSENT,
    }
)
for _state in OrderState:
    _state.is_final = _state in _FINAL  # read several times for every event of an order


class Outcome(_Word):
    """What is known of one request after its answer (or the lack of one)."""

    DONE = "done"
    """The venue did it."""
    REFUSED = "refused"
    """The venue definitely did not do it."""
    UNKNOWN = "unknown"
    """It may or may not have happened: reconcile, never assume."""


class RejectReason(_Word):
    """Why a request was refused, in venue-neutral words."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    WOULD_TAKE = "would_take"
    FOK_UNFILLABLE = "fok_unfillable"
    DUPLICATE_CLIENT_ORDER_ID = "duplicate_client_order_id"
    UNKNOWN_ORDER = "unknown_order"
    REDUCE_ONLY = "reduce_only"
    PRICE_FILTER = "price_filter"
    QTY_FILTER = "qty_filter"
    NOTIONAL_FILTER = "notional_filter"
    PRICE_BAND = "price_band"
    TOO_MANY_ORDERS = "too_many_orders"
    RATE_LIMIT = "rate_limit"
    BANNED = "banned"
    CLOCK = "clock"
    AUTH = "auth"
    NOT_TRADING = "not_trading"
    OVERLOADED = "overloaded"
    NO_CHANGE = "no_change"
    MALFORMED = "malformed"
    OTHER = "other"


class Retry(_Word):
    """What may be done after an error answer."""

    NEVER = "never"
    """The same request will fail again, or repeating it is dangerous."""
    READ = "read"
    """Reads and cancels may be repeated after a pause; a place must not."""
    RESIGN = "resign"
    """Measure the clock, sign anew, once: the venue certainly did not accept it."""
    AFTER_WAIT = "after_wait"
    """Allowed again after the named wait (rate window, overload)."""


class VenueError(msgspec.Struct, frozen=True, gc=False):
    """One row of a venue's error table, applied to one answer.

    Attributes:
        code: the venue's code as text, ``http:503`` where there was none.
        message: the venue's text, control characters removed, cut to 300 characters.
        outcome: whether the request happened.
        retry_after_ms: how long the venue asked us to wait, or ``None``.
        banned_until_utc_ms: until when it bans us, where its text names an instant.
    """

    code: str
    message: str
    outcome: Outcome
    reason: RejectReason
    retry: Retry
    retry_after_ms: int | None = None
    banned_until_utc_ms: int | None = None


class NewOrder(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An intent to place, already normalised: ``price`` and ``qty`` are scaled and on tick and lot.

    ``price`` is 0 for market orders. ``client_order_id`` is unique for ever.
    """

    venue: str
    universal: str
    client_order_id: str
    side: Side
    order_type: OrderType
    qty: int
    price: int = 0
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False


_LIMIT, _MARKET, _GTC, _SPOT = OrderType.LIMIT, OrderType.MARKET, TimeInForce.GTC, Product.SPOT


def refuse_impossible(product: Product, order: NewOrder, instrument: Instrument) -> None:
    """Refuse an order that makes no sense at any venue.

    Raises:
        UsageError: names what is wrong.
    """
    is_limit = order.order_type is _LIMIT
    is_priced = order.price > 0 if is_limit else order.price == 0
    is_plain = not order.post_only and not order.reduce_only
    if is_plain and is_priced and order.qty > 0 and order.universal == instrument.universal:
        return
    problem = ""
    if order.universal != instrument.universal:
        problem = f"the order is for {order.universal}"
    elif order.qty <= 0:
        problem = f"qty must be positive, not {order.qty}"
    elif is_limit and order.price <= 0:
        problem = f"a limit order needs a positive price, not {order.price}"
    elif order.order_type is _MARKET and order.price != 0:
        problem = "a market order has no price"
    elif order.post_only and not is_limit:
        problem = "only a limit order can be post-only"
    elif order.post_only and order.time_in_force is not _GTC:
        problem = "a post-only order rests: its time in force must be GTC"
    elif order.reduce_only and product is _SPOT:
        problem = "spot has no reduce-only orders"
    if problem:
        raise UsageError(f"{instrument.venue} {instrument.universal}: {problem}")


class AmendOrder(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An intent to change a working limit order in place, already normalised.

    ``qty`` and ``price`` are what the order shall have afterwards, scaled and on lot and tick: ``qty`` is the
    whole quantity, what was filled included. What does not change is repeated: ``known_qty`` and
    ``known_price`` are the proven terms that it changes, 0 = not told. ``venue_order_id`` is "" where it is
    not known yet.
    """

    venue: str
    universal: str
    client_order_id: str
    venue_order_id: str
    side: Side
    qty: int
    price: int
    known_qty: int = 0
    known_price: int = 0


def refuse_impossible_amend(amend: AmendOrder, instrument: Instrument) -> None:
    """Refuse an amend that makes no sense at any venue.

    Raises:
        UsageError: names what is wrong.
    """
    problem = ""
    if amend.universal != instrument.universal:
        problem = f"the amend is for {amend.universal}"
    elif amend.qty <= 0 or amend.price <= 0:
        problem = f"an amend needs a positive qty and price, not {amend.qty} and {amend.price}"
    elif (amend.qty, amend.price) == (amend.known_qty, amend.known_price):
        problem = "the amend changes nothing"
    if problem:
        raise UsageError(f"{instrument.venue} {instrument.universal}: {problem}")


class OrderAck(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The venue accepted a place, cancel or amend, or reported an order on query.

    ``state`` is what the answer itself proves; ``cum_qty`` is scaled base units. Some venues answer a place
    with its ids alone: ``side`` is then ``None``, ``price`` and ``qty`` are 0, and WORKING says "accepted".
    BitMart's confirmation of a cancel does not even name the order: both ids are then "".
    """

    client_order_id: str
    venue_order_id: str
    state: OrderState
    price: int
    qty: int
    cum_qty: int
    cum_quote: Decimal | None
    side: Side | None
    venue_utc_ns: int | None


def acknowledged(client_order_id: str, venue_order_id: str, venue_utc_ns: int | None) -> OrderAck:
    """Return what an answer proves that names ids and nothing else: the request was accepted."""
    return OrderAck(
        client_order_id=client_order_id,
        venue_order_id=venue_order_id,
        state=OrderState.WORKING,
        price=0,
        qty=0,
        cum_qty=0,
        cum_quote=None,
        side=None,
        venue_utc_ns=venue_utc_ns,
    )


class Fill(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Our own execution; each ``trade_id`` counts once per instrument."""

    trade_id: str
    price: int
    qty: int
    fee: Decimal | None
    fee_asset: str | None
    is_maker: bool | None
    venue_utc_ns: int


class ExecutionReport(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Any change of one of our orders, told by the private stream.

    ``state``, ``price`` and ``qty`` are the order's after the event; ``fill`` is set for executions;
    ``reason`` is the venue's word for an unsolicited end, or for a failed amend. ``amended`` is set where the
    venue names an amend as the cause: False says that it took the request and then did not change the order.
    """

    venue: str
    universal: str
    client_order_id: str
    venue_order_id: str
    side: Side
    state: OrderState
    price: int
    qty: int
    cum_qty: int | None
    fill: Fill | None
    reason: str | None
    venue_utc_ns: int
    recv_mono_ns: int
    amended: bool | None = None


def fill_alone(
    instrument: Instrument,
    client_order_id: str,
    venue_order_id: str,
    side: Side,
    fill: Fill,
    recv_mono_ns: int = 0,
) -> ExecutionReport:
    """Return the report of a fill that says nothing else of its order: WORKING only means "was accepted"."""
    return ExecutionReport(
        venue=instrument.venue,
        universal=instrument.universal,
        client_order_id=client_order_id,
        venue_order_id=venue_order_id,
        side=side,
        state=OrderState.WORKING,
        price=0,
        qty=0,
        cum_qty=None,
        fill=fill,
        reason=None,
        venue_utc_ns=fill.venue_utc_ns,
        recv_mono_ns=recv_mono_ns,
    )
