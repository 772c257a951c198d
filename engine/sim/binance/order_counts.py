"""Order-count queries, both products.

Source: Binance spot API docs, "Query Unfilled Order Count"; USDⓈ-M docs, "Query User Rate Limit".
"""

from __future__ import annotations

from typing import Any

from engine.sim.binance.gate import Call
from engine.sim.binance.limits import RateLimits, interval_name


class OrderCounts:
    """Answers how much of the order budget an account has used."""

    def __init__(self, limits: RateLimits, with_counts: bool) -> None:
        self._limits = limits
        self._with_counts = with_counts

    def rows(self, call: Call) -> list[dict[str, Any]]:
        """``GET …/rateLimit/order``; futures tell only the limits."""
        rows = []
        for limit, length, _, count in self._limits.order_counts(call.account.name, call.now_ms):
            interval, number = interval_name(length)
            row: dict[str, Any] = {
                "rateLimitType": "ORDERS",
                "interval": interval,
                "intervalNum": number,
                "limit": limit,
            }
            rows.append(row | ({"count": count} if self._with_counts else {}))
        return rows
