"""How long from a frame leaving the peer's socket call to the book being readable, over loopback?

A C peer stamps and sends one frame every 200 microseconds (then, in a second run, as many as the socket
takes). The engine's path is the real one: picows session, compiled listener, depth kernel, busy poll. Beside
it: ccxt.pro's handler on the websockets library, on uvloop, kept awake the same way. Each candidate runs in
a process of its own, peer and reader on a core each; final books are compared before a number is shown.
Not measured: a real network, TLS, several connections.
"""

from __future__ import annotations

import argparse
import asyncio
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
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from bench._depth_sets import SCALE, DepthSet, synthetic
from engine.book.l2 import new_book, new_feed
from engine.model.instrument import Product
from engine.telemetry.clock import SystemClock
from engine.telemetry.histogram import Histogram, summary
from engine.transport.busy_poll import BusyPoll
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.websocket import WebSocketSession
from engine.venues.base import ConnectionRules, Heartbeat
from engine.venues.binance.market_data import depth_schema

INTERVAL_NS = 200_000
SKIP = 200
"""Frames at the start that are not counted: caches and branch predictors settle."""
RULES = ConnectionRules(Heartbeat(silence_ms=60_000), 100, 1024, 100, 60, 86_400)


class Latencies:
    """Pairs the peer's stamps with ours: frame i was sent at stamps[i]."""

    def __init__(self, path: str, count: int) -> None:
        with open(path, "r+b") as file:
            self._stamps = np.frombuffer(mmap.mmap(file.fileno(), count * 8), dtype=np.int64)
        self._view = memoryview(self._stamps)  # type: ignore[arg-type]
        self._count = count
        self.seen = 0
        self.histogram = Histogram()
        self.first_ns = self.last_ns = 0

    def note(self) -> None:
        """Take the time for the next frame: its book is readable now."""
        now = time.monotonic_ns()
        if self.seen >= SKIP:
            self.histogram.record(now - self._view[self.seen])
        elif self.seen == 0:
            self.first_ns = now
        self.seen += 1
        self.last_ns = now

    @property
    def is_done(self) -> bool:
        """Tell whether every frame has come."""
        return self.seen >= self._count

    def result(self) -> dict[str, Any]:
        """Return the figures."""
        elapsed = (self.last_ns - self.first_ns) / 1e9
        return {"latency_ns": summary(self.histogram), "frames_per_s": round(self.seen / elapsed)}


async def _engine(url: str, work: DepthSet, latencies: Latencies) -> list[list[Any]]:
    """Read with the engine's own session, listener and kernel."""
    feed = new_feed(depth_schema(Product.SPOT))
    start = work.starts[0]
    book = new_book(start.symbol, SCALE, SCALE)
    feed.add(start.stream, book)
    book.begin_sync()
    book.load_snapshot(start.snapshot())

    def updated(changed: Any) -> None:
        changed.touch_floats()
        latencies.note()

    feed.on_update = updated
    clock = SystemClock()
    session = WebSocketSession(
        name="bench", url=lambda: url, rules=RULES, clock=clock, backoff=Backoff(100, 1000, random.Random(1)),
        budget=ConnectionBudget(100, 60, clock), on_message=lambda *_: None, on_up=lambda _: None,
        on_down=lambda _: None, on_quarantine=lambda *_: None, sink=feed,
    )  # fmt: skip
    poll = BusyPoll(asyncio.get_running_loop(), clock, lambda: 0)
    poll.start()
    session.start()
    while not latencies.is_done:
        await asyncio.sleep(0.05)
    poll.stop()
    await session.stop()
    return [[levels.tolist() for levels in (book.depth(0), book.depth(1))]]


async def _ccxt(url: str, work: DepthSet, latencies: Latencies) -> list[list[Any]]:
    """Read with websockets and ccxt.pro's handler."""
    from websockets.asyncio.client import connect

    from bench.wire_to_book import _ccxt as ccxt_candidate

    candidate = ccxt_candidate(work)
    poll = BusyPoll(asyncio.get_running_loop(), SystemClock(), lambda: 0)
    poll.start()
    async with connect(url, compression=None, max_queue=4096) as socket:
        while not latencies.is_done:
            text = await socket.recv(decode=False)
            candidate.step(bytes(text))
            latencies.note()
    poll.stop()
    (sides,) = candidate.levels().values()
    unit = 10**SCALE
    return [
        [
            sorted(([round(p * unit), round(q * unit)] for p, q in side.items()), reverse=which == 0)
            for which, side in enumerate(sides)
        ]
    ]


CANDIDATES = {"engine": _engine, "ccxt.pro on websockets": _ccxt}


def _child(options: argparse.Namespace) -> int:
    """Run one candidate in this process and print its figures."""
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    work = synthetic(options.count)
    latencies = Latencies(options.stamps, options.count)
    books = uvloop.run(CANDIDATES[options.child](options.url, work, latencies))
    ((bids, asks),) = work.reference().values()
    unit = 10**SCALE
    expected = [
        [[int(p * unit), int(q * unit)] for p, q in sorted(side.items(), reverse=which == 0)]
        for which, side in enumerate((bids, asks))
    ]
    if books[0] != expected:
        print(f"{options.child}: the final book is wrong", file=sys.stderr)
        return 1
    print(json.dumps(latencies.result()))
    return 0


def _run(peer: Path, folder: Path, name: str, count: int, interval_ns: int) -> dict[str, Any]:
    """Start a peer and a reader, each on a core of its own, and return the reader's figures."""
    cores = sorted(os.sched_getaffinity(0))
    stamps, port_file = folder / "stamps", folder / "port"
    stamps.write_bytes(bytes(8 * count))
    port_file.unlink(missing_ok=True)
    server = subprocess.Popen(
        [str(peer), str(port_file), str(folder / "frames"), str(stamps), str(count), str(interval_ns)],
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[0]}),
    )
    try:
        deadline = time.monotonic() + 10
        while not port_file.exists():
            if time.monotonic() > deadline or server.poll() is not None:
                raise RuntimeError("the peer did not start")
            time.sleep(0.01)
        url = f"ws://127.0.0.1:{port_file.read_text().strip()}/"
        done = subprocess.run(
            [sys.executable, "-m", "bench.loopback", "--child", name, "--url", url, "--stamps", str(stamps),
             "--count", str(count), "--cpu", str(cores[-1] if len(cores) > 1 else -1)],
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
    parser.add_argument("--count", type=int, default=20_000, help="frames of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=tuple(CANDIDATES), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--stamps", help=argparse.SUPPRESS)
    parser.add_argument("--cpu", type=int, default=-1, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        return _child(options)
    if options.small:
        options.count, options.rounds = 1_000, 1
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
        frames = synthetic(options.count).frames
        (folder / "frames").write_bytes(b"".join(struct.pack("<I", len(each)) + each for each in frames))
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


def _has_ccxt() -> bool:
    import importlib.util

    return importlib.util.find_spec("ccxt") is not None


def _measure(peer: Path, folder: Path, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Take turns: candidate by candidate, round by round; medians of the rounds."""
    paced: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    flooded: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            paced[name].append(_run(peer, folder, name, options.count, INTERVAL_NS)["latency_ns"])
            flooded[name].append(_run(peer, folder, name, options.count, 0)["frames_per_s"])
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
