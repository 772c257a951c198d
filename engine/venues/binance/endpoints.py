"""Addresses, stream names and documented limits of Binance spot and USD-M futures.

Meaning of the bases in ``Endpoints``: ``rest`` is scheme and host, paths are appended; ``ws_public`` is
the stream base, to which ``/stream`` (spot) or ``/public/stream`` and ``/market/stream`` (USD-M) are
appended; ``ws_private`` is the WebSocket API address on spot (user data is subscribed there) and the
stream base on USD-M (``/private/ws`` is appended); ``ws_trade`` is the whole WebSocket API address.

Sources: Binance spot API docs (rest-api, web-socket-streams, web-socket-api; 2026-07-21), USD-M docs
(2026-05-27 and change log to 2026-09-10).
"""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import BudgetRule, ConnectionRules, Endpoints, Heartbeat

VENUE = "binance"

LIVE = {
    Product.SPOT: Endpoints(
        rest="https://api.binance.com",
        ws_public="wss://stream.binance.com:9443",
        ws_private="wss://ws-api.binance.com:443/ws-api/v3",
        ws_trade="wss://ws-api.binance.com:443/ws-api/v3",
    ),
    Product.PERP: Endpoints(
        rest="https://fapi.binance.com",
        ws_public="wss://fstream.binance.com",
        ws_private="wss://fstream.binance.com",
        ws_trade="wss://ws-fapi.binance.com/ws-fapi/v1",
    ),
}

TESTNET = {
    Product.SPOT: Endpoints(
        rest="https://testnet.binance.vision",
        ws_public="wss://stream.testnet.binance.vision",
        ws_private="wss://ws-api.testnet.binance.vision/ws-api/v3",
        ws_trade="wss://ws-api.testnet.binance.vision/ws-api/v3",
    ),
    Product.PERP: Endpoints(
        rest="https://demo-fapi.binance.com",
        ws_public="wss://demo-fstream.binance.com",
        ws_private="wss://demo-fstream.binance.com",
        ws_trade="wss://testnet.binancefuture.com/ws-fapi/v1",
    ),
}

PATHS = {Product.SPOT: "/api/v3", Product.PERP: "/fapi/v1"}

DEPTH_SPEEDS = {Product.SPOT: ("100ms", "1000ms"), Product.PERP: ("100ms", "250ms", "500ms", "0ms")}
"""Cadence words; spot's 1000 ms and futures' 250 ms are the streams without a suffix. ``0ms`` is
undocumented and works (recordings use it). Source: stream docs, "Diff. Depth Stream"."""

TRADE_STREAMS = ("trade", "aggTrade")
"""What USD-M prints can come from. Source: ``@aggTrade`` is documented; ``@trade`` was recorded."""

DEPTH_LIMIT = 1000
"""Levels of a snapshot: weight 50 (spot), 20 (USD-M). Source: REST docs, "Order Book"."""

SNAPSHOT_WEIGHT = {Product.SPOT: 50, Product.PERP: 20}

# Spot pings every 20 s and cuts after 60 s without pong; USD-M pings every 3 min, cuts after 10 min.
# Our own pings find a half-open link long before that; unsolicited pongs are allowed on both.
# Source: "WebSocket connection limits", spot 2026-07-21; USD-M "Connect" 2026-05-27.
STREAM_RULES = {
    Product.SPOT: ConnectionRules(
        heartbeat=Heartbeat(silence_ms=30_000, ping_interval_ms=3_000, pong_timeout_ms=2_000),
        messages_per_s=5,
        streams_max=1024,
        connects=300,
        connects_window_s=300,
        lifetime_s=24 * 3600,
    ),
    Product.PERP: ConnectionRules(
        heartbeat=Heartbeat(silence_ms=30_000, ping_interval_ms=3_000, pong_timeout_ms=2_000),
        messages_per_s=10,
        streams_max=1024,
        connects=300,  # no number is published for USD-M: the spot one is used
        connects_window_s=300,
        lifetime_s=24 * 3600,
    ),
}

# Spot: 300 connection attempts per 5 min and IP, connecting costs 2; USD-M: connecting costs 5, no number
# of attempts is published. Requests are limited by weight, not by message count; the one number that is
# documented (USD-M: 5 pings and pongs a second) is far above our cadence, so the pacing only guards.
# Source: spot WebSocket API "General API information" 2026-07-21; USD-M "Websocket API General Info"
# 2026-05-27.
TRADE_RULES = {
    product: ConnectionRules(
        heartbeat=Heartbeat(silence_ms=30_000, ping_interval_ms=3_000, pong_timeout_ms=2_000),
        messages_per_s=1_000,
        streams_max=1_000,
        connects=300,
        connects_window_s=300,
        lifetime_s=24 * 3600,
        connect_weight=weight,
    )
    for product, weight in ((Product.SPOT, 2), (Product.PERP, 5))
}

PRIVATE_RULES = {Product.SPOT: TRADE_RULES[Product.SPOT], Product.PERP: STREAM_RULES[Product.PERP]}
"""Spot user data is subscribed on the WebSocket API; USD-M user data is a stream of its own."""

LISTEN_KEY_RENEW_MS = 25 * 60_000
"""A listen key lives 60 min; the documentation advises a renewal about every 30."""

FUNDING_LABEL = f"{VENUE}.perp.funding"
"""Label of the requests that share a limit of their own: fundingRate and fundingInfo, 500 in 5 min and IP."""

REST_BUDGETS = {
    Product.SPOT: (
        BudgetRule("weight_1m", "weight", 60_000, 6_000, "x-mbx-used-weight-1m"),
        BudgetRule("orders_10s", "orders", 10_000, 50, "x-mbx-order-count-10s"),
        BudgetRule("orders_1d", "orders", 86_400_000, 160_000, "x-mbx-order-count-1d"),
    ),
    Product.PERP: (
        BudgetRule("weight_1m", "weight", 60_000, 2_400, "x-mbx-used-weight-1m"),
        BudgetRule("orders_10s", "orders", 10_000, 300, "x-mbx-order-count-10s"),
        BudgetRule("orders_1m", "orders", 60_000, 1_200, "x-mbx-order-count-1m"),
        BudgetRule(FUNDING_LABEL, "endpoint", 300_000, 500),
    ),
}
"""Documented defaults; exchangeInfo's ``rateLimits`` are the truth for an account's environment."""

RECV_WINDOW_MS = 2_000
"""How long a signed order stays valid. Short, so that an unanswered order can soon be proven absent."""

GIVE_UP_MS = 10_000
"""The venue itself stops waiting for its matching engine after this. Source: errors, -1007."""
