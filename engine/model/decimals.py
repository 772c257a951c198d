"""Exact conversion between a venue's decimal text, scaled integers and Decimals; bounds of wire integers.

Nothing here is lenient: a text that is not a plain decimal, or a value that does not fit, is a
:class:`ProtocolViolation`. No venue here writes exponents or a leading plus.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from typing import Annotated

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.text import Scaler
from engine.model.text import plain as plain

_INT64_MAX = 2**63 - 1
_POWERS: tuple[int, ...] = tuple(10**power for power in range(40))
_DECIMAL = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII)
_ZEROS = re.compile(r"0*", re.ASCII)

MS = 1_000_000
"""Nanoseconds in a millisecond: every wire time is UTC milliseconds."""

Millis = Annotated[int, msgspec.Meta(ge=0, le=_INT64_MAX // MS)]
"""A wire time whose nanoseconds fit an int64."""

Id = Annotated[int, msgspec.Meta(ge=0, le=_INT64_MAX)]
"""A venue id or sequence number."""

DECODE_ERRORS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
"""Everything a msgspec decoder raises for bytes it cannot use (nesting and bad UTF-8 included)."""


def _unusual(text: str, scale: int) -> int:
    """Return decimal text as an integer of ``10**-scale`` units.

    Raises:
        ProtocolViolation: not a plain non-negative decimal, or it does not fit the scale or 64 bits.
    """
    whole, dot, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdecimal() and digits.isascii()) or not whole or (dot and not fraction):
        raise ProtocolViolation(f"not a decimal number: {text[:40]!r}")
    if len(digits) > 60:
        raise ProtocolViolation(f"{text[:40]}... has too many digits")
    missing = scale - len(fraction)
    if missing >= 0:
        value = int(digits) * _POWERS[missing]
    else:
        if not _ZEROS.fullmatch(fraction, scale):
            raise ProtocolViolation(f"{text[:40]} has more than {scale} decimals")
        value = int(digits[:missing])
    if value > _INT64_MAX:
        raise ProtocolViolation(f"{text[:40]} does not fit 64 bits at {scale} decimals")
    return value


scaled = Scaler(_unusual).scale
"""``scaled(text, scale)``: decimal text as an integer of ``10**-scale`` units, or ProtocolViolation."""


@functools.lru_cache(maxsize=1024)
def decimal(text: str) -> Decimal:
    """Return signed decimal text as an exact Decimal; raises ProtocolViolation.

    Remembered, because most of what is read this way is one of a few zeros.
    """
    if _DECIMAL.fullmatch(text) is None:
        raise ProtocolViolation(f"not a decimal number: {text[:40]!r}")
    return Decimal(text)
