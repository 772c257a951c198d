"""Listings to instruments: names, exact scales in base units, entries left out; numbers, times."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.naming import canonical_coin
from engine.venues.bitmart import numbers
from engine.venues.bitmart.instruments import decode_listing
from tests.unit.venues.adapter_rig import Sample


def test_spot_pairs(sample: Sample) -> None:
    listing = decode_listing(Product.SPOT, sample("http_instruments_spot"))
    found = {each.universal: each for each in listing.instruments}
    assert list(found) == ["BTC/USDT", "ETH/USDT", "SHIB/USDT", "NEW/USDT", "WORD/USDT"]
    btc = found["BTC/USDT"]
    assert (btc.symbol, btc.base, btc.quote, btc.settle) == ("BTC_USDT", "BTC", "USDT", None)
    assert (btc.price(btc.tick_size), btc.qty(btc.lot_size)) == (Decimal("0.01"), Decimal("0.00001"))
    assert (btc.qty(btc.qty_min), btc.qty(btc.qty_max)) == (Decimal("0.00001"), Decimal(100_000_000))
    assert btc.notional_min == 5
    eth = found["ETH/USDT"]
    assert (eth.qty(eth.lot_size), eth.qty(eth.qty_min)) == (Decimal("0.0001"), Decimal("0.001"))
    shib = found["SHIB/USDT"]
    assert (shib.price(shib.tick_size), shib.qty(shib.lot_size)) == (Decimal("1e-9"), Decimal(1))
    assert found["NEW/USDT"].status is InstrumentStatus.PRE_TRADING
    word = found["WORD/USDT"]
    assert (word.status, word.qty(word.lot_size)) == (InstrumentStatus.HALTED, Decimal("0.00001"))
    assert [symbol for symbol, _ in listing.skipped] == ["ODD_USDT", "BAD_USDT", '"no object"']


def test_contracts_become_base_units_and_foreign_ones_are_left_out(sample: Sample) -> None:
    listing = decode_listing(Product.PERP, sample("http_instruments_perp"))
    found = {each.universal: each for each in listing.instruments}
    assert list(found) == ["BTC/USDT:USDT", "ETH/USDT:USDT", "1000SHIB/USDT:USDT", "WAIT/USDT:USDT"]
    btc = found["BTC/USDT:USDT"]
    assert (btc.symbol, btc.settle, btc.contract_size) == ("BTCUSDT", "USDT", Decimal("0.001"))
    assert (btc.price(btc.tick_size), btc.qty(btc.lot_size)) == (Decimal("0.1"), Decimal("0.001"))
    assert (btc.qty(btc.qty_min), btc.qty(btc.qty_max), btc.qty(btc.market_qty_max)) == (
        Decimal("0.001"), Decimal(1000), Decimal(50),
    )  # fmt: skip
    shib = found["1000SHIB/USDT:USDT"]
    assert (shib.multiplier, shib.qty(shib.lot_size), shib.qty(shib.qty_min)) == (
        1000,
        Decimal(1000),
        Decimal(1000),
    )
    assert found["WAIT/USDT:USDT"].status is InstrumentStatus.HALTED
    reasons = dict(listing.skipped)
    assert "another unit" in reasons["BTCUSD"]
    assert "another unit" in reasons["BTCUSDC"]
    assert reasons["GONEUSDT"] == "delisted"
    assert reasons["BTCUSDT2609"] == "no perpetual"
    assert "whole ones" in reasons["HALFUSDT"]


@pytest.mark.parametrize("product", list(Product))
def test_names_go_both_ways(product: Product, sample: Sample) -> None:
    listing = decode_listing(product, sample(f"http_instruments_{product.value}")).instruments
    assert len({each.universal for each in listing}) == len({each.symbol for each in listing}) == len(listing)


@pytest.mark.parametrize("statuses", [("trading", "paused"), ("paused", "trading")])
def test_of_two_of_one_name_the_trading_one_wins(statuses: tuple[str, str], sample: Sample) -> None:
    body = json.loads(sample("http_instruments_spot"))
    rows = [dict(body["data"]["symbols"][0], trade_status=status) for status in statuses]
    rows[1]["symbol"] = "BTC_USDT2"
    body["data"]["symbols"] = rows
    listing = decode_listing(Product.SPOT, json.dumps(body).encode())
    assert [each.status for each in listing.instruments] == [InstrumentStatus.TRADING]
    assert len(listing.skipped) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>error code: 1010</html>", "instruments"),
        (b'{"code":30016,"message":"Service maintenance"}', "30016 Service maintenance"),
        (b'{"msg":"Not found","code":30000}', "30000 Not found"),
        (b'{"code":1000,"message":"OK"}', "no data"),
    ],
)
def test_no_listing(body: bytes, words: str) -> None:
    for product in Product:
        with pytest.raises(ProtocolViolation, match=words):
            decode_listing(product, body)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base_currency": ""}, "unusable name"),
        ({"symbol": 'BTC"USDT'}, "unusable name"),
        ({"price_max_precision": -1}, "price_max_precision"),
        ({"base_min_size": "0", "quote_increment": "0"}, "no step"),
    ],
)
def test_unusable_pairs(changes: dict[str, Any], words: str, sample: Sample) -> None:
    body = json.loads(sample("http_instruments_spot"))
    body["data"]["symbols"] = [body["data"]["symbols"][0] | changes]
    listing = decode_listing(Product.SPOT, json.dumps(body).encode())
    assert listing.instruments == []
    assert words in listing.skipped[0][1]


def test_multipliers() -> None:
    names = ("1000SHIB", "10000SATS", "1000000MOG", "1MBABYDOGE", "1INCH", "BTC", "100X")
    assert [canonical_coin(name)[1] for name in names] == [1000, 10_000, 1_000_000, 1_000_000, 1, 1, 1]


# ------------------------------------------------------------------------------------------ numbers


def test_contracts_convert_exactly_or_not_at_all(swap: Instrument, btc: Instrument) -> None:
    assert swap.qty(numbers.qty_in("17485", swap)) == Decimal("17.485")
    assert numbers.qty_out(numbers.qty_in("17485", swap), swap) == "17485"
    assert numbers.qty_out(numbers.qty_in("0.00001000", btc), btc) == "0.00001"
    with pytest.raises(UsageError, match="no exact number of contracts"):
        numbers.qty_out(swap.lot_size // 2, swap)
    with pytest.raises(ProtocolViolation, match="64 bits"):
        numbers.qty_in("9" * 17, swap)
    assert numbers.qty_in("", swap) == numbers.price_in("", swap) == 0


def test_times() -> None:
    assert numbers.iso_ns("2025-03-10T18:17:14.656686827Z") == 1741630634656686827
    assert numbers.iso_ns("1970-01-01T00:00:01Z") == 1_000_000_000
    assert numbers.iso_ns("2026-11-23T13:58:41.9+00:00") == 1795442321900000000
    for text in ("2025-02-30T00:00:00Z", "2025-03-10 18:17:14Z", "", "0001-01-01T00:00:00Z", "9" * 25):
        with pytest.raises(ProtocolViolation):
            numbers.iso_ns(text)
    assert numbers.time_ns("1609926028000") == numbers.time_ns(1609926028000) == 1609926028000000000
    assert numbers.optional_time_ns("0") is None
    for value in ("x", -1, 2**62):
        with pytest.raises(ProtocolViolation):
            numbers.time_ns(value)


def test_ids_beyond_floats_survive() -> None:
    assert numbers.identifier(23456789012345678) == numbers.identifier("23456789012345678")
    for value in ("", "1e3", "a", "1" * 25, -1):
        with pytest.raises(ProtocolViolation, match="is no id"):
            numbers.identifier(value)
