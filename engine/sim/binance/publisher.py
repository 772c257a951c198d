"""Publishes one product's market streams: turns what the exchange does into topics' frames.

Every batch of a market goes out at once on its fast depth streams (the flow's cadence follows the chosen
rate); slower streams collect batches until their interval is over, several changes of one level being one.
A bookTicker stands before the batch that holds it. Nothing is sent when nothing changed.

Source: Binance spot API docs, web-socket-streams; USDⓈ-M docs, "Websocket Market Streams".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.sim.binance import damage
from engine.sim.binance.board import Board, MarketView
from engine.sim.binance.payloads import PerpPayloads, SpotPayloads
from engine.sim.binance.topics import Hub, Topic
from engine.sim.faultpoints import FaultPoints
from engine.sim.market import Market
from engine.sim.model import Batch, TradePrint
from engine.sim.tape import Aggregate, Print
from engine.sim.texts import level_texts

FAST = {"spot": ("@depth@100ms",), "perp": ("@depth@100ms", "@depth@0ms")}
SLOW_MS = {
    "spot": (("@depth", 1000),),
    "perp": (("@depth", 250), ("@depth@250ms", 250), ("@depth@500ms", 500)),
}
PARTIAL_MS = {
    "spot": (("", 1000), ("@100ms", 100)),
    "perp": (("", 250), ("@100ms", 100), ("@250ms", 250), ("@500ms", 500)),
}
PARTIAL_LEVELS = (5, 10, 20)


class SlowDepth:
    """A depth stream slower than the batches: collects them while somebody listens."""

    __slots__ = ("asks", "bids", "due_ms", "first", "interval_ms", "last", "previous", "sent", "topic")

    def __init__(self, topic: Topic, interval_ms: int) -> None:
        self.topic = topic
        self.interval_ms = interval_ms
        self.due_ms = 0
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.first = self.last = self.previous = self.sent = 0

    def add(self, batch: Batch) -> None:
        """Collect a batch."""
        if self.first == 0:
            self.first = batch.first_id
            self.previous = batch.previous_last_id
        self.last = batch.last_id
        self.bids.update(batch.bids)
        self.asks.update(batch.asks)

    def clear(self) -> None:
        """Start collecting anew."""
        self.first = 0
        self.bids, self.asks = {}, {}


class PartialDepth:
    """A stream of the best levels, sent whole when the book has changed and the interval is over."""

    __slots__ = ("due_ms", "interval_ms", "levels", "previous", "sent", "topic")

    def __init__(self, topic: Topic, levels: int, interval_ms: int) -> None:
        self.topic = topic
        self.levels = levels
        self.interval_ms = interval_ms
        self.due_ms = 0
        self.sent = 0
        self.previous = 0


class Channels:
    """The topics of one market."""

    __slots__ = (
        "agg_trade",
        "book_ticker",
        "fast",
        "held",
        "partial",
        "payloads",
        "slow",
        "top_id",
        "trade",
        "view",
    )

    def __init__(self, hub: Hub, view: MarketView) -> None:
        stream = view.symbol.lower()
        product = view.product
        self.view = view
        self.payloads: SpotPayloads | PerpPayloads = (
            SpotPayloads(view.symbol) if product == "spot" else PerpPayloads(view.symbol, view.symbol)
        )
        self.fast = [hub.topic(stream + suffix) for suffix in FAST[product]]
        self.slow = [SlowDepth(hub.topic(stream + suffix), ms) for suffix, ms in SLOW_MS[product]]
        self.partial = [
            PartialDepth(hub.topic(f"{stream}@depth{levels}{suffix}"), levels, ms)
            for levels in PARTIAL_LEVELS
            for suffix, ms in PARTIAL_MS[product]
        ]
        self.trade = hub.topic(stream + "@trade")
        self.agg_trade = hub.topic(stream + "@aggTrade")
        self.book_ticker = hub.topic(stream + "@bookTicker")
        self.top_id = 0
        self.held: bytes | None = None

    def partial_as_diff(self) -> bytes:
        """Return the best five levels as the partial stream would send them."""
        return self.partial_payload(5, self.view.market.published_id, 0)

    def partial_payload(self, levels: int, previous: int, now_ms: int) -> bytes:
        """Return the best levels; ``previous`` is the id of the stream's last event (futures)."""
        last = self.view.market.published_id
        bids, asks = self.view.snapshot(levels)
        if isinstance(self.payloads, SpotPayloads):
            return self.payloads.partial(last, bids, asks)
        return self.payloads.depth(now_ms, now_ms, min(previous + 1, last), last, previous, bids, asks)


