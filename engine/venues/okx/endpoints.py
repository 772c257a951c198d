"""Addresses, channel names, paths and documented limits of OKX v5.

Meaning of the bases in ``Endpoints``: ``rest`` is scheme and host, paths are appended; ``ws_public``,
``ws_private`` and ``ws_trade`` are whole addresses (``.../ws/v5/public`` and ``.../ws/v5/private``, the last
one twice: order entry and account channels share it, each on a connection of its own). Spot and swaps
share every address.

Source: OKX v5 API docs, "Production Trading Services", "Demo Trading Services", "WebSocket - Connect" and the
regional sites' texts, seen 2026-08.
"""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import BudgetRule, ConnectionRules, Endpoints, Heartbeat

VENUE = "okx"


def _at(rest: str, sockets: str) -> Endpoints:
    return Endpoints(
        rest=rest,
        ws_public=f"{sockets}/ws/v5/public",
        ws_private=f"{sockets}/ws/v5/private",
        ws_trade=f"{sockets}/ws/v5/private",
    )


REGIONS = {
    "global": _at("https://openapi.okx.com", "wss://ws.okx.com:8443"),
    "eea": _at("https://eea.okx.com", "wss://wseea.okx.com:8443"),
    "us": _at("https://us.okx.com", "wss://wsus.okx.com:8443"),
}
"""A key works only on the site that made it; elsewhere the answer is 50119 or 50067. No address of the
Turkish site is published."""

DEMO_REGIONS = {
    "global": _at("https://openapi.okx.com", "wss://wspap.okx.com:8443"),
    "eea": _at("https://eea.okx.com", "wss://wseeapap.okx.com:8443"),
    "us": _at("https://us.okx.com", "wss://wsuspap.okx.com:8443"),
}
"""Demo trading: the same REST host, told apart by the header ``x-simulated-trading: 1``."""

LIVE = dict.fromkeys(Product, REGIONS["global"])
TESTNET = dict.fromkeys(Product, DEMO_REGIONS["global"])

PATH = "/api/v5"
INST_TYPES = {Product.SPOT: "SPOT", Product.PERP: "SWAP"}

DEPTH_CHANNEL = "books"
"""400 levels every 100 ms, open to all; the faster ones need a login and fee tier VIP4."""
TRADES_CHANNEL = "trades"
TOP_CHANNEL = "bbo-tbt"
FUNDING_CHANNELS = ("funding-rate", "mark-price", "open-interest")
INDEX_CHANNEL = "index-tickers"
INSTRUMENTS_CHANNEL = "instruments"
"""Of a whole product: tells what has changed of the listing, and no listing at first."""

DEPTH_SPEEDS = ("100ms",)
DEPTH_LIMIT = 400
"""Levels of the REST book that audits may ask for."""

ARGS_PER_MESSAGE = 50
"""Channels in one subscribe request: the limit is 64 KB for all of them, and 480 requests an hour."""
DEEP_CHANNELS_MAX = 30
"""The venue's advice for deep channels on one connection."""

# The server cuts a connection that heard nothing and pushed nothing for 30 s. Its ping is the text ``ping``;
# whether a WebSocket ping counts is not documented. Ours go out more often, to find a half-open link early.
_HEARTBEAT = Heartbeat(silence_ms=25_000, ping_interval_ms=3_000, pong_timeout_ms=2_000, ping_text=b"ping")

# 480 subscribe, unsubscribe and login requests an hour and connection: a greeting has a few. 3 connection
# attempts a second and IP. No lifetime is documented: a connection is replaced after a week, lest it be
# the venue who chooses the moment. The number of channels behind close codes 4008 and 4009 is not
# documented; 4003 names 100 subscriptions of one key.
STREAM_RULES = ConnectionRules(
    heartbeat=_HEARTBEAT,
    messages_per_s=3,
    streams_max=100,
    connects=3,
    connects_window_s=1,
    lifetime_s=7 * 24 * 3600,
)
TRADE_RULES = ConnectionRules(
    heartbeat=_HEARTBEAT,
    messages_per_s=100,
    streams_max=100,
    connects=3,
    connects_window_s=1,
    lifetime_s=7 * 24 * 3600,
)
PRIVATE_RULES = TRADE_RULES

WINDOW_MS = 2_000
_WEIGHT_LIMIT = 120
REST_BUDGETS = (
    BudgetRule("weight_2s", "weight", WINDOW_MS, _WEIGHT_LIMIT),
    BudgetRule("orders_2s", "orders", WINDOW_MS, 60),
)
"""OKX limits each endpoint by itself (so many in 2 s) and states nothing in headers. One budget keeps all of
them: a request weighs 120 divided by its endpoint's limit. Orders: 60 in 2 s and instrument, kept here over
all instruments together; a batch of one counts as a single order."""


def weight_of(limit: int) -> int:
    """Return the weight of an endpoint that allows ``limit`` requests in 2 s."""
    return -(-_WEIGHT_LIMIT // limit)


VALIDITY_MS = 2_000
"""``expTime`` of a place: arriving later it is refused with 50036 or 50037. Short, so that an unanswered
order can soon be proven absent."""

GIVE_UP_MS = 10_000
"""How long the venue may still act on a request it took: not documented, assumed."""

ORDERS_PAGE = 100
FILLS_PAGE = 100
