"""Account queries: balances, positions, own fills, listen keys, settings. The streams are ``user_data``.

Nothing here raises for an answer: what cannot be understood is an UNKNOWN VenueError.

Source: spot REST docs, "Account" (2026-07-21); USD-M "Futures Account Balance V3", "Position Information
V3", "Account Trade List", "Account Config" (2026-05-27, change log to 2026-09-10).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, VenueError, fill_alone
from engine.venues.binance.endpoints import VENUE
from engine.venues.binance.errors import decode_error, error_in, undecodable
from engine.venues.binance.numbers import DECODE_ERRORS, MS, Id, Millis, decimal, scaled
from engine.venues.binance.order_entry import SIDES
from engine.venues.binance.user_data import HEDGE_MODE, wallet_balance

_Value = TypeVar("_Value")


class _AccountBalance(msgspec.Struct, gc=False):
    asset: str
    free: str
    locked: str


class _SpotAccount(msgspec.Struct, gc=False):
    """``{"canTrade":true,"balances":[{"asset":"BTC","free":"1.0","locked":"0.0"}],"updateTime":..}``."""

    balances: list[_AccountBalance]
    updateTime: Millis = 0  # noqa: N815 - the wire's names


class _FuturesBalance(msgspec.Struct, gc=False):
    """``[{"asset":"USDT","balance":"100.0","crossWalletBalance":"80.0","updateTime":..}]``."""

    asset: str
    balance: str
    crossWalletBalance: str  # noqa: N815
    updateTime: Millis = 0  # noqa: N815


class _PositionRisk(msgspec.Struct, gc=False):
    """``[{"symbol":"ADAUSDT","positionSide":"BOTH","positionAmt":"30","entryPrice":"0.385",..}]``."""

    symbol: str
    positionAmt: str  # noqa: N815
    entryPrice: str  # noqa: N815
    markPrice: str = ""  # noqa: N815
    unRealizedProfit: str = ""  # noqa: N815 - spelt with this capital here
    liquidationPrice: str = ""  # noqa: N815
    positionSide: str = "BOTH"  # noqa: N815
    updateTime: Millis = 0  # noqa: N815


class _TradeRow(msgspec.Struct, gc=False):
    """Spot says ``isBuyer`` and ``isMaker``, USD-M ``side`` and ``maker``."""

    symbol: str
    id: Id
    orderId: Id  # noqa: N815
    price: str
    qty: str
    commission: str
    commissionAsset: str  # noqa: N815
    time: Millis
    isBuyer: bool | None = None  # noqa: N815
    isMaker: bool | None = None  # noqa: N815
    side: str = ""
    maker: bool | None = None


class _ListenKey(msgspec.Struct, gc=False):
    listenKey: str = ""  # noqa: N815


class _Settings(msgspec.Struct, gc=False):
    """Spot ``/account`` and USD-M ``/accountConfig``; the last two fields are USD-M's."""

    canTrade: bool  # noqa: N815
    dualSidePosition: bool = False  # noqa: N815
    multiAssetsMargin: bool = False  # noqa: N815


_SPOT_ACCOUNT = msgspec.json.Decoder(_SpotAccount)
_FUTURES_BALANCES = msgspec.json.Decoder(list[_FuturesBalance])
_POSITIONS = msgspec.json.Decoder(list[_PositionRisk])
_TRADES = msgspec.json.Decoder(list[_TradeRow])
_LISTEN_KEY = msgspec.json.Decoder(_ListenKey)
_SETTINGS = msgspec.json.Decoder(_Settings)
_KEY_TEXT = re.compile(r"[A-Za-z0-9_-]{0,128}", re.ASCII)


def _answer(
    product: Product,
    status: int,
    body: bytes,
    retry_after: str | None,
    decode: Callable[[bytes], _Value],
) -> _Value | VenueError:
    if status != 200:
        return decode_error(product, status, body, retry_after)
    try:
        return decode(body)
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        return error_in(product, status, body, retry_after) or undecodable(status, error)


