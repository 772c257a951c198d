"""Addresses, channel names, paths and documented limits of KuCoin.

Meaning of the bases in ``Endpoints``: ``rest`` is scheme and host, paths are appended; spot and futures
have a host each. ``ws_public`` is the whole address of the unified market data (no token, one host a
product). ``ws_private`` only stands for the classic sockets: their address comes with the token.
``ws_trade`` is the order entry of both products, without its query.

Source: KuCoin API docs, "Introduction", "Base URL", "Websocket / Get token", "Add Order - Websocket", seen
2026-08; kucoin-universal-sdk, specification of 2025-11-04.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.model.instrument import Product
from engine.venues.base import BudgetRule, ConnectionRules, Endpoints, Heartbeat

VENUE = "kucoin"


def _at(site: str) -> dict[Product, Endpoints]:
    return {
        Product.SPOT: Endpoints(
            rest=f"https://api.{site}",
            ws_public=f"wss://x-push-spot.{site}",
            ws_private=f"wss://ws-api-spot.{site}/",
            ws_trade=f"wss://wsapi.{site}/v1/private",
        ),
        Product.PERP: Endpoints(
            rest=f"https://api-futures.{site}",
            ws_public=f"wss://x-push-futures.{site}",
            ws_private=f"wss://ws-api-futures.{site}/",
            ws_trade=f"wss://wsapi.{site}/v1/private",
        ),
    }


REGIONS = {"global": _at("kucoin.com"), "eu": _at("kucoin.eu")}
"""The European entity has the same paths under its own name; its keys work there alone."""

PUSH_HOSTS = {"kucoin.com": "wss://wsapi-push.kucoin.com", "kucoin.eu": "wss://wsapi-push.kucoin.eu"}


def of_unified_account(addresses: Mapping[Product, Endpoints], product: Product) -> Endpoints:
    """Return a product's addresses for a unified account: orders of both products go to the spot host.

    Its private stream is the push socket; the token's own answer may name another address.
    """
    rest = addresses[Product.SPOT].rest
    push = next(url for site, url in PUSH_HOSTS.items() if rest.endswith(site))
    return msgspec.structs.replace(addresses[product], rest_trade=rest, ws_private=push)


LIVE = REGIONS["global"]
"""There is no test network: the sandbox was shut down."""

TRADE_TYPES = {Product.SPOT: "SPOT", Product.PERP: "FUTURES"}

DEPTH_SPEEDS = ("10ms",)
"""Cadence of the unified stream; the classic streams are real time and have no word for it."""
UNIFIED_DEPTH = "increment@10ms"
"""One snapshot of at most 500 levels a side, then deltas of that window; what leaves it is removed."""

CLASSIC_DEPTH = {Product.SPOT: "/market/level2", Product.PERP: "/contractMarket/level2"}
CLASSIC_TRADES = {Product.SPOT: "/market/match", Product.PERP: "/contractMarket/execution"}
CLASSIC_TOPS = {Product.SPOT: "/market/ticker", Product.PERP: "/contractMarket/tickerV2"}
CLASSIC_FUNDING = "/contract/instrument"

PING = b'{"id":"ping","type":"ping"}'
ORDER_PING = b'{"id":"ping","op":"ping","timestamp":1700000000000}'
"""The documents show the present time here; nothing says that it is looked at."""

# A socket whose client is silent is closed after 60 s, even while it streams; the venue asks for a ping every
# 18 s (each handshake and welcome says so) and cuts who pings more than once a second. Ours go out more
# often than asked, to find a half-open link early.
PING_MS = 3_000
_HEARTBEAT = Heartbeat(silence_ms=25_000, ping_interval_ms=PING_MS, pong_timeout_ms=2_000, ping_text=PING)
_ORDER_HEARTBEAT = Heartbeat(
    silence_ms=25_000, ping_interval_ms=PING_MS, pong_timeout_ms=2_000, ping_text=ORDER_PING
)

# No lifetime is documented: sockets are dropped for load balancing once or twice a week, and a token lives
# 24 h. Ours are replaced every day, lest it be the venue who chooses the moment.
_LIFETIME_S = 23 * 3600

# 300 client messages in 10 s, 600 topics, 250 connects in 5 min per address of ours. One topic a message;
# a session wants its acknowledgements within 10 s: hence at most 200 topics a connection.
UNIFIED_RULES = ConnectionRules(
    heartbeat=_HEARTBEAT,
    messages_per_s=28,
    streams_max=200,
    connects=25,
    connects_window_s=30,
    lifetime_s=_LIFETIME_S,
)

# 100 client messages in 10 s; 100 topics a message; 300 or 400 topics a connection (the documents disagree);
# 30 connects a minute.
CLASSIC_RULES = ConnectionRules(
    heartbeat=_HEARTBEAT,
    messages_per_s=9,
    streams_max=300,
    connects=30,
    connects_window_s=60,
    lifetime_s=_LIFETIME_S,
)
TOPICS_PER_MESSAGE = 100

PRIVATE_RULES = CLASSIC_RULES
PUSH_PING = b'{"id":"ping","type":"ping","op":"ping","timestamp":1700000000000}'
"""The venue's SDK says ``op`` on the unified account stream, the documents ``type``: both are said."""
PUSH_RULES = msgspec.structs.replace(
    UNIFIED_RULES, heartbeat=msgspec.structs.replace(_HEARTBEAT, ping_text=PUSH_PING)
)
TRADE_RULES = ConnectionRules(
    heartbeat=_ORDER_HEARTBEAT,
    messages_per_s=100,
    streams_max=1,
    connects=30,
    connects_window_s=60,
    lifetime_s=_LIFETIME_S,
)
"""No message limit is documented for order entry but the request pools: see ``REST_BUDGETS``."""

