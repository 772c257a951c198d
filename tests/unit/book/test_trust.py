"""Audit rule, silence budgets and the top-of-book check, each against cases worked out by hand."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book.audit import beyond, compare
from engine.book.l2 import new_book, new_feed
from engine.book.pure import PureBook, PureDepthFeed
from engine.book.silence import SilenceBudget
from engine.book.top_check import BEHIND_MAX, TopCheck
from engine.model.errors import UsageError
from engine.model.market import BookSnapshot, DepthSchema, Feed, SequenceRule, TopOfBook

S = 1_000_000_000


def rows(*levels: tuple[int, int]) -> Any:
    return np.array(levels, dtype=np.int64).reshape(-1, 2)


def snapshot(bids: Any, asks: Any, sequence: int = 1) -> BookSnapshot:
    return BookSnapshot(sequence, bids, asks, None)


class Deltas:
    """A book that a test changes by deltas."""

    def __init__(self, book: Any, feed: Any) -> None:
        self._book, self._feed = book, feed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._book, name)

    def put_for_test(self, price: int, qty: int) -> None:
        last = self._book.sequence
        frame = {"s": "X", "u": last + 1, "b": [[str(price), str(qty)]], "a": []}
        assert self._feed.feed_code(json.dumps(frame).encode()) == Feed.APPLIED


SCHEMA = DepthSchema(
    rule=SequenceRule.RANGE, route_keys=("s",), containers=(), first_key=None, last_key="u",
    previous_key=None, bids_key="b", asks_key="a",
)  # fmt: skip


def live(bids: Any, asks: Any, sequence: int = 1, make: Any = new_book) -> Any:
    book = make("X", 0, 0)
    book.begin_sync()
    book.load_snapshot(snapshot(bids, asks, sequence))
    book.accept_snapshot()
    feed = PureDepthFeed(SCHEMA) if make is PureBook else new_feed(SCHEMA)
    feed.add("X", book)
    return Deltas(book, feed)


BOOK = (rows((99, 1), (98, 2), (97, 3)), rows((101, 1), (102, 2), (103, 3)))


def test_equal_books_are_equal() -> None:
    result = compare(live(*BOOK), snapshot(*BOOK), set())
    assert result.is_equal
    assert (result.compared, result.skipped) == (6, 0)


@pytest.mark.parametrize(
    ("bids", "asks", "ours", "theirs"),
    [
        (rows((99, 1), (98, 7), (97, 3)), BOOK[1], ((0, 98, 2),), ((0, 98, 7),)),
        (rows((99, 1), (97, 3)), BOOK[1], ((0, 98, 2),), ()),
        (BOOK[0], rows((101, 1), (102, 2), (103, 3), (104, 9)), (), ()),  # beyond the book's horizon
        (BOOK[0], rows((100, 5), (101, 1), (102, 2), (103, 3)), (), ((1, 100, 5),)),
        (rows((99, 1)), BOOK[1], (), ()),  # the answer ends there
    ],
)
def test_differences_are_told(bids: Any, asks: Any, ours: Any, theirs: Any) -> None:
    result = compare(live(*BOOK), snapshot(bids, asks), set())
    assert (result.only_book, result.only_venue) == (ours, theirs)


def test_touched_prices_prove_nothing() -> None:
    other = snapshot(rows((99, 8), (98, 2), (97, 3)), rows((100, 4), (102, 2), (103, 3)))
    assert compare(live(*BOOK), other, {99, -100, -101}).is_equal
    result = compare(live(*BOOK), other, {99, -100, 101})  # 101 as a bid is another price
    assert (result.only_book, result.only_venue) == (((1, 101, 1),), ())
    assert (result.compared, result.skipped) == (5, 1)


def test_a_window_hides_what_lies_behind_it() -> None:
    deeper = snapshot(rows((99, 1), (98, 2), (97, 3), (96, 5)), BOOK[1])
    book = live(rows((99, 1), (98, 2)), BOOK[1])
    assert compare(book, deeper, set()).is_equal
    assert compare(live(*BOOK), snapshot(rows(), rows()), set()).only_book == (
        (0, 99, 1), (0, 98, 2), (0, 97, 3), (1, 101, 1), (1, 102, 2), (1, 103, 3),
    )  # fmt: skip


@pytest.mark.fault("P15")
def test_levels_beyond_the_horizon_must_be_true_and_more_are_learnt() -> None:
    answer = snapshot(rows((99, 1), (98, 2), (97, 3), (96, 4), (95, 5), (94, 6)), BOOK[1])
    for make in (new_book, PureBook):
        book = live(*BOOK, make=make)
        book.put_for_test(95, 5)
        assert compare(book, answer, set()).is_equal
        assert beyond(book, 0, answer, {94, -101}).tolist() == [[96, 4], [95, 5]]
        assert beyond(book, 1, answer, set()).tolist() == []
        book.extend(0, beyond(book, 0, answer, {94}), 94)
        assert book.depth(0).tolist() == [[99, 1], [98, 2], [97, 3], [96, 4], [95, 5]]
        assert book.horizon(0) == 94
        for side, levels, horizon in (
            (0, [(94, 1)], 90),
            (0, [(93, 0)], 90),
            (0, [(93, 1)], 95),
            (1, [(103, 1)], 104),
        ):
            with pytest.raises(UsageError):
                book.extend(side, rows(*levels), horizon)
        assert book.depth(0).tolist() == [[99, 1], [98, 2], [97, 3], [96, 4], [95, 5]]
        book.put_for_test(92, 7)
        deep = snapshot(rows((99, 1), (98, 2), (97, 3), (96, 4), (95, 5), (91, 6)), BOOK[1])
        assert compare(book, deep, set()).only_book == ((0, 92, 7),)
        book.mark_stale("test")
        with pytest.raises(UsageError):
            book.extend(0, rows((90, 1)), 90)


@given(st.data())
def test_whatever_moved_and_was_told_is_never_a_difference(data: Any) -> None:
    """A venue moves at random; the answer is its state at any moment of the while: never a false alarm."""
    chance = random.Random(data.draw(st.integers(0, 10**6)))
    sides = [{100 - i: chance.randint(1, 9) for i in range(1, 20)}, {100 + i: 5 for i in range(1, 20)}]
    book = live(*(rows(*sorted(side.items(), reverse=not i)) for i, side in enumerate(sides)))
    touched: set[int] = set()
    answer_at, answer = chance.randrange(30), None
    for step in range(30):
        if step == answer_at:
            answer = snapshot(*(rows(*sorted(side.items(), reverse=not i)) for i, side in enumerate(sides)))
        side = chance.randrange(2)
        price = chance.choice(sorted(sides[side]))
        sides[side][price] = chance.randint(1, 9)
        touched.add(price if side == 0 else -price)
    book = live(*(rows(*sorted(side.items(), reverse=not i)) for i, side in enumerate(sides)))
    assert answer is not None
    assert compare(book, answer, touched).is_equal
    silent = next(iter({*range(81, 100)} - touched), None)
    if silent is not None:  # and a change that was not told is found
        sides[0][silent] += 1
        wrong = live(*(rows(*sorted(side.items(), reverse=not i)) for i, side in enumerate(sides)))
        result = compare(wrong, answer, touched)
        assert result.only_book[0][:2] == (0, silent)


def test_a_budget_is_learnt_between_floor_and_ceiling() -> None:
    budget = SilenceBudget(5 * S, 60 * S, 0)
    assert budget.budget_ns == 60 * S
    for number in range(1, 200):
        budget.hear(number, number * S)  # one a second
    assert budget.budget_ns == 40 * S
    for number in range(200, 2_000):
        budget.hear(number, 199 * S + (number - 199) * S // 100)  # a hundred a second
    assert budget.budget_ns == 5 * S
    last = 199 * S + 1_800 * S // 100
    assert not budget.is_exceeded(last + 5 * S)
    assert budget.is_exceeded(last + 5 * S + 1)
    budget.was_quiet(last + 6 * S)
    assert budget.budget_ns == 10 * S
    assert not budget.is_exceeded(last + 16 * S)
    budget.hear(2_000, last + 17 * S)
    assert budget.budget_ns == 5 * S
    budget.restart(last + 30 * S)
    assert not budget.is_exceeded(last + 35 * S)


@pytest.mark.parametrize("per_hour", [3_600, 600, 60])
def test_random_quiet_is_no_alarm(per_hour: int) -> None:
    """A day of arrivals at random: the ceiling alone asks questions, and quiet answers make them rare."""
    chance, now, count = random.Random(per_hour), 0, 0
    budget = SilenceBudget(5 * S, 60 * S, 0)
    asked = 0
    next_arrival = chance.expovariate(per_hour / 3600) * S
    while now < 24 * 3600 * S:
        now += S // 2
        while next_arrival < now:
            count += 1
            next_arrival += chance.expovariate(per_hour / 3600) * S
        budget.hear(count, now)
        if budget.is_exceeded(now):
            asked += 1
            budget.was_quiet(now)
    assert asked <= {3_600: 0, 600: 5, 60: 700}[per_hour]


@pytest.mark.fault("P24")
def test_a_dead_busy_topic_is_noticed_in_its_floor() -> None:
    budget = SilenceBudget(5 * S, 60 * S, 0)
    for number in range(1, 500):
        budget.hear(number, number * S // 10)
    died = 499 * S // 10
    now = died
    while not budget.is_exceeded(now):
        now += S // 10
        budget.hear(499, now)
    assert now - died <= 5.2 * S


def top(sequence: int, bid: int = 99, ask: int = 101) -> TopOfBook:
    return TopOfBook("X", bid, 1, ask, 1, sequence, None, 0, 0)


def moved(book: Any, sequence: int) -> None:
    book.begin_sync()
    book.load_snapshot(snapshot(*BOOK, sequence))
    book.accept_snapshot()


def test_a_book_between_two_tops_has_the_first_ones_prices() -> None:
    book = live(*BOOK, 10)
    check = TopCheck(book)
    assert check.check()
    check.hear(top(9))
    assert check.check()
    assert (check.agreed, check.disagreed) == (0, 0)  # the next change might be at 10 as well
    check.hear(top(11, bid=98))
    assert check.check()
    assert check.check()
    assert (check.agreed, check.disagreed) == (1, 0)
    moved(book, 11)
    check.hear(top(12))
    assert check.check()  # disagrees, once
    assert (check.agreed, check.disagreed) == (1, 1)
    assert check.last_difference == "book (99, 1, 101, 1) at 11, venue (98, 1, 101, 1) at 11"
    for sequence in (12, 13):
        check.hear(top(sequence + 1, bid=97 + sequence % 2))
        moved(book, sequence)
        assert check.check()
    assert check.disagreed == 2  # 12 agreed, 13 did not


@pytest.mark.fault("P30")
def test_three_disagreements_in_a_row_cost_the_belief() -> None:
    book = live(*BOOK, 10)
    check = TopCheck(book)
    for sequence in range(10, 16):
        check.hear(top(sequence, bid=50))
    believed = []
    for sequence in (10, 11, 12):
        moved(book, sequence)
        believed.append(check.check())
    assert believed == [True, True, False]
    check.restart()
    check.hear(top(5))
    check.hear(top(5))
    moved(book, 13)
    assert check.check()


def test_a_slower_twins_tops_are_no_hole() -> None:
    book = live(*BOOK, 10)
    check = TopCheck(book)
    for sequence in (8, 9, 8, 12, 9, 11):  # the prices of 8, 9 and 11 came from the slower one as well
        check.hear(top(sequence))
    assert (check.agreed, check.disagreed) == (1, 0)
    for _ in range(BEHIND_MAX):  # the venue counts anew
        check.hear(top(2))
    moved(book, 3)
    check.hear(top(4))
    assert (check.agreed, check.disagreed) == (2, 0)
