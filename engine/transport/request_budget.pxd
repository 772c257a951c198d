cimport cython

from engine.model._native cimport SystemClock

# Compiled, a window is a C struct and counting in it a C call: this is done for every request.

cdef class _Window:
    cdef public object rule
    cdef public str endpoint
    cdef public bint is_weight
    cdef public long long starts_ms, ends_ms, count, limit, unreserved

    cpdef long long cost(self, request)
    cpdef roll(self, long long now_ms)
    cpdef add(self, long long now_ms, long long cost)
    cpdef raise_to(self, long long now_ms, long long count)


cdef class _RollingWindow(_Window):
    cdef public object _sent


cdef class RequestBudget:
    cdef readonly list _windows
    cdef SystemClock _clock
    cdef public object offset_ns
    cdef long long _blocked_until_mono_ns
    cdef public str block_reason
    cdef public long refused

    @cython.locals(window=_Window, cost="long long", limit="long long", now_ms="long long", now_mono="long long")
    cpdef take(self, request)
