"""Private channels: orders, account, positions, balance_and_position; snapshots, events, repeats.

Source: OKX v5 docs, "Order channel", "Account channel", "Positions channel", "Balance and position channel".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.accounts import Account
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.model import ExecType, OrderEvent
from engine.sim.okx.instruments import Instrument, Listing, number_text
from engine.sim.okx.sessions import Hub, Session
from engine.sim.okx.views import Views
from engine.sim.sockets import text_frame

MERGED_MS = 50
REPEAT_MS = 5_000

Event = tuple[Account, str, dict[str, Any], str]
"""Account, channel, message, instrument type ("" for all)."""


class PrivateFeed:
    """Collects what happened to accounts and sends it in order, spoiled by faults.

    Args:
        wake: asks for a delivery soon.
    """

    def __init__(
        self,
        hub: Hub,
        views: Views,
        listing: Listing,
        faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._views = views
        self._listing = listing
        self._faults = faults
        self._now_ms = now_ms
        self._wake = wake
        self._waiting: list[tuple[FaultPoints, Event]] = []
        self._held: Event | None = None
        self._assets: dict[Account, dict[str, None]] = {}
        self._positions: dict[Account, dict[Instrument, None]] = {}
        self._merge_from_ms = 0
        self._repeated_ms = 0

    # -- what happened -------------------------------------------------------------------------------------

    def on_order(self, event: OrderEvent) -> None:
        """Queue a push of the orders channel."""
        order = event.order
        one = self._views.instrument_of(order)
        row = self._views.order(order, event.fill, is_push=True)
        if event.exec_type is ExecType.TRADE:
            row["state"] = {"PARTIALLY_FILLED": "partially_filled"}.get(event.status.value, "filled")
            row["accFillSz"] = one.size_text(event.filled_lots)
        faults = self._faults[order.market.spec.product]
        self._waiting.append((faults, (order.account, "orders", {"data": [row]}, one.inst_type)))
        self._wake()

    def on_balance(self, account: Account, assets: tuple[str, ...]) -> None:
        """Note which currencies changed; events are merged."""
        self._assets.setdefault(account, {}).update(dict.fromkeys(assets))
        self._merge_from_ms = self._merge_from_ms or self._now_ms()

    def on_position(self, account: Account, one: Instrument) -> None:
        """Note which position changed; events are merged."""
        self._positions.setdefault(account, {})[one] = None
        self._merge_from_ms = self._merge_from_ms or self._now_ms()

    # -- sending -------------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> None:
        """Send merged events that are due, and the regular repeats."""
        if self._merge_from_ms and now_ms - self._merge_from_ms >= MERGED_MS:
            self._flush_merged(now_ms)
        if now_ms - self._repeated_ms >= REPEAT_MS:
            self._repeated_ms = now_ms
            self._repeat()

    def _flush_merged(self, now_ms: int) -> None:
        self._merge_from_ms = 0
        assets, self._assets = self._assets, {}
        positions, self._positions = self._positions, {}
        for account, names in assets.items():
            row = self._views.account(account, tuple(names))
            self._queue(account, "account", {"eventType": "event_update", "data": [row]})
            changed = [
                {"cashBal": detail["cashBal"], "ccy": detail["ccy"], "uTime": detail["uTime"]}
                for detail in row["details"]
            ]
            held = [self._views.position(account, one, now_ms) for one in positions.get(account, {})]
            told = {
                "balData": changed, "eventType": "filled", "pTime": str(now_ms), "trades": [],
                "posData": [
                    {key: each[key] for key in (
                        "avgPx", "ccy", "instId", "instType", "mgnMode", "pos", "posCcy", "posId", "posSide",
                        "settledPnl", "tradeId", "uTime",
                    )} | {"nonSettleAvgPx": ""}
                    for each in held
                ],
            }  # fmt: skip
            self._queue(account, "balance_and_position", {"data": [told]})
        for account, instruments in positions.items():
            rows = [
                self._views.position(account, one, now_ms) | {"pTime": str(now_ms)} for one in instruments
            ]
            self._queue(account, "positions", {"eventType": "event_update", "data": rows})

    def _queue(self, account: Account, channel: str, message: dict[str, Any]) -> None:
        self._waiting.append((self._faults["perp" if channel == "positions" else "spot"],
                              (account, channel, message, "")))  # fmt: skip

    def _repeat(self) -> None:
        for key, sessions in self._hub.listeners.items():
            if key[0] in ("account", "positions"):
                for session in sessions:
                    if "updateInterval" not in str(session.keys[key].get("extraParams", "")):
                        self.first_words(session, key[0])

    def first_words(self, session: Session, channel: str) -> None:
        """Send a snapshot of an account channel; the orders channel has none."""
        account = session.account
        assert account is not None
        now = self._now_ms()
        paged = {"eventType": "snapshot", "curPage": 1, "lastPage": True}
        if channel == "account":
            self._send_to(session, channel, paged | {"data": [self._views.account(account, ())]})
        elif channel == "positions":
            rows = [
                self._views.position(account, one, now) | {"pTime": str(now)}
                for one in self._listing.all
                if one.is_swap and one.inst_id in account.positions and account.position(one.inst_id).lots
            ]
            self._send_to(session, channel, paged | {"data": rows})
        elif channel == "balance_and_position":
            balances = [
                {"cashBal": number_text(balance.total), "ccy": asset, "uTime": str(account.updated_ms)}
                for asset, balance in account.balances["spot"].items()
            ]
            row = {"balData": balances, "eventType": "snapshot", "pTime": str(now), "posData": []}
            self._send_to(session, channel, {"data": [row | {"trades": []}]})

    def _send_to(self, session: Session, channel: str, message: dict[str, Any]) -> None:
        assert session.account is not None
        arg = session.keys[channel, session.account.name]
        payload = json.dumps({"arg": arg, **message}, separators=(",", ":"))
        session.outlet.send(text_frame(payload.encode()))

    def deliver(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        for faults, event in waiting:
            if not faults.armed and self._held is None:
                self._send(event)
            else:
                self._send_spoiled(faults, event)

    def _send(self, event: Event) -> None:
        account, channel, message, inst_type = event
        for session in self._hub.listeners.get((channel, account.name), {}):
            arg = session.keys[channel, account.name]
            if inst_type and arg.get("instType", "ANY") not in ("ANY", inst_type):
                continue
            payload = json.dumps({"arg": arg, **message}, separators=(",", ":"))
            session.outlet.push(text_frame(payload.encode()))

    def _send_spoiled(self, faults: FaultPoints, event: Event) -> None:
        take = faults.take
        if take("drop_private") is not None:
            return
        if (late := take("events_after_ack")) is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s(late, 200), self._send_later, event)
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
