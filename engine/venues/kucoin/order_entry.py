"""Orders on the wire: JSON bodies of requests out, acks and refusals in; REST and WebSocket alike.

    POST /api/v1/hf/orders  {"clientOid":"a1","side":"buy","symbol":"BTC-USDT","type":"limit","price":"50000",
                             "size":"0.00001","timeInForce":"GTC"}
    POST /api/v1/orders     {"clientOid":"a1","side":"buy","symbol":"XBTUSDTM","type":"limit","price":"90000",
                             "size":5,"timeInForce":"GTC","marginMode":"ISOLATED","leverage":1}
    {"id":"p1","op":"spot.order","args":{...}}

An acknowledgement says "accepted", never "done", for a place and a cancel alike: it names ids alone. What
became of the order is told by the private stream or a query. Bodies are laid out by hand, because this is
the hot path and every alphabet is known. Futures sizes are whole lots, without quotes.

Source: KuCoin API docs, "Add Order", "Cancel Order By OrderId", "Get Order By ClientOid" (spot HF,
futures), "Add Order - Websocket", seen 2026-08.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.orders import (
    AmendOrder,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    Retry,
    TimeInForce,
    VenueError,
    acknowledged,
    refuse_impossible,
    refuse_impossible_amend,
)
from engine.venues.kucoin.endpoints import REST_BUDGETS
from engine.venues.kucoin.errors import OK, classify, refusal_in, undecodable
from engine.venues.kucoin.frames import SIDES
from engine.venues.kucoin.numbers import (
    DECODE_ERRORS,
    Number,
    exact,
    number_price_in,
    number_qty_in,
    optional_time_ns,
    plain,
    qty_out,
    time_ns,
)

_LIMIT, _MARKET = OrderType.LIMIT, OrderType.MARKET
TIMES = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}", re.ASCII)
_VENUE_ORDER_ID = re.compile(r"[a-zA-Z0-9]{1,40}", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)
_OPERATIONS = {Product.SPOT: "spot", Product.PERP: "futures"}


# ----------------------------------------------------------------------------------------- requests


def check_order(product: Product, order: NewOrder, instrument: Instrument) -> None:
    """Refuse an order that this venue's encoding cannot express, before any byte of it exists.

    Raises:
        UsageError: names what is wrong.
    """
    refuse_impossible(product, order, instrument)
    problem = ""
    if order.time_in_force is TimeInForce.FOK and product is Product.PERP:
        problem = "futures have no FOK orders; use IOC"
    elif _CLIENT_ORDER_ID.fullmatch(order.client_order_id) is None:
        problem = f"client_order_id {order.client_order_id!r} must be 1 to 40 letters, digits, _ or -"
    if problem:
        raise UsageError(f"kucoin {instrument.universal}: {problem}")


def place_body(product: Product, order: NewOrder, instrument: Instrument, tail: str) -> str:
    """Return a new order's JSON; ``tail`` is what the account adds to each, starting with a comma, or "".

    Raises:
        UsageError: see :func:`check_order`; or the quantity is no whole number of lots.
    """
    check_order(product, order, instrument)
    size = qty_out(order.qty, instrument)
    text = (
        f'{{"clientOid":"{order.client_order_id}","side":"{order.side.word}"'
        f',"symbol":"{plain_text(instrument.symbol)}"'
    )
    if order.order_type is _MARKET:
        text += ',"type":"market"'
    else:
        text += (
            f',"type":"limit","price":"{plain(order.price, instrument.price_scale)}"'
            f',"timeInForce":"{TIMES[order.time_in_force]}"'
        )
        if order.post_only:
            text += ',"postOnly":true'
    text += f',"size":"{size}"' if product is Product.SPOT else f',"size":{size}'
    if order.reduce_only:
        text += ',"reduceOnly":true'
    return f"{text}{tail}}}"


def cancel_args(
    product: Product, instrument: Instrument, client_order_id: str, venue_order_id: str | None
) -> str:
    """Return the arguments of a cancel over the WebSocket: the venue's id when known, else ours."""
    symbol = f'"symbol":"{plain_text(instrument.symbol)}"'
    if venue_order_id:
        order_id = f'"orderId":"{checked_venue_id(venue_order_id)}"'
        return f"{{{symbol},{order_id}}}" if product is Product.SPOT else f"{{{order_id}}}"
    return f'{{{symbol},"clientOid":"{checked_client_id(client_order_id)}"}}'


