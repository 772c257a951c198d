"""Instruments and samples for the BitMart adapter's tests."""

from __future__ import annotations

import pytest

from engine.model.instrument import Instrument, Product
from engine.venues.base import Credentials, Secret
from engine.venues.bitmart.adapter import BitmartMarketData, BitmartTrading
from engine.venues.bitmart.endpoints import LIVE
from engine.venues.bitmart.instruments import decode_listing
from tests.unit.venues.adapter_rig import Sample, listed, samples


@pytest.fixture(scope="session")
def sample() -> Sample:
    return samples("bitmart")


@pytest.fixture(scope="session")
def known(sample: Sample) -> dict[str, Instrument]:
    """Every instrument of the sample listings, by symbol; symbols of the two products differ."""
    found: dict[str, Instrument] = {}
    for each in Product:
        found |= listed(decode_listing, each, sample(f"http_instruments_{each.value}"))
    return found


@pytest.fixture
def btc(known: dict[str, Instrument]) -> Instrument:
    return known["BTC_USDT"]


@pytest.fixture
def swap(known: dict[str, Instrument]) -> Instrument:
    return known["BTCUSDT"]


KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("memo-1"))


@pytest.fixture
def market(product: Product) -> BitmartMarketData:
    return BitmartMarketData(product, LIVE[product])


@pytest.fixture
def trading(product: Product, known: dict[str, Instrument]) -> BitmartTrading:
    return BitmartTrading(product, LIVE[product], KEYS, known)
