"""Instruments and samples for the BitMart adapter's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.instrument import Instrument, Product
from engine.venues.base import Credentials, Secret
from engine.venues.bitmart.adapter import BitmartMarketData, BitmartTrading
from engine.venues.bitmart.endpoints import LIVE
from engine.venues.bitmart.instruments import decode_listing

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "bitmart"

Sample = Callable[[str], bytes]


@pytest.fixture(scope="session")
def sample() -> Sample:
    return lambda name: (GOLDEN / f"{name}.json").read_bytes()


@pytest.fixture(scope="session")
def known(sample: Sample) -> dict[str, Instrument]:
    """Every instrument of the sample listings, by symbol; symbols of the two products differ."""
    return {
        each.symbol: each
        for product in Product
        for each in decode_listing(product, sample(f"http_instruments_{product.value}")).instruments
    }


@pytest.fixture
def btc(known: dict[str, Instrument]) -> Instrument:
    return known["BTC_USDT"]


@pytest.fixture
def swap(known: dict[str, Instrument]) -> Instrument:
    return known["BTCUSDT"]


@pytest.fixture(params=list(Product), ids=lambda product: product.value)
def product(request: pytest.FixtureRequest) -> Product:
    chosen: Product = request.param
    return chosen


KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("memo-1"))


@pytest.fixture
def market(product: Product) -> BitmartMarketData:
    return BitmartMarketData(product, LIVE[product])


@pytest.fixture
def trading(product: Product, known: dict[str, Instrument]) -> BitmartTrading:
    return BitmartTrading(product, LIVE[product], KEYS, known)
