"""Private channels: orders, account, positions, balance_and_position; snapshots, events, repeats.

Source: OKX v5 docs, "Order channel", "Account channel", "Positions channel", "Balance and position channel",
seen 2026-08.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import ExecType, Order, OrderEvent
from engine.sim.okx.hub import Arg, Hub, Session, Subscription, dump
from engine.sim.okx.instruments import Instrument
from engine.sim.okx.ledger import Ledger
from engine.sim.okx.views import Views, order_number
from engine.sim.private_post import PrivatePost
from engine.sim.sockets import text_frame

MERGED_MS = 50
PAGE_ROWS = 5
_SHORT_POSITION = (
    "avgPx", "ccy", "instId", "instType", "mgnMode", "pos", "posCcy", "posId", "posSide", "settledPnl",
    "tradeId", "uTime",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One message that waits: what stands beside ``arg`` and ``data``, and the rows of ``data``."""

    account: Account
    channel: str
    head: dict[str, Any]
    rows: list[dict[str, Any]]
    faults: FaultPoints


@dataclass(slots=True)
class Fills:
    """What a round's fills or funding of one account changed."""

    kind: str = "filled"
    assets: dict[str, None] = field(default_factory=dict)
    instruments: dict[Instrument, None] = field(default_factory=dict)
    trades: list[dict[str, str]] = field(default_factory=list)


