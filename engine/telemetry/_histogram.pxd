# cython: language_level=3
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil


cdef class Histogram:
    cdef int64_t buckets[2048]
    cdef readonly int64_t count
    cdef readonly int64_t total
    cdef int64_t low
    cdef int64_t high

    cdef inline void add(self, int64_t value) noexcept nogil:
        cdef int shift
        cdef int index
        if value < 0:
            value = 0
        self.count += 1
        self.total += value
        if value < self.low:
            self.low = value
        if value > self.high:
            self.high = value
        if value < 64:
            index = <int>value
        else:
            shift = 58 - __builtin_clzll(<unsigned long long>value)
            index = (shift << 5) + <int>(value >> shift)
        self.buckets[index] += 1
