"""``python -m engine funding`` beside a running engine and without one: rates, history, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from tests.sim.engine_process import engine_running, environment

ROOT = Path(__file__).resolve().parents[2]
PERP = "BTC/USDT:USDT"
VENUES = ("binance", "bitmart", "bybit", "kucoin", "okx")
CONFIG = """
[sim]
rate = 20
""" + "".join(
    f"""
[venues.{venue}]
enabled = true
environment = "sim"
products = ["perp"]
[venues.{venue}.instruments]
perp = {["BTC/USDT:USDT"] if venue == "okx" else ["BTC/USDT:USDT", "ETH/USDT:USDT"]}
"""
    for venue in VENUES
)
pytestmark = pytest.mark.timeout(180)


def prepared(folder: Path) -> Path:
    (folder / "engine.toml").write_text(CONFIG)
    (folder / "config").mkdir()
    shutil.copy(ROOT / "config" / "sim.toml", folder / "config")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run an engine on all venues in a directory of its own, and return that directory."""
    folder = prepared(tmp_path_factory.mktemp("funding"))
    with engine_running(folder):
        yield folder


def engine(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "engine", "funding", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=90)


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def check(rows: list[dict[str, Any]]) -> None:
    """Every venue shows a whole row of a BTC contract that settles every eight hours."""
    assert [row["venue"] for row in rows] == list(VENUES)
    for row in rows:
        assert (row["pair"], row["state"], row["interval_h"]) == (PERP, "live", "8"), row
        assert abs(D(row["rate"])) < D("0.001")
        assert D(row["annualised"]) == D(row["rate"]) * 3 * 365
        assert 0 < row["next_settlement_in_s"] <= 8 * 3600
        assert row["next_settlement_utc"].endswith(":00:00Z")
        assert min(D(row["mark"]), D(row["index"]), D(row["open_interest"])) > 0
    assert len({row["next_settlement_utc"] for row in rows}) == 1
    predicted = {row["venue"]: row["predicted_rate"] for row in rows}
    assert {venue for venue, rate in predicted.items() if rate is not None} == {"bitmart"}


def test_every_venue_that_lists_it(folder: Path) -> None:
    found = answer(engine(folder, PERP, "--json"))
    check(found["funding"])
    assert (found["history"], found["errors"]) == ([], [])


def test_history_of_every_venue(folder: Path) -> None:
    found = answer(engine(folder, PERP, "--history", "12", "--json"))
    assert [each["venue"] for each in found["history"]] == list(VENUES)
    times = {tuple(row["settled_utc"] for row in each["rates"]) for each in found["history"]}
    assert len(times) == 1, "the venues settle eight-hour contracts at the same times"
    for each in found["history"]:
        assert len(each["rates"]) == 12
        assert {row["interval_h"] for row in each["rates"]} == {"8"}
        assert all(D(row["annualised"]) == D(row["rate"]) * 3 * 365 for row in each["rates"])
        assert each["rates"] == sorted(each["rates"], key=lambda row: row["settled_utc"], reverse=True)


def test_one_venue_and_all_contracts(folder: Path) -> None:
    found = answer(engine(folder, "--exchange", "bybit", "--json"))
    assert [(row["venue"], row["pair"]) for row in found["funding"]] == [
        ("bybit", PERP), ("bybit", "ETH/USDT:USDT"),
    ]  # fmt: skip
    everything = answer(engine(folder, "--json"))["funding"]
    assert len(everything) == 9
    assert ("okx", "ETH/USDT:USDT") not in [(row["venue"], row["pair"]) for row in everything]


def test_what_people_see(folder: Path) -> None:
    done = engine(folder, PERP, "--history", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    rows = [line for line in lines if line.startswith(PERP)]
    assert len(rows) == 5
    assert sum("not offered" in row for row in rows) == 4
    assert sum("= rate" in row for row in rows) == 1
    assert all(" live " in row and " 8 h " in row and "%" in row for row in rows)
    assert sum(f"{PERP}: 3 settled" in line for line in lines) == 5


@pytest.mark.parametrize(
    ("words", "part", "code"),
    [
        (("BTC/USDT",), "is no perpetual", 64),
        (("XYZ/USDT:USDT",), "no venue that is up serves XYZ/USDT:USDT", 64),
        (("ETH/USDT:USDT", "--exchange", "okx"), "did you mean", 64),
        ((PERP, "--exchange", "nowhere"), "nowhere", 64),
        ((PERP, "--history", "1001"), "1 to 1000", 64),
        ((PERP, "--history", "0"), "not a whole number", 2),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    folder: Path, words: tuple[str, ...], part: str, code: int
) -> None:
    done = engine(folder, *words)
    assert (done.returncode, part in done.stderr) == (code, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 or code == 2


def test_help_has_examples(folder: Path) -> None:
    done = engine(folder, "--help")
    assert "--history" in done.stdout
    assert "python -m engine funding BTC/USDT:USDT" in done.stdout


def test_without_an_engine_a_short_session_answers(tmp_path: Path) -> None:
    found = answer(engine(prepared(tmp_path), PERP, "--history", "2", "--json"))
    check(found["funding"])
    assert [len(each["rates"]) for each in found["history"]] == [2] * 5
