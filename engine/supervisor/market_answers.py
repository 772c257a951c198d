"""The questions ``symbols`` and ``trades``: what the venues list, and what has traded."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from engine.model.errors import InstrumentUnknown, UsageError
from engine.model.instrument import Instrument
from engine.model.market import Trade
from engine.model.trades import Candle
from engine.prints.candles import CandleSeries
from engine.prints.tape import order_of
from engine.supervisor.markets import plain
from engine.supervisor.prints import INTERVALS
from engine.supervisor.venue import VenueProduct

LISTED_WAIT_S = 10.0
COUNT_MAX = 2_000
NEAR = 0.6
"""How like a name must be to a query that nothing matches, to be shown instead."""


async def listed(venues: Sequence[VenueProduct]) -> None:
    """Wait for the listings of venues that are only just starting; one that is down is not waited for."""
    deadline = asyncio.get_running_loop().time() + LISTED_WAIT_S
    while any(each.state == "starting" for each in venues):
        if asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(0.02)


def _of(venues: Sequence[VenueProduct], exchange: object) -> list[VenueProduct]:
    found = [each for each in venues if exchange in (None, each.venue)]
    if not found:
        known = ", ".join(sorted({each.venue for each in venues}))
        raise UsageError(f"no enabled venue {exchange!r}; enabled: {known}")
    return found


# --------------------------------------------------------------------------------------------- symbols


async def symbols_answer(venues: Sequence[VenueProduct], arguments: dict[str, Any]) -> dict[str, Any]:
    """Answer ``symbols``: what every venue lists, by universal name.

    Args:
        arguments: ``query`` (universal name, base or venue symbol, parts of them, or something like them),
            ``exchange``.

    Raises:
        UsageError: no such venue. InstrumentUnknown: nothing is like the query.
    """
    asked = _of(venues, arguments.get("exchange"))
    await listed(asked)
    query = str(arguments.get("query") or "")
    found = [(venue, each) for venue in asked for each in list(venue.known.values())]
    is_near = False
    if query:
        found, is_near = _matching(found, query.upper())
        if not found and any(venue.is_listed.is_set() for venue in asked):
            raise InstrumentUnknown(f"no venue that is up lists anything like {query!r}")
    found.sort(key=lambda pair: (pair[1].universal, pair[1].venue))
    return {
        "symbols": [symbol_row(each, each.universal in venue.instruments) for venue, each in found],
        "is_near": is_near,
        "errors": [
            {"venue": each.venue, "product": each.product.value, "error": each.error}
            for each in asked
            if each.error
        ],
    }


_Listed = tuple[VenueProduct, Instrument]


def _names(each: Instrument) -> tuple[str, ...]:
    """Return what an instrument may be called; a coin by the thousand also by the coin's bare name."""
    unit = each.universal.partition("/")[0].upper()
    coin = unit.removeprefix(str(each.multiplier)) if each.multiplier > 1 else unit
    return each.universal.upper(), unit, coin, each.base.upper(), each.symbol.upper()


def _matching(found: list[_Listed], query: str) -> tuple[list[_Listed], bool]:
    """Return what has the query as a name; else what has it in a name; else what is like it."""
    exact = [pair for pair in found if query in _names(pair[1])]
    if exact:
        return exact, False
    parts = [pair for pair in found if any(query in name for name in _names(pair[1]))]
    if parts:
        return parts, False
    names = {name for _, each in found for name in _names(each)}
    near = set(difflib.get_close_matches(query, sorted(names), n=5, cutoff=NEAR))
    return [pair for pair in found if near.intersection(_names(pair[1]))], True


def symbol_row(each: Instrument, is_served: bool) -> dict[str, Any]:
    """Return one instrument for people and machines; bounds that are not stated are ``None``."""

    def bound(scaled: int, is_price: bool = False) -> str | None:
        return plain(each.price(scaled) if is_price else each.qty(scaled)) if scaled else None

    return {
        "venue": each.venue,
        "product": each.product.value,
        "pair": each.universal,
        "symbol": each.symbol,
        "status": each.status.value,
        "is_served": is_served,
        "tick_size": plain(each.price(each.tick_size)),
        "lot_size": plain(each.qty(each.lot_size)),
        "market_lot_size": plain(each.qty(each.market_lot_size)),
        "qty_min": bound(each.qty_min),
        "qty_max": bound(each.qty_max),
        "market_qty_max": bound(each.market_qty_max),
        "price_min": bound(each.price_min, is_price=True),
        "price_max": bound(each.price_max, is_price=True),
        "notional_min": plain(each.notional_min) if each.notional_min else None,
        "notional_max": plain(each.notional_max) if each.notional_max else None,
        "contract_size": plain(each.contract_size),
        "multiplier": each.multiplier,
    }


