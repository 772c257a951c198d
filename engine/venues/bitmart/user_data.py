"""The private connection: login, executions, balances and positions as they happen.

    {"event":"login"}                               (spot)     {"action":"access","success":true}   (futures)
    {"table":"spot/user/orders","data":[{"symbol":"BTC_USDT","order_id":"2147857398","order_state":"new",...}]}
    {"group":"futures/order","data":[{"action":1,"order":{"order_id":"220906179895578","state":2,"deal_size":"1",
     "last_trade":{"lastTradeID":1247592391,"fillQty":"1","fillPrice":"25667.2","fee":"-0.00027",...},...}}]}

Channels may be asked for only after the login was answered. Pushes may repeat; quantities are cumulative and
fills carry their trade id, so repeats do no harm. There is no snapshot of orders: what happened while the
connection was down must be asked for.

Source: BitMart API docs, "Order Progress", "Balance Change", "Order Channel", "Assets Channel", "Position
Channel", seen 2026-11.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, OrderState, VenueError
from engine.venues.base import PrivateEvent, ToSend, WsReply
from engine.venues.bitmart.account import Asset, Leg, asset_balance, learn_margin, net_position, signed_leg
from engine.venues.bitmart.endpoints import VENUE
from engine.venues.bitmart.errors import classify
from engine.venues.bitmart.frames import ENVELOPE, PONG, SIDES, Envelope
from engine.venues.bitmart.market_data import request
from engine.venues.bitmart.numbers import (
    DECODE_ERRORS,
    decimal,
    identifier,
    optional_decimal,
    optional_time_ns,
    price_in,
    qty_in,
    time_ns,
)
from engine.venues.bitmart.order_entry import (
    SIDE_OF,
    SPOT_STATES,
    FuturesOrder,
    Margin,
    futures_state,
)

CHANNELS = {
    Product.SPOT: ("spot/user/orders:ALL_SYMBOLS", "spot/user/balance:BALANCE_UPDATE"),
    Product.PERP: ("futures/order", "futures/position", "futures/asset:USDT"),
}
"""All symbols have a channel of another name (``orders``) than a single one (``order``)."""

_SPOT_CODES = {
    "4": "new", "5": "partially_filled", "6": "filled", "8": "canceled", "12": "partially_canceled",
}  # fmt: skip
"""The deprecated twin of ``order_state``."""

ACTION_MATCH, ACTION_CANCELLED = 1, 3
_ENDINGS = {4: "liquidation", 5: "ADL"}
_REASONS = {**_ENDINGS, 6: "partial liquidation", 7: "bankruptcy", 8: "ADL", 9: "ADL"}
"""``action`` of an order push; 2 is "submitted"."""
_WITH_TRADE = (ACTION_MATCH, 6, 7, 8, 9)
"""Other actions may repeat the last trade of a former event."""


class _SpotPush(msgspec.Struct, gc=False):
    """One event of one order; all values are text. A fill is there where ``last_fill_count`` is positive."""

    symbol: str
    order_id: str
    side: str
    size: str
    ms_t: int | str
    price: str = ""
    filled_size: str = ""
    filled_notional: str = ""
    state: str = ""
    order_state: str = ""
    client_order_id: str = ""
    last_fill_time: int | str = ""
    last_fill_price: str = ""
    last_fill_count: str = ""
    exec_type: str = ""
    detail_id: str = ""
    update_time: int | str = ""
    dealFee: str = ""  # noqa: N815 - the wire's name
    deal_fee_coin_name: str = ""


class _Detail(msgspec.Struct, gc=False):
    ccy: str
    av_bal: str
    fz_bal: str


class _BalancePush(msgspec.Struct, gc=False):
    balance_details: list[_Detail]
    event_time: int | str = ""


class _LastTrade(msgspec.Struct, gc=False):
    """``fee`` is negative when paid (UNCONFIRMED: one sample); REST's ``paid_fees`` is positive."""

    lastTradeID: int | str  # noqa: N815 - the wire's names
    fillQty: str  # noqa: N815
    fillPrice: str  # noqa: N815
    fee: str = ""
    feeCcy: str = ""  # noqa: N815


class _FuturesPushed(FuturesOrder, gc=False):
    last_trade: _LastTrade | None = None


class _FuturesPush(msgspec.Struct, gc=False):
    action: int
    order: _FuturesPushed


class _PositionPush(msgspec.Struct, gc=False):
    """One leg: ``hold_volume`` unsigned contracts, ``position_type`` 1 long or 2 short."""

    symbol: str
    hold_volume: str
    position_type: int
    hold_avg_price: str = ""
    liquidate_price: str = ""
    update_time: int | str = ""
    position_mode: str = ""


