"""The instrument list: names, scales, bounds, multipliers, pages."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.naming import canonical_coin, collisions
from engine.venues.bybit.adapter import BybitMarketData
from engine.venues.bybit.endpoints import LIVE
from engine.venues.bybit.instruments import decode_listing
from engine.venues.bybit.numbers import price_in, price_out, qty_in, qty_out, time_ns
from tests.unit.venues.adapter_rig import Sample
from tests.unit.venues.bybit.conftest import Known


def test_perpetual(perp_btc: Instrument) -> None:
    assert (perp_btc.symbol, perp_btc.universal) == ("BTCUSDT", "BTC/USDT:USDT")
    assert (perp_btc.base, perp_btc.quote, perp_btc.settle) == ("BTC", "USDT", "USDT")
    assert perp_btc.contract_size == 1  # sizes are coins
    assert perp_btc.status is InstrumentStatus.TRADING
    assert perp_btc.price(perp_btc.tick_size) == Decimal("0.1")
    assert perp_btc.qty(perp_btc.lot_size) == Decimal("0.001")
    assert perp_btc.qty(perp_btc.qty_min) == Decimal("0.001")
    assert perp_btc.qty(perp_btc.qty_max) == 1190
    assert perp_btc.qty(perp_btc.market_qty_max) == 500
    assert perp_btc.price(perp_btc.price_max) == Decimal("1999999.8")
    assert perp_btc.notional_min == 5
    assert perp_btc.notional_max == 0


def test_spot(btc: Instrument) -> None:
    assert (btc.symbol, btc.universal, btc.settle) == ("BTCUSDT", "BTC/USDT", None)
    assert btc.qty(btc.lot_size) == Decimal("0.000001")
    assert btc.qty(btc.qty_min) == Decimal("0.000011")
    assert (btc.qty(btc.qty_max), btc.qty(btc.market_qty_max)) == (Decimal(83), Decimal("41.5"))
    assert (btc.notional_min, btc.notional_max) == (Decimal(5), Decimal(8_000_000))
    assert btc.price_max == 0  # spot states none


def test_the_settle_coin_is_part_of_the_name(known: Known) -> None:
    usdc = known[Product.PERP]["BTCPERP"]
    assert (usdc.universal, usdc.settle) == ("BTC/USDC:USDC", "USDC")


def test_what_is_listed_and_what_is_not(known: Known, sample: Sample) -> None:
    listing = decode_listing(Product.PERP, sample("http_instruments_perp"))
    assert [each.symbol for each in listing.instruments] == [
        "BTCUSDT",
        "1000PEPEUSDT",
        "SHIB1000USDT",
        "BTCPERP",
        "NEWUSDT",
        "OLDUSDT",
    ]
    assert [symbol for symbol, _ in listing.skipped] == ["BTCUSDT-25DEC26", "BADUSDT"]
    assert listing.cursor == "first%3DOLDUSDT%26last%3DBTCUSDT"
    assert known[Product.PERP]["NEWUSDT"].status is InstrumentStatus.PRE_TRADING
    assert known[Product.PERP]["OLDUSDT"].status is InstrumentStatus.SETTLING
    assert known[Product.SPOT]["DEADUSDT"].status is InstrumentStatus.HALTED  # a word that is not known


@pytest.mark.parametrize(
    ("base", "multiplier"),
    [
        ("BTC", 1),
        ("1000PEPE", 1_000),
        ("SHIB1000", 1_000),
        ("10000LADYS", 10_000),
        ("1000000MOG", 1_000_000),
        ("10000000AIDOGE", 10_000_000),
        ("1INCH", 1),
        ("1CAT", 1),
        ("100X", 1),
        ("1001A", 1),
        ("A100", 1),
        ("A21000", 1),
        ("1000", 1),
        ("C98", 1),
    ],
)
def test_multipliers(base: str, multiplier: int) -> None:
    assert canonical_coin(base, has_trailing=True)[1] == multiplier


def test_multiplied_coins_keep_their_names_and_sizes(known: Known) -> None:
    pepe = known[Product.PERP]["1000PEPEUSDT"]
    assert (pepe.universal, pepe.multiplier) == ("1000PEPE/USDT:USDT", 1_000)
    assert qty_out(qty_in("100", pepe), pepe) == "100"  # a hundred thousands, told as such
    assert known[Product.PERP]["SHIB1000USDT"].universal == "1000SHIB/USDT:USDT"
    assert known[Product.PERP]["SHIB1000USDT"].multiplier == 1_000


def test_the_next_page(sample: Sample) -> None:
    market = BybitMarketData(Product.PERP, LIVE[Product.PERP])
    first = market.instruments_request()
    assert first.target == "/v5/market/instruments-info?category=linear&limit=1000"
    body = sample("http_instruments_perp")
    second = market.continuation(first, 200, body, 0)
    assert second is not None
    assert second.target == f"{first.target}&cursor=first%3DOLDUSDT%26last%3DBTCUSDT"
    assert market.continuation(second, 200, body, 0) is None  # the same cursor again leads nowhere
    third = market.continuation(second, 200, body.replace(b"first%3DOLD", b"first=OLD"), 0)
    assert third is not None
    assert third.target == f"{first.target}&cursor=first%3DOLDUSDT%2526last%253DBTCUSDT"
    last = msgspec.json.decode(body)
    last["result"]["nextPageCursor"] = ""
    assert market.continuation(first, 200, msgspec.json.encode(last), 0) is None
    assert market.continuation(first, 500, body, 0) is None
    assert market.continuation(first, 200, b"<html>", 0) is None
    spot = BybitMarketData(Product.SPOT, LIVE[Product.SPOT])
    assert spot.instruments_request().target == "/v5/market/instruments-info?category=spot"
    answer = sample("http_instruments_spot")
    assert spot.continuation(spot.instruments_request(), 200, answer, 0) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}',
        b'{"retCode":0,"result":{}}',
        b'{"retCode":0,"result":{"category":"linear","list":{}}}',
        b'{"retCode":0,"result":{"category":"linear","list":[]}}',
    ],
)
def test_other_answers_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="instruments"):
        decode_listing(Product.SPOT, body)


def test_one_odd_entry_hides_no_other(sample: Sample) -> None:
    body = msgspec.json.decode(sample("http_instruments_spot"))
    rows = body["result"]["list"]
    rows[1] = {"symbol": 1}
    rows += [
        rows[2] | {"symbol": "TWICE", "status": "Trading"},
        rows[2] | {"symbol": "THRICE", "status": "Trading"},
        rows[2] | {"symbol": "SLASH", "baseCoin": "A/B"},
        rows[2] | {"symbol": "FUTURE", "contractType": "LinearPerpetual"},
    ]
    listing = decode_listing(Product.SPOT, msgspec.json.encode(body))
    # of three entries with one universal name those that trade stay: which of them is meant is not known here
    assert [each.symbol for each in listing.instruments] == ["BTCUSDT", "TWICE", "THRICE"]
    assert [each.symbol for each in collisions(listing.instruments)["DEAD/USDT"]] == ["TWICE", "THRICE"]
    assert len(listing.skipped) == 4


def _assert_exact(each: Instrument, units: int) -> None:
    """Names and numbers are the same on both sides, and come back as they went."""
    lots, ticks = units * each.lot_size, units * each.tick_size
    assert qty_in(qty_out(lots, each), each) == lots
    assert price_in(price_out(ticks, each), each) == ticks
    assert each.qty(lots) == Decimal(qty_out(lots, each))
    assert each.price(ticks) == Decimal(price_out(ticks, each))
    settle = f":{each.settle}" if each.settle else ""
    coin = canonical_coin(each.base, has_trailing=True)[0]
    assert each.universal == f"{coin}/{each.quote}{settle}"


@given(units=st.integers(min_value=1, max_value=10**6))
def test_numbers_of_the_samples_are_exact(known: Known, units: int) -> None:
    for listed in known.values():
        for each in listed.values():
            _assert_exact(each, units)


def test_universal_names_lead_back_to_one_symbol(known: Known) -> None:
    for listed in known.values():
        by_universal = {each.universal: each.symbol for each in listed.values()}
        assert len(by_universal) == len(listed)
        assert all(listed[symbol].universal == name for name, symbol in by_universal.items())


def test_numbers_of_every_recorded_listing_are_exact(shared_fixtures: Path) -> None:
    bybit = shared_fixtures / "bybit"
    seen = 0
    for name in (
        "frames_nautilus/http_get_instruments_spot.json",
        "frames_roq/instruments_info_ack.spot.json",
    ):
        listing = decode_listing(Product.SPOT, (bybit / name).read_bytes())
        assert not listing.skipped
        for each in listing.instruments:
            for units in (1, 2, 3, 7, 10, 99, 12_345, 999_983):
                _assert_exact(each, units)
            seen += 1
    assert seen == 4


@pytest.mark.parametrize("text", ["-1", "1e3", " 1", "1.", ".5", "٣", "0.000000001"])
def test_sizes_that_are_none(btc: Instrument, text: str) -> None:
    with pytest.raises(ProtocolViolation):
        qty_in(text, btc)


def test_empty_texts_and_trailing_zeros(btc: Instrument) -> None:
    assert qty_in("", btc) == 0
    assert price_in("", btc) == 0
    assert price_in("16493.5000000000", btc) == price_in("16493.5", btc)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "9" * 19, "x"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        time_ns(text)


def test_a_bound_of_astronomic_size_costs_no_decimals(sample: Sample) -> None:
    body = msgspec.json.decode(sample("http_instruments_perp"))
    row = body["result"]["list"][0]
    row["lotSizeFilter"] |= {"maxOrderQty": "9" * 18, "maxMktOrderQty": ""}
    (btc, *_) = decode_listing(Product.PERP, msgspec.json.encode(body)).instruments
    assert btc.qty(btc.lot_size) == Decimal("0.001")
    assert btc.qty_max == 9 * 10**18
    assert btc.market_qty_max == 0
