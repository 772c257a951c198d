"""A million deltas through every venue's rule, over a channel that loses, repeats, reorders and lies.

The model is the venue itself: what its book was at each of its ids. It knows no rule. Whenever a book says
LIVE, its levels are the venue's at that very id; the rule alone has to see to that.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.book.pure import PureBook, PureDepthFeed
from engine.model.instrument import Product
from engine.model.market import BookSnapshot, BookState, Feed
from engine.venues.binance.market_data import depth_schema
from tests.property.depth_dialects import BITMART_SPOT, BYBIT, DIALECTS, OKX, Dialect, Frame, Side
from tests.property.test_depth_dialects import PRICE_SCALE, QTY_SCALE, Exchange

kernel = pytest.importorskip("engine.book._kernel", reason="the kernel is not compiled here")

DELTAS = 115_000
"""Of each dialect in the slow run: more than a million over all of them."""
SMALL = 3_000
KEPT = 20_000
REPLAYED = 50
RESET_EVERY = 200


def _binance(product: Product) -> Dialect:
    def write(frame: Frame) -> Any:
        data: dict[str, Any] = {"e": "depthUpdate", "E": frame.clock_ms, "U": frame.first, "u": frame.last}
        if product is Product.PERP:
            data |= {"T": frame.clock_ms - 1, "pu": frame.previous}
        data |= {
            side: [[f"{p}", f"{q}"] for p, q in rows] for side, rows in (("b", frame.bids), ("a", frame.asks))
        }
        return {"stream": "btcusdt@depth@100ms", "data": data}

    def read(message: Any) -> Frame:
        raise AssertionError("the model here is the venue, not a reader")

    name = f"binance_{product.value}"
    schema = depth_schema(product)
    return Dialect(name, schema, "btcusdt@depth@100ms", write, read, is_single_id=False)


def _untrimmed(dialect: Dialect) -> Dialect:
    """Return BitMart's dialect without its window: which levels are announced is not the rule's business."""
    if dialect is not BITMART_SPOT:
        return dialect
    return Dialect(
        dialect.name,
        msgspec.structs.replace(dialect.schema, window=0),
        dialect.route,
        dialect.write,
        dialect.read,
    )


ALL = [_binance(Product.SPOT), _binance(Product.PERP), *map(_untrimmed, DIALECTS)]


class World:
    """A venue, a bad channel, and books that must never be wrong."""

    def __init__(self, dialect: Dialect, seed: int, *, with_twin: bool) -> None:
        self.dialect = dialect
        self.venue = Exchange(BITMART_SPOT if dialect.name == "bitmart_spot" else dialect, seed)
        self.venue.dialect = dialect
        self.venue.last = 10**9
        self.random = random.Random(seed)
        self.truth: dict[int, tuple[Side, Side]] = {}
        self.sent: list[bytes] = []
        self.held: list[bytes] = []
        self.late_rest: BookSnapshot | None = None
        self.late_frame = b""
        self.since_reset = self.waited = 0
        self.epochs = 0
        self.counts: Counter[str] = Counter()
        types = [(kernel.NativeBook, kernel.DepthFeed)]
        if with_twin:
            types.append((PureBook, PureDepthFeed))
        self.pairs: list[tuple[Any, Any]] = []
        for book_type, feed_type in types:
            book = book_type("X", PRICE_SCALE, QTY_SCALE, 1, dialect.contract_size)
            feed = feed_type(dialect.schema)
            feed.add(dialect.route, book)
            self.pairs.append((book, feed))
        self.book = self.pairs[0][0]
        self.remember()
        self.resync()

    def remember(self) -> None:
        self.truth[self.venue.last] = (dict(self.venue.bids), dict(self.venue.asks))
        if len(self.truth) > KEPT:
            del self.truth[next(iter(self.truth))]

    def feed(self, raw: bytes) -> None:
        codes = {int(feed.feed_code(raw)) for _, feed in self.pairs}
        assert len(codes) == 1, "kernel and twin differ"
        code = Feed(codes.pop())
        self.counts["deltas"] += 1
        self.counts[code.name] += 1
        assert code is not Feed.REJECTED
        assert code is not Feed.CROSSED
        assert code is not Feed.GAP or not self.book.is_live
        if code is Feed.APPLIED and self.counts["deltas"] % 20 == 0:
            self.compare()

    def compare(self) -> None:
        """Hold every level of a LIVE book to what the venue had at that id."""
        for book, _ in self.pairs:
            if not book.is_live:
                continue
            self.counts["compared"] += 1
            truth = self.truth[book.sequence]
            for side in (0, 1):
                rows = {
                    Decimal(p).scaleb(-PRICE_SCALE): Decimal(q).scaleb(-QTY_SCALE)
                    / self.dialect.contract_size
                    for p, q in book.depth(side).tolist()
                }
                assert rows == truth[side], (book.sequence, side)

    def resync(self) -> None:
        """Do what the venue wants done; sometimes with a snapshot of long ago, which must not be believed."""
        for book, _ in self.pairs:
            book.begin_sync()
        self.counts["resyncs"] += 1
        is_stale = self.random.random() < 0.2
        if self.dialect.schema.is_in_band:
            raw = self.late_frame if is_stale and self.late_frame else self.venue.snapshot()
            self.counts["stale snapshots"] += raw is self.late_frame
            self.late_frame = self.venue.snapshot()
            self.feed(raw)
        else:
            snapshot = self.late_rest if is_stale and self.late_rest is not None else self.venue.rest()
            self.counts["stale snapshots"] += snapshot is self.late_rest
            self.late_rest = self.venue.rest()
            for book, _ in self.pairs:
                book.load_snapshot(snapshot)
        self.compare()

    def reset(self) -> None:
        """Start the venue's ids anew, never with ids that were used: no rule could tell those apart."""
        self.since_reset, self.epochs = 0, self.epochs + 1
        self.counts["resets"] += 1
        previous = self.venue.last
        if self.dialect is BYBIT:
            self.venue.last = 1
            self.late_frame = b""  # a stream has an order: nothing of before the restart comes after it
            self.remember()
            self.feed(self.venue.snapshot())
            return
        self.venue.last = 10**9 - self.epochs * 10**6
        self.remember()
        if self.dialect is OKX:
            self.venue.clock += 1
            last = self.venue.last
            self.feed(self.dialect.text(Frame(False, previous, last, last, self.venue.clock, [], [])))

    def step(self) -> None:
        self.since_reset += 1
        draw = self.random.random()
        if draw < 0.002 and self.since_reset > RESET_EVERY:
            self.reset()
            return
        raw = self.venue.delta()
        self.remember()
        self.sent = [*self.sent[-REPLAYED + 1 :], raw]
        if draw < 0.01:
            self.counts["lost"] += 1
        elif draw < 0.02:
            self.counts["held back"] += 1
            self.held.append(raw)
        else:
            self.feed(raw)
            if draw < 0.04:
                self.counts["repeated"] += 1
                self.feed(raw)
            elif draw < 0.05:
                self.counts["replayed"] += 1
                self.feed(self.random.choice(self.sent))
        if self.held and self.random.random() < 0.3:
            self.feed(self.held.pop(0))
        self.waited = 0 if self.book.is_live else self.waited + 1
        if self.waited > (
            50 if self.book.state is BookState.JOINING else 2
        ):  # its snapshot may never be joined
            self.resync()
            self.waited = 0

    def play(self, deltas: int) -> Iterator[None]:
        while self.counts["deltas"] < deltas:
            self.step()
            yield


