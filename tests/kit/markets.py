"""Which markets the kit runs over: every venue product that has an adapter and a simulated exchange.

A venue joins by being in both tables; a test that leaves something out for it asks the capability matrix, and
the reason it gives is that of the matrix.

Most tests share one running engine per market (``shared``) and leave it as they found it; those that damage
what others need start one of their own (``running``). A test that fails takes its engine with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import OrderState, VenueError
from engine.router.order import Order
from engine.sim.server import WIRES
from engine.supervisor import wiring
from engine.supervisor.trading import TradingDesk
from engine.venues.base import Capabilities
from tests.sim.engine_rig import Rig, rig, until

FOLDER = Path(__file__).resolve().parent
LOOP = pytest.mark.asyncio(loop_scope="session")
"""Shared engines outlive a test, and so must the loop that they run on."""

UNIVERSALS = {Product.SPOT: ("BTC/USDT", "ETH/USDT"), Product.PERP: ("BTC/USDT:USDT", "ETH/USDT:USDT")}


@dataclass(frozen=True)
class Market:
    """One venue product under test."""

    venue: str
    product: Product
    offers: Capabilities
    streams: str = ""
    """Which public interface serves the market data, where the venue has two; "" is its default."""

    sim: tuple[tuple[str, str], ...] = ()
    """Keys of the simulated exchange's section, where it is not the one in the box."""

    def __str__(self) -> str:
        return f"{self.venue}-{self.product.value}" + (f"-{self.streams}" if self.streams else "")

    @property
    def universals(self) -> tuple[str, ...]:
        return UNIVERSALS[self.product]

    def need(self, offered: object, what: str) -> None:
        """Skip, citing the matrix, where the venue does not offer something."""
        if not offered:
            pytest.skip(f"capability matrix: {self} offers no {what}")


MARKETS = [
    Market(venue, product, offers)
    for (venue, product), (offers, _) in wiring.capabilities().items()
    if venue in WIRES
]
STREAMS = MARKETS + [
    Market(venue, product, offers[product], streams)
    for (venue, product), (_, made) in wiring.capabilities().items()
    for streams, offers in made.other_streams.items()
    if venue in WIRES
]
"""Market data alone: every public interface of every market."""
AMENDS = [market for market in MARKETS if market.offers.amend]
ENTRIES = [(market, transport) for market in MARKETS for transport in market.offers.order_entry]

each_market = pytest.mark.parametrize("market", MARKETS, ids=str)
each_stream = pytest.mark.parametrize("market", STREAMS, ids=str)
each_amending = pytest.mark.parametrize("market", AMENDS, ids=str)
each_amend_entry = pytest.mark.parametrize(
    ("market", "transport"),
    [(market, transport) for market, transport in ENTRIES if market.offers.amend],
    ids=[f"{market}-{transport}" for market, transport in ENTRIES if market.offers.amend],
)
each_entry = pytest.mark.parametrize(
    ("market", "transport"), ENTRIES, ids=[f"{market}-{transport}" for market, transport in ENTRIES]
)


