"""Orders and queries of a unified account: one interface, one host and one set of messages for both.

    POST /api/ua/v1/unified/order/place  {"tradeType":"SPOT","clientOid":"a1","symbol":"BTC-USDT",
        "side":"BUY","orderType":"LIMIT","size":"0.005","sizeUnit":"BASECCY","price":"50000","timeInForce":"GTC"}
    {"code":"200000","data":{"orderId":"385543068587233280","tradeType":"SPOT","ts":1764733832617000000,
        "clientOid":"a1"}}
    {"id":"p1","op":"uta.order","args":{...}}

Sizes are lots of futures (``UNIT``) and base units on spot; all times are nanoseconds beyond 2**53. An
acknowledgement says "accepted" alone, as on a classic account.

Source: KuCoin API docs (unified account), "Place Order", "Cancel Order", "Get Order Details", "Get Open Order
List", "Get Trade History", "Get Account", "Get Position List", seen 2026-08; kucoin-universal-sdk 1.3.2.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import (
    ExecutionReport,
    Fill,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    VenueError,
    acknowledged,
    fill_alone,
)
from engine.venues.kucoin.endpoints import FILLS_PAGE, TRADE_TYPES, VENUE
from engine.venues.kucoin.errors import decoded_data
from engine.venues.kucoin.frames import SIDES, Stamp
from engine.venues.kucoin.instruments import universal_currency
from engine.venues.kucoin.numbers import (
    Number,
    exact,
    loose_number,
    number,
    number_price_in,
    number_qty_in,
    optional_time_ns,
    plain,
    qty_out,
    time_ns,
)
from engine.venues.kucoin.order_entry import (
    TIMES,
    check_order,
    checked_client_id,
    checked_venue_id,
    plain_text,
    proven_venue_id,
)

ZERO = Decimal(0)
_SIZE_UNITS = {Product.SPOT: "BASECCY", Product.PERP: "UNIT"}
_STATES = {
    0: OrderState.WORKING,
    1: OrderState.WORKING,
    2: OrderState.WORKING,
    3: OrderState.FILLED,
    4: OrderState.WORKING,
    5: OrderState.CANCELLED,
    6: OrderState.CANCELLED,
}
"""Waiting for a trigger, pending, live, filled, partly filled, cancelled, partly filled then cancelled."""
# ----------------------------------------------------------------------------------------- requests


def place_body(product: Product, order: NewOrder, instrument: Instrument) -> str:
    """Return a new order's JSON, over REST and WebSocket alike.

    Raises:
        UsageError: this encoding cannot express it, or the quantity is no whole number of lots.
    """
    check_order(product, order, instrument)
    text = (
        f'{{"tradeType":"{TRADE_TYPES[product]}","clientOid":"{order.client_order_id}"'
        f',"symbol":"{plain_text(instrument.symbol)}","side":"{order.side.word.upper()}"'
        f',"size":"{qty_out(order.qty, instrument)}","sizeUnit":"{_SIZE_UNITS[product]}"'
    )
    if order.order_type is OrderType.MARKET:
        text += ',"orderType":"MARKET"'
    else:
        text += (
            f',"orderType":"LIMIT","price":"{plain(order.price, instrument.price_scale)}"'
            f',"timeInForce":"{TIMES[order.time_in_force]}"'
        )
        if order.post_only:
            text += ',"postOnly":true'
    if order.reduce_only:
        text += ',"reduceOnly":true'
    return text + "}"


def naming(client_order_id: str, venue_order_id: str | None) -> tuple[str, str]:
    """Return the field and the id that name an order: the venue's when known; raises UsageError."""
    if venue_order_id:
        return "orderId", checked_venue_id(venue_order_id)
    return "clientOid", checked_client_id(client_order_id)


def cancel_body(
    product: Product, instrument: Instrument, client_order_id: str, venue_order_id: str | None
) -> str:
    """Return a cancel's JSON, over REST and WebSocket alike; raises UsageError."""
    field, text = naming(client_order_id, venue_order_id)
    symbol = plain_text(instrument.symbol)
    return f'{{"{field}":"{text}","symbol":"{symbol}","tradeType":"{TRADE_TYPES[product]}"}}'


# ------------------------------------------------------------------------------------------ answers


class _Accepted(msgspec.Struct, gc=False):
    orderId: str | None = None  # noqa: N815 - the wire's names
    clientOid: str | None = None  # noqa: N815
    ts: Stamp | None = None
    status: int | None = None


class _Row(msgspec.Struct, gc=False):
    orderId: str  # noqa: N815
    symbol: str
    side: str
    orderType: str  # noqa: N815
    status: int
    size: msgspec.Raw = msgspec.Raw(b"null")
    sizeUnit: str = ""  # noqa: N815
    price: msgspec.Raw = msgspec.Raw(b"null")
    filledSize: Number | None = None  # noqa: N815
    avgPrice: Number | None = None  # noqa: N815
    timeInForce: str | None = None  # noqa: N815
    clientOid: str | None = None  # noqa: N815
    orderTime: Stamp | None = None  # noqa: N815
    updatedTime: Stamp | None = None  # noqa: N815


