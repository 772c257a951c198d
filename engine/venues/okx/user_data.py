"""The private connections: logins, executions, balances and positions as they happen, answers to orders.

    {"arg":{"channel":"orders","instType":"ANY","uid":"..."},"data":[{"instId":"BTC-USDT","state":"live",...}]}

A login must be answered before channels can be asked for, and the answer names no request: so each of the
two connections has a decoder of its own, which knows what it said last. Pushes may repeat and may come in any
order among channels; quantities are cumulative and fills carry their trade id, so repeats do no harm. The
``orders`` channel has no snapshot: what happened while it was down must be asked for.

Source: OKX v5 API docs, "WebSocket - Login", "WS / Order channel", "WS / Account channel", "WS / Positions
channel", seen 2026-08; single frames of 2021 to 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, OrderState, VenueError
from engine.venues.base import PlannedShutdown, PrivateEvent, StreamDown, ToSend, WsReply
from engine.venues.okx.endpoints import INST_TYPES, VENUE
from engine.venues.okx.errors import classify, clean
from engine.venues.okx.frames import ENVELOPE, SERVICE_UPGRADE, SIDES, Envelope
from engine.venues.okx.numbers import (
    DECODE_ERRORS,
    decimal,
    optional_decimal,
    price_in,
    qty_in,
    time_ns,
)
from engine.venues.okx.order_entry import (
    CANCEL_REASONS,
    WS_ANSWER,
    OrderRow,
    order_qty,
    order_state,
    ws_result,
)

ZERO = Decimal(0)
HEDGE_MODE = "the account is in long/short position mode; switch it to net mode"


class _OrderPush(OrderRow, gc=False):
    """What the ``orders`` channel adds: this message's fill. ``fillFee`` is negative when paid."""

    tradeId: str = ""  # noqa: N815 - the wire's names
    fillSz: str = ""  # noqa: N815
    fillPx: str = ""  # noqa: N815
    fillTime: str = ""  # noqa: N815
    fillFee: str = ""  # noqa: N815
    fillFeeCcy: str = ""  # noqa: N815
    execType: str = ""  # noqa: N815
    amendResult: str = ""  # noqa: N815
    code: str = ""
    msg: str = ""


class CurrencyRow(msgspec.Struct, gc=False):
    """One currency of the account: ``cashBal`` is settled money, ``frozenBal`` in orders and margin."""

    ccy: str
    cashBal: str  # noqa: N815
    frozenBal: str = ""  # noqa: N815
    uTime: str = ""  # noqa: N815


class AccountRow(msgspec.Struct, gc=False):
    """The account: ``{"uTime":"..","details":[{"ccy":"USDT","cashBal":"4750.42","frozenBal":"0",..}]}``."""

    details: list[CurrencyRow]
    uTime: str = ""  # noqa: N815


class PositionRow(msgspec.Struct, gc=False):
    """One position; ``pos`` is contracts, negative when short in net mode."""

    instId: str  # noqa: N815
    pos: str
    posSide: str = "net"  # noqa: N815
    mgnMode: str = "cross"  # noqa: N815
    avgPx: str = ""  # noqa: N815
    markPx: str = ""  # noqa: N815
    upl: str = ""
    lever: str = ""
    liqPx: str = ""  # noqa: N815
    uTime: str = ""  # noqa: N815


class _Orders(msgspec.Struct, gc=False):
    data: list[_OrderPush]


class _Account(msgspec.Struct, gc=False):
    data: list[AccountRow]
    eventType: str = ""  # noqa: N815
    curPage: int = 1  # noqa: N815
    lastPage: bool = True  # noqa: N815


class _Positions(msgspec.Struct, gc=False):
    data: list[PositionRow]
    eventType: str = ""  # noqa: N815
    curPage: int = 1  # noqa: N815
    lastPage: bool = True  # noqa: N815


class _Probe(msgspec.Struct, gc=False):
    op: str = ""
    event: str = ""


_ORDERS = msgspec.json.Decoder(_Orders)
_ACCOUNT = msgspec.json.Decoder(_Account)
_POSITIONS = msgspec.json.Decoder(_Positions)
_PROBE = msgspec.json.Decoder(_Probe)


def currency_balance(product: Product, row: CurrencyRow) -> Balance:
    """Return a currency's settled money: what orders and margin freeze is ``locked``, the rest ``free``.

    Both products trade from one account: each of them tells the same money.
    """
    cash = decimal(row.cashBal) if row.cashBal else ZERO
    frozen = decimal(row.frozenBal) if row.frozenBal else ZERO
    stamp = time_ns(row.uTime) if row.uTime else None
    return Balance(VENUE, product.value, row.ccy, cash - frozen, frozen, stamp)


