"""Log-linear latency histograms: fixed memory, exact merging, percentiles within 3.1 %.

Values below 64 have a bucket each; above, every power of two is split into 32 buckets; 2048 buckets
cover all of int64. Recording is one increment; whole histograms are exported, merged and compared.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

BUCKETS = 2048
PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))


class HistogramLike(Protocol):
    """What both implementations offer."""

    count: int
    total: int

    @property
    def min(self) -> int:
        """Return the smallest value recorded, 0 when empty."""
        ...

    @property
    def max(self) -> int:
        """Return the largest value recorded, 0 when empty."""
        ...

    def record(self, value: int) -> None:
        """Count one value; negative values count as zero."""
        ...

    def counts(self) -> npt.NDArray[np.int64]:
        """Return a copy of the buckets, shape (2048,), int64."""
        ...

    def quantile(self, q: float) -> int:
        """Return the upper edge of the bucket that holds quantile ``q`` (0..1); 0 when empty."""
        ...

    def merge_counts(
        self, buckets: npt.NDArray[np.int64], count: int, total: int, low: int, high: int
    ) -> None:
        """Add another histogram's state."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...


def bucket_of(value: int) -> int:
    """Return the bucket of ``value`` (>= 0)."""
    if value < 64:
        return value
    shift = value.bit_length() - 6
    return (shift << 5) + (value >> shift)


def bucket_top(index: int) -> int:
    """Return the largest value that falls into bucket ``index``."""
    if index < 64:
        return index
    shift = (index >> 5) - 1
    return (((index & 31) + 33) << shift) - 1


class PureHistogram:
    """The readable implementation: oracle of the tests, fallback without a compiler."""

    __slots__ = ("_buckets", "_high", "_low", "count", "total")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._buckets = [0] * BUCKETS
        self.count = 0
        self.total = 0
        self._low = 2**63 - 1
        self._high = 0

    def record(self, value: int) -> None:
        """Count one value; negative values count as zero."""
        value = max(value, 0)
        self.count += 1
        self.total += value
        self._low = min(self._low, value)
        self._high = max(self._high, value)
        self._buckets[bucket_of(value)] += 1

    @property
    def min(self) -> int:
        """Return the smallest value recorded, 0 when empty."""
        return self._low if self.count else 0

    @property
    def max(self) -> int:
        """Return the largest value recorded, 0 when empty."""
        return self._high

    def counts(self) -> npt.NDArray[np.int64]:
        """Return a copy of the buckets."""
        return np.array(self._buckets, dtype=np.int64)

    def merge_counts(
        self, buckets: npt.NDArray[np.int64], count: int, total: int, low: int, high: int
    ) -> None:
        """Add another histogram's state; ``low`` is ignored when ``count`` is 0."""
        if len(buckets) != BUCKETS:
            raise ValueError("a histogram has 2048 buckets")
        self._buckets = [mine + int(theirs) for mine, theirs in zip(self._buckets, buckets, strict=True)]
        if count:
            self.count += count
            self.total += total
            self._low = min(self._low, low)
            self._high = max(self._high, high)

    def quantile(self, q: float) -> int:
        """Return the upper edge of the bucket that holds quantile ``q`` (0..1); 0 when empty."""
        if not 0.0 <= q <= 1.0:
            raise ValueError("a quantile lies between 0 and 1")
        if self.count == 0:
            return 0
        rank = int(q * self.count)
        if rank < q * self.count:
            rank += 1
        rank = max(rank, 1)
        seen = 0
        for index, filled in enumerate(self._buckets):
            seen += filled
            if seen >= rank:
                return min(max(bucket_top(index), self._low), self._high)
        return self._high


try:
    from engine.telemetry._histogram import Histogram as Histogram

    COMPILED = True
except ImportError:
    Histogram = PureHistogram  # type: ignore[misc, assignment]
    COMPILED = False


def merge(into: HistogramLike, other: HistogramLike) -> None:
    """Add ``other``'s records to ``into``."""
    into.merge_counts(other.counts(), other.count, other.total, other.min, other.max)


def summary(histogram: HistogramLike) -> dict[str, int]:
    """Return count, min, p50, p90, p99, p99.9 and max, in the histogram's own unit."""
    result = {"count": histogram.count, "min": histogram.min}
    result.update({name: histogram.quantile(q) for name, q in PERCENTILES})
    result["max"] = histogram.max
    return result
