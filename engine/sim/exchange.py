"""The exchange: accounts trade on markets; matching, locks, fees, margin, positions, funding.

Venue-neutral. A wire turns a venue's requests into calls here and hears what happened as a ``Listener``.
Everything is synchronous; a call either raises ``Refused`` and changed nothing, or is done.
"""

from __future__ import annotations

import itertools
from collections import deque

from engine.sim.accounts import Account
from engine.sim.clearing import Clearing
from engine.sim.clock import SimClock
from engine.sim.market import Level, Market
from engine.sim.model import (
    EndReason,
    ExecType,
    FillRecord,
    Listener,
    MarketSpec,
    NewOrder,
    Order,
    OrderEvent,
    OrderKind,
    OrderStatus,
    RefusalReason,
    Refused,
    TradePrint,
)

FILLS_KEPT = 200_000
ORDERS_KEPT = 200_000


class Exchange:
    """One venue's exchange.

    Args:
        venue: its name.
        specs: the markets.
        accounts: the customers.
        clock: the exchange's time.

    Attributes:
        markets: (product, symbol) to market.
        accounts: API key to account.
        listeners: told everything, synchronously.
        clearing: the accounts' money and margin.
    """

    def __init__(self, venue: str, specs: list[MarketSpec], accounts: list[Account], clock: SimClock) -> None:
        self.venue = venue
        self.clock = clock
        self.accounts = {account.api_key: account for account in accounts}
        self.listeners: list[Listener] = []
        shared_ids = itertools.count(5_123_107_000_001)
        self.markets: dict[tuple[str, str], Market] = {}
        for index, spec in enumerate(specs):
            ids = (
                shared_ids if spec.product == "perp" else itertools.count(50_093_000_001 + index * 1_000_003)
            )
            self.markets[spec.product, spec.symbol] = Market(spec, ids)
        self.execution_ids = itertools.count(1)
        self._taker_numbers = itertools.count(1)
        self.orders: deque[Order] = deque(maxlen=ORDERS_KEPT)
        self.all_fills: deque[FillRecord] = deque(maxlen=FILLS_KEPT)
        self.clearing = Clearing(self.markets, self.open_orders)
        self._by_client_id: dict[tuple[str, str, str, str], Order] = {}

    # ------------------------------------------------------------------------------------ look-ups

    def account_named(self, name: str) -> Account | None:
        """Return an account by its name."""
        return next((account for account in self.accounts.values() if account.name == name), None)

    def find(
        self,
        account: Account,
        market: Market,
        order_id: int | None = None,
        client_order_id: str | None = None,
    ) -> Order:
        """Return the account's order, open or ended; by client id the latest one that bore it.

        Raises:
            Refused: there is none, or both ids are given and name different orders (UNKNOWN_ORDER).
        """
        order = None
        if order_id is not None:
            order = market.orders.get(order_id)
            if order is not None and client_order_id and order.client_order_id != client_order_id:
                order = None
        elif client_order_id:
            order = self._by_client_id.get(
                (account.name, market.spec.product, market.spec.symbol, client_order_id)
            )
        if order is None or order.account is not account:
            raise Refused(RefusalReason.UNKNOWN_ORDER)
        return order

    def open_orders(self, account: Account, product: str, market: Market | None = None) -> list[Order]:
        """Return open orders, oldest first."""
        markets = [market] if market is not None else self.markets.values()
        found = [
            order
            for each in markets
            if each.spec.product == product and each.open_count.get(account.name)
            for order in each.orders_by_client_id.values()
            if order.account is account
        ]
        found.sort(key=lambda order: (order.created_ms, order.order_id))
        return found

    def history(self, account: Account, market: Market) -> list[Order]:
        """Return all kept orders of an account in a market, oldest first."""
        return [order for order in self.orders if order.account is account and order.market is market]

    def fills(self, account: Account, market: Market | None = None) -> list[FillRecord]:
        """Return kept fills of an account, oldest first."""
        return [
            fill
            for fill in self.all_fills
            if fill.order.account is account and (market is None or fill.order.market is market)
        ]

    # ---------------------------------------------------------------------------------------- place

    def submit(self, new: NewOrder) -> Order:
        """Accept, match and rest (or end) an order; raises Refused."""
        market, account = new.market, new.account
        self._check_open(market)
        if new.client_order_id and (account.name, new.client_order_id) in market.orders_by_client_id:
            raise Refused(RefusalReason.DUPLICATE_CLIENT_ID)
        if market.open_count.get(account.name, 0) >= market.spec.max_num_orders:
            raise Refused(RefusalReason.TOO_MANY_ORDERS)
        if new.reduce_only:
            self._check_reduce_only(new)
        would_take = new.post_only and self._would_take(market, new.side, new.price_ticks)
        if would_take and not new.post_only_cancels:
            raise Refused(RefusalReason.WOULD_TAKE)
        if new.kind is OrderKind.MARKET and not market.opposite(new.side).keys and new.fok_is_refused:
            raise Refused(RefusalReason.NO_LIQUIDITY)
        qty_lots = new.qty_lots or self._lots_for_amount(new)
        unfillable = new.time_in_force == "FOK" and not self._can_fill(market, new, qty_lots)
        if unfillable and new.fok_is_refused:
            raise Refused(RefusalReason.FOK_UNFILLABLE)
        now = self.clock.now_ms()
        order = Order(
            order_id=next(market.order_ids), account=account, market=market, side=new.side, kind=new.kind,
            price_ticks=new.price_ticks, qty_lots=qty_lots,
            client_order_id=new.client_order_id or f"x{now:x}{next(self.execution_ids):09x}"[:22],
            time_in_force=new.time_in_force, post_only=new.post_only, reduce_only=new.reduce_only,
            stp_mode=new.stp_mode, created_ms=now, updated_ms=now, extra=new.extra,
            quote_amount=new.quote_amount,
        )  # fmt: skip
        self.clearing.lock(order)
        self._register(order)
        if would_take:
            self._end(order, OrderStatus.CANCELED, EndReason.WOULD_TAKE, is_booked=False)
            return order
        self._emit(order, ExecType.NEW)
        if unfillable:
            self._end(order, OrderStatus.EXPIRED, EndReason.FOK_UNFILLED)
            return order
        self._match(order)
        if order.is_open and order.leaves_lots:
            self._rest_or_expire(order)
        return order

    def _check_open(self, market: Market) -> None:
        if market.status == "CANCEL_ONLY":
            raise Refused(RefusalReason.CANCEL_ONLY)
        if market.status != "TRADING":
            raise Refused(RefusalReason.MARKET_CLOSED)

    def _check_reduce_only(self, new: NewOrder) -> None:
        lots = new.account.position(new.market.spec.symbol).lots
        if lots == 0 or (lots > 0) == (new.side == "BUY"):
            raise Refused(RefusalReason.REDUCE_ONLY)
        new.qty_lots = min(new.qty_lots, abs(lots))

    def _would_take(self, market: Market, side: str, price_ticks: int) -> bool:
        best = market.opposite("BUY" if side == "BUY" else "SELL").best
        if best is None:
            return False
        return price_ticks >= best if side == "BUY" else price_ticks <= best

    def _takeable(self, market: Market, new: NewOrder) -> list[tuple[int, int]]:
        levels = []
        for price, lots in market.opposite(new.side).best_first():
            beyond = price > new.price_ticks if new.side == "BUY" else price < new.price_ticks
            if new.kind is OrderKind.LIMIT and beyond:
                break
            levels.append((price, lots))
        return levels

    def _can_fill(self, market: Market, new: NewOrder, qty_lots: int) -> bool:
        need = qty_lots
        for _, lots in self._takeable(market, new):
            need -= lots
            if need <= 0:
                return True
        return False

    def _lots_for_amount(self, new: NewOrder) -> int:
        assert new.quote_amount is not None
        spec = new.market.spec
        left, result = new.quote_amount, 0
        for price, lots in new.market.opposite(new.side).best_first():
            each = price * spec.tick_size * spec.lot_size
            part = min(lots, int(left / each))
            result += part
            left -= part * each
            if part < lots:
                break
        if result == 0:
            raise Refused(RefusalReason.NO_LIQUIDITY)
        return result

    # ------------------------------------------------------------------------------------- matching

    def _match(self, taker: Order) -> None:
        market = taker.market
        side = market.opposite(taker.side)
        number = next(self._taker_numbers)
        while taker.leaves_lots and taker.is_open:
            best = side.best
            if best is None:
                break
            if taker.kind is OrderKind.LIMIT and (
                best > taker.price_ticks if taker.side == "BUY" else best < taker.price_ticks
            ):
                break
            self._take_level(market, side.levels[best], best, taker, number)
            market.touch(side, best)
            self._announce_top(market)

    def _take_level(self, market: Market, level: Level, price: int, taker: Order, number: int) -> None:
        while level.queue and taker.leaves_lots and taker.is_open:
            front = level.queue[0]
            if isinstance(front, list):
                lots = min(front[0], taker.leaves_lots)
                front[0] -= lots
                level.total -= lots
                if front[0] == 0:
                    del level.queue[0]
                self._trade(market, price, lots, taker.side, number, None, taker)
                continue
            if front.account is taker.account and self._prevented(front, taker, level):
                continue
            lots = min(front.leaves_lots, taker.leaves_lots)
            level.total -= lots
            self._trade(market, price, lots, taker.side, number, front, taker)
            if front.leaves_lots == 0:
                del level.queue[0]

    def _prevented(self, maker: Order, taker: Order, level: Level) -> bool:
        """Apply self-trade prevention; True when one of the two has ended."""
        mode = taker.stp_mode
        if mode == "NONE":
            return False
        if mode in ("EXPIRE_MAKER", "EXPIRE_BOTH"):
            del level.queue[0]
            level.total -= maker.leaves_lots
            self._end(maker, OrderStatus.EXPIRED_IN_MATCH, EndReason.STP, is_booked=False)
        if mode in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
            self._end(taker, OrderStatus.EXPIRED_IN_MATCH, EndReason.STP, is_booked=False)
        if mode in ("DECREMENT", "TRANSFER"):
            overlap = min(maker.leaves_lots, taker.leaves_lots)
            level.total -= overlap
            for order in (maker, taker):
                order.qty_lots -= overlap
                if order.leaves_lots == 0:
                    self._end(order, OrderStatus.EXPIRED_IN_MATCH, EndReason.STP, is_booked=False)
            if not maker.is_open:
                del level.queue[0]
        return True

    def background_trade(self, market: Market, taker_side: str, lots: int) -> None:
        """Let anonymous flow take up to ``lots`` from the best level; account orders there are filled."""
        side = market.asks if taker_side == "BUY" else market.bids
        price = side.best
        if price is None:
            return
        level = side.levels[price]
        number = next(self._taker_numbers)
        left = lots
        while left and level.queue:
            front = level.queue[0]
            if isinstance(front, list):
                part = min(front[0], left)
                front[0] -= part
                maker = None
                gone = front[0] == 0
            else:
                part = min(front.leaves_lots, left)
                maker = front
                gone = front.leaves_lots == part
            level.total -= part
            left -= part
            self._trade(market, price, part, taker_side, number, maker, None)
            if gone:
                del level.queue[0]
        market.touch(side, price)
        self._announce_top(market)

    def fill_resting(self, order: Order, lots: int) -> None:
        """Let anonymous flow take ``lots`` of exactly this resting order, whatever queues before it."""
        market = order.market
        side = market.side(order.side)
        level = side.levels[order.price_ticks]
        level.total -= lots
        taker_side = "SELL" if order.side == "BUY" else "BUY"
        self._trade(market, order.price_ticks, lots, taker_side, next(self._taker_numbers), order, None)
        if not order.is_open:
            level.queue.remove(order)
        market.touch(side, order.price_ticks)
        self._announce_top(market)

    def _trade(
        self,
        market: Market,
        price: int,
        lots: int,
        taker_side: str,
        number: int,
        maker: Order | None,
        taker: Order | None,
    ) -> None:
        now = self.clock.now_ms()
        trade_id = next(market.trade_ids)
        market.last_price_ticks = price
        side = "BUY" if taker_side == "BUY" else "SELL"
        trade = TradePrint(market, trade_id, price, lots, side, number, now, maker, taker)  # type: ignore[arg-type]
        market.prints.append((trade_id, price, lots, side, now))
        for listener in self.listeners:
            listener.on_trade(trade)
        if maker is not None:
            self._fill(maker, trade_id, price, lots, True, now)
        if taker is not None:
            self._fill(taker, trade_id, price, lots, False, now)

    def _fill(self, order: Order, trade_id: int, price: int, lots: int, is_maker: bool, now: int) -> None:
        spec = order.market.spec
        quote = price * lots * spec.tick_size * spec.lot_size
        order.filled_lots += lots
        order.filled_quote += quote
        order.updated_ms = now
        order.status = OrderStatus.PARTIALLY_FILLED if order.leaves_lots else OrderStatus.FILLED
        rate = spec.maker_fee if is_maker else spec.taker_fee
        if spec.product == "spot":
            fee, asset, realised = self.clearing.settle_spot(order, lots, quote, rate)
        else:
            fee, asset, realised = self.clearing.settle_perp(order, price, lots, quote, rate, now)
        fill = FillRecord(
            order, trade_id, price, lots, fee, asset, is_maker, realised, now, next(self.execution_ids)
        )
        order.fills.append(fill)
        self.all_fills.append(fill)
        if not order.is_open:
            self._deregister(order)
        self._emit(order, ExecType.TRADE, fill)
        assets = (spec.base, spec.quote) if spec.product == "spot" else (asset,)
        for listener in self.listeners:
            listener.on_balance(order.account, spec.product, assets)
            if spec.product == "perp":
                listener.on_position(order.account, order.market)

    # -------------------------------------------------------------------------------- after matching

    def _rest_or_expire(self, order: Order) -> None:
        if order.kind is OrderKind.MARKET:
            self._end(order, OrderStatus.EXPIRED, EndReason.NO_LIQUIDITY, is_booked=False)
        elif order.time_in_force != "GTC":
            self._end(order, OrderStatus.EXPIRED, EndReason.IOC_REST, is_booked=False)
        else:
            self._book(order)

    def _book(self, order: Order) -> None:
        side = order.market.side(order.side)
        level = side.level(order.price_ticks)
        level.queue.append(order)
        level.total += order.leaves_lots
        order.market.touch(side, order.price_ticks)
        self._announce_top(order.market)

    def _unbook(self, order: Order) -> None:
        side = order.market.side(order.side)
        level = side.levels.get(order.price_ticks)
        if level is None or order not in level.queue:
            return
        level.queue.remove(order)
        level.total -= order.leaves_lots
        order.market.touch(side, order.price_ticks)
        self._announce_top(order.market)

    def _register(self, order: Order) -> None:
        market, name = order.market, order.account.name
        market.orders[order.order_id] = order
        self._index_client_id(order)
        market.open_count[name] = market.open_count.get(name, 0) + 1
        self.orders.append(order)

    def _index_client_id(self, order: Order) -> None:
        name, spec = order.account.name, order.market.spec
        order.market.orders_by_client_id[name, order.client_order_id] = order
        self._by_client_id[name, spec.product, spec.symbol, order.client_order_id] = order

    def _deregister(self, order: Order) -> None:
        market, name = order.market, order.account.name
        market.orders_by_client_id.pop((name, order.client_order_id), None)
        market.open_count[name] -= 1
        self.clearing.unlock(order)

    def _end(
        self,
        order: Order,
        status: OrderStatus,
        reason: EndReason,
        is_booked: bool = True,
        cancel_id: str = "",
    ) -> None:
        if is_booked:
            self._unbook(order)
        order.status = status
        order.end_reason = reason
        order.updated_ms = self.clock.now_ms()
        had_lock = bool(order.locked)
        self._deregister(order)
        kind = ExecType.CANCELED if status is OrderStatus.CANCELED else ExecType.EXPIRED
        self._emit(order, kind, cancel_id=cancel_id)
        if had_lock:
            self._tell_balances(order)

    def _tell_balances(self, order: Order) -> None:
        spec = order.market.spec
        asset = spec.base if order.side == "SELL" else spec.quote
        for listener in self.listeners:
            listener.on_balance(order.account, spec.product, (asset,))

    def _emit(
        self, order: Order, kind: ExecType, fill: FillRecord | None = None, cancel_id: str = ""
    ) -> None:
        number = fill.execution_id if fill is not None else next(self.execution_ids)
        event = OrderEvent(
            order, kind, order.status, order.filled_lots, fill, number, order.updated_ms, cancel_id
        )
        for listener in self.listeners:
            listener.on_order(event)
        if kind is ExecType.NEW and order.locked:
            self._tell_balances(order)

    def _announce_top(self, market: Market) -> None:
        if market.top_changed():
            for listener in self.listeners:
                listener.on_top(market)

    # ------------------------------------------------------------------------------- cancel, amend

    def cancel(self, order: Order, cancel_id: str = "") -> None:
        """Cancel an open order; raises Refused (UNKNOWN_ORDER) when it has ended."""
        if not order.is_open:
            raise Refused(RefusalReason.UNKNOWN_ORDER)
        if order.market.status not in ("TRADING", "CANCEL_ONLY", "HALTED"):
            raise Refused(RefusalReason.MARKET_CLOSED)
        self._end(order, OrderStatus.CANCELED, EndReason.NONE, cancel_id=cancel_id)

    def expire(self, order: Order) -> None:
        """End an open order on the venue's own decision."""
        if order.is_open:
            self._end(order, OrderStatus.EXPIRED, EndReason.VENUE)

    def reduce_in_place(self, order: Order, qty_lots: int, client_order_id: str | None = None) -> None:
        """Lower the total quantity, keeping the queue place; raises Refused.

        A new total at or below what is filled ends the order.
        """
        if not order.is_open:
            raise Refused(RefusalReason.UNKNOWN_ORDER)
        if qty_lots == order.qty_lots:
            raise Refused(RefusalReason.NO_CHANGE)
        if qty_lots > order.qty_lots:
            raise Refused(RefusalReason.AMEND_UP)
        if client_order_id is not None and client_order_id != order.client_order_id:
            key = (order.account.name, client_order_id)
            if key in order.market.orders_by_client_id:
                raise Refused(RefusalReason.DUPLICATE_CLIENT_ID)
            order.market.orders_by_client_id.pop((order.account.name, order.client_order_id), None)
            order.client_order_id = client_order_id
            self._index_client_id(order)
        if qty_lots <= order.filled_lots:
            self._end(order, OrderStatus.EXPIRED, EndReason.AMENDED_AWAY)
            return
        side = order.market.side(order.side)
        less = order.qty_lots - qty_lots
        side.levels[order.price_ticks].total -= less
        order.qty_lots = qty_lots
        order.amends += 1
        order.updated_ms = self.clock.now_ms()
        if order.market.spec.product == "spot":
            self.clearing.unlock_part(order, less)
            self._tell_balances(order)
        order.market.touch(side, order.price_ticks)
        self._announce_top(order.market)
        self._emit(order, ExecType.AMENDED)

    def amend(self, order: Order, price_ticks: int, qty_lots: int) -> None:
        """Change price and total quantity, losing the queue place; raises Refused.

        A total at or below what is filled, or a post-only order that would take, cancels the order.
        """
        if not order.is_open:
            raise Refused(RefusalReason.UNKNOWN_ORDER)
        self._check_open(order.market)
        if price_ticks == order.price_ticks and qty_lots == order.qty_lots:
            raise Refused(RefusalReason.NO_CHANGE)
        would_take = order.post_only and self._would_take(order.market, order.side, price_ticks)
        if qty_lots <= order.filled_lots or would_take:
            reason = EndReason.WOULD_TAKE if would_take else EndReason.NONE
            self._end(order, OrderStatus.CANCELED, reason)
            return
        self.clearing.relock(order, price_ticks, qty_lots)
        self._unbook(order)
        order.price_ticks, order.qty_lots = price_ticks, qty_lots
        order.amends += 1
        order.updated_ms = self.clock.now_ms()
        self._emit(order, ExecType.AMENDED)
        if order.locked:
            self._tell_balances(order)
        self._match(order)
        if order.is_open and order.leaves_lots:
            self._rest_or_expire(order)

    # ------------------------------------------------------------------------- publication, funding

    def set_status(self, market: Market, status: str) -> None:
        """Open, halt or close a market."""
        market.status = status

    def publish(self, market: Market) -> bool:
        """Close the market's batch and tell the listeners; False when nothing had changed."""
        self._announce_top(market)
        batch = market.close_batch()
        if batch is None:
            return False
        for listener in self.listeners:
            listener.on_batch(market, batch)
        return True

    def settle_funding(self, market: Market, now_ms: int) -> None:
        """Pay funding for every position in a contract: positive rate, longs pay shorts."""
        rate, mark = market.funding_rate, market.mark_price
        market.funding_history.append((now_ms, rate, mark))
        settle = market.spec.settle or market.spec.quote
        for account in self.accounts.values():
            position = account.positions.get(market.spec.symbol)
            if position is None or position.lots == 0:
                continue
            amount = -position.lots * market.spec.lot_size * mark * rate
            account.balance("perp", settle).free += amount
            for listener in self.listeners:
                listener.on_funding(account, market, amount, rate)
