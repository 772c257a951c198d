"""The engine as a process of its own, as people start it: ready when the block begins, ended after it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return this process's environment without anybody's keys."""
    keep = {name: value for name, value in os.environ.items() if "API_" not in name}
    return {**keep, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "250"}


@contextlib.contextmanager
def engine_running(folder: Path) -> Iterator[None]:
    """Run ``python -m engine run`` in a folder with a configuration; it must end with 0 when asked to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "run"], cwd=folder, env=environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["event"] == "engine.ready":
                break
        yield
        process.terminate()
        _, rest = process.communicate(timeout=20)
        assert process.returncode == 0, rest
    finally:
        process.kill()
        process.communicate()
