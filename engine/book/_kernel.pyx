# cython: language_level=3
"""The compiled depth kernel: frame bytes to sorted int64 levels without a Python object per level.

One forward walk validates the JSON and collects ids and levels into scratch memory; only when the whole
frame parsed, every value fits the instrument's scales and the sequence rule agreed is the book touched.
So a bad frame changes nothing but the book's state. ``pure.py`` is the readable twin of every rule here.
"""

from decimal import Decimal

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from engine.model._native cimport TICKS, mono_now_ns, utc_now_ns

from engine.model.errors import BookNotLive, UsageError
from engine.model.market import BookState, Feed, SequenceRule, contract_parts

# BookState
cdef enum:
    EMPTY = 0
    SYNCING = 1
    JOINING = 2
    LIVE = 3
    STALE = 4
    HALTED = 5
    CROSSED_BOOK = 6

# Feed
cdef enum:
    PASS = 0
    APPLIED = 1
    OLD = 2
    BUFFER = 3
    GAP = 4
    REJECTED = 5
    CROSSED = 6
    AHEAD = 7

# SequenceRule
cdef enum:
    RANGE = 1
    PREVIOUS = 2
    CHAIN = 3

# Event times this far from the receive time are not the venue's present.
cdef int64_t TIME_GUARD_NS = 3_600_000_000_000
# A slow twin's frames are old news for so long after the last update.
cdef int64_t SLOW_TWIN_NS = 5_000_000_000

# what a known key means
cdef enum:
    SKIP = 0
    ROUTE0 = 1
    ROUTE1 = 2
    CONTAINER = 3
    FIRST = 4
    LAST = 5
    PREVIOUS_ID = 6
    BIDS = 7
    ASKS = 8
    EVENT_TIME = 9
    TRANSACTION_TIME = 10
    ROUTE2 = 11
    ARRAY = 12
    CONTROL = 13
    KIND = 14
    CHANGE = 15

# what a frame is
cdef enum:
    UNKNOWN_KIND = 0
    DELTA = 1
    SNAPSHOT = 2

cdef enum:
    OK = 0
    BROKEN = 1       # not JSON
    NOT_OURS = 2     # the route is known and is not one of our books

cdef enum:
    DEPTH_MAX = 64
    LEVELS_MAX = 100_000
    FRAME_BYTES_MAX = 33_554_432

cdef tuple STATE_NAMES = tuple(state.name for state in BookState)
cdef int64_t NONE = -1
cdef int64_t NO_RESTART = -2
cdef int64_t POWER10[19]
cdef int64_t FITS[19]  # the largest mantissa that can be multiplied by that power
cdef int _power
POWER10[0] = 1
for _power in range(1, 19):
    POWER10[_power] = POWER10[_power - 1] * 10
for _power in range(19):
    FITS[_power] = INT64_MAX // POWER10[_power]

assert (int(Feed.APPLIED), int(Feed.CROSSED), int(BookState.LIVE)) == (APPLIED, CROSSED, LIVE)
assert [int(rule) for rule in SequenceRule] == [RANGE, PREVIOUS, CHAIN]


cdef inline bint is_space(uint8_t c) noexcept nogil:
    return c == 32 or c == 10 or c == 13 or c == 9


