"""Private topics, classic and unified: what happened to accounts, in order, spoiled by faults.

One change of an order is one event: whatever topics tell it, a fault that drops, repeats or delays it takes
all.

Source: KuCoin API docs, "Order Change", "Account Balance", "All Order change pushes", "Position Change
Events", unified "Order", "Execution", "Balance", "Position"; frames that clients recorded 2026-02 and
2026-03.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO, Account
from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.hub import Hub, Key, binary_frame, to_json
from engine.sim.kucoin.instruments import Instrument, Listing, number, plain
from engine.sim.kucoin.order_pushes import futures_order, spot_order
from engine.sim.kucoin.trading import MarginModes
from engine.sim.kucoin.unified_views import UnifiedViews
from engine.sim.kucoin.views import NS, Views, generation
from engine.sim.model import ExecType, FillRecord, Order, OrderEvent
from engine.sim.private_post import PrivatePost
from engine.sim.sockets import text_frame

STAMPS = ("E", "O", "U")
"""Fields of unified pushes that hold nanoseconds."""
Message = tuple[Key, bytes]
Event = tuple[str, list[Message]]
"""Product and the frames to send, by key."""


def is_unified(account: Account) -> bool:
    """Tell whether an account is a unified one; the configuration says so in ``key_type``."""
    return account.key_type == "unified"


def trade_types(account: Account, is_futures: bool) -> tuple[str, ...]:
    """Return the trade types under which an account's events of a product are pushed."""
    return ("UNIFIED",) if is_unified(account) else ("FUTURES" if is_futures else "SPOT", "TRADE")


