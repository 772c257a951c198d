"""The configuration cut down to what a one-shot command needs."""

from __future__ import annotations

import msgspec

from engine.config import Config
from engine.model.errors import ConfigError


def narrowed(config: Config, symbols: tuple[str, ...], exchange: str | None = None) -> Config:
    """Return the configuration cut down to some symbols, for one-shot commands.

    Raises:
        ConfigError: the venue is not configured.
    """
    if exchange is not None and exchange not in config.venues:
        raise ConfigError(f"no venue {exchange!r} is configured; there are: {', '.join(config.venues)}")
    venues = {}
    for name, section in config.venues.items():
        if exchange not in (None, name):
            continue
        spot = tuple(symbol for symbol in symbols if ":" not in symbol)
        perp = tuple(symbol for symbol in symbols if ":" in symbol)
        if symbols:
            products = tuple(
                word for word, some in (("spot", spot), ("perp", perp)) if some and word in section.products
            )
            instruments = msgspec.structs.replace(section.instruments, spot=spot, perp=perp)
            section = msgspec.structs.replace(section, products=products, instruments=instruments)
        venues[name] = section
    if not any(section.products for section in venues.values()):
        raise ConfigError(f"no configured venue product can serve {', '.join(symbols)}")
    return msgspec.structs.replace(config, venues=venues)
