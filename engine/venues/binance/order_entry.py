"""Orders on the wire: REST and WebSocket API requests out, acks and refusals in.

Parameters are laid out by hand, because this is the hot path and every value's alphabet is known: only
symbols may need percent-encoding, and that is done once per instrument. Decimals go out as the shortest
exact text of the scaled integer.

    POST /api/v3/order   symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000
                         &newClientOrderId=te1...&newOrderRespType=ACK&recvWindow=2000&timestamp=...&signature=...

Source: spot REST docs, "New order", "Cancel order", "Query order"; USD-M "New Order", "Cancel Order",
"Query Order"; WebSocket API docs of both.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from urllib.parse import quote

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    Retry,
    TimeInForce,
    VenueError,
)
from engine.venues.base import WsReply
from engine.venues.binance.errors import classify, decode_error
from engine.venues.binance.numbers import plain, scaled

_MS = 1_000_000

ORDER_STATES = {
    "NEW": OrderState.WORKING,
    "PENDING_NEW": OrderState.WORKING,
    "PARTIALLY_FILLED": OrderState.WORKING,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "PENDING_CANCEL": OrderState.WORKING,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}

SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_SIDE_WORDS = {Side.BUY: "BUY", Side.SELL: "SELL"}
_TIF_WORDS = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}


def encoded_symbol(instrument: Instrument) -> str:
    """Return the symbol percent-encoded for a URL; ASCII letters and digits pass unchanged."""
    symbol = instrument.symbol
    return symbol if symbol.isascii() and symbol.isalnum() else quote(symbol, safe="")


def place_params(product: Product, order: NewOrder, instrument: Instrument) -> dict[str, str]:
    """Return the parameters of a new order, in the order in which they are sent.

    Post-only is ``type=LIMIT_MAKER`` on spot (without a time in force) and ``timeInForce=GTX`` on USD-M.
    """
    params = {"symbol": instrument.symbol, "side": _SIDE_WORDS[order.side]}
    if order.order_type is OrderType.MARKET:
        params["type"] = "MARKET"
    elif not order.post_only:
        params["type"] = "LIMIT"
        params["timeInForce"] = _TIF_WORDS[order.time_in_force]
    elif product is Product.SPOT:
        params["type"] = "LIMIT_MAKER"
    else:
        params["type"] = "LIMIT"
        params["timeInForce"] = "GTX"
    params["quantity"] = plain(order.qty, instrument.qty_scale)
    if order.order_type is OrderType.LIMIT:
        params["price"] = plain(order.price, instrument.price_scale)
    if order.reduce_only:
        params["reduceOnly"] = "true"
    params["newClientOrderId"] = order.client_order_id
    # ACK is answered fastest; an order that can end at once is asked for its result.
    ends_at_once = order.order_type is OrderType.MARKET or order.time_in_force is not TimeInForce.GTC
    params["newOrderRespType"] = "RESULT" if ends_at_once else "ACK"
    return params


def place_query(product: Product, order: NewOrder, instrument: Instrument, symbol: str) -> str:
    """Return :func:`place_params` as a query; ``symbol`` is percent-encoded already."""
    params = place_params(product, order, instrument)
    params["symbol"] = symbol
    return "&".join([f"{name}={value}" for name, value in params.items()])


def target_query(symbol: str, client_order_id: str, venue_order_id: str | None) -> str:
    """Return the parameters that name an order: the venue's id when known (fastest), else ours."""
    if venue_order_id:
        return f"symbol={symbol}&orderId={venue_order_id}"
    return f"symbol={symbol}&origClientOrderId={client_order_id}"


# ------------------------------------------------------------------------------------------ answers


class OrderBody(msgspec.Struct, gc=False):
    """Any order object of either product: place, cancel and query answers."""

    symbol: str
    orderId: int  # noqa: N815 - the wire's names
    clientOrderId: str  # noqa: N815
    origClientOrderId: str = ""  # noqa: N815
    status: str = ""
    side: str = ""
    price: str = "0"
    origQty: str = ""  # noqa: N815
    executedQty: str = ""  # noqa: N815
    cummulativeQuoteQty: str | None = None  # noqa: N815 - misspelt by the venue
    cumQuote: str | None = None  # noqa: N815
    transactTime: int | None = None  # noqa: N815
    updateTime: int | None = None  # noqa: N815


_ORDER = msgspec.json.Decoder(OrderBody)
_ORDERS = msgspec.json.Decoder(list[OrderBody])


class _RateLimited(msgspec.Struct, gc=False):
    serverTime: int = 0  # noqa: N815
    retryAfter: int = 0  # noqa: N815


