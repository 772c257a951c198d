"""What OKX's answers tell of funding: running periods, index prices, what was realised."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.model.errors import ProtocolViolation
from engine.model.funding import HOUR_NS, FundingTerms, PredictedRate, SettledRate
from engine.model.instrument import Instrument, Product
from engine.model.market import FundingUpdate
from engine.model.orders import RejectReason, VenueError
from engine.venues.base import Topic
from engine.venues.okx.adapter import OkxMarketData
from engine.venues.okx.endpoints import LIVE
from engine.venues.okx.funding import OkxFunding
from tests.unit.venues.adapter_rig import Sample

BTC = "BTC/USDT:USDT"


@pytest.fixture
def reader() -> OkxFunding:
    return OkxFunding()


@pytest.fixture
def swaps(known: dict[str, Instrument]) -> list[Instrument]:
    return [known["BTC-USDT-SWAP"], known["PEPE-USDT-SWAP"], known["ETH-USDC-SWAP"]]


def test_swaps_alone_have_funding() -> None:
    spot, perp = (OkxMarketData(product, LIVE[product], is_demo=True) for product in Product)
    assert spot.funding is None
    assert perp.funding is not None
    assert perp.funding.predicted is PredictedRate.FOLLOWING_INTERVAL
    assert perp.funding.questions([]) == []


def test_questions(swaps: list[Instrument]) -> None:
    periods, usdt, usdc = OkxFunding(b"x-simulated-trading: 1\r\n").questions(swaps)
    assert periods.request.target == "/api/v5/public/funding-rate?instId=ANY"
    assert periods.request.headers == b"x-simulated-trading: 1\r\n"
    assert (periods.every_ns, periods.is_of_settlements) == (HOUR_NS, True)
    assert usdt.request.target == "/api/v5/market/index-tickers?quoteCcy=USDT"
    assert [each.symbol for each in usdt.instruments] == ["BTC-USDT-SWAP", "PEPE-USDT-SWAP"]
    assert usdc.request.target == "/api/v5/market/index-tickers?quoteCcy=USDC"
    assert (usdc.every_ns, usdc.is_of_settlements) == (HOUR_NS // 60, False)


def test_running_periods(reader: OkxFunding, swaps: list[Instrument], sample: Sample) -> None:
    """fundingTime is the next settlement, nextFundingTime the one after it: four hours lie between."""
    periods = reader.questions(swaps)[0]
    assert reader.decode_terms(periods, 200, sample("http_funding_rate")) == [
        FundingTerms(
            universal=BTC,
            interval_ns=4 * HOUR_NS,
            funding_rate=D("0.0001"),
            next_funding_utc_ns=1795449600_000_000_000,
            last_settled_rate=D("-0.0000697725497563"),
        )
    ]


def test_index_prices(reader: OkxFunding, swaps: list[Instrument], sample: Sample) -> None:
    _, usdt, usdc = reader.questions(swaps)
    body = sample("http_index_tickers")
    assert reader.decode_terms(usdt, 200, body) == [FundingTerms(universal=BTC, index_price=D("91468.2"))]
    assert reader.decode_terms(usdc, 200, body) == []


def test_what_was_realised_and_not_what_was_forecast(
    reader: OkxFunding, swaps: list[Instrument], sample: Sample
) -> None:
    assert reader.decode_page(swaps[0], 200, sample("http_funding_history")) == [
        SettledRate(BTC, 1795435200_000_000_000, D("0.0000697725497563")),
        SettledRate(BTC, 1795420800_000_000_000, D(0)),
        SettledRate(BTC, 1795392000_000_000_000, D("-0.00021")),
    ]


def test_pages_are_older_than_a_time(reader: OkxFunding, swaps: list[Instrument]) -> None:
    page = reader.page(swaps[0], 1795435200_000_000_000, 30)
    assert page.request.target == (
        "/api/v5/public/funding-rate-history?instId=BTC-USDT-SWAP&after=1795435200000&limit=30"
    )
    assert (page.rows_max, page.since_utc_ns, page.is_last) == (30, None, False)
    assert reader.page(swaps[0], 1, 9_000).request.target.endswith("&after=1&limit=400")


def test_the_stream_tells_a_prediction_where_there_is_one(swaps: list[Instrument], sample: Sample) -> None:
    perp = OkxMarketData(Product.PERP, LIVE[Product.PERP])
    perp.market_plans(swaps, frozenset({Topic.FUNDING}))
    perp.decode_market(sample("ws_mark_price"), 0, 1)
    frame = sample("ws_funding_rate").replace(b'"nextFundingRate":""', b'"nextFundingRate":"-0.00025"')
    (update,) = perp.decode_market(frame, 0, 2)
    assert isinstance(update, FundingUpdate)
    assert (update.funding_rate, update.predicted_rate) == (D("0.0001"), D("-0.00025"))
    swapped = frame.replace(b"1765238400000", b"1765209600000")
    with pytest.raises(ProtocolViolation, match="settlements at"):
        perp.decode_market(swapped, 0, 3)


def test_refusals_are_values(reader: OkxFunding, swaps: list[Instrument]) -> None:
    body = b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}'
    page, terms = reader.decode_page(swaps[0], 200, body), reader.decode_terms(
        reader.questions(swaps)[0], 200, body
    )  # fmt: skip
    for answer in (page, terms):
        assert isinstance(answer, VenueError)
        assert answer.code == "51001"
    limited = reader.decode_page(swaps[0], 429, b'{"code":"50011","msg":"Too Many Requests","data":[]}')
    assert isinstance(limited, VenueError)
    assert limited.reason is RejectReason.RATE_LIMIT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"realizedRate":"0"', b'"realizedRate":""'),
        (b',"realizedRate":"0"', b""),
        (b'"realizedRate":"0"', b'"realizedRate":"1e-5"'),
        (b'"fundingTime":"1795420800000"', b'"fundingTime":"soon"'),
        (b'"fundingTime":"1795420800000"', b'"fundingTime":1795420800000'),
        (b'"instId":"BTC-USDT-SWAP"', b'"instId":"ETH-USDT-SWAP"'),
    ],
)
def test_malformed_pages(
    reader: OkxFunding, swaps: list[Instrument], sample: Sample, old: bytes, new: bytes
) -> None:
    with pytest.raises(ProtocolViolation, match="settled rates"):
        reader.decode_page(swaps[0], 200, sample("http_funding_history").replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"nextFundingTime":"1795464000000"', b'"nextFundingTime":"1795449600000"'),
        (b'"fundingRate":"0.0001000000000000"', b'"fundingRate":0.0001'),
        (b'"fundingTime":"1795449600000"', b'"fundingTime":null'),
    ],
)
def test_malformed_periods(
    reader: OkxFunding, swaps: list[Instrument], sample: Sample, old: bytes, new: bytes
) -> None:
    with pytest.raises(ProtocolViolation, match="funding terms"):
        reader.decode_terms(reader.questions(swaps)[0], 200, sample("http_funding_rate").replace(old, new))
