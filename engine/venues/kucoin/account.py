"""Account queries: balances, positions, own fills, settings. The streams are ``user_data``.

Nothing here raises for an answer: what cannot be understood is an UNKNOWN VenueError.

Source: KuCoin API docs, "Get Account List - Spot", "Get Account - Futures", "Get Position List", "Get Trade
History" (spot HF, futures), "Get Account Mode", "Get Position Mode", seen 2026-08.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, VenueError, fill_alone
from engine.venues.kucoin.endpoints import FILLS_PAGE, VENUE
from engine.venues.kucoin.errors import decoded_data
from engine.venues.kucoin.frames import SIDES
from engine.venues.kucoin.instruments import universal_currency
from engine.venues.kucoin.numbers import (
    Number,
    exact,
    number,
    number_price_in,
    number_qty_in,
    optional_time_ns,
    time_ns,
)

ZERO = Decimal(0)
HEDGE_MODE = "the account is in hedge position mode; switch it to one-way mode"


class _Account(msgspec.Struct, gc=False):
    """``{"currency":"BTC","type":"trade","balance":"1.5","available":"1","holds":"0.5"}``."""

    currency: str
    type: str
    available: Number
    holds: Number


class _Overview(msgspec.Struct, gc=False):
    """``{"accountEquity":394.43,"unrealisedPNL":20.15,"availableBalance":290.32,"currency":"USDT"}``."""

    accountEquity: Number  # noqa: N815 - the wire's names
    unrealisedPNL: Number  # noqa: N815
    availableBalance: Number  # noqa: N815
    currency: str


class PositionRow(msgspec.Struct, gc=False):
    """A position of queries and of full pushes; ``currentQty`` is lots, negative when short."""

    symbol: str = ""
    currentQty: Number | None = None  # noqa: N815
    avgEntryPrice: Number | None = None  # noqa: N815
    markPrice: Number | None = None  # noqa: N815
    unrealisedPnl: Number | None = None  # noqa: N815
    leverage: Number | None = None
    realLeverage: Number | None = None  # noqa: N815
    liquidationPrice: Number | None = None  # noqa: N815
    positionSide: str | None = None  # noqa: N815
    currentTimestamp: int | None = None  # noqa: N815


class _Fill(msgspec.Struct, gc=False):
    """Spot and futures; ``tradeId`` is an integer on spot and text on futures."""

    symbol: str
    tradeId: int | str  # noqa: N815
    orderId: str  # noqa: N815
    side: str
    price: Number
    size: Number
    createdAt: int  # noqa: N815
    liquidity: str = ""
    fee: Number | None = None
    feeCurrency: str | None = None  # noqa: N815
    tradeTime: int | None = None  # noqa: N815


class _Fills(msgspec.Struct, gc=False):
    items: list[_Fill]


class _Mode(msgspec.Struct, gc=False):
    selfAccountMode: str | None = None  # noqa: N815
    positionMode: int | str | None = None  # noqa: N815


_ACCOUNTS = msgspec.json.Decoder(list[_Account])
_OVERVIEW = msgspec.json.Decoder(_Overview)
_POSITIONS = msgspec.json.Decoder(list[PositionRow])
_FILLS = msgspec.json.Decoder(_Fills)
_MODE = msgspec.json.Decoder(_Mode)


def wallet(currency: str, wallet_total: Number, available: Number, venue_utc_ns: int | None) -> Balance:
    """Return a futures wallet: what orders and positions hold is ``locked``, unrealised profit is left out.

    On cross margin an unrealised profit counts as available: more than the wallet is never told as free.
    """
    total, free = exact(wallet_total), exact(available)
    free = min(free, total) if total > 0 else free
    return Balance(VENUE, Product.PERP.value, universal_currency(currency), free, total - free, venue_utc_ns)


def decode_balances(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> list[Balance] | VenueError:
    """Decode ``GET /api/v1/accounts`` (spot: trade accounts alone) or ``/account-overview`` (futures)."""

    def spot(data: msgspec.Raw) -> list[Balance]:
        return [
            Balance(VENUE, product.value, row.currency, exact(row.available), exact(row.holds), None)
            for row in _ACCOUNTS.decode(data)
            if row.type == "trade"  # funds of the main account cannot be traded
        ]

    def futures(data: msgspec.Raw) -> list[Balance]:
        row = _OVERVIEW.decode(data)
        total = exact(row.accountEquity) - exact(row.unrealisedPNL)
        return [wallet(row.currency, total, row.availableBalance, None)]

    return decoded_data(product, status, body, retry_after, spot if product is Product.SPOT else futures)


def contract_position(row: PositionRow, instrument: Instrument) -> Position:
    """Return a position in base units.

    Raises:
        ProtocolViolation: hedge mode: a half position would look like a whole one.
    """
    if row.positionSide not in (None, "", "BOTH"):
        raise ProtocolViolation(f"{HEDGE_MODE} ({row.symbol[:40]!r} {str(row.positionSide)[:10]!r})")
    qty = ZERO if row.currentQty is None else exact(row.currentQty) * instrument.contract_size
    leverage = row.leverage if row.leverage is not None else row.realLeverage
    return Position(
        venue=VENUE,
        universal=instrument.universal,
        position_qty=qty,
        entry_price=ZERO if row.avgEntryPrice is None else exact(row.avgEntryPrice),
        mark_price=_optional(row.markPrice),
        unrealised_pnl=_optional(row.unrealisedPnl),
        leverage=_optional(leverage),
        liquidation_price=_optional(row.liquidationPrice),
        venue_utc_ns=optional_time_ns(row.currentTimestamp),
    )


def _optional(value: Number | None) -> Decimal | None:
    return None if value is None else exact(value)


def decode_positions(
    known: dict[str, Instrument], status: int, body: bytes, retry_after: str | None = None
) -> list[Position] | VenueError:
    """Decode ``GET /api/v1/positions``; contracts that are not in ``known`` (inverse ones) are left out.

    Their lots have another unit. A position of hedge mode is refused as a whole.
    """

    def decode(data: msgspec.Raw) -> list[Position]:
        rows = _POSITIONS.decode(data)
        return [contract_position(row, known[row.symbol]) for row in rows if row.symbol in known]

    return decoded_data(Product.PERP, status, body, retry_after, decode)


def decode_fills(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> list[ExecutionReport] | VenueError:
    """Decode a page of own fills (newest first on the wire) as reports of fills, by trade id."""

    def decode(data: msgspec.Raw) -> list[ExecutionReport]:
        rows = _FILLS.decode(data).items
        if len(rows) > FILLS_PAGE:
            raise ProtocolViolation(f"{len(rows)} fills on a page of {FILLS_PAGE}")
        rows.sort(key=lambda row: number(row.tradeId))
        return [_fill_report(instrument, row) for row in rows]

    return decoded_data(instrument.product, status, body, retry_after, decode)


def _fill_report(instrument: Instrument, row: _Fill) -> ExecutionReport:
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"a fill of {row.symbol[:40]!r}, not of {instrument.symbol!r}")
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"a fill without a side: {row.side[:40]!r}")
    stamp = time_ns(row.tradeTime or row.createdAt)
    fill = Fill(
        trade_id=str(row.tradeId),
        price=number_price_in(row.price, instrument),
        qty=number_qty_in(row.size, instrument),
        fee=_optional(row.fee),
        fee_asset=universal_currency(row.feeCurrency) if row.feeCurrency else None,
        is_maker={"maker": True, "taker": False}.get(row.liquidity),
        venue_utc_ns=stamp,
    )
    return fill_alone(instrument, "", row.orderId, side, fill)


def decode_settings(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> str | VenueError:
    """Return why the account must not be traded, or "".

    Spot answers ``{"selfAccountMode":"CLASSIC"}``: a unified account refuses the calls used here. Futures
    answer ``{"positionMode":0}``: 1 is hedge mode.
    """

    def decode(data: msgspec.Raw) -> str:
        mode = _MODE.decode(data)
        if product is Product.SPOT:
            if mode.selfAccountMode == "CLASSIC":
                return ""
            word = (mode.selfAccountMode or "not told")[:20]
            return f"the account mode is {word}: only classic accounts are traded; use one of those"
        if mode.positionMode is None:
            raise ProtocolViolation("no position mode")
        return "" if str(mode.positionMode) == "0" else HEDGE_MODE

    return decoded_data(product, status, body, retry_after, decode)
