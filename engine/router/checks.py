"""Pre-trade checks: exact input in, a normalised order or a refusal that names the rule out."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal

from engine.model.errors import UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import Side
from engine.model.orders import NewOrder, OrderType, TimeInForce

Exact = Decimal | str | int
Normalise = Literal["refuse", "passive"]


def exact(value: Exact, what: str) -> Decimal:
    """Return ``value`` as a Decimal.

    Raises:
        UsageError: a float (pass its text instead), or not a number.
    """
    if isinstance(value, float) or not isinstance(value, Decimal | str | int) or isinstance(value, bool):
        raise UsageError(f"{what}: pass a decimal text, not {type(value).__name__} {value!r}")
    try:
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
    time_in_force: TimeInForce = TimeInForce.GTC,
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
    if instrument.status is not InstrumentStatus.TRADING:
        raise UsageError(f"{name} is {instrument.status.value} at {instrument.venue}: no new orders")
    if reduce_only and instrument.product is not Product.PERP:
        raise UsageError(f"{name}: reduce-only exists for perpetuals only")
    if post_only and (price is None or time_in_force is not TimeInForce.GTC):
        raise UsageError(f"{name}: post-only goes with a limit price and good-till-cancelled only")
    is_market = price is None
    lot = instrument.market_lot_size if is_market else instrument.lot_size
    scaled_qty = _snap(exact(qty, "qty"), instrument.qty_scale, lot, normalise, -1, f"qty of {name}")
    scaled_price = 0
    if price is not None:
        away = -1 if side is Side.BUY else 1
        scaled_price = _snap(
            exact(price, "price"),
            instrument.price_scale,
            instrument.tick_size,
            normalise,
            away,
            f"price of {name}",
        )
        _bounds(instrument, scaled_price, instrument.price_min, instrument.price_max, "price")
    qty_max = min(
        filter(None, (instrument.qty_max, instrument.market_qty_max if is_market else 0)), default=0
    )
    _bounds(instrument, scaled_qty, instrument.qty_min, qty_max, "qty")
    _check_notional(instrument, scaled_qty, scaled_price or reference_price, reduce_only)
    return NewOrder(
        venue=instrument.venue,
        universal=name,
        client_order_id=client_order_id,
        side=side,
        order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
        qty=scaled_qty,
        price=scaled_price,
        time_in_force=time_in_force,
        post_only=post_only,
        reduce_only=reduce_only,
    )


def _snap(value: Decimal, scale: int, step: int, normalise: Normalise, direction: int, what: str) -> int:
    """Return ``value`` scaled and on a multiple of ``step``."""
    if value <= 0:
        raise UsageError(f"{what} must be positive, not {value}")
    if value.adjusted() > 18 - scale:
        raise UsageError(f"{what} {value} is too large")
    exact_units = value.scaleb(scale)
    units = int(exact_units)
    below = units - units % step
    if exact_units == below:
        return below
    above = below + step
    if normalise == "passive":
        snapped = below if direction < 0 else above
        if snapped <= 0:
            raise UsageError(f"{what} {value} is below one step ({Decimal(step).scaleb(-scale)})")
        return snapped
    near = " or ".join(
        format(Decimal(each).scaleb(-scale).normalize(), "f") for each in (below, above) if each
    )
    unit = format(Decimal(step).scaleb(-scale).normalize(), "f")
    raise UsageError(f"{what} {value} is not a multiple of {unit}; nearest: {near}")


def _bounds(instrument: Instrument, value: int, low: int, high: int, what: str) -> None:
    scale = instrument.price_scale if what == "price" else instrument.qty_scale
    if value < low or (high and value > high):
        texts = [format(Decimal(each).scaleb(-scale).normalize(), "f") for each in (value, low, high)]
        raise UsageError(
            f"{what} of {instrument.universal} {texts[0]} must lie between {texts[1]} and {texts[2]}"
        )


def _check_notional(instrument: Instrument, qty: int, price: int, reduce_only: bool) -> None:
    if not price or (reduce_only and instrument.product is Product.PERP):
        return
    notional = instrument.price(price) * instrument.qty(qty)
    low, high = instrument.notional_min, instrument.notional_max
    if notional < low or (high and notional > high):
        limits = f"at least {low.normalize():f}" + (f" and at most {high.normalize():f}" if high else "")
        value = f"{notional.normalize():f} {instrument.quote}"
        raise UsageError(f"value of {instrument.universal} order is {value}; it must be {limits}")
