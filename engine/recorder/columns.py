"""Column sets in memory shared with the writer: filled here, written there, in rotation."""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from engine.recorder.schema import COLUMNS, TableName

SETS = 3
ColumnSet = dict[str, npt.NDArray[np.int64]]


def set_bytes(table: TableName, capacity: int) -> int:
    """Return the size of one column set."""
    return len(COLUMNS[table]) * capacity * 8


def map_sets(descriptor: int, table: TableName, capacity: int, populate: bool = False) -> list[ColumnSet]:
    """Map a table's column sets from shared memory; each column is int64, shape (capacity,).

    ``populate`` has the pages there at once: a fault is a microsecond, and each row touches every column.
    """
    flags = mmap.MAP_SHARED | (mmap.MAP_POPULATE if populate else 0)
    memory = mmap.mmap(descriptor, SETS * set_bytes(table, capacity), flags=flags)
    whole = np.frombuffer(memory, dtype=np.int64).reshape(SETS, len(COLUMNS[table]), capacity)
    return [dict(zip(COLUMNS[table], whole[number], strict=True)) for number in range(SETS)]


class SharedSets:
    """The column sets of one table.

    Attributes:
        descriptor: anonymous shared memory; passed to the writer process, gone with the last user.
        current: number of the set being filled.
    """

    def __init__(self, table: TableName, capacity: int) -> None:
        self.table = table
        self.capacity = capacity
        self.descriptor = os.memfd_create(f"tecore-{table}")
        os.ftruncate(self.descriptor, SETS * set_bytes(table, capacity))
        self.sets = map_sets(self.descriptor, table, capacity, populate=True)
        self.current = 0
        self._free = deque(range(1, SETS))

    def next_free(self) -> int | None:
        """Take a set that is not being written, or return None."""
        return self._free.popleft() if self._free else None

    def give_back(self, number: int) -> None:
        """Take a set back from the writer."""
        self._free.append(number)

    def close(self) -> None:
        """Let go of the descriptor; the mapping lives as long as its arrays."""
        os.close(self.descriptor)


class RowBuffer:
    """Rows of the slower tables, put into the current set from Python.

    Attributes:
        size: rows in the current set. dropped: rows that found no room, since the start.
    """

    def __init__(self, shared: SharedSets) -> None:
        self._names = COLUMNS[shared.table]
        self.capacity = shared.capacity
        self.size = 0
        self.dropped = 0
        self._bind(shared.sets[0])

    def _bind(self, columns: ColumnSet) -> None:
        self._set = columns
        # An item assignment through a memoryview costs half of one through numpy.
        self._views = [columns[name].data for name in self._names]

    @property
    def room(self) -> int:
        """Return how many rows still fit."""
        return self.capacity - self.size

    def append(self, values: tuple[int, ...]) -> None:
        """Append one row in column order, or count it as dropped when the set is full."""
        row = self.size
        if row == self.capacity:
            self.dropped += 1
            return
        for view, value in zip(self._views, values, strict=True):
            view[row] = value
        self.size = row + 1

    def extend(self, rows: int, columns: Mapping[str, npt.NDArray[np.int64] | int]) -> None:
        """Append many rows by column (a number fills its column); the caller has checked for room."""
        start, end = self.size, self.size + rows
        assert end <= self.capacity
        for name in self._names:
            self._set[name][start:end] = columns[name]
        self.size = end

    def swap(self, columns: ColumnSet) -> int:
        """Fill other columns from now on; return how many rows the old ones hold."""
        rows, self.size = self.size, 0
        self._bind(columns)
        return rows