class _Page(msgspec.Struct, gc=False):
    items: list[msgspec.Raw]
    pageSize: int = 0  # noqa: N815


class _Execution(msgspec.Struct, gc=False):
    orderId: str  # noqa: N815
    symbol: str
    side: str
    tradeId: Stamp  # noqa: N815
    size: Number
    price: Number
    executionTime: Stamp  # noqa: N815
    fee: Number | None = None
    feeCurrency: str | None = None  # noqa: N815
    liquidityRole: str = ""  # noqa: N815


class _Currency(msgspec.Struct, gc=False):
    currency: str
    available: Number
    hold: Number


class _Account(msgspec.Struct, gc=False):
    currencies: list[_Currency]


class _Accounts(msgspec.Struct, gc=False):
    accounts: list[_Account]
    ts: Stamp | None = None


class _PositionRow(msgspec.Struct, gc=False):
    symbol: str
    size: Number
    entryPrice: Number | None = None  # noqa: N815
    markPrice: Number | None = None  # noqa: N815
    unrealizedPnL: Number | None = None  # noqa: N815
    leverage: Number | None = None
    positionSide: str | None = None  # noqa: N815


class _Mode(msgspec.Struct, gc=False):
    selfAccountMode: str = "not told"  # noqa: N815


_ACCEPTED = msgspec.json.Decoder(_Accepted)
_ROW = msgspec.json.Decoder(_Row)
_PAGE = msgspec.json.Decoder(_Page)
_EXECUTION = msgspec.json.Decoder(_Execution)
_ACCOUNTS = msgspec.json.Decoder(_Accounts)
_POSITIONS = msgspec.json.Decoder(list[_PositionRow])
_MODE = msgspec.json.Decoder(_Mode)


def state_of(status: int, order_type: str, time_in_force: str | None) -> OrderState:
    """Return an order's state; what the venue ended by its own rules is EXPIRED; raises ProtocolViolation."""
    state = _STATES.get(status)
    if state is None:
        raise ProtocolViolation(f"unknown order status {status}")
    if state is OrderState.CANCELLED and (order_type == "MARKET" or time_in_force in ("IOC", "FOK", "GTT")):
        return OrderState.EXPIRED
    return state


def accepted(data: msgspec.Raw) -> OrderAck:
    """Return the acknowledgement of a place or a cancel; raises ProtocolViolation, or a decoding error."""
    row = _ACCEPTED.decode(data)
    if not row.orderId and not row.clientOid:
        raise ProtocolViolation("neither an order nor an acknowledgement")
    return acknowledged(
        row.clientOid or "", proven_venue_id(row.orderId) if row.orderId else "", optional_time_ns(row.ts)
    )


def ack_of(data: msgspec.Raw, known: dict[str, Instrument]) -> OrderAck | None:
    """Return an order's row as an ack, None for instruments that are not known; raises as ``accepted``."""
    row = _ROW.decode(data)
    instrument = known.get(row.symbol)
    if instrument is None:
        return None
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"unknown side {row.side[:40]!r}")
    is_money = row.sizeUnit == "QUOTECCY"  # somebody else's market order: money is no quantity
    cum_qty = 0 if is_money else number_qty_in(row.filledSize, instrument)
    return OrderAck(
        client_order_id=row.clientOid or "",
        venue_order_id=proven_venue_id(row.orderId),
        state=state_of(row.status, row.orderType, row.timeInForce),
        price=number_price_in(loose_number(row.price), instrument),
        qty=0 if is_money else number_qty_in(loose_number(row.size), instrument),
        cum_qty=cum_qty,
        cum_quote=None if cum_qty else ZERO,
        side=side,
        venue_utc_ns=optional_time_ns(row.updatedTime or row.orderTime),
    )


