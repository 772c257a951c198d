"""How long from a frame's bytes to a readable book, beside what else there is?

One step: raw frame in, that symbol's book changed, best bid and ask read as Python values on both sides.
Candidates take turns over several rounds on fresh books; medians are printed. Every candidate's final book
is compared with a replay in Decimals before any number is shown. Not measured: sockets (see the loopback
benchmark), many symbols at once.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import importlib.util
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench._depth_sets import SCALE, DepthSet, recorded, synthetic
from engine.book.l2 import COMPILED
from engine.book.pure import PureBook, PureDepthFeed
from engine.model.instrument import Product
from engine.telemetry.histogram import Histogram, summary
from engine.venues.binance.market_data import depth_schema

Step = Callable[[bytes], None]
Levels = dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]]

FRAMES_A_TURN = 1_000
"""A candidate goes through a set as often as this takes, before it is another's turn."""


class Candidate:
    """One way from bytes to book: ``step`` takes a frame, ``levels`` gives the final books back."""

    def __init__(
        self,
        name: str,
        step: Step,
        levels: Callable[[], Levels],
        tolerance: int | None = None,
        books: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.step = step
        self.levels = levels
        self.tolerance = tolerance
        """Decimals to which a float book can be compared; None = exact."""
        self.books = books or {}
        """By stream, in the candidate's own form, for who wants to read them."""


# --------------------------------------------------------------------------------------- candidates


def _ours(name: str, book_type: Any, feed_type: Any, stages: int = 0) -> Callable[[DepthSet], Candidate]:
    def build(work: DepthSet) -> Candidate:
        product = Product.PERP if work.is_perp else Product.SPOT
        feed = feed_type(depth_schema(product))
        feed.stages = stages
        books = {}
        for start in work.starts:
            book = book_type(start.symbol, SCALE, SCALE)
            feed.add(start.stream, book)
            book.begin_sync()
            book.load_snapshot(start.snapshot())
            books[start.stream] = book
        feed_code = feed.feed_code
        receive: Any = getattr(feed, "receive", None)  # what the listener does, in one call

        def step(frame: bytes) -> None:
            if not feed_code(frame):
                raise AssertionError("not a depth frame")
            feed.last_book.touch_floats()

        def step_stamped(frame: bytes) -> None:
            receive(frame)
            feed.last_book.touch_floats()

        def levels() -> Levels:
            unit = Decimal(1).scaleb(-SCALE)
            result = {}
            for stream, book in books.items():
                assert book.is_live, (stream, book.state_name, book.reason)
                sides = [{p * unit: q * unit for p, q in book.depth(side).tolist()} for side in (0, 1)]
                result[stream] = (sides[0], sides[1])
            return result

        return Candidate(name, step_stamped if stages else step, levels)

    return build


def _sorted_dict(work: DepthSet) -> Candidate:
    import orjson
    from sortedcontainers import SortedDict

    books = {
        start.stream: (
            SortedDict({float(p): float(q) for p, q in start.bids}),
            SortedDict({float(p): float(q) for p, q in start.asks}),
        )
        for start in work.starts
    }

    def step(frame: bytes) -> None:
        message = orjson.loads(frame)
        bids, asks = books[message["stream"]]
        data = message["data"]
        for side, rows in ((bids, data["b"]), (asks, data["a"])):
            for price, qty in rows:
                size = float(qty)
                if size:
                    side[float(price)] = size
                else:
                    side.pop(float(price), None)
        bids.peekitem(-1)
        asks.peekitem(0)

    return Candidate("orjson + SortedDict", step, lambda: _from_floats(books), tolerance=SCALE)


def _from_floats(books: Any) -> Levels:
    result = {}
    for stream, (bids, asks) in books.items():
        sides = [{Decimal(repr(p)): Decimal(repr(q)) for p, q in side.items()} for side in (bids, asks)]
        result[stream] = (sides[0], sides[1])
    return result


_OPEN: list[Any] = []
"""ccxt's exchanges, which complain if nobody closes them."""


async def close_all() -> None:
    """Close ccxt's exchanges."""
    for exchange in _OPEN:
        await exchange.close()
    _OPEN.clear()


def ccxt_candidate(work: DepthSet) -> Candidate:
    """Return ccxt.pro's own handler as a candidate."""
    import ccxt.pro

    exchange: Any = ccxt.pro.binanceusdm() if work.is_perp else ccxt.pro.binance()
    _OPEN.append(exchange)
    markets: list[dict[str, Any]] = []
    for start in work.starts:
        quote = "USDT" if start.symbol.endswith("USDT") else start.symbol[-3:]
        base = start.symbol.removesuffix(quote)
        symbol = f"{base}/{quote}" + (f":{quote}" if work.is_perp else "")
        markets.append(
            {
                "id": start.symbol, "symbol": symbol, "base": base, "quote": quote, "baseId": base,
                "quoteId": quote, "type": "swap" if work.is_perp else "spot", "spot": not work.is_perp,
                "swap": work.is_perp, "linear": work.is_perp or None, "future": False, "option": False,
                "contract": work.is_perp, "settle": quote if work.is_perp else None, "limits": {},
                "precision": {}, "active": True, "info": {},
            }
        )  # fmt: skip
    exchange.set_markets(markets)
    url = "wss://fstream.binance.com/public/ws/0" if work.is_perp else "wss://x/stream/ws/0"
    client = exchange.client(url)
    streams = {}
    for start, market in zip(work.starts, markets, strict=True):
        book = exchange.order_book({}, 5000)
        sides = {
            side: [[float(price), float(qty)] for price, qty in rows]
            for side, rows in (("bids", start.bids), ("asks", start.asks))
        }
        book.reset({**sides, "nonce": start.last_id})
        book["symbol"] = market["symbol"]
        exchange.orderbooks[market["symbol"]] = book
        streams[start.stream] = book
    handle = client.handle_text_or_binary_message
    by_symbol = {start.symbol: streams[start.stream] for start in work.starts}
    raw = {frame: _unwrapped(frame) for frame in work.frames}

    def step(frame: bytes) -> None:
        text, symbol = raw[frame]
        handle(text)
        book = by_symbol[symbol]
        _ = book["bids"][0], book["asks"][0]

    def levels() -> Levels:
        pairs = {
            stream: ({p: q for p, q, *_ in book["bids"]}, {p: q for p, q, *_ in book["asks"]})
            for stream, book in streams.items()
        }
        return _from_floats(pairs)

    return Candidate("ccxt.pro handler", step, levels, tolerance=SCALE, books=streams)


def _unwrapped(frame: bytes) -> tuple[str, str]:
    """Return the bare payload, as ccxt's raw streams carry it, and its symbol."""
    message = json.loads(frame)
    data = frame[frame.index(b'"data":') + 7 : -1].decode()
    return data, message["data"]["s"]


def _cryptofeed(work: DepthSet) -> Candidate:
    from cryptofeed.defines import L2_BOOK
    from cryptofeed.exchanges import Binance, BinanceFutures
    from cryptofeed.symbols import Symbols
    from cryptofeed.types import OrderBook

    feed_type = BinanceFutures if work.is_perp else Binance
    mapping: dict[str, str] = {}
    info: dict[str, dict[str, str]] = {"instrument_type": {}}
    for start in work.starts:
        quote = "USDT" if start.symbol.endswith("USDT") else start.symbol[-3:]
        name = f"{start.symbol.removesuffix(quote)}-{quote}" + ("-PERP" if work.is_perp else "")
        mapping[name] = start.symbol
        info["instrument_type"][name] = "perpetual" if work.is_perp else "spot"
    Symbols.set(feed_type.id, mapping, info)

    async def heard(book: Any, timestamp: float) -> None:
        """Take the book, as any user's callback would."""

    feed = feed_type(symbols=list(mapping), channels=[L2_BOOK], callbacks={L2_BOOK: heard})
    feed.start = lambda loop: None
    books, by_stream = {}, {}
    for start, name in zip(work.starts, mapping, strict=True):
        bids = {Decimal(p): Decimal(q) for p, q in start.bids}
        asks = {Decimal(p): Decimal(q) for p, q in start.asks}
        book = OrderBook(feed.id, name, bids=bids, asks=asks)
        feed._l2_book[name] = book
        feed.last_update_id[name] = start.last_id
        books[start.stream] = by_stream[start.stream] = book
    handler = feed.message_handler

    def step(frame: bytes) -> None:
        coroutine = handler(frame.decode(), None, 0.0)
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("the handler waits for something")
        book = by_stream[frame[11 : frame.index(b'"', 11)].decode()].book
        book.bids.index(0), book.asks.index(0)

    def levels() -> Levels:
        return {
            stream: (dict(book.book.bids.to_dict()), dict(book.book.asks.to_dict()))
            for stream, book in books.items()
        }

    return Candidate("cryptofeed handler", step, levels)


# ---------------------------------------------------------------------------------------- the C walk


class CWalk:
    """The reference in C, compiled at first use."""

    def __init__(self) -> None:
        source = Path(__file__).parent / "native" / "c_floor.c"
        self._folder = tempfile.TemporaryDirectory(prefix="tecore-bench-")
        library = Path(self._folder.name) / "c_floor.so"
        subprocess.run(["gcc", "-O3", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
        self.lib: Any = ctypes.CDLL(str(library))
        self.lib.book_new.restype = ctypes.c_void_p
        self.lib.book_new.argtypes = [ctypes.c_int, ctypes.c_char_p]
        self.lib.book_run.restype = ctypes.c_int64
        self.lib.book_seed.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        self.lib.book_last.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        self.lib.book_free.argtypes = [ctypes.c_void_p]
        self.lib.book_size.argtypes = [ctypes.c_void_p, ctypes.c_int]

    def run(self, work: DepthSet) -> tuple[float, Levels]:
        """Return ns per frame over the whole set, and the final books."""
        books = []
        for start in work.starts:
            book = ctypes.c_void_p(self.lib.book_new(int(work.is_perp), start.stream.encode()))
            snapshot = start.snapshot()
            for is_bid, rows in ((1, snapshot.bids), (0, snapshot.asks)):
                for price, qty in rows.tolist():
                    self.lib.book_seed(book, is_bid, price, qty)
            self.lib.book_last(book, start.last_id)
            books.append(book)
        blob = b"\0".join(work.frames) + b"\0"
        offsets, at = (ctypes.c_int64 * len(work.frames))(), 0
        for number, frame in enumerate(work.frames):
            offsets[number] = at
            at += len(frame) + 1
        handles = (ctypes.c_void_p * len(books))(*books)
        sink = ctypes.c_double()
        elapsed = self.lib.book_run(handles, len(books), blob, offsets, len(work.frames), ctypes.byref(sink))
        if elapsed < 0:
            raise AssertionError("the C walk refused a frame")
        result = {}
        for start, book in zip(work.starts, books, strict=True):
            result[start.stream] = (self._side(book, 1), self._side(book, 0))
            self.lib.book_free(book)
        return elapsed / len(work.frames), result

    def _side(self, book: ctypes.c_void_p, is_bid: int) -> dict[Decimal, Decimal]:
        price, qty = ctypes.c_int64(), ctypes.c_int64()
        unit = Decimal(1).scaleb(-SCALE)
        side = {}
        for number in range(self.lib.book_size(book, is_bid)):
            self.lib.book_level(book, is_bid, number, ctypes.byref(price), ctypes.byref(qty))
            side[price.value * unit] = qty.value * unit
        return side


# ---------------------------------------------------------------------------------------- measuring


def _check(name: str, levels: Levels, reference: Levels, tolerance: int | None) -> None:
    for stream, sides in reference.items():
        for which, (mine, theirs) in enumerate(zip(levels[stream], sides, strict=True)):
            if tolerance is not None:
                mine = {round(p, tolerance): round(q, tolerance) for p, q in mine.items()}
                theirs = {round(p, tolerance): round(q, tolerance) for p, q in theirs.items()}
            if mine != theirs:
                wrong = sorted(set(mine.items()) ^ set(theirs.items()))[:3]
                raise AssertionError(
                    f"{name}: {stream} {'bids' if which == 0 else 'asks'} differ, e.g. {wrong}"
                )


def _time_round(candidate: Candidate, frames: list[bytes]) -> float:
    step = candidate.step
    began = time.perf_counter_ns()
    for frame in frames:
        step(frame)
    return (time.perf_counter_ns() - began) / len(frames)


def _spread(candidate: Candidate, frames: list[bytes]) -> dict[str, int]:
    histogram, step, now = Histogram(), candidate.step, time.perf_counter_ns
    for frame in frames:
        began = now()
        step(frame)
        histogram.record(now() - began)
    return summary(histogram)


def _builders() -> dict[str, Callable[[DepthSet], Candidate]]:
    found: dict[str, Callable[[DepthSet], Candidate]] = {}
    others: tuple[tuple[str, str, Callable[[DepthSet], Candidate]], ...] = (
        ("orjson", "orjson + SortedDict", _sorted_dict),
        ("ccxt", "ccxt.pro handler", ccxt_candidate),
        ("cryptofeed", "cryptofeed handler", _cryptofeed),
    )
    if COMPILED:
        from engine.book._kernel import DepthFeed, NativeBook

        found["kernel"] = _ours("kernel", NativeBook, DepthFeed)
        found["kernel, six stages"] = _ours("kernel, six stages", NativeBook, DepthFeed, stages=2)
    found["pure Python fallback"] = _ours("pure Python fallback", PureBook, PureDepthFeed)
    found.update({name: build for module, name, build in others if importlib.util.find_spec(module)})
    return found


def measure(work: DepthSet, rounds: int, walk: CWalk | None) -> dict[str, Any]:
    """Measure every candidate on one set; raises AssertionError when a final book is wrong."""
    reference = work.reference()
    builders = _builders()
    times: dict[str, list[float]] = {name: [] for name in builders}
    c_times: list[float] = []
    # A short set is over before the caches that the candidate before has filled are this one's.
    repeats = -(-FRAMES_A_TURN // len(work.frames))
    for _ in range(rounds):
        for name, build in builders.items():
            for _ in range(repeats):
                candidate = build(work)
                times[name].append(_time_round(candidate, work.frames))
                _check(name, candidate.levels(), reference, candidate.tolerance)
        if walk is not None:
            for _ in range(repeats):
                elapsed, levels = walk.run(work)
                _check("C walk", levels, reference, None)
                c_times.append(elapsed)
    medians = {name: statistics.median(values) for name, values in times.items()}
    if c_times:
        medians["C walk"] = statistics.median(c_times)
    spreads = {name: _spread(build(work), work.frames) for name, build in builders.items()}
    ours = medians.get("kernel", medians["pure Python fallback"])
    return {
        "set": work.name,
        "frames": len(work.frames),
        "bytes_per_frame": sum(map(len, work.frames)) // len(work.frames),
        "ns_per_message": {name: round(value) for name, value in medians.items()},
        "times_ours": {name: round(value / ours, 2) for name, value in medians.items()},
        "per_message_ns": spreads,
    }


async def _measure_all(works: list[DepthSet], rounds: int, walk: CWalk | None) -> list[dict[str, Any]]:
    """Measure inside a running loop, which some candidates want; nothing here waits for it."""
    logging.getLogger("ccxt").setLevel(logging.CRITICAL)  # it asks to be closed, though nothing was opened
    results = []
    for work in works:
        results.append(measure(work, rounds, walk))
        await close_all()
    return results


def main(argv: list[str]) -> int:
    """Run; 1 when a book was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench wire-to-book", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--fixtures", default="../shared/fixtures", help="folder of recorded messages, if there"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="one round of a short synthetic stream")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    works = [synthetic(300)] if options.small else [*recorded(Path(options.fixtures)), synthetic(4000)]
    walk = CWalk() if subprocess.run(["which", "gcc"], capture_output=True).returncode == 0 else None
    try:
        results = asyncio.run(_measure_all(works, 1 if options.small else options.rounds, walk))
    except AssertionError as error:
        print(f"wrong book, no number is worth printing: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(results))
    else:
        for result in results:
            _show(result)
    return 0


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    size = result["bytes_per_frame"]
    console.print(f"\n[bold]{result['set']}[/]: {result['frames']} frames of {size} bytes, books checked")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("frame to touch", "ns/message", "x ours", "p50", "p99", "p99.9", "max"):
        table.add_column(name, justify="left" if name == "frame to touch" else "right")
    for name, value in sorted(result["ns_per_message"].items(), key=lambda item: item[1]):
        spread = result["per_message_ns"].get(name)
        cells = [str(spread[key]) for key in ("p50", "p99", "p99.9", "max")] if spread else ["-"] * 4
        table.add_row(name, str(value), f"{result['times_ours'][name]:.2f}", *cells)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