# ---------------------------------------------------------------------------------------------- trades


async def trades_answer(venues: Sequence[VenueProduct], arguments: dict[str, Any]) -> dict[str, Any]:
    """Answer ``trades``: the latest prints of a symbol on the venues that serve it, or its candles.

    Args:
        arguments: ``symbol``, ``exchange``, ``count`` (in all; of candles: per venue), ``candles`` (an
            interval), ``heard``: only what this process has heard; else venues are asked where that is
            too little.

    Raises:
        UsageError, InstrumentUnknown: the text says what was wrong.
    """
    symbol, interval = str(arguments["symbol"]), arguments.get("candles")
    count = int(arguments.get("count") or 20)
    if not 1 <= count <= COUNT_MAX:
        raise UsageError(f"count must be 1 to {COUNT_MAX}, not {count}")
    if interval is not None and interval not in INTERVALS:
        raise UsageError(f"candles of {interval!r}: there are {', '.join(INTERVALS)}")
    asked = _of(venues, arguments.get("exchange"))
    await listed(asked)
    serving = [each for each in asked if symbol in each.instruments]
    if not serving:
        known = sorted({name for each in asked for name in each.instruments})
        near = difflib.get_close_matches(symbol.upper(), known, n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise InstrumentUnknown(f"no venue that is up serves {symbol}{hint}")
    if arguments.get("heard"):
        told = [(each.prints.latest(symbol, count), False) for each in serving]
    else:
        told = await asyncio.gather(*[each.prints.recent(symbol, count) for each in serving])
    pairs = list(zip(serving, told, strict=True))
    if interval is not None:
        candles = [_candles(venue, symbol, interval, count, *recent) for venue, recent in pairs]
        return {"trades": [], "candles": [row for some in candles for row in some]}
    prints = [(venue, each) for venue, (trades, _) in pairs for each in trades]
    prints.sort(key=lambda pair: order_of(pair[1]))
    return {"trades": [trade_row(venue, each) for venue, each in prints[-count:]], "candles": []}


def _candles(
    venue: VenueProduct, symbol: str, interval: str, count: int, trades: list[Trade], is_asked: bool
) -> list[dict[str, Any]]:
    """Return candles as they were made here; of a process that is too young, from what the venue lists."""
    rows = venue.prints.candles(symbol, interval, count)
    if is_asked and len(rows) < count:
        rows = _made_of(trades, venue.instruments[symbol], interval)[-count:]
    return [candle_row(venue, each) for each in rows]


def _made_of(trades: Iterable[Trade], instrument: Instrument, interval: str) -> list[Candle]:
    series = CandleSeries(instrument.universal, INTERVALS[interval], COUNT_MAX)
    for each in trades:
        series.add(each)
    return series.candles(COUNT_MAX, instrument.price_scale, instrument.qty_scale)


def _time(utc_ns: int) -> str:
    return f"{datetime.fromtimestamp(utc_ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{utc_ns % 10**9 // 10**6:03d}Z"


def trade_row(venue: VenueProduct, each: Trade) -> dict[str, Any]:
    """Return one print for people and machines."""
    instrument = venue.instruments[each.universal]
    return {
        "venue": venue.venue,
        "pair": each.universal,
        "time": _time(each.venue_utc_ns),
        "venue_utc_ns": each.venue_utc_ns,
        "trade_id": each.trade_id or None,
        "count": each.count,
        "side": each.aggressor.word,
        "price": plain(instrument.price(each.price)),
        "qty": plain(instrument.qty(each.qty)),
        "is_backfilled": each.is_backfilled,
    }


def candle_row(venue: VenueProduct, each: Candle) -> dict[str, Any]:
    """Return one candle for people and machines."""
    return {
        "venue": venue.venue,
        "pair": each.universal,
        "time": _time(each.open_utc_ns),
        "open_utc_ns": each.open_utc_ns,
        "interval_s": each.interval_ns // 10**9,
        "open": plain(each.open),
        "high": plain(each.high),
        "low": plain(each.low),
        "close": plain(each.close),
        "base_volume": plain(each.base_volume),
        "quote_volume": plain(each.quote_volume),
        "count": each.count,
        "is_complete": each.is_complete,
        "is_final": each.is_final,
        "far": each.far,
    }
