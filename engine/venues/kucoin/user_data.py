"""The private connections: executions, balances and positions as they happen, answers to orders.

    {"topic":"/spotMarket/tradeOrdersV2","type":"message","subject":"orderChange","channelType":"private",
     "data":{"symbol":"KCS-USDT","side":"sell","orderId":"5efab07953bdea00089965fa","type":"match","status":"match",
     "matchPrice":"0.96738","matchSize":"0.1","tradeId":"5efab07a4ee4c7000a82d6d9","filledSize":"0.1",...}}

Both connections are greeted by the venue, and nothing may be said before. On the account connection the
subscriptions follow the welcome; on the order-entry one the venue's first words must be answered by their
signature. Pushes name no fee: that is told by the list of fills. Nothing is replayed after a reconnect:
what happened meanwhile must be asked for. Dispatch is by subject and symbol, because the venue's samples
disagree on whether the topic is echoed as it was subscribed.

Source: KuCoin API docs, "Get Order V2", "Get Account Balance", "Get All Orders", "Get All Positions", "Get
Account Balance - Futures", "Add Order - Websocket", seen 2026-08; single frames of 2020 to 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from engine.model.account import Balance
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, OrderState, VenueError
from engine.venues.base import PrivateEvent, StreamDown, ToSend, WsReply
from engine.venues.kucoin.account import PositionRow, contract_position, wallet
from engine.venues.kucoin.endpoints import VENUE
from engine.venues.kucoin.errors import OK, classify
from engine.venues.kucoin.frames import ENVELOPE, SIDES, Envelope, Stamp, error_text, request_id
from engine.venues.kucoin.market_data import classic_request
from engine.venues.kucoin.numbers import (
    DECODE_ERRORS,
    Number,
    exact,
    number,
    optional_time_ns,
    price_in,
    qty_in,
    time_ns,
)
from engine.venues.kucoin.order_entry import WS_ANSWER, ws_result, ws_usage

TOPICS = {
    Product.SPOT: ("/spotMarket/tradeOrdersV2", "/account/balance"),
    Product.PERP: ("/contractMarket/tradeOrders", "/contractAccount/wallet", "/contract/positionAll"),
}
_ORDER_STATES = {
    "received": OrderState.WORKING,
    "open": OrderState.WORKING,
    "match": OrderState.WORKING,
    "update": OrderState.WORKING,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
}
"""By the push's ``type``. A cancel by the venue's own rules (IOC, post-only) looks like one of ours."""
_TRADING_ACCOUNTS = ("trade.", "trade_hf.")
_FORCED = {"liquid": "liquidation", "adl": "reduced by ADL", "settlement": "settlement of the contract"}
_TOKEN_CODES = ("401", "403")


class _Order(msgspec.Struct, gc=False):
    """An order push, spot or futures; sizes of futures are lots. A price of "0" or "" is a market order's."""

    symbol: str
    side: str
    orderId: str  # noqa: N815 - the wire's names
    type: str
    ts: Stamp
    clientOid: str | None = None  # noqa: N815
    price: Stamp | None = None
    originSize: Stamp | None = None  # noqa: N815
    size: Stamp | None = None
    filledSize: Stamp | None = None  # noqa: N815
    matchPrice: Stamp | None = None  # noqa: N815
    matchSize: Stamp | None = None  # noqa: N815
    tradeId: Stamp | None = None  # noqa: N815
    liquidity: str | None = None
    tradeType: str | None = None  # noqa: N815


class _SpotBalance(msgspec.Struct, gc=False):
    """``available`` and ``hold`` are totals, not changes."""

    currency: str
    available: Number
    hold: Number
    relationEvent: str = ""  # noqa: N815
    time: Stamp | None = None


class _Wallet(msgspec.Struct, gc=False):
    """``version`` grows with every change of a currency."""

    currency: str
    walletBalance: Number  # noqa: N815
    availableBalance: Number  # noqa: N815
    version: Stamp = 0
    timestamp: Stamp | None = None


_ORDER = msgspec.json.Decoder(_Order)
_SPOT_BALANCE = msgspec.json.Decoder(_SpotBalance)
_WALLET = msgspec.json.Decoder(_Wallet)
_POSITION = msgspec.json.Decoder(PositionRow)


def order_report(row: _Order, instrument: Instrument, mono_ns: int) -> ExecutionReport:
    """Return one order push; raises ProtocolViolation."""
    side, state = SIDES.get(row.side), _ORDER_STATES.get(row.type)
    if side is None or state is None:
        raise ProtocolViolation(f"unknown side {row.side[:20]!r} or type {row.type[:20]!r} of an order")
    stamp = time_ns(row.ts)
    fill = None
    if row.type == "match":
        if not row.tradeId or not row.matchPrice or not row.matchSize:
            raise ProtocolViolation(f"a match of order {row.orderId[:40]!r} without trade id, price or size")
        fill = Fill(
            trade_id=str(row.tradeId),
            price=_price(row.matchPrice, instrument),
            qty=_qty(row.matchSize, instrument),
            fee=None,
            fee_asset=None,
            is_maker={"maker": True, "taker": False}.get(row.liquidity or ""),
            venue_utc_ns=stamp,
        )
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=row.clientOid or "",
        venue_order_id=row.orderId,
        side=side,
        state=state,
        price=_price(row.price, instrument),
        qty=_qty(row.originSize or row.size, instrument),
        cum_qty=None if row.filledSize in (None, "") else _qty(row.filledSize, instrument),
        fill=fill,
        reason=_FORCED.get(row.tradeType or ""),
        venue_utc_ns=stamp,
        recv_mono_ns=mono_ns,
    )


def _price(value: Stamp | None, instrument: Instrument) -> int:
    return 0 if value is None else price_in(str(value), instrument)


