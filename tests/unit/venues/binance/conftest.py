"""Golden samples and the instruments they speak of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.instrument import Instrument, Product
from engine.venues.base import Credentials, Secret
from engine.venues.binance.adapter import BinanceTrading
from engine.venues.binance.endpoints import LIVE
from engine.venues.binance.instruments import decode_listing

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "binance"

Golden = Callable[[str], bytes]


@pytest.fixture(scope="session")
def golden() -> Golden:
    """Return a reader of golden samples by name."""

    def read(name: str) -> bytes:
        return (GOLDEN / f"{name}.json").read_bytes().strip()

    return read


@pytest.fixture(scope="session")
def spot_known(golden: Golden) -> dict[str, Instrument]:
    listing = decode_listing(Product.SPOT, golden("http_exchange_info_spot"))
    return {each.symbol: each for each in listing.instruments}


@pytest.fixture(scope="session")
def perp_known(golden: Golden) -> dict[str, Instrument]:
    listing = decode_listing(Product.PERP, golden("http_exchange_info_perp"))
    return {each.symbol: each for each in listing.instruments}


@pytest.fixture
def spot(spot_known: dict[str, Instrument]) -> BinanceTrading:
    return BinanceTrading(
        Product.SPOT, LIVE[Product.SPOT], Credentials(Secret("spotkey"), Secret("spotsecret")), spot_known
    )


@pytest.fixture
def perp(perp_known: dict[str, Instrument]) -> BinanceTrading:
    return BinanceTrading(
        Product.PERP, LIVE[Product.PERP], Credentials(Secret("perpkey"), Secret("perpsecret")), perp_known
    )
