"""What the README tells a newcomer to type does what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim.engine_process import engine_running, environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
SHOWN = [line.strip() for line in README.splitlines() if line.startswith("    .venv/bin/python -m engine ")]
CHECKED = re.findall(r"`python -m (engine (?:run|check-config) --config config/\S+)`", README)


def run(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that looks like a fresh checkout to the commands."""
    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copy(ROOT / "engine.toml", folder)
    shutil.copytree(ROOT / "config", folder / "config")
    return folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Path]:
    with engine_running(folder):
        yield folder


def test_there_is_something_to_check() -> None:
    assert len(SHOWN) >= 5
    assert len(CHECKED) >= 2


def test_the_commands_in_their_order(running: Path) -> None:
    for line in SHOWN:
        done = run(running, line.removeprefix(".venv/bin/python -m ").split())
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout.strip(), line
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", CHECKED)
def test_the_profiles_are_fine(folder: Path, command: str) -> None:
    words = command.split()
    done = run(folder, ["engine", "check-config", *words[2:]])
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout


def test_every_command_shows_an_example(folder: Path) -> None:
    rows = re.findall(r"^\| (`[a-z`, -]+`) \|", README, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    assert names >= {"run", "quotes", "book", "place", "cancel", "status", "record", "replay", "check-config"}
    for name in sorted(names):
        done = run(folder, ["engine", name, "--help"])
        assert done.returncode == 0, name
        assert "example" in done.stdout.lower(), name
