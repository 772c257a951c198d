"""Public rows besides books: tickers, trades, candles, funding.

Source: BitMart spot docs, "Quotation"; futures v2 docs, "Market Data" and the public channels, mirrored copy
of 2025-11; futures ticker, bookticker and fundingRate as probed on 2026-09-23. UNCONFIRMED: the shape of
``spot/bookTicker``: it follows the names of ``spot/ticker``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.sim.bitmart.instruments import Instrument, number_text
from engine.sim.tape import Candle, Print

RATE_LIMIT = "0.0375"
"""Highest funding rate, and with a minus the lowest."""
_WAYS = 8


def trace() -> str:
    """Return a reply's ``trace``."""
    return str(uuid.uuid4())


def _touch(one: Instrument) -> tuple[str, str, str, str]:
    bid, bid_lots, ask, ask_lots = one.market.top()
    return one.price.text(bid), one.size_text(bid_lots), one.price.text(ask), one.size_text(ask_lots)


# ------------------------------------------------------------------------------------------------- spot


def spot_ticker(one: Instrument, now_ms: int) -> dict[str, str]:
    """Return the object of ``/spot/quotation/v3/ticker``; the array of ``tickers`` is its values."""
    day = one.day(now_ms)
    bid, bid_size, ask, ask_size = _touch(one)
    return {
        "symbol": one.symbol, "last": one.price.text(one.market.last_price_ticks),
        "v_24h": one.size.text(day.volume), "qv_24h": _turnover(one, day),
        "open_24h": one.price.text(day.open), "high_24h": one.price.text(day.high),
        "low_24h": one.price.text(day.low), "fluctuation": _signed(one.change(now_ms)),
        "bid_px": bid, "bid_sz": bid_size, "ask_px": ask, "ask_sz": ask_size, "ts": str(now_ms),
    }  # fmt: skip


def _signed(value: Decimal) -> str:
    return f"{round(value, 5) + 0:+.5f}"


def _turnover(one: Instrument, day: Candle) -> str:
    spec = one.market.spec
    return f"{day.turnover * spec.tick_size * spec.lot_size:.2f}"


