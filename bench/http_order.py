"""How long is the round trip of a signed order POST, beside bare aiohttp, ccxt and a C client that spins?

A server in C that never sleeps accepts every order and echoes its id; server and client have a core each.
The engine's figure is the whole of its path: checks, client id, signature, budget, the order's state,
stage histograms, keep-alive session, answer decoded, order WORKING. aiohttp signs with the standard
library, posts, reads and decodes the answer, nothing else; ccxt is its ``create_order``; the C client posts a
prepared body.
All Python clients run on uvloop and are kept awake by the same busy poll. They take turns; the quietest
round of each is shown, and beside it the median p50 of all its rounds. Before a number is shown the
server must have counted every order, and every answer must have named its own. Not measured: a network.
How often the machine itself takes a core away is measured and told: after that every cache is cold, and an
order that is longer than the pause between two such moments is hit, where a shorter one slips through. p10
is what the program does when it is left alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import hmac
import importlib.util
import io
import json
import os
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from bench._machine import interruptions
from bench._processes import port_of
from engine.model.instrument import Product
from engine.model.market import Side
from engine.model.orders import OrderState
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
from engine.transport.request_budget import RequestBudget
from engine.transport.tls import client_context
from engine.venues.base import Credentials, Endpoints, Secret
from engine.venues.binance.adapter import BinanceMarketData, BinanceTrading

NATIVE = Path(__file__).parent / "native"
RATIOS = ("p10", "p50")
SKIP = 200
"""Orders at the start that are not counted."""
KEY, SECRET = "benchKey", "benchSecret"
QTY, PRICE = "0.0125", "50000.1"
LISTING = json.dumps(
    {
        "rateLimits": [],
        "symbols": [
            {
                "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
                "isSpotTradingAllowed": True, "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
                "filters": [
                    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000",
                     "tickSize": "0.01"},
                    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
                    {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True,
                     "maxNotional": "9000000", "applyMaxToMarket": False, "avgPriceMins": 5},
                ],
            }
        ],
    }
).encode()  # fmt: skip


class Server:
    """Where the peer listens, and how it is trusted."""

    def __init__(self, port: int, ca: str) -> None:
        self.port = port
        self.ca = ca
        self.base = f"http{'s' if ca else ''}://127.0.0.1:{port}"

    def tls(self) -> ssl.SSLContext | None:
        """Return a verifying context, or None for a plain server."""
        return client_context(self.ca) if self.ca else None


# ------------------------------------------------------------------------------------------- clients


async def _engine(server: Server, count: int) -> list[int]:
    clock = SystemClock()
    pool = HttpPool(server.base, clock, tls=server.tls(), warm=1, limit=1)
    endpoints = Endpoints(server.base, "ws://127.0.0.1:1")
    listed = BinanceMarketData(Product.SPOT, endpoints).decode_instruments(LISTING)
    by_universal = {each.universal: each for each in listed}
    instrument = by_universal["BTC/USDT"]
    adapter = BinanceTrading(
        Product.SPOT, endpoints, Credentials(Secret(KEY), Secret(SECRET)),
        {each.symbol: each for each in listed}, 5_000,
    )  # fmt: skip
    documented = BinanceMarketData(Product.SPOT, endpoints).rest_budgets
    # The venue's own windows and headers, so wide that they never hold an order back here.
    budget = RequestBudget([msgspec.structs.replace(rule, limit=10**9) for rule in documented], clock)
    log = EventLog("warning", "json", io.StringIO())
    gateway = RestGateway(adapter, pool, budget, VenueClock(clock), clock, 5.0)
    router = OrderRouter(
        "binance", {"rest": gateway}, by_universal, clock, log, proof_after_ms=10_000, allowed=lambda: "",
        open_orders_max=10**9,
    )  # fmt: skip
    await pool.start()
    ids = ClientIds("tb", 1)
    loop = asyncio.get_running_loop()
    taken: list[int] = []
    finished = loop.create_future()
    started = 0

    def place() -> None:
        nonlocal started
        started = time.monotonic_ns()
        router.place(new_order(instrument, ids.next(), Side.BUY, QTY, PRICE))

    def changed(order: Order, change: Change) -> None:
        if order.state is OrderState.WORKING:
            taken.append(time.monotonic_ns() - started)
            if len(taken) < count:
                loop.call_soon(place)
            else:
                finished.set_result(None)
        elif order.state is not OrderState.PENDING_NEW:
            finished.set_exception(RuntimeError(repr(order)))

    router.listeners.append(changed)
    gc.freeze()
    place()
    await asyncio.wait_for(finished, 120)
    venue_ids = {order.venue_order_id for order in router.orders.values()}
    if len(venue_ids) != count:
        raise RuntimeError("an order was acknowledged twice")
    await pool.stop()
    log.close()
    return taken


async def _aiohttp(server: Server, count: int) -> list[int]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=1, ssl=server.tls() or True)
    taken = []
    async with aiohttp.ClientSession(connector=connector) as session:
        url, headers = f"{server.base}/api/v3/order", {
            "X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded",
        }  # fmt: skip
        gc.freeze()
        for number in range(count):
            started = time.monotonic_ns()
            async with session.post(url, data=signed_body(f"b{number}"), headers=headers) as response:
                answer = msgspec.json.decode(await response.read())
            taken.append(time.monotonic_ns() - started)
            if response.status != 200 or answer["clientOrderId"] != f"b{number}":
                raise RuntimeError("aiohttp got the wrong answer")
    return taken


async def _ccxt(server: Server, count: int) -> list[int]:
    import ccxt.async_support as ccxt

    options: dict[str, Any] = {"crossMarginPairsData": [], "isolatedMarginPairsData": []}
    exchange: Any = ccxt.binance(
        {"apiKey": KEY, "secret": SECRET, "enableRateLimit": False, "options": options}
    )
    exchange.set_markets([exchange.parse_market(row) for row in json.loads(LISTING)["symbols"]])
    exchange.urls["api"]["private"] = f"{server.base}/api/v3"
    if server.ca:
        exchange.cafile = server.ca
    taken = []
    try:
        gc.freeze()
        for number in range(count):
            started = time.monotonic_ns()
            order = await exchange.create_order(
                "BTC/USDT", "limit", "buy", 0.0125, 50000.1, {"newClientOrderId": f"b{number}"}
            )
            taken.append(time.monotonic_ns() - started)
            if order["clientOrderId"] != f"b{number}" or order["status"] != "open":
                raise RuntimeError("ccxt got the wrong answer")
    finally:
        await exchange.close()
    return taken


CLIENTS: dict[str, Callable[[Server, int], Awaitable[list[int]]]] = {
    "engine": _engine,
    "aiohttp, bare": _aiohttp,
    "ccxt create_order": _ccxt,
}


def signed_body(client_id: str, symbol: str = "BTCUSDT", price: str = PRICE) -> bytes:
    """Return an order as whoever uses a bare client signs it: the standard library, nothing else."""
    query = urlencode(
        {
            "symbol": symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": QTY,
            "price": price, "newClientOrderId": client_id, "newOrderRespType": "RESULT",
            "recvWindow": 5000, "timestamp": time.time_ns() // 1_000_000,
        }
    )  # fmt: skip
    signature = hmac.digest(SECRET.encode(), query.encode(), "sha256").hex()
    return f"{query}&signature={signature}".encode()


def _child(options: argparse.Namespace) -> int:
    """Run one Python client in this process and print its samples' file."""
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})

    async def run() -> list[int]:
        poll = BusyPoll(asyncio.get_running_loop(), SystemClock(), lambda: 0)
        poll.start()
        try:
            return await CLIENTS[options.child](Server(options.port, options.ca), options.count)
        finally:
            poll.stop()

    taken = uvloop.run(run())
    np.array(taken, dtype=np.int64).tofile(options.samples)
    return 0


