"""One GET request as Bybit reads it: parameters, instruments, pages.

Source: Bybit v5 docs, "Integration Guidance" and the list endpoints, seen 2026-07.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from engine.sim.accounts import Account
from engine.sim.bybit.errors import wrong
from engine.sim.bybit.instruments import CATEGORIES, EMPTY_CATEGORIES, Instrument, Listing

_NUMBER = re.compile("[0-9]{1,16}")

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Query:
    """One GET: its parameters, decoded, and the account of a signed one."""

    params: Mapping[str, str]
    account: Account | None = None

    def text(self, name: str) -> str:
        """Return a parameter, empty where it is absent."""
        return self.params.get(name, "")

    def count(self, name: str, default: int, most: int) -> int:
        """Return a number of rows, at most ``most``; raises BybitError."""
        raw = self.text(name)
        if not raw:
            return default
        if _NUMBER.fullmatch(raw) is None or int(raw) < 1:
            raise wrong(f"params error: {name} invalid")
        return min(int(raw), most)

    def moment(self, name: str) -> int | None:
        """Return a time in milliseconds, None where it is absent; raises BybitError."""
        raw = self.text(name)
        if not raw:
            return None
        if _NUMBER.fullmatch(raw) is None:
            raise wrong(f"params error: {name} invalid")
        return int(raw)

    @property
    def category(self) -> str:
        """Return the category; raises BybitError."""
        category = self.text("category")
        if category not in CATEGORIES + EMPTY_CATEGORIES:
            raise wrong("Illegal category")
        return category

    def one(self, listing: Listing) -> Instrument:
        """Return the instrument asked about; raises BybitError."""
        return listing.one(self.category, self.text("symbol"))

    def some(self, listing: Listing) -> list[Instrument]:
        """Return the one instrument that is named, or all of the category; raises BybitError."""
        return [self.one(listing)] if self.text("symbol") else listing.of(self.category)

    @property
    def owner(self) -> Account:
        """Return the account of a signed request."""
        assert self.account is not None
        return self.account


def paged(rows: Rows, query: Query, default: int, most: int, identity: str) -> dict[str, Any]:
    """Return one page of rows and the cursor of the next, ``""`` at the end; raises BybitError.

    A cursor names the row it follows, so rows that appear at the front meanwhile do not shift the pages.
    Clients send it as they got it or encoded once more.
    """
    limit = query.count("limit", default, most)
    start, cursor = 0, unquote(unquote(query.text("cursor")))
    if cursor:
        place, _, last = cursor.partition(":")
        if not place.isdecimal() or len(place) > 9 or not last:
            raise wrong("params error: cursor invalid")
        start = int(place)
        if start >= len(rows) or str(rows[start][identity]) != last:
            named = (number for number, row in enumerate(rows) if str(row[identity]) == last)
            start = next(named, start)
        start += 1
    page = rows[start : start + limit]
    is_last = not page or start + limit >= len(rows)
    after = "" if is_last else quote(f"{start + limit - 1}:{page[-1][identity]}", safe="")
    return {"list": page, "nextPageCursor": after}
