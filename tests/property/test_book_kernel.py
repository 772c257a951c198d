"""The compiled kernel, its pure twin and an independent model see the same frames and must agree."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from engine.book.pure import PureBook, PureDepthFeed
from engine.model.instrument import Product
from engine.model.market import BookSnapshot, BookState, Feed
from engine.venues.binance.market_data import depth_schema

kernel = pytest.importorskip("engine.book._kernel", reason="the kernel is not compiled here")

STREAM = "btcusdt@depth@100ms"
UNIT = Decimal("1e-8")


class Exchange:
    """An independent model of one venue book: Decimal dicts, ids, and a stream that can be damaged."""

    def __init__(self, seed: int, product: Product) -> None:
        self.random = random.Random(seed)
        self.is_perp = product is Product.PERP
        self.bids = {
            Decimal(10_000 - i) / 100: Decimal(self.random.randint(1, 900)) / 1000 for i in range(60)
        }
        self.asks = {
            Decimal(10_001 + i) / 100: Decimal(self.random.randint(1, 900)) / 1000 for i in range(60)
        }
        self.last = 1_000
        self.clock = 1_700_000_000_000
        self.history: dict[int, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
        self.remember()

    def remember(self) -> None:
        self.history[self.last] = (dict(self.bids), dict(self.asks))

    def frame(self) -> bytes:
        changes: tuple[list[list[str]], list[list[str]]] = ([], [])
        for _ in range(self.random.randint(0, 12)):
            which = self.random.randrange(2)
            side, other = (self.bids, self.asks) if which == 0 else (self.asks, self.bids)
            best = max(side) if which == 0 else min(side)
            tick = Decimal(self.random.randint(0, 40)) / 100
            price = best - tick if which == 0 else best + tick
            if self.random.random() < 0.1:
                price = best + Decimal("0.01") if which == 0 else best - Decimal("0.01")
            if (other and which == 0 and price >= min(other)) or (
                other and which == 1 and price <= max(other)
            ):
                continue
            qty = (
                Decimal(0)
                if self.random.random() < 0.35 and len(side) > 5
                else Decimal(self.random.randint(1, 9999)) / 1000
            )
            if qty:
                side[price] = qty
            else:
                side.pop(price, None)
            changes[which].append([f"{price:.8f}", f"{qty:.8f}"])
        previous = self.last
        step = self.random.randint(1, 5)
        jump = self.random.randint(0, 50) if self.is_perp else 0
        first, self.last = previous + 1 + jump, previous + jump + step
        self.clock += self.random.randint(1, 200)
        data: dict[str, Any] = {
            "e": "depthUpdate",
            "E": self.clock,
            "s": "BTCUSDT",
            "U": first,
            "u": self.last,
        }
        if self.is_perp:
            data = {**data, "T": self.clock - 1, "pu": previous}
        data = {**data, "b": changes[0], "a": changes[1]}
        self.remember()
        return json.dumps({"stream": STREAM, "data": data}, separators=(",", ":")).encode()

    def snapshot(self, last: int | None = None) -> BookSnapshot:
        at = self.last if last is None else last
        bids, asks = self.history[at]

        def rows(side: dict[Decimal, Decimal], reverse: bool) -> np.ndarray[Any, np.dtype[np.int64]]:
            return np.array(
                [[int(p / UNIT), int(q / UNIT)] for p, q in sorted(side.items(), reverse=reverse)],
                dtype=np.int64,
            ).reshape(-1, 2)

        return BookSnapshot(at, rows(bids, True), rows(asks, False), None)


def both(product: Product) -> list[tuple[Any, Any]]:
    pairs = []
    for book_type, feed_type in ((kernel.NativeBook, kernel.DepthFeed), (PureBook, PureDepthFeed)):
        book, feed = book_type("BTCUSDT", 8, 8), feed_type(depth_schema(product))
        feed.add(STREAM, book)
        pairs.append((book, feed))
    return pairs


def view(book: Any) -> tuple[Any, ...]:
    return (
        book.state, book.sequence, book.reason, book.updates, book.dropped_last, book.touch_unchecked(),
        book.depth(0).tolist(), book.depth(1).tolist(), book.is_crossed, book.venue_utc_ns,
    )  # fmt: skip


def levels(book: Any) -> tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]:
    sides = [{p * UNIT: q * UNIT for p, q in book.depth(side).tolist()} for side in (0, 1)]
    return sides[0], sides[1]


@pytest.mark.fault("P01", "P02", "P03", "P12", "P14")
@pytest.mark.parametrize("product", [Product.SPOT, Product.PERP])
@pytest.mark.parametrize("seed", range(12))
def test_damaged_streams_never_leave_a_wrong_live_book(product: Product, seed: int) -> None:
    """Loss, repetition, swaps and old snapshots: whenever a book says LIVE it is the venue's at its id."""
    venue = Exchange(seed, product)
    chaos = random.Random(seed + 1_000)
    pairs = both(product)
    held: list[bytes] = []
    waiting: list[bytes] = []
    live_checks = gaps = 0
    for book, _ in pairs:
        book.begin_sync()
    for _ in range(2_500):
        frame = venue.frame()
        fate = chaos.random()
        if fate < 0.02:
            continue  # lost
        frames = [frame]
        if fate < 0.05:
            frames = [frame, frame]
        elif fate < 0.07:
            held.append(frame)
            continue
        if held and chaos.random() < 0.5:
            frames.append(held.pop())
        for each in frames:
            codes = {feed.feed_code(each) for _, feed in pairs}
            assert len(codes) == 1, codes
            code = codes.pop()
            assert view(pairs[0][0]) == view(pairs[1][0])
            if code == Feed.BUFFER:
                waiting.append(each)
            elif code == Feed.GAP:
                gaps += 1
                waiting = [each]
                for book, _ in pairs:
                    book.begin_sync()
        book = pairs[0][0]
        if book.state is BookState.SYNCING and chaos.random() < 0.3:
            ids = list(venue.history)[-8:]
            at = chaos.choice(ids)
            snapshot = venue.snapshot(at)
            replay, waiting = waiting, []
            for each_book, feed in pairs:
                each_book.load_snapshot(snapshot)
                waiting = []
                for position, each in enumerate(replay):
                    if feed.feed_code(each) == Feed.GAP:
                        waiting = replay[position:]
                        each_book.begin_sync()
                        break
            assert view(pairs[0][0]) == view(pairs[1][0])
        if book.is_live:
            live_checks += 1
            assert levels(book) == venue.history[book.sequence]
    assert gaps > 5
    assert live_checks > 300


