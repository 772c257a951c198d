"""Damaged bytes against Binance's decoders."""

from __future__ import annotations

import functools
import random

import pytest

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Product
from engine.model.orders import OrderAck, Outcome
from engine.venues.base import Credentials, Secret, Topic, WsReply
from engine.venues.binance.adapter import BinanceMarketData, BinanceTrading
from engine.venues.binance.endpoints import LIVE
from engine.venues.binance.instruments import decode_budgets, decode_listing
from tests.property.adapter_fuzz import (
    AdapterFuzz,
    Side,
    assert_never_a_refusal,
    assert_raw,
    golden,
    mutations,
)

SAMPLES = golden("binance")
KEYS = Credentials(Secret("k"), Secret("s"))


def side(product: Product, symbol: str) -> Side:
    listing = decode_listing(product, SAMPLES[f"http_exchange_info_{product.value}"])
    known = {each.symbol: each for each in listing.instruments}
    market = BinanceMarketData(product, LIVE[product])
    market.market_plans(listing.instruments, frozenset(Topic))
    return Side(market, BinanceTrading(product, LIVE[product], KEYS, known), known[symbol], decode_listing)


SPOT, PERP = side(Product.SPOT, "BTCUSDT"), side(Product.PERP, "BTCUSDT")


class TestBinanceDecoders(AdapterFuzz):
    venue, samples, sides = "binance", SAMPLES, (SPOT, PERP)
    fields = (
        "stream data e E id status result error code msg event o a B P s symbol symbols orderId "
        "rateLimits bids asks lastUpdateId filters"
    )
    nests = (b'{"stream":"btcusdt@trade","data":',)

    def decode_more(self, payload: bytes) -> None:
        for product in Product:
            assert_raw(functools.partial(decode_budgets, product), payload)


@pytest.mark.parametrize("name", ["http_order_spot_result", "http_cancel_spot", "http_query_spot"])
def test_a_cut_order_answer_is_never_taken_for_a_refusal(name: str) -> None:
    assert_never_a_refusal(SPOT, SAMPLES[name])


def test_a_damaged_order_answer_is_true_or_unknown() -> None:
    """A flipped bit may still give a readable order, but never a definite refusal."""
    for payload in mutations(SAMPLES["http_order_spot_result"], random.Random(11)):
        answer = SPOT.trading.decode_order(SPOT.instrument, 200, payload)
        assert isinstance(answer, OrderAck) or answer.outcome is Outcome.UNKNOWN
    for payload in mutations(SAMPLES["wsapi_place"], random.Random(12)):
        try:
            events = SPOT.trading.decode_private(payload, 1, 2)
        except ProtocolViolation:
            continue
        for event in events:
            assert isinstance(event, WsReply)
