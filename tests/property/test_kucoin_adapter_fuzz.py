"""Damaged bytes against KuCoin's decoders."""

from __future__ import annotations

import pytest

from engine.model.instrument import Product
from engine.venues.base import Credentials, Secret, Topic
from engine.venues.kucoin.adapter import KucoinMarketData, KucoinTrading
from engine.venues.kucoin.endpoints import LIVE
from engine.venues.kucoin.instruments import decode_listing
from engine.venues.kucoin.unified_account import KucoinUnifiedTrading
from tests.property.adapter_fuzz import (
    AdapterFuzz,
    Side,
    assert_never_a_refusal,
    assert_refused_as_a_whole,
    golden,
)

SAMPLES = golden("kucoin")
KEYS = Credentials(Secret("k"), Secret("s"), Secret("p"))


def sides(product: Product, symbol: str) -> tuple[Side, Side]:
    """Return a classic account beside the unified streams, and a unified one beside the classic streams."""
    listing = decode_listing(product, SAMPLES[f"http_instruments_{product.value}"])
    known = {each.symbol: each for each in listing.instruments}
    unified, classic = (
        KucoinMarketData(product, LIVE[product], streams=streams) for streams in ("unified", "classic")
    )
    for market in (unified, classic):
        market.market_plans(listing.instruments, frozenset(Topic))
    return (
        Side(unified, KucoinTrading(product, LIVE[product], KEYS, known), known[symbol], decode_listing),
        Side(
            classic, KucoinUnifiedTrading(product, LIVE[product], KEYS, known), known[symbol], decode_listing
        ),
    )


SPOT, UNIFIED_SPOT = sides(Product.SPOT, "BTC-USDT")
PERP, UNIFIED_PERP = sides(Product.PERP, "XBTUSDTM")


class TestKucoinDecoders(AdapterFuzz):
    venue, samples, sides = "kucoin", SAMPLES, (SPOT, UNIFIED_SPOT, PERP, UNIFIED_PERP)
    fields = (
        "T d s p q ti M type topic subject data id code result message sessionId op msg orderId clientOid "
        "status side size price ts currency items cancelledOrderIds instanceServers token"
    )
    nests = (b'{"topic":"/market/match:BTC-USDT","data":',)


@pytest.mark.parametrize("name", ["uta_place", "uta_order"])
def test_a_cut_answer_of_a_unified_account_is_never_taken_for_a_refusal(name: str) -> None:
    assert_never_a_refusal(UNIFIED_PERP, SAMPLES[name])


@pytest.mark.parametrize("name", ["http_place", "http_cancel_spot", "http_order_spot", "http_amend"])
def test_a_cut_order_answer_is_never_taken_for_a_refusal(name: str) -> None:
    assert_never_a_refusal(SPOT, SAMPLES[name])


def test_a_cut_answer_on_the_order_connection_is_refused_as_a_whole() -> None:
    assert_refused_as_a_whole(PERP.trading, SAMPLES["wsapi_place"])
