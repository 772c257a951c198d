"""A stream's view of a book that follows its changes equals one that is compared as a whole."""

from __future__ import annotations

import random

import pytest

from engine.sim.bybit.window import Window
from engine.sim.market import BookSide


def put(side: BookSide, price: int, lots: int) -> None:
    """Set a level as a market does."""
    level = side.levels.get(price)
    if lots:
        level = level or side.level(price)
        level.queue.clear()
        level.total = 0
        level.add_background(lots)
    elif level is not None:
        side.drop(price)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("depth", [2, 5, 50])
@pytest.mark.parametrize("batch", [1, 4, 30, 300])
def test_following_equals_comparing(sign: int, depth: int, batch: int) -> None:
    draw = random.Random(f"{sign} {depth} {batch}")
    side = BookSide(sign)
    shown: dict[int, int] = {}
    window = Window(side, depth)
    for step in range(300):
        touched = {draw.randrange(900, 900 + 2 * depth + 20) for _ in range(batch)}
        for price in touched:
            put(side, price, draw.choice((0, 0, 1, 2, 3)))
        window.note(touched)
        if step % 3 == 0:
            continue  # several batches between two messages
        changes = window.advance()
        assert [sign * price for price, _ in changes] == sorted((sign * p for p, _ in changes), reverse=True)
        for price, lots in changes:
            if lots:
                assert shown.get(price) != lots, "told though it did not change"
                shown[price] = lots
            else:
                del shown[price]
        best = [(price, lots) for price, lots in side.best_first()][:depth]
        assert window.rows() == best == sorted(shown.items(), reverse=sign > 0)
        assert window.rows(2) == best[:2]


def test_a_window_that_noted_too_much_compares_once_and_follows_again() -> None:
    side = BookSide(1)
    window = Window(side, 3)
    for price in range(1000):
        put(side, price, 1)
        window.note([price])
    assert window.advance() == [(999, 1), (998, 1), (997, 1)]
    for price in range(200, 999):
        put(side, price, 2)
        window.note([price])
    assert window.advance() == [(998, 2), (997, 2)]
    put(side, 999, 0)
    window.note([999])
    assert window.advance() == [(999, 0), (996, 2)]
    assert window.advance() == []


def test_a_window_of_one_shows_what_nobody_noted() -> None:
    side = BookSide(-1)
    window = Window(side, 1)
    put(side, 50, 7)
    assert window.advance() == [(50, 7)]
    put(side, 49, 1)
    assert window.advance() == [(49, 1), (50, 0)]
