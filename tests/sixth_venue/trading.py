"""Acorn's private side: signed requests over REST, and one private stream.

A request is signed by the hex HMAC-SHA256 of its time, method, target and body. An order looks the same
wherever it is told; on the stream it carries the fill that changed it:

    {"order":{"no":7,"id":"te1","market":"BTC-USDT","side":"buy","price":"9.9","qty":"2","filled":"1",
    "value":"9.9","state":"open","at":1700000000000,
    "fill":{"no":5,"price":"9.9","qty":"1","fee":"0.001","fee_asset":"BTC","is_maker":true}}}
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.model.account import Balance, Position
from engine.model.decimals import DECODE_ERRORS, MS, decimal, plain, scaled
from engine.model.errors import NotSent, ProtocolViolation, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.mac import HmacSha256
from engine.model.market import Side
from engine.model.orders import (
    ExecutionReport,
    Fill,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    VenueError,
)
from engine.venues.base import Credentials, Endpoints, HttpRequest, PrivateEvent, WsReply
from tests.sixth_venue.errors import decode_error, unknown
from tests.sixth_venue.market_data import RULES, VENUE, url_text

STATES = {
    "open": OrderState.WORKING,
    "done": OrderState.FILLED,
    "cancelled": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
}
SIDES = {"buy": Side.BUY, "sell": Side.SELL}


class _Fill(msgspec.Struct):
    no: int
    price: str
    qty: str
    fee: str
    fee_asset: str
    is_maker: bool


class _Order(msgspec.Struct):
    no: int
    id: str
    market: str
    side: str
    price: str
    qty: str
    filled: str
    value: str
    state: str
    at: int
    fill: _Fill | None = None


class _Balance(msgspec.Struct):
    asset: str
    free: str
    locked: str


class _OneOrder(msgspec.Struct):
    order: _Order


class _Orders(msgspec.Struct):
    orders: list[_Order]


class _Balances(msgspec.Struct):
    balances: list[_Balance]


class _Private(msgspec.Struct):
    """Anything on the private stream."""

    re: str | None = None
    error: str | None = None
    order: _Order | None = None
    balances: list[_Balance] = []


_ONE_ORDER = msgspec.json.Decoder(_OneOrder)
_ORDERS = msgspec.json.Decoder(_Orders)
_BALANCES = msgspec.json.Decoder(_Balances)
_PRIVATE = msgspec.json.Decoder(_Private)


def signature(mac: HmacSha256, stamp_ms: int, method: str, target: str, body: bytes) -> str:
    """Return the signature of one request."""
    text = f"{stamp_ms}{method}{target}".encode() + body
    return mac.hex(text)


def place_body(order: NewOrder, instrument: Instrument) -> bytes:
    """Return a new order as JSON; raises UsageError where Acorn cannot express it."""
    if order.reduce_only:
        raise UsageError("acorn: spot has no reduce-only orders")
    fields: dict[str, object] = {
        "id": order.client_order_id,
        "market": instrument.symbol,
        "side": order.side.word,
        "kind": order.order_type.value,
        "qty": plain(order.qty, instrument.qty_scale),
    }
    if order.order_type is OrderType.LIMIT:
        fields["price"] = plain(order.price, instrument.price_scale)
        fields["life"] = order.time_in_force.value
        fields["is_post_only"] = order.post_only
    return msgspec.json.encode(fields)


def ack_of(row: _Order, instrument: Instrument) -> OrderAck:
    """Return an order as an ack; raises ProtocolViolation."""
    state, side = STATES.get(row.state), SIDES.get(row.side)
    if state is None or side is None or row.market != instrument.symbol:
        raise ProtocolViolation(f"no order of {instrument.symbol}: {row.state[:20]!r} {row.side[:10]!r}")
    return OrderAck(
        client_order_id=row.id,
        venue_order_id=str(row.no),
        state=state,
        price=scaled(row.price, instrument.price_scale),
        qty=scaled(row.qty, instrument.qty_scale),
        cum_qty=scaled(row.filled, instrument.qty_scale),
        cum_quote=decimal(row.value),
        side=side,
        venue_utc_ns=row.at * MS,
    )


def report_of(row: _Order, instrument: Instrument, mono_ns: int) -> ExecutionReport:
    """Return an order on the stream as a report; raises ProtocolViolation."""
    ack = ack_of(row, instrument)
    assert ack.side is not None
    fill = None
    if row.fill is not None:
        fill = Fill(
            trade_id=str(row.fill.no),
            price=scaled(row.fill.price, instrument.price_scale),
            qty=scaled(row.fill.qty, instrument.qty_scale),
            fee=decimal(row.fill.fee),
            fee_asset=row.fill.fee_asset,
            is_maker=row.fill.is_maker,
            venue_utc_ns=row.at * MS,
        )
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=ack.client_order_id,
        venue_order_id=ack.venue_order_id,
        side=ack.side,
        state=ack.state,
        price=ack.price,
        qty=ack.qty,
        cum_qty=ack.cum_qty,
        fill=fill,
        reason=None,
        venue_utc_ns=row.at * MS,
        recv_mono_ns=mono_ns,
    )


class AcornTrading:
    """Orders and account; implements ``base.TradingAdapter``."""

    venue = VENUE
    product = Product.SPOT
    private_rules = RULES
    trade_rules = RULES
    validity_ms = 2_000
    give_up_ms = 1_000

    def __init__(
        self, product: Product, endpoints: Endpoints, credentials: Credentials, known: dict[str, Instrument]
    ) -> None:
        if product is not Product.SPOT:
            raise UsageError("acorn trades spot only")
        self._endpoints = endpoints
        self._credentials = credentials
        self._mac = HmacSha256(credentials.secret.reveal().encode())
        self._known = known

    def _signed(
        self, method: str, target: str, label: str, stamp_ms: int, body: bytes = b"", orders: int = 0
    ) -> HttpRequest:
        sign = signature(self._mac, stamp_ms, method, target, body)
        key = self._credentials.key.reveal()
        return HttpRequest(
            method=method,
            target=target,
            label=f"acorn.spot.{label}",
            headers=f"A-Key: {key}\r\nA-Time: {stamp_ms}\r\nA-Sign: {sign}\r\n".encode(),
            body=body,
            content_type="application/json",
            order_count=orders,
            idempotent=not orders,
            is_reserved=not orders,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place."""
        return self._signed("POST", "/api/order", "place", stamp_ms, place_body(order, instrument), orders=1)

    def _target(self, instrument: Instrument, client_order_id: str, venue_order_id: str | None) -> str:
        name = f"no={venue_order_id}" if venue_order_id else f"id={client_order_id}"
        return f"/api/order?market={url_text(instrument.symbol)}&{name}"

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel."""
        target = self._target(instrument, client_order_id, venue_order_id)
        return self._signed("DELETE", target, "cancel", stamp_ms)

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query."""
        target = self._target(instrument, client_order_id, venue_order_id)
        return self._signed("GET", target, "query", stamp_ms)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders."""
        market = "" if instrument is None else f"?market={url_text(instrument.symbol)}"
        return self._signed("GET", f"/api/orders{market}", "open_orders", stamp_ms)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Refuse: list the open orders and cancel each."""
        raise UsageError("acorn has no cancel-all: list the open orders and cancel each")

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Refuse: fills come on the stream alone."""
        raise NotSent("acorn lists no fills")

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query."""
        return self._signed("GET", "/api/balances", "balances", stamp_ms)

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Return ``None``: spot has no positions."""
        return None

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Return ``None``: an account has no settings that could be wrong."""
        return None

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Refuse: orders go over REST."""
        raise NotSent("acorn takes orders over REST")

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Refuse: orders go over REST."""
        raise NotSent("acorn takes orders over REST")

    query_ws = cancel_ws

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return ``None``: there is no order-entry connection."""
        return None

    def set_logged_on(self, logged_on: bool) -> None:
        """Do nothing: every request is signed."""

    def private_url(self, listen_key: str | None) -> str:
        """Return the private address."""
        return self._endpoints.ws_private or ""

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return the login; orders and balances follow unasked."""
        sign = signature(self._mac, stamp_ms, "LOGIN", "", b"")
        login = {
            "do": "login", "id": request_id, "key": self._credentials.key.reveal(), "time": stamp_ms,
            "sign": sign,
        }  # fmt: skip
        return (msgspec.json.encode(login),)

    def listen_key_request(self) -> HttpRequest | None:
        """Return ``None``: there is no listen key."""
        return None

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return what is wrong with the call: there is no listen key."""
        return unknown(f"http:{status}", "acorn has no listen key")

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, cancel or query."""
        if status != 200:
            return decode_error(status, body)
        try:
            return ack_of(_ONE_ORDER.decode(body).order, instrument)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            return unknown("http:200", f"undecodable answer: {error}")

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a list of open orders."""
        if status != 200:
            return decode_error(status, body)
        try:
            rows = _ORDERS.decode(body).orders
            return [ack_of(row, self._known[row.market]) for row in rows if row.market in self._known]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            return unknown("http:200", f"undecodable answer: {error}")

    def decode_fills(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[ExecutionReport] | VenueError:
        """Return what is wrong with the call: fills come on the stream alone."""
        return unknown(f"http:{status}", "acorn lists no fills")

    def decode_balances(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Balance] | VenueError:
        """Decode balances."""
        if status != 200:
            return decode_error(status, body)
        try:
            return [_balance(row) for row in _BALANCES.decode(body).balances]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            return unknown("http:200", f"undecodable answer: {error}")

    def decode_positions(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Position] | VenueError:
        """Return none: spot has no positions."""
        return []

    def decode_account_check(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> str | VenueError:
        """Return "": there is nothing to check."""
        return ""

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return decode_error(status, body)

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the private stream."""
        try:
            message = _PRIVATE.decode(payload)
            if message.re is not None:
                refusal = unknown("login", message.error) if message.error else None
                return (WsReply(message.re, refusal),)
            events: list[PrivateEvent] = [_balance(row) for row in message.balances]
            if message.order is not None and message.order.market in self._known:
                events.append(report_of(message.order, self._known[message.order.market], mono_ns))
            return events
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"acorn private message: {error}", payload) from None

    decode_trade = decode_private


def _balance(row: _Balance) -> Balance:
    return Balance(VENUE, "spot", row.asset, decimal(row.free), decimal(row.locked), None)
