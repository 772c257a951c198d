"""Orders on the wire: the parameters of requests out, acks and refusals in.

Parameters are laid out by hand, because this is the hot path and every value's alphabet is known: only
symbols (and the ids of other people's orders) may need percent-encoding. Decimals go out as the shortest
exact text of the scaled integer.

    POST /api/v3/order   timestamp=1795478400000&symbol=BTCUSDT&side=BUY&newClientOrderId=te1-1
                         &newOrderRespType=RESULT&type=LIMIT&quantity=0.001&price=50000&timeInForce=GTC
                         &recvWindow=2000&signature=...

Source: spot REST docs, "New order", "Cancel order", "Query order", "Order Amend Keep Priority" (2026-07-21);
USD-M "New Order", "Modify Order", "Cancel Order", "Query Order" (2026-05-27, change log to 2026-09-10);
WebSocket API docs of both.
"""

from __future__ import annotations

import operator
import re
from urllib.parse import quote

import msgspec

from engine.model.acks import AckReader
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.forms import Form, Gap
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    AmendOrder,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    TimeInForce,
    VenueError,
    refuse_impossible,
    refuse_impossible_amend,
)
from engine.venues.base import WsReply
from engine.venues.binance.errors import classify, decode_error, error_in, undecodable
from engine.venues.binance.instruments import budget_name
from engine.venues.binance.numbers import DECODE_ERRORS, MS, Id, Millis, decimal, plain, scaled

ORDER_STATES = {
    "NEW": OrderState.WORKING,
    "PENDING_NEW": OrderState.WORKING,  # part of an order list, waiting for its other part
    "PARTIALLY_FILLED": OrderState.WORKING,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "PENDING_CANCEL": OrderState.WORKING,  # documented as unused
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
    "NEW_INSURANCE": OrderState.WORKING,  # USD-M, the venue's own liquidation orders
    "NEW_ADL": OrderState.WORKING,
}

SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_SIDE_WORDS = ("BUY", "SELL")  # by Side's value
_LIMIT, _MARKET, _SPOT = OrderType.LIMIT, OrderType.MARKET, Product.SPOT
_GTC, _IOC = TimeInForce.GTC, TimeInForce.IOC
_TIF_WORDS = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}

_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}", re.ASCII)
"""What both products accept. Source: spot "New order" (older text), USD-M "New Order"; -1100, -4015."""
_VENUE_ORDER_ID = re.compile(r"[0-9]{1,19}", re.ASCII)


def url_text(text: str) -> str:
    """Return a symbol or id percent-encoded (UTF-8) for a query; letters and digits pass unchanged."""
    return text if text.isascii() and text.isalnum() else quote(text, safe="")


def check_order(product: Product, order: NewOrder, instrument: Instrument) -> None:
    """Refuse an order that this venue's encoding cannot express, before any byte of it exists.

    Raises:
        UsageError: names what is wrong.
    """
    refuse_impossible(product, order, instrument)
    text = order.client_order_id
    if not (text.isalnum() and text.isascii() and len(text) <= 36) and not _CLIENT_ORDER_ID.fullmatch(text):
        raise UsageError(
            f"binance {instrument.universal}: client_order_id {text!r} must be 1 to 36 of a-z A-Z 0-9 _ -"
        )


def response_type(product: Product, order: NewOrder) -> str:
    """Return the answer to ask for.

    Spot: RESULT, because ACK names neither state nor quantities. USD-M: ACK has the same keys as RESULT
    and only does not wait; an order that can end at once is asked for its result.
    """
    if product is _SPOT or order.order_type is _MARKET:
        return "RESULT"
    return "ACK" if order.time_in_force is _GTC else "RESULT"


