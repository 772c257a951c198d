"""What USD-M answers tell of funding: intervals, open interest, settled rates."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import pytest

from engine.model.errors import ProtocolViolation
from engine.model.funding import HOUR_NS, FundingTerms, PredictedRate, SettledRate
from engine.model.instrument import Instrument, Product
from engine.model.orders import RejectReason, VenueError
from engine.venues.base import WithFunding
from engine.venues.binance.adapter import BinanceMarketData
from engine.venues.binance.endpoints import LIVE, REST_BUDGETS
from engine.venues.binance.funding import BinanceFunding

Golden = Callable[[str], bytes]
BTC, SHIB = "BTC/USDT:USDT", "1000SHIB/USDT:USDT"


@pytest.fixture
def reader() -> BinanceFunding:
    return BinanceFunding()


@pytest.fixture
def two(perp_known: dict[str, Instrument]) -> list[Instrument]:
    return [perp_known["BTCUSDT"], perp_known["1000SHIBUSDT"]]


def test_perpetuals_alone_have_funding() -> None:
    spot, perp = (BinanceMarketData(product, LIVE[product]) for product in Product)
    assert isinstance(perp, WithFunding)
    assert (spot.funding, type(perp.funding)) == (None, BinanceFunding)
    assert perp.funding is not None
    assert perp.funding.predicted is PredictedRate.NOT_OFFERED


def test_questions(reader: BinanceFunding, two: list[Instrument]) -> None:
    info, *interests = reader.questions(two)
    assert (info.request.target, info.request.weight, info.every_ns) == ("/fapi/v1/fundingInfo", 0, HOUR_NS)
    assert info.is_of_settlements
    assert [(each.request.target, each.request.weight) for each in interests] == [
        ("/fapi/v1/openInterest?symbol=BTCUSDT", 1),
        ("/fapi/v1/openInterest?symbol=1000SHIBUSDT", 1),
    ]
    assert {each.every_ns for each in interests} == {HOUR_NS // 60}
    assert reader.questions([]) == []


def test_a_contract_that_is_not_listed_settles_every_eight_hours(
    reader: BinanceFunding, two: list[Instrument], golden: Golden
) -> None:
    info = reader.questions(two)[0]
    assert reader.decode_terms(info, 200, golden("http_funding_info")) == [
        FundingTerms(universal=BTC, interval_ns=8 * HOUR_NS),
        FundingTerms(universal=SHIB, interval_ns=HOUR_NS),
    ]


def test_open_interest(reader: BinanceFunding, two: list[Instrument], golden: Golden) -> None:
    _, interest, other = reader.questions(two)
    body = golden("http_open_interest")
    assert reader.decode_terms(interest, 200, body) == [
        FundingTerms(universal=BTC, open_interest=D("106312.376"))
    ]
    with pytest.raises(ProtocolViolation, match="not of 1000SHIBUSDT"):
        reader.decode_terms(other, 200, body)


def test_settled_rates_are_dated_to_the_second(
    reader: BinanceFunding, two: list[Instrument], golden: Golden
) -> None:
    """The sample is 5 ms late, 2 ms early and on time."""
    assert reader.decode_page(two[0], 200, golden("http_funding_rates")) == [
        SettledRate(BTC, 1795449600_000_000_000, D(0)),
        SettledRate(BTC, 1795420800_000_000_000, D("-0.000022")),
        SettledRate(BTC, 1795392000_000_000_000, D("0.00006188")),
    ]


def test_a_page_is_a_window_that_cannot_overflow(reader: BinanceFunding, two: list[Instrument]) -> None:
    page = reader.page(two[0], 1795449600_000_000_000, 1_000)
    assert page.request.target == (
        "/fapi/v1/fundingRate?symbol=BTCUSDT&startTime=1791849600000&endTime=1795449599999&limit=1000"
    )
    assert (page.rows_max, page.since_utc_ns) == (1_000, 1791849600_000_000_000)
    short = reader.page(two[0], 1795449600_000_000_000, 1)
    assert short.since_utc_ns == (1795449600 - 200 * 3600) * 10**9
    assert not page.is_last


def test_the_venues_own_limit_is_kept(reader: BinanceFunding, two: list[Instrument]) -> None:
    (rule,) = [rule for rule in REST_BUDGETS[Product.PERP] if rule.kind == "endpoint"]
    assert (rule.limit, rule.window_ms) == (500, 300_000)
    info, interest, _ = reader.questions(two)
    assert info.request.label == reader.page(two[0], 10**18, 1).request.label == rule.name
    assert interest.request.label != rule.name


def test_refusals_are_values(reader: BinanceFunding, two: list[Instrument]) -> None:
    body = b'{"code":-1121,"msg":"Invalid symbol."}'
    answers = [
        reader.decode_page(two[0], 400, body),
        reader.decode_terms(reader.questions(two)[0], 400, body),
    ]
    for answer in answers:
        assert isinstance(answer, VenueError)
        assert answer.code == "-1121"
    limited = reader.decode_page(two[0], 429, b'{"code":-1003,"msg":"Too many requests."}', "7")
    assert isinstance(limited, VenueError)
    assert (limited.reason, limited.retry_after_ms) == (RejectReason.RATE_LIMIT, 7_000)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"fundingRate":"-0.00002200"', b'"fundingRate":-0.000022'),
        (b'"fundingRate":"-0.00002200"', b'"fundingRate":"NaN"'),
        (b'"fundingRate":"-0.00002200",', b""),
        (b'"fundingTime":1795420799998', b'"fundingTime":-1'),
        (b'"fundingTime":1795420799998', b'"fundingTime":"x"'),
        (b'"symbol":"BTCUSDT"', b'"symbol":"ETHUSDT"'),
        (b'"fundingTime":1795420799998', b'"fundingTime":1795392000001'),  # one settlement, two rates
    ],
)
def test_malformed_pages(
    reader: BinanceFunding, two: list[Instrument], golden: Golden, old: bytes, new: bytes
) -> None:
    body = golden("http_funding_rates").replace(old, new)
    with pytest.raises(ProtocolViolation, match="settled rates"):
        reader.decode_page(two[0], 200, body)


@pytest.mark.parametrize("hours", [b"0", b"-4", b"25", b'"4"', b"4.5", b"null"])
def test_intervals_that_are_none(
    reader: BinanceFunding, two: list[Instrument], golden: Golden, hours: bytes
) -> None:
    body = golden("http_funding_info").replace(
        b'"fundingIntervalHours":4', b'"fundingIntervalHours":' + hours
    )
    with pytest.raises(ProtocolViolation, match="funding terms"):
        reader.decode_terms(reader.questions(two)[0], 200, body)
