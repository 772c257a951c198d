"""The tape of a market: aggregates, candles, averages, bounds of memory."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.sim.tape import KEPT_TRADES, Print, Tape, interval_start
from engine.sim.texts import Scale, level_texts

MONDAY = 1_790_553_600_000  # 2026-09-28 00:00 UTC


def trade(number: int, price: int, lots: int, at_ms: int, maker: bool = False) -> Print:
    return Print(number, price, lots, at_ms, maker)


def test_fills_of_one_taker_at_one_price_are_one_aggregate() -> None:
    tape = Tape()
    assert tape.add(trade(1, 100, 5, MONDAY), 7) is None
    assert tape.add(trade(2, 100, 6, MONDAY), 7) is None
    closed = tape.add(trade(3, 101, 1, MONDAY), 7)
    assert closed is not None
    assert (closed.first_id, closed.last_id, closed.qty_lots) == (1, 2, 11)
    assert tape.add(trade(4, 101, 1, MONDAY), 8) is not None
    tape.close_aggregate()
    assert tape.add(trade(5, 101, 1, MONDAY), 8) is not None
    assert [row.agg_id for row in tape.aggregates] == [1, 2, 3, 4]


def test_candles_join_into_longer_ones() -> None:
    tape = Tape()
    for number, (price, minute) in enumerate(((100, 0), (110, 1), (90, 1), (95, 4), (120, 7)), 1):
        tape.add(trade(number, price, 2, MONDAY + minute * 60_000 + 500, maker=number % 2 == 0), number)
    minutes = list(tape.candles("1m"))
    assert [(row.open, row.high, row.low, row.close) for row in minutes][1] == (110, 110, 90, 90)
    [first, second] = tape.candles("5m")
    assert (first.open, first.high, first.low, first.close) == (100, 110, 90, 95)
    assert (first.volume, first.trades, first.taker_buy_volume) == (8, 4, 4)
    assert first.turnover == 2 * (100 + 110 + 90 + 95)
    assert second.open_ms == MONDAY + 300_000
    assert [row.open_ms % 1000 for row in tape.candles("1s")] == [0] * 4


def test_averages_look_back_five_minutes() -> None:
    tape = Tape()
    tape.add(trade(1, 50, 10, MONDAY), 1)
    tape.add(trade(2, 100, 1, MONDAY + 600_000), 2)
    tape.add(trade(3, 200, 3, MONDAY + 660_000), 3)
    assert tape.average(MONDAY + 661_000) == (700, 4)
    assert tape.average(MONDAY + 3_600_000) == (0, 0)
    day = tape.day(MONDAY + 661_000)
    assert day is not None
    assert (day.open, day.close, day.volume) == (50, 200, 14)
    assert Tape().day(MONDAY) is None


@pytest.mark.parametrize(
    ("interval", "at_ms", "start"),
    [
        ("1w", MONDAY + 6 * 86_400_000, MONDAY), ("1w", MONDAY - 1, MONDAY - 7 * 86_400_000),
        ("1d", MONDAY + 5, MONDAY), ("1M", MONDAY, 1_788_220_800_000),
        ("4h", MONDAY + 14_400_001, MONDAY + 14_400_000),
    ],
)  # fmt: skip
def test_intervals_start_where_the_calendar_says(interval: str, at_ms: int, start: int) -> None:
    assert interval_start(interval, at_ms) == start


def test_memory_is_bounded() -> None:
    tape = Tape()
    for number in range(KEPT_TRADES + 10):
        tape.add(trade(number, 100, 1, MONDAY + number * 61_000), number)
    assert (len(tape.trades), tape.trades[0].trade_id) == (KEPT_TRADES, 10)


def test_texts_of_steps() -> None:
    price, qty = Scale(D("0.01"), 8), Scale(D("1"), 0)
    assert [price.text(steps) for steps in (0, 1, 6_173_763)] == [
        "0.00000000",
        "0.01000000",
        "61737.63000000",
    ]
    assert qty.text(12) == "12"
    assert price.steps(D("61737.639")) == 6_173_763
    assert level_texts(price, qty, [(100, 5), (99, 0)]) == '["1.00000000","5"],["0.99000000","0"]'
    assert level_texts(price, qty, []) == ""
    with pytest.raises(ValueError, match="raise the text width"):
        Scale(D("0.001"), 2)
