"""How long does it take to place and cancel a resting order, and how much of that is the engine's own?

Places limit orders far from the touch (post-only, never marketable) and cancels each; checks that every
one was acknowledged working and then cancelled, and that the venue's own book of orders agrees. Does not
measure a network: the simulated exchange answers on loopback, in Python, and is most of the round trip.
Named neither an exchange nor a pair, it goes through every venue, product and transport that takes orders,
within each venue's limits, and prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench._processes import separate
from engine import config as configuration
from engine.config import Config, SimSection, VenueSection
from engine.model.errors import ConfigError, EngineError
from engine.model.instrument import Product
from engine.model.market import Side
from engine.model.orders import OrderState
from engine.router.order import Change, Order
from engine.supervisor import wiring
from engine.supervisor.engine import Engine, narrowed
from engine.supervisor.trading import TradingDesk
from engine.telemetry.histogram import Histogram, summary
from engine.telemetry.log import EventLog

DISTANCE = Decimal("0.03")
"""How far below the best bid orders rest: outside any trade, inside every venue's price band."""
ORDER_TIMEOUT_S = 5.0
ROOM = 2
"""What an order and its cancel count at most in a window that counts requests."""
OWN_STAGES = ("decided_to_written", "ack_to_updated")
_PERCENTILES = ("min", "p50", "p90", "p99", "p99.9", "max")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench place-cancel",
        description="Place and cancel resting orders; print success rates and latencies.",
        epilog="example: python -m bench place-cancel --pair BTC/USDT:USDT --count 1000 --transport ws",
    )
    parser.add_argument("--exchange", help="one venue (default: all, or binance if --pair is given)")
    parser.add_argument("--pair", help="one pair (default: BTC of every product)")
    parser.add_argument(
        "--all", action="store_true", help="every venue, product and transport, also with --exchange"
    )
    parser.add_argument("--count", type=int, help="orders of each transport (default 1000; of all: 100)")
    parser.add_argument("--transport", choices=("rest", "ws"), help="default: rest (of all: both)")
    parser.add_argument(
        "--config", help="configuration (default: engine.toml's venue on the simulated exchange)"
    )
    parser.add_argument("--endpoints", help="endpoints file of a simulated exchange that runs already")
    parser.add_argument(
        "--busy-poll", action="store_true", help="spin on the selector instead of sleeping in it"
    )
    parser.add_argument(
        "--live-exchange", action="store_true",
        help="send the orders to the REAL exchange of --config (it must consent too)",
    )  # fmt: skip
    parser.add_argument("--small", action="store_true", help="20 orders, of all 3, for smoke tests")
    parser.add_argument("--json", action="store_true")
    return parser


def main(argv: list[str]) -> int:
    """Run; 0 when every order was placed and cancelled."""
    options = _parser().parse_args(argv)
    is_all = options.all or (options.exchange is None and options.pair is None)
    if options.count is None:
        options.count = 100 if is_all else 1000
    if options.small:
        options.count = 3 if is_all else 20
    if not 1 <= options.count <= 1_000_000:
        print("--count lies between 1 and 1000000", file=sys.stderr)
        return 64
    if is_all and (options.pair or options.live_exchange or options.endpoints):
        print("--all takes no --pair, --live-exchange or --endpoints", file=sys.stderr)
        return 64
    try:
        results = [result for job in _jobs(options, is_all) for result in uvloop.run(_run(job))]
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 78 if isinstance(error, ConfigError) else 1
    if options.json:
        print(json.dumps(results if is_all else results[0]))
    elif is_all:
        _show_all(results)
    else:
        _show(results[0])
    whole = all(result["placed"] == result["cancelled"] == options.count for result in results)
    return 0 if whole else 1


def _jobs(options: argparse.Namespace, is_all: bool) -> list[argparse.Namespace]:
    """Return what to run, one engine each: ``pairs`` and ``transports`` of one ``exchange``."""
    if not is_all:
        single = {"exchange": options.exchange or "binance", "pairs": (options.pair or "BTC/USDT",)}
        return [
            argparse.Namespace(**{**vars(options), **single, "transports": (options.transport or "rest",)})
        ]
    offers = wiring.capabilities()
    names = dict.fromkeys(name for name, _ in offers)
    if options.exchange is not None and options.exchange not in names:
        raise ConfigError(f"no venue {options.exchange!r}; there are: {', '.join(names)}")
    jobs = []
    for exchange in names if options.exchange is None else (options.exchange,):
        for product, pair in ((Product.SPOT, "BTC/USDT"), (Product.PERP, "BTC/USDT:USDT")):
            if (exchange, product) not in offers:
                continue
            offered = offers[exchange, product][0].order_entry
            transports = tuple(each for each in offered if options.transport in (None, each))
            job = {"exchange": exchange, "pairs": (pair,), "transports": transports}
            if transports:
                jobs.append(argparse.Namespace(**{**vars(options), **job}))
    return jobs