def place_pairs(
    product: Product, order: NewOrder, instrument: Instrument, symbol: str
) -> list[tuple[str, str | Gap]]:
    """Return the parameters of an order like this one, with gaps for its id, quantity and price.

    Post-only is ``type=LIMIT_MAKER`` on spot (without a time in force) and ``timeInForce=GTX`` on USD-M.
    """
    pairs: list[tuple[str, str | Gap]] = [
        ("symbol", symbol),
        ("side", _SIDE_WORDS[order.side]),
        ("newClientOrderId", Gap.CLIENT_ID),
        ("newOrderRespType", response_type(product, order)),
    ]
    if order.order_type is _MARKET:
        pairs += [("type", "MARKET"), ("quantity", Gap.QTY)]
    elif order.post_only and product is _SPOT:
        return [*pairs, ("type", "LIMIT_MAKER"), ("quantity", Gap.QTY), ("price", Gap.PRICE)]
    else:
        tif = "GTX" if order.post_only else _TIF_WORDS[order.time_in_force]
        pairs += [("type", "LIMIT"), ("quantity", Gap.QTY), ("price", Gap.PRICE), ("timeInForce", tif)]
    return [*pairs, ("reduceOnly", "true")] if order.reduce_only else pairs


def place_form(
    product: Product, order: NewOrder, instrument: Instrument, symbol: str, recv_window_ms: int
) -> Form:
    """Return the form of every order like this one; ``symbol`` is percent-encoded already."""
    pieces: list[bytes | Gap] = [b"timestamp=", Gap.STAMP]
    for name, value in place_pairs(product, order, instrument, symbol):
        pieces.append(f"&{name}=".encode())
        pieces.append(value if isinstance(value, Gap) else value.encode())
    return Form(
        [*pieces, f"&recvWindow={recv_window_ms}".encode()], instrument.qty_scale, instrument.price_scale
    )


def form_key(order: NewOrder) -> int:
    """Return a number that orders of one instrument share when their form is the same."""
    key = order.side + 2 * order.post_only + 4 * order.reduce_only
    if order.order_type is not _LIMIT:
        return key + 8
    if order.time_in_force is _GTC:
        return key
    return key + (16 if order.time_in_force is _IOC else 32)


class WsForms(msgspec.Struct, frozen=True, gc=False):
    """A WebSocket API place, from its request id's end on: ``body`` up to the last parameter that is signed.

    ``payload`` is what is signed: all parameters, the API key among them, sorted by name, raw UTF-8.
    """

    body: Form
    payload: Form


def place_ws_forms(
    product: Product, order: NewOrder, instrument: Instrument, api_key: str, recv_window_ms: int
) -> WsForms:
    """Return the forms of every order like this one: every value but the numbers at the end is a string."""
    pairs = place_pairs(product, order, instrument, instrument.symbol)
    body: list[bytes | Gap] = [b'","method":"order.place","params":{']
    for name, value in pairs:
        if isinstance(value, Gap):
            body += [f'"{name}":"'.encode(), value, b'",']
        else:
            body.append(f'"{name}":'.encode() + msgspec.json.encode(value) + b",")
    body += [f'"recvWindow":{recv_window_ms},"timestamp":'.encode(), Gap.STAMP]
    pairs += [("recvWindow", str(recv_window_ms)), ("timestamp", Gap.STAMP), ("apiKey", api_key)]
    payload: list[bytes | Gap] = []
    for name, value in sorted(pairs, key=operator.itemgetter(0)):
        payload.append(f"{'&' if payload else ''}{name}=".encode())
        payload.append(value if isinstance(value, Gap) else value.encode())
    scales = instrument.qty_scale, instrument.price_scale
    return WsForms(Form(body, *scales), Form(payload, *scales))


def check_amend(product: Product, amend: AmendOrder, instrument: Instrument) -> None:
    """Refuse an amend that this venue does not do: spot only makes an order smaller, at its price.

    Raises:
        UsageError: names what is wrong.
    """
    refuse_impossible_amend(amend, instrument)
    problem = ""
    if product is _SPOT and amend.price != amend.known_price:
        problem = "spot orders keep their price; cancel and place a new one"
    elif product is _SPOT and amend.qty >= amend.known_qty:
        problem = "spot orders can only be made smaller; cancel and place a new one"
    if problem:
        raise UsageError(f"binance {instrument.universal}: {problem}")


