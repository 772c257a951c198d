"""Public pushes of one product: depth streams, trades, tickers, candles, funding."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.sim.bitmart.books import DeltaStream, Stream, WholeStream, spoiled
from engine.sim.bitmart.frames import to_json
from engine.sim.bitmart.hub import Hub, Session
from engine.sim.bitmart.instruments import Instrument, Listing
from engine.sim.bitmart.quotes import (
    candle_push,
    funding_push,
    futures_book_ticker,
    futures_ticker,
    futures_trades_push,
    spot_book_ticker,
    spot_ticker_push,
    spot_trade_push,
)
from engine.sim.bitmart.topics import Topic
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.market import Market
from engine.sim.model import Batch, TradePrint
from engine.sim.sockets import Flushes
from engine.sim.tape import Print

TICKER_MS = 500
FUNDING_MS = 60_000
SPOT_WHOLE_MS = 500
TRADES_MOST = 200


@dataclass(frozen=True, slots=True)
class Paces:
    """Least time between two pushes.

    Attributes:
        book_ms: of books and best prices where the topic names no speed; 0: every change. A speed in the
            topic is the least time unless this is longer (the venue pushed once a second in 2026-09) or 0.
    """

    book_ms: int = 100

    def of(self, topic: Topic) -> int:
        """Return the pace of a depth topic."""
        if topic.kind == "whole":
            return max(SPOT_WHOLE_MS, self.book_ms)
        return max(topic.speed_ms, self.book_ms) if self.book_ms else 0


class Feed:
    """Publishes what happens on one product's markets.

    Args:
        flushes: the rounds of the product's connections. wake: asks for a round soon.

    Attributes:
        streams: depth streams by topic, made when first asked for.
    """

    def __init__(
        self, product: str, exchange: Exchange, listing: Listing, hub: Hub, flushes: Flushes,
        faults: FaultPoints, paces: Paces, wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._hub = hub
        self._flushes = flushes
        self._faults = faults
        self._paces = paces
        self._wake = wake
        self._is_spot = product == "spot"
        self._all = listing.of(product)
        self.streams: dict[str, Stream] = {}
        self._running: dict[Market, list[DeltaStream]] = {one.market: [] for one in self._all}
        self._traded: dict[Instrument, list[Print]] = {}
        self._quoted: dict[str, object] = {}
        self._quoted_ms: dict[str, int] = {}

    # ------------------------------------------------------------------------------- subscriptions

    def stream(self, topic: Topic) -> Stream:
        """Return the stream of a depth topic, made when first asked for."""
        stream = self.streams.get(topic.name)
        if stream is None:
            assert topic.one is not None
            pace = self._paces.of(topic)
            if topic.kind == "delta":
                number = sum(each.one is topic.one for each in self.streams.values())
                stream = DeltaStream(topic.one, topic.name, topic.depth, pace, number)
            else:
                form = "spot" if topic.kind == "whole" else topic.kind
                stream = WholeStream(topic.one, topic.name, topic.depth, pace, form)
            self.streams[topic.name] = stream
        return stream

    def begin(self, session: Session, topic: Topic) -> None:
        """Subscribe, and send what the topic begins with."""
        if topic.kind in ("delta", "whole", "side", "all"):
            stream = self.stream(topic)
            is_new = not self._hub.has(("", topic.name))
            self._exchange.publish(stream.one.market)
            if is_new:
                stream.begin()
                if isinstance(stream, DeltaStream):
                    self._running[stream.one.market].append(stream)
            self._first(session, topic, stream)
            return
        for payload in self._first_words(topic):
            session.send_frame(self._hub.pack(payload))
        self._hub.add(session, topic)

    def _first(self, session: Session, topic: Topic, stream: Stream) -> None:
        """Send a depth topic's first push, in step with what the others are told."""
        symbol = stream.one.symbol
        if (late := self._faults.take("slow_snapshot", symbol)) is not None:
            self._hub.add(session, topic)
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s(late, 1000), self._first_late, session, topic, stream)
            return
        now = self._exchange.clock.now_ms()
        if isinstance(stream, DeltaStream) and self._faults.take("stale_snapshot", symbol) is not None:
            payloads = [stream.stale_snapshot(now)]
        else:
            self._advance(stream, now)
            # What others are told of this step must leave before this connection joins them.
            self._flushes.flush()
            payloads = stream.first(now)
        for payload in payloads:
            session.send_frame(self._hub.pack(payload))
        self._hub.add(session, topic)

    def _first_late(self, session: Session, topic: Topic, stream: Stream) -> None:
        if topic.name in session.topics:
            self._first(session, topic, stream)
            self._flushes.flush()

    def request(self, session: Session, topic: Topic) -> bool:
        """Answer a ``request``: a fresh snapshot, or funding; False where a fault refuses it."""
        if topic.kind != "delta":
            for payload in self._first_words(topic):
                session.send_frame(self._hub.pack(payload))
            return True
        stream = self.stream(topic)
        if self._faults.take("snapshot_error", stream.one.symbol) is not None:
            return False
        self._exchange.publish(stream.one.market)
        self._first(session, topic, stream)
        return True

    def left(self, topic: Topic) -> None:
        """Stop what nobody listens to any more."""
        stream = self.streams.get(topic.name)
        if isinstance(stream, DeltaStream) and not self._hub.has(("", topic.name)):
            stream.held, stream.has_lost = None, False
            running = self._running[stream.one.market]
            if stream in running:
                running.remove(stream)

    def _first_words(self, topic: Topic) -> list[bytes]:
        one, now = topic.one, self._exchange.clock.now_ms()
        if topic.kind == "tickers":
            return [self._ticker(each, topic.name, now) for each in self._all]
        if one is None:
            return []
        if topic.kind == "ticker":
            return [self._ticker(one, topic.name, now)]
        if topic.kind == "book_ticker":
            return [self._book_ticker(one, topic.name, now)]
        if topic.kind == "funding":
            return [to_json({"data": funding_push(one, now), "group": topic.name})]
        if topic.kind == "kline" and (candles := list(one.tape.candles(topic.step))):
            return [to_json(candle_push(one, candles[-1], topic.name))]
        if topic.kind == "trade" and self._is_spot and one.tape.trades:
            return [self._trades(one, [one.tape.trades[-1]])]
        return []

    # ---------------------------------------------------------------------------------------- books

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed: streams without a pace follow at once."""
        for stream in self._running[market]:
            stream.note(batch)
            if stream.pace_ms == 0:
                self._advance(stream, self._exchange.clock.now_ms())
                self._wake()

    def _advance(self, stream: Stream, now: int) -> None:
        for payload in stream.advance(now):
            self._publish(stream, payload, now)

    def _publish(self, stream: Stream, payload: bytes, now: int) -> None:
        symbol = stream.one.symbol
        if isinstance(stream, DeltaStream) and (
            self._faults.armed or stream.has_lost or stream.held is not None
        ):
            frames = spoiled(self._faults, stream, payload, self._hub.pack, now)
            self._hub.publish_frames(stream.topic, symbol, frames)
        else:
            self._hub.publish(stream.topic, symbol, payload)

    def restart(self, one: Instrument) -> None:
        """Begin an instrument's delta streams again, unasked."""
        self._exchange.publish(one.market)
        now = self._exchange.clock.now_ms()
        for stream in self._running[one.market]:
            self._hub.publish(stream.topic, one.symbol, stream.restart(now))

    # -------------------------------------------------------------------------------------- by clock

    def tick(self, now: int) -> None:
        """Push what is due."""
        for (owner, name), listeners in list(self._hub.listeners.items()):
            if owner or not listeners:
                continue
            stream = self.streams.get(name)
            if stream is not None:
                if not 0 <= now - stream.sent_ms < stream.pace_ms:
                    self._exchange.publish(stream.one.market)
                    self._advance(stream, now)
                continue
            topic = next(iter(listeners)).topics[name]
            if topic.kind == "tickers":
                for one in self._all:
                    self._quote(topic, one, now)
            elif topic.one is not None:
                self._quote(topic, topic.one, now)

    def _quote(self, topic: Topic, one: Instrument, now: int) -> None:
        """Push a ticker, best prices, funding or a candle, where it is due and says something new."""
        pace = {"funding": FUNDING_MS, "book_ticker": self._paces.book_ms}.get(topic.kind, TICKER_MS)
        key = f"{topic.name} {one.symbol}"
        if topic.kind in ("trade", "silent") or 0 <= now - self._quoted_ms.get(key, 0) < pace:
            return
        row: object
        if topic.kind == "book_ticker":
            payload, row = b"", one.market.top()
        elif topic.kind == "funding":
            payload, row = to_json({"data": funding_push(one, now), "group": topic.name}), now
        elif topic.kind == "kline":
            candle = next(reversed(list(one.tape.candles(topic.step))), None)
            if candle is None:
                return
            payload = row = to_json(candle_push(one, candle, topic.name))
        else:
            quote = spot_ticker_push(one, now) if self._is_spot else futures_ticker(one, now)
            row = {name: value for name, value in quote.items() if name not in ("ms_t", "s_t")}
            payload = self._wrapped(topic.name, quote)
        self._quoted_ms[key] = now
        if self._quoted.get(key) == row:
            return
        self._quoted[key] = row
        payload = payload or self._book_ticker(one, topic.name, now)
        self._hub.publish(topic.name, one.symbol, payload)

    def _wrapped(self, topic: str, row: Mapping[str, Any]) -> bytes:
        if self._is_spot:
            return to_json({"data": [row], "table": topic.partition(":")[0]})
        return to_json({"data": row, "group": topic})

    def _ticker(self, one: Instrument, topic: str, now: int) -> bytes:
        row = spot_ticker_push(one, now) if self._is_spot else futures_ticker(one, now)
        return self._wrapped(topic, row)

    def _book_ticker(self, one: Instrument, topic: str, now: int) -> bytes:
        row = spot_book_ticker(one, now) if self._is_spot else futures_book_ticker(one, now)
        return self._wrapped(topic, row)

    # --------------------------------------------------------------------------------------- trades

    def on_trade(self, one: Instrument, trade: TradePrint) -> None:
        """Book a public trade; those of one round are one push."""
        buyer_is_maker = trade.taker_side == "SELL"
        row = Print(trade.trade_id, trade.price_ticks, trade.qty_lots, trade.time_ms, buyer_is_maker)
        one.tape.add(row, trade.taker_number)
        if self._hub.has(("", f"{'spot' if self._is_spot else 'futures'}/trade:{one.symbol}")):
            self._traded.setdefault(one, []).append(row)
            self._wake()

    def deliver_trades(self) -> None:
        """Push the trades of the round."""
        traded, self._traded = self._traded, {}
        for one, rows in traded.items():
            topic = f"{'spot' if self._is_spot else 'futures'}/trade:{one.symbol}"
            for start in range(0, len(rows), TRADES_MOST):
                payload = self._trades(one, rows[start : start + TRADES_MOST])
                self._hub.publish(topic, one.symbol, payload)

    def _trades(self, one: Instrument, rows: list[Print]) -> bytes:
        if self._is_spot:
            return to_json({"table": "spot/trade", "data": [spot_trade_push(one, row) for row in rows]})
        topic = f"futures/trade:{one.symbol}"
        return to_json({"data": futures_trades_push(one, rows), "group": topic})
