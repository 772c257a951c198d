"""The question ``funding``: rates of perpetuals over every venue that lists them, and what was settled."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Sequence
from typing import Any

from engine.model.errors import InstrumentUnknown, UsageError
from engine.model.instrument import Product
from engine.supervisor.venue import VenueProduct

HISTORY_MAX = 1_000
LISTED_WAIT_S = 10.0


async def funding_answer(venues: Sequence[VenueProduct], arguments: dict[str, Any]) -> dict[str, Any]:
    """Answer ``funding``: one row a contract and venue, and with ``history`` so many settled rates of each.

    Args:
        arguments: ``symbols`` (default: all perpetuals), ``exchange``, ``history``.

    Raises:
        UsageError, InstrumentUnknown: the text says what was wrong.
    """
    symbols = [str(each) for each in arguments.get("symbols") or ()]
    exchange, wanted = arguments.get("exchange"), arguments.get("history")
    limit = 0 if wanted is None else int(wanted)
    if wanted is not None and not 1 <= limit <= HISTORY_MAX:
        raise UsageError(f"history must be 1 to {HISTORY_MAX}, not {limit}")
    perpetual = [each for each in venues if each.product is Product.PERP and exchange in (None, each.venue)]
    if not perpetual:
        known = ", ".join(sorted({each.venue for each in venues if each.product is Product.PERP})) or "none"
        raise UsageError(
            f"no enabled venue {exchange!r} with perpetuals; there are: {known}"
            if exchange
            else 'no enabled venue has perpetuals: products lacks "perp"'
        )
    await _listed(perpetual)
    for symbol in symbols:
        _check(symbol, perpetual)
    shown = [
        (desk, [each for each in venue.instruments if not symbols or each in symbols])
        for venue in perpetual
        if (desk := venue.funding_desk) is not None
    ]
    await asyncio.gather(*[desk.known(universals) for desk, universals in shown if universals])
    pairs = [(universal, desk) for desk, some in shown for universal in some]
    pairs.sort(key=lambda each: (each[0], each[1].venue))
    histories = await asyncio.gather(*[desk.history(universal, limit) for universal, desk in pairs if limit])
    return {
        "funding": [desk.row(universal) for universal, desk in pairs],
        "history": list(histories),
        "errors": [{"venue": each.venue, "error": each.error} for each in perpetual if each.error],
    }


async def _listed(venues: Sequence[VenueProduct]) -> None:
    """Wait for the listings of venues that are only just starting; one that is down is not waited for."""
    deadline = asyncio.get_running_loop().time() + LISTED_WAIT_S
    while any(each.state == "starting" for each in venues):
        if asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(0.02)


def _check(symbol: str, venues: Sequence[VenueProduct]) -> None:
    if ":" not in symbol:
        raise UsageError(f"{symbol} is no perpetual: a linear one is written {symbol}:SETTLE")
    listed = {universal for venue in venues for universal in venue.instruments}
    if symbol not in listed:
        near = difflib.get_close_matches(symbol, sorted(listed), n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise InstrumentUnknown(f"no venue that is up serves {symbol}{hint}")
