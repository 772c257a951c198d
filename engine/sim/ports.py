"""What the server knows of a venue's wire, and what a wire is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web
from websockets.asyncio.server import ServerConnection


@dataclass(frozen=True, slots=True)
class Settings:
    """Switches of one run.

    Attributes:
        time_scale: how many times faster than real the venue's long periods run (24 h cut, listen keys).
        strict: refuse unknown parameters where the venue would only tolerate them.
        tls: whether addresses are https and wss.
        book_ms: least time between two pushes of a book, 0 for every change; None: the venue's own. So far
            BitMart's wire alone listens to it.
    """

    time_scale: float = 1.0
    strict: bool = False
    tls: bool = False
    book_ms: int | None = None


@dataclass(slots=True)
class WsServer:
    """One WebSocket server of a product.

    Attributes:
        handler: runs one connection.
        process_request: hook before the upgrade, or None; as websockets' ``process_request``.
        kwargs: further arguments of ``websockets.asyncio.server.serve``.
    """

    handler: Callable[[ServerConnection], Awaitable[None]]
    process_request: Callable[[ServerConnection, Any], Any] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)


class ProductWire(Protocol):
    """One product of one venue on the wire."""

    @property
    def http(self) -> web.Application:
        """Return the REST application."""
        ...

    @property
    def ws_servers(self) -> Mapping[str, WsServer]:
        """Return the WebSocket servers by name."""
        ...

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses for the endpoints file, from ``scheme://host:port`` bases by server name."""
        ...

    async def start(self) -> None:
        """Start publishers and timers."""
        ...

    async def stop(self) -> None:
        """Stop them."""
        ...


class VenueWire(Protocol):
    """One venue on the wire."""

    @property
    def products(self) -> Mapping[str, ProductWire]:
        """Return the products by name (``spot``, ``perp``)."""
        ...
