"""The instrument list to instruments: universal names, exact scales, bounds; page by page.

    linear {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC",
            "quoteCoin":"USDT","settleCoin":"USDT","priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80",
            "tickSize":"0.10"},"lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001",
            "qtyStep":"0.001","maxMktOrderQty":"500.000","minNotionalValue":"5"}}
    spot   {"symbol":"BTCUSDT","baseCoin":"BTC","quoteCoin":"USDT","status":"Trading","lotSizeFilter":
            {"basePrecision":"0.000001","minOrderQty":"0.000011","maxOrderQty":"83","minOrderAmt":"5",
            "maxLimitOrderQty":"83","maxMarketOrderQty":"41.5"},"priceFilter":{"tickSize":"0.1"}}

Names come from baseCoin, quoteCoin and settleCoin, never from splitting the symbol; the same symbol is
another instrument in the other category. Sizes are base units; a base coin like ``1000PEPE`` counts a
thousand coins and is named so, there is no hidden factor. ``SHIB1000`` is the same as ``1000SHIB`` elsewhere,
and has that universal name.

Source: Bybit v5 API docs, "Get Instruments Info", seen 2026-07.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import (
    INT64_SAFE_MAX,
    SCALE_MAX,
    Instrument,
    InstrumentStatus,
    Product,
    choose_scale,
    decimals_of,
)
from engine.model.naming import canonical_coin, one_each, universal_name
from engine.venues.bybit.endpoints import CATEGORIES, VENUE
from engine.venues.bybit.numbers import DECODE_ERRORS, decimal

ZERO = Decimal(0)
_PRICE_MAX = Decimal(10_000_000)
"""Assumed where no price bound is stated (spot): it only bounds the choice of decimals."""

_STATUS = {
    "Trading": InstrumentStatus.TRADING,
    "PreLaunch": InstrumentStatus.PRE_TRADING,
    "Delivering": InstrumentStatus.SETTLING,
    "Closed": InstrumentStatus.CLOSED,
}
"""Any other word is treated as halted: unknown is not tradable."""

_PERPETUAL = "LinearPerpetual"


class _PriceFilter(msgspec.Struct, gc=False):
    tickSize: str  # noqa: N815 - the wire's names
    minPrice: str = ""  # noqa: N815
    maxPrice: str = ""  # noqa: N815


class _LotSizeFilter(msgspec.Struct, gc=False):
    """Linear has ``qtyStep``, spot ``basePrecision``; what only one product has is empty on the other."""

    qtyStep: str = ""  # noqa: N815
    basePrecision: str = ""  # noqa: N815
    minOrderQty: str = ""  # noqa: N815
    maxOrderQty: str = ""  # noqa: N815
    maxLimitOrderQty: str = ""  # noqa: N815
    maxMktOrderQty: str = ""  # noqa: N815
    maxMarketOrderQty: str = ""  # noqa: N815
    minNotionalValue: str = ""  # noqa: N815
    minOrderAmt: str = ""  # noqa: N815
    maxOrderAmt: str = ""  # noqa: N815


class _Row(msgspec.Struct, gc=False):
    symbol: str
    status: str
    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    priceFilter: _PriceFilter  # noqa: N815
    lotSizeFilter: _LotSizeFilter  # noqa: N815
    settleCoin: str = ""  # noqa: N815
    contractType: str = ""  # noqa: N815


class _Result(msgspec.Struct, gc=False):
    rows: list[msgspec.Raw] = msgspec.field(name="list")
    category: str = ""
    nextPageCursor: str = ""  # noqa: N815


class _Answer(msgspec.Struct, gc=False):
    retCode: int  # noqa: N815
    result: msgspec.Raw = msgspec.Raw(b"{}")
    retMsg: str = ""  # noqa: N815


_ANSWER = msgspec.json.Decoder(_Answer)
_RESULT = msgspec.json.Decoder(_Result)
_ROW = msgspec.json.Decoder(_Row)


class Listing(msgspec.Struct, frozen=True):
    """What one page of the instrument list tells.

    Attributes:
        instruments: everything the product covers: spot pairs, or linear perpetuals.
        skipped: (symbol, why) of entries that cannot be used: one odd listing must not hide the others.
        cursor: where the next page begins, "" after the last.
    """

    instruments: list[Instrument]
    skipped: list[tuple[str, str]]
    cursor: str


def _coin(product: Product, base: str) -> tuple[str, int]:
    """Return the canonical name of a base coin and its factor, which linear names may have behind it."""
    return canonical_coin(base, has_trailing=product is Product.PERP)


def decode_listing(product: Product, body: bytes) -> Listing:
    """Decode a page of the instrument list; of two entries with one universal name the one that trades wins.

    Raises:
        ProtocolViolation: the body is no such answer, or says that it failed.
    """
    try:
        answer = _ANSWER.decode(body)
        if answer.retCode != 0:
            raise ProtocolViolation(f"instruments: {answer.retCode} {answer.retMsg[:200]}", body)
        result = _RESULT.decode(answer.result)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"instruments: {error}", body) from None
    if result.category not in ("", CATEGORIES[product]):
        raise ProtocolViolation(f"instruments: of category {result.category[:20]!r}", body)
    found: list[Instrument] = []
    skipped: list[tuple[str, str]] = []
    for raw in result.rows:
        try:
            row = _ROW.decode(raw)
        except DECODE_ERRORS as error:
            skipped.append((bytes(raw)[:60].decode("utf-8", "replace"), str(error)))
            continue
        try:
            each = _instrument(product, row)
        except (ProtocolViolation, UsageError) as error:
            skipped.append((row.symbol, str(error)))
            continue
        found.append(each)
    instruments, doubles = one_each(found)
    return Listing(instruments, skipped + doubles, result.nextPageCursor)


def _names(product: Product, row: _Row) -> tuple[str, str, str | None, str]:
    """Return base, quote, settle and universal symbol, or raise ProtocolViolation saying why not."""
    if product is Product.SPOT and row.contractType:
        raise ProtocolViolation(f"contractType {row.contractType[:20]!r}")
    if product is Product.PERP and row.contractType != _PERPETUAL:
        raise ProtocolViolation(f"contractType {row.contractType[:20]!r}")
    base, quote = row.baseCoin, row.quoteCoin
    settle = None if product is Product.SPOT else row.settleCoin
    for part in (row.symbol, base, quote, *(() if settle is None else (settle,))):
        if not part or not part.isprintable() or any(sign in part for sign in ' /:@"\\'):
            raise ProtocolViolation(f"unusable name {part[:40]!r}")
    return base, quote, settle, universal_name(_coin(product, base)[0], quote, settle)


def _instrument(product: Product, row: _Row) -> Instrument:
    base, quote, settle, universal = _names(product, row)
    lots, prices = row.lotSizeFilter, row.priceFilter
    is_spot = product is Product.SPOT
    tick = decimal(prices.tickSize)
    lot = decimal(lots.basePrecision if is_spot else lots.qtyStep)
    low = _bound(lots.minOrderQty)
    if tick <= 0 or lot <= 0 or low < 0:
        raise ProtocolViolation("no tick size or no lot size")
    # What spot calls maxOrderQty is deprecated since limit and market orders have bounds of their own.
    high = _bound(lots.maxLimitOrderQty or lots.maxOrderQty if is_spot else lots.maxOrderQty)
    market_high = _bound(lots.maxMarketOrderQty if is_spot else lots.maxMktOrderQty)
    price_max = _bound(prices.maxPrice)
    price_scale = choose_scale(tick, price_max or _PRICE_MAX, headroom=10)
    qty_scale = _qty_scale(lot, max(high, market_high))
    return Instrument(
        venue=VENUE,
        product=product,
        symbol=row.symbol,
        universal=universal,
        base=base,
        quote=quote,
        settle=settle,
        status=_STATUS.get(row.status, InstrumentStatus.HALTED),
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=_units(tick, price_scale),
        lot_size=_units(lot, qty_scale),
        market_lot_size=_units(lot, qty_scale),
        price_min=_units(_bound(prices.minPrice), price_scale, up=True),
        price_max=min(_units(price_max, price_scale), INT64_SAFE_MAX),
        qty_min=_units(low, qty_scale, up=True),
        qty_max=min(_units(high, qty_scale), INT64_SAFE_MAX),
        market_qty_max=min(_units(market_high, qty_scale), INT64_SAFE_MAX),
        notional_min=_bound(lots.minOrderAmt if is_spot else lots.minNotionalValue),
        notional_max=_bound(lots.maxOrderAmt if is_spot else ""),
        multiplier=_coin(product, base)[1],
    )


def _bound(text: str) -> Decimal:
    return decimal(text) if text else ZERO


def _qty_scale(lot: Decimal, high: Decimal) -> int:
    """Return the decimals of a quantity. A bound of astronomic size must not cost the lot's decimals."""
    need = decimals_of(lot)
    if need > 2 * SCALE_MAX:
        raise ProtocolViolation(f"lots of {lot} need {need} decimals")
    room = Decimal(INT64_SAFE_MAX).scaleb(-need)
    return choose_scale(Decimal(1).scaleb(-need), min(high or Decimal(10**9), room))


def _units(value: Decimal, scale: int, up: bool = False) -> int:
    """Return a bound in scaled units; one finer than the scale is rounded to the stricter side."""
    return int(value.scaleb(scale).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
