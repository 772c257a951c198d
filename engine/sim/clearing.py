"""Money: what orders set aside, how fills are booked, what margin is left.

Spot orders lock what they may cost; perpetuals are checked against one cross margin per settlement asset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from engine.sim.accounts import ZERO, Account, apply_fill
from engine.sim.market import Market
from engine.sim.model import MarketSpec, Order, OrderKind, RefusalReason, Refused

OpenOrders = Callable[[Account, str, Market], list[Order]]


def _with_fee(spec: MarketSpec, cost: Decimal) -> Decimal:
    """Return what a buy sets aside: its fee too, where that is taken in the quote asset."""
    return cost * (1 + spec.taker_fee) if spec.fee_in_quote else cost


class Clearing:
    """The books of one exchange's accounts.

    Args:
        markets: (product, symbol) to market.
        open_orders: returns an account's open orders in a market.
    """

    def __init__(self, markets: Mapping[tuple[str, str], Market], open_orders: OpenOrders) -> None:
        self._markets = markets
        self._open_orders = open_orders

    def lock(self, order: Order) -> None:
        """Set aside what an order may cost; raises Refused where there is not enough."""
        spec = order.market.spec
        if spec.product == "perp":
            self._check_margin(order)
            return
        if order.side == "SELL":
            asset, amount = spec.base, order.qty_lots * spec.lot_size
        elif order.kind is OrderKind.MARKET:
            asset, amount = spec.quote, _with_fee(spec, self._market_cost(order))
        else:
            cost = order.qty_lots * order.price_ticks * spec.tick_size * spec.lot_size
            asset, amount = spec.quote, _with_fee(spec, cost)
        balance = order.account.balance("spot", asset)
        if balance.free < amount:
            raise Refused(RefusalReason.INSUFFICIENT_BALANCE)
        balance.free -= amount
        balance.locked += amount
        order.locked = amount

    def _market_cost(self, order: Order) -> Decimal:
        """Return what a market buy would cost on the book as it is."""
        spec, left, cost = order.market.spec, order.qty_lots, 0
        for price, lots in order.market.opposite(order.side).best_first():
            part = min(left, lots)
            cost += part * price
            left -= part
            if left == 0:
                break
        return cost * spec.tick_size * spec.lot_size

    def unlock(self, order: Order) -> None:
        """Free what an order still holds."""
        if order.locked:
            spec = order.market.spec
            balance = order.account.balance("spot", spec.base if order.side == "SELL" else spec.quote)
            balance.locked -= order.locked
            balance.free += order.locked
            order.locked = ZERO

    def settle_spot(
        self, order: Order, lots: int, quote: Decimal, rate: Decimal
    ) -> tuple[Decimal, str, Decimal]:
        """Book a spot fill; return fee, the asset it is taken in, and zero profit."""
        spec, account = order.market.spec, order.account
        base_balance, quote_balance = account.balance("spot", spec.base), account.balance("spot", spec.quote)
        qty = lots * spec.lot_size
        if order.side == "BUY":
            reserved = quote
            if order.kind is OrderKind.LIMIT:
                reserved = lots * order.price_ticks * spec.tick_size * spec.lot_size
            reserved = _with_fee(spec, reserved)
            order.locked -= reserved
            quote_balance.locked -= reserved
            quote_balance.free += reserved - quote
            if spec.fee_in_quote:
                quote_balance.free -= quote * rate
                base_balance.free += qty
                return quote * rate, spec.quote, ZERO
            fee = qty * rate
            base_balance.free += qty - fee
            return fee, spec.base, ZERO
        order.locked -= qty
        base_balance.locked -= qty
        fee = quote * rate
        quote_balance.free += quote - fee
        return fee, spec.quote, ZERO

    def settle_perp(
        self, order: Order, price: int, lots: int, quote: Decimal, rate: Decimal, now: int
    ) -> tuple[Decimal, str, Decimal]:
        """Book a fill of a perpetual; return fee, the asset it is taken in, and the profit realised."""
        market = order.market
        settle = market.spec.settle or market.spec.quote
        signed = lots if order.side == "BUY" else -lots
        position = order.account.position(market.spec.symbol)
        realised = apply_fill(position, signed, market.price(price), market.spec.lot_size, now)
        fee = quote * rate
        order.account.balance("perp", settle).free += realised - fee
        return fee, settle, realised

    def leverage(self, account: Account, market: Market) -> int:
        """Return the leverage set for a contract (20 by default)."""
        return account.leverage.get(market.spec.symbol, 20)

    def unrealised(self, account: Account, market: Market) -> Decimal:
        """Return the unrealised profit of a position at the mark price."""
        position = account.position(market.spec.symbol)
        return (market.mark_price - position.entry_price) * position.lots * market.spec.lot_size

    def position_margin(self, account: Account, market: Market) -> Decimal:
        """Return the initial margin that a position holds."""
        notional = abs(account.position(market.spec.symbol).lots) * market.spec.lot_size * market.mark_price
        return notional / self.leverage(account, market)

    def order_margin(self, account: Account, market: Market) -> Decimal:
        """Return the initial margin of open orders, the larger of the two sides."""
        spec = market.spec
        sides = {"BUY": ZERO, "SELL": ZERO}
        for order in self._open_orders(account, "perp", market):
            if not order.reduce_only:
                sides[order.side] += order.leaves_lots * order.price_ticks * spec.tick_size * spec.lot_size
        return max(sides.values()) / self.leverage(account, market)

    def available_margin(self, account: Account, asset: str) -> Decimal:
        """Return what new orders may still use of a margin wallet."""
        available = account.balance("perp", asset).total
        for (product, symbol), market in self._markets.items():
            settle = market.spec.settle or market.spec.quote
            active = symbol in account.positions or market.open_count.get(account.name)
            if product == "perp" and settle == asset and active:
                available += self.unrealised(account, market) - self.position_margin(account, market)
                available -= self.order_margin(account, market)
        return available

    def _check_margin(self, order: Order) -> None:
        market, account = order.market, order.account
        if order.reduce_only:
            return
        lots = account.position(market.spec.symbol).lots
        opening = order.qty_lots
        if (lots > 0) != (order.side == "BUY"):
            opening = max(0, order.qty_lots - abs(lots))
        price = market.price(order.price_ticks) if order.kind is OrderKind.LIMIT else market.mark_price
        need = opening * market.spec.lot_size * price / self.leverage(account, market)
        if need > self.available_margin(account, market.spec.settle or market.spec.quote):
            raise Refused(RefusalReason.MARGIN)

    def relock(self, order: Order, price_ticks: int, qty_lots: int) -> None:
        """Set aside what an amended spot order may cost; raises Refused where there is not enough."""
        spec = order.market.spec
        if spec.product != "spot":
            return
        asset, amount = spec.base, max(0, qty_lots - order.filled_lots) * spec.lot_size
        if order.side == "BUY":
            asset, amount = spec.quote, _with_fee(spec, amount * price_ticks * spec.tick_size)
        balance, more = order.account.balance("spot", asset), amount - order.locked
        if balance.free < more:
            raise Refused(RefusalReason.INSUFFICIENT_BALANCE)
        balance.free -= more
        balance.locked += more
        order.locked = amount

    def unlock_part(self, order: Order, lots: int) -> None:
        """Free what these lots of an order hold."""
        spec = order.market.spec
        if spec.product != "spot":
            return
        amount = lots * spec.lot_size
        if order.side == "BUY":
            amount = _with_fee(spec, amount * order.price_ticks * spec.tick_size)
        balance = order.account.balance("spot", spec.base if order.side == "SELL" else spec.quote)
        order.locked -= amount
        balance.locked -= amount
        balance.free += amount
