"""The simulated exchange's memory: what a market remembers of its past is small, and stays exact."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal

from engine.sim.clock import ManualSimClock
from engine.sim.exchange import Exchange
from engine.sim.flow import MarketFlow
from engine.sim.market import HISTORY_BATCHES, Market
from engine.sim.model import MarketSpec

BYTES_A_BATCH_MAX = 700
"""Half of what two dictionaries of a typical batch take: a hundred markets keep six thousand each."""


def flowing() -> tuple[Market, MarketFlow]:
    spec = MarketSpec(
        venue="test", product="spot", symbol="BTCUSDT", base="BTC", quote="USDT", settle=None,
        tick_size=Decimal("0.01"), lot_size=Decimal("0.00001"), price_decimals=2, qty_decimals=5,
        min_qty=Decimal("0.00001"), max_qty=Decimal(1000), min_notional=Decimal(0),
        initial_price=Decimal(60_000), maker_fee=Decimal(0), taker_fee=Decimal(0),
    )  # fmt: skip
    exchange = Exchange("test", [spec], [], ManualSimClock())
    [market] = exchange.markets.values()
    flow = MarketFlow(exchange, market, 3)
    flow.seed_book()
    return market, flow


def publish(market: Market, flow: MarketFlow) -> None:
    flow.step()
    market.close_batch()


def as_it_is(market: Market) -> tuple[dict[int, int], dict[int, int]]:
    sides = [
        {price: level.total for price, level in side.levels.items()} for side in (market.bids, market.asks)
    ]
    return sides[0], sides[1]


def test_a_remembered_batch_takes_few_bytes() -> None:
    market, flow = flowing()
    batches = 1_500
    tracemalloc.start()
    try:
        for _ in range(batches):  # the flow's own blocks of numbers are laid out anew
            publish(market, flow)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(batches):
            publish(market, flow)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown / batches < BYTES_A_BATCH_MAX


def test_every_book_of_the_kept_past_is_given_back_exactly() -> None:
    market, flow = flowing()
    wanted = {}
    for number in range(HISTORY_BATCHES + 200):
        publish(market, flow)
        if number in (199, 200, HISTORY_BATCHES // 2, HISTORY_BATCHES + 199):
            wanted[market.published_id] = as_it_is(market)
    for sequence, (bids, asks) in wanted.items():
        book = market.published_at(sequence)
        assert book is not None
        assert (book.bids, book.asks, book.last_id) == (bids, asks, sequence)
    latest = market.published_at()
    assert latest is not None
    assert (latest.bids, latest.asks) == as_it_is(market)
    oldest_bids, oldest_asks, oldest_id = market.oldest()
    assert wanted[oldest_id] == (oldest_bids, oldest_asks)


def test_a_wires_own_number_is_forgotten_with_its_book() -> None:
    market, flow = flowing()
    for number in range(HISTORY_BATCHES + 200):
        publish(market, flow)
        market.note_number(number)
    assert market.published_at(100) is None
    for number in (199, 200, HISTORY_BATCHES + 199):
        assert market.published_at(number) is not None
    assert len(market._numbers) <= HISTORY_BATCHES + 2


def test_numbers_that_start_over_find_their_books() -> None:
    market, flow = flowing()
    for number in range(20):
        publish(market, flow)
        market.note_number(number)
    market.renumber(1)
    for number in range(100, 103):
        publish(market, flow)
        market.note_number(number)
    for number in (100, 101, 102):
        assert market.published_at(number) is not None
