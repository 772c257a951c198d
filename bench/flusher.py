"""What does recording cost the event loop, beside a list of dicts with pyarrow and a JSON-lines logger?

Every contender takes the same events in the same process, in turns: depth messages of many levels, and
trades. Its cost is the time from taking an event until it may take the next one, flushes included, which is
what a message behind it waits. The engine's share is its whole depth path (parse, book, record); the others
get their messages decoded for nothing and keep no book. Before anything is printed every row is read back
from disk and compared with what was recorded, in order. Does not measure a full disk or a shared one, and
never outruns the writer: when three column sets are full it waits, outside the measurement, where an engine
would shed rows and count them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import uvloop
from rich.console import Console
from rich.table import Table

from engine.book.l2 import COMPILED, new_book, new_feed
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import BookSnapshot, Side, Trade
from engine.recorder.recorder import Recorder, boot_id
from engine.telemetry.clock import SystemClock
from engine.telemetry.log import EventLog
from engine.venues.binance.market_data import depth_schema

UNIT = 10**8
START_UTC_NS = 1_783_684_800_000_000_000
BATCH_ROWS = 100_000
FLUSH_ROWS = BATCH_ROWS // 2
"""The engine hands over half-full sets; the others flush as often."""
POLL_EVENTS = 500
TRADE_EVERY = 6
BOOKS = 10
Rows = list[tuple[int, ...]]


class Event(msgspec.Struct, frozen=True, gc=False):
    """One message: a depth frame with its decoded levels, or a trade.

    ``levels`` holds (side, price, qty), scaled.
    """

    book: int
    sequence: int
    recv_utc_ns: int
    venue_utc_ns: int
    frame: bytes = b""
    levels: tuple[tuple[int, int, int], ...] = ()
    trade: Trade | None = None


def make_events(count: int, seed: int = 1) -> list[Event]:
    """Return depth messages of 1 to 40 levels (8 in the mean), and a trade after every sixth."""
    generator = random.Random(seed)
    events, last = [], [100] * BOOKS
    for number in range(count):
        book, at = number % BOOKS, START_UTC_NS + number * 50_000
        venue_ms = at // 1_000_000 - 3
        last[book] += 1
        levels = []
        for _ in range(min(40, 1 + int(generator.expovariate(1 / 7)))):
            side, distance = generator.randrange(2), int(generator.expovariate(1 / 100))
            price = (65_000_00 - distance if side == 0 else 65_000_01 + distance) * (UNIT // 100)
            # Beyond the touch nothing is removed here: an emptied or crossed book would measure resyncs.
            levels.append((side, price, generator.randrange(1, 10**10)))
        sides = [[[_text(p), _text(q)] for s, p, q in levels if s == side] for side in (0, 1)]
        levels.sort(key=lambda level: level[0])
        data = {
            "e": "depthUpdate", "E": venue_ms, "s": f"S{book}USDT", "U": last[book], "u": last[book],
            "b": sides[0], "a": sides[1],
        }  # fmt: skip
        frame = json.dumps(
            {"stream": f"s{book}usdt@depth@100ms", "data": data}, separators=(",", ":")
        ).encode()
        events.append(Event(book, last[book], at, venue_ms * 1_000_000, frame, tuple(levels)))
        if number % TRADE_EVERY == 0:
            trade = Trade(
                f"S{book}/USDT", number + 1, levels[0][1], generator.randrange(1, 10**10),
                Side(number % 2), (venue_ms - 1) * 1_000_000, at + 1, 0,
            )  # fmt: skip
            events.append(Event(book, 0, at + 1, trade.venue_utc_ns, trade=trade))
    return events


def _text(scaled: int) -> str:
    return f"{Decimal(scaled) / UNIT:.8f}"


def delta_rows(events: Iterable[Event], book: int) -> Rows:
    """Return what must be on disk of one book's deltas, in order."""
    return [
        (event.recv_utc_ns, event.venue_utc_ns, event.sequence, side, price, qty)
        for event in events if event.book == book for side, price, qty in event.levels
    ]  # fmt: skip


def trade_rows(events: Iterable[Event], book: int) -> Rows:
    """Return what must be on disk of one book's trades, in order."""
    return [
        (event.recv_utc_ns, event.venue_utc_ns, trade.trade_id, int(trade.aggressor), trade.price, trade.qty)
        for event in events if event.book == book and (trade := event.trade) is not None
    ]  # fmt: skip


