"""Orders on the wire: JSON bodies of requests out, acknowledgements and orders in; REST and WebSocket alike.

    POST /v5/order/create  {"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit",
                            "qty":"0.01","price":"71000.1","timeInForce":"PostOnly","positionIdx":0,
                            "orderLinkId":"a1"}
    {"reqId":"p1-..","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"3000"},
     "op":"order.create","args":[{..the same object..}]}

An acknowledgement says "accepted", never "done", for a place, an amend and a cancel alike: it names the ids
and nothing else. What became of the order is told by the ``order`` topic or a query. Bodies are laid out by
hand, because this is the hot path and every alphabet is known.

Source: Bybit v5 API docs, "Place Order", "Amend Order", "Cancel Order", "Cancel All Orders", "Get Open &
Closed Orders", "Get Order History", "Websocket Trade Guideline", seen 2026-07.
"""

from __future__ import annotations

import re
from decimal import Decimal
from urllib.parse import quote

import msgspec

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.orders import (
    AmendOrder,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    TimeInForce,
    VenueError,
    acknowledged,
    refuse_impossible,
    refuse_impossible_amend,
)
from engine.venues.bybit.endpoints import CATEGORIES
from engine.venues.bybit.errors import not_found, refusal_in, undecodable
from engine.venues.bybit.frames import SIDES
from engine.venues.bybit.numbers import (
    DECODE_ERRORS,
    MS,
    Millis,
    optional_decimal,
    price_in,
    price_out,
    qty_in,
    qty_out,
    time_ns,
)

ORDER_STATES = {
    "New": OrderState.WORKING,
    "PartiallyFilled": OrderState.WORKING,
    "Untriggered": OrderState.WORKING,
    "Triggered": OrderState.WORKING,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELLED,
    "PartiallyFilledCanceled": OrderState.CANCELLED,
    "Deactivated": OrderState.CANCELLED,
    "Rejected": OrderState.EXPIRED,
}
"""``Rejected`` comes after the acknowledgement: the order had been accepted, and was ended by the venue."""

_ASKED_FOR = ("CancelByUser", "CancelByDCP")
_NO_REASON = ("", "EC_NoError", "EC_PerCancelRequest", "UNKNOWN")

_LIMIT, _MARKET = OrderType.LIMIT, OrderType.MARKET
_SIDE_WORDS = {side: word for word, side in SIDES.items()}
_TIMES_IN_FORCE = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}", re.ASCII)
_VENUE_ORDER_ID = re.compile(r"[a-zA-Z0-9-]{1,64}", re.ASCII)


# ----------------------------------------------------------------------------------------- requests


def check_order(product: Product, order: NewOrder, instrument: Instrument) -> None:
    """Refuse an order that this venue's encoding cannot express, before any byte of it exists.

    Raises:
        UsageError: names what is wrong.
    """
    refuse_impossible(product, order, instrument)
    problem = ""
    if order.order_type is _MARKET and order.time_in_force is TimeInForce.FOK:
        problem = "a market order is immediate-or-cancel at this venue, never fill-or-kill"
    elif _CLIENT_ORDER_ID.fullmatch(order.client_order_id) is None:
        problem = f"client_order_id {order.client_order_id!r} must be 1 to 36 letters, digits, - and _"
    if problem:
        raise UsageError(f"bybit {instrument.universal}: {problem}")


def market_fields(product: Product, instrument: Instrument) -> str:
    """Return ``"category":"linear","symbol":"BTCUSDT"``: the same symbol is another market per category."""
    return f'"category":"{CATEGORIES[product]}","symbol":{msgspec.json.encode(instrument.symbol).decode()}'


def place_body(product: Product, order: NewOrder, instrument: Instrument) -> str:
    """Return a new order as the object that REST and the WebSocket take.

    Spot market orders say that their size is base units (``marketUnit``): a buy's would be quote otherwise.
    Perpetuals say one-way mode (``positionIdx`` 0): in hedge mode the venue then refuses the order.

    Raises:
        UsageError: see :func:`check_order`.
    """
    check_order(product, order, instrument)
    text = (
        f'{{{market_fields(product, instrument)},"side":"{_SIDE_WORDS[order.side]}"'
        f',"orderType":"{"Market" if order.order_type is _MARKET else "Limit"}"'
        f',"qty":"{qty_out(order.qty, instrument)}"'
    )
    if order.order_type is _MARKET:
        if product is Product.SPOT:
            text += ',"marketUnit":"baseCoin"'
    else:
        force = "PostOnly" if order.post_only else _TIMES_IN_FORCE[order.time_in_force]
        text += f',"price":"{price_out(order.price, instrument)}","timeInForce":"{force}"'
    if product is Product.PERP:
        text += ',"positionIdx":0'
    if order.reduce_only:
        text += ',"reduceOnly":true'
    return f'{text},"orderLinkId":"{order.client_order_id}"}}'


