"""Ticker and price-limit topics: at their pace, and only when something has changed.

Source: Bybit v5 docs, "Ticker" and "Order Price Limit" (WebSocket), seen 2026-07.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.sim.bybit.hub import Hub, to_json
from engine.sim.bybit.instruments import Instrument, Listing, number_text
from engine.sim.bybit.rules import band
from engine.sim.bybit.views import Views

TICKER_MS = {"spot": 50, "linear": 100}
LIMIT_MS = 300

State = tuple[object, ...]


class Tickers:
    """The ``tickers`` and ``priceLimit`` topics of every instrument."""

    def __init__(self, hub: Hub, listing: Listing, views: Views) -> None:
        self._hub = hub
        self._views = views
        self._listing = listing
        self._keys = {
            one: tuple((one.category, f"{kind}.{one.symbol}") for kind in ("tickers", "priceLimit"))
            for one in listing.all
        }
        self._rows: dict[Instrument, dict[str, Any]] = {}
        self._states: dict[Instrument, State] = {}
        self._limits: dict[Instrument, tuple[object, object]] = {}
        self._next_ms = dict.fromkeys(("spot", "linear", "limits"), 0)

    def first(self, one: Instrument, now: int) -> bytes:
        """Return a ticker's snapshot, in step with what its listeners have been told."""
        key = self._keys[one][0]
        row = self._rows.get(one)
        if row is None or not self._hub.has(key):
            row = self._rows[one] = self._views.ticker(one, now, is_push=True)
        return self._frame(one, "snapshot", row, now)

    def limit(self, one: Instrument, now: int) -> bytes:
        """Return the price limits' message."""
        high, low = band(one)
        data = {"symbol": one.symbol, "buyLmt": number_text(high), "sellLmt": number_text(low)}
        return to_json({"topic": f"priceLimit.{one.symbol}", "data": data, "ts": now})

    def _frame(self, one: Instrument, kind: str, row: Mapping[str, Any], now: int) -> bytes:
        head: dict[str, Any] = {"topic": f"tickers.{one.symbol}"}
        if one.is_linear:
            return to_json(head | {"type": kind, "data": row, "cs": one.market.last_id, "ts": now})
        return to_json(head | {"ts": now, "type": kind, "cs": one.market.last_id, "data": row})

    def tick(self, now: int) -> None:
        """Publish what is due."""
        for category, pace_ms in TICKER_MS.items():
            if not 0 <= self._next_ms[category] - now <= pace_ms:
                self._next_ms[category] = now + pace_ms
                for one in self._listing.of(category):
                    if self._hub.has(self._keys[one][0]):
                        self._publish(one, now)
        if not 0 <= self._next_ms["limits"] - now <= LIMIT_MS:
            self._next_ms["limits"] = now + LIMIT_MS
            for one in self._listing.all:
                if self._hub.has(self._keys[one][1]) and (limits := band(one)) != self._limits.get(one):
                    self._limits[one] = limits
                    self._hub.push(self._keys[one][1], self.limit(one, now))

    def _publish(self, one: Instrument, now: int) -> None:
        market = one.market
        latest = one.tape.trades[-1].trade_id if one.tape.trades else 0
        state: State = (latest, now // 60_000)
        if one.is_linear:
            state += (*market.top(), market.mark_price, market.funding_rate, market.next_funding_ms)
        if state == self._states.get(one):
            return
        self._states[one] = state
        row, before = self._views.ticker(one, now, is_push=True), self._rows.get(one, {})
        if row == before:
            return
        self._rows[one] = row
        if one.is_linear:
            changed = {name: value for name, value in row.items() if before.get(name) != value}
            data, kind = {"symbol": one.symbol} | changed, "delta"
        else:
            data, kind = row, "snapshot"
        self._hub.push(self._keys[one][0], self._frame(one, kind, data, now))
