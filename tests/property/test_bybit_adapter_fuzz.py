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
from engine.venues.bybit.adapter import BybitMarketData, BybitTrading
from engine.venues.bybit.endpoints import LIVE
from engine.venues.bybit.instruments import decode_listing

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "bybit"
SAMPLES = {path.stem: path.read_bytes().strip() for path in sorted(GOLDEN.glob("*.json"))}
SYMBOL = "BTCUSDT"
STAMP = 1795442400100
CREDENTIALS = Credentials(Secret("k"), Secret("s"))


def adapters(product: Product) -> tuple[BybitMarketData, BybitTrading]:
    listing = decode_listing(product, SAMPLES[f"http_instruments_{product.value}"])
    market = BybitMarketData(product, LIVE[product])
    market.market_plans(listing.instruments, frozenset(Topic))
    known = {each.symbol: each for each in listing.instruments}
    return market, BybitTrading(product, LIVE[product], CREDENTIALS, known)


SPOT, PERP = adapters(Product.SPOT), adapters(Product.PERP)


def decode_everything(payload: bytes) -> None:
    """Feed one payload to every decoder of both products; anything unexpected propagates."""
    for product, (market, trading) in ((Product.SPOT, SPOT), (Product.PERP, PERP)):
        btc = trading._known[SYMBOL]
        raising: list[Callable[[], object]] = [
            lambda market=market: market.decode_market(payload, 1, 2),  # type: ignore[misc]
            lambda market=market, btc=btc: market.decode_snapshot(btc, payload),  # type: ignore[misc]
            lambda market=market: market.decode_time_ns(payload),  # type: ignore[misc]
            lambda product=product: decode_listing(product, payload),  # type: ignore[misc]
            lambda trading=trading: trading.decode_private(payload, 1, 2),  # type: ignore[misc]
            lambda trading=trading: trading.decode_trade(payload, 1, 2),  # type: ignore[misc]
        ]
        for decode in raising:
            assert_raw(decode, payload)
        for status in (200, 400, 429, 503):
            answers = [
                trading.decode_order(btc, status, payload),
                trading.decode_orders(status, payload),
                trading.decode_fills(btc, status, payload),
                trading.decode_balances(status, payload),
                trading.decode_positions(status, payload),
                trading.decode_listen_key(status, payload),
                trading.decode_account_check(status, payload),
            ]
            for answer in answers:
                if status != 200:
                    assert isinstance(answer, VenueError)
            for request in (
                trading.query_http(btc, "a1", None, STAMP),
                trading.fills_http(btc, None, STAMP),
                market.instruments_request(),
            ):
                asking: BybitMarketData | BybitTrading = market if "market" in request.target else trading
                further = asking.continuation(request, status, payload, STAMP)
                assert further is None or status == 200


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
    "topic", "type", "ts", "data", "op", "success", "ret_msg", "req_id", "reqId", "retCode", "retMsg",
    "result", "list", "nextPageCursor", "category", "header", "X-Bapi-Limit", "X-Bapi-Limit-Status",
    "Timenow", "orderId", "orderLinkId", "orderStatus", "symbol", "side", "qty", "price", "execId", "execFee",
    "extraFees", "coin", "walletBalance", "size", "positionIdx", "readOnly", "unifiedMarginStatus",
    "timeNano", "b", "a", "u", "cts",
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
        b'{"topic":"order.linear","data":' * 50_000,
        b'{"retCode":0,"result":' * 50_000,
    ):
        decode_everything(payload)


@pytest.mark.parametrize("name", ["http_place", "http_amend", "http_order_open", "http_order_part"])
def test_a_cut_order_answer_is_never_taken_for_a_refusal(name: str) -> None:
    _, trading = PERP
    btc = trading._known[SYMBOL]
    for payload in truncations(SAMPLES[name]):
        answer = trading.decode_order(btc, 200, payload)
        assert isinstance(answer, VenueError)
        assert answer.outcome is Outcome.UNKNOWN


def test_a_cut_answer_on_the_order_connection_is_refused_as_a_whole() -> None:
    _, trading = PERP
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
