"""The instrument lists: names, scales, bounds, and lots that convert exactly or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product, decimals_of
from engine.venues.kucoin.instruments import decode_listing, universal_currency
from engine.venues.kucoin.numbers import (
    contract_parts,
    exact,
    number,
    optional_time_ns,
    price_in,
    qty_in,
    qty_out,
    time_ns,
)
from tests.unit.venues.adapter_rig import Sample


def test_contract(xbt: Instrument) -> None:
    assert (xbt.symbol, xbt.universal) == ("XBTUSDTM", "BTC/USDT:USDT")
    assert (xbt.base, xbt.quote, xbt.settle) == ("BTC", "USDT", "USDT")
    assert xbt.contract_size == Decimal("0.001")
    assert xbt.status is InstrumentStatus.TRADING
    assert xbt.qty(xbt.lot_size) == Decimal("0.001")
    assert xbt.qty(xbt.qty_min) == Decimal("0.001")
    assert xbt.qty(xbt.qty_max) == 1000
    assert xbt.qty(xbt.market_qty_max) == 500
    assert xbt.price(xbt.tick_size) == Decimal("0.1")
    assert xbt.price(xbt.price_max) == 1_000_000


def test_spot(btc: Instrument) -> None:
    assert (btc.symbol, btc.universal, btc.settle) == ("BTC-USDT", "BTC/USDT", None)
    assert btc.contract_size == 1
    assert btc.qty(btc.lot_size) == Decimal("1e-8")
    assert btc.qty(btc.qty_min) == Decimal("0.00001")
    assert btc.qty(btc.qty_max) == 10**10
    assert btc.notional_min == Decimal("0.1")


def test_what_is_listed_and_what_is_not(known: dict[str, Instrument], sample: Sample) -> None:
    listing = decode_listing(Product.PERP, sample("http_instruments_perp"))
    assert [(each.symbol, each.universal) for each in listing.instruments] == [
        ("XBTUSDTM", "BTC/USDT:USDT"),
        ("ETHUSDTM", "ETH/USDT:USDT"),
        ("1000BONKUSDTM", "1000BONK/USDT:USDT"),
        ("XBTUSDCM", "BTC/USDC:USDC"),
    ]
    assert dict(listing.skipped) == {"XBTUSDM": "not linear", "XBTMZ26": "type 'FFICSX' is no perpetual"}
    assert known["1000BONKUSDTM"].status is InstrumentStatus.HALTED
    assert known["XBTUSDCM"].status is InstrumentStatus.PRE_TRADING
    assert known["ETH-BTC"].status is InstrumentStatus.HALTED
    assert known["ETH-BTC"].notional_min == 0
    assert known["PEPE-USDT"].status is InstrumentStatus.PRE_TRADING
    assert known["PEPE-USDT"].price(known["PEPE-USDT"].tick_size) == Decimal("1e-10")
    assert "BAD-USDT" not in known
    assert not decode_listing(Product.SPOT, sample("http_instruments_perp")).instruments


def test_bitcoin_has_two_names_and_nothing_else_has() -> None:
    assert universal_currency("XBT") == "BTC"
    assert [universal_currency(name) for name in ("BTC", "XBTC", "ALT", "1000XBT")] == [
        "BTC", "XBTC", "ALT", "1000XBT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "word", ["Init", "Open", "BeingSettled", "Settled", "Paused", "Closed", "CancelOnly", "?"]
)
def test_only_open_contracts_trade(sample: Sample, word: str) -> None:
    body = sample("http_instruments_perp").replace(b'"status":"Open"', f'"status":"{word}"'.encode())
    status = decode_listing(Product.PERP, body).instruments[0].status
    assert (status is InstrumentStatus.TRADING) == (word == "Open")


def test_of_two_contracts_of_one_name_the_one_that_trades_wins(sample: Sample) -> None:
    rows = json.loads(sample("http_instruments_perp"))
    old = rows["data"][0] | {"symbol": "XBTOLDM", "status": "Settled"}
    for data in ([old, rows["data"][0]], [rows["data"][0], old]):
        listing = decode_listing(Product.PERP, json.dumps({"code": "200000", "data": data}).encode())
        assert [each.symbol for each in listing.instruments] == ["XBTUSDTM"]
        assert listing.skipped == [("XBTOLDM", "BTC/USDT:USDT is XBTUSDTM")]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"code":"429000","msg":"Too many requests"}', b'{"code":"200000","data":{}}'],
)
def test_other_answers_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="instruments"):
        decode_listing(Product.SPOT, body)


def test_one_odd_entry_hides_no_other(sample: Sample) -> None:
    rows = json.loads(sample("http_instruments_perp"))
    good = rows["data"][0]
    odd = [
        {"symbol": 1},
        good | {"symbol": "A", "multiplier": 0},
        good | {"symbol": "B", "tickSize": -0.1},
        good | {"symbol": "C", "lotSize": 0.5},
        good | {"symbol": "D", "multiplier": 1e-17},
        good | {"symbol": "E", "baseCurrency": "X/Y"},
    ]
    body = json.dumps({"code": "200000", "data": [*odd, good]}).encode()
    listing = decode_listing(Product.PERP, body)
    assert [each.symbol for each in listing.instruments] == ["XBTUSDTM"]
    assert len(listing.skipped) == len(odd)


def _assert_exact(each: Instrument, lots: int) -> None:
    """What is a number of lots on the wire is the same number inside, and back to the same text."""
    lot = Decimal(each.lot_size).scaleb(-each.qty_scale) / each.contract_size
    wire = format((lot * lots).normalize(), "f")
    inside = qty_in(wire, each)
    assert inside == each.lot_size * lots
    assert each.qty(inside) == Decimal(wire) * each.contract_size
    assert qty_out(inside, each) == wire
    if each.settle is not None:
        assert wire.isdecimal(), "futures take whole lots"
    factor, scale = contract_parts(each.contract_size, each.qty_scale)
    assert scale >= decimals_of(lot)
    if factor > 1:
        with pytest.raises(UsageError, match="multiple of the lot size"):
            qty_out(inside + 1, each)


@given(lots=st.integers(min_value=1, max_value=10**6))
def test_sizes_of_the_samples_are_exact(known: dict[str, Instrument], lots: int) -> None:
    for each in known.values():
        _assert_exact(each, lots)


@given(units=st.integers(min_value=1, max_value=10**15))
def test_any_quantity_goes_out_exactly_or_not_at_all(known: dict[str, Instrument], units: int) -> None:
    for each in known.values():
        try:
            text = qty_out(units, each)
        except UsageError:
            assert each.settle is not None
            assert units % each.lot_size, "whole lots can always be said"
        else:
            assert qty_in(text, each) == units
            assert Decimal(text) * each.contract_size == each.qty(units)


def _listings(folder: Path) -> Iterator[tuple[Product, bytes]]:
    """Yield every published listing; its numbers reach the decoder as they are written."""
    paths = {"/api/v1/contracts/active": Product.PERP, "/api/v2/symbols/{symbol}": Product.SPOT}
    for line in (folder / "official_spec_samples" / "rest.jsonl").read_text().splitlines():
        for path, product in paths.items():
            if f'"GET {path}"' in line:
                yield product, _as_list(line[line.index('"response"') :].partition(":")[2].rstrip()[:-1])
    clients = folder / "client_samples_kucoin_net" / "Endpoints"
    for name, product in (
        ("Spot/ExchangeData/GetSymbols.txt", Product.SPOT),
        ("Futures/ExchangeData/GetOpenContracts.txt", Product.PERP),
    ):
        text = (clients / name).read_text()
        yield product, _as_list(text[text.index("{") :])


def _as_list(body: str) -> bytes:
    start = body.index('"data"')
    head, _, rest = body[start:].partition(":")
    if rest.lstrip().startswith("{"):
        end = rest.rindex("}")
        body = f"{body[:start]}{head}:[{rest[:end]}]{rest[end:]}"
    return body.encode()


def test_sizes_of_every_recorded_listing_are_exact(shared_fixtures: Path) -> None:
    seen = 0
    for product, body in _listings(shared_fixtures / "kucoin"):
        listing = decode_listing(product, body)
        assert listing.instruments or listing.skipped
        for each in listing.instruments:
            for lots in (1, 2, 3, 7, 10, 99, 12_345, 999_983):
                _assert_exact(each, lots)
            seen += 1
    assert seen >= 4


@pytest.mark.parametrize("text", ["-1", "1e3", " 1", "1.", ".5", "٣", "0.000000001"])
def test_sizes_that_are_none(xbt: Instrument, text: str) -> None:
    with pytest.raises(ProtocolViolation):
        qty_in(text, xbt)


def test_fractions_of_a_lot_are_not_sent(xbt: Instrument) -> None:
    with pytest.raises(UsageError, match="multiple of the lot size"):
        qty_out(xbt.lot_size * 5 // 2, xbt)


def test_empty_texts(xbt: Instrument) -> None:
    assert qty_in("", xbt) == 0
    assert price_in("", xbt) == 0
    assert optional_time_ns("") is optional_time_ns(None) is optional_time_ns(0) is None


def test_times_tell_their_unit_by_their_size() -> None:
    assert time_ns(1790113097240) == 1790113097240_000_000
    assert time_ns(1790113097236506) == 1790113097236506_000
    assert time_ns("1772043995356345762") == 1772043995356345762  # beyond 2**53: never a float


@pytest.mark.parametrize("text", ["", "-1", "1.5", "9" * 20, "x", "123"])
def test_times_and_integers_that_are_none(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        time_ns(text)
    if text != "123":
        with pytest.raises(ProtocolViolation):
            number(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e31", "1e-31", "1" * 41])
def test_numbers_that_are_none(value: str) -> None:
    with pytest.raises(ProtocolViolation):
        exact(Decimal(value))
