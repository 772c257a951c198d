"""Prints of every market: complete across a lost connection, each once, in order; candles that add up."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from engine.model.trades import TradeIds, WithTradeList
from engine.prints.tape import order_of
from tests.kit.markets import LOOP, Bench, Market, each_stream, shared
from tests.sim.engine_rig import until

pytestmark = [pytest.mark.timeout(120), LOOP]

AWAY_S = 1.5
"""How long no connection is let in."""
Sums = Counter[tuple[int, int, str]]
"""Quantity by time (ms, as fine as the venue's list is), price and taker's side: the same however it was
learnt, and however many trades were told as one."""


class Ledger:
    """The exchange's own tape of one instrument beside ours."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.venue = bench.rig.venue(bench.universal)
        self.tape = self.venue.prints.tapes[bench.universal]
        adapter = self.venue.adapter
        assert isinstance(adapter, WithTradeList)
        reader = adapter.trade_list
        self.step_ms = reader.resolution_ns // 1_000_000 if reader.ids is TradeIds.NONE else 1
        self.ids = reader.ids

    async def truth(self) -> list[dict[str, Any]]:
        symbol, product = self.bench.instrument.symbol, self.bench.market.product.value
        rows: list[dict[str, Any]] = await self.bench.rig.truth("trades", symbol=symbol, product=product)
        return rows

    def _floor(self, stamp_ms: int) -> int:
        return stamp_ms - stamp_ms % self.step_ms

    @property
    def newest_ms(self) -> int:
        """Return the latest moment that is over in our tape."""
        return self._floor(self.tape.trades[-1].venue_utc_ns // 1_000_000)

    def ours(self, from_ms: int, to_ms: int) -> Sums:
        sums: Sums = Counter()
        for each in self.tape.trades:
            at = self._floor(each.venue_utc_ns // 1_000_000)
            if from_ms < at < to_ms:
                sums[at, each.price, each.aggressor.word] += each.qty
        return sums

    def theirs(self, rows: list[dict[str, Any]], from_ms: int, to_ms: int) -> Sums:
        instrument = self.bench.instrument
        sums: Sums = Counter()
        for row in rows:
            at = self._floor(row["traded_ms"])
            if from_ms < at < to_ms:
                price = instrument.scale_price(Decimal(row["price"]))
                sums[at, price, row["side"].lower()] += instrument.scale_qty(Decimal(row["qty"]))
        return sums


@each_stream
async def test_prints_are_complete_across_a_lost_connection(market: Market) -> None:
    async with shared(market) as bench:
        ledger = Ledger(bench)
        prints, tape = ledger.venue.prints, ledger.tape
        await until(lambda: tape.trades and tape.hole is None, what="a print")
        await until(lambda: ledger.venue.state == "up", what="every connection up")
        from_ms, before = ledger.newest_ms, prints.health()
        await bench.rig.fault("refuse_connect", bench.universal, symbol=False, count=None, duration_s=AWAY_S)
        for session in ledger.venue.sessions:
            session.drop("test")
        await until(lambda: tape.hole is not None, what="the hole seen")
        held = ledger.newest_ms
        await until(
            lambda: tape.hole is None and ledger.newest_ms > held and ledger.venue.is_whole, 60,
            what=prints.health(),
        )  # fmt: skip
        resumed_ms = ledger.newest_ms
        await until(lambda: ledger.newest_ms > resumed_ms + 2 * ledger.step_ms, 60, what="prints go on")
        to_ms = ledger.newest_ms
        theirs = ledger.theirs(await ledger.truth(), from_ms, to_ms)
        assert theirs, "nothing traded: the test proves nothing"
        assert ledger.ours(from_ms, to_ms) == theirs
        after = prints.health()
        assert after["backfilled"] > before["backfilled"]
        assert after["missed"] == before["missed"], bench.rig.logged("trades.missed")
        assert [order_of(each) for each in tape.trades] == sorted(order_of(each) for each in tape.trades)
        numbers = [each.trade_id for each in tape.trades if each.trade_id]
        assert len(set(numbers)) == len(numbers)
        assert any(each.is_backfilled for each in tape.trades)


@each_stream
async def test_candles_are_those_of_the_exchange(market: Market) -> None:
    async with shared(market) as bench:
        ledger = Ledger(bench)
        prints = ledger.venue.prints
        await until(lambda: ledger.tape.trades, what="a print")
        # Faults of earlier tests may have cost prints where ids do not tell, or doubled some that have none.
        begun_ns = ledger.newest_ms * 1_000_000

        def whole() -> list[Any]:
            rows = prints.candles(bench.universal, "1s", 600)
            return [row for row in rows if row.is_complete and row.is_final and row.open_utc_ns > begun_ns]

        await until(lambda: len(whole()) >= 2, 60, what="two candles that are complete and final")
        rows, instrument = await ledger.truth(), bench.instrument
        for candle in whole():
            within = [row for row in rows if 0 <= row["traded_ms"] * 10**6 - candle.open_utc_ns < 10**9]
            prices = [Decimal(row["price"]) for row in within]
            amounts = [Decimal(row["qty"]) for row in within]
            assert candle.base_volume == sum(amounts), candle
            turnover = sum(price * qty for price, qty in zip(prices, amounts, strict=True))
            assert candle.quote_volume == turnover
            assert (candle.high, candle.low) == (max(prices), min(prices))
            if market.venue != "bitmart":  # whose spot prints have no number to put equal times in order
                assert (candle.open, candle.close) == (prices[0], prices[-1])
            if ledger.ids is TradeIds.CONSECUTIVE:
                assert candle.count == len(within)
        minutes = prints.candles(bench.universal, "1m", 2)
        assert minutes[-1].base_volume > 0
        assert minutes[-1].open_utc_ns % 60_000_000_000 == 0
        assert instrument.universal == minutes[-1].universal
