"""REST calls: what was asked, by whom, and the table entry of an endpoint.

Source: OKX v5 docs, "Overview / REST", seen 2026-08.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.sim.accounts import Account
from engine.sim.okx.errors import OkxError, empty_parameter, wrong_parameter
from engine.sim.okx.instruments import Instrument, Listing
from engine.sim.okx.limits import Limit

LARGEST_PAGE = 100
TWENTY = Limit(20)
INST_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")


@dataclass(slots=True)
class Call:
    """One admitted request.

    Attributes:
        query: parameters of the address; absent and empty ones are alike.
        body: what a POST carries, decoded. account: whose request it is, None where it is not signed.
    """

    query: Mapping[str, str]
    body: Any = None
    account: Account | None = None

    @property
    def owner(self) -> Account:
        """Return the account of a signed request."""
        assert self.account is not None
        return self.account

    @property
    def members(self) -> Mapping[str, Any]:
        """Return the body of a POST that takes one object; raises OkxError 50002."""
        if not isinstance(self.body, dict):
            raise OkxError("50002", "JSON syntax error")
        return self.body

    def text(self, name: str) -> str:
        """Return a parameter, "" when absent."""
        return self.query.get(name, "")

    def must(self, name: str) -> str:
        """Return a parameter that must be there; raises OkxError 50014."""
        if not self.text(name):
            raise empty_parameter(name)
        return self.text(name)

    def number(self, name: str) -> int | None:
        """Return a whole number, None when absent; raises OkxError 51000 when it is none."""
        value = self.text(name)
        if not value:
            return None
        if not (value.isascii() and value.isdecimal()):
            raise wrong_parameter(name)
        return int(value)

    def count(self, name: str, default: int = LARGEST_PAGE, most: int = LARGEST_PAGE) -> int:
        """Return a number of rows; raises OkxError 51000 outside 1 to ``most``."""
        value = self.number(name)
        if value is None:
            return default
        if not 1 <= value <= most:
            raise wrong_parameter(name)
        return value


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        limit: how often it may be asked, per address, or per account where it is signed.
        is_order: an order request: has limits of its own, and its answer two levels of codes.
    """

    run: Callable[[Call], Any]
    limit: Limit = TWENTY
    is_signed: bool = False
    is_order: bool = False


def one_instrument(listing: Listing, call: Call) -> Instrument:
    """Return the instrument that ``instId`` names; raises OkxError."""
    return listing.named(call.must("instId"))


def some_instruments(listing: Listing, call: Call, must_type: bool = False) -> list[Instrument]:
    """Return the instruments that instType, instFamily (or uly) and instId leave; raises OkxError."""
    kind = call.must("instType") if must_type else call.text("instType") or "ANY"
    if kind not in (*INST_TYPES, "ANY"):
        raise wrong_parameter("instType")
    family = call.text("instFamily") or call.text("uly")
    inst_id = call.text("instId")
    if inst_id:
        listing.named(inst_id)
    return [
        one
        for one in listing.of_type(kind)
        if inst_id in ("", one.inst_id) and family in ("", one.underlying)
    ]


def page(call: Call, rows: list[dict[str, Any]], key: str, moment: str) -> list[dict[str, Any]]:
    """Return a page of rows that come newest first.

    ``after`` an id means older, ``before`` newer; ``begin`` and ``end`` bound the times.

    Args:
        key: the field that holds a row's id. moment: the one that holds its time.
    """
    begin, end = call.number("begin"), call.number("end")
    rows = [
        row
        for row in rows
        if (begin is None or int(row[moment]) >= begin) and (end is None or int(row[moment]) <= end)
    ]
    after, before = call.number("after"), call.number("before")
    names = [int(row[key]) for row in rows]
    if after is not None:
        start = names.index(after) + 1 if after in names else sum(name >= after for name in names)
        rows, names = rows[start:], names[start:]
    if before is not None:
        rows = rows[: names.index(before) if before in names else sum(name > before for name in names)]
    return rows[: call.count("limit")]
