"""The tape against the truth: whatever was lost, doubled or late, each print is in it once and in order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from engine.model.market import Side, Trade
from engine.model.trades import TradeIds
from engine.prints.tape import PrintTape, order_of

NAME = "A/B"


def printed(number: int, stamp: int, price: int, has_id: bool = True) -> Trade:
    return Trade(NAME, number if has_id else 0, price, 1 + number % 3, Side(number % 2), stamp, 0, 0)


def listed(trade: Trade, ids: TradeIds, resolution: int) -> Trade:
    """Return a print as the venue's list shows it."""
    if ids is TradeIds.NONE:
        trade = msgspec.structs.replace(
            trade, trade_id=0, venue_utc_ns=trade.venue_utc_ns // resolution * resolution
        )
    return msgspec.structs.replace(trade, is_backfilled=True)


@st.composite
def tapes(draw: st.DrawFn) -> list[Trade]:
    """Draw the exchange's tape: ids rise by one, times never fall, contents repeat."""
    stamp, trades = draw(st.integers(0, 50)), []
    for number in range(1, draw(st.integers(5, 60)) + 1):
        stamp += draw(st.integers(0, 7))
        trades.append(printed(number, stamp, draw(st.integers(1, 3))))
    return trades


def content(trade: Trade, resolution: int) -> tuple[int, int, int, int]:
    return trade.venue_utc_ns // resolution, trade.price, trade.qty, int(trade.aggressor)


@pytest.mark.parametrize(
    ("ids", "resolution"), [(TradeIds.CONSECUTIVE, 1), (TradeIds.UNIQUE, 1), (TradeIds.NONE, 1)]
)
@given(data=st.data())
def test_a_cut_is_filled(ids: TradeIds, resolution: int, data: st.DataObject) -> None:
    truth = data.draw(tapes())
    first = data.draw(st.integers(0, len(truth) - 1))
    cut = data.draw(st.integers(first + 1, len(truth)))
    back = data.draw(st.integers(cut, len(truth)))
    asked = data.draw(st.integers(back, len(truth)))
    has_ids = ids is not TradeIds.NONE
    if not has_ids and first and truth[first - 1].venue_utc_ns == truth[first].venue_utc_ns:
        reject()  # what is told apart by its time must not begin in the middle of a moment
    stream = [msgspec.structs.replace(each, trade_id=each.trade_id * has_ids) for each in truth]
    tape, got = PrintTape(NAME, ids, resolution), []
    for each in stream[first:cut]:
        for _ in range(data.draw(st.integers(1, 2)) if has_ids else 1):  # twins bring it twice
            got += [new] if (new := tape.take(each)) is not None else []
    tape.cut()
    live = [new for each in stream[back:asked] if (new := tape.take(each)) is not None]
    rows = [listed(each, ids, resolution) for each in truth[:asked]]
    result = tape.fill(rows, is_capped=True)
    live += [new for each in stream[asked:] if (new := tape.take(each)) is not None]
    assert result.missed is None
    assert result.is_closed
    everything = [*got, *live, *result.trades]
    assert sorted(content(each, resolution) for each in everything) == sorted(
        content(each, resolution) for each in truth[first:]
    )
    assert all(each.is_backfilled for each in result.trades)
    assert [order_of(each) for each in tape.trades] == sorted(order_of(each) for each in everything)
    if has_ids:
        assert sorted(each.trade_id for each in everything) == [each.trade_id for each in truth[first:]]
    assert tape.fill(rows, is_capped=True).trades == []


@given(data=st.data())
def test_frames_that_are_lost_are_seen_by_their_numbers(data: st.DataObject) -> None:
    truth = data.draw(tapes())
    lost = set(data.draw(st.sets(st.sampled_from(range(1, len(truth) - 1)), max_size=10)))
    tape, got = PrintTape(NAME, TradeIds.CONSECUTIVE), []
    for at, each in enumerate(truth):
        if at not in lost:
            got += [new] if (new := tape.take(each)) is not None else []
    assert (tape.hole is not None) == bool(lost)
    rows = [listed(each, TradeIds.CONSECUTIVE, 1) for each in truth]
    result = tape.fill(rows, is_capped=True)
    assert [each.trade_id for each in result.trades] == [truth[at].trade_id for at in sorted(lost)]
    assert result.is_closed
    assert [each.trade_id for each in tape.trades] == [each.trade_id for each in truth]


