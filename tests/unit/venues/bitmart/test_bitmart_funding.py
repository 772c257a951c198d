"""What BitMart's answers tell of funding: the contract list, settled rates."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.model.errors import ProtocolViolation
from engine.model.funding import HOUR_NS, FundingTerms, PredictedRate, SettledRate
from engine.model.instrument import Instrument, Product
from engine.model.orders import RejectReason, VenueError
from engine.venues.bitmart.adapter import BitmartMarketData
from engine.venues.bitmart.endpoints import LIVE, rest_budgets
from engine.venues.bitmart.funding import BitmartFunding
from tests.unit.venues.adapter_rig import Sample

BTC = "BTC/USDT:USDT"


@pytest.fixture
def reader() -> BitmartFunding:
    return BitmartFunding()


def test_futures_alone_have_funding() -> None:
    spot, perp = (BitmartMarketData(product, LIVE[product]) for product in Product)
    assert spot.funding is None
    assert perp.funding is not None
    assert perp.funding.predicted is PredictedRate.SAME_AS_CURRENT
    assert perp.funding.questions([]) == []


def test_the_contract_list(reader: BitmartFunding, swap: Instrument, sample: Sample) -> None:
    """Contracts are not base units; the rounded settled rate of the list is not read."""
    (question,) = reader.questions([swap])
    assert question.request.target == "/contract/public/details"
    assert reader.decode_terms(question, 200, sample("http_instruments_perp")) == [
        FundingTerms(
            universal=BTC,
            interval_ns=8 * HOUR_NS,
            funding_rate=D("0.0001"),
            next_funding_utc_ns=1773158400_000_000_000,
            open_interest=D("12345.678"),
        )
    ]


@pytest.mark.parametrize("hours", [1, 4, 8])
def test_intervals(reader: BitmartFunding, swap: Instrument, sample: Sample, hours: int) -> None:
    (question,) = reader.questions([swap])
    old, new = b'"funding_interval_hours":8', b'"funding_interval_hours":%d' % hours
    terms = reader.decode_terms(question, 200, sample("http_instruments_perp").replace(old, new))
    assert isinstance(terms, list)
    assert terms[0].interval_ns == hours * HOUR_NS


def test_settled_rates(reader: BitmartFunding, swap: Instrument, sample: Sample) -> None:
    assert reader.decode_page(swap, 200, sample("http_funding_history")) == [
        SettledRate(BTC, 1795449600_000_000_000, D("0.000011900082")),
        SettledRate(BTC, 1795420800_000_000_000, D("-0.000091412174")),
        SettledRate(BTC, 1795392000_000_000_000, D(0)),
    ]
    assert reader.decode_page(swap, 200, b'{"code":1000,"data":{"list":null}}') == []
    bare = sample("http_funding_history").replace(b'"1795420800000"', b"1795420800000")
    assert reader.decode_page(swap, 200, bare) == reader.decode_page(
        swap, 200, sample("http_funding_history")
    )


def test_there_is_one_page(reader: BitmartFunding, swap: Instrument) -> None:
    page = reader.page(swap, 1795449600_000_000_000, 500)
    assert page.request.target == "/contract/public/funding-rate-history?symbol=BTCUSDT&limit=100"
    assert (page.rows_max, page.is_last) == (100, True)


def test_every_request_has_its_limit(reader: BitmartFunding, swap: Instrument) -> None:
    names = {rule.name for rule in rest_budgets(Product.PERP)}
    assert reader.page(swap, 10**18, 1).request.label in names
    assert {each.request.label for each in reader.questions([swap])} <= names


def test_refusals_are_values(reader: BitmartFunding, swap: Instrument) -> None:
    body = b'{"code":40034,"message":"Symbol Not Exist","trace":"t"}'
    (question,) = reader.questions([swap])
    for answer in (reader.decode_page(swap, 400, body), reader.decode_terms(question, 200, body)):
        assert isinstance(answer, VenueError)
        assert answer.code == "40034"
    limited = reader.decode_page(
        swap, 429, b'{"code":30013,"message":"Request too many requests","trace":"t"}'
    )
    assert isinstance(limited, VenueError)
    assert limited.reason is RejectReason.RATE_LIMIT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"funding_rate":"-0.000091412174"', b'"funding_rate":""'),
        (b'"funding_rate":"-0.000091412174"', b'"funding_rate":"-"'),
        (b'"funding_rate":"-0.000091412174"', b'"funding_rate":-0.00009'),
        (b'"funding_time":"1795420800000"', b'"funding_time":"x"'),
        (b'"funding_time":"1795420800000"', b'"funding_time":-1'),
        (b'"symbol":"BTCUSDT"', b'"symbol":"ETHUSDT"'),
        (b'"list"', b'"rows"'),
    ],
)
def test_malformed_pages(
    reader: BitmartFunding, swap: Instrument, sample: Sample, old: bytes, new: bytes
) -> None:
    with pytest.raises(ProtocolViolation, match="settled rates"):
        reader.decode_page(swap, 200, sample("http_funding_history").replace(old, new))


@pytest.mark.parametrize("hours", [b"0", b"-8", b"25", b'"8"'])
def test_intervals_that_are_none(
    reader: BitmartFunding, swap: Instrument, sample: Sample, hours: bytes
) -> None:
    (question,) = reader.questions([swap])
    old, new = b'"funding_interval_hours":8', b'"funding_interval_hours":' + hours
    with pytest.raises(ProtocolViolation, match="funding terms"):
        reader.decode_terms(question, 200, sample("http_instruments_perp").replace(old, new))
