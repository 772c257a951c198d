"""Which markets the kit runs over: every venue product that has an adapter and a simulated exchange.

A venue joins by being in both tables; a test that leaves something out for it asks the capability matrix, and
the reason it gives is that of the matrix.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.router.order import Order
from engine.sim.server import WIRES
from engine.supervisor import wiring
from engine.supervisor.trading import TradingDesk
from engine.venues.base import Capabilities
from tests.sim.engine_rig import Rig, rig

UNIVERSALS = {Product.SPOT: ("BTC/USDT", "ETH/USDT"), Product.PERP: ("BTC/USDT:USDT", "ETH/USDT:USDT")}


@dataclass(frozen=True)
class Market:
    """One venue product under test."""

    venue: str
    product: Product
    offers: Capabilities

    def __str__(self) -> str:
        return f"{self.venue}-{self.product.value}"

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
ENTRIES = [(market, transport) for market in MARKETS for transport in market.offers.order_entry]

each_market = pytest.mark.parametrize("market", MARKETS, ids=str)
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


@contextlib.asynccontextmanager
async def running(market: Market, tmp_path: Path, rate: int = 100) -> AsyncIterator[Bench]:
    """Run an engine with this market alone, books LIVE and desk ready."""
    async with rig(tmp_path, market.universals, rate, venue_name=market.venue) as bench:
        yield Bench(market, bench)