def _qty(value: Stamp | None, instrument: Instrument) -> int:
    return 0 if value is None else qty_in(str(value), instrument)


class TradeDecoder:
    """Decodes the order-entry connection of one product: its two-step greeting, and answers to orders.

    Args:
        sign: returns the base64 signature of the venue's first words.
    """

    def __init__(self, product: Product, sign: Callable[[bytes], str]) -> None:
        self._product = product
        self._sign = sign
        self._login_id = ""

    def login_awaited(self, request_id: str) -> None:
        """Note that a fresh connection will be greeted; ``request_id`` names the outcome."""
        self._login_id = request_id

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds give ``()``; raises ProtocolViolation."""
        try:
            answer = WS_ANSWER.decode(payload)
        except DECODE_ERRORS as error:
            raise ProtocolViolation(f"order-entry message: {error}", payload) from None
        if answer.op == "pong":
            return ()
        code = str(answer.code)
        if answer.sessionId and code in ("", OK):
            if bytes(answer.data) != b'"welcome"':
                return (ToSend(self._sign(payload).encode()),)  # the very bytes, never re-serialised
            return self._logged_on(None)
        if answer.id is not None and answer.op:
            usage = ws_usage(self._product, answer)
            return (WsReply(str(answer.id), ws_result(self._product, answer), usage),)
        if code in ("", OK):
            return ()
        refusal = classify(self._product, 200, code, answer.msg or "")
        if answer.id is not None:
            return (WsReply(str(answer.id), refusal),)
        if self._login_id:
            return self._logged_on(refusal)
        # Whose it is cannot be told: what is in flight stays unanswered, and is asked for.
        return (StreamDown(f"an error without a request: {refusal.code} {refusal.message}"),)

    def _logged_on(self, refusal: VenueError | None) -> Sequence[PrivateEvent]:
        request, self._login_id = self._login_id, ""
        return (WsReply(request, refusal),) if request else ()


class PrivateDecoder:
    """Decodes the account connection of one product.

    Args:
        known: instruments by the venue's symbol; may change while this decoder lives.

    Attributes:
        unknown_symbols: pushes of instruments that are not in ``known``, which were left out.
    """

    def __init__(self, product: Product, known: dict[str, Instrument]) -> None:
        self._product = product
        self._known = known
        self.unknown_symbols = 0
        self._request_id = ""
        self._waiting: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._subjects: dict[str, Callable[[Envelope, int], Sequence[PrivateEvent]]] = {
            "orderChange": self._order,
            "symbolOrderChange": self._order,
            "account.balance": self._spot_balance,
            "walletBalance.change": self._wallet,
            "position.change": self._position,
        }

    def begin(self, request_id: str) -> None:
        """Note that a fresh connection will be greeted; ``request_id`` names the outcome of subscribing."""
        self._request_id = request_id
        self._waiting = {f"{request_id}{at}": topic for at, topic in enumerate(TOPICS[self._product])}
        self._versions.clear()

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds and instruments give ``()``; raises ProtocolViolation."""
        try:
            frame = ENVELOPE.decode(payload)
            if frame.topic and frame.type in ("message", ""):
                handler = self._subjects.get(frame.subject)
                return () if handler is None else handler(frame, mono_ns)
            return self._control(frame)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"private message: {error}", payload) from None

    def _control(self, frame: Envelope) -> Sequence[PrivateEvent]:
        asked = request_id(frame)
        if frame.type == "welcome":
            return [
                ToSend(classic_request(topic, name, is_private=True)) for name, topic in self._waiting.items()
            ]
        if frame.type == "ack" and asked in self._waiting:
            del self._waiting[asked]
            return () if self._waiting else (WsReply(self._request_id, None),)
        if frame.type == "error":
            why = error_text(frame)
            if asked in self._waiting and str(frame.code) not in _TOKEN_CODES:
                return (WsReply(self._request_id, classify(self._product, 200, str(frame.code), why)),)
            return (StreamDown(f"refused by the venue: {why}"),)  # the next connection takes a new token
        return ()  # a pong

    def _order(self, frame: Envelope, mono_ns: int) -> Sequence[PrivateEvent]:
        row = _ORDER.decode(frame.data)
        instrument = self._known.get(row.symbol)
        if instrument is None:
            self.unknown_symbols += 1
            return ()
        return (order_report(row, instrument, mono_ns),)

    def _spot_balance(self, frame: Envelope, mono_ns: int) -> Sequence[PrivateEvent]:
        """Read a balance of the trade account; those of main and margin accounts are others."""
        row = _SPOT_BALANCE.decode(frame.data)
        if not row.relationEvent.startswith(_TRADING_ACCOUNTS):
            return ()
        stamp = optional_time_ns(row.time)
        return (Balance(VENUE, "spot", row.currency, exact(row.available), exact(row.hold), stamp),)

    def _wallet(self, frame: Envelope, mono_ns: int) -> Sequence[PrivateEvent]:
        row = _WALLET.decode(frame.data)
        version = number(row.version)
        if version and version <= self._versions.get(row.currency, 0):
            return ()  # overtaken by a later one
        self._versions[row.currency] = version
        stamp = optional_time_ns(row.timestamp)
        return (wallet(row.currency, row.walletBalance, row.availableBalance, stamp),)

    def _position(self, frame: Envelope, mono_ns: int) -> Sequence[PrivateEvent]:
        """Read a whole position; rows that follow the mark price tell no quantity and are left out."""
        row = _POSITION.decode(frame.data)
        if row.currentQty is None:
            return ()
        symbol = row.symbol or frame.topic.partition(":")[2]
        instrument = self._known.get(symbol)
        if instrument is None:
            self.unknown_symbols += 1
            return ()
        return (contract_position(row, instrument),)
