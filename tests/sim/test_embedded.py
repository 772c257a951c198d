"""The embedded exchange's start: taken ports are not the end of it, and what went wrong is told once."""

from __future__ import annotations

import io
import itertools
import json
import socket
from pathlib import Path

import pytest

from engine.config import SimSection
from engine.model.errors import ConfigError
from engine.supervisor import embedded_sim
from engine.supervisor.embedded_sim import SimulatedExchange
from engine.telemetry.log import EventLog

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(120)


class Bases:
    """Gives out port bases in a given order, in place of the system's randomness."""

    def __init__(self, *bases: int) -> None:
        self._bases = itertools.cycle(bases)

    def SystemRandom(self) -> Bases:
        return self

    def randrange(self, *_: int) -> int:
        return next(self._bases)


def section() -> SimSection:
    return SimSection(config=str(ROOT / "config" / "sim.toml"), rate=5)


@pytest.fixture
def taken() -> socket.socket:
    """Listen on a port that a base may be."""
    for port in range(20_000, 32_000, 50):
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen()
        return listener
    raise AssertionError("no port is free")


async def test_taken_ports_lead_to_others_and_nothing_odd_is_written(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = taken.getsockname()[1]
    monkeypatch.setattr(embedded_sim, "random", Bases(port, port + 5_000))
    stream = io.StringIO()
    log = EventLog("info", "json", stream)
    sim = SimulatedExchange(log)
    try:
        await sim.open(section(), ("binance",))
        assert str(port + 5_000) in sim.endpoints["binance"]["spot"].rest
    finally:
        await sim.close()
        taken.close()
        log.close()
    assert capfd.readouterr().err == "", "our own standard error is a log that machines read"
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["sim.started"]


async def test_a_start_that_fails_says_why(taken: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_sim, "random", Bases(taken.getsockname()[1]))
    log = EventLog("info", "json", io.StringIO())
    sim = SimulatedExchange(log)
    try:
        with pytest.raises(ConfigError, match="address already in use"):
            await sim.open(section(), ("binance",))
    finally:
        await sim.close()
        taken.close()
        log.close()
