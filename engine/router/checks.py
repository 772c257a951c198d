"""Pre-trade checks: exact input in, a normalised order or a refusal that names the rule out."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from typing import Literal

from engine.model.errors import UsageError
from engine.model.instrument import INT64_SAFE_MAX, Instrument, InstrumentStatus, Product
from engine.model.market import Side
from engine.model.orders import NewOrder, OrderType, TimeInForce
from engine.model.text import scale_text

Exact = Decimal | str | int
Normalise = Literal["refuse", "passive"]
DIGITS_MAX = 60
INSTRUMENTS_KEPT = 4096
_WIDE = Context(prec=DIGITS_MAX + 40)
"""Room for every digit that is let in: the default context rounds to 28, silently."""
_TRADING, _LIMIT, _MARKET = InstrumentStatus.TRADING, OrderType.LIMIT, OrderType.MARKET
_BUY, _GTC = Side.BUY, TimeInForce.GTC


def exact(value: Exact, what: str) -> Decimal:
    """Return ``value`` as a Decimal.

    Raises:
        UsageError: a float (pass its text instead), or not a number.
    """
    if isinstance(value, float) or not isinstance(value, Decimal | str | int) or isinstance(value, bool):
        raise UsageError(f"{what}: pass a decimal text, not {type(value).__name__} {value!r}")
    try:
        if isinstance(value, str) and ("_" in value or not value.isascii()):
            raise InvalidOperation  # Python would take 1_0 for ten, and digits of any script
        number = Decimal(value)
    except InvalidOperation:
        raise UsageError(f"{what}: {value!r} is not a decimal number") from None
    if not number.is_finite():
        raise UsageError(f"{what}: {value!r} is not a finite number")
    return number


def new_order(
    instrument: Instrument,
    client_order_id: str,
    side: Side,
    qty: Exact,
    price: Exact | None,
    *,
    time_in_force: TimeInForce = _GTC,
    post_only: bool = False,
    reduce_only: bool = False,
    reference_price: int = 0,
    normalise: Normalise = "refuse",
) -> NewOrder:
    """Return an order that keeps the instrument's rules.

    Args:
        qty: base units; price: quote units, ``None`` for a market order.
        reference_price: scaled touch or mark price that values a market order; 0 = unknown.
        normalise: ``refuse`` what is off tick or lot, or ``passive``: round the quantity down and the
            price away from the touch.

    Raises:
        UsageError: a rule is broken; the text names it with the nearest allowed value.
    """
    name = instrument.universal
    is_market = price is None
    if instrument.status is not _TRADING:
        raise UsageError(f"{name} is {instrument.status.value} at {instrument.venue}: no new orders")
    if reduce_only and instrument.product is not Product.PERP:
        raise UsageError(f"{name}: reduce-only exists for perpetuals only")
    if post_only and (is_market or time_in_force is not _GTC):
        raise UsageError(f"{name}: post-only goes with a limit price and good-till-cancelled only")
    lot = instrument.market_lot_size if is_market else instrument.lot_size
    scaled_qty = _snap(qty, instrument.qty_scale, lot, normalise, -1, "qty", name)
    scaled_price = 0
    if price is not None:
        scaled_price = _limit_price(instrument, side, price, normalise)
    _check_qty(instrument, scaled_qty, is_market)
    _check_notional(instrument, scaled_qty, scaled_price or reference_price, reduce_only)
    return NewOrder(
        venue=instrument.venue,
        universal=name,
        client_order_id=client_order_id,
        side=side,
        order_type=_MARKET if is_market else _LIMIT,
        qty=scaled_qty,
        price=scaled_price,
        time_in_force=time_in_force,
        post_only=post_only,
        reduce_only=reduce_only,
    )


def amended_terms(
    instrument: Instrument,
    side: Side,
    qty: Exact | None,
    price: Exact | None,
    *,
    known_qty: int,
    known_price: int,
    reduce_only: bool = False,
    normalise: Normalise = "refuse",
) -> tuple[int, int]:
    """Return the quantity and price, scaled, of an amended limit order; ``None`` keeps what is known.

    Raises:
        UsageError: a rule is broken, as for a new order; the text names it with the nearest allowed value.
    """
    name = instrument.universal
    if instrument.status is not _TRADING:
        raise UsageError(f"{name} is {instrument.status.value} at {instrument.venue}: no amends")
    if qty is None and price is None:
        raise UsageError(f"{name}: an amend needs a new quantity, a new price, or both")
    scaled_qty, scaled_price = known_qty, known_price
    if qty is not None:
        scaled_qty = _snap(qty, instrument.qty_scale, instrument.lot_size, normalise, -1, "qty", name)
        _check_qty(instrument, scaled_qty, is_market=False)
    if price is not None:
        scaled_price = _limit_price(instrument, side, price, normalise)
    _check_notional(instrument, scaled_qty, scaled_price, reduce_only)
    return scaled_qty, scaled_price


def _limit_price(instrument: Instrument, side: Side, price: Exact, normalise: Normalise) -> int:
    away = -1 if side is _BUY else 1
    tick, scale, name = instrument.tick_size, instrument.price_scale, instrument.universal
    scaled_price = _snap(price, scale, tick, normalise, away, "price", name)
    low, high = instrument.price_min, instrument.price_max
    if scaled_price < low or (high and scaled_price > high):
        raise _out_of_bounds(name, "price", scale, scaled_price, low, high)
    return scaled_price


def _check_qty(instrument: Instrument, scaled_qty: int, is_market: bool) -> None:
    low, high = instrument.qty_min, instrument.qty_max
    if is_market and instrument.market_qty_max:
        high = min(high, instrument.market_qty_max) if high else instrument.market_qty_max
    if scaled_qty < low or (high and scaled_qty > high):
        raise _out_of_bounds(instrument.universal, "qty", instrument.qty_scale, scaled_qty, low, high)


def _snap(
    value: Exact, scale: int, step: int, normalise: Normalise, direction: int, word: str, name: str
) -> int:
    """Return ``value`` scaled and on a multiple of ``step``."""
    if isinstance(value, str):
        units = scale_text(value, scale)  # the usual case, without a Decimal
        if units > 0 and units % step == 0:
            return units
    return _snap_exact(exact(value, word), scale, step, normalise, direction, f"{word} of {name}")


def _snap_exact(
    value: Decimal, scale: int, step: int, normalise: Normalise, direction: int, what: str
) -> int:
    if value <= 0:
        raise UsageError(f"{what} must be positive, not {value}")
    if value.adjusted() + scale > 18:
        raise UsageError(f"{what} {value} is too large")
    if value.adjusted() + scale < -DIGITS_MAX or len(value.as_tuple().digits) > DIGITS_MAX:
        raise UsageError(f"{what} has more decimals than any venue takes: {str(value)[:DIGITS_MAX]}")
    exact_units = value.scaleb(scale, _WIDE)
    units = int(exact_units)
    if units > INT64_SAFE_MAX:
        raise UsageError(f"{what} {value} is too large")
    below = units - units % step
    if exact_units == below:
        return below
    above = below + step
    if normalise == "passive":
        snapped = below if direction < 0 else above
        if snapped <= 0:
            raise UsageError(f"{what} {_readable(value)} is below one step ({Decimal(step).scaleb(-scale)})")
        return snapped
    near = " or ".join(
        format(Decimal(each).scaleb(-scale).normalize(), "f") for each in (below, above) if each
    )
    unit = format(Decimal(step).scaleb(-scale).normalize(), "f")
    raise UsageError(f"{what} {_readable(value)} is not a multiple of {unit}; nearest: {near}")


def _readable(value: Decimal) -> str:
    """Return the number as people write it; one with thousands of zeros stays in powers of ten."""
    return f"{value:f}" if abs(value.adjusted()) < 30 else str(value)


def _out_of_bounds(name: str, word: str, scale: int, value: int, low: int, high: int) -> UsageError:
    texts = [format(Decimal(each).scaleb(-scale).normalize(), "f") for each in (value, low, high)]
    limits = f"lie between {texts[1]} and {texts[2]}" if high else f"be at least {texts[1]}"
    return UsageError(f"{word} of {name} {texts[0]} must {limits}")


_notional_units: dict[int, tuple[Instrument, int, int]] = {}
"""By ``id``, with the instrument itself to tell: hashing Decimals would cost more than the whole check."""


def _notional_bounds(instrument: Instrument) -> tuple[Instrument, int, int]:
    """Return the instrument and its bounds (``10**-(price_scale + qty_scale)`` quote units; 0 = no bound)."""
    if len(_notional_units) >= INSTRUMENTS_KEPT:
        _notional_units.clear()
    scale = instrument.price_scale + instrument.qty_scale
    low_n, low_d = instrument.notional_min.as_integer_ratio()
    high_n, high_d = instrument.notional_max.as_integer_ratio()
    known = instrument, -(-low_n * 10**scale // low_d), high_n * 10**scale // high_d
    _notional_units[id(instrument)] = known
    return known


def _check_notional(instrument: Instrument, qty: int, price: int, reduce_only: bool) -> None:
    if not price or (reduce_only and instrument.product is Product.PERP):
        return
    known = _notional_units.get(id(instrument))
    if known is None or known[0] is not instrument:
        known = _notional_bounds(instrument)
    _, least, most = known
    units = price * qty
    if units < least or (most and units > most):
        low, high = instrument.notional_min, instrument.notional_max
        limits = f"at least {low.normalize():f}" + (f" and at most {high.normalize():f}" if high else "")
        notional = instrument.price(price) * instrument.qty(qty)
        value = f"{notional.normalize():f} {instrument.quote}"
        raise UsageError(f"value of {instrument.universal} order is {value}; it must be {limits}")
