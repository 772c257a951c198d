"""House rules that a tired eye passes over."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 600
FORBIDDEN_NAMES = {"utils", "common", "helpers", "manager", "core", "misc"}
RAW_SOURCES = ("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "random.random")
LEFT_OVERS = re.compile(r"NotImplementedError|TODO|FIXME|XXX|# stub")
FOREIGN = re.compile(
    "|".join(
        [
            "/wo" + "rk/",
            "/ro" + "ot/",
            "py" + r"pi\.org",
            "python" + "hosted",
            "npm" + "js",
            "deb" + r"\.debian",
        ]
    )
)


def tracked(*patterns: str) -> list[Path]:
    """Return the tracked files (all files where there is no git)."""
    done = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def python_files() -> list[Path]:
    return tracked("engine/*.py", "bench/*.py") or sorted((ROOT / "engine").rglob("*.py"))


@pytest.mark.parametrize("file", python_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_source_file(file: Path) -> None:
    text = file.read_text()
    assert not LEFT_OVERS.search(text), "left-over"
    assert file.stem not in FORBIDDEN_NAMES
    assert len(text.splitlines()) <= LINES_MAX
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "module docstring"
    if file.is_relative_to(ROOT / "engine"):
        _check_docstrings(tree)
        _check_sources_of_time(file, tree)


def _check_docstrings(tree: ast.Module) -> None:
    for node in tree.body:
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def _check_sources_of_time(file: Path, tree: ast.Module) -> None:
    """Time and randomness come through a clock and a seeded generator in everything that decides."""
    parts = file.relative_to(ROOT / "engine").parts
    if parts[0] not in ("router", "session", "book", "venues", "recorder", "replay"):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if file.name in ("pure.py", "pure_consolidated.py") and name == "time.monotonic_ns":
                continue  # the twins of the kernel's own stamps
            assert name not in (
                "time.time",
                "time.time_ns",
                "time.monotonic",
                "time.monotonic_ns",
                "random.random",
            ), name


def test_no_machine_paths_or_registry_hosts() -> None:
    for file in tracked():
        if file.suffix in (".lock", ".png", ".gz"):
            continue
        found = FOREIGN.search(file.read_text(errors="replace"))
        assert not found, f"{file.relative_to(ROOT)}: {found[0]}"


def test_locks_carry_hashes_and_no_addresses() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9._-]+==", text, re.MULTILINE)
        assert len(pins) > 20
        assert text.count("--hash=sha256:") >= len(pins)


def test_top_level_is_as_agreed() -> None:
    allowed = {
        "engine", "config", "bench", "tests", "engine.toml", "env.example", "Makefile", "README.md",
        "pyproject.toml",
        "requirements.lock", "requirements-dev.lock", "LICENSE", ".ci", ".gitignore", "setup.py",
    }  # fmt: skip
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= allowed


def test_events_are_declared_once_and_used() -> None:
    from engine.telemetry import events

    names = {name: value for name, value in vars(events).items() if isinstance(value, events.Event)}
    source = "\n".join(file.read_text() for file in python_files() if file.name != "events.py")
    for constant, event in names.items():
        assert events.EVENTS[event.name] is event
        assert event.sentence.endswith(".")
        assert f"events.{constant}" in source, f"{constant} is never emitted"
