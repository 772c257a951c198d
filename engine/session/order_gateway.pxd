# Compiled, the gateway of the order path is a C struct: its fields are read without a lookup.

from engine.model._native cimport SystemClock
from engine.transport.http cimport HttpPool
from engine.transport.request_budget cimport RequestBudget


cdef class RestGateway:
    cdef object _adapter, _venue_clock, _continued
    cdef HttpPool _pool
    cdef RequestBudget _budget
    cdef SystemClock _clock
    cdef double _timeout_s
