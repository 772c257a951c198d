"""Instruments and samples for the Bybit adapter's tests."""

from __future__ import annotations

import pytest

from engine.model.instrument import Instrument, Product
from engine.venues.base import Credentials, Secret
from engine.venues.bybit.adapter import BybitTrading
from engine.venues.bybit.endpoints import LIVE
from engine.venues.bybit.instruments import decode_listing
from tests.unit.venues.adapter_rig import Sample, listed, samples

Known = dict[Product, dict[str, Instrument]]


@pytest.fixture(scope="session")
def sample() -> Sample:
    return samples("bybit")


@pytest.fixture(scope="session")
def known(sample: Sample) -> Known:
    """Every instrument of the sample listings, by product and symbol: both products have a BTCUSDT."""
    return {each: listed(decode_listing, each, sample(f"http_instruments_{each.value}")) for each in Product}


@pytest.fixture
def btc(known: Known) -> Instrument:
    return known[Product.SPOT]["BTCUSDT"]


@pytest.fixture
def perp_btc(known: Known) -> Instrument:
    return known[Product.PERP]["BTCUSDT"]


KEYS = Credentials(Secret("key-1"), Secret("secret-1"))


@pytest.fixture
def spot(known: Known) -> BybitTrading:
    return BybitTrading(Product.SPOT, LIVE[Product.SPOT], KEYS, known[Product.SPOT])


@pytest.fixture
def perp(known: Known) -> BybitTrading:
    return BybitTrading(Product.PERP, LIVE[Product.PERP], KEYS, known[Product.PERP])
