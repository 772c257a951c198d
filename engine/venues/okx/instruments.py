"""The instrument list to instruments: universal names, exact scales in base units, the wire's numbers.

    {"instType":"SWAP","instId":"BTC-USDT-SWAP","uly":"BTC-USDT","ctType":"linear","ctVal":"0.01","ctMult":"1",
     "ctValCcy":"BTC","settleCcy":"USDT","tickSz":"0.1","lotSz":"0.01","minSz":"0.01","maxLmtSz":"100000000",
     "maxMktSz":"12000","state":"live","instIdCode":10459}

Names come from baseCcy and quoteCcy (spot) or ctValCcy, uly and settleCcy (swaps), never from splitting the
instrument's id. Sizes of swaps are contracts: steps and bounds are converted to base units here, once.

Source: OKX v5 API docs, "Get instruments", seen 2026-08; a production body of 2022-05-13 lacks instIdCode.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from engine.venues.okx.endpoints import INST_TYPES, VENUE
from engine.venues.okx.numbers import DECODE_ERRORS, Id, decimal

ZERO = Decimal(0)
_PRICE_MAX = Decimal(10_000_000)
"""No price bound is stated: this one only bounds the choice of decimals."""

_STATUS = {
    "live": InstrumentStatus.TRADING,
    "suspend": InstrumentStatus.HALTED,
    "rebase": InstrumentStatus.HALTED,
    "post_only": InstrumentStatus.CANCEL_ONLY,
    "preopen": InstrumentStatus.PRE_TRADING,
    "test": InstrumentStatus.HALTED,
    "settling": InstrumentStatus.SETTLING,
}
"""Any other word is treated as halted. ``post_only`` takes resting orders, but no price can be crossed: here
it counts as cancel-only, the nearest word that never lets a wrong order through."""


class _Row(msgspec.Struct, gc=False):
    """One entry; spot alone fills ``baseCcy`` and ``quoteCcy``, swaps alone ``ct*`` and ``uly``."""

    instId: str  # noqa: N815 - the wire's names
    instType: str  # noqa: N815
    tickSz: str  # noqa: N815
    lotSz: str  # noqa: N815
    minSz: str  # noqa: N815
    state: str
    baseCcy: str = ""  # noqa: N815
    quoteCcy: str = ""  # noqa: N815
    settleCcy: str = ""  # noqa: N815
    ctType: str = ""  # noqa: N815
    ctVal: str = ""  # noqa: N815
    ctMult: str = ""  # noqa: N815
    ctValCcy: str = ""  # noqa: N815
    uly: str = ""
    instFamily: str = ""  # noqa: N815
    maxLmtSz: str = ""  # noqa: N815
    maxMktSz: str = ""  # noqa: N815
    instIdCode: Id | None = None  # noqa: N815


class _Answer(msgspec.Struct, gc=False):
    code: str
    data: list[msgspec.Raw]
    msg: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)
_ROW = msgspec.json.Decoder(_Row)


def decode_listing(product: Product, body: bytes) -> Listing:
    """Decode an instruments answer; of two entries with one universal name the one that trades wins.

    Raises:
        ProtocolViolation: the body is no such answer, or says that it failed.
    """
    try:
        answer = _ANSWER.decode(body)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"instruments: {error}", body) from None
    if answer.code != "0":
        raise ProtocolViolation(f"instruments: {answer.code[:10]} {answer.msg[:200]}", body)
    return decode_rows(product, answer.data)


def decode_rows(product: Product, rows: Sequence[msgspec.Raw]) -> Listing:
    """Decode entries of the list, as the instruments channel pushes them too."""
    found: list[Instrument] = []
    skipped: list[tuple[str, str]] = []
    for raw in rows:
        try:
            row = _ROW.decode(raw)
        except DECODE_ERRORS as error:
            skipped.append((bytes(raw)[:60].decode("utf-8", "replace"), str(error)))
            continue
        try:
            each = _instrument(product, row)
        except (ProtocolViolation, UsageError) as error:
            skipped.append((row.instId, str(error)))
            continue
        found.append(each)
    instruments, doubles = one_each(found)
    return Listing(instruments, skipped + doubles)


def _names(product: Product, row: _Row) -> tuple[str, str, str | None, str]:
    """Return base, quote, settle and universal symbol, or raise ProtocolViolation saying why not."""
    if row.instType != INST_TYPES[product]:
        raise ProtocolViolation(f"instType {row.instType!r}")
    if product is Product.SPOT:
        base, quote, settle = row.baseCcy, row.quoteCcy, None
    else:
        if row.ctType != "linear":
            raise ProtocolViolation(f"ctType {row.ctType!r}")
        if row.instFamily and row.instFamily != row.uly:
            raise ProtocolViolation(f"family {row.instFamily!r} settles in a basket")
        first, _, quote = row.uly.rpartition("-")
        base, settle = row.ctValCcy or first, row.settleCcy
    for part in (row.instId, base, quote, *(() if settle is None else (settle,))):
        if not part or not part.isprintable() or any(sign in part for sign in ' /:@"\\'):
            raise ProtocolViolation(f"unusable name {part[:40]!r}")
    return base, quote, settle, universal_name(canonical_coin(base)[0], quote, settle)


def _instrument(product: Product, row: _Row) -> Instrument:
    base, quote, settle, universal = _names(product, row)
    tick, lot, low = decimal(row.tickSz), decimal(row.lotSz), decimal(row.minSz)
    contract = Decimal(1)
    if product is Product.PERP:
        contract = decimal(row.ctVal) * (decimal(row.ctMult) if row.ctMult else Decimal(1))
    if tick <= 0 or lot <= 0 or contract <= 0 or low < 0:
        raise ProtocolViolation("no tick size, no lot size or no contract size")
    high = decimal(row.maxLmtSz) * contract if row.maxLmtSz else ZERO
    # A market order's bound is in contracts on swaps, but in USDT on spot, which bounds no quantity.
    is_perp = product is Product.PERP
    market_high = decimal(row.maxMktSz) * contract if is_perp and row.maxMktSz else ZERO
    price_scale = choose_scale(tick, _PRICE_MAX, headroom=10)
    qty_scale = _qty_scale(lot, contract, max(high, market_high))
    return Instrument(
        venue=VENUE,
        product=product,
        symbol=row.instId,
        universal=universal,
        base=base,
        quote=quote,
        settle=settle,
        status=_STATUS.get(row.state, InstrumentStatus.HALTED),
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=_units(tick, price_scale),
        lot_size=_units(lot * contract, qty_scale),
        market_lot_size=_units(lot * contract, qty_scale),
        price_min=0,
        price_max=0,
        qty_min=_units(low * contract, qty_scale, up=True),
        qty_max=min(_units(high, qty_scale), INT64_SAFE_MAX),
        market_qty_max=min(_units(market_high, qty_scale), INT64_SAFE_MAX),
        notional_min=ZERO,
        notional_max=ZERO,
        contract_size=contract,
        multiplier=canonical_coin(base)[1],
        number=row.instIdCode,
    )


def _qty_scale(lot: Decimal, contract: Decimal, high: Decimal) -> int:
    """Return the decimals of a quantity in base units: enough for every wire size to be exact.

    A tenth of a contract of ten coins is one coin: the product needs no decimal, the wire's text has one. So
    the scale holds the decimals of both. Some bounds are astronomic (a thousand million million coins): they
    must not cost the decimals, and are cut to what 64 bits hold.
    """
    need = decimals_of(lot) + decimals_of(contract)
    if need > 2 * SCALE_MAX:
        raise ProtocolViolation(f"lots of {lot} of contracts of {contract} need {need} decimals")
    room = Decimal(INT64_SAFE_MAX).scaleb(-need)
    return choose_scale(Decimal(1).scaleb(-need), min(high or Decimal(10**9), room))


def _units(value: Decimal, scale: int, up: bool = False) -> int:
    """Return a bound in scaled units; one finer than the scale is rounded to the stricter side."""
    return int(value.scaleb(scale).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