class Publisher:
    """Hears one product's markets and fills the topics.

    Args:
        board: the markets.
        hub: the topics.
        faults: the product's fault hooks.
        now_ms: the venue's clock.
        wake: asks for a `finish_round` soon.
    """

    def __init__(
        self, board: Board, hub: Hub, faults: FaultPoints, now_ms: Callable[[], int], wake: Callable[[], None]
    ) -> None:
        self.channels = {view.symbol: Channels(hub, view) for view in board}
        self._all_book_tickers = hub.topic("!bookTicker")
        self._faults = faults
        self._now_ms = now_ms
        self._wake = wake
        self._new_tops: dict[Channels, None] = {}
        self._open_aggregates: dict[Channels, None] = {}
        self.diffs_published = 0

    # -- what the exchange tells ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Publish a trade and book it on the tape."""
        channels = self.channels[trade.market.spec.symbol]
        view = channels.view
        buyer_is_maker = trade.taker_side == "SELL"
        row = Print(trade.trade_id, trade.price_ticks, trade.qty_lots, trade.time_ms, buyer_is_maker)
        closed = view.tape.add(row, trade.taker_number)
        if closed is not None and channels in self._open_aggregates:
            self._publish_aggregate(channels, closed)
        self._open_aggregates[channels] = None
        if channels.trade:
            price, qty = view.price.text(row.price_ticks), view.qty.text(row.qty_lots)
            now = self._now_ms()
            channels.trade.publish(
                channels.payloads.trade(now, row.trade_id, price, qty, row.traded_ms, buyer_is_maker)
            )
        self._wake()

    def on_top(self, market: Market) -> None:
        """Remember that the top changed; it is published before the batch, at the latest this round."""
        channels = self.channels[market.spec.symbol]
        channels.top_id = market.last_id
        self._new_tops[channels] = None
        self._wake()

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Publish a batch on the fast streams and collect it for the slow ones."""
        channels = self.channels[market.spec.symbol]
        channels.view.recent_ids.append(batch.last_id)
        if channels in self._new_tops:
            del self._new_tops[channels]
            self._publish_top(channels)
        listening = [topic for topic in channels.fast if topic]
        if listening:
            frame = self._depth(
                channels, batch.first_id, batch.last_id, batch.previous_last_id, batch.bids, batch.asks
            )
            if self._faults.armed or channels.held is not None:
                damage.publish_depth(self._faults, channels.view.symbol, channels, listening, frame)
            else:
                for topic in listening:
                    topic.publish(frame)
            self.diffs_published += 1
            self._wake()
        for slow in channels.slow:
            if slow.topic:
                slow.add(batch)
            elif slow.first:
                slow.clear()

    def finish_round(self) -> None:
        """Publish what waits for the end of the round: tops and aggregated trades."""
        if self._open_aggregates:
            for channels in self._open_aggregates:
                self._publish_aggregate(channels, channels.view.tape.aggregates[-1])
                channels.view.tape.close_aggregate()
            self._open_aggregates.clear()
        if self._new_tops:
            for channels in self._new_tops:
                self._publish_top(channels)
            self._new_tops.clear()

    def tick(self, now_ms: int) -> None:
        """Publish slow and partial depth streams whose interval is over."""
        for channels in self.channels.values():
            for slow in channels.slow:
                if slow.first and now_ms >= slow.due_ms:
                    slow.due_ms = now_ms - now_ms % slow.interval_ms + slow.interval_ms
                    slow.topic.publish(
                        self._depth(channels, slow.first, slow.last, slow.previous, slow.bids, slow.asks)
                    )
                    slow.clear()
            for partial in channels.partial:
                if partial.topic and now_ms >= partial.due_ms:
                    partial.due_ms = now_ms - now_ms % partial.interval_ms + partial.interval_ms
                    self._publish_partial(channels, partial, now_ms)

    # -- frames --------------------------------------------------------------------------------------------

    def _depth(
        self,
        channels: Channels,
        first: int,
        last: int,
        previous: int,
        bids: Mapping[int, int],
        asks: Mapping[int, int],
    ) -> bytes:
        view, payloads, now = channels.view, channels.payloads, self._now_ms()
        bid_texts = level_texts(view.price, view.qty, sorted(bids.items(), reverse=True))
        ask_texts = level_texts(view.price, view.qty, sorted(asks.items()))
        if isinstance(payloads, SpotPayloads):
            return payloads.depth(now, first, last, bid_texts, ask_texts)
        return payloads.depth(now, now, first, last, previous, bid_texts, ask_texts)

    def _publish_top(self, channels: Channels) -> None:
        to_all = self._all_book_tickers and isinstance(channels.payloads, PerpPayloads)
        if not channels.book_ticker and not to_all:
            return
        view = channels.view
        bid, bid_lots, ask, ask_lots = view.market.top()
        if not bid or not ask:
            return
        texts = view.price.text(bid), view.qty.text(bid_lots), view.price.text(ask), view.qty.text(ask_lots)
        payloads = channels.payloads
        if isinstance(payloads, SpotPayloads):
            payload = payloads.book_ticker(channels.top_id, *texts)
        else:
            now = self._now_ms()
            payload = payloads.book_ticker(now, now, channels.top_id, *texts)
        channels.book_ticker.publish(payload)
        if to_all:
            self._all_book_tickers.publish(payload)

    def _publish_aggregate(self, channels: Channels, row: Aggregate) -> None:
        if channels.agg_trade:
            view = channels.view
            channels.agg_trade.publish(
                channels.payloads.agg_trade(
                    self._now_ms(), row.agg_id, view.price.text(row.price_ticks), view.qty.text(row.qty_lots),
                    row.first_id, row.last_id, row.traded_ms, row.buyer_is_maker,
                )
            )  # fmt: skip

    def _publish_partial(self, channels: Channels, partial: PartialDepth, now_ms: int) -> None:
        market = channels.view.market
        last = market.published_id
        if last == partial.sent:
            return
        if market.last_id != last:
            return  # between two batches: wait for the batch, so that the ids mean the same everywhere
        payload = channels.partial_payload(partial.levels, partial.sent or last, now_ms)
        partial.sent = last
        partial.topic.publish(payload)
