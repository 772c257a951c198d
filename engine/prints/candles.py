"""Candles from prints: exact integers, aligned to the venue's time, honest about what they do not contain.

A candle stays open for a moment after its interval, because prints may come late; how late it is, is told by
the newest print and not by a clock. While prints may still be missing (a connection was lost and the hole is
not filled yet) nothing from there on becomes final.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.model.market import Trade
from engine.model.trades import Candle

GRACE_NS = 2_000_000_000
"""A print this late, measured in prints, is still counted in."""
FAR_TIMES = 10
"""A print so many times above or below the one before it is counted as far off the market."""
FAR_IN_A_ROW = 5
"""So many of them, one after the other, are the market."""
HOLES_KEPT = 64
_FAR = 2**63 - 1


class _Bucket:
    """One interval: scaled integers; keys are (venue time, id), the arrival decides between equal ones."""

    __slots__ = (
        "close", "close_key", "count", "far", "high", "is_short", "low", "open", "open_key", "qty",
        "turnover",
    )  # fmt: skip

    def __init__(self, price: int, key: tuple[int, int]) -> None:
        self.open = self.high = self.low = self.close = price
        self.open_key = self.close_key = key
        self.qty = self.turnover = self.count = self.far = 0
        self.is_short = False

    def add(self, trade: Trade, key: tuple[int, int]) -> None:
        price = trade.price
        if key < self.open_key:
            self.open, self.open_key = price, key
        if key >= self.close_key:
            self.close, self.close_key = price, key
        if price > self.high:
            self.high = price
        if price < self.low:
            self.low = price
        self.qty += trade.qty
        self.turnover += price * trade.qty
        self.count += trade.count


class CandleSeries:
    """The latest candles of one instrument and one interval.

    Args:
        kept: how many intervals are remembered.

    Attributes:
        late: trades that came after their candle was final, and are in none.
        far: trades far off the market: a print is the venue's word and counts, but its candle says so.
    """

    def __init__(self, universal: str, interval_ns: int, kept: int, grace_ns: int = GRACE_NS) -> None:
        self.universal = universal
        self.interval_ns = interval_ns
        self._kept = kept
        self._grace_ns = grace_ns
        self._buckets: dict[int, _Bucket] = {}
        self._newest_ns = 0
        self._since_ns = _FAR
        self._held_from_ns = _FAR
        self._holes: list[tuple[int, int]] = []
        self.late = self.far = 0
        self._usual_price = self._far_in_a_row = 0

    def add(self, trade: Trade) -> None:
        """Count a print in, or count it as late."""
        stamp = trade.venue_utc_ns
        start = stamp - stamp % self.interval_ns
        if self._since_ns == _FAR:
            self._since_ns = stamp
        bucket = self._buckets.get(start)
        if self._is_final(start) or start <= self._newest_ns - self._kept * self.interval_ns:
            self.late += trade.count
            if bucket is not None:
                bucket.is_short = True
            elif start + self.interval_ns > self._since_ns:
                self._note_hole(stamp, stamp)
            return
        key = (stamp, trade.trade_id)
        if bucket is None:
            bucket = self._buckets[start] = _Bucket(trade.price, key)
        bucket.add(trade, key)
        if self._is_far(trade.price):
            bucket.far += trade.count
            self.far += trade.count
        if stamp > self._newest_ns:
            self._newest_ns = stamp
            if len(self._buckets) > self._kept:
                self._forget()

    def _is_far(self, price: int) -> bool:
        """Tell whether a price is far off what traded before; a new level is believed after a while."""
        usual = self._usual_price or price
        if usual <= price * FAR_TIMES and price <= usual * FAR_TIMES:
            self._far_in_a_row = 0
        else:
            self._far_in_a_row += 1
            if self._far_in_a_row < FAR_IN_A_ROW:
                return True
            self._far_in_a_row = 0
        self._usual_price = price
        return False

    def hold(self, from_ns: int) -> None:
        """Keep everything from a time on open: prints may be missing, and may yet be had."""
        self._held_from_ns = min(self._held_from_ns, from_ns)

    def release(self, missed: tuple[int, int] | None = None) -> None:
        """Nothing is awaited any more; ``missed`` is the stretch of time whose prints stay unknown."""
        self._held_from_ns = _FAR
        if missed is not None:
            self._note_hole(*missed)

    def _note_hole(self, from_ns: int, to_ns: int) -> None:
        self._holes.append((from_ns, max(from_ns, to_ns)))
        del self._holes[:-HOLES_KEPT]

    def _is_final(self, start: int) -> bool:
        end = start + self.interval_ns
        return end + self._grace_ns <= self._newest_ns and end <= self._held_from_ns

    def _forget(self) -> None:
        oldest = self._newest_ns - self._kept * self.interval_ns
        for start in sorted(self._buckets):
            if start > oldest:
                break
            del self._buckets[start]

    def _is_complete(self, start: int) -> bool:
        end = start + self.interval_ns
        if start < self._since_ns or end > self._held_from_ns:
            return False
        return not any(first < end and last >= start for first, last in self._holes)

    def _starts(self) -> Iterator[int]:
        """Yield the intervals to show: those with prints, and those in which prints are missing."""
        step, oldest = self.interval_ns, self._newest_ns - self._kept * self.interval_ns
        starts = set(self._buckets)
        for first, last in self._holes:
            begin, end = max(first, oldest), min(last, self._newest_ns)
            if begin <= end:
                starts.update(range(begin - begin % step, end + 1, step))
        yield from sorted(start for start in starts if start > oldest)

    def candles(self, count: int, price_scale: int, qty_scale: int) -> list[Candle]:
        """Return the latest ``count`` candles, oldest first; an interval without a trade is left out."""
        return [self._candle(start, price_scale, qty_scale) for start in list(self._starts())[-count:]]

    def _candle(self, start: int, price_scale: int, qty_scale: int) -> Candle:
        bucket = self._buckets.get(start)
        is_complete = self._is_complete(start)
        if bucket is None:
            zero, is_final = Decimal(0), self._is_final(start)
            return Candle(
                self.universal, start, self.interval_ns, None, None, None, None, zero, zero, 0, is_complete,
                is_final,
            )  # fmt: skip
        return Candle(
            self.universal,
            start,
            self.interval_ns,
            _decimal(bucket.open, price_scale),
            _decimal(bucket.high, price_scale),
            _decimal(bucket.low, price_scale),
            _decimal(bucket.close, price_scale),
            _decimal(bucket.qty, qty_scale),
            _decimal(bucket.turnover, price_scale + qty_scale),
            bucket.count,
            is_complete and not bucket.is_short,
            self._is_final(start),
            bucket.far,
        )


def _decimal(value: int, scale: int) -> Decimal:
    """Return a scaled integer exactly, however many digits it has."""
    return Decimal((0, tuple(map(int, str(value))), -scale))
