"""The readable book and depth feed: oracle of the tests, fallback where nothing could be compiled.

Every rule of the compiled kernel stands here in plain Python, in the same order and under the same
names. It trades speed (several times slower) for being checkable by eye.
"""

from __future__ import annotations

import bisect
import json
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model.errors import BookNotLive, UsageError
from engine.model.market import BookSnapshot, BookState, DepthSchema, Feed, SequenceRule
from engine.model.rows import PureDeltaRows
from engine.telemetry.histogram import PureHistogram

LEVELS_MAX = 100_000
FRAME_BYTES_MAX = 33_554_432
DEPTH_MAX = 64
CONTAINER_DEPTH_MAX = 4
_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)


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


class PureBook:
    """One L2 book; see ``l2.BookLike``."""

    def __init__(self, name: str, price_scale: int, qty_scale: int, book_id: int = 0) -> None:
        if not 0 <= price_scale <= 18 or not 0 <= qty_scale <= 18:
            raise UsageError(f"{name}: scales must lie between 0 and 18")
        self.name = name
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self.book_id = book_id
        self.epoch = 0
        self.updates = 0
        self._sides = (PureLadder(1), PureLadder(-1))
        self.clear()

    def fall(self, state: BookState, reason: str) -> None:
        """Set the state and why."""
        self.state = state
        self.reason = reason

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
        self.joined = False
        self.dropped_last = -1
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

    @property
    def state_name(self) -> str:
        """Return the state's name."""
        return self.state.name

    @property
    def is_live(self) -> bool:
        """Tell whether the book provably equals the venue's."""
        return self.state is BookState.LIVE

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


class _Bad(Exception):
    """The frame is JSON, but not a delta that can be believed."""


class _Members(list[tuple[str, Any]]):
    """An object's members in order, repeated keys kept."""


class PureDepthFeed:
    """Applies the depth frames of one connection to its books; see ``l2.DepthFeedLike``."""

    def __init__(self, schema: DepthSchema) -> None:
        if schema.rule is SequenceRule.PREVIOUS and schema.previous_key is None:
            raise UsageError("the PREVIOUS rule needs previous_key")
        if len(schema.route_keys) not in (1, 2):
            raise UsageError("a schema has one or two route keys")
        self._schema = schema
        self._fields = {
            key
            for key in (
                *schema.route_keys,
                schema.first_key,
                schema.last_key,
                schema.previous_key,
                schema.bids_key,
                schema.asks_key,
                schema.event_time_key,
                schema.transaction_time_key,
            )
            if key is not None
        }
        self._books: dict[str, PureBook] = {}
        self._outcomes = dict.fromkeys(Feed, 0)
        self.last_book: PureBook | None = None
        self.last_outcome = Feed.PASS
        self.on_attention: Callable[[Any, int, bytes], None] | None = None
        self.on_update: Callable[[Any], None] | None = None
        self.rows: PureDeltaRows | None = None
        self.stages = 1
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
        fields = self._read(raw)
        if fields is None:
            return Feed.PASS
        book = fields.pop("book")
        self.last_book = book
        try:
            if fields.get("bad"):
                raise _Bad
            levels = self._levels(fields, book)
        except _Bad:
            if book.state in (BookState.LIVE, BookState.JOINING):
                book.fall(BookState.STALE, "malformed delta")
            return Feed.REJECTED
        outcome = decide(self._schema, book, fields)
        if outcome is not Feed.APPLIED:
            return outcome
        self._apply(book, fields, levels, mono_ns, utc_ns)
        if book.is_crossed:
            book.fall(BookState.STALE, "crossed")
            outcome = Feed.CROSSED
        if self.stages and mono_ns:
            self.wire_to_book_ns.record(time.monotonic_ns() - mono_ns)
        return outcome

    # ------------------------------------------------------------------------------------------ read

    def _read(self, raw: bytes) -> dict[str, Any] | None:
        """Return the frame's fields with their book, or ``None`` for somebody else's frame.

        Like the kernel, this reads in order: a frame that breaks after its route was seen is a bad delta
        of that book; one that breaks before is nobody's.
        """
        if len(raw) > FRAME_BYTES_MAX:
            return None
        try:
            document = _parse(raw)
        except (ValueError, RecursionError):
            book = self._book_of_broken(raw)
            return {"book": book, "bad": True} if book is not None else None
        if not isinstance(document, _Members):
            return None
        fields: dict[str, Any] = {"bad": False}
        self._collect(document, fields, 0)
        parts = [fields.get(key) for key in self._schema.route_keys]
        if not all(isinstance(part, str) for part in parts):
            return None
        book = self._books.get("\n".join(parts))  # type: ignore[arg-type]
        if book is None:
            return None
        fields["book"] = book
        return fields

    def _collect(self, members: _Members, fields: dict[str, Any], depth: int) -> None:
        for key, value in members:
            if key in self._schema.containers:
                if isinstance(value, _Members) and depth < CONTAINER_DEPTH_MAX:
                    self._collect(value, fields, depth + 1)
            elif key in self._fields:
                if key in fields:
                    fields["bad"] = True
                fields[key] = value

    def _book_of_broken(self, raw: bytes) -> PureBook | None:
        """Return the book whose route stands whole before the place where the JSON breaks."""
        if len(self._schema.route_keys) != 1:
            return None
        key = json.dumps(self._schema.route_keys[0]).encode()
        match = re.match(
            rb"[ \t\r\n]*\{[ \t\r\n]*" + re.escape(key) + rb'[ \t\r\n]*:[ \t\r\n]*("[^"\\]*")', raw
        )
        if match is None:
            return None
        try:
            return self._books.get(json.loads(match[1]))
        except ValueError:
            return None

    def _levels(self, fields: dict[str, Any], book: PureBook) -> list[tuple[int, int, int]]:
        schema = self._schema
        first = _integer(fields.get(schema.first_key))
        last = _integer(fields.get(schema.last_key))
        if last < first:
            raise _Bad
        fields["first"], fields["last"] = first, last
        fields["previous"] = -1
        if schema.previous_key is not None and (
            schema.rule is SequenceRule.PREVIOUS or schema.previous_key in fields
        ):
            fields["previous"] = _integer(fields.get(schema.previous_key))
        for name, key in (("event", schema.event_time_key), ("transaction", schema.transaction_time_key)):
            fields[name] = _integer(fields[key]) if key is not None and key in fields else 0
            if fields[name] * schema.time_unit_ns >= 2**63:
                raise _Bad  # later than that is no time in this unit
        levels: list[tuple[int, int, int]] = []
        for side, key in ((0, schema.bids_key), (1, schema.asks_key)):
            rows = fields.get(key)
            if not isinstance(rows, list) or isinstance(rows, _Members) or len(rows) > LEVELS_MAX:
                raise _Bad
            for row in rows:
                if not isinstance(row, list) or isinstance(row, _Members) or len(row) < 2:
                    raise _Bad
                price = _scaled(row[0], book.price_scale)
                if price == 0:
                    raise _Bad
                levels.append((side, price, _scaled(row[1], book.qty_scale)))
        return levels

    def _apply(
        self,
        book: PureBook,
        fields: dict[str, Any],
        levels: list[tuple[int, int, int]],
        mono_ns: int,
        utc_ns: int,
    ) -> None:
        for side, price, qty in levels:
            book.put(side, price, qty)
        book.sequence = fields["last"]
        book.joined = True
        book.updates += 1
        book.recv_mono_ns, book.recv_utc_ns = mono_ns, utc_ns
        if fields["event"]:
            book.venue_utc_ns = fields["event"] * self._schema.time_unit_ns
        book.fall(BookState.LIVE, "")
        rows = self.rows
        if rows is None:
            return
        if rows.size + len(levels) > rows.capacity:
            rows.dropped += len(levels)
            return
        venue_ns = (fields["transaction"] or 0) * self._schema.time_unit_ns or book.venue_utc_ns
        for side, price, qty in levels:
            rows.append((utc_ns, venue_ns, fields["first"], fields["last"], book.book_id, side, price, qty))