@given(data=st.data())
def test_several_trades_told_as_one_are_each_counted_once(data: st.DataObject) -> None:
    truth = [printed(number, number, 1) for number in range(1, 31)]
    lost = data.draw(st.integers(1, 28))
    until = data.draw(st.integers(lost + 1, 30))
    tape = PrintTape(NAME, TradeIds.CONSECUTIVE)
    for each in truth[:lost]:
        tape.take(each)
    tape.cut()
    rows = [listed(each, TradeIds.CONSECUTIVE, 1) for each in truth[:until]]
    filled = tape.fill(rows, is_capped=False).trades
    # A frame that began before the list was made and ends after it: what the list had is not counted again.
    whole = msgspec.structs.replace(truth[-1], count=30 - lost, qty=sum(each.qty for each in truth[lost:]))
    rest = tape.take(whole)
    told = [*truth[:lost], *filled, *([] if rest is None else [rest])]
    assert sum(each.count for each in told) == 30
    assert sum(each.qty for each in told) == sum(each.qty for each in truth)


@pytest.mark.parametrize("ids", list(TradeIds))
def test_what_the_list_does_not_reach_is_told(ids: TradeIds) -> None:
    has_ids = ids is not TradeIds.NONE
    truth = [printed(number, 10 * number, number) for number in range(1, 41)]
    stream = [msgspec.structs.replace(each, trade_id=each.trade_id * has_ids) for each in truth]
    tape = PrintTape(NAME, ids)
    for each in stream[:10]:
        tape.take(each)
    tape.cut()
    for each in stream[35:]:
        tape.take(each)
    result = tape.fill([listed(each, ids, 1) for each in truth[20:40]], is_capped=True)
    assert result.is_closed
    assert [each.venue_utc_ns for each in result.trades] == [10 * number for number in range(21, 36)]
    assert result.missed is not None
    assert (result.missed.from_utc_ns, result.missed.to_utc_ns) == (100, 210)
    assert result.missed.count == (10 if ids is TradeIds.CONSECUTIVE else None)
    assert tape.hole is None


def test_ids_that_the_list_leaves_out_are_no_prints() -> None:
    tape = PrintTape(NAME, TradeIds.CONSECUTIVE)
    truth = [printed(number, number, 1) for number in range(1, 8)]
    tape.take(truth[0])
    tape.take(truth[6])
    rows = [listed(each, TradeIds.CONSECUTIVE, 1) for each in truth if each.trade_id not in (3, 4)]
    result = tape.fill(rows, is_capped=True)
    assert result.is_closed
    assert result.missed is None
    assert [each.trade_id for each in tape.trades] == [1, 2, 5, 6, 7]
    tape.take(printed(8, 8, 1))
    assert tape.hole is None


def test_a_list_that_is_behind_the_stream_is_asked_for_again() -> None:
    for ids in TradeIds:
        has_ids = ids is not TradeIds.NONE
        truth = [printed(number, number, number) for number in range(1, 11)]
        stream = [msgspec.structs.replace(each, trade_id=each.trade_id * has_ids) for each in truth]
        tape = PrintTape(NAME, ids)
        tape.take(stream[0])
        tape.cut()
        tape.take(stream[9])
        stale = tape.fill([listed(each, ids, 1) for each in truth[:5]], is_capped=False)
        assert not stale.is_closed, ids
        assert [each.price for each in stale.trades] == [2, 3, 4, 5]
        fresh = tape.fill([listed(each, ids, 1) for each in truth], is_capped=False)
        assert fresh.is_closed
        assert [each.price for each in fresh.trades] == [6, 7, 8, 9]


def test_a_list_in_other_units_is_not_believed() -> None:
    tape = PrintTape(NAME, TradeIds.NONE)
    truth = [printed(0, number, number) for number in range(1, 11)]
    for each in truth[:5]:
        tape.take(each)
    tape.cut()
    rows = [msgspec.structs.replace(each, qty=each.qty * 1_000) for each in truth]
    result = tape.fill(rows, is_capped=False)
    assert (result.trades, result.is_closed) == ([], False)
    missed = tape.abandon(99)
    assert missed is not None
    assert (missed.from_utc_ns, missed.to_utc_ns, missed.count) == (5, 99, None)


def test_a_hole_that_is_given_up_is_told_once() -> None:
    tape = PrintTape(NAME, TradeIds.CONSECUTIVE)
    tape.take(printed(1, 10, 1))
    tape.take(printed(5, 50, 1))
    missed = tape.abandon(99)
    assert missed is not None
    assert (missed.from_id, missed.to_id, missed.count) == (1, 5, 3)
    tape.take(printed(6, 60, 1))
    assert tape.hole is None
    assert tape.abandon(99) is None


def test_numbers_that_start_over_are_taken() -> None:
    tape = PrintTape(NAME, TradeIds.CONSECUTIVE)
    for number in (500, 501, 1, 2, 3):
        assert tape.take(printed(number, number, 1)) is not None
    assert tape.hole is None


def test_memory_is_bounded() -> None:
    for ids in TradeIds:
        tape = PrintTape(NAME, ids, kept=50)
        for number in range(1, 5_000):
            tape.take(printed(number, number, 1, has_id=ids is not TradeIds.NONE))
        assert len(tape.trades) == 50
        assert len(tape._trades) <= 100
        assert len(tape._seen) <= 100
        assert len(tape._ranges) <= 64