def amend_args(amend: AmendOrder, instrument: Instrument) -> str:
    """Return the arguments of a spot amend, over REST and WebSocket alike.

    The venue makes a new order of it: with a new id, at the end of its price's queue; our id is kept. Its
    ``newSize`` is the whole size, what was filled included: an order filled that far ends.

    Raises:
        UsageError: the order cannot be named, or its price or quantity are none.
    """
    if instrument.product is not Product.SPOT:
        raise UsageError(
            f"kucoin {instrument.universal}: futures orders cannot be amended; cancel and place anew"
        )
    refuse_impossible_amend(amend, instrument)
    if amend.venue_order_id:
        named = f'"orderId":"{checked_venue_id(amend.venue_order_id)}"'
    else:
        named = f'"clientOid":"{checked_client_id(amend.client_order_id)}"'
    return (
        f'{{"symbol":"{plain_text(instrument.symbol)}",{named}'
        f',"newPrice":"{plain(amend.price, instrument.price_scale)}"'
        f',"newSize":"{qty_out(amend.qty, instrument)}"}}'
    )


def target_path(client_order_id: str, venue_order_id: str | None) -> str:
    """Return the end of a path that names an order: ``1234`` or ``client-order/a1``; raises UsageError."""
    if venue_order_id:
        return checked_venue_id(venue_order_id)
    return f"client-order/{checked_client_id(client_order_id)}"


def plain_text(symbol: str) -> str:
    """Return a symbol that may stand in a target or in JSON as it is.

    Raises:
        UsageError: it would have to be encoded, and the venue signs the other form.
    """
    if _PLAIN.fullmatch(symbol) is None:
        raise UsageError(f"kucoin: {symbol[:40]!r} cannot be traded here: its name has unusual characters")
    return symbol


def checked_venue_id(text: str) -> str:
    """Return an order id of the venue; raises UsageError."""
    if _VENUE_ORDER_ID.fullmatch(text) is None:
        raise UsageError(f"kucoin: {text[:40]!r} is no venue_order_id")
    return text


def checked_client_id(text: str) -> str:
    """Return an order id of ours; raises UsageError."""
    if _CLIENT_ORDER_ID.fullmatch(text) is None:
        raise UsageError(f"kucoin: {text[:40]!r} is no client_order_id")
    return text


def websocket_request(product: Product, request_id: str, operation: str, args: str) -> bytes:
    """Return a request of the order-entry connection: of an ``order``, ``cancel`` or ``modify``."""
    return f'{{"id":"{request_id}","op":"{_OPERATIONS[product]}.{operation}","args":{args}}}'.encode()


# ------------------------------------------------------------------------------------------ answers


class OrderRow(msgspec.Struct, gc=False):
    """An order as queries and lists tell it: text and ``active`` on spot, lots and ``status`` on futures."""

    id: str
    symbol: str
    side: str
    size: Number
    cancelExist: bool  # noqa: N815 - the wire's names
    clientOid: str | None = None  # noqa: N815
    type: str = "limit"
    timeInForce: str | None = None  # noqa: N815
    price: Number | None = None
    dealSize: Number | None = None  # noqa: N815
    dealFunds: Number | None = None  # noqa: N815
    filledSize: Number | None = None  # noqa: N815
    filledValue: Number | None = None  # noqa: N815
    dealValue: Number | None = None  # noqa: N815
    active: bool | None = None
    isActive: bool | None = None  # noqa: N815
    status: str = ""
    createdAt: int | None = None  # noqa: N815
    updatedAt: int | None = None  # noqa: N815
    lastUpdatedAt: int | None = None  # noqa: N815


