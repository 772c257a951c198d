"""The token that a classic socket takes ("bullet"): asked for over HTTP, good for 24 h and one host.

    POST /api/v1/bullet-public
    {"code":"200000","data":{"token":"2neAiuYvAU61...","instanceServers":[{"endpoint":"wss://ws-api-spot.kucoin.com/",
     "encrypt":true,"protocol":"websocket","pingInterval":18000,"pingTimeout":10000}]}}

The socket's address is ``{endpoint}?token={token}&connectId={anything}``; its first frame is a welcome. How
often the client must ping is said here as well: it is kept, unless we ping more often anyhow.

Source: KuCoin API docs, "Get Public Token", "Get Private Token - Spot", "Get Private Token - Futures", seen
2026-08.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Product
from engine.model.orders import VenueError
from engine.model.wire import Heartbeat
from engine.venues.base import Dial
from engine.venues.kucoin.endpoints import CLASSIC_RULES
from engine.venues.kucoin.errors import refusal_in, undecodable
from engine.venues.kucoin.numbers import DECODE_ERRORS

PUBLIC_TARGET = "/api/v1/bullet-public"
PRIVATE_TARGET = "/api/v1/bullet-private"
WEIGHT = 10


class _Server(msgspec.Struct, gc=False):
    endpoint: str
    pingInterval: int = 0  # noqa: N815 - the wire's names
    pingTimeout: int = 0  # noqa: N815


class _Token(msgspec.Struct, gc=False):
    token: str
    instanceServers: list[_Server] = []  # noqa: N815


class _Answer(msgspec.Struct, gc=False):
    data: _Token


_ANSWER = msgspec.json.Decoder(_Answer)


def decode_token(
    product: Product,
    rest: str,
    connect_id: str,
    status: int,
    body: bytes,
    retry_after: str | None = None,
    address: str = "",
) -> Dial | VenueError:
    """Return where the next connection goes; never raises.

    Args:
        rest: the REST base that was asked: where that is encrypted, so must the socket be.
        connect_id: what the welcome shall repeat.
        address: where to connect if the answer names no server ("": that is an error).
    """
    refusal = refusal_in(product, status, body, retry_after)
    if refusal is not None:
        return refusal
    try:
        data = _ANSWER.decode(body).data
        servers = data.instanceServers or ([_Server(address)] if address else [])
        if not data.token or not servers:
            raise ProtocolViolation("no token, or no server")
        server = servers[0]
        parts = urlsplit(server.endpoint)
        allowed = ("wss",) if rest.startswith("https:") else ("wss", "ws")
        if parts.scheme not in allowed or not parts.hostname or parts.query or parts.fragment:
            raise ProtocolViolation(f"an unusable endpoint: {server.endpoint[:100]!r}")
        token = quote(data.token, safe="")
        return Dial(f"{server.endpoint}?token={token}&connectId={connect_id}", heartbeat_of(server))
    except (*DECODE_ERRORS, ProtocolViolation, ValueError) as why:
        return undecodable(status, why)


def heartbeat_of(server: _Server) -> Heartbeat:
    """Return the heartbeat that the venue asks for, ours where that is stricter."""
    own = CLASSIC_RULES.heartbeat
    interval = (
        min(server.pingInterval, own.ping_interval_ms) if server.pingInterval > 0 else own.ping_interval_ms
    )
    timeout = min(server.pingTimeout, own.pong_timeout_ms) if server.pingTimeout > 0 else own.pong_timeout_ms
    return Heartbeat(own.silence_ms, max(interval, 1_000), timeout, own.ping_text)
