"""The venue's clock against ours: an interval that holds the true offset, from all that a venue says of time.

Inside, the offset is venue UTC minus our *monotonic* clock: steps of our own wall clock move nothing.
Evidence comes in two kinds, and both only ever say what they prove:

* A round trip (a question whose answer holds the venue's time ``v``, read once between ``sent`` and
  ``received``) bounds the offset on both sides: ``v - received <= offset <= v + resolution - sent``.
* An event of a market frame was stamped before we received it: ``v - received <= offset``. It bounds the
  offset from below, never from above: an old event is a slow feed, or a slow clock. Its stamp comes from
  another machine than the one that checks ours, so ``SPREAD_NS`` is taken off.

The latest round trip is what is believed: it holds whatever the clock has done before. Events since then
narrow it from below, age widens it by the drift that two clocks may have. An answer that contradicts its
predecessor by no more than ``SPREAD_NS`` came from another machine of the same venue. One that contradicts
it by more is a rival: until further answers decide between the two, the interval covers both; then the clock
has stepped, and what was known is dropped, or one answer was an outlier.

So the interval holds the true offset from the first answer after a step on (events that were under way while
the clock was set back apart), provided that the drift is no faster than allowed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from engine.model.ports import Clock

MS = 1_000_000
DRIFT_PPM = 200
"""Of two quartz clocks, one of them being disciplined: far above what either does by itself."""
SPREAD_NS = 10 * MS
"""By how much the clocks of one venue's machines may differ among themselves."""
SAMPLES = 16
VAGUE_NS = 20 * MS
VAGUE_TIMES = 4
"""An answer is slow when it took so many times longer than the fastest of the last samples."""
CLOCK_GUARD_NS = 86_400_000_000_000
"""A venue's clock this far from ours is no measurement: a wrong unit, a wrong year, or our clock is wrong."""
EVENT_GUARD_NS = 3_600_000_000_000
"""An event this far from the venue's present is not believed: a wrong unit, or a clock gone astray."""


class Interval(msgspec.Struct, frozen=True, gc=False):
    """Bounds of venue UTC minus our monotonic clock, as they were at one moment of the latter."""

    low_ns: int
    high_ns: int
    at_ns: int

    def aged(self, mono_ns: int, drift_ppm: int) -> Interval:
        """Return the bounds at another moment: drift widens them."""
        drift = abs(mono_ns - self.at_ns) * drift_ppm // 1_000_000 + 1
        return Interval(self.low_ns - drift, self.high_ns + drift, mono_ns)

    def gap_ns(self, other: Interval) -> int:
        """Return how far two bounds of one moment lie apart; 0 or less where they overlap."""
        return max(self.low_ns - other.high_ns, other.low_ns - self.high_ns)

    def covers(self, other: Interval) -> Interval:
        """Return the smallest interval that holds both; both of one moment."""
        return Interval(min(self.low_ns, other.low_ns), max(self.high_ns, other.high_ns), self.at_ns)


