# Compiled, the pool is a C struct: its fields are read without a lookup.

from engine.transport.encoding cimport RequestEncoder

cdef class HttpPool:
    cdef public object clock, loop
    cdef bint _secure, _is_closed
    cdef object _tls, _port, _dialer, _keeper, _sweeper
    cdef readonly object _idle, _waiters
    cdef str _host
    cdef readonly RequestEncoder _encoder
    cdef long _warm, _limit, _opening
    cdef readonly set _all
    cdef set _tasks
    cdef public long connects, requests
    cdef public str last_error

    cpdef watch_deadlines(self)
    cpdef give_back(self, connection)
