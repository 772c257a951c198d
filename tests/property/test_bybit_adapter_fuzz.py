"""Damaged bytes against Bybit's decoders."""

from __future__ import annotations

import pytest

from engine.model.instrument import Product
from engine.model.wire import HttpRequest
from engine.venues.base import Credentials, Secret, Topic
from engine.venues.bybit.adapter import BybitMarketData, BybitTrading
from engine.venues.bybit.endpoints import LIVE
from engine.venues.bybit.instruments import decode_listing
from tests.property.adapter_fuzz import (
    STATUSES,
    AdapterFuzz,
    Side,
    assert_never_a_refusal,
    assert_refused_as_a_whole,
    golden,
)

SAMPLES = golden("bybit")
STAMP = 1795442400100
KEYS = Credentials(Secret("k"), Secret("s"))


def side(product: Product, symbol: str) -> Side:
    listing = decode_listing(product, SAMPLES[f"http_instruments_{product.value}"])
    known = {each.symbol: each for each in listing.instruments}
    market = BybitMarketData(product, LIVE[product])
    market.market_plans(listing.instruments, frozenset(Topic))
    return Side(market, BybitTrading(product, LIVE[product], KEYS, known), known[symbol], decode_listing)


SPOT, PERP = side(Product.SPOT, "BTCUSDT"), side(Product.PERP, "BTCUSDT")


class TestBybitDecoders(AdapterFuzz):
    venue, samples, sides = "bybit", SAMPLES, (SPOT, PERP)
    fields = (
        "topic type ts data op success ret_msg req_id reqId retCode retMsg result list nextPageCursor "
        "category header X-Bapi-Limit X-Bapi-Limit-Status Timenow orderId orderLinkId orderStatus symbol "
        "side qty price execId execFee extraFees coin walletBalance size positionIdx readOnly "
        "unifiedMarginStatus timeNano b a u cts"
    )
    nests = (
        b'{"topic":"order.linear","data":',
        b'{"retCode":0,"result":',
    )

    def decode_more(self, payload: bytes) -> None:
        for market, trading, btc, _ in self.sides:
            assert isinstance(market, BybitMarketData)
            assert isinstance(trading, BybitTrading)
            questions: list[tuple[BybitMarketData | BybitTrading, HttpRequest]] = [
                (trading, trading.query_http(btc, "a1", None, STAMP)),
                (trading, trading.fills_http(btc, None, STAMP)),
                (market, market.instruments_request()),
            ]
            for status in STATUSES:
                for asked, request in questions:
                    further = asked.continuation(request, status, payload, STAMP)
                    assert further is None or status == 200


@pytest.mark.parametrize("name", ["http_place", "http_amend", "http_order_open", "http_order_part"])
def test_a_cut_order_answer_is_never_taken_for_a_refusal(name: str) -> None:
    assert_never_a_refusal(PERP, SAMPLES[name])


def test_a_cut_answer_on_the_order_connection_is_refused_as_a_whole() -> None:
    assert_refused_as_a_whole(PERP.trading, SAMPLES["wsapi_place"])
