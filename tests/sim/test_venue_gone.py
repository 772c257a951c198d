"""A venue that is gone: connections are cut, everything new is refused until it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from engine.sim.config import load
from engine.sim.ports import Settings
from engine.sim.server import SimServer

ROOT = Path(__file__).resolve().parents[2]
VENUES = ["binance", "bitmart"]
TIME = {"binance": "/api/v3/time", "bitmart": "/system/time"}
STREAM = {"binance": "/ws/btcusdt@trade", "bitmart": ""}


@dataclass
class Doors:
    """A running server and a client."""

    server: SimServer
    http: aiohttp.ClientSession

    def url(self, venue: str, kind: str) -> str:
        products = self.server.addresses[venue]
        assert isinstance(products, dict)
        return str(products["spot"][kind]) + (STREAM[venue] if kind == "ws_public" else "")

    async def status(self, venue: str) -> int:
        async with self.http.get(self.url(venue, "rest") + TIME[venue]) as answer:
            text = await answer.text()
            assert answer.content_type == ("application/json" if answer.status == 200 else "text/html"), text
            return answer.status


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    server = SimServer(load(ROOT / "config" / "sim.toml", VENUES), seed=3, rate=5, settings=Settings())
    await server.start()
    async with aiohttp.ClientSession() as http:
        yield Doors(server, http)
    await server.stop()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_dies_and_comes_back(doors: Doors, venue: str) -> None:
    other = next(each for each in VENUES if each != venue)
    public = doors.url(venue, "ws_public")
    socket = await connect(public, compression=None)
    neighbour = await connect(doors.url(other, "ws_public"), compression=None)
    fault = doors.server.faults.arm("venue_gone", venue=venue, count=None)
    await asyncio.wait_for(socket.wait_closed(), 10)
    assert socket.close_code == 1006
    for _ in range(3):
        assert await doors.status(venue) == 503
        with pytest.raises(InvalidStatus, match="503"):
            await connect(public, compression=None)
    assert await doors.status(other) == 200
    await asyncio.wait_for(await neighbour.ping(), 10)
    await neighbour.close()
    assert doors.server.faults.happened["venue_gone"] == 2, "once per product"
    doors.server.faults.clear(fault.number)
    assert await doors.status(venue) == 200
    async with connect(public, compression=None) as back:
        await asyncio.wait_for(await back.ping(), 10)


async def test_a_venue_may_refuse_without_a_word(doors: Doors) -> None:
    doors.server.faults.arm("venue_gone", venue="bitmart", count=None, mode="cut")
    with pytest.raises(aiohttp.ClientConnectionError):
        await doors.status("bitmart")
    with pytest.raises((InvalidHandshake, OSError)):
        await connect(doors.url("bitmart", "ws_public"), compression=None)
