"""Names of the classic topics, and which host has them.

Source: KuCoin API docs, "WebSocket / Public" and "Private" of spot and futures, seen 2025-11.
"""

from __future__ import annotations

from engine.sim.accounts import Account
from engine.sim.kucoin.hub import Key
from engine.sim.kucoin.instruments import Listing
from engine.sim.kucoin.market_queries import CANDLES

PUBLIC = {
    "spot": (
        "/market/level2", "/market/match", "/market/ticker", "/market/snapshot", "/market/candles",
        "/spotMarket/level1", "/spotMarket/level2Depth5", "/spotMarket/level2Depth50",
    ),
    "futures": (
        "/contractMarket/level2", "/contractMarket/execution", "/contractMarket/ticker",
        "/contractMarket/tickerV2", "/contractMarket/level2Depth5", "/contractMarket/level2Depth50",
        "/contract/instrument", "/contract/announcement", "/contractMarket/snapshot",
        "/contractMarket/limitCandle",
    ),
}  # fmt: skip
PRIVATE = {
    "spot": (
        "/spotMarket/tradeOrders", "/spotMarket/tradeOrdersV2", "/spotMarket/advancedOrders",
        "/account/balance", "/contract/position",
    ),
    "futures": (
        "/contractMarket/tradeOrders", "/contractMarket/advancedOrders", "/contractAccount/wallet",
        "/contract/position", "/contract/positionAll", "/contract/marginMode", "/contract/crossLeverage",
    ),
}  # fmt: skip
"""The position topic is taken at the spot socket too: a client asks for it there."""
WITH_CANDLES = ("/market/candles", "/contractMarket/limitCandle")
WHOLE = ("/market/ticker:all", "/contract/announcement")
"""Topics without a symbol."""


class TopicError(Exception):
    """A topic that cannot be had; ``code`` is the error frame's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def split(topic: str) -> list[str]:
    """Return the topics of one symbol each that a topic stands for."""
    name, colon, names = topic.partition(":")
    return [f"{name}:{each}" for each in names.split(",")] if colon else [topic]


def key_of(topic: str, host: str, account: Account | None, listing: Listing) -> Key | None:
    """Return a topic's key, None where its symbol does not exist: that is silent; raises TopicError."""
    name, _, word = topic.partition(":")
    if name in PRIVATE[host]:
        if account is None:
            raise TopicError(403, "login is required")
        return f"private {account.name}", topic, ""
    if name not in PUBLIC[host]:
        raise TopicError(404, "topic does not exist")
    if topic in WHOLE:
        return host, topic, ""
    if not word:
        raise TopicError(400, "topic is invalid")
    symbol = word
    if name in WITH_CANDLES:
        symbol, _, length = word.partition("_")
        if length not in CANDLES:
            raise TopicError(400, "topic is invalid")
    one = listing.find(symbol, host == "futures")
    return None if one is None else (host, topic, symbol)
