"""Fills the public channels: turns what the exchange does into their messages.

Every batch of a market goes out at once on ``books`` (the flow's cadence follows the chosen rate instead of
the venue's 100 ms). Within a round the venue's order holds: bbo-tbt, books, books5.

Source: OKX v5 docs, "WebSocket / Public Channel", seen 2026-08.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.market import Market
from engine.sim.model import Batch, TradePrint
from engine.sim.okx import quotes
from engine.sim.okx.books import BookChannel
from engine.sim.okx.damage import spoiled
from engine.sim.okx.hub import Hub, Key, dump
from engine.sim.okx.instruments import Instrument, Listing
from engine.sim.tape import Aggregate, Print

BOOKS5_MS = 100
Describe = Callable[[Instrument, int], dict[str, Any]]
PACED: tuple[tuple[str, Describe, int, int, bool], ...] = (
    ("tickers", quotes.ticker, 100, 0, False),
    ("mark-price", quotes.mark_price, 200, 10_000, True),
    ("price-limit", quotes.price_limit, 200, 0, False),
    ("open-interest", quotes.open_interest, 3_000, 0, True),
    ("funding-rate", quotes.funding, 30_000, 30_000, True),
    ("index-tickers", quotes.index_ticker, 100, 60_000, True),
)
"""Channel, object, least pause, pause after which it is repeated unchanged (0: never), swaps only."""

STATUS = {
    "begin": "1764666600000", "end": "1764667800000", "env": "1", "href": "", "maintType": "1",
    "preOpenBegin": "", "scheDesc": "", "serviceType": "0", "state": "completed", "system": "unified",
    "title": "WebSocket scheduled maintenance", "ts": "1764667948527",
}  # fmt: skip


class PacedTopic:
    """A channel that shows one object whenever it has changed, but not more often than its pace."""

    __slots__ = ("_describe", "_hub", "_one", "_pace_ms", "_repeat_ms", "_sent_ms", "_shown", "key")

    def __init__(
        self, hub: Hub, key: Key, one: Instrument, describe: Describe, pace_ms: int, repeat_ms: int
    ) -> None:
        self.key = key
        self._hub = hub
        self._one = one
        self._describe = describe
        self._pace_ms = pace_ms
        self._repeat_ms = repeat_ms
        self._sent_ms = 0
        self._shown: dict[str, Any] = {}

    def message(self, now_ms: int) -> bytes:
        """Return the object as it is now, in its envelope."""
        return self._wrap(self._describe(self._one, now_ms))

    def _wrap(self, shown: dict[str, Any]) -> bytes:
        channel, name = self.key
        return dump({"arg": {"channel": channel, "instId": name}, "data": [shown]})

    def tick(self, now_ms: int) -> None:
        """Publish if somebody listens, the pause is over and something has changed."""
        if not self._hub.has(self.key) or 0 <= now_ms - self._sent_ms < self._pace_ms:
            return
        shown = self._describe(self._one, now_ms)
        is_same = shown | {"ts": ""} == self._shown | {"ts": ""}
        if is_same and not (self._repeat_ms and now_ms - self._sent_ms >= self._repeat_ms):
            return
        self._shown, self._sent_ms = shown, now_ms
        self._hub.push(self.key, self._wrap(shown))


class Feed:
    """The channels of one instrument.

    Attributes:
        trade: the running message of channel ``trades``.
        five_id, five_ms, top_ms: what ``books5`` showed last and when, and when ``bbo-tbt`` was sent.
    """

    def __init__(self, one: Instrument) -> None:
        self.one = one
        self.book = BookChannel(one)
        self.trade: Aggregate | None = None
        self.five_id = self.five_ms = self.top_ms = 0
        self.status = one.market.status


class Channels:
    """Hears the markets and fills the public channels.

    Args:
        faults: fault hooks by product. wake: asks for a `finish_round` soon.
        heartbeat_ms: book channels say at least so often that nothing has changed.
    """

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        hub: Hub,
        faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int],
        wake: Callable[[], None],
        heartbeat_ms: int,
    ) -> None:
        self._heartbeat_ms = heartbeat_ms
        self._exchange = exchange
        self._listing = listing
        self._hub = hub
        self._faults = faults
        self._now_ms = now_ms
        self._wake = wake
        self._feeds = {one.market: Feed(one) for one in listing.all}
        self.books = {one.inst_id: self._feeds[one.market].book for one in listing.all}
        self._held: dict[str, bytes] = {}
        self._tops: dict[Feed, None] = {}
        self._traded: dict[Feed, None] = {}
        self._paced: dict[Key, PacedTopic] = {}
        for channel, describe, pace_ms, repeat_ms, swaps_only in PACED:
            named = listing.indices if channel == "index-tickers" else listing.by_id
            for name, one in named.items():
                if one.is_swap or not swaps_only:
                    key = (channel, name)
                    self._paced[key] = PacedTopic(hub, key, one, describe, pace_ms, repeat_ms)

    def knows(self, key: Key) -> bool:
        """Tell whether there is such a channel of one instrument."""
        channel, name = key
        of_books = channel in ("books", "books5", "bbo-tbt", "trades", "trades-all")
        return key in self._paced or (of_books and name in self._listing.by_id)

    # -- what the exchange tells ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Publish a trade; the matches of one taker at one price are one message of ``trades``."""
        feed = self._feeds[trade.market]
        one = feed.one
        row = Print(
            trade.trade_id, trade.price_ticks, trade.qty_lots, trade.time_ms, trade.taker_side == "SELL"
        )
        if one.tape.add(row, trade.taker_number) is not None and feed.trade is not None:
            self._publish_trade(feed)
        feed.trade = one.tape.aggregates[-1]
        self._traded[feed] = None
        key = ("trades-all", one.inst_id)
        if self._hub.has(key):
            arg = {"channel": "trades-all", "instId": one.inst_id}
            self._hub.push(key, dump({"arg": arg, "data": [quotes.trade(one, row)]}))
        self._wake()

    def on_top(self, market: Market) -> None:
        """Remember that the top changed; it is published before the batch, at the latest this round."""
        self._tops[self._feeds[market]] = None
        self._wake()

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Publish the batch that was just closed."""
        feed = self._feeds[market]
        if feed in self._tops:
            del self._tops[feed]
            self._publish_top(feed)
        key, now = ("books", feed.one.inst_id), self._now_ms()
        text = feed.book.update(batch, now)
        if text is not None and self._hub.has(key):
            faults, payload = self._faults[market.spec.product], text.encode()
            if faults.armed or feed.one.inst_id in self._held:
                frames = spoiled(faults, feed.one.inst_id, self._held, payload, feed.book, now)
                self._hub.push_frames(key, frames)
            else:
                self._hub.push(key, payload)
        self._wake()

    # -- rounds and ticks ----------------------------------------------------------------------------------

    def finish_round(self) -> None:
        """Publish what waits for the end of the round: trades and tops."""
        traded, self._traded = self._traded, {}
        for feed in traded:
            self._publish_trade(feed)
            feed.one.tape.close_aggregate()
        tops, self._tops = self._tops, {}
        for feed in tops:
            self._publish_top(feed)

    def tick(self, now_ms: int) -> None:
        """Publish what is due by the clock."""
        for feed in self._feeds.values():
            one = feed.one
            self._exchange.publish(one.market)
            faults = self._faults[one.market.spec.product]
            if faults.armed:
                self._strike(feed, faults, now_ms)
            if now_ms - feed.book.sent_ms >= self._heartbeat_ms:
                self._hub.push(("books", one.inst_id), feed.book.heartbeat(now_ms).encode())
            if now_ms - feed.top_ms >= self._heartbeat_ms:
                self._publish_top(feed)
            if self._hub.has(("books5", one.inst_id)):
                self._publish_five(feed, now_ms)
            if feed.status != one.market.status:
                feed.status = one.market.status
                arg = {"channel": "instruments", "instType": one.inst_type}
                self._hub.push(("instruments", one.inst_type), dump({"arg": arg, "data": [one.view()]}))
        for topic in self._paced.values():
            topic.tick(now_ms)

    def _strike(self, feed: Feed, faults: FaultPoints, now_ms: int) -> None:
        one = feed.one
        if not self._hub.has(("books", one.inst_id)):
            return
        if faults.take("heartbeat_depth", one.inst_id) is not None:
            self._hub.push(("books", one.inst_id), feed.book.heartbeat(now_ms).encode())
        if (reset := faults.take("reset_sequence", one.inst_id)) is not None:
            feed.book.restart(int(reset.get("first", 3)))

    # -- messages ------------------------------------------------------------------------------------------

    def first_words(self, key: Key) -> bytes | None:
        """Return what a new listener gets first, None for channels that start with a change."""
        channel, name = key
        now = self._now_ms()
        if channel == "status":
            return dump({"arg": {"channel": "status"}, "data": [STATUS]})
        if key in self._paced:
            return self._paced[key].message(now)
        if channel not in ("books", "books5", "bbo-tbt"):
            return None
        book = self.books[name]
        if channel != "books":
            return book.best(channel, 5 if channel == "books5" else 1, now).encode()
        self._exchange.publish(self._listing.by_id[name].market)
        return book.snapshot(now).encode()

    def _publish_trade(self, feed: Feed) -> None:
        row, feed.trade = feed.trade, None
        key = ("trades", feed.one.inst_id)
        if row is not None and self._hub.has(key):
            arg = {"channel": "trades", "instId": feed.one.inst_id}
            self._hub.push(key, dump({"arg": arg, "data": [quotes.trades_row(feed.one, row)]}))

    def _publish_top(self, feed: Feed) -> None:
        key = ("bbo-tbt", feed.one.inst_id)
        feed.top_ms = self._now_ms()
        if self._hub.has(key):
            self._hub.push(key, feed.book.best("bbo-tbt", 1, feed.top_ms).encode())

    def _publish_five(self, feed: Feed, now_ms: int) -> None:
        silent_ms = now_ms - feed.five_ms
        changed = feed.one.market.last_id != feed.five_id
        if (changed and silent_ms >= BOOKS5_MS) or silent_ms >= self._heartbeat_ms:
            feed.five_id, feed.five_ms = feed.one.market.last_id, now_ms
            text = feed.book.best("books5", 5, now_ms)
            self._hub.push(("books5", feed.one.inst_id), text.encode())
