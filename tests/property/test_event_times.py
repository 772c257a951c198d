"""Event times that cannot be: counted, never used, and no gap is excused by them."""

from __future__ import annotations

import pytest

from engine.model.market import Feed
from tests.property.depth_dialects import OKX, Dialect, Frame
from tests.property.test_malformed_values import each_dialect, live
from tests.property.test_million_deltas import World

WRONG = {
    "seconds": lambda ms: ms // 1_000,
    "microseconds": lambda ms: ms * 1_000,
    "nanoseconds": lambda ms: ms * 1_000_000,
    "a year ago": lambda ms: ms - 365 * 86_400_000,
    "in ten years": lambda ms: ms + 3_650 * 86_400_000,
    "in two hours": lambda ms: ms + 7_200_000,
}


def stamped(world: World, clock_ms: int) -> bytes:
    """Return the next delta, without levels or nearly so, with an event time of choice."""
    last = world.venue.last
    price = min(world.venue.bids)
    rows = [(price, world.venue.bids[price])]
    world.venue.last += 1
    world.remember()
    return world.dialect.text(Frame(False, last, last + 1, last + 1, clock_ms, rows, []))


@pytest.mark.fault("P26")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@each_dialect
def test_a_wrong_unit_or_year_is_counted_and_not_used(dialect: Dialect, wrong: object) -> None:
    world = live(dialect)
    assert callable(wrong)
    now_ns = world.venue.clock * 1_000_000
    good = stamped(world, world.venue.clock)
    for _, feed in world.pairs:
        assert feed.feed_code(good, 1, now_ns) == Feed.APPLIED
    before = [book.venue_utc_ns for book, _ in world.pairs]
    assert before[0] == before[1] > 0
    raw = stamped(world, wrong(world.venue.clock))
    codes = {Feed(feed.feed_code(raw, 2, now_ns)) for _, feed in world.pairs}
    assert [book.venue_utc_ns for book, _ in world.pairs] == before
    if codes == {Feed.REJECTED}:  # more digits than an integer may have
        assert not world.book.is_live
        return
    assert codes == {Feed.APPLIED}, "what it says of the book is as good as ever"
    assert [feed.odd_times for _, feed in world.pairs] == [1, 1]
    world.compare()


@pytest.mark.fault("P26")
@each_dialect
def test_without_a_clock_of_ours_times_are_taken_as_they_are(dialect: Dialect) -> None:
    world = live(dialect)
    raw = stamped(world, world.venue.clock - 365 * 86_400_000)
    assert {Feed(feed.feed_code(raw)) for _, feed in world.pairs} == {Feed.APPLIED}
    assert [feed.odd_times for _, feed in world.pairs] == [0, 0]


@pytest.mark.fault("P26", "P30")
def test_a_time_from_the_future_does_not_make_every_later_gap_old_news() -> None:
    """A twin's snapshot makes older deltas old news: for a moment, and not until its clock is reached."""
    world = live(OKX)
    now_ns, second = world.venue.clock * 1_000_000, 1_000_000_000
    for book, _ in world.pairs:
        book.feeds = 2
    ahead = stamped(world, world.venue.clock + 1_800_000)  # half an hour: within the guard
    assert {Feed(feed.feed_code(ahead, 100 * second, now_ns)) for _, feed in world.pairs} == {Feed.APPLIED}
    for book, _ in world.pairs:
        book.feeds = 1
    stamped(world, world.venue.clock)  # is lost
    after = [stamped(world, world.venue.clock) for _ in range(2)]
    codes = {Feed(feed.feed_code(after[0], 101 * second, now_ns)) for _, feed in world.pairs}
    assert codes == {Feed.OLD}
    codes = {Feed(feed.feed_code(after[1], 106 * second, now_ns)) for _, feed in world.pairs}
    assert codes == {Feed.GAP}
    assert not world.book.is_live
