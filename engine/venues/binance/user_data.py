"""The private streams: executions, balances and positions as they happen, and WebSocket API answers.

Spot events come over the WebSocket API, each wrapped as ``{"subscriptionId":0,"event":{...}}``; USD-M
events come bare over ``/private/ws?listenKey=...``, or wrapped as ``{"stream":key,"data":{...}}``.
Unknown events and keys are ignored; an unknown order state or a hedge-mode position is not.

Source: spot user-data-stream (2026-07-21); USD-M "User Data Streams" (2026-05-27) and captures named in
NOTES.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import ExecutionReport, Fill, OrderState
from engine.venues.base import PlannedShutdown, PrivateEvent, StreamDown
from engine.venues.binance.endpoints import VENUE
from engine.venues.binance.errors import clean
from engine.venues.binance.numbers import DECODE_ERRORS, MS, Id, Millis, decimal, scaled
from engine.venues.binance.order_entry import ORDER_STATES, SIDES, WsBody, decode_ws_reply


class _SpotReport(msgspec.Struct, gc=False):
    """The spot event of an order; documented one-letter keys.

    {"e":"executionReport","E":..,"s":"BNBUSDT","c":"te1-1","S":"BUY","o":"LIMIT","f":"GTC","q":"0.007",
    "p":"1125.22","C":"","x":"NEW","X":"NEW","r":"NONE","i":9639329831,"l":"0","z":"0","L":"0","n":"0",
    "N":null,"T":1760946669042,"t":-1,"m":false}
    """

    s: str
    c: str
    S: str
    q: str
    p: str
    x: str
    X: str
    i: Id
    z: str
    T: Millis
    C: str = ""
    l: str = "0"  # noqa: E741 - the wire's names
    L: str = "0"
    n: str | None = None
    N: str | None = None
    t: int = -1
    m: bool | None = None
    r: str = "NONE"
    eR: str | None = None  # noqa: N815


class _PerpReport(msgspec.Struct, gc=False):
    """The ``o`` of ORDER_TRADE_UPDATE: the same letters, but ``t`` is 0 without a trade, and ``er``."""

    s: str
    c: str
    S: str
    q: str
    p: str
    x: str
    X: str
    i: Id
    z: str
    T: Millis
    l: str = "0"  # noqa: E741
    L: str = "0"
    n: str | None = None
    N: str | None = None
    t: int = 0
    m: bool | None = None
    er: str | int = "0"


class _OrderTradeUpdate(msgspec.Struct, gc=False):
    o: _PerpReport


class _Lite(msgspec.Struct, gc=False):
    """A USD-M fill, told early, without fee or cumulative quantity.

    {"e":"TRADE_LITE","E":..,"T":..,"s":"SOLUSDT","q":"0.10","p":"0.0000","m":false,"c":"te1-1","S":"BUY",
    "L":"80.1900","l":"0.10","t":3181138052,"i":199033476993}
    """

    s: str
    c: str
    S: str
    q: str
    p: str
    L: str
    l: str  # noqa: E741
    t: Id
    i: Id
    T: Millis
    m: bool | None = None


class _SpotBalance(msgspec.Struct, gc=False):
    a: str
    f: str
    l: str  # noqa: E741


class _AccountPosition(msgspec.Struct, gc=False):
    """{"e":"outboundAccountPosition","E":..,"u":1790743940971,"B":[{"a":"USDT","f":"3683.3","l":"5.9"}]}."""

    B: list[_SpotBalance]
    u: Millis | None = None


class _PerpBalance(msgspec.Struct, gc=False):
    a: str
    wb: str
    cw: str


class _PerpPosition(msgspec.Struct, gc=False):
    s: str
    pa: str
    ep: str
    up: str | None = None
    ps: str = "BOTH"


class _Changes(msgspec.Struct, gc=False):
    B: list[_PerpBalance] = []
    P: list[_PerpPosition] = []


class _AccountUpdate(msgspec.Struct, gc=False):
    """What changed in a USD-M account: fills, funding, transfers; never a mere order.

    {"e":"ACCOUNT_UPDATE","T":..,"a":{"B":[{"a":"USDT","wb":"1.73","cw":"1.73","bc":"0"}],
    "P":[{"s":"SOLUSDT","pa":"0.1","ep":"80.19","up":"0","ps":"BOTH"}],"m":"ORDER"}}
    """

    T: Millis
    a: _Changes


class _Stamped(msgspec.Struct, gc=False):
    E: int | str | None = None  # listenKeyExpired documents a string


class _Kind(msgspec.Struct, gc=False):
    e: str = ""


class _Envelope(msgspec.Struct, gc=False):
    """Any message: an answer has ``status``, a wrapped event ``event`` or ``data``, a bare one ``e``."""

    status: int | None = None
    event: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_KIND = msgspec.json.Decoder(_Kind)
_WS_BODY = msgspec.json.Decoder(WsBody)

_EXPIRY = {
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

_Handler = Callable[[Any, int], Sequence[PrivateEvent]]


class PrivateDecoder:
    """Decodes the private and order-entry connections of one product.

    Args:
        product: spot or USD-M.
        known: instruments by the venue's symbol; may change while this decoder lives.

    Attributes:
        unknown_symbols: reports of instruments that are not in ``known``, which were left out.
    """

    def __init__(self, product: Product, known: dict[str, Instrument]) -> None:
        self._product = product
        self._known = known
        self.unknown_symbols = 0
        handlers: dict[str, tuple[type[msgspec.Struct], _Handler]]
        if product is Product.SPOT:
            handlers = {
                "executionReport": (_SpotReport, self._spot_report),
                "outboundAccountPosition": (_AccountPosition, self._spot_balances),
                "eventStreamTerminated": (_Stamped, _stream_terminated),
                "serverShutdown": (_Stamped, _shutdown),
            }
        else:
            handlers = {
                "ORDER_TRADE_UPDATE": (_OrderTradeUpdate, self._perp_report),
                "TRADE_LITE": (_Lite, self._lite),
                "ACCOUNT_UPDATE": (_AccountUpdate, self._account_update),
                "listenKeyExpired": (_Stamped, _listen_key_expired),
                "eventStreamTerminated": (_Stamped, _stream_terminated),
                "serverShutdown": (_Stamped, _shutdown),
            }
        # balanceUpdate (spot) is a delta of what outboundAccountPosition states in full: applying both
        # would count it twice, so it has no handler.
        self._handlers = {
            kind: (msgspec.json.Decoder(body), handler) for kind, (body, handler) in handlers.items()
        }

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds and instruments give ``()``.

        Raises:
            ProtocolViolation: malformed, or something that must not be skipped over.
        """
        try:
            envelope = _ENVELOPE.decode(payload)
            if envelope.status is not None:
                return self._reply(payload)
            raw, kind = payload, envelope.e
            if not kind:
                raw = bytes(envelope.event) or bytes(envelope.data)
                if not raw.startswith(b"{"):
                    return ()
                kind = _KIND.decode(raw).e
            known = self._handlers.get(kind)
            if known is None:
                return ()
            return known[1](known[0].decode(raw), mono_ns)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"private message: {error}", payload) from None

    def _reply(self, payload: bytes) -> Sequence[PrivateEvent]:
        """Read ``{"id":..,"status":..}``; an answer to nothing with 401 is a revoked session."""
        body = _WS_BODY.decode(payload)
        if body.id is None and body.status == 401:
            text = "" if body.error is None else f": {body.error.code} {body.error.msg}"
            return (StreamDown(clean(f"session revoked{text}")),)
        return (decode_ws_reply(self._product, self._known, body),)

    def _instrument(self, symbol: str) -> Instrument | None:
        instrument = self._known.get(symbol)
        if instrument is None:
            self.unknown_symbols += 1
        return instrument

    # ----------------------------------------------------------------------------------------- spot

    def _spot_report(self, report: _SpotReport, mono_ns: int) -> Sequence[PrivateEvent]:
        instrument = self._instrument(report.s)
        if instrument is None:
            return ()
        fill = _fill(instrument, report) if report.x == "TRADE" and report.t >= 0 else None
        # A cancel or amend carries its own id in ``c``; the order's is then in ``C``.
        client_order_id = report.C or report.c
        word = report.eR if report.eR and report.eR != "NONE" else report.r
        return (_report(instrument, report, client_order_id, fill, word, mono_ns),)

    def _spot_balances(self, event: _AccountPosition, mono_ns: int) -> Sequence[PrivateEvent]:
        """Absolute amounts of the assets that may have changed."""
        stamp = None if event.u is None else event.u * MS
        return [Balance(VENUE, "spot", row.a, decimal(row.f), decimal(row.l), stamp) for row in event.B]

    # ----------------------------------------------------------------------------------------- perp

    def _perp_report(self, update: _OrderTradeUpdate, mono_ns: int) -> Sequence[PrivateEvent]:
        report = update.o
        instrument = self._instrument(report.s)
        if instrument is None:
            return ()
        # CALCULATED is a liquidation or ADL execution.
        is_fill = report.x in ("TRADE", "CALCULATED") and report.t > 0
        fill = _fill(instrument, report) if is_fill else None
        word = _EXPIRY.get(str(report.er), "NONE" if str(report.er) == "0" else str(report.er))
        return (_report(instrument, report, report.c, fill, word, mono_ns),)

    def _lite(self, lite: _Lite, mono_ns: int) -> Sequence[PrivateEvent]:
        """Tell the fill alone; the same one comes again in ORDER_TRADE_UPDATE, with the same trade id."""
        instrument = self._instrument(lite.s)
        if instrument is None:
            return ()
        fill = Fill(
            trade_id=str(lite.t),
            price=scaled(lite.L, instrument.price_scale),
            qty=scaled(lite.l, instrument.qty_scale),
            fee=None,
            fee_asset=None,
            is_maker=lite.m,
            venue_utc_ns=lite.T * MS,
        )
        return (
            ExecutionReport(
                venue=VENUE,
                universal=instrument.universal,
                client_order_id=lite.c,
                venue_order_id=str(lite.i),
                side=_side(lite.S),
                state=OrderState.WORKING,  # all that a fill alone proves; the order's own report follows
                price=scaled(lite.p, instrument.price_scale),
                qty=scaled(lite.q, instrument.qty_scale),
                cum_qty=None,
                fill=fill,
                reason=None,
                venue_utc_ns=lite.T * MS,
                recv_mono_ns=mono_ns,
            ),
        )

    def _account_update(self, update: _AccountUpdate, mono_ns: int) -> Sequence[PrivateEvent]:
        stamp = update.T * MS
        events: list[PrivateEvent] = [
            wallet_balance(row.a, decimal(row.wb), decimal(row.cw), stamp) for row in update.a.B
        ]
        for row in update.a.P:
            if row.ps != "BOTH":
                raise ProtocolViolation(f"{HEDGE_MODE} ({row.s[:40]!r} {row.ps[:10]!r})")
            instrument = self._known.get(row.s)
            events.append(
                Position(
                    venue=VENUE,
                    universal=row.s if instrument is None else instrument.universal,
                    position_qty=decimal(row.pa),
                    entry_price=decimal(row.ep),
                    mark_price=None,
                    unrealised_pnl=decimal(row.up) if row.up else None,
                    leverage=None,
                    liquidation_price=None,
                    venue_utc_ns=stamp,
                )
            )
        return events