def amend_query(product: Product, amend: AmendOrder, instrument: Instrument, symbol: str) -> str:
    """Return an amend as a query; ``symbol`` is percent-encoded already.

    Spot keeps the place in the queue, and gives the order a random client id unless ours is repeated. USD-M
    wants both quantity and price, and loses the place.

    Raises:
        UsageError: see :func:`check_amend`; or neither id can name the order.
    """
    check_amend(product, amend, instrument)
    target = target_query(symbol, amend.client_order_id, amend.venue_order_id or None)
    qty = plain(amend.qty, instrument.qty_scale)
    if product is _SPOT:
        return f"{target}&newQty={qty}&newClientOrderId={url_text(amend.client_order_id)}"
    price = plain(amend.price, instrument.price_scale)
    return f"{target}&side={_SIDE_WORDS[amend.side]}&quantity={qty}&price={price}"


def amend_params(product: Product, amend: AmendOrder, instrument: Instrument) -> dict[str, str | int]:
    """Return :func:`amend_query` as WebSocket API parameters; an orderId is a JSON number."""
    check_amend(product, amend, instrument)
    params = target_params(instrument, amend.client_order_id, amend.venue_order_id or None)
    qty = plain(amend.qty, instrument.qty_scale)
    if product is _SPOT:
        return {**params, "newQty": qty, "newClientOrderId": amend.client_order_id}
    price = plain(amend.price, instrument.price_scale)
    return {**params, "side": _SIDE_WORDS[amend.side], "quantity": qty, "price": price}


def target_query(symbol: str, client_order_id: str, venue_order_id: str | None) -> str:
    """Return the parameters that name an order: the venue's id when known (fastest), else ours.

    Raises:
        UsageError: neither id can name an order.
    """
    if venue_order_id:
        return f"symbol={symbol}&orderId={checked_venue_id(venue_order_id)}"
    if not client_order_id:
        raise UsageError("binance: an order is named by its venue_order_id or its client_order_id")
    return f"symbol={symbol}&origClientOrderId={url_text(client_order_id)}"


def target_params(
    instrument: Instrument, client_order_id: str, venue_order_id: str | None
) -> dict[str, str | int]:
    """Return :func:`target_query` as WebSocket API parameters; an orderId is a JSON number."""
    if venue_order_id:
        return {"symbol": instrument.symbol, "orderId": int(checked_venue_id(venue_order_id))}
    if not client_order_id:
        raise UsageError("binance: an order is named by its venue_order_id or its client_order_id")
    return {"symbol": instrument.symbol, "origClientOrderId": client_order_id}


def checked_venue_id(text: str) -> str:
    """Return a venue id that may stand in a query, or raise UsageError."""
    if _VENUE_ORDER_ID.fullmatch(text) is None:
        raise UsageError(f"binance: {text[:40]!r} is not a venue id (a number)")
    return text


# ------------------------------------------------------------------------------------------ answers


class OrderBody(msgspec.Struct, gc=False):
    """Any order object of either product: place, cancel and query answers.

    {"symbol":"LTCBTC","origClientOrderId":"myOrder1","orderId":4,"clientOrderId":"cancelMyOrder1",
    "transactTime":1684804350068,"price":"2.00000000","origQty":"1.00000000","executedQty":"0.00000000",
    "cummulativeQuoteQty":"0.00000000","status":"CANCELED","type":"LIMIT","side":"BUY"}
    """

    symbol: str
    orderId: Id  # noqa: N815 - the wire's names
    clientOrderId: str  # noqa: N815
    status: str
    side: str
    price: str
    origQty: str  # noqa: N815
    executedQty: str  # noqa: N815
    origClientOrderId: str = ""  # noqa: N815
    cummulativeQuoteQty: str | None = None  # noqa: N815 - misspelt by the venue
    cumQuote: str | None = None  # noqa: N815
    transactTime: Millis | None = None  # noqa: N815
    updateTime: Millis | None = None  # noqa: N815
    time: Millis | None = None


class _AmendedOrder(msgspec.Struct, gc=False):
    """An order as an amend's answer tells it: two keys are spelt in ways of their own."""

    symbol: str
    orderId: Id  # noqa: N815
    clientOrderId: str  # noqa: N815
    status: str
    side: str
    price: str
    qty: str
    executedQty: str  # noqa: N815
    cumulativeQuoteQty: str | None = None  # noqa: N815


