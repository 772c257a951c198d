"""Candles against plain sums: whatever the order of arrival, the grace, and the holes."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.model.market import Side, Trade
from engine.prints.candles import CandleSeries

STEP, GRACE, KEPT = 1_000, 1_500, 8
PRICE_SCALE, QTY_SCALE = 3, 5


def trade(stamp: int, trade_id: int, price: int, qty: int, count: int) -> Trade:
    return Trade("A/B", trade_id, price, qty, Side.BUY, stamp, 0, 0, count)


@dataclass
class Plain:
    """The same by brute force: every print kept, every question answered by going through all of them."""

    counted: list[tuple[int, Trade]] = field(default_factory=list)
    short: set[int] = field(default_factory=set)
    holes: list[tuple[int, int]] = field(default_factory=list)
    newest: int = 0
    since: int | None = None
    held_from: int | None = None
    late: int = 0

    def is_final(self, start: int) -> bool:
        end = start + STEP
        return end + GRACE <= self.newest and (self.held_from is None or end <= self.held_from)

    def add(self, each: Trade) -> None:
        start = each.venue_utc_ns // STEP * STEP
        if self.since is None:
            self.since = each.venue_utc_ns
        if self.is_final(start) or start <= self.newest - KEPT * STEP:
            self.late += each.count
            if any(start == other.venue_utc_ns // STEP * STEP for _, other in self.counted):
                self.short.add(start)
            elif start + STEP > self.since:
                self.holes.append((each.venue_utc_ns, each.venue_utc_ns))
            return
        self.counted.append((len(self.counted), each))
        self.newest = max(self.newest, each.venue_utc_ns)

    def is_complete(self, start: int) -> bool:
        end = start + STEP
        if self.since is None or start < self.since or start in self.short:
            return False
        if self.held_from is not None and end > self.held_from:
            return False
        return not any(at < end and to >= start for at, to in self.holes)

    def starts(self) -> list[int]:
        oldest = self.newest - KEPT * STEP
        starts = {each.venue_utc_ns // STEP * STEP for _, each in self.counted}
        for at, to in self.holes:
            starts |= {moment // STEP * STEP for moment in range(max(at, oldest), min(to, self.newest) + 1)}
        return sorted(start for start in starts if start > oldest)


STAMPS = st.integers(0, 12 * STEP)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), STAMPS, st.integers(1, 50), st.integers(1, 9), st.integers(1, 3)),
        st.tuples(st.just("hold"), STAMPS),
        st.tuples(st.just("release"), st.none() | st.tuples(STAMPS, st.integers(0, 2 * STEP))),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_candles_are_what_brute_force_says(actions: list[tuple[object, ...]]) -> None:
    series, plain = CandleSeries("A/B", STEP, KEPT, GRACE), Plain()
    for number, action in enumerate(actions):
        match action:
            case ("add", int(stamp), int(price), int(qty), int(count)):
                each = trade(stamp, number + 1, price, qty, count)
                series.add(each)
                plain.add(each)
            case ("hold", int(stamp)):
                series.hold(stamp)
                plain.held_from = stamp if plain.held_from is None else min(plain.held_from, stamp)
            case ("release", None):
                plain.held_from = None
                series.release()
            case ("release", (int(at), int(length))):
                plain.held_from = None
                series.release((at, at + length))
                plain.holes.append((at, at + length))
    candles = series.candles(1_000, PRICE_SCALE, QTY_SCALE)
    assert [candle.open_utc_ns for candle in candles] == plain.starts()
    assert series.late == plain.late
    for candle in candles:
        inside = [
            (each.venue_utc_ns, each.trade_id, arrival, each)
            for arrival, each in plain.counted
            if each.venue_utc_ns // STEP * STEP == candle.open_utc_ns
        ]
        ordered = [each for *_, each in sorted(inside, key=lambda row: row[:3])]
        assert candle.is_complete == plain.is_complete(candle.open_utc_ns)
        assert candle.is_final == plain.is_final(candle.open_utc_ns)
        assert candle.count == sum(each.count for each in ordered)
        assert candle.base_volume == sum((Decimal(each.qty) for each in ordered), Decimal(0)).scaleb(
            -QTY_SCALE
        )
        turnover = sum(each.price * each.qty for each in ordered)
        assert candle.quote_volume == Decimal(turnover).scaleb(-PRICE_SCALE - QTY_SCALE)
        if not ordered:
            assert (candle.open, candle.high, candle.low, candle.close) == (None,) * 4
            continue
        prices = [Decimal(each.price).scaleb(-PRICE_SCALE) for each in ordered]
        assert (candle.open, candle.close) == (prices[0], prices[-1])
        assert (candle.high, candle.low) == (max(prices), min(prices))


def test_volumes_of_any_size_are_exact() -> None:
    series = CandleSeries("A/B", STEP, KEPT, GRACE)
    most = 9 * 10**18
    for number in range(3):
        series.add(trade(5, number, most, most, 1))
    (candle,) = series.candles(1, 8, 8)
    assert candle.quote_volume == Decimal((0, tuple(map(int, str(3 * most * most))), -16))
    assert candle.base_volume == Decimal("270000000000")


def test_memory_is_bounded() -> None:
    series = CandleSeries("A/B", STEP, KEPT, GRACE)
    for number in range(10_000):
        series.add(trade(number * STEP, number, 1, 1, 1))
    assert len(series._buckets) <= KEPT + 1
    assert len(series.candles(1_000, 0, 0)) == KEPT