def spot_ticker_push(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the row of ``spot/ticker``."""
    day = one.day(now_ms)
    bid, bid_size, ask, ask_size = _touch(one)
    return {
        "ask_px": ask, "ask_sz": ask_size, "base_volume_24h": one.size.text(day.volume), "bid_px": bid,
        "bid_sz": bid_size, "fluctuation": _signed(one.change(now_ms)),
        "high_24h": one.price.text(day.high), "last_price": one.price.text(one.market.last_price_ticks),
        "low_24h": one.price.text(day.low), "ms_t": now_ms, "open_24h": one.price.text(day.open),
        "quote_volume_24h": _turnover(one, day), "s_t": now_ms // 1000, "symbol": one.symbol,
    }  # fmt: skip


def spot_book_ticker(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the row of ``spot/bookTicker``."""
    bid, bid_size, ask, ask_size = _touch(one)
    return {
        "ask_px": ask, "ask_sz": ask_size, "bid_px": bid, "bid_sz": bid_size, "ms_t": now_ms,
        "symbol": one.symbol,
    }  # fmt: skip


def spot_trade_push(one: Instrument, trade: Print) -> dict[str, Any]:
    """Return the row of ``spot/trade``: no trade id, the side is the taker's."""
    return {
        "symbol": one.symbol, "price": one.price.text(trade.price_ticks),
        "side": "sell" if trade.buyer_is_maker else "buy", "size": one.size.text(trade.qty_lots),
        "s_t": trade.traded_ms // 1000, "ms_t": trade.traded_ms,
    }  # fmt: skip


def spot_trade_row(one: Instrument, trade: Print) -> list[str]:
    """Return the array of ``/spot/quotation/v3/trades``."""
    side = "sell" if trade.buyer_is_maker else "buy"
    price, size = one.price.text(trade.price_ticks), one.size.text(trade.qty_lots)
    return [one.symbol, str(trade.traded_ms), price, size, side]


def spot_candle(one: Instrument, candle: Candle) -> list[str]:
    """Return the array of ``/spot/quotation/v3/klines``."""
    prices = [one.price.text(each) for each in (candle.open, candle.high, candle.low, candle.close)]
    return [str(candle.open_ms // 1000), *prices, one.size.text(candle.volume), _turnover(one, candle)]


# ---------------------------------------------------------------------------------------------- futures


def futures_ticker(one: Instrument, now_ms: int) -> dict[str, str]:
    """Return the data of ``futures/ticker``: the only bulk source of mark prices; it bears no time."""
    bid, bid_size, ask, ask_size = _touch(one)
    market = one.market
    return {
        "symbol": one.symbol, "last_price": one.price.text(market.last_price_ticks),
        "volume_24": one.size_text(one.day(now_ms).volume), "range": number_text(one.change(now_ms)),
        "mark_price": number_text(market.mark_price), "index_price": number_text(market.index_price),
        "ask_price": ask, "ask_vol": ask_size, "bid_price": bid, "bid_vol": bid_size,
    }  # fmt: skip


def futures_book_ticker(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the data of ``futures/bookticker``."""
    bid, bid_size, ask, ask_size = _touch(one)
    return {
        "symbol": one.symbol, "best_bid_price": bid, "best_bid_vol": bid_size, "best_ask_price": ask,
        "best_ask_vol": ask_size, "ms_t": now_ms,
    }  # fmt: skip


def settled_rate(one: Instrument) -> Decimal:
    """Return the funding rate settled last; the running one before the first settlement."""
    market = one.market
    return market.funding_history[-1][1] if market.funding_history else market.funding_rate


def funding_push(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the data of ``futures/fundingRate``: ``fundingTime`` is now, not the settlement."""
    market = one.market
    return {
        "symbol": one.symbol, "fundingRate": number_text(settled_rate(one)), "fundingTime": now_ms,
        "nextFundingRate": number_text(market.funding_rate), "nextFundingTime": market.next_funding_ms,
        "funding_upper_limit": RATE_LIMIT, "funding_lower_limit": f"-{RATE_LIMIT}", "ts": now_ms,
    }  # fmt: skip


def funding_row(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the object of ``/contract/public/funding-rate``: ``rate_value`` was settled last."""
    market = one.market
    return {
        "timestamp": now_ms, "symbol": one.symbol, "rate_value": number_text(settled_rate(one)),
        "expected_rate": number_text(market.funding_rate), "funding_time": market.next_funding_ms,
        "funding_upper_limit": RATE_LIMIT, "funding_lower_limit": f"-{RATE_LIMIT}",
    }  # fmt: skip


def futures_trades_push(one: Instrument, trades: Iterable[Print]) -> list[dict[str, Any]]:
    """Return the data of ``futures/trade``, newest first.

    ``way`` names the open/close pair of the two orders; it tells nothing about the taker, ``m`` does: the
    buyer was the maker.
    """
    return [
        {
            "trade_id": trade.trade_id, "symbol": one.symbol,
            "deal_price": one.price.text(trade.price_ticks), "deal_vol": one.size_text(trade.qty_lots),
            "way": 1 + trade.trade_id % _WAYS, "m": trade.buyer_is_maker,
            "created_at": _rfc3339(trade.traded_ms),
        }
        for trade in reversed(list(trades))
    ]  # fmt: skip


def _rfc3339(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}000000Z"


def futures_trade_row(one: Instrument, trade: Print) -> dict[str, Any]:
    """Return the row of ``/contract/public/market-trade``; ``qty`` is base coins (UNCONFIRMED)."""
    qty = one.market.qty(trade.qty_lots)
    return {
        "symbol": one.symbol, "price": one.price.text(trade.price_ticks), "qty": number_text(qty),
        "quote_qty": number_text(one.value(trade.price_ticks, trade.qty_lots)),
        "time": trade.traded_ms // 1000, "is_buyer_maker": trade.buyer_is_maker,
    }  # fmt: skip


def futures_candle(one: Instrument, candle: Candle) -> dict[str, Any]:
    """Return the row of ``/contract/public/kline``."""
    names = ("low_price", "high_price", "open_price", "close_price")
    prices = (candle.low, candle.high, candle.open, candle.close)
    row: dict[str, Any] = {
        name: one.price.text(each) for name, each in zip(names, prices, strict=True)
    }  # fmt: skip
    return row | {"volume": one.size_text(candle.volume), "timestamp": candle.open_ms // 1000}


def candle_push(one: Instrument, candle: Candle, topic: str) -> dict[str, Any]:
    """Return the whole push of a candle topic."""
    prices = [one.price.text(each) for each in (candle.open, candle.high, candle.low, candle.close)]
    volume, at_s = one.size.text(candle.volume), candle.open_ms // 1000
    if not one.is_futures:
        row = {"candle": [at_s, *prices, volume], "symbol": one.symbol}
        return {"data": [row], "table": topic.partition(":")[0]}
    item = dict(zip("ohlc", prices, strict=True)) | {"v": volume, "ts": at_s}
    return {"group": topic, "data": {"symbol": one.symbol, "items": [item]}}
