"""Puts the simulated exchanges on loopback: one HTTP and the WebSocket servers per product, and admin."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web
from websockets.asyncio.server import Server, serve

from engine.sim import certificates
from engine.sim.admin import Admin
from engine.sim.clock import SimClock
from engine.sim.config import SimConfig
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.flow import CHANGES_MEAN, Flow
from engine.sim.gone import Front
from engine.sim.ports import ProductWire, Settings, VenueWire

WIRES = ("binance", "bitmart", "bybit", "kucoin", "okx")
"""Venues that the exchange speaks; each has a ``wire`` module with ``build``, imported when asked for."""

GC_THRESHOLDS = (20_000, 20, 100)
"""Books and histories hold hundreds of thousands of objects and no cycles: looking through them is rare."""
STOP_S = 3.0
WATCH_S = 0.02

Builder = Callable[[Exchange, FaultBoard, SimClock, Settings], VenueWire]


def _builder(venue: str) -> Builder:
    """Return the function that puts an exchange on that venue's wire."""
    build: Builder = importlib.import_module(f"engine.sim.{venue}.wire").build
    return build


class SimServer:
    """Every venue of one run.

    Args:
        config: markets and accounts.
        rate: depth diffs per second of each venue product, in total over its markets.
        host: a loopback address. port_base: first port, or 0 for any free ones.
        funding_scale: how many times faster than the calendar funding settles.
        rates: other rates than ``rate``, by venue. changes: levels that a diff changes on average.
    """

    def __init__(
        self,
        config: SimConfig,
        *,
        seed: int,
        rate: float,
        settings: Settings,
        host: str = "127.0.0.1",
        port_base: int = 0,
        funding_scale: int = 1,
        rates: Mapping[str, float] | None = None,
        changes: int = CHANGES_MEAN,
    ) -> None:
        self._settings = settings
        self._host = host
        self._next_port = port_base
        self.faults = FaultBoard(seed)
        self.clock = SimClock()
        self.exchanges: dict[str, Exchange] = {}
        self.flows: list[Flow] = []
        self._wires: dict[str, VenueWire] = {}
        for number, venue in enumerate(config.specs):
            pace = (rates or {}).get(venue, rate)
            exchange = Exchange(venue, config.specs[venue], config.accounts[venue], self.clock)
            self.exchanges[venue] = exchange
            for product in dict.fromkeys(spec.product for spec in config.specs[venue]):
                self.flows.append(Flow(exchange, product, seed + 31 * number, pace, funding_scale, changes))
            self._wires[venue] = _builder(venue)(exchange, self.faults, self.clock, settings)
        self._runners: list[web.AppRunner] = []
        self._servers: list[Server] = []
        self._fronts: list[tuple[Front, list[Server]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._tls: ssl.SSLContext | None = None
        self.addresses: dict[str, object] = {}

    async def start(self, ca_file: Path | None = None) -> None:
        """Listen and start the flow; afterwards ``addresses`` is what the endpoints file holds."""
        if self._settings.tls:
            assert ca_file is not None
            self._tls = certificates.server_context(ca_file)
            self.addresses["ca"] = str(ca_file)
        for venue, wire in self._wires.items():
            self.addresses[venue] = {
                product: await self._serve(product_wire, Front(self.faults, venue, product))
                for product, product_wire in wire.products.items()
            }
        admin = Admin(self.exchanges, self.faults, self.flows).application()
        self.addresses["admin"] = f"http://{await self._http(admin, None)}"
        for wire in self._wires.values():
            for product_wire in wire.products.values():
                await product_wire.start()
        self._tasks = [asyncio.create_task(self._pump(flow), name="flow") for flow in self.flows]
        self._tasks.append(asyncio.create_task(self._watch(), name="fronts"))
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    async def _serve(self, product: ProductWire, front: Front) -> Mapping[str, str]:
        secure = "s" if self._tls else ""
        product.http.middlewares.insert(0, front.middleware())
        http = f"http{secure}://{await self._http(product.http, self._tls)}"
        bases = {}
        served: list[Server] = []
        for name, server in product.ws_servers.items():
            running = await serve(
                server.handler, self._host, self._port(), ssl=self._tls,
                process_request=front.process_request(server.process_request), **server.kwargs,
            )  # fmt: skip
            self._servers.append(running)
            served.append(running)
            port = next(iter(running.sockets)).getsockname()[1]
            bases[name] = f"ws{secure}://{self._host}:{port}"
        self._fronts.append((front, served))
        return product.endpoints(http, bases)

    async def _http(self, app: web.Application, tls: ssl.SSLContext | None) -> str:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, self._host, self._port(), ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        return f"{self._host}:{port}"

    def _port(self) -> int:
        port = self._next_port
        if port:
            self._next_port += 1
        return port

    async def _pump(self, flow: Flow) -> None:
        while True:
            await asyncio.sleep(flow.advance())

    async def _watch(self) -> None:
        while True:
            for front, servers in self._fronts:
                front.watch(servers)
            await asyncio.sleep(WATCH_S)

    async def failed(self) -> None:
        """Return when a background task has ended, which it should not; raises its error."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Stop everything within a few seconds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for wire in self._wires.values():
            for product in wire.products.values():
                await product.stop()
        for server in self._servers:
            server.close(close_connections=True)
        waits = [server.wait_closed() for server in self._servers]
        waits += [runner.cleanup() for runner in self._runners]
        _, late = await asyncio.wait([asyncio.ensure_future(wait) for wait in waits], timeout=STOP_S)
        for task in late:
            task.cancel()
        await asyncio.sleep(0.01)  # what was closed now, or accepted last, leaves the loop in its next turns


def write_endpoints(path: Path, addresses: Mapping[str, object]) -> None:
    """Write the endpoints file in one step, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(addresses, indent=1) + "\n")
    temporary.replace(path)
