"""Orders on the wire: JSON bodies of requests out, acks and refusals in; REST and WebSocket alike.

    POST /api/v5/trade/order  {"instId":"BTC-USDT-SWAP","tdMode":"cross","side":"buy","ordType":"limit",
                               "sz":"0.5","clOrdId":"a1","px":"91000.1"}
    {"id":"p1","op":"order","args":[{"instIdCode":10459,"tdMode":"cross",...}],"expTime":"1795442400000"}

An acknowledgement says "accepted", never "done", for place, amend and cancel alike: it names the ids and
nothing else. What became of the order is told by the ``orders`` channel or a query. Bodies are laid out by
hand, because this is the hot path and every alphabet is known. Over the WebSocket the instrument goes by
its number (``instIdCode``); its name is refused there since 2026-02.

Source: OKX v5 API docs, "POST / Place order", "WS / Place order", "POST / Amend order", "POST / Cancel
order", "GET / Order details", "GET / Order List", seen 2026-08.
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
from engine.venues.okx.endpoints import ORDERS_PAGE
from engine.venues.okx.errors import classify, refusal_in, undecodable
from engine.venues.okx.frames import SIDES
from engine.venues.okx.numbers import (
    DECODE_ERRORS,
    optional_decimal,
    plain,
    price_in,
    qty_in,
    qty_out,
    time_ns,
)

ORDER_STATES = {
    "live": OrderState.WORKING,
    "partially_filled": OrderState.WORKING,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "mmp_canceled": OrderState.CANCELLED,
}
CANCEL_REASONS = {
    "0": "ended by the system",
    "2": "forced reduction",
    "3": "forced reduction",
    "4": "liquidation",
    "6": "reduced by ADL or risk",
    "9": "the contract expired or was withdrawn",
    "13": "FOK could not be filled",
    "14": "IOC remainder",
    "15": "outside the price band",
    "17": "the position was closed",
    "20": "cancel-all-after",
    "22": "displaced by a reduce-only order",
    "23": "displaced by a reduce-only order",
    "27": "the price check failed",
    "31": "post-only would take",
    "32": "self-trade prevention",
    "33": "matched 1000 orders",
    "44": "auto conversion",
}
"""``cancelSource`` of what the venue ended by its own rules; "1" is the user."""
_ASKED_FOR = ("", "1", "20")

_LIMIT, _MARKET = OrderType.LIMIT, OrderType.MARKET
_ORDER_TYPES = {TimeInForce.GTC: "limit", TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok"}
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9]{1,32}", re.ASCII)
_VENUE_ORDER_ID = re.compile(r"[0-9]{1,24}", re.ASCII)


# ----------------------------------------------------------------------------------------- requests


def check_order(product: Product, order: NewOrder, instrument: Instrument) -> None:
    """Refuse an order that this venue's encoding cannot express, before any byte of it exists.

    Raises:
        UsageError: names what is wrong.
    """
    refuse_impossible(product, order, instrument)
    if _CLIENT_ORDER_ID.fullmatch(order.client_order_id) is None:
        raise UsageError(
            f"okx {instrument.universal}: client_order_id {order.client_order_id!r} must be 1 to 32 letters "
            "and digits"
        )


def instrument_id(instrument: Instrument) -> str:
    """Return ``"instId":"BTC-USDT"``, the instrument as REST names it."""
    return f'"instId":{msgspec.json.encode(instrument.symbol).decode()}'


def instrument_code(instrument: Instrument) -> str:
    """Return ``"instIdCode":10459``, the instrument as the WebSocket names it.

    Raises:
        UsageError: the venue lists no number for it.
    """
    if instrument.number is None:
        raise UsageError(f"okx {instrument.universal}: no instIdCode is listed; place its orders over REST")
    return f'"instIdCode":{instrument.number}'


def place_fields(product: Product, order: NewOrder, instrument: Instrument, trade_mode: str) -> str:
    """Return a new order's fields but the instrument, without braces.

    Spot market orders: sizes are base units (``tgtCcy``), and an order that the funds do not cover is
    refused instead of shrunk (``banAmend``): a quantity is what was asked for, or nothing.

    Raises:
        UsageError: see :func:`check_order`; or the quantity is no exact number of contracts.
    """
    check_order(product, order, instrument)
    if order.order_type is _MARKET:
        kind = "market"
    else:
        kind = "post_only" if order.post_only else _ORDER_TYPES[order.time_in_force]
    text = (
        f'"tdMode":"{trade_mode}","side":"{order.side.word}","ordType":"{kind}"'
        f',"sz":"{qty_out(order.qty, instrument)}","clOrdId":"{order.client_order_id}"'
    )
    if order.order_type is not _MARKET:
        text += f',"px":"{plain(order.price, instrument.price_scale)}"'
    elif product is Product.SPOT:
        text += ',"tgtCcy":"base_ccy","banAmend":true'
    return text + ',"reduceOnly":true' if order.reduce_only else text


def amend_fields(amend: AmendOrder, instrument: Instrument) -> str:
    """Return an amend's fields but the instrument, without braces; only what changes is sent.

    ``newSz`` is the whole size, what was filled included. An amend that fails leaves the order as it was
    (``cxlOnFail`` is false by default).

    Raises:
        UsageError: the quantity is no exact number of contracts, or no id can name the order.
    """
    refuse_impossible_amend(amend, instrument)
    text = target_fields(amend.client_order_id, amend.venue_order_id or None)
    if amend.qty != amend.known_qty:
        text += f',"newSz":"{qty_out(amend.qty, instrument)}"'
    if amend.price != amend.known_price:
        text += f',"newPx":"{plain(amend.price, instrument.price_scale)}"'
    return text


def target_fields(client_order_id: str, venue_order_id: str | None) -> str:
    """Return the field that names an order: the venue's id when known, else ours.

    Raises:
        UsageError: neither id can name an order.
    """
    if venue_order_id:
        return f'"ordId":"{_checked(venue_order_id, _VENUE_ORDER_ID, "venue_order_id")}"'
    return f'"clOrdId":"{_checked(client_order_id, _CLIENT_ORDER_ID, "client_order_id")}"'


def target_query(client_order_id: str, venue_order_id: str | None) -> str:
    """Return :func:`target_fields` as a query."""
    name, _, value = target_fields(client_order_id, venue_order_id).replace('"', "").partition(":")
    return f"{name}={value}"


def url_text(text: str) -> str:
    """Return an instrument's id percent-encoded for a query."""
    return quote(text, safe="")


