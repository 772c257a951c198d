"""Kernel, twin and an independent reading in Decimals agree on every venue's stream, whatever befalls it."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book.pure import PureBook, PureDepthFeed
from engine.model.market import BookSnapshot, BookState, Feed
from tests.property.depth_dialects import (
    BITMART_SPOT,
    BYBIT,
    DIALECTS,
    KUCOIN_SPOT,
    OKX,
    Dialect,
    Frame,
    Reference,
    Rows,
    Side,
    SpotReference,
)

kernel = pytest.importorskip("engine.book._kernel", reason="the kernel is not compiled here")

PRICE_SCALE, QTY_SCALE = 4, 8
NAMES = [dialect.name for dialect in DIALECTS]
OPS = (
    *["clean"] * 12, "lost", "double", "hold", "cut", "unfit", "beat", "restart", "unasked", "crossed",
)  # fmt: skip


class Exchange:
    """A venue book that moves at random and says so in its dialect."""

    def __init__(self, dialect: Dialect, seed: int) -> None:
        self.dialect = dialect
        self.random = random.Random(seed)
        self.bids: Side = {Decimal(1000 - i) / 10: self.size() for i in range(25)}
        self.asks: Side = {Decimal(1001 + i) / 10: self.size() for i in range(25)}
        self.last = 1_000
        self.clock = 1_790_000_000_000

    def size(self) -> Decimal:
        return Decimal(self.random.randint(1, 9_999)) / self.random.choice((1, 10))

    def snapshot(self) -> bytes:
        """Return an in-band snapshot; rows may come in any order."""
        bids, asks = list(self.bids.items()), list(self.asks.items())
        if self.random.random() < 0.3:
            self.random.shuffle(bids)
        return self.dialect.text(Frame(True, -1, self.last, self.last, self.clock, bids, asks))

    def rest(self) -> BookSnapshot:
        """Return a snapshot as the venue's REST answer would be decoded: base units."""

        def rows(side: Side) -> Any:
            size = self.dialect.contract_size
            return np.array(
                [[int(p.scaleb(PRICE_SCALE)), int((q * size).scaleb(QTY_SCALE))] for p, q in side.items()],
                dtype=np.int64,
            ).reshape(-1, 2)

        return BookSnapshot(
            self.last, rows(dict(sorted(self.bids.items(), reverse=True))), rows(self.asks), None
        )

    def _change(self, which: int) -> tuple[Decimal, Decimal]:
        side, other = (self.bids, self.asks) if which == 0 else (self.asks, self.bids)
        best = (max if which == 0 else min)(side)
        limit = (min if which == 0 else max)(other)
        step = Decimal(self.random.randint(-2, 40)) / 10
        price = best - step if which == 0 else best + step
        if (which == 0 and price >= limit) or (which == 1 and price <= limit):
            price = best
        qty = Decimal(0) if self.random.random() < 0.4 and len(side) > 5 else self.size()
        if qty:
            side[price] = qty
        else:
            side.pop(price, None)
        return price, qty

    def delta(self) -> bytes:
        """Change the book and return the delta."""
        rows: tuple[Rows, Rows] = ([], [])
        for _ in range(1 if self.dialect.is_one_change else self.random.randint(0, 9)):
            which = self.random.randrange(2)
            rows[which].append(self._change(which))
        previous = self.last
        self.clock += self.random.randint(1, 90)
        if self.dialect is OKX:
            first = self.last = previous + self.random.randint(1, 30)
        elif self.dialect.is_single_id:
            first = self.last = previous + 1
        else:
            first, self.last = previous + 1, previous + 1 + max(len(rows[0]), len(rows[1]))
        return self.dialect.text(Frame(False, previous, first, self.last, self.clock, *rows))

    def beat(self) -> bytes:
        """Return a sign of life."""
        self.clock += 60_000
        return self.dialect.text(Frame(False, self.last, self.last, self.last, self.clock, [], []))

    def restart(self) -> bytes:
        """Start the ids anew, in the way the venue does."""
        if self.dialect is OKX:
            previous, self.last = self.last, 3
            self.clock += 1
            return self.dialect.text(Frame(False, previous, 3, 3, self.clock, [], []))
        self.last = 1
        return self.snapshot()


