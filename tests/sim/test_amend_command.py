"""``python -m engine amend`` against a running engine: what is changed, what is refused, what is printed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sim.engine_process import engine_running, environment

ROOT = Path(__file__).resolve().parents[2]
PERP = ("--exchange", "binance", "--pair", "BTC/USDT:USDT")
SPOT = ("--exchange", "binance", "--pair", "BTC/USDT")
CONFIG = """
[sim]
rate = 20
[venues.binance]
enabled = true
environment = "sim"
products = ["spot", "perp"]
[venues.binance.instruments]
spot = ["BTC/USDT"]
perp = ["BTC/USDT:USDT"]
"""
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run a small engine in a directory of its own, and return that directory."""
    folder = tmp_path_factory.mktemp("amend")
    (folder / "engine.toml").write_text(CONFIG)
    (folder / "config").mkdir()
    shutil.copy(ROOT / "config" / "sim.toml", folder / "config")
    with engine_running(folder):
        yield folder


def engine(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)


def placed(folder: Path, target: tuple[str, ...], price: str) -> str:
    done = engine(folder, "place", *target, "--side", "buy", "--qty", "0.01", "--price", price, "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)[0]["client_order_id"])


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    (row,) = json.loads(done.stdout)
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize("transport", ["rest", "ws"])
def test_price_and_quantity(folder: Path, transport: str) -> None:
    order = placed(folder, PERP, "70000")
    change = ("--id", order, "--price", "70000.5", "--qty", "0.02", "--transport", transport)
    done = engine(folder, "amend", *PERP, *change, "--json")
    assert done.returncode == 0, done.stderr
    row = rows(done)
    assert (row["price"], row["qty"], row["state"]) == ("70000.5", "0.02", "working")
    assert row["amend"] == {"state": "none", "reason": None}
    people = engine(folder, "amend", *PERP, "--id", order, "--price", "70001")
    assert people.returncode == 0, people.stderr
    assert "70001" in people.stdout
    assert engine(folder, "cancel", *PERP, "--id", order).returncode == 0


def test_what_cannot_be_done_is_one_line_and_changes_nothing(folder: Path) -> None:
    order = placed(folder, SPOT, "70000")
    for words, part in (
        (("--id", order, "--price", "70001"), "spot orders keep their price"),
        (("--id", order, "--qty", "0.02"), "only be made smaller"),
        (("--id", order, "--qty", "0.0100000001"), "not a multiple"),
        (("--id", "nobody", "--qty", "0.005"), "no open order nobody"),
    ):
        done = engine(folder, "amend", *SPOT, *words)
        assert done.returncode == 64, done.stderr
        assert part in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    smaller = engine(folder, "amend", *SPOT, "--id", order, "--qty", "0.005", "--json")
    assert rows(smaller)["qty"] == "0.005"
    assert engine(folder, "cancel", *SPOT, "--id", order).returncode == 0


def test_a_market_order_is_answered_with_its_fills(folder: Path) -> None:
    done = engine(folder, "place", *SPOT, "--side", "buy", "--qty", "0.001", "--type", "market", "--json")
    (row,) = json.loads(done.stdout)
    assert (done.returncode, row["state"], row["cum_qty"], row["price"]) == (0, "filled", "0.001", None)
    assert float(row["average_price"]) > 1_000
    assert row["fees"]
    shown = engine(folder, "place", *SPOT, "--side", "sell", "--qty", "0.001", "--type", "market").stdout
    assert "average" in shown