def swap_position(row: PositionRow, instrument: Instrument) -> Position:
    """Return a position in base units.

    Raises:
        ProtocolViolation: long/short mode, or isolated margin: a half position would look like a whole one.
    """
    qty = decimal(row.pos) * instrument.contract_size if row.pos else ZERO
    if row.posSide not in ("net", ""):
        raise ProtocolViolation(f"{HEDGE_MODE} ({row.instId[:40]!r} {row.posSide[:10]!r})")
    if row.mgnMode == "isolated" and qty:
        raise ProtocolViolation(
            f"{row.instId[:40]!r} has a position on isolated margin beside the cross one; close it"
        )
    return Position(
        venue=VENUE,
        universal=instrument.universal,
        position_qty=qty,
        entry_price=optional_decimal(row.avgPx) or ZERO,
        mark_price=optional_decimal(row.markPx),
        unrealised_pnl=optional_decimal(row.upl),
        leverage=optional_decimal(row.lever),
        liquidation_price=optional_decimal(row.liqPx),
        venue_utc_ns=time_ns(row.uTime) if row.uTime else None,
    )


def order_report(row: _OrderPush, instrument: Instrument, mono_ns: int) -> ExecutionReport:
    """Return one push of the ``orders`` channel; raises ProtocolViolation."""
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side[:40]!r}")
    state = order_state(row)
    fill = None
    if row.tradeId and row.fillSz not in ("", "0"):
        fill = Fill(
            trade_id=row.tradeId,
            price=price_in(row.fillPx, instrument),
            qty=qty_in(row.fillSz, instrument),
            fee=-decimal(row.fillFee) if row.fillFee else None,  # theirs is negative when paid, ours positive
            fee_asset=row.fillFeeCcy or None,
            is_maker={"M": True, "T": False}.get(row.execType),
            venue_utc_ns=time_ns(row.fillTime or row.uTime),
        )
    # "0" done, "-1" failed, "1" failed and therefore cancelled: the acknowledgement had come before.
    amended = row.amendResult == "0" if row.amendResult else None
    ended_unfilled = state in (OrderState.CANCELLED, OrderState.EXPIRED)
    word = CANCEL_REASONS.get(row.cancelSource, f"cancelSource {row.cancelSource[:10]}")
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=row.clOrdId,
        venue_order_id=row.ordId,
        side=side,
        state=state,
        price=price_in(row.px, instrument),
        qty=order_qty(row, instrument),
        cum_qty=qty_in(row.accFillSz, instrument),
        fill=fill,
        reason=_reason(row, word if ended_unfilled else "", amended),
        venue_utc_ns=time_ns(row.uTime),
        recv_mono_ns=mono_ns,
        amended=amended,
    )


def _reason(row: _OrderPush, end: str, amended: bool | None) -> str | None:
    if end and row.cancelSource not in ("", "1"):
        return end
    return clean(f"{row.code} {row.msg}") if amended is False else None


