"""The readable top of several books: oracle of the tests, fallback where nothing could be compiled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from engine.book.pure import PureBook, PureWatcher
from engine.model.errors import UsageError
from engine.telemetry.histogram import PureHistogram

SLOTS_MAX = 32
_INT64_MAX = 2**63 - 1


class PureTop(PureWatcher):
    """Best bid and ask over the LIVE ones of several books. See ``consolidated.TopLike`` for the contract."""

    def __init__(self) -> None:
        self._books: list[PureBook] = []
        self._touches: list[tuple[int, int, int, int]] = []
        self._misfits: list[bool] = []
        self.price_scale = self.qty_scale = 0
        self.version = self.errors = 0
        self.last_error = ""
        self.bid = self.bid_qty = self.ask = self.ask_qty = 0
        self.bid_slot = self.ask_slot = -1
        self.on_change: Callable[[Any], None] | None = None
        self.wire_to_top_ns = PureHistogram()

    def add(self, book: PureBook) -> int:
        """Watch one more book and return its slot; raises UsageError as the compiled one does."""
        if book.watcher is not None:
            raise UsageError(f"{book.name} is watched already")
        if len(self._books) == SLOTS_MAX:
            raise UsageError(f"at most {SLOTS_MAX} books can be watched together")
        book.watcher, book.watch_slot = self, len(self._books)
        self._books.append(book)
        self._touches.append((0, 0, 0, 0))
        self._misfits.append(False)
        self.price_scale = max(self.price_scale, book.price_scale)
        self.qty_scale = max(self.qty_scale, book.qty_scale)
        for each in self._books:
            self._look(each)
        self._rank()
        return book.watch_slot

    def remove_all(self) -> None:
        """Stop watching; the top is empty from then on."""
        for book in self._books:
            book.watcher = None
        self._books, self._touches, self._misfits = [], [], []
        self._rank()

    def _look(self, book: PureBook) -> None:
        price_factor = 10 ** (self.price_scale - book.price_scale)
        qty_factor = 10 ** (self.qty_scale - book.qty_scale)
        bid, bid_qty, ask, ask_qty = book.touch_unchecked() if book.is_live else (0, 0, 0, 0)
        touch = (bid * price_factor, bid_qty * qty_factor, ask * price_factor, ask_qty * qty_factor)
        is_misfit = max(touch) > _INT64_MAX
        self._misfits[book.watch_slot] = is_misfit
        self._touches[book.watch_slot] = (0, 0, 0, 0) if is_misfit else touch

    def _rank(self) -> bool:
        before = self.touch()
        bids = [(bid, qty, -slot) for slot, (bid, qty, _, _) in enumerate(self._touches) if bid]
        asks = [(-ask, qty, -slot) for slot, (_, _, ask, qty) in enumerate(self._touches) if ask]
        bid, self.bid_qty, bid_slot = max(bids, default=(0, 0, 1))
        ask, self.ask_qty, ask_slot = max(asks, default=(0, 0, 1))
        self.bid, self.bid_slot, self.ask, self.ask_slot = bid, -bid_slot, -ask, -ask_slot
        is_new = self.touch() != before
        self.version += is_new
        return is_new

    def touched(self, book: PureBook, is_update: bool) -> None:
        """Take note of a book."""
        self._look(book)
        if not self._rank():
            return
        if is_update and book.recv_mono_ns:
            self.wire_to_top_ns.record(time.monotonic_ns() - book.recv_mono_ns)
        if self.on_change is not None:
            try:
                self.on_change(self)
            except Exception as error:  # somebody else's code: it must not cost the connection its books
                self.errors += 1
                self.last_error = f"{type(error).__name__}: {error}"[:300]

    def touch(self) -> tuple[int, int, int, int, int, int]:
        """Return (bid, bid qty, bid slot, ask, ask qty, ask slot), scaled; 0, 0, -1 for an empty side."""
        return (self.bid, self.bid_qty, self.bid_slot, self.ask, self.ask_qty, self.ask_slot)

    def slot_touch(self, number: int) -> tuple[int, int, int, int]:
        """Return one book's (bid, bid qty, ask, ask qty) in common scales; zeros unless it takes part."""
        self._check(number)
        return self._touches[number]

    def is_misfit(self, number: int) -> bool:
        """Tell whether a LIVE book was left out because its numbers do not fit the common scales."""
        self._check(number)
        return self._misfits[number]

    def _check(self, number: int) -> None:
        if not 0 <= number < len(self._books):
            raise UsageError(f"no slot {number}")
