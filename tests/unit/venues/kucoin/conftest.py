"""Instruments and samples for the KuCoin adapter's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.instrument import Instrument, Product
from engine.venues.base import Credentials, Secret
from engine.venues.kucoin.adapter import KucoinMarketData, KucoinTrading
from engine.venues.kucoin.endpoints import LIVE
from engine.venues.kucoin.instruments import decode_listing

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "kucoin"

Sample = Callable[[str], bytes]


@pytest.fixture(scope="session")
def sample() -> Sample:
    return lambda name: (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")


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