DELTA_NAMES = ("recv_utc_ns", "venue_utc_ns", "last_sequence", "side", "price", "qty")
TRADE_NAMES = ("recv_utc_ns", "venue_utc_ns", "trade_id", "aggressor", "price", "qty")


class EngineRecorder:
    """The engine: rows go into shared columns while the kernel parses; another process writes them."""

    name = "engine"

    def __init__(self, root: Path, is_recording: bool = True) -> None:
        self._root = root
        self._is_recording = is_recording
        self._log = EventLog("error", "json")
        self.recorder = Recorder(
            root, boot_id(START_UTC_NS), SystemClock(), self._log,
            capacity=BATCH_ROWS, flush_interval_ms=10_000, writer="process",
        )  # fmt: skip
        self.feed = new_feed(depth_schema(Product.SPOT))
        self._events = 0

    async def start(self) -> None:
        """Start the writer and make ten books LIVE."""
        await self.recorder.start()
        for number in range(BOOKS):
            self.recorder.describe(number, _instrument(number))
            book = new_book(f"S{number}/USDT", 8, 8, number)
            self.feed.add(f"s{number}usdt@depth@100ms", book)
            book.begin_sync()
            sides = [
                np.array([[first + step * n * 10**6, UNIT] for n in range(1_000)], dtype=np.int64)
                for first, step in ((65_000 * UNIT, -1), (65_000 * UNIT + 10**6, 1))
            ]
            book.load_snapshot(BookSnapshot(100, sides[0], sides[1], None))
            if not book.accept_snapshot():
                raise RuntimeError("the benchmark's own snapshot was refused")
        if self._is_recording:
            self.feed.rows = self.recorder.deltas

    def take(self, event: Event) -> None:
        """Parse, apply and record one event, as the engine's own callbacks do."""
        if event.trade is None:
            self.feed.feed(event.frame, 0, event.recv_utc_ns)
        elif self._is_recording:
            self.recorder.record_trade("bench", event.trade)
        self._events += 1
        if self._events % POLL_EVENTS == 0:
            self.recorder.poll()

    async def breathe(self) -> None:
        """Let the loop run, and wait for the writer where an engine would begin to shed rows."""
        await asyncio.sleep(0)
        while self.recorder.stats()["rows_in_flight"] > FLUSH_ROWS * 1.5:
            await asyncio.sleep(0.001)

    async def finish(self) -> None:
        """Write the rest and end the writer."""
        await self.recorder.close(60.0)
        self._log.close()
        stats = self.recorder.stats()
        if stats["rows_lost"] or stats["rows_dropped"]:
            raise RuntimeError(f"rows were lost: {stats}")

    def read(self, book: int) -> tuple[Rows, Rows]:
        """Return (deltas, trades) of one book as they are on disk."""
        return _read_parquet(self._root, book, "l2_deltas", DELTA_NAMES), _read_parquet(
            self._root, book, "trades", TRADE_NAMES
        )

    def size(self) -> int:
        """Return the bytes on disk."""
        return sum(path.stat().st_size for path in self._root.rglob("*.parquet"))


class EngineIdle(EngineRecorder):
    """The engine with recording off: what its depth path costs anyway."""

    name = "engine, not recording"

    def __init__(self, root: Path) -> None:
        super().__init__(root, is_recording=False)


