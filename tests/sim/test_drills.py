"""Drills: the exchange dies, freezes or talks rubbish, the engine is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.truth import Checker
from engine.model.orders import OrderState
from tests.sim.engine_rig import PERP, ROOT, SPOT, Rig, rig, until
from tests.sim.test_router_binance import place

pytestmark = pytest.mark.timeout(180)


def live(bench: Rig) -> list[bool]:
    return [book.is_live for venue in bench.engine.venues for book in venue.books.values()]


async def assert_equal_to_the_exchange(bench: Rig) -> None:
    checker = Checker(bench.engine, bench._http)
    for venue in bench.engine.venues:
        for universal in venue.books:
            before = checker.compared
            async with asyncio.timeout(60):
                while checker.compared == before:  # a truth may have moved on already, a gap be found late
                    await checker.check(venue, universal)
    assert checker.wrong == []


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.fault("S03", "P25")
@pytest.mark.parametrize("seconds", [8, pytest.param(30, marks=pytest.mark.slow)])
async def test_a_frozen_exchange(tmp_path: Path, seconds: int) -> None:
    async with rig(tmp_path) as bench:
        sim = bench.engine.sim
        assert sim is not None
        assert sim.pid is not None
        loop = asyncio.get_running_loop()
        with frozen(sim.pid):
            since = loop.time()
            order = place(bench, SPOT, "rest")
            assert order.state is OrderState.PENDING_NEW
            await until(lambda: order.state is OrderState.IN_DOUBT, what=order)
            await until(lambda: not any(live(bench)), what=bench.engine.status())
            rows = (await bench.engine.handle("quotes", {}))["quotes"]
            assert {row["pair"] for row in rows} == {SPOT, PERP}
            assert "LIVE" not in {row["state"] for row in rows}
            while loop.time() - since < seconds:
                await asyncio.sleep(0.05)
                assert not any(live(bench)), "LIVE without an exchange"
        await until(lambda: all(live(bench)), 60, bench.engine.status())
        await assert_equal_to_the_exchange(bench)
        await until(lambda: order.state not in (OrderState.IN_DOUBT, OrderState.PENDING_NEW), 60, order)
        truth = await bench.order_truth(order.client_order_id)
        works = order.state.value == "working"
        assert (truth is not None and truth["status"] == "NEW") == works, order


@pytest.mark.fault("N22")
async def test_the_exchange_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as bench:
        engine = bench.engine
        assert engine.sim is not None
        keeper = asyncio.create_task(engine._keep_sim())
        for _ in range(2):
            assert engine.sim._process is not None
            engine.sim._process.kill()
            await until(lambda: not any(live(bench)))
            await until(lambda: all(live(bench)), 60, engine.status())
            await assert_equal_to_the_exchange(bench)
        keeper.cancel()
        assert len(bench.logged("session.lost")) >= 4


@pytest.mark.fault("P01", "P20", "P21", "P32")
@pytest.mark.parametrize("fault", ["garbage_frame", "partial_depth_as_diff", "unknown_event", "drop_depth"])
async def test_rubbish_on_the_market_data_stream(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path) as bench:
        for universal in (SPOT, PERP):
            await bench.fault(fault, universal, count=5)
        while (await bench.happened()).get(fault, 0) < 10:
            await asyncio.sleep(0.02)
        await until(lambda: all(live(bench)), 60, bench.engine.status())
        await assert_equal_to_the_exchange(bench)


def test_a_killed_engine_takes_its_exchange_with_it(tmp_path: Path) -> None:
    """SIGKILL cannot be caught: the embedded exchange notices that its input has closed."""
    text = (ROOT / "engine.toml").read_text()
    config = tmp_path / "engine.toml"
    config.write_text(text.replace('data_dir = "data"', f'data_dir = "{tmp_path}/data"'))
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "run", "--config", str(config)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        sim = 0
        for line in process.stderr:
            row = json.loads(line)
            if row["event"] == "sim.started":
                sim = int(row["pid"])
            if row["event"] == "engine.ready":
                break
        assert sim
        assert Path(f"/proc/{sim}").exists()
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 10
        while _is_running(sim):
            assert time.monotonic() < deadline, "the exchange outlived its engine"
            time.sleep(0.02)
    finally:
        process.kill()
        process.stderr.close()
        process.wait(10)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
