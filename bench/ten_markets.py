"""Do a hundred books of ten markets stay LIVE and true at 10,000 messages a second, on two cores?

The engine runs on all five venues' spot and perpetual markets, ten instruments each, against the simulated
exchange in a process of its own; each process has one core. No faults are armed, so every gap, resync,
refused or quarantined frame and reconnect is one too many. Books are compared with the exchange's truth all
the time and all of them at the end; memory is read at the start, in the middle and at the end. Batches are
small: the simulator, in Python, is the limit, and what a large frame costs is the question of wire-to-book.
Latencies are those of the engine's own stamps: bytes received to book readable, and to consolidated best
changed. Not measured: a network. The comparisons run inside the engine's loop and are part of its CPU and its
tails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from aiohttp import ClientSession
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench._processes import Usage, separate
from bench._simulated import simulated
from bench.truth import Checker
from engine.config import Config, load
from engine.model.errors import ConfigError
from engine.supervisor.engine import Engine
from engine.telemetry.histogram import Histogram, merge, summary
from engine.telemetry.log import EventLog

VENUES = ("binance", "bitmart", "bybit", "kucoin", "okx")
MESSAGES_PER_S = 10_000
"""What the run must carry; the smoke test asks for less."""
RATES = "binance=2000,okx=2000,kucoin=700,bybit=300,bitmart=150"
"""Every batch is a push on Binance and OKX; the others collect changes for 10 to 100 ms, as the venues do.

