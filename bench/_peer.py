"""The C peer that sends prepared frames over loopback, and the moments at which it sent them."""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench._processes import port_of
from engine.book.consolidated import TopLike
from engine.book.l2 import BookLike
from engine.telemetry.histogram import Histogram


def compiled_peer(folder: Path) -> Path:
    """Compile the peer into ``folder``; raises RuntimeError without gcc."""
    peer = folder / "ws_peer"
    source = Path(__file__).parent / "native" / "ws_peer.c"
    try:
        subprocess.run(["gcc", "-O2", "-o", str(peer), str(source)], check=True)
    except (OSError, subprocess.CalledProcessError):
        raise RuntimeError("this benchmark needs gcc for its peer") from None
    return peer


@contextmanager
def serving(peer: Path, folder: Path, count: int, connections: int, core: int) -> Iterator[tuple[str, Path]]:
    """Run the peer on ``folder``'s frames; yield its address and the file of its stamps."""
    stamps, port_file = folder / "stamps", folder / "port"
    stamps.write_bytes(bytes(8 * count))
    port_file.unlink(missing_ok=True)
    server = subprocess.Popen(
        [str(peer), str(port_file), str(folder / "frames"), str(stamps), str(count), str(connections), "0"],
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        yield f"ws://127.0.0.1:{port_of(server, port_file)}/", stamps
    finally:
        server.kill()
        server.wait()


class PeerStamps:
    """Pairs the peer's stamps with ours: a connection's k-th frame is the k-th that was sent on it.

    Attributes:
        updated: sent to book readable, of every frame. changed: sent to consolidated best readable, of those
            that changed it.
        seen: frames that came.
    """

    def __init__(self, path: str, connections: Sequence[int], count: int) -> None:
        with open(path, "r+b") as file:
            stamps = np.frombuffer(mmap.mmap(file.fileno(), len(connections) * 8), dtype=np.int64)
        self._view: Any = memoryview(stamps)  # type: ignore[arg-type]
        self._frames = len(connections)
        self.updated, self.changed = Histogram(), Histogram()
        self.seen = 0
        self._versions: list[int] = []
        self._order: list[list[int]] = [[] for _ in range(count)]
        for number, connection in enumerate(connections):
            self._order[connection].append(number)

    def noter(self, connection: int, tops: Sequence[TopLike], skip: int) -> Callable[[BookLike], None]:
        """Return what takes the time for a connection's next frame; a book's id is the number of its top.

        Args:
            skip: frames at the start, of all connections together, that are not counted.
        """
        following = iter(self._order[connection])
        view, updated, changed, clock = self._view, self.updated, self.changed, time.monotonic_ns
        versions = self._versions
        versions.extend([0] * (len(tops) - len(versions)))

        def note(book: BookLike) -> None:
            top = tops[book.book_id]
            version = top.version
            now = clock()
            number = next(following)
            if number >= skip:
                updated.record(now - view[number])
                if version != versions[book.book_id]:
                    changed.record(now - view[number])
            versions[book.book_id] = version
            self.seen += 1

        return note

    @property
    def is_done(self) -> bool:
        """Tell whether every frame has come."""
        return self.seen >= self._frames