class VenueClock:
    """Offset of a venue's UTC clock, as an interval.

    Args:
        drift_ppm: how fast the two clocks may part.
        window_ms: how old a stamp may be when a request arrives (the venue's receive window).
        on_step: told of a step: (offset before, offset after), nanoseconds, by the monotonic clock.

    Attributes:
        round_trips, events: evidence taken. steps: the venue's clock was set. outliers: answers that no other
            confirmed. disagreements: contradictions within the venue's own spread. ahead: events stamped
            later than the venue's clock can have been. implausible: times that were not believed.
        is_doubtful: something contradicts what is known; a measurement should settle it soon.
        is_vague: the latest answer was far slower than others lately; another may know better.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        drift_ppm: int = DRIFT_PPM,
        window_ms: int = 2_000,
        on_step: Callable[[int, int], None] | None = None,
    ) -> None:
        self._clock = clock
        self._ppm = drift_ppm
        self._half_window_ns = window_ms * MS // 2
        self.on_step = on_step
        self._held: Interval | None = None
        self._rival: Interval | None = None
        self._stamp_ns = self._stamp_at_ns = 0
        self.round_trips = self.events = 0
        self.steps = self.outliers = self.disagreements = 0
        self.ahead = self.implausible = 0
        self.is_doubtful = self.is_vague = False
        self._widths_ns: deque[int] = deque(maxlen=SAMPLES)

    def use_window(self, window_ms: int) -> None:
        """Take over a venue's receive window; stamps stay within half of it."""
        self._half_window_ns = window_ms * MS // 2
        self._restamp()

    # ------------------------------------------------------------------------------------- evidence

    def round_trip(
        self, sent_mono_ns: int, received_mono_ns: int, venue_utc_ns: int, resolution_ns: int = MS
    ) -> bool:
        """Take a time that the venue read between two moments of ours; return whether it was believed.

        Args:
            resolution_ns: the tick of the venue's stamp, which is cut off to it.
        """
        took_ns = received_mono_ns - sent_mono_ns
        ours_ns = self._clock.utc_ns() - self._clock.mono_ns()
        if took_ns < 0 or abs(venue_utc_ns - received_mono_ns - ours_ns) > CLOCK_GUARD_NS + took_ns:
            self.implausible += 1
            return False
        self.round_trips += 1
        drift = took_ns * self._ppm // 1_000_000 + 1
        fresh = Interval(
            venue_utc_ns - received_mono_ns - drift,
            venue_utc_ns + resolution_ns - sent_mono_ns + drift,
            received_mono_ns,
        )
        if self._held is None:
            self._held = fresh
        else:
            self._weigh(self._held.aged(received_mono_ns, self._ppm), fresh)
        self._widths_ns.append(took_ns)
        self.is_vague = took_ns > max(VAGUE_NS, VAGUE_TIMES * min(self._widths_ns))
        self._restamp()
        return True

    def _weigh(self, held: Interval, fresh: Interval) -> None:
        rival = self._rival
        fits_held = held.gap_ns(fresh) <= 0
        if rival is None:
            if held.gap_ns(fresh) <= SPREAD_NS:
                self.disagreements += not fits_held
                self._settle(fresh)
            else:
                self._rival, self.is_doubtful = fresh, True
            return
        rival = rival.aged(fresh.at_ns, self._ppm)
        fits_rival = rival.gap_ns(fresh) <= 0
        if fits_held and (not fits_rival or rival.gap_ns(held) <= 0):
            self.outliers += 1
            self._settle(fresh)
        elif fits_rival and not fits_held:
            self.steps += 1
            self._settle(fresh)
            if self.on_step is not None:
                self.on_step(_middle(held), _middle(fresh))
        else:  # it fits neither, or it was so slow that it fits both: the latest answer is the rival
            self.outliers += not fits_rival
            self._rival = fresh

    def _settle(self, fresh: Interval) -> None:
        self._held, self._rival, self.is_doubtful = fresh, None, False

    def event(self, received_mono_ns: int, venue_utc_ns: int) -> bool:
        """Take the stamp of something that the venue made before we received it; return if it is believed.

        Without a measurement there is nothing to hold it against but our own clock, and nothing to narrow.
        """
        bound = venue_utc_ns - received_mono_ns
        held = self._held
        if held is None:
            ours = self._clock.utc_ns() - self._clock.mono_ns()
            held = Interval(ours, ours, received_mono_ns)
        now = held.aged(received_mono_ns, self._ppm)
        known = now if self._rival is None else now.covers(self._rival.aged(received_mono_ns, self._ppm))
        if not known.low_ns - EVENT_GUARD_NS <= bound <= known.high_ns + EVENT_GUARD_NS:
            self.implausible += 1
            return False
        self.events += 1
        if self._held is None or self._rival is not None:
            return True
        if bound > now.high_ns + SPREAD_NS:
            self.ahead += 1
            self.is_doubtful = True
        elif bound - SPREAD_NS > now.low_ns:  # stamped by a machine whose clock may be that much ahead
            self._held = Interval(min(bound - SPREAD_NS, now.high_ns), now.high_ns, received_mono_ns)
            self._restamp()
        return True

    def believes(self, venue_utc_ns: int) -> bool:
        """Tell whether a time may be the venue's present, give or take an hour; count it where not."""
        mono_ns = self._clock.mono_ns()
        known = self.interval(mono_ns)
        offset_ns = self._clock.utc_ns() - mono_ns if known is None else _middle(known)
        if abs(venue_utc_ns - mono_ns - offset_ns) <= EVENT_GUARD_NS:
            return True
        self.implausible += 1
        return False

    def _restamp(self) -> None:
        """Stamp by the earliest time that the venue's clock may show: a stamp from its future is refused.

        But never from further back than half the receive window, should so little be known.
        """
        believed = self._rival or self._held
        if believed is not None:
            self._stamp_ns = max(believed.low_ns, believed.high_ns - self._half_window_ns)
            self._stamp_at_ns = believed.at_ns

    # ---------------------------------------------------------------------------------------- views

    @property
    def is_measured(self) -> bool:
        """Tell whether any answer has come yet."""
        return self._held is not None

    def interval(self, mono_ns: int) -> Interval | None:
        """Return the bounds of venue UTC minus our monotonic clock at a moment; ``None``: never measured."""
        if self._held is None:
            return None
        held = self._held.aged(mono_ns, self._ppm)
        return held if self._rival is None else held.covers(self._rival.aged(mono_ns, self._ppm))

    def bounds_ns(self) -> tuple[int, int] | None:
        """Return the bounds of venue UTC minus our UTC, now; ``None``: never measured."""
        mono_ns = self._clock.mono_ns()
        known = self.interval(mono_ns)
        if known is None:
            return None
        ours_ns = self._clock.utc_ns() - mono_ns
        return known.low_ns - ours_ns, known.high_ns - ours_ns

    @property
    def offset_ns(self) -> int:
        """Return the middle of the bounds of venue UTC minus our UTC; 0 before the first measurement."""
        bounds = self.bounds_ns()
        return 0 if bounds is None else (bounds[0] + bounds[1]) // 2

    @property
    def error_ns(self) -> int:
        """Return half the width of the interval; -1: never measured."""
        bounds = self.bounds_ns()
        return -1 if bounds is None else (bounds[1] - bounds[0] + 1) // 2

    def latency_ns(self, received_mono_ns: int, venue_utc_ns: int) -> tuple[int, int] | None:
        """Return the bounds of how long an event was under way, two clocks apart; ``None``: not measured."""
        known = self.interval(received_mono_ns)
        if known is None:
            return None
        age = received_mono_ns - venue_utc_ns
        return age + known.low_ns, age + known.high_ns

    def stamp_ms(self) -> int:
        """Return the venue's time now, UTC milliseconds, for a signature: never from the venue's future."""
        now = self._clock.mono_ns()
        if self._held is None:
            return self._clock.utc_ns() // MS
        return (now + self._stamp_ns - (now - self._stamp_at_ns) * self._ppm // 1_000_000) // MS

    def view(self) -> dict[str, object]:
        """Return what is known, for ``status``."""
        bounds = self.bounds_ns()
        return {
            "offset_ms": None if bounds is None else [round(each / MS, 3) for each in bounds],
            "is_doubtful": self.is_doubtful,
            "round_trips": self.round_trips,
            "events": self.events,
            "steps": self.steps,
            "outliers": self.outliers,
            "disagreements": self.disagreements,
            "ahead": self.ahead,
            "implausible": self.implausible,
        }


def _middle(interval: Interval) -> int:
    return (interval.low_ns + interval.high_ns) // 2
