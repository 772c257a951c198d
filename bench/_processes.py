"""What processes use, and which core each may use."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def separate(pid: int) -> None:
    """Give this process and ``pid`` a core each, where there are two.

    A write to a peer on our own core lets it run first, and its time would be counted as ours.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[0]})
        os.sched_setaffinity(0, {cores[1]})


def port_of(peer: subprocess.Popen[Any], file: Path) -> int:
    """Wait until a peer has written where it listens, and return that port.

    Raises:
        RuntimeError: it did not start.
    """
    deadline = time.monotonic() + 20
    while not file.exists():
        if time.monotonic() > deadline or peer.poll() is not None:
            raise RuntimeError(f"the peer did not start ({peer.poll()})")
        time.sleep(0.01)
    return int(file.read_text())


class Usage:
    """Memory and processor time of one process.

    Attributes:
        rss_mb: resident memory at each sample, the first one by ``begin``.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._began_s = self._began_cpu_s = self._cpu_s = self._last_s = 0.0
        self.rss_mb: list[int] = []

    def begin(self) -> None:
        """Let the processor time count from now."""
        self.sample()
        self._began_s, self._began_cpu_s = self._last_s, self._cpu_s

    def sample(self) -> None:
        """Take a sample."""
        self._last_s = time.monotonic()
        self._cpu_s = self._cpu_now()
        pages = int((self._folder / "statm").read_text().split()[1])
        self.rss_mb.append(round(pages * _PAGE_BYTES / 2**20))

    def cpu(self) -> float:
        """Return cores used between ``begin`` and the last sample."""
        return round((self._cpu_s - self._began_cpu_s) / max(self._last_s - self._began_s, 1e-9), 3)

    def _cpu_now(self) -> float:
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