class TradeDecoder:
    """Decodes the order-entry connection: its login, and answers to orders."""

    def __init__(self) -> None:
        self._login_id = ""

    def login_sent(self, request_id: str) -> None:
        """Note whose answer the next login event is."""
        self._login_id = request_id

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds give ``()``; raises ProtocolViolation."""
        if payload == b"pong":
            return ()
        try:
            if _PROBE.decode(payload).op:
                answer = WS_ANSWER.decode(payload)
                return (WsReply(None if answer.id is None else str(answer.id), ws_result(answer)),)
            return self._event(ENVELOPE.decode(payload))
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"order-entry message: {error}", payload) from None

    def _event(self, envelope: Envelope) -> Sequence[PrivateEvent]:
        code = str(envelope.code)
        if envelope.event == "login":
            request_id, self._login_id = self._login_id, ""
            return (WsReply(request_id, None if code == "0" else _refusal(envelope)),)
        if envelope.event == "error" and self._login_id:
            request_id, self._login_id = self._login_id, ""
            return (WsReply(request_id, _refusal(envelope)),)
        if envelope.event == "error" and envelope.id is not None:
            return (WsReply(str(envelope.id), _refusal(envelope)),)
        if envelope.event == "error":
            # Whose it is cannot be told: what is in flight stays unanswered, and is asked for.
            return (StreamDown(f"an error without a request: {_refusal(envelope).message}"),)
        if envelope.event == "notice" and code == SERVICE_UPGRADE:
            return (PlannedShutdown(None),)
        return ()


class PrivateDecoder:
    """Decodes the account connection of one product.

    Args:
        product: spot or swaps; orders of the other one are not asked for.
        known: instruments by the venue's symbol; may change while this decoder lives.

    Attributes:
        unknown_symbols: rows of instruments that are not in ``known``, which were left out.
    """

    def __init__(self, product: Product, known: dict[str, Instrument]) -> None:
        self._product = product
        self._known = known
        self.unknown_symbols = 0
        self._request_id = ""
        self._is_login_pending = False
        self._waiting: set[str] = set()
        self._currencies: set[str] = set()
        self._currencies_seen: set[str] = set()
        self._open: set[str] = set()
        self._open_seen: set[str] = set()

    @property
    def channels(self) -> tuple[dict[str, str], ...]:
        """Return the subscriptions of this product."""
        kind = INST_TYPES[self._product]
        channels: tuple[dict[str, str], ...] = (
            {"channel": "orders", "instType": kind},
            {"channel": "account"},
        )
        if self._product is Product.PERP:
            channels += ({"channel": "positions", "instType": kind},)
        return channels

    def login_sent(self, request_id: str) -> None:
        """Note that a fresh connection was greeted; ``request_id`` will name its subscription."""
        self._request_id = request_id
        self._is_login_pending = True
        self._waiting = {row["channel"] for row in self.channels}

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds and instruments give ``()``; raises ProtocolViolation."""
        if payload == b"pong":
            return ()
        try:
            envelope = ENVELOPE.decode(payload)
            if envelope.event:
                return self._event(envelope)
            channel = "" if envelope.arg is None else envelope.arg.channel
            if channel == "orders":
                return self._orders(_ORDERS.decode(payload), mono_ns)
            if channel == "account":
                return self._account(_ACCOUNT.decode(payload))
            if channel == "positions":
                return self._positions(_POSITIONS.decode(payload))
            return ()
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"private message: {error}", payload) from None

    def _event(self, envelope: Envelope) -> Sequence[PrivateEvent]:
        code = str(envelope.code)
        if envelope.event == "login" and code == "0":
            self._is_login_pending = False
            request = {"id": self._request_id, "op": "subscribe", "args": self.channels}
            return (ToSend(msgspec.json.encode(request)),)
        if envelope.event in ("login", "error"):
            return (WsReply(self._request_id, _refusal(envelope)),)
        if envelope.event == "subscribe" and envelope.arg is not None and self._waiting:
            self._waiting.discard(envelope.arg.channel)
            return () if self._waiting else (WsReply(self._request_id, None),)
        if envelope.event == "channel-conn-count-error":
            return (StreamDown("too many connections hold this private channel: a subscription was dropped"),)
        if envelope.event == "notice" and code == SERVICE_UPGRADE:
            return (PlannedShutdown(None),)
        return ()

    def _orders(self, push: _Orders, mono_ns: int) -> Sequence[PrivateEvent]:
        events = []
        for row in push.data:
            instrument = self._known.get(row.instId)
            if instrument is None:
                self.unknown_symbols += 1
                continue
            events.append(order_report(row, instrument, mono_ns))
        return events

    def _account(self, push: _Account) -> Sequence[PrivateEvent]:
        """Read balances. A complete snapshot lists every currency that is not zero: the others are zero."""
        rows = [row for account in push.data for row in account.details]
        events = [currency_balance(self._product, row) for row in rows]
        if push.eventType == "snapshot":
            if push.curPage == 1:
                self._currencies_seen = set()
            self._currencies_seen |= {row.ccy for row in rows}
            if push.lastPage:
                gone = sorted(self._currencies - self._currencies_seen)
                events += [Balance(VENUE, self._product.value, each, ZERO, ZERO, None) for each in gone]
                self._currencies = set(self._currencies_seen)
        else:
            self._currencies |= {row.ccy for row in rows}
        return events

    def _positions(self, push: _Positions) -> Sequence[PrivateEvent]:
        """Read positions. A complete snapshot lists every open one: the others are closed."""
        events = []
        for row in push.data:
            instrument = self._known.get(row.instId)
            if instrument is None:
                self.unknown_symbols += 1
                continue
            position = swap_position(row, instrument)
            events.append(position)
            if position.position_qty:
                self._open.add(row.instId)
            else:
                self._open.discard(row.instId)
        if push.eventType == "snapshot":
            if push.curPage == 1:
                self._open_seen = set()
            self._open_seen |= {row.instId for row in push.data}
            if push.lastPage:
                gone = sorted(self._open - self._open_seen)
                self._open &= self._open_seen
                events += [_flat(self._known[symbol]) for symbol in gone if symbol in self._known]
        return events


def _flat(instrument: Instrument) -> Position:
    return swap_position(PositionRow(instId=instrument.symbol, pos="0"), instrument)


def _refusal(envelope: Envelope) -> VenueError:
    return classify(200, str(envelope.code), envelope.msg, False)