def decide(schema: DepthSchema, book: PureBook, fields: dict[str, Any]) -> Feed:
    """Apply the venue's sequence rule; APPLIED means "go on and apply"."""
    first, last, previous = fields["first"], fields["last"], fields["previous"]
    if book.state is BookState.LIVE and book.joined:
        if schema.rule is SequenceRule.RANGE:
            continues = first <= book.sequence + 1
        else:
            continues = previous == book.sequence
        if last > book.sequence:
            if continues:
                return Feed.APPLIED
            book.fall(BookState.STALE, "sequence gap")
            return Feed.GAP
        # Already contained, unless it is newer by the venue's clock: then the ids were reset.
        event_ns = fields["event"] * schema.time_unit_ns
        if fields["event"] and book.venue_utc_ns and event_ns > book.venue_utc_ns:
            book.fall(BookState.STALE, "sequence went backwards")
            return Feed.GAP
        return Feed.OLD
    if book.state not in (BookState.JOINING, BookState.LIVE):
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
    book.fall(BookState.STALE, "sequence gap")
    return Feed.GAP


class _BareNumber(str):
    """The text of a JSON number."""

    __slots__ = ()


def _parse(raw: bytes) -> Any:
    """Parse strict JSON; objects keep order and repeated keys, numbers keep their text."""

    def refuse(text: str) -> Any:
        raise ValueError(text)

    text = raw.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("byte order mark")
    return json.loads(
        text,
        object_pairs_hook=_Members,
        parse_int=_BareNumber,
        parse_float=_BareNumber,
        parse_constant=refuse,
        strict=True,
    )


def _integer(value: Any) -> int:
    if not isinstance(value, _BareNumber) or len(value) > 18 or not value.isascii() or not value.isdecimal():
        raise _Bad
    return int(value)


def _scaled(value: Any, scale: int) -> int:
    """Return an exact scaled integer, or raise: signs, exponents and what does not fit are refused."""
    if not isinstance(value, str):
        raise _Bad
    match = _DECIMAL.fullmatch(value)
    if match is None:
        raise _Bad
    whole, fraction = match[1], match[2] or ""
    if len(whole) + len(fraction) > 18:
        fraction = fraction.rstrip("0")
        if len(whole) + len(fraction) > 18:
            raise _Bad
    excess = fraction[scale:]
    if excess.strip("0"):
        raise _Bad
    mantissa = int(whole + fraction[:scale].ljust(scale, "0"))
    if mantissa > 2**63 - 1:
        raise _Bad
    return mantissa
