"""How long from a frame leaving the peer's socket call to the book being readable, over loopback?

A C peer stamps and sends 10,000 frames a second at random moments (Poisson) over 5 connections of 20 symbols
each, then, in a second run, as many as the sockets take. The engine's path is the real one: picows sessions,
compiled listener, depth kernel, busy poll. Beside it: ccxt.pro's handler on the websockets library, on
uvloop, kept awake the same way. Each candidate runs in a process of its own, peer and reader on a core each;
all final books are compared before a number is shown. Not measured: a real network, TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import mmap
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from bench._depth_sets import SCALE, DepthSet, synthetic
from bench._processes import port_of
from engine.book.l2 import new_book, new_feed
from engine.model.instrument import Product
from engine.telemetry.clock import SystemClock
from engine.telemetry.histogram import Histogram, summary
from engine.transport.busy_poll import BusyPoll
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.websocket import WebSocketSession
from engine.venues.base import ConnectionRules, Heartbeat
from engine.venues.binance.market_data import depth_schema

CONNECTIONS, LEVELS = 5, 500
FRAMES_PER_S = 10_000
SKIP = 200
"""Frames of each connection at the start that are not counted: caches and branch predictors settle."""
RULES = ConnectionRules(Heartbeat(silence_ms=60_000), 100, 1024, 100, 60, 86_400)


def _work(options: argparse.Namespace) -> tuple[DepthSet, list[int]]:
    """Return the frames of 5 x 20 symbols, and the connection of each."""
    work = synthetic(options.count, LEVELS, CONNECTIONS * options.symbols, options.changes)
    connection = {start.stream.encode(): i // options.symbols for i, start in enumerate(work.starts)}
    return work, [connection[frame[11 : frame.index(b'"', 11)]] for frame in work.frames]


class Latencies:
    """Pairs the peer's stamps with ours: a connection's k-th frame is the k-th that was sent on it."""

    def __init__(self, path: str, connections: list[int]) -> None:
        count = len(connections)
        with open(path, "r+b") as file:
            self._stamps = np.frombuffer(mmap.mmap(file.fileno(), count * 8), dtype=np.int64)
        self._view = memoryview(self._stamps)  # type: ignore[arg-type]
        self._count = count
        self.seen = 0
        self.histogram = Histogram()
        self.last_ns = 0
        order: list[list[int]] = [[] for _ in range(CONNECTIONS)]
        for number, connection in enumerate(connections):
            order[connection].append(number)
        self.noters = [self._noter(numbers) for numbers in order]

    def _noter(self, numbers: list[int]) -> Callable[[], None]:
        """Return what takes the time for a connection's next frame: its book is readable now."""
        following = iter(numbers)
        skipped = set(numbers[:SKIP])
        view, record, clock = self._view, self.histogram.record, time.monotonic_ns

        def note() -> None:
            now = clock()
            number = next(following)
            if number not in skipped:
                record(now - view[number])
            self.seen += 1
            self.last_ns = now

        return note

    @property
    def is_done(self) -> bool:
        """Tell whether every frame has come."""
        return self.seen >= self._count

    def result(self, flooded: bool) -> dict[str, Any]:
        """Return the figures: what was measured of a paced run, or of a flood."""
        if flooded:
            return {"frames_per_s": round(self.seen / ((self.last_ns - self._view[0]) / 1e9))}
        return {"latency_ns": summary(self.histogram)}


