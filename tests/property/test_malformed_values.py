"""Values that are none, in every venue's dialect: refused whole, the book STALE, and healed by good ones."""

from __future__ import annotations

import random
from decimal import Decimal

import msgspec
import pytest

from engine.model.market import BookState, Feed
from tests.property.depth_dialects import Dialect, Frame
from tests.property.test_million_deltas import ALL, World

PRICE, QTY = "99.3", "77.7"
ID = 10**9

NUMBERS = [
    "-1", "NaN", "nan", "Infinity", "-Infinity", "1e400", "1e3", "", " ", "1_000", " 1 ", "1 ", "+1", ".5",
    "5.", "0x10", "1,5", "01", "--1", "1.2.3", "\\u0661\\u0662", "\u0661\u0662", "\uff11", "9" * 40,
    "0." + "0" * 40 + "1",
]  # fmt: skip
"""What Python's own ``float`` or ``int`` mostly takes for a number, and a market must not."""
TOKENS = ["null", "true", "{}", "[]", '[["1"]]', "NaN", "-1", "1e999"]
"""JSON of another type in a value's place."""


def live(dialect: Dialect) -> World:
    """Return books of kernel and twin that are LIVE on a clean stream."""
    world = World(dialect, 7, with_twin=True)
    heal(world)
    world.random = random.Random(1)
    return world


def heal(world: World) -> None:
    """Synchronise anew until the book is LIVE, and equal to the venue's."""
    while True:
        world.resync()
        raw = world.venue.delta()
        world.remember()
        world.feed(raw)
        if world.book.is_live:
            break
    world.compare()


def sentinel(world: World) -> bytes:
    """Return the next delta, with a price and a quantity that stand in it once."""
    last = world.venue.last
    frame = Frame(
        False, last, last + 1, last + 1, world.venue.clock + 1, [(Decimal(PRICE), Decimal(QTY))], []
    )
    return world.dialect.text(frame)


def refused(world: World, raw: bytes) -> None:
    """Feed a damaged frame: nothing of it is applied, the book is not LIVE, and heals.

    A frame that is no JSON before it has said whose it is, is nobody's: the decoders refuse it, and the next
    delta shows the gap.
    """
    before = [book.depth(side).tolist() for book, _ in world.pairs for side in (0, 1)]
    codes = {Feed(feed.feed_code(raw)) for _, feed in world.pairs}
    assert codes <= {Feed.REJECTED, Feed.PASS}, (codes, raw)
    assert before == [book.depth(side).tolist() for book, _ in world.pairs for side in (0, 1)]
    if codes != {Feed.REJECTED}:
        assert not is_json(raw)
        world.venue.delta()
        after = world.venue.delta()
        world.remember()
        assert {Feed(feed.feed_code(after)) for _, feed in world.pairs} == {Feed.GAP}
    else:
        assert {book.reason for book, _ in world.pairs} == {"malformed delta"}
    assert {book.state for book, _ in world.pairs} == {BookState.STALE}
    heal(world)


def is_json(raw: bytes) -> bool:
    """Tell whether a decoder would take the bytes at all."""
    try:
        msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return False
    return True


each_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)


@pytest.mark.fault("P16")
@pytest.mark.parametrize("place", [PRICE, QTY], ids=["price", "quantity"])
@each_dialect
def test_text_that_is_no_plain_number_is_refused(dialect: Dialect, place: str) -> None:
    world = live(dialect)
    for text in NUMBERS:
        raw = sentinel(world)
        assert raw.count(place.encode()) == 1
        refused(world, raw.replace(place.encode(), text.encode()))


@pytest.mark.fault("P17")
@each_dialect
def test_more_decimals_than_fit_are_refused_and_never_rounded(dialect: Dialect) -> None:
    world = live(dialect)
    for place, text in ((PRICE, "99.30001"), (QTY, "0.0000000000001"), (PRICE, "9" * 18), (QTY, "9" * 19)):
        raw = sentinel(world)
        refused(world, raw.replace(place.encode(), text.encode()))
    raw = sentinel(world).replace(PRICE.encode(), b"99.3000000000000000000000")
    assert {Feed(feed.feed_code(raw)) for _, feed in world.pairs} == {Feed.APPLIED}, "zeros change no value"
    assert 993_000 in world.book.depth(0)[:, 0].tolist()


