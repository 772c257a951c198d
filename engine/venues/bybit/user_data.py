"""The private connections: logins, orders, fills, balances and positions as they happen, answers to orders.

    {"id":"..","topic":"order.linear","creationTime":1684738540561,"data":[{"symbol":"ETHUSDT","orderStatus":"New",..}]}
    {"reqId":"p1-..","retCode":0,"retMsg":"OK","op":"order.create","data":{"orderId":"a4c1..","orderLinkId":"a7"},
     "header":{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"9",..}}

A login must be answered before topics can be asked for; on the order-entry connection its answer may name no
request, so that decoder knows what it said last. Topics come in any order among each other and repeat;
quantities are cumulative and fills carry their id, so repeats do no harm. Only what changes is pushed,
nothing on subscribing: what happened while the connection was down must be asked for. A position is pushed
with every order event, mostly unchanged.

Source: Bybit v5 API docs, "Order", "Execution", "Position", "Wallet" (private streams), "Websocket Trade
Guideline", "Connect", seen 2026-07; single frames of 2023 to 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    ExecutionReport,
    Fill,
    OrderAck,
    OrderState,
    Outcome,
    RejectReason,
    Retry,
    VenueError,
)
from engine.model.wire import Allowance
from engine.venues.base import PrivateEvent, StreamDown, ToSend, WsReply
from engine.venues.bybit.endpoints import CATEGORIES, VENUE
from engine.venues.bybit.errors import classify, clean, undecodable
from engine.venues.bybit.frames import SIDES
from engine.venues.bybit.numbers import (
    DECODE_ERRORS,
    MS,
    Millis,
    decimal,
    optional_decimal,
    price_in,
    qty_in,
    time_ns,
)
from engine.venues.bybit.order_entry import (
    Accepted,
    OrderRow,
    accepted,
    end_reason,
    order_qty,
    order_state,
)

ZERO = Decimal(0)
HEDGE_MODE = "the account is in hedge mode; switch it to one-way mode"
FILL_TYPES = ("Trade", "AdlTrade", "BustTrade", "BlockTrade")
"""Executions that fill an order; the others (funding, settlement) move money alone."""
_UNIFIED = "UNIFIED"
_RESTARTS = 10019
_LOGGED_IN_ALREADY = 20001
_WAIT_MS_MAX = 10_000


class _ExtraFee(msgspec.Struct, gc=False):
    feeCoin: str = ""  # noqa: N815 - the wire's names
    fee: str = ""


class ExecutionRow(msgspec.Struct, gc=False):
    """One execution; ``execFee`` is positive when paid. ``extraFees`` is a list, or ``""`` for none."""

    symbol: str
    execId: str  # noqa: N815
    execPrice: str  # noqa: N815
    execQty: str  # noqa: N815
    orderId: str  # noqa: N815
    side: str
    execTime: str  # noqa: N815
    orderLinkId: str = ""  # noqa: N815
    execType: str = "Trade"  # noqa: N815
    execFee: str = ""  # noqa: N815
    feeCurrency: str = ""  # noqa: N815
    isMaker: bool | None = None  # noqa: N815
    extraFees: list[_ExtraFee] | str | None = None  # noqa: N815


class CoinRow(msgspec.Struct, gc=False):
    """One coin of the wallet: ``locked`` is in spot orders; margin is not kept apart by coin."""

    coin: str
    walletBalance: str  # noqa: N815
    locked: str = ""


class WalletRow(msgspec.Struct, gc=False):
    """The account: ``{"accountType":"UNIFIED","coin":[{"coin":"USDT","walletBalance":"10000.1",..}],..}``."""

    coin: list[CoinRow]
    accountType: str = ""  # noqa: N815


class PositionRow(msgspec.Struct, gc=False):
    """One position; ``size`` has no sign, ``side`` is "" for none. Streams say entryPrice, REST avgPrice."""

    symbol: str
    side: str
    size: str
    positionIdx: int = 0  # noqa: N815
    entryPrice: str = ""  # noqa: N815
    avgPrice: str = ""  # noqa: N815
    markPrice: str = ""  # noqa: N815
    unrealisedPnl: str = ""  # noqa: N815
    leverage: str = ""
    liqPrice: str = ""  # noqa: N815
    updatedTime: str = ""  # noqa: N815


class _Orders(msgspec.Struct, gc=False):
    data: list[OrderRow]


class _Executions(msgspec.Struct, gc=False):
    data: list[ExecutionRow]


class _Wallets(msgspec.Struct, gc=False):
    data: list[WalletRow]
    creationTime: Millis = 0  # noqa: N815


class _Positions(msgspec.Struct, gc=False):
    data: list[PositionRow]


class _Envelope(msgspec.Struct, gc=False):
    """Any message of the account connection: a push has a ``topic``, an answer an ``op``."""

    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    retCode: int = 0  # noqa: N815
    retMsg: str = ""  # noqa: N815


class _Header(msgspec.Struct, gc=False):
    limit: str | int = msgspec.field(name="X-Bapi-Limit", default="")
    left: str | int = msgspec.field(name="X-Bapi-Limit-Status", default="")
    reset: str | int = msgspec.field(name="X-Bapi-Limit-Reset-Timestamp", default="")
    now: str | int = msgspec.field(name="Timenow", default="")


class _TradeAnswer(msgspec.Struct, gc=False):
    """Any message of the order-entry connection."""

    op: str = ""
    retCode: int = 0  # noqa: N815
    retMsg: str = ""  # noqa: N815
    reqId: str | int | None = None  # noqa: N815
    data: msgspec.Raw = msgspec.Raw(b"{}")
    header: _Header | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ORDERS = msgspec.json.Decoder(_Orders)
_EXECUTIONS = msgspec.json.Decoder(_Executions)
_WALLETS = msgspec.json.Decoder(_Wallets)
_POSITIONS = msgspec.json.Decoder(_Positions)
_TRADE_ANSWER = msgspec.json.Decoder(_TradeAnswer)
_ACCEPTED = msgspec.json.Decoder(Accepted)


# ------------------------------------------------------------------------------------------- values


def coin_balance(product: Product, row: CoinRow, venue_utc_ns: int | None) -> Balance:
    """Return a coin's wallet: what spot orders lock, and the rest.

    Both products trade from one account: each of them tells the same money.
    """
    wallet = optional_decimal(row.walletBalance) or ZERO
    locked = optional_decimal(row.locked) or ZERO
    return Balance(VENUE, product.value, row.coin, wallet - locked, locked, venue_utc_ns)


def wallet_balances(product: Product, rows: Sequence[WalletRow], venue_utc_ns: int | None) -> list[Balance]:
    """Return the coins of the unified account; accounts of the classic kinds are left out."""
    return [
        coin_balance(product, coin, venue_utc_ns)
        for row in rows
        if row.accountType in ("", _UNIFIED)
        for coin in row.coin
    ]


def linear_position(row: PositionRow, instrument: Instrument) -> Position:
    """Return a position in base units.

    Raises:
        ProtocolViolation: hedge mode: a half position would look like a whole one; or no side.
    """
    if row.positionIdx:
        raise ProtocolViolation(f"{HEDGE_MODE} ({row.symbol[:40]!r} positionIdx {row.positionIdx})")
    qty = optional_decimal(row.size) or ZERO
    if qty:
        if row.side not in SIDES:
            raise ProtocolViolation(f"a position of {row.symbol[:40]!r} without a side: {row.side[:40]!r}")
        qty = -qty if SIDES[row.side] is Side.SELL else qty
    return Position(
        venue=VENUE,
        universal=instrument.universal,
        position_qty=qty,
        entry_price=optional_decimal(row.entryPrice or row.avgPrice) or ZERO,
        mark_price=optional_decimal(row.markPrice),
        unrealised_pnl=optional_decimal(row.unrealisedPnl),
        leverage=optional_decimal(row.leverage),
        liquidation_price=optional_decimal(row.liqPrice),
        venue_utc_ns=time_ns(row.updatedTime) if row.updatedTime else None,
    )


def order_report(product: Product, row: OrderRow, instrument: Instrument, mono_ns: int) -> ExecutionReport:
    """Return one row of the ``order`` topic; raises ProtocolViolation."""
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side[:40]!r}")
    state = order_state(row)
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=row.orderLinkId,
        venue_order_id=row.orderId,
        side=side,
        state=state,
        price=price_in(row.price, instrument),
        qty=order_qty(product, row, instrument),
        cum_qty=qty_in(row.cumExecQty, instrument),
        fill=None,
        reason=(end_reason(row) or None) if state is OrderState.EXPIRED else None,
        venue_utc_ns=time_ns(row.updatedTime),
        recv_mono_ns=mono_ns,
    )


def fill_report(row: ExecutionRow, instrument: Instrument, mono_ns: int) -> ExecutionReport:
    """Return one execution; what its order looks like is the ``order`` topic's. Raises ProtocolViolation."""
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side[:40]!r}")
    stamp = time_ns(row.execTime)
    price, qty = price_in(row.execPrice, instrument), qty_in(row.execQty, instrument)
    if price <= 0 or qty <= 0 or not row.execId:
        raise ProtocolViolation(f"execution {row.execId[:40]!r} of {instrument.symbol} is no fill")
    fee, asset = _fee(row, side, instrument)
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=row.orderLinkId,
        venue_order_id=row.orderId,
        side=side,
        state=OrderState.WORKING,
        price=0,
        qty=0,
        cum_qty=None,
        fill=Fill(
            trade_id=row.execId,
            price=price,
            qty=qty,
            fee=fee,
            fee_asset=asset,
            is_maker=row.isMaker,
            venue_utc_ns=stamp,
        ),
        reason=None,
        venue_utc_ns=stamp,
        recv_mono_ns=mono_ns,
    )