async def _engine(url: str, work: DepthSet, latencies: Latencies) -> list[list[Any]]:
    """Read with the engine's own sessions, listener and kernel, a feed for each connection."""
    clock = SystemClock()
    books = [new_book(start.symbol, SCALE, SCALE) for start in work.starts]
    for book, start in zip(books, work.starts, strict=True):
        book.begin_sync()
        book.load_snapshot(start.snapshot())
    sessions = []
    for number, note in enumerate(latencies.noters):
        feed = new_feed(depth_schema(Product.SPOT))
        each = len(work.starts) // CONNECTIONS
        for at in range(number * each, (number + 1) * each):
            feed.add(work.starts[at].stream, books[at])

        def updated(changed: Any, note: Callable[[], None] = note) -> None:
            changed.touch_floats()
            note()

        feed.on_update = updated
        sessions.append(
            WebSocketSession(
                name=f"bench {number}", url=lambda number=number: f"{url}{number}", rules=RULES,  # type: ignore[misc]
                clock=clock, backoff=Backoff(100, 1000, random.Random(1)),
                budget=ConnectionBudget(100, 60, clock), on_message=lambda *_: None, on_up=lambda _: None,
                on_down=lambda _: None, on_quarantine=lambda *_: None, sink=feed,
            )
        )  # fmt: skip
    gc.freeze()  # as the engine does after its start
    poll = BusyPoll(asyncio.get_running_loop(), clock, lambda: 0)
    poll.start()
    for session in sessions:
        session.start()
    while not latencies.is_done:
        await asyncio.sleep(0.05)
    poll.stop()
    await asyncio.gather(*[session.stop() for session in sessions])
    return [[levels.tolist() for levels in (book.depth(0), book.depth(1))] for book in books]


async def _ccxt(url: str, work: DepthSet, latencies: Latencies) -> list[list[Any]]:
    """Read with websockets and ccxt.pro's handler."""
    from websockets.asyncio.client import connect

    from bench.wire_to_book import ccxt_candidate

    candidate = ccxt_candidate(work)
    gc.freeze()
    poll = BusyPoll(asyncio.get_running_loop(), SystemClock(), lambda: 0)
    poll.start()

    async def read(number: int, note: Callable[[], None]) -> None:
        async with connect(f"{url}{number}", compression=None, max_queue=4096, close_timeout=0.1) as socket:
            while not latencies.is_done:
                candidate.step(await socket.recv(decode=False))
                note()

    readers = [asyncio.create_task(read(*each)) for each in enumerate(latencies.noters)]
    while not latencies.is_done:
        await asyncio.sleep(0.05)
        for reader in readers:
            if reader.done():
                reader.result()
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    poll.stop()
    unit = 10**SCALE
    levels = candidate.levels()
    return [
        [
            sorted(([round(p * unit), round(q * unit)] for p, q in side.items()), reverse=which == 0)
            for which, side in enumerate(levels[start.stream])
        ]
        for start in work.starts
    ]


CANDIDATES = {"engine": _engine, "ccxt.pro on websockets": _ccxt}


def _child(options: argparse.Namespace) -> int:
    """Run one candidate in this process and print its figures."""
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    work, connections = _work(options)
    latencies = Latencies(options.stamps, connections)
    books = uvloop.run(CANDIDATES[options.child](options.url, work, latencies))
    unit = 10**SCALE
    reference = work.reference()
    for start, book in zip(work.starts, books, strict=True):
        expected = [
            [[int(p * unit), int(q * unit)] for p, q in sorted(side.items(), reverse=which == 0)]
            for which, side in enumerate(reference[start.stream])
        ]
        if book != expected:
            print(f"{options.child}: the final book of {start.symbol} is wrong", file=sys.stderr)
            return 1
    print(json.dumps(latencies.result(options.flood)))
    return 0


