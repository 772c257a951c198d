"""Numbers as Bybit writes them: values are text, envelope times and ids are JSON numbers, absent is ``""``.

Quantities are base units on both products (linear contracts are counted in coins), so nothing is converted
but the scale.

Source: Bybit v5 API docs, "Get Instruments Info", "Orderbook", "Order", seen 2026-07.
"""

from __future__ import annotations

from decimal import Decimal

from engine.model.amounts import millis_ns
from engine.model.amounts import price_in as price_in
from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import Millis as Millis
from engine.model.decimals import decimal as decimal
from engine.model.decimals import plain as plain
from engine.model.decimals import scaled
from engine.model.instrument import Instrument

time_ns = millis_ns
"""A wire time, text of UTC milliseconds, in nanoseconds."""


def qty_in(text: str, instrument: Instrument) -> int:
    """Return a wire size as scaled base units; "" is 0.

    Raises:
        ProtocolViolation: not a plain decimal, or it does not fit the instrument's scale exactly.
    """
    return scaled(text, instrument.qty_scale) if text else 0


def qty_out(qty: int, instrument: Instrument) -> str:
    """Return scaled base units as the text of a wire size."""
    return plain(qty, instrument.qty_scale)


def price_out(price: int, instrument: Instrument) -> str:
    """Return a scaled price as the text of a wire price."""
    return plain(price, instrument.price_scale)


def optional_decimal(text: str | None) -> Decimal | None:
    """Return a decimal, ``None`` where the venue says nothing; raises ProtocolViolation."""
    return decimal(text) if text else None
