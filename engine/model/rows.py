"""Columns for recorded deltas: compiled where possible, this pure-Python twin otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Columns = Mapping[str, npt.NDArray[np.int64]]

COLUMN_NAMES = (
    "recv_utc_ns",
    "venue_utc_ns",
    "first_sequence",
    "last_sequence",
    "book_id",
    "side",
    "price",
    "qty",
)


class PureDeltaRows:
    """See ``_native.DeltaRows``: the same columns, filled from Python."""

    def __init__(self, capacity: int = 100_000, columns: Columns | None = None) -> None:
        if columns is None:
            columns = {name: np.empty(capacity, dtype=np.int64) for name in COLUMN_NAMES}
        self.dropped = 0
        self._bind(columns)

    def _bind(self, columns: Columns) -> None:
        capacity = len(columns[COLUMN_NAMES[0]])
        for name in COLUMN_NAMES:
            if len(columns[name]) != capacity or capacity == 0:
                raise ValueError(f"column {name} must have the same length as the others, and not be empty")
        self.columns = columns
        self.capacity = capacity
        self.size = 0

    def append(self, values: tuple[int, ...]) -> None:
        """Append one row, in the order of ``COLUMN_NAMES``; the caller has checked for room."""
        row = self.size
        for name, value in zip(COLUMN_NAMES, values, strict=True):
            self.columns[name][row] = value
        self.size = row + 1

    def swap(self, columns: Columns) -> tuple[Columns, int]:
        """Write into other columns from now on; return (old columns, rows in them)."""
        old, rows = self.columns, self.size
        self._bind(columns)
        return old, rows

    def reset(self) -> None:
        """Forget the rows."""
        self.size = 0

    def note_dropped(self, rows: int) -> None:
        """Count rows that had to be shed elsewhere."""
        self.dropped += rows


try:
    from engine.model._native import DeltaRows as DeltaRows
except ImportError:
    DeltaRows = PureDeltaRows  # type: ignore[misc, assignment]
