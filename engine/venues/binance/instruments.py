"""exchangeInfo to instruments: universal names, exact scales, filters by type, stated limits.

Names are built from baseAsset, quoteAsset, marginAsset and contractType, never by splitting the symbol:
``BTCUSDT`` and ``BTCUSDT_261225`` share their pair, and symbols may hold any letters of any alphabet.

    {"symbol":"BTCUSDT","contractType":"PERPETUAL","deliveryDate":4133404800000,"status":"TRADING",
     "baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT",
     "filters":[{"filterType":"PRICE_FILTER","minPrice":"556.80","maxPrice":"4529764","tickSize":"0.10"}]}

Source: spot REST docs, "Exchange information" and filters.md (2026-07-21); USD-M docs, "Exchange
Information" (2026-05-27) and a production body of 2026-09-15.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product, choose_scale
from engine.model.naming import canonical_coin, one_each, universal_name
from engine.venues.base import BudgetRule
from engine.venues.binance.endpoints import REST_BUDGETS, VENUE
from engine.venues.binance.numbers import DECODE_ERRORS, Millis, decimal

ZERO = Decimal(0)
_PRICE_MAX = Decimal(10_000_000)
_QTY_MAX = Decimal(1_000_000_000)
"""Assumed where a filter is switched off (zero): they only bound the choice of decimals."""

_STATUS = {
    "TRADING": InstrumentStatus.TRADING,
    "CANCEL_ONLY": InstrumentStatus.CANCEL_ONLY,
    "TRADING_CANCEL_ONLY": InstrumentStatus.CANCEL_ONLY,
    "HALT": InstrumentStatus.HALTED,
    "BREAK": InstrumentStatus.HALTED,
    "END_OF_DAY": InstrumentStatus.HALTED,
    "TRADING_HALT": InstrumentStatus.HALTED,
    "PENDING_TRADING": InstrumentStatus.PRE_TRADING,
    "PRE_DELIVERING": InstrumentStatus.SETTLING,
    "DELIVERING": InstrumentStatus.SETTLING,
    "PRE_SETTLE": InstrumentStatus.SETTLING,
    "SETTLING": InstrumentStatus.SETTLING,
    "DELIVERED": InstrumentStatus.CLOSED,
    "CLOSE": InstrumentStatus.CLOSED,
}
"""Any other word is treated as halted: unknown is not tradable."""

_PERPETUAL = ("PERPETUAL", "TRADIFI_PERPETUAL")


class _Symbol(msgspec.Struct, gc=False):
    """One entry of ``symbols``; fields that only one product has default to empty."""

    symbol: str
    status: str
    baseAsset: str  # noqa: N815 - the wire's names
    quoteAsset: str  # noqa: N815
    filters: list[dict[str, msgspec.Raw]]
    contractType: str | None = None  # noqa: N815
    marginAsset: str = ""  # noqa: N815
    deliveryDate: Millis = 0  # noqa: N815
    isSpotTradingAllowed: bool = True  # noqa: N815


class _RateLimit(msgspec.Struct, gc=False):
    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: int  # noqa: N815
    limit: int


class _ExchangeInfo(msgspec.Struct, gc=False):
    symbols: list[msgspec.Raw]


class _Limits(msgspec.Struct, gc=False):
    rateLimits: list[_RateLimit] = []  # noqa: N815


_DECODER = msgspec.json.Decoder(_ExchangeInfo)
_SYMBOL = msgspec.json.Decoder(_Symbol)
_LIMITS = msgspec.json.Decoder(_Limits)
_TEXT = msgspec.json.Decoder(str)


class Listing(msgspec.Struct, frozen=True):
    """What one exchangeInfo answer lists.

    Attributes:
        instruments: everything the product covers: spot pairs, or linear perpetuals.
        dated: universal name by symbol of the listed contracts that are *not* perpetual. They are named
            so that a position in one can be shown; they are not traded.
        skipped: (symbol, why) of entries that cannot be used: one odd listing must not hide the others.
    """

    instruments: list[Instrument]
    dated: dict[str, str]
    skipped: list[tuple[str, str]]


def universal_symbol(product: Product, base: str, quote: str, margin: str, delivery: str = "") -> str:
    """Return the universal name, e.g. ``BTC/USDT``, ``BTC/USDT:USDT`` or ``BTC/USDT:USDT-261225``."""
    name = universal_name(canonical_coin(base)[0], quote, None if product is Product.SPOT else margin)
    return f"{name}-{delivery}" if delivery else name


def decode_listing(product: Product, body: bytes) -> Listing:
    """Decode an exchangeInfo answer.

    Of two entries with one universal name the one that trades wins (``naming.one_each``).

    Raises:
        ProtocolViolation: the body is not an exchangeInfo answer.
    """
    try:
        info = _DECODER.decode(body)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"exchangeInfo: {error}", body) from None
    found: list[Instrument] = []
    dated: dict[str, str] = {}
    skipped: list[tuple[str, str]] = []
    for raw in info.symbols:
        try:
            entry = _SYMBOL.decode(raw)
        except DECODE_ERRORS as error:
            skipped.append((bytes(raw)[:60].decode("utf-8", "replace"), str(error)))
            continue
        if product is Product.PERP and entry.contractType not in _PERPETUAL:
            name = _dated_name(entry)
            if name is None:
                skipped.append((entry.symbol, f"contractType {entry.contractType!r}"))
            else:
                dated[entry.symbol] = name
            continue
        try:
            each = _instrument(product, entry)
        except (ProtocolViolation, UsageError) as error:
            skipped.append((entry.symbol, str(error)))
            continue
        found.append(each)
    instruments, doubles = one_each(found)
    return Listing(instruments, dated, skipped + doubles)


def _dated_name(entry: _Symbol) -> str | None:
    """Name a delivery contract by its delivery day (UTC), or None for what is no such contract."""
    if not (entry.contractType or "").startswith(("CURRENT_", "NEXT_")) or not 0 < entry.deliveryDate < 4e12:
        return None
    day = datetime.fromtimestamp(entry.deliveryDate // 1000, UTC).strftime("%y%m%d")
    return universal_symbol(Product.PERP, entry.baseAsset, entry.quoteAsset, entry.marginAsset, day)


def _instrument(product: Product, entry: _Symbol) -> Instrument:
    _check_names(product, entry)
    filters = {_text(row.get("filterType")): row for row in entry.filters}  # key order varies per symbol
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    market_lot = filters.get("MARKET_LOT_SIZE", {})
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    tick, step = _decimal(price, "tickSize"), _decimal(lot, "stepSize")
    price_max, qty_max = _decimal(price, "maxPrice"), _decimal(lot, "maxQty")
    if tick <= 0 or step <= 0:
        raise ProtocolViolation("no tick size or no lot size")
    price_scale = choose_scale(tick, price_max or _PRICE_MAX, headroom=10)
    qty_scale = choose_scale(step, qty_max or _QTY_MAX)
    market_step = _units(_decimal(market_lot, "stepSize"), qty_scale, up=True)
    lot_size = _units(step, qty_scale)
    status = _STATUS.get(entry.status, InstrumentStatus.HALTED)
    if status is InstrumentStatus.TRADING and not entry.isSpotTradingAllowed:
        status = InstrumentStatus.HALTED
    return Instrument(
        venue=VENUE,
        product=product,
        symbol=entry.symbol,
        universal=universal_symbol(product, entry.baseAsset, entry.quoteAsset, entry.marginAsset),
        base=entry.baseAsset,
        quote=entry.quoteAsset,
        settle=entry.marginAsset if product is Product.PERP else None,
        status=status,
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=_units(tick, price_scale),
        lot_size=lot_size,
        market_lot_size=max(market_step, lot_size),  # often zero, which is "off": LOT_SIZE still applies
        price_min=_units(_decimal(price, "minPrice"), price_scale, up=True),
        price_max=_units(price_max, price_scale),
        qty_min=_units(_decimal(lot, "minQty"), qty_scale, up=True),
        qty_max=_units(qty_max, qty_scale),
        market_qty_max=_units(_decimal(market_lot, "maxQty") or qty_max, qty_scale),
        notional_min=_decimal(notional, "minNotional") or _decimal(notional, "notional"),
        notional_max=_decimal(notional, "maxNotional"),
        multiplier=canonical_coin(entry.baseAsset)[1],
    )


def _check_names(product: Product, entry: _Symbol) -> None:
    """Refuse names that would break stream names, URLs or universal symbols."""
    parts = [entry.symbol, entry.baseAsset, entry.quoteAsset]
    if product is Product.PERP:
        parts.append(entry.marginAsset)
    for part in parts:
        if not part or not part.isprintable() or any(sign in part for sign in ' /:@"\\'):
            raise ProtocolViolation(f"unusable name {part[:40]!r}")


def _units(value: Decimal, scale: int, up: bool = False) -> int:
    """Return a bound in scaled units; one finer than the scale is rounded to the stricter side."""
    scaled = value.scaleb(scale)
    return int(scaled.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))


def _text(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return _TEXT.decode(raw)
    except DECODE_ERRORS:
        return ""


def _decimal(row: dict[str, msgspec.Raw], key: str) -> Decimal:
    """Return a filter's decimal text, 0 where the key is absent."""
    if key not in row:
        return ZERO
    value = decimal(_text(row[key]))
    if value < 0:
        raise ProtocolViolation(f"{key} is negative")
    return value


