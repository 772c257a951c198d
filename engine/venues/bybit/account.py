"""Account queries: balances, positions, own fills, settings. The streams are ``user_data``.

Nothing here raises for an answer: what cannot be understood is an UNKNOWN VenueError. Lists come in pages
(``nextPageCursor``); each page is decoded by itself, and :func:`next_target` says what must be asked next.

Source: Bybit v5 API docs, "Get Wallet Balance", "Get Position Info", "Get Trade History", "Get Account Info",
"Get API Key Information", seen 2026-07.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import msgspec

from engine.model.account import Balance, Position
from engine.model.answers import decoded
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import ExecutionReport, VenueError
from engine.venues.bybit.endpoints import SETTLE_COINS
from engine.venues.bybit.errors import refusal_in
from engine.venues.bybit.numbers import DECODE_ERRORS, MS, Id, Millis, time_ns
from engine.venues.bybit.user_data import (
    FILL_TYPES,
    HEDGE_MODE,
    ExecutionRow,
    PositionRow,
    WalletRow,
    fill_report,
    linear_position,
    wallet_balances,
)

_Value = TypeVar("_Value")


class _FillRow(ExecutionRow, gc=False):
    seq: Id = 0


class _WalletResult(msgspec.Struct, gc=False):
    rows: list[WalletRow] = msgspec.field(name="list")


class _Wallets(msgspec.Struct, gc=False):
    result: _WalletResult
    time: Millis = 0


class _PositionResult(msgspec.Struct, gc=False):
    rows: list[PositionRow] = msgspec.field(name="list")


class _Positions(msgspec.Struct, gc=False):
    result: _PositionResult


class _FillResult(msgspec.Struct, gc=False):
    rows: list[_FillRow] = msgspec.field(name="list")


class _Fills(msgspec.Struct, gc=False):
    result: _FillResult


class _Settings(msgspec.Struct, gc=False):
    """Of the key: ``readOnly``, ``permissions``; of the account: ``unifiedMarginStatus``; or positions."""

    readOnly: int | None = None  # noqa: N815 - the wire's names
    permissions: dict[str, list[str]] = {}
    unifiedMarginStatus: int | None = None  # noqa: N815
    rows: list[PositionRow] | None = msgspec.field(name="list", default=None)


class _SettingsAnswer(msgspec.Struct, gc=False):
    result: _Settings


class _Page(msgspec.Struct, gc=False):
    nextPageCursor: str | None = None  # noqa: N815
    rows: list[msgspec.Raw] = msgspec.field(name="list", default_factory=list)


class _PageAnswer(msgspec.Struct, gc=False):
    result: _Page
    retCode: int = 0  # noqa: N815


_WALLETS = msgspec.json.Decoder(_Wallets)
_POSITIONS = msgspec.json.Decoder(_Positions)
_FILLS = msgspec.json.Decoder(_Fills)
_SETTINGS = msgspec.json.Decoder(_SettingsAnswer)
_PAGE = msgspec.json.Decoder(_PageAnswer)
_RIGHTS = {
    Product.SPOT: frozenset({"Spot.SpotTrade"}),
    Product.PERP: frozenset({"ContractTrade.Order", "Derivatives.DerivativesTrade"}),
}
"""Either right of a product is enough: the second one of perpetuals is that of unified accounts."""
_ENCODED = re.compile(r"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+", re.ASCII)


def _answer(
    status: int, body: bytes, retry_after: str | None, decode: Callable[[bytes], _Value]
) -> _Value | VenueError:
    return decoded(status, body, refusal_in(status, body, retry_after), decode)


# ------------------------------------------------------------------------------------------- paging


def next_target(target: str, status: int, body: bytes) -> str | None:
    """Return the target of a list's next page, ``None`` after the last or where the answer is no page.

    A cursor also stands in the last page of some lists: an empty page, or the same cursor again, ends them.
    It is sent as it came where it is percent-encoded already.
    """
    page = _page(status, body)
    if page is None or not page.nextPageCursor or not page.rows:
        return None
    cursor = page.nextPageCursor
    if _ENCODED.fullmatch(cursor) is None:
        cursor = quote(cursor, safe="")
    first, _, before = target.partition("&cursor=")
    return None if cursor == before else f"{first}&cursor={cursor}"


def is_empty_list(status: int, body: bytes) -> bool:
    """Tell whether an answer is a success that lists nothing."""
    page = _page(status, body)
    return page is not None and not page.rows


def is_success(status: int, body: bytes) -> bool:
    """Tell whether an answer is a list at all."""
    return _page(status, body) is not None


def _page(status: int, body: bytes) -> _Page | None:
    try:
        answer = _PAGE.decode(body)
    except DECODE_ERRORS:
        return None
    return answer.result if status == 200 and answer.retCode == 0 else None


def next_settle_coin(target: str) -> str | None:
    """Return the target of the positions that settle in the next coin, ``None`` after the last."""
    for coin, following in itertools.pairwise(SETTLE_COINS):
        if f"&settleCoin={coin}&" in target:
            first, _, _ = target.partition("&cursor=")
            return first.replace(f"&settleCoin={coin}&", f"&settleCoin={following}&")
    return None


# ------------------------------------------------------------------------------------------ answers


def decode_balances(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> list[Balance] | VenueError:
    """Decode ``GET /account/wallet-balance`` (see ``user_data.coin_balance``)."""

    def decode(body: bytes) -> list[Balance]:
        answer = _WALLETS.decode(body)
        return wallet_balances(product, answer.result.rows, answer.time * MS if answer.time else None)

    return _answer(status, body, retry_after, decode)


def decode_positions(
    known: dict[str, Instrument], status: int, body: bytes, retry_after: str | None = None
) -> list[Position] | VenueError:
    """Decode a page of ``GET /position/list``; contracts that are not in ``known`` (dated) are left out.

    A position in hedge mode is refused as a whole.
    """

    def decode(body: bytes) -> list[Position]:
        rows = _POSITIONS.decode(body).result.rows
        return [linear_position(row, known[row.symbol]) for row in rows if row.symbol in known]

    return _answer(status, body, retry_after, decode)


def decode_fills(
    instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
) -> list[ExecutionReport] | VenueError:
    """Decode a page of ``GET /execution/list`` (newest first on the wire) as reports, oldest first."""

    def decode(body: bytes) -> list[ExecutionReport]:
        rows = [row for row in _FILLS.decode(body).result.rows if row.execType in FILL_TYPES]
        for row in rows:
            if row.symbol != instrument.symbol:
                raise ProtocolViolation(f"a fill of {row.symbol[:40]!r}, not of {instrument.symbol!r}")
        # Fills of one instant stand newest first as well: reversed, they keep the venue's order.
        rows.reverse()
        rows.sort(key=lambda row: (time_ns(row.execTime), row.seq))
        return [fill_report(row, instrument, 0) for row in rows]

    return _answer(status, body, retry_after, decode)


def decode_settings(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> str | VenueError:
    """Decode one answer of the account check; return what is wrong, "" when nothing is.

    Three answers make the check: the key (``/user/query-api``), the account (``/account/info``), and for
    perpetuals one symbol's position, which is listed when empty too and tells the position mode.
    """

    def decode(body: bytes) -> str:
        settings = _SETTINGS.decode(body).result
        if settings.readOnly is not None:
            return _key_problem(product, settings)
        if settings.unifiedMarginStatus is not None:
            return _account_problem(settings)
        if settings.rows is not None:
            return HEDGE_MODE if any(row.positionIdx for row in settings.rows) else ""
        raise ProtocolViolation("neither a key, an account nor positions")

    return _answer(status, body, retry_after, decode)


def _key_problem(product: Product, settings: _Settings) -> str:
    if settings.readOnly:
        return "the key is read-only; make one that may trade"
    needed = _RIGHTS[product]
    held = {f"{name}.{right}" for name, rights in settings.permissions.items() for right in rights}
    if held and not held & needed:
        return f"the key lacks the right {' or '.join(sorted(needed))}; give it that"
    return ""


def _account_problem(settings: _Settings) -> str:
    """Margin status: 1 classic, 3 and 4 unified 1.0, 5 and 6 unified 2.0."""
    if settings.unifiedMarginStatus not in (3, 4, 5, 6):
        return "the account is a classic one; upgrade it to a unified account"
    return ""
