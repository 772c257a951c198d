"""The private side of a unified account: requests, and the decoders of its two private connections.

The account stream is a socket of its own, of which each connection takes a token; the order entry is that of
classic accounts with other operations (``uta.order``, ``uta.cancel``) and the same greeting.

    {"T":"orderAll.UNIFIED","P":"1774794309609274499","d":{"oi":"427737326394129559","ci":"a1","os":5,
     "eT":"CANCEL","s":"DOGEUSDTM","S":"SELL","oT":"MARKET","q":"1","fS":"0","tIF":"GTC","U":1774794309608959200}}

Order events tell an average price, executions the price of each fill but not our id: an execution that
overtakes its order's first event is kept until that event names the order.

Source: KuCoin API docs (unified account), "Order", "Execution", "Balance", "Position", seen 2026-08; frames
that real accounts received 2026-02 and 2026-03; kucoin-universal-sdk 1.3.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import NotSent, ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, NewOrder, OrderAck, VenueError
from engine.venues.base import (
    Credentials,
    Dial,
    Endpoints,
    HttpRequest,
    PrivateEvent,
    StreamDown,
    ToSend,
    WsReply,
)
from engine.venues.kucoin import errors, handshake, order_entry, unified_orders, user_data
from engine.venues.kucoin.endpoints import (
    FILLS_PAGE,
    GIVE_UP_MS,
    ORDERS_PAGE,
    PING,
    TRADE_RULES,
    TRADE_TYPES,
    UNIFIED_RULES,
    VALIDITY_MS,
    VENUE,
)
from engine.venues.kucoin.frames import ENVELOPE, SIDES, Envelope, Stamp, error_text, request_id
from engine.venues.kucoin.numbers import (
    DECODE_ERRORS,
    Number,
    loose_number,
    number_price_in,
    number_qty_in,
    optional_time_ns,
    time_ns,
)
from engine.venues.kucoin.signing import KucoinSigner

BASE = "/api/ua/v1"
"""The venue's SDK says v2, its other clients v1: UNCONFIRMED which is the lasting one; their bodies agree."""
TOKEN_TARGET = "/api/v2/bullet-private"  # noqa: S105 - a path
EXECUTIONS_KEPT = 1_000


class _Order(msgspec.Struct, gc=False):
    """``oi`` order id, ``ci`` ours, ``os`` status, ``q`` size in ``qU``, ``fS`` filled, ``cR`` why ended."""

    oi: str
    s: str
    S: str
    os: int
    oT: str  # noqa: N815 - the wire's names
    U: Stamp
    ci: str | None = None
    p: msgspec.Raw = msgspec.Raw(b"null")
    q: msgspec.Raw = msgspec.Raw(b"null")
    qU: str = ""  # noqa: N815
    fS: Number | None = None  # noqa: N815
    tIF: str | None = None  # noqa: N815
    cR: str | None = None  # noqa: N815


class _Execution(msgspec.Struct, gc=False):
    """``oi`` order id, ``ti`` trade id, ``p`` and ``q`` of this fill, ``lR`` MAKER or TAKER, ``E`` when."""

    oi: str
    s: str
    S: str
    ti: Stamp
    p: Number
    q: Number
    E: Stamp
    lR: str = ""  # noqa: N815


class _Balance(msgspec.Struct, gc=False):
    c: str
    a: Number
    h: Number
    U: Stamp | None = None


class _Position(msgspec.Struct, gc=False):
    s: str
    q: Number
    eP: Number | None = None  # noqa: N815 - the wire's names
    mP: Number | None = None  # noqa: N815
    uPL: Number | None = None  # noqa: N815
    l: Number | None = None  # noqa: E741
    pS: str | None = None  # noqa: N815
    U: Stamp | None = None


class _Push(msgspec.Struct, gc=False):
    d: msgspec.Raw


