"""The recorder: takes rows off the hot path, hands full column sets to a writer, and never blocks.

The kernel appends delta rows into preallocated columns; trades and snapshots are appended from Python.
Three column sets rotate per table. When the writer is behind, rows are shed and counted; orders and books
do not notice. A batch lives in shared memory until its files are in place, so a writer that dies costs
nothing: the next one writes the batch again, under the same names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.model.errors import ConfigError
from engine.model.instrument import Instrument
from engine.model.market import Trade
from engine.model.ports import Clock
from engine.model.rows import DeltaRows
from engine.recorder.columns import RowBuffer, SharedSets
from engine.recorder.files import Batch, Described, Written, remove_leftovers, warm_up, write_batch
from engine.recorder.process import Order, Start
from engine.recorder.schema import TableName
from engine.recorder.writer import WriterProcess
from engine.telemetry import events
from engine.telemetry.log import EventLog

SMALL_CAPACITY = 50_000
DEATHS_MAX = 3
"""A batch that was first in line when this many writers died is given up."""


class Recorder:
    """Records market data of many instruments.

    Args:
        root: directory of the Parquet files. boot: unique per start, part of every file name.
        capacity: rows of one delta column set. flush_interval_ms: a set is written at least this often.
        writer: ``process`` (no stalls of the loop) or ``thread``.

    Attributes:
        deltas: hand it to every depth feed (``feed.rows``).
        wants_bases: rows were lost and are written again: record every LIVE book in full, for deltas after a
            hole stand on nothing. Whoever does it takes the wish back.
        last_error: why rows could not be written; empty while they are.
    """

    def __init__(
        self,
        root: Path,
        boot: str,
        clock: Clock,
        log: EventLog,
        *,
        capacity: int,
        flush_interval_ms: int,
        writer: Literal["process", "thread"],
    ) -> None:
        self._root = root
        self._boot = boot
        self._clock = clock
        self._log = log
        self._interval_ns = flush_interval_ms * 1_000_000
        self._mode = writer
        self._shared: dict[TableName, SharedSets] = {
            "l2_deltas": SharedSets("l2_deltas", capacity),
            "book_snapshots": SharedSets("book_snapshots", max(capacity, SMALL_CAPACITY)),
            "trades": SharedSets("trades", SMALL_CAPACITY),
        }
        self.deltas = DeltaRows(columns=self._shared["l2_deltas"].sets[0])
        self._snapshots = RowBuffer(self._shared["book_snapshots"])
        self._trades = RowBuffer(self._shared["trades"])
        self._described: dict[int, Described] = {}
        self._book_ids: dict[tuple[str, str], int] = {}
        self._flushed_ns = clock.mono_ns()
        self._number = 0
        self._in_flight: dict[int, Batch] = {}
        self._deaths: dict[int, int] = {}
        self._owed_books: dict[int, Any] = {}
        self._writer: WriterProcess | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._news = asyncio.Event()
        self.rows_written = 0
        self.rows_lost = 0
        self.files = 0
        self.last_error = ""
        self._dropped_told = 0
        self._has_hole = False
        self.wants_bases = False
        self._is_closed = False

    # ----------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Prepare the directory and start the writer.

        Raises:
            ConfigError: the directory cannot be used.
        """
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self._root / f".probe-{os.getpid()}"
            probe.write_bytes(b"x")
            probe.unlink()
            remove_leftovers(self._root)
        except OSError as error:
            raise ConfigError(
                f"recorder.directory {self._root}: {error.strerror}; it must be writable"
            ) from None
        if self._mode == "thread":
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="parquet")
            await asyncio.get_running_loop().run_in_executor(self._pool, warm_up)
            return
        descriptors = {table: shared.descriptor for table, shared in self._shared.items()}
        tables = {table: (descriptors[table], shared.capacity) for table, shared in self._shared.items()}
        self._writer = WriterProcess(
            Start(str(self._root.absolute()), self._boot, tables),
            tuple(descriptors.values()),
            self._log,
            on_written=self._finished,
            on_death=self._writer_died,
            owed=self._owed,
        )
        await self._writer.start()

    def _owed(self) -> Iterator[Order]:
        yield Order(self._described)
        for batch in self._in_flight.values():
            yield Order(batch=batch)

    def _writer_died(self) -> None:
        """Give up a batch that writer after writer has died of."""
        for number, batch in self._in_flight.items():
            deaths = self._deaths[number] = self._deaths.get(number, 0) + 1
            if deaths == DEATHS_MAX:
                self._finished(Written(number, 0, 0, f"{deaths} writers died of a batch of {batch.table}"))
            return

    # ----------------------------------------------------------------------------------------- rows

    def describe(self, book_id: int, instrument: Instrument) -> None:
        """Tell which instrument a book id is; before its first row is flushed."""
        described = Described(
            instrument.venue, instrument.product.value, instrument.symbol, instrument.universal,
            instrument.price_scale, instrument.qty_scale,
        )  # fmt: skip
        self._described[book_id] = described
        self._book_ids[instrument.venue, instrument.universal] = book_id
        if self._writer is not None:
            self._writer.tell(Order({book_id: described}))

    def record_trade(self, venue: str, trade: Trade) -> None:
        """Append one public trade."""
        book_id = self._book_ids.get((venue, trade.universal))
        if book_id is not None:
            self._trades.append(
                (
                    trade.recv_utc_ns, trade.venue_utc_ns, trade.trade_id, book_id, int(trade.aggressor),
                    trade.price, trade.qty, int(trade.is_backfilled),
                )
            )  # fmt: skip

    def record_snapshot(self, book: Any, depth: int) -> None:
        """Append the best ``depth`` levels of a LIVE book; -1 = all of them (marked as full).

        A snapshot is recorded whole or not at all. A full one without room (many books came LIVE at once)
        is taken later, by ``poll``: without it the recorded deltas would have nothing to apply to.
        """
        sides = book.depth(0, depth), book.depth(1, depth)
        rows = len(sides[0]) + len(sides[1])
        buffer = self._snapshots
        if rows > buffer.room:
            self._hand_over("book_snapshots", buffer)
        if rows > buffer.room:
            if depth < 0 and rows <= buffer.capacity:
                self._owed_books[book.book_id] = book
            else:
                buffer.dropped += rows
            return
        now = self._clock.utc_ns()
        for side, levels in enumerate(sides):
            count = len(levels)
            buffer.extend(
                count,
                {
                    "recv_utc_ns": now, "venue_utc_ns": book.venue_utc_ns, "sequence": book.sequence,
                    "book_id": book.book_id, "side": side, "level": np.arange(count),
                    "is_full": int(depth < 0),
                    "price": levels[:, 0], "qty": levels[:, 1],
                },
            )  # fmt: skip

    def _settle_books(self) -> None:
        """Record the full snapshots that found no room; a book that is not LIVE any more comes back anew."""
        owed, self._owed_books = self._owed_books, {}
        for book in owed.values():
            if book.is_live:
                self.record_snapshot(book, -1)

    # ---------------------------------------------------------------------------------------- flush

    def poll(self, force: bool = False) -> None:
        """Hand over column sets that are half full, or due; call it several times a second."""
        now = self._clock.mono_ns()
        is_due = force or now - self._flushed_ns >= self._interval_ns
        if is_due:
            self._flushed_ns = now
        for table, buffer in (
            ("l2_deltas", self.deltas), ("book_snapshots", self._snapshots), ("trades", self._trades),
        ):  # fmt: skip
            if buffer.size and (is_due or buffer.size * 2 >= buffer.capacity):
                self._hand_over(table, buffer)  # type: ignore[arg-type]
        if self._owed_books:
            self._settle_books()
        if is_due and self.rows_dropped > self._dropped_told:
            self._shed(self.rows_dropped - self._dropped_told, "the writer is behind")
            self._dropped_told = self.rows_dropped

    def _shed(self, rows: int, cause: str) -> None:
        self._has_hole = True
        self._log.emit(events.PARQUET_SHED, rows=rows, cause=cause)

    def _hand_over(self, table: TableName, buffer: Any) -> None:
        shared = self._shared[table]
        free = shared.next_free() if buffer.size else None
        if free is None:
            return  # the writer is behind: the set fills up, and what then finds no room is counted
        swapped = buffer.swap(shared.sets[free])
        rows = swapped[1] if isinstance(swapped, tuple) else swapped
        self._number += 1
        batch = Batch(table, shared.current, rows, self._number)
        shared.current = free
        self._in_flight[batch.number] = batch
        if self._pool is not None:
            self._write_in_thread(self._pool, batch)
        elif self._writer is not None:
            self._writer.tell(Order(batch=batch))

    def _write_in_thread(self, pool: ThreadPoolExecutor, batch: Batch) -> None:
        columns = self._shared[batch.table].sets[batch.slot]
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(
            pool, write_batch, self._root, self._boot, batch, columns, dict(self._described)
        )

        def finished(done: Future[Written] | asyncio.Future[Written]) -> None:
            if done.cancelled():
                return
            problem = done.exception()
            error = f"{type(problem).__name__}: {problem}"[:200]
            self._finished(Written(batch.number, 0, 0, error) if problem is not None else done.result())

        future.add_done_callback(finished)

    def _finished(self, written: Written) -> None:
        batch = self._in_flight.pop(written.number, None)
        self._deaths.pop(written.number, None)
        if batch is None:
            return  # given up, yet its writer came through
        self._shared[batch.table].give_back(batch.slot)
        self.rows_written += written.rows
        self.files += written.files
        self._news.set()
        if written.error:
            lost = batch.rows - written.rows
            self.rows_lost += lost
            self.last_error = written.error
            self._shed(lost, written.error)
        else:
            self.last_error = ""
            self._log.emit(events.PARQUET_FLUSHED, table=batch.table, rows=written.rows)
            if self._has_hole:  # rows are missing, and written again: deltas need a new base to stand on
                self._has_hole, self.wants_bases = False, True

    @property
    def rows_dropped(self) -> int:
        """Return rows that found no room because the writer was behind."""
        return self.deltas.dropped + self._snapshots.dropped + self._trades.dropped

    @property
    def writer_restarts(self) -> int:
        """Return how many writers died."""
        return self._writer.restarts if self._writer is not None else 0

    @property
    def writer_pid(self) -> int:
        """Return the writer's process id; 0 while there is none."""
        return self._writer.pid if self._writer is not None else 0

    def stats(self) -> dict[str, Any]:
        """Return counters."""
        return {
            "rows_written": self.rows_written,
            "rows_waiting": self.deltas.size + self._snapshots.size + self._trades.size,
            "rows_in_flight": sum(batch.rows for batch in self._in_flight.values()),
            "rows_dropped": self.rows_dropped,
            "rows_lost": self.rows_lost,
            "files": self.files,
            "writer_restarts": self.writer_restarts,
            "error": self.last_error,
        }

    async def close(self, timeout_s: float = 8.0) -> None:
        """Write what there is, for at most ``timeout_s``, and end the writer; what is left counts as lost."""
        if self._is_closed:
            return
        self._is_closed = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while loop.time() < deadline:
            self._news.clear()
            self.poll(force=True)
            if not self._in_flight:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), max(0.01, deadline - loop.time()))
        if self._writer is not None:
            await self._writer.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._count_unwritten()
        for shared in self._shared.values():
            shared.close()

    def _count_unwritten(self) -> None:
        stats = self.stats()
        left = stats["rows_in_flight"] + stats["rows_waiting"]
        if left:
            self.rows_lost += left
            self.last_error = "rows were not written before the end"
            self._shed(left, self.last_error)


def boot_id(utc_ns: int) -> str:
    """Return a start's mark in file names: sortable by start, and different even if the clock went back."""
    second = np.datetime64(utc_ns, "ns").astype("datetime64[s]")
    return f"{second}".replace(":", "").replace("-", "") + f"-{os.getpid():x}{secrets.token_hex(2)}"
