"""Public market data of the unified API.

Source: KuCoin API docs, "UTA / Market Data", seen 2025-11; samples of clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.sim.kucoin.books import pairs
from engine.sim.kucoin.calls import Call, Raw, Route, Routes, between
from engine.sim.kucoin.errors import KucoinError, wrong
from engine.sim.kucoin.instruments import Instrument, Listing, number, plain
from engine.sim.kucoin.market_queries import CANDLES, Books, MarketQueries
from engine.sim.kucoin.views import NS

UA = "/api/ua/v1"
DEPTHS = {"20": 20, "50": 50, "100": 100, "FULL": None}


class UnifiedMarket:
    """Answers the public questions of the unified API."""

    def __init__(
        self, listing: Listing, books: Books, markets: MarketQueries, now_ms: Callable[[], int]
    ) -> None:
        self._listing = listing
        self._books = books
        self._markets = markets
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """Return the routes."""
        return {
            f"GET {UA}/server/status": Route(lambda call: {"serverStatus": "open", "msg": ""}),
            f"GET {UA}/market/instrument": Route(self._instruments, weight=4),
            f"GET {UA}/market/ticker": Route(self._tickers, weight=15),
            f"GET {UA}/market/orderbook": Route(self._book),
            f"GET {UA}/market/trade": Route(self._trades),
            f"GET {UA}/market/kline": Route(self._candles),
            f"GET {UA}/market/currency": Route(lambda call: self._markets.currencies()),
            f"GET {UA}/asset/currencies": Route(lambda call: self._markets.currencies()),
            f"GET {UA}/market/funding-rate": Route(lambda call: self._markets.funding(call.query), weight=2),
            "GET /api/ua/v2/market/funding-rate": Route(self._all_funding, weight=2),
            f"GET {UA}/market/funding-rate-history": Route(self._funding_history, weight=5),
            f"GET {UA}/market/open-interest": Route(self._open_interest),
        }

    def _type(self, call: Call) -> bool:
        """Return whether futures are asked about; raises KucoinError."""
        kind = call.query.get("tradeType")
        if kind not in ("SPOT", "FUTURES"):
            raise wrong("tradeType is invalid.")
        return kind == "FUTURES"

    def _one(self, call: Call, is_futures: bool) -> Instrument:
        one = self._listing.find(call.query.get("symbol", ""), is_futures)
        if one is None:
            raise KucoinError("900001", "symbol not exists")
        return one

    def _some(self, call: Call, is_futures: bool) -> list[Instrument]:
        if call.query.get("symbol"):
            return [self._one(call, is_futures)]
        return self._listing.of(is_futures)

    def _instruments(self, call: Call) -> dict[str, Any]:
        is_futures = self._type(call)
        rows = [one.unified_view() for one in self._some(call, is_futures)]
        return {"tradeType": call.query["tradeType"], "list": rows}

    def _tickers(self, call: Call) -> dict[str, Any]:
        rows = []
        for one in self._some(call, self._type(call)):
            day = self._markets.day(one)
            bid, bid_lots, ask, ask_lots = one.market.top()
            trade = one.tape.trades[-1] if one.tape.trades else None
            rows.append({
                "symbol": one.symbol, "name": one.symbol, "bestBidSize": one.size.text(bid_lots),
                "bestBidPrice": one.price.text(bid), "bestAskSize": one.size.text(ask_lots),
                "bestAskPrice": one.price.text(ask), "lastPrice": plain(day["last"]),
                "size": one.size.text(trade.qty_lots) if trade else "0", "open": plain(day["open"]),
                "high": plain(day["high"]), "low": plain(day["low"]), "baseVolume": plain(day["volume"]),
                "quoteVolume": plain(day["turnover"]),
            })  # fmt: skip
        return {"tradeType": call.query["tradeType"], "ts": self._now_ms(), "list": rows}

    def _book(self, call: Call) -> Raw:
        one = self._one(call, self._type(call))
        limit = call.query.get("limit", "100")
        if limit not in DEPTHS:
            raise wrong("limit is invalid.")
        sequence, bids, asks = self._books.read(one, DEPTHS[limit])
        return Raw(
            f'{{"tradeType":"{one.trade_type}","symbol":"{one.symbol}","sequence":"{sequence}",'
            f'"bids":[{pairs(one.price, one.size, bids)}],"asks":[{pairs(one.price, one.size, asks)}]}}'
        )

    def _trades(self, call: Call) -> dict[str, Any]:
        one = self._one(call, self._type(call))
        rows = [
            {"sequence": str(trade.trade_id), "tradeId": str(trade.trade_id),
             "price": one.price.text(trade.price_ticks), "size": one.size.text(trade.qty_lots),
             "side": "sell" if trade.buyer_is_maker else "buy", "ts": trade.traded_ms * NS}
            for trade in list(one.tape.trades)[-100:]
        ]  # fmt: skip
        return {"tradeType": one.trade_type, "list": rows}

    def _candles(self, call: Call) -> dict[str, Any]:
        one, length = self._one(call, self._type(call)), CANDLES.get(call.query.get("interval", ""))
        if length is None:
            raise wrong("interval is invalid.")
        candles = list(one.tape.candles(length))
        kept = between(candles, call, lambda each: int(each.open_ms // 1000), ("startAt", "endAt"))
        rows = [self._markets.candle_row(one, candle) for candle in reversed(kept)][:1500]
        return {"tradeType": one.trade_type, "symbol": one.symbol, "list": rows}

    def _all_funding(self, call: Call) -> list[dict[str, Any]]:
        return [
            {"symbol": one.symbol, "nextFundingRate": number(one.market.funding_rate),
             "fundingTime": one.market.next_funding_ms, "fundingRateCap": 0.003, "fundingRateFloor": -0.003,
             "currentGranularity": one.funding_granularity_ms(), "lastFundingRate": number(one.last_rate())}
            for one in self._some(call, is_futures=True)
        ]  # fmt: skip

    def _funding_history(self, call: Call) -> dict[str, Any]:
        one = self._one(call, is_futures=True)
        history = between(
            list(one.market.funding_history), call, lambda row: int(row[0]), ("startAt", "endAt")
        )
        rows = [{"fundingRate": plain(rate), "ts": at} for at, rate, _ in reversed(history)]
        return {"symbol": one.symbol, "list": rows}

    def _open_interest(self, call: Call) -> list[dict[str, Any]]:
        now = self._now_ms()
        return [
            {"symbol": one.symbol, "openInterest": str(one.market.open_interest_lots), "ts": now}
            for one in self._some(call, is_futures=True)
        ]