class Rig:
    """One stream into three books that must stay alike."""

    def __init__(self, dialect: Dialect, seed: int) -> None:
        self.dialect = dialect
        self.venue = Exchange(dialect, seed)
        self.random = random.Random(seed + 1)
        self.reference = (SpotReference if dialect is KUCOIN_SPOT else Reference)(dialect)
        self.pairs: list[tuple[Any, Any]] = []
        for book_type, feed_type in ((kernel.NativeBook, kernel.DepthFeed), (PureBook, PureDepthFeed)):
            book = book_type("X", PRICE_SCALE, QTY_SCALE, 1, dialect.contract_size)
            feed = feed_type(dialect.schema)
            feed.add(dialect.route, book)
            book.begin_sync()
            self.pairs.append((book, feed))
        self.book = self.pairs[0][0]
        self.seen: set[str] = set()

    def compare(self) -> None:
        first, second = (
            (b.state, b.sequence, b.reason, b.updates, b.venue_utc_ns, b.dropped_last,
             b.horizon(0), b.horizon(1), b.depth(0).tolist(), b.depth(1).tolist())
            for b, _ in self.pairs
        )  # fmt: skip
        assert first == second
        if not self.book.is_live:
            assert self.reference.state != "LIVE"
            return
        assert self.reference.state == "LIVE"
        assert self.book.sequence == self.reference.last
        assert self.levels() == (self.reference.bids, self.reference.asks)

    def levels(self) -> tuple[Side, Side]:
        size = self.dialect.contract_size
        sides = [
            {
                Decimal(p).scaleb(-PRICE_SCALE): Decimal(q).scaleb(-QTY_SCALE) / size
                for p, q in self.book.depth(side).tolist()
            }
            for side in (0, 1)
        ]
        return sides[0], sides[1]

    def feed(self, raw: bytes) -> Feed:
        """Feed a whole frame: all three agree on what it did."""
        codes = {Feed(feed.feed_code(raw)) for _, feed in self.pairs}
        assert {code.name for code in codes} == {self.reference.feed(raw)}
        self.compare()
        code = codes.pop()
        self.seen.add(code.name)
        return code

    def refuse(self, raw: bytes) -> None:
        """Feed a frame that is no delta: nobody's, or refused with every level left as it was."""
        before = [book.depth(side).tolist() for book, _ in self.pairs for side in (0, 1)]
        codes = {Feed(feed.feed_code(raw)) for _, feed in self.pairs}
        assert len(codes) == 1
        assert codes <= {Feed.PASS, Feed.REJECTED}
        assert before == [book.depth(side).tolist() for book, _ in self.pairs for side in (0, 1)]
        if codes == {Feed.REJECTED}:
            assert not self.book.is_live
            if self.reference.state != "WAIT":
                self.reference.state = "STALE"
        self.seen |= {code.name for code in codes}
        self.compare()

    def resync(self) -> None:
        """Do what the venue wants done after a gap."""
        for book, _ in self.pairs:
            book.begin_sync()
        self.reference.state = "WAIT"
        assert self.feed(self.venue.delta()) is Feed.BUFFER
        if self.dialect.schema.is_in_band:
            assert self.feed(self.venue.snapshot()) is Feed.APPLIED
            return
        late = [self.venue.delta() for _ in range(3)]
        for book, _ in self.pairs:
            book.load_snapshot(self.venue.rest())
        self.reference.load(self.venue.bids, self.venue.asks, self.venue.last)
        for raw in late:
            assert self.feed(raw) is Feed.OLD
        assert self.feed(self.venue.delta()) is Feed.APPLIED


def _unfit(raw: bytes, dialect: Dialect) -> bytes:
    """Return the frame with a quantity finer than the book's scale."""
    message = json.loads(raw)
    frame = dialect.read(message)
    frame.bids, frame.asks = [(Decimal("99.5"), Decimal("0.0000000001"))], []
    return dialect.text(frame)


def _step(rig: Rig, op: str, held: list[bytes]) -> None:
    venue, dialect = rig.venue, rig.dialect
    is_in_band = dialect.schema.is_in_band
    if op == "beat" and (dialect is OKX or dialect is BITMART_SPOT):
        rig.feed(venue.beat())
        return
    if op == "restart" and (dialect is OKX or dialect is BYBIT):
        rig.feed(venue.restart())
        return
    if op == "unasked" and is_in_band:
        rig.feed(venue.snapshot())
        return
    raw = venue.delta()
    if op == "lost":
        return
    if op == "hold":
        held.append(raw)
    elif op == "cut":
        rig.refuse(raw[: rig.random.randrange(len(raw))])
    elif op == "unfit":
        rig.refuse(_unfit(raw, dialect))
    elif op == "crossed" and not dialect.is_one_change and dialect is not KUCOIN_SPOT:
        frame = dialect.read(json.loads(raw))
        frame.bids = [(Decimal(500), Decimal(1))]
        rig.feed(dialect.text(frame))
    else:
        rig.feed(raw)
        if op == "double":
            rig.feed(raw)
        if held and rig.random.random() < 0.5:
            rig.feed(held.pop())


