"""The venue's periods and counts that tests shorten."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What a connection may do, and how often something is repeated.

    Source: OKX v5 docs, "WebSocket / Connect" and "Order book channel", seen 2026-08.

    Attributes:
        silence_s: a connection with nothing said on either side for so long is closed.
        requests_per_hour: subscribe, unsubscribe and login requests of one connection.
        connects_per_s: attempts of one address. private_connections: of one account for each private channel.
        heartbeat_ms: book channels say at least so often that nothing has changed.
        repeat_ms: the regular snapshots of account and positions.
    """

    silence_s: float = 30.0
    requests_per_hour: int = 480
    connects_per_s: int = 3
    private_connections: int = 30
    heartbeat_ms: int = 60_000
    repeat_ms: int = 5_000
