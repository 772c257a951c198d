"""A recorder under test, with a clock set by hand and readers that share no code with the writer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow.dataset as ds

from engine.book.l2 import BookLike, DepthFeedLike, new_book, new_feed
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import BookSnapshot
from engine.recorder.recorder import Recorder, boot_id
from engine.telemetry.clock import ManualClock
from engine.telemetry.log import EventLog
from engine.venues.binance.market_data import depth_schema

NOON_NS = 1_783_684_800_000_000_000
"""2026-07-10 12:00:00 UTC."""


def instrument(universal: str = "BTC/USDT", product: Product = Product.SPOT, **changes: Any) -> Instrument:
    values: dict[str, Any] = {
        "venue": "binance", "product": product, "symbol": "BTCUSDT", "universal": universal, "base": "BTC",
        "quote": "USDT", "settle": None, "status": InstrumentStatus.TRADING, "price_scale": 8, "qty_scale": 8,
        "tick_size": 10**6, "lot_size": 1000, "market_lot_size": 1000, "price_min": 0, "price_max": 0,
        "qty_min": 1000, "qty_max": 0, "market_qty_max": 0, "notional_min": Decimal(5),
        "notional_max": Decimal(0),
    }  # fmt: skip
    return Instrument(**{**values, **changes})


class Recording:
    """A started recorder and what surrounds it."""

    def __init__(self, recorder: Recorder, clock: ManualClock, log: EventLog, stream: io.StringIO) -> None:
        self.recorder = recorder
        self.clock = clock
        self._log = log
        self._stream = stream

    def book(self, number: int, described: Instrument | None = None) -> tuple[BookLike, DepthFeedLike]:
        """Return a LIVE book at sequence 100 and the feed that serves and records it."""
        described = described or instrument()
        self.recorder.describe(number, described)
        book = new_book(described.universal, described.price_scale, described.qty_scale, number)
        feed = new_feed(depth_schema(Product.SPOT))
        feed.add("btcusdt@depth@100ms", book)
        feed.rows = self.recorder.deltas
        book.begin_sync()
        bids = np.array([[100 - n, 10 + n] for n in range(40)], dtype=np.int64) * 10**8
        asks = np.array([[101 + n, 20 + n] for n in range(30)], dtype=np.int64) * 10**8
        book.load_snapshot(BookSnapshot(100, bids, asks, None))
        assert book.accept_snapshot()
        return book, feed

    def logged(self, event: str) -> list[dict[str, Any]]:
        self._log.flush()
        lines = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def flushed(self) -> None:
        """Hand over what there is and wait for its files."""

        def is_done() -> bool:
            self.recorder.poll(force=True)
            stats = self.recorder.stats()
            return not stats["rows_waiting"] and not stats["rows_in_flight"]

        await until(is_done)


def frame(last: int, bids: list[list[str]], asks: list[list[str]], venue_ms: int = 0) -> bytes:
    """Return a Binance spot depth message that follows ``last - 1``."""
    data = {
        "e": "depthUpdate", "E": venue_ms or 1_783_684_800_000 + last, "s": "BTCUSDT", "U": last, "u": last,
        "b": bids, "a": asks,
    }  # fmt: skip
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}, separators=(",", ":")).encode()


async def until(done: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def recording(
    root: Path,
    *,
    writer: Literal["process", "thread"] = "process",
    capacity: int = 1_000,
    utc_ns: int = NOON_NS,
) -> AsyncIterator[Recording]:
    clock = ManualClock(mono_ns=1, utc_ns=utc_ns)
    stream = io.StringIO()
    log = EventLog("debug", "json", stream)
    recorder = Recorder(
        root, boot_id(utc_ns), clock, log, capacity=capacity, flush_interval_ms=1_000, writer=writer
    )
    await recorder.start()
    try:
        yield Recording(recorder, clock, log, stream)
    finally:
        await recorder.close()
        log.close()


def rows(root: Path, table: str, columns: str = "*", order: str = "recv_utc_ns") -> list[tuple[Any, ...]]:
    """Return rows as DuckDB reads them; nothing recorded is no rows."""
    if not list(root.rglob(f"{table}-*.parquet")):
        return []
    with duckdb.connect() as database:
        return database.execute(
            f"select {columns} from read_parquet(?, hive_partitioning = true) order by {order}",
            [str(root / "**" / f"{table}-*.parquet")],
        ).fetchall()


def arrow_rows(root: Path, table: str) -> list[dict[str, Any]]:
    """Return rows as pyarrow reads them, partitions decoded."""
    files = [str(path) for path in sorted(root.rglob(f"{table}-*.parquet"))]
    partitioning = ds.HivePartitioning.discover(infer_dictionary=False)
    data = ds.dataset(files, format="parquet", partitioning=partitioning, partition_base_dir=str(root))
    found: list[dict[str, Any]] = data.to_table().to_pylist()
    return found
