cimport cython

from engine.model._native cimport SystemClock
from engine.router.breaker cimport CircuitBreaker
from engine.router.order cimport Order
from engine.router.stats cimport RouterStats

# Compiled, the router is a C struct and its own steps are C calls: an order takes six of them.

cdef class OrderRouter:
    cdef public str venue
    cdef public dict orders, paused
    cdef public list listeners
    cdef public CircuitBreaker breaker
    cdef public RouterStats stats
    cdef dict _by_venue_id
    cdef readonly dict _open
    cdef readonly SystemClock _clock
    cdef object _gateways, _instruments, _log, _allowed, _venue_offset_ns, _on_venue_time
    cdef readonly object _doubts
    cdef object _finished, _task
    cdef set _finished_ids, _cancel_wanted
    cdef bint _renames
    cdef long _open_max
    cdef long long _stamp_max_ns
    cdef public long long _proof_after_ns

    cdef _dated(self, evidence)
    cdef _register(self, Order order)
    cdef _refuse_locally(self, new)
    cdef _gateway(self, str transport)
    cdef _record_sent(self, str transport, str action, long long decided, long long encoded, long long written)
    cdef _record_reply(self, str transport, str action, long long written, long long updated_ns, reply)
    cdef _breaker_told(self, result)
    cdef _changed(self, Order order, change)
    cdef _finish(self, Order order)
