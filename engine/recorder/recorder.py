"""The recorder: takes rows off the hot path, hands full column sets to a writer, and never blocks.

The kernel appends delta rows into preallocated columns; trades and snapshots are appended from Python.
Three column sets rotate per table. When the writer is behind, rows are shed and counted; orders and books
do not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec
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
from engine.telemetry import events
from engine.telemetry.log import EventLog

RESTART_PAUSE_S = 0.5
SMALL_CAPACITY = 50_000


class Recorder:
    """Records market data of many instruments.

    Args:
        root: directory of the Parquet files. boot: unique per start, part of every file name.
        capacity: rows of one delta column set. flush_interval_ms: a set is written at least this often.
        writer: ``process`` (no stalls of the loop) or ``thread``.

    Attributes:
        deltas: hand it to every depth feed (``feed.rows``).
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
        self._process: asyncio.subprocess.Process | None = None
        self._serving: asyncio.Task[None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._news = asyncio.Event()
        self._is_closing = False
        self.rows_written = 0
        self.rows_lost = 0
        self.files = 0
        self.writer_restarts = 0
        self.last_error = ""

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
        await self._launch()
        self._serving = asyncio.get_running_loop().create_task(self._serve(), name="parquet writer")

    async def _launch(self) -> None:
        descriptors = {table: shared.descriptor for table, shared in self._shared.items()}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "engine.recorder.process",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            pass_fds=tuple(descriptors.values()), start_new_session=True,
            env={key: value for key, value in os.environ.items() if "API_" not in key},
        )  # fmt: skip
        tables = {table: (descriptors[table], shared.capacity) for table, shared in self._shared.items()}
        self._tell(Start(str(self._root.absolute()), self._boot, tables))
        assert self._process.stdout is not None
        if await self._process.stdout.readline() != b"ready\n":
            raise ConfigError('the Parquet writer did not start; recorder.writer = "thread" works without it')
        self._tell(Order(self._described))

    def _tell(self, message: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(message) + b"\n")

    async def _serve(self) -> None:
        """Read the writer's results; when it dies, start another and give it what was under way."""
        while not self._is_closing:
            assert self._process is not None
            assert self._process.stdout is not None
            line = await self._process.stdout.readline()
            if line:
                self._finished(msgspec.json.decode(line, type=Written))
                continue
            await self._process.wait()
            self.writer_restarts += 1
            self._log.emit(
                events.TASK_FAILED,
                task="parquet writer",
                error=f"exit code {self._process.returncode}",
                retry_s=RESTART_PAUSE_S,
            )
            await asyncio.sleep(RESTART_PAUSE_S)
            await self._launch()
            for batch in self._in_flight.values():
                # The columns are still in shared memory, and the same names are written again.
                self._tell(Order(batch=batch))

    # ----------------------------------------------------------------------------------------- rows

    def describe(self, book_id: int, instrument: Instrument) -> None:
        """Tell which instrument a book id is; before its first row is flushed."""
        described = Described(
            instrument.venue, instrument.product.value, instrument.symbol, instrument.universal,
            instrument.price_scale, instrument.qty_scale,
        )  # fmt: skip
        self._described[book_id] = described
        self._book_ids[instrument.venue, instrument.universal] = book_id
        if self._process is not None:
            self._tell(Order({book_id: described}))

    def record_trade(self, venue: str, trade: Trade) -> None:
        """Append one public trade."""
        book_id = self._book_ids.get((venue, trade.universal))
        if book_id is not None:
            self._trades.append(
                (
                    trade.recv_utc_ns, trade.venue_utc_ns, trade.trade_id, book_id, int(trade.aggressor),
                    trade.price, trade.qty,
                )
            )  # fmt: skip

    def record_snapshot(self, book: Any, depth: int) -> None:
        """Append the best ``depth`` levels of a LIVE book; -1 = all of them (marked as full)."""
        now = self._clock.utc_ns()
        for side in (0, 1):
            levels = book.depth(side, depth).tolist()
            for level, (price, qty) in enumerate(levels):
                self._snapshots.append(
                    (
                        now, book.venue_utc_ns, book.sequence, book.book_id, side, level, int(depth < 0),
                        price, qty,
                    )
                )  # fmt: skip

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

    def _hand_over(self, table: TableName, buffer: Any) -> None:
        shared = self._shared[table]
        free = shared.next_free()
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
        else:
            self._tell(Order(batch=batch))

    def _write_in_thread(self, pool: ThreadPoolExecutor, batch: Batch) -> None:
        columns = self._shared[batch.table].sets[batch.slot]
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(
            pool, write_batch, self._root, self._boot, batch, columns, dict(self._described)
        )
        future.add_done_callback(lambda done: self._finished(done.result()))

    def _finished(self, written: Written) -> None:
        batch = self._in_flight.pop(written.number)
        self._shared[batch.table].give_back(batch.slot)
        self.rows_written += written.rows
        self.files += written.files
        self._news.set()
        if written.error:
            lost = batch.rows - written.rows
            self.rows_lost += lost
            self.last_error = written.error
            self._log.emit(events.PARQUET_SHED, rows=lost, cause=written.error)
        else:
            self._log.emit(events.PARQUET_FLUSHED, table=batch.table, rows=written.rows)

    @property
    def rows_dropped(self) -> int:
        """Return rows that found no room because the writer was behind."""
        return self.deltas.dropped + self._snapshots.dropped + self._trades.dropped

    def stats(self) -> dict[str, Any]:
        """Return counters."""
        return {
            "rows_written": self.rows_written,
            "rows_waiting": self.deltas.size + self._snapshots.size + self._trades.size,
            "rows_dropped": self.rows_dropped,
            "rows_lost": self.rows_lost,
            "files": self.files,
            "writer_restarts": self.writer_restarts,
            "error": self.last_error,
        }

    async def close(self, timeout_s: float = 8.0) -> None:
        """Write what there is, for at most ``timeout_s``, and end the writer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while loop.time() < deadline:
            self._news.clear()
            self.poll(force=True)
            if not self._in_flight:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), max(0.01, deadline - loop.time()))
        self._is_closing = True
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), 2.0)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        for shared in self._shared.values():
            shared.close()


def boot_id(utc_ns: int) -> str:
    """Return a start's mark in file names: sortable, unique per start of a host."""
    return f"{np.datetime64(utc_ns, 'ns').astype('datetime64[s]')}".replace(":", "").replace("-", "") + (
        f"{os.getpid():x}"
    )