# -------------------------------------------------------------------------------------------- driving


@contextlib.contextmanager
def _peer(
    folder: Path, cpu: int, certificate: tuple[str, str] | None
) -> Iterator[tuple[int, Callable[[], int]]]:
    """Run the server; gives its port, and what stops it and returns how many orders it answered."""
    port_file = folder / "port"
    port_file.unlink(missing_ok=True)
    process = subprocess.Popen(
        [str(folder / "http_peer"), str(port_file), *(certificate or ())],
        stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
    )  # fmt: skip

    def stop() -> int:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=5)
        return int(out or -1)

    try:
        yield port_of(process, port_file), stop
    finally:
        process.kill()
        process.communicate()


def _measure(
    folder: Path, name: str, options: argparse.Namespace, tls: tuple[str, str, str] | None
) -> list[int]:
    """Run one client once against a fresh server; return its counted samples (ns)."""
    cores = sorted(os.sched_getaffinity(0))
    samples = folder / "samples"
    count = options.count + SKIP
    with _peer(folder, cores[0], tls[1:] if tls else None) as (port, stop):
        if name == "C, spinning":
            command = [str(folder / "http_floor"), str(port), str(request := folder / "request")]
            command += [str(count), str(samples)]
            body = signed_body("b1")
            head = (
                f"POST /api/v3/order HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-MBX-APIKEY: {KEY}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            request.write_bytes(head.encode() + body)
        else:
            command = [
                sys.executable, "-m", "bench.http_order", "--child", name, "--port", str(port), "--ca",
                tls[0] if tls else "", "--samples", str(samples), "--count", str(count),
                "--cpu", str(cores[-1] if len(cores) > 1 else -1),
            ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300,
            preexec_fn=lambda: os.sched_setaffinity(0, {cores[-1]}),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(
                f"{name}: {(done.stderr.strip().splitlines() or [f'exit {done.returncode}'])[-1]}"
            )
        answered = stop()
    if answered != count:
        raise RuntimeError(f"{name}: sent {count} orders, the server answered {answered}")
    result: list[int] = np.fromfile(samples, dtype=np.int64)[SKIP:].tolist()
    return result


def rows_of(samples: list[list[int]]) -> dict[str, int]:
    """Return the percentiles of the quietest round (lowest p50), ns, and the median p50 over all rounds.

    Whoever else uses the machine's caches only ever adds; the clients take turns, so each has its chances.
    """
    rounds = sorted((np.array(each) for each in samples), key=np.median)
    quietest = rounds[0]
    shares = (("p10", 10), ("p50", 50), ("p99", 99), ("p99.9", 99.9))
    row = {name: round(float(np.percentile(quietest, share))) for name, share in shares}
    usual = round(statistics.median(float(np.median(each)) for each in rounds))
    return {"min": int(quietest.min()), **row, "max": int(quietest.max()), "usual_p50": usual}


def _build(folder: Path) -> bool:
    """Compile server and floor; return whether the server speaks TLS."""
    flags = ["gcc", "-O2"]
    subprocess.run([*flags, "-o", str(folder / "http_floor"), str(NATIVE / "http_floor.c")], check=True)
    server = ["-o", str(folder / "http_peer"), str(NATIVE / "http_peer.c")]
    tls = ["-DWITH_TLS", "-l:libssl.so.3", "-l:libcrypto.so.3"]
    if subprocess.run([*flags, *server, *tls], capture_output=True).returncode == 0:
        return True
    subprocess.run([*flags, *server], check=True)
    return False


def _certificate(folder: Path) -> tuple[str, str, str]:
    """Return files with an authority, a certificate for loopback, and its key."""
    import trustme

    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    files = tuple(str(folder / name) for name in ("ca.pem", "chain.pem", "key.pem"))
    authority.cert_pem.write_to_path(files[0])
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(files[1], append=True)
    leaf.private_key_pem.write_to_path(files[2])
    return files[0], files[1], files[2]


def _run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    speaks_tls = _build(folder)
    installed = {"engine": "engine", "aiohttp, bare": "aiohttp", "ccxt create_order": "ccxt"}
    names = [name for name in CLIENTS if importlib.util.find_spec(installed[name])]
    result: dict[str, Any] = {"machine": str(interruptions())}
    for scheme in ("plain", "tls"):
        if scheme == "tls" and (not speaks_tls or not importlib.util.find_spec("trustme")):
            result["tls"] = {"skipped": "needs libssl.so.3 to link against, and trustme"}
            continue
        tls = _certificate(folder) if scheme == "tls" else None
        clients = names if tls else [*names, "C, spinning"]
        samples: dict[str, list[list[int]]] = {name: [] for name in clients}
        for _ in range(options.rounds):
            for name in clients:
                samples[name].append(_measure(folder, name, options, tls))
        rows = {name: rows_of(each) for name, each in samples.items()}
        result[scheme] = {"round_trip_ns": rows, **{f"{key}_ratios": _ratios(rows, key) for key in RATIOS}}
    return result


def _ratios(rows: dict[str, dict[str, int]], key: str) -> dict[str, float]:
    """Return how much longer the others take than the engine, and the engine than the one in C."""
    ours = rows["engine"][key]
    ratios = {name: round(row[key] / ours, 2) for name, row in rows.items() if name != "engine"}
    if "C, spinning" in rows:
        ratios["C, spinning"] = round(ours / rows["C, spinning"][key], 2)
    return ratios


def main(argv: list[str]) -> int:
    """Run; 1 when an answer or a count was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bench http-order", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--count", type=int, default=2_000, help="orders of each run")
    parser.add_argument("--rounds", type=int, default=9, help="of which the quietest counts")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", choices=tuple(CLIENTS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ca", default="", help=argparse.SUPPRESS)
    parser.add_argument("--samples", help=argparse.SUPPRESS)
    parser.add_argument("--cpu", type=int, default=-1, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        return _child(options)
    if options.small:
        options.count, options.rounds = 300, 1
    with tempfile.TemporaryDirectory(prefix="tecore-bench-") as temporary:
        try:
            result = _run(Path(temporary), options)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"this benchmark needs gcc for its server ({error})", file=sys.stderr)
            return 1
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(result))
    else:
        _show(result)
    return 0


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(result.pop("machine"))
    for scheme, part in result.items():
        if "skipped" in part:
            console.print(f"{scheme}: skipped: {part['skipped']}")
            continue
        keys = ("min", "p10", "p50", "p99", "p99.9", "max", "usual_p50")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in (f"order round trip, {scheme}, us", *keys[:-1], "usual p50", "x engine p10", "p50"):
            table.add_column(name, justify="left" if name.startswith("order") else "right")
        for name, row in part["round_trip_ns"].items():
            times = [part[f"{key}_ratios"].get(name) for key in RATIOS]
            verdicts = [
                "" if each is None else f"1/{each}" if name[0] == "C" else f"{each}" for each in times
            ]
            table.add_row(name, *(f"{row[key] / 1000:.1f}" for key in keys), *verdicts)
        console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
