"""Order filters of both products: the rows of ``exchangeInfo`` and the checks behind them.

Everything is exact: prices and quantities are `decimal.Decimal`, in quote and base units.

Source: Binance spot API docs, filters; USDⓈ-M docs, common definitions, and exchangeInfo bodies captured
in 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from engine.sim.binance import errors
from engine.sim.binance.errors import ApiError

SPOT_ASSET_DECIMALS = 8
MARKET_MAX_DIVISOR = 8
"""A market order may be at most this fraction of the limit order's largest quantity."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class MarketRules:
    """The numbers of one market that filters are made of (quantities in base, prices in quote units)."""

    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    max_num_orders: int
    price_decimals: int
    qty_decimals: int
    initial_price: Decimal

    @property
    def market_max_qty(self) -> Decimal:
        """Return the largest market order, a whole number of lots."""
        lots = (self.max_qty / MARKET_MAX_DIVISOR / self.lot_size).to_integral_value(ROUND_DOWN)
        return max(self.min_qty, lots * self.lot_size)


def decimals(value: Decimal) -> int:
    """Return the number of decimals a value really has (``1.500`` has one)."""
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def fixed(value: Decimal, places: int) -> str:
    """Return plain text with exactly ``places`` decimals, cutting what is finer."""
    return f"{value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN):f}"


def plain(value: Decimal) -> str:
    """Return plain text without trailing zeros and without an exponent (``0.1``, ``50``, ``0``)."""
    if value == 0:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# -- spot ------------------------------------------------------------------------------------------

SPOT_BID_UP, SPOT_BID_DOWN = Decimal("1.2"), Decimal("0.5")
SPOT_ASK_UP, SPOT_ASK_DOWN = Decimal("2"), Decimal("0.8")
SPOT_MAX_PRICE = Decimal(1_000_000)
SPOT_MAX_NOTIONAL = Decimal(9_000_000)
SPOT_MAX_AMENDS = 10


def spot_filter_rows(rules: MarketRules) -> list[dict[str, Any]]:
    """Return the ``filters`` array of a spot symbol."""

    def text(value: Decimal) -> str:
        return fixed(value, SPOT_ASSET_DECIMALS)

    return [
        {"filterType": "PRICE_FILTER", "minPrice": text(rules.tick_size), "maxPrice": text(SPOT_MAX_PRICE),
         "tickSize": text(rules.tick_size)},
        {"filterType": "LOT_SIZE", "minQty": text(rules.min_qty), "maxQty": text(rules.max_qty),
         "stepSize": text(rules.lot_size)},
        {"filterType": "ICEBERG_PARTS", "limit": 100},
        {"filterType": "MARKET_LOT_SIZE", "minQty": text(ZERO), "maxQty": text(rules.market_max_qty),
         "stepSize": text(ZERO)},
        {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 10, "maxTrailingAboveDelta": 2000,
         "minTrailingBelowDelta": 10, "maxTrailingBelowDelta": 2000},
        {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": plain(SPOT_BID_UP),
         "bidMultiplierDown": plain(SPOT_BID_DOWN), "askMultiplierUp": plain(SPOT_ASK_UP),
         "askMultiplierDown": plain(SPOT_ASK_DOWN), "avgPriceMins": 5},
        {"filterType": "NOTIONAL", "minNotional": text(rules.min_notional), "applyMinToMarket": True,
         "maxNotional": text(SPOT_MAX_NOTIONAL), "applyMaxToMarket": False, "avgPriceMins": 5},
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_num_orders},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": SPOT_MAX_AMENDS},
    ]  # fmt: skip


def check_spot_price(rules: MarketRules, side: str, price: Decimal, average: Decimal) -> None:
    """Judge a spot limit price: precision, PRICE_FILTER, PERCENT_PRICE_BY_SIDE around ``average``."""
    if decimals(price) > SPOT_ASSET_DECIMALS:
        raise errors.too_precise("price")
    if price < rules.tick_size or price > SPOT_MAX_PRICE or price % rules.tick_size:
        raise errors.filter_failure("PRICE_FILTER")
    up, down = (SPOT_BID_UP, SPOT_BID_DOWN) if side == "BUY" else (SPOT_ASK_UP, SPOT_ASK_DOWN)
    if average and not average * down <= price <= average * up:
        raise errors.filter_failure("PERCENT_PRICE_BY_SIDE")


