"""Prices, sizes and times as venues write them, to scaled integers and back: exact in both directions.

Inside the engine a quantity is base units. On the wire it may be contracts (lots) of
``Instrument.contract_size`` base units each: 1 where the venue counts base units.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal

from engine.model.decimals import MS, scaled
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, decimals_of
from engine.model.text import plain

_INT64_MAX = 2**63 - 1
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)


@functools.lru_cache(maxsize=4096)
def contract_parts(contract_size: Decimal, qty_scale: int) -> tuple[int, int]:
    """Return ``(factor, scale)``: contracts at ``scale`` decimals, times factor, are scaled base units.

    Raises:
        UsageError: the quantity scale is too coarse for the contract: the instrument was built wrongly.
    """
    places = decimals_of(contract_size)
    scale = qty_scale - places
    if contract_size <= 0 or scale < 0:
        raise UsageError(f"a contract of {contract_size} does not fit a scale of {qty_scale} decimals")
    return int(contract_size.scaleb(places)), scale


def contracts_in(text: str, instrument: Instrument) -> int:
    """Return a wire size in contracts as scaled base units; "" is 0.

    Raises:
        ProtocolViolation: not a plain decimal, or it does not fit the instrument's scale exactly.
    """
    if not text:
        return 0
    factor, scale = contract_parts(instrument.contract_size, instrument.qty_scale)
    value = scaled(text, scale) * factor
    if value > _INT64_MAX:
        raise ProtocolViolation(f"{text[:40]} contracts of {instrument.symbol} do not fit 64 bits")
    return value


def contracts_out(qty: int, instrument: Instrument) -> str:
    """Return scaled base units as the text of a wire size in contracts, which may be fractions of one.

    Raises:
        UsageError: the quantity is not a whole number of the smallest contract fraction.
    """
    factor, scale = contract_parts(instrument.contract_size, instrument.qty_scale)
    contracts, rest = divmod(qty, factor)
    if rest:
        raise _inexact(qty, instrument)
    return plain(contracts, scale)


def whole_contracts_out(qty: int, instrument: Instrument) -> str:
    """Return :func:`contracts_out` where perpetuals are traded in whole contracts only; raises as it does."""
    text = contracts_out(qty, instrument)
    if instrument.settle is not None and "." in text:
        raise _inexact(qty, instrument)
    return text


def _inexact(qty: int, instrument: Instrument) -> UsageError:
    size, contract = instrument.qty(qty).normalize(), instrument.contract_size.normalize()
    return UsageError(
        f"{instrument.venue} {instrument.universal}: {size:f} {instrument.base} is no exact number of "
        f"contracts of {contract:f}; use a multiple of the lot size"
    )


def price_in(text: str, instrument: Instrument) -> int:
    """Return a wire price scaled; "" (market orders) is 0; raises ProtocolViolation."""
    return scaled(text, instrument.price_scale) if text else 0


def number(value: int | str) -> int:
    """Return an integer that may be bare in one message and quoted in another; raises ProtocolViolation."""
    if isinstance(value, str):
        if _DIGITS.fullmatch(value) is None:
            raise ProtocolViolation(f"not an integer: {value[:40]!r}")
        value = int(value)
    if not 0 <= value <= _INT64_MAX:
        raise ProtocolViolation(f"an integer out of range: {str(value)[:40]}")
    return value


def millis_ns(value: int | str) -> int:
    """Return a time in UTC milliseconds, bare or quoted, in nanoseconds; raises ProtocolViolation."""
    stamp = number(value)
    if stamp > _INT64_MAX // MS:
        raise ProtocolViolation(f"not a time in milliseconds: {stamp}")
    return stamp * MS
