"""The readable book and depth feed: oracle of the tests, fallback where nothing could be compiled.

Every rule of the compiled kernel stands here in plain Python, in the same order and under the same
names. It trades speed (several times slower) for being checkable by eye.
"""

from __future__ import annotations

import bisect
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.book.pure_frames import (
    FRAME_BYTES_MAX,
    BadFrame,
    BareNumber,
    FrameReader,
    Level,
    array_rows,
    change_rows,
    integer,
    scaled,
)
from engine.model.errors import BookNotLive, UsageError
from engine.model.market import BookSnapshot, BookState, DepthSchema, Feed, SequenceRule, contract_parts
from engine.model.rows import PureDeltaRows
from engine.telemetry.histogram import PureHistogram

ONE = Decimal(1)
TIME_GUARD_NS = 3_600_000_000_000
"""Event times this far from the receive time are not the venue's present: they are counted, and not used."""
SLOW_TWIN_NS = 5_000_000_000
"""A slow twin's frames are old news for so long after the last update; from then on they show a gap."""


class PureLadder:
    """One side: a dict of quantities and a sorted list of keys whose last is the best."""

    __slots__ = ("keys", "qtys", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.qtys: dict[int, int] = {}

    def put(self, price: int, qty: int) -> None:
        """Set a level's absolute quantity; zero removes; removing an unknown level is normal."""
        key = self.sign * price
        if qty == 0:
            if self.qtys.pop(key, None) is not None:
                del self.keys[bisect.bisect_left(self.keys, key)]
            return
        if key not in self.qtys:
            bisect.insort(self.keys, key)
        self.qtys[key] = qty

    def clear(self) -> None:
        """Remove every level."""
        self.keys.clear()
        self.qtys.clear()


class PureWatcher:
    """Hears of every change of the books that it watches: see ``consolidated``."""

    def touched(self, book: PureBook, is_update: bool) -> None:
        """Take note of a book; ``is_update`` tells a delta that was applied from a change of its state."""


class PureBook:
    """One L2 book; see ``l2.BookLike``."""

    def __init__(
        self, name: str, price_scale: int, qty_scale: int, book_id: int = 0, contract_size: Decimal = ONE
    ) -> None:
        if not 0 <= price_scale <= 18 or not 0 <= qty_scale <= 18:
            raise UsageError(f"{name}: scales must lie between 0 and 18")
        self.contract = contract_parts(name, contract_size)
        self.contract_size = contract_size
        self.name = name
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self.book_id = book_id
        self.epoch = 0
        self.updates = 0
        self.watcher: PureWatcher | None = None
        self.watch_slot = 0
        self.feeds = 1
        self.touched: set[int] | None = None
        self.recent: deque[int] = deque(maxlen=256)
        self.had_twins = False
        self._sides = (PureLadder(1), PureLadder(-1))
        self._horizon = [0, 0]
        self.clear()

    def fall(self, state: BookState, reason: str) -> None:
        """Set the state and why."""
        self.state = state
        self.reason = reason
        if self.watcher is not None:
            self.watcher.touched(self, False)

    def clear(self) -> None:
        """Forget every level; the book is EMPTY."""
        for side in self._sides:
            side.clear()
        self.sequence = 0
        self.joined = False
        self.dropped_last = -1
        self.venue_utc_ns = self.recv_mono_ns = self.recv_utc_ns = 0
        self._horizon = [0, 0]
        self.fall(BookState.EMPTY, "never synchronised")

    def begin_sync(self, reason: str = "synchronising") -> None:
        """Start to wait for a snapshot (SYNCING, new epoch)."""
        self.epoch += 1
        self.recent.clear()
        self.had_twins = False
        self.joined = False
        self.dropped_last = -1
        self.touched = None
        self.fall(BookState.SYNCING, reason)

    def load_snapshot(self, snapshot: BookSnapshot) -> None:
        """Replace all levels; the book is JOINING until a delta joins the snapshot."""
        sides = (snapshot.bids.reshape(-1, 2).tolist(), snapshot.asks.reshape(-1, 2).tolist())
        for levels, word in zip(sides, ("bid", "ask"), strict=True):
            for index, (price, qty) in enumerate(levels):
                if price <= 0 or qty <= 0:
                    raise UsageError(f"{self.name}: snapshot {word} {index} is not positive")
        for ladder, levels in zip(self._sides, sides, strict=True):
            ladder.clear()
            for price, qty in levels:
                ladder.put(price, qty)
        if any(len(ladder.keys) != len(levels) for ladder, levels in zip(self._sides, sides, strict=True)):
            self.clear()
            raise UsageError(f"{self.name}: a snapshot price stands twice")
        self._horizon = [abs(ladder.keys[0]) if ladder.keys else 0 for ladder in self._sides]
        self.sequence = snapshot.sequence
        self.joined = False
        self.dropped_last = -1
        self.venue_utc_ns = snapshot.venue_utc_ns or 0
        self.fall(BookState.JOINING, "snapshot loaded, waiting for a delta that joins it")

    def accept_snapshot(self) -> bool:
        """Call the book LIVE on its snapshot alone; see the kernel."""
        if self.state is not BookState.JOINING:
            raise UsageError(
                f"{self.name}: only a JOINING book can be accepted, this one is {self.state_name}"
            )
        if self.is_crossed:
            self.fall(BookState.STALE, "crossed")
            return False
        self.fall(BookState.LIVE, "")
        return True

    def extend(self, side: int, levels: npt.NDArray[np.int64], horizon: int) -> None:
        """Add levels beyond the horizon, and move the horizon; see the kernel."""
        sign = -1 if side else 1
        known = self._horizon[side != 0]
        if not self.is_live or horizon * sign > known * sign:
            raise UsageError(f"{self.name}: only a LIVE book can be extended, and only outwards")
        rows = levels.reshape(-1, 2).tolist()
        for index, (price, qty) in enumerate(rows):
            if price <= 0 or qty <= 0 or price * sign >= known * sign:
                raise UsageError(f"{self.name}: level {index} does not lie beyond the horizon")
        for price, qty in rows:
            self.put(side, price, qty)
        self._horizon[side != 0] = horizon

    def mark_stale(self, reason: str) -> None:
        """Say that the book may be wrong; it stays so until the next snapshot."""
        if self.state is not BookState.EMPTY:
            self.fall(BookState.STALE, reason)

    def halt(self, reason: str = "halted by the venue") -> None:
        """Say that the venue does not trade this instrument now."""
        self.fall(BookState.HALTED, reason)

    def put(self, side: int, price: int, qty: int) -> None:
        """Set one level (0 = bids, 1 = asks)."""
        self._sides[side].put(price, qty)

    def replace(self, levels: list[Level]) -> None:
        """Set all levels from a snapshot that came on the stream; prices are distinct."""
        for ladder in self._sides:
            ladder.clear()
        for side, price, qty in levels:
            self.put(side, price, qty)
        self._horizon = [abs(ladder.keys[0]) if ladder.keys else 0 for ladder in self._sides]
        self.dropped_last = -1
        self.venue_utc_ns = 0

    def trim(self, window: int) -> None:
        """Drop the levels beyond the best ``window`` of each side."""
        for ladder in self._sides:
            for key in ladder.keys[: max(len(ladder.keys) - window, 0)]:
                ladder.put(ladder.sign * key, 0)

    @property
    def state_name(self) -> str:
        """Return the state's name."""
        return self.state.name

    @property
    def is_live(self) -> bool:
        """Tell whether the book provably equals the venue's."""
        return self.state is BookState.LIVE

    @property
    def follows(self) -> bool:
        """Tell whether deltas are applied one after another."""
        return self.state in (BookState.LIVE, BookState.CROSSED)

    @property
    def is_crossed(self) -> bool:
        """Tell whether best bid >= best ask."""
        bids, asks = self._sides
        return bool(bids.keys and asks.keys and bids.keys[-1] >= -asks.keys[-1])

    def touch(self) -> tuple[int, int, int, int]:
        """Return (bid price, bid qty, ask price, ask qty), scaled; raises BookNotLive."""
        if not self.is_live:
            raise BookNotLive(f"{self.name} is {self.state_name}: {self.reason}")
        return self.touch_unchecked()

    def touch_unchecked(self) -> tuple[int, int, int, int]:
        """Return the touch whatever the state."""
        bids, asks = self._sides
        bid = bids.keys[-1] if bids.keys else None
        ask = asks.keys[-1] if asks.keys else None
        return (
            0 if bid is None else bid,
            0 if bid is None else bids.qtys[bid],
            0 if ask is None else -ask,
            0 if ask is None else asks.qtys[ask],
        )

    def touch_floats(self) -> tuple[float, float, float, float]:
        """Return the touch as floats for display and analysis, never for money."""
        bid, bid_qty, ask, ask_qty = self.touch()
        price, qty = 10**self.price_scale, 10**self.qty_scale
        return bid / price, bid_qty / qty, ask / price, ask_qty / qty

    def levels(self, side: int) -> int:
        """Return how many levels a side has."""
        return len(self._sides[side != 0].keys)

    def depth(self, side: int, limit: int = -1) -> npt.NDArray[np.int64]:
        """Return a copy of up to ``limit`` levels, best first: int64, shape (n, 2)."""
        ladder = self._sides[side != 0]
        count = len(ladder.keys) if limit < 0 else min(limit, len(ladder.keys))
        rows = [
            (ladder.sign * key, ladder.qtys[key])
            for key in reversed(ladder.keys[-count or len(ladder.keys) :])
        ]
        return np.array(rows[:count], dtype=np.int64).reshape(-1, 2)

    def cumulative(self, side: int, limit: int = -1) -> npt.NDArray[np.int64]:
        """Return :meth:`depth` with the running total of quantity in the second column."""
        result = self.depth(side, limit)
        np.cumsum(result[:, 1], out=result[:, 1])
        return result

    def horizon(self, side: int) -> int:
        """Return the worst price the last snapshot covered; 0 = none."""
        return self._horizon[side != 0]


class PureDepthFeed:
    """Applies the depth frames of one connection to its books; see ``l2.DepthFeedLike``."""

    def __init__(self, schema: DepthSchema) -> None:
        schema.check()
        self._schema = schema
        self._books: dict[str, PureBook] = {}
        self._outcomes = dict.fromkeys(Feed, 0)
        self.last_book: PureBook | None = None
        self.last_outcome = Feed.PASS
        self.on_attention: Callable[[Any, int, bytes], None] | None = None
        self.on_update: Callable[[Any], None] | None = None
        self.rows: PureDeltaRows | None = None
        self.stages = 1
        self.odd_times = 0
        self.wire_to_book_ns = PureHistogram()
        self.stage_ns = [PureHistogram() for _ in range(5)]

    def add(self, route: str, book: PureBook) -> None:
        """Send the frames of ``route`` to ``book``; raises UsageError."""
        if route in self._books:
            raise UsageError(f"route {route!r} is taken")
        if route.count("\n") != len(self._schema.route_keys) - 1:
            raise UsageError(f"route {route!r} must have {len(self._schema.route_keys)} parts")
        self._books[route] = book

    def remove(self, route: str) -> None:
        """Stop serving a route."""
        self._books.pop(route, None)

    def feed(self, data: bytes | bytearray | memoryview, mono_ns: int = 0, utc_ns: int = 0) -> bool:
        """Hand one message over; return whether it was consumed."""
        return self.feed_code(data, mono_ns, utc_ns) != Feed.PASS

    def counts(self) -> dict[str, int]:
        """Return how many frames had each outcome, by name."""
        return {code.name: count for code, count in self._outcomes.items()}

    def feed_code(self, data: bytes | bytearray | memoryview, mono_ns: int = 0, utc_ns: int = 0) -> int:
        """Feed one frame and return its ``Feed`` code."""
        raw = bytes(data)
        outcome = self._process(raw, mono_ns, utc_ns)
        self.last_outcome = outcome
        self._outcomes[outcome] += 1
        if outcome is Feed.APPLIED:
            if self.on_update is not None:
                self.on_update(self.last_book)
        elif outcome not in (Feed.OLD, Feed.PASS) and self.on_attention is not None:
            self.on_attention(self.last_book, int(outcome), raw)
        return int(outcome)

    def _process(self, raw: bytes, mono_ns: int, utc_ns: int) -> Feed:
        if len(raw) > FRAME_BYTES_MAX:
            return Feed.PASS
        frame = FrameReader(self._schema, raw)
        route = frame.route()
        book = None if route is None else self._books.get(route)
        if book is None:
            return Feed.PASS
        self.last_book = book
        try:
            if frame.is_bad:
                raise BadFrame
            delta = Delta(self._schema, frame.fields, book)
        except BadFrame:
            if book.follows or book.state is BookState.JOINING:
                book.fall(BookState.STALE, "malformed delta")
            return Feed.REJECTED
        self.odd_times += delta.check_times(self._schema.time_unit_ns, utc_ns)
        outcome = decide(self._schema, book, delta, mono_ns)
        if outcome is not Feed.APPLIED:
            return outcome
        self._apply(book, delta, mono_ns, utc_ns)
        if book.is_crossed:
            book.fall(BookState.STALE if delta.is_snapshot else BookState.CROSSED, "crossed")
            outcome = Feed.CROSSED
        if outcome is Feed.APPLIED and book.watcher is not None:
            book.watcher.touched(book, True)
        if self.stages and mono_ns:
            self.wire_to_book_ns.record(time.monotonic_ns() - mono_ns)
        return outcome

    def _apply(self, book: PureBook, delta: Delta, mono_ns: int, utc_ns: int) -> None:
        schema = self._schema
        if delta.is_snapshot:
            book.replace(delta.levels)
            book.touched = None
        else:
            delta.settle(book.sequence)
            for side, price, qty in delta.levels:
                book.put(side, price, qty)
            if book.touched is not None:
                book.touched.update(-price if side else price for side, price, _ in delta.levels)
        if schema.window:
            book.trim(schema.window)
        if delta.last < book.sequence:
            book.recent.clear()  # ids start anew: the old ones may come again
        book.sequence = delta.last
        book.recent.append(delta.last)
        book.joined = True
        book.updates += 1
        book.recv_mono_ns, book.recv_utc_ns = mono_ns, utc_ns
        if delta.event_time:
            book.venue_utc_ns = delta.event_time * schema.time_unit_ns
        book.state, book.reason = BookState.LIVE, ""  # whoever watches hears of it once it is not crossed
        rows = self.rows
        if rows is None:
            return
        if rows.size + len(delta.levels) > rows.capacity:
            rows.dropped += len(delta.levels)
            return
        first = -1 if delta.is_snapshot else delta.first
        venue_ns = delta.transaction_time * schema.time_unit_ns or book.venue_utc_ns
        for side, price, qty in delta.levels:
            rows.append((utc_ns, venue_ns, first, delta.last, book.book_id, side, price, qty))


class Delta:
    """One frame of one book, every value checked; raises BadFrame.

    Attributes:
        first, last, previous: ids; ``previous`` is -1 where there is none.
        levels: bids, then asks; those of a snapshot best first.
        level_ids: one a level, where levels have ids.
    """

    def __init__(self, schema: DepthSchema, fields: dict[str, Any], book: PureBook) -> None:
        is_quoting = schema.is_quoting_integers
        self.last = integer(fields.get(schema.last_key), is_quoting)
        self.first = self.last
        if schema.first_key is not None:
            self.first = integer(fields.get(schema.first_key), is_quoting)
        if self.last < self.first:
            raise BadFrame
        self.is_snapshot = self._kind(schema, fields)
        self.previous = self._previous(schema, fields)
        times = []
        for key in (schema.event_time_key, schema.transaction_time_key):
            time_units = integer(fields[key], is_quoting, 19) if key is not None and key in fields else 0
            times.append(time_units)
        self.event_time, self.transaction_time = times
        self.levels: list[Level] = []
        self.level_ids: list[int] = []
        if schema.change_key is not None:
            sides = change_rows(fields.get(schema.change_key))
        else:
            bids, asks = fields.get(schema.bids_key or ""), fields.get(schema.asks_key or "")
            sides = array_rows(bids, schema.level_keys), array_rows(asks, schema.level_keys)
        for side, rows in enumerate(sides):
            for row in rows:
                self._level(schema, side, row, book)
        if self.is_snapshot:
            self._check_snapshot()

    def check_times(self, unit_ns: int, utc_ns: int) -> bool:
        """Forget times that cannot be the venue's present; return whether there were any."""
        times = [time * unit_ns for time in (self.event_time, self.transaction_time) if time]
        is_odd = any(ns >= 2**63 or (utc_ns and abs(ns - utc_ns) > TIME_GUARD_NS) for ns in times)
        if is_odd:
            self.event_time = self.transaction_time = 0
        return is_odd

    def _kind(self, schema: DepthSchema, fields: dict[str, Any]) -> bool:
        """Tell whether this is a snapshot."""
        if schema.kind_key is not None:
            kind = fields.get(schema.kind_key)
            if type(kind) is not str or kind not in (schema.snapshot_kind, schema.delta_kind):
                raise BadFrame
            if kind == schema.snapshot_kind:
                return True
        return self.last == schema.restart_id

    def _previous(self, schema: DepthSchema, fields: dict[str, Any]) -> int:
        key = schema.previous_key
        is_needed = schema.rule is not SequenceRule.RANGE and not self.is_snapshot
        if key is None or (key not in fields and not is_needed):
            return -1
        value = fields.get(key)
        if schema.is_in_band and not is_needed and isinstance(value, BareNumber) and value == "-1":
            return -1
        return integer(value, schema.is_quoting_integers)

    def _level(self, schema: DepthSchema, side: int, row: list[Any], book: PureBook) -> None:
        price = scaled(row[0], book.price_scale)
        if price == 0 and not (schema.is_zero_price_void and not self.is_snapshot):
            raise BadFrame
        self.levels.append((side, price, scaled(row[1], book.qty_scale, book.contract)))
        if schema.has_level_ids:
            level_id = integer(row[2] if len(row) > 2 else None, True)
            if level_id > self.last:
                raise BadFrame
            self.level_ids.append(level_id)

    def _check_snapshot(self) -> None:
        places = [(side, price) for side, price, _ in self.levels]
        if len(set(places)) != len(places) or any(qty == 0 for _, _, qty in self.levels):
            raise BadFrame
        self.levels.sort(key=lambda level: (level[0], level[1] if level[0] else -level[1]))

    def settle(self, sequence: int) -> None:
        """Drop void levels and those that the book contains; put the rest in the order of their ids."""
        ids = self.level_ids or [sequence + 1] * len(self.levels)
        kept = [
            (level[0], level_id, level)
            for level, level_id in zip(self.levels, ids, strict=True)
            if level[1] and level_id > sequence
        ]
        self.levels = [level for _, _, level in sorted(kept, key=lambda item: item[:2])]


def decide(schema: DepthSchema, book: PureBook, delta: Delta, mono_ns: int) -> Feed:
    """Apply the venue's sequence rule; APPLIED means "go on and apply"."""
    first, last, previous = delta.first, delta.last, delta.previous
    if book.feeds > 1:
        book.had_twins = True
    if delta.is_snapshot:
        if book.had_twins and book.follows and last != schema.restart_id:
            is_chain = schema.rule is SequenceRule.CHAIN
            is_past = last in book.recent if is_chain else last < book.sequence
            if last == book.sequence or is_past:
                return Feed.OLD  # a late beginning: another connection has proven as much
            if book.feeds > 1:
                return Feed.AHEAD
        return Feed.BUFFER if book.state is BookState.HALTED else Feed.APPLIED
    if schema.rule is SequenceRule.CHAIN:
        return decide_chain(book, delta, delta.event_time * schema.time_unit_ns, mono_ns)
    if schema.has_heartbeats and last == book.sequence and not delta.levels and book.follows:
        return Feed.OLD
    if book.follows and book.joined:
        if schema.rule is SequenceRule.RANGE:
            continues = first <= book.sequence + 1
        else:
            continues = previous == book.sequence
        if last > book.sequence:
            if continues:
                return Feed.APPLIED
            if book.feeds > 1:
                return Feed.AHEAD
            book.fall(BookState.STALE, "sequence gap")
            return Feed.GAP
        # Already contained, unless it is newer by the venue's clock: then the ids were reset.
        event_ns = delta.event_time * schema.time_unit_ns
        if delta.event_time and book.venue_utc_ns and event_ns > book.venue_utc_ns:
            book.fall(BookState.STALE, "sequence went backwards")
            return Feed.GAP
        return Feed.OLD
    if book.state is not BookState.JOINING and not book.follows:
        return Feed.BUFFER
    # A snapshot is in; this delta is old, joins it, or shows that one is missing.
    if schema.rule is SequenceRule.RANGE:
        if last <= book.sequence:
            book.dropped_last = last
            return Feed.OLD
        if first <= book.sequence + 1:
            return Feed.APPLIED
    else:
        if last < book.sequence:
            book.dropped_last = last
            return Feed.OLD
        if first <= book.sequence or previous == book.sequence:
            return Feed.APPLIED
        if book.dropped_last >= 0 and previous == book.dropped_last:
            return Feed.APPLIED
    if book.feeds > 1 and book.follows:
        return Feed.AHEAD
    book.fall(BookState.STALE, "sequence gap")
    return Feed.GAP


def decide_chain(book: PureBook, delta: Delta, event_ns: int, mono_ns: int) -> Feed:
    """Apply the CHAIN rule to a delta: it follows exactly what we have, or something is missing."""
    if not book.follows and book.state is not BookState.JOINING:
        return Feed.BUFFER
    if delta.previous != book.sequence:
        if book.follows and delta.last in book.recent:
            return Feed.OLD  # a copy of what was applied
        is_recent = mono_ns - book.recv_mono_ns < SLOW_TWIN_NS
        if book.follows and book.had_twins and 0 < event_ns < book.venue_utc_ns and is_recent:
            return Feed.OLD  # older than a twin's snapshot, which came just now
        if book.follows and book.feeds > 1:
            return Feed.AHEAD
        book.fall(BookState.STALE, "sequence gap")
        return Feed.GAP
    if delta.last != book.sequence:  # ids that went back are the venue's reset: the chain still holds
        return Feed.APPLIED
    if delta.levels:
        book.fall(BookState.STALE, "levels under a repeated id")
        return Feed.GAP
    return Feed.OLD