class DictsToParquet:
    """The usual way: a dict per row in a list, now and then a table of them, written in the loop."""

    name = "dicts + pyarrow"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._deltas: list[dict[str, Any]] = []
        self._trades: list[dict[str, Any]] = []
        self._files = 0

    async def start(self) -> None:
        """Warm pyarrow up, as the engine does."""
        pq.write_table(pa.table({"x": [1]}), pa.BufferOutputStream())

    def take(self, event: Event) -> None:
        """Append a row per level or trade; write 50 000 rows at a time."""
        if event.trade is None:
            for side, price, qty in event.levels:
                self._deltas.append(
                    {
                        "book": event.book, "recv_utc_ns": event.recv_utc_ns,
                        "venue_utc_ns": event.venue_utc_ns, "last_sequence": event.sequence, "side": side,
                        "price": price, "qty": qty,
                    }
                )  # fmt: skip
            if len(self._deltas) >= FLUSH_ROWS:
                self._flush()
        else:
            trade = event.trade
            self._trades.append(
                {
                    "book": event.book, "recv_utc_ns": event.recv_utc_ns, "venue_utc_ns": event.venue_utc_ns,
                    "trade_id": trade.trade_id, "aggressor": int(trade.aggressor), "price": trade.price,
                    "qty": trade.qty,
                }
            )  # fmt: skip

    def _flush(self) -> None:
        for table, rows in (("l2_deltas", self._deltas), ("trades", self._trades)):
            if rows:
                pq.write_table(pa.Table.from_pylist(rows), self._root / f"{table}-{self._files:06d}.parquet")
                rows.clear()
        self._files += 1

    async def breathe(self) -> None:
        """Let the loop run."""
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Write the rest."""
        self._flush()

    def read(self, book: int) -> tuple[Rows, Rows]:
        """Return (deltas, trades) of one book as they are on disk."""
        return _read_parquet(self._root, book, "l2_deltas", DELTA_NAMES), _read_parquet(
            self._root, book, "trades", TRADE_NAMES
        )

    def size(self) -> int:
        """Return the bytes on disk."""
        return sum(path.stat().st_size for path in self._root.rglob("*.parquet"))


class JsonLines:
    """The other usual way: a line of JSON an event, into a buffered file."""

    name = "JSON lines"

    def __init__(self, root: Path) -> None:
        self._path = root / "events.jsonl"
        self._file = open(self._path, "w", encoding="ascii")  # noqa: SIM115 - closed by finish

    async def start(self) -> None:
        """Nothing to prepare."""

    def take(self, event: Event) -> None:
        """Write one line."""
        record: dict[str, Any] = {"book": event.book, "r": event.recv_utc_ns, "v": event.venue_utc_ns}
        if event.trade is None:
            record["u"] = event.sequence
            record["levels"] = event.levels
        else:
            trade = event.trade
            record["t"] = [trade.trade_id, int(trade.aggressor), trade.price, trade.qty]
        self._file.write(json.dumps(record) + "\n")

    async def breathe(self) -> None:
        """Let the loop run."""
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, book: int) -> tuple[Rows, Rows]:
        """Return (deltas, trades) of one book as they are on disk."""
        deltas: Rows = []
        trades: Rows = []
        with open(self._path, encoding="ascii") as file:
            for record in map(json.loads, file):
                if record["book"] != book:
                    continue
                if "t" in record:
                    trades.append((record["r"], record["v"], *record["t"]))
                deltas += [(record["r"], record["v"], record["u"], *row) for row in record.get("levels", ())]
        return deltas, trades

    def size(self) -> int:
        """Return the bytes on disk."""
        return self._path.stat().st_size


Contender = EngineRecorder | DictsToParquet | JsonLines
CONTENDERS: tuple[Callable[[Path], Contender], ...] = (EngineRecorder, EngineIdle, DictsToParquet, JsonLines)


def _instrument(number: int) -> Instrument:
    return Instrument(
        venue="bench", product=Product.SPOT, symbol=f"S{number}USDT", universal=f"S{number}/USDT",
        base=f"S{number}", quote="USDT", settle=None, status=InstrumentStatus.TRADING, price_scale=8,
        qty_scale=8, tick_size=10**6, lot_size=1, market_lot_size=1, price_min=0, price_max=0, qty_min=1,
        qty_max=0, market_qty_max=0, notional_min=Decimal(0), notional_max=Decimal(0),
    )  # fmt: skip


def _read_parquet(root: Path, book: int, table: str, names: tuple[str, ...]) -> Rows:
    """Return a book's rows in file order; the engine parts books by folder, the rival by a column."""
    rows: Rows = []
    for path in sorted(root.rglob(f"{table}-*.parquet"), key=lambda path: path.name):
        if "pair=" in str(path) and f"pair=S{book}%2FUSDT" not in str(path):
            continue
        data = pq.ParquetFile(path).read()
        if "book" in data.column_names:
            data = data.filter(pc.equal(data["book"], book))
        rows += zip(*[data[name].to_pylist() for name in names], strict=True)
    return rows


