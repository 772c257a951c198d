# cython: language_level=3
from libc.stdint cimport int64_t


cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* out)
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME


cdef inline int64_t mono_now_ns() noexcept nogil:
    cdef timespec stamp
    clock_gettime(CLOCK_MONOTONIC, &stamp)
    return <int64_t>stamp.tv_sec * 1000000000 + stamp.tv_nsec


cdef inline int64_t utc_now_ns() noexcept nogil:
    cdef timespec stamp
    clock_gettime(CLOCK_REALTIME, &stamp)
    return <int64_t>stamp.tv_sec * 1000000000 + stamp.tv_nsec


cdef class FrameSink:
    cdef int on_frame(self, const char* data, Py_ssize_t size, int64_t mono_ns, int64_t utc_ns) except -1


cdef class DeltaRows:
    cdef readonly object columns
    cdef readonly Py_ssize_t capacity
    cdef readonly Py_ssize_t size
    cdef readonly int64_t dropped
    cdef int64_t* recv_utc_ns
    cdef int64_t* venue_utc_ns
    cdef int64_t* first_sequence
    cdef int64_t* last_sequence
    cdef int64_t* book_id
    cdef int64_t* side
    cdef int64_t* price
    cdef int64_t* qty
    cdef int bind(self, object columns) except -1