def amend_body(product: Product, amend: AmendOrder, instrument: Instrument) -> str:
    """Return an amend; ``qty`` is the order's whole quantity afterwards, what was filled included.

    Raises:
        UsageError: another instrument, nothing left, or an id that cannot name an order.
    """
    refuse_impossible_amend(amend, instrument)
    target = target_fields(amend.client_order_id, amend.venue_order_id)
    return (
        f"{{{market_fields(product, instrument)},{target}"
        f',"qty":"{qty_out(amend.qty, instrument)}","price":"{price_out(amend.price, instrument)}"}}'
    )


def cancel_body(
    product: Product, instrument: Instrument, client_order_id: str, venue_order_id: str | None
) -> str:
    """Return a cancel; raises UsageError where neither id can name an order."""
    return f"{{{market_fields(product, instrument)},{target_fields(client_order_id, venue_order_id)}}}"


def target_fields(client_order_id: str, venue_order_id: str | None) -> str:
    """Return the field that names an order: the venue's id when known, else ours.

    Raises:
        UsageError: neither id can name an order.
    """
    if venue_order_id:
        return f'"orderId":"{_checked(venue_order_id, _VENUE_ORDER_ID, "venue_order_id")}"'
    return f'"orderLinkId":"{_checked(client_order_id, _CLIENT_ORDER_ID, "client_order_id")}"'


def target_query(client_order_id: str, venue_order_id: str | None) -> str:
    """Return :func:`target_fields` as a query."""
    name, _, value = target_fields(client_order_id, venue_order_id).replace('"', "").partition(":")
    return f"{name}={value}"


def url_text(text: str) -> str:
    """Return a symbol percent-encoded for a query."""
    return quote(text, safe="")


