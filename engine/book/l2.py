"""The one L2 book and its feed: the contract, and the implementation this machine can run.

``Book`` and ``DepthFeed`` are the compiled kernel where it was built, the pure-Python twins otherwise;
``COMPILED`` tells which. Both behave alike in every state and on every input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.book.pure import PureBook, PureDepthFeed
from engine.model.market import BookSnapshot, BookState, DepthSchema, Feed
from engine.telemetry.histogram import HistogramLike

try:
    from engine.book._kernel import DepthFeed as _NativeDepthFeed
    from engine.book._kernel import NativeBook as _NativeBook

    COMPILED = True
except ImportError:
    COMPILED = False


ONE = Decimal(1)


class BookLike(Protocol):
    """One L2 book in scaled int64.

    Life where snapshots come by REST: EMPTY -> ``begin_sync`` SYNCING -> ``load_snapshot`` JOINING ->
    first joining delta LIVE; a gap, a malformed delta, a crossed book or ``mark_stale`` make it STALE until
    the next ``begin_sync``. A snapshot that comes on the stream makes the book LIVE at once, from any state
    but HALTED.
    Reads of prices refuse unless LIVE; ``*_unchecked``, ``depth`` and ``levels`` serve views that show
    the state beside the numbers. Arrays returned are copies.

    Attributes:
        sequence: the venue's id of the last delta contained.
        epoch: how often synchronisation began.
        venue_utc_ns: the venue's time of the last delta (0 = unknown).
        recv_mono_ns, recv_utc_ns: our stamps of the last delta applied.
        reason: why the book is not LIVE, "" when it is.
        updates: deltas applied since the start.
        dropped_last: final id of the last delta that the snapshot already contained, -1 = none.
        feeds: connections that serve it; with more than one, the first copy of a delta wins.
        touched: where a set was put here, the prices of deltas are added to it, those of asks negative;
            ``None`` otherwise, and again after a snapshot or a new beginning.
    """

    name: str
    price_scale: int
    qty_scale: int
    contract_size: Decimal
    book_id: int
    sequence: int
    epoch: int
    venue_utc_ns: int
    recv_mono_ns: int
    recv_utc_ns: int
    reason: str
    updates: int
    dropped_last: int
    feeds: int
    touched: set[int] | None

    @property
    def state(self) -> BookState:
        """Return the state."""
        ...

    @property
    def state_name(self) -> str:
        """Return the state's name."""
        ...

    @property
    def is_live(self) -> bool:
        """Tell whether the book provably equals the venue's."""
        ...

    @property
    def is_crossed(self) -> bool:
        """Tell whether best bid >= best ask."""
        ...

    def clear(self) -> None:
        """Forget every level; EMPTY."""
        ...

    def begin_sync(self, reason: str = "synchronising") -> None:
        """Wait for a snapshot from now on; SYNCING, deltas answer ``Feed.BUFFER``."""
        ...

    def load_snapshot(self, snapshot: BookSnapshot) -> None:
        """Replace all levels; JOINING. Raises UsageError for levels that cannot be."""
        ...

    def accept_snapshot(self) -> bool:
        """Call a JOINING book LIVE on its snapshot alone; see the kernel for when that is right."""
        ...

    def extend(self, side: int, levels: npt.NDArray[np.int64], horizon: int) -> None:
        """Add levels beyond the horizon, as an audit found them, and move the horizon outwards.

        Raises:
            UsageError: the book is not LIVE, or a level does not lie beyond the horizon; nothing was added.
        """
        ...

    def mark_stale(self, reason: str) -> None:
        """Say that the book may be wrong."""
        ...

    def halt(self, reason: str = "halted by the venue") -> None:
        """Say that the venue does not trade the instrument now."""
        ...

    def touch(self) -> tuple[int, int, int, int]:
        """Return (bid price, bid qty, ask price, ask qty), zeros for an empty side; raises BookNotLive."""
        ...

    def touch_unchecked(self) -> tuple[int, int, int, int]:
        """Return the touch whatever the state."""
        ...

    def touch_floats(self) -> tuple[float, float, float, float]:
        """Return the touch as floats for display; raises BookNotLive."""
        ...

    def levels(self, side: int) -> int:
        """Return how many levels a side has (0 = bids, 1 = asks)."""
        ...

    def depth(self, side: int, limit: int = -1) -> npt.NDArray[np.int64]:
        """Return up to ``limit`` levels, best first: int64, shape (n, 2), a copy."""
        ...

    def cumulative(self, side: int, limit: int = -1) -> npt.NDArray[np.int64]:
        """Return :meth:`depth` with running totals of quantity."""
        ...

    def horizon(self, side: int) -> int:
        """Return the worst price the snapshot covered; beyond it levels may be missing."""
        ...