class PrivateFeed:
    """Collects what happened to accounts and sends it in order, spoiled by faults.

    Args:
        faults: fault hooks by product. wake: asks for a delivery soon.
    """

    def __init__(
        self,
        hub: Hub,
        views: Views,
        ledger: Ledger,
        faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int],
        wake: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._views = views
        self._ledger = ledger
        self._faults = faults
        self._now_ms = now_ms
        self._wake = wake
        self._waiting: list[Event] = []
        self._post = PrivatePost(self._send, wake)
        self._fills: dict[tuple[Account, str], Fills] = {}
        self._assets: dict[Account, dict[str, None]] = {}
        self._positions: dict[Account, dict[Instrument, None]] = {}
        self._merged_since: float | None = None

    # -- what happened -------------------------------------------------------------------------------------

    def on_order(self, event: OrderEvent) -> None:
        """Queue a push of the orders channel."""
        order, fill = event.order, event.fill
        one = self._views.instrument_of(order)
        if event.exec_type is ExecType.TRADE and fill is not None:
            number = order_number(order, one)
            self._ledger.note_fill(one, fill, number)
            spec = one.market.spec
            assets = (one.settle,) if one.is_swap else (spec.base, spec.quote)
            self._note(order.account, "filled", assets, one).trades.append(
                {"instId": one.inst_id, "tradeId": str(fill.trade_id)}
            )
        self._queue_order(event.order, self._views.order(order, fill, is_push=True))

    def tell(self, order: Order) -> None:
        """Queue a push of an order as it stands."""
        self._queue_order(order, self._views.order(order, None, is_push=True))

    def on_balance(self, account: Account, assets: tuple[str, ...]) -> None:
        """Note which currencies changed; events are merged."""
        self._assets.setdefault(account, {}).update(dict.fromkeys(assets))
        self._start_merging()

    def on_position(self, account: Account, one: Instrument) -> None:
        """Note which position changed; events are merged."""
        self._positions.setdefault(account, {})[one] = None
        self._start_merging()

    def on_funding(self, account: Account, one: Instrument, amount: Decimal) -> None:
        """Note a funding payment."""
        self._ledger.note_funding(account, one, amount, self._now_ms())
        self._note(account, "funding_fee", (one.settle,), one)
        self.on_balance(account, (one.settle,))
        self.on_position(account, one)
        self._wake()

    def _note(self, account: Account, kind: str, assets: tuple[str, ...], one: Instrument) -> Fills:
        changed = self._fills.setdefault((account, kind), Fills(kind))
        changed.assets.update(dict.fromkeys(assets))
        if one.is_swap:
            changed.instruments[one] = None
        return changed

    def _start_merging(self) -> None:
        if self._merged_since is None:
            self._merged_since = time.monotonic()

    def _queue_order(self, order: Order, row: dict[str, Any]) -> None:
        faults = self._faults[order.market.spec.product]
        self._waiting.append(Event(order.account, "orders", {}, [row], faults))
        self._wake()

    # -- by the clock --------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Send merged events that are due, and the regular repeats."""
        since = self._merged_since
        if since is not None and (time.monotonic() - since) * 1000 >= MERGED_MS:
            self._merge()
        now_ms = int(time.monotonic() * 1000)
        for (channel, _), sessions in list(self._hub.listeners.items()):
            if channel not in ("account", "positions"):
                continue
            for session in sessions:
                for subscription in session.keys[channel, _account_name(session)].values():
                    due = subscription.repeat_ms and now_ms - subscription.sent_ms >= subscription.repeat_ms
                    if due:
                        self.first_words(session, channel, subscription)

    def _merge(self) -> None:
        """Turn what changed into one event for each account and channel."""
        self._merged_since = None
        assets, self._assets = self._assets, {}
        positions, self._positions = self._positions, {}
        head = {"eventType": "event_update"}
        now = self._now_ms()
        for account, names in assets.items():
            row = self._views.account(account, tuple(names))
            self._waiting.append(Event(account, "account", head, [row], self._faults["spot"]))
        for account, instruments in positions.items():
            rows = [self._views.position(account, one, now) | {"pTime": str(now)} for one in instruments]
            self._waiting.append(Event(account, "positions", head, rows, self._faults["perp"]))

    # -- sending -------------------------------------------------------------------------------------------

    def first_words(self, session: Session, channel: str, subscription: Subscription) -> None:
        """Send a snapshot, page by page; the orders channel has none."""
        account = session.account
        assert account is not None
        now = self._now_ms()
        subscription.sent_ms = int(time.monotonic() * 1000)
        if channel == "balance_and_position":
            row = self._short(account, self._views.currencies(account), self._views.held(account))
            self._write(session, subscription.arg, {}, [row | {"eventType": "snapshot", "trades": []}])
        elif channel == "positions":
            rows = [
                self._views.position(account, one, now) | {"pTime": str(now)}
                for one in self._views.held(account)
            ]
            pages = _pages(_chosen(channel, subscription.arg, rows))
            for number, part in enumerate(pages, 1):
                self._write(session, subscription.arg, _page_head(number, len(pages)), part)
        elif channel == "account":
            whole = self._views.account(account, self._views.currencies(account))
            [row] = _chosen(channel, subscription.arg, [whole]) or [whole | {"details": []}]
            pages = _pages(row["details"])
            for number, part in enumerate(pages, 1):
                self._write(
                    session, subscription.arg, _page_head(number, len(pages)), [row | {"details": part}]
                )

    def _short(self, account: Account, assets: tuple[str, ...], swaps: list[Instrument]) -> dict[str, Any]:
        """Return balances and positions as balance_and_position shows them."""
        now = self._now_ms()
        return {
            "balData": [
                {key: detail[key] for key in ("cashBal", "ccy", "uTime")}
                for detail in (self._views.detail(account, asset) for asset in assets)
            ],
            "posData": [
                {key: each[key] for key in _SHORT_POSITION} | {"nonSettleAvgPx": ""}
                for each in (self._views.position(account, one, now) for one in swaps)
            ],
            "pTime": str(now),
        }  # fmt: skip

    def _write(self, session: Session, arg: Arg, head: Mapping[str, Any], rows: list[Any]) -> None:
        session.pushed = time.monotonic()
        session.outlet.push(text_frame(dump({"arg": arg, **head, "data": rows})))

    def deliver(self) -> None:
        """Send what waits."""
        fills, self._fills = self._fills, {}
        for (account, kind), changed in fills.items():
            row = self._short(account, tuple(changed.assets), list(changed.instruments))
            row |= {"eventType": kind, "trades": changed.trades}
            faults = self._faults["perp" if changed.instruments else "spot"]
            self._waiting.append(Event(account, "balance_and_position", {}, [row], faults))
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self._post.deliver(event, event.faults)

    def _send(self, event: Event) -> None:
        key = (event.channel, event.account.name)
        for session in self._hub.listeners.get(key, {}):
            for subscription in session.keys[key].values():
                rows = _chosen(event.channel, subscription.arg, event.rows)
                if rows:
                    self._write(session, subscription.arg, event.head, rows)


def _account_name(session: Session) -> str:
    return session.account.name if session.account is not None else ""


def _page_head(number: int, pages: int) -> dict[str, Any]:
    return {"eventType": "snapshot", "curPage": number, "lastPage": number == pages}


def _pages(rows: list[Any]) -> list[list[Any]]:
    return [rows[start : start + PAGE_ROWS] for start in range(0, len(rows), PAGE_ROWS)] or [[]]


def _chosen(channel: str, arg: Arg, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows that a subscription asked for."""
    if channel == "account":
        wanted = str(arg.get("ccy") or "")
        parts = [[each for each in row["details"] if wanted in ("", each["ccy"])] for row in rows]
        return [row | {"details": part} for row, part in zip(rows, parts, strict=True) if part]
    if channel == "balance_and_position":
        return rows
    kind, family, name = (str(arg.get(key) or "") for key in ("instType", "instFamily", "instId"))
    return [
        row
        for row in rows
        if kind in ("", "ANY", row["instType"])
        and name in ("", row["instId"])
        and (not family or row["instId"].startswith(f"{family}-"))
    ]
