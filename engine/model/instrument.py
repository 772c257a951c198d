"""Instruments: one tradable thing at one venue, with exact integer scales.

Prices and quantities travel through the engine as int64 in units of ``10**-price_scale`` (quote
units) and ``10**-qty_scale`` (base units). Contracts exist on the wire only; the adapter converts.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

from engine.model.errors import UsageError

#: Capacity kept free above a listed maximum, so that summed levels still fit an int64.
INT64_SAFE_MAX = 9_000_000_000_000_000_000
SCALE_MAX = 8


class Product(enum.Enum):
    """What kind of instrument; the value is the word used in config, paths and the command line."""

    SPOT = "spot"
    PERP = "perp"  # linear perpetual


class InstrumentStatus(enum.Enum):
    """Whether the venue takes orders for it now."""

    TRADING = "trading"
    CANCEL_ONLY = "cancel_only"
    HALTED = "halted"
    PRE_TRADING = "pre_trading"
    SETTLING = "settling"
    CLOSED = "closed"


class Instrument(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One tradable thing at one venue.

    Attributes:
        venue: lower-case venue name, e.g. ``binance``.
        symbol: the venue's own string, case and alphabet kept.
        universal: ``BASE/QUOTE`` for spot, ``BASE/QUOTE:SETTLE`` for linear perpetuals (see ``naming``).
        base: as the venue writes it; ``universal`` has the canonical name.
        price_scale, qty_scale: decimals of the int64 representation.
        tick_size, lot_size: smallest steps, in scaled units (> 0).
        market_lot_size: step for market orders, scaled; equals ``lot_size`` where the venue has one rule.
        price_min, price_max, qty_min, qty_max, market_qty_max: scaled bounds; 0 means "no bound".
        notional_min, notional_max: quote units; ``Decimal(0)`` means "no bound".
        contract_size: base units in one wire contract (1 where the wire speaks base units).
        multiplier: base-asset units in one base unit of this instrument (1000 for ``1000SHIB``).
        number: the venue's own number of it, where order entry wants that instead of the symbol.
    """

    venue: str
    product: Product
    symbol: str
    universal: str
    base: str
    quote: str
    settle: str | None
    status: InstrumentStatus
    price_scale: int
    qty_scale: int
    tick_size: int
    lot_size: int
    market_lot_size: int
    price_min: int
    price_max: int
    qty_min: int
    qty_max: int
    market_qty_max: int
    notional_min: Decimal
    notional_max: Decimal
    contract_size: Decimal = Decimal(1)
    multiplier: int = 1
    number: int | None = None

    def price(self, scaled: int) -> Decimal:
        """Return a scaled price as an exact Decimal in quote units."""
        return Decimal(scaled).scaleb(-self.price_scale)

    def qty(self, scaled: int) -> Decimal:
        """Return a scaled quantity as an exact Decimal in base units."""
        return Decimal(scaled).scaleb(-self.qty_scale)

    def scale_price(self, value: Decimal) -> int:
        """Return ``value`` in scaled units.

        Raises:
            UsageError: the value is not finite or does not fit the scale exactly.
        """
        return to_scaled(value, self.price_scale, f"price of {self.universal}")

    def scale_qty(self, value: Decimal) -> int:
        """Return ``value`` (base units) in scaled units; raises as :meth:`scale_price`."""
        return to_scaled(value, self.qty_scale, f"quantity of {self.universal}")


class Listing(msgspec.Struct, frozen=True):
    """What an answer of a venue lists of one product.

    Attributes:
        instruments: everything the product covers.
        skipped: (symbol, why) of entries that cannot be used: one odd listing must not hide the others.
    """

    instruments: list[Instrument]
    skipped: list[tuple[str, str]]


class InstrumentsTold(msgspec.Struct, frozen=True, gc=False):
    """The venue's stream tells what these instruments are from now on; others are as they were."""

    instruments: tuple[Instrument, ...]


def to_scaled(value: Decimal, scale: int, what: str) -> int:
    """Return ``value * 10**scale`` as an exact integer.

    Raises:
        UsageError: not finite, more decimals than ``scale``, or outside int64; ``what`` is named.
    """
    if not value.is_finite():
        raise UsageError(f"{what} must be a finite number, not {value}")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    shift = exponent + scale
    if len(digits) + max(shift, 0) > 19:
        raise UsageError(f"{what} {value} is too large for a scale of {scale} decimals")
    mantissa = int("".join(map(str, digits)))
    power: int
    if shift < 0:
        power = 10**-shift
        mantissa, rest = divmod(mantissa, power)
        if rest:
            raise UsageError(f"{what} {value} has more than {scale} decimals")
    else:
        power = 10**shift
        mantissa *= power
    if mantissa > INT64_SAFE_MAX:
        raise UsageError(f"{what} {value} is too large for a scale of {scale} decimals")
    return -mantissa if sign else mantissa


def decimals_of(step: Decimal) -> int:
    """Return how many decimals a step such as ``0.00100`` really needs (3)."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def choose_scale(step: Decimal, maximum: Decimal, headroom: int = 1000) -> int:
    """Return the number of decimals for int64 values of a quantity with this step and maximum.

    As many decimals as fit, up to ``SCALE_MAX``: test networks send more decimals than the step, and
    a value that does not fit is a protocol violation. Never fewer than the step needs.

    Raises:
        UsageError: even the step's own decimals do not fit below ``maximum * headroom``.
    """
    need = decimals_of(step)
    for scale in range(max(SCALE_MAX, need), need - 1, -1):
        if maximum * headroom * 10**scale <= INT64_SAFE_MAX:
            return scale
    if maximum * 10**need <= INT64_SAFE_MAX:
        return need
    raise UsageError(f"step {step} with maximum {maximum} does not fit an int64")
