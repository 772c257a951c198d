"""How long from a depth frame's send call at the exchange to the last byte of the order that it leads to?

A C peer that never sleeps sends a frame, stamps it, takes the order, stamps that too, answers, pauses, and
sends the next. Every client does the same job: apply the frame to its symbol's book, read the best bid, place
a limit order there (signed, over a kept-alive connection), read the answer. The engine's path is the real
one: picows session, compiled listener, depth kernel, checks, order state, router, HTTP session. Beside it:
picows, msgspec, SortedDict and aiohttp put together by hand with nothing but the job in it; and ccxt.pro's
handler on websockets with ccxt's ``create_order``. All run on uvloop, kept awake by the same busy poll;
client and peer have a core each.

Before a number is shown every order must have named the best bid of its moment, by a replay in Decimals. Not
measured: a network, a strategy that thinks.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from bench._depth_sets import DepthSet, synthetic
from bench._machine import interruptions
from bench._processes import port_of
from bench.http_order import KEY, QTY, SECRET, rows_of, signed_body
from engine.book.l2 import BookLike, new_book, new_feed
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot, Side
from engine.model.orders import OrderState
from engine.model.text import plain, scale_text
from engine.router.checks import new_order
from engine.router.client_ids import ClientIds
from engine.router.order import Change, Order
from engine.router.router import OrderRouter
from engine.session.order_gateway import RestGateway
from engine.session.venue_clock import VenueClock
from engine.telemetry.clock import SystemClock
from engine.telemetry.log import EventLog
from engine.transport.busy_poll import BusyPoll
from engine.transport.http import HttpPool
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.request_budget import RequestBudget
from engine.transport.websocket import WebSocketSession
from engine.venues.base import ConnectionRules, Credentials, Endpoints, Heartbeat, Secret
from engine.venues.binance.adapter import BinanceMarketData, BinanceTrading

SYMBOLS, LEVELS, CHANGES = 20, 500, 40
SKIP = 200
"""Ticks at the start that are not counted: caches and branch predictors settle, connections are opened."""
PAUSE_US = 500
"""From an answer to the next tick: whoever is slow with the answer is not punished in the next figure."""
RULES = ConnectionRules(Heartbeat(silence_ms=60_000), 100, 1024, 100, 60, 86_400)


def _work(count: int) -> DepthSet:
    return synthetic(count, LEVELS, SYMBOLS, CHANGES)


def _listing(work: DepthSet) -> dict[str, Any]:
    """Return the symbols as the exchange lists them."""
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    ]
    rows = [
        {
            "symbol": start.symbol, "status": "TRADING", "baseAsset": start.symbol.removesuffix("USDT"),
            "quoteAsset": "USDT", "isSpotTradingAllowed": True, "orderTypes": ["LIMIT"], "filters": filters,
        }
        for start in work.starts
    ]  # fmt: skip
    return {"rateLimits": [], "symbols": rows}


# ------------------------------------------------------------------------------------------- clients


class Done:
    """Counts answers; ``event`` is set with the last."""

    def __init__(self, count: int) -> None:
        self.event = asyncio.Event()
        self._left = count

    def one(self) -> None:
        """Note an answer."""
        self._left -= 1
        if self._left == 0:
            self.event.set()


async def _engine(port: int, work: DepthSet, done: Done) -> None:
    clock = SystemClock()
    endpoints = Endpoints(f"http://127.0.0.1:{port}", "ws://127.0.0.1:1")
    market = BinanceMarketData(Product.SPOT, endpoints)
    listed = market.decode_instruments(json.dumps(_listing(work)).encode())
    by_symbol = {each.symbol: each for each in listed}
    # A tick may come before the last answer was read, where the machine took the core away: as in real life.
    pool = HttpPool(endpoints.rest, clock, warm=2, limit=4)
    keys = Credentials(Secret(KEY), Secret(SECRET))
    adapter = BinanceTrading(Product.SPOT, endpoints, keys, by_symbol, 5_000)
    budget = RequestBudget(
        [msgspec.structs.replace(rule, limit=10**9) for rule in market.rest_budgets], clock
    )
    gateway = RestGateway(adapter, pool, budget, VenueClock(clock), clock, 5.0)
    log = EventLog("warning", "json", io.StringIO())
    router = OrderRouter(
        "binance", {"rest": gateway}, {each.universal: each for each in listed}, clock, log,
        proof_after_ms=10_000, allowed=lambda: "", open_orders_max=10**9,
    )  # fmt: skip
    ids = ClientIds("tb", 1)
    feed = new_feed(market.schema)
    instruments: list[Instrument] = []
    for number, start in enumerate(work.starts):
        instrument = by_symbol[start.symbol]
        instruments.append(instrument)
        scales = instrument.price_scale, instrument.qty_scale
        book = new_book(start.symbol, *scales, number)
        feed.add(start.stream, book)
        book.begin_sync()
        sides = [
            np.array([[scale_text(p, scales[0]), scale_text(q, scales[1])] for p, q in rows], dtype=np.int64)
            for rows in (start.bids, start.asks)
        ]
        book.load_snapshot(BookSnapshot(start.last_id, sides[0], sides[1], None))

    def decide(book: BookLike) -> None:
        instrument = instruments[book.book_id]
        bid = plain(book.touch()[0], instrument.price_scale)
        router.place(new_order(instrument, ids.next(), Side.BUY, QTY, bid))

    def heard(order: Order, change: Change) -> None:
        if order.state is not OrderState.WORKING:
            raise RuntimeError(repr(order))
        done.one()

    feed.on_update = decide
    router.listeners.append(heard)
    session = WebSocketSession(
        name="ticks", url=lambda: f"ws://127.0.0.1:{port}/0", rules=RULES, clock=clock,
        backoff=Backoff(100, 1000, random.Random(1)), budget=ConnectionBudget(100, 60, clock),
        on_message=lambda *_: None, on_up=lambda _: None, on_down=lambda _: None,
        on_quarantine=lambda *_: None, sink=feed,
    )  # fmt: skip
    await pool.start()
    gc.freeze()
    session.start()
    await done.event.wait()
    await session.stop()
    await pool.stop()
    log.close()


class _Depth(msgspec.Struct):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Frame(msgspec.Struct):
    data: _Depth


async def _by_hand(port: int, work: DepthSet, done: Done) -> None:
    import aiohttp
    import picows
    from sortedcontainers import SortedDict

    books = {
        start.symbol: [SortedDict({float(p): float(q) for p, q in rows}) for rows in (start.bids, start.asks)]
        for start in work.starts
    }
    decoder = msgspec.json.Decoder(_Frame)
    base = f"http://127.0.0.1:{port}"
    headers = {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    numbers = iter(range(10**9))
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    async def order(symbol: str, price: float) -> None:
        body = signed_body(f"b{next(numbers)}", symbol, f"{price:.2f}")
        async with session.post(f"{base}/api/v3/order", data=body, headers=headers) as response:
            msgspec.json.decode(await response.read())
        done.one()

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            data = decoder.decode(frame.get_payload_as_memoryview()).data
            for side, rows in zip(books[data.s], (data.b, data.a), strict=True):
                for price, qty in rows:
                    size = float(qty)
                    if size:
                        side[float(price)] = size
                    else:
                        side.pop(float(price), None)
            task = loop.create_task(order(data.s, books[data.s][0].peekitem(-1)[0]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    gc.freeze()
    transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{port}/0")
    await done.event.wait()
    transport.disconnect()
    await session.close()


async def _ccxt(port: int, work: DepthSet, done: Done) -> None:
    import ccxt.async_support as ccxt
    from websockets.asyncio.client import connect

    from bench.wire_to_book import ccxt_candidate as handler
    from bench.wire_to_book import close_all

    candidate = handler(work)
    options: dict[str, Any] = {"crossMarginPairsData": [], "isolatedMarginPairsData": []}
    exchange: Any = ccxt.binance(
        {"apiKey": KEY, "secret": SECRET, "enableRateLimit": False, "options": options}
    )
    exchange.set_markets([exchange.parse_market(row) for row in _listing(work)["symbols"]])
    exchange.urls["api"]["private"] = f"http://127.0.0.1:{port}/api/v3"
    symbols = {start.stream: exchange.safe_symbol(start.symbol, None, None, "spot") for start in work.starts}
    qty = float(QTY)
    gc.freeze()
    async with connect(f"ws://127.0.0.1:{port}/0", compression=None, close_timeout=0.1) as socket:
        number = 0
        while not done.event.is_set():
            frame = await socket.recv(decode=False)
            candidate.step(frame)
            stream = frame[11 : frame.index(b'"', 11)].decode()
            bid = candidate.books[stream]["bids"][0][0]
            await exchange.create_order(
                symbols[stream], "limit", "buy", qty, bid, {"newClientOrderId": f"b{number}"}
            )
            number += 1
            done.one()
    await exchange.close()
    await close_all()


CLIENTS: dict[str, tuple[Callable[[int, DepthSet, Done], Awaitable[None]], tuple[str, ...]]] = {
    "engine": (_engine, ()),
    "picows + msgspec + aiohttp": (_by_hand, ("aiohttp", "sortedcontainers")),
    "ccxt.pro + create_order": (_ccxt, ("ccxt", "websockets")),
}


def _child(options: argparse.Namespace) -> int:
    """Run one client in this process."""
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})

    async def run() -> None:
        poll = BusyPoll(asyncio.get_running_loop(), SystemClock(), lambda: 0)
        poll.start()
        try:
            async with asyncio.timeout(120):
                await CLIENTS[options.child][0](options.port, _work(options.count), Done(options.count))
        finally:
            poll.stop()

    uvloop.run(run())
    return 0


# -------------------------------------------------------------------------------------------- driving


def _best_bids(work: DepthSet) -> list[tuple[str, Decimal]]:
    """Return each frame's symbol and its best bid after the frame, by a replay that shares no code."""
    bids = {start.symbol: {Decimal(p): Decimal(q) for p, q in start.bids} for start in work.starts}
    found = []
    for frame in work.frames:
        data = json.loads(frame)["data"]
        side = bids[data["s"]]
        for price, qty in data["b"]:
            if Decimal(qty):
                side[Decimal(price)] = Decimal(qty)
            else:
                side.pop(Decimal(price), None)
        found.append((data["s"], max(side)))
    return found


