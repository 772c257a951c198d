"""Two connections feed one book: the first copy of each delta wins, either may die, no reader sees a gap."""

from __future__ import annotations

import json
import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book.l2 import COMPILED, new_book, new_feed
from engine.book.pure import PureBook, PureDepthFeed
from engine.book.twins import TwinBuffer
from engine.model.market import BookState, Feed
from tests.property.depth_dialects import DIALECTS, KUCOIN_FUTURES, KUCOIN_SPOT, Dialect
from tests.property.test_depth_dialects import PRICE_SCALE, QTY_SCALE, Exchange

MAKERS: list[tuple[Any, Any]] = [(PureBook, PureDepthFeed)]
if COMPILED:
    MAKERS.append((new_book, new_feed))
JOINED = (KUCOIN_SPOT, KUCOIN_FUTURES)
"""Dialects whose streams bring no snapshot."""


class World:
    """One exchange, two connections with delays of their own, one book."""

    def __init__(self, dialect: Dialect, seed: int, maker: tuple[Any, Any]) -> None:
        make_book, make_feed = maker
        self.dialect = dialect
        self.venue = Exchange(dialect, seed)
        self.book = make_book("X", PRICE_SCALE, QTY_SCALE, 1, dialect.contract_size)
        self.twins = TwinBuffer(self.book)
        self.feeds = [make_feed(dialect.schema) for _ in range(2)]
        self.queues: list[deque[bytes] | None] = [deque(), None]
        self.now = 0
        self.began = [self.venue.last] * 2
        self.history = {self.venue.last: self.sides()}
        for feed in self.feeds:
            feed.add(dialect.route, self.book)
            feed.on_attention = lambda book, code, payload, feed=feed: self.attend(feed, code, payload)
        self.book.begin_sync()
        if dialect in JOINED:
            self.book.load_snapshot(self.venue.rest())
            self.book.accept_snapshot()
        else:
            self.feeds[0].feed_code(self.venue.snapshot())
        assert self.book.is_live

    def attend(self, feed: Any, code: int, payload: bytes) -> None:
        assert code == Feed.AHEAD, Feed(code)
        self.twins.hold(feed, payload, self.now, 0)

    def sides(self) -> Any:
        return dict(self.venue.bids), dict(self.venue.asks)

    def emit(self) -> None:
        frame = self.venue.delta()
        self.history[self.venue.last] = self.sides()
        for queue in self.queues:
            if queue is not None:
                queue.append(frame)

    def open(self, number: int) -> None:
        self.queues[number] = deque() if self.dialect in JOINED else deque([self.venue.snapshot()])
        self.began[number] = self.venue.last
        self.book.feeds = 2

    def may_close(self, number: int) -> bool:
        other = self.queues[1 - number]
        if self.queues[number] is None or other is None:
            return False
        if self.dialect not in JOINED:
            return True
        # Without snapshots on the stream, the book must have reached where the other one began.
        return bool(self.book.sequence >= self.began[1 - number])

    def close(self, number: int) -> None:
        self.queues[number] = None
        self.book.feeds = 1
        self.twins.forget(self.feeds[number])
        self.check()

    def deliver(self, number: int) -> None:
        queue = self.queues[number]
        if queue:
            self.feeds[number].feed_code(queue.popleft(), 1)
            self.twins.drain()
            self.check()

    def check(self) -> None:
        book = self.book
        assert book.is_live, book.reason
        bids, asks = self.history[book.sequence]
        if self.dialect.schema.window:
            window = self.dialect.schema.window
            bids = dict(sorted(bids.items(), reverse=True)[:window])
            asks = dict(sorted(asks.items())[:window])
        size = self.dialect.contract_size
        for side, expected in enumerate((bids, asks)):
            scaled = {
                int(price.scaleb(PRICE_SCALE)): int((qty * size).scaleb(QTY_SCALE))
                for price, qty in expected.items()
            }
            if (
                not self.dialect.schema.window
            ):  # what re-enters a window may be missing from it: venue's own rule
                assert dict(book.depth(side).tolist()) == scaled


@pytest.mark.fault("P30")
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(DIALECTS), st.sampled_from(MAKERS))
def test_the_first_copy_wins_and_either_may_die(seed: int, dialect: Dialect, maker: tuple[Any, Any]) -> None:
    world = World(dialect, seed, maker)
    chance = random.Random(seed)
    for _ in range(200):
        action = chance.random()
        number = chance.randrange(2)
        if action < 0.4:
            world.emit()
        elif action < 0.9:
            world.deliver(number)
        elif world.queues[number] is None:
            world.open(number)
        elif world.may_close(number):
            world.close(number)
    for number in (0, 1, 0, 1):
        while world.queues[number]:
            world.deliver(number)
    if world.twins:  # neither continued the book: both were opened anew before what they missed had come
        world.twins.force()
        world.check()
        world.twins.drain()
    assert world.book.sequence == world.venue.last
    assert not world.twins


@pytest.mark.fault("P30")
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_what_neither_brings_is_a_gap_again_once_one_is_left(
    dialect: Dialect, maker: tuple[Any, Any]
) -> None:
    world = World(dialect, 5, maker)
    world.open(1)
    for _ in range(3):
        world.emit()
    for queue in world.queues:
        assert queue is not None
        queue.remove(queue[-2])  # the second delta is lost on both
    world.now = 10
    for number in (0, 1):
        while queue := world.queues[number]:
            world.feeds[number].feed_code(queue.popleft(), 10)
            world.twins.drain()
    assert world.book.is_live
    assert len(world.twins) == 2
    assert not world.twins.has_waited_too_long(10 + 1_000_000_000)
    assert world.twins.has_waited_too_long(11 + 1_000_000_000)
    world.feeds[1].on_attention = world.feeds[0].on_attention = None
    world.book.feeds = 1
    world.twins.drain()
    assert world.book.state is BookState.STALE
    assert world.book.reason == "sequence gap"


@pytest.mark.parametrize("maker", MAKERS)
def test_too_many_early_frames_are_shed_oldest_first(maker: tuple[Any, Any]) -> None:
    world = World(DIALECTS[0], 5, maker)
    world.twins = TwinBuffer(world.book, frames_max=2)
    world.open(1)
    for _ in range(5):
        world.emit()
    (world.queues[1] or deque()).popleft()  # its snapshot
    (world.queues[1] or deque()).popleft()
    for _ in range(4):
        world.deliver(1)
    assert (len(world.twins), world.twins.overflowed) == (2, 2)
    for _ in range(5):
        world.deliver(0)
    assert (len(world.twins), world.book.sequence) == (0, world.venue.last)
    assert world.twins.drained == 2
    world.twins.clear()


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_touched_prices_are_those_of_the_deltas(dialect: Dialect, maker: tuple[Any, Any]) -> None:
    world = World(dialect, 5, maker)
    world.book.touched = set()
    expected: set[int] = set()
    for _ in range(8):
        world.emit()
        raw = (world.queues[0] or deque())[-1]
        frame = dialect.read(json.loads(raw))
        for sign, rows in ((1, frame.bids), (-1, frame.asks)):
            expected |= {sign * int(price.scaleb(PRICE_SCALE)) for price, _ in rows if price}
        world.deliver(0)
    world.feeds[0].feed_code(raw)  # old news
    assert world.book.touched == expected
    world.book.begin_sync()
    assert world.book.touched is None
