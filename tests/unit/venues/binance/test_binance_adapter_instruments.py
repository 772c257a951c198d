"""exchangeInfo: names in both directions, scales, filters, limits, odd entries."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from decimal import Decimal as D
from pathlib import Path

import pytest

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.naming import canonical_coin
from engine.venues.base import BudgetRule
from engine.venues.binance.instruments import (
    Listing,
    decode_budgets,
    decode_listing,
    universal_symbol,
)
from engine.venues.binance.numbers import plain, scaled

Golden = Callable[[str], bytes]


def test_spot_entry_with_all_its_filters(spot_known: dict[str, Instrument]) -> None:
    assert spot_known["BTCUSDT"] == Instrument(
        venue="binance",
        product=Product.SPOT,
        symbol="BTCUSDT",
        universal="BTC/USDT",
        base="BTC",
        quote="USDT",
        settle=None,
        status=InstrumentStatus.TRADING,
        price_scale=8,
        qty_scale=8,
        tick_size=1_000_000,
        lot_size=1_000,
        market_lot_size=1_000,  # "0.00000000" switches the market rule off
        price_min=1_000_000,
        price_max=100_000_000_000_000,
        qty_min=1_000,
        qty_max=900_000_000_000,
        market_qty_max=10_507_867_116,
        notional_min=D("5.00000000"),
        notional_max=D("9000000.00000000"),
    )


def test_spot_filters_are_found_by_type_and_zero_switches_off(spot_known: dict[str, Instrument]) -> None:
    ltc = spot_known["LTCBTC"]
    assert (ltc.universal, ltc.status) == ("LTC/BTC", InstrumentStatus.CANCEL_ONLY)
    assert (ltc.price(ltc.tick_size), ltc.qty(ltc.lot_size)) == (D("0.000001"), D("0.001"))
    assert (ltc.price_min, ltc.price_max, ltc.notional_min) == (0, 0, D("0.0001"))
    assert ltc.market_qty_max == ltc.qty_max


def test_unknown_status_is_not_tradable(spot_known: dict[str, Instrument]) -> None:
    assert spot_known["ODDUSDT"].status is InstrumentStatus.HALTED


def test_non_ascii_symbols_are_kept_as_they_are(spot_known: dict[str, Instrument]) -> None:
    assert spot_known["测试USDT"].universal == "测试/USDT"


def test_one_unreadable_entry_does_not_hide_the_others(golden: Golden) -> None:
    listing = decode_listing(Product.SPOT, golden("http_exchange_info_spot"))
    assert [each.symbol for each in listing.instruments] == ["BTCUSDT", "LTCBTC", "测试USDT", "ODDUSDT"]
    assert dict(listing.skipped) == {
        "NOFILTERS": "no tick size or no lot size",
        "BADTICK": "not a decimal number: '1e-2'",
    }


def test_an_entry_of_another_shape_is_skipped_too() -> None:
    listing = decode_listing(Product.SPOT, b'{"symbols":[{"symbol":7},3,{"symbol":"X"}]}')
    assert (listing.instruments, len(listing.skipped)) == ([], 3)


@pytest.mark.parametrize(
    ("symbol", "universal", "multiplier"),
    [
        ("BTCUSDT", "BTC/USDT:USDT", 1),
        ("BTCUSDC", "BTC/USDC:USDC", 1),
        ("1000SHIBUSDT", "1000SHIB/USDT:USDT", 1_000),
        ("1MBABYDOGEUSDT", "1000000BABYDOGE/USDT:USDT", 1_000_000),
        ("1INCHUSDT", "1INCH/USDT:USDT", 1),
        ("XAUUSDT", "XAU/USDT:USDT", 1),
    ],
)
def test_perpetual_names_and_multipliers(
    perp_known: dict[str, Instrument], symbol: str, universal: str, multiplier: int
) -> None:
    each = perp_known[symbol]
    assert (each.universal, each.multiplier) == (universal, multiplier)
    assert each.settle == each.universal.partition(":")[2]


def test_dated_contracts_are_named_but_are_no_perpetuals(golden: Golden) -> None:
    listing = decode_listing(Product.PERP, golden("http_exchange_info_perp"))
    assert listing.dated == {
        "BTCUSDT_261225": "BTC/USDT:USDT-261225",
        "ETHUSDT_270326": "ETH/USDT:USDT-270326",
    }
    assert not {each.symbol for each in listing.instruments} & set(listing.dated)
    assert listing.skipped == [("BTCSTUSDT", "contractType ''")]


def test_perpetual_scales_hold_the_largest_values(perp_known: dict[str, Instrument]) -> None:
    for each in perp_known.values():
        assert each.price_max * 10 < 2**63
        assert each.qty_max * 1000 < 2**63
        assert each.tick_size > 0
        assert each.lot_size > 0


def test_of_two_entries_with_one_name_the_trading_one_wins(golden: Golden) -> None:
    text = golden("http_exchange_info_perp").decode()
    old = (
        '{"symbol":"BTCUSDT_OLD","status":"CLOSE","contractType":"PERPETUAL","baseAsset":"BTC",'
        + text[text.index('"quoteAsset"') : text.index(',{"symbol":"BTCUSDC"')]
    )
    for body in (text.replace('"symbols":[', f'"symbols":[{old},'), text[:-2] + f",{old}]}}"):
        listing = decode_listing(Product.PERP, body.encode())
        names = {each.universal: each.symbol for each in listing.instruments}
        assert names["BTC/USDT:USDT"] == "BTCUSDT"
        assert "BTCUSDT_OLD" in dict(listing.skipped)


@pytest.mark.parametrize("part", ["A/B", "A:B", "A B", "", 'A"', "A\\u0007", "A@B"])
def test_names_that_would_break_streams_or_urls_are_skipped(golden: Golden, part: str) -> None:
    body = golden("http_exchange_info_spot").decode().replace('"baseAsset":"BTC"', f'"baseAsset":"{part}"')
    if part == 'A"':
        body = body.replace('A""', 'A\\""')
    assert "BTCUSDT" in dict(decode_listing(Product.SPOT, body.encode()).skipped)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"symbols":{}}', b"<html>", b'{"symbols":[', b"\xff"])
def test_another_body_is_a_violation(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_listing(Product.SPOT, body)
    if body != b"{}" and not body.startswith(b'{"symbols":{}'):
        with pytest.raises(ProtocolViolation):
            decode_budgets(Product.SPOT, body)


@pytest.mark.parametrize(
    ("base", "multiplier"),
    [("SHIB", 1), ("1000SHIB", 1_000), ("10000LADYS", 10_000), ("1000000MOG", 10**6), ("1MBABYDOGE", 10**6),
     ("1INCH", 1), ("100X", 1), ("1000", 1), ("2000SHIB", 1), ("M1000", 1)],
)  # fmt: skip
def test_multiplier(base: str, multiplier: int) -> None:
    assert canonical_coin(base)[1] == multiplier


def test_stated_limits_replace_the_documented_ones(golden: Golden) -> None:
    assert decode_budgets(Product.SPOT, golden("http_exchange_info_spot")) == (
        BudgetRule("weight_1m", "weight", 60_000, 6_000, "x-mbx-used-weight-1m"),
        BudgetRule("orders_10s", "orders", 10_000, 100, "x-mbx-order-count-10s"),
        BudgetRule("orders_1d", "orders", 86_400_000, 200_000, "x-mbx-order-count-1d"),
    )
    assert decode_budgets(Product.PERP, b'{"symbols":[]}')[0].limit == 2_400


# ------------------------------------------------------------------- every instrument ever recorded


def recorded(folder: Path) -> list[tuple[Product, Listing]]:
    """Decode the exchangeInfo bodies of the recordings: two whole ones of 2021, two of 2026."""
    bodies = []
    for product, name in ((Product.SPOT, "spot"), (Product.PERP, "usdm")):
        with gzip.open(folder / "binance" / f"cryptofeed_{name}_2021.exchangeinfo.txt.gz", "rb") as file:
            bodies.append((product, file.readline().split(b": ", 1)[1]))
    spot = (folder / "binance" / "exchangeinfo_spot_testnet_20260913.json").read_bytes()
    entry = (folder / "binance" / "exchangeinfo_usdm_btcusdt_entry_20260915.json").read_bytes()
    bodies += [(Product.SPOT, spot), (Product.PERP, b'{"symbols":[' + entry + b"]}")]
    return [(product, decode_listing(product, body)) for product, body in bodies]


def test_names_are_a_bijection_over_every_recorded_listing(shared_fixtures: Path) -> None:
    listings = recorded(shared_fixtures)
    assert [len(listing.instruments) for _, listing in listings] == [1695, 119, 1, 1]
    assert listings[1][1].dated == {
        "BTCUSDT_210924": "BTC/USDT:USDT-210924",
        "ETHUSDT_210924": "ETH/USDT:USDT-210924",
    }
    assert listings[1][1].skipped == [("BTCSTUSDT", "contractType ''")]
    for product, listing in listings:
        to_universal = {each.symbol: each.universal for each in listing.instruments} | listing.dated
        to_symbol = {universal: symbol for symbol, universal in to_universal.items()}
        assert len(to_universal) == len(to_symbol) == len(listing.instruments) + len(listing.dated)
        for each in listing.instruments:
            assert to_symbol[to_universal[each.symbol]] == each.symbol
            name = universal_symbol(product, each.base, each.quote, each.settle or "")
            assert name == each.universal
            assert each.universal.split(":")[0] == f"{each.base}/{each.quote}"


def test_bounds_of_every_recorded_instrument_survive_text_and_back(shared_fixtures: Path) -> None:
    for _, listing in recorded(shared_fixtures):
        for each in listing.instruments:
            prices = (each.tick_size, each.price_min, each.price_max, each.price_min + 7 * each.tick_size)
            qtys = (each.lot_size, each.qty_min, each.qty_max, each.market_qty_max, 3 * each.lot_size)
            for value in prices:
                assert scaled(plain(value, each.price_scale), each.price_scale) == value
            for value in qtys:
                assert scaled(plain(value, each.qty_scale), each.qty_scale) == value
            assert each.market_lot_size % each.lot_size == 0
