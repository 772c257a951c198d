"""Yearly rates, and the intervals that settlements tell of themselves."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from engine.model.errors import ProtocolViolation, UsageError
from engine.model.funding import HOUR_NS, SettledRate, annualised, hours, newest_first, with_intervals


@pytest.mark.parametrize(
    ("rate", "every_h", "yearly"),
    [
        ("0.0001", 8, "0.1095"),
        ("0.0001", 4, "0.219"),
        ("0.0001", 2, "0.438"),
        ("0.0001", 1, "0.876"),
        ("-0.00003", 8, "-0.03285"),
        ("0", 1, "0"),
    ],
)
def test_annualised_is_simple_and_exact(rate: str, every_h: int, yearly: str) -> None:
    assert annualised(D(rate), every_h * HOUR_NS) == D(yearly)


@pytest.mark.parametrize("interval_ns", [0, -1])
def test_no_interval_has_no_yearly_rate(interval_ns: int) -> None:
    with pytest.raises(UsageError, match="no yearly rate"):
        annualised(D("0.0001"), interval_ns)


def test_hours_are_exact() -> None:
    assert (hours(8 * HOUR_NS), hours(HOUR_NS // 2)) == (D(8), D("0.5"))


def settled(*at_h: int) -> list[SettledRate]:
    """Return rates settled at these hours."""
    return [SettledRate("BTC/USDT:USDT", at * HOUR_NS, D(at) / 1_000_000) for at in at_h]


@pytest.mark.parametrize(
    ("at_h", "every_h"),
    [
        # what does not change
        ((3, 2, 1, 0), (1, 1, 1, None)),
        ((6, 4, 2, 0), (2, 2, 2, None)),
        ((12, 8, 4, 0), (4, 4, 4, None)),
        ((24, 16, 8, 0), (8, 8, 8, None)),
        # 8 h, then 4 h, then 1 h; and back
        ((30, 29, 28, 24, 20, 16, 8, 0), (1, 1, 4, 4, 4, 8, 8, None)),
        ((40, 32, 24, 20, 16, 15, 14), (8, 8, 4, 4, 1, 1, None)),
        # one settlement is missing: its neighbours tell the interval
        ((40, 32, 16, 8, 0), (8, 8, 8, 8, None)),
        ((20, 16, 8, 4, 0), (4, 4, 4, 4, None)),
        ((10, 9, 6, 5, 4), (1, 1, 1, 1, None)),
        # at the newest end it may be missing, or the interval may have grown: nothing is claimed
        ((24, 8, 0), (None, 8, None)),
        # at the oldest end likewise
        ((24, 16, 0), (8, None, None)),
        # an interval that shrinks is no gap
        ((20, 16, 8, 0), (4, 8, 8, None)),
        ((16, 12, 8, 0), (4, 4, None, None)),
        ((8,), (None,)),
        ((8, 0), (8, None)),
        ((), ()),
    ],
)
def test_intervals_are_told_by_the_settlements(
    at_h: tuple[int, ...], every_h: tuple[int | None, ...]
) -> None:
    found = with_intervals(settled(*at_h))
    assert [each.settled_utc_ns // HOUR_NS for each in found] == list(at_h)
    assert [None if each.interval_ns is None else each.interval_ns // HOUR_NS for each in found] == list(
        every_h
    )


def test_copies_are_left_out_and_order_is_made() -> None:
    assert newest_first(settled(0, 8, 16, 8, 16)) == settled(16, 8, 0)


def test_one_settlement_pays_one_rate() -> None:
    other = SettledRate("BTC/USDT:USDT", 8 * HOUR_NS, D(1))
    with pytest.raises(ProtocolViolation, match="settled with"):
        newest_first([*settled(8), other])
