"""The row of the wiring table that makes Acorn a venue of the engine."""

from __future__ import annotations

from engine.model.instrument import Product
from engine.supervisor.wiring import Venue
from tests.sixth_venue.market_data import CAPABILITIES, LIVE, AcornMarketData
from tests.sixth_venue.trading import AcornTrading

ACORN = Venue(
    market_data=lambda product, endpoints, section: AcornMarketData(product, endpoints),
    trading=lambda product, endpoints, keys, known, section: AcornTrading(product, endpoints, keys, known),
    real={"live": {"": {Product.SPOT: LIVE}}},
    refused={"testnet": "Acorn has no test network"},
    capabilities={Product.SPOT: CAPABILITIES},
)
