"""What an order request must look like: fields, steps, limits, price band, each with Bybit's code.

Source: Bybit v5 docs, "Place Order", "Get Instruments Info", "Error Codes", seen 2026-07.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from engine.sim.bybit.errors import BybitError, wrong
from engine.sim.bybit.instruments import (
    LIMIT_RATIO,
    MAX_ORDER_AMOUNT,
    MAX_PRICE_TICKS,
    Instrument,
    number_text,
)

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PostOnly")
SMP = {
    "None": "NONE", "CancelMaker": "EXPIRE_MAKER", "CancelTaker": "EXPIRE_TAKER", "CancelBoth": "EXPIRE_BOTH",
}  # fmt: skip
NOT_OFFERED = (
    "triggerPrice", "triggerBy", "takeProfit", "stopLoss", "tpslMode", "slippageToleranceType",
    "slippageTolerance", "orderIv", "mmp", "bboSideType",
)  # fmt: skip
"""Conditional and other orders that this exchange does not have: refused, never silently dropped."""
_NAMES = {"category", "symbol", "orderId", "orderLinkId", "orderFilter"}
KNOWN = {
    "create": _NAMES - {"orderId"} | {
        "side", "orderType", "qty", "price", "timeInForce", "positionIdx", "reduceOnly", "closeOnTrigger",
        "marketUnit", "isLeverage", "smpType", *NOT_OFFERED,
    },
    "amend": _NAMES - {"orderFilter"} | {"qty", "price", *NOT_OFFERED},
    "cancel": _NAMES,
}  # fmt: skip
"""The documented fields of each request."""
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")

Item = Mapping[str, Any]


def given(item: Item, name: str) -> Any:
    """Return a parameter, None where it is absent, empty or null."""
    value = item.get(name)
    return None if value in ("", None) else value


def number(item: Item, name: str, least: int = 1) -> Decimal:
    """Return a decimal that must be there as text and, unless ``least`` is 0, positive; raises BybitError."""
    value = given(item, name)
    if not isinstance(value, str) or _DECIMAL.fullmatch(value) is None:
        raise wrong(f"params error: {name.capitalize()} invalid")
    amount = Decimal(value)
    if least and not amount:
        raise wrong(f"params error: {name.capitalize()} invalid")
    return amount


def flag(item: Item, name: str) -> bool:
    """Return a JSON boolean, False where it is absent; raises BybitError."""
    value = item.get(name)
    if value not in (None, False, True) or isinstance(value, int) != isinstance(value, bool):
        raise wrong(f"params error: {name} invalid")
    return bool(value)


def choice(item: Item, name: str, known: Mapping[str, str] | tuple[str, ...], default: str = "") -> str:
    """Return one of the known words; raises BybitError."""
    value = given(item, name) or default
    if not isinstance(value, str) or value not in known:
        raise wrong(f"params error: {name[0].upper()}{name[1:]} invalid")
    return value


def check_known(action: str, item: Item) -> None:
    """Refuse fields that nothing reads and the venue would only ignore; raises BybitError."""
    unknown = set(item) - KNOWN[action]
    if unknown:
        raise wrong(f"params error: unknown field {sorted(unknown)[0]}")


def check_fields(item: Item, one: Instrument) -> None:
    """Refuse what this exchange does not offer, and the wrong position mode; raises BybitError."""
    for name in NOT_OFFERED:
        if given(item, name) is not None:
            raise wrong(f"params error: {name} is not supported")
    if given(item, "orderFilter") not in (None, "Order"):
        raise wrong("params error: orderFilter invalid")
    if str(given(item, "isLeverage") or 0) not in ("0", "1"):
        raise wrong("params error: isLeverage invalid")
    if one.is_linear and str(given(item, "positionIdx") or 0) != "0":
        raise wrong("position idx not match position mode")


def band(one: Instrument) -> tuple[Decimal, Decimal]:
    """Return the highest price of a buy and the lowest of a sell."""
    market = one.market
    middle = market.mark_price if one.is_linear else market.price(market.last_price_ticks)
    tick = market.spec.tick_size
    high, low = middle * (1 + LIMIT_RATIO), middle * (1 - LIMIT_RATIO)
    return high - high % tick, low - low % tick


def price_ticks(item: Item, one: Instrument, side: str) -> int:
    """Return a limit price in ticks; raises BybitError."""
    price, tick = number(item, "price"), one.market.spec.tick_size
    high, low = band(one)
    if one.is_linear:
        if price % tick or price > tick * MAX_PRICE_TICKS:
            raise BybitError(110003, "price is invalid")
        if price > high if side == "BUY" else price < low:
            raise BybitError(110003, "Order price exceeds the allowable range.")
        return int(price / tick)
    if price % tick:
        raise BybitError(170134, "Order price decimal too long.")
    if price > tick * MAX_PRICE_TICKS:
        raise BybitError(170132, "Order price too high.")
    if side == "BUY" and price > high:
        raise BybitError(170193, f"Buy order price cannot be higher than {number_text(high)}.")
    if side == "SELL" and price < low:
        raise BybitError(170194, f"Sell order price cannot be lower than {number_text(low)}.")
    return int(price / tick)


def lots(item: Item, one: Instrument, price: int, is_market: bool, is_reducing: bool) -> int:
    """Return a quantity in lots; ``price`` is in ticks, 0 for a market order; raises BybitError."""
    qty, spec = number(item, "qty"), one.market.spec
    most = spec.max_qty / 2 if is_market else spec.max_qty
    value = qty * one.market.price(price or one.market.last_price_ticks)
    if one.is_linear:
        if qty % spec.lot_size:
            raise wrong("Qty invalid")
        if qty < spec.min_qty:
            raise wrong("The number of contracts exceeds minimum limit allowed: too small")
        if qty > most:
            raise wrong("The number of contracts exceeds maximum limit allowed: too large")
        if value < spec.min_notional and not is_reducing:
            least = f"{number_text(spec.min_notional)}{spec.settle}"
            raise BybitError(110094, f"Order does not meet minimum order value {least}")
        return int(qty / spec.lot_size)
    if qty % spec.lot_size:
        raise BybitError(170137, "Order quantity has too many decimals.")
    if qty < spec.min_qty:
        raise BybitError(170136, "Order quantity exceeded lower limit.")
    if qty > most or value > MAX_ORDER_AMOUNT:
        raise BybitError(170124, "Order amount too large.")
    if value < spec.min_notional:
        raise BybitError(170140, "Order value exceeded lower limit.")
    return int(qty / spec.lot_size)


def amount(item: Item, one: Instrument) -> Decimal:
    """Return the quote amount of a spot market buy; raises BybitError."""
    value, spec = number(item, "qty"), one.market.spec
    if value % (spec.lot_size * spec.tick_size):
        raise BybitError(170148, "Market order amount decimal too long.")
    if value < spec.min_notional:
        raise BybitError(170140, "Order value exceeded lower limit.")
    if value > MAX_ORDER_AMOUNT:
        raise BybitError(170124, "Order amount too large.")
    return value