That is 14,000 messages a second for a simulator that has a core to itself; on a busy one it falls behind its
schedule and sends what it can.
"""
SMALL_RATES = "binance=60,okx=60,kucoin=60,bybit=60,bitmart=60"
MEMORY_MB = {"engine": 400, "simulated exchange": 1_200}
"""No process may grow beyond this: what is remembered of prints, batches and numbers is bounded by number and
fills for minutes; the end is no plateau yet."""
EVENTS = ("gaps", "resyncs", "rejected", "quarantined", "reconnects", "snapshots_failed")
"""Counters that must not move without faults."""
_PERCENTILES = ("p50", "p99", "p99.9", "max")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench ten-markets", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--rates", default=RATES, help="order flow of each market in batches per second, by venue"
    )
    parser.add_argument("--changes", type=int, default=2, help="levels that a batch changes on average")
    parser.add_argument("--pause", type=float, default=0.25, help="seconds between comparisons")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--config", default="engine.toml")
    parser.add_argument("--small", action="store_true", help="five seconds at a low rate")
    parser.add_argument("--json", action="store_true")
    return parser


def main(argv: list[str]) -> int:
    """Run; 1 when a book was wrong or not LIVE, something was lost, memory grew, or too little came."""
    options = _parser().parse_args(argv)
    wanted = MESSAGES_PER_S
    if options.small:
        options.seconds, options.rates, options.pause, wanted = 5.0, SMALL_RATES, 0.05, 100
    switches = ("--seed", str(options.seed), "--rates", options.rates, "--changes", str(options.changes))
    try:
        with simulated(VENUES, *switches) as (endpoints, pid):
            result = uvloop.run(_run(options, endpoints, pid))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    result["problems"] = _problems(result, wanted)
    if options.json:
        print(json.dumps(result))
    else:
        _show(result)
    for problem in result["problems"]:
        print(problem, file=sys.stderr)
    return 1 if result["problems"] else 0


def _configuration(options: argparse.Namespace, endpoints: Path) -> Config:
    config = load(Path(options.config))
    sim = msgspec.structs.replace(config.sim, endpoints=str(endpoints))
    engine = msgspec.structs.replace(config.engine, control_socket="")
    venues = {
        name: msgspec.structs.replace(section, environment="sim") for name, section in config.venues.items()
    }
    return msgspec.structs.replace(config, sim=sim, engine=engine, venues=venues)


async def _run(options: argparse.Namespace, endpoints: Path, pid: int) -> dict[str, Any]:
    log = EventLog("critical", "json")
    engine = Engine(_configuration(options, endpoints), log, with_control=False)
    try:
        await engine.start()
        if not await engine.wait_ready(60.0) or not all(venue.is_whole for venue in engine.venues):
            late = [row for venue in engine.venues for row in venue.health()["not_live"]]
            raise ConfigError(f"not all books became LIVE: {late[:3]}")
        separate(pid)
        async with ClientSession() as http:
            return await _Watch(engine, http, options, pid).go()
    finally:
        await engine.stop()
        log.close()


class _Watch:
    """One measured run of an engine that is ready."""

    def __init__(self, engine: Engine, http: ClientSession, options: argparse.Namespace, pid: int) -> None:
        self._engine = engine
        self._options = options
        self._random = random.Random(options.seed)
        self._checker = Checker(engine, http)
        self._names = [f"{venue.venue}.{venue.product.value}" for venue in engine.venues]
        self._usages = {"engine": Usage(os.getpid()), "simulated exchange": Usage(pid)}
        self._fewest_live = self._live()
        self._loads: list[float] = []

    def _live(self) -> int:
        return sum(venue.live_books for venue in self._engine.venues)

    def _counters(self) -> dict[str, int]:
        health = [venue.health() for venue in self._engine.venues]
        return {name: sum(each[name] for each in health) for name in (*EVENTS, "crossed")}

    def _sums(self) -> list[tuple[int, int]]:
        """Return messages received and deltas applied, by market."""
        return [
            (venue.messages, sum(book.updates for book in venue.books.values()))
            for venue in self._engine.venues
        ]

    def _forget(self) -> None:
        """Let the latencies begin now: the start, with its buffered frames, is another question."""
        for venue in self._engine.venues:
            for session in venue.sessions:
                for feed in session.feeds:
                    feed.wire_to_book_ns.clear()
        for consolidated in self._engine.markets.books.values():
            consolidated.top.wire_to_top_ns.clear()

    async def go(self) -> dict[str, Any]:
        """Watch for the time asked for, compare every book at the end, and return the figures."""
        before, sums = self._counters(), self._sums()
        self._forget()
        for usage in self._usages.values():
            usage.begin()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._compare_until(began + self._options.seconds / 2)
        for usage in self._usages.values():
            usage.sample()
        await self._compare_until(began + self._options.seconds)
        elapsed = loop.time() - began
        for usage in self._usages.values():
            usage.sample()
        rates = [
            (round((messages - m) / elapsed), round((applied - a) / elapsed))
            for (messages, applied), (m, a) in zip(self._sums(), sums, strict=True)
        ]
        latencies = self._latencies()
        during = self._checker.compared
        await self._compare_all()
        after = self._counters()
        return {
            "seconds": round(elapsed, 1),
            "books": sum(len(venue.books) for venue in self._engine.venues),
            "fewest_live": self._fewest_live,
            "messages_per_s": sum(messages for messages, _ in rates),
            "markets": {
                name: {"messages_per_s": messages, "deltas_per_s": applied}
                for name, (messages, applied) in zip(self._names, rates, strict=True)
            },
            "unexpected": {name: after[name] - before[name] for name in EVENTS},
            "crossed": after["crossed"] - before["crossed"],
            "books_compared": during,
            "books_compared_at_the_end": self._checker.compared - during,
            "levels_compared": self._checker.levels,
            "truth_too_old": self._checker.too_old,
            "wrong": self._checker.wrong[:20],
            **latencies,
            "rss_mb": {name: usage.rss_mb for name, usage in self._usages.items()},
            "cpu": {name: usage.cpu() for name, usage in self._usages.items()},
            "load_average": [round(min(self._loads), 1), round(max(self._loads), 1)],
            "cpus": os.cpu_count(),
        }

    async def _compare_until(self, deadline: float) -> None:
        """Compare one random book after the other, and count those that are LIVE."""
        loop = asyncio.get_running_loop()
        quiet = self._options.json or not sys.stderr.isatty()
        began = loop.time()
        with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
            task = progress.add_task("comparing", total=deadline - began)
            while (now := loop.time()) < deadline:
                self._fewest_live = min(self._fewest_live, self._live())
                self._loads.append(os.getloadavg()[0])
                venue = self._random.choice(self._engine.venues)
                await self._checker.check(venue, self._random.choice(list(venue.books)))
                progress.update(task, completed=now - began)
                await asyncio.sleep(min(self._options.pause, max(0.0, deadline - loop.time())))

    async def _compare_all(self) -> None:
        """Compare every book; one whose sequence the exchange no longer knows is asked for again."""
        for venue in self._engine.venues:
            for universal in venue.books:
                compared = self._checker.compared
                for _ in range(20):
                    await self._checker.check(venue, universal)
                    if self._checker.compared > compared:
                        break
                    await asyncio.sleep(0.05)

    def _latencies(self) -> dict[str, Any]:
        total = Histogram()
        by_market = {}
        for name, venue in zip(self._names, self._engine.venues, strict=True):
            histogram = venue.wire_to_book()
            by_market[name] = summary(histogram)
            merge(total, histogram)
        return {
            "wire_to_book_ns": {"all markets": summary(total), **by_market},
            "wire_to_consolidated_ns": summary(self._engine.markets.wire_to_top()),
        }


def _problems(result: dict[str, Any], wanted: int) -> list[str]:
    """Return what was not as it has to be."""
    found = [f"wrong book: {each}" for each in result["wrong"]]
    found += [f"{count} {name} without a fault" for name, count in result["unexpected"].items() if count]
    books = result["books"]
    if result["fewest_live"] < books:
        found.append(f"only {result['fewest_live']} of {books} books were LIVE at some moment")
    if result["books_compared_at_the_end"] != books:
        found.append(f"only {result['books_compared_at_the_end']} of {books} books compared at the end")
    if result["messages_per_s"] < wanted:
        found.append(f"{result['messages_per_s']} messages/s are fewer than {wanted}")
    for name, samples in result["rss_mb"].items():
        if max(samples) > MEMORY_MB[name]:
            found.append(f"the {name} came to {max(samples)} MB, {MEMORY_MB[name]} are allowed")
    return found


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    low, high = result["load_average"]
    console.print(
        f"{result['books']} books, {result['messages_per_s']} messages/s for {result['seconds']} s, "
        f"load average {low} to {high} on {result['cpus']} cores\n"
        f"fewest books LIVE at any look: {result['fewest_live']}; compared with the truth: "
        f"{result['books_compared']} during, {result['books_compared_at_the_end']} at the end, "
        f"{result['levels_compared']} levels, {len(result['wrong'])} wrong\n"
        f"{', '.join(f'{name} {count}' for name, count in result['unexpected'].items())}, "
        f"crossed {result['crossed']}"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("microseconds")
    for name in ("messages/s", "deltas/s", *_PERCENTILES):
        table.add_column(name, justify="right")
    for name, row in result["wire_to_book_ns"].items():
        rates = result["markets"].get(name)
        cells = [str(rates["messages_per_s"]), str(rates["deltas_per_s"])] if rates else ["", ""]
        table.add_row(f"wire to book, {name}", *cells, *[f"{row[key] / 1000:.1f}" for key in _PERCENTILES])
    row = result["wire_to_consolidated_ns"]
    table.add_row("wire to consolidated", "", "", *[f"{row[key] / 1000:.1f}" for key in _PERCENTILES])
    console.print(table)
    for name, usage in result["cpu"].items():
        start, middle, end = result["rss_mb"][name]
        console.print(f"{name}: {usage:.2f} cores; {start} MB at first, {middle} halfway, {end} at the end")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
