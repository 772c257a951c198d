"""What the REST handlers share: the request as they see it, routes, answers that are JSON already, pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.sim.accounts import Account
from engine.sim.kucoin.errors import wrong


class Raw(str):
    """An answer's ``data`` that is JSON text already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its query, its body (an object, or a list of them), its path's variables, its sender."""

    query: Mapping[str, str]
    body: Any = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    sender: Account | None = None

    @property
    def account(self) -> Account:
        """Return the sender of a signed request."""
        assert self.sender is not None, "the route is signed"
        return self.sender

    @property
    def item(self) -> dict[str, Any]:
        """Return body and query as one object; raises KucoinError for a body that is none."""
        if not isinstance(self.body, dict):
            raise wrong("Request body must be an object.")
        return {**self.query, **self.body, **self.path}

    def number(self, name: str, default: int, most: int | None = None) -> int:
        """Return a whole number from the query; raises KucoinError."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or (most is not None and int(text) > most):
            raise wrong(f"{name} is invalid.")
        return int(text)


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        run: makes the answer's ``data``.
        pool, weight: what it costs; no pool: it is not counted.
        is_signed: whether it needs a signature.
        product: of an order request, which passes through the order faults; ``*``: the body's ``tradeType``.
    """

    run: Callable[[Call], Any]
    pool: str = "public"
    weight: int = 3
    is_signed: bool = False
    product: str = ""


Routes = dict[str, Route]
"""``METHOD /path/{variable}`` to route."""


def page(rows: Sequence[Any], call: Call, default_size: int = 50) -> dict[str, Any]:
    """Return one page of rows, newest first."""
    size = max(1, call.number("pageSize", default_size, 1000))
    at = max(1, call.number("currentPage", call.number("pageNum", 1)))
    return {
        "currentPage": at, "pageSize": size, "totalNum": len(rows), "totalPage": -(-len(rows) // size),
        "items": list(rows[(at - 1) * size : at * size]),
    }  # fmt: skip


def between(rows: Sequence[Any], call: Call, when: Callable[[Any], int], names: tuple[str, str]) -> list[Any]:
    """Return the rows whose millisecond lies between two query parameters."""
    first, last = call.number(names[0], 0), call.number(names[1], 1 << 62)
    return [row for row in rows if first <= when(row) <= last]
