"""Prints of a venue product: what is asked for and told, within the budget, and what candles say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from engine.model.errors import Unanswered
from engine.model.instrument import Instrument
from engine.model.market import Side, Trade
from engine.model.trades import TradeIds, TradeList
from engine.model.wire import BudgetRule, HttpRequest
from engine.prints.candles import FAR_IN_A_ROW
from engine.session import trade_filler
from engine.supervisor.prints import Prints
from engine.telemetry.clock import SystemClock
from engine.transport.http import HttpResponse
from engine.transport.request_budget import RequestBudget
from tests.unit.router.test_checks import SPOT
from tests.unit.supervisor.test_listing_watch import Told

NAME = SPOT.universal
SECOND = 1_000_000_000


def printed(number: int, second: float = 0, **fields: object) -> Trade:
    stamp = int((second or number) * SECOND)
    return msgspec.structs.replace(Trade(NAME, number, 100, 7, Side.BUY, stamp, 0, 0), **fields)


class Reader:
    """A venue's list: ``rows`` are what it holds when asked."""

    ids = TradeIds.CONSECUTIVE
    resolution_ns = 1

    def __init__(self) -> None:
        self.rows: list[Trade] = []
        self.is_capped = False

    def request(self, instrument: Instrument) -> HttpRequest:
        return HttpRequest(method="GET", target=f"/trades?{instrument.symbol}", label="trades", weight=10)

    def decode(self, instrument: Instrument, body: bytes, mono_ns: int, utc_ns: int) -> TradeList:
        rows = [msgspec.structs.replace(each, is_backfilled=True) for each in self.rows]
        return TradeList(rows, self.is_capped)


