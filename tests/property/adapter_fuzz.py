"""What every adapter must bear: damaged bytes never escape as anything but a refusal or an UNKNOWN answer.

A venue's test file subclasses `AdapterFuzz`: it names the adapters and says what is particular to the venue.
"""

from __future__ import annotations

import functools
import json
import random
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.orders import Outcome, VenueError
from engine.model.trades import WithTradeList
from engine.venues.base import MarketDataAdapter, TradingAdapter

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STATUSES = (200, 400, 429, 503)


def golden(venue: str) -> dict[str, bytes]:
    """Return the samples of a venue by name."""
    return {path.stem: path.read_bytes().strip() for path in sorted((GOLDEN / venue).glob("*.json"))}


class Side(NamedTuple):
    """The adapters of one product, and the instrument that they are asked about."""

    market: MarketDataAdapter
    trading: TradingAdapter
    instrument: Instrument
    decode_listing: Callable[[Product, bytes], object]

    def refusing(self) -> list[Callable[[bytes], object]]:
        """Return the decoders that may raise a ProtocolViolation with the bytes, and nothing else."""
        market = self.market
        assert isinstance(market, WithTradeList)
        return [
            lambda payload: market.trade_list.decode(self.instrument, payload, 1, 2),
            lambda payload: self.market.decode_market(payload, 1, 2),
            lambda payload: self.market.decode_snapshot(self.instrument, payload),
            self.market.decode_time_ns,
            lambda payload: self.decode_listing(self.market.product, payload),
            lambda payload: self.trading.decode_private(payload, 1, 2),
            lambda payload: self.trading.decode_trade(payload, 1, 2),
        ]

    def answering(self) -> list[Callable[[int, bytes], object]]:
        """Return the decoders of answers, which never raise; all but a status of 200 is a VenueError."""
        return [
            lambda status, payload: self.trading.decode_order(self.instrument, status, payload),
            self.trading.decode_orders,
            lambda status, payload: self.trading.decode_fills(self.instrument, status, payload),
            self.trading.decode_balances,
            self.trading.decode_positions,
            self.trading.decode_listen_key,
            self.trading.decode_account_check,
        ]


def assert_raw(decode: Callable[[bytes], object], payload: bytes) -> None:
    """Run a decoder that may refuse; a refusal keeps the bytes."""
    raw: bytes | None = None
    try:
        decode(payload)
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


def assert_never_a_refusal(side: Side, sample: bytes) -> None:
    """Cut an answer about an order everywhere: what became of the order is then not known."""
    for payload in truncations(sample):
        answer = side.trading.decode_order(side.instrument, 200, payload)
        assert isinstance(answer, VenueError)
        assert answer.outcome is Outcome.UNKNOWN


def assert_refused_as_a_whole(trading: TradingAdapter, sample: bytes) -> None:
    """Cut a message of the order-entry connection everywhere: none of it is believed."""
    for payload in truncations(sample):
        with pytest.raises(ProtocolViolation):
            trading.decode_trade(payload, 1, 2)


@functools.cache
def json_values(fields: tuple[str, ...]) -> st.SearchStrategy[object]:
    """Return values of any shape whose objects use a venue's own field names."""
    leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(fields), inner, max_size=5)
        ),
        max_leaves=15,
    )


# one test function serves a class for each venue, which is what this check would warn of
of_any_venue = settings(suppress_health_check=[HealthCheck.differing_executors])


class AdapterFuzz:
    """The tests of one venue's decoders."""

    venue: ClassVar[str]
    samples: ClassVar[dict[str, bytes]]
    sides: ClassVar[Sequence[Side]]
    fields: ClassVar[str]
    """Names of JSON fields that the decoders look for."""
    nests: ClassVar[Sequence[bytes]] = ()
    """Openings of messages, to be repeated until a parser that recurses would fall."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames and metafunc.definition.get_closest_marker("parametrize") is None:
            metafunc.parametrize("name", sorted(self.samples))

    def decode_more(self, payload: bytes) -> None:
        """Feed one payload to what only this venue has."""

    def decode_everything(self, payload: bytes) -> None:
        """Feed one payload to every decoder of every side; anything unexpected propagates."""
        for side in self.sides:
            for decode in side.refusing():
                assert_raw(decode, payload)
            for status in STATUSES:
                for answer in side.answering():
                    decoded = answer(status, payload)
                    assert status == 200 or isinstance(decoded, VenueError)
        self.decode_more(payload)

    def test_cut_samples(self, name: str) -> None:
        for payload in truncations(self.samples[name]):
            self.decode_everything(payload)

    def test_damaged_samples(self, name: str) -> None:
        for payload in mutations(self.samples[name], random.Random(f"7 {name}")):
            self.decode_everything(payload)

    @of_any_venue
    @given(payload=st.binary(max_size=200))
    def test_noise(self, payload: bytes) -> None:
        self.decode_everything(payload)

    @of_any_venue
    @given(data=st.data())
    def test_json_of_any_shape(self, data: st.DataObject) -> None:
        value = data.draw(json_values(tuple(self.fields.split())))
        self.decode_everything(json.dumps(value).encode())

    def test_deep_nesting_is_refused_without_exhausting_the_stack(self) -> None:
        for payload in (b"[" * 100_000, b'{"data":' * 100_000, *(nest * 50_000 for nest in self.nests)):
            self.decode_everything(payload)

    def test_every_sample_decodes_whole_and_has_a_source(self) -> None:
        rows = tomllib.loads((GOLDEN / self.venue / "SOURCES.toml").read_text(encoding="utf-8"))
        assert set(rows) == {f"{name}.json" for name in self.samples}
        for row in rows.values():
            assert {"origin", "section", "seen", "edit"} <= set(row)
        for payload in self.samples.values():
            self.decode_everything(payload)