def decode_balances(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> list[Balance] | VenueError:
    """Decode ``GET /api/v3/account`` or ``GET /fapi/v3/balance`` (see ``user_data.wallet_balance``)."""
    decode = _spot_balances if product is Product.SPOT else _futures_balances
    return _answer(product, status, body, retry_after, decode)


def _spot_balances(body: bytes) -> list[Balance]:
    account = _SPOT_ACCOUNT.decode(body)
    stamp = account.updateTime * MS or None
    return [
        Balance(VENUE, "spot", row.asset, decimal(row.free), decimal(row.locked), stamp)
        for row in account.balances
    ]


def _futures_balances(body: bytes) -> list[Balance]:
    return [
        wallet_balance(
            row.asset, decimal(row.balance), decimal(row.crossWalletBalance), row.updateTime * MS or None
        )
        for row in _FUTURES_BALANCES.decode(body)
    ]


def decode_positions(
    known: dict[str, Instrument], status: int, body: bytes, retry_after: str | None = None
) -> list[Position] | VenueError:
    """Decode ``GET /fapi/v3/positionRisk``: flat symbols are absent.

    A position in a contract that is not in ``known`` (a dated one) carries the venue's symbol as its name.
    A hedge-mode side is refused as a whole: half a position would look like a whole one.
    """

    def decode(body: bytes) -> list[Position]:
        return [_position(row, known.get(row.symbol)) for row in _POSITIONS.decode(body)]

    return _answer(Product.PERP, status, body, retry_after, decode)


def _position(row: _PositionRisk, instrument: Instrument | None) -> Position:
    if row.positionSide != "BOTH":
        raise ProtocolViolation(f"{HEDGE_MODE} ({row.symbol[:40]!r} {row.positionSide[:10]!r})")
    liquidation = decimal(row.liquidationPrice) if row.liquidationPrice else None
    return Position(
        venue=VENUE,
        universal=row.symbol if instrument is None else instrument.universal,
        position_qty=decimal(row.positionAmt),
        entry_price=decimal(row.entryPrice),
        mark_price=decimal(row.markPrice) if row.markPrice else None,
        unrealised_pnl=decimal(row.unRealizedProfit) if row.unRealizedProfit else None,
        leverage=None,  # not in this answer since v3
        liquidation_price=liquidation or None,  # "0" where none threatens
        venue_utc_ns=row.updateTime * MS or None,
    )


def decode_fills(
    product: Product, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> list[ExecutionReport] | VenueError:
    """Decode ``GET /api/v3/myTrades`` or ``GET /fapi/v1/userTrades`` as reports of fills, by trade id.

    They name the order by the venue's id alone: the client order id is "", price and qty are 0.
    """

    def decode(body: bytes) -> list[ExecutionReport]:
        rows = sorted(_TRADES.decode(body), key=lambda row: row.id)
        return [_fill_report(product, instrument, row) for row in rows]

    return _answer(product, status, body, retry_after, decode)


def _fill_report(product: Product, instrument: Instrument, row: _TradeRow) -> ExecutionReport:
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"a fill of {row.symbol[:40]!r}, not of {instrument.symbol!r}")
    word = row.side if product is Product.PERP or row.isBuyer is None else ("BUY" if row.isBuyer else "SELL")
    side = SIDES.get(word)
    if side is None:
        raise ProtocolViolation(f"a fill without a side: {word[:40]!r}")
    # Older USD-M texts show a fee with a minus sign; a rebate cannot be told from it there. Spot and the
    # user stream agree that a fee is positive.
    fill = Fill(
        trade_id=str(row.id),
        price=scaled(row.price, instrument.price_scale),
        qty=scaled(row.qty, instrument.qty_scale),
        fee=decimal(row.commission),
        fee_asset=row.commissionAsset,
        is_maker=row.maker if row.isMaker is None else row.isMaker,
        venue_utc_ns=row.time * MS,
    )
    return fill_alone(instrument, "", str(row.orderId), side, fill)


def decode_listen_key(status: int, body: bytes, retry_after: str | None = None) -> str | VenueError:
    """Decode ``{"listenKey":"pqia..."}``; "" where a renewal answered ``{}`` (the older form)."""

    def decode(body: bytes) -> str:
        key = _LISTEN_KEY.decode(body).listenKey
        if _KEY_TEXT.fullmatch(key) is None:
            raise ProtocolViolation("a listen key of letters and digits was expected")
        return key

    return _answer(Product.PERP, status, body, retry_after, decode)


def decode_account_check(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> str | VenueError:
    """Return why the account must not be traded, or "".

    ``{"canTrade":true,"dualSidePosition":false,"multiAssetsMargin":false}`` (USD-M accountConfig); spot
    states ``canTrade`` in the account.
    """

    def decode(body: bytes) -> str:
        settings = _SETTINGS.decode(body)
        if settings.dualSidePosition:
            return HEDGE_MODE
        if not settings.canTrade:
            return "the account may not trade; check the key's permissions and the account's state"
        return ""

    return _answer(product, status, body, retry_after, decode)
