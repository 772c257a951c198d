"""Orders on the wire: JSON bodies of requests out, acks and refusals in. REST is all there is.

    POST /spot/v2/submit_order           {"symbol":"BTC_USDT","side":"buy","type":"limit",
                                          "client_order_id":"a1","size":"0.1","price":"8800"}
    POST /contract/private/submit-order  {"symbol":"BTCUSDT","client_order_id":"a1","side":1,"size":10,
                                          "type":"limit","mode":1,"price":"2000","leverage":"1",
                                          "open_type":"cross"}

An acknowledgement says "accepted", never "done": a place names the venue's id and no more, a cancel names
nothing at all. What became of the order is told by the private stream or a query, and a query needs two
questions, of what is open and of what is finished. Bodies are laid out by hand, because this is the hot path
and every alphabet is known. Futures sizes are whole contracts, without quotes; ids are JSON integers there
that may exceed 2**53.

Source: BitMart API docs, "New Order (v2)", "Cancel Order (v3)", "Query Order By Id (v4)", "Submit Order",
"Modify Limit Order", "Cancel Order", "Get Order Detail", "Get All Open Orders", "Get Order History", seen
2026-11.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
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
from engine.venues.bitmart.endpoints import FUTURES_ORDERS_PAGE, SPOT_ORDERS_PAGE
from engine.venues.bitmart.errors import error_in, refusal_in, undecodable
from engine.venues.bitmart.frames import SIDES
from engine.venues.bitmart.numbers import (
    DECODE_ERRORS,
    decimal,
    identifier,
    optional_time_ns,
    plain,
    price_in,
    qty_in,
    qty_out,
)

SPOT_STATES = {
    "new": OrderState.WORKING,
    "partially_filled": OrderState.WORKING,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "partially_canceled": OrderState.CANCELLED,
    "failed": OrderState.EXPIRED,
}
"""``failed`` was seen by others and is not documented: the venue took the order and then did not work it."""

FUTURES_SIDES = {
    (Side.BUY, False): 1,
    (Side.BUY, True): 2,
    (Side.SELL, True): 3,
    (Side.SELL, False): 4,
}
"""One-way mode: 1 buy, 2 buy reduce-only, 3 sell reduce-only, 4 sell. In hedge mode the same numbers open a
long, close a short, close a long and open a short."""
SIDE_OF = {1: Side.BUY, 2: Side.BUY, 3: Side.SELL, 4: Side.SELL}
_OPENING = (1, 4)

LIVE_STATES = (1, 2)
CLOSED_STATE = 4
"""Futures: 1 being approved, 2 live, 4 closed, which may be filled or cancelled: the size done tells."""

_MODES = {TimeInForce.GTC: 1, TimeInForce.FOK: 2, TimeInForce.IOC: 3}
_MAKER_ONLY = 4
_LIMIT, _MARKET = OrderType.LIMIT, OrderType.MARKET
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9]{1,32}", re.ASCII)
_VENUE_ORDER_ID = re.compile(r"[0-9]{1,24}", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)


class Margin(msgspec.Struct, frozen=True, gc=False):
    """How a contract's positions are held; an opening order must say the same."""

    leverage: str = "1"
    open_type: str = "cross"


# ----------------------------------------------------------------------------------------- requests


def check_order(product: Product, order: NewOrder, instrument: Instrument) -> None:
    """Refuse an order that this venue's encoding cannot express, before any byte of it exists.

    Raises:
        UsageError: names what is wrong.
    """
    refuse_impossible(product, order, instrument)
    problem = ""
    is_market = order.order_type is _MARKET
    if product is Product.SPOT and order.time_in_force is TimeInForce.FOK:
        problem = "spot has no FOK orders; use IOC"
    elif product is Product.SPOT and is_market and order.side is Side.BUY:
        problem = "a market buy is an amount of quote currency here, not a quantity; use a limit IOC order"
    elif _CLIENT_ORDER_ID.fullmatch(order.client_order_id) is None:
        problem = f"client_order_id {order.client_order_id!r} must be 1 to 32 letters and digits"
    if problem:
        raise UsageError(f"bitmart {instrument.universal}: {problem}")