def decode_order(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> OrderAck | VenueError:
    """Decode the answer to a place, cancel or query over REST; never raises."""

    def decode(data: msgspec.Raw) -> OrderAck:
        if _ACCEPTED.decode(data).status is None:
            return accepted(data)
        ack = ack_of(data, {instrument.symbol: instrument})
        if ack is None:
            raise ProtocolViolation(f"the answer is not about {instrument.symbol!r}")
        return ack

    return decoded_data(instrument.product, status, body, retry_after, decode)


def decode_orders(
    product: Product,
    known: dict[str, Instrument],
    status: int,
    body: bytes,
    retry_after: str | None = None,
) -> list[OrderAck] | VenueError:
    """Decode a page of open orders, or a cancel-all (empty)."""

    def decode(data: msgspec.Raw) -> list[OrderAck]:
        page = _PAGE.decode(data)
        if not page.pageSize:  # a cancel-all names the ids that it ended, as far as they ended
            return []
        acks = [ack_of(row, known) for row in page.items]
        return [ack for ack in acks if ack is not None]

    return decoded_data(product, status, body, retry_after, decode)


def decode_fills(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> list[ExecutionReport] | VenueError:
    """Decode a page of own fills as reports of fills, ascending by trade id."""

    def decode(data: msgspec.Raw) -> list[ExecutionReport]:
        rows = [_EXECUTION.decode(row) for row in _PAGE.decode(data).items]
        if len(rows) > FILLS_PAGE:
            raise ProtocolViolation(f"{len(rows)} fills on a page of {FILLS_PAGE}")
        rows.sort(key=lambda row: number(row.tradeId))
        return [_fill_report(row, instrument) for row in rows]

    return decoded_data(instrument.product, status, body, retry_after, decode)


def _fill_report(row: _Execution, instrument: Instrument) -> ExecutionReport:
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"a fill of {row.symbol[:40]!r}, not of {instrument.symbol!r}")
    fill = Fill(
        trade_id=str(row.tradeId),
        price=number_price_in(row.price, instrument),
        qty=number_qty_in(row.size, instrument),
        fee=None if row.fee is None else exact(row.fee),
        fee_asset=universal_currency(row.feeCurrency) if row.feeCurrency else None,
        is_maker={"MAKER": True, "TAKER": False}.get(row.liquidityRole.upper()),
        venue_utc_ns=time_ns(row.executionTime),
    )
    return fill_report(instrument, "", row.orderId, row.side, fill, 0)


def fill_report(
    instrument: Instrument, client_order_id: str, venue_order_id: str, side: str, fill: Fill, mono_ns: int
) -> ExecutionReport:
    """Return a fill that says nothing else of its order; raises ProtocolViolation."""
    taken = SIDES.get(side)
    if taken is None or fill.qty <= 0 or fill.price <= 0:
        raise ProtocolViolation(f"fill {fill.trade_id[:40]!r} of {instrument.symbol} is no fill")
    return fill_alone(instrument, client_order_id, venue_order_id, taken, fill, mono_ns)


def decode_balances(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> list[Balance] | VenueError:
    """Decode the unified account's balances: both products see the same ones."""

    def decode(data: msgspec.Raw) -> list[Balance]:
        told = _ACCOUNTS.decode(data)
        stamp = optional_time_ns(told.ts)
        return [
            balance(product, row.currency, row.available, row.hold, stamp)
            for account in told.accounts
            for row in account.currencies
        ]

    return decoded_data(product, status, body, retry_after, decode)


def balance(
    product: Product, currency: str, available: Number, hold: Number, venue_utc_ns: int | None
) -> Balance:
    """Return a balance by its usual name; raises ProtocolViolation."""
    return Balance(
        VENUE, product.value, universal_currency(currency), exact(available), exact(hold), venue_utc_ns
    )


def decode_positions(
    known: dict[str, Instrument], status: int, body: bytes, retry_after: str | None = None
) -> list[Position] | VenueError:
    """Decode open positions of known contracts; a position of hedge mode is refused as a whole."""

    def decode(data: msgspec.Raw) -> list[Position]:
        return [
            position(
                known[row.symbol], row.size, row.entryPrice, row.markPrice, row.unrealizedPnL, row.leverage,
                row.positionSide, None,
            )
            for row in _POSITIONS.decode(data)
            if row.symbol in known
        ]  # fmt: skip

    return decoded_data(Product.PERP, status, body, retry_after, decode)


def position(
    instrument: Instrument,
    size: Number,
    entry: Number | None,
    mark: Number | None,
    profit: Number | None,
    leverage: Number | None,
    side: str | None,
    venue_utc_ns: int | None,
) -> Position:
    """Return a position in base units; ``size`` is signed lots; raises ProtocolViolation."""
    if side not in (None, "", "BOTH"):
        raise ProtocolViolation(f"{instrument.symbol}: hedge position mode; switch to one-way mode")
    return Position(
        venue=VENUE,
        universal=instrument.universal,
        position_qty=exact(size) * instrument.contract_size,
        entry_price=ZERO if entry is None else exact(entry),
        mark_price=None if mark is None else exact(mark),
        unrealised_pnl=None if profit is None else exact(profit),
        leverage=None if leverage is None else exact(leverage),
        liquidation_price=None,
        venue_utc_ns=venue_utc_ns,
    )


def decode_settings(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> str | VenueError:
    """Return why the account must not be traded as a unified one, or ""."""

    def decode(data: msgspec.Raw) -> str:
        mode = _MODE.decode(data).selfAccountMode
        if mode == "UNIFIED":
            return ""
        return f'the account mode is {mode[:20]}, not UNIFIED: say account = "classic"'

    return decoded_data(product, status, body, retry_after, decode)