def _run(folder: Path, name: str, count: int, expected: list[tuple[str, Decimal]]) -> list[int]:
    """Run one client once against a fresh peer, check every order, and return the counted samples (ns)."""
    cores = sorted(os.sched_getaffinity(0))
    port_file, orders = folder / "port", folder / "orders"
    for file in (port_file, orders):
        file.unlink(missing_ok=True)
    peer = subprocess.Popen(
        [str(folder / "tick_peer"), str(port_file), str(folder / "frames"), str(count), str(orders),
         str(PAUSE_US)],
        preexec_fn=lambda: os.sched_setaffinity(0, {cores[0]}),
    )  # fmt: skip
    try:
        port = port_of(peer, port_file)
        done = subprocess.run(
            [sys.executable, "-m", "bench.tick_to_order", "--child", name,
             "--port", str(port), "--count", str(count),
             "--cpu", str(cores[-1] if len(cores) > 1 else -1)],
            capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        if done.returncode:
            why = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise RuntimeError(f"{name}: {why[-1]} (peer: {peer.poll()})")
        if peer.wait(10):
            raise RuntimeError(f"{name}: the peer gave up ({peer.returncode})")
    finally:
        peer.kill()
        peer.wait()
    samples = []
    for number, line in enumerate(orders.read_text().splitlines()):
        taken, symbol, price, _ = line.split(" ")
        if (symbol, Decimal(price)) != expected[number]:
            raise RuntimeError(f"{name}: order {number} is {symbol} {price}, not {expected[number]}")
        samples.append(int(taken))
    if len(samples) != count:
        raise RuntimeError(f"{name}: {len(samples)} orders for {count} ticks")
    return samples[SKIP:]


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    source = Path(__file__).parent / "native" / "tick_peer.c"
    subprocess.run(["gcc", "-O2", "-o", str(folder / "tick_peer"), str(source)], check=True)
    count = options.count + SKIP
    work = _work(count)
    (folder / "frames").write_bytes(b"".join(struct.pack("<I", len(f)) + f for f in work.frames))
    expected = _best_bids(work)
    names = [name for name, (_, needs) in CLIENTS.items() if all(map(importlib.util.find_spec, needs))]
    samples: dict[str, list[list[int]]] = {name: [] for name in names}
    result: dict[str, Any] = {"machine": str(interruptions())}
    for _ in range(options.rounds):
        for name in names:
            samples[name].append(_run(folder, name, count, expected))
    rows = {name: rows_of(each) for name, each in samples.items()}
    ours = rows["engine"]["p50"]
    result["tick_to_order_ns"] = rows
    result["p50_ratios"] = {
        name: round(row["p50"] / ours, 2) for name, row in rows.items() if name != "engine"
    }
    return result


def main(argv: list[str]) -> int:
    """Run; 1 when an order was wrong or missing."""
    parser = argparse.ArgumentParser(
        prog="python -m bench tick-to-order", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--count", type=int, default=2_000, help="ticks of each run")
    parser.add_argument("--rounds", type=int, default=5, help="of which the quietest counts")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=tuple(CLIENTS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--cpu", type=int, default=-1, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        return _child(options)
    if options.small:
        options.count, options.rounds = 300, 1
    with tempfile.TemporaryDirectory(prefix="tecore-bench-") as temporary:
        try:
            result = _measure(Path(temporary), options)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"this benchmark needs gcc for its peer ({error})", file=sys.stderr)
            return 1
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(error, file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(result))
    else:
        _show(result)
    return 0


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(result["machine"])
    keys = ("min", "p10", "p50", "p99", "p99.9", "max", "usual_p50")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("tick to order, us", *keys[:-1], "usual p50", "x engine"):
        table.add_column(name, justify="left" if name.startswith("tick") else "right")
    for name, row in result["tick_to_order_ns"].items():
        ratio = result["p50_ratios"].get(name, "")
        table.add_row(name, *(f"{row[key] / 1000:.1f}" for key in keys), str(ratio))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