@pytest.mark.fault("P20")
@each_dialect
def test_another_type_in_a_values_place_is_refused(dialect: Dialect) -> None:
    world = live(dialect)
    for place in (PRICE, QTY):
        quoted = f'"{place}"'.encode()
        if quoted not in sentinel(world):
            continue  # one string for the whole change
        for token in TOKENS:
            refused(world, sentinel(world).replace(quoted, token.encode()))


@pytest.mark.fault("P20")
@each_dialect
def test_keys_that_are_missing_null_or_repeated(dialect: Dialect) -> None:
    """An unknown key is nobody's business; a known one is there once, and what it should be."""
    world = live(dialect)
    key = f'"{dialect.schema.last_key}":'.encode()
    raw = sentinel(world)
    assert key in raw
    refused(world, raw.replace(key, b'"nothing":'))
    refused(world, sentinel(world).replace(key, key + b"null," + b'"x":'))
    refused(world, sentinel(world).replace(key, key + b"12," + key))
    raw = sentinel(world).replace(key, b'"unknown":{"a":[1,{"b":null}],"c":"\\u00e9"},' + key)
    world.venue.last += 1
    assert {Feed(feed.feed_code(raw)) for _, feed in world.pairs} == {Feed.APPLIED}


@pytest.mark.fault("P18")
@each_dialect
def test_ids_are_exact_integers_up_to_63_bits_and_refused_beyond(dialect: Dialect) -> None:
    world = live(dialect)
    key = f'"{dialect.schema.last_key}":'
    for text in (
        "9223372036854775808",
        "18446744073709551616",
        "-5",
        "1.5",
        "1e3",
        '"abc"',
        "99999999999999999999",
    ):
        raw = sentinel(world).decode()
        start = raw.index(key) + len(key)
        end = next(at for at in range(start, len(raw)) if raw[at] in ",}")
        refused(world, (raw[:start] + text + raw[end:]).encode())
    for base in (2**53, 10**17):  # neighbours that a float cannot tell apart
        world.venue.last = base
        world.remember()
        heal(world)
        for _ in range(10):
            following = world.venue.delta()
            world.remember()
            world.feed(following)
            assert world.book.is_live
            assert world.book.sequence == world.venue.last
        world.compare()
        world.venue.delta()
        assert {Feed(feed.feed_code(world.venue.delta())) for _, feed in world.pairs} == {Feed.GAP}


@pytest.mark.fault("P21")
@each_dialect
def test_trailing_bytes_and_endless_nesting(dialect: Dialect) -> None:
    world = live(dialect)
    for tail in (b"}", b"[]", b"x", b"\x00", sentinel(world)):
        refused(world, sentinel(world) + tail)
    key = f'"{dialect.schema.last_key}":'.encode()
    deep = b'"deep":' + b"[" * 100_000 + b"]" * 100_000 + b","
    refused(world, sentinel(world).replace(key, deep + key))
    raw = sentinel(world)
    cut = {Feed(feed.feed_code(raw[: len(raw) // 2])) for _, feed in world.pairs}
    assert cut <= {Feed.PASS, Feed.REJECTED}


@pytest.mark.fault("P22")
@each_dialect
def test_a_delta_of_a_hundred_thousand_levels_is_taken_or_refused_whole(dialect: Dialect) -> None:
    if dialect.is_one_change:
        pytest.skip("this dialect says one change a frame")
    world = live(dialect)
    last = world.venue.last
    for count, expected in ((20_000, Feed.APPLIED), (200_000, Feed.REJECTED)):
        bids = [(Decimal(1 + i) / 10_000, Decimal(3)) for i in range(count)]
        raw = dialect.text(Frame(False, last, last + 1, last + 1, world.venue.clock + 1, bids, []))
        before = world.book.depth(0).tolist()
        assert {Feed(feed.feed_code(raw)) for _, feed in world.pairs} == {expected}, count
        last += 1
        assert (world.book.depth(0).tolist() == before) == (expected is Feed.REJECTED)
