"""Account queries: balances, positions, own fills, settings. The streams are ``user_data``.

Nothing here raises for an answer: what cannot be understood is an UNKNOWN VenueError.

Source: BitMart API docs, "Get Spot Wallet Balance", "Account Trade List (v4)", "Get Contract Assets", "Get
Current Position V2", "Get Order Trade", "Get Current Position Mode", seen 2026-11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TypeVar

import msgspec

from engine.model.account import Balance, Position
from engine.model.answers import decoded
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import ExecutionReport, Fill, VenueError, fill_alone
from engine.venues.bitmart.endpoints import VENUE
from engine.venues.bitmart.errors import refusal_in
from engine.venues.bitmart.frames import SIDES
from engine.venues.bitmart.numbers import (
    decimal,
    identifier,
    optional_decimal,
    optional_time_ns,
    price_in,
    qty_in,
    time_ns,
)
from engine.venues.bitmart.order_entry import SIDE_OF, Margin

ZERO = Decimal(0)
_Value = TypeVar("_Value")

HEDGE_MODE = (
    "the account is in hedge mode, where a sell beside a long position opens a short one; switch it to "
    "one-way mode (set-position-mode)"
)
_MAKER = {"maker": True, "taker": False, "m": True, "t": False}


class _Coin(msgspec.Struct, gc=False):
    id: str
    available: str
    frozen: str


class _Wallet(msgspec.Struct, gc=False):
    wallet: list[_Coin]


class _WalletAnswer(msgspec.Struct, gc=False):
    data: _Wallet


class Asset(msgspec.Struct, gc=False):
    """Futures money: ``available`` is free; what orders freeze and positions hold is locked."""

    currency: str
    available_balance: str
    frozen_balance: str = ""
    position_deposit: str = ""


class _AssetsAnswer(msgspec.Struct, gc=False):
    data: list[Asset]


class _PositionRow(msgspec.Struct, gc=False):
    """One row of ``position-v2``: signed contracts with side ``both``, else unsigned ones of a leg."""

    symbol: str
    position_side: str = "both"
    position_amount: str = ""
    current_amount: str = ""
    position_type: int | None = None
    entry_price: str = ""
    mark_price: str = ""
    unrealized_pnl: str = ""
    unrealized_value: str = ""
    leverage: str = ""
    liquidation_price: str = ""
    open_type: str = ""
    margin_type: str = ""
    timestamp: int | str | None = None


class _PositionsAnswer(msgspec.Struct, gc=False):
    data: list[_PositionRow] | None = None


class _SpotFill(msgspec.Struct, gc=False):
    tradeId: str | int  # noqa: N815 - the wire's names
    orderId: str | int  # noqa: N815
    symbol: str
    side: str
    price: str
    size: str
    createTime: int | str  # noqa: N815
    clientOrderId: str | int = ""  # noqa: N815
    fee: str = ""
    feeCoinName: str = ""  # noqa: N815
    tradeRole: str = ""  # noqa: N815


class _FuturesFill(msgspec.Struct, gc=False):
    trade_id: str | int
    order_id: str | int
    symbol: str
    side: int
    price: str
    vol: str | int
    create_time: int | str
    client_order_id: str | int = ""
    exec_type: str = ""
    paid_fees: str = ""


class _SpotFills(msgspec.Struct, gc=False):
    data: list[_SpotFill] | None = None


class _FuturesFills(msgspec.Struct, gc=False):
    data: list[_FuturesFill] | None = None


class _Mode(msgspec.Struct, gc=False):
    position_mode: str


class _ModeAnswer(msgspec.Struct, gc=False):
    data: _Mode


_WALLET = msgspec.json.Decoder(_WalletAnswer)
_ASSETS = msgspec.json.Decoder(_AssetsAnswer)
_POSITIONS = msgspec.json.Decoder(_PositionsAnswer)
_SPOT_FILLS = msgspec.json.Decoder(_SpotFills)
_FUTURES_FILLS = msgspec.json.Decoder(_FuturesFills)
_MODE = msgspec.json.Decoder(_ModeAnswer)


def _answer(
    status: int, body: bytes, retry_after: str | None, decode: Callable[[bytes], _Value]
) -> _Value | VenueError:
    return decoded(status, body, refusal_in(status, body, retry_after), decode)


def asset_balance(row: Asset) -> Balance:
    """Return one currency of the futures wallet; raises ProtocolViolation."""
    locked = (optional_decimal(row.frozen_balance) or ZERO) + (optional_decimal(row.position_deposit) or ZERO)
    return Balance(VENUE, Product.PERP.value, row.currency, decimal(row.available_balance), locked, None)


def decode_balances(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> list[Balance] | VenueError:
    """Decode ``GET /spot/v1/wallet`` or ``GET /contract/private/assets-detail``."""

    def spot(body: bytes) -> list[Balance]:
        return [
            Balance(VENUE, product.value, row.id, decimal(row.available), decimal(row.frozen), None)
            for row in _WALLET.decode(body).data.wallet
        ]

    def futures(body: bytes) -> list[Balance]:
        return [asset_balance(row) for row in _ASSETS.decode(body).data]

    return _answer(status, body, retry_after, spot if product is Product.SPOT else futures)


class Leg(msgspec.Struct, frozen=True, gc=False):
    """One side of a contract's position: signed contracts, and their average price."""

    contracts: Decimal
    entry_price: Decimal


