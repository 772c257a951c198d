"""What has traded on one market: last trades, aggregated trades, candles, averages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

KEPT_TRADES = 5_000
KEPT_MINUTES = 1_500
MINUTE_MS = 60_000

INTERVALS_MS = {
    "1s": 1_000, "1m": 60_000, "3m": 180_000, "5m": 300_000, "15m": 900_000, "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000, "4h": 14_400_000, "6h": 21_600_000, "8h": 28_800_000, "12h": 43_200_000,
    "1d": 86_400_000,
    "3d": 259_200_000, "1w": 604_800_000,
}  # fmt: skip
MONTH = "1M"


@dataclass(frozen=True, slots=True)
class Print:
    """One trade, as the public sees it."""

    trade_id: int
    price_ticks: int
    qty_lots: int
    traded_ms: int
    buyer_is_maker: bool


@dataclass(slots=True)
class Aggregate:
    """The trades of one taker at one price and moment."""

    agg_id: int
    price_ticks: int
    qty_lots: int
    first_id: int
    last_id: int
    traded_ms: int
    buyer_is_maker: bool


@dataclass(slots=True)
class Candle:
    """Trades of one interval starting at ``open_ms``; ``volume`` in lots, ``turnover`` in ticks × lots."""

    open_ms: int
    first_id: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    turnover: int = 0
    trades: int = 0
    taker_buy_volume: int = 0
    taker_buy_turnover: int = 0

    def add(self, other: Candle) -> None:
        """Append a later candle to this one."""
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        self.close = other.close
        self.volume += other.volume
        self.turnover += other.turnover
        self.trades += other.trades
        self.taker_buy_volume += other.taker_buy_volume
        self.taker_buy_turnover += other.taker_buy_turnover


class Tape:
    """The trades of one market, bounded in memory."""

    __slots__ = ("_aggregate_id", "_taker", "aggregates", "minutes", "trades")

    def __init__(self) -> None:
        self.trades: deque[Print] = deque(maxlen=KEPT_TRADES)
        self.aggregates: deque[Aggregate] = deque(maxlen=KEPT_TRADES)
        self.minutes: deque[Candle] = deque(maxlen=KEPT_MINUTES)
        self._aggregate_id = 0
        self._taker = -1

    def add(self, trade: Print, taker: int) -> Aggregate | None:
        """Book one trade.

        Args:
            trade: the trade.
            taker: number of the taking order; its consecutive fills at one price are one aggregate.

        Returns:
            The aggregate that this trade has **closed**, if it began a new one.
        """
        self.trades.append(trade)
        self._book_candle(trade)
        last = self.aggregates[-1] if self.aggregates else None
        if (
            last is not None
            and taker == self._taker
            and last.price_ticks == trade.price_ticks
            and last.traded_ms == trade.traded_ms
        ):
            last.qty_lots += trade.qty_lots
            last.last_id = trade.trade_id
            return None
        self._taker = taker
        self._aggregate_id += 1
        self.aggregates.append(
            Aggregate(
                self._aggregate_id, trade.price_ticks, trade.qty_lots, trade.trade_id, trade.trade_id,
                trade.traded_ms, trade.buyer_is_maker,
            )
        )  # fmt: skip
        return last

    def close_aggregate(self) -> None:
        """End the running aggregate: the next trade begins a new one."""
        self._taker = -1

    def last_price_ticks(self) -> int | None:
        """Return the price of the last trade."""
        return self.trades[-1].price_ticks if self.trades else None

    def average(self, now_ms: int, minutes: int = 5) -> tuple[int, int]:
        """Return (ticks × lots, lots) of the last ``minutes``; the quotient is the average price."""
        since = now_ms - minutes * MINUTE_MS
        turnover = volume = 0
        for candle in reversed(self.minutes):
            if candle.open_ms + MINUTE_MS <= since:
                break
            turnover += candle.turnover
            volume += candle.volume
        return turnover, volume

    def day(self, now_ms: int) -> Candle | None:
        """Return the last 24 hours as one candle, None without a trade."""
        kept = [candle for candle in self.minutes if candle.open_ms > now_ms - 86_400_000]
        return _join(kept[0].open_ms, kept) if kept else None

    def candles(self, interval: str) -> Iterator[Candle]:
        """Yield the candles of an interval, oldest first; intervals without a trade are absent."""
        group: list[Candle] = []
        start = -1
        for candle in self._seconds() if interval == "1s" else self.minutes:
            opened = interval_start(interval, candle.open_ms)
            if opened != start and group:
                yield _join(start, group)
                group = []
            start = opened
            group.append(candle)
        if group:
            yield _join(start, group)

    def _seconds(self) -> Iterator[Candle]:
        return (_candle(trade, trade.traded_ms - trade.traded_ms % 1000) for trade in self.trades)

    def _book_candle(self, trade: Print) -> None:
        opened = trade.traded_ms - trade.traded_ms % MINUTE_MS
        one = _candle(trade, opened)
        if self.minutes and self.minutes[-1].open_ms == opened:
            self.minutes[-1].add(one)
        else:
            self.minutes.append(one)


def interval_start(interval: str, at_ms: int) -> int:
    """Return the start of the interval that holds ``at_ms`` (UTC; weeks start on Monday)."""
    if interval == MONTH:
        moment = datetime.fromtimestamp(at_ms / 1000, UTC)
        return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()) * 1000
    length = INTERVALS_MS[interval]
    offset = 4 * 86_400_000 if interval == "1w" else 0
    return at_ms - (at_ms - offset) % length


def _candle(trade: Print, opened: int) -> Candle:
    turnover = trade.price_ticks * trade.qty_lots
    bought = not trade.buyer_is_maker
    return Candle(
        opened, trade.trade_id, trade.price_ticks, trade.price_ticks, trade.price_ticks, trade.price_ticks,
        trade.qty_lots, turnover, 1, trade.qty_lots if bought else 0, turnover if bought else 0,
    )  # fmt: skip


def _join(start: int, group: list[Candle]) -> Candle:
    first = group[0]
    joined = Candle(start, first.first_id, first.open, first.high, first.low, first.close)
    for candle in group:
        joined.add(candle)
    return joined
