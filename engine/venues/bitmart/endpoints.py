"""Addresses, channel names, paths and documented limits of BitMart spot and futures v2.

Meaning of the bases in ``Endpoints``: ``rest`` is scheme and host, paths are appended; ``ws_public`` and
``ws_private`` are whole addresses. The two products have hosts of their own. There is no order entry over
WebSocket, so ``ws_trade`` is ``None``.

The venue ended all trading on 2026-08-26: the addresses stand here for what they document, and no
configuration leads to them (``CLOSED``).

Source: BitMart API docs, spot and futures v2 ("Basic Information", "Rate Limit", "WebSocket Subscription"),
seen 2026-11; the notice of 2026-07-26, as quoted by projects that removed the venue.
"""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import BudgetRule, ConnectionRules, Endpoints, Heartbeat

VENUE = "bitmart"

CLOSED = (
    "BitMart ended all trading on 2026-08-26, 01:00 UTC (its notice of 2026-07-26): it exists simulated only"
)
"""Why no environment but the simulated one is allowed."""

LIVE = {
    Product.SPOT: Endpoints(
        rest="https://api-cloud.bitmart.com",
        ws_public="wss://ws-manager-compress.bitmart.com/api?protocol=1.1",
        ws_private="wss://ws-manager-compress.bitmart.com/user?protocol=1.1",
    ),
    Product.PERP: Endpoints(
        rest="https://api-cloud-v2.bitmart.com",
        ws_public="wss://openapi-ws-v2.bitmart.com/api?protocol=1.1",
        ws_private="wss://openapi-ws-v2.bitmart.com/user?protocol=1.1",
    ),
}
TESTNET = {
    Product.SPOT: LIVE[Product.SPOT],
    Product.PERP: Endpoints(
        rest="https://demo-api-cloud-v2.bitmart.com",
        ws_public="wss://openapi-wsdemo-v2.bitmart.com/api?protocol=1.1",
        ws_private="wss://openapi-wsdemo-v2.bitmart.com/user?protocol=1.1",
    ),
}
"""Futures alone had a demo environment, whose hosts are UNCONFIRMED (documentation only)."""

SPOT_DEPTH = "spot/depth/increase100"
SPOT_TRADES = "spot/trade"
SPOT_TICKER = "spot/ticker"
"""Best bid and ask among the statistics; the shape of ``spot/bookTicker`` is not documented."""

FUTURES_DEPTH = "futures/depthIncrease50"
FUTURES_TRADES = "futures/trade"
FUTURES_TOP = "futures/bookticker"
FUTURES_FUNDING = "futures/fundingRate"
FUTURES_TICKER = "futures/ticker"
"""The only stream of mark and index prices."""

DEPTH_SPEEDS = {Product.SPOT: ("100ms",), Product.PERP: ("100ms", "200ms")}
DEPTH_WINDOWS = {Product.SPOT: 100, Product.PERP: 50}
"""Levels a side; the spot stream does not say which ones leave its window."""
DEPTH_LIMIT = 50
"""Levels of the REST book that audits may ask for."""

TOPICS_PER_MESSAGE = 20
MESSAGE_BYTES_MAX = 1_900
"""Of a subscription: 4096 are documented, but a futures connection was closed with 1009 at 2186."""

INFLATED_BYTES_MAX = 1 << 20
"""Of one binary frame; a snapshot of 100 levels a side has less than 20 000."""

# Spot closes a connection that was silent for 20 s, futures say the same but were not seen to. Pings go out
# more often, to find a half-open link early; at one every 3 s they are 4 of the 100 messages in 10 s.
_SPOT_HEARTBEAT = Heartbeat(
    silence_ms=20_000, ping_interval_ms=3_000, pong_timeout_ms=2_000, ping_text=b"ping"
)
_FUTURES_HEARTBEAT = Heartbeat(
    silence_ms=20_000, ping_interval_ms=3_000, pong_timeout_ms=2_000, ping_text=b'{"action":"ping"}'
)

# 100 client messages in 10 s; 115 channels (public) or 100 (private) a connection; 30 connects a minute. No
# lifetime is documented: a connection is replaced after a week, lest it be the venue who chooses the moment.
# Spot's market data may come as deflated binary frames, told by the opcode; private ones "should be
# expected".
STREAM_RULES = {
    Product.SPOT: ConnectionRules(
        heartbeat=_SPOT_HEARTBEAT,
        messages_per_s=10,
        streams_max=100,
        connects=30,
        connects_window_s=60,
        lifetime_s=7 * 24 * 3600,
        inflated_bytes_max=INFLATED_BYTES_MAX,
    ),
    Product.PERP: ConnectionRules(
        heartbeat=_FUTURES_HEARTBEAT,
        messages_per_s=10,
        streams_max=100,
        connects=30,
        connects_window_s=60,
        lifetime_s=7 * 24 * 3600,
    ),
}
PRIVATE_RULES = STREAM_RULES

LIMITS: dict[Product, dict[str, tuple[int, int]]] = {
    Product.SPOT: {
        "instruments": (12, 2_000),
        "time": (10, 1_000),
        "book": (15, 2_000),
        "trades": (15, 2_000),
        "place": (40, 2_000),
        "cancel": (40, 2_000),
        "cancel_all": (1, 3_000),
        "query": (50, 2_000),
        "open_orders": (12, 2_000),
        "fills": (12, 2_000),
        "balances": (12, 2_000),
    },
    Product.PERP: {
        "instruments": (12, 2_000),
        "time": (10, 1_000),
        "book": (12, 2_000),
        "trades": (12, 2_000),
        "place": (24, 2_000),
        "amend": (24, 2_000),
        "cancel": (40, 2_000),
        "cancel_all": (2, 2_000),
        "query": (50, 2_000),
        "open_orders": (50, 2_000),
        "history": (6, 2_000),
        "fills": (6, 2_000),
        "balances": (12, 2_000),
        "positions": (6, 2_000),
        "account_check": (2, 2_000),
        "funding_history": (12, 2_000),
    },
}
"""Requests in a window (ms) of each endpoint, by the last word of its label. Each endpoint counts by
itself."""

USED_HEADER = "x-bm-ratelimit-remaining"
"""Despite its name it counts what is *used* of the endpoint's window: 1, 2, 3."""


def rest_budgets(product: Product) -> tuple[BudgetRule, ...]:
    """Return one window for each endpoint."""
    return tuple(
        BudgetRule(f"{VENUE}.{product.value}.{word}", "endpoint", window_ms, limit, USED_HEADER)
        for word, (limit, window_ms) in LIMITS[product].items()
    )


RATE_PAUSE_MS = 2_000
BAN_PAUSE_MS = 120_000
"""Pauses after 429 and 418; the venue names none."""

VALIDITY_MS = 60_000
"""How far a signed stamp may lie back. Whether order entry enforces less is not confirmed: the longer one
only makes the proof of absence later."""

GIVE_UP_MS = 10_000
"""How long the venue may still act on a request it took: not documented, assumed."""

SPOT_ORDERS_PAGE = 200
FUTURES_ORDERS_PAGE = 100
"""Open orders; the history has up to 200, and a page of 100 is mistrusted there too."""
FILLS_PAGE = 200