def _fee(row: ExecutionRow, side: Side, instrument: Instrument) -> tuple[Decimal | None, str | None]:
    """Return a fill's fee and its coin: taxes in the same coin are part of it."""
    if not row.execFee:
        return None, None
    fee = decimal(row.execFee)
    asset = row.feeCurrency or _fee_coin(side, instrument, is_rebate=fee < 0)
    if isinstance(row.extraFees, list):
        fee += sum((decimal(each.fee) for each in row.extraFees if each.feeCoin == asset and each.fee), ZERO)
    return fee, asset


def _fee_coin(side: Side, instrument: Instrument, *, is_rebate: bool) -> str:
    """Return the coin of a fee that names none: what was received; a rebate is paid in the other coin."""
    if instrument.settle is not None:
        return instrument.settle
    return instrument.base if (side is Side.BUY) is not is_rebate else instrument.quote


# -------------------------------------------------------------------------------------- order entry


class TradeDecoder:
    """Decodes the order-entry connection: its login, and answers to orders.

    Args:
        budget: the name of the limit that answers to places tell of.
    """

    def __init__(self, budget: str) -> None:
        self._budget = budget
        self._login_id = ""

    def login_sent(self, request_id: str) -> None:
        """Note whose answer the next login answer is."""
        self._login_id = request_id

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds give ``()``; raises ProtocolViolation."""
        try:
            answer = _TRADE_ANSWER.decode(payload)
        except DECODE_ERRORS as error:
            raise ProtocolViolation(f"order-entry message: {error}", payload) from None
        if answer.op == "auth":
            is_in = answer.retCode in (0, _LOGGED_IN_ALREADY)
            return (WsReply(self._login_id, None if is_in else _login_error(answer.retCode, answer.retMsg)),)
        if answer.op in ("pong", "ping"):
            return ()
        if answer.op.startswith("order.") and answer.reqId is not None:
            reply = WsReply(request_of(str(answer.reqId)), _result(answer), allowance=self._allowance(answer))
            if answer.retCode == _RESTARTS:  # what is in flight may be executed all the same
                return (reply, StreamDown("the venue restarts its order entry"))
            return (reply,)
        if answer.retCode:
            # Whose it is cannot be told: what is in flight stays unanswered, and is asked for.
            why = clean(f"{answer.retCode} {answer.retMsg}")
            return (StreamDown(f"an error without a request: {why}"),)
        return ()

    def _allowance(self, answer: _TradeAnswer) -> Allowance | None:
        """Return what a place's answer says is left; other operations have limits of their own."""
        header = answer.header
        if header is None or answer.op != "order.create":
            return None
        limit, left = _count(header.limit), _count(header.left)
        if limit is None or left is None:
            return None
        return Allowance(self._budget, left, limit, _count(header.reset) or 0)