def _configuration(options: argparse.Namespace) -> Config:
    config = configuration.load(Path(options.config or "engine.toml"))
    section = config.venues.get(options.exchange)
    if section is None:
        raise ConfigError(f"no venue {options.exchange!r} is configured")
    if options.live_exchange:
        if section.environment != "live" or not config.trading.live_orders:
            raise ConfigError(
                'a real exchange needs environment = "live" and [trading] live_orders = true as well'
            )
    else:
        section = msgspec.structs.replace(section, environment="sim")
    sim: SimSection = msgspec.structs.replace(config.sim, endpoints=options.endpoints or "", rate=100)
    loop = config.loop
    if options.busy_poll:
        loop = msgspec.structs.replace(loop, busy_poll="always")
    venues: dict[str, VenueSection] = {options.exchange: section}
    config = msgspec.structs.replace(config, venues=venues, sim=sim, loop=loop)
    return narrowed(config, options.pairs, options.exchange)


async def _run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run one engine, and on it one transport after the other."""
    log = EventLog("error", "auto")
    engine = Engine(_configuration(options), log, with_control=False)
    (pair,) = options.pairs
    try:
        await engine.start()
        if not await engine.wait_ready(30.0):
            raise ConfigError(f"{options.exchange} {pair}: the book did not become LIVE")
        await engine.desks_ready()
        desk = engine.desks[0]
        if engine.sim is not None and engine.sim.pid is not None:
            separate(engine.sim.pid)
        results = []
        for transport in options.transports:
            await _wait_socket(desk, transport)
            bench = _Bench(desk, pair, transport)
            await bench.go(options.count, is_quiet=options.json or not sys.stderr.isatty())
            result = bench.result()
            if engine.sim is not None and engine.sim.admin:
                result["truth"] = _truth(engine.sim.admin, options.exchange, bench.ids)
                if result["truth"]["open"] or result["truth"]["cancelled"] != result["cancelled"]:
                    raise ConfigError(f"the exchange's own orders disagree: {result['truth']}")
            results.append(result)
        return results
    finally:
        await engine.stop()
        log.close()


async def _wait_socket(desk: TradingDesk, transport: str) -> None:
    deadline = asyncio.get_running_loop().time() + 10.0
    while transport == "ws" and (desk.ws is None or not desk.ws.is_ready):
        if asyncio.get_running_loop().time() > deadline:
            raise ConfigError("the order socket did not come up")
        await asyncio.sleep(0.02)


def _truth(admin: str, exchange: str, ids: set[str]) -> dict[str, int]:
    """Ask the simulated exchange what became of our orders."""
    url = f"{admin}/truth/orders?venue={exchange}&account=alice"
    with urllib.request.urlopen(url, timeout=10) as answer:
        rows = [row for row in json.load(answer) if row["client_order_id"] in ids]
    return {
        "orders": len(rows),
        "cancelled": sum(row["status"] == "CANCELED" for row in rows),
        "open": sum(row["status"] in ("NEW", "PARTIALLY_FILLED") for row in rows),
    }


class _Bench:
    """Places one order after the other; the next goes out when the last is cancelled."""

    def __init__(self, desk: TradingDesk, pair: str, transport: str) -> None:
        self._desk = desk
        self._pair = pair
        self._transport = transport
        self._changed = asyncio.Event()
        self._clock = desk.router._clock
        self.ids: set[str] = set()
        self.placed = self.cancelled = 0
        self.place_ns, self.cancel_ns = Histogram(), Histogram()
        desk.router.listeners.append(self._on_change)

    def _on_change(self, order: Order, change: Change) -> None:
        self._changed.set()

    async def go(self, count: int, is_quiet: bool) -> None:
        with Progress(console=Console(stderr=True), disable=is_quiet, transient=True) as progress:
            task = progress.add_task("placing and cancelling", total=count)
            for number in range(count):
                await self._one()
                progress.update(task, completed=number)
                await self._respect_limits()

    async def _respect_limits(self) -> None:
        """Stay below the venue's limits, as a real run must: wait until one more pair of requests fits."""
        while (wait := self._room_in_ms()) > 0:
            await asyncio.sleep(wait / 1000)

    def _room_in_ms(self) -> int:
        """Return how long until every window has room for an order and its cancel.

        A tenth of the windows that count more than orders is left to data and account queries.
        """
        budget, clock = self._desk.market.budget, self._clock
        now_ms = (clock.utc_ns() + budget.offset_ns) // 1_000_000
        wait = budget.wait_ms(0)
        for window in budget._windows:
            window.roll(now_ms)
            spared = window.limit // 5 if window.is_weight else 0
            if window.count + min(ROOM, window.limit) > window.limit - spared:
                wait = max(wait, window.ends_ms - now_ms + 1)
        return wait

    async def _one(self) -> None:
        price = self._resting_price()
        qty = self._smallest(price)
        began = self._clock.mono_ns()
        order = self._desk.place(self._pair, Side.BUY, qty, price, post_only=True, transport=self._transport)
        self.ids.add(order.client_order_id)
        await self._until(order, lambda: order.state is not OrderState.PENDING_NEW)
        if order.state.value != "working":
            return
        self.place_ns.record(self._clock.mono_ns() - began)
        self.placed += 1
        began = self._clock.mono_ns()
        self._desk.router.cancel(order.client_order_id, self._transport)
        await self._until(order, lambda: order.state.is_final)
        if order.state.value == "cancelled":
            self.cancel_ns.record(self._clock.mono_ns() - began)
            self.cancelled += 1

    async def _until(self, order: Order, done: Any) -> None:
        deadline = asyncio.get_running_loop().time() + ORDER_TIMEOUT_S
        while not done() and asyncio.get_running_loop().time() < deadline:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), ORDER_TIMEOUT_S)
            except TimeoutError:
                return

    def _resting_price(self) -> str:
        instrument = self._desk.market.instrument(self._pair)
        bid = self._desk.market.books[self._pair].touch()[0]
        target = int(bid * (1 - DISTANCE))
        return f"{instrument.price(target - target % instrument.tick_size):f}"

    def _smallest(self, price: str) -> str:
        instrument = self._desk.market.instrument(self._pair)
        need = instrument.notional_min * 2 / Decimal(price)
        lots = max(instrument.qty_min, int(need.scaleb(instrument.qty_scale)) + 1)
        lots += -lots % instrument.lot_size
        return f"{instrument.qty(lots):f}"

    def result(self) -> dict[str, Any]:
        stages = self._desk.router.stats.view()["latency_ns"]
        return {
            "exchange": self._desk.adapter.venue,
            "pair": self._pair,
            "transport": self._transport,
            "count": len(self.ids),
            "placed": self.placed,
            "cancelled": self.cancelled,
            "place_ns": summary(self.place_ns),
            "cancel_ns": summary(self.cancel_ns),
            "stages_ns": {name: row for name, row in stages.items() if name.startswith(self._transport)},
        }