_SPOT_PUSHES = msgspec.json.Decoder(list[_SpotPush])
_BALANCES = msgspec.json.Decoder(list[_BalancePush])
_FUTURES_PUSHES = msgspec.json.Decoder(list[_FuturesPush])
_POSITIONS = msgspec.json.Decoder(list[_PositionPush])
_ASSET = msgspec.json.Decoder(Asset)


def spot_report(row: _SpotPush, instrument: Instrument, mono_ns: int) -> ExecutionReport:
    """Return one push of a spot order; raises ProtocolViolation."""
    word = row.order_state or _SPOT_CODES.get(row.state, "")
    side, state = SIDES.get(row.side), SPOT_STATES.get(word)
    if side is None or state is None:
        raise ProtocolViolation(
            f"unknown side {row.side[:20]!r} or state {(row.order_state or row.state)[:40]!r}"
        )
    stamp = optional_time_ns(row.update_time) or time_ns(row.ms_t)
    fill = None
    if row.detail_id not in ("", "0") and row.last_fill_count and decimal(row.last_fill_count) > 0:
        fill = Fill(
            trade_id=identifier(row.detail_id),
            price=price_in(row.last_fill_price, instrument),
            qty=qty_in(row.last_fill_count, instrument),
            fee=optional_decimal(row.dealFee),  # positive when paid, as ours
            fee_asset=row.deal_fee_coin_name or None,
            is_maker={"M": True, "T": False}.get(row.exec_type),
            venue_utc_ns=optional_time_ns(row.last_fill_time) or stamp,
        )
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=row.client_order_id,
        venue_order_id=identifier(row.order_id),
        side=side,
        state=state,
        price=price_in(row.price, instrument),
        qty=qty_in(row.size, instrument),
        cum_qty=qty_in(row.filled_size, instrument),
        fill=fill,
        reason="failed" if word == "failed" else None,
        venue_utc_ns=stamp,
        recv_mono_ns=mono_ns,
    )


def futures_report(push: _FuturesPush, instrument: Instrument, mono_ns: int) -> ExecutionReport:
    """Return one push of a futures order; raises ProtocolViolation.

    A cancel is told by its action: a documented sample of one still says state 2.
    """
    row = push.order
    side, state = SIDE_OF.get(row.side), futures_state(row)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side}")
    cum_qty, qty = qty_in(str(row.deal_size), instrument), qty_in(str(row.size), instrument)
    if state is not OrderState.FILLED:
        if push.action == ACTION_CANCELLED:
            state = OrderState.CANCELLED
        elif push.action in _ENDINGS:
            state = OrderState.EXPIRED
    stamp = optional_time_ns(row.update_time) or optional_time_ns(row.create_time)
    if stamp is None:
        raise ProtocolViolation("an order without a time")
    fill, trade = None, row.last_trade
    if trade is not None and push.action in _WITH_TRADE and cum_qty:
        fee = optional_decimal(trade.fee)
        fill = Fill(
            trade_id=identifier(trade.lastTradeID),
            price=price_in(trade.fillPrice, instrument),
            qty=qty_in(trade.fillQty, instrument),
            fee=None if fee is None else -fee,
            fee_asset=trade.feeCcy or None,
            is_maker=None,
            venue_utc_ns=stamp,
        )
    return ExecutionReport(
        venue=VENUE,
        universal=instrument.universal,
        client_order_id=str(row.client_order_id),
        venue_order_id=identifier(row.order_id),
        side=side,
        state=state,
        price=price_in(row.price, instrument),
        qty=qty,
        cum_qty=cum_qty,
        fill=fill,
        reason=_REASONS.get(push.action),
        venue_utc_ns=stamp,
        recv_mono_ns=mono_ns,
    )


