"""Streams that come by the clock: mark prices, day statistics, candles.

Source: Binance spot API docs, web-socket-streams; USDⓈ-M docs, "Mark Price Stream", "Kline Streams".
"""

from __future__ import annotations

from engine.sim.binance import tickers
from engine.sim.binance.board import Board, MarketView
from engine.sim.binance.desk import to_json
from engine.sim.binance.payloads import PerpPayloads
from engine.sim.binance.topics import Hub
from engine.sim.tape import INTERVALS_MS, MONTH

MARK_EVERY_S = 3


class SecondStreams:
    """Publishes once a second what somebody listens to."""

    def __init__(self, product: str, board: Board, hub: Hub) -> None:
        self._product = product
        self._hub = hub
        self._rows = [(view, view.symbol.lower()) for view in board]
        self._second = 0
        self._klines: dict[str, int] = {}
        intervals = [name for name in (*INTERVALS_MS, MONTH) if product == "spot" or name != "1s"]
        for _, stream in self._rows:
            for suffix in ("@ticker", "@miniTicker", "@markPrice", "@markPrice@1s"):
                hub.topic(stream + suffix)
            for interval in intervals:
                hub.topic(f"{stream}@kline_{interval}")
        self._intervals = intervals
        for name in ("!markPrice@arr", "!markPrice@arr@1s", "!miniTicker@arr", "!ticker@arr"):
            hub.topic(name)

    def tick(self, now_ms: int) -> None:
        """Publish if a new second has begun."""
        second = now_ms // 1000
        if second == self._second:
            return
        self._second = second
        if self._product == "perp":
            self._marks(now_ms, second)
        self._days(now_ms)
        for view, stream in self._rows:
            for interval in self._intervals:
                topic = self._hub.topic(f"{stream}@kline_{interval}")
                if topic:
                    self._kline(view, interval, topic.name, now_ms)

    def _marks(self, now_ms: int, second: int) -> None:
        aligned = second * 1000
        every_third = second % MARK_EVERY_S == 0
        payloads: list[bytes] = []
        for view, stream in self._rows:
            payload = mark_price(view, aligned)
            payloads.append(payload)
            self._hub.topic(stream + "@markPrice@1s").publish(payload)
            if every_third:
                self._hub.topic(stream + "@markPrice").publish(payload)
        whole = b"[" + b",".join(payloads) + b"]"
        self._hub.topic("!markPrice@arr@1s").publish(whole)
        if every_third:
            self._hub.topic("!markPrice@arr").publish(whole)

    def _days(self, now_ms: int) -> None:
        for suffix, make in (("@ticker", tickers.day_event), ("@miniTicker", tickers.mini_event)):
            whole = self._hub.topic(f"!{suffix[1:]}@arr")
            rows: list[str] = []
            for view, stream in self._rows:
                topic = self._hub.topic(stream + suffix)
                if topic or whole:
                    text = to_json(make(view, now_ms))
                    rows.append(text)
                    topic.publish(text.encode())
            if whole:
                whole.publish(("[" + ",".join(rows) + "]").encode())

    def _kline(self, view: MarketView, interval: str, name: str, now_ms: int) -> None:
        candles = list(view.tape.candles(interval))
        if not candles:
            return
        candle = candles[-1]
        seen = self._klines.get(name, 0)
        state = candle.open_ms * 1_000 + candle.trades
        if seen != state:
            self._klines[name] = state
            event = tickers.kline_event(view, interval, candle, now_ms)
            self._hub.topic(name).publish(to_json(event).encode())


def mark_price(view: MarketView, now_ms: int) -> bytes:
    """Return a ``markPriceUpdate`` of a contract as it stands."""
    market = view.market
    mark, index = f"{market.mark_price:.8f}", f"{market.index_price:.8f}"
    rate = f"{market.funding_rate:.8f}"
    payloads = PerpPayloads(view.symbol, view.symbol)
    return payloads.mark_price(now_ms, mark, mark, index, index, rate, market.next_funding_ms)
