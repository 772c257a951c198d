# Compiled, the pool is a C struct: its fields are read without a lookup.

cimport cython

from engine.transport.encoding cimport RequestEncoder
from engine.transport.http_connection cimport ConnectionOwner, HttpConnection


cdef class HttpPool(ConnectionOwner):
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

    cpdef give_back(self, HttpConnection connection)
    cpdef forget(self, HttpConnection connection)
    cpdef watch_deadlines(self)
    @cython.locals(connection=HttpConnection)
    cpdef long long send_now(self, request, double timeout_s, done) except? -1