def spot_place(order: NewOrder, instrument: Instrument) -> str:
    """Return a new spot order's JSON; raises UsageError, see :func:`check_order`."""
    check_order(Product.SPOT, order, instrument)
    kind = "market" if order.order_type is _MARKET else "limit"
    if order.post_only:
        kind = "limit_maker"
    elif order.time_in_force is TimeInForce.IOC and order.order_type is _LIMIT:
        kind = "ioc"
    text = (
        f'{{"symbol":"{plain_text(instrument.symbol)}","side":"{order.side.word}","type":"{kind}"'
        f',"client_order_id":"{order.client_order_id}","size":"{qty_out(order.qty, instrument)}"'
    )
    if order.order_type is _LIMIT:
        text += f',"price":"{plain(order.price, instrument.price_scale)}"'
    return text + "}"


def futures_place(order: NewOrder, instrument: Instrument, margin: Margin) -> str:
    """Return a new futures order's JSON; raises UsageError, see :func:`check_order`.

    Orders that only reduce name no leverage: theirs is the position's.
    """
    check_order(Product.PERP, order, instrument)
    side = FUTURES_SIDES[order.side, order.reduce_only]
    text = (
        f'{{"symbol":"{plain_text(instrument.symbol)}","client_order_id":"{order.client_order_id}"'
        f',"side":{side},"size":{qty_out(order.qty, instrument)}'
    )
    if order.order_type is _MARKET:
        text += ',"type":"market"'
    else:
        mode = _MAKER_ONLY if order.post_only else _MODES[order.time_in_force]
        text += f',"type":"limit","mode":{mode},"price":"{plain(order.price, instrument.price_scale)}"'
    if side in _OPENING:
        text += f',"leverage":"{margin.leverage}","open_type":"{margin.open_type}"'
    return text + "}"


def futures_amend(amend: AmendOrder, instrument: Instrument) -> str:
    """Return the JSON of a change of price and size (whole contracts, what was filled included).

    Raises:
        UsageError: another instrument's, no quantity or price, no whole number of contracts, or no id.
    """
    refuse_impossible_amend(amend, instrument)
    if amend.venue_order_id:
        target = f'"order_id":{checked_venue_id(amend.venue_order_id)}'
    else:
        target = f'"client_order_id":"{checked_client_id(amend.client_order_id)}"'
    return (
        f'{{"symbol":"{plain_text(instrument.symbol)}",{target}'
        f',"price":"{plain(amend.price, instrument.price_scale)}","size":{qty_out(amend.qty, instrument)}}}'
    )


def cancel_body(instrument: Instrument, client_order_id: str, venue_order_id: str | None) -> str:
    """Return the JSON of a cancel, of either product.

    Without an id the futures cancel *every* order of the symbol: one is always there.

    Raises:
        UsageError: neither id can name an order.
    """
    symbol = f'"symbol":"{plain_text(instrument.symbol)}"'
    if venue_order_id:
        return f'{{{symbol},"order_id":"{checked_venue_id(venue_order_id)}"}}'
    return f'{{{symbol},"client_order_id":"{checked_client_id(client_order_id)}"}}'


def spot_query(client_order_id: str, venue_order_id: str | None, state: str) -> tuple[str, str]:
    """Return (end of the path, JSON) of a query among the ``open`` or the ``history`` orders.

    Names are camelCase here, and one that is cased otherwise is silently ignored.
    """
    if venue_order_id:
        return "order", f'{{"orderId":"{checked_venue_id(venue_order_id)}","queryState":"{state}"}}'
    client_id = checked_client_id(client_order_id)
    return "client-order", f'{{"clientOrderId":"{client_id}","queryState":"{state}"}}'


def checked_client_id(text: str) -> str:
    """Return a client order id; raises UsageError where it is none of this venue's."""
    if _CLIENT_ORDER_ID.fullmatch(text) is None:
        raise UsageError(f"bitmart: {text[:40]!r} is no client_order_id (1 to 32 letters and digits)")
    return text


def checked_venue_id(text: str) -> str:
    """Return a venue order id; raises UsageError where it is none of this venue's."""
    if _VENUE_ORDER_ID.fullmatch(text) is None:
        raise UsageError(f"bitmart: {text[:40]!r} is no venue_order_id")
    return text


def plain_text(symbol: str) -> str:
    """Return a symbol that may stand in a target or in JSON as it is.

    Raises:
        UsageError: it may not.
    """
    if _SYMBOL.fullmatch(symbol) is None:
        raise UsageError(f"bitmart: {symbol[:40]!r} cannot stand in a request")
    return symbol


# ------------------------------------------------------------------------------------------ answers