class PrivateDecoder:
    """Decodes the private connection of one product.

    Args:
        product: spot or futures.
        known: instruments by the venue's symbol; may change while this decoder lives.
        margins: learns how each contract is held.

    Attributes:
        unknown_symbols: rows of instruments that are not in ``known``, which were left out.
    """

    def __init__(self, product: Product, known: dict[str, Instrument], margins: dict[str, Margin]) -> None:
        self._product = product
        self._known = known
        self._margins = margins
        self.unknown_symbols = 0
        self._request_id = ""
        self._waiting: set[str] = set()
        self._legs: dict[str, dict[int, Leg]] = {}

    def login_sent(self, request_id: str) -> None:
        """Note that a fresh connection was greeted; ``request_id`` will name its subscription."""
        self._request_id = request_id
        self._waiting = set(CHANNELS[self._product])
        self._legs.clear()

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[PrivateEvent]:
        """Decode one message; unknown kinds and instruments give ``()``; raises ProtocolViolation."""
        if payload == PONG:
            return ()
        try:
            envelope = ENVELOPE.decode(payload)
            if envelope.event or envelope.action or envelope.success is not None or envelope.errorCode:
                return self._control(envelope)
            channel = (envelope.table or envelope.group).partition(":")[0]
            if channel in ("spot/user/order", "spot/user/orders"):
                return self._spot_orders(envelope.data, mono_ns)
            if channel == "spot/user/balance":
                return self._balances(envelope.data)
            if channel == "futures/order":
                return self._futures_orders(envelope.data, mono_ns)
            if channel == "futures/position":
                return self._positions(envelope.data)
            if channel == "futures/asset":
                return (asset_balance(_ASSET.decode(envelope.data)),)
            return ()
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"private message: {error}", payload) from None

    def _control(self, envelope: Envelope) -> Sequence[PrivateEvent]:
        if envelope.problem:
            return (WsReply(self._request_id, _refusal(envelope)),)
        verb = envelope.event or envelope.action
        if verb in ("login", "access"):
            return (ToSend(request(self._product, "subscribe", CHANNELS[self._product])),)
        if verb == "subscribe" and self._waiting:
            self._waiting.discard(envelope.topic or envelope.group)
            return () if self._waiting else (WsReply(self._request_id, None),)
        return ()

    def _instrument(self, symbol: str) -> Instrument | None:
        found = self._known.get(symbol)
        if found is None:
            self.unknown_symbols += 1
        return found

    def _spot_orders(self, data: msgspec.Raw, mono_ns: int) -> Sequence[PrivateEvent]:
        events: list[PrivateEvent] = []
        for row in _SPOT_PUSHES.decode(data):
            instrument = self._instrument(row.symbol)
            if instrument is not None:
                events.append(spot_report(row, instrument, mono_ns))
        return events

    def _balances(self, data: msgspec.Raw) -> Sequence[PrivateEvent]:
        return [
            Balance(
                VENUE,
                self._product.value,
                each.ccy,
                decimal(each.av_bal),
                decimal(each.fz_bal),
                optional_time_ns(row.event_time),
            )
            for row in _BALANCES.decode(data)
            for each in row.balance_details
        ]

    def _futures_orders(self, data: msgspec.Raw, mono_ns: int) -> Sequence[PrivateEvent]:
        events: list[PrivateEvent] = []
        for push in _FUTURES_PUSHES.decode(data):
            row = push.order
            instrument = self._instrument(row.symbol)
            if instrument is not None:
                learn_margin(self._margins, row.symbol, row.leverage, row.open_type)
                events.append(futures_report(push, instrument, mono_ns))
        return events

    def _positions(self, data: msgspec.Raw) -> Sequence[PrivateEvent]:
        """Read legs and tell the net of each contract.

        In hedge mode a leg that is not told stays as it was; in one-way mode there is one position, so what
        one push says of a contract is all there is of it.
        """
        changed: dict[str, list[_PositionPush]] = {}
        for row in _POSITIONS.decode(data):
            if self._instrument(row.symbol) is None:
                continue
            if row.position_type not in (1, 2):
                raise ProtocolViolation(f"unknown position type {row.position_type}")
            changed.setdefault(row.symbol, []).append(row)
        events: list[PrivateEvent] = []
        for symbol, rows in changed.items():
            legs = self._legs.setdefault(symbol, {})
            if rows[0].position_mode == "one_way_mode":
                legs.clear()
            for row in rows:
                legs[row.position_type] = signed_leg(
                    row.hold_volume, "", row.position_type, row.hold_avg_price
                )
            events.append(self._net(self._known[symbol], rows[-1]))
        return events

    def _net(self, instrument: Instrument, row: _PositionPush) -> Position:
        legs = self._legs[instrument.symbol].values()
        is_single = sum(1 for leg in legs if leg.contracts) == 1
        margin = self._margins.get(instrument.symbol)
        return net_position(
            instrument,
            legs,
            leverage=Decimal(margin.leverage) if margin is not None else None,
            liquidation_price=optional_decimal(row.liquidate_price) if is_single else None,
            venue_utc_ns=optional_time_ns(row.update_time),
        )


def _refusal(envelope: Envelope) -> VenueError:
    code = str(envelope.errorCode) or "refused"
    return classify(200, code, envelope.errorMessage or envelope.message or envelope.error or "")