cdef inline uint64_t hash_bytes(uint64_t h, const uint8_t* text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        h = (h ^ text[i]) * <uint64_t>1099511628211
    return h


cdef inline bint same_word(const Key* word, const uint8_t* text, Py_ssize_t size) noexcept nogil:
    return word.length == size and memcmp(word.text, text, size) == 0


cdef int set_word(Key* word, str text) except -1:
    raw = text.encode("ascii")
    if not 1 <= len(raw) <= 24:
        raise UsageError(f"schema word {text!r} must have 1 to 24 characters")
    memcpy(word.text, <const char*>raw, len(raw))
    word.length = <int>len(raw)
    return 0


# ------------------------------------------------------------------------------------------------ book

cdef class BookWatcher:
    """Hears of every change of the books that it watches, in C: see ``consolidated``."""

    cdef int touched(self, NativeBook book, bint is_update) except -1:
        """Take note of a book; ``is_update`` tells a delta that was applied from a change of its state."""
        return 0


cdef class NativeBook:
    """One L2 book: two sorted int64 ladders, a state, a sequence. See ``l2.BookLike`` for the contract."""

    def __init__(self, str name, int price_scale, int qty_scale, int64_t book_id=0, contract_size=Decimal(1)):
        if not 0 <= price_scale <= 18 or not 0 <= qty_scale <= 18:
            raise UsageError(f"{name}: scales must lie between 0 and 18")
        self.contract_mantissa, self.contract_decimals = contract_parts(name, contract_size)
        self.contract_size = contract_size
        self.name = name
        self.price_scale = price_scale
        self.qty_scale = qty_scale
        self.book_id = book_id
        self.feeds = 1
        memset(self.recent, -1, sizeof(self.recent))
        self.reserve(True, 1024)
        self.reserve(False, 1024)
        self.clear()

    cdef int reserve(self, bint is_bid, Py_ssize_t capacity) except -1:
        cdef Ladder* ladder = &self.bids if is_bid else &self.asks
        cdef int64_t[::1] key_view
        cdef int64_t[::1] qty_view
        keys = np.zeros(capacity, dtype=np.int64)
        qtys = np.zeros(capacity, dtype=np.int64)
        key_view = keys
        qty_view = qtys
        if ladder.size:
            memmove(&key_view[0], ladder.keys, ladder.size * sizeof(int64_t))
            memmove(&qty_view[0], ladder.qtys, ladder.size * sizeof(int64_t))
        ladder.keys = &key_view[0]
        ladder.qtys = &qty_view[0]
        ladder.capacity = capacity
        if is_bid:
            self.bid_arrays = (keys, qtys)
        else:
            self.ask_arrays = (keys, qtys)
        return 0

    cdef int put(self, bint is_bid, int64_t price, int64_t qty) except -1:
        """Set one level's absolute quantity; zero removes; removing an unknown level is normal."""
        cdef Ladder* ladder = &self.bids if is_bid else &self.asks
        cdef int64_t key = price if is_bid else -price
        cdef Py_ssize_t size = ladder.size
        cdef Py_ssize_t low, high, middle, step
        cdef int64_t* keys = ladder.keys
        # Changes cluster near the touch, which is at the end: gallop backwards, then bisect.
        high = size
        step = 1
        low = size - 1
        while low >= 0 and keys[low] >= key:
            high = low
            low -= step
            step <<= 1
        if low < 0:
            low = 0
        else:
            low += 1
        while low < high:
            middle = (low + high) >> 1
            if keys[middle] < key:
                low = middle + 1
            else:
                high = middle
        if low < size and keys[low] == key:
            if qty:
                ladder.qtys[low] = qty
            else:
                ladder.size = size - 1
                if low < size - 1:
                    memmove(&keys[low], &keys[low + 1], (size - 1 - low) * sizeof(int64_t))
                    memmove(&ladder.qtys[low], &ladder.qtys[low + 1], (size - 1 - low) * sizeof(int64_t))
            return 0
        if qty == 0:
            return 0
        if size == ladder.capacity:
            self.reserve(is_bid, size * 2)
            keys = ladder.keys
        if low < size:
            memmove(&keys[low + 1], &keys[low], (size - low) * sizeof(int64_t))
            memmove(&ladder.qtys[low + 1], &ladder.qtys[low], (size - low) * sizeof(int64_t))
        keys[low] = key
        ladder.qtys[low] = qty
        ladder.size = size + 1
        return 0

    cdef int replace(self, bint is_bid, const Number* numbers, Py_ssize_t count) except -1:
        """Set a whole side from scaled levels, best first, prices distinct."""
        cdef Ladder* ladder = &self.bids if is_bid else &self.asks
        cdef Py_ssize_t i, capacity = ladder.capacity
        cdef int64_t sign = 1 if is_bid else -1
        ladder.size = 0
        while capacity < count:
            capacity *= 2
        if capacity > ladder.capacity:
            self.reserve(is_bid, capacity)
        for i in range(count):
            ladder.keys[count - 1 - i] = sign * numbers[2 * i].mantissa
            ladder.qtys[count - 1 - i] = numbers[2 * i + 1].mantissa
        ladder.size = count
        if is_bid:
            self.bid_horizon = ladder.keys[0] if count else 0
        else:
            self.ask_horizon = -ladder.keys[0] if count else 0
        return 0

    cdef void trim(self, Py_ssize_t window) noexcept:
        """Drop the levels beyond the best ``window`` of each side."""
        cdef Ladder* ladder
        cdef Py_ssize_t extra
        cdef int which
        for which in range(2):
            ladder = &self.asks if which else &self.bids
            extra = ladder.size - window
            if extra > 0:
                memmove(ladder.keys, ladder.keys + extra, window * sizeof(int64_t))
                memmove(ladder.qtys, ladder.qtys + extra, window * sizeof(int64_t))
                ladder.size = window

    cdef inline bint crossed(self) noexcept:
        return (
            self.bids.size > 0
            and self.asks.size > 0
            and self.bids.keys[self.bids.size - 1] >= -self.asks.keys[self.asks.size - 1]
        )

    cdef int fall(self, int state, str reason) except -1:
        self.state_code = state
        self.reason = reason
        if self.watcher is not None:
            self.watcher.touched(self, False)
        return 0

    cdef inline bint follows(self) noexcept:
        """Tell whether deltas are applied one after another."""
        return self.state_code == LIVE or self.state_code == CROSSED_BOOK

    cdef inline bint is_recent(self, int64_t last_id) noexcept:
        cdef int i
        for i in range(256):
            if self.recent[i] == last_id:
                return True
        return False

    # -------------------------------------------------------------------------------------- changes

    def clear(self):
        """Forget every level; the book is EMPTY."""
        self.bids.size = 0
        self.asks.size = 0
        self.sequence = 0
        self.joined = False
        self.dropped_last = NONE
        self.venue_utc_ns = 0
        self.recv_mono_ns = 0
        self.recv_utc_ns = 0
        self.bid_horizon = 0
        self.ask_horizon = 0
        self.fall(EMPTY, "never synchronised")

    def begin_sync(self, str reason="synchronising"):
        """Start to wait for a snapshot: deltas are to be buffered from now on (SYNCING, new epoch)."""
        self.epoch += 1
        memset(self.recent, -1, sizeof(self.recent))
        self.had_twins = False
        self.joined = False
        self.dropped_last = NONE
        self.touched = None
        self.fall(SYNCING, reason)

    def load_snapshot(self, snapshot):
        """Replace all levels by a ``BookSnapshot``; the book is JOINING until a delta joins it.

        Raises:
            UsageError: a level is not positive, a price stands twice, or the arrays have another shape.
        """
        cdef int64_t[:, ::1] bids = np.ascontiguousarray(snapshot.bids, dtype=np.int64).reshape(-1, 2)
        cdef int64_t[:, ::1] asks = np.ascontiguousarray(snapshot.asks, dtype=np.int64).reshape(-1, 2)
        cdef Py_ssize_t i
        for i in range(bids.shape[0]):
            if bids[i, 0] <= 0 or bids[i, 1] <= 0:
                raise UsageError(f"{self.name}: snapshot bid {i} is not positive")
        for i in range(asks.shape[0]):
            if asks[i, 0] <= 0 or asks[i, 1] <= 0:
                raise UsageError(f"{self.name}: snapshot ask {i} is not positive")
        self.bids.size = 0
        self.asks.size = 0
        for i in range(bids.shape[0] - 1, -1, -1):
            self.put(True, bids[i, 0], bids[i, 1])
        for i in range(asks.shape[0] - 1, -1, -1):
            self.put(False, asks[i, 0], asks[i, 1])
        if self.bids.size != bids.shape[0] or self.asks.size != asks.shape[0]:
            self.clear()
            raise UsageError(f"{self.name}: a snapshot price stands twice")
        self.bid_horizon = self.bids.keys[0] if self.bids.size else 0
        self.ask_horizon = -self.asks.keys[0] if self.asks.size else 0
        self.sequence = snapshot.sequence
        self.joined = False
        self.dropped_last = NONE
        self.venue_utc_ns = snapshot.venue_utc_ns or 0
        self.fall(JOINING, "snapshot loaded, waiting for a delta that joins it")

    def accept_snapshot(self):
        """Call the book LIVE on its snapshot alone.

        Right when the stream was subscribed before the snapshot was asked for and nothing has come since:
        any later change must come as a delta, which still has to join.

        Raises:
            UsageError: the book is not JOINING.
        """
        if self.state_code != JOINING:
            raise UsageError(f"{self.name}: only a JOINING book can be accepted, this one is {self.state_name}")
        if self.crossed():
            self.fall(STALE, "crossed")
            return False
        self.fall(LIVE, "")
        return True

    def extend(self, int side, levels, int64_t horizon):
        """Add levels beyond the horizon, as an audit found them, and move the horizon to ``horizon``.

        Raises:
            UsageError: the book is not LIVE, a level is not positive, or lies within the horizon.
        """
        cdef int64_t[:, ::1] rows = np.ascontiguousarray(levels, dtype=np.int64).reshape(-1, 2)
        cdef int64_t sign = 1 if side == 0 else -1
        cdef int64_t known = self.bid_horizon if side == 0 else self.ask_horizon
        cdef Py_ssize_t i
        if self.state_code != LIVE or horizon * sign > known * sign:
            raise UsageError(f"{self.name}: only a LIVE book can be extended, and only outwards")
        for i in range(rows.shape[0]):
            if rows[i, 0] <= 0 or rows[i, 1] <= 0 or rows[i, 0] * sign >= known * sign:
                raise UsageError(f"{self.name}: level {i} does not lie beyond the horizon")
        for i in range(rows.shape[0]):
            self.put(side == 0, rows[i, 0], rows[i, 1])
        if side == 0:
            self.bid_horizon = horizon
        else:
            self.ask_horizon = horizon

    def mark_stale(self, str reason):
        """Say that the book may be wrong; it stays so until the next snapshot."""
        if self.state_code != EMPTY:
            self.fall(STALE, reason)

    def halt(self, str reason="halted by the venue"):
        """Say that the venue does not trade this instrument now."""
        self.fall(HALTED, reason)

    # --------------------------------------------------------------------------------------- readers

    @property
    def state(self):
        """Return the ``BookState``."""
        return BookState(self.state_code)

    @property
    def state_name(self):
        """Return the state's name."""
        return STATE_NAMES[self.state_code]

    @property
    def is_live(self):
        """Tell whether the book provably equals the venue's."""
        return self.state_code == LIVE

    @property
    def is_crossed(self):
        """Tell whether best bid >= best ask."""
        return bool(self.crossed())

    def touch(self):
        """Return (bid price, bid qty, ask price, ask qty), scaled ints; zeros for an empty side.

        Raises:
            BookNotLive: the book is not LIVE; its state and reason are named.
        """
        if self.state_code != LIVE:
            raise BookNotLive(f"{self.name} is {self.state_name}: {self.reason}")
        return self.touch_unchecked()

    def touch_unchecked(self):
        """Return the touch whatever the state; for views that show the state beside it."""
        cdef Py_ssize_t bid = self.bids.size - 1
        cdef Py_ssize_t ask = self.asks.size - 1
        return (
            self.bids.keys[bid] if bid >= 0 else 0,
            self.bids.qtys[bid] if bid >= 0 else 0,
            -self.asks.keys[ask] if ask >= 0 else 0,
            self.asks.qtys[ask] if ask >= 0 else 0,
        )

    def touch_floats(self):
        """Return the touch as floats for display and analysis, never for money; raises as ``touch``.

        Division by a power of ten is correctly rounded, so each float equals the venue's own text.
        """
        cdef double price_unit = POWER10[self.price_scale]
        cdef double qty_unit = POWER10[self.qty_scale]
        cdef Py_ssize_t bid = self.bids.size - 1
        cdef Py_ssize_t ask = self.asks.size - 1
        if self.state_code != LIVE:
            raise BookNotLive(f"{self.name} is {self.state_name}: {self.reason}")
        return (
            self.bids.keys[bid] / price_unit if bid >= 0 else 0.0,
            self.bids.qtys[bid] / qty_unit if bid >= 0 else 0.0,
            -self.asks.keys[ask] / price_unit if ask >= 0 else 0.0,
            self.asks.qtys[ask] / qty_unit if ask >= 0 else 0.0,
        )

    def levels(self, int side):
        """Return how many levels a side has (0 = bids, 1 = asks)."""
        return self.bids.size if side == 0 else self.asks.size

    def depth(self, int side, Py_ssize_t limit=-1):
        """Return a copy of up to ``limit`` levels (all by default), best first: int64, shape (n, 2)."""
        cdef Ladder* ladder = &self.bids if side == 0 else &self.asks
        cdef Py_ssize_t n = ladder.size if limit < 0 or limit > ladder.size else limit
        cdef Py_ssize_t i
        result = np.empty((n, 2), dtype=np.int64)
        cdef int64_t[:, ::1] view = result
        for i in range(n):
            view[i, 0] = ladder.keys[ladder.size - 1 - i]
            view[i, 1] = ladder.qtys[ladder.size - 1 - i]
            if side != 0:
                view[i, 0] = -view[i, 0]
        return result

    def cumulative(self, int side, Py_ssize_t limit=-1):
        """Return :meth:`depth` with the running total of quantity in the second column."""
        result = self.depth(side, limit)
        np.cumsum(result[:, 1], out=result[:, 1])
        return result

    def horizon(self, int side):
        """Return the worst price the last snapshot covered: beyond it, levels may be missing. 0 = none."""
        return self.bid_horizon if side == 0 else self.ask_horizon


# ------------------------------------------------------------------------------------------------ feed

cdef class DepthFeed(FrameSink):
    """Applies the depth frames of one connection to its books. See ``l2.DepthFeedLike``."""

    def __cinit__(self):
        self.slot_hash = NULL
        self.slot_book = NULL
        self.bid_side.numbers = NULL
        self.ask_side.numbers = NULL
        self.bid_side.ids = NULL
        self.ask_side.ids = NULL

    def __init__(self, schema):
        schema.check()
        self.key_count = 0
        memset(self.first_key, -1, sizeof(self.first_key))
        self.rule = int(schema.rule)
        self.route_parts = len(schema.route_keys)
        self.time_unit_ns = schema.time_unit_ns
        self.time_max = INT64_MAX // self.time_unit_ns  # later than that is no time in this unit
        self.has_first = schema.first_key is not None
        self.has_previous = schema.previous_key is not None
        self.has_kind = schema.kind_key is not None
        self.has_level_ids = schema.has_level_ids
        self.has_level_keys = schema.level_keys is not None
        self.has_heartbeats = schema.has_heartbeats
        self.is_zero_price_void = schema.is_zero_price_void
        self.is_quoting_integers = schema.is_quoting_integers
        self.restart_id = NO_RESTART if schema.restart_id is None else schema.restart_id
        self.window = schema.window
        set_word(&self.snapshot_kind, schema.snapshot_kind)
        set_word(&self.delta_kind, schema.delta_kind)
        if schema.level_keys is not None:
            set_word(&self.price_key, schema.level_keys[0])
            set_word(&self.qty_key, schema.level_keys[1])
        for action, key in zip((ROUTE0, ROUTE1, ROUTE2), schema.route_keys):
            self._add_key(key, action)
        for action, several in (
            (CONTAINER, schema.containers),
            (ARRAY, schema.array_containers),
            (CONTROL, schema.control_keys),
        ):
            for key in several:
                self._add_key(key, action)
        for action, key in (
            (FIRST, schema.first_key),
            (LAST, schema.last_key),
            (PREVIOUS_ID, schema.previous_key),
            (BIDS, schema.bids_key),
            (ASKS, schema.asks_key),
            (CHANGE, schema.change_key),
            (KIND, schema.kind_key),
            (EVENT_TIME, schema.event_time_key),
            (TRANSACTION_TIME, schema.transaction_time_key),
        ):
            if key is not None:
                self._add_key(key, action)
        self.books_by_route = {}
        self.book_list = []
        self.route_list = []
        self.bid_side.capacity = self.ask_side.capacity = 512
        self.bid_side.numbers = <Number*>malloc(512 * 2 * sizeof(Number))
        self.ask_side.numbers = <Number*>malloc(512 * 2 * sizeof(Number))
        self.bid_side.ids = <int64_t*>malloc(512 * sizeof(int64_t))
        self.ask_side.ids = <int64_t*>malloc(512 * sizeof(int64_t))
        if not self.bid_side.numbers or not self.ask_side.numbers or not self.bid_side.ids or not self.ask_side.ids:
            raise MemoryError
        self.wire_to_book_ns = Histogram()
        self.stage_ns = [Histogram() for _ in range(5)]
        self.stage0, self.stage1, self.stage2, self.stage3, self.stage4 = self.stage_ns
        self.stages = 1
        self._rehash()

    def __dealloc__(self):
        free(self.slot_hash)
        free(self.slot_book)
        free(self.bid_side.numbers)
        free(self.ask_side.numbers)
        free(self.bid_side.ids)
        free(self.ask_side.ids)

    def _add_key(self, str key, int action):
        if self.key_count == 24:
            raise UsageError(f"schema key {key!r} does not fit the kernel's table")
        cdef Key* entry = &self.keys[self.key_count]
        set_word(entry, key)
        cdef int i
        for i in range(self.key_count):
            if same_word(&self.keys[i], <const uint8_t*>entry.text, entry.length):
                raise UsageError(f"schema key {key!r} is used twice")
        self.next_key[self.key_count] = self.first_key[<uint8_t>entry.text[0]]
        self.first_key[<uint8_t>entry.text[0]] = <signed char>self.key_count
        entry.action = action
        self.key_count += 1

    def add(self, str route, NativeBook book not None):
        """Send the frames of ``route`` (route key values joined by a line feed) to ``book``.

        Raises:
            UsageError: the route is taken, or has another number of parts than the schema.
        """
        raw = route.encode()
        if raw in self.books_by_route:
            raise UsageError(f"route {route!r} is taken")
        if raw.count(b"\n") != self.route_parts - 1:
            raise UsageError(f"route {route!r} must have {self.route_parts} parts")
        self.books_by_route[raw] = book
        self._rehash()

    def remove(self, str route):
        """Stop serving a route; its book is left as it is."""
        self.books_by_route.pop(route.encode(), None)
        self._rehash()

    def _rehash(self):
        cdef Py_ssize_t size = 16
        cdef Py_ssize_t slot, index = 0
        cdef uint64_t value
        while size < 4 * len(self.books_by_route):
            size *= 2
        free(self.slot_hash)
        free(self.slot_book)
        self.slot_hash = <uint64_t*>calloc(size, sizeof(uint64_t))
        self.slot_book = <int*>calloc(size, sizeof(int))
        if not self.slot_hash or not self.slot_book:
            raise MemoryError
        self.slot_count = size
        self.book_list = list(self.books_by_route.values())
        self.route_list = list(self.books_by_route)
        for raw in self.route_list:
            value = hash_bytes(14695981039346656037ULL, <const uint8_t*><const char*>raw, len(raw))
            slot = value & (size - 1)
            while self.slot_book[slot]:
                slot = (slot + 1) & (size - 1)
            self.slot_hash[slot] = value
            self.slot_book[slot] = <int>index + 1
            index += 1

    # --------------------------------------------------------------------------------------- entries

    cdef int on_frame(self, const char* data, Py_ssize_t size, int64_t mono_ns, int64_t utc_ns) except -1:
        cdef int outcome = self.process(data, size, mono_ns, utc_ns)
        return 1 if outcome == PASS else 0

    def feed_code(self, object data, int64_t mono_ns=0, int64_t utc_ns=0):
        """Feed one frame and return its ``Feed`` code as an int; the benchmark's and replay's entry."""
        cdef const unsigned char[::1] view
        if type(data) is bytes:  # by far the commonest, and without a buffer to acquire and release
            return self.process(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), mono_ns, utc_ns)
        view = data
        if view.shape[0] == 0:
            return PASS
        return self.process(<const char*>&view[0], view.shape[0], mono_ns, utc_ns)

    def receive(self, bytes data not None):
        """Feed one frame stamped now, as the listener stamps and feeds it; return its ``Feed`` code."""
        cdef int64_t mono_ns = mono_now_ns()
        return self.process(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), mono_ns, 0)

    @property
    def last_outcome(self):
        """Return the ``Feed`` code of the latest frame."""
        return Feed(self.outcome)

    def counts(self):
        """Return how many frames had each outcome, by name."""
        return {code.name: self.outcomes[int(code)] for code in Feed}

    cdef int process(self, const char* data, Py_ssize_t size, int64_t mono_ns, int64_t utc_ns) except -1:
        cdef NativeBook book
        cdef int64_t entered = 0, parsed = 0, decided = 0, applied = 0, done = 0
        cdef int outcome, walked
        if self.stages > 1:
            entered = TICKS.now()
        self.start = self.cursor = <const uint8_t*>data
        self.end = self.start + size
        walked = self.walk()
        if walked == NOT_OURS or self.target < 0:
            self.outcome = PASS
            self.outcomes[PASS] += 1
            return PASS
        book = <NativeBook>self.book_list[self.target]
        self.last_book = book
        if self.stages > 1:
            parsed = TICKS.now()
        if (
            walked == BROKEN
            or self.is_bad
            or self.scale(book)
            or (self.kind == SNAPSHOT and self.check_snapshot())
        ):
            outcome = REJECTED
            if book.follows() or book.state_code == JOINING:
                book.fall(STALE, "malformed delta")
        else:
            self.mono_ns = mono_ns
            self.check_times(utc_ns)
            outcome = self.decide(book)
        if self.stages > 1:
            decided = TICKS.now()
        if outcome == APPLIED:
            self.apply(book, mono_ns, utc_ns)
            if self.stages > 1:
                applied = TICKS.now()
            if self.rows is not None:
                self.append_rows(book, utc_ns)
            if book.crossed():
                book.fall(STALE if self.kind == SNAPSHOT else CROSSED_BOOK, "crossed")
                outcome = CROSSED
            if outcome == APPLIED and book.watcher is not None:
                book.watcher.touched(book, True)
            if self.stages:
                done = TICKS.now()
                if mono_ns:
                    self.wire_to_book_ns.add(TICKS.mono(done) - mono_ns)
                if self.stages > 1:
                    if mono_ns:
                        self.stage0.add(TICKS.mono(done) - TICKS.ns(done - entered) - mono_ns)
                    self.stage1.add(TICKS.ns(parsed - entered))
                    self.stage2.add(TICKS.ns(decided - parsed))
                    self.stage3.add(TICKS.ns(applied - decided))
                    self.stage4.add(TICKS.ns(done - applied))
        self.outcome = outcome
        self.outcomes[outcome] += 1
        if outcome == APPLIED:
            if self.on_update is not None:
                self.on_update(book)
        elif outcome != OLD and self.on_attention is not None:
            self.on_attention(book, outcome, data[:size])
        return outcome

    # ------------------------------------------------------------------------------------------ walk

    cdef int walk(self) except -1:
        """Walk the frame; OK with ``target`` set when it is a whole delta of one of our books."""
        cdef int result
        self.target = -1
        self.is_bad = False
        self.seen = 0
        self.route_seen = 0
        self.kind = UNKNOWN_KIND if self.has_kind else DELTA
        self.first_id = self.last_id = self.previous_id = NONE
        self.event_time = self.transaction_time = 0
        self.bid_side.levels = self.ask_side.levels = 0
        self.bid_side.is_seen = self.ask_side.is_seen = False
        if self.end - self.start > FRAME_BYTES_MAX:
            return BROKEN
        while self.cursor < self.end and is_space(self.cursor[0]):
            self.cursor += 1
        if self.cursor >= self.end or self.cursor[0] != c'{':
            return NOT_OURS
        self.cursor += 1
        result = self.read_object(0)
        if result != OK:
            return result
        while self.cursor < self.end and is_space(self.cursor[0]):
            self.cursor += 1
        if self.cursor != self.end:
            return BROKEN
        if not self.has_first:
            self.first_id = self.last_id
        if self.last_id == self.restart_id and self.kind == DELTA:
            self.kind = SNAPSHOT
        if (
            self.first_id < 0
            or self.last_id < self.first_id
            or self.kind == UNKNOWN_KIND
            or not self.bid_side.is_seen
            or not self.ask_side.is_seen
            or (self.previous_id < 0 and self.rule != RANGE and self.kind == DELTA)
        ):
            self.is_bad = True
        return OK

    cdef inline void check_times(self, int64_t utc_ns) noexcept:
        """Forget times that cannot be the venue's present: a wrong unit, or a clock gone astray."""
        cdef int64_t ns
        cdef bint is_odd = self.event_time > self.time_max or self.transaction_time > self.time_max
        if utc_ns and not is_odd:
            ns = self.event_time * self.time_unit_ns
            is_odd = ns != 0 and (ns > utc_ns + TIME_GUARD_NS or ns < utc_ns - TIME_GUARD_NS)
            ns = self.transaction_time * self.time_unit_ns
            is_odd = is_odd or ns != 0 and (ns > utc_ns + TIME_GUARD_NS or ns < utc_ns - TIME_GUARD_NS)
        if is_odd:
            self.event_time = self.transaction_time = 0
            self.odd_times += 1

    cdef int read_object(self, int depth) except -1:
        """Read members after an opening brace, to behind the closing one."""
        cdef const uint8_t* text
        cdef Py_ssize_t size
        cdef bint escaped
        cdef int i, action, result
        cdef uint8_t c
        while self.cursor < self.end and is_space(self.cursor[0]):
            self.cursor += 1
        if self.cursor < self.end and self.cursor[0] == c'}':
            self.cursor += 1
            return OK
        while True:
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end or self.cursor[0] != c'"':
                return BROKEN
            if self.read_string(&text, &size, &escaped):
                return BROKEN
            action = SKIP
            if not escaped:
                i = self.first_key[text[0]] if size else -1
                while i >= 0:
                    if self.keys[i].length == size and (
                        size == 1 or memcmp(self.keys[i].text, text, size) == 0
                    ):
                        action = self.keys[i].action
                        if action == CONTROL:
                            return NOT_OURS
                        if action != CONTAINER and action != ARRAY:
                            if self.seen & (<uint64_t>1 << i):
                                self.is_bad = True  # a repeated key: which value is meant is unknown
                            self.seen |= <uint64_t>1 << i
                        break
                    i = self.next_key[i]
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end or self.cursor[0] != c':':
                return BROKEN
            self.cursor += 1
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end:
                return BROKEN
            result = self.skip_value() if action == SKIP else self.read_value(action, depth)
            if result != OK:
                return result
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end:
                return BROKEN
            c = self.cursor[0]
            self.cursor += 1
            if c == c'}':
                return OK
            if c != c',':
                return BROKEN

    cdef int read_value(self, int action, int depth) except -1:
        cdef const uint8_t* text
        cdef Py_ssize_t size
        cdef bint escaped
        cdef int part
        cdef uint8_t c = self.cursor[0]
        if action == CONTAINER:
            if c == c'{' and depth < 4:
                self.cursor += 1
                return self.read_object(depth + 1)
            return self.skip_value()
        if action == BIDS or action == ASKS:
            if c != c'[':
                self.is_bad = True
                return self.skip_value()
            if self.has_level_keys:
                return self.read_object_levels(&self.bid_side if action == BIDS else &self.ask_side)
            return self.read_levels(&self.bid_side if action == BIDS else &self.ask_side)
        if action == ROUTE0 or action == ROUTE1 or action == ROUTE2:
            if c != c'"':
                return self.skip_value()
            if self.read_string(&text, &size, &escaped):
                return BROKEN
            part = action - ROUTE0 if action != ROUTE2 else 2
            if self.route_seen & (1 << part):
                return OK  # repeated: bad already, and of the first route
            self.route_text[part] = text
            # Escapes are rare (non-ASCII symbols): find_target undoes them, marked by a negative size.
            self.route_size[part] = -size if escaped else size
            self.route_seen |= 1 << part
            if self.route_seen == (1 << self.route_parts) - 1:
                self.find_target()
                if self.target < 0:
                    return NOT_OURS
            return OK
        if action == FIRST:
            return self.read_integer(&self.first_id, 18)
        if action == LAST:
            return self.read_integer(&self.last_id, 18)
        if action == PREVIOUS_ID:
            return self.read_previous()
        if action == EVENT_TIME:
            return self.read_integer(&self.event_time, 19)
        if action == TRANSACTION_TIME:
            return self.read_integer(&self.transaction_time, 19)
        if action == KIND:
            return self.read_kind()
        if action == CHANGE:
            return self.read_change()
        return self.read_array(depth)

    cdef int read_array(self, int depth) except -1:
        """Descend into the objects of an array; more than one shows as repeated keys."""
        if self.cursor[0] != c'[' or depth >= 4:
            return self.skip_value()
        cdef int result
        self.cursor += 1
        while self.cursor < self.end and is_space(self.cursor[0]):
            self.cursor += 1
        if self.cursor < self.end and self.cursor[0] == c']':
            self.cursor += 1
            return OK
        while True:
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end:
                return BROKEN
            if self.cursor[0] == c'{':
                self.cursor += 1
                result = self.read_object(depth + 1)
            else:
                self.is_bad = True
                result = self.skip_value()
            if result != OK:
                return result
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end or (self.cursor[0] != c',' and self.cursor[0] != c']'):
                return BROKEN
            self.cursor += 1
            if (self.cursor - 1)[0] == c']':
                return OK

    cdef int read_kind(self) except -1:
        """Read whether the frame is a snapshot or a delta; any other word is bad."""
        cdef const uint8_t* text
        cdef Py_ssize_t size
        cdef bint escaped
        if self.cursor[0] != c'"':
            self.is_bad = True
            return self.skip_value()
        if self.read_string(&text, &size, &escaped):
            return BROKEN
        if same_word(&self.snapshot_kind, text, size):
            self.kind = SNAPSHOT
        elif same_word(&self.delta_kind, text, size):
            self.kind = DELTA
        else:
            self.is_bad = True
        return OK

    cdef int read_previous(self) except -1:
        """Read the id of the delta before; -1 means none, which only a snapshot may say."""
        cdef const uint8_t* p = self.cursor
        if self.has_kind and self.end - p >= 3 and p[0] == c'-' and p[1] == c'1' and (
            p[2] == c',' or p[2] == c'}' or is_space(p[2])
        ):
            self.cursor = p + 2
            return OK
        return self.read_integer(&self.previous_id, 18)

    cdef int find_target(self) except -1:
        cdef uint64_t value = 14695981039346656037ULL
        cdef Py_ssize_t slot
        cdef int part, index
        cdef uint8_t separator = 10
        cdef bytes raw
        for part in range(self.route_parts):
            if self.route_size[part] < 0:
                return self._find_escaped()
        for part in range(self.route_parts):
            if part:
                value = hash_bytes(value, &separator, 1)
            value = hash_bytes(value, self.route_text[part], self.route_size[part])
        slot = value & (self.slot_count - 1)
        while self.slot_book[slot]:
            if self.slot_hash[slot] == value:
                index = self.slot_book[slot] - 1
                raw = <bytes>self.route_list[index]
                if self._same_route(raw):
                    self.target = index
                    return 0
            slot = (slot + 1) & (self.slot_count - 1)
        return 0

    cdef bint _same_route(self, bytes raw):
        cdef const char* text = raw
        cdef Py_ssize_t left = len(raw)
        cdef int part
        for part in range(self.route_parts):
            if part:
                if left == 0 or text[0] != c'\n':
                    return False
                text += 1
                left -= 1
            if left < self.route_size[part] or memcmp(text, self.route_text[part], self.route_size[part]):
                return False
            text += self.route_size[part]
            left -= self.route_size[part]
        return left == 0

    cdef int _find_escaped(self) except -1:
        import json
        parts = []
        cdef int part
        for part in range(self.route_parts):
            size = self.route_size[part]
            raw = self.route_text[part][: (-size if size < 0 else size)]
            parts.append(json.loads(b'"' + raw + b'"'))
        try:
            route = "\n".join(parts).encode()
        except UnicodeEncodeError:  # a lone surrogate names no book
            return 0
        if route in self.books_by_route:
            self.target = self.route_list.index(route)
        return 0

    cdef int read_levels(self, Side* side) except -1:
        """Read ``[["price","qty",...],...]`` into the side's scratch; wrong shapes set ``is_bad``."""
        cdef const uint8_t* opening = self.cursor
        cdef const uint8_t* p = self.cursor + 1
        cdef const uint8_t* end = self.end
        cdef Number* numbers
        side.is_seen = True
        side.levels = 0
        while p < end and is_space(p[0]):
            p += 1
        if p < end and p[0] == c']':
            self.cursor = p + 1
            return OK
        while True:
            while p < end and is_space(p[0]):
                p += 1
            if p >= end or p[0] != c'[':
                break
            p += 1
            if side.levels == side.capacity and self.grow(side):
                break
            numbers = &side.numbers[2 * side.levels]
            self.cursor = p
            if self.read_number(numbers):
                break
            p = self.cursor
            while p < end and is_space(p[0]):
                p += 1
            if p >= end or p[0] != c',':
                break
            self.cursor = p + 1
            if self.read_number(numbers + 1):
                break
            p = self.cursor
            while p < end and is_space(p[0]):
                p += 1
            if self.has_level_ids:
                if p >= end or p[0] != c',':
                    break
                self.cursor = p + 1
                if self.read_level_id(&side.ids[side.levels]):
                    break
                p = self.cursor
                while p < end and is_space(p[0]):
                    p += 1
            while p < end and p[0] == c',':  # further elements of a level are not ours
                self.cursor = p + 1
                while self.cursor < end and is_space(self.cursor[0]):
                    self.cursor += 1
                if self.cursor >= end or self.skip_value():
                    return BROKEN
                p = self.cursor
                while p < end and is_space(p[0]):
                    p += 1
            if p >= end or p[0] != c']':
                break
            p += 1
            side.levels += 1
            while p < end and is_space(p[0]):
                p += 1
            if p < end and p[0] == c',':
                p += 1
                continue
            if p < end and p[0] == c']':
                self.cursor = p + 1
                return OK
            break
        # Not the shape of levels. If it is JSON all the same, the frame is bad, not broken.
        self.is_bad = True
        self.cursor = opening
        return self.skip_value()

    cdef int grow(self, Side* side) except -1:
        """Double a side's scratch; 1 where no honest frame is that long."""
        cdef Number* numbers
        cdef int64_t* ids
        if side.capacity >= LEVELS_MAX:
            return 1
        numbers = <Number*>realloc(side.numbers, side.capacity * 4 * sizeof(Number))
        if not numbers:
            raise MemoryError
        side.numbers = numbers
        ids = <int64_t*>realloc(side.ids, side.capacity * 2 * sizeof(int64_t))
        if not ids:
            raise MemoryError
        side.ids = ids
        side.capacity *= 2
        return 0

    cdef int read_object_levels(self, Side* side) except -1:
        """Read ``[{"price": ..., "qty": ...}, ...]``; wrong shapes set ``is_bad``."""
        cdef const uint8_t* opening = self.cursor
        cdef uint8_t c
        side.is_seen = True
        side.levels = 0
        self.cursor += 1
        while self.cursor < self.end and is_space(self.cursor[0]):
            self.cursor += 1
        if self.cursor < self.end and self.cursor[0] == c']':
            self.cursor += 1
            return OK
        while True:
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end or self.cursor[0] != c'{':
                break
            if side.levels == side.capacity and self.grow(side):
                break
            self.cursor += 1
            if self.read_level_object(&side.numbers[2 * side.levels]):
                break
            side.levels += 1
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end:
                break
            c = self.cursor[0]
            self.cursor += 1
            if c == c']':
                return OK
            if c != c',':
                break
        self.is_bad = True
        self.cursor = opening
        return self.skip_value()

    cdef int read_level_object(self, Number* numbers) except -1:
        """Read one level after its opening brace; 1 where price or quantity is missing, doubled or no number."""
        cdef const uint8_t* text
        cdef Py_ssize_t size
        cdef bint escaped
        cdef int seen = 0, bit
        cdef uint8_t c
        while True:
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end or self.cursor[0] != c'"' or self.read_string(&text, &size, &escaped):
                return 1
            bit = 1 if same_word(&self.price_key, text, size) else 2 if same_word(&self.qty_key, text, size) else 0
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end or self.cursor[0] != c':':
                return 1
            self.cursor += 1
            if bit:
                if seen & bit or self.read_number(&numbers[bit - 1]):
                    return 1
                seen |= bit
            elif self.skip_value() != OK:
                return 1
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end:
                return 1
            c = self.cursor[0]
            self.cursor += 1
            if c == c'}':
                return 0 if seen == 3 else 1
            if c != c',':
                return 1

    cdef int read_change(self) except -1:
        """Read one change, ``"price,side,qty"``; anything else that is JSON sets ``is_bad``."""
        cdef const uint8_t* opening = self.cursor
        cdef const uint8_t* end = self.end
        cdef const uint8_t* p
        cdef Number price
        cdef Side* side = NULL
        if opening[0] == c'"' and end - opening > 1 and 48 <= opening[1] <= 57:
            self.cursor = opening + 1
            if self.read_number(&price) == 0:
                p = self.cursor
                if end - p > 5 and memcmp(p, b",buy,", 5) == 0:
                    side = &self.bid_side
                    p += 5
                elif end - p > 6 and memcmp(p, b",sell,", 6) == 0:
                    side = &self.ask_side
                    p += 6
                if side != NULL and 48 <= p[0] <= 57:
                    self.cursor = p
                    if self.read_number(&side.numbers[1]) == 0 and self.cursor < end and self.cursor[0] == c'"':
                        self.cursor += 1
                        side.numbers[0] = price
                        side.levels = 1
                        self.bid_side.is_seen = self.ask_side.is_seen = True
                        return OK
        self.is_bad = True
        self.cursor = opening
        return self.skip_value()

    cdef int read_level_id(self, int64_t* value) except -1:
        """Read a level's own id, digits in quotes or bare; 1 where it is anything else."""
        cdef const uint8_t* p = self.cursor
        cdef const uint8_t* end = self.end
        cdef const uint8_t* digits
        cdef bint quoted
        cdef uint64_t number = 0
        while p < end and is_space(p[0]):
            p += 1
        quoted = p < end and p[0] == c'"'
        if quoted:
            p += 1
        digits = p
        while p < end and 48 <= p[0] <= 57:
            number = number * 10 + (p[0] - 48)
            p += 1
        if not 1 <= p - digits <= 18 or (p - digits > 1 and digits[0] == 48):
            return 1
        if quoted:
            if p >= end or p[0] != c'"':
                return 1
            p += 1
        elif p < end and (p[0] == c'.' or (p[0] | 32) == c'e'):
            return 1
        value[0] = <int64_t>number
        self.cursor = p
        return 0

    cdef int read_number(self, Number* number) except -1:
        """Read a plain decimal, quoted or bare; 1 where it is anything else (sign, exponent, empty)."""
        cdef const uint8_t* p = self.cursor
        cdef const uint8_t* end = self.end
        cdef const uint8_t* digits
        cdef const uint8_t* last
        cdef uint64_t mantissa = 0
        cdef Py_ssize_t whole, fraction = 0
        cdef bint quoted
        cdef uint8_t c
        while p < end and is_space(p[0]):
            p += 1
        if p >= end:
            return 1
        quoted = p[0] == c'"'
        if quoted:
            p += 1
        digits = p
        while p < end:
            c = p[0] - 48
            if c > 9:
                break
            mantissa = mantissa * 10 + c
            p += 1
        whole = p - digits
        if whole == 0 or (whole > 1 and digits[0] == 48):
            return 1
        if p < end and p[0] == c'.':
            p += 1
            digits = p
            while p < end:
                c = p[0] - 48
                if c > 9:
                    break
                mantissa = mantissa * 10 + c
                p += 1
            fraction = p - digits
            if fraction == 0:
                return 1
        if whole + fraction > 18:
            # Too long to trust the running product: take it again without the fraction's trailing zeros.
            last = p
            while fraction and (last - 1)[0] == 48:
                last -= 1
                fraction -= 1
            if whole + fraction > 18:
                return 1
            mantissa = 0
            digits = self.cursor
            while digits < last:
                if 48 <= digits[0] <= 57:
                    mantissa = mantissa * 10 + (digits[0] - 48)
                digits += 1
        if quoted:
            if p >= end or p[0] != c'"':
                return 1
            p += 1
        elif p < end and (p[0] | 32) == c'e':
            return 1
        number.mantissa = <int64_t>mantissa
        number.decimals = fraction
        self.cursor = p
        return 0

    cdef int read_integer(self, int64_t* value, int digits_max) except -1:
        """Read a non-negative JSON integer, in quotes where the venue quotes; other JSON sets ``is_bad``."""
        cdef const uint8_t* opening = self.cursor
        cdef const uint8_t* begin = opening
        cdef const uint8_t* p
        cdef uint64_t number = 0
        cdef uint8_t c
        cdef bint quoted = self.is_quoting_integers and begin[0] == c'"'
        if quoted:
            begin += 1
        p = begin
        while p < self.end:
            c = p[0] - 48
            if c > 9:
                break
            number = number * 10 + c
            p += 1
        # 19 digits cannot overflow the unsigned product, so the bound is checked after it.
        if 1 <= p - begin <= digits_max and number <= <uint64_t>INT64_MAX and (
            p - begin == 1 or begin[0] != 48
        ) and p < self.end:
            if quoted:
                if p[0] == c'"':
                    value[0] = <int64_t>number
                    self.cursor = p + 1
                    return OK
            elif p[0] == c',' or p[0] == c'}' or is_space(p[0]):
                value[0] = <int64_t>number
                self.cursor = p
                return OK
        self.is_bad = True
        self.cursor = opening
        return self.skip_value()

    cdef int read_string(self, const uint8_t** text, Py_ssize_t* size, bint* escaped) except -1:
        """Read the string at the cursor; 1 where it is not one (control byte, bad escape, bad UTF-8)."""
        cdef const uint8_t* p = self.cursor + 1
        cdef const uint8_t* end = self.end
        cdef uint8_t c
        cdef int i, extra
        text[0] = p
        escaped[0] = False
        while p < end:
            c = p[0]
            if c == c'"':
                size[0] = p - text[0]
                self.cursor = p + 1
                return 0
            if c < 32:
                return 1
            if c == c'\\':
                escaped[0] = True
                p += 1
                if p >= end:
                    return 1
                c = p[0]
                if c == c'u':
                    if end - p < 5:
                        return 1
                    for i in range(1, 5):
                        c = p[i]
                        if not (48 <= c <= 57 or 65 <= c <= 70 or 97 <= c <= 102):
                            return 1
                    p += 4
                elif not (
                    c == c'"' or c == c'\\' or c == c'/' or c == c'b' or c == c'f'
                    or c == c'n' or c == c'r' or c == c't'
                ):
                    return 1
            elif c >= 128:
                if 0xC2 <= c <= 0xDF:
                    extra = 1
                elif 0xE0 <= c <= 0xEF:
                    extra = 2
                elif 0xF0 <= c <= 0xF4:
                    extra = 3
                else:
                    return 1
                if end - p <= extra:
                    return 1
                if (c == 0xE0 and p[1] < 0xA0) or (c == 0xED and p[1] > 0x9F):
                    return 1
                if (c == 0xF0 and p[1] < 0x90) or (c == 0xF4 and p[1] > 0x8F):
                    return 1
                for i in range(1, extra + 1):
                    if p[i] & 0xC0 != 0x80:
                        return 1
                p += extra
            p += 1
        return 1

    cdef int skip_value(self) except -1:
        """Step over one JSON value of any kind, checking that it is one."""
        cdef uint8_t stack[DEPTH_MAX]
        cdef int depth = 0
        cdef bint wants_value = True
        cdef bint may_close = False
        cdef const uint8_t* text
        cdef Py_ssize_t size
        cdef bint escaped
        cdef uint8_t c
        while True:
            while self.cursor < self.end and is_space(self.cursor[0]):
                self.cursor += 1
            if self.cursor >= self.end:
                return BROKEN
            c = self.cursor[0]
            if wants_value and not (may_close and (c == c']' or c == c'}')):
                if depth and stack[depth - 1] == c'}':
                    if c != c'"' or self.read_string(&text, &size, &escaped):
                        return BROKEN
                    while self.cursor < self.end and is_space(self.cursor[0]):
                        self.cursor += 1
                    if self.cursor >= self.end or self.cursor[0] != c':':
                        return BROKEN
                    self.cursor += 1
                    while self.cursor < self.end and is_space(self.cursor[0]):
                        self.cursor += 1
                    if self.cursor >= self.end:
                        return BROKEN
                    c = self.cursor[0]
                may_close = False
                if c == c'{' or c == c'[':
                    if depth == DEPTH_MAX:
                        return BROKEN
                    stack[depth] = c'}' if c == c'{' else c']'
                    depth += 1
                    self.cursor += 1
                    may_close = True
                    continue
                if c == c'"':
                    if self.read_string(&text, &size, &escaped):
                        return BROKEN
                elif skip_scalar(&self.cursor, self.end):
                    return BROKEN
                wants_value = False
            else:
                if c == c',':
                    if wants_value:
                        return BROKEN
                    self.cursor += 1
                    wants_value = True
                    may_close = False
                    continue
                if depth == 0 or c != stack[depth - 1]:
                    return BROKEN
                self.cursor += 1
                depth -= 1
                wants_value = False
                may_close = False
            if depth == 0:
                return OK

    # ---------------------------------------------------------------------------------------- decide

    cdef int scale(self, NativeBook book) except -1:
        """Turn scratch numbers into scaled integers in place; 1 where one does not fit exactly."""
        if self.has_level_ids and (
            ids_beyond(&self.bid_side, self.last_id) or ids_beyond(&self.ask_side, self.last_id)
        ):
            return 1
        if book.contract_mantissa != 1 or book.contract_decimals:
            if scale_contracts(&self.bid_side, book.contract_mantissa, book.contract_decimals) or scale_contracts(
                &self.ask_side, book.contract_mantissa, book.contract_decimals
            ):
                return 1
        return scale_side(
            &self.bid_side, book.price_scale, book.qty_scale, self.is_zero_price_void
        ) or scale_side(&self.ask_side, book.price_scale, book.qty_scale, self.is_zero_price_void)

    cdef int check_snapshot(self) except -1:
        """Put a snapshot's levels in order, best first; 1 where a quantity is zero or a price stands twice."""
        cdef int which
        cdef Py_ssize_t i
        cdef Side* side
        cdef int64_t sign
        cdef bint is_ordered
        for which in range(2):
            side = &self.ask_side if which else &self.bid_side
            sign = 1 if which else -1
            is_ordered = True
            for i in range(side.levels):
                if side.numbers[2 * i].mantissa == 0 or side.numbers[2 * i + 1].mantissa == 0:
                    return 1
                if i and sign * side.numbers[2 * i].mantissa <= sign * side.numbers[2 * i - 2].mantissa:
                    is_ordered = False
            if is_ordered:
                continue
            order(side, sign, False)
            for i in range(1, side.levels):
                if side.numbers[2 * i].mantissa == side.numbers[2 * i - 2].mantissa:
                    return 1
        return 0

    cdef int settle(self, Side* side, int64_t sequence) except -1:
        """Drop void levels and those that the book contains; put the rest in the order of their ids."""
        cdef Py_ssize_t i, kept = 0
        cdef bint is_ordered = True
        for i in range(side.levels):
            if side.numbers[2 * i].mantissa == 0:
                continue
            if self.has_level_ids:
                if side.ids[i] <= sequence:
                    continue
                if kept and side.ids[i] < side.ids[kept - 1]:
                    is_ordered = False
                side.ids[kept] = side.ids[i]
            side.numbers[2 * kept] = side.numbers[2 * i]
            side.numbers[2 * kept + 1] = side.numbers[2 * i + 1]
            kept += 1
        side.levels = kept
        if not is_ordered:
            order(side, 1, True)
        return 0

    cdef int decide(self, NativeBook book) except -1:
        """Apply the venue's sequence rule; APPLIED means "go on and apply"."""
        cdef int64_t first = self.first_id
        cdef int64_t last = self.last_id
        cdef int64_t sequence = book.sequence
        cdef int64_t event_ns
        if book.feeds > 1:
            book.had_twins = True
        if self.kind == SNAPSHOT:
            if book.had_twins and book.follows() and last != self.restart_id:
                if last == sequence or (book.is_recent(last) if self.rule == CHAIN else last < sequence):
                    return OLD  # a late beginning: another connection has proven as much
                if book.feeds > 1:
                    return AHEAD
            return BUFFER if book.state_code == HALTED else APPLIED
        if self.rule == CHAIN:
            return self.decide_chain(book)
        if self.has_heartbeats and last == sequence and not self.bid_side.levels and not self.ask_side.levels:
            if book.follows():
                return OLD
        if book.follows() and book.joined:
            if self.rule == RANGE:
                if last > sequence:
                    if first <= sequence + 1:
                        return APPLIED
                    if book.feeds > 1:
                        return AHEAD
                    book.fall(STALE, "sequence gap")
                    return GAP
            elif self.previous_id == sequence and last > sequence:
                return APPLIED
            elif last > sequence:
                if book.feeds > 1:
                    return AHEAD
                book.fall(STALE, "sequence gap")
                return GAP
            # Already contained, unless it is newer by the venue's clock: then the ids were reset.
            event_ns = self.event_time * self.time_unit_ns
            if self.event_time and book.venue_utc_ns and event_ns > book.venue_utc_ns:
                book.fall(STALE, "sequence went backwards")
                return GAP
            return OLD
        if book.state_code != JOINING and not book.follows():
            return BUFFER
        # A snapshot is in; this delta is old, joins it, or shows that one is missing.
        if self.rule == RANGE:
            if last <= sequence:
                book.dropped_last = last
                return OLD
            if first <= sequence + 1:
                return APPLIED
        else:
            if last < sequence:
                book.dropped_last = last
                return OLD
            if first <= sequence or self.previous_id == sequence:
                return APPLIED
            if book.dropped_last >= 0 and self.previous_id == book.dropped_last:
                return APPLIED
        if book.feeds > 1 and book.follows():
            return AHEAD
        book.fall(STALE, "sequence gap")
        return GAP

    cdef int decide_chain(self, NativeBook book) except -1:
        """Apply the CHAIN rule to a delta: it follows exactly what we have, or something is missing."""
        if not book.follows() and book.state_code != JOINING:
            return BUFFER
        if self.previous_id != book.sequence:
            if book.follows():
                if book.is_recent(self.last_id):
                    return OLD  # a copy of what was applied
                if (
                    book.had_twins
                    and self.event_time
                    and self.event_time * self.time_unit_ns < book.venue_utc_ns
                    and self.mono_ns - book.recv_mono_ns < SLOW_TWIN_NS
                ):
                    return OLD  # older than a twin's snapshot, which came just now: no clock excuses a gap for ever
                if book.feeds > 1:
                    return AHEAD
            book.fall(STALE, "sequence gap")
            return GAP
        if self.last_id != book.sequence:  # ids that went back are the venue's reset: the chain still holds
            return APPLIED
        if self.bid_side.levels or self.ask_side.levels:
            book.fall(STALE, "levels under a repeated id")
            return GAP
        return OLD

    cdef int apply(self, NativeBook book, int64_t mono_ns, int64_t utc_ns) except -1:
        cdef Py_ssize_t i
        cdef Number* numbers = self.bid_side.numbers
        if self.kind == SNAPSHOT:
            book.replace(True, numbers, self.bid_side.levels)
            book.replace(False, self.ask_side.numbers, self.ask_side.levels)
            book.dropped_last = NONE
            book.venue_utc_ns = 0
            book.touched = None
        else:
            if self.has_level_ids or self.is_zero_price_void:
                self.settle(&self.bid_side, book.sequence)
                self.settle(&self.ask_side, book.sequence)
            for i in range(self.bid_side.levels):
                book.put(True, numbers[2 * i].mantissa, numbers[2 * i + 1].mantissa)
            numbers = self.ask_side.numbers
            for i in range(self.ask_side.levels):
                book.put(False, numbers[2 * i].mantissa, numbers[2 * i + 1].mantissa)
            if book.touched is not None:
                for i in range(self.bid_side.levels):
                    book.touched.add(self.bid_side.numbers[2 * i].mantissa)
                for i in range(self.ask_side.levels):
                    book.touched.add(-self.ask_side.numbers[2 * i].mantissa)
        if self.window:
            book.trim(self.window)
        if self.last_id < book.sequence:
            memset(book.recent, -1, sizeof(book.recent))  # ids start anew: the old ones may come again
        book.sequence = self.last_id
        book.recent[book.recent_at] = self.last_id
        book.recent_at += 1  # wraps around
        book.joined = True
        book.updates += 1
        book.recv_mono_ns = mono_ns
        book.recv_utc_ns = utc_ns
        if self.event_time:
            book.venue_utc_ns = self.event_time * self.time_unit_ns
        if book.state_code != LIVE:
            book.state_code = LIVE
            book.reason = ""
        return 0

    cdef int append_rows(self, NativeBook book, int64_t utc_ns) except -1:
        """Append one row a level; a frame that finds no room for all its rows is dropped whole.

        The rows of an in-band snapshot have the first sequence -1: the book starts anew with them.
        """
        cdef DeltaRows rows = self.rows
        cdef Py_ssize_t count = self.bid_side.levels + self.ask_side.levels
        cdef Py_ssize_t row = rows.size
        cdef Py_ssize_t i
        cdef Side* side
        cdef int which
        cdef int64_t venue_ns = book.venue_utc_ns
        cdef int64_t first = NONE if self.kind == SNAPSHOT else self.first_id
        if self.transaction_time:
            venue_ns = self.transaction_time * self.time_unit_ns
        if row + count > rows.capacity:
            rows.dropped += count
            return 0
        for which in range(2):
            side = &self.ask_side if which else &self.bid_side
            for i in range(side.levels):
                rows.recv_utc_ns[row] = utc_ns
                rows.venue_utc_ns[row] = venue_ns
                rows.first_sequence[row] = first
                rows.last_sequence[row] = self.last_id
                rows.book_id[row] = book.book_id
                rows.side[row] = which
                rows.price[row] = side.numbers[2 * i].mantissa
                rows.qty[row] = side.numbers[2 * i + 1].mantissa
                row += 1
        rows.size = row
        return 0


