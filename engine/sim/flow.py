"""Seeded order flow: makes books and trades look like a real venue's.

Changes cluster at the touch (half of them within about seven levels, a tail to a thousand), sizes are
log-normal, trades move the price around a slow random walk, busy moments come in bursts. Draws are made
in blocks with numpy and consumed one by one, so a change costs a few microseconds.
"""

from __future__ import annotations

import dataclasses
import heapq
import random
from decimal import Decimal

import numpy as np

from engine.sim.exchange import Exchange
from engine.sim.funding_past import past_settlements
from engine.sim.market import BookSide, Market

LEVELS_SEEDED = 1_150
LEVELS_MIN = 1_020
LEVELS_MAX = 1_500
BLOCK = 8_192
CHANGES_MEAN, CHANGES_MAX = 12, 40
"""Levels changed by a batch: 5 of 12 parts in every one, the rest at random."""
TRADE_PROBABILITY = 0.2
BURST_PROBABILITY = 0.004
CATCH_UP_S = 0.25
AT_ONCE = 16


class MarketFlow:
    """The anonymous crowd of one market."""

    def __init__(self, exchange: Exchange, market: Market, seed: int, changes: int = CHANGES_MEAN) -> None:
        self.exchange = exchange
        self.market = market
        self._changes = changes
        self._draw = np.random.default_rng(seed)
        self._random = random.Random(seed)
        spec = market.spec
        self._typical_lots = max(2.0, float(spec.typical_notional / spec.initial_price / spec.lot_size))
        self._fair = float(round(spec.initial_price / spec.tick_size))
        # A tick is a different share of the price in each market; the walk is in shares of the price.
        self._step_ticks = max(0.3, self._fair * 0.00001)
        self._steps = 0
        self._position = BLOCK
        self._refill()

    def _refill(self) -> None:
        self._distances = np.minimum(np.exp(self._draw.normal(1.95, 1.35, BLOCK)), 1_100).astype(int).tolist()
        self._sizes = (
            np.maximum(1, np.exp(self._draw.normal(0.0, 1.1, BLOCK)) * self._typical_lots)
            .astype(int)
            .tolist()
        )
        self._uniform = self._draw.random(BLOCK).tolist()
        fewest = max(1, self._changes * 5 // 12)
        self._counts = np.minimum(
            CHANGES_MAX, fewest + self._draw.exponential(self._changes - fewest, BLOCK)
        ).astype(int).tolist()  # fmt: skip
        self._position = 0

    def seed_book(self) -> None:
        """Lay down the first book: ``LEVELS_SEEDED`` levels a side around the initial price."""
        middle = int(self._fair)
        for side, direction in ((self.market.bids, -1), (self.market.asks, 1)):
            price = middle + (0 if direction < 0 else 1)
            placed = 0
            while placed < LEVELS_SEEDED and price > 0:
                if self._random.random() < 0.85 or placed == 0:
                    lots = max(1, int(self._random.lognormvariate(0.3, 1.1) * self._typical_lots))
                    side.level(price).add_background(lots)
                    placed += 1
                price += direction
        self.market.start_publishing()

    def step(self) -> None:
        """Make one batch worth of changes, with a trade now and then."""
        if self.market.status != "TRADING":
            return
        if self._position + CHANGES_MAX + 2 >= BLOCK:
            self._refill()
        market = self.market
        position = self._position
        self._fair += self._random.gauss(0.0, self._step_ticks)
        count = self._counts[position]
        bid, ask = market.bids.best, market.asks.best
        if bid is None or ask is None:
            self._mend()
            return
        lean = self._fair - (bid + ask) / 2
        if self._uniform[position] < TRADE_PROBABILITY:
            self._trade(lean, bid, ask)
            bid, ask = market.bids.best, market.asks.best
            if bid is None or ask is None:
                self._mend()
                return
        self._change(position + 1, position + 1 + count, bid, ask, lean)
        self._position = position + count + 1
        self._steps += 1
        if self._steps % 32 == 0:
            self._keep_depth()

    def _change(self, start: int, stop: int, bid: int, ask: int, lean: float) -> None:
        """Change one level for each of the draws from ``start`` to before ``stop``."""
        market = self.market
        bids, asks, change = market.bids, market.asks, market.set_background
        draws = zip(
            self._uniform[start:stop], self._distances[start:stop], self._sizes[start:stop], strict=True
        )
        for chance, distance, size in draws:
            is_bid = chance < 0.5
            side = bids if is_bid else asks
            if distance == 0 and ask - bid > 1 and (lean > 0) == is_bid:
                price = bid + 1 if is_bid else ask - 1  # somebody steps into the spread
                other = asks.best if is_bid else bids.best
                if other is None or (price < other if is_bid else price > other):
                    change(side, price, size)
                continue
            # Never crosses: whoever stepped into the spread has looked at the other side.
            price = bid - distance if is_bid else ask + distance
            if price <= 0:
                continue
            leaves = (chance * 2 if is_bid else chance * 2 - 1) < 0.22
            if leaves and price in side.levels and len(side.keys) > LEVELS_MIN:
                change(side, price, 0)
            else:
                change(side, price, size)

    def _trade(self, lean: float, bid: int, ask: int) -> None:
        toward = 0.5 + max(-0.45, min(0.45, lean / (8 * self._step_ticks + 4)))
        buys = self._random.random() < toward
        side = self.market.asks if buys else self.market.bids
        best = ask if buys else bid
        total = side.levels[best].total
        if self._random.random() < 0.35 and len(side.keys) > LEVELS_MIN:
            lots = total  # the level goes, the price moves
        else:
            lots = max(1, min(total, int(self._random.lognormvariate(-1.2, 1.0) * self._typical_lots)))
        self.exchange.background_trade(self.market, "BUY" if buys else "SELL", lots)

    def _keep_depth(self) -> None:
        for side, direction in ((self.market.bids, -1), (self.market.asks, 1)):
            if len(side.keys) < LEVELS_MIN + 30:
                price = side.sign * side.keys[0]
                for _ in range(10):
                    price += direction * self._random.randint(1, 2)
                    if price > 0:
                        self._put(side, price)
            while len(side.keys) > LEVELS_MAX:
                worst = side.sign * side.keys[0]
                if side.levels[worst].background != side.levels[worst].total:
                    break
                self.market.set_background(side, worst, 0)

    def _put(self, side: BookSide, price: int) -> None:
        lots = max(1, int(self._random.lognormvariate(0.3, 1.1) * self._typical_lots))
        self.market.set_background(side, price, lots)

    def _mend(self) -> None:
        """Bring a side back that was traded away."""
        last = self.market.last_price_ticks
        for side, direction in ((self.market.bids, -1), (self.market.asks, 1)):
            if not side.keys:
                for distance in range(1, LEVELS_SEEDED):
                    if last + direction * distance > 0:
                        self._put(side, last + direction * distance)


class Flow:
    """All markets of one product: who moves when, mark prices, funding.

    Args:
        rate: depth batches per second in total, shared out by the markets' activity.
        funding_scale: how many times faster than the calendar funding settles (1 = real).
        changes: levels that a batch changes on average.
    """

    def __init__(
        self, exchange: Exchange, product: str, seed: int, rate: float, funding_scale: int = 1,
        changes: int = CHANGES_MEAN,
    ) -> None:  # fmt: skip
        self.exchange = exchange
        markets = [market for market in exchange.markets.values() if market.spec.product == product]
        self.flows = [
            MarketFlow(
                exchange, market, (seed * 1_000_003 + index * 7_919 + len(product)) & 0x7FFFFFFF, changes
            )
            for index, market in enumerate(markets)
        ]
        self._random = random.Random(seed)
        self._is_perp = product == "perp"
        self._funding_scale = funding_scale
        self._next_mark = 0.0
        self._heap: list[tuple[float, int]] = []
        total = sum(market.spec.activity for market in markets) or 1.0
        self._interval = [total / (rate * market.spec.activity) for market in markets]
        for flow in self.flows:
            flow.seed_book()
        if self._is_perp:
            now = exchange.clock.now_ms()
            for number, market in enumerate(markets):
                market.next_funding_ms = self._next_funding(market, now)
                self._settle_the_past(market, seed * 1_009 + number)
        self._start()

    def _start(self) -> None:
        now = self.exchange.clock.mono()
        self._heap = [
            (now + self._random.random() * interval, index) for index, interval in enumerate(self._interval)
        ]
        heapq.heapify(self._heap)

    def advance(self) -> float:
        """Move markets that are due and publish their batches; return seconds until the next is due.

        What is due beyond ``AT_ONCE`` markets waits for the next call, so that others have their turn.
        """
        now = self.exchange.clock.mono()
        if self._is_perp and now >= self._next_mark:
            self._next_mark = now + 1.0
            self._mark()
        heap = self._heap
        for _ in range(AT_ONCE):
            if not heap or heap[0][0] > now:
                break
            due, index = heapq.heappop(heap)
            flow = self.flows[index]
            flow.step()
            self.exchange.publish(flow.market)
            interval = self._interval[index]
            if self._random.random() < BURST_PROBABILITY:
                for _ in range(self._random.randint(3, 15)):
                    flow.step()
                    self.exchange.publish(flow.market)
            # Poisson arrivals; after a stall the schedule is caught up for a moment, then let go.
            due = max(due + self._random.expovariate(1.0) * interval, now - CATCH_UP_S)
            heapq.heappush(heap, (due, index))
        return max(0.0, heap[0][0] - self.exchange.clock.mono()) if heap else 1.0

    def _mark(self) -> None:
        now = self.exchange.clock.now_ms()
        for flow in self.flows:
            market = flow.market
            bid, _, ask, _ = market.top()
            if bid and ask:
                index = Decimal(bid + ask) / 2 * market.spec.tick_size
                noise = Decimal(str(round(self._random.gauss(0.0, 0.00003), 8)))
                market.index_price = (index * (1 - noise)).quantize(Decimal("1e-8"))
                market.mark_price = ((market.mark_price + 3 * index) / 4).quantize(Decimal("1e-8"))
            premium = (market.mark_price - market.index_price) / market.index_price
            rate = Decimal("0.0001") + max(Decimal("-0.0004"), min(Decimal("0.0004"), premium))
            market.funding_rate = ((market.funding_rate * 9 + rate) / 10).quantize(Decimal("1e-8"))
            market.funding_estimates.append((now, market.funding_rate))
            if now >= market.next_funding_ms:
                self.exchange.settle_funding(market, market.next_funding_ms)
                market.next_funding_ms = self._next_funding(market, now)

    def _settle_the_past(self, market: Market, seed: int) -> None:
        if market.funding_history:
            return
        spec, scale = market.spec, self._funding_scale
        market.funding_history.extend(
            past_settlements(spec.funding_interval_h, market.next_funding_ms, scale, spec.initial_price, seed)
        )

    def set_funding_interval(self, market: Market, hours: int) -> None:
        """Let a contract settle at another interval from now on, as venues do at run time."""
        market.spec = dataclasses.replace(market.spec, funding_interval_h=hours)
        market.next_funding_ms = self._next_funding(market, self.exchange.clock.now_ms())

    def _next_funding(self, market: Market, now_ms: int) -> int:
        interval = market.spec.funding_interval_h * 3_600_000 // self._funding_scale
        return (now_ms // interval + 1) * interval
