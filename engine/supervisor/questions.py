"""What may be asked of the engine, word for word: nothing is guessed of a request, least of all of an order.

The control socket is open to every program of the same user; a side that is not ``buy`` must not sell.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from engine.model.errors import UsageError

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Transport = Literal["", "rest", "ws"]


class _Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of one command."""


class Quotes(_Question, frozen=True):
    """Best bid and ask."""

    symbols: tuple[Word, ...] = ()
    exchange: Word | None = None
    fees: bool = False


class ImpactOf(_Question, frozen=True):
    """What an order would cost."""

    symbol: Word
    side: Literal["buy", "sell"]
    base: Word | None = None
    quote: Word | None = None
    exchange: Word | None = None
    fees: bool = False


class Ladder(_Question, frozen=True):
    """One book."""

    symbol: Word
    exchange: Word | None = None
    depth: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10


class FundingOf(_Question, frozen=True):
    """Funding rates, and so many settled ones."""

    symbols: tuple[Word, ...] = ()
    exchange: Word | None = None
    history: int | None = None


class Status(_Question, frozen=True):
    """The engine's health."""

    orders: bool = False


class Place(_Question, frozen=True):
    """One order, on the venue that is named."""

    exchange: Word
    pair: Word
    side: Literal["buy", "sell"]
    qty: Word
    price: Word | None = None
    time_in_force: Literal["gtc", "ioc", "fok"] = "gtc"
    post_only: bool = False
    reduce_only: bool = False
    transport: Transport | None = None


class Amend(_Question, frozen=True):
    """New terms of one order."""

    exchange: Word
    pair: Word
    id: Word
    qty: Word | None = None
    price: Word | None = None
    transport: Transport | None = None


class Cancel(_Question, frozen=True):
    """One order, or all of an instrument."""

    exchange: Word
    pair: Word
    id: Word | None = None
    all: bool = False
    transport: Transport | None = None


QUESTIONS: dict[str, type[_Question]] = {
    "quotes": Quotes, "impact": ImpactOf, "book": Ladder, "funding": FundingOf, "status": Status,
    "place": Place, "amend": Amend, "cancel": Cancel,
}  # fmt: skip


def checked(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a command, complete and of the right types; other commands' as they are.

    Raises:
        UsageError: an argument is missing, unknown or not what it must be; the text names it.
    """
    question = QUESTIONS.get(command)
    if question is None:
        return arguments
    try:
        found = msgspec.convert(arguments, question)
    except msgspec.ValidationError as error:
        raise UsageError(f"{command}: {error}") from None
    if isinstance(found, Cancel) and (found.id is None) == (not found.all):
        raise UsageError("cancel: either the id of one order or all of an instrument")
    return msgspec.structs.asdict(found)
