from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

COLUMN_NAMES: tuple[str, ...]

class FrameSink:
    def feed(self, data: bytes | bytearray | memoryview, mono_ns: int = 0, utc_ns: int = 0) -> bool: ...

class TickClock:
    @property
    def is_counter(self) -> bool: ...
    def mono_ns(self) -> int: ...

class SystemClock:
    def mono_ns(self) -> int: ...
    def utc_ns(self) -> int: ...

class DeltaRows:
    columns: Mapping[str, npt.NDArray[np.int64]]
    capacity: int
    size: int
    dropped: int
    def __init__(
        self, capacity: int = 100_000, columns: Mapping[str, npt.NDArray[np.int64]] | None = None
    ) -> None: ...
    def swap(
        self, columns: Mapping[str, npt.NDArray[np.int64]]
    ) -> tuple[Mapping[str, npt.NDArray[np.int64]], int]: ...
    def reset(self) -> None: ...
    def note_dropped(self, rows: int) -> None: ...
