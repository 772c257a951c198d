"""What Bybit's answers tell of funding: intervals page by page, settled rates."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest

from engine.model.errors import ProtocolViolation
from engine.model.funding import HOUR_NS, FundingTerms, PredictedRate, SettledRate
from engine.model.instrument import Instrument, Product
from engine.model.market import FundingUpdate
from engine.model.orders import RejectReason, VenueError
from engine.venues.base import Continued, Topic
from engine.venues.bybit.adapter import BybitMarketData
from engine.venues.bybit.endpoints import LIVE
from engine.venues.bybit.funding import BybitFunding
from tests.unit.venues.adapter_rig import Sample

BTC = "BTC/USDT:USDT"


@pytest.fixture
def reader() -> BybitFunding:
    return BybitFunding()


def intervals(rows: list[dict[str, object]], cursor: str = "") -> bytes:
    result = {"category": "linear", "list": rows, "nextPageCursor": cursor}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "time": 1}).encode()


def test_perpetuals_alone_have_funding() -> None:
    spot, perp = (BybitMarketData(product, LIVE[product]) for product in Product)
    assert spot.funding is None
    assert perp.funding is not None
    assert perp.funding.predicted is PredictedRate.NOT_OFFERED
    assert perp.funding.questions([]) == []


def test_intervals_come_in_minutes_and_pages(reader: BybitFunding, perp_btc: Instrument) -> None:
    (question,) = reader.questions([perp_btc])
    assert question.request.target == "/v5/market/instruments-info?category=linear&limit=1000"
    assert question.every_ns == HOUR_NS
    assert isinstance(reader, Continued)
    first = intervals([{"symbol": "AAAUSDT", "fundingInterval": 60}], "page%3D2")
    following = reader.continuation(question.request, 200, first, 0)
    assert following is not None
    assert following.target == f"{question.request.target}&cursor=page%3D2"
    assert reader.decode_terms(question, 200, first) == []
    for minutes, hours in ((480, 8), (240, 4), (120, 2), (60, 1)):
        last = intervals([{"symbol": "BTCUSDT", "fundingInterval": minutes}])
        assert reader.decode_terms(question, 200, last) == [
            FundingTerms(universal=BTC, interval_ns=hours * HOUR_NS)
        ]
    assert reader.continuation(following, 200, intervals([]), 0) is None


def test_the_listings_own_sample(reader: BybitFunding, perp_btc: Instrument, sample: Sample) -> None:
    (question,) = reader.questions([perp_btc])
    assert reader.decode_terms(question, 200, sample("http_instruments_perp")) == [
        FundingTerms(universal=BTC, interval_ns=8 * HOUR_NS)
    ]


def test_settled_rates(reader: BybitFunding, perp_btc: Instrument, sample: Sample) -> None:
    assert reader.decode_page(perp_btc, 200, sample("http_funding_history")) == [
        SettledRate(BTC, 1795449600_000_000_000, D("0.0001")),
        SettledRate(BTC, 1795420800_000_000_000, D("-0.00007215")),
        SettledRate(BTC, 1795392000_000_000_000, D(0)),
    ]


def test_a_page_ends_before_the_time(reader: BybitFunding, perp_btc: Instrument) -> None:
    """endTime is included on the wire, and startTime is left out: alone it would be refused."""
    page = reader.page(perp_btc, 1795449600_000_000_000, 500)
    assert page.request.target == (
        "/v5/market/funding/history?category=linear&symbol=BTCUSDT&endTime=1795449599999&limit=200"
    )
    assert (page.rows_max, page.since_utc_ns, page.is_last) == (200, None, False)


def test_the_ticker_tells_the_interval(perp_btc: Instrument, sample: Sample) -> None:
    perp = BybitMarketData(Product.PERP, LIVE[Product.PERP])
    perp.market_plans([perp_btc], frozenset({Topic.FUNDING}))
    snapshot = sample("ws_ticker_snapshot")
    (update,) = perp.decode_market(snapshot, 0, 1)
    assert isinstance(update, FundingUpdate)
    assert (update.interval_ns, update.predicted_rate) == (8 * HOUR_NS, None)
    assert update.rate_utc_ns == 1795442401686_000_000
    delta = (
        b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"fundingIntervalHour":"4"},"ts":1795442402000}'
    )
    (changed,) = perp.decode_market(delta, 0, 2)
    assert isinstance(changed, FundingUpdate)
    assert (changed.interval_ns, changed.funding_rate) == (4 * HOUR_NS, update.funding_rate)
    assert changed.rate_utc_ns == 1795442402000_000_000  # what a delta leaves out stands unchanged
    for wrong in (b'"-4"', b'"4.5"', b'"four"', b'"04"'):
        with pytest.raises(ProtocolViolation, match="interval of"):
            perp.decode_market(delta.replace(b'"4"', wrong), 0, 3)
    (none,) = perp.decode_market(delta.replace(b'"4"', b'""'), 0, 4)
    assert isinstance(none, FundingUpdate)
    assert none.interval_ns is None


def test_refusals_are_values(reader: BybitFunding, perp_btc: Instrument) -> None:
    body = b'{"retCode":10001,"retMsg":"params error: Symbol Invalid","result":{},"time":1}'
    (question,) = reader.questions([perp_btc])
    for answer in (reader.decode_page(perp_btc, 200, body), reader.decode_terms(question, 200, body)):
        assert isinstance(answer, VenueError)
        assert answer.code == "10001"
    banned = reader.decode_page(perp_btc, 403, b"403, access too frequent. Please try again later.")
    assert isinstance(banned, VenueError)
    assert banned.reason in (RejectReason.RATE_LIMIT, RejectReason.BANNED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"fundingRate":"-0.00007215"', b'"fundingRate":""'),
        (b'"fundingRate":"-0.00007215"', b'"fundingRate":null'),
        (b'"fundingRateTimestamp":"1795420800000"', b'"fundingRateTimestamp":1795420800000'),
        (b'"fundingRateTimestamp":"1795420800000"', b'"fundingRateTimestamp":""'),
        (b'"symbol":"BTCUSDT"', b'"symbol":"BTCPERP"'),
        (b'"list"', b'"rows"'),
    ],
)
def test_malformed_pages(
    reader: BybitFunding, perp_btc: Instrument, sample: Sample, old: bytes, new: bytes
) -> None:
    with pytest.raises(ProtocolViolation, match="settled rates"):
        reader.decode_page(perp_btc, 200, sample("http_funding_history").replace(old, new))


@pytest.mark.parametrize("minutes", [0, -60, "480", None, 1.5])
def test_intervals_that_are_none(reader: BybitFunding, perp_btc: Instrument, minutes: object) -> None:
    (question,) = reader.questions([perp_btc])
    with pytest.raises(ProtocolViolation, match="funding terms"):
        reader.decode_terms(question, 200, intervals([{"symbol": "BTCUSDT", "fundingInterval": minutes}]))
