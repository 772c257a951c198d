"""The instruments of one venue product over time: what the venue lists now, and what of it is served.

A new tick, lot or limit is in force at once: the dictionaries are those that the checks of orders read. What
the scaled integers of a running process mean never changes: a listing is brought into the scales that books
and open orders already have. Where that is not exact (a finer tick, another contract size) the instrument is
halted with its reason until a restart: orders that are under way hold integers of the old scale, and the
recording has them in its rows, so a book rebuilt in place would put two meanings of one number side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from engine.model.errors import NotSent, ProtocolViolation, Unanswered
from engine.model.instrument import INT64_SAFE_MAX, Instrument, InstrumentStatus
from engine.model.naming import collisions
from engine.telemetry import events
from engine.telemetry.log import EventLog

SLACK = 0.5
"""The listing waits while more than this share of the request budget is used."""
RETRY_S = 30.0
_WORDS = frozenset({"venue", "product", "symbol", "universal", "base", "quote", "settle", "multiplier"})
_PRICES = ("tick_size", "price_min", "price_max")
_QTYS = ("lot_size", "market_lot_size", "qty_min", "qty_max", "market_qty_max")
_UPPER = frozenset({"price_max", "qty_max", "market_qty_max"})
_STEPS = frozenset({"tick_size", "lot_size", "market_lot_size"})


def unambiguous(listing: Sequence[Instrument]) -> tuple[list[Instrument], dict[str, list[Instrument]]]:
    """Return the entries whose universal name is theirs alone, and the others by name."""
    doubled = collisions(listing)
    return [each for each in listing if each.universal not in doubled], doubled


def in_scales_of(known: Instrument, new: Instrument) -> Instrument | str:
    """Return ``new`` in the scales of ``known``, or why that cannot be exact."""
    for name in sorted(_WORDS):
        if getattr(known, name) != getattr(new, name):
            return f"{name} was {getattr(known, name)} and is {getattr(new, name)}"
    if known.contract_size != new.contract_size:
        return f"a contract was {known.contract_size} {known.base} and is {new.contract_size}"
    values: dict[str, int] = {}
    for names, scale, had in (
        (_PRICES, known.price_scale, new.price_scale),
        (_QTYS, known.qty_scale, new.qty_scale),
    ):
        for name in names:
            value = _rescaled(getattr(new, name), scale - had, name)
            if value is None:
                return f"{name} does not fit the {scale} decimals that books and orders have"
            values[name] = value
    return msgspec.structs.replace(new, price_scale=known.price_scale, qty_scale=known.qty_scale, **values)


def _rescaled(value: int, shift: int, name: str) -> int | None:
    """Return ``value * 10**shift``; a bound is rounded to the stricter side, a step must be exact."""
    result: int
    if shift >= 0:
        result = value * 10**shift
    else:
        result, rest = divmod(value, 10**-shift)
        if rest and name in _STEPS:
            return None
        if rest and name not in _UPPER:
            result += 1
    if result > INT64_SAFE_MAX:
        return INT64_SAFE_MAX if name in _UPPER else None
    return result


def changes(old: Instrument, new: Instrument) -> list[tuple[str, Any, Any]]:
    """Return (field, old, new) of what differs, prices and quantities as decimals."""
    found = []
    for field in msgspec.structs.fields(Instrument):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before != after:
            found.append((field.name, _shown(old, field.name), _shown(new, field.name)))
    return found


def _shown(instrument: Instrument, name: str) -> str:
    value = getattr(instrument, name)
    if name in _PRICES:
        value = instrument.price(value)
    elif name in _QTYS:
        value = instrument.qty(value)
    if isinstance(value, InstrumentStatus):
        return value.value
    return f"{value.normalize():f}" if hasattr(value, "normalize") else str(value)


class ListingHooks(msgspec.Struct):
    """What a change of the listing does to the rest.

    Attributes:
        replaced: a served instrument has other terms.
        halt, resume: by universal symbol: the book rests for a reason, or is synchronised anew.
    """

    replaced: Callable[[Instrument], None]
    halt: Callable[[str, str], None]
    resume: Callable[[str, str], None]


class ListingWatch:
    """Keeps ``instruments`` and ``known`` what the venue lists.

    Args:
        names: (venue, product), for logs.
        read: reads the whole listing; raises NotSent, Unanswered, ProtocolViolation.
        used_share: how much of the request budget is used.
        instruments: of what is served, by universal symbol. known: by venue symbol, of the whole listing.

    Attributes:
        reads, failures, changed, listed, delisted: counters since the start.
        halted: why each served instrument rests, by universal symbol.
    """

    def __init__(
        self,
        names: tuple[str, str],
        read: Callable[[], Awaitable[list[Instrument]]],
        used_share: Callable[[], float],
        instruments: dict[str, Instrument],
        known: dict[str, Instrument],
        hooks: ListingHooks,
        log: EventLog,
    ) -> None:
        self._venue, self._product = names
        self._read = read
        self._used_share = used_share
        self._instruments = instruments
        self._known = known
        self._hooks = hooks
        self._log = log
        self._collided: set[str] = set()
        self._frozen: dict[str, str] = {}
        self.halted: dict[str, str] = {}
        self.reads = self.failures = self.changed = self.listed = self.delisted = 0

    def begin(self, listing: Sequence[Instrument]) -> list[Instrument]:
        """Take the first listing: return what has a name of its own, and tell of the rest."""
        usable, doubled = unambiguous(listing)
        self._tell_collisions(doubled)
        self._known.update({each.symbol: each for each in listing})
        self.reads += 1
        return usable

    def rest(self) -> None:
        """Halt what is served and does not trade; call it once the books have their connections."""
        for universal, instrument in self._instruments.items():
            self._settle(universal, instrument)

    async def watch(self, interval_s: float) -> None:
        """Read the listing again every ``interval_s`` seconds, for ever."""
        pause = interval_s
        while True:
            await asyncio.sleep(pause)
            pause = min(interval_s, RETRY_S)
            if self._used_share() > SLACK:
                continue
            try:
                listing = await self._read()
            except (NotSent, Unanswered, ProtocolViolation) as error:
                self.failures += 1
                self._log.emit(
                    events.LISTING_FAILED,
                    venue=self._venue,
                    product=self._product,
                    error=str(error)[:200],
                    retry_s=pause,
                )
                continue
            self.take(listing)
            pause = interval_s

    def take(self, listing: Sequence[Instrument], *, is_whole: bool = True) -> None:
        """Take over what the venue lists now.

        Args:
            is_whole: what is not in it is not listed any more; else it tells of changes alone.
        """
        self.reads += 1
        usable, doubled = unambiguous(listing) if is_whole else (list(listing), {})
        self._tell_collisions(doubled)
        for new in usable:
            self._take_one(new)
        for name, rivals in doubled.items():
            self._known.update({each.symbol: each for each in rivals})
            if name in self._instruments:
                self._rest_one(name, f"{name} is the name of {' and '.join(each.symbol for each in rivals)}")
        if is_whole:
            self._drop_missing({each.symbol for each in listing})

    def _take_one(self, new: Instrument) -> None:
        old = self._known.get(new.symbol)
        served = self._instruments.get(new.universal)
        if old is None:
            self.listed += 1
            self._log.emit(
                events.INSTRUMENT_LISTED, venue=self._venue, instrument=new.universal, symbol=new.symbol
            )
        if served is None or served.symbol != new.symbol:
            if old is not None and old.universal in self._instruments and old.universal != new.universal:
                self._rest_one(old.universal, f"{new.symbol} is {new.universal} now")
                return
            self.changed += old is not None and old != new
            self._known[new.symbol] = new
            return
        fitting = in_scales_of(served, new)
        if isinstance(fitting, str):
            self._rest_one(new.universal, fitting)
            return
        self._frozen.pop(new.universal, None)
        if fitting != served:
            self._replace(served, fitting)
        self._settle(new.universal, fitting)

    def _replace(self, old: Instrument, new: Instrument) -> None:
        for field, before, after in changes(old, new):
            self.changed += 1
            self._log.emit(
                events.INSTRUMENT_CHANGED,
                venue=self._venue,
                instrument=new.universal,
                field=field,
                old=before,
                new=after,
            )
        self._instruments[new.universal] = new
        self._known[new.symbol] = new
        self._hooks.replaced(new)

    def _settle(self, universal: str, instrument: Instrument) -> None:
        """Halt the book of an instrument that does not trade, let that of one that does live again."""
        if instrument.status is InstrumentStatus.TRADING:
            if self.halted.pop(universal, None) is not None:
                self._hooks.resume(universal, "trading again")
            return
        reason = f"{instrument.status.value} at the venue"
        if self.halted.get(universal) != reason:
            self.halted[universal] = reason
            self._hooks.halt(universal, reason)

    def _rest_one(self, universal: str, reason: str) -> None:
        """Let a served instrument rest: its numbers do not mean what the venue means now."""
        if self._frozen.get(universal) == reason:
            return
        self._frozen[universal] = reason
        self._log.emit(
            events.INSTRUMENT_FROZEN, venue=self._venue, instrument=universal, reason=f"{reason}; restart"
        )
        served = self._instruments[universal]
        if served.status is InstrumentStatus.TRADING:
            self._replace(served, msgspec.structs.replace(served, status=InstrumentStatus.HALTED))
        self.halted[universal] = reason
        self._hooks.halt(universal, f"{reason}; a restart takes it over")

    def _drop_missing(self, listed: set[str]) -> None:
        for symbol, old in list(self._known.items()):
            if symbol in listed or old.status is InstrumentStatus.CLOSED:
                continue
            self.delisted += 1
            self._log.emit(
                events.INSTRUMENT_DELISTED, venue=self._venue, instrument=old.universal, symbol=symbol
            )
            closed = msgspec.structs.replace(old, status=InstrumentStatus.CLOSED)
            self._known[symbol] = closed
            served = self._instruments.get(old.universal)
            if served is not None and served.symbol == symbol:
                self._replace(served, msgspec.structs.replace(served, status=InstrumentStatus.CLOSED))
                self._settle(old.universal, self._instruments[old.universal])

    def _tell_collisions(self, doubled: dict[str, list[Instrument]]) -> None:
        for name, rivals in doubled.items():
            if name not in self._collided:
                self._collided.add(name)
                self._log.emit(
                    events.INSTRUMENT_COLLIDED,
                    venue=self._venue,
                    product=self._product,
                    instrument=name,
                    symbols=[each.symbol for each in rivals],
                )

    def health(self) -> dict[str, Any]:
        """Return counters for ``status``."""
        return {
            "reads": self.reads,
            "failures": self.failures,
            "changed": self.changed,
            "listed": self.listed,
            "delisted": self.delisted,
            "halted": dict(self.halted),
        }