_WINDOWS = {
    "SECOND": (1_000, "s"),
    "MINUTE": (60_000, "m"),
    "HOUR": (3_600_000, "h"),
    "DAY": (86_400_000, "d"),
}
_KINDS = {"REQUEST_WEIGHT": ("weight", "x-mbx-used-weight"), "ORDERS": ("orders", "x-mbx-order-count")}


def budget_name(limit_type: str, interval: str, number: int) -> str:
    """Return our name of a rate limit as the venue spells it, e.g. ``orders_10s``; "" if unknown."""
    if limit_type not in _KINDS or interval not in _WINDOWS:
        return ""
    return f"{_KINDS[limit_type][0]}_{number}{_WINDOWS[interval][1]}"


def decode_budgets(product: Product, body: bytes) -> tuple[BudgetRule, ...]:
    """Return the limits that exchangeInfo states; the documented ones where it states none.

    RAW_REQUESTS (spot: 300 000 in 5 minutes) cannot be reached within the weight limit and is left out.

    Raises:
        ProtocolViolation: the body is not an exchangeInfo answer.
    """
    try:
        limits = _LIMITS.decode(body).rateLimits
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"exchangeInfo: {error}", body) from None
    rules = []
    for each in limits:
        name = budget_name(each.rateLimitType, each.interval, each.intervalNum)
        if name and 0 < each.intervalNum <= 1_000 and each.limit > 0:
            kind, header = _KINDS[each.rateLimitType]
            window_ms = each.intervalNum * _WINDOWS[each.interval][0]
            rules.append(BudgetRule(name, kind, window_ms, each.limit, f"{header}-{name.split('_')[1]}"))
    return tuple(rules) or REST_BUDGETS[product]
