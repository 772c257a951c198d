"""What does a consolidated best over five venues cost, and how long after the wire is it there?

First part: the same frames of five venues in their own dialects go through the same feeds, without a
consolidated book and with one kept by each of four ways; what a way adds to a frame, reading the best
included, is its price. Every way's best is compared with the definition's after every frame. Times are
processor time of this thread, the least of the rounds: what a shared machine adds is not the way's. Second
part: a C peer stamps and sends frames of 5 connections and 50 books over loopback at random moments; a sample
is taken when the consolidated best has changed. Not measured: a network, TLS, compressed frames.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
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

import uvloop
from rich.console import Console
from rich.table import Table

from bench._peer import PeerStamps, compiled_peer, serving
from bench._venue_frames import PRICE_SCALE, QTY_SCALE, VENUES, Crowd, Frame, Touch, best_of
from engine.book.consolidated import TopLike, new_top
from engine.book.l2 import BookLike, new_book, new_feed
from engine.book.pure import PureBook, PureDepthFeed
from engine.book.pure_consolidated import PureTop
from engine.model.market import Feed
from engine.telemetry.clock import SystemClock
from engine.telemetry.histogram import Histogram, summary
from engine.transport.busy_poll import BusyPoll
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.websocket import WebSocketSession
from engine.venues.base import ConnectionRules, Heartbeat

Best = tuple[int, int, int, int, int, int]
RULES = ConnectionRules(Heartbeat(silence_ms=60_000), 100, 1024, 100, 60, 86_400)
_PERCENTILES = ("min", "p50", "p99", "p99.9", "max")


class Way:
    """One way to know the consolidated best of one symbol: without any, the price of the frames alone."""

    def __init__(self, books: list[BookLike]) -> None:
        self._books = books
        self._factors = [
            (10 ** (PRICE_SCALE - book.price_scale), 10 ** (QTY_SCALE - book.qty_scale)) for book in books
        ]

    def after(self, slot: int) -> Best | None:
        """Return the best after a frame of one book; ``None`` where nobody asks."""
        return None

    def _touch(self, slot: int) -> Touch:
        bid, bid_qty, ask, ask_qty = self._books[slot].touch()
        price, qty = self._factors[slot]
        return bid * price, bid_qty * qty, ask * price, ask_qty * qty


class Kept(Way):
    """The engine's: the books tell the top."""

    def __init__(self, books: list[BookLike]) -> None:
        super().__init__(books)
        self.top: TopLike = new_top()
        for book in books:
            self.top.add(book)

    def after(self, slot: int) -> Best | None:
        """Read what is there."""
        return self.top.touch()


class BruteForce(Way):
    """Read every book's touch again, and look for the best."""

    def after(self, slot: int) -> Best | None:
        """Read all five."""
        return best_of([self._touch(each) for each in range(len(self._books))])


class Dictionary(Way):
    """Remember every venue's touch in a dictionary, and look for the best when one changed."""

    def __init__(self, books: list[BookLike]) -> None:
        super().__init__(books)
        self._touches: dict[int, Touch] = {}
        self._best: Best | None = None

    def after(self, slot: int) -> Best | None:
        """Read one, compare, and look through what is known."""
        touch = self._touch(slot)
        if self._touches.get(slot) != touch:
            self._touches[slot] = touch
            if len(self._touches) == len(self._books):
                self._best = best_of([self._touches[each] for each in range(len(self._books))])
        return self._best


class Sorted(Way):
    """Keep the venues' touches in two lists sorted by price."""

    def __init__(self, books: list[BookLike]) -> None:
        from sortedcontainers import SortedList

        super().__init__(books)
        self._bids: Any = SortedList()
        self._asks: Any = SortedList()
        self._known: dict[int, tuple[tuple[int, int, int], tuple[int, int, int]]] = {}

    def after(self, slot: int) -> Best | None:
        """Read one, and move its entries if it changed."""
        bid, bid_qty, ask, ask_qty = self._touch(slot)
        entries = (bid, bid_qty, -slot), (-ask, ask_qty, -slot)
        known = self._known.get(slot)
        if known != entries:
            if known is not None:
                self._bids.remove(known[0])
                self._asks.remove(known[1])
            self._bids.add(entries[0])
            self._asks.add(entries[1])
            self._known[slot] = entries
        if len(self._known) < len(self._books):
            return None
        best_bid, best_ask = self._bids[-1], self._asks[-1]
        return best_bid[0], best_bid[1], -best_bid[2], -best_ask[0], best_ask[1], -best_ask[2]


