"""Damaged bytes against BitMart's decoders."""

from __future__ import annotations

import pytest

from engine.model.instrument import Product
from engine.venues.base import Credentials, Secret, Topic
from engine.venues.bitmart.adapter import BitmartMarketData, BitmartTrading
from engine.venues.bitmart.endpoints import LIVE
from engine.venues.bitmart.instruments import decode_listing
from tests.property.adapter_fuzz import STATUSES, AdapterFuzz, Side, assert_never_a_refusal, golden

SAMPLES = golden("bitmart")
KEYS = Credentials(Secret("k"), Secret("s"), Secret("p"))


def side(product: Product, symbol: str) -> Side:
    listing = decode_listing(product, SAMPLES[f"http_instruments_{product.value}"])
    known = {each.symbol: each for each in listing.instruments}
    market = BitmartMarketData(product, LIVE[product])
    market.market_plans(listing.instruments, frozenset(Topic))
    return Side(market, BitmartTrading(product, LIVE[product], KEYS, known), known[symbol], decode_listing)


SPOT, PERP = side(Product.SPOT, "BTC_USDT"), side(Product.PERP, "BTCUSDT")


class TestBitmartDecoders(AdapterFuzz):
    venue, samples, sides = "bitmart", SAMPLES, (SPOT, PERP)
    fields = (
        "table group data event topic action success error errorCode code message msg symbol order "
        "order_id orderId state order_state side size price ms_t last_trade lastTradeID position_type "
        "hold_volume balance_details wallet symbols currency available_balance result tradeId asks bids"
    )
    nests = (b'{"group":"futures/order","data":[',)

    def decode_more(self, payload: bytes) -> None:
        for _, trading, btc, _ in self.sides:
            assert isinstance(trading, BitmartTrading)
            query = trading.query_http(btc, "te11", None, 1)
            for status in STATUSES:
                trading.continuation(query, status, payload, 1)


@pytest.mark.parametrize("name", [
    "http_place_spot", "http_cancel_spot", "http_order_spot", "http_place_perp", "http_cancel_perp",
    "http_order_perp", "http_amend_perp",
])  # fmt: skip
def test_a_cut_order_answer_is_never_taken_for_a_refusal(name: str) -> None:
    assert_never_a_refusal(SPOT if name.endswith("spot") else PERP, SAMPLES[name])
