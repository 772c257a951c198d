"""Is every LIVE book the exchange's own, while messages are lost, repeated, swapped and connections cut?

Runs the engine against the simulated exchange, arms faults at random all the time, and compares books that
say LIVE with the exchange's truth at the same sequence, level for level. Prints how many comparisons were
made, how many faults really happened, and every disagreement (there must be none).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from aiohttp import ClientSession
from rich.console import Console
from rich.progress import Progress

from engine import config as configuration
from engine.book.l2 import levels_text
from engine.config import Config
from engine.model.errors import ConfigError
from engine.supervisor.engine import Engine
from engine.telemetry.histogram import summary
from engine.telemetry.log import EventLog

FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drop_depth", {"count": 1}),
    ("drop_depth", {"count": 3}),
    ("duplicate_depth", {"count": 2}),
    ("reorder_depth", {"count": 1}),
    ("garbage_frame", {"count": 1, "params": {"kind": "truncated"}}),
    ("garbage_frame", {"count": 1, "params": {"kind": "types"}}),
    ("garbage_frame", {"count": 1, "params": {"kind": "huge"}}),
    ("garbage_frame", {"count": 1, "params": {"kind": "bytes"}}),
    ("stale_snapshot", {"count": 1}),
    ("snapshot_error", {"count": 1}),
    ("slow_snapshot", {"count": 1, "params": {"delay_ms": 400}}),
    ("disconnect", {"count": 1}),
    ("partial_depth_as_diff", {"count": 1}),
    ("unknown_event", {"count": 1}),
)

FEWEST_LEVELS = 50
"""A LIVE book has at least so many a side, if the exchange has: no venue's stream keeps a narrower window."""


class Checker:
    """Compares books with the truth, and counts."""

    def __init__(self, engine: Engine, http: ClientSession) -> None:
        self._engine = engine
        self._http = http
        self.compared = self.levels = self.not_live = self.too_old = 0
        self.wrong: list[str] = []

    async def check(self, venue: Any, universal: str) -> None:
        """Compare one book, if it is LIVE, with the exchange's at its sequence."""
        book = venue.books[universal]
        if not book.is_live:
            self.not_live += 1
            return
        mine = (levels_text(book, 0), levels_text(book, 1))
        horizons = [Decimal(book.horizon(side)).scaleb(-book.price_scale) for side in (0, 1)]
        sequence = book.sequence
        instrument = venue.instruments[universal]
        query = {
            "venue": venue.venue,
            "product": venue.product.value,
            "symbol": instrument.symbol,
            "at": str(sequence),
        }
        assert self._engine.sim is not None
        async with self._http.get(f"{self._engine.sim.admin}/truth/book", params=query) as answer:
            if answer.status == 404:
                self.too_old += 1
                return
            truth = await answer.json()
        for side, (word, levels) in enumerate(zip(("bids", "asks"), mine, strict=True)):
            theirs = [[_plain(price), _plain(qty)] for price, qty in truth[word]]
            self.levels += len(levels)
            problem = _compare(levels, theirs, horizons[side], is_bid=side == 0)
            if problem:
                self.wrong.append(f"{universal} {word} at {sequence}: {problem}")
        self.compared += 1


