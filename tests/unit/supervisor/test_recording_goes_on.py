"""What the engine records besides deltas: whole books when the recorder wants them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from engine import config as configuration
from engine.supervisor.engine import Engine
from engine.telemetry.log import EventLog

ROOT = Path(__file__).resolve().parents[3]


class Recorder:
    """Counts how often it was polled."""

    def __init__(self) -> None:
        self.wants_bases = False
        self.polls = 0

    def poll(self) -> None:
        self.polls += 1


class Venue:
    """Notes to which depth it was recorded."""

    def __init__(self) -> None:
        self.depths: list[int] = []

    def record_tops(self, depth: int) -> None:
        self.depths.append(depth)


def test_books_are_recorded_in_full_once_when_the_recorder_wants_them() -> None:
    config = configuration.load(ROOT / "engine.toml")
    engine = Engine(config, EventLog("error", "json", io.StringIO()), with_control=False)
    recorder, venues = Recorder(), [Venue(), Venue()]
    taken: Any = recorder
    there: Any = venues
    engine.recorder, engine.venues = taken, there
    engine._next_tops_ns = 10**30
    engine._record(1)
    assert venues[0].depths == []
    recorder.wants_bases = True
    for now in (2, 3, 4):
        engine._record(now)
    assert [venue.depths for venue in venues] == [[-1], [-1]]
    assert recorder.polls == 4
