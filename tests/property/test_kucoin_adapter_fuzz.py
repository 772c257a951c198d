"""Damaged bytes never escape as anything but a ProtocolViolation or an UNKNOWN answer."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Product
from engine.model.orders import Outcome, VenueError
from engine.venues.base import Credentials, Secret, Topic
from engine.venues.kucoin.adapter import KucoinMarketData, KucoinTrading
from engine.venues.kucoin.endpoints import LIVE
from engine.venues.kucoin.instruments import decode_listing
from engine.venues.kucoin.unified_account import KucoinUnifiedTrading

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "kucoin"
SAMPLES = {path.stem: path.read_bytes().strip() for path in sorted(GOLDEN.glob("*.json"))}
SYMBOLS = {Product.SPOT: "BTC-USDT", Product.PERP: "XBTUSDTM"}
STREAMS = ("unified", "classic")
CREDENTIALS = Credentials(Secret("k"), Secret("s"), Secret("p"))


def adapters(product: Product) -> tuple[list[KucoinMarketData], KucoinTrading, KucoinUnifiedTrading]:
    listing = decode_listing(product, SAMPLES[f"http_instruments_{product.value}"])
    markets = [KucoinMarketData(product, LIVE[product], streams=streams) for streams in STREAMS]
    for market in markets:
        market.market_plans(listing.instruments, frozenset(Topic))
    known = {each.symbol: each for each in listing.instruments}
    return (
        markets,
        KucoinTrading(product, LIVE[product], CREDENTIALS, known),
        KucoinUnifiedTrading(product, LIVE[product], CREDENTIALS, known),
    )


SPOT, PERP = adapters(Product.SPOT), adapters(Product.PERP)


def decode_everything(payload: bytes) -> None:
    """Feed one payload to every decoder of both products; anything unexpected propagates."""
    for product, ((market, classic), trading, unified) in ((Product.SPOT, SPOT), (Product.PERP, PERP)):
        btc = trading._known[SYMBOLS[product]]
        raising: list[Callable[[], object]] = [
            lambda market=market: market.decode_market(payload, 1, 2),  # type: ignore[misc]
            lambda classic=classic: classic.decode_market(payload, 1, 2),  # type: ignore[misc]
            lambda market=market, btc=btc: market.decode_snapshot(btc, payload),  # type: ignore[misc]
            lambda market=market: market.decode_time_ns(payload),  # type: ignore[misc]
            lambda product=product: decode_listing(product, payload),  # type: ignore[misc]
            lambda trading=trading: trading.decode_private(payload, 1, 2),  # type: ignore[misc]
            lambda unified=unified: unified.decode_private(payload, 1, 2),  # type: ignore[misc]
            lambda trading=trading: trading.decode_trade(payload, 1, 2),  # type: ignore[misc]
        ]
        for decode in raising:
            assert_raw(decode, payload)
        for status in (200, 400, 429, 503):
            sides: tuple[KucoinTrading | KucoinUnifiedTrading, ...] = (trading, unified)
            answers = [
                answer
                for side in sides
                for answer in (
                    side.decode_order(btc, status, payload),
                    side.decode_orders(status, payload),
                    side.decode_fills(btc, status, payload),
                    side.decode_balances(status, payload),
                    side.decode_positions(status, payload),
                    side.decode_listen_key(status, payload),
                    side.decode_account_check(status, payload),
                )
            ]
            for answer in answers:
                if status != 200:
                    assert isinstance(answer, VenueError)


def assert_raw(decode: Callable[[], object], payload: bytes) -> None:
    """Run a decoder that may refuse; a refusal keeps the bytes."""
    raw: bytes | None = None
    try:
        decode()
    except ProtocolViolation as violation:
        raw = violation.raw
    assert raw is None or raw == payload[:4096]


def truncations(payload: bytes) -> Iterator[bytes]:
    step = max(1, len(payload) // 400)  # every byte of a message, a sample of the long listings
    for end in range(0, len(payload), step):
        yield payload[:end]


def mutations(payload: bytes, rng: random.Random) -> Iterator[bytes]:
    for _ in range(200):
        damaged = bytearray(payload)
        for _ in range(rng.randint(1, 4)):
            position = rng.randrange(len(damaged))
            kind = rng.randrange(4)
            if kind == 0:
                damaged[position] = rng.randrange(256)
            elif kind == 1:
                del damaged[position]
            elif kind == 2:
                damaged[position:position] = rng.choice((b'"', b"[", b"{", b"-", b"9" * 30, b"null", b"\xff"))
            else:
                end = min(len(damaged), position + rng.randint(1, 20))
                damaged[position:position] = damaged[position:end]
            if not damaged:
                damaged = bytearray(b"{")
        yield bytes(damaged)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_cut_samples(name: str) -> None:
    for payload in truncations(SAMPLES[name]):
        decode_everything(payload)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_damaged_samples(name: str) -> None:
    for payload in mutations(SAMPLES[name], random.Random(f"7 {name}")):
        decode_everything(payload)


@given(st.binary(max_size=200))
def test_noise(payload: bytes) -> None:
    decode_everything(payload)


# fmt: off
_FIELDS = [
    "T", "d", "s", "p", "q", "ti", "M", "type", "topic", "subject", "data", "id", "code", "result", "message",
    "sessionId", "op", "msg", "orderId", "clientOid", "status", "side", "size", "price", "ts", "currency",
    "items", "cancelledOrderIds", "instanceServers", "token",
]
# fmt: on
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(_FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)  # fmt: skip


@given(_JSON)
def test_json_of_any_shape(value: object) -> None:
    import json

    decode_everything(json.dumps(value).encode())


def test_deep_nesting_is_refused_without_exhausting_the_stack() -> None:
    for payload in (
        b"[" * 100_000,
        b'{"data":' * 100_000,
        b'{"topic":"/market/match:BTC-USDT","data":' * 50_000,
    ):
        decode_everything(payload)


@pytest.mark.parametrize("name", ["uta_place", "uta_order"])
def test_a_cut_answer_of_a_unified_account_is_never_taken_for_a_refusal(name: str) -> None:
    _, _, unified = PERP
    xbt = unified._known["XBTUSDTM"]
    for payload in truncations(SAMPLES[name]):
        answer = unified.decode_order(xbt, 200, payload)
        assert isinstance(answer, VenueError)
        assert answer.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("name", ["http_place", "http_cancel_spot", "http_order_spot", "http_amend"])
def test_a_cut_order_answer_is_never_taken_for_a_refusal(name: str) -> None:
    _, trading, _ = SPOT
    btc = trading._known["BTC-USDT"]
    for payload in truncations(SAMPLES[name]):
        answer = trading.decode_order(btc, 200, payload)
        assert isinstance(answer, VenueError)
        assert answer.outcome is Outcome.UNKNOWN


def test_a_cut_answer_on_the_order_connection_is_refused_as_a_whole() -> None:
    _, trading, _ = PERP
    for payload in truncations(SAMPLES["wsapi_place"]):
        with pytest.raises(ProtocolViolation):
            trading.decode_trade(payload, 1, 2)


def test_every_sample_decodes_whole_and_has_a_source() -> None:
    sources = tomllib.loads((GOLDEN / "SOURCES.toml").read_text(encoding="utf-8"))
    mine = {f"{name}.json" for name in SAMPLES}
    assert set(sources) == mine
    for row in sources.values():
        assert {"origin", "section", "seen", "edit"} <= set(row)
    for payload in SAMPLES.values():
        decode_everything(payload)
