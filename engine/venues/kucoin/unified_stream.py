"""The account stream of a unified account: order events, executions, balances and positions as they happen.

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

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill
from engine.venues.base import PrivateEvent, StreamDown, ToSend, WsReply
from engine.venues.kucoin import errors, unified_orders
from engine.venues.kucoin.endpoints import VENUE
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

EXECUTIONS_KEPT = 1_000
"""Orders whose ids are remembered, and executions that wait for theirs."""


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
