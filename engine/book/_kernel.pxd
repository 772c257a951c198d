# cython: language_level=3
from libc.stdint cimport int64_t, uint8_t, uint64_t

from engine.model._native cimport DeltaRows, FrameSink
from engine.telemetry._histogram cimport Histogram


cdef struct Ladder:
    # Sorted ascending by key, so that the best level is last: bids keep the price as key, asks its negative.
    int64_t* keys
    int64_t* qtys
    Py_ssize_t size
    Py_ssize_t capacity


cdef struct Key:
    char text[24]
    int length
    int action


cdef struct Number:
    int64_t mantissa
    int64_t decimals


cdef struct Side:
    Number* numbers     # price, qty, price, qty, ...
    int64_t* ids        # one a level, where levels have ids
    Py_ssize_t levels
    Py_ssize_t capacity
    bint is_seen


cdef struct Entry:
    # a level while levels are put in order
    int64_t key
    int64_t index
    int64_t price
    int64_t qty


cdef class NativeBook


cdef class BookWatcher:
    cdef int touched(self, NativeBook book, bint is_update) except -1


cdef class NativeBook:
    cdef Ladder bids
    cdef Ladder asks
    cdef object bid_arrays
    cdef object ask_arrays
    cdef readonly str name
    cdef readonly int price_scale
    cdef readonly int qty_scale
    cdef readonly object contract_size
    cdef int64_t contract_mantissa
    cdef int64_t contract_decimals
    cdef public int64_t book_id
    cdef int state_code
    cdef bint joined
    cdef readonly int64_t sequence
    cdef readonly int64_t dropped_last
    cdef readonly int64_t epoch
    cdef readonly int64_t venue_utc_ns
    cdef readonly int64_t recv_mono_ns
    cdef readonly int64_t recv_utc_ns
    cdef readonly str reason
    cdef readonly int64_t updates
    cdef int64_t bid_horizon
    cdef int64_t ask_horizon
    cdef readonly BookWatcher watcher
    cdef int watch_slot
    cdef public int feeds
    cdef public set touched
    cdef int64_t recent[256]
    cdef unsigned char recent_at
    cdef bint had_twins

    cdef int reserve(self, bint is_bid, Py_ssize_t capacity) except -1
    cdef int put(self, bint is_bid, int64_t price, int64_t qty) except -1
    cdef int replace(self, bint is_bid, const Number* numbers, Py_ssize_t count) except -1
    cdef void trim(self, Py_ssize_t window) noexcept
    cdef inline bint crossed(self) noexcept
    cdef int fall(self, int state, str reason) except -1
    cdef inline bint follows(self) noexcept
    cdef inline bint is_recent(self, int64_t last_id) noexcept


cdef class DepthFeed(FrameSink):
    cdef Key keys[24]
    cdef int key_count
    cdef signed char first_key[256]
    cdef signed char next_key[24]
    cdef int rule
    cdef int route_parts
    cdef int64_t time_unit_ns
    cdef int64_t time_max
    cdef bint has_previous
    cdef bint has_first
    cdef bint has_kind
    cdef bint has_level_ids
    cdef bint has_level_keys
    cdef bint has_heartbeats
    cdef bint is_zero_price_void
    cdef bint is_quoting_integers
    cdef int64_t restart_id
    cdef Py_ssize_t window
    cdef Key snapshot_kind
    cdef Key delta_kind
    cdef Key price_key
    cdef Key qty_key
    cdef dict books_by_route
    # open-addressed hash of route bytes
    cdef uint64_t* slot_hash
    cdef int* slot_book
    cdef Py_ssize_t slot_count
    cdef list book_list
    cdef list route_list
    # one frame's scratch
    cdef const uint8_t* start
    cdef const uint8_t* cursor
    cdef const uint8_t* end
    cdef const uint8_t* route_text[3]
    cdef Py_ssize_t route_size[3]
    cdef int route_seen
    cdef int kind
    cdef uint64_t seen
    cdef int target
    cdef bint is_bad
    cdef int64_t first_id
    cdef int64_t last_id
    cdef int64_t previous_id
    cdef int64_t event_time
    cdef int64_t transaction_time
    cdef int64_t mono_ns
    cdef readonly int64_t odd_times
    cdef Side bid_side
    cdef Side ask_side
    # results
    cdef int outcome
    cdef readonly NativeBook last_book
    cdef public object on_attention
    cdef public object on_update
    cdef public DeltaRows rows
    cdef public int stages
    cdef readonly Histogram wire_to_book_ns
    cdef readonly list stage_ns
    cdef Histogram stage0
    cdef Histogram stage1
    cdef Histogram stage2
    cdef Histogram stage3
    cdef Histogram stage4
    cdef int64_t outcomes[8]

    cdef int process(self, const char* data, Py_ssize_t size, int64_t mono_ns, int64_t utc_ns) except -1
    cdef int walk(self) except -1
    cdef int read_object(self, int depth) except -1
    cdef int read_value(self, int action, int depth) except -1
    cdef int read_levels(self, Side* side) except -1
    cdef int read_object_levels(self, Side* side) except -1
    cdef int read_level_object(self, Number* numbers) except -1
    cdef int read_change(self) except -1
    cdef int grow(self, Side* side) except -1
    cdef int read_kind(self) except -1
    cdef int read_previous(self) except -1
    cdef int read_level_id(self, int64_t* value) except -1
    cdef int read_array(self, int depth) except -1
    cdef int read_number(self, Number* number) except -1
    cdef int skip_value(self) except -1
    cdef int read_string(self, const uint8_t** text, Py_ssize_t* size, bint* escaped) except -1
    cdef int read_integer(self, int64_t* value, int digits_max) except -1
    cdef int find_target(self) except -1
    cdef bint _same_route(self, bytes raw)
    cdef int _find_escaped(self) except -1
    cdef int decide(self, NativeBook book) except -1
    cdef inline void check_times(self, int64_t utc_ns) noexcept
    cdef int decide_chain(self, NativeBook book) except -1
    cdef int check_snapshot(self) except -1
    cdef int settle(self, Side* side, int64_t sequence) except -1
    cdef int scale(self, NativeBook book) except -1
    cdef int apply(self, NativeBook book, int64_t mono_ns, int64_t utc_ns) except -1
    cdef int append_rows(self, NativeBook book, int64_t utc_ns) except -1