def _checked(text: str, pattern: re.Pattern[str], what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise UsageError(f"okx: {text[:40]!r} is no {what}")
    return text


def websocket_request(request_id: str, operation: str, fields: str, deadline_ms: int = 0) -> bytes:
    """Return an order request for the WebSocket; ``deadline_ms`` is its ``expTime``, 0 = none."""
    deadline = f',"expTime":"{deadline_ms}"' if deadline_ms else ""
    return f'{{"id":"{request_id}","op":"{operation}","args":[{{{fields}}}]{deadline}}}'.encode()


# ------------------------------------------------------------------------------------------ answers


class OrderRow(msgspec.Struct, gc=False):
    """An order as queries and the ``orders`` channel tell it; sizes of swaps are contracts."""

    instId: str  # noqa: N815 - the wire's names
    ordId: str  # noqa: N815
    state: str
    side: str
    sz: str
    clOrdId: str = ""  # noqa: N815
    px: str = ""
    accFillSz: str = ""  # noqa: N815
    avgPx: str = ""  # noqa: N815
    tgtCcy: str = ""  # noqa: N815
    cancelSource: str = ""  # noqa: N815
    uTime: str = ""  # noqa: N815
    cTime: str = ""  # noqa: N815


class _Item(msgspec.Struct, gc=False):
    """One item of an order answer: an acknowledgement (``sCode``), or an order (``state``)."""

    sCode: str = ""  # noqa: N815
    sMsg: str = ""  # noqa: N815
    ordId: str = ""  # noqa: N815
    clOrdId: str = ""  # noqa: N815
    ts: str = ""
    state: str = ""


class _Answer(msgspec.Struct, gc=False):
    code: str
    data: list[msgspec.Raw]
    msg: str = ""


class WsAnswer(msgspec.Struct, gc=False):
    """An answer on the WebSocket; ``op`` tells it from events and pushes."""

    op: str
    code: str
    data: list[_Item] = []
    id: str | int | None = None
    msg: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)
_ITEM = msgspec.json.Decoder(_Item)
_ROW = msgspec.json.Decoder(OrderRow)
WS_ANSWER = msgspec.json.Decoder(WsAnswer)


