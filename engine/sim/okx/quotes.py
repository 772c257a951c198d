"""What the public may know of one instrument besides its book: tickers, marks, funding, limits, trades.

Source: OKX v5 docs, "Market Data" and "Public Data", seen 2026-08.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from engine.sim.okx.instruments import Instrument, number_text
from engine.sim.tape import Aggregate, Print

HOUR_MS = 3_600_000
BAND = Decimal("0.05")
"""How far an order's price may lie beyond the reference price."""


def price_band(one: Instrument) -> tuple[int, int]:
    """Return the highest price of a buy and the lowest of a sell, ticks."""
    market = one.market
    bid, _, ask, _ = market.top()
    middle = Decimal(bid + ask) / 2 if bid and ask else Decimal(market.last_price_ticks)
    if one.is_swap:
        middle = market.mark_price / market.spec.tick_size
    highest = (middle * (1 + BAND)).to_integral_value(ROUND_CEILING)
    return int(highest), max(1, int((middle * (1 - BAND)).to_integral_value(ROUND_FLOOR)))


def price_limit(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the object of ``price-limit``."""
    highest, lowest = price_band(one)
    return {
        "instId": one.inst_id, "instType": one.inst_type, "buyLmt": one.price_text(highest),
        "sellLmt": one.price_text(lowest), "ts": str(now_ms), "enabled": True,
    }  # fmt: skip


def ticker(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the object of ``tickers``; volumes are contracts and base (swaps) or base and quote (spot)."""
    market, day = one.market, one.tape.day(now_ms)
    bid, bid_lots, ask, ask_lots = market.top()
    last = market.last_price_ticks
    opened, high, low, volume, turnover = last, last, last, 0, 0
    if day is not None:
        opened, high, low, volume, turnover = day.open, day.high, day.low, day.volume, day.turnover
    price = one.price_text
    quote = turnover * market.spec.lot_size * market.spec.tick_size
    return {
        "instType": one.inst_type, "instId": one.inst_id, "last": price(last),
        "lastSz": one.size_text(one.tape.trades[-1].qty_lots) if one.tape.trades else "0",
        "askPx": price(ask) if ask else "", "askSz": one.size_text(ask_lots) if ask else "",
        "bidPx": price(bid) if bid else "", "bidSz": one.size_text(bid_lots) if bid else "",
        "open24h": price(opened), "high24h": price(high), "low24h": price(low),
        "volCcy24h": number_text(market.qty(volume) if one.is_swap else quote),
        "vol24h": number_text(volume * one.lot), "sodUtc0": price(opened), "sodUtc8": price(opened),
        "ts": str(now_ms),
    }  # fmt: skip


def index_ticker(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the object of ``index-tickers``, of the index behind a swap."""
    price = number_text(one.market.index_price)
    return {
        "instId": one.underlying, "idxPx": price, "high24h": price, "low24h": price, "open24h": price,
        "sodUtc0": price, "sodUtc8": price, "ts": str(now_ms),
    }  # fmt: skip


def mark_price(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the object of ``mark-price``."""
    mark = number_text(one.market.mark_price)
    return {"instId": one.inst_id, "instType": one.inst_type, "markPx": mark, "ts": str(now_ms)}


def funding(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the object of ``funding-rate``: the forecast for the settlement at ``fundingTime``."""
    market = one.market
    interval = market.spec.funding_interval_h * HOUR_MS
    settled = market.funding_history[-1][1] if market.funding_history else Decimal("0.0001")
    return {
        "formulaType": "withRate", "fundingRate": f"{market.funding_rate:.16f}",
        "fundingTime": str(market.next_funding_ms), "impactValue": "10000.0000000000000000",
        "instId": one.inst_id, "instType": "SWAP", "interestRate": "0.0001000000000000",
        "maxFundingRate": "0.015", "method": "current_period", "minFundingRate": "-0.015",
        "nextFundingRate": "", "nextFundingTime": str(market.next_funding_ms + interval),
        "premium": f"{(market.mark_price - market.index_price) / market.index_price:.16f}",
        "settFundingRate": f"{settled:.16f}", "settState": "settled", "ts": str(now_ms),
    }  # fmt: skip


def funding_history(
    one: Instrument, before: int | None, after: int | None, most: int
) -> list[dict[str, Any]]:
    """Return settled periods, newest first; ``after`` means older than, ``before`` newer than a time."""
    rows = [
        {
            "formulaType": "withRate", "fundingRate": number_text(rate), "fundingTime": str(settled_ms),
            "instId": one.inst_id, "instType": "SWAP", "method": "current_period",
            "realizedRate": number_text(rate),
        }
        for settled_ms, rate, _ in reversed(one.market.funding_history)
        if (after is None or settled_ms < after) and (before is None or settled_ms > before)
    ]  # fmt: skip
    return rows[:most]


def open_interest(one: Instrument, now_ms: int) -> dict[str, Any]:
    """Return the object of ``open-interest``, in contracts, base and USD."""
    market = one.market
    base = market.qty(market.open_interest_lots)
    return {
        "instId": one.inst_id, "instType": one.inst_type, "oi": one.size_text(market.open_interest_lots),
        "oiCcy": number_text(base), "oiUsd": number_text(base * market.mark_price), "ts": str(now_ms),
    }  # fmt: skip


def trade(one: Instrument, row: Print) -> dict[str, Any]:
    """Return one match, as REST and ``trades-all`` show it."""
    return {
        "instId": one.inst_id, "side": "sell" if row.buyer_is_maker else "buy",
        "sz": one.size_text(row.qty_lots), "source": "0", "px": one.price_text(row.price_ticks),
        "tradeId": str(row.trade_id), "ts": str(row.traded_ms),
    }  # fmt: skip


def trades_row(one: Instrument, row: Aggregate) -> dict[str, Any]:
    """Return the matches of one taker at one price, as channel ``trades`` shows them."""
    return {
        "instId": one.inst_id, "tradeId": str(row.last_id), "px": one.price_text(row.price_ticks),
        "sz": one.size_text(row.qty_lots), "side": "sell" if row.buyer_is_maker else "buy",
        "ts": str(row.traded_ms), "count": str(row.last_id - row.first_id + 1), "source": "0",
        "seqId": one.market.last_id,
    }  # fmt: skip
