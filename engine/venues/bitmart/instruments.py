"""The symbol lists to instruments: universal names, exact scales in base units, the wire's numbers.

    {"symbol":"BTC_USDT","base_currency":"BTC","quote_currency":"USDT","base_min_size":"0.00001000000000",
     "base_max_size":"100000000.0","price_max_precision":2,"quote_increment":"0.00001",
     "min_buy_amount":"5.0","min_sell_amount":"5.0","trade_status":"trading"}
    {"symbol":"BTCUSDT","product_type":1,"base_currency":"BTC","quote_currency":"USDT","contract_size":"0.001",
     "price_precision":"0.1","vol_precision":"1","min_volume":"1","max_volume":"1000000",
     "market_max_volume":"50000","status":"Trading","expire_timestamp":0}

Names lie: ``quote_increment`` is the step of the *size*, ``price_precision`` the tick. Names of instruments
come from the two currencies, never from splitting the symbol. The futures list has delisted contracts and
coin-margined ones (``BTCUSD``, whose contract is 100 USD) among the others: only USDT contracts that are
still listed are taken. Sizes of futures are contracts: steps and bounds become base units here, once.

Source: BitMart API docs, "Get Trading Pair Details", "Get Contract Details", seen 2026-11.
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
from engine.venues.bitmart.endpoints import VENUE
from engine.venues.bitmart.numbers import DECODE_ERRORS, decimal

ZERO = Decimal(0)
_PRICE_MAX = Decimal(10_000_000)
"""No price bound is stated: this one only bounds the choice of decimals."""
_DECIMALS_MAX = 18

_SPOT_STATUS = {"trading": InstrumentStatus.TRADING, "pre-trade": InstrumentStatus.PRE_TRADING}
"""Any other word is treated as halted."""


class _Pair(msgspec.Struct, gc=False):
    symbol: str
    base_currency: str
    quote_currency: str
    base_min_size: str
    price_max_precision: int
    trade_status: str
    quote_increment: str = ""
    base_max_size: str = ""
    min_buy_amount: str = ""
    min_sell_amount: str = ""


class _Contract(msgspec.Struct, gc=False):
    symbol: str
    base_currency: str
    quote_currency: str
    contract_size: str
    price_precision: str
    vol_precision: str
    min_volume: str
    max_volume: str
    market_max_volume: str = ""
    product_type: int = 1
    expire_timestamp: int = 0
    status: str = "Trading"


class _Symbols(msgspec.Struct, gc=False):
    symbols: list[msgspec.Raw] = []


class _Answer(msgspec.Struct, gc=False):
    code: int | str
    data: _Symbols | None = None
    message: str | None = None
    msg: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_PAIR = msgspec.json.Decoder(_Pair)
_CONTRACT = msgspec.json.Decoder(_Contract)


def decode_listing(product: Product, body: bytes) -> Listing:
    """Decode a listing answer; of two entries with one universal name the one that trades wins.

    Raises:
        ProtocolViolation: the body is no such answer, or says that it failed.
    """
    try:
        answer = _ANSWER.decode(body)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"instruments: {error}", body) from None
    if str(answer.code) != "1000" or answer.data is None:
        text = f"{answer.message or answer.msg or ''}, no data"
        raise ProtocolViolation(f"instruments: {str(answer.code)[:10]} {text[:200]}", body)
    found: list[Instrument] = []
    skipped: list[tuple[str, str]] = []
    for raw in answer.data.symbols:
        symbol = bytes(raw)[:60].decode("utf-8", "replace")
        try:
            if product is Product.SPOT:
                pair = _PAIR.decode(raw)
                symbol = pair.symbol
                each = _spot(pair)
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


def _checked(*names: str) -> None:
    for name in names:
        if not name or not name.isprintable() or any(sign in name for sign in ' /:@"\\'):
            raise ProtocolViolation(f"unusable name {name[:40]!r}")


def _spot(row: _Pair) -> Instrument:
    _checked(row.symbol, row.base_currency, row.quote_currency)
    if not 0 <= row.price_max_precision <= _DECIMALS_MAX:
        raise ProtocolViolation(f"price_max_precision {row.price_max_precision}")
    tick = Decimal(1).scaleb(-row.price_max_precision)
    low = decimal(row.base_min_size)
    lot = (decimal(row.quote_increment) if row.quote_increment else ZERO) or low
    high = decimal(row.base_max_size) if row.base_max_size else ZERO
    if lot <= 0 or low < 0 or high < 0:
        raise ProtocolViolation("no step or no minimum of the size")
    notional = max(decimal(text) if text else ZERO for text in (row.min_buy_amount, row.min_sell_amount))
    return _instrument(
        Product.SPOT,
        row.symbol,
        (row.base_currency, row.quote_currency, None),
        _SPOT_STATUS.get(row.trade_status, InstrumentStatus.HALTED),
        (tick, lot, Decimal(1)),
        (low, high, ZERO),
        notional,
    )


def _perpetual(row: _Contract) -> Instrument:
    _checked(row.symbol, row.base_currency, row.quote_currency)
    if row.quote_currency != "USDT":
        raise ProtocolViolation(f"quoted in {row.quote_currency!r}: contracts have another unit")
    if row.product_type != 1 or row.expire_timestamp:
        raise ProtocolViolation("no perpetual")
    if row.status == "Delisted":
        raise ProtocolViolation("delisted")
    tick, lot, contract = decimal(row.price_precision), decimal(row.vol_precision), decimal(row.contract_size)
    if tick <= 0 or lot <= 0 or contract <= 0:
        raise ProtocolViolation("no tick size, no lot size or no contract size")
    if lot != lot.to_integral_value():
        raise ProtocolViolation(f"lots of {row.vol_precision} contracts: orders take whole ones")
    return _instrument(
        Product.PERP,
        row.symbol,
        (row.base_currency, row.quote_currency, row.quote_currency),
        InstrumentStatus.TRADING if row.status == "Trading" else InstrumentStatus.HALTED,
        (tick, lot, contract),
        (
            decimal(row.min_volume),
            decimal(row.max_volume) if row.max_volume else ZERO,
            decimal(row.market_max_volume) if row.market_max_volume else ZERO,
        ),
        ZERO,
    )


def _instrument(
    product: Product,
    symbol: str,
    names: tuple[str, str, str | None],
    status: InstrumentStatus,
    steps: tuple[Decimal, Decimal, Decimal],
    bounds: tuple[Decimal, Decimal, Decimal],
    notional_min: Decimal,
) -> Instrument:
    base, quote, settle = names
    tick, lot, contract = steps
    low, high, market_high = (each * contract for each in bounds)
    price_scale = choose_scale(tick, _PRICE_MAX, headroom=10)
    qty_scale = _qty_scale(lot, contract, max(high, market_high))
    return Instrument(
        venue=VENUE,
        product=product,
        symbol=symbol,
        universal=universal_name(canonical_coin(base)[0], quote, settle),
        base=base,
        quote=quote,
        settle=settle,
        status=status,
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=_units(tick, price_scale),
        lot_size=_units(lot * contract, qty_scale),
        market_lot_size=_units(lot * contract, qty_scale),
        price_min=0,
        price_max=0,
        qty_min=_units(low, qty_scale, up=True),
        qty_max=min(_units(high, qty_scale), INT64_SAFE_MAX),
        market_qty_max=min(_units(market_high, qty_scale), INT64_SAFE_MAX),
        notional_min=notional_min,
        notional_max=ZERO,
        contract_size=contract,
        multiplier=canonical_coin(base)[1],
    )


def _qty_scale(lot: Decimal, contract: Decimal, high: Decimal) -> int:
    """Return the decimals of a quantity in base units: enough for every wire size to be exact.

    Some bounds are astronomic: they must not cost the decimals, and are cut to what 64 bits hold.
    """
    need = decimals_of(lot) + decimals_of(contract)
    if need > 2 * SCALE_MAX:
        raise ProtocolViolation(f"lots of {lot} of contracts of {contract} need {need} decimals")
    room = Decimal(INT64_SAFE_MAX).scaleb(-need)
    return choose_scale(Decimal(1).scaleb(-need), min(high or Decimal(10**9), room))


def _units(value: Decimal, scale: int, up: bool = False) -> int:
    """Return a bound in scaled units; one finer than the scale is rounded to the stricter side."""
    return int(value.scaleb(scale).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
