"""Turns what happens to accounts into each product's private events.

Source: Binance spot API docs, user-data-stream; USDⓈ-M docs, user data streams.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from engine.sim.accounts import Account
from engine.sim.binance import perp_messages, spot_messages
from engine.sim.binance.board import Board
from engine.sim.binance.limits import SPOT_MAKER_CREDIT, SPOT_TAKER_CREDIT, RateLimits
from engine.sim.binance.perp_account import PerpAccounts
from engine.sim.binance.user_data import EventQueue
from engine.sim.market import Market
from engine.sim.model import ExecType, OrderEvent

ZERO = Decimal(0)


class SpotEvents:
    """Spot: an executionReport per change, an outboundAccountPosition per change of balances."""

    def __init__(
        self, board: Board, queue: EventQueue, limits: RateLimits, now_ms: Callable[[], int]
    ) -> None:
        self._board = board
        self._queue = queue
        self._limits = limits
        self._now_ms = now_ms

    def on_order(self, event: OrderEvent) -> None:
        """Queue the report; a first fill gives back unfilled-order count."""
        order, now = event.order, self._now_ms()
        order.extra["execution_id"] = event.execution_id
        if event.fill is not None and len(order.fills) == 1:
            credit = SPOT_MAKER_CREDIT if event.fill.is_maker else SPOT_TAKER_CREDIT
            self._limits.give_back(order.account.name, credit, now)
        self._queue.put(order.account, spot_messages.execution_report(self._board.of(order), event, now))

    def on_balance(self, account: Account, assets: tuple[str, ...]) -> None:
        """Queue the absolute balances."""
        now = self._now_ms()
        account.updated_ms = now
        self._queue.put(account, spot_messages.account_position(account, assets, now))

    def on_position(self, account: Account, market: Market) -> None:
        """Spot has no positions."""

    def on_funding(self, account: Account, market: Market, amount: Decimal) -> None:
        """Spot has no funding."""


class PerpEvents:
    """Futures: ORDER_TRADE_UPDATE and TRADE_LITE per change, ACCOUNT_UPDATE on fills and funding only."""

    def __init__(
        self, board: Board, queue: EventQueue, accounts: PerpAccounts,
        unrealised: Callable[[Account, Market], Decimal], now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._board = board
        self._queue = queue
        self._accounts = accounts
        self._unrealised = unrealised
        self._now_ms = now_ms

    def on_order(self, event: OrderEvent) -> None:
        """Queue the update; a fill's TRADE_LITE runs ahead of the order's other events."""
        order, now = event.order, self._now_ms()
        view = self._board.of(order)
        if event.exec_type is ExecType.TRADE and event.fill is not None:
            self._accounts.book_fill(event.fill)
            lite = perp_messages.trade_lite(view, event, now)
            self._queue.put_before(order.account, lite, "ORDER_TRADE_UPDATE")
        bids, asks = self._accounts.open_notional(order.account, view)
        self._queue.put(order.account, perp_messages.order_trade_update(view, event, bids, asks, now))

    def on_balance(self, account: Account, assets: tuple[str, ...]) -> None:
        """Note the time; the wallet's news travel with the position's."""
        account.updated_ms = self._now_ms()

    def on_position(self, account: Account, market: Market) -> None:
        """Queue the position and wallet after a fill."""
        now = self._now_ms()
        view = self._board.view(market.spec.symbol)
        position = account.position(view.symbol)
        asset = market.spec.settle or market.spec.quote
        entry = perp_messages.position_entry(
            view, position, self._unrealised(account, market), market.spec.taker_fee
        )
        wallet = account.balance("perp", asset).total
        update = perp_messages.account_update("ORDER", asset, wallet, ZERO, [entry], position.updated_ms, now)
        self._queue.put(account, update)

    def on_funding(self, account: Account, market: Market, amount: Decimal) -> None:
        """Queue the wallet after a funding payment; a cross position brings no ``P``."""
        now = self._now_ms()
        account.updated_ms = now
        asset = market.spec.settle or market.spec.quote
        self._accounts.book_funding(account, market.spec.symbol, amount, asset, now)
        wallet = account.balance("perp", asset).total
        update = perp_messages.account_update("FUNDING_FEE", asset, wallet, amount, [], now, now)
        update["a"]["S"] = market.spec.symbol
        self._queue.put(account, update)
