"""Exact conversion between Binance's decimal text and scaled integers."""

from __future__ import annotations

from engine.model.errors import ProtocolViolation

_INT64_MAX = 2**63 - 1


def scaled(text: str, scale: int) -> int:
    """Return decimal text as an integer of ``10**-scale`` units.

    Raises:
        ProtocolViolation: not a plain non-negative decimal, or it does not fit the scale exactly.
    """
    whole, dot, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdecimal()) or (
        dot and not (fraction.isascii() and fraction.isdecimal())
    ):
        raise ProtocolViolation(f"not a decimal number: {text[:40]!r}")
    if len(fraction) > scale:
        if fraction[scale:].strip("0"):
            raise ProtocolViolation(f"{text[:40]} has more than {scale} decimals")
        fraction = fraction[:scale]
    value = int(whole + fraction.ljust(scale, "0")) if len(text) < 64 else _INT64_MAX + 1
    if value > _INT64_MAX:
        raise ProtocolViolation(f"{text[:40]} does not fit 64 bits at {scale} decimals")
    return value


def plain(value: int, scale: int) -> str:
    """Return a scaled integer as the shortest exact decimal text, without an exponent.

    ``value`` must not be negative.
    """
    assert value >= 0
    if scale == 0:
        return str(value)
    digits = str(value).rjust(scale + 1, "0")
    fraction = digits[-scale:].rstrip("0")
    return f"{digits[:-scale]}.{fraction}" if fraction else digits[:-scale]
