"""Builds the graph: which adapter, which addresses, which keys. The only file that names venues."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from engine.config import Config, VenueSection, key_values
from engine.model.errors import ConfigError
from engine.model.instrument import Instrument, Product
from engine.venues.base import (
    Credentials,
    Endpoints,
    MarketDataAdapter,
    Secret,
    TradingAdapter,
)
from engine.venues.binance import endpoints as binance_endpoints
from engine.venues.binance.adapter import BinanceMarketData, BinanceTrading

_REAL = {
    ("binance", "live"): binance_endpoints.LIVE,
    ("binance", "testnet"): binance_endpoints.TESTNET,
}


def endpoints_for(
    venue: str, section: VenueSection, product: Product, simulated: Mapping[str, Mapping[str, Endpoints]]
) -> Endpoints:
    """Return the addresses of a venue product in its configured environment.

    Raises:
        ConfigError: the simulated exchange does not serve this venue product.
    """
    if section.environment == "sim":
        try:
            return simulated[venue][product.value]
        except KeyError:
            raise ConfigError(
                f"venues.{venue}: the simulated exchange does not serve {venue} {product.value}"
            ) from None
    return _REAL[venue, section.environment][product]


def market_data_adapter(
    venue: str, product: Product, endpoints: Endpoints, section: VenueSection
) -> MarketDataAdapter:
    """Return the public face of a venue product."""
    assert venue == "binance"
    trades = section.trade_stream if product is Product.PERP else ""
    return BinanceMarketData(product, endpoints, section.depth_speed, trades)


def check_section(venue: str, section: VenueSection) -> None:
    """Raise ConfigError where a venue's own words in its section are none of the venue's."""
    for word in section.products:
        market_data_adapter(venue, Product(word), Endpoints("", ""), section)


def trading_adapter(
    venue: str,
    product: Product,
    endpoints: Endpoints,
    credentials: Credentials,
    known: dict[str, Instrument],
) -> TradingAdapter:
    """Return the private face of a venue product; ``known`` is shared, by the venue's symbol."""
    assert venue == "binance"
    return BinanceTrading(product, endpoints, credentials, known)


SIM_ACCOUNT = "alice"
"""Which account of the simulated exchange the engine trades with when it has no keys of its own."""


def credentials_for(
    venue: str, config: Config, environ: Mapping[str, str] = os.environ, dotenv: Path = Path(".env")
) -> Credentials | None:
    """Return a venue's keys, or ``None`` for public data only.

    A simulated venue uses the fixed keys of the simulation's own configuration: real keys never reach it.

    Raises:
        ConfigError: a set of keys is incomplete, or stands in a file that others can read.
    """
    section = config.venues[venue]
    if section.environment == "sim":
        return _simulated_credentials(venue, Path(config.sim.config))
    prefix = section.credentials or venue.upper()
    values = key_values(prefix, venue, environ, dotenv)
    if values is None:
        return None
    passphrase = Secret(values[2]) if len(values) > 2 else None
    return Credentials(Secret(values[0]), Secret(values[1]), passphrase)


def _simulated_credentials(venue: str, path: Path) -> Credentials | None:
    import tomllib

    try:
        data = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"sim.config {path}: {error}") from None
    for account in data.get(venue, {}).get("account", []):
        if account.get("name") == SIM_ACCOUNT:
            passphrase = account.get("passphrase")
            return Credentials(
                Secret(account["api_key"]),
                Secret(account["secret"]),
                Secret(passphrase) if passphrase else None,
            )
    return None


def replay_adapter(venue: str, product: Product) -> MarketDataAdapter:
    """Return the public face of a venue product for recorded data: no address is ever used."""
    return market_data_adapter(venue, product, _REAL[venue, "live"][product], VenueSection())
