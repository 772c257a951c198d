"""The private side: user-data events, balances, positions, own fills.

Spot events come over the WebSocket API, each wrapped as ``{"subscriptionId":0,"event":{...}}``; USD-M
events come over ``/private/ws?listenKey=...``. Unknown events and keys are ignored.
Source: spot user-data-stream (2026-07-21); USD-M "User Data Streams" (2026-05-27) and captures named in
NOTES.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, OrderState, VenueError
from engine.venues.base import PlannedShutdown, PrivateEvent, StreamDown
from engine.venues.binance.endpoints import VENUE
from engine.venues.binance.errors import decode_error
from engine.venues.binance.numbers import scaled
from engine.venues.binance.order_entry import ORDER_STATES, SIDES, WsBody, decode_ws_reply, undecodable

_MS = 1_000_000


class _SpotReport(msgspec.Struct, gc=False):
    """executionReport; one-letter keys as documented."""

    s: str
    c: str
    S: str
    q: str
    p: str
    x: str
    X: str
    i: int
    z: str
    T: int
    C: str = ""
    l: str = "0"  # noqa: E741 - the wire's name
    L: str = "0"
    n: str | None = None
    N: str | None = None
    t: int = -1
    m: bool = False
    r: str = "NONE"
    eR: str | None = None  # noqa: N815


class _PerpReport(msgspec.Struct, gc=False):
    """The ``o`` of ORDER_TRADE_UPDATE."""

    s: str
    c: str
    S: str
    q: str
    p: str
    x: str
    X: str
    i: int
    z: str
    T: int
    l: str = "0"  # noqa: E741
    L: str = "0"
    n: str | None = None
    N: str | None = None
    t: int = 0
    m: bool = False
    er: str | int = "0"


class _Lite(msgspec.Struct, gc=False):
    """TRADE_LITE: a fill, early, without fee or cumulative quantity."""

    s: str
    c: str
    S: str
    q: str
    p: str
    L: str
    l: str  # noqa: E741
    t: int
    i: int
    T: int
    m: bool = False


class _SpotBalance(msgspec.Struct, gc=False):
    a: str
    f: str
    l: str  # noqa: E741


class _PerpBalance(msgspec.Struct, gc=False):
    a: str
    wb: str
    cw: str = "0"


class _PerpPosition(msgspec.Struct, gc=False):
    s: str
    pa: str
    ep: str
    up: str = "0"
    ps: str = "BOTH"


class _AccountUpdate(msgspec.Struct, gc=False):
    B: list[_PerpBalance] = []
    P: list[_PerpPosition] = []


class _Event(msgspec.Struct, gc=False):
    """The head of any event, and the bodies that some have."""

    e: str = ""
    E: int | str | None = None
    u: int | None = None
    T: int | None = None
    o: _PerpReport | None = None
    B: list[_SpotBalance] | None = None
    a: msgspec.Raw | None = None


class _Message(msgspec.Struct, gc=False):
    """Any message of the spot WebSocket API connection."""

    status: int | None = None
    event: msgspec.Raw | None = None
    subscriptionId: int | None = None  # noqa: N815


class _Combined(msgspec.Struct, gc=False):
    stream: str | None = None
    data: msgspec.Raw | None = None
    status: int | None = None


_MESSAGE = msgspec.json.Decoder(_Message)
_COMBINED = msgspec.json.Decoder(_Combined)
_WS_BODY = msgspec.json.Decoder(WsBody)
_HEAD = msgspec.json.Decoder(_Event)
_SPOT_REPORT = msgspec.json.Decoder(_SpotReport)
_LITE = msgspec.json.Decoder(_Lite)
_ACCOUNT_UPDATE = msgspec.json.Decoder(_AccountUpdate)


class PrivateDecoder:
    """Decodes the private and order-entry connections of one product."""

    def __init__(self, product: Product, known: dict[str, Instrument]) -> None:
        self._product = product
        self._known = known

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds and instruments give ``()``; raises ProtocolViolation."""
        try:
            return self._decode(payload, mono_ns)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidOperation) as error:
            raise ProtocolViolation(f"private message: {error}", payload) from None

    def _decode(self, payload: bytes, mono_ns: int) -> Sequence[PrivateEvent]:
        if self._product is Product.SPOT:
            message = _MESSAGE.decode(payload)
            if message.status is not None:
                return self._reply(payload)
            return () if message.event is None else self._spot(bytes(message.event), mono_ns)
        combined = _COMBINED.decode(payload)
        if combined.status is not None:
            return self._reply(payload)
        return self._perp(bytes(combined.data) if combined.data is not None else payload, mono_ns)

    def _reply(self, payload: bytes) -> Sequence[PrivateEvent]:
        body = _WS_BODY.decode(payload)
        if body.id is None and body.status == 401:
            return (StreamDown("session revoked"),)
        return (decode_ws_reply(self._product, self._known, body),)

    # ----------------------------------------------------------------------------------------- spot

    def _spot(self, raw: bytes, mono_ns: int) -> Sequence[PrivateEvent]:
        head = _HEAD.decode(raw) if b'"executionReport"' not in raw else None
        if head is None:
            return self._spot_report(_SPOT_REPORT.decode(raw), mono_ns)
        if head.e == "outboundAccountPosition" and head.B is not None:
            # Absolute amounts; balanceUpdate is a delta of the same change and is not applied.
            return tuple(
                Balance(VENUE, "spot", each.a, _amount(each.f), _amount(each.l), (head.u or 0) * _MS)
                for each in head.B
            )
        if head.e == "eventStreamTerminated":
            return (StreamDown("event stream terminated"),)
        if head.e == "serverShutdown":
            return (PlannedShutdown(None),)
        return ()

    def _spot_report(self, report: _SpotReport, mono_ns: int) -> Sequence[PrivateEvent]:
        instrument = self._known.get(report.s)
        state = ORDER_STATES.get(report.X)
        if instrument is None or state is None:
            return ()
        fill = None
        if report.x == "TRADE" and report.t >= 0:
            fill = Fill(
                trade_id=str(report.t),
                price=scaled(report.L, instrument.price_scale),
                qty=scaled(report.l, instrument.qty_scale),
                fee=_amount(report.n) if report.n is not None else None,
                fee_asset=report.N,
                is_maker=report.m,
                venue_utc_ns=report.T * _MS,
            )
        return (
            ExecutionReport(
                venue=VENUE,
                universal=instrument.universal,
                # A cancel or amend carries its own id in ``c``; the order's is then in ``C``.
                client_order_id=report.C or report.c,
                venue_order_id=str(report.i),
                side=SIDES[report.S],
                state=state,
                price=scaled(report.p, instrument.price_scale),
                qty=scaled(report.q, instrument.qty_scale),
                cum_qty=scaled(report.z, instrument.qty_scale),
                fill=fill,
                reason=_reason(state, report.eR or report.r),
                venue_utc_ns=report.T * _MS,
                recv_mono_ns=mono_ns,
            ),
        )

    # ----------------------------------------------------------------------------------------- perp

    def _perp(self, raw: bytes, mono_ns: int) -> Sequence[PrivateEvent]:
        if b'"TRADE_LITE"' in raw:
            return self._lite(_LITE.decode(raw), mono_ns)
        head = _HEAD.decode(raw) if b'"ACCOUNT_UPDATE"' not in raw else None
        if head is None:
            return self._account_update(raw)
        if head.e == "ORDER_TRADE_UPDATE" and head.o is not None:
            return self._perp_report(head.o, mono_ns)
        if head.e == "listenKeyExpired":
            return (StreamDown("listen key expired"),)
        return ()

    def _account_update(self, raw: bytes) -> Sequence[PrivateEvent]:
        head = _ACCOUNT_HEAD.decode(raw)
        if head.e != "ACCOUNT_UPDATE" or head.a is None:
            return ()
        stamp = (head.T or 0) * _MS
        events: list[PrivateEvent] = [
            Balance(VENUE, "perp", each.a, _amount(each.wb), Decimal(0), stamp) for each in head.a.B
        ]
        for each in head.a.P:
            instrument = self._known.get(each.s)
            if instrument is not None and each.ps == "BOTH":
                events.append(
                    Position(
                        VENUE, instrument.universal, _amount(each.pa), _amount(each.ep), None,
                        _amount(each.up), None, None, stamp,
                    )
                )  # fmt: skip
        return events

    def _lite(self, lite: _Lite, mono_ns: int) -> Sequence[PrivateEvent]:
        instrument = self._known.get(lite.s)
        if instrument is None:
            return ()
        fill = Fill(
            trade_id=str(lite.t),
            price=scaled(lite.L, instrument.price_scale),
            qty=scaled(lite.l, instrument.qty_scale),
            fee=None,
            fee_asset=None,
            is_maker=lite.m,
            venue_utc_ns=lite.T * _MS,
        )
        return (
            ExecutionReport(
                venue=VENUE,
                universal=instrument.universal,
                client_order_id=lite.c,
                venue_order_id=str(lite.i),
                side=SIDES[lite.S],
                state=OrderState.WORKING,  # the fill is all it tells; the order's own report follows
                price=scaled(lite.p, instrument.price_scale),
                qty=scaled(lite.q, instrument.qty_scale),
                cum_qty=None,
                fill=fill,
                reason=None,
                venue_utc_ns=lite.T * _MS,
                recv_mono_ns=mono_ns,
            ),
        )

    def _perp_report(self, report: _PerpReport, mono_ns: int) -> Sequence[PrivateEvent]:
        instrument = self._known.get(report.s)
        state = ORDER_STATES.get(report.X)
        if instrument is None or state is None:
            return ()
        fill = None
        if report.x in ("TRADE", "CALCULATED") and report.t > 0:
            fill = Fill(
                trade_id=str(report.t),
                price=scaled(report.L, instrument.price_scale),
                qty=scaled(report.l, instrument.qty_scale),
                fee=_amount(report.n) if report.n is not None else None,
                fee_asset=report.N,
                is_maker=report.m,
                venue_utc_ns=report.T * _MS,
            )
        return (
            ExecutionReport(
                venue=VENUE,
                universal=instrument.universal,
                client_order_id=report.c,
                venue_order_id=str(report.i),
                side=SIDES[report.S],
                state=state,
                price=scaled(report.p, instrument.price_scale),
                qty=scaled(report.q, instrument.qty_scale),
                cum_qty=scaled(report.z, instrument.qty_scale),
                fill=fill,
                reason=_reason(state, _EXPIRY.get(str(report.er), str(report.er))),
                venue_utc_ns=report.T * _MS,
                recv_mono_ns=mono_ns,
            ),
        )