class _WsError(msgspec.Struct, gc=False):
    code: int
    msg: str = ""
    data: msgspec.Raw | None = None


class WsBody(msgspec.Struct, gc=False):
    """One answer of the WebSocket API; ``id`` is null when a session was revoked."""

    status: int
    id: int | str | None = None
    result: msgspec.Raw | None = None
    error: _WsError | None = None


_RATE_LIMITED = msgspec.json.Decoder(_RateLimited)


def ack_of(body: OrderBody, price_scale: int, qty_scale: int) -> OrderAck:
    """Return an order object as an ack; raises ProtocolViolation for values that do not fit.

    A place answered with ACK alone (spot) carries no status: it is accepted, so WORKING. In a cancel
    answer of spot ``clientOrderId`` is the cancel's own id and ``origClientOrderId`` the order's.
    """
    state = ORDER_STATES.get(body.status) if body.status else OrderState.WORKING
    if state is None:
        raise ProtocolViolation(f"unknown order status {body.status[:40]!r}")
    quote_text = body.cummulativeQuoteQty if body.cummulativeQuoteQty is not None else body.cumQuote
    stamp = body.transactTime if body.transactTime is not None else body.updateTime
    return OrderAck(
        client_order_id=body.origClientOrderId or body.clientOrderId,
        venue_order_id=str(body.orderId),
        state=state,
        price=scaled(body.price, price_scale),
        qty=scaled(body.origQty, qty_scale) if body.origQty else 0,
        cum_qty=scaled(body.executedQty, qty_scale) if body.executedQty else 0,
        cum_quote=_decimal(quote_text) if quote_text else None,
        side=SIDES.get(body.side, Side.BUY),
        venue_utc_ns=stamp * _MS if stamp else None,
    )


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ProtocolViolation(f"not a decimal number: {text[:40]!r}") from None
    if not value.is_finite():
        raise ProtocolViolation(f"not a finite number: {text[:40]!r}")
    return value


def undecodable(status: int, why: object) -> VenueError:
    """Return the value for an answer that cannot be understood: nothing is proven."""
    text = f"undecodable answer: {why}"[:300]
    return VenueError(f"http:{status}", text, Outcome.UNKNOWN, RejectReason.OTHER, Retry.READ)


def decode_order(product: Product, instrument: Instrument, status: int, body: bytes) -> OrderAck | VenueError:
    """Decode the answer to a place, cancel or query over REST."""
    if status != 200:
        return decode_error(product, status, body)
    try:
        return ack_of(_ORDER.decode(body), instrument.price_scale, instrument.qty_scale)
    except (msgspec.DecodeError, RecursionError, ProtocolViolation) as error:
        return undecodable(status, error)


def decode_orders(
    product: Product, known: dict[str, Instrument], status: int, body: bytes
) -> list[OrderAck] | VenueError:
    """Decode an answer that lists orders; orders of symbols that are not known are left out."""
    if status != 200:
        return decode_error(product, status, body)
    try:
        rows = _ORDERS.decode(body)
        return [
            ack_of(row, known[row.symbol].price_scale, known[row.symbol].qty_scale)
            for row in rows
            if row.symbol in known
        ]
    except (msgspec.DecodeError, RecursionError, ProtocolViolation) as error:
        return undecodable(status, error)


def decode_ws_reply(product: Product, known: dict[str, Instrument], reply: WsBody) -> WsReply:
    """Decode one answer of the WebSocket API. ``result`` is None for answers that hold no order."""
    request_id = None if reply.id is None else str(reply.id)
    if reply.status != 200 or reply.error is not None:
        error = reply.error or _WsError(0, "no error object")
        wait = None
        if error.data is not None:
            wait = _retry_after_ms(error.data)
        return WsReply(request_id, classify(product, reply.status, error.code, error.msg, wait))
    if reply.result is None:
        return WsReply(request_id, None)
    try:
        body = _ORDER.decode(reply.result)
    except (msgspec.DecodeError, RecursionError):
        return WsReply(request_id, None)
    instrument = known.get(body.symbol)
    if instrument is None:
        return WsReply(request_id, undecodable(200, f"unknown symbol {body.symbol}"))
    try:
        return WsReply(request_id, ack_of(body, instrument.price_scale, instrument.qty_scale))
    except ProtocolViolation as violation:
        return WsReply(request_id, undecodable(200, violation))


def _retry_after_ms(raw: msgspec.Raw) -> int | None:
    try:
        data = _RATE_LIMITED.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return max(0, data.retryAfter - data.serverTime) if data.retryAfter else None