class _Amended(msgspec.Struct, gc=False):
    """The answer to a spot amend.

    {"transactTime":1741926410255,"executionId":75,"amendedOrder":{"symbol":"BTCUSDT","orderId":33,
    "origClientOrderId":"a1","clientOrderId":"a1","price":"6.00","qty":"5.00","executedQty":"0.00",
    "cumulativeQuoteQty":"0.00","status":"NEW","timeInForce":"GTC","type":"LIMIT","side":"SELL"}}
    """

    transactTime: Millis  # noqa: N815
    amendedOrder: _AmendedOrder  # noqa: N815


class _OrderList(msgspec.Struct, gc=False):
    orderReports: list[OrderBody]  # noqa: N815


class _Confirmation(msgspec.Struct, gc=False):
    code: int


class _RateLimited(msgspec.Struct, gc=False):
    serverTime: Millis = 0  # noqa: N815
    retryAfter: Millis = 0  # noqa: N815


class _WsError(msgspec.Struct, gc=False):
    code: int = 0
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw()


class _Usage(msgspec.Struct, gc=False):
    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: int  # noqa: N815
    count: int = 0


class WsBody(msgspec.Struct, gc=False):
    """One answer of the WebSocket API; ``id`` is null when a session was revoked."""

    status: int
    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _WsError | None = None
    rateLimits: list[_Usage] = []  # noqa: N815


class _Probe(msgspec.Struct, gc=False):
    orderId: msgspec.Raw = msgspec.Raw()  # noqa: N815
    amendedOrder: msgspec.Raw = msgspec.Raw()  # noqa: N815


_ORDER = msgspec.json.Decoder(OrderBody)
_USUAL = AckReader(
    OrderAck,
    decimal,
    symbol="symbol",
    client_ids=("origClientOrderId", "clientOrderId"),
    venue_id="orderId",
    state="status",
    states=ORDER_STATES,
    side="side",
    sides=SIDES,
    price="price",
    qty="origQty",
    cum_qty="executedQty",
    quotes=("cummulativeQuoteQty", "cumQuote"),
    stamps_ms=("transactTime", "updateTime", "time"),
)
"""What :func:`ack_of` makes of an ``OrderBody``, in one step."""
_AMENDED = msgspec.json.Decoder(_Amended)
_ORDER_LIST = msgspec.json.Decoder(_OrderList)
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_CONFIRMATION = msgspec.json.Decoder(_Confirmation)
_RATE_LIMITED = msgspec.json.Decoder(_RateLimited)
_PROBE = msgspec.json.Decoder(_Probe)


def ack_of(body: OrderBody, instrument: Instrument) -> OrderAck:
    """Return an order object as an ack.

    In a cancel answer of spot ``clientOrderId`` is the cancel's own id and ``origClientOrderId`` the
    order's.

    Raises:
        ProtocolViolation: an unknown state or side, another instrument, or a value that does not fit.
    """
    state = ORDER_STATES.get(body.status)
    side = SIDES.get(body.side)
    if state is None:
        raise ProtocolViolation(f"unknown order status {body.status[:40]!r}")
    if side is None:
        raise ProtocolViolation(f"unknown side {body.side[:40]!r}")
    if body.symbol != instrument.symbol:
        raise ProtocolViolation(f"answer is about {body.symbol[:40]!r}, not {instrument.symbol!r}")
    quote_text = body.cummulativeQuoteQty if body.cummulativeQuoteQty is not None else body.cumQuote
    stamp = body.transactTime or body.updateTime or body.time
    price_scale, qty_scale = instrument.price_scale, instrument.qty_scale
    return OrderAck(
        client_order_id=body.origClientOrderId or body.clientOrderId,
        venue_order_id=str(body.orderId),
        state=state,
        price=scaled(body.price, price_scale),
        qty=scaled(body.origQty, qty_scale),
        cum_qty=scaled(body.executedQty, qty_scale),
        cum_quote=decimal(quote_text) if quote_text else None,
        side=side,
        venue_utc_ns=stamp * MS if stamp else None,
    )


def _amended_body(answer: _Amended) -> OrderBody:
    """Return an amend's answer as the order object of every other answer."""
    order = answer.amendedOrder
    return OrderBody(
        symbol=order.symbol,
        orderId=order.orderId,
        clientOrderId=order.clientOrderId,
        status=order.status,
        side=order.side,
        price=order.price,
        origQty=order.qty,
        executedQty=order.executedQty,
        cummulativeQuoteQty=order.cumulativeQuoteQty,
        transactTime=answer.transactTime,
    )