class SpotOrder(msgspec.Struct, gc=False):
    """A spot order as queries tell it; ``clientOrderId`` repeats the venue's id where none was given."""

    orderId: str | int  # noqa: N815 - the wire's names
    symbol: str
    side: str
    state: str
    size: str
    price: str = ""
    clientOrderId: str | int = ""  # noqa: N815
    filledSize: str = ""  # noqa: N815
    filledNotional: str = ""  # noqa: N815
    updateTime: int | str | None = None  # noqa: N815
    createTime: int | str | None = None  # noqa: N815


class FuturesOrder(msgspec.Struct, gc=False):
    """A futures order as queries and the private stream tell it; sizes are contracts."""

    order_id: str | int
    symbol: str
    state: int
    side: int
    size: str | int
    client_order_id: str | int = ""
    price: str = ""
    deal_size: str | int = ""
    deal_avg_price: str = ""
    leverage: str = ""
    open_type: str = ""
    update_time: int | str | None = None
    create_time: int | str | None = None


class _Placed(msgspec.Struct, gc=False):
    """``{"order_id":"1223181"}`` on spot, ``{"order_id":220609666322019,"price":"25637.2"}`` on futures."""

    order_id: str | int = ""
    client_order_id: str | int = ""
    result: bool | None = None


class _Answer(msgspec.Struct, gc=False):
    code: str | int
    data: msgspec.Raw = msgspec.Raw(b"null")


_ANSWER = msgspec.json.Decoder(_Answer)
_PLACED = msgspec.json.Decoder(_Placed)
_SPOT_ORDER = msgspec.json.Decoder(SpotOrder)
_SPOT_ORDERS = msgspec.json.Decoder(list[SpotOrder])
_FUTURES_ORDER = msgspec.json.Decoder(FuturesOrder)
_FUTURES_ORDERS = msgspec.json.Decoder(list[FuturesOrder])

_OPEN_ONLY, _HISTORY_ONLY = '"queryState":"open"', '"queryState":"history"'
NOT_LISTED = VenueError(
    "not_listed", "not among the orders", Outcome.UNKNOWN, RejectReason.UNKNOWN_ORDER, Retry.READ
)
"""A search's end. A place that is answered like this proves nothing, hence the outcome."""


def spot_ack(row: SpotOrder, instrument: Instrument) -> OrderAck:
    """Return a spot order as an ack.

    Raises:
        ProtocolViolation: another instrument, an unknown state or side, or a value that does not fit.
    """
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"answer is about {row.symbol[:40]!r}, not {instrument.symbol!r}")
    side, state = SIDES.get(row.side), SPOT_STATES.get(row.state)
    if side is None or state is None:
        raise ProtocolViolation(f"unknown side {row.side[:20]!r} or state {row.state[:40]!r}")
    return OrderAck(
        client_order_id=str(row.clientOrderId),
        venue_order_id=identifier(row.orderId),
        state=state,
        price=price_in(row.price, instrument),
        qty=qty_in(row.size, instrument),
        cum_qty=qty_in(row.filledSize, instrument),
        cum_quote=decimal(row.filledNotional) if row.filledNotional else None,
        side=side,
        venue_utc_ns=optional_time_ns(row.updateTime) or optional_time_ns(row.createTime),
    )


def futures_state(row: FuturesOrder) -> OrderState:
    """Return a futures order's state: a closed one is filled where its whole size was done.

    Raises:
        ProtocolViolation: an unknown state.
    """
    if row.state in LIVE_STATES:
        return OrderState.WORKING
    if row.state != CLOSED_STATE:
        raise ProtocolViolation(f"unknown order state {row.state}")
    done = decimal(str(row.deal_size)) if row.deal_size != "" else Decimal(0)
    return OrderState.FILLED if done and done >= decimal(str(row.size)) else OrderState.CANCELLED


def futures_ack(row: FuturesOrder, instrument: Instrument) -> OrderAck:
    """Return a futures order as an ack; raises ProtocolViolation as :func:`spot_ack`."""
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"answer is about {row.symbol[:40]!r}, not {instrument.symbol!r}")
    side = SIDE_OF.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side}")
    cum_qty = qty_in(str(row.deal_size), instrument)
    average = decimal(row.deal_avg_price) if row.deal_avg_price else Decimal(0)
    return OrderAck(
        client_order_id=str(row.client_order_id),
        venue_order_id=identifier(row.order_id),
        state=futures_state(row),
        price=price_in(row.price, instrument),
        qty=qty_in(str(row.size), instrument),
        cum_qty=cum_qty,
        cum_quote=instrument.qty(cum_qty) * average,
        side=side,
        venue_utc_ns=optional_time_ns(row.update_time) or optional_time_ns(row.create_time),
    )


