"""Universal names: one unit has one name across venues, and one name means one instrument."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import msgspec
import pytest

from engine import config as configuration
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.naming import canonical_coin, collisions, one_each, universal_name
from engine.supervisor import wiring
from tests.unit.router.test_checks import SPOT

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"
FIXTURES = ROOT.parent / "shared" / "fixtures"


@pytest.mark.parametrize(
    ("name", "canonical", "multiplier"),
    [
        ("BTC", "BTC", 1),
        ("1000SHIB", "1000SHIB", 1_000),
        ("1000000MOG", "1000000MOG", 10**6),
        ("1MBABYDOGE", "1000000BABYDOGE", 10**6),
        ("1MIL", "1MIL", 1),
        ("1INCH", "1INCH", 1),
        ("100X", "100X", 1),
        ("1000", "1000", 1),
        ("2000SHIB", "2000SHIB", 1),
        ("1001A", "1001A", 1),
        ("SHIB1000", "SHIB1000", 1),
    ],
)
def test_factors_stand_in_front(name: str, canonical: str, multiplier: int) -> None:
    assert canonical_coin(name) == (canonical, multiplier)
    assert canonical_coin(canonical) == (canonical, multiplier)


@pytest.mark.parametrize(
    ("name", "canonical", "multiplier"),
    [("SHIB1000", "1000SHIB", 1_000), ("1000PEPE", "1000PEPE", 1_000), ("A21000", "A21000", 1),
     ("C98", "C98", 1), ("A100", "A100", 1)],
)  # fmt: skip
def test_some_venues_write_factors_behind(name: str, canonical: str, multiplier: int) -> None:
    assert canonical_coin(name, has_trailing=True) == (canonical, multiplier)


def test_the_settle_coin_makes_a_perpetual() -> None:
    assert universal_name("BTC", "USDT") == "BTC/USDT"
    assert universal_name("1000SHIB", "USDT", "USDT") == "1000SHIB/USDT:USDT"


def listed(symbol: str, universal: str, status: InstrumentStatus) -> Instrument:
    return msgspec.structs.replace(SPOT, symbol=symbol, universal=universal, status=status)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_of_two_of_one_name_the_one_that_trades_stays(is_reversed: bool) -> None:
    old = listed("OLD", "A/B", InstrumentStatus.CLOSED)
    new = listed("NEW", "A/B", InstrumentStatus.TRADING)
    other = listed("C", "C/B", InstrumentStatus.HALTED)
    stays, left_out = one_each([new, other, old] if is_reversed else [old, other, new])
    assert {each.symbol for each in stays} == {"NEW", "C"}
    assert left_out == [("OLD", "A/B is NEW")]
    assert collisions(stays) == {}


def test_two_that_both_trade_collide() -> None:
    rivals = [listed(symbol, "A/B", InstrumentStatus.TRADING) for symbol in ("ONE", "TWO")]
    stays, left_out = one_each(rivals)
    assert (stays, left_out) == (rivals, [])
    assert collisions(stays) == {"A/B": rivals}


def listings() -> list[tuple[str, Product, str]]:
    """Every listing at hand: our samples, and recorded ones where they are present."""
    rows = [
        (file.parent.name, product, str(file))
        for product in Product
        for pattern in (f"http_instruments_{product.value}.json", f"http_exchange_info_{product.value}.json")
        for file in GOLDEN.glob(f"*/{pattern}")
    ]
    recorded = {
        ("binance", Product.SPOT): ["exchangeinfo_spot_testnet*", "cryptofeed_spot_2021.exchangeinfo.txt.gz"],
        ("binance", Product.PERP): ["cryptofeed_usdm_2021.exchangeinfo.txt.gz"],
        ("okx", Product.PERP): ["recordings/*instruments_swap.http.txt"],
    }
    rows += [
        (venue, product, str(file))
        for (venue, product), patterns in recorded.items()
        for pattern in patterns
        for file in sorted((FIXTURES / venue).glob(pattern))
    ]
    return rows


@pytest.mark.parametrize(("venue", "product", "file"), listings(), ids=lambda each: str(each)[-40:])
def test_no_listing_at_hand_has_two_of_one_name(venue: str, product: Product, file: str) -> None:
    body = gzip.decompress(Path(file).read_bytes()) if file.endswith(".gz") else Path(file).read_bytes()
    start = re.search(rb"\{", body)
    assert start is not None
    body = json.dumps(json.JSONDecoder().raw_decode(body[start.start() :].decode())[0]).encode()
    listing = wiring.replay_adapter(venue, product).decode_instruments(body)
    assert listing
    assert collisions(listing) == {}
    assert len({each.symbol for each in listing}) == len(listing)
    for each in listing:
        base = each.universal.partition("/")[0]
        assert canonical_coin(base) == (base, each.multiplier), "a name that is not canonical"


def test_the_same_unit_has_the_same_name_in_every_profile() -> None:
    for path in (ROOT / "engine.toml", *sorted((ROOT / "config").glob("engine-*.toml"))):
        for venue, section in configuration.load(path).venues.items():
            for universal in (*section.instruments.spot, *section.instruments.perp):
                base = universal.partition("/")[0]
                assert canonical_coin(base, has_trailing=":" in universal)[0] == base, f"{path.name}: {venue}"