class Bench:
    """A running engine with one venue product."""

    def __init__(self, market: Market, bench: Rig) -> None:
        self.market = market
        self.rig = bench
        self.universal = market.universals[0]

    @property
    def desk(self) -> TradingDesk:
        return self.rig.desk(self.universal)

    @property
    def instrument(self) -> Instrument:
        return self.rig.venue(self.universal).instruments[self.universal]

    def touch(self) -> tuple[int, int]:
        """Return best bid and best ask, scaled."""
        bid, _, ask, _ = self.rig.venue(self.universal).books[self.universal].touch()
        return bid, ask

    def price(self, scaled: int) -> str:
        return f"{self.instrument.price(scaled - scaled % self.instrument.tick_size):f}"

    @property
    def qty(self) -> str:
        """Return about 600 quote units in whole lots."""
        instrument = self.instrument
        bid, _ = self.touch()
        lots = int(600 / float(instrument.price(bid)) / float(instrument.qty(instrument.lot_size)))
        return f"{instrument.qty(max(1, lots) * instrument.lot_size):f}"

    @property
    def triple_qty(self) -> str:
        """Return three times ``qty``: there is room to make it smaller."""
        return f"{Decimal(self.qty) * 3:f}"

    @property
    def large_qty(self) -> str:
        """Return as much as one order may be, 200 base units at most."""
        instrument = self.instrument
        most = min(instrument.qty_max or 10**18, 200 * 10**instrument.qty_scale)
        if instrument.notional_max:
            worth = float(instrument.notional_max) / float(instrument.price(self.touch()[1])) / 1.1
            most = min(most, int(worth * 10**instrument.qty_scale))
        return f"{instrument.qty(most - most % instrument.lot_size):f}"

    def rest(self, transport: str, **options: Any) -> Order:
        """Place a bid three percent below the best."""
        price = options.pop("price", None) or self.price(self.touch()[0] * 97 // 100)
        side = options.pop("side", Side.BUY)
        qty = options.pop("qty", None) or self.qty
        return self.desk.place(self.universal, side, qty, price, transport=transport, **options)

    async def order_row(self, order: Order) -> dict[str, Any]:
        """Return the exchange's newest row of an order: a venue may replace an order to amend it."""
        rows = [
            row
            for row in await self.rig.truth("orders", account="alice")
            if row["client_order_id"] == order.client_order_id
        ]
        assert rows, order
        return max(rows, key=lambda row: (row["status"] in OPEN, row["order_id"]))

    async def cancelled(self, order: Order) -> None:
        """Cancel an order until it has ended: a venue may say that there were too many cancels just now."""
        while not order.state.is_final:
            if order.state is OrderState.WORKING:
                self.desk.router.cancel(order.client_order_id)
                if order.reason.startswith("cancel"):
                    await asyncio.sleep(0.1)
            await asyncio.sleep(0.005)

    async def cancel_unseen(self, order: Order) -> None:
        """Cancel an order past the engine's router, as another program of the same account would."""
        desk = self.desk
        request = desk.adapter.cancel_http(
            self.instrument, order.client_order_id, order.venue_order_id, desk.venue_clock.stamp_ms()
        )
        answer = await desk.market.pool.request(request, 5.0)
        assert not isinstance(
            desk.adapter.decode_order(self.instrument, answer.status, answer.body), VenueError
        )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 5
        while (await self.order_row(order))["status"] in OPEN:
            assert loop.time() < deadline, order
            await asyncio.sleep(0.01)

    async def has_room(self) -> None:
        """Wait until the order limits have room for one test: some venues allow ten orders in a second."""

        def is_roomy() -> bool:
            now_ms = time.time_ns() // 1_000_000
            for window in self.desk.market.budget._windows:
                rule = window.rule
                # where one short window serves every kind of request, that of the orders is not enough
                is_shared = rule.kind == "weight" and rule.window_ms <= 2_000
                if is_shared or rule.kind == "orders" or rule.name.endswith(".place"):
                    window.roll(now_ms)
                    some = window.limit * 6 // 10
                    if window.limit - window.count < (some if is_shared else min(ORDERS_OF_A_TEST, some)):
                        return False
            return True

        await until(is_roomy, what="room in the order limits")

    async def tidy(self) -> None:
        """Leave the exchange as it was found: no faults, no orders, no position."""
        async with self.rig._http.delete(f"{self.rig.admin}/fault") as answer:
            assert answer.status == 200, await answer.text()
        for order in list(self.desk.router.orders.values()):
            await self.cancelled(order)
        if self.market.product is Product.PERP:
            await self._flatten()
        rows = await self.rig.truth("orders", account="alice")
        assert not [row for row in rows if row["status"] in OPEN], "an order was forgotten"
        assert self.desk.router.paused == {}

    async def _flatten(self) -> None:
        for row in await self.rig.truth("positions", account="alice"):
            qty = self.instrument.scale_qty(abs(Decimal(row["qty"])))
            if not qty:
                continue
            side = Side.SELL if Decimal(row["qty"]) > 0 else Side.BUY
            text = f"{self.instrument.qty(qty):f}"
            await self.has_room()
            order = self.desk.place(self.universal, side, text, None, transport="rest", reduce_only=True)
            await until(lambda order=order: order.state is OrderState.FILLED, what=order)  # type: ignore[misc]


OPEN = ("NEW", "PARTIALLY_FILLED")
ORDERS_OF_A_TEST = 12


@contextlib.asynccontextmanager
async def running(market: Market, tmp_path: Path, rate: int = 100, **section: Any) -> AsyncIterator[Bench]:
    """Run an engine with this market alone, books LIVE and desk ready; ``section`` as of ``rig``."""
    if market.streams:
        section["streams"] = market.streams
    sim = dict(market.sim)
    async with rig(tmp_path, market.universals, rate, venue_name=market.venue, sim=sim, **section) as bench:
        yield Bench(market, bench)


class SharedEngine:
    """The running engine of the market whose tests are at work, if any."""

    def __init__(self) -> None:
        self._market: Market | None = None
        self._stack = contextlib.AsyncExitStack()
        self._bench: Bench | None = None

    async def take(self, market: Market) -> Bench:
        """Return this market's engine with LIVE books, started if it does not run."""
        if self._market != market or self._bench is None:
            await self.close()
            folder = self._stack.enter_context(tempfile.TemporaryDirectory())
            self._bench = await self._stack.enter_async_context(running(market, Path(folder)))
            self._market = market
        books, desk = self._bench.rig.venue(self._bench.universal).books, self._bench.desk
        await until(lambda: all(book.is_live for book in books.values()), what="books LIVE again")
        await until(lambda: desk.account.is_subscribed, what="the private stream up again")
        await until(lambda: desk.ws is None or desk.ws.is_ready, what="order entry up again")
        return self._bench

    async def close(self) -> None:
        """Stop the engine, if one runs."""
        self._market = self._bench = None
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        await stack.aclose()


SHARED = SharedEngine()


@contextlib.asynccontextmanager
async def shared(market: Market) -> AsyncIterator[Bench]:
    """Lend this market's engine to one test; whoever fails with it takes it out of use."""
    bench = await SHARED.take(market)
    try:
        await bench.has_room()
        yield bench
        await asyncio.wait_for(bench.tidy(), 30)
    except BaseException:
        await SHARED.close()
        raise
