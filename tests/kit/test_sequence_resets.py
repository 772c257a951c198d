"""Chained numbers that go back, and frames that only say that the venue lives, cost a book nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.markets import LOOP, STREAMS, Market, shared
from tests.kit.test_market_data import assert_equal

pytestmark = [pytest.mark.timeout(180), LOOP]
CHAINED = [market for market in STREAMS if market.offers.depth_rule == "chain"]
"""The only rule by which numbers may go back; the other ones know no such thing."""


@pytest.mark.fault("P09", "P10")
@pytest.mark.parametrize("fault", ["reset_sequence", "heartbeat_depth"])
@pytest.mark.parametrize("market", CHAINED, ids=str)
async def test_what_the_chain_rule_allows_costs_nothing(market: Market, fault: str) -> None:
    async with shared(market) as bench:
        venue = bench.rig.venue(bench.universal)
        book, health = venue.books[bench.universal], venue.health()
        sequence = book.sequence
        before = (await bench.rig.happened()).get(fault, 0)
        await bench.rig.fault(fault, bench.universal, count=1)
        while (await bench.rig.happened()).get(fault, 0) == before:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            while book.sequence == sequence or (fault == "reset_sequence" and book.sequence > sequence):
                await asyncio.sleep(0.01)
        assert book.is_live
        await assert_equal(bench)
        after = venue.health()
        for name in ("gaps", "resyncs", "rejected", "reconnects"):
            assert after[name] == health[name], name
