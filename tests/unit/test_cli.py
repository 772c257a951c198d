"""The command line as a person or a script meets it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.parser import build_parser
from engine.config import load

ROOT = Path(__file__).resolve().parents[2]


def engine(*arguments: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environ},
    )  # fmt: skip


COMMANDS = (
    "run", "quotes", "book", "place", "amend", "cancel", "status", "record", "replay", "venues",
    "symbols", "trades",
    "check-config",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"python -m engine {command}" in text
    assert "--json" in text


def test_fees_compare_venues_and_need_more_than_one() -> None:
    done = engine("quotes", "BTC/USDT", "--exchange", "okx", "--fees")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr == "error: --fees compares venues: leave --exchange out\n"


def test_sim_help_is_the_simulators_own() -> None:
    done = engine("sim", "--help")
    assert done.returncode == 0
    assert "--endpoints" in done.stdout


def test_the_simulated_exchange_alone_serves_what_the_shipped_configuration_asks_for(tmp_path: Path) -> None:
    endpoints = tmp_path / "sim.json"
    # Its input is closed already: it ends by itself once everything answers.
    done = subprocess.run(
        [sys.executable, "-m", "engine", "sim", "--endpoints", str(endpoints), "--exit-with-stdin"],
        cwd=ROOT, input="", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    enabled = {name for name, section in load(ROOT / "engine.toml").venues.items() if section.enabled}
    assert set(json.loads(endpoints.read_text())) == {*enabled, "admin"}


def test_a_terminal_is_told_that_the_engine_starts(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    path.write_text(
        f'[engine]\ndata_dir = "{tmp_path}/data"\ncontrol_socket = ""\n[sim]\nendpoints = "{tmp_path}/none"\n'
        '[venues.okx]\nproducts = ["spot"]\n[venues.okx.instruments]\nspot = ["BTC/USDT"]\n'
    )
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        started = subprocess.Popen(
            [sys.executable, "-m", "engine", "run", "--config", str(path)], cwd=ROOT, stdout=theirs,
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        _, errors = started.communicate(timeout=60)
        shown = terminal.read(4096)
    assert b"starting ..." in shown
    assert started.returncode == 78
    assert b"none" in errors


def test_venues_prints_the_matrix() -> None:
    done = engine("venues", "--json")
    assert done.returncode == 0, done.stderr
    rows = {(row["venue"], row["product"]): row for row in json.loads(done.stdout)}
    assert rows["binance", "perp"]["reduce_only"]
    assert not rows["binance", "spot"]["reduce_only"]
    assert rows["okx", "spot"]["snapshots"] == "streamed"
    people = engine("venues").stdout
    assert "…" not in people, "nothing is cut off"
    venues = {venue for venue, _ in rows}
    for product in ("spot", "perp"):
        head = next(line for line in people.splitlines() if line.startswith(product))
        assert set(head.split()) == {product, *venues}
    amends = [line.split() for line in people.splitlines() if line.startswith("amend   ")]
    assert len(amends) == 2
    for product, words in zip(("spot", "perp"), amends, strict=True):
        told = ["yes" if row["amend"] else "-" for (_, each), row in rows.items() if each == product]
        assert words[1:] == told


def test_check_config() -> None:
    done = engine("check-config", "--json")
    assert done.returncode == 0, done.stderr
    venues = {row["venue"]: row for row in json.loads(done.stdout)["venues"]}
    assert "binance" in venues
    assert all(row["orders"] is True for row in venues.values())


def test_a_closed_venue_is_simulated_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "closed.toml"
    for environment in ("live", "testnet"):
        path.write_text(
            f'[venues.bitmart]\nenvironment = "{environment}"\nproducts = ["spot"]\n'
            'instruments = { spot = ["BTC/USDT"] }\n'
        )
        done = engine("check-config", "--config", str(path))
        assert done.returncode == 78
        assert "2026-08-26" in done.stderr
        assert 'use "sim"' in done.stderr


def test_live_profile_says_that_no_orders_leave(tmp_path: Path) -> None:
    done = engine(
        "check-config", "--config", "config/engine-live.toml", BINANCE_API_KEY="k", BINANCE_API_SECRET="s"
    )
    assert done.returncode == 0, done.stderr
    assert "live_orders is false" in done.stdout


def test_a_bad_file_is_one_line_and_exit_78(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[loop]\nbusy_pol = 'off'\n")
    done = engine("run", "--config", str(bad))
    assert done.returncode == 78
    assert done.stderr.strip().splitlines() == [
        f'error: {bad}: unknown key loop.busy_pol; did you mean "busy_poll"?'
    ]
    as_json = engine("check-config", "--json", "--config", str(bad))
    assert as_json.returncode == 78
    assert json.loads(as_json.stdout)["ok"] is False


def test_status_without_an_engine_says_the_next_step(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text((ROOT / "engine.toml").read_text().replace("run/engine.sock", str(tmp_path / "none.sock")))
    done = engine("status", "--config", str(own))
    assert done.returncode == 64
    assert "python -m engine run" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["replay", "missing.rec", "--venue", "binance", "--product", "spot"], "missing.rec"),
        (["replay", "README.md", "--venue", "binance", "--product", "spot"], "unknown format"),
        (["replay", "README.md", "--venue", "kraken", "--product", "spot"], "known are binance"),
        (["book", "BTC/USDT", "--depth", "0"], "from 1 to 1000000"),
        (["amend", "--exchange", "binance", "--pair", "BTC/USDT", "--id", "a1"], "nothing to change"),
        (["amend", "--exchange", "binance", "--pair", "BTC/USDT", "--qty", "1"], "--id"),
        (["record", "--exchange", "binance", "--pair", "BTC/USDT", "--duration", "x"], "number of seconds"),
    ],
)  # fmt: skip
def test_bad_arguments(arguments: list[str], part: str) -> None:
    done = engine(*arguments)
    assert done.returncode != 0
    assert part in done.stderr
    assert "Traceback" not in done.stderr