FRAME_STAGES = (
    "received_to_entered",
    "entered_to_parsed",
    "parsed_to_decided",
    "decided_to_applied",
    "applied_to_done",
)
"""Between the six stamps of a frame: bytes received; kernel entered; bytes walked; values scaled and the
frame's place in the sequence decided; levels in the book; book checked, recorded, told to whoever watches."""


class DepthFeedLike(Protocol):
    """Applies the depth frames of one connection.

    Attributes:
        on_attention: called as ``(book, feed_code, payload)`` for BUFFER, GAP, REJECTED and CROSSED; the
            payload is a copy.
        on_update: called with the book after each applied delta, or ``None`` (the default, and fastest).
        rows: where applied levels are appended for the recorder, or ``None``.
        stages: 0 = no stamps, 1 = wire-to-book only, 2 = every stage.
        odd_times: frames whose event time was a wrong unit or far off (told by the ``utc_ns`` argument); what
            they say of the book was used, what they say of time was not.
        wire_to_book_ns: bytes received (the ``mono_ns`` argument) to book readable.
        stage_ns: one histogram for each of ``FRAME_STAGES``; the fallback in Python leaves them empty.
    """

    on_attention: Callable[[Any, int, bytes], None] | None
    on_update: Callable[[Any], None] | None
    rows: Any
    stages: int

    @property
    def odd_times(self) -> int:
        """Return how many frames had an event time that is not believed."""
        ...

    @property
    def stage_ns(self) -> Sequence[HistogramLike]:
        """Return the histograms of the stages of applied frames."""
        ...

    @property
    def wire_to_book_ns(self) -> HistogramLike:
        """Return the histogram of bytes received to book readable."""
        ...

    @property
    def last_outcome(self) -> Feed:
        """Return what the latest frame did."""
        ...

    def add(self, route: str, book: Any) -> None:
        """Serve a route with a book."""
        ...

    def remove(self, route: str) -> None:
        """Stop serving a route."""
        ...

    def feed(self, data: bytes | bytearray | memoryview, mono_ns: int = 0, utc_ns: int = 0) -> bool:
        """Hand one message over; return whether it was a depth frame of ours."""
        ...

    def feed_code(self, data: bytes | bytearray | memoryview, mono_ns: int = 0, utc_ns: int = 0) -> int:
        """Hand one message over; return its ``Feed`` code."""
        ...

    def counts(self) -> dict[str, int]:
        """Return how many frames had each outcome."""
        ...


def new_book(
    name: str, price_scale: int, qty_scale: int, book_id: int = 0, contract_size: Decimal = ONE
) -> BookLike:
    """Return an EMPTY book of the best implementation there is.

    Args:
        contract_size: base units in one wire quantity (``Instrument.contract_size``); the book holds base
            units whatever the wire speaks. Snapshots that ``load_snapshot`` takes are in base units already.
    """
    if COMPILED:
        return _NativeBook(name, price_scale, qty_scale, book_id, contract_size)
    return PureBook(name, price_scale, qty_scale, book_id, contract_size)


def new_feed(schema: DepthSchema) -> DepthFeedLike:
    """Return a feed of the best implementation there is; it takes books of ``new_book``."""
    if COMPILED:
        return _NativeDepthFeed(schema)
    return PureDepthFeed(schema)


def decimal_text(scaled: int, scale: int) -> str:
    """Return a scaled integer as plain decimal text without trailing zeros, exactly."""
    text = format(Decimal(scaled).scaleb(-scale), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def levels_text(book: BookLike, side: int, limit: int = -1) -> list[list[str]]:
    """Return ``[["price", "qty"], ...]``, best first, as exact decimal text."""
    return [
        [decimal_text(price, book.price_scale), decimal_text(qty, book.qty_scale)]
        for price, qty in book.depth(side, limit).tolist()
    ]