cdef int order_entries(const void* left, const void* right) noexcept nogil:
    cdef const Entry* a = <const Entry*>left
    cdef const Entry* b = <const Entry*>right
    if a.key != b.key:
        return -1 if a.key < b.key else 1
    return -1 if a.index < b.index else 1


cdef int order(Side* side, int64_t sign, bint by_id) except -1:
    """Sort a side's levels by signed price or by id, equal ones in the order they came."""
    cdef Entry* entries = <Entry*>malloc(side.levels * sizeof(Entry))
    cdef Py_ssize_t i
    if not entries:
        raise MemoryError
    for i in range(side.levels):
        entries[i].price = side.numbers[2 * i].mantissa
        entries[i].qty = side.numbers[2 * i + 1].mantissa
        entries[i].key = side.ids[i] if by_id else sign * entries[i].price
        entries[i].index = i
    qsort(entries, side.levels, sizeof(Entry), order_entries)
    for i in range(side.levels):
        side.numbers[2 * i].mantissa = entries[i].price
        side.numbers[2 * i + 1].mantissa = entries[i].qty
        if by_id:
            side.ids[i] = entries[i].key
    free(entries)
    return 0


cdef bint ids_beyond(const Side* side, int64_t last) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(side.levels):
        if side.ids[i] > last:
            return True
    return False


