"""Public topics of the classic sockets.

Source: KuCoin API docs, public WebSocket topics of spot and futures; frames recorded in 2021-04 (spot),
2024-01 and on 2026-09-22 (futures). Funding: ``granularity`` tells the minute's estimate from the settled
rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.books import BUNDLE_EVERY, Spoiler, best, futures_frames, pairs, spot_frames
from engine.sim.kucoin.hub import Hub, Key, to_json
from engine.sim.kucoin.instruments import Instrument, Listing, number
from engine.sim.kucoin.market_queries import CANDLES, MarketQueries
from engine.sim.kucoin.views import NS
from engine.sim.model import Batch
from engine.sim.sockets import text_frame
from engine.sim.tape import Print

PART_MS = 100
MINUTE_MS = 60_000
SPOT_SNAPSHOT_S = 2
FUTURES_SNAPSHOT_S = 5


class ClassicStreams:
    """Publishes to the classic public sockets.

    Args:
        faults: fault hooks by product. markets: knows the day's statistics.
    """

    def __init__(
        self, listing: Listing, hub: Hub, faults: Mapping[str, FaultPoints], markets: MarketQueries,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._listing = listing
        self._hub = hub
        self._spoilers = {product: Spoiler(points) for product, points in faults.items()}
        self._markets = markets
        self._now_ms = now_ms
        self._told = {one: one.market.published_id for one in listing.all}
        self._batches = 0
        self._tops: dict[Instrument, None] = {}
        self._traded: dict[Instrument, Print] = {}
        self._settled: dict[Instrument, int] = {}
        self._part_ms = self._second = self._minute = 0

    def _push(self, key: Key, subject: str, data: Mapping[str, Any], **more: Any) -> None:
        message = {"topic": key[1], "type": "message", "subject": subject, **more, "data": data}
        self._hub.push(key, text_frame(to_json(message)))

    # ------------------------------------------------------------------------------------------ books

    def on_batch(self, one: Instrument, batch: Batch) -> None:
        """Publish a batch to the incremental book."""
        told, self._told[one] = self._told[one], batch.last_id
        host, topic = ("futures", "/contractMarket/level2") if one.is_futures else ("spot", "/market/level2")
        key = (host, f"{topic}:{one.symbol}", one.symbol)
        if not self._hub.has(key):
            return
        self._batches += 1
        if one.is_futures:
            texts = futures_frames(one, batch, told, self._now_ms())
        else:
            texts = spot_frames(one, batch, told, self._now_ms(), self._batches % BUNDLE_EVERY == 0)
        spoiler = self._spoilers[one.market.spec.product]
        if not spoiler.is_due:
            self._hub.push(key, b"".join([text_frame(text.encode()) for text in texts]), len(texts))
            return
        for text in texts:
            for frame in spoiler.frames(key, one.symbol, text.encode(), text_frame):
                self._hub.push(key, frame)

    def _push_part(self, one: Instrument, depth: int) -> None:
        base = "/contractMarket" if one.is_futures else "/spotMarket"
        topic, now, market = f"{base}/level2Depth{depth}:{one.symbol}", self._now_ms(), one.market
        key = ("futures" if one.is_futures else "spot", topic, one.symbol)
        if not self._hub.has(key):
            return
        bids, asks = best(market.bids, depth), best(market.asks, depth)
        head = f'{{"topic":"{topic}","type":"message","subject":"level2",'
        if one.is_futures:
            sides = [
                ",".join(f'["{one.price.text(ticks)}",{one.size.text(lots)}]' for ticks, lots in side)
                for side in (asks, bids)
            ]
            text = (
                f'{head}"sn":{now},"data":{{"sequence":{market.published_id},"asks":[{sides[0]}],'
                f'"bids":[{sides[1]}],"timestamp":{now},"ts":{now}}}}}'
            )
        else:
            text = (
                f'{head}"data":{{"asks":[{pairs(one.price, one.size, asks)}],'
                f'"bids":[{pairs(one.price, one.size, bids)}],"timestamp":{now}}}}}'
            )
        self._hub.push(key, text_frame(text.encode()))

    # -------------------------------------------------------------------------------- trades, tickers

    def on_trade(self, one: Instrument, trade: Print) -> None:
        """Publish a trade and the candles that it changed."""
        self._traded[one] = trade
        if one.is_futures:
            self._futures_trade(one, trade)
        else:
            self._spot_trade(one, trade)
        self._candles(one)

    def _spot_trade(self, one: Instrument, trade: Print) -> None:
        key = ("spot", f"/market/match:{one.symbol}", one.symbol)
        if self._hub.has(key):
            taker, maker = _parties(one, trade)
            row = {
                "makerOrderId": maker, "price": one.price.text(trade.price_ticks),
                "sequence": str(trade.trade_id), "side": _side(trade),
                "size": one.size.text(trade.qty_lots), "symbol": one.symbol, "takerOrderId": taker,
                "time": str(trade.traded_ms * NS), "tradeId": str(trade.trade_id), "type": "match",
            }  # fmt: skip
            self._push(key, "trade.l3match", row)

    def _futures_trade(self, one: Instrument, trade: Print) -> None:
        shared = {
            "side": _side(trade), "size": one.lots(trade.qty_lots),
            "price": one.price.text(trade.price_ticks), "tradeId": str(trade.trade_id),
            "ts": trade.traded_ms * NS,
        }  # fmt: skip
        key = ("futures", f"/contractMarket/execution:{one.symbol}", one.symbol)
        if self._hub.has(key):
            taker, maker = _parties(one, trade)
            row = {"symbol": one.symbol, "sequence": trade.trade_id, "takerOrderId": taker,
                   "makerOrderId": maker} | shared  # fmt: skip
            self._push(key, "match", row, sn=trade.trade_id)
        key = ("futures", f"/contractMarket/ticker:{one.symbol}", one.symbol)
        if self._hub.has(key):
            self._push(key, "ticker", self._quotes(one) | shared, sn=one.market.last_id)

    def _candles(self, one: Instrument) -> None:
        host, topic = (
            ("futures", "/contractMarket/limitCandle") if one.is_futures else ("spot", "/market/candles")
        )
        if not self._hub.has_name(topic):
            return
        for word, length in CANDLES.items():
            key = (host, f"{topic}:{one.symbol}_{word}", one.symbol)
            if not self._hub.has(key):
                continue
            candle = list(one.tape.candles(length))[-1]
            row = self._markets.candle_row(one, candle)
            if one.is_futures:
                row = [*row[:5], row[6], one.size.text(candle.volume)]
                data = {"symbol": one.symbol, "candles": row, "time": self._now_ms()}
                self._push(key, "candle.stick", data)
            else:
                data = {"symbol": one.symbol, "candles": row, "time": self._now_ms() * NS}
                self._push(key, "trade.candles.update", data)

    def _quotes(self, one: Instrument) -> dict[str, Any]:
        bid, bid_lots, ask, ask_lots = one.market.top()
        return {
            "symbol": one.symbol, "sequence": one.market.last_id, "bestBidSize": one.lots(bid_lots),
            "bestBidPrice": one.price.text(bid), "bestAskPrice": one.price.text(ask),
            "bestAskSize": one.lots(ask_lots),
        }  # fmt: skip

    def on_top(self, one: Instrument) -> None:
        """Publish a new best price or size, or note it for the paced topics."""
        self._tops[one] = None
        key = ("futures", f"/contractMarket/tickerV2:{one.symbol}", one.symbol)
        if self._hub.has(key):
            self._push(key, "tickerV2", self._quotes(one) | {"ts": self._now_ms() * NS})

    def _level1(self, one: Instrument) -> None:
        key = ("spot", f"/spotMarket/level1:{one.symbol}", one.symbol)
        if self._hub.has(key):
            bid, bid_lots, ask, ask_lots = one.market.top()
            data = {
                "asks": [one.price.text(ask), one.size.text(ask_lots)],
                "bids": [one.price.text(bid), one.size.text(bid_lots)], "timestamp": self._now_ms(),
            }  # fmt: skip
            self._push(key, "level1", data)

    def _ticker(self, one: Instrument) -> None:
        keys = (("spot", f"/market/ticker:{one.symbol}", one.symbol), ("spot", "/market/ticker:all", ""))
        if not any(self._hub.has(key) for key in keys):
            return
        bid, bid_lots, ask, ask_lots = one.market.top()
        trade = self._traded.get(one)
        data = {
            "bestAsk": one.price.text(ask), "bestAskSize": one.size.text(ask_lots),
            "bestBid": one.price.text(bid), "bestBidSize": one.size.text(bid_lots),
            "price": one.price.text(one.market.last_price_ticks), "sequence": str(one.market.published_id),
            "size": one.size.text(trade.qty_lots) if trade else "0", "time": self._now_ms(),
        }  # fmt: skip
        for key, subject in zip(keys, ("trade.ticker", one.symbol), strict=True):
            if self._hub.has(key):
                self._push(key, subject, data)

    # ------------------------------------------------------------------------------------ by the clock

    def tick(self) -> bool:
        """Publish what is due; tell whether a new second has begun."""
        now = self._now_ms()
        tops = [one for one in self._tops if not one.is_futures]
        for one in tops:
            self._level1(one)
        if now - self._part_ms >= PART_MS or now < self._part_ms:
            self._part_ms = now
            for one in tops:
                self._ticker(one)
            self._tops.clear()
            for one in self._listing.all:
                self._push_part(one, 5)
                self._push_part(one, 50)
        if now // 1000 == self._second:
            return False
        self._second = now // 1000
        self._each_second()
        return True

    def _each_second(self) -> None:
        second, stamp = self._second, self._second * 1000
        is_minute = second // 60 != self._minute
        self._minute = second // 60
        for one in self._listing.of(True):
            key = ("futures", f"/contract/instrument:{one.symbol}", one.symbol)
            market = one.market
            if self._hub.has(key):
                data = {"markPrice": number(market.mark_price), "indexPrice": number(market.index_price),
                        "granularity": 1000, "timestamp": stamp}  # fmt: skip
                self._push(key, "mark.index.price", data)
                if is_minute:
                    data = {"period": 1, "granularity": MINUTE_MS,
                            "fundingRate": number(market.funding_rate), "timestamp": stamp}  # fmt: skip
                    self._push(key, "funding.rate", data)
            self._settlement(one, key)
            if second % FUTURES_SNAPSHOT_S == 0:
                self._futures_day(one)
        if second % SPOT_SNAPSHOT_S == 0:
            for one in self._listing.of(False):
                self._spot_day(one)

    def _settlement(self, one: Instrument, key: Key) -> None:
        history = one.market.funding_history
        if not history or self._settled.get(one) == history[-1][0]:
            return
        at, rate, _ = history[-1]
        self._settled[one] = at
        if self._hub.has(key):
            data = {"granularity": one.funding_granularity_ms(), "fundingRate": number(rate), "timestamp": at}
            self._push(key, "funding.rate", data)
        row = {
            "symbol": one.symbol,
            "fundingTime": at,
            "fundingRate": number(rate),
            "timestamp": self._now_ms(),
        }
        for topic in ("/contract/announcement", f"/contract/announcement:{one.symbol}"):
            where = ("futures", topic, one.symbol if ":" in topic else "")
            if self._hub.has(where):
                self._push(where, "funding.begin", row)
                self._push(where, "funding.end", row)

    def _futures_day(self, one: Instrument) -> None:
        key = ("futures", f"/contractMarket/snapshot:{one.symbol}", one.symbol)
        if self._hub.has(key):
            day = self._markets.day(one)
            data = {
                "symbol": one.symbol, "lastPrice": number(day["last"]), "highPrice": number(day["high"]),
                "lowPrice": number(day["low"]), "volume": number(day["volume"]),
                "turnover": number(day["turnover"]), "priceChg": number(day["last"] - day["open"]),
                "priceChgPct": number((day["last"] - day["open"]) / day["open"], 4),
                "price24HoursBefore": number(day["open"]), "ts": self._now_ms() * NS,
            }  # fmt: skip
            self._push(key, "snapshot.24h", data)

    def _spot_day(self, one: Instrument) -> None:
        key = ("spot", f"/market/snapshot:{one.symbol}", one.symbol)
        if not self._hub.has(key):
            return
        day, spec = self._markets.day(one), one.market.spec
        bid, bid_lots, ask, ask_lots = one.market.top()
        row = {
            "askSize": number(one.market.qty(ask_lots)), "averagePrice": number(day["mean"], 8),
            "baseCurrency": spec.base, "bidSize": number(one.market.qty(bid_lots)), "board": 1,
            "buy": number(one.market.price(bid)), "changePrice": number(day["last"] - day["open"]),
            "changeRate": number((day["last"] - day["open"]) / day["open"], 4), "close": number(day["last"]),
            "datetime": self._now_ms(), "high": number(day["high"]), "lastTradedPrice": number(day["last"]),
            "low": number(day["low"]), "makerCoefficient": 1.0, "makerFeeRate": float(spec.maker_fee),
            "marginTrade": False, "mark": 0, "market": "USDS", "markets": ["USDS"],
            "open": number(day["open"]), "quoteCurrency": spec.quote, "sell": number(one.market.price(ask)),
            "sort": 100, "symbol": one.symbol, "symbolCode": one.symbol, "takerCoefficient": 1.0,
            "takerFeeRate": float(spec.taker_fee), "trading": True, "vol": number(day["volume"]),
            "volValue": number(day["turnover"]),
        }  # fmt: skip
        self._push(key, "trade.snapshot", {"sequence": str(one.market.published_id), "data": row})


def _side(trade: Print) -> str:
    return "sell" if trade.buyer_is_maker else "buy"


def _parties(one: Instrument, trade: Print) -> tuple[str, str]:
    """Return made-up ids of the taker's and the maker's order: the public does not know whose they are."""
    return one.order_id(800_000_000 + trade.trade_id), one.order_id(900_000_000 + trade.trade_id)
