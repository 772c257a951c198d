"""Private topics: order, execution, execution.fast, position, wallet.

Source: Bybit v5 docs, "WebSocket Stream / Private", seen 2026-07.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bybit.hub import Hub, to_json
from engine.sim.bybit.instruments import Instrument, Listing
from engine.sim.bybit.ledger import Ledger
from engine.sim.bybit.views import Views
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import ExecType, FillRecord, Order, OrderEvent
from engine.sim.private_post import PrivatePost

ROWS_MOST = 20
_IDENTITY = {"order": "orderId", "execution": "execId", "execution.fast": "execId"}
"""Topics whose messages may hold several rows, and what is different in each of them."""
_FAST = ("symbol", "execId", "execPrice", "execQty", "orderId", "isMaker", "orderLinkId", "side", "execTime",
         "seq")  # fmt: skip


@dataclass(slots=True)
class Event:
    """One message to come; ``category`` is empty where the topic has no categorised form."""

    account: Account
    topic: str
    category: str
    seq: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def takes(self, other: Event) -> bool:
        """Tell whether the other's row belongs in this message: same topic, nothing told twice."""
        name = _IDENTITY.get(self.topic)
        if name is None or (self.account, self.topic, self.category) != (
            other.account, other.topic, other.category,
        ):  # fmt: skip
            return False
        return len(self.rows) < ROWS_MOST and all(row[name] != other.rows[0][name] for row in self.rows)


class PrivateFeed:
    """Collects what happened to accounts and sends it in order, spoiled by faults.

    Args:
        faults: fault hooks by category. wake: asks for a delivery soon.
    """

    def __init__(
        self, hub: Hub, views: Views, ledger: Ledger, listing: Listing, faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int], wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self._hub = hub
        self._views = views
        self._ledger = ledger
        self._listing = listing
        self._faults = faults
        self._now_ms = now_ms
        self._wake = wake
        self._waiting: list[Event] = []
        self._post = PrivatePost(self._send, wake)
        self._coins: dict[Account, dict[str, None]] = {}

    def _queue(self, account: Account, topic: str, one: Instrument, row: dict[str, Any]) -> None:
        self._waiting.append(Event(account, topic, one.category, one.market.last_id, [row]))
        self._wake()

    def on_order(self, event: OrderEvent) -> None:
        """Queue what an order's change says on all topics; every one of them touches the position."""
        order = event.order
        one = self._listing.by_market[order.market]
        if event.fill is not None:
            self._ledger.book_fill(event.fill, one)
            self._fill(event.fill, one)
        self.tell_order(order, {})
        if one.is_linear and event.exec_type is not ExecType.TRADE:
            self.on_position(order.account, one)

    def tell_order(self, order: Order, changed: Mapping[str, Any]) -> None:
        """Queue an order's row, with some fields changed."""
        one = self._listing.by_market[order.market]
        row = {"category": one.category, **self._views.order(order), **changed}
        self._queue(order.account, "order", one, row)

    def _fill(self, fill: FillRecord, one: Instrument) -> None:
        account = fill.order.account
        row = {"category": one.category, **self._views.execution(fill)}
        fast = {"category": one.category} | {name: row[name] for name in _FAST}
        if fill.is_maker:
            fast["orderLinkId"] = ""
        self._queue(account, "execution.fast", one, fast)
        self._queue(account, "execution", one, row)

    def on_balance(self, account: Account, coins: tuple[str, ...]) -> None:
        """Note which coins changed; one push tells them together."""
        self._coins.setdefault(account, {}).update(dict.fromkeys(coins))
        self._wake()

    def on_position(self, account: Account, one: Instrument) -> None:
        """Queue a position, changed or not."""
        self._queue(account, "position", one, self._views.position(account, one, is_push=True))

    def on_funding(self, account: Account, one: Instrument, amount: Decimal, rate: Decimal) -> None:
        """Queue a funding payment."""
        row = self._views.funding(account, one, amount, rate, self._now_ms())
        self._ledger.book_funding(account, one, amount, row)
        self._queue(account, "execution", one, {"category": one.category, **row})

    # -- sending -------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Send what waits; rows of one topic that follow each other share a message."""
        coins, self._coins = self._coins, {}
        waiting, self._waiting = self._waiting, []
        for account, names in coins.items():
            if self._hub.has((account.name, "wallet")):
                row = self._views.wallet(account, tuple(names))
                waiting.append(Event(account, "wallet", "", 0, [row]))
        is_spoiled = self._post.holds or any(faults.armed for faults in self._faults.values())
        if is_spoiled:
            for event in waiting:
                self._post.deliver(event, self._faults[event.category or "spot"])
            return
        latest: dict[str, Event] = {}
        messages: list[Event] = []
        for event in waiting:
            before = latest.get(event.topic)
            if before is not None and before.takes(event):
                before.rows += event.rows
            else:
                latest[event.topic] = event
                messages.append(event)
        for event in messages:
            self._send(event)

    def _send(self, event: Event) -> None:
        account, topic, category = event.account, event.topic, event.category
        forms = (topic, f"{topic}.{category}") if category else (topic,)
        for form in forms:
            key = (account.name, form)
            if self._hub.has(key):
                head: dict[str, Any] = {"topic": form}
                if topic != "execution.fast":
                    head["id"] = f"{account.uid}_{event.rows[0].get('symbol', topic)}_{event.seq}"
                self._hub.push(key, to_json(head | {"creationTime": self._now_ms(), "data": event.rows}))
