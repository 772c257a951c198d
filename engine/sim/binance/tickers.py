"""Day statistics and candles: rows of REST answers and payloads of the once-a-second streams.

Source: Binance spot API docs and USDⓈ-M docs, "24hr ticker", "kline/candlestick", "mini ticker".
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.binance.board import MarketView
from engine.sim.tape import INTERVALS_MS, Candle, interval_start


def _quote(view: MarketView, turnover: int) -> str:
    spec = view.market.spec
    places = 8 if view.product == "spot" else 2
    return f"{turnover * spec.tick_size * spec.lot_size:.{places}f}"


def close_ms(interval: str, open_ms: int) -> int:
    """Return the last millisecond of a candle."""
    if interval in INTERVALS_MS:
        return open_ms + INTERVALS_MS[interval] - 1
    return interval_start(interval, open_ms + 32 * 86_400_000) - 1


def kline_row(view: MarketView, interval: str, candle: Candle) -> list[Any]:
    """Return one row of ``klines``."""
    price, qty = view.price.text, view.qty.text
    return [
        candle.open_ms, price(candle.open), price(candle.high), price(candle.low), price(candle.close),
        qty(candle.volume), close_ms(interval, candle.open_ms), _quote(view, candle.turnover), candle.trades,
        qty(candle.taker_buy_volume), _quote(view, candle.taker_buy_turnover), "0",
    ]  # fmt: skip


def kline_event(view: MarketView, interval: str, candle: Candle, now_ms: int) -> dict[str, Any]:
    """Return a ``kline`` stream event of the running (or just closed) candle."""
    price, qty = view.price.text, view.qty.text
    last = close_ms(interval, candle.open_ms)
    body: dict[str, Any] = {
        "t": candle.open_ms, "T": last, "s": view.symbol, "i": interval, "f": candle.first_id,
        "L": candle.first_id + candle.trades - 1, "o": price(candle.open), "c": price(candle.close),
        "h": price(candle.high), "l": price(candle.low), "v": qty(candle.volume), "n": candle.trades,
        "x": now_ms > last, "q": _quote(view, candle.turnover), "V": qty(candle.taker_buy_volume),
        "Q": _quote(view, candle.taker_buy_turnover), "B": "0",
    }  # fmt: skip
    return {"e": "kline", "E": now_ms, "s": view.symbol, "k": body} | _kind(view)


def _kind(view: MarketView) -> dict[str, Any]:
    return {} if view.product == "spot" else {"st": 1}


def _day(view: MarketView, now_ms: int) -> Candle:
    day = view.tape.day(now_ms)
    if day is not None:
        return day
    last = view.market.last_price_ticks
    return Candle(now_ms, -1, last, last, last, last)


def day_row(view: MarketView, now_ms: int) -> dict[str, Any]:
    """Return one row of ``ticker/24hr``."""
    day = _day(view, now_ms)
    price, qty = view.price.text, view.qty.text
    row: dict[str, Any] = {
        "symbol": view.symbol, "priceChange": _change(view, day), "priceChangePercent": _percent(day),
        "weightedAvgPrice": _average(view, day),
    }  # fmt: skip
    last_qty = qty(view.tape.trades[-1].qty_lots) if view.tape.trades else qty(0)
    if view.product == "spot":
        bid, bid_lots, ask, ask_lots = view.market.top()
        row |= {
            "prevClosePrice": price(day.open), "lastPrice": price(day.close), "lastQty": last_qty,
            "bidPrice": price(bid), "bidQty": qty(bid_lots), "askPrice": price(ask), "askQty": qty(ask_lots),
        }  # fmt: skip
    else:
        row |= {"lastPrice": price(day.close), "lastQty": last_qty}
    return row | {
        "openPrice": price(day.open), "highPrice": price(day.high), "lowPrice": price(day.low),
        "volume": qty(day.volume), "quoteVolume": _quote(view, day.turnover), "openTime": now_ms - 86_400_000,
        "closeTime": now_ms, "firstId": day.first_id, "lastId": day.first_id + max(0, day.trades - 1),
        "count": day.trades,
    }  # fmt: skip


def day_event(view: MarketView, now_ms: int) -> dict[str, Any]:
    """Return a ``24hrTicker`` stream event."""
    day = _day(view, now_ms)
    price, qty = view.price.text, view.qty.text
    body: dict[str, Any] = {
        "e": "24hrTicker", "E": now_ms, "s": view.symbol, "p": _change(view, day), "P": _percent(day),
        "w": _average(view, day),
    }  # fmt: skip
    last_qty = qty(view.tape.trades[-1].qty_lots) if view.tape.trades else qty(0)
    if view.product == "spot":
        bid, bid_lots, ask, ask_lots = view.market.top()
        body |= {
            "x": price(day.open), "c": price(day.close), "Q": last_qty, "b": price(bid), "B": qty(bid_lots),
            "a": price(ask), "A": qty(ask_lots),
        }  # fmt: skip
    else:
        body |= {"c": price(day.close), "Q": last_qty}
    body |= {
        "o": price(day.open), "h": price(day.high), "l": price(day.low), "v": qty(day.volume),
        "q": _quote(view, day.turnover), "O": now_ms - 86_400_000, "C": now_ms, "F": day.first_id,
        "L": day.first_id + max(0, day.trades - 1), "n": day.trades,
    }  # fmt: skip
    return body | _kind(view)


def mini_event(view: MarketView, now_ms: int) -> dict[str, Any]:
    """Return a ``24hrMiniTicker`` stream event."""
    day = _day(view, now_ms)
    price = view.price.text
    return {
        "e": "24hrMiniTicker", "E": now_ms, "s": view.symbol, "c": price(day.close), "o": price(day.open),
        "h": price(day.high), "l": price(day.low), "v": view.qty.text(day.volume),
        "q": _quote(view, day.turnover),
    } | _kind(view)  # fmt: skip


def _change(view: MarketView, day: Candle) -> str:
    change = day.close - day.open
    return ("-" if change < 0 else "") + view.price.text(abs(change))


def _percent(day: Candle) -> str:
    return f"{Decimal(day.close - day.open) * 100 / day.open:.3f}" if day.open else "0.000"


def _average(view: MarketView, day: Candle) -> str:
    average = view.market.spec.tick_size * day.turnover / day.volume if day.volume else view.last_price()
    return f"{average:.{8 if view.product == 'spot' else view.rules.price_decimals}f}"
