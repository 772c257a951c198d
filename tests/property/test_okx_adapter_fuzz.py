"""Damaged bytes against OKX's decoders."""

from __future__ import annotations

import pytest

from engine.model.instrument import Product
from engine.venues.base import Credentials, Secret, Topic
from engine.venues.okx.adapter import OkxMarketData, OkxTrading
from engine.venues.okx.endpoints import LIVE
from engine.venues.okx.instruments import decode_listing
from tests.property.adapter_fuzz import (
    AdapterFuzz,
    Side,
    assert_never_a_refusal,
    assert_refused_as_a_whole,
    golden,
)

SAMPLES = golden("okx")
KEYS = Credentials(Secret("k"), Secret("s"), Secret("p"))


def side(product: Product, symbol: str) -> Side:
    listing = decode_listing(product, SAMPLES[f"http_instruments_{product.value}"])
    known = {each.symbol: each for each in listing.instruments}
    market = OkxMarketData(product, LIVE[product])
    market.market_plans(listing.instruments, frozenset(Topic))
    return Side(market, OkxTrading(product, LIVE[product], KEYS, known), known[symbol], decode_listing)


SPOT, PERP = side(Product.SPOT, "BTC-USDT"), side(Product.PERP, "BTC-USDT-SWAP")


class TestOkxDecoders(AdapterFuzz):
    venue, samples, sides = "okx", SAMPLES, (SPOT, PERP)
    fields = (
        "arg channel instId data event id op code msg sCode ordId clOrdId state side sz px ts details ccy "
        "pos connId eventType seqId bids asks"
    )
    nests = (b'{"arg":{"channel":"orders"},"data":',)


@pytest.mark.parametrize("name", ["http_place", "http_cancel", "http_order_live", "http_order_part"])
def test_a_cut_order_answer_is_never_taken_for_a_refusal(name: str) -> None:
    assert_never_a_refusal(PERP, SAMPLES[name])


def test_a_cut_answer_on_the_order_connection_is_refused_as_a_whole() -> None:
    assert_refused_as_a_whole(PERP.trading, SAMPLES["wsapi_place"])
