"""Books of every venue: joined, gapped, cut, and equal to the exchange whenever they say LIVE."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.truth import Checker
from tests.kit.markets import LOOP, Bench, Market, each_stream, running, shared
from tests.sim.engine_rig import until

pytestmark = [pytest.mark.timeout(180), LOOP]


async def assert_equal(bench: Bench) -> None:
    """Compare each book with the exchange's own at its sequence, once it is LIVE."""
    checker = Checker(bench.rig.engine, bench.rig._http)
    venue = bench.rig.venue(bench.universal)
    for universal in venue.books:
        before = checker.compared
        async with asyncio.timeout(60):
            while checker.compared == before:
                await checker.check(venue, universal)
                await asyncio.sleep(0.005)
    assert checker.wrong == []
    assert checker.levels > 100


@each_stream
async def test_books_are_the_exchanges(market: Market, tmp_path: Path) -> None:
    async with running(market, tmp_path) as bench:
        for _ in range(5):
            await assert_equal(bench)
        health = bench.rig.venue(bench.universal).health()
        assert (health["gaps"], health["rejected"]) == (0, 0)
        # The simulated classic streams split a batch into frames of one level, bids first: between two of
        # them a book may look crossed. It falls, is repaired, and never says LIVE with such prices.
        assert health["crossed"] == 0 or market.streams == "classic"
        assert health["quarantined"] == 0


@each_stream
async def test_a_gap_costs_one_book_and_is_repaired(market: Market) -> None:
    async with shared(market) as bench:
        venue = bench.rig.venue(bench.universal)
        other = venue.books[market.universals[1]]
        before = venue.health()
        await bench.rig.fault("drop_depth", bench.universal, count=1)
        await until(lambda: venue.health()["gaps"] == before["gaps"] + 1, what=venue.health())
        assert other.is_live
        await until(lambda: venue.books[bench.universal].is_live, what=venue.health())
        assert venue.health()["resyncs"] == before["resyncs"] + 1
        assert venue.health()["reconnects"] == before["reconnects"]
        await assert_equal(bench)


@pytest.mark.parametrize("fault", ["duplicate_depth", "reorder_depth", "garbage_frame", "disconnect"])
@each_stream
async def test_damage_is_survived(market: Market, fault: str) -> None:
    async with shared(market) as bench:
        venue = bench.rig.venue(bench.universal)
        before = (await bench.rig.happened()).get(fault, 0)
        await bench.rig.fault(fault, bench.universal, symbol=fault != "disconnect", count=1)
        while (await bench.rig.happened()).get(fault, 0) == before:
            await asyncio.sleep(0.01)
        await until(lambda: all(book.is_live for book in venue.books.values()), what=venue.health())
        await assert_equal(bench)
        assert venue.state == "up"


@each_stream
async def test_trades_tops_and_funding_come(market: Market) -> None:
    async with shared(market) as bench:
        venue = bench.rig.venue(bench.universal)
        if market.offers.trades:
            await until(lambda: venue.trades[bench.universal], what="a trade")
            trade = venue.trades[bench.universal][-1]
            bid, ask = bench.touch()
            assert bid * 0.9 < trade.price < ask * 1.1
            assert trade.qty > 0
            assert trade.qty % bench.instrument.lot_size == 0
        if market.offers.top_of_book:
            await until(lambda: bench.universal in venue.tops, what="a top of book")
            top = venue.tops[bench.universal]
            assert 0 < top.bid_price < top.ask_price
        if "mark" in market.offers.funding:
            await until(lambda: bench.universal in venue.funding, what="funding")
            funding = venue.funding[bench.universal]
            middle = bench.instrument.price(sum(bench.touch()) // 2)
            assert abs(funding.mark_price - middle) < middle / 10
        if "settlement" in market.offers.funding:
            await until(
                lambda: venue.funding[bench.universal].next_funding_utc_ns is not None, what="a settlement"
            )
            due = venue.funding[bench.universal].next_funding_utc_ns
            assert due is not None
            assert due > venue.funding[bench.universal].venue_utc_ns