def request_name(request_id: str, product: Product, stamp_ms: int) -> str:
    """Return a ``reqId`` that no other request of the account has had: ours repeat after a restart."""
    return f"{request_id}-{stamp_ms}{CATEGORIES[product][0]}"


def request_of(name: str) -> str:
    """Return the request that :func:`request_name` named."""
    return name.rpartition("-")[0] or name


def _count(value: str | int) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 18 else None


def _result(answer: _TradeAnswer) -> OrderAck | VenueError:
    """Return what an answer says of its one order; never raises."""
    header = answer.header or _Header()
    now = _count(header.now)
    if answer.retCode:
        reset = _count(header.reset)
        wait_ms = None
        if now is not None and reset is not None and _count(header.left) == 0:
            wait_ms = max(1, min(reset - now, _WAIT_MS_MAX))
        error = classify(200, answer.retCode, answer.retMsg)
        if wait_ms is not None and error.reason is RejectReason.RATE_LIMIT:
            return msgspec.structs.replace(error, retry_after_ms=wait_ms)
        return error
    try:
        return accepted(_ACCEPTED.decode(answer.data), now if now is not None and now < 2**43 else 0)
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(200, why)


def _login_error(code: int, message: str) -> VenueError:
    if code:
        return classify(200, code, message)
    return VenueError("auth", clean(message), Outcome.REFUSED, RejectReason.AUTH, Retry.NEVER)