cdef int scale_contracts(Side* side, int64_t mantissa, int64_t decimals) noexcept nogil:
    """Turn contracts into base units; 1 where the product does not fit."""
    cdef Py_ssize_t i
    cdef Number* qty
    cdef int64_t most = INT64_MAX // mantissa
    for i in range(side.levels):
        qty = &side.numbers[2 * i + 1]
        if qty.mantissa > most:
            return 1
        qty.mantissa *= mantissa
        qty.decimals += decimals
    return 0


cdef int scale_side(Side* side, int price_scale, int qty_scale, bint is_zero_void) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(side.levels):
        if scale_number(&side.numbers[2 * i], price_scale):
            return 1
        if side.numbers[2 * i].mantissa == 0 and not is_zero_void:
            return 1  # a price of zero is no level
        if scale_number(&side.numbers[2 * i + 1], qty_scale):
            return 1
    return 0


cdef inline int scale_number(Number* number, int scale) noexcept nogil:
    cdef int64_t shift = scale - number.decimals
    cdef int64_t power
    if shift == 0:
        return 0
    if shift > 0:
        if number.mantissa > FITS[shift]:
            return 1
        number.mantissa *= POWER10[shift]
        return 0
    if shift < -18:
        return number.mantissa != 0
    power = POWER10[-shift]
    if number.mantissa % power:
        return 1
    number.mantissa = number.mantissa // power
    return 0


cdef int skip_scalar(const uint8_t** cursor, const uint8_t* end) noexcept nogil:
    """Step over a number, true, false or null; 1 where it is none."""
    cdef const uint8_t* p = cursor[0]
    cdef const uint8_t* digits
    if end - p >= 4 and (memcmp(p, b"true", 4) == 0 or memcmp(p, b"null", 4) == 0):
        cursor[0] = p + 4
        return 0
    if end - p >= 5 and memcmp(p, b"false", 5) == 0:
        cursor[0] = p + 5
        return 0
    if p < end and p[0] == c'-':
        p += 1
    digits = p
    while p < end and 48 <= p[0] <= 57:
        p += 1
    if p == digits or (p - digits > 1 and digits[0] == 48):
        return 1
    if p < end and p[0] == c'.':
        p += 1
        digits = p
        while p < end and 48 <= p[0] <= 57:
            p += 1
        if p == digits:
            return 1
    if p < end and (p[0] == c'e' or p[0] == c'E'):
        p += 1
        if p < end and (p[0] == c'+' or p[0] == c'-'):
            p += 1
        digits = p
        while p < end and 48 <= p[0] <= 57:
            p += 1
        if p == digits:
            return 1
    cursor[0] = p
    return 0
