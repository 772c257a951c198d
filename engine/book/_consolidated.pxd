# cython: language_level=3
from libc.stdint cimport int64_t

from engine.book._kernel cimport BookWatcher, NativeBook
from engine.telemetry._histogram cimport Histogram


cdef struct Slot:
    int64_t price_factor
    int64_t qty_factor
    int64_t bid
    int64_t bid_qty
    int64_t ask
    int64_t ask_qty
    bint is_live
    bint is_misfit


cdef class NativeTop(BookWatcher):
    cdef Slot slots[32]
    cdef int count
    cdef list books
    cdef readonly int price_scale
    cdef readonly int qty_scale
    cdef readonly int64_t version
    cdef readonly int64_t bid
    cdef readonly int64_t bid_qty
    cdef readonly int bid_slot
    cdef readonly int64_t ask
    cdef readonly int64_t ask_qty
    cdef readonly int ask_slot
    cdef readonly int64_t errors
    cdef readonly str last_error
    cdef public object on_change
    cdef readonly Histogram wire_to_top_ns

    cdef int look(self, int slot, NativeBook book) except -1
    cdef int rank(self) except -1
