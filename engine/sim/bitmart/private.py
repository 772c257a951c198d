"""Private pushes of one product: collected as they happen, sent in order, spoiled by faults.

Source: BitMart spot and futures v2 docs, private channels, mirrored copy of 2025-11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bitmart.frames import to_json
from engine.sim.bitmart.futures_views import FuturesViews
from engine.sim.bitmart.hub import Hub
from engine.sim.bitmart.instruments import Instrument, Listing
from engine.sim.bitmart.positions import Positions
from engine.sim.bitmart.spot_views import SpotViews
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import OrderEvent
from engine.sim.private_post import PrivatePost

POSITIONS_EVERY_MS = 10_000

Event = tuple[Account, list[tuple[str, bytes]]]
"""One thing that happened, and its push for every topic that tells it."""


class PrivateFeed:
    """Sends what happened to accounts.

    Args:
        wake: asks for a delivery soon.
    """

    def __init__(self, hub: Hub, faults: FaultPoints, wake: Callable[[], None]) -> None:
        self.hub = hub
        self._faults = faults
        self._wake = wake
        self._waiting: list[Event] = []
        self._post = PrivatePost(self._send, wake)

    def queue(self, account: Account, pushes: list[tuple[str, dict[str, Any]]]) -> None:
        """Queue one event; only topics that somebody listens to are encoded."""
        wanted = [(topic, to_json(row)) for topic, row in pushes if self.hub.has((account.name, topic))]
        if wanted:
            self._waiting.append((account, wanted))
            self._wake()

    def deliver(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self._post.deliver(event, self._faults)

    def _send(self, event: Event) -> None:
        account, pushes = event
        for topic, payload in pushes:
            self.hub.tell(account, topic, payload)


class SpotPrivate(PrivateFeed):
    """``spot/user/order(s)`` and ``spot/user/balance``."""

    def __init__(
        self, hub: Hub, faults: FaultPoints, wake: Callable[[], None], views: SpotViews,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        super().__init__(hub, faults, wake)
        self._views = views
        self._now_ms = now_ms

    def on_order(self, event: OrderEvent) -> None:
        """Queue an order's change; the channel for one symbol and that for all differ in their names."""
        row = self._views.order_push(event, self._now_ms())
        pushes = [
            (
                f"spot/user/order:{event.order.market.spec.symbol}",
                {"data": [row], "table": "spot/user/order"},
            ),
            ("spot/user/orders:ALL_SYMBOLS", {"data": [row], "table": "spot/user/orders"}),
        ]
        self.queue(event.order.account, pushes)

    def on_balance(self, account: Account, coins: tuple[str, ...]) -> None:
        """Queue balances, each coin in a push of its own."""
        for coin in coins:
            row = self._views.balance_push(account, coin, self._now_ms())
            self.queue(account, [("spot/user/balance:BALANCE_UPDATE", row)])


class FuturesPrivate(PrivateFeed):
    """``futures/order``, ``futures/position`` and ``futures/asset``."""

    def __init__(
        self, hub: Hub, faults: FaultPoints, wake: Callable[[], None], views: FuturesViews,
        positions: Positions, listing: Listing, now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        super().__init__(hub, faults, wake)
        self._views = views
        self._positions = positions
        self._listing = listing
        self._now_ms = now_ms
        self._repeated_ms = 0

    def on_order(self, event: OrderEvent) -> None:
        """Queue an order's change and the wallet that it touches."""
        order = event.order
        if event.fill is not None:
            self._positions.book(event.fill, self._listing.by_market[order.market])
        self.queue(order.account, [("futures/order", self._views.order_push(event))])
        if event.fill is None:
            self.on_balance(order.account, (order.market.spec.settle or order.market.spec.quote,))

    def on_balance(self, account: Account, coins: tuple[str, ...]) -> None:
        """Queue wallets."""
        for coin in coins:
            topic = f"futures/asset:{coin}"
            if self.hub.has((account.name, topic)):
                self.queue(account, [(topic, self._views.asset_push(account, coin))])

    def on_position(self, account: Account, one: Instrument) -> None:
        """Queue a position."""
        row = self._views.position_push(account, one, self._now_ms())
        if row is not None:
            self.queue(account, [("futures/position", row)])

    def repeat_positions(self, accounts: list[Account]) -> None:
        """Queue held positions again, every ten seconds."""
        now = self._now_ms()
        if 0 <= now - self._repeated_ms < POSITIONS_EVERY_MS:
            return
        self._repeated_ms = now
        for account in accounts:
            if self.hub.has((account.name, "futures/position")):
                for one in self._listing.of("perp"):
                    if not self._positions.is_flat(account, one):
                        self.on_position(account, one)
