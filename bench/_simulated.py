"""A simulated exchange as a process of the benchmark's own, with whatever switches it takes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.model.errors import ConfigError

START_TIMEOUT_S = 60.0


@contextmanager
def simulated(venues: Sequence[str], *switches: str) -> Iterator[tuple[Path, int]]:
    """Run a simulated exchange; yield its endpoints file and its process id.

    Raises:
        ConfigError: it did not come up.
    """
    with tempfile.TemporaryDirectory(prefix="tecore-bench-") as folder:
        file = Path(folder) / "endpoints.json"
        command = [sys.executable, "-m", "engine.sim", "--venues", ",".join(venues), "--endpoints", str(file)]
        # A session of its own keeps a terminal's Ctrl-C from it before we have closed our connections.
        process = subprocess.Popen(
            [*command, "--exit-with-stdin", *switches],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not file.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ConfigError("the simulated exchange did not start")
                time.sleep(0.02)
            yield file, process.pid
        finally:
            process.terminate()
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()
