"""Funding of perpetuals as one set of values over all venues: what runs, what was settled, what may be asked.

A rate is a fraction of the position's value, exchanged once an interval; positive: longs pay shorts. Absent
is ``None``, never zero: a rate of zero is a rate.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument
from engine.model.wire import HttpRequest

HOUR_NS = 3_600_000_000_000
_HOURS_A_YEAR = 24 * 365


class PredictedRate(enum.Enum):
    """What a venue means where it speaks of a predicted rate besides the current one."""

    NOT_OFFERED = "not offered"
    """The venue tells one running rate, that of the next settlement, and nothing beyond it."""
    FOLLOWING_INTERVAL = "rate of the interval after the next settlement"
    SAME_AS_CURRENT = "same as current"
    """What the venue calls predicted, expected or next is what the next settlement would pay."""


class FundingState(enum.Enum):
    """What a reader may believe of an instrument's funding."""

    EMPTY = "empty"
    """The venue has told no rate yet."""
    LIVE = "live"
    """Told lately, for a settlement that is still ahead."""
    SETTLING = "settling"
    """The settlement is due or just over, and the venue has not told the next one yet."""
    STALE = "stale"
    """Not told for too long, or of a settlement that is long over."""


class SettledRate(msgspec.Struct, frozen=True, gc=False):
    """What one settlement paid.

    Attributes:
        settled_utc_ns: the settlement's time.
        interval_ns: length of the interval that it ended, derived by :func:`with_intervals`, or ``None``.
    """

    universal: str
    settled_utc_ns: int
    rate: Decimal
    interval_ns: int | None = None


class FundingTerms(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a venue's answers tell of a contract's funding; everything that was not told is ``None``.

    The streams come first: an answer fills what they leave out.

    Attributes:
        interval_ns: time between two settlements, as it is now; venues change it at run time.
        open_interest: base units. index_price: quote units.
    """

    universal: str
    interval_ns: int | None = None
    funding_rate: Decimal | None = None
    next_funding_utc_ns: int | None = None
    last_settled_rate: Decimal | None = None
    index_price: Decimal | None = None
    open_interest: Decimal | None = None


class FundingQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Something to ask for again and again.

    Attributes:
        instruments: those of which the answer tells.
        every_ns: how often to ask; besides, once after each settlement where ``is_of_settlements``.
    """

    request: HttpRequest
    instruments: tuple[Instrument, ...]
    every_ns: int
    is_of_settlements: bool = True


class FundingPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of settled rates to ask for: those before a time, as far as the answer goes.

    Attributes:
        since_utc_ns: the answer is whole back to here, this time included; ``None`` where it holds the newest
            ``rows_max`` before the time that was asked for.
        rows_max: rows that the answer can hold.
        is_last: the venue has no way to ask for older ones.
    """

    request: HttpRequest
    rows_max: int
    since_utc_ns: int | None = None
    is_last: bool = False


def annualised(rate: Decimal, interval_ns: int) -> Decimal:
    """Return the simple yearly rate: ``rate * 24 h / interval * 365``, nothing compounded.

    Raises:
        UsageError: the interval is not positive.
    """
    if interval_ns <= 0:
        raise UsageError(f"an interval of {interval_ns} ns has no yearly rate")
    return rate * _HOURS_A_YEAR * HOUR_NS / interval_ns


def hours(interval_ns: int) -> Decimal:
    """Return an interval in hours."""
    return Decimal(interval_ns) / HOUR_NS


def newest_first(rates: Sequence[SettledRate]) -> list[SettledRate]:
    """Return settled rates newest first, copies left out.

    Raises:
        ProtocolViolation: one settlement paid two different rates.
    """
    found: dict[int, SettledRate] = {}
    for each in rates:
        known = found.setdefault(each.settled_utc_ns, each)
        if known.rate != each.rate:
            raise ProtocolViolation(
                f"{each.universal} at {each.settled_utc_ns}: settled with {known.rate} and with {each.rate}"
            )
    return sorted(found.values(), key=lambda each: -each.settled_utc_ns)


def with_intervals(rates: Sequence[SettledRate]) -> list[SettledRate]:
    """Return settled rates (newest first) with the interval that each ended.

    An interval is the distance to the settlement before. A distance between two equal ones that is a multiple
    of them is no interval: a settlement is missing there, and the interval is its neighbours'. At either end
    of the list such a distance could be a change as well: ``None``, as is the oldest settlement's own.
    """
    gaps = [newer.settled_utc_ns - older.settled_utc_ns for newer, older in itertools.pairwise(rates)]
    intervals: list[int | None] = []
    for place, gap in enumerate(gaps):
        later = gaps[place - 1] if place else None
        earlier = gaps[place + 1] if place + 1 < len(gaps) else None
        intervals.append(_interval(gap, later, earlier))
    intervals += [None] * (len(rates) - len(intervals))
    return [
        msgspec.structs.replace(each, interval_ns=interval)
        for each, interval in zip(rates, intervals, strict=True)
    ]


def _interval(gap: int, later: int | None, earlier: int | None) -> int | None:
    neighbours = {each for each in (later, earlier) if each is not None}
    if len(neighbours) != 1:
        return gap  # alone, or on the edge between two intervals
    (usual,) = neighbours
    if gap <= usual or gap % usual:
        return gap
    return None if later is None or earlier is None else usual
