"""Builds the graph: which adapter, which addresses, which keys. The only file that names venues."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.config import Config, VenueSection, key_values
from engine.model.errors import ConfigError
from engine.model.instrument import Instrument, Product
from engine.venues.base import (
    Capabilities,
    Credentials,
    Endpoints,
    MarketDataAdapter,
    Secret,
    TradingAdapter,
)
from engine.venues.binance import capabilities as binance_capabilities
from engine.venues.binance import endpoints as binance_endpoints
from engine.venues.binance.adapter import BinanceMarketData, BinanceTrading
from engine.venues.bitmart import capabilities as bitmart_capabilities
from engine.venues.bitmart import endpoints as bitmart_endpoints
from engine.venues.bitmart.adapter import BitmartMarketData, BitmartTrading
from engine.venues.bitmart.order_entry import Margin
from engine.venues.bybit import capabilities as bybit_capabilities
from engine.venues.bybit import endpoints as bybit_endpoints
from engine.venues.bybit.adapter import BybitMarketData, BybitTrading
from engine.venues.kucoin import capabilities as kucoin_capabilities
from engine.venues.kucoin import endpoints as kucoin_endpoints
from engine.venues.kucoin.adapter import KucoinMarketData, KucoinTrading
from engine.venues.kucoin.unified_account import KucoinUnifiedTrading
from engine.venues.okx import capabilities as okx_capabilities
from engine.venues.okx import endpoints as okx_endpoints
from engine.venues.okx.adapter import OkxMarketData, OkxTrading

Addresses = Mapping[Product, Endpoints]


@dataclass(frozen=True, slots=True)
class Venue:
    """How one venue is built.

    Attributes:
        market_data, trading: make the two faces of a product.
        real: addresses by environment, then by region; "" is the region where none is said.
        refused: environments that must not be used, and why.
        capabilities: what each product offers.
        own_keys: keys of its section that few venues have, each with its values.
        other_streams: what each product's market data offers on public interfaces that are not the default,
            by their name (the key ``streams``).
        refine: chooses a product's real addresses, where more than the region decides.
    """

    market_data: Callable[[Product, Endpoints, VenueSection], MarketDataAdapter]
    trading: Callable[[Product, Endpoints, Credentials, dict[str, Instrument], VenueSection], TradingAdapter]
    real: Mapping[str, Mapping[str, Addresses]]
    refused: Mapping[str, str]
    capabilities: Mapping[Product, Capabilities]
    own_keys: Mapping[str, Sequence[object]] = field(default_factory=dict)
    other_streams: Mapping[str, Mapping[Product, Capabilities]] = field(default_factory=dict)
    refine: Callable[[Addresses, Product, VenueSection], Endpoints] = lambda found, product, _: found[product]


def _binance_market(product: Product, endpoints: Endpoints, section: VenueSection) -> MarketDataAdapter:
    trades = section.trade_stream if product is Product.PERP else ""
    return BinanceMarketData(product, endpoints, section.depth_speed, trades)


def _okx_regions(regions: Mapping[str, Endpoints]) -> dict[str, Addresses]:
    named = {name: dict.fromkeys(Product, each) for name, each in regions.items()}
    return {"": named["global"], **named}


def _kucoin_market(product: Product, endpoints: Endpoints, section: VenueSection) -> MarketDataAdapter:
    return KucoinMarketData(
        product,
        endpoints,
        section.depth_speed,
        section.streams or "unified",
        section.key_version or 3,
        is_unified_account=section.account == "unified",
    )


def _kucoin_addresses(addresses: Addresses, product: Product, section: VenueSection) -> Endpoints:
    if section.account == "unified":
        return kucoin_endpoints.of_unified_account(addresses, product)
    return addresses[product]


def _kucoin_trading(
    product: Product,
    endpoints: Endpoints,
    keys: Credentials,
    known: dict[str, Instrument],
    section: VenueSection,
) -> TradingAdapter:
    if section.account == "unified":
        return KucoinUnifiedTrading(product, endpoints, keys, known, section.key_version or 3)
    return KucoinTrading(
        product,
        endpoints,
        keys,
        known,
        key_version=section.key_version or 3,
        margin_mode=(section.margin_mode or "isolated").upper(),
        leverage=section.leverage or 1,
    )


def _bitmart_trading(
    product: Product,
    endpoints: Endpoints,
    keys: Credentials,
    known: dict[str, Instrument],
    section: VenueSection,
) -> TradingAdapter:
    margin = Margin(str(section.leverage or 1), section.margin_mode or "cross")
    return BitmartTrading(product, endpoints, keys, known, margin)


_VENUES: dict[str, Venue] = {
    "binance": Venue(
        market_data=_binance_market,
        trading=lambda product, endpoints, keys, known, section: BinanceTrading(
            product, endpoints, keys, known
        ),
        real={"live": {"": binance_endpoints.LIVE}, "testnet": {"": binance_endpoints.TESTNET}},
        refused={},
        capabilities=binance_capabilities.CAPABILITIES,
    ),
    "bitmart": Venue(
        market_data=lambda product, endpoints, section: BitmartMarketData(
            product, endpoints, section.depth_speed
        ),
        trading=_bitmart_trading,
        real={"live": {"": bitmart_endpoints.LIVE}, "testnet": {"": bitmart_endpoints.TESTNET}},
        refused=dict.fromkeys(("live", "testnet"), bitmart_endpoints.CLOSED),
        capabilities=bitmart_capabilities.CAPABILITIES,
        own_keys={"margin_mode": ("cross", "isolated"), "leverage": range(1, 101)},
    ),
    "bybit": Venue(
        market_data=lambda product, endpoints, section: BybitMarketData(
            product, endpoints, section.depth_speed
        ),
        trading=lambda product, endpoints, keys, known, section: BybitTrading(
            product, endpoints, keys, known
        ),
        real={
            "live": {"": bybit_endpoints.LIVE, **bybit_endpoints.REGIONS},
            "testnet": {"": bybit_endpoints.TESTNET, **bybit_endpoints.TEST_REGIONS},
        },
        refused={},
        capabilities=bybit_capabilities.CAPABILITIES,
    ),
    "kucoin": Venue(
        market_data=_kucoin_market,
        trading=_kucoin_trading,
        real={
            "live": {"": kucoin_endpoints.REGIONS["global"], **kucoin_endpoints.REGIONS},
            "testnet": {},
        },
        refused={"testnet": "KuCoin has no test network"},
        capabilities=kucoin_capabilities.CAPABILITIES,
        own_keys={
            "streams": ("unified", "classic"),
            "account": ("classic", "unified"),
            "margin_mode": ("isolated", "cross"),
            "leverage": range(1, 126),
            "key_version": (2, 3),
        },
        other_streams={"classic": kucoin_capabilities.CLASSIC_STREAMS},
        refine=_kucoin_addresses,
    ),
    "okx": Venue(
        market_data=lambda product, endpoints, section: OkxMarketData(
            product, endpoints, section.depth_speed, section.environment == "testnet"
        ),
        trading=lambda product, endpoints, keys, known, section: OkxTrading(
            product, endpoints, keys, known, section.environment == "testnet"
        ),
        real={
            "live": _okx_regions(okx_endpoints.REGIONS),
            "testnet": _okx_regions(okx_endpoints.DEMO_REGIONS),
        },
        refused={},
        capabilities=okx_capabilities.CAPABILITIES,
    ),
}


def capabilities() -> dict[tuple[str, Product], tuple[Capabilities, Venue]]:
    """Return the capability matrix: what each venue product offers, and how the venue is built."""
    return {
        (name, product): (offers, made)
        for name, made in _VENUES.items()
        for product, offers in made.capabilities.items()
    }


def endpoints_for(
    venue: str, section: VenueSection, product: Product, simulated: Mapping[str, Mapping[str, Endpoints]]
) -> Endpoints:
    """Return the addresses of a venue product in its configured environment.

    Raises:
        ConfigError: the simulated exchange does not serve this venue product, or the venue has no such
            environment or region.
    """
    if section.environment == "sim":
        try:
            return simulated[venue][product.value]
        except KeyError:
            raise ConfigError(
                f"venues.{venue}: the simulated exchange does not serve {venue} {product.value}"
            ) from None
    return _VENUES[venue].refine(_real(venue, section), product, section)


def _real(venue: str, section: VenueSection) -> Addresses:
    made = _VENUES[venue]
    if section.environment in made.refused:
        raise ConfigError(f'venues.{venue}.environment: {made.refused[section.environment]}; use "sim"')
    regions = made.real[section.environment]
    if section.region not in regions:
        known = ", ".join(name for name in regions if name) or "none"
        raise ConfigError(f'venues.{venue}.region = "{section.region}": {venue} has {known}')
    return regions[section.region]


def market_data_adapter(
    venue: str, product: Product, endpoints: Endpoints, section: VenueSection
) -> MarketDataAdapter:
    """Return the public face of a venue product.

    Raises:
        ConfigError: the section says something that this venue does not have.
    """
    _check_own_keys(venue, section)
    return _VENUES[venue].market_data(product, endpoints, section)


_OWN_KEYS = ("streams", "account", "margin_mode", "leverage", "key_version")


def _check_own_keys(venue: str, section: VenueSection) -> None:
    for key in _OWN_KEYS:
        value, known = getattr(section, key), _VENUES[venue].own_keys.get(key, ())
        if value and value not in known:
            shown = f'"{value}"' if isinstance(value, str) else value
            has = f"{known[0]} to {known[-1]}" if isinstance(known, range) else ", ".join(map(str, known))
            raise ConfigError(f"venues.{venue}.{key} = {shown}: {venue} has {has or 'no such choice'}")


def check_section(venue: str, section: VenueSection) -> None:
    """Raise ConfigError where a venue's own words in its section are none of the venue's."""
    for word in section.products:
        market_data_adapter(venue, Product(word), Endpoints("", ""), section)
    if section.environment != "sim":
        _real(venue, section)


def trading_adapter(
    venue: str,
    product: Product,
    endpoints: Endpoints,
    credentials: Credentials,
    known: dict[str, Instrument],
    section: VenueSection,
) -> TradingAdapter:
    """Return the private face of a venue product; ``known`` is shared, by the venue's symbol."""
    return _VENUES[venue].trading(product, endpoints, credentials, known, section)


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
    return market_data_adapter(venue, product, Endpoints("https://replay", "wss://replay"), VenueSection())
