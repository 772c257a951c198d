"""Public market data over REST, classic spot and futures hosts.

Source: KuCoin API docs, "Spot Trading / Market Data", "Futures Trading / Market Data", seen 2025-11; public
refusals of the futures host recorded 2026-09-22.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.books import pairs
from engine.sim.kucoin.calls import Call, Raw, Route, Routes, between
from engine.sim.kucoin.errors import KucoinError, wrong
from engine.sim.kucoin.instruments import Instrument, Listing, number, plain
from engine.sim.kucoin.views import NS
from engine.sim.tape import Candle

CANDLES = {
    "1min": "1m", "3min": "3m", "5min": "5m", "15min": "15m", "30min": "30m", "1hour": "1h", "2hour": "2h",
    "4hour": "4h", "6hour": "6h", "8hour": "8h", "12hour": "12h", "1day": "1d", "1week": "1w", "1month": "1M",
}  # fmt: skip
"""The venue's words for candle lengths to the tape's."""
MINUTES = {1: "1m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 120: "2h", 240: "4h", 480: "8h", 720: "12h",
           1440: "1d", 10080: "1w"}  # fmt: skip
BOOK_PATHS = ("orderbook", "level2")
Book = tuple[int, list[tuple[int, int]], list[tuple[int, int]]]


class Books:
    """Reads the published books for REST.

    Args:
        faults: fault hooks by product.
    """

    def __init__(self, exchange: Exchange, faults: dict[str, FaultPoints]) -> None:
        self._exchange = exchange
        self._faults = faults
        self.published: dict[Instrument, list[int]] = {}

    def note(self, one: Instrument, sequence: int) -> None:
        """Remember a published number, for snapshots that are served too late (a fault)."""
        kept = self.published.setdefault(one, [])
        kept.append(sequence)
        if len(kept) > 128:
            del kept[:64]

    def read(self, one: Instrument, depth: int | None) -> Book:
        """Return number, bids and asks, best first, of the book as published."""
        market = one.market
        kept = self.published.get(one)
        if kept and self._faults[market.spec.product].take("stale_snapshot", one.symbol) is not None:
            old = market.published_at(kept[0])
            if old is not None:
                bids, asks = sorted(old.bids.items(), reverse=True), sorted(old.asks.items())
                return old.last_id, bids[:depth], asks[:depth]
        self._exchange.publish(market)
        return (
            market.published_id,
            list(market.bids.best_first())[:depth],
            list(market.asks.best_first())[:depth],
        )


class MarketQueries:
    """Answers the public questions of both classic hosts."""

    def __init__(self, listing: Listing, books: Books, now_ms: Callable[[], int]) -> None:
        self._listing = listing
        self._books = books
        self._now_ms = now_ms

    def spot_routes(self) -> Routes:
        """Return the routes of the spot host."""
        return {
            "GET /api/v1/timestamp": Route(lambda call: self._now_ms(), ""),
            "GET /api/v1/status": Route(lambda call: {"status": "open", "msg": ""}),
            "GET /api/v2/symbols": Route(self._symbols, weight=4),
            "GET /api/v1/symbols": Route(self._symbols, weight=4),
            "GET /api/v2/symbols/{symbol}": Route(lambda call: self._spot(call.path).spot_view(), weight=4),
            "GET /api/v1/markets": Route(lambda call: ["USDS", "BTC"]),
            "GET /api/v3/currencies": Route(lambda call: self.currencies()),
            "GET /api/v3/currencies/{currency}": Route(self._currency),
            "GET /api/v1/market/orderbook/level1": Route(self._level1, weight=2),
            "GET /api/v1/market/allTickers": Route(self._all_tickers, weight=15),
            "GET /api/v1/market/stats": Route(self._stats, weight=15),
            "GET /api/v1/market/orderbook/level2_20": Route(lambda call: self._book(call, 20), weight=2),
            "GET /api/v1/market/orderbook/level2_100": Route(lambda call: self._book(call, 100), weight=4),
            "GET /api/v3/market/orderbook/level2": Route(
                lambda call: self._book(call, None), "spot", 3, is_signed=True
            ),
            "GET /api/v1/market/histories": Route(self._histories),
            "GET /api/v1/market/candles": Route(self._candles),
        }

    def futures_routes(self) -> Routes:
        """Return the routes of the futures host."""
        return {
            "GET /api/v1/timestamp": Route(lambda call: self._now_ms(), ""),
            "GET /api/v1/status": Route(lambda call: {"status": "open", "msg": ""}, weight=4),
            "GET /api/v1/contracts/active": Route(self._contracts),
            "GET /api/v1/contracts/{symbol}": Route(self._contract),
            "GET /api/v1/contracts/risk-limit/{symbol}": Route(self._risk_limit, weight=5),
            "GET /api/v1/ticker": Route(lambda call: self._ticker(self._future(call.query)), weight=2),
            "GET /api/v1/allTickers": Route(
                lambda call: [self._ticker(one) for one in self._listing.of(True)], weight=5
            ),
            "GET /api/v1/level2/snapshot": Route(lambda call: self._futures_book(call, None)),
            "GET /api/v1/level2/depth20": Route(lambda call: self._futures_book(call, 20), weight=5),
            "GET /api/v1/level2/depth100": Route(lambda call: self._futures_book(call, 100), weight=5),
            "GET /api/v1/trade/history": Route(self._trades, weight=5),
            "GET /api/v1/kline/query": Route(self._klines),
            "GET /api/v1/mark-price/{symbol}/current": Route(self._mark),
            "GET /api/v1/funding-rate/{symbol}/current": Route(
                lambda call: self.funding(call.path), weight=2
            ),
            "GET /api/v1/contract/funding-rates": Route(self._funding_history, weight=5),
            "GET /api/v1/index/query": Route(self._index, weight=2),
            "GET /api/v1/premium/query": Route(self._premium),
            "GET /api/v1/trade-statistics": Route(self._turnover),
        }

    def _spot(self, words: Any) -> Instrument:
        one = self._listing.find(words.get("symbol", ""), is_futures=False)
        if one is None:
            raise KucoinError("900001", "symbol not exists")
        return one

    def _future(self, words: Any) -> Instrument:
        one = self._listing.find(words.get("symbol", ""), is_futures=True)
        if one is None:
            raise KucoinError("200003", "Invalid symbol.")
        return one

    # ---------------------------------------------------------------------------------------- spot

    def _symbols(self, call: Call) -> list[dict[str, Any]]:
        wanted = call.query.get("market")
        rows = [one.spot_view() for one in self._listing.of(False)]
        return [row for row in rows if wanted in (None, row["market"])]

    def currencies(self) -> list[dict[str, Any]]:
        """Return every currency that is traded or settled in."""
        names: dict[str, None] = {}
        for one in self._listing.all:
            spec = one.market.spec
            names |= dict.fromkeys((spec.quote,) if one.is_futures else (spec.base, spec.quote))
        return [_currency_view(name) for name in names]

    def _currency(self, call: Call) -> dict[str, Any]:
        found = [row for row in self.currencies() if row["currency"] == call.path["currency"]]
        if not found:
            raise KucoinError("900003", "currency not exists")
        return found[0]

    def _level1(self, call: Call) -> dict[str, Any]:
        one = self._spot(call.query)
        bid, bid_lots, ask, ask_lots = one.market.top()
        trade = one.tape.trades[-1] if one.tape.trades else None
        return {
            "time": self._now_ms(), "sequence": str(one.market.published_id),
            "price": one.price.text(one.market.last_price_ticks),
            "size": one.size.text(trade.qty_lots) if trade else "0", "bestBid": one.price.text(bid),
            "bestBidSize": one.size.text(bid_lots), "bestAsk": one.price.text(ask),
            "bestAskSize": one.size.text(ask_lots),
        }  # fmt: skip

    def day(self, one: Instrument) -> dict[str, Decimal]:
        """Return ``last``, ``open``, ``high``, ``low``, ``volume``, ``turnover`` and ``mean`` of 24 hours."""
        market, candle = one.market, one.tape.day(self._now_ms())
        last = market.price(market.last_price_ticks)
        if candle is None:
            return dict.fromkeys(("last", "open", "high", "low", "mean"), last) | {
                "volume": ZERO,
                "turnover": ZERO,
            }
        volume = market.qty(candle.volume)
        turnover = candle.turnover * market.spec.tick_size * market.spec.lot_size
        return {
            "last": last, "open": market.price(candle.open), "high": market.price(candle.high),
            "low": market.price(candle.low), "volume": volume, "turnover": turnover,
            "mean": turnover / volume,
        }  # fmt: skip

    def _statistics(self, one: Instrument) -> dict[str, str]:
        day, spec = self.day(one), one.market.spec
        bid, bid_lots, ask, ask_lots = one.market.top()
        return {
            "symbol": one.symbol, "buy": one.price.text(bid), "sell": one.price.text(ask),
            "bestBidSize": one.size.text(bid_lots), "bestAskSize": one.size.text(ask_lots),
            "changeRate": plain(round((day["last"] - day["open"]) / day["open"], 4)),
            "changePrice": plain(day["last"] - day["open"]), "high": plain(day["high"]),
            "low": plain(day["low"]), "vol": plain(day["volume"]), "volValue": plain(day["turnover"]),
            "last": plain(day["last"]), "averagePrice": plain(round(day["mean"], 8)),
            "takerFeeRate": plain(spec.taker_fee), "makerFeeRate": plain(spec.maker_fee),
            "takerCoefficient": "1", "makerCoefficient": "1",
        }  # fmt: skip

    def _all_tickers(self, call: Call) -> dict[str, Any]:
        rows = []
        for one in self._listing.of(False):
            row = self._statistics(one)
            rows.append({"symbol": one.symbol, "symbolName": one.symbol, **row})
        return {"time": self._now_ms(), "ticker": rows}

    def _stats(self, call: Call) -> dict[str, Any]:
        row = self._statistics(self._spot(call.query))
        return {"time": self._now_ms(), **row}

    def _book(self, call: Call, depth: int | None) -> Raw:
        one = self._spot(call.query)
        sequence, bids, asks = self._books.read(one, depth)
        return Raw(
            f'{{"time":{self._now_ms()},"sequence":"{sequence}","bids":[{pairs(one.price, one.size, bids)}],'
            f'"asks":[{pairs(one.price, one.size, asks)}]}}'
        )

    def _histories(self, call: Call) -> list[dict[str, Any]]:
        one = self._spot(call.query)
        return [
            {"sequence": str(trade.trade_id), "price": one.price.text(trade.price_ticks),
             "size": one.size.text(trade.qty_lots), "side": "sell" if trade.buyer_is_maker else "buy",
             "time": trade.traded_ms * NS}
            for trade in list(one.tape.trades)[-100:]
        ]  # fmt: skip

    def candle_row(self, one: Instrument, candle: Candle) -> list[str]:
        """Return a candle as spot tells it: seconds, open, close, high, low, volume, turnover."""
        market, spec = one.market, one.market.spec
        prices = (candle.open, candle.close, candle.high, candle.low)
        return [
            str(candle.open_ms // 1000), *(one.price.text(ticks) for ticks in prices),
            plain(market.qty(candle.volume)), plain(candle.turnover * spec.tick_size * spec.lot_size),
        ]  # fmt: skip

    def _candles(self, call: Call) -> list[list[str]]:
        one, length = self._spot(call.query), CANDLES.get(call.query.get("type", ""))
        if length is None:
            raise wrong("type is invalid.")
        candles = between(
            list(one.tape.candles(length)), call, lambda each: each.open_ms // 1000, ("startAt", "endAt")
        )
        return [self.candle_row(one, candle) for candle in reversed(candles)][:1500]

    # -------------------------------------------------------------------------------------- futures

    def _contracts(self, call: Call) -> list[dict[str, Any]]:
        now = self._now_ms()
        return [one.contract_view(now) for one in self._listing.of(True) if one.status == "Open"]

    def _contract(self, call: Call) -> dict[str, Any]:
        one = self._listing.find(call.path["symbol"], is_futures=True)
        if one is None:
            raise KucoinError("404000", "The contract information you requested does not exist.")
        return one.contract_view(self._now_ms())

    def _risk_limit(self, call: Call) -> list[dict[str, Any]]:
        one = self._future(call.path)
        most = one.market.spec.max_leverage
        return [{
            "symbol": one.symbol, "level": 1, "maxRiskLimit": 30_000_000, "minRiskLimit": 0,
            "maxLeverage": most, "initialMargin": round(1 / most, 6),
            "maintainMargin": round(1 / most / 2, 6),
        }]  # fmt: skip

    def _ticker(self, one: Instrument) -> dict[str, Any]:
        bid, bid_lots, ask, ask_lots = one.market.top()
        trade = one.tape.trades[-1] if one.tape.trades else None
        return {
            "sequence": one.market.published_id, "symbol": one.symbol,
            "side": "sell" if trade and trade.buyer_is_maker else "buy",
            "size": one.lots(trade.qty_lots) if trade else 0, "tradeId": str(trade.trade_id) if trade else "",
            "price": one.price.text(one.market.last_price_ticks), "bestBidPrice": one.price.text(bid),
            "bestBidSize": one.lots(bid_lots), "bestAskPrice": one.price.text(ask),
            "bestAskSize": one.lots(ask_lots), "ts": (trade.traded_ms if trade else self._now_ms()) * NS,
        }  # fmt: skip

    def _futures_book(self, call: Call, depth: int | None) -> Raw:
        one = self._future(call.query)
        sequence, bids, asks = self._books.read(one, depth)
        sides = [
            ",".join(f"[{one.price.text(ticks)},{one.size.text(lots)}]" for ticks, lots in side)
            for side in (bids, asks)
        ]
        return Raw(
            f'{{"sequence":{sequence},"symbol":"{one.symbol}","bids":[{sides[0]}],"asks":[{sides[1]}],'
            f'"ts":{self._now_ms() * NS}}}'
        )

    def _trades(self, call: Call) -> list[dict[str, Any]]:
        one = self._future(call.query)
        return [
            {"sequence": trade.trade_id, "tradeId": str(trade.trade_id),
             "takerOrderId": one.order_id(800_000_000 + trade.trade_id),
             "makerOrderId": one.order_id(900_000_000 + trade.trade_id),
             "price": one.price.text(trade.price_ticks), "size": one.lots(trade.qty_lots),
             "side": "sell" if trade.buyer_is_maker else "buy", "ts": trade.traded_ms * NS}
            for trade in reversed(list(one.tape.trades)[-100:])
        ]  # fmt: skip

    def _klines(self, call: Call) -> list[list[float | int]]:
        one, length = self._future(call.query), MINUTES.get(call.number("granularity", 0))
        if length is None:
            raise wrong("granularity is invalid.")
        market, spec = one.market, one.market.spec
        candles = between(list(one.tape.candles(length)), call, lambda each: each.open_ms, ("from", "to"))
        return [
            [each.open_ms,
             *(number(market.price(ticks)) for ticks in (each.open, each.high, each.low, each.close)),
             one.lots(each.volume), number(each.turnover * spec.tick_size * spec.lot_size)]
            for each in candles[-500:]
        ]  # fmt: skip

    def _mark(self, call: Call) -> dict[str, Any]:
        one = self._listing.find(call.path["symbol"], is_futures=True)
        if one is None:
            raise KucoinError("415000", "mark price is not supported")
        now = self._now_ms()
        return {
            "symbol": one.symbol, "granularity": 1000, "timePoint": now - now % 1000,
            "value": number(one.market.mark_price), "indexPrice": number(one.market.index_price),
        }  # fmt: skip

    def funding(self, words: Any) -> dict[str, Any]:
        """Return the running funding rate; raises KucoinError."""
        one = self._listing.find(words.get("symbol", ""), is_futures=True)
        if one is None:
            raise KucoinError("415000", "funding rate is not supported")
        granularity, due = one.funding_granularity_ms(), one.market.next_funding_ms
        return {
            "symbol": f".{one.symbol}FPI{granularity // 3_600_000}H", "granularity": granularity,
            "timePoint": due - granularity, "value": number(one.market.funding_rate),
            "dailyInterestRate": 0.0003, "fundingRateCap": 0.003, "fundingRateFloor": -0.003, "period": 1,
            "fundingTime": due, "lastTimeFundingRate": number(one.last_rate()),
        }  # fmt: skip

    def _funding_history(self, call: Call) -> list[dict[str, Any]]:
        one = self._future(call.query)
        rows = between(list(one.market.funding_history), call, lambda row: int(row[0]), ("from", "to"))
        return [
            {"symbol": one.symbol, "fundingRate": number(rate), "timepoint": at}
            for at, rate, _ in reversed(rows)
        ]

    def _index(self, call: Call) -> dict[str, Any]:
        for one in self._listing.of(True):
            spec, now = one.market.spec, self._now_ms()
            if call.query.get("symbol") == f".K{spec.base}{spec.quote}":
                value = number(one.market.index_price)
                row = {"symbol": call.query["symbol"], "granularity": 1000, "timePoint": now - now % 1000,
                       "value": value, "decomposionList": [
                           {"exchange": "kucoin", "price": value, "weight": 1.0}]}  # fmt: skip
                return {"hasMore": False, "dataList": [row]}
        raise KucoinError("200003", "Invalid symbol.")

    def _premium(self, call: Call) -> dict[str, Any]:
        for one in self._listing.of(True):
            if call.query.get("symbol") == f".{one.symbol}PI":
                market, now = one.market, self._now_ms()
                value = number((market.mark_price - market.index_price) / market.index_price, 6)
                row = {"symbol": call.query["symbol"], "granularity": 60_000, "timePoint": now - now % 60_000,
                       "value": value}  # fmt: skip
                return {"hasMore": False, "dataList": [row]}
        raise KucoinError("200003", "Invalid symbol.")

    def _turnover(self, call: Call) -> dict[str, Any]:
        total = sum((self.day(one)["turnover"] for one in self._listing.of(True)), ZERO)
        return {"turnoverOf24h": float(total)}


def _currency_view(name: str) -> dict[str, Any]:
    chain = {
        "chainName": name, "withdrawalMinSize": "0.001", "depositMinSize": "0.0002", "withdrawFeeRate": "0",
        "withdrawalMinFee": "0.0005", "isWithdrawEnabled": False, "isDepositEnabled": False, "confirms": 3,
        "preConfirms": 1, "contractAddress": "", "withdrawPrecision": 8, "maxWithdraw": None,
        "maxDeposit": None, "needTag": False, "chainId": name.lower(),
    }  # fmt: skip
    return {
        "currency": name, "name": name, "fullName": name, "precision": 8, "confirms": None,
        "contractAddress": None, "isMarginEnabled": False, "isDebitEnabled": False, "chains": [chain],
    }  # fmt: skip