def _show_all(results: list[dict[str, Any]]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("microseconds", "transport", "orders", "placed", "cancelled"):
        table.add_column(name, justify="right" if name in ("orders", "placed", "cancelled") else "left")
    for name in ("place p50", "p99", "own p50", "p99", "cancel p50", "p99", "own p50", "p99"):
        table.add_column(name, justify="right")
    for result in results:
        count = result["count"]
        cells = [f"{100 * result[word] / count:.1f} %" for word in ("placed", "cancelled")]
        for action in ("place", "cancel"):
            row, own = result[f"{action}_ns"], _own(result, action)
            cells += [f"{each / 1000:.1f}" for each in (row["p50"], row["p99"], own["p50"], own["p99"])]
        table.add_row(f"{result['exchange']} {result['pair']}", result["transport"], str(count), *cells)
    console.print(table)
    console.print(f"own: decided to written, and ack to updated; load average {os.getloadavg()[0]:.1f}")


def _own(result: dict[str, Any], action: str) -> dict[str, int]:
    """Return the engine's own share of an action: its two stages, percentile by percentile."""
    rows = [result["stages_ns"].get(f"{result['transport']}.{action}.{stage}") for stage in OWN_STAGES]
    return {key: sum(row[key] for row in rows if row) for key in ("p50", "p99")}


def _show(result: dict[str, Any]) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    count = result["count"]
    console.print(
        f"{result['exchange']} {result['pair']} over {result['transport']}: {count} orders, "
        f"{100 * result['placed'] / count:.2f} % placed, {100 * result['cancelled'] / count:.2f} % cancelled"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("microseconds")
    for name in (*_PERCENTILES, "count"):
        table.add_column(name, justify="right")
    rows = [
        ("place, decided to updated", result["place_ns"]),
        ("cancel, decided to updated", result["cancel_ns"]),
    ]
    for name, row in result["stages_ns"].items():
        _, action, stage = name.split(".")
        mark = " (engine's own)" if stage in OWN_STAGES else ""
        rows.append((f"  {action}: {stage.replace('_', ' ')}{mark}", row))
    for name, row in rows:
        table.add_row(name, *[f"{row[key] / 1000:.1f}" for key in _PERCENTILES], str(row["count"]))
    console.print(table)
    if "truth" in result:
        console.print(f"the exchange's own account of it: {result['truth']}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
