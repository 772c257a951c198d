"""What KuCoin's answers tell of funding: the contract list, settled rates."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.model.errors import ProtocolViolation
from engine.model.funding import HOUR_NS, FundingTerms, PredictedRate, SettledRate
from engine.model.instrument import Instrument, Product
from engine.model.orders import RejectReason, VenueError
from engine.venues.kucoin.adapter import KucoinMarketData
from engine.venues.kucoin.endpoints import LIVE
from engine.venues.kucoin.funding import KucoinFunding
from tests.unit.venues.adapter_rig import Sample

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


@pytest.fixture
def reader() -> KucoinFunding:
    return KucoinFunding()


def test_contracts_alone_have_funding() -> None:
    for streams in ("unified", "classic"):
        spot, perp = (KucoinMarketData(product, LIVE[product], "", streams) for product in Product)
        assert spot.funding is None
        assert perp.funding is not None
        assert perp.funding.predicted is PredictedRate.NOT_OFFERED
        assert perp.funding.questions([]) == []


def test_the_contract_list(reader: KucoinFunding, known: dict[str, Instrument], sample: Sample) -> None:
    """The countdown nextFundingRateTime is not read, dated futures are passed over, lots are converted."""
    (question,) = reader.questions([known["XBTUSDTM"], known["ETHUSDTM"]])
    assert (question.request.target, question.request.weight) == ("/api/v1/contracts/active", 3)
    assert reader.decode_terms(question, 200, sample("http_funding_contracts")) == [
        FundingTerms(
            universal=BTC,
            interval_ns=8 * HOUR_NS,
            funding_rate=D("0.000038"),
            next_funding_utc_ns=1795449600_000_000_000,
            last_settled_rate=D("0.000041"),
            open_interest=D("21328.636"),
        ),
        FundingTerms(
            universal=ETH,
            interval_ns=HOUR_NS,
            funding_rate=D("-0.00012"),
            next_funding_utc_ns=1795442400_000_000_000,
            last_settled_rate=D(0),
            open_interest=D(10),
        ),
    ]


def test_settled_rates(reader: KucoinFunding, xbt: Instrument, sample: Sample) -> None:
    assert reader.decode_page(xbt, 200, sample("http_funding_rates")) == [
        SettledRate(BTC, 1795449600_000_000_000, D("0.000076")),
        SettledRate(BTC, 1795420800_000_000_000, D("-0.000019")),
        SettledRate(BTC, 1795392000_000_000_000, D(0)),
    ]
    assert reader.decode_page(xbt, 200, b'{"code":"200000","data":null}') == []
    assert reader.decode_page(xbt, 200, b'{"code":"200000","data":[]}') == []


def test_a_page_is_a_short_window_of_time(reader: KucoinFunding, xbt: Instrument) -> None:
    page = reader.page(xbt, 1795449600_000_000_000, 5)
    assert page.request.target == (
        "/api/v1/contract/funding-rates?symbol=XBTUSDTM&from=1795104000000&to=1795449599999"
    )
    assert (page.request.weight, page.since_utc_ns) == (5, 1795104000_000_000_000)
    assert 1795449600 - 1795104000 == 96 * 3600


def test_refusals_are_values(reader: KucoinFunding, xbt: Instrument) -> None:
    body = b'{"msg":"Invalid symbol.","code":"200003"}'
    (question,) = reader.questions([xbt])
    for answer in (reader.decode_page(xbt, 200, body), reader.decode_terms(question, 200, body)):
        assert isinstance(answer, VenueError)
        assert answer.code == "200003"
    limited = reader.decode_page(xbt, 429, b'{"code":"429000","msg":"Too Many Requests"}')
    assert isinstance(limited, VenueError)
    assert limited.reason is RejectReason.RATE_LIMIT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"fundingRate":-0.000019', b'"fundingRate":null'),
        (b'"fundingRate":-0.000019', b'"fundingRate":"NaN"'),
        (b'"fundingRate":-0.000019', b'"fundingRate":1E+99'),
        (b'"timepoint":1795420800000', b'"timepoint":"1795420800000"'),
        (b'"timepoint":1795420800000', b'"timepoint":1.5'),
        (b'"symbol":"XBTUSDTM"', b'"symbol":"ETHUSDTM"'),
        (b'"code":"200000",', b""),
    ],
)
def test_malformed_pages(
    reader: KucoinFunding, xbt: Instrument, sample: Sample, old: bytes, new: bytes
) -> None:
    with pytest.raises(ProtocolViolation, match="settled rates"):
        reader.decode_page(xbt, 200, sample("http_funding_rates").replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"fundingRateGranularity":28800000', b'"fundingRateGranularity":0'),
        (b'"fundingRateGranularity":28800000', b'"fundingRateGranularity":-1'),
        (b'"fundingRateGranularity":28800000', b'"fundingRateGranularity":99999999999999'),
        (b'"openInterest":"21328636"', b'"openInterest":"many"'),
        (b'"nextFundingRateDateTime":1795449600000', b'"nextFundingRateDateTime":8192636'),
    ],
)
def test_malformed_contracts(
    reader: KucoinFunding, xbt: Instrument, sample: Sample, old: bytes, new: bytes
) -> None:
    (question,) = reader.questions([xbt])
    with pytest.raises(ProtocolViolation, match="funding terms"):
        reader.decode_terms(question, 200, sample("http_funding_contracts").replace(old, new))
