"""What a person is told while an exchange is away: the state, the cause, and that it is over."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from engine.cli import live
from tests.sim.engine_rig import SPOT, Rig, rig, until

pytestmark = pytest.mark.timeout(120)


def shown(bench: Rig) -> str:
    """Return the live view as it would stand on a terminal."""
    text = io.StringIO()
    console = Console(width=160, height=50, file=text)
    console.print(live._headline(bench.engine), *live._body(bench.engine, live.Rates(), 50))
    return text.getvalue()


async def test_a_venue_that_cuts_its_connections_is_down_and_says_why(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        [venue] = bench.engine.venues
        assert (venue.state, venue.error) == ("up", "")
        await bench.fault("venue_gone", venue="binance", count=None)
        await until(lambda: venue.health()["state"] == "down", what="the state")
        answer = await bench.engine.handle("quotes", {})
        [error] = answer["errors"]
        assert error["venue"] == "binance"
        assert error["error"] == venue.health()["error"] != ""
        assert venue.error in shown(bench)
        await bench.clear()
        await until(lambda: venue.health()["state"] == "up" and venue.live_books == 1, 40.0, "up again")
        assert venue.error == ""
        assert (await bench.engine.handle("quotes", {}))["errors"] == []


async def test_an_ended_simulated_exchange_is_told(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        engine = bench.engine
        assert engine.sim is not None
        assert engine.sim.pid is not None
        task = asyncio.get_running_loop().create_task(engine._keep_sim())
        try:
            os.kill(engine.sim.pid, signal.SIGKILL)
            await until(lambda: engine.status()["sim_trouble"], what="told")
            assert "exit code -9" in shown(bench)
            await until(lambda: engine.venues[0].live_books == 1 and not engine.sim_trouble, 60.0, "back")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
