"""Numbers as OKX writes them: everything is text, absent is ``""``, sizes of swaps are contracts.

Inside the engine a quantity is base units. One contract is ``ctVal * ctMult`` base units
(``Instrument.contract_size``); the conversion is exact in both directions or refused.

Source: OKX v5 API docs, "Get instruments" and "Overview", seen 2026-08.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal

from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import decimal as decimal
from engine.model.decimals import plain as plain
from engine.model.decimals import scaled
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, decimals_of

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


def qty_in(text: str, instrument: Instrument) -> int:
    """Return a wire size (contracts, or base units on spot) as scaled base units; "" is 0.

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


def qty_out(qty: int, instrument: Instrument) -> str:
    """Return scaled base units as the text of a wire size.

    Raises:
        UsageError: the quantity is not a whole number of the smallest contract fraction.
    """
    factor, scale = contract_parts(instrument.contract_size, instrument.qty_scale)
    contracts, rest = divmod(qty, factor)
    if rest:
        raise UsageError(
            f"okx {instrument.universal}: {instrument.qty(qty).normalize():f} {instrument.base} is no exact "
            f"number of contracts of {instrument.contract_size.normalize():f}; use a multiple of the lot size"
        )
    return plain(contracts, scale)


def price_in(text: str, instrument: Instrument) -> int:
    """Return a wire price scaled; "" (market orders) is 0; raises ProtocolViolation."""
    return scaled(text, instrument.price_scale) if text else 0


def number(text: str) -> int:
    """Return the value of an integer in text; raises ProtocolViolation."""
    if _DIGITS.fullmatch(text) is None or int(text) > _INT64_MAX:
        raise ProtocolViolation(f"not an integer: {text[:40]!r}")
    return int(text)


def time_ns(text: str) -> int:
    """Return a wire time (text of UTC milliseconds) in nanoseconds; raises ProtocolViolation."""
    value = number(text)
    if value > _INT64_MAX // MS:
        raise ProtocolViolation(f"not a time in milliseconds: {text[:40]!r}")
    return value * MS


def optional_decimal(text: str) -> Decimal | None:
    """Return a decimal, ``None`` where the venue says nothing (``""``); raises ProtocolViolation."""
    return decimal(text) if text else None


def interval_ns(funding_time: str, next_funding_time: str) -> int | None:
    """Return the running interval: from the next settlement to the one after; raises ProtocolViolation."""
    if not funding_time or not next_funding_time:
        return None
    between = time_ns(next_funding_time) - time_ns(funding_time)
    if between <= 0:
        raise ProtocolViolation(f"settlements at {funding_time} and then {next_funding_time}")
    return between
