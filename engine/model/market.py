"""Market-data values. Times are integer nanoseconds; absent is ``None``, never zero."""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec
import numpy as np
import numpy.typing as npt

from engine.model.errors import ProtocolViolation, UsageError

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
    CROSSED = 6
    """Best bid >= best ask after a delta. Some venues cut one event into several deltas: further ones are
    applied, in order; the book is LIVE again as soon as it has parted, and resynchronised if it does not."""


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
    CHAIN = 3
    """Each delta names the id it follows, and must name ours; ids jump, and may go back (a reset by the
    venue). A delta that names our id as both is a sign of life and holds no levels; one whose own id is among
    the latest 256 applied is a copy. Snapshots come in-band.
    Source: OKX v5 API docs, order book channel, seqId and prevSeqId, seen 2026-07."""


class DepthSchema(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue's JSON depth frame keeps what the book needs.

    The kernel walks the frame once, keys in any order and at any object depth named by
    ``containers``; it never builds Python objects for levels. A frame of a registered route in which
    something required is missing, doubled or of another shape is REJECTED, never applied in part.

    Attributes:
        route_keys: one to three string-valued keys whose values, joined by ``\\n`` in this order, name the
            book (e.g. ``("stream",)`` for a combined stream, ``("e", "s")`` for a raw one).
        containers: keys whose object value is descended into.
        array_containers: keys whose value is an array of one object, descended into likewise.
        control_keys: keys that no depth frame has; a frame with one of them is somebody else's
            (acknowledgements that repeat the route).
        first_key, last_key, previous_key: integer ids. ``first_key`` is ``None`` where a delta has one id,
            ``previous_key`` where it names no predecessor.
        bids_key, asks_key: arrays of ``["price", "qty", ...]``; extra elements are ignored. Both or neither.
        level_keys: names of price and quantity where levels are objects instead of arrays.
        change_key: a string ``"price,side,qty"`` (side ``buy`` or ``sell``) instead of the two arrays.
        has_level_ids: the third element of a level is its own id: levels that the book already contains
            are skipped, the others applied in the order of their ids.
        is_zero_price_void: a level of price zero says that nothing visible changed; else it is malformed.
        window: levels a side after each frame, the worst beyond it dropped, for venues that do not
            announce what leaves their window; 0 = all.
        kind_key, snapshot_kind, delta_kind: the key that tells in-band snapshots from deltas, and its two
            values; ``None`` where snapshots come by REST. A snapshot replaces the book whatever its state
            (HALTED apart), and makes it LIVE.
        restart_id: a delta with this last id is a snapshot too; ``None`` where there is no such id.
        has_heartbeats: a delta without levels that repeats the book's id is a sign of life (``Feed.OLD``).
        is_quoting_integers: ids and times may also come as strings of digits.
        event_time_key, transaction_time_key: integers in ``time_unit_ns`` (1 = ns, 1_000 = us,
            1_000_000 = ms).
    """

    rule: SequenceRule
    route_keys: tuple[str, ...]
    containers: tuple[str, ...]
    array_containers: tuple[str, ...] = ()
    control_keys: tuple[str, ...] = ()
    first_key: str | None
    last_key: str
    previous_key: str | None
    bids_key: str | None = None
    asks_key: str | None = None
    level_keys: tuple[str, str] | None = None
    change_key: str | None = None
    has_level_ids: bool = False
    is_zero_price_void: bool = False
    window: int = 0
    kind_key: str | None = None
    snapshot_kind: str = "snapshot"
    delta_kind: str = "update"
    restart_id: int | None = None
    has_heartbeats: bool = False
    is_quoting_integers: bool = False
    event_time_key: str | None = None
    transaction_time_key: str | None = None
    time_unit_ns: int = 1_000_000

    @property
    def is_in_band(self) -> bool:
        """Tell whether snapshots come on the stream itself: a new subscription brings a new one."""
        return self.kind_key is not None

    def check(self) -> None:
        """Raise UsageError where the fields contradict each other."""
        wrong = ""
        if not 1 <= len(self.route_keys) <= 3:
            wrong = "a schema has one to three route keys"
        elif self.rule is SequenceRule.PREVIOUS and self.previous_key is None:
            wrong = "the PREVIOUS rule needs previous_key"
        elif self.rule is SequenceRule.CHAIN and (self.previous_key is None or self.kind_key is None):
            wrong = "the CHAIN rule needs previous_key and kind_key"
        elif (self.bids_key is None) != (self.asks_key is None):
            wrong = "bids_key and asks_key go together"
        elif (self.bids_key is None) == (self.change_key is None):
            wrong = "a schema has either two arrays of levels or a change_key"
        elif self.has_level_ids and (self.level_keys is not None or self.change_key is not None):
            wrong = "level ids need levels that are arrays"
        elif self.time_unit_ns < 1 or self.window < 0:
            wrong = "time_unit_ns must be positive, window not negative"
        if wrong:
            raise UsageError(wrong)


def contract_parts(name: str, contract_size: Decimal) -> tuple[int, int]:
    """Return base units in one wire contract as (integer, decimals), without trailing zeros.

    Raises:
        UsageError: not a positive number, or one that 18 digits cannot hold; ``name`` tells whose.
    """
    if contract_size.is_finite() and contract_size > 0:
        _, digits, exponent = contract_size.normalize().as_tuple()
        mantissa = int("".join(map(str, digits))) * 10 ** max(int(exponent), 0)
        decimals = max(-int(exponent), 0)
        if mantissa < 10**18 and decimals <= 18:
            return mantissa, decimals
    raise UsageError(f"{name}: a contract of {contract_size} base units cannot be scaled")


class Feed(enum.IntEnum):
    """What the kernel did with one frame."""

    PASS = 0
    """Not a delta of a registered book: somebody else's message."""
    APPLIED = 1
    """The book holds it now: a delta, or a snapshot that came on the stream."""
    OLD = 2
    """A delta that the book already contains, or a sign of life; ignored."""
    BUFFER = 3
    """The book is not synchronised: the caller keeps a copy of the bytes for after the snapshot."""
    GAP = 4
    """A delta is missing: the book is STALE now; the caller keeps the bytes and resynchronises."""
    REJECTED = 5
    """Malformed, or a value that does not fit the scale: nothing was applied, the book is STALE."""
    CROSSED = 6
    """Applied, and best bid >= best ask: the book is CROSSED now, or STALE where that was a snapshot."""
    AHEAD = 7
    """Does not continue a LIVE book that other connections feed too (``feeds`` > 1): nothing was done. The
    caller keeps the bytes until another connection has brought what is missing; see ``book.twins``."""


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


def levels_of(values: list[tuple[int, int]], direction: int) -> Levels:
    """Return one side of a full book from scaled (price, qty), best first.

    Args:
        values: what a venue answered; may be empty.
        direction: of the prices, 1 for asks and -1 for bids.

    Raises:
        ProtocolViolation: not sorted, or a price or quantity that is not positive.
    """
    levels = np.array(values, dtype=np.int64).reshape(len(values), 2)
    if not (np.diff(levels[:, 0]) * direction > 0).all():
        raise ProtocolViolation("levels are not sorted best first")
    if (levels <= 0).any():
        raise ProtocolViolation("a price or quantity is not positive")
    return levels


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A public print. ``price`` and ``qty`` are scaled; ``aggressor`` took liquidity.

    Attributes:
        trade_id: 0 where the venue numbers no prints (BitMart spot).
        count: trades told as one: it stands for the ``count`` ids that end in ``trade_id`` (OKX).
        is_backfilled: it was asked for afterwards, because no connection had brought it.
    """

    universal: str
    trade_id: int
    price: int
    qty: int
    aggressor: Side
    venue_utc_ns: int
    recv_utc_ns: int
    recv_mono_ns: int
    count: int = 1
    is_backfilled: bool = False


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
        open_interest: base units open at the venue, or ``None`` where this stream does not tell it.
        rate_utc_ns: the venue's time at which the rate stood so; ``None`` where that is ``venue_utc_ns``.
        predicted_rate: in the venue's own sense (``FundingReader.predicted``); ``None`` where not offered.
        interval_ns: between two settlements, where this stream tells it; so is ``last_settled_rate``.
    """

    universal: str
    mark_price: Decimal
    index_price: Decimal | None
    funding_rate: Decimal | None
    next_funding_utc_ns: int | None
    venue_utc_ns: int
    recv_utc_ns: int
    open_interest: Decimal | None = None
    rate_utc_ns: int | None = None
    predicted_rate: Decimal | None = None
    interval_ns: int | None = None
    last_settled_rate: Decimal | None = None
