"""The two instrument lists to instruments: universal names, exact scales in base units.

    spot     {"symbol":"BTC-USDT","baseCurrency":"BTC","quoteCurrency":"USDT","baseIncrement":"0.00000001",
              "priceIncrement":"0.1","baseMinSize":"0.00001","baseMaxSize":"10000000000","minFunds":"0.1",
              "enableTrading":true}                                        (every number is text)
    futures  {"symbol":"XBTUSDTM","type":"FFWCSX","baseCurrency":"XBT","quoteCurrency":"USDT",
              "settleCurrency":"USDT","multiplier":0.001,"lotSize":1,"tickSize":0.1,"maxOrderQty":1000000,
              "isInverse":false,"status":"Open"}                           (JSON numbers, exponents allowed)

Names come from the currency fields, never from taking the symbol apart (``10000CATUSDTM`` is one). On futures
bitcoin is called XBT, and nothing else is renamed. Sizes of futures are lots: steps and bounds are converted
to base units here, once.

Source: KuCoin API docs, "Get All Symbols", "Get All Contracts", seen 2026-08.
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
    Listing,
    Product,
    choose_scale,
    decimals_of,
)
from engine.model.naming import canonical_coin, one_each, universal_name
from engine.venues.kucoin.endpoints import VENUE
from engine.venues.kucoin.numbers import DECODE_ERRORS, Number, exact

ZERO = Decimal(0)
ONE = Decimal(1)
PERPETUAL = "FFWCSX"
"""``type`` of perpetual contracts; dated ones are FFICSX."""
_SPOT_PRICE_MAX = Decimal(10_000_000)
"""Spot states no price bound: this one only bounds the choice of decimals."""

_STATUS = {
    "Open": InstrumentStatus.TRADING,
    "Init": InstrumentStatus.PRE_TRADING,
    "BeingSettled": InstrumentStatus.SETTLING,
    "Settled": InstrumentStatus.CLOSED,
    "Paused": InstrumentStatus.HALTED,
    "Closed": InstrumentStatus.CLOSED,
    "CancelOnly": InstrumentStatus.CANCEL_ONLY,
}
"""Any other word is treated as halted."""


class _Pair(msgspec.Struct, gc=False):
    symbol: str
    baseCurrency: str  # noqa: N815 - the wire's names
    quoteCurrency: str  # noqa: N815
    baseIncrement: Number  # noqa: N815
    priceIncrement: Number  # noqa: N815
    baseMinSize: Number  # noqa: N815
    enableTrading: bool  # noqa: N815
    baseMaxSize: Number | None = None  # noqa: N815
    minFunds: Number | None = None  # noqa: N815
    callauctionIsEnabled: bool | None = None  # noqa: N815


class _Contract(msgspec.Struct, gc=False):
    symbol: str
    type: str
    baseCurrency: str  # noqa: N815
    quoteCurrency: str  # noqa: N815
    settleCurrency: str  # noqa: N815
    multiplier: Number
    lotSize: Number  # noqa: N815
    tickSize: Number  # noqa: N815
    isInverse: bool  # noqa: N815
    status: str
    maxOrderQty: Number | None = None  # noqa: N815
    marketMaxOrderQty: Number | None = None  # noqa: N815
    maxPrice: Number | None = None  # noqa: N815


class _Answer(msgspec.Struct, gc=False):
    code: str
    data: list[msgspec.Raw] = []
    msg: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)
_PAIR = msgspec.json.Decoder(_Pair)
_CONTRACT = msgspec.json.Decoder(_Contract)


def decode_listing(product: Product, body: bytes) -> Listing:
    """Decode an instruments answer; of two entries with one universal name the one that trades wins.

    Raises:
        ProtocolViolation: the body is no such answer, or says that it failed.
    """
    try:
        answer = _ANSWER.decode(body)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"instruments: {error}", body) from None
    if answer.code != "200000":
        raise ProtocolViolation(f"instruments: {answer.code[:10]} {answer.msg[:200]}", body)
    found: list[Instrument] = []
    skipped: list[tuple[str, str]] = []
    for raw in answer.data:
        symbol = bytes(raw)[:60].decode("utf-8", "replace")
        try:
            if product is Product.SPOT:
                pair = _PAIR.decode(raw)
                symbol, each = pair.symbol, _spot(pair)
            else:
                contract = _CONTRACT.decode(raw)
                symbol = contract.symbol
                each = _perpetual(contract)
        except (*DECODE_ERRORS, ProtocolViolation, UsageError) as error:
            skipped.append((symbol, str(error)))
            continue
        found.append(each)
    instruments, doubles = one_each(found)
    return Listing(instruments, skipped + doubles)


def universal_currency(name: str) -> str:
    """Return a currency's usual name: KuCoin's futures call bitcoin XBT."""
    return "BTC" if name == "XBT" else name


def _check_names(*parts: str) -> None:
    for part in parts:
        if not part or not part.isprintable() or any(sign in part for sign in ' /:@,"\\'):
            raise ProtocolViolation(f"unusable name {part[:40]!r}")


def _steps(*values: Number) -> list[Decimal]:
    steps = [exact(value) for value in values]
    if any(step <= 0 for step in steps):
        raise ProtocolViolation("no tick size, no lot size or no contract size")
    return steps


def _bound(value: Number | None) -> Decimal:
    return ZERO if value is None else max(exact(value), ZERO)


def _spot(row: _Pair) -> Instrument:
    _check_names(row.symbol, row.baseCurrency, row.quoteCurrency)
    tick, lot = _steps(row.priceIncrement, row.baseIncrement)
    low, high = _bound(row.baseMinSize), _bound(row.baseMaxSize)
    status = InstrumentStatus.TRADING
    if not row.enableTrading:
        status = InstrumentStatus.HALTED
    elif row.callauctionIsEnabled:
        status = InstrumentStatus.PRE_TRADING
    price_scale = choose_scale(tick, _SPOT_PRICE_MAX, headroom=10)
    qty_scale = _qty_scale(lot, ONE, high)
    return Instrument(
        venue=VENUE,
        product=Product.SPOT,
        symbol=row.symbol,
        universal=universal_name(canonical_coin(row.baseCurrency)[0], row.quoteCurrency),
        base=row.baseCurrency,
        quote=row.quoteCurrency,
        settle=None,
        status=status,
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=_units(tick, price_scale),
        lot_size=_units(lot, qty_scale),
        market_lot_size=_units(lot, qty_scale),
        price_min=0,
        price_max=0,
        qty_min=_units(low, qty_scale, up=True),
        qty_max=_units(high, qty_scale),
        market_qty_max=0,
        notional_min=_bound(row.minFunds),
        notional_max=ZERO,
        multiplier=canonical_coin(row.baseCurrency)[1],
    )


def _perpetual(row: _Contract) -> Instrument:
    if row.type != PERPETUAL:
        raise ProtocolViolation(f"type {row.type[:20]!r} is no perpetual")
    if row.isInverse or row.settleCurrency != row.quoteCurrency:
        raise ProtocolViolation("not linear")
    base, quote = universal_currency(row.baseCurrency), universal_currency(row.quoteCurrency)
    _check_names(row.symbol, base, quote)
    tick, lot, contract = _steps(row.tickSize, row.lotSize, row.multiplier)
    if decimals_of(lot):
        raise ProtocolViolation(f"a lot size of {lot} is no whole number")
    high, market_high = _bound(row.maxOrderQty) * contract, _bound(row.marketMaxOrderQty) * contract
    price_high = _bound(row.maxPrice)
    price_scale = choose_scale(tick, price_high or _SPOT_PRICE_MAX, headroom=10)
    qty_scale = _qty_scale(lot, contract, max(high, market_high))
    return Instrument(
        venue=VENUE,
        product=Product.PERP,
        symbol=row.symbol,
        universal=universal_name(canonical_coin(base)[0], quote, quote),
        base=base,
        quote=quote,
        settle=quote,
        status=_STATUS.get(row.status, InstrumentStatus.HALTED),
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=_units(tick, price_scale),
        lot_size=_units(lot * contract, qty_scale),
        market_lot_size=_units(lot * contract, qty_scale),
        price_min=0,
        price_max=_units(price_high, price_scale),
        qty_min=_units(lot * contract, qty_scale),
        qty_max=_units(high, qty_scale),
        market_qty_max=_units(market_high, qty_scale),
        notional_min=ZERO,
        notional_max=ZERO,
        contract_size=contract,
        multiplier=canonical_coin(base)[1],
    )


def _qty_scale(lot: Decimal, contract: Decimal, high: Decimal) -> int:
    """Return the decimals of a quantity in base units: enough for every whole number of lots to be exact.

    Some bounds are astronomic (ten thousand million coins): they must not cost the decimals, and are cut to
    what 64 bits hold.
    """
    need = decimals_of(lot) + decimals_of(contract)
    if need > 2 * SCALE_MAX:
        raise ProtocolViolation(f"lots of {lot} of contracts of {contract} need {need} decimals")
    room = Decimal(INT64_SAFE_MAX).scaleb(-need)
    return choose_scale(Decimal(1).scaleb(-need), min(high or Decimal(10**9), room))


def _units(value: Decimal, scale: int, up: bool = False) -> int:
    """Return a bound in scaled units; one finer than the scale is rounded to the stricter side."""
    units = int(value.scaleb(scale).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
    return min(units, INT64_SAFE_MAX)
