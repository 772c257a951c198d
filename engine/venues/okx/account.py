"""Account queries: balances, positions, own fills, settings. The streams are ``user_data``.

Nothing here raises for an answer: what cannot be understood is an UNKNOWN VenueError.

Source: OKX v5 API docs, "GET / Balance", "GET / Positions", "GET / Transaction details (last 3 days)", "GET /
Account configuration", seen 2026-08.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from engine.model.account import Balance, Position
from engine.model.answers import decoded
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, Fill, VenueError, fill_alone
from engine.venues.okx.errors import refusal_in
from engine.venues.okx.frames import SIDES
from engine.venues.okx.numbers import decimal, number, price_in, qty_in, time_ns
from engine.venues.okx.user_data import (
    HEDGE_MODE,
    AccountRow,
    PositionRow,
    currency_balance,
    swap_position,
)

_Value = TypeVar("_Value")


class _FillRow(msgspec.Struct, gc=False):
    """``{"instId":"BTC-USDT","side":"buy","fillSz":"0.1","fillPx":"30000","fee":"-0.0001","feeCcy":"BTC",..}``."""

    instId: str  # noqa: N815 - the wire's names
    side: str
    fillSz: str  # noqa: N815
    fillPx: str  # noqa: N815
    ordId: str  # noqa: N815
    tradeId: str  # noqa: N815
    ts: str
    fee: str = ""
    feeCcy: str = ""  # noqa: N815
    clOrdId: str = ""  # noqa: N815
    execType: str = ""  # noqa: N815
    fillTime: str = ""  # noqa: N815


class _Config(msgspec.Struct, gc=False):
    """``{"acctLv":"2","posMode":"net_mode","perm":"read_only,trade",..}``."""

    acctLv: str  # noqa: N815
    posMode: str  # noqa: N815
    perm: str = ""


class _Accounts(msgspec.Struct, gc=False):
    data: list[AccountRow]


class _Positions(msgspec.Struct, gc=False):
    data: list[PositionRow]


class _Fills(msgspec.Struct, gc=False):
    data: list[_FillRow]


class _Configs(msgspec.Struct, gc=False):
    data: list[_Config]


_ACCOUNTS = msgspec.json.Decoder(_Accounts)
_POSITIONS = msgspec.json.Decoder(_Positions)
_FILLS = msgspec.json.Decoder(_Fills)
_CONFIGS = msgspec.json.Decoder(_Configs)


def _answer(
    status: int, body: bytes, retry_after: str | None, decode: Callable[[bytes], _Value]
) -> _Value | VenueError:
    return decoded(status, body, refusal_in(status, body, retry_after), decode)


def decode_balances(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> list[Balance] | VenueError:
    """Decode ``GET /account/balance`` (see ``user_data.currency_balance``)."""

    def decode(body: bytes) -> list[Balance]:
        accounts = _ACCOUNTS.decode(body).data
        return [currency_balance(product, row) for account in accounts for row in account.details]

    return _answer(status, body, retry_after, decode)


def decode_positions(
    known: dict[str, Instrument], status: int, body: bytes, retry_after: str | None = None
) -> list[Position] | VenueError:
    """Decode ``GET /account/positions``; contracts that are not in ``known`` (inverse ones) are left out.

    Their contracts have another unit. A long/short or isolated position is refused as a whole.
    """

    def decode(body: bytes) -> list[Position]:
        rows = _POSITIONS.decode(body).data
        return [swap_position(row, known[row.instId]) for row in rows if row.instId in known]

    return _answer(status, body, retry_after, decode)


def decode_fills(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> list[ExecutionReport] | VenueError:
    """Decode ``GET /trade/fills`` (newest first on the wire) as reports of fills, by trade id."""

    def decode(body: bytes) -> list[ExecutionReport]:
        rows = sorted(_FILLS.decode(body).data, key=lambda row: number(row.tradeId))
        return [_fill_report(instrument, row) for row in rows]

    return _answer(status, body, retry_after, decode)


def _fill_report(instrument: Instrument, row: _FillRow) -> ExecutionReport:
    if row.instId != instrument.symbol:
        raise ProtocolViolation(f"a fill of {row.instId[:40]!r}, not of {instrument.symbol!r}")
    side = SIDES.get(row.side)
    if side is None:
        raise ProtocolViolation(f"a fill without a side: {row.side[:40]!r}")
    stamp = time_ns(row.fillTime or row.ts)
    fill = Fill(
        trade_id=row.tradeId,
        price=price_in(row.fillPx, instrument),
        qty=qty_in(row.fillSz, instrument),
        fee=-decimal(row.fee) if row.fee else None,  # theirs is negative when paid, ours positive
        fee_asset=row.feeCcy or None,
        is_maker={"M": True, "T": False}.get(row.execType),
        venue_utc_ns=stamp,
    )
    return fill_alone(instrument, row.clOrdId, row.ordId, side, fill)


class Settings(msgspec.Struct, frozen=True):
    """What an account's configuration means for trading: ``problem`` is "" when it is fit."""

    problem: str
    trade_mode: str


def decode_settings(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> Settings | VenueError:
    """Decode ``GET /account/config``.

    Account modes: 1 spot, 2 futures, 3 multi-currency, 4 portfolio margin. Spot orders are ``cash`` in the
    first two and ``cross`` in the others; swaps are always ``cross``, and not tradable in mode 1.
    """

    def decode(body: bytes) -> Settings:
        rows = _CONFIGS.decode(body).data
        if len(rows) != 1:
            raise ProtocolViolation(f"{len(rows)} account configurations, not one")
        row = rows[0]
        problem = ""
        if row.acctLv not in ("1", "2", "3", "4"):
            problem = f"account mode {row.acctLv[:10]!r} is not known; trade in mode 1 to 4"
        elif product is Product.PERP and row.acctLv == "1":
            problem = "the account is in spot mode: swaps need the futures mode or a margin mode"
        elif product is Product.PERP and row.posMode != "net_mode":
            problem = HEDGE_MODE
        elif row.perm and "trade" not in row.perm.split(","):
            problem = "the key may not trade; give it the trade permission"
        is_cash = product is Product.SPOT and row.acctLv in ("1", "2")
        return Settings(problem, "cash" if is_cash else "cross")

    return _answer(status, body, retry_after, decode)
