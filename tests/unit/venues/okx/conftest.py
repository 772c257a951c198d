"""Instruments and samples for the OKX adapter's tests."""

from __future__ import annotations

import pytest

from engine.model.instrument import Instrument, Product
from engine.venues.base import Credentials, Secret
from engine.venues.okx.adapter import OkxMarketData, OkxTrading
from engine.venues.okx.endpoints import LIVE
from engine.venues.okx.instruments import decode_listing
from tests.unit.venues.adapter_rig import Sample, listed, samples


@pytest.fixture(scope="session")
def sample() -> Sample:
    return samples("okx")


@pytest.fixture(scope="session")
def known(sample: Sample) -> dict[str, Instrument]:
    """Every instrument of the sample listings, by symbol; symbols of the two products differ."""
    found: dict[str, Instrument] = {}
    for each in Product:
        found |= listed(decode_listing, each, sample(f"http_instruments_{each.value}"))
    return found


@pytest.fixture
def btc(known: dict[str, Instrument]) -> Instrument:
    return known["BTC-USDT"]


@pytest.fixture
def swap(known: dict[str, Instrument]) -> Instrument:
    return known["BTC-USDT-SWAP"]


KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("pass-1"))


@pytest.fixture
def market(product: Product) -> OkxMarketData:
    return OkxMarketData(product, LIVE[product])


@pytest.fixture
def trading(product: Product, known: dict[str, Instrument]) -> OkxTrading:
    return OkxTrading(product, LIVE[product], KEYS, known)
