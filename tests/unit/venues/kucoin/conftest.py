"""Instruments and samples for the KuCoin adapter's tests."""

from __future__ import annotations

import pytest

from engine.model.instrument import Instrument, Product
from engine.venues.base import Credentials, Secret
from engine.venues.kucoin.adapter import KucoinMarketData, KucoinTrading
from engine.venues.kucoin.endpoints import LIVE
from engine.venues.kucoin.instruments import decode_listing
from tests.unit.venues.adapter_rig import Sample, listed, samples


@pytest.fixture(scope="session")
def sample() -> Sample:
    return samples("kucoin")


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
def xbt(known: dict[str, Instrument]) -> Instrument:
    return known["XBTUSDTM"]


KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("pass-1"))


@pytest.fixture
def keys() -> Credentials:
    return KEYS


@pytest.fixture
def spot_market(known: dict[str, Instrument]) -> KucoinMarketData:
    return KucoinMarketData(Product.SPOT, LIVE[Product.SPOT])


@pytest.fixture
def perp_market(known: dict[str, Instrument]) -> KucoinMarketData:
    return KucoinMarketData(Product.PERP, LIVE[Product.PERP])


@pytest.fixture
def spot(known: dict[str, Instrument]) -> KucoinTrading:
    return KucoinTrading(Product.SPOT, LIVE[Product.SPOT], KEYS, known)


@pytest.fixture
def perp(known: dict[str, Instrument]) -> KucoinTrading:
    return KucoinTrading(Product.PERP, LIVE[Product.PERP], KEYS, known)