class _Accepted(msgspec.Struct, gc=False):
    """What acknowledges a place, a cancel or an amend; which of the ids is told depends on the request."""

    orderId: str | None = None  # noqa: N815
    newOrderId: str | None = None  # noqa: N815
    clientOid: str | None = None  # noqa: N815
    cancelledOrderIds: list[str] | None = None  # noqa: N815
    id: str | None = None


class _Answer(msgspec.Struct, gc=False):
    code: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Page(msgspec.Struct, gc=False):
    """A page of a list on futures; a cancel-all names the ids it ended instead."""

    items: list[OrderRow] | None = None
    cancelledOrderIds: list[str] | None = None  # noqa: N815


class PoolState(msgspec.Struct, gc=False):
    """What an answer says of the pool that its request was counted in."""

    limit: int = 0
    remaining: int = 0


class WsAnswer(msgspec.Struct, gc=False):
    """Any message of the order-entry connection; the pool's state has two names in the documents."""

    id: str | int | None = None
    op: str = ""
    code: str | int = ""
    msg: str | None = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    outTime: int | None = None  # noqa: N815
    sessionId: str = ""  # noqa: N815
    userRateLimit: PoolState | None = None  # noqa: N815
    rateLimit: PoolState | None = None  # noqa: N815


_ANSWER = msgspec.json.Decoder(_Answer)
_ACCEPTED = msgspec.json.Decoder(_Accepted)
_ROW = msgspec.json.Decoder(OrderRow)
_ROWS = msgspec.json.Decoder(list[OrderRow])
_PAGE = msgspec.json.Decoder(_Page)
WS_ANSWER = msgspec.json.Decoder(WsAnswer)


def order_state(row: OrderRow, qty: int, cum_qty: int) -> OrderState:
    """Return an order's state; what the venue ended by its own rules is EXPIRED.

    Raises:
        ProtocolViolation: nothing says whether it works.
    """
    is_active = row.active if row.active is not None else row.isActive
    if is_active is None:
        if row.status not in ("open", "done"):
            raise ProtocolViolation(f"unknown order status {row.status[:40]!r}")
        is_active = row.status == "open"
    if is_active:
        return OrderState.WORKING
    if not row.cancelExist and (cum_qty >= qty > 0):
        return OrderState.FILLED
    if row.cancelExist and row.type == "limit" and row.timeInForce not in ("IOC", "FOK", "GTT"):
        return OrderState.CANCELLED
    return OrderState.EXPIRED


def ack_of(row: OrderRow, instrument: Instrument) -> OrderAck:
    """Return an order as an ack.

    Raises:
        ProtocolViolation: another instrument, an unknown status or side, or a value that does not fit.
    """
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"answer is about {row.symbol[:40]!r}, not {instrument.symbol!r}")
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side[:40]!r}")
    qty = number_qty_in(row.size, instrument)
    cum_qty = number_qty_in(row.dealSize if row.dealSize is not None else row.filledSize, instrument)
    quotes = (row.dealFunds, row.filledValue, row.dealValue)
    cum_quote = next((exact(each) for each in quotes if each is not None), None)
    return OrderAck(
        client_order_id=row.clientOid or "",
        venue_order_id=proven_venue_id(row.id),
        state=order_state(row, qty, cum_qty),
        price=number_price_in(row.price, instrument),
        qty=qty,
        cum_qty=cum_qty,
        cum_quote=cum_quote if cum_quote is not None else (None if cum_qty else Decimal(0)),
        side=side,
        venue_utc_ns=optional_time_ns(row.updatedAt or row.lastUpdatedAt or row.createdAt),
    )


def proven_venue_id(text: str) -> str:
    """Return an order id that the venue told; raises ProtocolViolation."""
    if _VENUE_ORDER_ID.fullmatch(text) is None:
        raise ProtocolViolation(f"{text[:40]!r} is no order id")
    return text


