"""The writer process: batches named on standard input, results on standard output, columns in shared memory.

Started by ``writer.py`` as ``python -m engine.recorder.process``; a JSON line each way. It ends when its
input closes: after an engine that was killed it still writes the batches it was given, and nothing more.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import msgspec

from engine.recorder.columns import map_sets
from engine.recorder.files import Batch, Described, warm_up, write_batch
from engine.recorder.schema import TableName


class Start(msgspec.Struct, frozen=True):
    """The first line: where to write, and which shared memory holds which table."""

    root: str
    boot: str
    tables: dict[TableName, tuple[int, int]]
    """Table to (descriptor, capacity)."""


class Order(msgspec.Struct, frozen=True):
    """Any later line: instruments to know, a batch to write, or both."""

    described: dict[int, Described] = {}
    batch: Batch | None = None


def main() -> int:
    """Serve until the input closes."""
    lines = iter(sys.stdin.buffer.readline, b"")
    start = msgspec.json.decode(next(lines), type=Start)
    os.nice(5)
    sets = {table: map_sets(fd, table, capacity) for table, (fd, capacity) in start.tables.items()}
    warm_up()
    _say(b"ready\n")
    described: dict[int, Described] = {}
    orders = msgspec.json.Decoder(Order, strict=False)
    for line in lines:
        order = orders.decode(line)
        described.update(order.described)
        if order.batch is not None:
            columns = sets[order.batch.table][order.batch.slot]
            result = write_batch(Path(start.root), start.boot, order.batch, columns, described)
            _say(msgspec.json.encode(result) + b"\n")
    return 0


def _say(line: bytes) -> None:
    """Tell the engine; one that has died hears nothing, and its rows are written all the same."""
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), line)


if __name__ == "__main__":
    sys.exit(main())
