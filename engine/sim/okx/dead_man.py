"""Cancel-all-after: orders are cancelled unless their owner repeats in time that it is alive.

Times of the answer are in seconds, as the documented example shows; what the venue sends is UNCONFIRMED.

Source: OKX v5 docs, "POST / Cancel All After", seen 2026-08.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.sim.exchange import Exchange
from engine.sim.okx.calls import Call
from engine.sim.okx.errors import OkxError, wrong_parameter
from engine.sim.okx.limits import Limit, RateLimits
from engine.sim.okx.trading import TAG, given, text

SHORTEST_S, LONGEST_S = 10, 120
TAGS_MAX = 20


class DeadMan:
    """Timers by account name and tag ("" for all orders of the account)."""

    def __init__(self, exchange: Exchange, limits: RateLimits, now_ms: Callable[[], int]) -> None:
        self._exchange = exchange
        self._limits = limits
        self._now_ms = now_ms
        self._due_ms: dict[tuple[str, str], int] = {}

    def arm(self, call: Call) -> list[Any]:
        """Answer ``/trade/cancel-all-after``; 0 seconds disarm."""
        raw = text(call.members, "timeOut")
        tag = str(given(call.members, "tag") or "")
        if tag and TAG.fullmatch(tag) is None:
            raise wrong_parameter("tag")
        if not raw.isdecimal() or not (int(raw) == 0 or SHORTEST_S <= int(raw) <= LONGEST_S):
            raise wrong_parameter("timeOut")
        name, now = call.owner.name, self._now_ms()
        self._limits.take("cancel-all-after", Limit(1, length_ms=1_000), name, tag)
        seconds = int(raw)
        self._due_ms.pop((name, tag), None)
        if seconds:
            if tag and sum(owner == name and each != "" for owner, each in self._due_ms) >= TAGS_MAX:
                raise OkxError(
                    "51071", "You've reached the maximum limit for tag level cancel all after timers."
                )
            self._due_ms[name, tag] = now + seconds * 1_000
        due = str(now // 1_000 + seconds) if seconds else "0"
        return [{"triggerTime": due, "tag": tag, "ts": str(now // 1_000)}]

    def tick(self) -> None:
        """Cancel the orders of those whose time has passed."""
        if not self._due_ms:
            return
        now = self._now_ms()
        for (name, tag), due_ms in list(self._due_ms.items()):
            if due_ms > now:
                continue
            del self._due_ms[name, tag]
            account = self._exchange.account_named(name)
            assert account is not None
            for product in ("spot", "perp"):
                for order in self._exchange.open_orders(account, product):
                    if tag in ("", order.extra.get("tag")):
                        self._exchange.expire(order)