def _checked(text: str, pattern: re.Pattern[str], what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise UsageError(f"bybit: {text[:40]!r} is no {what}")
    return text


def websocket_request(request_id: str, operation: str, body: str, stamp_ms: int, window_ms: int) -> bytes:
    """Return an order request for the order-entry connection: not signed, but it must arrive in time."""
    header = f'{{"X-BAPI-TIMESTAMP":"{stamp_ms}","X-BAPI-RECV-WINDOW":"{window_ms}"}}'
    return f'{{"reqId":"{request_id}","header":{header},"op":"{operation}","args":[{body}]}}'.encode()


# ------------------------------------------------------------------------------------------ answers


class OrderRow(msgspec.Struct, gc=False):
    """An order as queries and the ``order`` topic tell it. ``qty`` of a spot market buy may be quote."""

    symbol: str
    orderId: str  # noqa: N815 - the wire's names
    orderStatus: str  # noqa: N815
    side: str
    qty: str
    orderLinkId: str = ""  # noqa: N815
    price: str = ""
    cumExecQty: str = ""  # noqa: N815
    cumExecValue: str = ""  # noqa: N815
    orderType: str = ""  # noqa: N815
    marketUnit: str = ""  # noqa: N815
    cancelType: str = ""  # noqa: N815
    rejectReason: str = ""  # noqa: N815
    updatedTime: str = ""  # noqa: N815
    createdTime: str = ""  # noqa: N815


class Accepted(msgspec.Struct, gc=False):
    """The ids that an acknowledgement names."""

    orderId: str  # noqa: N815
    orderLinkId: str = ""  # noqa: N815


class _Result(msgspec.Struct, gc=False):
    """``{"orderId":..,"orderLinkId":..}``, or ``{"list":[..],"nextPageCursor":"","category":"linear"}``."""

    rows: list[msgspec.Raw] | None = msgspec.field(name="list", default=None)
    category: str = ""


class _Answer(msgspec.Struct, gc=False):
    result: msgspec.Raw
    time: Millis = 0


_ANSWER = msgspec.json.Decoder(_Answer)
_RESULT = msgspec.json.Decoder(_Result)
_ACCEPTED = msgspec.json.Decoder(Accepted)
_ROW = msgspec.json.Decoder(OrderRow)


def order_qty(product: Product, row: OrderRow, instrument: Instrument) -> int:
    """Return an order's quantity in scaled base units; 0 (not known) where it was told in quote currency."""
    is_quote = row.marketUnit == "quoteCoin" or (row.marketUnit != "baseCoin" and row.side == "Buy")
    if product is Product.SPOT and row.orderType == "Market" and is_quote:
        return 0
    return qty_in(row.qty, instrument)


def order_state(row: OrderRow) -> OrderState:
    """Return an order's state; what the venue ended by its own rules is EXPIRED.

    A cancel that crosses the last fill brings a second ``Filled``: the same state, with a refusal as reason.

    Raises:
        ProtocolViolation: an unknown state.
    """
    state = ORDER_STATES.get(row.orderStatus)
    if state is None:
        raise ProtocolViolation(f"unknown order state {row.orderStatus[:40]!r}")
    if state is OrderState.CANCELLED and end_reason(row):
        return OrderState.EXPIRED
    return state


def end_reason(row: OrderRow) -> str:
    """Return the venue's word for an end that nobody asked for, "" where somebody did."""
    if row.rejectReason not in _NO_REASON:
        return row.rejectReason[:80]
    return "" if row.cancelType in _NO_REASON or row.cancelType in _ASKED_FOR else row.cancelType[:80]


def ack_of(product: Product, row: OrderRow, instrument: Instrument) -> OrderAck:
    """Return an order as an ack.

    Raises:
        ProtocolViolation: another instrument, an unknown state or side, or a value that does not fit.
    """
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"answer is about {row.symbol[:40]!r}, not {instrument.symbol!r}")
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side[:40]!r}")
    stamp = row.updatedTime or row.createdTime
    return OrderAck(
        client_order_id=row.orderLinkId,
        venue_order_id=_venue_id(row.orderId),
        state=order_state(row),
        price=price_in(row.price, instrument),
        qty=order_qty(product, row, instrument),
        cum_qty=qty_in(row.cumExecQty, instrument),
        cum_quote=optional_decimal(row.cumExecValue) or Decimal(0),
        side=side,
        venue_utc_ns=time_ns(stamp) if stamp else None,
    )


def _venue_id(text: str) -> str:
    if _VENUE_ORDER_ID.fullmatch(text) is None:
        raise ProtocolViolation(f"{text[:40]!r} is no order id")
    return text


def accepted(ids: Accepted, time_ms: int) -> OrderAck:
    """Return an acknowledgement: accepted, and nothing later; raises ProtocolViolation."""
    return acknowledged(ids.orderLinkId, _venue_id(ids.orderId), time_ms * MS if time_ms else None)


def decode_order(
    product: Product, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> OrderAck | VenueError:
    """Decode the answer to a place, amend, cancel or query over REST; never raises."""
    refusal = refusal_in(status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        answer = _ANSWER.decode(body)
        result = _RESULT.decode(answer.result)
        if result.rows is None:
            return accepted(_ACCEPTED.decode(answer.result), answer.time)
        _check_category(product, result)
        if not result.rows:
            return not_found()
        if len(result.rows) != 1:
            raise ProtocolViolation(f"{len(result.rows)} orders, not one")
        return ack_of(product, _ROW.decode(result.rows[0]), instrument)
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)


def _check_category(product: Product, result: _Result) -> None:
    if result.category not in ("", CATEGORIES[product]):
        raise ProtocolViolation(f"orders of category {result.category[:20]!r}")


def decode_orders(
    product: Product,
    known: dict[str, Instrument],
    status: int,
    body: bytes,
    retry_after: str | None = None,
) -> list[OrderAck] | VenueError:
    """Decode a page of open orders, or the ids whose cancels a cancel-all had accepted.

    Orders of instruments that are not known (dated futures, say) are left out.
    """
    refusal = refusal_in(status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        answer = _ANSWER.decode(body)
        result = _RESULT.decode(answer.result)
        if result.rows is None:
            raise ProtocolViolation("no list of orders")
        _check_category(product, result)
        acks = []
        for raw in result.rows:
            if b'"orderStatus"' not in bytes(raw):
                acks.append(accepted(_ACCEPTED.decode(raw), answer.time))
                continue
            row = _ROW.decode(raw)
            if row.symbol in known:
                acks.append(ack_of(product, row, known[row.symbol]))
        return acks
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)
