"""Public topics of the unified push sockets.

Source: KuCoin API docs, "UTA / WebSocket / Public", frames recorded 2026-09-22 (futures) and samples of
clients (spot). UNCONFIRMED: whether ``mark-price`` and ``funding-fee`` begin with the current value; here
they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.kucoin.books import Spoiler, Window, best, obu
from engine.sim.kucoin.hub import Hub, Key, Session, binary_frame, to_json
from engine.sim.kucoin.instruments import Instrument, Listing, plain
from engine.sim.kucoin.views import NS
from engine.sim.market import Market
from engine.sim.model import Batch
from engine.sim.sockets import Flushes
from engine.sim.tape import INTERVALS_MS, Print

PART_DEPTHS = (5, 50)
PART_MS = 100
MINUTE_MS = 60_000


class UnifiedStreams:
    """Publishes to the unified public sockets.

    Args:
        faults: fault hooks by product. publish: brings a market's book and its published state together.
        snapshot_delay_s: from a subscription of ``increment@10ms`` to its snapshot.
    """

    def __init__(
        self, listing: Listing, hub: Hub, flushes: Flushes, faults: Mapping[str, FaultPoints],
        publish: Callable[[Market], bool], now_ms: Callable[[], int], snapshot_delay_s: float,
    ) -> None:  # fmt: skip
        self._listing = listing
        self._hub = hub
        self._flushes = flushes
        self._faults = faults
        self._spoilers = {product: Spoiler(points) for product, points in faults.items()}
        self._publish = publish
        self._now_ms = now_ms
        self._snapshot_delay_s = snapshot_delay_s
        self._windows = {one: Window(one) for one in listing.all}
        self._shown: dict[Key, tuple[Window, Instrument]] = {
            ("uta", f"obu.{one.trade_type}.{Window.depth}", one.symbol): (window, one)
            for one, window in self._windows.items()
        }
        self._told = {one: one.market.published_id for one in listing.all}
        self._pending: dict[tuple[Session, Key], asyncio.TimerHandle] = {}
        self._part_ms = self._second = self._minute = 0

    def _now_ns(self) -> int:
        return self._now_ms() * NS

    # --------------------------------------------------------------------------- beginning, ending

    def begin(self, session: Session, key: Key) -> None:
        """Start a topic for a connection; of an unknown symbol nothing ever comes."""
        topic, symbol = key[1], key[2]
        if symbol and symbol not in self._listing.by_symbol:
            return
        if key not in self._shown:
            self._hub.add(session, key)
            if topic in ("mark-price", "funding-fee"):
                one = self._listing.by_symbol[symbol]
                if one.is_futures:
                    message = self._mark(one) if topic == "mark-price" else self._funding(one)
                    session.outlet.send(binary_frame(message))
            return
        delay = self._snapshot_delay_s
        points = self._faults[self._listing.by_symbol[symbol].market.spec.product]
        if points.take("snapshot_error", symbol) is not None:
            return
        if (late := points.take("slow_snapshot", symbol)) is not None:
            delay += delay_s(late, 1000)
        if delay <= 0:
            self._show(session, key)
            return
        timer = asyncio.get_running_loop().call_later(delay, self._show, session, key)
        self._pending[session, key] = timer

    def end(self, session: Session, key: Key) -> None:
        """Forget a snapshot that is still to come."""
        timer = self._pending.pop((session, key), None)
        if timer is not None:
            timer.cancel()

    def _show(self, session: Session, key: Key) -> None:
        """Send the snapshot of a window and let its deltas follow."""
        self._pending.pop((session, key), None)
        window, one = self._shown[key]
        self._publish(one.market)
        if window.is_shown:
            self._advance(key, window, one)
        else:
            window.show()
        # What others are told of this step must leave before this session joins them.
        self._flushes.flush()
        session.outlet.send(binary_frame(window.snapshot(self._now_ns()).encode()))
        self._hub.add(session, key)

    # --------------------------------------------------------------------------------------- books

    def on_batch(self, one: Instrument, batch: Batch) -> None:
        """Publish a batch to the real-time channel and note it for the windows."""
        window = self._windows[one]
        if window.is_shown:
            window.note(batch)
        told, self._told[one] = self._told[one], batch.last_id
        key = ("uta", f"obu.{one.trade_type}.increment", one.symbol)
        if self._hub.has(key):
            bids, asks = sorted(batch.bids.items(), reverse=True), sorted(batch.asks.items())
            text = obu(one, "increment", "delta", told + 1, batch.last_id, self._now_ns(), bids, asks)
            self._push_depth(key, one, text, None)

    def _advance(self, key: Key, window: Window, one: Instrument) -> None:
        text = window.advance(self._now_ns())
        if text is not None:
            self._push_depth(key, one, text, window)

    def _push_depth(self, key: Key, one: Instrument, text: str, window: Window | None) -> None:
        spoiler = self._spoilers[one.market.spec.product]
        payload = text.encode()
        if not spoiler.is_due:
            self._hub.push(key, binary_frame(payload))
            return
        disguised = None if window is None else lambda: window.disguised(self._now_ns())
        for frame in spoiler.frames(key, one.symbol, payload, binary_frame, disguised):
            self._hub.push(key, frame)

    # ----------------------------------------------------------------------------- trades, tickers

    def on_trade(self, one: Instrument, trade: Print) -> None:
        """Publish a trade and the running candles."""
        key = ("uta", f"trade.{one.trade_type}", one.symbol)
        if self._hub.has(key):
            side = "sell" if trade.buyer_is_maker else "buy"
            row = {
                "E": trade.trade_id, "M": trade.traded_ms * NS, "S": side,
                "p": one.price.text(trade.price_ticks), "q": one.size.text(trade.qty_lots),
                "s": one.symbol, "ti": str(trade.trade_id),
            }  # fmt: skip
            self._hub.push(key, binary_frame(_message(f"trade.{one.trade_type}", self._now_ns(), row)))
        for word, length in (("1min", "1m"), ("1hour", "1h"), ("1day", "1d")):
            key = ("uta", f"kline.{one.trade_type}.{word}", one.symbol)
            if self._hub.has(key):
                self._push_candle(key, one, word, length)

    def _push_candle(self, key: Key, one: Instrument, word: str, length: str) -> None:
        candle = list(one.tape.candles(length))[-1]
        market, spec = one.market, one.market.spec
        opened = candle.open_ms // 1000
        row = {
            "s": one.symbol, "i": word, "O": opened, "C": opened + INTERVALS_MS[length] // 1000,
            "o": one.price.text(candle.open), "c": one.price.text(candle.close),
            "h": one.price.text(candle.high), "l": one.price.text(candle.low),
            "v": plain(market.qty(candle.volume)),
            "a": plain(candle.turnover * spec.tick_size * spec.lot_size), "S": "false",
        }  # fmt: skip
        self._hub.push(key, binary_frame(_message(f"kline.{one.trade_type}", self._now_ns(), row)))

    def on_top(self, one: Instrument) -> None:
        """Publish a new best price or size."""
        key = ("uta", f"obu.{one.trade_type}.1", one.symbol)
        if self._hub.has(key):
            self._push_part(key, one, 1)
        key = ("uta", f"ticker.{one.trade_type}", one.symbol)
        if not self._hub.has(key):
            return
        bid, bid_lots, ask, ask_lots = one.market.top()
        trade = one.tape.trades[-1] if one.tape.trades else None
        row = {
            "s": one.symbol, "E": one.market.last_id, "M": self._now_ns(),
            "S": "SELL" if trade and trade.buyer_is_maker else "BUY", "a": one.price.text(ask),
            "A": one.size.text(ask_lots), "b": one.price.text(bid), "B": one.size.text(bid_lots),
            "l": one.price.text(one.market.last_price_ticks),
            "q": one.size.text(trade.qty_lots) if trade else "0",
        }  # fmt: skip
        self._hub.push(key, binary_frame(_message(f"ticker.{one.trade_type}", self._now_ns(), row)))

    def _push_part(self, key: Key, one: Instrument, depth: int) -> None:
        market = one.market
        number = market.last_id if depth == 1 else market.published_id
        bids, asks = best(market.bids, depth), best(market.asks, depth)
        text = obu(one, str(depth), "snapshot", number, number, self._now_ns(), bids, asks)
        self._hub.push(key, binary_frame(text.encode()))

    # ----------------------------------------------------------------------------------- by the clock

    def tick(self) -> None:
        """Publish what is due: windows every tick, part books, marks and funding at their pace."""
        hub, now = self._hub, self._now_ms()
        for key, (window, one) in self._shown.items():
            if window.is_shown:
                if hub.has(key):
                    self._advance(key, window, one)
                else:
                    window.is_shown = False
        if now - self._part_ms >= PART_MS or now < self._part_ms:
            self._part_ms = now
            for one in self._listing.all:
                for depth in PART_DEPTHS:
                    key = ("uta", f"obu.{one.trade_type}.{depth}", one.symbol)
                    if hub.has(key):
                        self._push_part(key, one, depth)
        if now // 1000 != self._second:
            self._second = now // 1000
            self._push_each("mark-price", self._mark)
        minute = (now - 1000) // MINUTE_MS
        if minute != self._minute:
            self._minute = minute
            self._push_each("funding-fee", self._funding)
            key = ("uta", "funding-fee-all-symbols", "")
            if hub.has(key):
                rows = [self._funding_row(one) for one in self._listing.of(True)]
                hub.push(key, binary_frame(_message(key[1], self._now_ns(), rows)))

    def _push_each(self, topic: str, make: Callable[[Instrument], bytes]) -> None:
        for one in self._listing.of(True):
            key = ("uta", topic, one.symbol)
            if self._hub.has(key):
                self._hub.push(key, binary_frame(make(one)))

    def _mark(self, one: Instrument) -> bytes:
        market, now = one.market, self._now_ms()
        row = {
            "s": one.symbol, "mp": plain(market.mark_price), "ip": plain(market.index_price),
            "oi": str(market.open_interest_lots), "ts": now - now % 1000,
        }  # fmt: skip
        return _message("mark-price", self._now_ns(), row)

    def _funding(self, one: Instrument) -> bytes:
        return _message("funding-fee", self._now_ns(), self._funding_row(one))

    def _funding_row(self, one: Instrument) -> dict[str, object]:
        due, granularity = one.market.next_funding_ms, one.funding_granularity_ms()
        return {
            "s": one.symbol, "fr": plain(one.market.funding_rate), "ft": due - granularity,
            "lfr": plain(one.last_rate()), "nt": due, "gl": granularity, "fc": "0.003", "ff": "-0.003",
        }  # fmt: skip


def _message(topic: str, now_ns: int, row: object) -> bytes:
    """Return a push, spaced as recorded."""
    return f'{{"T":"{topic}", "P":{now_ns + 102_278}, "d":'.encode() + to_json(row) + b"}"
