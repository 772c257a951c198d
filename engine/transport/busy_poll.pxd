# Compiled, a turn of the spinning loop is a few C calls: half of one is waited for by every message.

from engine.model._native cimport SystemClock


cdef class BusyPoll:
    cdef SystemClock _clock
    cdef object _loop, _activity, _timer, _again
    cdef long long _quiet_ns, _since
    cdef object _seen
    cdef bint _is_on, _is_spinning
    cdef public long long spins
