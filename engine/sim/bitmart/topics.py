"""Topic names: which there are, and what each means.

Source: BitMart spot and futures v2 docs, "WebSocket Subscription", mirrored copy of 2025-11; SDK 2.8.0
constants; names probed on the futures host, 2026-09-23.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.sim.bitmart.instruments import Instrument, Listing

SPOT_DEPTHS = {"depth5": 5, "depth20": 20, "depth50": 50}
SPOT_STEPS = {
    "kline1m": "1m", "kline3m": "3m", "kline5m": "5m", "kline15m": "15m", "kline30m": "30m", "kline1H": "1h",
    "kline2H": "2h", "kline4H": "4h", "kline1D": "1d", "kline1W": "1w", "kline1M": "1M",
}  # fmt: skip
FUTURES_STEPS = {
    "1m": "1m", "3m": "3m", "5m": "5m", "15m": "15m", "30m": "30m", "1H": "1h", "2H": "2h", "4H": "4h",
    "12H": "12h", "1D": "1d", "1W": "1w",
}  # fmt: skip
ASSETS = ("USDT", "BTC", "ETH", "USDC")
_FUTURES_DEPTH = re.compile(r"(v2/)?(depthAll|depthIncrease|depth)(5|20|50)")
_FUTURES_KLINE = re.compile(r"klineBin(\d{1,2}[mHDW])")
_SPEED = re.compile(r"(100|200)ms")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic means.

    Attributes:
        kind: ``delta``, ``whole`` (spot), ``side``, ``all``, ``silent``, ``trade``, ``ticker``, ``tickers``,
            ``book_ticker``, ``funding``, ``kline``; private ``order``, ``orders``, ``balance``, ``asset``,
            ``position``.
        one: the instrument, None where a topic is for all.
        depth: levels of a side. speed_ms: of the suffix, 0 without. step: of candles, the tape's word.
    """

    name: str
    kind: str
    one: Instrument | None = None
    depth: int = 0
    speed_ms: int = 0
    step: str = ""


def spot_public(listing: Listing, name: str) -> Topic | None:
    """Return a public spot topic; None: there is no such channel. An unknown symbol raises KeyError."""
    channel, _, symbol = name.partition(":")
    head, _, rest = channel.partition("/")
    kinds = {"trade": "trade", "ticker": "ticker", "bookTicker": "book_ticker", "depth/increase100": "delta"}
    if head != "spot" or not (rest in kinds or rest in SPOT_DEPTHS or rest in SPOT_STEPS):
        return None
    one = listing.by_name["spot", symbol]
    if rest in SPOT_DEPTHS:
        return Topic(name, "whole", one, SPOT_DEPTHS[rest])
    if rest in SPOT_STEPS:
        return Topic(name, "kline", one, step=SPOT_STEPS[rest])
    return Topic(name, kinds[rest], one, 100 if kinds[rest] == "delta" else 0)


def spot_private(listing: Listing, name: str) -> Topic | None:
    """Return a private spot topic; None: there is no such channel. An unknown symbol raises KeyError."""
    channel, _, rest = name.partition(":")
    if channel == "spot/user/order":
        return Topic(name, "order", listing.by_name["spot", rest])
    if name == "spot/user/orders:ALL_SYMBOLS":
        return Topic(name, "orders")
    if name == "spot/user/balance:BALANCE_UPDATE":
        return Topic(name, "balance")
    return None


def futures_public(listing: Listing, name: str) -> Topic | None:
    """Return a public futures topic; None: not found (channel, speed or symbol)."""
    if not name.startswith("futures/"):
        return None
    channel, _, rest = name.removeprefix("futures/").partition(":")
    symbol, at, speed = rest.partition("@")
    if at and not _SPEED.fullmatch(speed):
        return None
    speed_ms = int(speed[:3]) if at else 0
    if channel == "ticker" and not rest:
        return Topic(name, "tickers")
    one = listing.by_name.get(("perp", symbol))
    if one is None:
        return None
    if (match := _FUTURES_DEPTH.fullmatch(channel)) is not None:
        if match[1]:
            return Topic(name, "silent", one) if match[2] != "depth" else None
        kind = {"depthAll": "all", "depthIncrease": "delta", "depth": "side"}[match[2]]
        return Topic(name, kind, one, int(match[3]), speed_ms)
    if (match := _FUTURES_KLINE.fullmatch(channel)) is not None and match[1] in FUTURES_STEPS:
        return Topic(name, "kline", one, step=FUTURES_STEPS[match[1]])
    kinds = {"ticker": "ticker", "bookticker": "book_ticker"}
    if not at:
        kinds |= {"trade": "trade", "fundingRate": "funding"}
    return Topic(name, kinds[channel], one, 0, speed_ms) if channel in kinds else None


def futures_private(name: str) -> Topic | None:
    """Return a private futures topic; None: not found."""
    if name in ("futures/order", "futures/position"):
        return Topic(name, name.partition("/")[2])
    channel, _, coin = name.partition(":")
    return Topic(name, "asset") if channel == "futures/asset" and coin in ASSETS else None
