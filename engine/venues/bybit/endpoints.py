"""Addresses, topic names, paths and documented limits of Bybit v5.

Meaning of the bases in ``Endpoints``: ``rest`` is scheme and host, paths are appended; ``ws_public``,
``ws_private`` and ``ws_trade`` are whole addresses (``.../v5/public/spot`` or ``.../v5/public/linear``,
``.../v5/private``, ``.../v5/trade``). The category is part of the public address alone.

Source: Bybit v5 API docs, "Integration Guidance", "Connect", "Rate Limit", "Demo Trading Service", seen
2026-07.
"""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import BudgetRule, ConnectionRules, Endpoints, Heartbeat

VENUE = "bybit"

CATEGORIES = {Product.SPOT: "spot", Product.PERP: "linear"}
"""``linear`` also holds dated futures, which are left out, and perpetuals that settle in USDC."""

Region = dict[Product, Endpoints]


def _at(rest: str, sockets: str, private: str | None = None) -> Region:
    """Return a site's addresses; ``private`` is another host for the account, without order entry."""
    return {
        product: Endpoints(
            rest=rest,
            ws_public=f"{sockets}/v5/public/{category}",
            ws_private=f"{private or sockets}/v5/private",
            ws_trade=None if private else f"{sockets}/v5/trade",
        )
        for product, category in CATEGORIES.items()
    }


_STREAM = "wss://stream.bybit.com"

REGIONS = {
    "global": _at("https://api.bybit.com", _STREAM),
    "bytick": _at("https://api.bytick.com", _STREAM),
    "tr": _at("https://api.bybit.tr", "wss://stream.bybit.tr"),
    "kz": _at("https://api.bybit.kz", "wss://stream.bybit.kz"),
    "id": _at("https://api.bybit.id", "wss://stream.bybit.id"),
    "ge": _at("https://api.bybitgeorgia.ge", "wss://stream.bybitgeorgia.ge"),
    "jp": _at("https://api.manepa.jp", "wss://stream.manepa.jp"),
}
"""A key works only on the site that made it; elsewhere the answer is 10003. The Dutch, European and Emirati
sites are not here: their stream hosts are not listed anywhere."""

TEST_REGIONS = {
    "global": _at("https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"),
    "demo": _at("https://api-demo.bybit.com", _STREAM, "wss://stream-demo.bybit.com"),
}
"""The test network, and demo trading: paper orders on the real market's data, entered over REST alone."""

LIVE = REGIONS["global"]
TESTNET = TEST_REGIONS["global"]

PATH = "/v5"

DEPTH_LEVELS = {"20ms": 50, "100ms": 200, "200ms": 1000}
"""Levels by cadence. The fastest channel with deltas is the shallowest; ``orderbook.1`` (10 ms) has none."""
DEPTH_FASTEST = "20ms"
TOP_TOPIC = "orderbook.1"
TRADES_TOPIC = "publicTrade"
TICKERS_TOPIC = "tickers"
REST_BOOK_LEVELS = 1000

ARGS_PER_REQUEST = 10
"""Topics in one subscribe request on spot; linear states no number, so the same is kept there."""
ARGS_CHARACTERS_MAX = 21_000
"""Characters of all topics of one connection together."""
TOPICS_PER_CONNECTION = 400

# The venue wants a ping every 20 s and drops a connection that was silent for 10 minutes. Ours go out more
# often: a thin market pushes nothing while nothing changes, so that the pong is the only sign of life, and
# a half-open link must be found before its prices are old.
_HEARTBEAT = Heartbeat(
    silence_ms=25_000, ping_interval_ms=3_000, pong_timeout_ms=2_000, ping_text=b'{"op":"ping"}'
)

# 500 new connections in 5 minutes and host. No lifetime is documented: a connection is replaced after a
# week, lest it be the venue who chooses the moment. Messages to the venue are not limited on market data;
# one subscribe request per instrument at 50 a second is what a start looks like.
STREAM_RULES = ConnectionRules(
    heartbeat=_HEARTBEAT,
    messages_per_s=50,
    streams_max=TOPICS_PER_CONNECTION,
    connects=500,
    connects_window_s=300,
    lifetime_s=7 * 24 * 3600,
)
PRIVATE_RULES = STREAM_RULES
TRADE_RULES = STREAM_RULES

IP_WINDOW_MS = 5_000
IP_BAN_MS = 600_000
"""A breach of the address's limit is answered with HTTP 403; it ends by itself after 10 minutes at least."""
RATE_WAIT_MS = 1_000
"""Limits of an account are rolling windows of one second: after one, the whole of it is free again."""
JITTER_MS = 100
"""By how much the ways of two orders may differ: what leaves within the limit must arrive within it."""

ORDERS_PER_S = {Product.SPOT: 20, Product.PERP: 10}


def rest_budgets(product: Product) -> tuple[BudgetRule, ...]:
    """Return the documented limits of one product.

    The address may send 600 requests in 5 s over all hosts: half of them for each product. Orders have their
    own limit per account and product (higher ones by fee tier); each answer states that limit and what is
    left of it, and is believed.
    """
    return (
        BudgetRule("requests_5s", "weight", IP_WINDOW_MS, 300),
        BudgetRule(
            "orders_1s",
            "orders",
            RATE_WAIT_MS + JITTER_MS,
            ORDERS_PER_S[product],
            is_rolling=True,
            order_headers=("x-bapi-limit", "x-bapi-limit-status", "x-bapi-limit-reset-timestamp"),
        ),
    )


VALIDITY_MS = 3_000
"""``recvWindow``: a request that arrives later is refused with 10002. Short, so that an unanswered order can
soon be proven absent; the venue's own default is 5000."""

GIVE_UP_MS = 10_000
"""How long the venue may still act on a request it took: not documented, assumed."""

LOGIN_VALID_MS = 10_000
"""How far ahead of now a login says that it expires."""

INSTRUMENTS_PAGE = 1000
ORDERS_PAGE = 50
FILLS_PAGE = 100
POSITIONS_PAGE = 200
SETTLE_COINS = ("USDT", "USDC")
"""Coins that linear perpetuals settle in: positions are asked for coin by coin."""
