"""A loop that is held up, tasks that die, venues that are down at the start or answer with something else."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine import config as configuration
from engine.sim.config import load
from engine.sim.ports import Settings
from engine.sim.server import SimServer
from engine.supervisor.engine import Engine
from engine.telemetry.log import EventLog
from tests.sim.engine_rig import PERP, ROOT, SPOT, rig, until
from tests.sim.test_drills import assert_equal_to_the_exchange, live

pytestmark = pytest.mark.timeout(120)


@pytest.mark.fault("S04")
async def test_after_a_stall_of_the_loop_every_book_is_synchronised_anew(tmp_path: Path) -> None:
    async with rig(tmp_path, (SPOT, PERP)) as bench:
        resyncs = [venue.health()["resyncs"] for venue in bench.engine.venues]
        asyncio.get_running_loop().call_soon(time.sleep, 1.6)
        await until(lambda: bench.engine.stalls)
        assert not any(live(bench)), "what came meanwhile is old news"
        rows = bench.logged("loop.stalled")
        assert 1_000 < rows[0]["stall_ms"] < 10_000
        assert {row["cause"] for row in bench.logged("book.lost")} == {"the process did not run for a while"}
        await until(lambda: all(live(bench)), 40)
        await assert_equal_to_the_exchange(bench)
        after = [venue.health()["resyncs"] for venue in bench.engine.venues]
        assert all(now > before for now, before in zip(after, resyncs, strict=True))


@pytest.mark.fault("S13")
async def test_a_task_that_dies_ends_the_engine_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path, (SPOT,)) as bench:
        running = asyncio.create_task(bench.engine.run())

        def broken(mono_ns: int) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(bench.venue(SPOT), "tick", broken)
        async with asyncio.timeout(10):
            await running
        assert bench.engine.has_failed
        assert "tick: RuntimeError: broken" in bench.logged("engine.failed")[0]["error"]


@pytest.mark.fault("P07", "H09", "H06")
@pytest.mark.parametrize("status", [500, 503])
async def test_snapshots_that_fail_are_asked_for_again_and_nothing_is_live_meanwhile(
    tmp_path: Path, status: int
) -> None:
    async with rig(tmp_path, (SPOT, PERP)) as bench:
        for universal in (SPOT, PERP):
            await bench.fault("snapshot_error", universal, count=3, params={"status": status})
            await bench.fault("drop_depth", universal, count=1)
        while (await bench.happened()).get("snapshot_error", 0) < 6:
            await asyncio.sleep(0.01)
        assert len(bench.logged("snapshot.failed")) >= 5
        await until(lambda: all(live(bench)), 60, bench.engine.status())
        await assert_equal_to_the_exchange(bench)


@pytest.mark.fault("S16", "H06")
async def test_a_venue_that_is_down_at_the_start_holds_no_other_up(tmp_path: Path) -> None:
    """It answers with a page for people; the others trade, and it joins when it is back."""
    server = SimServer(
        load(ROOT / "config" / "sim.toml", ["binance", "okx"]), seed=3, rate=40, settings=Settings()
    )
    await server.start()
    gone = server.faults.arm("venue_gone", venue="okx", count=None)
    file = tmp_path / "endpoints.json"
    file.write_bytes(msgspec.json.encode(server.addresses))
    stream = io.StringIO()
    engine = Engine(_two_venues(tmp_path, file), EventLog("info", "json", stream), with_control=False)
    try:
        await engine.start()
        assert await engine.wait_ready(20.0)
        states = {(venue.venue, venue.state) for venue in engine.venues}
        assert states == {("binance", "up"), ("okx", "down")}
        binance, okx = engine.venues
        assert binance.live_books == 1
        assert okx.live_books == 0
        assert okx.error
        assert "venue.failed" in stream.getvalue()
        server.faults.clear(gone.number)
        await until(_is_whole(okx), 40, okx.health())
        assert binance.is_whole
    finally:
        await engine.stop()
        await server.stop()


def _is_whole(venue: Any) -> Callable[[], bool]:
    return lambda: bool(venue.is_whole)


def _two_venues(tmp_path: Path, endpoints: Path) -> configuration.Config:
    config = configuration.load(ROOT / "engine.toml")
    venues = {
        name: msgspec.structs.replace(
            config.venues[name],
            products=("spot",),
            instruments=configuration.InstrumentsSection(spot=(SPOT,)),
        )
        for name in ("binance", "okx")
    }
    return msgspec.structs.replace(
        config,
        venues=venues,
        engine=msgspec.structs.replace(
            config.engine, data_dir=str(tmp_path / "data"), control_socket="", ready_grace_ms=1_500
        ),
        sim=msgspec.structs.replace(config.sim, endpoints=str(endpoints)),
        loop=msgspec.structs.replace(config.loop, gc_freeze=False),
    )