def net_position(instrument: Instrument, legs: Iterable[Leg], **told: Decimal | int | None) -> Position:
    """Return legs as one position: the signed sum, at the price where its result is the legs' own.

    With a long of L at l and a short of S at s the result at price m is (L - S) m - (L l - S s): so the entry
    price of the net is (L l - S s) / (L - S), and nothing is left where both are equal.
    """
    kept = [leg for leg in legs if leg.contracts]
    contracts = sum((leg.contracts for leg in kept), ZERO)
    entry = ZERO
    if len(kept) == 1:
        entry = kept[0].entry_price
    elif contracts:
        entry = sum((leg.contracts * leg.entry_price for leg in kept), ZERO) / contracts
    values: dict[str, Decimal | int | None] = {
        "mark_price": None, "unrealised_pnl": None, "leverage": None, "liquidation_price": None,
        "venue_utc_ns": None,
    }  # fmt: skip
    values.update(told)
    return Position(
        VENUE,
        instrument.universal,
        contracts * instrument.contract_size,
        entry,
        **values,  # type: ignore[arg-type]  # each by its own name, see above
    )


def signed_leg(amount: str, side: str, position_type: int | None, entry_price: str) -> Leg:
    """Return a leg; ``long`` and ``short`` (or types 1 and 2) give the sign, else the amount has it."""
    contracts = decimal(amount) if amount else ZERO
    if side == "long" or (side not in ("both", "short") and position_type == 1):
        contracts = abs(contracts)
    elif side == "short" or (side != "both" and position_type == 2):
        contracts = -abs(contracts)
    elif side != "both":
        raise ProtocolViolation(f"a position without a side: {side[:20]!r}")
    return Leg(contracts, optional_decimal(entry_price) or ZERO)