def _accepted(answer: _Placed) -> OrderAck:
    """Return an acknowledgement: accepted, and nothing later. A cancel's names no order."""
    return acknowledged(
        str(answer.client_order_id), identifier(answer.order_id) if answer.order_id != "" else "", None
    )


def decode_order(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> OrderAck | VenueError:
    """Decode the answer to a place, amend, cancel or query of one order; never raises."""
    refusal = refusal_in(status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        data = _ANSWER.decode(body).data
        if bytes(data).startswith(b"["):
            # The end of a search: what it looked for is not in the list (see ``find_in_list``).
            rows = _FUTURES_ORDERS.decode(data)
            if len(rows) >= FUTURES_ORDERS_PAGE:
                raise ProtocolViolation(f"a page of {len(rows)} orders may not be all")
            return NOT_LISTED
        if bytes(data) == b"null":
            return NOT_LISTED
        if b'"state"' in bytes(data):
            if instrument.product is Product.SPOT:
                return spot_ack(_SPOT_ORDER.decode(data), instrument)
            return futures_ack(_FUTURES_ORDER.decode(data), instrument)
        answer = _PLACED.decode(data)
        if answer.result is False:
            raise ProtocolViolation("success is said, and denied by the result")
        if instrument.product is Product.SPOT and answer.order_id == "" and not answer.result:
            raise ProtocolViolation("neither an order nor a confirmation")
        return _accepted(answer)
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)


def history_query(asked: str, status: int, body: bytes) -> str | None:
    """Return the second question of a spot query, ``None`` where the first one was answered.

    Also ``None`` for anything but a first question. ``asked`` is the body of the request that was answered
    with ``status`` and ``body``.
    """
    if _OPEN_ONLY not in asked:
        return None
    error = error_in(status, body)
    is_missing = error is not None and error.reason is RejectReason.UNKNOWN_ORDER
    if error is None and status == 200:
        is_missing = _data_of(body) in (b"null", b"{}", b"[]")
    return asked.replace(_OPEN_ONLY, _HISTORY_ONLY) if is_missing else None


def find_in_list(symbol: str, client_order_id: str, body: bytes) -> str | None:
    """Return the venue's id of one of our futures orders in a list, "" where it lacks it; never raises.

    ``None`` is for an answer that proves nothing: an error, or a full page.
    """
    if error_in(200, body) is not None:
        return None
    try:
        data = _data_of(body)
        rows = [] if data in (b"null", b"{}") else _FUTURES_ORDERS.decode(data)
        for row in rows:
            if str(row.client_order_id) == client_order_id and row.symbol == symbol:
                return identifier(row.order_id)
    except (*DECODE_ERRORS, ProtocolViolation):
        return None
    return "" if len(rows) < FUTURES_ORDERS_PAGE else None


def _data_of(body: bytes) -> bytes:
    """Return the ``data`` of an answer, blanks removed around it, b"" where there is no answer."""
    try:
        return bytes(_ANSWER.decode(body).data).strip()
    except DECODE_ERRORS:
        return b""


def decode_orders(
    product: Product,
    known: dict[str, Instrument],
    status: int,
    body: bytes,
    retry_after: str | None = None,
) -> list[OrderAck] | VenueError:
    """Decode a list of open orders, or the bare confirmation of a cancel-all (``{}``).

    Orders of instruments that are not known are left out. A full page may hide others: it is an UNKNOWN
    VenueError, never half a list.
    """
    refusal = refusal_in(status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        data = _ANSWER.decode(body).data
        if not bytes(data).startswith(b"["):
            if bytes(data) != b"null" and b":" in bytes(data):
                raise ProtocolViolation("neither a list of orders nor a confirmation")
            return []
        if product is Product.SPOT:
            spot_rows = _SPOT_ORDERS.decode(data)
            acks = [spot_ack(row, known[row.symbol]) for row in spot_rows if row.symbol in known]
            is_full = len(spot_rows) >= SPOT_ORDERS_PAGE
        else:
            rows = _FUTURES_ORDERS.decode(data)
            acks = [futures_ack(row, known[row.symbol]) for row in rows if row.symbol in known]
            is_full = len(rows) >= FUTURES_ORDERS_PAGE
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)
    return (
        undecodable(status, "a full page of open orders may not be all; ask by instrument")
        if is_full
        else acks
    )
