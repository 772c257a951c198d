"""Numbers as BitMart writes them: text or JSON integers by message, contracts on futures, ms, s or ISO times.

Inside the engine a quantity is base units. One contract is ``contract_size`` base units; the conversion is
exact in both directions or refused. Identifiers are integers beyond 2**53 in some answers and text in others:
both are read to text, none through a float.

Source: BitMart API docs, spot and futures v2, seen 2026-11; recorded futures frames of 2025 and 2026.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from decimal import Decimal

from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import Millis as Millis
from engine.model.decimals import decimal as decimal
from engine.model.decimals import plain as plain
from engine.model.decimals import scaled
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, decimals_of

_INT64_MAX = 2**63 - 1
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
_ID = re.compile(r"[0-9]{1,24}", re.ASCII)
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|\+00:00)", re.ASCII
)


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
        raise ProtocolViolation(f"a size of {text[:40]} of {instrument.symbol} does not fit 64 bits")
    return value


def qty_out(qty: int, instrument: Instrument) -> str:
    """Return scaled base units as the text of a wire size: whole contracts on futures.

    Raises:
        UsageError: the quantity is not a whole number of contracts (futures).
    """
    factor, scale = contract_parts(instrument.contract_size, instrument.qty_scale)
    contracts, rest = divmod(qty, factor)
    text = plain(contracts, scale)
    if rest or (instrument.settle is not None and "." in text):
        raise UsageError(
            f"bitmart {instrument.universal}: {instrument.qty(qty).normalize():f} {instrument.base} is no "
            f"exact number of contracts of {instrument.contract_size.normalize():f}; use multiples of the lot"
        )
    return text


def price_in(text: str, instrument: Instrument) -> int:
    """Return a wire price scaled; "" (market orders) is 0; raises ProtocolViolation."""
    return scaled(text, instrument.price_scale) if text else 0


def number(value: int | str) -> int:
    """Return an integer that is bare in one message and quoted in another; raises ProtocolViolation."""
    if isinstance(value, str):
        if _DIGITS.fullmatch(value) is None:
            raise ProtocolViolation(f"not an integer: {value[:40]!r}")
        value = int(value)
    if not 0 <= value <= _INT64_MAX:
        raise ProtocolViolation(f"an integer out of range: {str(value)[:40]}")
    return value


def identifier(value: int | str) -> str:
    """Return an order's or a trade's id as text; raises ProtocolViolation."""
    text = str(value)
    if _ID.fullmatch(text) is None:
        raise ProtocolViolation(f"{text[:40]!r} is no id")
    return text


def time_ns(value: int | str) -> int:
    """Return a wire time (UTC milliseconds, bare or quoted) in nanoseconds; raises ProtocolViolation."""
    stamp = number(value)
    if stamp > _INT64_MAX // MS:
        raise ProtocolViolation(f"not a time in milliseconds: {stamp}")
    return stamp * MS


def optional_time_ns(value: int | str | None) -> int | None:
    """Return :func:`time_ns`, ``None`` where the venue says nothing (null, "" or 0)."""
    return None if value in (None, "", 0, "0") else time_ns(value or 0)


def iso_ns(text: str) -> int:
    """Return ``2025-03-10T18:17:14.656686827Z`` in nanoseconds; raises ProtocolViolation."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise ProtocolViolation(f"not a time: {text[:40]!r}")
    try:
        second = int(datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ProtocolViolation(f"not a time: {text[:40]!r}") from None
    stamp = second * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))
    if not 0 <= stamp <= _INT64_MAX:
        raise ProtocolViolation(f"a time out of range: {text[:40]!r}")
    return stamp


def optional_decimal(text: str | None) -> Decimal | None:
    """Return a decimal, ``None`` where the venue says nothing (null, "" or "-"); raises ProtocolViolation."""
    return decimal(text) if text and text != "-" else None