def decode_order(
    product: Product, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> OrderAck | VenueError:
    """Decode the answer to a place, amend, cancel or query over REST; never raises."""
    if status != 200:
        return decode_error(product, status, body, retry_after)
    ack = _USUAL.read(body, instrument.symbol, instrument.price_scale, instrument.qty_scale)
    if ack is not None:
        return ack
    try:
        try:
            order = _ORDER.decode(body)
        except msgspec.ValidationError:  # rare: looking for the key first costs every other answer 0.2 us
            if product is not _SPOT:
                raise
            order = _amended_body(_AMENDED.decode(body))
        return ack_of(order, instrument)
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        return error_in(product, status, body, retry_after) or undecodable(status, error)


def decode_orders(
    product: Product,
    known: dict[str, Instrument],
    status: int,
    body: bytes,
    retry_after: str | None = None,
) -> list[OrderAck] | VenueError:
    """Decode an answer that lists orders; orders of symbols that are not known are left out.

    A cancel-all is answered by the ended orders (spot; those of order lists stand in ``orderReports``)
    or by ``{"code":200,"msg":"The operation of cancel all open order is done."}`` (USD-M).
    """
    if status != 200:
        return decode_error(product, status, body, retry_after)
    try:
        orders: list[OrderBody] = []
        for raw in _ROWS.decode(body):
            if b'"orderReports"' in bytes(raw):
                orders += _ORDER_LIST.decode(raw).orderReports
            else:
                orders.append(_ORDER.decode(raw))
        return [ack_of(each, known[each.symbol]) for each in orders if each.symbol in known]
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        return _confirmation(product, status, body, retry_after, error)


def _confirmation(
    product: Product, status: int, body: bytes, retry_after: str | None, why: Exception
) -> list[OrderAck] | VenueError:
    try:
        if product is Product.PERP and _CONFIRMATION.decode(body).code == 200:
            return []
    except DECODE_ERRORS:
        pass
    return error_in(product, status, body, retry_after) or undecodable(status, why)


def decode_ws_reply(product: Product, known: dict[str, Instrument], reply: WsBody) -> WsReply:
    """Decode one answer of the WebSocket API. ``result`` is None for answers that hold no order.

    {"id":"e2a8","status":400,"error":{"code":-2010,"msg":"..."},"rateLimits":[{"rateLimitType":"ORDERS",
    "interval":"SECOND","intervalNum":10,"limit":50,"count":12}]}
    """
    request_id = None if reply.id is None else str(reply.id)
    return WsReply(request_id, _ws_result(product, known, reply), _usage(reply.rateLimits))


def _ws_result(product: Product, known: dict[str, Instrument], reply: WsBody) -> OrderAck | VenueError | None:
    if reply.status != 200 or reply.error is not None:
        error = reply.error or _WsError(0, "no error object")
        return classify(product, reply.status, error.code, error.msg, _retry_after_ms(error.data))
    if not bytes(reply.result).startswith(b"{"):
        return None  # lists and nulls are no answer to an order request
    try:
        probe = _PROBE.decode(reply.result)
        if bytes(probe.amendedOrder):
            body = _amended_body(_AMENDED.decode(reply.result))
        elif bytes(probe.orderId):
            body = _ORDER.decode(reply.result)
        else:
            return None
        if body.symbol not in known:
            raise ProtocolViolation(f"unknown symbol {body.symbol[:40]!r}")
        return ack_of(body, known[body.symbol])
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        return undecodable(reply.status, error)


def _usage(rows: list[_Usage]) -> tuple[tuple[str, int], ...]:
    named = [(budget_name(row.rateLimitType, row.interval, row.intervalNum), row.count) for row in rows]
    return tuple(pair for pair in named if pair[0])


def _retry_after_ms(raw: msgspec.Raw) -> int | None:
    """Return ``retryAfter`` (an instant, in milliseconds) minus ``serverTime``, if both are there."""
    try:
        data = _RATE_LIMITED.decode(raw)
    except DECODE_ERRORS:
        return None
    return max(0, data.retryAfter - data.serverTime) if data.retryAfter and data.serverTime else None
