"""The whole engine against the real simulated exchange process, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientSession

from engine import config as configuration
from engine.supervisor.engine import Engine
from engine.supervisor.trading import TradingDesk
from engine.supervisor.venue import VenueProduct
from engine.telemetry.log import EventLog

ROOT = Path(__file__).resolve().parents[2]
SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


class Rig:
    """An engine, its log, and the exchange's admin address."""

    def __init__(self, engine: Engine, log: io.StringIO, http: ClientSession, name: str = "binance") -> None:
        self.engine = engine
        self.name = name
        self._log = log
        self._http = http

    @property
    def admin(self) -> str:
        assert self.engine.sim is not None
        return self.engine.sim.admin

    def venue(self, universal: str) -> VenueProduct:
        return self.engine.find(universal)

    def desk(self, universal: str) -> TradingDesk:
        venue = self.venue(universal)
        return next(desk for desk in self.engine.desks if desk.market is venue)

    async def fault(self, name: str, universal: str = "", **body: Any) -> None:
        """Arm a fault, for one instrument or for all."""
        if universal:
            venue = self.venue(universal)
            body = {"product": venue.product.value, **body}
            if body.pop("symbol", True):
                body["symbol"] = venue.instruments[universal].symbol
        async with self._http.post(f"{self.admin}/fault", json={"name": name, **body}) as answer:
            assert answer.status == 200, await answer.text()

    async def clear(self) -> None:
        """Take back every fault."""
        async with self._http.delete(f"{self.admin}/fault") as answer:
            assert answer.status == 200, await answer.text()

    async def happened(self) -> dict[str, int]:
        async with self._http.get(f"{self.admin}/faults") as answer:
            return dict((await answer.json())["happened"])

    async def truth(self, what: str, **query: str) -> Any:
        async with self._http.get(
            f"{self.admin}/truth/{what}", params={"venue": self.name, **query}
        ) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def order_truth(self, client_order_id: str) -> dict[str, Any] | None:
        """Return the exchange's own view of an order of ours; None when it never had it."""
        rows = await self.truth("orders", account="alice")
        found = [row for row in rows if row["client_order_id"] == client_order_id]
        assert len(found) <= 1, "an order was placed twice"
        return found[0] if found else None

    def logged(self, event: str) -> list[dict[str, Any]]:
        self.engine.log.flush()
        rows = [json.loads(line) for line in self._log.getvalue().splitlines() if line.startswith("{")]
        return [row for row in rows if row["event"] == event]


async def until(done: Callable[[], Any], seconds: float = 20.0, what: object = "") -> None:
    """Poll with a deadline; ``what`` is shown when it passes."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not done():
        assert loop.time() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def rig(
    tmp_path: Path,
    symbols: tuple[str, ...] = (SPOT, PERP),
    rate: int = 100,
    tls: bool = False,
    venue_name: str = "binance",
    sim: Mapping[str, Any] | None = None,
    **section: Any,
) -> AsyncIterator[Rig]:
    """Run an engine on a fresh exchange, books LIVE and desks ready.

    ``section`` are keys of the venue's own section, ``sim`` those of the simulated exchange's, such as
    ``endpoints`` of one that runs already.
    """
    config = configuration.load(ROOT / "engine.toml")
    venue = config.venues.get(venue_name, configuration.VenueSection())
    venue = msgspec.structs.replace(venue, **section)
    instruments = msgspec.structs.replace(
        venue.instruments,
        spot=tuple(each for each in symbols if ":" not in each),
        perp=tuple(each for each in symbols if ":" in each),
    )
    products = tuple(word for word in ("spot", "perp") if getattr(instruments, word))
    config = msgspec.structs.replace(
        config,
        venues={venue_name: msgspec.structs.replace(venue, instruments=instruments, products=products)},
        engine=msgspec.structs.replace(config.engine, data_dir=str(tmp_path / "data"), control_socket=""),
        sim=msgspec.structs.replace(
            config.sim,
            **{"rate": rate, "config": str(ROOT / "config" / "sim.toml"), "tls": tls, **(sim or {})},
        ),
        loop=msgspec.structs.replace(config.loop, gc_freeze=False),
    )
    stream = io.StringIO()
    log = EventLog("info", "json", stream)
    engine = Engine(config, log, with_control=False)
    try:
        await engine.start()
        assert await engine.wait_ready(20.0), engine.status()
        await engine.desks_ready()
        await until(lambda: all(desk.account.is_subscribed for desk in engine.desks))
        await until(lambda: all(desk.ws is None or desk.ws.is_ready for desk in engine.desks))
        async with ClientSession() as http:
            yield Rig(engine, stream, http, venue_name)
    finally:
        await engine.stop()
        log.close()