def check_spot_quantity(rules: MarketRules, quantity: Decimal, is_market: bool) -> None:
    """Judge a spot quantity: precision, LOT_SIZE, and MARKET_LOT_SIZE for market orders."""
    if decimals(quantity) > SPOT_ASSET_DECIMALS:
        raise errors.too_precise("quantity")
    if quantity < rules.min_qty or quantity > rules.max_qty or quantity % rules.lot_size:
        raise errors.filter_failure("LOT_SIZE")
    if is_market and quantity > rules.market_max_qty:
        raise errors.filter_failure("MARKET_LOT_SIZE")


def check_spot_notional(rules: MarketRules, notional: Decimal, is_market: bool) -> None:
    """Judge price × quantity (market orders: the average price, or the quote quantity itself)."""
    if notional < rules.min_notional or (not is_market and notional > SPOT_MAX_NOTIONAL):
        raise errors.filter_failure("NOTIONAL")


# -- USDⓈ-M ----------------------------------------------------------------------------------------

PERP_BAND = Decimal("0.05")
PERP_MAX_PRICE_FACTOR = Decimal(60)
MAX_PERP_AMENDS = 10_000


def perp_max_price(rules: MarketRules) -> Decimal:
    """Return the largest price of a contract, a whole number of quote units."""
    return max(Decimal(1), (rules.initial_price * PERP_MAX_PRICE_FACTOR).to_integral_value(ROUND_DOWN))


def perp_filter_rows(rules: MarketRules) -> list[dict[str, Any]]:
    """Return the ``filters`` array of a contract (key order differs between filters, as on the venue)."""
    step = fixed(rules.lot_size, rules.qty_decimals)
    minimum = fixed(rules.min_qty, rules.qty_decimals)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": fixed(rules.tick_size, rules.price_decimals),
         "maxPrice": plain(perp_max_price(rules)), "tickSize": fixed(rules.tick_size, rules.price_decimals)},
        {"filterType": "LOT_SIZE", "minQty": minimum, "stepSize": step, "maxQty": plain(rules.max_qty)},
        {"stepSize": step, "filterType": "MARKET_LOT_SIZE", "minQty": minimum,
         "maxQty": plain(rules.market_max_qty)},
        {"limit": rules.max_num_orders, "filterType": "MAX_NUM_ORDERS"},
        {"filterType": "MIN_NOTIONAL", "notional": plain(rules.min_notional)},
        {"multiplierUp": fixed(1 + PERP_BAND, 4), "multiplierDecimal": "4", "filterType": "PERCENT_PRICE",
         "multiplierDown": fixed(1 - PERP_BAND, 4)},
        {"positionControlSide": "NONE", "filterType": "POSITION_RISK_CONTROL"},
    ]  # fmt: skip


def check_perp_price(rules: MarketRules, side: str, price: Decimal, mark: Decimal) -> None:
    """Judge a contract's limit price: range, precision, tick, and the band around the mark price."""
    if price <= 0:
        raise ApiError(-4001, "Price less than 0.")
    if price > perp_max_price(rules):
        raise ApiError(-4002, "Price greater than max price.")
    if decimals(price) > rules.price_decimals:
        raise errors.too_precise_perp()
    if price < rules.tick_size:
        raise ApiError(-4013, f"Price less than min price {plain(rules.tick_size)}.")
    if price % rules.tick_size:
        raise ApiError(-4014, "Price not increased by tick size.")
    if side == "BUY" and mark and price > mark * (1 + PERP_BAND):
        raise ApiError(-4016, "Price is higher than mark price multiplier cap.")
    if side == "SELL" and mark and price < mark * (1 - PERP_BAND):
        raise ApiError(-4024, "Price is lower than mark price multiplier floor.")


def check_perp_quantity(rules: MarketRules, quantity: Decimal, is_market: bool) -> None:
    """Judge a contract quantity: sign, precision, range, step."""
    if quantity <= 0:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    if decimals(quantity) > rules.qty_decimals:
        raise errors.too_precise_perp()
    if quantity < rules.min_qty:
        raise ApiError(-4004, "Quantity less than min quantity.")
    if quantity > (rules.market_max_qty if is_market else rules.max_qty):
        raise ApiError(-4005, "Quantity greater than max quantity.")
    if quantity % rules.lot_size:
        raise ApiError(-4023, "Qty not increased by step size.")


def check_perp_notional(rules: MarketRules, notional: Decimal) -> None:
    """Judge price × quantity (market orders: mark × quantity); reduce-only orders are never asked."""
    if notional < rules.min_notional:
        least = plain(rules.min_notional)
        raise ApiError(
            -4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only)."
        )


def rows_by_type(rows: list[dict[str, Any]]) -> Mapping[str, dict[str, Any]]:
    """Index filter rows by ``filterType``."""
    return {row["filterType"]: row for row in rows}
