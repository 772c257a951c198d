"""Instruments that a venue halts, on every market: the book says so, no order leaves, and it heals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from engine.model.errors import UsageError
from engine.model.instrument import InstrumentStatus
from engine.model.market import BookState, Side
from engine.model.naming import canonical_coin, collisions
from engine.supervisor.venue import VenueProduct
from tests.kit.markets import LOOP, MARKETS, Market, each_market, shared
from tests.kit.test_market_data import assert_equal
from tests.sim.engine_rig import until

pytestmark = [pytest.mark.timeout(120), LOOP]
INTERVAL_S = 0.4
MUTE = ("bybit-spot-symbol_cancel_only", "bybit-perp-symbol_cancel_only", "bitmart-spot-symbol_cancel_only",
        "bitmart-perp-symbol_cancel_only", "bitmart-perp-symbol_halt")  # fmt: skip
"""What the documented listings have no word for: only a refused order tells."""
TOLD = [
    (market, fault)
    for market in MARKETS
    for fault in ("symbol_halt", "symbol_cancel_only")
    if f"{market}-{fault}" not in MUTE
]


@contextlib.asynccontextmanager
async def reading_often(venue: VenueProduct) -> AsyncIterator[None]:
    """Read the listing several times a second."""
    watch = asyncio.create_task(venue.listing.watch(INTERVAL_S))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


@pytest.mark.fault("P27")
@pytest.mark.parametrize(("market", "fault"), TOLD, ids=[f"{market}-{fault}" for market, fault in TOLD])
async def test_a_symbol_that_does_not_trade_is_halted_and_heals(market: Market, fault: str) -> None:
    async with shared(market) as bench:
        venue = bench.rig.venue(bench.universal)
        book, other = (venue.books[universal] for universal in market.universals)
        async with reading_often(venue):
            await bench.rig.fault(fault, bench.universal, count=None)
            await until(lambda: book.state is BookState.HALTED, what=(book.state, venue.listing.health()))
            assert other.is_live
            assert "at the venue" in book.reason
            assert venue.instruments[bench.universal].status is not InstrumentStatus.TRADING
            assert venue.is_whole, "what the venue halts is not missing"
            with pytest.raises(UsageError, match="no new orders"):
                bench.desk.place(bench.universal, Side.BUY, "1", "1", transport="rest")
            for session in venue.sessions:
                session.drop("test: a new connection does not wake what the venue has halted")
            await until(lambda: other.is_live, what="the other book again")
            assert book.state is BookState.HALTED
            await bench.rig.clear()
            await until(lambda: book.is_live, 40, what=(book.state, book.reason, venue.listing.health()))
        assert venue.instruments[bench.universal].status is InstrumentStatus.TRADING
        await until(lambda: all(each.is_live for each in venue.books.values()), what="all books LIVE")
        await assert_equal(bench)


PUSHED = [market for market in MARKETS if market.venue == "okx"]
"""Whose streams tell of a changed listing, as far as this engine hears them."""


@pytest.mark.parametrize("market", PUSHED, ids=str)
async def test_the_stream_tells_of_a_halt_before_the_listing_is_read(market: Market) -> None:
    async with shared(market) as bench:
        venue = bench.rig.venue(bench.universal)
        book, reads = venue.books[bench.universal], venue.listing.reads
        await bench.rig.fault("symbol_halt", bench.universal, count=None)
        await until(lambda: book.state is BookState.HALTED, what=venue.listing.health())
        await bench.rig.clear()
        await until(lambda: book.is_live, 40, what=(book.state, book.reason))
        assert venue.listing.reads >= reads + 2


@each_market
async def test_a_new_lot_is_in_force_at_once(market: Market) -> None:
    async with shared(market) as bench:
        venue, old = bench.rig.venue(bench.universal), bench.instrument
        listing = await venue._listing()
        new = msgspec.structs.replace(old, lot_size=old.lot_size * 3, market_lot_size=old.lot_size * 3)
        venue.listing.take([new if each.symbol == old.symbol else each for each in listing])
        assert venue.instruments[bench.universal] == venue.known[old.symbol] == new
        slot = bench.rig.engine.markets.books[bench.universal]
        assert slot.instruments[slot.venues.index(market.venue)] == new
        bid, _ = bench.touch()
        price = f"{old.price(bid - bid % old.tick_size):f}"
        some = max(old.qty_min, 1_000 * old.lot_size) // new.lot_size * new.lot_size
        off = f"{old.qty(some + old.lot_size):f}"
        with pytest.raises(UsageError, match="multiple"):
            bench.desk.place(bench.universal, Side.BUY, off, price, transport="rest")
        assert venue.books[bench.universal].is_live, "its prices mean what they meant"
        assert bench.rig.engine.log.counts["instrument.changed"] >= 2
        venue.listing.take(listing)
        assert venue.instruments[bench.universal].lot_size == old.lot_size


@each_market
async def test_every_listed_symbol_has_a_name_of_its_own(market: Market) -> None:
    async with shared(market) as bench:
        venue = bench.rig.venue(bench.universal)
        listing = await venue._listing()
        assert len(listing) >= 10
        assert collisions(listing) == {}
        for each in listing:
            base = each.universal.partition("/")[0]
            assert canonical_coin(base) == (base, each.multiplier)
            assert venue.known[each.symbol].universal == each.universal