def run(dialect: Dialect, deltas: int, *, with_twin: bool) -> None:
    world = World(dialect, 20_261_127, with_twin=with_twin)
    for _ in world.play(deltas):
        pass
    for _ in range(1_000):  # the channel is good again: the book comes LIVE, and stays so
        if world.book.is_live:
            break
        world.resync()
        raw = world.venue.delta()
        world.remember()
        world.feed(raw)
    world.compare()
    assert world.book.is_live
    counts = world.counts
    print(f"{dialect.name}: {json.dumps(dict(sorted(counts.items())))}")
    assert counts["deltas"] >= deltas
    assert counts["compared"] > deltas // 40, "the book was hardly ever LIVE"
    for fault in ("lost", "held back", "repeated", "replayed", "stale snapshots", "GAP", "OLD"):
        assert counts[fault] > deltas // 1_000, (fault, counts)
    assert counts["resets"] > deltas // 2_000


@pytest.mark.fault("P01", "P02", "P03", "P05", "P06", "P08", "P09", "P12")
@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_a_bad_channel_never_leaves_a_wrong_live_book(dialect: Dialect) -> None:
    run(dialect, SMALL, with_twin=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_over_a_million_deltas_never_leave_a_wrong_live_book(dialect: Dialect) -> None:
    run(dialect, DELTAS, with_twin=False)