def _plain(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _compare(mine: list[list[str]], theirs: list[list[str]], horizon: Decimal, is_bid: bool) -> str:
    """Return what differs, "" when nothing does.

    Down to the worst price of its snapshot a book knows every level, and must equal the truth. Beyond that it
    knows what it was told since, and each of those levels must be true. Streams that keep a window take away
    what better levels push out of it: there the book's own worst price may be better than the snapshot's,
    and down to that one everything is known.
    """
    if len(mine) < min(FEWEST_LEVELS, len(theirs)):
        return f"only {len(mine)} levels of {len(theirs)}"
    if mine:
        worst = Decimal(mine[-1][0])
        horizon = max(horizon, worst) if is_bid else min(horizon, worst)

    def inside(rows: list[list[str]]) -> list[list[str]]:
        return [row for row in rows if (Decimal(row[0]) >= horizon) == is_bid or Decimal(row[0]) == horizon]

    ours, truth = {tuple(row) for row in mine}, {tuple(row) for row in theirs}
    if inside(mine) == inside(theirs) and ours <= truth:
        return ""
    missing = {tuple(row) for row in inside(theirs)} - ours
    return f"only ours {sorted(ours - truth)[:3]}, only the exchange's {sorted(missing)[:3]}"


def _configuration(options: argparse.Namespace) -> Config:
    config = configuration.load(Path(options.config))
    sim = msgspec.structs.replace(config.sim, rate=options.rate, seed=options.seed, endpoints="")
    engine = msgspec.structs.replace(config.engine, control_socket="")
    return msgspec.structs.replace(config, sim=sim, engine=engine)


async def _trouble(engine: Engine, http: ClientSession, generator: random.Random, pause_s: float) -> None:
    """Arm one random fault after the other."""
    assert engine.sim is not None
    while True:
        await asyncio.sleep(generator.expovariate(1 / pause_s))
        name, body = generator.choice(FAULTS)
        venue = generator.choice(engine.venues)
        target: dict[str, Any] = {"name": name, "venue": venue.venue, "product": venue.product.value, **body}
        if name != "disconnect" and venue.instruments:
            target["symbol"] = generator.choice(list(venue.instruments.values())).symbol
        async with http.post(f"{engine.sim.admin}/fault", json=target) as answer:
            if answer.status != 200:
                raise ConfigError(f"fault {target}: {await answer.text()}")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run for the time asked for and return the figures."""
    log = EventLog("critical", "json")
    engine = Engine(_configuration(options), log, with_control=False)
    generator = random.Random(options.seed)
    try:
        await engine.start()
        if not await engine.wait_ready(30.0):
            raise ConfigError("the books did not become LIVE")
        async with ClientSession() as http:
            result = await _watch(engine, http, generator, options)
    finally:
        await engine.stop()
        log.close()
    return result


async def _watch(
    engine: Engine, http: ClientSession, generator: random.Random, options: argparse.Namespace
) -> dict[str, Any]:
    checker = Checker(engine, http)
    trouble = asyncio.create_task(_trouble(engine, http, generator, options.fault_every))
    loop = asyncio.get_running_loop()
    began, messages = loop.time(), sum(venue.messages for venue in engine.venues)
    applied = _applied(engine)
    end = began + options.seconds
    quiet = options.json or not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("comparing", total=options.seconds)
        while loop.time() < end and not trouble.done():
            venue = generator.choice(engine.venues)
            if venue.books:
                await checker.check(venue, generator.choice(list(venue.books)))
            progress.update(task, completed=loop.time() - began)
            await asyncio.sleep(options.pause)
    elapsed = loop.time() - began
    trouble.cancel()
    outcome = (await asyncio.gather(trouble, return_exceptions=True))[0]
    if isinstance(outcome, ConfigError):
        raise outcome
    received, applied = sum(venue.messages for venue in engine.venues) - messages, _applied(engine) - applied
    assert engine.sim is not None
    async with http.delete(f"{engine.sim.admin}/fault"):
        pass
    recovered = await _all_live(engine, checker)
    async with http.get(f"{engine.sim.admin}/faults") as answer:
        happened = (await answer.json())["happened"]
    health = [venue.health() for venue in engine.venues]
    return {
        "seconds": round(elapsed, 1),
        "messages_per_s": round(received / elapsed),
        "diffs_applied_per_s": round(applied / elapsed),
        "books_compared": checker.compared,
        "levels_compared": checker.levels,
        "found_not_live": checker.not_live,
        "truth_too_old": checker.too_old,
        "wrong": checker.wrong[:20],
        "faults_happened": happened,
        "gaps": sum(each["gaps"] for each in health),
        "resyncs": sum(each["resyncs"] for each in health),
        "rejected": sum(each["rejected"] for each in health),
        "quarantined": sum(each["quarantined"] for each in health),
        "reconnects": sum(each["reconnects"] for each in health),
        "all_live_and_equal_afterwards": recovered,
        "wire_to_book_ns": {f"{v.venue}.{v.product.value}": summary(v.wire_to_book()) for v in engine.venues},
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cpus": os.cpu_count(),
    }


def _applied(engine: Engine) -> int:
    return sum(book.updates for venue in engine.venues for book in venue.books.values())


async def _all_live(engine: Engine, checker: Checker) -> bool:
    """Faults are off: every book must come LIVE and be equal."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 30.0
    while loop.time() < deadline:
        if all(book.is_live for venue in engine.venues for book in venue.books.values()):
            break
        await asyncio.sleep(0.05)
    before = checker.compared
    count = 0
    for venue in engine.venues:
        for universal in venue.books:
            count += 1
            await checker.check(venue, universal)
    return checker.compared - before == count and not checker.wrong


def main(argv: list[str]) -> int:
    """Run; 1 when a LIVE book was wrong or books did not recover."""
    parser = argparse.ArgumentParser(
        prog="python -m bench truth", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=2_600, help="diffs per second of each venue product")
    parser.add_argument("--fault-every", type=float, default=0.5, help="mean seconds between faults")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between comparisons")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--config", default="engine.toml")
    parser.add_argument("--small", action="store_true", help="six seconds at a low rate")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if options.small:
        options.seconds, options.rate, options.fault_every = 6.0, 500, 0.15
    result = uvloop.run(run(options))
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:30} {value}")
    good = not result["wrong"] and result["all_live_and_equal_afterwards"] and result["faults_happened"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