class PrivateFeed:
    """Collects what happened and sends it.

    Args:
        faults: fault hooks by product. wake: asks for a delivery soon.
    """

    def __init__(
        self, hub: Hub, views: Views, unified: UnifiedViews, listing: Listing, modes: MarginModes,
        faults: Mapping[str, FaultPoints], now_ms: Callable[[], int], wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self._hub = hub
        self._views = views
        self._unified = unified
        self._listing = listing
        self._modes = modes
        self._faults = faults
        self._now_ms = now_ms
        self._wake = wake
        self._waiting: list[Event] = []
        self._post = PrivatePost(self._send, wake)
        self._balances: dict[tuple[Account, str, str], None] = {}
        self._told: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        self._context: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count(354_689_988_084_000)
        self._versions = itertools.count(1_001)

    def remember(self, account: Account) -> None:
        """Take an account's spot balances as known, so that pushes can tell changes."""
        for currency, balance in account.balances.get("spot", {}).items():
            self._told[account.name, currency] = (balance.free, balance.locked)

    # -------------------------------------------------------------------------------------- orders

    def on_order(self, event: OrderEvent) -> None:
        """Queue what a change says on all topics."""
        order, kind = event.order, event.exec_type
        self._context[order.account.name] = {"symbol": order.market.spec.symbol,
                                             "orderId": self._views.order_id(order)}  # fmt: skip
        if kind is ExecType.NEW:
            order.extra["told_lots"] = order.qty_lots
            self._queue(order, "received", "NEW", None)
        elif kind is ExecType.TRADE:
            self._queue(order, "match", "FILL", event.fill)
            if not order.is_open:
                self._queue(order, "filled", "", None)
        elif kind is ExecType.AMENDED:
            self._amended(order)
        else:
            self._queue(order, "canceled", "CANCEL", None)
        if self._listing.by_market[order.market].is_futures and kind is not ExecType.TRADE:
            self.on_balance(order.account, "perp", (order.market.spec.settle or order.market.spec.quote,))
        self._wake()

    def rested(self, order: Order) -> None:
        """Queue that an order has come to rest on the book; unified topics told it as NEW."""
        self._queue(order, "open", "", None)
        self._wake()

    def _amended(self, order: Order) -> None:
        before = order.extra.get("told_lots", order.qty_lots)
        order.extra["told_lots"] = order.qty_lots
        if generation(order) == order.extra.get("told_generation", 0):
            self._queue(order, "update", "UPDATE", None, {"oldSize": before})
            return
        order.extra["told_generation"] = generation(order)
        one = self._listing.by_market[order.market]
        gone = {"orderId": one.order_id(order.order_id, generation(order) - 1), "oldSize": before}
        self._queue(order, "altered", "CANCEL", None, gone)
        self._queue(order, "received", "NEW", None)

    def _queue(
        self, order: Order, kind: str, unified_kind: str, fill: FillRecord | None,
        changed: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        one, account = self._listing.by_market[order.market], order.account
        messages: list[Message] = []
        if not is_unified(account):
            self._classic_order(messages, order, one, kind, fill, changed or {})
        if unified_kind:
            self._unified_order(messages, order, one, unified_kind, fill, changed or {})
        if messages:
            self._waiting.append(("perp" if one.is_futures else "spot", messages))

    def _classic_order(
        self, messages: list[Message], order: Order, one: Instrument, kind: str, fill: FillRecord | None,
        changed: Mapping[str, object],
    ) -> None:  # fmt: skip
        account, now = order.account, self._now_ms()
        if one.is_futures:
            if kind == "received":
                return
            topics: tuple[str, ...] = (
                "/contractMarket/tradeOrders",
                f"/contractMarket/tradeOrders:{one.symbol}",
            )
            row = futures_order(one, order, self._views.order_id(order), kind, fill, changed, now)
            subject = "symbolOrderChange"
        else:
            topics = ("/spotMarket/tradeOrdersV2", "/spotMarket/tradeOrders")
            if kind == "received":
                topics = topics[:1]
            row = spot_order(one, order, self._views.order_id(order), kind, fill, changed, now)
            subject = "orderChange"
        for topic in topics:
            self._classic(messages, account, topic, subject, row)

    def _unified_order(
        self, messages: list[Message], order: Order, one: Instrument, kind: str, fill: FillRecord | None,
        changed: Mapping[str, object],
    ) -> None:  # fmt: skip
        row = self._unified.order_push(order, kind, fill)
        if kind == "CANCEL" and "orderId" in changed:
            row |= {"oi": changed["orderId"], "os": 5, "cR": "USER", "rS": "0"}
        self._unified_all(messages, order.account, one, "order", row)
        if fill is not None:
            for channel, is_lite in (("execution", False), ("execution.lite", True)):
                self._unified_all(
                    messages, order.account, one, channel, self._unified.execution_push(fill, is_lite)
                )

    # -------------------------------------------------------------------------- positions, balances

    def on_position(self, account: Account, one: Instrument, reason: str = "positionChange") -> None:
        """Queue a position."""
        messages: list[Message] = []
        mode = self._modes.mode(account, one.symbol)
        if not is_unified(account):
            row = self._views.position(account, one, mode, self._now_ms()) | {"changeReason": reason}
            self._positions(messages, account, one, "position.change", row)
        self._unified_all(messages, account, one, "position", self._unified.position_push(account, one, mode))
        if messages:
            self._waiting.append(("perp", messages))
            self._wake()

    def mark_positions(self, account: Account) -> None:
        """Queue what the mark price did to an account's open positions: a part of the row."""
        for symbol, held in account.positions.items():
            one = self._listing.by_symbol[symbol]
            topics = ("/contract/positionAll", f"/contract/position:{symbol}")
            if not held.lots or not any(self._hub.has(_private(account, topic)) for topic in topics):
                continue
            row = self._views.position(account, one, self._modes.mode(account, symbol), self._now_ms())
            names = ("symbol", "markPrice", "markValue", "maintMargin", "realLeverage", "unrealisedPnl",
                     "unrealisedRoePcnt", "unrealisedPnlPcnt", "delevPercentage", "currentTimestamp",
                     "settleCurrency")  # fmt: skip
            part = {name: row[name] for name in names} | {"changeReason": "markPriceChange"}
            messages: list[Message] = []
            self._positions(messages, account, one, "position.change", part)
            self._waiting.append(("perp", messages))

    def on_funding(self, account: Account, one: Instrument, amount: Decimal, rate: Decimal) -> None:
        """Queue a funding payment and what it did to the wallet."""
        market, now = one.market, self._now_ms()
        row = {
            "symbol": one.symbol, "fundingTime": market.funding_history[-1][0],
            "qty": one.lots(account.position(one.symbol).lots), "markPrice": number(market.mark_price),
            "fundingRate": number(rate), "fundingFee": number(amount), "ts": now * NS,
            "settleCurrency": market.spec.settle,
        }  # fmt: skip
        messages: list[Message] = []
        if not is_unified(account):
            self._positions(messages, account, one, "position.settlement", row)
        if messages:
            self._waiting.append(("perp", messages))
        self.on_balance(account, "perp", (market.spec.settle or market.spec.quote,))

    def on_balance(self, account: Account, product: str, currencies: tuple[str, ...]) -> None:
        """Note which currencies changed; one delivery tells each once."""
        for currency in currencies:
            self._balances[account, product, currency] = None
        self._wake()

    def _balance(self, account: Account, product: str, currency: str) -> None:
        messages: list[Message] = []
        now = self._now_ms()
        if is_unified(account):
            product = "spot"
        elif product == "perp":
            row = self._views.wallet(account, currency, next(self._versions), now)
            self._classic(messages, account, "/contractAccount/wallet", "walletBalance.change", row)
        else:
            self._spot_balance(messages, account, currency, now)
        row = self._unified.balance_push(account, product, currency, now, next(self._versions))
        for kind in trade_types(account, product == "perp"):
            self._unified_message(messages, account, f"balance.{kind}", "", row)
        if messages:
            self._waiting.append((product, messages))

    def _spot_balance(self, messages: list[Message], account: Account, currency: str, now: int) -> None:
        balance = account.balance("spot", currency)
        free, held = self._told.get((account.name, currency), (ZERO, ZERO))
        self._told[account.name, currency] = (balance.free, balance.locked)
        event_id = str(next(self._numbers))
        settled = balance.total != free + held
        data = {
            "accountId": f"{548_000_000_000 + account.uid * 1000}", "currency": currency,
            "total": plain(balance.total), "available": plain(balance.free), "hold": plain(balance.locked),
            "availableChange": plain(balance.free - free), "holdChange": plain(balance.locked - held),
            "relationContext": self._context.get(account.name, {}),
            "relationEvent": "trade.setted" if settled else "trade.hold", "relationEventId": event_id,
            "time": str(now),
        }  # fmt: skip
        self._classic(messages, account, "/account/balance", "account.balance", data, event_id)

    # ------------------------------------------------------------------------------------ envelopes

    def _positions(
        self, messages: list[Message], account: Account, one: Instrument, subject: str, row: Mapping[str, Any]
    ) -> None:
        for topic in ("/contract/positionAll", f"/contract/position:{one.symbol}"):
            self._classic(messages, account, topic, subject, row)

    def _classic(
        self, messages: list[Message], account: Account, topic: str, subject: str, data: Mapping[str, Any],
        event_id: str = "",
    ) -> None:  # fmt: skip
        key = _private(account, topic)
        if not self._hub.has(key):
            return
        envelope: dict[str, Any] = {"topic": topic, "type": "message", "subject": subject}
        if event_id or subject == "walletBalance.change":
            envelope["id"] = event_id or f"{next(self._numbers):024x}"
        user = f"6335597{account.uid:017x}"
        envelope |= {"userId": user, "channelType": "private", "data": data}
        messages.append((key, text_frame(to_json(envelope))))

    def _unified_all(
        self, messages: list[Message], account: Account, one: Instrument, channel: str, row: dict[str, Any]
    ) -> None:
        """Add a row to a channel under its names: of one symbol, and of all."""
        for kind in trade_types(account, one.is_futures):
            self._unified_message(messages, account, f"{channel}.{kind}", one.symbol, row)
            self._unified_message(messages, account, f"{channel}.{kind}", "", row)
            if channel in ("order", "position"):
                self._unified_message(messages, account, f"{channel}All.{kind}", "", row)

    def _unified_message(
        self, messages: list[Message], account: Account, topic: str, symbol: str, row: dict[str, Any]
    ) -> None:
        """Add a row to a topic; nanoseconds are texts for unified accounts, bare for classic ones."""
        key = _private(account, f"{topic}|{symbol}")
        if not self._hub.has(key):
            return
        pushed: Any = str(self._now_ms() * NS + 274_499)
        if not topic.endswith(".UNIFIED"):
            pushed = int(pushed)
            row = row | {name: int(row[name]) for name in STAMPS if isinstance(row.get(name), str)}
        messages.append((key, binary_frame(to_json({"T": topic, "P": pushed, "d": row}))))

    # --------------------------------------------------------------------------------------- sending

    def deliver(self) -> None:
        """Send what waits."""
        balances, self._balances = self._balances, {}
        for account, product, currency in balances:
            self._balance(account, product, currency)
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self._post.deliver(event, self._faults[event[0]])

    def _send(self, event: Event) -> None:
        for key, frame in event[1]:
            self._hub.push(key, frame)


def _private(account: Account, topic: str) -> Key:
    return f"private {account.name}", topic, ""