HEDGE_MODE = "the account is in hedge mode; switch it to one-way position mode"


def wallet_balance(asset: str, wallet: Decimal, cross: Decimal, stamp_ns: int | None) -> Balance:
    """Return a USD-M wallet: ``free`` backs all cross positions, ``locked`` isolated ones.

    The margin that positions and orders use now is in neither: it moves with the mark price, and the
    stream does not tell it. Both the query and the stream state these two numbers, so they agree.
    """
    return Balance(VENUE, "perp", asset, cross, wallet - cross, stamp_ns)


def _fill(instrument: Instrument, report: _SpotReport | _PerpReport) -> Fill:
    has_fee = report.n is not None and report.N is not None
    return Fill(
        trade_id=str(report.t),
        price=scaled(report.L, instrument.price_scale),
        qty=scaled(report.l, instrument.qty_scale),
        fee=decimal(report.n) if has_fee and report.n is not None else None,
        fee_asset=report.N if has_fee else None,
        is_maker=report.m,
        venue_utc_ns=report.T * MS,
    )


def _report(
    instrument: Instrument,
    report: _SpotReport | _PerpReport,
    client_order_id: str,
    fill: Fill | None,
    word: str,
    mono_ns: int,
) -> ExecutionReport:
    state = ORDER_STATES.get(report.X)
    if state is None:
        raise ProtocolViolation(f"unknown order status {report.X[:40]!r}")
    ended_unfilled = state.is_final and state is not OrderState.FILLED
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=client_order_id,
        venue_order_id=str(report.i),
        side=_side(report.S),
        state=state,
        price=scaled(report.p, instrument.price_scale),
        qty=scaled(report.q, instrument.qty_scale),
        cum_qty=scaled(report.z, instrument.qty_scale),
        fill=fill,
        reason=clean(word) if ended_unfilled and word != "NONE" else None,
        venue_utc_ns=report.T * MS,
        recv_mono_ns=mono_ns,
        amended=True if report.x in ("REPLACED", "AMENDMENT") else None,
    )


def _side(word: str) -> Side:
    side = SIDES.get(word)
    if side is None:
        raise ProtocolViolation(f"unknown side {word[:40]!r}")
    return side


def _stamp(event: _Stamped) -> int | None:
    return event.E * MS if isinstance(event.E, int) and 0 <= event.E < 2**43 else None


def _shutdown(event: _Stamped, mono_ns: int) -> Sequence[PrivateEvent]:
    return (PlannedShutdown(_stamp(event)),)


def _stream_terminated(event: _Stamped, mono_ns: int) -> Sequence[PrivateEvent]:
    return (StreamDown("event stream terminated"),)


def _listen_key_expired(event: _Stamped, mono_ns: int) -> Sequence[PrivateEvent]:
    return (StreamDown("listen key expired"),)
