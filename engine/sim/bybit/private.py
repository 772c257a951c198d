"""Private topics: order, execution, execution.fast, position, wallet.

Source: Bybit v5 docs, "WebSocket Stream / Private", seen 2026-07.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bybit.hub import Hub, to_json
from engine.sim.bybit.instruments import Instrument, Listing
from engine.sim.bybit.views import Views
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.model import ExecType, FillRecord, Order, OrderEvent

Event = tuple[Account, str, str, dict[str, Any]]
"""Account, topic, category ("" where the topic has no categorised form), row."""
_FAST = ("symbol", "execId", "execPrice", "execQty", "orderId", "isMaker", "orderLinkId", "side", "execTime",
         "seq")  # fmt: skip


class PrivateFeed:
    """Collects what happened to accounts and sends it in order, spoiled by faults.

    Args:
        faults: fault hooks by category. wake: asks for a delivery soon.
    """

    def __init__(
        self, hub: Hub, views: Views, listing: Listing, faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int], wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self._hub = hub
        self._views = views
        self._listing = listing
        self._faults = faults
        self._now_ms = now_ms
        self._wake = wake
        self._waiting: list[Event] = []
        self._held: Event | None = None
        self._coins: dict[Account, dict[str, None]] = {}
        self._numbers = itertools.count(592_324_000_001)

    def on_order(self, event: OrderEvent) -> None:
        """Queue what an order's change says on all topics; every one of them touches the position."""
        order = event.order
        one = self._listing.by_market[order.market]
        if event.fill is not None:
            self._fill(event.fill, one)
        self.tell_order(order, {})
        if one.is_linear and event.exec_type is not ExecType.TRADE:
            self.on_position(order.account, one)
        self._wake()

    def tell_order(self, order: Order, changed: Mapping[str, Any]) -> None:
        """Queue an order's row, with some fields changed."""
        one = self._listing.by_market[order.market]
        row = {"category": one.category, **self._views.order(order), **changed}
        self._waiting.append((order.account, "order", one.category, row))

    def _fill(self, fill: FillRecord, one: Instrument) -> None:
        account = fill.order.account
        row = self._views.execution(fill)
        fast = {"category": one.category} | {name: row[name] for name in _FAST}
        if fill.is_maker:
            fast["orderLinkId"] = ""
        self._waiting.append((account, "execution.fast", one.category, fast))
        self._waiting.append((account, "execution", one.category, {"category": one.category, **row}))

    def on_balance(self, account: Account, coins: tuple[str, ...]) -> None:
        """Note which coins changed; one push tells them together."""
        self._coins.setdefault(account, {}).update(dict.fromkeys(coins))
        self._wake()

    def on_position(self, account: Account, one: Instrument) -> None:
        """Queue a position, changed or not."""
        row = self._views.position(account, one, is_push=True)
        self._waiting.append((account, "position", one.category, row))
        self._wake()

    def on_funding(self, account: Account, one: Instrument, amount: Decimal, rate: Decimal) -> None:
        """Queue a funding payment."""
        row = self._views.funding(account, one, amount, rate, self._now_ms())
        self._waiting.append((account, "execution", one.category, {"category": one.category, **row}))
        self._wake()

    # -- sending -------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Send what waits."""
        coins, self._coins = self._coins, {}
        for account, names in coins.items():
            self._waiting.append((account, "wallet", "", self._views.wallet(account, tuple(names))))
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            faults = self._faults[event[2] or "spot"]
            if not faults.armed and self._held is None:
                self._send(event)
            else:
                self._send_spoiled(faults, event)

    def _send(self, event: Event) -> None:
        account, topic, category, row = event
        forms = (topic, f"{topic}.{category}") if category else (topic,)
        for form in forms:
            key = (account.name, form)
            if self._hub.has(key):
                message = {
                    "id": f"{next(self._numbers)}_{account.uid}", "topic": form,
                    "creationTime": self._now_ms(), "data": [row],
                }  # fmt: skip
                self._hub.push(key, to_json(message))

    def _send_spoiled(self, faults: FaultPoints, event: Event) -> None:
        take = faults.take
        if take("drop_private") is not None:
            return
        if (late := take("events_after_ack")) is not None:
            asyncio.get_running_loop().call_later(delay_s(late, 200), self._send_later, event)
            return
        if self._held is None and take("reorder_private") is not None:
            self._held = event
            return
        self._send(event)
        if take("duplicate_private") is not None:
            self._send(event)
        if self._held is not None:
            held, self._held = self._held, None
            self._send(held)

    def _send_later(self, event: Event) -> None:
        self._send(event)
        self._wake()