class Pool:
    """Answers every request, but for those that shall fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.failures: list[Exception | int] = []

    async def request(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        self.asked += 1
        failure = self.failures.pop(0) if self.failures else 200
        if isinstance(failure, Exception):
            raise failure
        return HttpResponse(failure, b"HTTP/1.1 200 OK", b"[]", 0, 0, 0)


class Bench:
    def __init__(self, limit: int = 1_000, has_list: bool = True) -> None:
        clock = SystemClock()
        self.reader, self.pool, self.log = Reader(), Pool(), Told()
        self.budget = RequestBudget((BudgetRule("weight_1m", "weight", 60_000, limit),), clock)
        self.heard: list[Trade] = []
        self.prints = Prints(
            ("venue", "spot"), self.reader if has_list else None, self.pool, self.budget,  # type: ignore[arg-type]
            {NAME: SPOT}, clock, self.log, timeout_s=1.0, heard=self.heard.append, offset_ns=lambda: 0,
        )  # fmt: skip
        self.prints.add(NAME)
        self.prints.back([NAME])

    @property
    def numbers(self) -> list[int]:
        return [each.trade_id for each in self.prints.latest(NAME, 1_000)]

    @property
    def missed(self) -> list[dict[str, object]]:
        return [row for row in self.log.rows if row["event"] == "trades.missed"]

    async def settled(self) -> None:
        assert self.prints._filler is not None
        deadline = asyncio.get_running_loop().time() + 5
        while self.prints._filler._tasks:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trade_filler, "SETTLE_S", 0.001)
    monkeypatch.setattr(trade_filler, "PAUSE_MAX_S", 0.002)


async def test_a_reconnect_asks_once_and_each_print_is_heard_once() -> None:
    bench = Bench()
    for number in (1, 2, 2, 1, 3):
        bench.prints.on_trade(printed(number))
    bench.prints.cut([NAME])
    bench.prints.cut([NAME])
    bench.prints.back([NAME])
    bench.prints.on_trade(printed(6))
    bench.reader.rows = [printed(number) for number in range(1, 7)]
    await bench.settled()
    assert bench.numbers == [1, 2, 3, 4, 5, 6]
    assert [each.trade_id for each in bench.heard] == [1, 2, 3, 6, 4, 5], "missing ones come after, flagged"
    assert [each.trade_id for each in bench.heard if each.is_backfilled] == [4, 5]
    assert (bench.pool.asked, bench.prints.backfilled, bench.missed) == (1, 2, [])


async def test_a_hole_in_the_numbers_asks_too() -> None:
    bench = Bench()
    for number in (1, 2, 5):
        bench.prints.on_trade(printed(number))
    bench.reader.rows = [printed(number) for number in range(1, 6)]
    await bench.settled()
    assert (bench.numbers, bench.pool.asked) == ([1, 2, 3, 4, 5], 1)


async def test_what_a_twin_brings_in_time_need_not_be_fetched() -> None:
    bench = Bench()
    for number in (1, 3):
        bench.prints.on_trade(printed(number))
    bench.prints.on_trade(printed(2))
    bench.reader.rows = [printed(number) for number in (1, 2, 3)]
    await bench.settled()
    assert bench.numbers == [1, 2, 3]
    assert bench.prints.backfilled == 0
    assert [each.trade_id for each in bench.heard] == [1, 3, 2]


async def test_a_list_that_fails_is_asked_for_again() -> None:
    bench = Bench()
    bench.prints.on_trade(printed(1))
    bench.prints.on_trade(printed(3))
    bench.pool.failures = [Unanswered("no answer", "timeout"), 503]
    bench.reader.rows = [printed(number) for number in (1, 2, 3)]
    await bench.settled()
    assert (bench.numbers, bench.pool.asked) == ([1, 2, 3], 3)
    assert bench.prints.health()["lists_failed"] == 2


async def test_what_no_list_has_is_told_and_counted() -> None:
    bench = Bench()
    bench.prints.on_trade(printed(10))
    bench.prints.cut([NAME])
    bench.prints.back([NAME])
    bench.prints.on_trade(printed(40))
    bench.reader.rows = [printed(number) for number in range(30, 41)]
    bench.reader.is_capped = True
    await bench.settled()
    assert bench.numbers == [10, *range(30, 41)]
    (row,) = bench.missed
    assert (row["from_id"], row["to_id"], row["count"]) == (10, 30, 19)
    assert (row["from_utc_ns"], row["to_utc_ns"]) == (10 * SECOND, 30 * SECOND)
    health = bench.prints.health()
    assert (health["missed"], health["missed_trades"], health["holes_open"]) == (1, 19, 0)
    candles = {each.open_utc_ns // SECOND: each for each in bench.prints.candles(NAME, "1s", 600)}
    assert not any(candles[second].is_complete for second in range(10, 31))
    assert all(candles[second].is_complete for second in range(31, 41))
    assert (candles[20].open, candles[20].count) == (None, 0)


async def test_a_venue_that_never_answers_is_given_up() -> None:
    bench = Bench()
    bench.prints.on_trade(printed(1))
    bench.prints.on_trade(printed(3))
    bench.pool.failures = [503] * 100
    await bench.settled()
    assert bench.pool.asked == trade_filler.ATTEMPTS
    assert [(row["from_id"], row["to_id"], row["count"]) for row in bench.missed] == [(1, 3, 1)]
    bench.prints.on_trade(printed(4))
    await bench.settled()
    assert len(bench.missed) == 1


async def test_without_a_list_the_hole_is_told_at_once() -> None:
    bench = Bench(has_list=False)
    bench.prints.on_trade(printed(7))
    bench.prints.cut([NAME])
    assert bench.missed == []
    bench.prints.back([NAME])
    (row,) = bench.missed
    assert (row["from_id"], row["to_id"], row["count"]) == (7, 0, None)
    assert bench.prints.tapes[NAME].hole is None


async def test_the_budget_is_kept() -> None:
    bench = Bench(limit=25)
    for attempt in range(2):
        bench.prints.on_trade(printed(10 * attempt + 1))
        bench.prints.on_trade(printed(10 * attempt + 3))
        bench.reader.rows = [printed(10 * attempt + step) for step in (1, 2, 3)]
        await bench.settled()
    bench.prints.on_trade(printed(40))
    deadline = asyncio.get_running_loop().time() + 0.2
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    assert bench.pool.asked == 2, "ten of weight each, and no more than 25 in a minute"
    await bench.prints.stop()


async def test_candles_wait_for_what_is_missing() -> None:
    bench = Bench()
    for number in range(1, 4):
        bench.prints.on_trade(printed(number))
    bench.prints.cut([NAME])
    bench.prints.back([NAME])
    for number in range(20, 25):
        bench.prints.on_trade(printed(number))

    def named(which: Callable[[object], bool]) -> list[int]:
        rows = bench.prints.candles(NAME, "1s", 600)
        return [each.open_utc_ns // SECOND for each in rows if which(each)]

    assert named(lambda each: each.is_final) == [1, 2]  # type: ignore[attr-defined]
    assert named(lambda each: each.is_complete) == [1, 2]  # type: ignore[attr-defined]
    bench.reader.rows = [printed(number) for number in range(1, 25)]
    await bench.settled()
    assert named(lambda each: each.is_complete) == list(range(1, 25))  # type: ignore[attr-defined]
    assert named(lambda each: each.is_final) == list(range(1, 22))  # type: ignore[attr-defined]
    assert bench.prints.health()["late"] == 0


@pytest.mark.fault("P31")
async def test_a_print_far_off_the_market_is_kept_and_its_candle_says_so() -> None:
    bench = Bench()
    for number, price in enumerate((100, 101, 10_000, 99, 1, 100), start=1):
        bench.prints.on_trade(printed(number, price=price))
    assert [each.price for each in bench.heard] == [100, 101, 10_000, 99, 1, 100]
    rows = {each.open_utc_ns // SECOND: each for each in bench.prints.candles(NAME, "1s", 600)}
    assert {number: row.far for number, row in rows.items()} == {1: 0, 2: 0, 3: 1, 4: 0, 5: 1, 6: 0}
    assert bench.prints.candles(NAME, "1m", 1)[0].far == bench.prints.health()["far"] == 2


@pytest.mark.fault("P31")
async def test_a_market_that_has_moved_is_believed_after_a_few_prints() -> None:
    bench = Bench()
    for number, price in enumerate((100, *[2_000] * 8, 2_100), start=1):
        bench.prints.on_trade(printed(number, price=price))
    assert bench.prints.health()["far"] == FAR_IN_A_ROW - 1


async def test_what_is_asked_for_at_once_goes_no_further() -> None:
    bench = Bench()
    bench.reader.rows = [printed(number) for number in range(1, 11)]
    bench.prints.on_trade(printed(10))
    trades, is_asked = await bench.prints.recent(NAME, 5)
    assert [each.trade_id for each in trades] == [6, 7, 8, 9, 10]
    assert is_asked
    assert bench.numbers == [10]
    assert len(bench.heard) == 1
    trades, is_asked = await bench.prints.recent(NAME, 1)
    assert ([each.trade_id for each in trades], is_asked) == ([10], False)