class _AccountHead(msgspec.Struct, gc=False):
    e: str = ""
    T: int | None = None
    a: _AccountUpdate | None = None


_ACCOUNT_HEAD = msgspec.json.Decoder(_AccountHead)

_EXPIRY = {
    "0": "NONE",
    "1": "self-trade prevention",
    "2": "IOC remainder",
    "3": "IOC remainder by self-trade prevention",
    "4": "displaced by a reduce-only order",
    "5": "liquidation",
    "6": "GTE condition",
    "7": "delisting",
    "8": "stop triggered",
    "9": "market remainder",
}
"""``er`` of ORDER_TRADE_UPDATE. Source: USD-M change log, 2025-10-23."""


def _reason(state: OrderState, word: str) -> str | None:
    return word if state.is_final and state is not OrderState.FILLED and word not in ("NONE", "") else None


def _amount(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or len(text) > 40:
        raise ProtocolViolation(f"not a finite amount: {text[:40]!r}")
    return value


# ------------------------------------------------------------------------------------------ queries


class _AccountBalance(msgspec.Struct, gc=False):
    asset: str
    free: str
    locked: str


class _SpotAccount(msgspec.Struct, gc=False):
    balances: list[_AccountBalance]
    updateTime: int = 0  # noqa: N815


class _FuturesBalance(msgspec.Struct, gc=False):
    asset: str
    balance: str
    availableBalance: str  # noqa: N815
    updateTime: int = 0  # noqa: N815


class _PositionRisk(msgspec.Struct, gc=False):
    symbol: str
    positionAmt: str  # noqa: N815
    entryPrice: str  # noqa: N815
    markPrice: str  # noqa: N815
    unRealizedProfit: str  # noqa: N815
    liquidationPrice: str = "0"  # noqa: N815
    positionSide: str = "BOTH"  # noqa: N815
    updateTime: int = 0  # noqa: N815


class _TradeRow(msgspec.Struct, gc=False):
    symbol: str
    id: int
    orderId: int  # noqa: N815
    price: str
    qty: str
    commission: str
    commissionAsset: str  # noqa: N815
    time: int
    isBuyer: bool | None = None  # noqa: N815
    isMaker: bool | None = None  # noqa: N815
    side: str = ""
    maker: bool | None = None


_SPOT_ACCOUNT = msgspec.json.Decoder(_SpotAccount)
_FUTURES_BALANCES = msgspec.json.Decoder(list[_FuturesBalance])
_POSITIONS = msgspec.json.Decoder(list[_PositionRisk])
_TRADES = msgspec.json.Decoder(list[_TradeRow])


def decode_balances(product: Product, status: int, body: bytes) -> list[Balance] | VenueError:
    """Decode ``GET /api/v3/account`` or ``GET /fapi/v3/balance``.

    USD-M states a wallet and what of it is available; ``locked`` is the difference.
    """
    if status != 200:
        return decode_error(product, status, body)
    try:
        if product is Product.SPOT:
            account = _SPOT_ACCOUNT.decode(body)
            stamp = account.updateTime * _MS
            return [
                Balance(VENUE, "spot", row.asset, _amount(row.free), _amount(row.locked), stamp)
                for row in account.balances
            ]
        return [
            Balance(
                VENUE,
                "perp",
                row.asset,
                _amount(row.availableBalance),
                _amount(row.balance) - _amount(row.availableBalance),
                row.updateTime * _MS,
            )
            for row in _FUTURES_BALANCES.decode(body)
        ]
    except (msgspec.DecodeError, RecursionError, ProtocolViolation, InvalidOperation) as error:
        return undecodable(status, error)


def decode_positions(known: dict[str, Instrument], status: int, body: bytes) -> list[Position] | VenueError:
    """Decode ``GET /fapi/v3/positionRisk``; flat symbols are absent, hedge-mode sides are left out."""
    if status != 200:
        return decode_error(Product.PERP, status, body)
    try:
        return [
            Position(
                VENUE,
                known[row.symbol].universal,
                _amount(row.positionAmt),
                _amount(row.entryPrice),
                _amount(row.markPrice),
                _amount(row.unRealizedProfit),
                None,
                _amount(row.liquidationPrice) or None,
                row.updateTime * _MS,
            )
            for row in _POSITIONS.decode(body)
            if row.symbol in known and row.positionSide == "BOTH"
        ]
    except (msgspec.DecodeError, RecursionError, ProtocolViolation, InvalidOperation) as error:
        return undecodable(status, error)


def decode_fills(
    product: Product, instrument: Instrument, status: int, body: bytes
) -> list[ExecutionReport] | VenueError:
    """Decode ``GET /api/v3/myTrades`` or ``GET /fapi/v1/userTrades`` as reports of fills.

    They name the order by the venue's id alone; the client order id is left empty.
    """
    if status != 200:
        return decode_error(product, status, body)
    try:
        return [_fill_report(instrument, row) for row in _TRADES.decode(body)]
    except (msgspec.DecodeError, RecursionError, ProtocolViolation, InvalidOperation) as error:
        return undecodable(status, error)


def _fill_report(instrument: Instrument, row: _TradeRow) -> ExecutionReport:
    buys = row.isBuyer if row.isBuyer is not None else row.side == "BUY"
    price, qty = scaled(row.price, instrument.price_scale), scaled(row.qty, instrument.qty_scale)
    fill = Fill(
        trade_id=str(row.id),
        price=price,
        qty=qty,
        fee=_amount(row.commission),
        fee_asset=row.commissionAsset,
        is_maker=row.isMaker if row.isMaker is not None else row.maker,
        venue_utc_ns=row.time * _MS,
    )
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id="",
        venue_order_id=str(row.orderId),
        side=SIDES["BUY" if buys else "SELL"],
        state=OrderState.WORKING,
        price=price,
        qty=0,
        cum_qty=None,
        fill=fill,
        reason=None,
        venue_utc_ns=row.time * _MS,
        recv_mono_ns=0,
    )


class _ListenKey(msgspec.Struct, gc=False):
    listenKey: str = ""  # noqa: N815


_LISTEN_KEY = msgspec.json.Decoder(_ListenKey)


def decode_listen_key(status: int, body: bytes) -> str | VenueError:
    """Decode ``{"listenKey":"pqia..."}``; "" where a renewal answered ``{}`` (the older form)."""
    if status != 200:
        return decode_error(Product.PERP, status, body)
    try:
        return _LISTEN_KEY.decode(body).listenKey
    except (msgspec.DecodeError, RecursionError) as error:
        return undecodable(status, error)