def decode_positions(
    known: dict[str, Instrument],
    margins: dict[str, Margin],
    status: int,
    body: bytes,
    retry_after: str | None = None,
) -> list[Position] | VenueError:
    """Decode ``GET /contract/private/position-v2``; contracts that are not in ``known`` are left out.

    ``margins`` learns how each contract is held: opening orders must say the same.
    """

    def decode(body: bytes) -> list[Position]:
        rows: dict[str, list[_PositionRow]] = {}
        for row in _POSITIONS.decode(body).data or []:
            if row.symbol in known:
                rows.setdefault(row.symbol, []).append(row)
        return [_position(known[symbol], legs) for symbol, legs in rows.items()]

    def _position(instrument: Instrument, rows: list[_PositionRow]) -> Position:
        legs = [
            signed_leg(
                row.position_amount or row.current_amount,
                row.position_side,
                row.position_type,
                row.entry_price,
            )
            for row in rows
        ]
        held = [row for row, leg in zip(rows, legs, strict=True) if leg.contracts] or rows
        pnl = [optional_decimal(row.unrealized_pnl or row.unrealized_value) for row in rows]
        leverage = optional_decimal(held[0].leverage)
        learn_margin(margins, instrument.symbol, held[0].leverage, held[0].open_type or held[0].margin_type)
        return net_position(
            instrument,
            legs,
            mark_price=optional_decimal(held[0].mark_price),
            unrealised_pnl=None if None in pnl else sum((each or ZERO for each in pnl), ZERO),
            leverage=leverage,
            liquidation_price=optional_decimal(held[0].liquidation_price) if len(held) == 1 else None,
            venue_utc_ns=optional_time_ns(held[0].timestamp),
        )

    return _answer(status, body, retry_after, decode)


def learn_margin(margins: dict[str, Margin], symbol: str, leverage: str, open_type: str) -> None:
    """Remember how a contract is held, where a message says it in full."""
    kind = open_type.lower()
    if leverage and decimal(leverage) > 0 and kind in ("cross", "isolated"):
        margins[symbol] = Margin(leverage, kind)


def decode_fills(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> list[ExecutionReport] | VenueError:
    """Decode a page of own fills as reports, the earliest first."""

    def spot(body: bytes) -> list[ExecutionReport]:
        rows = _SPOT_FILLS.decode(body).data or []
        return [
            _report(
                instrument,
                (row.symbol, SIDES.get(row.side), str(row.clientOrderId)),
                (identifier(row.tradeId), identifier(row.orderId), row.price, row.size),
                (optional_decimal(row.fee), row.feeCoinName or None, _MAKER.get(row.tradeRole.lower())),
                time_ns(row.createTime),
            )
            for row in sorted(rows, key=lambda row: (time_ns(row.createTime), identifier(row.tradeId)))
        ]

    def futures(body: bytes) -> list[ExecutionReport]:
        rows = _FUTURES_FILLS.decode(body).data or []
        return [
            _report(
                instrument,
                (row.symbol, SIDE_OF.get(row.side), str(row.client_order_id)),
                (identifier(row.trade_id), identifier(row.order_id), row.price, str(row.vol)),
                (optional_decimal(row.paid_fees), instrument.settle, _MAKER.get(row.exec_type.lower())),
                time_ns(row.create_time),
            )
            for row in sorted(rows, key=lambda row: (time_ns(row.create_time), identifier(row.trade_id)))
        ]

    return _answer(status, body, retry_after, spot if instrument.product is Product.SPOT else futures)


def _report(
    instrument: Instrument,
    whose: tuple[str, Side | None, str],
    what: tuple[str, str, str, str],
    fee: tuple[Decimal | None, str | None, bool | None],
    stamp_ns: int,
) -> ExecutionReport:
    symbol, side, client_order_id = whose
    trade_id, order_id, price, size = what
    if symbol != instrument.symbol:
        raise ProtocolViolation(f"a fill of {symbol[:40]!r}, not of {instrument.symbol!r}")
    if side is None:
        raise ProtocolViolation("a fill without a side")
    fill = Fill(
        trade_id=trade_id,
        price=price_in(price, instrument),
        qty=qty_in(size, instrument),
        fee=fee[0],  # positive when paid, as ours
        fee_asset=fee[1],
        is_maker=fee[2],
        venue_utc_ns=stamp_ns,
    )
    return fill_alone(instrument, client_order_id, order_id, side, fill)


def decode_mode(status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
    """Decode ``GET /contract/private/get-position-mode``: why it must not be traded, or "" when it is fit."""

    def decode(body: bytes) -> str:
        mode = _MODE.decode(body).data.position_mode
        if mode == "one_way_mode":
            return ""
        return HEDGE_MODE if mode == "hedge_mode" else f"position mode {mode[:40]!r} is not known"

    return _answer(status, body, retry_after, decode)
