# Compiled, a connection is a C struct: from the transport's read to the answer's callback there are only C calls.

cimport cython

from engine.model._native cimport SystemClock


cdef class HttpResponse:
    cdef readonly int status
    cdef readonly bytes head, body
    cdef readonly long long written_mono_ns, first_mono_ns, done_mono_ns


cdef class ConnectionOwner:
    cdef public SystemClock clock
    cdef public object loop

    cpdef give_back(self, HttpConnection connection)
    cpdef forget(self, HttpConnection connection)
    cpdef watch_deadlines(self)


cdef class HttpConnection:
    cdef ConnectionOwner _owner
    cdef SystemClock _clock
    cdef bytearray _buffer
    cdef object _view
    cdef Py_ssize_t _room
    cdef readonly Py_ssize_t filled
    cdef long long _first_ns
    cdef bint is_awaiting, _is_in_pieces
    cdef bytes _head
    cdef int _status
    cdef Py_ssize_t _body_at, _body_size, _chunk_at
    cdef bint _is_chunked, _until_close, _keep
    cdef list _chunks
    cdef long _interim
    cdef object _done
    cdef public long long deadline_ns, written_ns, last_used_ns
    cdef public bint is_late, is_alive
    cdef public object transport

    cdef _resize(self, Py_ssize_t size)
    @cython.locals(now="long long")
    cpdef send(self, bytes data, double timeout_s, done)
    cpdef bint look_at_deadline(self, long long now_ns)
    cpdef fail(self, error)
    cdef _tell(self, done, result)
    cdef _take_done(self)
    cpdef close(self)
    cdef bytes _bytes(self, Py_ssize_t start, Py_ssize_t end)
    @cython.locals(now="long long", response=HttpResponse, keep="bint")
    cdef _finish(self, bytes body, Py_ssize_t end)