_PUSH = msgspec.json.Decoder(_Push)
_ORDER = msgspec.json.Decoder(_Order)
_EXECUTION = msgspec.json.Decoder(_Execution)
_BALANCE = msgspec.json.Decoder(_Balance)
_POSITION = msgspec.json.Decoder(_Position)
_CHANNELS: tuple[dict[str, str], ...] = (
    {"channel": "orderAll", "tradeType": "UNIFIED"},
    {"channel": "execution.lite", "tradeType": "UNIFIED"},
    {"channel": "balance", "accountType": "UNIFIED"},
)
_POSITIONS: dict[str, str] = {"channel": "positionAll", "tradeType": "UNIFIED"}


class UnifiedDecoder:
    """Decodes the account stream of one product of a unified account.

    Args:
        known: instruments by the venue's symbol; those of the other product are left out, uncounted.
    """

    def __init__(self, product: Product, known: dict[str, Instrument]) -> None:
        self._product = product
        self._known = known
        self._request_id = ""
        self._waiting: dict[str, bytes] = {}
        self._ours: dict[str, str] = {}
        self._seen: deque[str] = deque()
        self._early: dict[str, list[tuple[Instrument, str, Fill]]] = {}
        self._channels: dict[str, Callable[[msgspec.Raw, int], Sequence[PrivateEvent]]] = {
            "orderAll": self._order,
            "order": self._order,
            "execution.lite": self._execution,
            "execution": self._execution,
            "balance": self._balance,
            "positionAll": self._position,
            "position": self._position,
        }

    def begin(self, name: str) -> None:
        """Note that a fresh connection will be greeted; ``name`` names the outcome of subscribing."""
        channels = [*_CHANNELS, *([_POSITIONS] if self._product is Product.PERP else [])]
        self._request_id = name
        self._waiting = {
            f"{name}{at}": msgspec.json.encode({"id": f"{name}{at}", "action": "SUBSCRIBE", **channel})
            for at, channel in enumerate(channels)
        }
        self._early.clear()

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown channels and instruments give ``()``; raises ProtocolViolation."""
        try:
            frame = ENVELOPE.decode(payload)
            if frame.T:
                handler = self._channels.get(frame.T.rpartition(".")[0] or frame.T)
                return () if handler is None else handler(_PUSH.decode(payload).d, mono_ns)
            return self._control(frame)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"private message: {error}", payload) from None

    def _control(self, frame: Envelope) -> Sequence[PrivateEvent]:
        asked = request_id(frame)
        if frame.type == "welcome" or frame.message == "welcome":
            return [ToSend(message) for message in self._waiting.values()]
        if frame.result is True and asked in self._waiting:
            del self._waiting[asked]
            return () if self._waiting else (WsReply(self._request_id, None),)
        if frame.type == "error" or frame.result is False:
            why = error_text(frame)
            if asked in self._waiting:
                refusal = errors.classify(self._product, 200, str(frame.code), why)
                return (WsReply(self._request_id, refusal),)
            return (StreamDown(f"refused by the venue: {why}"),)  # the next connection takes a new token
        return ()  # a pong

    def _order(self, data: msgspec.Raw, mono_ns: int) -> Sequence[PrivateEvent]:
        row = _ORDER.decode(data)
        instrument = self._known.get(row.s)
        if instrument is None:
            return ()
        side = SIDES.get(row.S)
        if side is None:
            raise ProtocolViolation(f"unknown side {row.S[:20]!r} of an order")
        is_money = row.qU == "QUOTECCY"
        report = ExecutionReport(
            venue=VENUE,
            universal=instrument.universal,
            client_order_id=row.ci or "",
            venue_order_id=row.oi,
            side=side,
            state=unified_orders.state_of(row.os, row.oT, row.tIF),
            price=number_price_in(loose_number(row.p), instrument),
            qty=0 if is_money else number_qty_in(loose_number(row.q), instrument),
            cum_qty=None if is_money or row.fS is None else number_qty_in(row.fS, instrument),
            fill=None,
            reason=row.cR if row.os in (5, 6) and row.cR not in (None, "", "USER") else None,
            venue_utc_ns=time_ns(row.U),
            recv_mono_ns=mono_ns,
        )
        self._remember(row.oi, row.ci or "")
        early = self._early.pop(row.oi, [])
        fills = [
            unified_orders.fill_report(each, row.ci or "", row.oi, taken, fill, mono_ns)
            for each, taken, fill in early
        ]
        return [*fills, report]

    def _remember(self, venue_id: str, ours: str) -> None:
        if venue_id not in self._ours:
            self._seen.append(venue_id)
            if len(self._seen) > EXECUTIONS_KEPT:
                del self._ours[self._seen.popleft()]
        self._ours[venue_id] = ours

    def _execution(self, data: msgspec.Raw, mono_ns: int) -> Sequence[PrivateEvent]:
        row = _EXECUTION.decode(data)
        instrument = self._known.get(row.s)
        if instrument is None:
            return ()
        fill = Fill(
            trade_id=str(row.ti),
            price=number_price_in(row.p, instrument),
            qty=number_qty_in(row.q, instrument),
            fee=None,
            fee_asset=None,
            is_maker={"MAKER": True, "TAKER": False}.get(row.lR.upper()),
            venue_utc_ns=time_ns(row.E),
        )
        ours = self._ours.get(row.oi)
        report = unified_orders.fill_report(instrument, ours or "", row.oi, row.S, fill, mono_ns)
        if ours is None and len(self._early) < EXECUTIONS_KEPT:
            self._early.setdefault(row.oi, []).append((instrument, row.S, fill))
            return ()
        return (report,)

    def _balance(self, data: msgspec.Raw, mono_ns: int) -> Sequence[PrivateEvent]:
        row = _BALANCE.decode(data)
        return (unified_orders.balance(self._product, row.c, row.a, row.h, optional_time_ns(row.U)),)

    def _position(self, data: msgspec.Raw, mono_ns: int) -> Sequence[PrivateEvent]:
        row = _POSITION.decode(data)
        each = self._known.get(row.s)
        if each is None:
            return ()
        stamp = optional_time_ns(row.U)
        return (unified_orders.position(each, row.q, row.eP, row.mP, row.uPL, row.l, row.pS, stamp),)


class KucoinUnifiedTrading:
    """Private side of one product of a unified account; implements ``base.TradingAdapter`` and dials signed.

    Args:
        product: spot or linear perpetual contracts; both are asked of one host.
        endpoints: ``ws_private`` is the push socket's address without its token.
        credentials: key, secret and passphrase.
        known: instruments by the venue's symbol; shared with whoever refreshes the listing.
        key_version: the version that the venue lists for the key, 2 or 3.

    Raises:
        ConfigError: the key cannot be used.
    """

    venue = VENUE
    validity_ms = VALIDITY_MS
    give_up_ms = GIVE_UP_MS
    private_rules = UNIFIED_RULES
    trade_rules = TRADE_RULES

    def __init__(
        self,
        product: Product,
        endpoints: Endpoints,
        credentials: Credentials,
        known: dict[str, Instrument],
        key_version: int = 3,
    ) -> None:
        self.product = product
        self._endpoints = endpoints
        self._signer = KucoinSigner(credentials, key_version)
        self._known = known
        self._type = TRADE_TYPES[product]
        self._label = f"{VENUE}.{product.value}"
        self._decoder = UnifiedDecoder(product, known)
        self._trade_decoder = user_data.TradeDecoder(product, self._signer.sign)

    # ----------------------------------------------------------------------------------------- REST

    def _request(
        self, method: str, target: str, stamp_ms: int, label: str, weight: int = 1, body: str = "",
        is_reserved: bool = False, is_order: bool = False,
    ) -> HttpRequest:  # fmt: skip
        data = body.encode()
        return HttpRequest(
            method=method,
            target=target,
            label=f"{self._label}.{label}",
            headers=self._signer.headers(method, target, data, stamp_ms),
            body=data,
            content_type="application/json",
            weight=0 if is_order else weight,
            order_count=1 if is_order else 0,
            idempotent=not is_order,
            is_reserved=is_reserved,
        )

    def place_http(self, order: NewOrder, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a place; raises UsageError where the order cannot be expressed at this venue."""
        body = unified_orders.place_body(self.product, order, instrument)
        target = f"{BASE}/unified/order/place"
        return self._request("POST", target, stamp_ms, "place", body=body, is_order=True)

    def cancel_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a cancel. Repeating one is harmless: a second finds nothing to cancel."""
        body = unified_orders.cancel_body(self.product, instrument, client_order_id, venue_order_id)
        target = f"{BASE}/unified/order/cancel"
        return self._request("POST", target, stamp_ms, "cancel", body=body, is_reserved=True)

    def query_http(
        self, instrument: Instrument, client_order_id: str, venue_order_id: str | None, stamp_ms: int
    ) -> HttpRequest:
        """Encode and sign a status query."""
        field, text = unified_orders.naming(client_order_id, venue_order_id)
        symbol = order_entry.plain_text(instrument.symbol)
        target = f"{BASE}/unified/order/detail?{field}={text}&symbol={symbol}&tradeType={self._type}"
        return self._request("GET", target, stamp_ms, "query", 2, is_reserved=True)

    def open_orders_http(self, instrument: Instrument | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a list of open orders; ``decode_orders`` refuses a page that is not all."""
        symbol = "" if instrument is None else f"symbol={order_entry.plain_text(instrument.symbol)}&"
        target = f"{BASE}/unified/order/open-list?{symbol}tradeType={self._type}&pageSize={ORDERS_PAGE}"
        return self._request("GET", target, stamp_ms, "open_orders", 2, is_reserved=True)

    def cancel_all_http(self, instrument: Instrument, stamp_ms: int) -> HttpRequest:
        """Encode and sign a cancel of every open order of one instrument; the cancels arrive as reports."""
        symbol = order_entry.plain_text(instrument.symbol)
        body = f'{{"symbol":"{symbol}","tradeType":"{self._type}","orderFilter":"NORMAL"}}'
        target = f"{BASE}/unified/order/cancel-all"
        return self._request("POST", target, stamp_ms, "cancel_all", 10, body, is_reserved=True)

    def fills_http(self, instrument: Instrument, from_trade_id: str | None, stamp_ms: int) -> HttpRequest:
        """Encode and sign a page of the newest own fills; ``from_trade_id`` is not used."""
        symbol = order_entry.plain_text(instrument.symbol)
        target = (
            f"{BASE}/unified/order/execution?symbol={symbol}&tradeType={self._type}&pageSize={FILLS_PAGE}"
        )
        return self._request("GET", target, stamp_ms, "fills", 2, is_reserved=True)

    def balances_http(self, stamp_ms: int) -> HttpRequest:
        """Encode and sign a balance query."""
        return self._request("GET", f"{BASE}/unified/account/balance", stamp_ms, "balances", 5)

    def positions_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a position query; ``None`` for spot."""
        if self.product is Product.SPOT:
            return None
        return self._request("GET", f"{BASE}/unified/position/open-list", stamp_ms, "positions", 2)

    def account_check_http(self, stamp_ms: int) -> HttpRequest | None:
        """Encode and sign a question for the account's mode."""
        return self._request("GET", f"{BASE}/account/mode", stamp_ms, "account_check", 60)

    # ----------------------------------------------------------------------------- WebSocket orders

    def place_ws(self, order: NewOrder, instrument: Instrument, request_id: str, stamp_ms: int) -> bytes:
        """Encode an ``uta.order`` request; raises UsageError as ``place_http``."""
        args = unified_orders.place_body(self.product, order, instrument)
        return f'{{"id":"{request_id}","op":"uta.order","args":{args}}}'.encode()

    def cancel_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Encode an ``uta.cancel`` request."""
        args = unified_orders.cancel_body(self.product, instrument, client_order_id, venue_order_id)
        return f'{{"id":"{request_id}","op":"uta.cancel","args":{args}}}'.encode()

    def query_ws(
        self,
        instrument: Instrument,
        client_order_id: str,
        venue_order_id: str | None,
        request_id: str,
        stamp_ms: int,
    ) -> bytes:
        """Refuse: the venue answers queries over REST alone.

        Raises:
            NotSent: always.
        """
        raise NotSent("kucoin has no order query over WebSocket: ask over REST")

    def trade_url(self, stamp_ms: int) -> str:
        """Return the signed address of the order-entry connection, good for one connect within 5 s."""
        return f"{self._endpoints.ws_trade}?{self._signer.trade_query(stamp_ms)}"

    def trade_login(self, request_id: str, stamp_ms: int) -> bytes | None:
        """Return nothing to send: the venue speaks first, and ``decode_trade`` answers and ends the login."""
        self._trade_decoder.login_awaited(request_id)
        return b""

    def set_logged_on(self, logged_on: bool) -> None:
        """Do nothing: requests are never signed by themselves; a login is the connection's."""

    # -------------------------------------------------------------------------------------- private

    def private_url(self, listen_key: str | None) -> str:
        """Return the address of the account stream: the whole of it is what the token's answer says."""
        return listen_key or ""

    def private_subscribe(self, request_id: str, stamp_ms: int) -> tuple[bytes, ...]:
        """Return a ping: the subscriptions follow as ``ToSend`` once the venue has welcomed us."""
        self._decoder.begin(request_id)
        return (PING,)

    def listen_key_request(self) -> HttpRequest | None:
        """Return the token request without a good stamp; see :meth:`signed_listen_key_request`."""
        return self.signed_listen_key_request(0)

    def signed_listen_key_request(self, stamp_ms: int) -> HttpRequest:
        """Return the signed request for a token of the account stream; each call makes another."""
        return self._request("POST", TOKEN_TARGET, stamp_ms, "token", handshake.WEIGHT)

    # ------------------------------------------------------------------------------------- decoding

    def decode_order(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> OrderAck | VenueError:
        """Decode the answer to a place, cancel or query."""
        return unified_orders.decode_order(instrument, status, body, retry_after)

    def decode_orders(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[OrderAck] | VenueError:
        """Decode a list of open orders; empty for a cancel-all."""
        return unified_orders.decode_orders(self.product, self._known, status, body, retry_after)

    def decode_fills(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[ExecutionReport] | VenueError:
        """Decode a page of own fills."""
        return unified_orders.decode_fills(instrument, status, body, retry_after)

    def decode_balances(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Balance] | VenueError:
        """Decode balances."""
        return unified_orders.decode_balances(self.product, status, body, retry_after)

    def decode_positions(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> list[Position] | VenueError:
        """Decode positions."""
        return unified_orders.decode_positions(self._known, status, body, retry_after)

    def decode_account_check(
        self, status: int, body: bytes, retry_after: str | None = None
    ) -> str | VenueError:
        """Return why the account must not be traded, or ""."""
        return unified_orders.decode_settings(self.product, status, body, retry_after)

    def decode_listen_key(self, status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
        """Return the address of the next account stream, token included."""
        made = handshake.decode_token(
            self.product,
            self._endpoints.rest_trade or self._endpoints.rest,
            "private",
            status,
            body,
            retry_after,
            self._endpoints.ws_private or "",
        )
        return made.url if isinstance(made, Dial) else made

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return errors.decode_error(self.product, status, body, retry_after)

    def decode_private(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the account stream."""
        return self._decoder.decode(payload, mono_ns, utc_ns)

    def decode_trade(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message of the order-entry connection."""
        return self._trade_decoder.decode(payload, mono_ns, utc_ns)
