"""Where nothing, or not everything, can be compiled, the build succeeds and what is left fits together."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = shutil.ignore_patterns("*.so", "__pycache__", "sim", "data", "run")
ONLY_ONE = """#!/bin/sh
case "$*" in *router/breaker*) exec gcc "$@";; esac
echo "no space left" >&2
exit 1
"""


def build(folder: Path, compiler: str) -> subprocess.CompletedProcess[str]:
    shutil.copytree(ROOT / "engine", folder / "engine", ignore=SOURCES)
    shutil.copy(ROOT / "setup.py", folder)
    if (ROOT / "build").exists():  # the C sources, to save time; they are made anew where they are too old
        shutil.copytree(ROOT / "build" / "engine", folder / "build" / "engine", dirs_exist_ok=True)
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder, env={**os.environ, "CC": compiler}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def compiled(folder: Path) -> list[str]:
    return sorted(file.name.split(".")[0] for file in (folder / "engine").rglob("*.so"))


def origin(folder: Path) -> str:
    """Return where the order path's modules come from when they are imported there."""
    code = "import engine.router.router, engine.transport.http as http; print(http.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_compiler_python_serves(tmp_path: Path) -> None:
    done = build(tmp_path, "/nonexistent/cc")
    assert done.returncode == 0, done.stderr
    assert compiled(tmp_path) == []
    assert "the order path is not compiled" in done.stderr
    assert origin(tmp_path).endswith("http.py")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_an_order_path_that_is_compiled_in_part_is_not_kept(tmp_path: Path) -> None:
    script = tmp_path / "cc"
    script.write_text(ONLY_ONE)
    script.chmod(0o755)
    done = build(tmp_path, str(script))
    assert done.returncode == 0, done.stderr
    assert "engine.router.order was not compiled" in done.stderr
    assert "engine.router.breaker was not" not in done.stderr
    assert compiled(tmp_path) == []
    assert origin(tmp_path).endswith("http.py")