def _run(peer: Path, folder: Path, name: str, options: argparse.Namespace, flood: bool) -> dict[str, Any]:
    """Start a peer and a reader, each on a core of its own, and return the reader's figures."""
    cores = sorted(os.sched_getaffinity(0))
    stamps, port_file = folder / "stamps", folder / "port"
    stamps.write_bytes(bytes(8 * options.count))
    port_file.unlink(missing_ok=True)
    server = subprocess.Popen(
        [str(peer), str(port_file), str(folder / "frames"), str(stamps), str(options.count), str(CONNECTIONS),
         str(int(flood))],
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[0]}),
    )  # fmt: skip
    try:
        url = f"ws://127.0.0.1:{port_of(server, port_file)}/"
        done = subprocess.run(
            [sys.executable, "-m", "bench.loopback", "--child", name, "--url", url, "--stamps", str(stamps),
             "--count", str(options.count), "--changes", str(options.changes),
             "--symbols", str(options.symbols), "--cpu", str(cores[-1] if len(cores) > 1 else -1),
             *(["--flood"] if flood else [])],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        result: dict[str, Any] = json.loads(done.stdout)
        return result
    finally:
        server.kill()
        server.wait()


def main(argv: list[str]) -> int:
    """Run; 1 when a final book was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench loopback", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--count", type=int, default=60_000, help="frames of each run")
    parser.add_argument("--changes", type=int, default=40, help="a frame has 5 to this many levels")
    parser.add_argument("--symbols", type=int, default=20, help="on each of the 5 connections")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=tuple(CANDIDATES), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--stamps", help=argparse.SUPPRESS)
    parser.add_argument("--cpu", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--flood", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        return _child(options)
    if options.small:
        options.count, options.rounds, options.symbols = 3_000, 1, 2
    names = [name for name in CANDIDATES if name == "engine" or _has_ccxt()]
    with tempfile.TemporaryDirectory(prefix="tecore-bench-") as temporary:
        folder = Path(temporary)
        peer = folder / "ws_peer"
        source = Path(__file__).parent / "native" / "ws_peer.c"
        try:
            subprocess.run(["gcc", "-O2", "-o", str(peer), str(source)], check=True)
        except (OSError, subprocess.CalledProcessError):
            print("this benchmark needs gcc for its peer", file=sys.stderr)
            return 1
        _prepare(folder / "frames", options)
        try:
            result = _measure(peer, folder, names, options)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(result))
    else:
        _show(result)
    return 0


def _prepare(path: Path, options: argparse.Namespace) -> None:
    """Write what the peer sends, with moments of a Poisson process."""
    generator = random.Random(23)
    work, connections = _work(options)
    due, rows = 0.0, []
    for frame, connection in zip(work.frames, connections, strict=True):
        due += generator.expovariate(FRAMES_PER_S) * 1e9
        rows.append(struct.pack("<IIq", len(frame), connection, int(due)) + frame)
    path.write_bytes(b"".join(rows))


def _has_ccxt() -> bool:
    import importlib.util

    return importlib.util.find_spec("ccxt") is not None


def _measure(peer: Path, folder: Path, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Take turns: candidate by candidate, round by round; medians of the rounds."""
    paced: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    flooded: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            paced[name].append(_run(peer, folder, name, options, False)["latency_ns"])
            flooded[name].append(_run(peer, folder, name, options, True)["frames_per_s"])
    keys = ("min", "p50", "p99", "p99.9", "max")
    result: dict[str, Any] = {
        name: {
            "latency_ns": {key: round(statistics.median(row[key] for row in paced[name])) for key in keys},
            "saturated_per_s": round(statistics.median(flooded[name])),
        }
        for name in names
    }
    if len(names) == 2:
        ours, theirs = (result[name] for name in names)
        result["ratios"] = {
            "p50": round(theirs["latency_ns"]["p50"] / ours["latency_ns"]["p50"], 2),
            "p99": round(theirs["latency_ns"]["p99"] / ours["latency_ns"]["p99"], 2),
            "saturation": round(ours["saturated_per_s"] / theirs["saturated_per_s"], 2),
        }
    return result


def _show(result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("wire to book, us", "min", "p50", "p99", "p99.9", "max", "saturated/s"):
        table.add_column(name, justify="left" if name.startswith("wire") else "right")
    for name, row in result.items():
        if name != "ratios":
            cells = [f"{row['latency_ns'][key] / 1000:.1f}" for key in ("min", "p50", "p99", "p99.9", "max")]
            table.add_row(name, *cells, str(row["saturated_per_s"]))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
    if "ratios" in result:
        console.print(
            "better by: " + ", ".join(f"{name} {value}x" for name, value in result["ratios"].items())
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
