"""Whether an account can still be reached, and how old everything is that was last known of it.

A venue that has gone takes positions, balances and open orders with it: what the engine shows of them is a
memory, and must say so. An account is reached while its private stream is up, or while the venue answers
questions about it; a stream that is down is not enough to call it lost, so it is asked for. What has not been
reached for the configured time is *stranded*: listed as such, each value with its age, until the venue tells
it again. Nothing is forgotten and nothing is assumed to be closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from engine.model.account import Balance, Position
from engine.model.instrument import Instrument
from engine.model.ports import Clock
from engine.router.order import Order
from engine.telemetry import events
from engine.telemetry.log import EventLog, redact

WATCH_S = 0.25
ASK_AGAIN_S = 5.0
"""How often an account whose stream is down is asked for over REST, at least thrice before it strands."""


class AccountReach:
    """The reach of one account.

    Args:
        name: venue and product, for the log.
        stranded_after_ms: unreached for longer, it is stranded.
        is_up: tells whether the private stream is subscribed; down_reason, why it is not.
        ask: asks for balances and positions; whoever understands an answer calls :meth:`told`.
    """

    def __init__(
        self,
        name: tuple[str, str],
        clock: Clock,
        log: EventLog,
        *,
        stranded_after_ms: int,
        is_up: Callable[[], bool],
        down_reason: Callable[[], str],
        ask: Callable[[], Awaitable[None]],
    ) -> None:
        self._venue, self._product = name
        self._clock = clock
        self._log = log
        self._after_ns = stranded_after_ms * 1_000_000
        self._ask_again_ns = min(int(ASK_AGAIN_S * 1e9), self._after_ns // 3)
        self._is_up = is_up
        self._down_reason = down_reason
        self._ask = ask
        self._told_ns: dict[tuple[str, str], int] = {}
        self._heard_ns = self._asked_ns = clock.mono_ns()
        self.is_stranded = False

    def told(self, kind: str, names: Iterable[str]) -> None:
        """Note that the venue told these balances or positions (``kind``) just now."""
        now = self._clock.mono_ns()
        self._heard_ns = now
        for name in names:
            self._told_ns[kind, name] = now

    @property
    def silent_s(self) -> float:
        """Return for how long the account has not been reached, seconds."""
        return 0.0 if self._is_up() else self._seconds_since(self._heard_ns)

    def _seconds_since(self, mono_ns: int) -> float:
        return round((self._clock.mono_ns() - mono_ns) / 1e9, 1)

    async def watch(self) -> None:
        """Watch for ever; ask for an account whose stream is down."""
        while True:
            await asyncio.sleep(WATCH_S)
            now = self._clock.mono_ns()
            if not self._is_up() and now - self._asked_ns >= self._ask_again_ns:
                self._asked_ns = now
                await self._ask()
            self.judge()

    def judge(self) -> None:
        """Decide whether the account is stranded, and say so when that changes."""
        now = self._clock.mono_ns()
        if self._is_up():
            self._heard_ns = now
        is_stranded = now - self._heard_ns > self._after_ns
        if is_stranded == self.is_stranded:
            return
        self.is_stranded = is_stranded
        if is_stranded:
            self._log.emit(
                events.ACCOUNT_STRANDED,
                venue=self._venue,
                product=self._product,
                silent_s=self.silent_s,
                reason=redact(self._down_reason()),
            )
        else:
            self._log.emit(events.ACCOUNT_REACHED, venue=self._venue, product=self._product)

    def view(
        self,
        balances: Mapping[str, Balance],
        positions: Mapping[str, Position],
        orders: Iterable[Order],
        instruments: Mapping[str, Instrument],
    ) -> dict[str, Any] | None:
        """Return what is stranded, each value with its age in seconds; ``None`` while the account is reached.

        Positions that are flat and balances that are zero are left out: nothing of them is stranded.
        """
        if not self.is_stranded:
            return None
        return {
            "silent_s": self.silent_s,
            "reason": self._down_reason(),
            "positions": {
                universal: {
                    "qty": f"{row.position_qty:f}",
                    "entry_price": f"{row.entry_price:f}",
                    "age_s": self._age("position", universal),
                }
                for universal, row in positions.items()
                if row.position_qty
            },
            "balances": {
                asset: {
                    "free": f"{row.free:f}",
                    "locked": f"{row.locked:f}",
                    "age_s": self._age("balance", asset),
                }
                for asset, row in balances.items()
                if row.free or row.locked
            },
            "orders": [
                {
                    "client_order_id": order.client_order_id,
                    "pair": order.universal,
                    "side": order.side.word,
                    "state": order.state.value,
                    "leaves_qty": f"{instruments[order.universal].qty(order.leaves_qty).normalize():f}",
                    "age_s": self._seconds_since(order.updated_ns),
                }
                for order in orders
                if not order.state.is_final and order.universal in instruments
            ],
        }

    def _age(self, kind: str, name: str) -> float | None:
        told_ns = self._told_ns.get((kind, name))
        return None if told_ns is None else self._seconds_since(told_ns)
