"""The places where armed faults bite: one product's view of the fault board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.sim.clock import SimClock
from engine.sim.faults import FaultBoard


class FaultPoints:
    """Asks the fault board on behalf of one product of one venue, or of all of them.

    `take` counts as the fault happening, so it is called only where the fault then really happens.
    """

    __slots__ = ("_board", "_product", "_venue")

    def __init__(self, board: FaultBoard, venue: str, product: str | None) -> None:
        self._board = board
        self._venue = venue
        self._product = product

    @property
    def armed(self) -> bool:
        """Tell whether anything is armed at all: the cheap question of hot paths."""
        return bool(self._board.armed)

    def take(self, name: str, symbol: str | None = None) -> Mapping[str, Any] | None:
        """Return the fault's parameters if it strikes here and now, else None."""
        if not self._board.armed:
            return None
        return self._board.take(name, self._venue, self._product, symbol)

    def lasts(self, name: str, symbol: str | None = None) -> bool:
        """Tell whether a lasting fault is in force, without using it up."""
        return bool(self._board.armed) and self._board.is_armed(name, self._venue, self._product, symbol)

    def note(self, name: str) -> None:
        """Count a lasting fault that has begun to bite."""
        self._board.happened[name] = self._board.happened.get(name, 0) + 1

    def params(self, name: str, symbol: str | None = None) -> Mapping[str, Any]:
        """Return the parameters of a lasting fault in force."""
        return self._board.params(name, self._venue, self._product, symbol)


def delay_s(params: Mapping[str, Any], default_ms: float) -> float:
    """Return a fault's ``delay_ms`` in seconds."""
    return float(params.get("delay_ms", default_ms)) / 1000.0


class ClockFault:
    """Skews the exchange's clock while the fault is armed."""

    def __init__(self, faults: FaultPoints, clock: SimClock) -> None:
        self._faults = faults
        self._clock = clock
        self._skewed = False

    def tick(self) -> None:
        """Set or take back the skew."""
        if not self._faults.armed and not self._skewed:
            return
        skewed = self._faults.lasts("clock_skew")
        if skewed:
            self._clock.offset_ms = int(self._faults.params("clock_skew").get("skew_ms", 2000))
            if not self._skewed:
                self._faults.note("clock_skew")
        elif self._skewed:
            self._clock.offset_ms = 0
        self._skewed = skewed
