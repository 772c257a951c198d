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


cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <x86intrin.h>
    #define TE_HAS_TICKS 1
    static inline long long te_ticks(void) { return (long long)__rdtsc(); }
    #else
    #define TE_HAS_TICKS 0
    static inline long long te_ticks(void) { return 0; }
    #endif
    """
    bint HAS_TICKS "TE_HAS_TICKS"
    int64_t read_ticks "te_ticks"() noexcept nogil


cdef inline int64_t utc_now_ns() noexcept nogil:
    cdef timespec stamp
    clock_gettime(CLOCK_REALTIME, &stamp)
    return <int64_t>stamp.tv_sec * 1000000000 + stamp.tv_nsec


cdef class TickClock:
    cdef readonly bint is_counter
    cdef int64_t met_ticks
    cdef int64_t met_ns
    cdef int64_t old_ticks
    cdef int64_t old_ns
    cdef int64_t new_ticks
    cdef int64_t new_ns
    cdef int64_t keep_ticks
    cdef double rate
    cdef int64_t multiplier

    cdef void meet(self) noexcept nogil

    cdef inline int64_t now(self) noexcept nogil:
        return read_ticks() if self.is_counter else mono_now_ns()

    cdef inline int64_t ns(self, int64_t ticks) noexcept nogil:
        return (ticks * self.multiplier) >> 24

    cdef inline int64_t mono(self, int64_t ticks) noexcept nogil:
        cdef int64_t since = ticks - self.met_ticks
        if not self.is_counter:
            return ticks
        if not 0 <= since < self.keep_ticks:
            self.meet()
            since = ticks - self.met_ticks
        return self.met_ns + self.ns(since)


cdef TickClock TICKS


cdef class SystemClock:
    cpdef int64_t mono_ns(self) except? -1
    cpdef int64_t utc_ns(self) except? -1


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
