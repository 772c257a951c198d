"""Market data over REST, both products: time, snapshots, trades, candles, tickers, marks and funding.

Source: Binance spot API docs, market data endpoints; USDⓈ-M docs, market data; answers captured 2026-09-15.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.sim.binance import errors, tickers
from engine.sim.binance.board import Board, MarketView
from engine.sim.binance.desk import RawJson
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Call
from engine.sim.binance.info import perp_info, spot_info
from engine.sim.binance.limits import LimitRules
from engine.sim.binance.params import Params
from engine.sim.faultpoints import FaultPoints
from engine.sim.tape import INTERVALS_MS, MONTH, Aggregate, Print

SPOT_DEPTH_MAX = 5000
PERP_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
INTEREST_RATE = "0.00010000"
HOUR_MS = 3_600_000
LATE_MS = 8
"""Settlements are dated up to so many milliseconds late. Source: answers of 2026-09-15 (``..00005``)."""


class MarketData:
    """Public REST operations of one product.

    Args:
        product: ``spot`` or ``perp``.
        board: its markets.
        rules: its rate limits, for exchangeInfo.
        faults: its fault hooks.
    """

    def __init__(self, product: str, board: Board, rules: LimitRules, faults: FaultPoints) -> None:
        self._product = product
        self._board = board
        self._rules = rules
        self._faults = faults

    # -- general -------------------------------------------------------------------------------------------

    def ping(self, _call: Call) -> dict[str, Any]:
        """``GET …/ping``."""
        return {}

    def time(self, call: Call) -> dict[str, Any]:
        """``GET …/time``."""
        return {"serverTime": call.now_ms}

    def info(self, call: Call) -> dict[str, Any]:
        """``GET …/exchangeInfo``; futures ignore every filter."""
        if self._product == "perp":
            specs = [(view.market.spec, view.status) for view in self._board]
            assets = dict.fromkeys(spec.settle or spec.quote for spec, _ in specs)
            return perp_info(call.now_ms, self._rules, assets, specs)
        views = self._views(call.params, "symbols")
        status = call.params.text("symbolStatus")
        rows = [(view.market.spec, view.status) for view in views if status in (None, view.status)]
        return spot_info(call.now_ms, self._rules, rows)

    def _views(self, params: Params, plural: str) -> list[MarketView]:
        """Return the markets of ``symbol`` or of the JSON array ``symbols``, all when neither was sent."""
        symbol, symbols = params.text("symbol"), params.text(plural)
        if symbol is not None and symbols is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if symbol is not None:
            return [self._board.view(symbol)]
        if symbols is None:
            return list(self._board)
        try:
            names = json.loads(symbols)
        except ValueError:
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise errors.illegal_characters(
                "symbols", r'^\\["[\\w\\-._&&[^a-z]]{1,50}"(,"[\\w\\-._&&[^a-z]]{1,50}"){0,}\\]$'
            )
        return [self._board.view(name) for name in names]

    # -- book ----------------------------------------------------------------------------------------------

    def depth(self, call: Call) -> RawJson:
        """``GET …/depth``: the book as it is now, with the id of its last change."""
        limit = self._depth_limit(call.params)
        view = self._board.view(call.params.need("symbol"))
        market = view.market
        stale = self._faults.take("stale_snapshot", view.symbol)
        last = market.last_id
        if stale is None:
            bids, asks = view.snapshot(limit)
        else:
            bids, asks, last = view.old_snapshot(limit, int(stale.get("batches", 50)))
        if self._product == "spot":
            return RawJson(f'{{"lastUpdateId":{last},"bids":[{bids}],"asks":[{asks}]}}')
        return RawJson(
            f'{{"lastUpdateId":{last},"E":{call.now_ms},"T":{call.now_ms},"bids":[{bids}],"asks":[{asks}]}}'
        )

    def _depth_limit(self, params: Params) -> int:
        if self._product == "spot":
            return params.limit(100, SPOT_DEPTH_MAX)
        limit = params.integer("limit", 500)
        assert limit is not None
        if limit > PERP_DEPTHS[-1]:
            raise errors.invalid_value("limit")
        if limit not in PERP_DEPTHS:
            raise ApiError(-4021, f"{limit} is not valid depth limit")
        return limit

    def book_ticker(self, call: Call) -> Any:
        """``GET …/ticker/bookTicker``."""
        rows = [self._book_ticker(view, call.now_ms) for view in self._views(call.params, "symbols")]
        return rows[0] if call.params.has("symbol") else rows

    def _book_ticker(self, view: MarketView, now_ms: int) -> dict[str, Any]:
        bid, bid_lots, ask, ask_lots = view.market.top()
        row: dict[str, Any] = {
            "symbol": view.symbol,
            "bidPrice": view.price.text(bid),
            "bidQty": view.qty.text(bid_lots),
            "askPrice": view.price.text(ask),
            "askQty": view.qty.text(ask_lots),
        }
        if self._product == "perp":
            row |= {"time": now_ms, "lastUpdateId": view.market.last_id}
        return row

    # -- trades --------------------------------------------------------------------------------------------

    def trades(self, call: Call) -> list[dict[str, Any]]:
        """``GET …/trades`` and ``historicalTrades``."""
        view = self._board.view(call.params.need("symbol"))
        rows: list[Print] = list(view.tape.trades)
        first = call.params.integer("fromId")
        limit = call.params.limit(500, 1000)
        if first is not None:
            rows = [row for row in rows if row.trade_id >= first][:limit]
        return [self._trade(view, row) for row in rows[-limit:]]

    def _trade(self, view: MarketView, row: Print) -> dict[str, Any]:
        quote = view.notional(row.price_ticks, row.qty_lots)
        spot = self._product == "spot"
        body: dict[str, Any] = {
            "id": row.trade_id,
            "price": view.price.text(row.price_ticks),
            "qty": view.qty.text(row.qty_lots),
            "quoteQty": f"{quote:.8f}" if spot else f"{quote:.2f}",
            "time": row.traded_ms,
            "isBuyerMaker": row.buyer_is_maker,
        }
        return body | ({"isBestMatch": True} if spot else {"isRPITrade": False})

    def agg_trades(self, call: Call) -> list[dict[str, Any]]:
        """``GET …/aggTrades``."""
        view = self._board.view(call.params.need("symbol"))
        rows: list[Aggregate] = list(view.tape.aggregates)
        params = call.params
        first, start, end = params.integer("fromId"), params.integer("startTime"), params.integer("endTime")
        limit = params.limit(500, 1000)
        if first is not None:
            rows = [row for row in rows if row.agg_id >= first][:limit]
        if start is not None or end is not None:
            rows = [row for row in rows if (start or 0) <= row.traded_ms <= (end or 2**62)][:limit]
        return [self._aggregate(view, row) for row in rows[-limit:]]

    def _aggregate(self, view: MarketView, row: Aggregate) -> dict[str, Any]:
        qty = view.qty.text(row.qty_lots)
        body: dict[str, Any] = {"a": row.agg_id, "p": view.price.text(row.price_ticks), "q": qty}
        if self._product == "perp":
            body["nq"] = qty
        body |= {"f": row.first_id, "l": row.last_id, "T": row.traded_ms, "m": row.buyer_is_maker}
        return body | ({"M": True} if self._product == "spot" else {})

    # -- candles and tickers -------------------------------------------------------------------------------

    def klines(self, call: Call) -> list[list[Any]]:
        """``GET …/klines``."""
        params = call.params
        view = self._board.view(params.need("symbol"))
        interval = params.need("interval")
        if interval not in INTERVALS_MS and interval != MONTH:
            raise errors.invalid_interval()
        if interval == "1s" and self._product == "perp":
            raise errors.invalid_interval()
        start, end = params.integer("startTime"), params.integer("endTime")
        limit = params.limit(500, 1000 if self._product == "spot" else 1500)
        rows = [row for row in view.tape.candles(interval) if (start or 0) <= row.open_ms <= (end or 2**62)]
        rows = rows[:limit] if start is not None else rows[-limit:]
        return [tickers.kline_row(view, interval, row) for row in rows]

    def average_price(self, call: Call) -> dict[str, Any]:
        """``GET /api/v3/avgPrice``."""
        view = self._board.view(call.params.need("symbol"))
        average = view.average_price(call.now_ms)
        return {"mins": 5, "price": f"{average:.8f}", "closeTime": call.now_ms}

    def price(self, call: Call) -> Any:
        """``GET …/ticker/price``."""
        rows: list[dict[str, Any]] = []
        for view in self._views(call.params, "symbols"):
            row: dict[str, Any] = {
                "symbol": view.symbol,
                "price": view.price.text(view.market.last_price_ticks),
            }
            rows.append(row | ({"time": call.now_ms} if self._product == "perp" else {}))
        return rows[0] if call.params.has("symbol") else rows

    def day(self, call: Call) -> Any:
        """``GET …/ticker/24hr``."""
        rows = [tickers.day_row(view, call.now_ms) for view in self._views(call.params, "symbols")]
        return rows[0] if call.params.has("symbol") else rows

    def reference_price(self, call: Call) -> dict[str, Any]:
        """``GET /api/v3/referencePrice``: no market here has one."""
        self._board.view(call.params.need("symbol"))
        raise ApiError(-2043, "This symbol doesn't have a reference price.")

    # -- futures only --------------------------------------------------------------------------------------

    def premium_index(self, call: Call) -> Any:
        """``GET /fapi/v1/premiumIndex``."""
        rows = [self._premium(view, call.now_ms) for view in self._views(call.params, "symbols")]
        return rows[0] if call.params.has("symbol") else rows

    def _premium(self, view: MarketView, now_ms: int) -> dict[str, Any]:
        market = view.market
        return {
            "symbol": view.symbol,
            "markPrice": f"{market.mark_price:.8f}",
            "indexPrice": f"{market.index_price:.8f}",
            "estimatedSettlePrice": f"{market.index_price:.8f}",
            "lastFundingRate": f"{market.funding_rate:.8f}",
            "interestRate": INTEREST_RATE,
            "nextFundingTime": market.next_funding_ms,
            "time": now_ms,
        }

    def funding_rate(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/fundingRate``: what was paid, oldest first."""
        views = self._views(call.params, "symbols")
        start, end = call.params.integer("startTime"), call.params.integer("endTime")
        limit = call.params.limit(100, 1000)
        rows: list[tuple[int, dict[str, Any]]] = []
        for view in views:
            for due_ms, rate, mark in view.market.funding_history:
                time_ms = due_ms + due_ms // HOUR_MS % LATE_MS  # never quite on time, as the real one
                if (start or 0) <= time_ms <= (end or 2**62):
                    rows.append((time_ms, _funding(view.symbol, time_ms, rate, mark)))
        rows.sort(key=lambda row: row[0])
        kept = rows[:limit] if start is not None else rows[-limit:]
        return [row for _, row in kept]

    def funding_info(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/fundingInfo``: contracts whose interval is not eight hours."""
        return [
            {"symbol": view.symbol, "adjustedFundingRateCap": "0.02000000",
             "adjustedFundingRateFloor": "-0.02000000",
             "fundingIntervalHours": view.market.spec.funding_interval_h, "disclaimer": False,
             "updateTime": call.now_ms}
            for view in self._board
            if view.market.spec.funding_interval_h != 8
        ]  # fmt: skip

    def open_interest(self, call: Call) -> dict[str, Any]:
        """``GET /fapi/v1/openInterest``."""
        view = self._board.view(call.params.need("symbol"))
        text = view.qty.text(view.market.open_interest_lots)
        return {"symbol": view.symbol, "openInterest": text, "time": call.now_ms}


def _funding(symbol: str, time_ms: int, rate: Decimal, mark: Decimal) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "fundingTime": time_ms,
        "fundingRate": f"{rate:.8f}",
        "markPrice": f"{mark:.8f}",
        "rateType": "Regular",
    }


def spot_depth_weight(params: Params) -> int:
    """Return the weight of a spot snapshot by its limit."""
    limit = _limit(params, 100)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def perp_depth_weight(params: Params) -> int:
    """Return the weight of a futures snapshot by its limit."""
    limit = _limit(params, 500)
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def perp_kline_weight(params: Params) -> int:
    """Return the weight of futures candles by their limit."""
    limit = _limit(params, 500)
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def by_symbol(one: int, every: int) -> Callable[[Params], int]:
    """Return a weight that depends on whether a single symbol was asked for."""
    return lambda params: one if params.raw("symbol") else every


def _limit(params: Params, default: int) -> int:
    text = params.raw("limit")
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else default
