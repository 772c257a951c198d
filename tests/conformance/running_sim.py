"""The simulated exchange of one venue, for clients that nobody here wrote."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from engine.sim.accounts import Account
from engine.sim.config import load
from engine.sim.ports import Settings
from engine.sim.server import SimServer

ROOT = Path(__file__).resolve().parents[2]


@contextlib.asynccontextmanager
async def running_sim(
    venue: str, rate: float = 200, settings: Settings | None = None, authority: Path | None = None
) -> AsyncIterator[SimServer]:
    """Run a venue's exchange on loopback; ``authority`` receives the certificate of its TLS."""
    server = SimServer(
        load(ROOT / "config" / "sim.toml", [venue]), seed=3, rate=rate, settings=settings or Settings()
    )
    await server.start(authority)
    try:
        yield server
    finally:
        await server.stop()


def addresses_of(server: SimServer, venue: str, product: str) -> dict[str, str]:
    """Return the addresses of a venue's product by name."""
    found = server.addresses[venue]
    assert isinstance(found, dict)
    return dict(found[product])


def account_of(server: SimServer, venue: str, name: str = "alice") -> Account:
    found = server.exchanges[venue].account_named(name)
    assert found is not None
    return found
