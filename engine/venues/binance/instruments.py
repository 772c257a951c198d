"""exchangeInfo to instruments: universal names, exact scales, filters by type.

Names are built from baseAsset, quoteAsset, marginAsset and contractType, never by splitting the symbol:
``BTCUSDT`` and ``BTCUSDT_261225`` share their pair, and symbols may hold any letters of any alphabet.
Source: spot REST docs, "Exchange information"; USD-M docs, "Exchange Information"; both 2026.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import msgspec

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product, choose_scale, decimals_of
from engine.venues.binance.endpoints import VENUE

ZERO = Decimal(0)

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
_MULTIPLIER = re.compile(r"^(1M|10+)(?=[^\d])", re.ASCII)


class _Symbol(msgspec.Struct, gc=False):
    """One entry of ``symbols``; fields that only one product has default to empty."""

    symbol: str
    status: str
    baseAsset: str  # noqa: N815 - the wire's names
    quoteAsset: str  # noqa: N815
    filters: list[dict[str, msgspec.Raw]]
    contractType: str | None = None  # noqa: N815
    marginAsset: str = ""  # noqa: N815
    deliveryDate: int = 0  # noqa: N815


class _ExchangeInfo(msgspec.Struct, gc=False):
    symbols: list[_Symbol]


_DECODER = msgspec.json.Decoder(_ExchangeInfo)
_TEXT = msgspec.json.Decoder(str)


def universal_symbol(product: Product, base: str, quote: str, margin: str, delivery: str = "") -> str:
    """Return the universal name, e.g. ``BTC/USDT``, ``BTC/USDT:USDT`` or ``BTC/USDT:USDT-261225``."""
    if product is Product.SPOT:
        return f"{base}/{quote}"
    return f"{base}/{quote}:{margin}" + (f"-{delivery}" if delivery else "")


def multiplier_of(base: str) -> int:
    """Return how many coins one unit of a futures base asset is (``1000SHIB`` 1000, ``1MBABYDOGE`` 10**6)."""
    match = _MULTIPLIER.match(base)
    if match is None:
        return 1
    return 1_000_000 if match[1] == "1M" else int(match[1])


def decode_instruments(product: Product, body: bytes) -> list[Instrument]:
    """Return every listed instrument of the product.

    Dated futures are not linear perpetuals and are left out; so is a symbol whose contractType is empty
    (settling). An entry whose filters cannot be read is left out too: one odd listing must not hide the
    others.

    Raises:
        ProtocolViolation: the body is not an exchangeInfo answer.
    """
    try:
        info = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolViolation(f"exchangeInfo: {error}", body) from None
    found = []
    for entry in info.symbols:
        if product is Product.PERP and entry.contractType not in _PERPETUAL:
            continue
        try:
            found.append(_instrument(product, entry))
        except (ProtocolViolation, UsageError):
            continue
    return found


def _instrument(product: Product, entry: _Symbol) -> Instrument:
    filters = {_text(row.get("filterType")): row for row in entry.filters}
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    market_lot = filters.get("MARKET_LOT_SIZE", {})
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    tick, step = _decimal(price, "tickSize"), _decimal(lot, "stepSize")
    price_max, qty_max = _decimal(price, "maxPrice"), _decimal(lot, "maxQty")
    if tick <= 0 or step <= 0:
        raise ProtocolViolation(f"{entry.symbol}: no tick or step size")
    price_scale = choose_scale(tick, price_max or Decimal(10_000_000), headroom=10)
    qty_scale = choose_scale(step, qty_max or Decimal(1_000_000_000))
    market_step = _decimal(market_lot, "stepSize") or step
    unit = Decimal(1).scaleb(-qty_scale)

    def price_units(value: Decimal) -> int:
        return int(value.scaleb(price_scale))

    def qty_units(value: Decimal) -> int:
        return int(value.scaleb(qty_scale))

    return Instrument(
        venue=VENUE,
        product=product,
        symbol=entry.symbol,
        universal=universal_symbol(product, entry.baseAsset, entry.quoteAsset, entry.marginAsset),
        base=entry.baseAsset,
        quote=entry.quoteAsset,
        settle=entry.marginAsset or None if product is Product.PERP else None,
        status=_STATUS.get(entry.status, InstrumentStatus.HALTED),
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=price_units(tick),
        lot_size=qty_units(step),
        market_lot_size=qty_units(market_step if market_step >= unit else step),
        price_min=price_units(_decimal(price, "minPrice")),
        price_max=price_units(price_max),
        qty_min=qty_units(_decimal(lot, "minQty")),
        qty_max=qty_units(qty_max),
        market_qty_max=qty_units(_decimal(market_lot, "maxQty") or qty_max),
        notional_min=_decimal(notional, "minNotional") or _decimal(notional, "notional"),
        notional_max=_decimal(notional, "maxNotional"),
        multiplier=multiplier_of(entry.baseAsset) if product is Product.PERP else 1,
    )


def _text(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return _TEXT.decode(raw)
    except msgspec.DecodeError:
        return ""


def _decimal(row: dict[str, msgspec.Raw], key: str) -> Decimal:
    """Return a filter's decimal text, 0 where the key is absent."""
    if key not in row:
        return ZERO
    try:
        value = Decimal(_text(row[key]))
    except InvalidOperation:
        raise ProtocolViolation(f"filter value {key} is not a decimal") from None
    if not value.is_finite() or value < 0 or decimals_of(value) > 18:
        raise ProtocolViolation(f"filter value {key} is out of range")
    return value
