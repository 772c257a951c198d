# cython: language_level=3
"""The compiled log-linear histogram; ``histogram.py`` documents the contract."""

import numpy as np

from libc.string cimport memset

cdef int64_t INT64_MAX = 9223372036854775807


cdef class Histogram:
    """Log-linear int64 histogram: exact below 64, then 32 buckets an octave (3.1 % wide)."""

    def __init__(self):
        self.clear()

    def record(self, int64_t value):
        """Count one value (nanoseconds, by convention); negative values count as zero."""
        self.add(value)

    def clear(self):
        """Forget everything."""
        memset(self.buckets, 0, sizeof(self.buckets))
        self.count = 0
        self.total = 0
        self.low = INT64_MAX
        self.high = 0

    @property
    def min(self):
        """Return the smallest value recorded, 0 when empty."""
        return self.low if self.count else 0

    @property
    def max(self):
        """Return the largest value recorded, 0 when empty."""
        return self.high

    def counts(self):
        """Return a copy of the 2048 buckets, int64."""
        cdef int64_t[::1] view = np.empty(2048, dtype=np.int64)
        cdef int index
        for index in range(2048):
            view[index] = self.buckets[index]
        return np.asarray(view)

    def merge_counts(self, int64_t[::1] buckets, int64_t count, int64_t total, int64_t low, int64_t high):
        """Add another histogram's state; ``low`` is ignored when ``count`` is 0."""
        cdef int index
        if buckets.shape[0] != 2048:
            raise ValueError("a histogram has 2048 buckets")
        for index in range(2048):
            self.buckets[index] += buckets[index]
        if count:
            self.count += count
            self.total += total
            self.low = min(self.low, low)
            self.high = max(self.high, high)

    def quantile(self, double q):
        """Return the upper edge of the bucket that holds the ``q`` quantile (0..1), 0 when empty."""
        cdef int64_t rank, seen = 0
        cdef int index
        if not 0.0 <= q <= 1.0:
            raise ValueError("a quantile lies between 0 and 1")
        if self.count == 0:
            return 0
        rank = <int64_t>(q * self.count)
        if rank < q * self.count:
            rank += 1
        rank = max(rank, 1)
        for index in range(2048):
            seen += self.buckets[index]
            if seen >= rank:
                return min(max(bucket_top(index), self.low), self.high)
        return self.high


def bucket_top(int index):
    """Return the largest value that falls into bucket ``index``."""
    cdef int shift
    if index < 64:
        return index
    shift = (index >> 5) - 1
    return (((index & 31) + 32 + 1) << shift) - 1
