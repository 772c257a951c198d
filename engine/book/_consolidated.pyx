# cython: language_level=3
"""The compiled top of several books: kept current by the books themselves, without a Python object.

Each watched book calls ``touched`` after every delta that was applied and whenever its state changes; a touch
that did not move costs a comparison. ``pure_consolidated.py`` is the readable twin of every rule here.
"""

from libc.stdint cimport INT64_MAX

from engine.model._native cimport mono_now_ns

from engine.model.errors import UsageError
from engine.telemetry._histogram import Histogram as NewHistogram

cdef enum:
    LIVE = 3
    SLOTS_MAX = 32


cdef class NativeTop(BookWatcher):
    """Best bid and ask over the LIVE ones of several books. See ``consolidated.TopLike`` for the contract."""

    def __init__(self):
        self.books = []
        self.bid_slot = self.ask_slot = -1
        self.last_error = ""
        self.wire_to_top_ns = NewHistogram()

    def add(self, NativeBook book not None):
        """Watch one more book and return its slot.

        Raises:
            UsageError: the book is watched already, or there are too many.
        """
        if book.watcher is not None:
            raise UsageError(f"{book.name} is watched already")
        if self.count == SLOTS_MAX:
            raise UsageError(f"at most {SLOTS_MAX} books can be watched together")
        cdef int slot = self.count
        cdef int each
        self.books.append(book)
        self.count += 1
        self.price_scale = max(self.price_scale, book.price_scale)
        self.qty_scale = max(self.qty_scale, book.qty_scale)
        for each in range(self.count):
            self.slots[each].price_factor = 10 ** (self.price_scale - self.books[each].price_scale)
            self.slots[each].qty_factor = 10 ** (self.qty_scale - self.books[each].qty_scale)
        book.watcher = self
        book.watch_slot = slot
        for each in range(self.count):
            self.look(each, self.books[each])
        self.rank()
        return slot

    def remove_all(self):
        """Stop watching; the top is empty from then on."""
        cdef NativeBook book
        for book in self.books:
            book.watcher = None
        self.books = []
        self.count = 0
        self.rank()

    cdef int look(self, int number, NativeBook book) except -1:
        """Copy a book's touch into its slot; return 1 when something changed."""
        cdef Slot* slot = &self.slots[number]
        cdef Py_ssize_t bid_index = book.bids.size - 1
        cdef Py_ssize_t ask_index = book.asks.size - 1
        cdef int64_t bid = 0, bid_qty = 0, ask = 0, ask_qty = 0
        cdef bint is_live = book.state_code == LIVE
        cdef bint is_misfit = False
        if is_live:
            if bid_index >= 0:
                bid = book.bids.keys[bid_index]
                bid_qty = book.bids.qtys[bid_index]
            if ask_index >= 0:
                ask = -book.asks.keys[ask_index]
                ask_qty = book.asks.qtys[ask_index]
            if (
                bid > INT64_MAX // slot.price_factor
                or ask > INT64_MAX // slot.price_factor
                or bid_qty > INT64_MAX // slot.qty_factor
                or ask_qty > INT64_MAX // slot.qty_factor
            ):
                is_misfit = True
                bid = bid_qty = ask = ask_qty = 0
            else:
                bid *= slot.price_factor
                ask *= slot.price_factor
                bid_qty *= slot.qty_factor
                ask_qty *= slot.qty_factor
        if (
            slot.bid == bid
            and slot.bid_qty == bid_qty
            and slot.ask == ask
            and slot.ask_qty == ask_qty
            and slot.is_live == is_live
            and slot.is_misfit == is_misfit
        ):
            return 0
        slot.bid = bid
        slot.bid_qty = bid_qty
        slot.ask = ask
        slot.ask_qty = ask_qty
        slot.is_live = is_live
        slot.is_misfit = is_misfit
        return 1

    cdef int rank(self) except -1:
        """Find the best over all slots anew; return 1 when it changed."""
        cdef int64_t bid = 0, bid_qty = 0, ask = 0, ask_qty = 0
        cdef int bid_slot = -1, ask_slot = -1, number
        cdef Slot* slot
        for number in range(self.count):
            slot = &self.slots[number]
            if slot.bid > bid or (slot.bid == bid and slot.bid_qty > bid_qty):
                bid, bid_qty, bid_slot = slot.bid, slot.bid_qty, number
            if slot.ask and (ask == 0 or slot.ask < ask or (slot.ask == ask and slot.ask_qty > ask_qty)):
                ask, ask_qty, ask_slot = slot.ask, slot.ask_qty, number
        if (
            bid == self.bid
            and bid_qty == self.bid_qty
            and bid_slot == self.bid_slot
            and ask == self.ask
            and ask_qty == self.ask_qty
            and ask_slot == self.ask_slot
        ):
            return 0
        self.bid, self.bid_qty, self.bid_slot = bid, bid_qty, bid_slot
        self.ask, self.ask_qty, self.ask_slot = ask, ask_qty, ask_slot
        self.version += 1
        return 1

    cdef int touched(self, NativeBook book, bint is_update) except -1:
        if not self.look(book.watch_slot, book) or not self.rank():
            return 0
        if is_update and book.recv_mono_ns:
            self.wire_to_top_ns.add(mono_now_ns() - book.recv_mono_ns)
        if self.on_change is not None:
            try:
                self.on_change(self)
            except Exception as error:  # somebody else's code: it must not cost the connection its books
                self.errors += 1
                self.last_error = f"{type(error).__name__}: {error}"[:300]
        return 0

    def touch(self):
        """Return (bid, bid qty, bid slot, ask, ask qty, ask slot), scaled; 0, 0, -1 for an empty side."""
        return (self.bid, self.bid_qty, self.bid_slot, self.ask, self.ask_qty, self.ask_slot)

    def slot_touch(self, int number):
        """Return one book's (bid, bid qty, ask, ask qty) in common scales; zeros unless it takes part."""
        if not 0 <= number < self.count:
            raise UsageError(f"no slot {number}")
        cdef Slot* slot = &self.slots[number]
        return (slot.bid, slot.bid_qty, slot.ask, slot.ask_qty)

    def is_misfit(self, int number):
        """Tell whether a LIVE book was left out because its numbers do not fit the common scales."""
        if not 0 <= number < self.count:
            raise UsageError(f"no slot {number}")
        return bool(self.slots[number].is_misfit)
