"""The instrument list: names, scales, bounds, and contracts that convert exactly or not at all."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product, decimals_of
from engine.venues.okx.instruments import decode_listing
from engine.venues.okx.numbers import contract_parts, number, price_in, qty_in, qty_out, time_ns


def test_swap(swap: Instrument) -> None:
    assert (swap.symbol, swap.universal) == ("BTC-USDT-SWAP", "BTC/USDT:USDT")
    assert (swap.base, swap.quote, swap.settle) == ("BTC", "USDT", "USDT")
    assert swap.contract_size == Decimal("0.01")
    assert swap.number == 10459
    assert swap.status is InstrumentStatus.TRADING
    # lots of 0.01 contracts of 0.01 BTC
    assert swap.qty(swap.lot_size) == Decimal("0.0001")
    assert swap.qty(swap.qty_min) == Decimal("0.0001")
    assert swap.qty(swap.market_qty_max) == 120
    assert swap.price(swap.tick_size) == Decimal("0.1")


def test_spot(btc: Instrument) -> None:
    assert (btc.symbol, btc.universal, btc.settle) == ("BTC-USDT", "BTC/USDT", None)
    assert btc.contract_size == 1
    assert btc.qty(btc.qty_min) == Decimal("0.00001")
    assert btc.market_qty_max == 0  # the venue's bound is in USDT


def test_what_is_listed_and_what_is_not(known: dict[str, Instrument], sample: object) -> None:
    body = sample("http_instruments_perp")  # type: ignore[operator]
    listing = decode_listing(Product.PERP, body)
    assert [each.symbol for each in listing.instruments] == [
        "BTC-USDT-SWAP",
        "PEPE-USDT-SWAP",
        "ETH-USDC-SWAP",
    ]
    assert {symbol for symbol, _ in listing.skipped} == {"BTC-USD-SWAP", "BTC-USD_UM-SWAP"}
    assert known["ETH-USDC-SWAP"].status is InstrumentStatus.HALTED
    assert known["ETH-USDC-SWAP"].contract_size == Decimal("0.01")  # ctVal times ctMult
    assert known["ETH-BTC"].status is InstrumentStatus.PRE_TRADING
    assert known["PEPE-USDT-SWAP"].number is None
    assert "BAD-USDT" not in known
    assert not decode_listing(Product.SPOT, body).instruments


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"code":"50011","msg":"Too Many Requests","data":[]}', b'{"code":"0","data":{}}'],
)
def test_other_answers_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="instruments"):
        decode_listing(Product.SPOT, body)


def test_one_odd_entry_hides_no_other() -> None:
    rest = '"instType":"SPOT","lotSz":"1","minSz":"1","quoteCcy":"B"'
    rows = [
        '{"instId":1}',
        f'{{"instId":"A-B","tickSz":"x","state":"live","baseCcy":"A",{rest}}}',
        f'{{"instId":"C-B","tickSz":"1","state":"novel","baseCcy":"C",{rest}}}',
    ]
    body = f'{{"code":"0","data":[{",".join(rows)}]}}'.encode()
    listing = decode_listing(Product.SPOT, body)
    assert [each.symbol for each in listing.instruments] == ["C-B"]
    assert listing.instruments[0].status is InstrumentStatus.HALTED  # unknown is not tradable
    assert len(listing.skipped) == 2


def test_sizes_of_a_huge_contract(known: dict[str, Instrument]) -> None:
    pepe = known["PEPE-USDT-SWAP"]
    assert pepe.qty(pepe.lot_size) == 1_000_000
    assert qty_in("0.1", pepe) == pepe.lot_size
    assert qty_out(3 * pepe.lot_size, pepe) == "0.3"
    with pytest.raises(UsageError, match="multiple of the lot size"):
        qty_out(pepe.lot_size + 1, pepe)


def _assert_exact(each: Instrument, lots: int) -> None:
    """What is a number of lots on the wire is the same number of lots inside, and back to the same text."""
    lot = Decimal(each.lot_size).scaleb(-each.qty_scale) / each.contract_size
    wire = format((lot * lots).normalize(), "f")
    inside = qty_in(wire, each)
    assert inside == each.lot_size * lots
    assert each.qty(inside) == Decimal(wire) * each.contract_size
    assert qty_out(inside, each) == wire
    factor, scale = contract_parts(each.contract_size, each.qty_scale)
    assert scale >= decimals_of(lot)
    if factor > 1:
        with pytest.raises(UsageError):
            qty_out(inside + 1, each)


@given(lots=st.integers(min_value=1, max_value=10**6))
def test_sizes_of_the_samples_are_exact(known: dict[str, Instrument], lots: int) -> None:
    for each in known.values():
        _assert_exact(each, lots)


def test_sizes_of_every_recorded_listing_are_exact(shared_fixtures: Path) -> None:
    okx = shared_fixtures / "okx"
    recorded = (okx / "recordings" / "2022-05-13_instruments_swap.http.txt").read_text().split(": ", 1)[1]
    bodies = [
        (Product.PERP, recorded.strip().encode()),
        (Product.PERP, (okx / "frames_nautilus" / "http_get_instruments_swap.json").read_bytes()),
        (Product.SPOT, (okx / "frames_roq" / "instruments_ack.simple.json").read_bytes()),
    ]
    seen = 0
    for product, body in bodies:
        listing = decode_listing(product, body)
        assert listing.instruments
        assert all("inverse" in why or "unusable name" in why for _, why in listing.skipped)
        for each in listing.instruments:
            for lots in (1, 2, 3, 7, 10, 99, 12_345, 999_983):
                _assert_exact(each, lots)
            seen += 1
    assert seen >= 130


@pytest.mark.parametrize("text", ["-1", "1e3", " 1", "1.", ".5", "٣", "0.000000001"])
def test_sizes_that_are_none(swap: Instrument, text: str) -> None:
    with pytest.raises(ProtocolViolation):
        qty_in(text, swap)


def test_empty_texts(swap: Instrument) -> None:
    assert qty_in("", swap) == 0
    assert price_in("", swap) == 0


@pytest.mark.parametrize("text", ["", "-1", "1.5", "9" * 19, "x"])
def test_times_and_integers_that_are_none(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        time_ns(text)
    if text != "9" * 19:
        with pytest.raises(ProtocolViolation):
            number(text)
