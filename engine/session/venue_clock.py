"""The venue's clock against ours: an offset with its uncertainty, from request round trips."""

from __future__ import annotations

from collections import deque

from engine.model.ports import Clock

SAMPLES = 16
SAMPLE_AGE_NS = 300_000_000_000


class VenueClock:
    """Offset of a venue's UTC clock from ours.

    A sample says: when the venue read its clock, ours stood between sending and receiving. So the offset
    lies within half a round trip of the midpoint. The narrowest recent sample is believed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=SAMPLES)  # mono_ns, offset_ns, error_ns
        self.offset_ns = 0
        self.error_ns = -1
        """Half width of the interval; -1 = never measured."""

    def sample(self, sent_utc_ns: int, received_utc_ns: int, venue_utc_ns: int, resolution_ns: int) -> None:
        """Take one measurement; ``resolution_ns`` is the venue's clock tick (its reading is cut off)."""
        middle = (sent_utc_ns + received_utc_ns) // 2
        error = (received_utc_ns - sent_utc_ns) // 2 + resolution_ns // 2
        now = self._clock.mono_ns()
        self._samples.append((now, venue_utc_ns + resolution_ns // 2 - middle, error))
        recent = [each for each in self._samples if now - each[0] <= SAMPLE_AGE_NS]
        latest = recent[-1]
        best = min(recent, key=lambda each: each[2])
        # A clock that stepped makes old samples lie: they must overlap the latest one.
        if abs(best[1] - latest[1]) > best[2] + latest[2]:
            self._samples.clear()
            self._samples.append(latest)
            best = latest
        _, self.offset_ns, self.error_ns = best

    def stamp_ms(self) -> int:
        """Return the venue's time now, UTC milliseconds, for a signature."""
        return (self._clock.utc_ns() + self.offset_ns) // 1_000_000