async def measure(make: Callable[[Path], Contender], events: list[Event]) -> dict[str, Any]:
    """Return one contender's costs (ns, one per event), rates and sizes, after checking its files."""
    with tempfile.TemporaryDirectory() as folder:
        contender = make(Path(folder))
        await contender.start()
        gc.collect()
        gc.freeze()
        now, take = time.perf_counter_ns, contender.take
        costs: npt.NDArray[np.int64] = np.empty(len(events), dtype=np.int64)
        busy_before, began = _cpu_s(), time.perf_counter()
        for number, event in enumerate(events):
            before = now()
            take(event)
            costs[number] = now() - before
            if number % POLL_EVENTS == 0:
                await contender.breathe()
        await contender.finish()
        elapsed = time.perf_counter() - began
        cpu = _cpu_s() - busy_before
        gc.unfreeze()
        if not isinstance(contender, EngineIdle):
            check(contender, events)
        return {"costs": costs, "elapsed_s": elapsed, "cpu_s": cpu, "bytes": contender.size()}


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def check(contender: Contender, events: list[Event]) -> None:
    """Compare what is on disk with what was recorded, row for row and in order."""
    for book in range(BOOKS):
        deltas, trades = contender.read(book)
        for what, found, wanted in (
            ("deltas", deltas, delta_rows(events, book)), ("trades", trades, trade_rows(events, book)),
        ):  # fmt: skip
            if found != wanted:
                raise RuntimeError(
                    f"{contender.name}: {what} of book {book} differ: {len(found)} rows of {len(wanted)}"
                )


def result_of(rounds: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    """Return figures over all rounds of one contender."""
    costs = np.concatenate([each["costs"] for each in rounds])
    p50, p99, p999 = np.percentile(costs, [50, 99, 99.9])
    events, elapsed = len(costs), sum(each["elapsed_s"] for each in rounds)
    return {
        "p50": int(p50), "p99": int(p99), "p99.9": int(p999), "max": int(costs.max()),
        "mean": round(float(costs.mean()), 1),
        "events_per_s": int(events / (float(costs.sum()) / 1e9)),
        "events_per_s_to_disk": int(events / elapsed),
        "cpu_us_per_event": round(sum(each["cpu_s"] for each in rounds) / events * 1e6, 2),
        "bytes_per_row": round(sum(each["bytes"] for each in rounds) / (rows * len(rounds)), 2),
    }  # fmt: skip


async def run(count: int, rounds: int) -> dict[str, Any]:
    """Let every contender take the same events, in turns, and return everything that was measured."""
    events = make_events(count)
    rows = sum(max(1, len(event.levels)) for event in events)
    measured: dict[str, list[dict[str, Any]]] = {}
    for number in range(rounds):
        order = CONTENDERS if number % 2 == 0 else CONTENDERS[::-1]
        for make in order:
            name = str(make.name)  # type: ignore[attr-defined]  # each of them is a class
            measured.setdefault(name, []).append(await measure(make, events))
    names = [str(make.name) for make in CONTENDERS]  # type: ignore[attr-defined]  # as above
    return {
        "kernel": "compiled" if COMPILED else "python",
        "events": len(events), "rows": rows, "rounds": rounds, "rows_checked": True,
        "cost_ns": {name: result_of(measured[name], rows) for name in names},
    }  # fmt: skip


def main(argv: list[str]) -> int:
    """Run the benchmark; the exit code is 1 when a row on disk differs from what was recorded."""
    parser = argparse.ArgumentParser(
        prog="python -m bench flusher",
        description="Cost per recorded event on the event loop, files checked row for row.",
        epilog="example: python -m bench flusher --events 200000 --rounds 5",
    )
    parser.add_argument("--events", type=int, default=60_000, help="depth messages (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="a few seconds, for a check that it runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    if options.events < 1 or options.rounds < 1:
        parser.error("--events and --rounds must be positive")
    if options.small:
        options.events, options.rounds = min(options.events, 8_000), 1
    try:
        result = uvloop.run(run(options.events, options.rounds))
    except RuntimeError as error:
        print(f"bench flusher: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result))
    else:
        _show(result)
    return 0


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(
        f"{result['events']} events, {result['rows']} rows, {result['rounds']} rounds, "
        f"kernel {result['kernel']}; every row was read back and is equal"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("loop's cost per event, microseconds")
    columns = ("p50", "p99", "p99.9", "max", "mean")
    for name in (*columns, "events/s", "to disk/s", "CPU µs/event", "bytes/row"):
        table.add_column(name, justify="right")
    for name, row in result["cost_ns"].items():
        on_disk = (f"{row['events_per_s_to_disk']}", f"{row['cpu_us_per_event']}", f"{row['bytes_per_row']}")
        table.add_row(
            name, *[f"{row[key] / 1000:.2f}" for key in columns], str(row["events_per_s"]),
            *(on_disk if row["bytes_per_row"] else ("-", "-", "-")),
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