@pytest.mark.fault("P01", "P02", "P03", "P08", "P09", "P10", "P11", "P13")
@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    ops=st.lists(st.tuples(st.sampled_from(OPS), st.booleans()), min_size=5, max_size=60),
)
def test_three_readings_agree(dialect: Dialect, seed: int, ops: list[tuple[str, bool]]) -> None:
    """Loss, repetition, late and cut frames, resets: LIVE only what the venue has, level for level."""
    rig = Rig(dialect, seed)
    held: list[bytes] = []
    for op, is_resyncing in ops:
        _step(rig, op, held)
        if is_resyncing and not rig.book.is_live:
            rig.resync()
    rig.resync()
    for _ in range(5):
        assert rig.feed(rig.venue.delta()) is Feed.APPLIED
    if not dialect.schema.window:
        assert rig.levels() == (rig.venue.bids, rig.venue.asks)


@pytest.mark.fault("P01")
@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_a_lost_frame_is_a_gap_and_that_book_alone_falls(dialect: Dialect) -> None:
    rig = Rig(dialect, 5)
    rig.resync()
    assert rig.feed(rig.venue.delta()) is Feed.APPLIED
    for book, _ in rig.pairs:
        assert book.state is BookState.LIVE
    others = []
    for (_, feed), book_type in zip(rig.pairs, (kernel.NativeBook, PureBook), strict=True):
        other = book_type("Y", PRICE_SCALE, QTY_SCALE, 2)
        feed.add("\n".join(part + "Y" for part in dialect.route.split("\n")), other)
        other.load_snapshot(rig.venue.rest())
        other.accept_snapshot()
        others.append(other)
    rig.venue.delta()
    assert rig.feed(rig.venue.delta()) is Feed.GAP
    assert rig.book.state is BookState.STALE
    assert rig.book.reason == "sequence gap"
    assert all(other.is_live for other in others)


@pytest.mark.fault("P21")
@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_every_cut_of_a_frame_is_refused_alike(dialect: Dialect) -> None:
    rig = Rig(dialect, 6)
    raw = rig.venue.delta()
    for size in range(len(raw)):
        rig.resync()
        rig.refuse(raw[:size])
    assert {"PASS", "REJECTED"} <= rig.seen


def _mutated(raw: bytes, generator: random.Random) -> bytes:
    damaged = bytearray(raw)
    alphabet = b'{}[]",:0123456789.-+eEtru\xff\x00 abs'
    for _ in range(generator.randint(1, 3)):
        at = generator.randrange(len(damaged))
        kind = generator.randrange(3)
        if kind == 0:
            damaged[at] = generator.choice(alphabet)
        elif kind == 1 and len(damaged) > 12:
            del damaged[at : at + generator.randint(1, 8)]
        else:
            damaged[at:at] = bytes(generator.choice(alphabet) for _ in range(generator.randint(1, 4)))
    return bytes(damaged)


@pytest.mark.parametrize("dialect", DIALECTS, ids=NAMES)
def test_damaged_bytes_do_the_same_to_kernel_and_twin(dialect: Dialect) -> None:
    generator = random.Random(8)
    outcomes: set[str] = set()
    for seed in range(8):
        rig = Rig(dialect, seed)
        for _ in range(120):
            rig.resync()
            frames = [rig.venue.delta(), rig.venue.delta()[:600]]
            if dialect.schema.is_in_band:
                small = Frame(True, -1, 77, 77, rig.venue.clock, [(Decimal(5), Decimal(1))], [])
                frames += [dialect.text(small), rig.venue.snapshot()[:900]]
            raw = _mutated(generator.choice(frames), generator)
            codes = [feed.feed_code(raw) for _, feed in rig.pairs]
            assert codes[0] == codes[1], raw
            states = [
                (b.state, b.reason, b.sequence, b.venue_utc_ns, b.depth(0).tolist(), b.depth(1).tolist())
                for b, _ in rig.pairs
            ]
            assert states[0] == states[1], raw
            outcomes.add(Feed(codes[0]).name)
    assert {"PASS", "REJECTED", "APPLIED"} <= outcomes