# ------------------------------------------------------------------------------------------ account


class PrivateDecoder:
    """Decodes the account connection of one product.

    Args:
        product: spot or perpetuals; orders of the other one are not asked for.
        known: instruments by the venue's symbol; may change while this decoder lives.

    Attributes:
        unknown_symbols: rows of instruments that are not in ``known``, which were left out.
    """

    def __init__(self, product: Product, known: dict[str, Instrument]) -> None:
        self._product = product
        self._known = known
        self.unknown_symbols = 0
        self._request_id = ""
        category = CATEGORIES[product]
        self._decoders: dict[str, Callable[[bytes, int], Sequence[PrivateEvent]]] = {
            f"order.{category}": self._orders,
            f"execution.{category}": self._executions,
            "wallet": self._wallets,
        }
        if product is Product.PERP:
            self._decoders[f"position.{category}"] = self._positions

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the subscriptions of this product: the forms by category, whose pushes name them so."""
        return tuple(self._decoders)

    def login_sent(self, request_id: str) -> None:
        """Note that a fresh connection was greeted; ``request_id`` will name its subscription."""
        self._request_id = request_id

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds and instruments give ``()``; raises ProtocolViolation."""
        try:
            envelope = _ENVELOPE.decode(payload)
            if not envelope.topic:
                return self._answer(envelope)
            decode = self._decoders.get(envelope.topic)
            return () if decode is None else decode(payload, mono_ns)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"private message: {error}", payload) from None

    def _answer(self, envelope: _Envelope) -> Sequence[PrivateEvent]:
        failed = envelope.success is False or envelope.retCode not in (0, _LOGGED_IN_ALREADY)
        if envelope.op == "auth" and not failed:
            request = {"req_id": self._request_id, "op": "subscribe", "args": self.topics}
            return (ToSend(msgspec.json.encode(request)),)
        if envelope.op in ("auth", "subscribe"):
            text = envelope.ret_msg or envelope.retMsg
            return (WsReply(self._request_id, _login_error(envelope.retCode, text) if failed else None),)
        return ()

    def _instrument(self, symbol: str) -> Instrument | None:
        instrument = self._known.get(symbol)
        if instrument is None:
            self.unknown_symbols += 1
        return instrument

    def _orders(self, payload: bytes, mono_ns: int) -> Sequence[PrivateEvent]:
        return [
            order_report(self._product, row, instrument, mono_ns)
            for row in _ORDERS.decode(payload).data
            if (instrument := self._instrument(row.symbol)) is not None
        ]

    def _executions(self, payload: bytes, mono_ns: int) -> Sequence[PrivateEvent]:
        return [
            fill_report(row, instrument, mono_ns)
            for row in _EXECUTIONS.decode(payload).data
            if row.execType in FILL_TYPES and (instrument := self._instrument(row.symbol)) is not None
        ]

    def _wallets(self, payload: bytes, mono_ns: int) -> Sequence[PrivateEvent]:
        """Read balances. Only coins that changed need be listed: the others stay as they are."""
        push = _WALLETS.decode(payload)
        return wallet_balances(
            self._product, push.data, push.creationTime * MS if push.creationTime else None
        )

    def _positions(self, payload: bytes, mono_ns: int) -> Sequence[PrivateEvent]:
        return [
            linear_position(row, instrument)
            for row in _POSITIONS.decode(payload).data
            if (instrument := self._instrument(row.symbol)) is not None
        ]
