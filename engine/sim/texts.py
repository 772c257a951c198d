"""Numbers as text: ticks and lots of one market in the widths its messages use, remembered once made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal

compact_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""A value as JSON without spaces; ``json.dumps`` with these options would make an encoder for every call."""

_REMEMBERED = 8_192
"""Texts kept per market and kind before starting over; books touch far fewer prices at a time."""


class Scale:
    """Turns whole steps (ticks or lots) into fixed-width decimal text.

    Args:
        step: one step as a decimal (tick size in quote units, lot size in base units).
        places: decimals of the text; the step must fit in them.

    Raises:
        ValueError: the step has more decimals than the text.
    """

    __slots__ = ("_kept", "_one", "_places", "_unit", "step")

    def __init__(self, step: Decimal, places: int) -> None:
        self.step = step
        self._places = places
        self._one = 10**places
        unit = step * self._one
        if unit != unit.to_integral_value():
            raise ValueError(f"a step of {step} needs more than {places} decimals; raise the text width")
        self._unit = int(unit)
        self._kept: dict[int, str] = {}

    def text(self, steps: int) -> str:
        """Return ``steps`` whole steps as text, e.g. ``61737.63000000``; never negative."""
        text = self._kept.get(steps)
        if text is None:
            if len(self._kept) >= _REMEMBERED:
                self._kept.clear()
            whole, fraction = divmod(steps * self._unit, self._one)
            text = f"{whole}.{fraction:0{self._places}d}" if self._places else str(whole)
            self._kept[steps] = text
        return text

    def value(self, steps: int) -> Decimal:
        """Return ``steps`` whole steps as an exact decimal."""
        return self.step * steps

    def steps(self, value: Decimal) -> int:
        """Return how many whole steps ``value`` is; the rest below one step is cut."""
        return int((value / self.step).to_integral_value(ROUND_DOWN))


def level_texts(price: Scale, qty: Scale, levels: Iterable[tuple[int, int]]) -> str:
    """Return the inside of a JSON array of ``["price","quantity"]`` pairs."""
    price_text, qty_text = price.text, qty.text
    return ",".join([f'["{price_text(ticks)}","{qty_text(lots)}"]' for ticks, lots in levels])
