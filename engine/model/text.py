"""Decimal text to scaled integers and back: the order path does this several times an order.

Both functions exist twice: compiled, and here as their readable twins, which serve where nothing could be
compiled. ``scale_text`` only knows the usual texts; who must say what is wrong with others has slower code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

TEXT_MAX = 60
DIGITS_MAX = 18
"""Significant digits that always fit an int64."""


def pure_scale_text(text: str, scale: int) -> int:
    """Return plain decimal text ("1", "0.50") as an int of ``10**-scale`` units; -1 for anything unusual.

    Unusual: a sign, an exponent, white space, a bare point, decimals beyond the scale that are not zero, more
    than 18 significant digits or 60 characters.
    """
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    if not whole or (point and not fraction) or not (digits.isascii() and digits.isdigit()):
        return -1
    if len(text) > TEXT_MAX:
        return -1
    if not 0 <= scale <= DIGITS_MAX or fraction[scale:].strip("0"):
        return -1
    value = int(whole + fraction[:scale].ljust(scale, "0"))
    return value if len(str(value)) <= DIGITS_MAX else -1


class PureScaler:
    """:func:`scale_text`, with somebody to ask about the rest: ``unusual(text, scale)`` raises or returns."""

    def __init__(self, unusual: Callable[[str, int], int]) -> None:
        self._unusual = unusual

    def scale(self, text: str, scale: int) -> int:
        """Return ``text`` as an int of ``10**-scale`` units."""
        value = pure_scale_text(text, scale)
        return value if value >= 0 else self._unusual(text, scale)


def pure_plain(value: int, scale: int) -> str:
    """Return a non-negative scaled integer as the shortest exact decimal text.

    Raises:
        ValueError: a negative value or an impossible scale.
    """
    if value < 0 or not 0 <= scale <= 27:
        raise ValueError(f"no plain text for {value} at scale {scale}")
    if scale == 0:
        return str(value)
    digits = str(value).rjust(scale + 1, "0")
    fraction = digits[-scale:].rstrip("0")
    return f"{digits[:-scale]}.{fraction}" if fraction else digits[:-scale]


if TYPE_CHECKING:
    Scaler, scale_text, plain = PureScaler, pure_scale_text, pure_plain
else:
    try:
        from engine.model._text import Scaler, plain, scale_text
    except ImportError:
        Scaler, scale_text, plain = PureScaler, pure_scale_text, pure_plain
