"""Reading request parameters as the venue does: exact names, texts or numbers, everything else ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

Item = Mapping[str, Any]
"""A request's parameters: a decoded body or query."""
CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_DIGITS_MOST = 40


def given(item: Item, name: str) -> Any:
    """Return a parameter, None where it is absent, empty or null."""
    value = item.get(name)
    return None if value in ("", None) else value


def decimal(item: Item, name: str) -> Decimal | None:
    """Return a positive decimal; None where it is missing, malformed or not positive."""
    value = given(item, name)
    if value is None or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount <= 0 or len(amount.as_tuple().digits) > _DIGITS_MOST:
        return None
    return amount


def whole(item: Item, name: str) -> int | None:
    """Return a whole number sent as number or text; None where it is missing or malformed."""
    text = str(given(item, name) if not isinstance(item.get(name), bool) else "")
    return int(text) if re.fullmatch(r"\d{1,19}", text) else None


def count(item: Item, name: str, default: int, most: int) -> int:
    """Return a number of rows, at most ``most``; anything else means the default."""
    wanted = whole(item, name)
    return min(wanted, most) if wanted else default