def order_qty(row: OrderRow, instrument: Instrument) -> int:
    """Return an order's quantity in scaled base units; 0 (not known) where it was told in quote currency."""
    return 0 if row.tgtCcy == "quote_ccy" else qty_in(row.sz, instrument)


def order_state(row: OrderRow) -> OrderState:
    """Return an order's state; what the venue ended by its own rules is EXPIRED.

    Raises:
        ProtocolViolation: an unknown state.
    """
    state = ORDER_STATES.get(row.state)
    if state is None:
        raise ProtocolViolation(f"unknown order state {row.state[:40]!r}")
    if state is OrderState.CANCELLED and row.cancelSource not in _ASKED_FOR:
        return OrderState.EXPIRED
    return state


def ack_of(row: OrderRow, instrument: Instrument) -> OrderAck:
    """Return an order as an ack.

    Raises:
        ProtocolViolation: another instrument, an unknown state or side, or a value that does not fit.
    """
    if row.instId != instrument.symbol:
        raise ProtocolViolation(f"answer is about {row.instId[:40]!r}, not {instrument.symbol!r}")
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side[:40]!r}")
    cum_qty = qty_in(row.accFillSz, instrument)
    average = optional_decimal(row.avgPx)
    stamp = row.uTime or row.cTime
    return OrderAck(
        client_order_id=row.clOrdId,
        venue_order_id=_venue_id(row.ordId),
        state=order_state(row),
        price=price_in(row.px, instrument),
        qty=order_qty(row, instrument),
        cum_qty=cum_qty,
        cum_quote=instrument.qty(cum_qty) * average if average is not None else Decimal(0),
        side=side,
        venue_utc_ns=time_ns(stamp) if stamp else None,
    )


def _venue_id(text: str) -> str:
    if _VENUE_ORDER_ID.fullmatch(text) is None:
        raise ProtocolViolation(f"{text[:40]!r} is no order id")
    return text


def _accepted(item: _Item) -> OrderAck:
    """Return an acknowledgement: accepted, and nothing later."""
    return acknowledged(item.clOrdId, _venue_id(item.ordId), time_ns(item.ts) if item.ts else None)


def decode_order(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> OrderAck | VenueError:
    """Decode the answer to a place, amend, cancel or query over REST; never raises."""
    refusal = refusal_in(status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        answer = _ANSWER.decode(body)
        if len(answer.data) != 1:
            raise ProtocolViolation(f"{len(answer.data)} items, not one")
        item = _ITEM.decode(answer.data[0])
        if item.state:
            return ack_of(_ROW.decode(answer.data[0]), instrument)
        if item.sCode != "0":
            raise ProtocolViolation("neither an order nor an acknowledgement")
        return _accepted(item)
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)


def decode_orders(
    known: dict[str, Instrument], status: int, body: bytes, retry_after: str | None = None
) -> list[OrderAck] | VenueError:
    """Decode a list of open orders; orders of instruments that are not known are left out.

    A full page may hide others: it is an UNKNOWN VenueError, never half a list.
    """
    refusal = refusal_in(status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        rows = [_ROW.decode(raw) for raw in _ANSWER.decode(body).data]
        if len(rows) >= ORDERS_PAGE:
            return undecodable(status, f"a page of {len(rows)} open orders may not be all; ask by instrument")
        return [ack_of(row, known[row.instId]) for row in rows if row.instId in known]
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)


def ws_result(answer: WsAnswer) -> OrderAck | VenueError:
    """Return what an answer on the WebSocket says of its one order; never raises.

    {"id":"p1","op":"order","data":[{"clOrdId":"a2","ordId":"12345689","ts":"1695190491421","sCode":"0",
    "sMsg":""}],"code":"0","msg":""}; a limit may be told in either code.
    """
    try:
        if len(answer.data) > 1:
            raise ProtocolViolation(f"{len(answer.data)} items, not one")
        item = answer.data[0] if answer.data else _Item()
        if item.sCode not in ("", "0"):
            return classify(200, item.sCode, item.sMsg, True)
        if answer.code not in ("0", "1", "2"):
            return classify(200, answer.code, answer.msg, False)
        if answer.code != "0" or item.sCode != "0":
            raise ProtocolViolation(f"code {answer.code} without an item that says why")
        return _accepted(item)
    except ProtocolViolation as why:
        return undecodable(200, why)