def _accepted(data: _Accepted, venue_utc_ns: int | None = None) -> OrderAck | VenueError:
    """Return an acknowledgement: accepted, and nothing later.

    A cancel by our id is answered with that id alone: ``venue_order_id`` is then "". An amend names the id
    that the order has from now on.
    """
    order_id = data.newOrderId or data.orderId or ""
    if data.cancelledOrderIds is not None:
        if not data.cancelledOrderIds:
            return VenueError(
                OK, "nothing was cancelled", Outcome.REFUSED, RejectReason.UNKNOWN_ORDER, Retry.READ
            )
        if len(data.cancelledOrderIds) != 1:
            raise ProtocolViolation(f"{len(data.cancelledOrderIds)} orders cancelled, not one")
        order_id = data.cancelledOrderIds[0]
    if not order_id and not data.clientOid:
        raise ProtocolViolation("neither an order nor an acknowledgement")
    return acknowledged(data.clientOid or "", proven_venue_id(order_id) if order_id else "", venue_utc_ns)


def decode_order(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> OrderAck | VenueError:
    """Decode the answer to a place, cancel or query over REST; never raises."""
    refusal = refusal_in(instrument.product, status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        data = _ANSWER.decode(body).data
        accepted = _ACCEPTED.decode(data)
        if accepted.id is not None:
            return ack_of(_ROW.decode(data), instrument)
        return _accepted(accepted)
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)


def decode_orders(
    product: Product,
    known: dict[str, Instrument],
    status: int,
    body: bytes,
    retry_after: str | None = None,
) -> list[OrderAck] | VenueError:
    """Decode a list of open orders; orders of instruments that are not known are left out.

    A page of several is decoded like a whole: :func:`next_page` tells what follows. A cancel-all names at
    most ids: the list is then empty, and the cancels arrive as reports.
    """
    refusal = refusal_in(product, status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        data = _ANSWER.decode(body).data
        if bytes(data) == b'"success"':
            return []
        if bytes(data).startswith(b"["):
            rows = _ROWS.decode(data)
        else:
            page = _PAGE.decode(data)
            if page.items is None and page.cancelledOrderIds is None:
                raise ProtocolViolation("neither a list of orders nor a cancel-all")
            rows = page.items or []
        return [ack_of(row, known[row.symbol]) for row in rows if row.symbol in known]
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)


class _Place(msgspec.Struct, gc=False):
    """Where a page stands among others; the unified interface has another name for its number."""

    currentPage: int = 0  # noqa: N815
    pageNumber: int = 0  # noqa: N815
    totalPage: int = 0  # noqa: N815


class _Placed(msgspec.Struct, gc=False):
    data: _Place


_PLACED = msgspec.json.Decoder(_Placed)


def next_page(target: str, status: int, body: bytes, parameter: str) -> str | None:
    """Return the target of the page after this one, ``None`` after the last or where there are none.

    Args:
        parameter: the query's name for the page's number; it comes last in the targets made here.
    """
    if status != 200:
        return None
    try:
        place = _PLACED.decode(body).data
    except DECODE_ERRORS:
        return None
    page = place.currentPage or place.pageNumber
    if not 0 < page < place.totalPage:
        return None
    return f"{target.partition(f'&{parameter}=')[0]}&{parameter}={page + 1}"


def ws_result(product: Product, answer: WsAnswer) -> OrderAck | VenueError:
    """Return what an answer on the order-entry connection says of its one order; never raises."""
    code = str(answer.code)
    if code != OK:
        return classify(product, 200, code, answer.msg or "")
    try:
        stamp = time_ns(answer.outTime) if answer.outTime is not None else None
        return _accepted(_ACCEPTED.decode(answer.data), stamp)
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(200, why)


def ws_usage(product: Product, answer: WsAnswer) -> tuple[tuple[str, int], ...]:
    """Return what is used of our budgets: the share that is used of the pool, as over REST."""
    pool = answer.userRateLimit or answer.rateLimit
    if pool is None or not 0 <= pool.remaining <= pool.limit or pool.limit < 1:
        return ()
    used = pool.limit - pool.remaining
    return tuple((rule.name, used * rule.limit // pool.limit) for rule in REST_BUDGETS[product])
