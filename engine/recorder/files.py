"""Writes column batches as Parquet files: the only user of pyarrow.

One file per instrument, day and flush: written under a temporary name, synced, renamed, the folder
synced. What is under a final name is complete; a crash leaves temporary files, removed at the next start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from engine.recorder.schema import COLUMNS, SMALL_COLUMNS, STEADY_COLUMNS, TableName, partition

DAY_NS = 86_400_000_000_000
TEMPORARY = ".part"


class Described(msgspec.Struct, frozen=True):
    """What a file says of its instrument."""

    venue: str
    product: str
    symbol: str
    universal: str
    price_scale: int
    qty_scale: int


class Batch(msgspec.Struct, frozen=True):
    """One column set to write.

    Attributes:
        number: of this recorder's life; with ``boot`` it makes file names unique, and a batch written
            again after a crash of the writer replaces its own files.
    """

    table: TableName
    slot: int
    rows: int
    number: int


class Written(msgspec.Struct, frozen=True):
    """What became of a batch."""

    number: int
    rows: int
    files: int
    error: str = ""


def write_batch(
    root: Path,
    boot: str,
    batch: Batch,
    columns: Mapping[str, npt.NDArray[np.int64]],
    described: Mapping[int, Described],
) -> Written:
    """Write one batch; failures are reported, not raised: rows whose file failed are missing in ``rows``."""
    done = files = 0
    error = ""
    for book_id, day, index in _groups(
        columns["book_id"][: batch.rows], columns["recv_utc_ns"][: batch.rows]
    ):
        instrument = described.get(int(book_id))
        if instrument is None:
            error = f"book {book_id} is not described"
            continue
        try:
            _write_file(root, boot, batch, columns, index, instrument, day)
        except (OSError, pa.ArrowException) as problem:
            error = str(problem).splitlines()[0][:200]
        else:
            done += len(index)
            files += 1
    return Written(batch.number, done, files, error)


def _groups(
    book_ids: npt.NDArray[np.int64], stamps: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int, npt.NDArray[np.intp]]]:
    """Yield (book id, day number, row indices in order) of each group of rows."""
    days = stamps // DAY_NS
    for book_id in np.unique(book_ids):
        mine = np.flatnonzero(book_ids == book_id)
        for day in np.unique(days[mine]):
            yield int(book_id), int(day), mine[days[mine] == day]


def _write_file(
    root: Path,
    boot: str,
    batch: Batch,
    columns: Mapping[str, npt.NDArray[np.int64]],
    index: npt.NDArray[np.intp],
    instrument: Described,
    day: int,
) -> None:
    date = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
    folder = root / partition(instrument.venue, instrument.universal, date)
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{batch.table}-{instrument.product}-{boot}-{batch.number:08d}.parquet"
    temporary = final.with_name(final.name + TEMPORARY)
    try:
        with open(temporary, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # says to other engines that this is no leftover
            _write_table(file, batch.table, columns, index, instrument)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_table(
    file: object,
    table: TableName,
    columns: Mapping[str, npt.NDArray[np.int64]],
    index: npt.NDArray[np.intp],
    instrument: Described,
) -> None:
    names, arrays = [], []
    encodings: dict[str, str] = {}
    for name in COLUMNS[table]:
        if name == "book_id":
            continue
        values = columns[name][index]
        if name in SMALL_COLUMNS:
            values = values.astype(np.int8)
        else:
            encodings[name] = "DELTA_BINARY_PACKED" if name in STEADY_COLUMNS else "BYTE_STREAM_SPLIT"
        names.append(name)
        arrays.append(pa.array(values))
    for name, scale in (("price_scale", instrument.price_scale), ("qty_scale", instrument.qty_scale)):
        names.append(name)
        arrays.append(pa.array(np.full(len(index), scale, dtype=np.int8)))
    metadata = {key: str(value) for key, value in msgspec.structs.asdict(instrument).items()}
    data = pa.Table.from_arrays(arrays, names=names).replace_schema_metadata(
        {**metadata, "format": "tecore 1"}
    )
    small = [name for name in names if name not in encodings]
    pq.write_table(
        data, file, compression="zstd", compression_level=1, use_dictionary=small,
        column_encoding=encodings, write_statistics=True,
    )  # fmt: skip


def warm_up() -> None:
    """Write a tiny table into memory: the first use of pyarrow costs hundreds of milliseconds."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": pa.array(np.zeros(1, dtype=np.int64))}), sink, compression="zstd")


def remove_leftovers(root: Path) -> int:
    """Remove temporary files of a crash (a Parquet file without its end cannot be read); return how many.

    A file that its writer still holds is left alone: the writer of a killed engine finishes what it was
    given, and two engines may record into one directory.
    """
    gone = 0
    for path in root.glob(f"exchange=*/pair=*/date=*/*{TEMPORARY}"):
        try:
            with open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except (BlockingIOError, FileNotFoundError):
            continue
        gone += 1
    return gone