@pytest.mark.fault("P08")
def test_ids_that_go_backwards_are_a_gap_not_silence() -> None:
    venue = Exchange(3, Product.SPOT)
    pairs = both(Product.SPOT)
    frame = venue.frame()
    for book, feed in pairs:
        book.begin_sync()
        book.load_snapshot(venue.snapshot(1_000))
        assert feed.feed_code(frame) == Feed.APPLIED
        reset = json.loads(frame)
        reset["data"].update(U=5, u=6, E=reset["data"]["E"] + 1000, b=[], a=[])
        assert feed.feed_code(json.dumps(reset).encode()) == Feed.GAP
        assert book.state is BookState.STALE


def _mutations(frame: bytes, generator: random.Random, count: int) -> list[bytes]:
    made = []
    alphabet = b'{}[]",:0123456789.-+eE\\ntru\xff\x00 ab'
    for _ in range(count):
        raw = bytearray(frame)
        for _ in range(generator.randint(1, 4)):
            kind = generator.randrange(4)
            at = generator.randrange(len(raw)) if raw else 0
            if kind == 0 and raw:
                raw[at] = generator.choice(alphabet)
            elif kind == 1 and raw:
                del raw[at : at + generator.randint(1, 8)]
            elif kind == 2:
                raw[at:at] = bytes(generator.choice(alphabet) for _ in range(generator.randint(1, 4)))
            else:
                del raw[at:]
        made.append(bytes(raw))
    return made


@pytest.mark.fault("P20", "P21")
@pytest.mark.parametrize("product", [Product.SPOT, Product.PERP])
def test_mutated_frames_change_nothing_unless_they_are_valid(product: Product) -> None:
    """Bytes of any kind: both agree, a refused frame leaves every level as it was, nothing crashes."""
    venue = Exchange(9, product)
    generator = random.Random(77)
    outcomes: dict[int, int] = {}
    frames = [venue.frame() for _ in range(20)]
    snapshot = venue.snapshot(1_000)
    for frame in frames[:8]:
        for mutated in _mutations(frame, generator, 700):
            pairs = both(product)
            codes = []
            for book, feed in pairs:
                book.begin_sync()
                book.load_snapshot(snapshot)
                before = (book.depth(0).tolist(), book.depth(1).tolist())
                code = feed.feed_code(mutated)
                codes.append(code)
                if code not in (Feed.APPLIED, Feed.CROSSED):
                    assert (book.depth(0).tolist(), book.depth(1).tolist()) == before
                if code == Feed.REJECTED:
                    assert book.state is BookState.STALE
            # A frame that breaks before it can be attributed is nobody's for one and ours for the other.
            if Feed.PASS in codes and Feed.REJECTED in codes:
                continue
            assert codes[0] == codes[1], mutated
            if codes[0] in (Feed.APPLIED, Feed.CROSSED):
                assert view(pairs[0][0]) == view(pairs[1][0]), mutated
            outcomes[codes[0]] = outcomes.get(codes[0], 0) + 1
    assert outcomes.get(Feed.REJECTED, 0) > 500
    assert outcomes.get(Feed.APPLIED, 0) > 10


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_are_nobodys(seed: int) -> None:
    generator = random.Random(seed)
    pairs = both(Product.SPOT)
    for _ in range(3_000):
        raw = generator.randbytes(generator.randint(0, 60))
        assert [feed.feed_code(raw) for _, feed in pairs] == [Feed.PASS, Feed.PASS]
