"""What transport needs to know of a request or a connection, whatever the venue."""

from __future__ import annotations

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One request, ready for the wire but for Host, Content-Length and the connection headers.

    Attributes:
        method: ``GET``, ``POST``, ``PUT`` or ``DELETE``.
        target: path with query, percent-encoded and signed.
        headers: extra header lines, each ending in CRLF, e.g. ``X-MBX-APIKEY: k\\r\\n``; may hold secrets.
        body: form or JSON bytes; ``content_type`` is sent only with a body.
        weight: cost on the venue's request budget; ``order_count``: cost on its order budget.
        idempotent: may be repeated once on a fresh connection when a kept-alive one was found dead.
        label: a constant, secret-free name for counters and errors, e.g. ``binance.spot.place``.
    """

    method: str
    target: str
    label: str
    headers: bytes = b""
    body: bytes = b""
    content_type: str = "application/x-www-form-urlencoded"
    weight: int = 1
    order_count: int = 0
    idempotent: bool = True
    is_reserved: bool = False
    """Cancels and order queries may use the budget's reserve."""

    def __repr__(self) -> str:
        """Return what may be logged: no query, no headers, no body, which hold keys and signatures."""
        return f"HttpRequest({self.label}: {self.method} {self.target.partition('?')[0]})"


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """Liveness rule of a connection.

    Attributes:
        silence_ms: nothing at all received (data, pings, pongs) for this long means dead.
        ping_interval_ms: our own ping cadence, 0 = we do not ping.
        pong_timeout_ms: how long a pong to our ping may take.
        ping_text: a text message to send in place of the WebSocket ping, where the venue wants one; its
            answer is a message like any other, so anything received after it counts as the pong.
    """

    silence_ms: int
    ping_interval_ms: int = 0
    pong_timeout_ms: int = 10_000
    ping_text: bytes = b""


class ConnectionRules(msgspec.Struct, frozen=True, gc=False):
    """Documented limits of one kind of WebSocket connection.

    Attributes:
        messages_per_s: frames we may send in a second, pings and pongs included.
        streams_max: subscriptions one connection may hold.
        connects, connects_window_s: connection attempts allowed in a fixed window.
        lifetime_s: the venue closes the connection after this; replace it earlier.
        connect_weight: what one connect costs on the request budget.
        inflated_bytes_max: binary messages hold one raw-deflate stream each, of at most so many bytes when
            inflated; 0 where they hold what they say. Anything else in one is a violation of the protocol.
    """

    heartbeat: Heartbeat
    messages_per_s: int
    streams_max: int
    connects: int
    connects_window_s: int
    lifetime_s: int
    connect_weight: int = 0
    inflated_bytes_max: int = 0


class BudgetRule(msgspec.Struct, frozen=True, gc=False):
    """One window of a rate limit: a fixed one of the calendar, unless it is rolling.

    Attributes:
        name: e.g. ``weight_1m``; ``kind`` is ``weight``, ``orders``, or ``endpoint``: so many requests whose
            label is the name, whatever they weigh.
        header: lower-case response header that states what is used, or "".
        pool_headers: lower-case response headers of a pool that this rule is a share of: its limit, what
            remains of it, and the milliseconds until it is refilled. The same share counts as used here.
        order_headers: lower-case headers by which answers to orders state this very limit: the limit, what
            is left of it, and the UTC milliseconds when it is free again.
        is_rolling: what counts is what was sent in the last ``window_ms``, at every moment.
    """

    name: str
    kind: str
    window_ms: int
    limit: int
    header: str = ""
    pool_headers: tuple[str, str, str] | None = None
    order_headers: tuple[str, str, str] | None = None
    is_rolling: bool = False


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """What an answer says of one limit.

    Attributes:
        name: ``BudgetRule.name``.
        left: how many of ``limit`` may still be sent.
        reset_utc_ms: when a limit with nothing left is free again (the venue's time), 0 = not told.
    """

    name: str
    left: int
    limit: int
    reset_utc_ms: int = 0