WAYS: dict[str, type[Way]] = {
    "frames alone": Way,
    "kept by the books": Kept,
    "all touches read again": BruteForce,
    "touches in a dictionary": Dictionary,
    "touches in sorted lists": Sorted,
}


class Rig:
    """One symbol's five books with their feeds, LIVE."""

    def __init__(self, crowd: Crowd, way: type[Way], is_pure: bool = False) -> None:
        self.books: list[Any] = []
        self._feeds: list[Any] = []
        for number, venue in enumerate(VENUES):
            make = PureBook if is_pure else new_book
            book = make(f"{venue.name} {crowd.names[0]}", venue.price_scale, venue.qty_scale)
            feed = PureDepthFeed(venue.schema) if is_pure else new_feed(venue.schema)
            feed.add(venue.route(crowd.names[0]), book)  # type: ignore[arg-type]
            book.begin_sync()
            if not venue.schema.is_in_band:
                book.load_snapshot(crowd.snapshot(number, 0))
                book.accept_snapshot()
            self.books.append(book)
            self._feeds.append(feed)
        for start in crowd.starts():
            self.take(start)
        self.way = way(self.books)
        for slot in range(len(VENUES)):
            self.way.after(slot)

    def take(self, frame: Frame) -> None:
        """Apply one frame."""
        code = self._feeds[frame.venue].feed_code(frame.payload)
        if code != Feed.APPLIED:
            raise AssertionError(f"a frame of {VENUES[frame.venue].name} was not applied: {Feed(code).name}")

    def run(self, frames: list[Frame]) -> float:
        """Return ns of processor time for each frame, the best known after every one."""
        feeds = [feed.feed_code for feed in self._feeds]
        work = [(feeds[frame.venue], frame.payload, frame.venue) for frame in frames]
        after = self.way.after
        began = time.thread_time_ns()
        for feed, payload, slot in work:
            feed(payload)
            after(slot)
        return (time.thread_time_ns() - began) / len(frames)


def _expected(crowd: Crowd, frames: list[Frame]) -> list[Best]:
    touches = [crowd.touch(venue, 0) for venue in range(len(VENUES))]
    expected = []
    for frame in frames:
        touches[frame.venue] = frame.touch
        expected.append(best_of(touches))
    return expected


def _check(name: str, rig: Rig, frames: list[Frame], expected: list[Best]) -> None:
    """Raise AssertionError unless the best is the definition's after every frame."""
    for number, (frame, best) in enumerate(zip(frames, expected, strict=True)):
        rig.take(frame)
        found = rig.way.after(frame.venue)
        if found != best and type(rig.way) is not Way:
            raise AssertionError(f"{name}: {found} after frame {number}, and not {best}")


class _Twin(Way):
    """The readable twin, asked and timed by hand."""

    def __init__(self, books: list[Any]) -> None:
        super().__init__(books)
        self.top = PureTop()
        self.histogram = Histogram()
        for book in books:
            self.top.add(book)
            book.watcher = None

    def after(self, slot: int) -> Best | None:
        """Let the top look at the book."""
        book: Any = self._books[slot]
        began = time.perf_counter_ns()
        self.top.touched(book, True)
        self.histogram.record(time.perf_counter_ns() - began)
        return self.top.touch()


