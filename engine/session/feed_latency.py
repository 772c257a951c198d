"""How old market data is when it arrives: venue event time to our receive stamp, across two clocks.

Looked at several times a second, not at every message: the latest event of each book. A figure is the middle
of what the clock model allows, and worth no more than the model's interval, which is reported beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.book.l2 import BookLike
from engine.session.venue_clock import VenueClock
from engine.telemetry.histogram import Histogram, merge, summary

WINDOW_NS = 60_000_000_000
LATE_NS = 1_000_000_000
"""Events that all seem older than this, at once, may also mean that the venue's clock was set back."""


class FeedLatency:
    """Feed latency of one venue product over the last one to two minutes.

    Args:
        has_event_times: the depth stream's frames hold the venue's time.
    """

    def __init__(self, venue_clock: VenueClock, *, has_event_times: bool) -> None:
        self._venue_clock = venue_clock
        self._has_event_times = has_event_times
        self._seen: dict[int, tuple[int, int]] = {}
        self._histograms = (Histogram(), Histogram())
        self._errors_ns = [0, 0]
        self._since_ns = 0

    def look(self, books: Mapping[str, BookLike], mono_ns: int) -> bool:
        """Take each book's latest event, if it is a new one; return whether all of them came late."""
        if not self._has_event_times:
            return False
        if mono_ns - self._since_ns > WINDOW_NS:
            self._histograms = (Histogram(), self._histograms[0])
            self._errors_ns = [0, self._errors_ns[0]]
            self._since_ns = mono_ns
        youngest: int | None = None
        for book in books.values():
            now = (book.updates, book.venue_utc_ns)
            before = self._seen.get(book.book_id)
            self._seen[book.book_id] = now
            # Only an event time that came with an update: a snapshot's own has another receive time.
            if before is None or 0 in now or before[0] == now[0] or before[1] == now[1]:
                continue
            age_ns = self._take(book.recv_mono_ns, book.venue_utc_ns)
            if age_ns is not None and (youngest is None or age_ns < youngest):
                youngest = age_ns
        return youngest is not None and youngest > LATE_NS

    def _take(self, received_mono_ns: int, venue_utc_ns: int) -> int | None:
        clock = self._venue_clock
        if not clock.event(received_mono_ns, venue_utc_ns):
            return None
        bounds = clock.latency_ns(received_mono_ns, venue_utc_ns)
        if bounds is None:
            return None
        low, high = bounds
        if high >= 0:  # else it seems to come from the future: the clocks are in doubt, nothing was measured
            self._histograms[0].record(max(0, (low + high) // 2))
            self._errors_ns[0] = max(self._errors_ns[0], (high - low + 1) // 2)
        return low

    def forget(self) -> None:
        """Drop what was measured by a clock that has stepped since."""
        self._histograms = (Histogram(), Histogram())
        self._errors_ns = [0, 0]

    def view(self) -> dict[str, Any] | None:
        """Return percentiles, and ``error_ns``, the most that a figure is off; ``None``: nothing measured."""
        total = Histogram()
        for histogram in self._histograms:
            merge(total, histogram)
        if not total.count:
            return None
        return {**summary(total), "error_ns": max(self._errors_ns)}
