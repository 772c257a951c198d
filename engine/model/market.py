"""Market-data values. Times are integer nanoseconds; absent is ``None``, never zero."""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec
import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.int64]
"""Shape (n, 2), columns (price, qty) in the instrument's scaled units."""


class BookState(enum.IntEnum):
    """What a reader may believe of a book. Only LIVE is provably equal to the venue's."""

    EMPTY = 0
    """Nothing known yet: never subscribed, or cleared."""
    SYNCING = 1
    """Deltas are buffered and a snapshot is awaited."""
    JOINING = 2
    """A snapshot is in; the first delta that joins it is awaited."""
    LIVE = 3
    """Every delta since the snapshot was applied, in order; the book is not crossed."""
    STALE = 4
    """A gap, a lost link, a malformed delta or too long a silence: prices may be wrong."""
    HALTED = 5
    """The venue does not trade the instrument now."""


class Side(enum.IntEnum):
    """Order or book side; ``BUY`` is the bid side."""

    BUY = 0
    SELL = 1

    @property
    def word(self) -> str:
        """Return ``buy`` or ``sell``."""
        return "buy" if self is Side.BUY else "sell"


class SequenceRule(enum.IntEnum):
    """How a venue proves that no delta is missing (the kernel implements each one)."""

    RANGE = 1
    """First and last id a delta: ``first == last_applied + 1``; joins where the range holds snapshot + 1."""
    PREVIOUS = 2
    """Each delta names the previous delta's last id; joins where the range holds the snapshot id."""


class DepthSchema(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue's JSON depth frame keeps what the book needs.

    The kernel walks the frame once, keys in any order and at any object depth named by
    ``containers``; it never builds Python objects for levels.

    Attributes:
        route_keys: one or two string-valued keys whose values, joined by ``\\n`` in this order, name the
            book (e.g. ``("stream",)`` for a combined stream, ``("e", "s")`` for a raw one).
        containers: keys whose object value is descended into.
        first_key, last_key, previous_key: integer ids; ``previous_key`` is ``None`` for RANGE venues.
        bids_key, asks_key: arrays of ``["price", "qty", ...]``; extra elements are ignored.
        event_time_key, transaction_time_key: integers in ``time_unit_ns``.
    """

    rule: SequenceRule
    route_keys: tuple[str, ...]
    containers: tuple[str, ...]
    first_key: str
    last_key: str
    previous_key: str | None
    bids_key: str
    asks_key: str
    event_time_key: str | None = None
    transaction_time_key: str | None = None
    time_unit_ns: int = 1_000_000


class Feed(enum.IntEnum):
    """What the kernel did with one frame."""

    PASS = 0
    """Not a delta of a registered book: somebody else's message."""
    APPLIED = 1
    OLD = 2
    """A delta that the book already contains; ignored."""
    BUFFER = 3
    """The book is not synchronised: the caller keeps a copy of the bytes for after the snapshot."""
    GAP = 4
    """A delta is missing: the book is STALE now; the caller keeps the bytes and resynchronises."""
    REJECTED = 5
    """Malformed, or a value that does not fit the scale: nothing was applied, the book is STALE."""
    CROSSED = 6
    """Applied, and best bid >= best ask: the book is STALE now."""


class BookSnapshot(msgspec.Struct, frozen=True):
    """A full book as the venue's REST answer gave it.

    Attributes:
        bids, asks: int64 arrays of shape (n, 2), best first, scaled units.
        sequence: the venue's id of the last delta contained.
        venue_utc_ns: the venue's time, or ``None``.
    """

    sequence: int
    bids: Levels
    asks: Levels
    venue_utc_ns: int | None


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A public print. ``price`` and ``qty`` are scaled; ``aggressor`` took liquidity."""

    universal: str
    trade_id: int
    price: int
    qty: int
    aggressor: Side
    venue_utc_ns: int
    recv_utc_ns: int
    recv_mono_ns: int


class TopOfBook(msgspec.Struct, frozen=True, gc=False):
    """Best bid and ask from the venue's own top-of-book stream; scaled units.

    ``sequence`` counts on the depth sequence where the venue says so.
    """

    universal: str
    bid_price: int
    bid_qty: int
    ask_price: int
    ask_qty: int
    sequence: int
    venue_utc_ns: int | None
    recv_utc_ns: int
    recv_mono_ns: int


class FundingUpdate(msgspec.Struct, frozen=True, gc=False):
    """Mark price and funding as the venue states them now.

    Attributes:
        mark_price, index_price: Decimal quote units (finer than the tick).
        funding_rate: the rate that the next settlement would pay, still moving; ``None`` if none.
        next_funding_utc_ns: the next settlement, or ``None``.
    """

    universal: str
    mark_price: Decimal
    index_price: Decimal | None
    funding_rate: Decimal | None
    next_funding_utc_ns: int | None
    venue_utc_ns: int
    recv_utc_ns: int