def _cost(count: int, rounds: int) -> dict[str, Any]:
    """Measure every way on the same frames, in turns."""
    crowd = Crowd(1)
    starts = Crowd(1)  # the same books, as they were before the frames
    frames = crowd.deltas(count)
    expected = _expected(starts, frames)
    for name, way in WAYS.items():
        _check(name, Rig(starts, way), frames, expected)
    twin = Rig(starts, _Twin, is_pure=True)
    few = frames[: max(len(frames) // 10, 200)]
    _check("twin", twin, few, expected[: len(few)])
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            times[name].append(Rig(starts, way).run(frames))
    alone = min(times["frames alone"])
    changes = sum(before != after for before, after in itertools.pairwise(expected))
    moved = sum(_moves(starts, frames))
    added = {name: max(0.0, min(values) - alone) for name, values in times.items() if name != "frames alone"}
    ours = max(added["kept by the books"], 1.0)
    assert isinstance(twin.way, _Twin)
    return {
        "frames": len(frames),
        "touch_changes": moved,
        "best_changes": changes,
        "frame_alone_ns": round(alone),
        "added_ns_per_frame": {name: round(value, 1) for name, value in added.items()},
        "added_ns_per_touch_change": {
            name: round(value * len(frames) / moved, 1) for name, value in added.items()
        },
        "times_ours": {name: round(value / ours, 1) for name, value in added.items()},
        "twin_ns_per_frame": summary(twin.way.histogram),
    }


def _moves(starts: Crowd, frames: list[Frame]) -> list[bool]:
    """Tell of each frame whether it changed its own book's touch."""
    touches = [starts.touch(venue, 0) for venue in range(len(VENUES))]
    moves = []
    for frame in frames:
        moves.append(touches[frame.venue] != frame.touch)
        touches[frame.venue] = frame.touch
    return moves


# ------------------------------------------------------------------------------------------ loopback


def _world(options: argparse.Namespace) -> tuple[Crowd, list[Frame], Crowd]:
    """Return the books as they start, all frames that are sent, and the books as they end."""
    starts, crowd = Crowd(options.symbols), Crowd(options.symbols)
    return starts, [*crowd.starts(), *crowd.deltas(options.count)], crowd


async def _read(url: str, starts: Crowd, frames: list[Frame], stamps: PeerStamps) -> list[TopLike]:
    """Read with the engine's own sessions, a connection and a feed for each venue."""
    clock = SystemClock()
    tops = [new_top() for _ in starts.names]
    skip = len(starts.starts()) + len(frames) // 20
    sessions = []
    for number, venue in enumerate(VENUES):
        feed = new_feed(venue.schema)
        symbol_of: dict[int, int] = {}
        for symbol, name in enumerate(starts.names):
            book = new_book(f"{venue.name} {name}", venue.price_scale, venue.qty_scale, symbol)
            book.begin_sync()
            if not venue.schema.is_in_band:
                book.load_snapshot(starts.snapshot(number, symbol))
            feed.add(venue.route(name), book)
            tops[symbol].add(book)
            symbol_of[book.book_id] = symbol
        feed.on_update = stamps.noter(number, tops, skip)
        sessions.append(
            WebSocketSession(
                name=f"bench {venue.name}", url=lambda number=number: f"{url}{number}",  # type: ignore[misc]
                rules=RULES, clock=clock,
                backoff=Backoff(100, 1000, random.Random(1)), budget=ConnectionBudget(100, 60, clock),
                on_message=lambda *_: None, on_up=lambda _: None, on_down=lambda _: None,
                on_quarantine=lambda *_: None, sink=feed,
            )
        )  # fmt: skip
    gc.freeze()  # as the engine does after its start
    poll = BusyPoll(asyncio.get_running_loop(), clock, lambda: 0)
    poll.start()
    for session in sessions:
        session.start()
    deadline = clock.mono_ns() + 60_000_000_000
    while not stamps.is_done:
        if clock.mono_ns() > deadline:
            raise RuntimeError(f"only {stamps.seen} of {len(frames)} frames came")
        await asyncio.sleep(0.05)
    poll.stop()
    await asyncio.gather(*[session.stop() for session in sessions])
    return tops


def _child(options: argparse.Namespace) -> int:
    """Read the peer's frames in this process and print the figures."""
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    starts, frames, ends = _world(options)
    stamps = PeerStamps(options.stamps, [frame.venue for frame in frames], len(VENUES))
    tops = uvloop.run(_read(options.url, starts, frames, stamps))
    for symbol, top in enumerate(tops):
        expected = best_of([ends.touch(venue, symbol) for venue in range(len(VENUES))])
        if top.touch() != expected:
            print(f"{starts.names[symbol]}: the final best {top.touch()} is not {expected}", file=sys.stderr)
            return 1
    print(json.dumps({"sent_to_best": summary(stamps.changed), "sent_to_book": summary(stamps.updated)}))
    return 0


def _loopback(options: argparse.Namespace) -> dict[str, Any]:
    """Start a peer and a reader, each on a core of its own; medians of the rounds."""
    _, frames, _ = _world(options)
    generator = random.Random(23)
    due, rows = 0.0, []
    for frame in frames:
        due += generator.expovariate(options.rate) * 1e9
        rows.append(struct.pack("<IIq", len(frame.payload), frame.venue, int(due)) + frame.payload)
    cores = sorted(os.sched_getaffinity(0))
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tecore-bench-") as temporary:
        folder = Path(temporary)
        peer = compiled_peer(folder)
        (folder / "frames").write_bytes(b"".join(rows))
        for _ in range(options.rounds):
            with serving(peer, folder, len(frames), len(VENUES), cores[0]) as (url, stamps):
                done = subprocess.run(
                    [sys.executable, "-m", "bench.consolidated", "--child", "--url", url,
                     "--stamps", str(stamps), "--count", str(options.count), "--symbols",
                     str(options.symbols), "--cpu", str(cores[-1] if len(cores) > 1 else -1)],
                    capture_output=True, text=True, timeout=240,
                )  # fmt: skip
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            found.append(json.loads(done.stdout))
    return {
        "frames_per_s": options.rate,
        "books": len(VENUES) * options.symbols,
        "rounds": options.rounds,
        **{
            word: {key: round(statistics.median(each[word][key] for each in found)) for key in _PERCENTILES}
            for word in ("sent_to_book", "sent_to_best")
        },
        "samples": found[-1]["sent_to_best"]["count"],
    }


def main(argv: list[str]) -> int:
    """Run; 1 when a best was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench consolidated", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--count", type=int, default=100_000, help="frames over loopback")
    parser.add_argument("--rate", type=int, default=50_000, help="frames per second over loopback")
    parser.add_argument("--symbols", type=int, default=10, help="listed at each of the five venues")
    parser.add_argument("--frames", type=int, default=30_000, help="frames of the first part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--stamps", help=argparse.SUPPRESS)
    parser.add_argument("--cpu", type=int, default=-1, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        return _child(options)
    if options.small:
        options.count, options.frames, options.rounds, options.symbols = 3_000, 1_000, 1, 2
        options.rate = 10_000
    try:
        result: dict[str, Any] = {
            "cost": _cost(options.frames, options.rounds),
            "loopback": _loopback(options),
            "load_average": round(os.getloadavg()[0], 1),
        }
    except (AssertionError, RuntimeError) as error:
        print(f"no number is worth printing: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result))
    else:
        _show(result)
    return 0


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    cost, paced = result["cost"], result["loopback"]
    console.print(
        f"{cost['frames']} frames of five venues, {cost['touch_changes']} changed their book's best levels, "
        f"{cost['best_changes']} the consolidated best; {cost['frame_alone_ns']} ns a frame alone; "
        f"load average {result['load_average']}"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("consolidated best", "ns added/frame", "ns/touch change", "x ours"):
        table.add_column(name, justify="left" if name.startswith("con") else "right")
    for name, value in cost["added_ns_per_frame"].items():
        each = cost["added_ns_per_touch_change"][name]
        table.add_row(name, f"{value:.0f}", f"{each:.0f}", f"{cost['times_ours'][name]:.1f}")
    twin = cost["twin_ns_per_frame"]
    table.add_row("readable twin (p50 of a call)", str(twin["p50"]), "", "")
    console.print(table)
    console.print(
        f"over loopback, {paced['books']} books at {paced['frames_per_s']} frames/s, medians of "
        f"{paced['rounds']} rounds; {paced['samples']} changes of the best"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("microseconds", *_PERCENTILES):
        table.add_column(name, justify="left" if name == "microseconds" else "right")
    for word in ("sent_to_book", "sent_to_best"):
        row = [f"{paced[word][key] / 1000:.1f}" for key in _PERCENTILES]
        table.add_row(word.replace("_", " "), *row)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