WINDOW_MS = 30_000
POOL_HEADERS = ("gw-ratelimit-limit", "gw-ratelimit-remaining", "gw-ratelimit-reset")
"""What every counted answer says of its pool; 429000 without them is overload, not a used-up pool."""


def _rules(weight: int, orders: int) -> tuple[BudgetRule, ...]:
    return (
        BudgetRule("weight_30s", "weight", WINDOW_MS, weight, pool_headers=POOL_HEADERS),
        BudgetRule("orders_30s", "orders", WINDOW_MS, orders, pool_headers=POOL_HEADERS),
    )


REST_BUDGETS = {Product.SPOT: _rules(2_000, 2_000), Product.PERP: _rules(1_000, 500)}
"""Pools of the lowest tier in 30 s: public data 2000 per address of ours, spot 4000 and futures 2000 per
account. A place weighs 1 on spot and 2 on futures, here as one order: both rules together stay within the
account's pool, and the first within the public one. Answers state what *remains* of a pool, which other
processes may share: the same share counts as used here, and an empty one is waited for."""

UNIFIED_BUDGETS = (
    BudgetRule("weight_30s", "weight", WINDOW_MS, 2_000),
    BudgetRule("weight_3s", "weight", 3_000, 200, pool_headers=POOL_HEADERS),
    BudgetRule("orders_3s", "orders", 3_000, 100, pool_headers=POOL_HEADERS),
)
"""Of a unified account, for each product: public data as above, and a pool of 200 in 3 s for everything else.
UNCONFIRMED: one source has these numbers; the answers' headers correct them."""

VALIDITY_MS = 5_000
"""A signed request is refused (400002) when its stamp is further off than this."""

ORDER_WINDOW_MS = 2_000
"""``allowMaxTimeWindow`` of a spot place: arriving later after ``clientTimestamp`` it is refused."""

GIVE_UP_MS = 10_000
"""How long the venue may still act on a request it took: not documented, assumed."""

ORDERS_PAGE = 100
FILLS_PAGE = 100
