"""Drill: one of two venues dies and does not come back; the other must not notice, and nobody may forget."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession

from engine import config as configuration
from engine.cli.output import print_status
from engine.model.market import Side
from engine.model.orders import OrderState
from engine.router.order import Order
from engine.supervisor.engine import Engine
from engine.supervisor.trading import TradingDesk
from engine.supervisor.venue import VenueProduct
from engine.telemetry.log import EventLog
from tests.sim.engine_rig import PERP, ROOT, SPOT, Rig, until

pytestmark = pytest.mark.timeout(180)

GONE, STAYS = "bitmart", "binance"
STRANDED_MS = 1_500


class Two:
    """A running engine on two simulated venues, spot and perpetual of each."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.engine = rig.engine
        self.seen_down: list[str] = []
        self._last_bid = 0

    def market(self, name: str, universal: str) -> VenueProduct:
        return self.engine.find(universal, name)

    def desk(self, name: str, universal: str) -> TradingDesk:
        market = self.market(name, universal)
        return next(desk for desk in self.engine.desks if desk.market is market)

    def live(self, name: str) -> list[bool]:
        return [
            book.is_live
            for venue in self.engine.venues
            if venue.venue == name
            for book in venue.books.values()
        ]

    def view(self, name: str, universal: str) -> dict[str, Any]:
        product = self.market(name, universal).product.value
        rows: list[dict[str, Any]] = self.engine.status()["trading"]
        return next(row for row in rows if (row["venue"], row["product"]) == (name, product))

    def bid(self, name: str, universal: str, percent: int = 97) -> Order:
        """Place a small bid at so many percent of the best one."""
        market, desk = self.market(name, universal), self.desk(name, universal)
        instrument, book = market.instruments[universal], market.books[universal]
        if book.is_live:
            self._last_bid = book.touch()[0]
        price = self._last_bid * percent // 100
        text = f"{instrument.price(price - price % instrument.tick_size):f}"
        return desk.place(universal, Side.BUY, "0.01", text, transport="rest")

    async def kill(self, mode: str) -> None:
        """End a venue: what is connected is cut, and what knocks gets a page or is cut too."""
        await self.rig.fault("venue_gone", venue=GONE, count=None, params={"mode": mode})

    async def revive(self) -> None:
        async with self.rig._http.delete(f"{self.rig.admin}/fault") as answer:
            assert answer.status == 200, await answer.text()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Note every moment in which a book of the venue that stays is not LIVE."""

        async def watch() -> None:
            while True:
                if not all(self.live(STAYS)):
                    self.seen_down.append(str(self.engine.status()["venues"]))
                await asyncio.sleep(0.01)

        task = asyncio.get_running_loop().create_task(watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def two_venues(tmp_path: Path) -> AsyncIterator[Two]:
    config = configuration.load(ROOT / "engine.toml")
    section = configuration.VenueSection(
        instruments=configuration.InstrumentsSection(spot=(SPOT,), perp=(PERP,))
    )
    config = msgspec.structs.replace(
        config,
        venues={GONE: section, STAYS: section},
        engine=msgspec.structs.replace(config.engine, data_dir=str(tmp_path / "data"), control_socket=""),
        trading=msgspec.structs.replace(config.trading, stranded_after_ms=STRANDED_MS),
        sim=msgspec.structs.replace(config.sim, rate=100, config=str(ROOT / "config" / "sim.toml")),
        loop=msgspec.structs.replace(config.loop, gc_freeze=False),
    )
    stream = io.StringIO()
    log = EventLog("info", "json", stream)
    engine = Engine(config, log, with_control=False)
    try:
        await engine.start()
        assert await engine.wait_ready(30.0), engine.status()
        await engine.desks_ready()
        await until(lambda: all(desk.account.is_subscribed for desk in engine.desks), what=engine.status())
        async with ClientSession() as http:
            yield Two(Rig(engine, stream, http, GONE))
    finally:
        await engine.stop()
        log.close()


async def prepared(two: Two) -> list[Order]:
    """Return one order that rests on each product of the venue that will go, with a position besides."""
    taker = two.bid(GONE, PERP, 103)
    await reached(taker, OrderState.FILLED)
    await until(lambda: PERP in two.desk(GONE, PERP).positions, what=two.desk(GONE, PERP).positions)
    resting = [two.bid(GONE, universal) for universal in (SPOT, PERP)]
    for order in resting:
        await reached(order, OrderState.WORKING)
    return resting


async def reached(order: Order, state: OrderState) -> None:
    await until(lambda: order.state is state, what=order)


async def lose_orders(two: Two) -> list[Order]:
    """Place orders at the venue that has gone until its circuit opens; return those whose fate is unknown."""
    lost: list[Order] = []
    async with asyncio.timeout(30):
        while not two.desk(GONE, SPOT).router.breaker.is_open:
            order = two.bid(GONE, SPOT)
            if order.state is OrderState.NOT_SENT:  # no connection at this moment: nothing left
                await asyncio.sleep(0.01)
                continue
            lost.append(order)
            await reached(order, OrderState.IN_DOUBT)
    return lost


async def trade_elsewhere(two: Two) -> None:
    """Place and cancel an order on each product of the venue that stays."""
    for universal in (SPOT, PERP):
        order = two.bid(STAYS, universal)
        await reached(order, OrderState.WORKING)
        two.desk(STAYS, universal).router.cancel(order.client_order_id)
        await reached(order, OrderState.CANCELLED)


@pytest.mark.parametrize("mode", ["page", "cut"])
async def test_a_venue_that_dies_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    async with two_venues(tmp_path) as two:
        resting = await prepared(two)
        position = two.desk(GONE, PERP).positions[PERP].position_qty
        assert two.view(GONE, PERP)["stranded"] is None
        async with two.watching():
            await two.kill(mode)
            await until(lambda: not any(two.live(GONE)), what=two.engine.status())
            lost = await lose_orders(two)
            assert two.view(GONE, SPOT)["circuit_open"]
            held_back = two.bid(GONE, SPOT)
            assert held_back.state is OrderState.NOT_SENT
            assert "circuit is open" in held_back.reason
            await trade_elsewhere(two)
            await until(lambda: two.view(GONE, SPOT)["stranded"] and two.view(GONE, PERP)["stranded"])
            perp, spot = two.view(GONE, PERP)["stranded"], two.view(GONE, SPOT)["stranded"]
            assert perp["silent_s"] >= STRANDED_MS / 1000
            assert Decimal(perp["positions"][PERP]["qty"]) == position
            assert [row["client_order_id"] for row in perp["orders"]] == [resting[1].client_order_id]
            assert {row["client_order_id"] for row in spot["orders"]} == {
                order.client_order_id for order in (resting[0], *lost)
            }
            assert Decimal(spot["balances"]["USDT"]["free"]) > 0
            ages = [row["age_s"] for row in (*perp["positions"].values(), *perp["orders"])]
            await until(  # and they only get older
                lambda: two.view(GONE, PERP)["stranded"]["positions"][PERP]["age_s"] >= ages[0] + 3
            )
            assert two.view(GONE, PERP)["stranded"]["orders"][0]["age_s"] > ages[1]
            assert not any(two.live(GONE))
            await trade_elsewhere(two)
            for universal in (SPOT, PERP):
                view = two.view(STAYS, universal)
                assert (view["stranded"], view["account_silent_s"], view["circuit_open"]) == (None, 0, False)
        assert two.seen_down == []
        health = [row for row in two.engine.status()["venues"] if row["venue"] == STAYS]
        assert [(row["reconnects"], row["gaps"], row["state"]) for row in health] == [(0, 0, "up")] * 2
        told = two.rig.logged("account.stranded")
        assert sorted((row["venue"], row["product"]) for row in told) == [(GONE, "perp"), (GONE, "spot")]
        print_status(two.engine.status())
        shown = capsys.readouterr().out
        assert f"STRANDED {GONE} perp: nothing heard for" in shown
        assert f"position {PERP}: {position:f} at" in shown
        assert f"order {resting[1].client_order_id} {PERP}: buy 0.01 left, working" in shown


async def test_a_venue_that_comes_back_is_not_stranded_any_more(tmp_path: Path) -> None:
    async with two_venues(tmp_path) as two:
        resting = await prepared(two)
        await two.kill("page")
        await until(lambda: two.view(GONE, PERP)["stranded"], what=two.view(GONE, PERP))
        await two.revive()
        await until(lambda: two.view(GONE, PERP)["stranded"] is None, 60, two.view(GONE, PERP))
        await until(lambda: all(two.live(GONE)), 60, two.engine.status())
        await until(lambda: two.view(GONE, PERP)["account_silent_s"] == 0, 60, two.view(GONE, PERP))
        assert "perp" in {row["product"] for row in two.rig.logged("account.reached")}
        assert all(order.state is OrderState.WORKING for order in resting)
        two.desk(GONE, PERP).router.cancel(resting[1].client_order_id)
        await reached(resting[1], OrderState.CANCELLED)


async def test_a_stream_alone_that_is_down_strands_nothing(tmp_path: Path) -> None:
    """The account is asked for over REST while its stream is down: what is told there is not stranded."""
    async with two_venues(tmp_path) as two:
        await prepared(two)
        desk = two.desk(GONE, PERP)
        await desk.account.stop()
        desk.account.is_subscribed = False
        for _ in range(10):  # each answer makes everything new
            told = desk.reach._heard_ns
            await until(lambda told=told: desk.reach._heard_ns > told, what=two.view(GONE, PERP))  # type: ignore[misc]
            desk.reach.judge()
            assert two.view(GONE, PERP)["stranded"] is None
        assert two.rig.logged("account.stranded") == []
