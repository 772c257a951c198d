"""Orders, fills, positions and wallets of futures accounts, as REST and the private channels show them.

Source: BitMart futures v2 docs, "Account" and private channels, mirrored copy of 2025-11. UNCONFIRMED: the
sign of ``last_trade.fee`` (negative is paid, as in the documented sample) and ``price`` of a market order.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account, Position
from engine.sim.bitmart.instruments import Instrument, Listing, number_text
from engine.sim.bitmart.positions import HEDGE, LONG, SHORT, Positions
from engine.sim.clearing import Clearing
from engine.sim.model import ExecType, FillRecord, Order, OrderEvent, OrderKind

PENDING, CLOSED = 2, 4
ACTIONS = {ExecType.NEW: 2, ExecType.AMENDED: 2, ExecType.TRADE: 1}
CANCELLED = 3
OPEN_TYPES = {"isolated": 1, "cross": 2}
MAINTENANCE = Decimal("0.005")
COINS = ("USDT", "BTC", "ETH", "USDC")
_NO_PLAN = dict.fromkeys(
    ("trigger_price", "trigger_price_type", "execution_price", "activation_price_type", "activation_price",
     "callback_rate"), "-"
)  # fmt: skip


def _rounded(value: Decimal) -> str:
    return number_text(round(value, 8))


class FuturesViews:
    """Turns the exchange's objects into futures rows; quantities are contracts."""

    def __init__(self, listing: Listing, clearing: Clearing, positions: Positions) -> None:
        self._listing = listing
        self._clearing = clearing
        self._positions = positions

    # --------------------------------------------------------------------------------------- orders

    def order(self, order: Order) -> dict[str, Any]:
        """Return an order of ``/contract/private/order``; state 4 is filled and cancelled alike."""
        return self._order(order, order.filled_lots, order.filled_quote, order.updated_ms, order.is_open)

    def _order(
        self, order: Order, filled: int, quote: Decimal, updated_ms: int, is_open: bool
    ) -> dict[str, Any]:
        one, market = self._listing.by_market[order.market], order.market
        average = quote / market.qty(filled) if filled else Decimal(0)
        is_market = order.kind is OrderKind.MARKET
        return {
            "order_id": str(one.order_id(order.order_id)),
            "client_order_id": str(order.extra["client_order_id"]),
            "price": "0" if is_market else number_text(market.price(order.price_ticks)),
            "size": one.size_text(order.qty_lots), "symbol": one.symbol,
            "state": PENDING if is_open else CLOSED, "side": order.extra["side"], "type": order.extra["type"],
            "leverage": order.extra["leverage"], "open_type": order.extra["open_type"],
            "deal_avg_price": _rounded(average), "deal_size": one.size_text(filled),
            "create_time": order.created_ms, "update_time": updated_ms,
        }  # fmt: skip

    def order_push(self, event: OrderEvent) -> dict[str, Any]:
        """Return the push of ``futures/order``; a cancel repeats the fill before it."""
        order = event.order
        fills = order.fills if event.fill is None else order.fills[: order.fills.index(event.fill) + 1]
        one = self._listing.by_market[order.market]
        quote = sum((one.value(fill.price_ticks, fill.qty_lots) for fill in fills), Decimal(0))
        row = self._order(order, event.filled_lots, quote, event.time_ms, event.status.is_open)
        last = event.fill
        if event.exec_type not in ACTIONS and fills:
            last = fills[-1]
        trade = None
        if last is not None:
            trade = {
                "lastTradeID": last.trade_id, "fillQty": one.size_text(last.qty_lots),
                "fillPrice": number_text(order.market.price(last.price_ticks)),
                "fee": number_text(-last.fee), "feeCcy": last.fee_asset,
            }  # fmt: skip
        mode = self._positions.mode(order.account)
        row |= {"plan_order_id": "", "last_trade": trade, **_NO_PLAN, "position_mode": mode}
        action = ACTIONS.get(event.exec_type, CANCELLED)
        return {"group": "futures/order", "data": [{"action": action, "order": row}]}

    def fill(self, fill: FillRecord) -> dict[str, Any]:
        """Return a row of ``/contract/private/trades``; paid fees are positive."""
        order = fill.order
        one = self._listing.by_market[order.market]
        return {
            "order_id": str(one.order_id(order.order_id)), "trade_id": str(fill.trade_id),
            "symbol": one.symbol, "side": order.extra["side"],
            "price": number_text(order.market.price(fill.price_ticks)), "vol": one.size_text(fill.qty_lots),
            "exec_type": "Maker" if fill.is_maker else "Taker", "profit": fill.realised_pnl > 0,
            "realised_profit": number_text(fill.realised_pnl), "paid_fees": number_text(fill.fee),
            "create_time": fill.time_ms,
        }  # fmt: skip

    # ------------------------------------------------------------------------------------ positions

    def positions(self, account: Account, one: Instrument, now_ms: int) -> list[dict[str, Any]]:
        """Return the rows of ``/contract/private/position``: unsigned contracts, type 1 long, 2 short."""
        setting = self._positions.setting(account, one)
        mark = one.market.mark_price
        leverage = self._clearing.leverage(account, one.market)
        rows = []
        for kind, position in self._positions.rows(account, one):
            held = self._positions.held(account, one)
            base = abs(one.market.qty(position.lots))
            value, cost = base * mark, base * position.entry_price
            profit = (mark - position.entry_price) * one.market.qty(position.lots)
            rows.append(
                {
                    "symbol": one.symbol, "leverage": str(leverage), "timestamp": now_ms, "current_fee": "0",
                    "open_timestamp": held.opened_ms or position.updated_ms, "current_value": _rounded(value),
                    "mark_price": _rounded(mark), "position_value": _rounded(cost),
                    "position_cross": _rounded(value / leverage),
                    "maintenance_margin": _rounded(value * MAINTENANCE),
                    "close_vol": one.size_text(held.closed_lots), "close_avg_price": "0",
                    "open_avg_price": _rounded(position.entry_price),
                    "entry_price": _rounded(position.entry_price),
                    "current_amount": one.size_text(abs(position.lots)),
                    "unrealized_value": _rounded(profit), "realized_value": _rounded(position.realised),
                    "position_type": kind, "margin_type": setting.open_type.capitalize(),
                    "position_mode": self._positions.mode(account), "account": "futures",
                }
            )  # fmt: skip
        return rows

    def positions_v2(self, account: Account, one: Instrument, now_ms: int) -> list[dict[str, Any]]:
        """Return the rows of ``/contract/private/position-v2``: amounts signed in one-way mode."""
        is_hedge = self._positions.mode(account) == HEDGE
        rows = []
        kinds = self._positions.rows(account, one) or [(LONG, Position())]
        plain = self.positions(account, one, now_ms) or self._empty(account, one, now_ms)
        for (kind, position), row in zip(kinds, plain, strict=True):
            leg = "long" if kind == LONG else "short"
            lots = abs(position.lots) if is_hedge else position.lots
            amount = f"-{one.size_text(-lots)}" if lots < 0 else one.size_text(lots)
            row.pop("current_amount")
            rows.append(
                row | {
                    "position_side": leg if is_hedge else "both", "position_amount": amount,
                    "liquidation_price": self._liquidation(account, one, position),
                    "initial_margin": row["position_cross"], "open_type": row["margin_type"].lower(),
                }
            )  # fmt: skip
        return rows

    def _empty(self, account: Account, one: Instrument, now_ms: int) -> list[dict[str, Any]]:
        texts = dict.fromkeys(
            ("current_fee", "current_value", "position_value", "position_cross", "maintenance_margin",
             "close_vol", "close_avg_price", "open_avg_price", "entry_price", "current_amount",
             "unrealized_value", "realized_value"), "0"
        )  # fmt: skip
        return [
            texts | {
                "symbol": one.symbol, "leverage": str(self._clearing.leverage(account, one.market)),
                "timestamp": now_ms, "open_timestamp": 0, "mark_price": _rounded(one.market.mark_price),
                "position_type": LONG,
                "margin_type": self._positions.setting(account, one).open_type.capitalize(),
                "position_mode": self._positions.mode(account), "account": "futures",
            }
        ]  # fmt: skip

    def _liquidation(self, account: Account, one: Instrument, position: Position) -> str:
        """Return where the position alone would be liquidated; wallets are large here, so mostly "0"."""
        if not position.lots:
            return "0"
        settle = one.market.spec.settle or one.market.spec.quote
        base = one.market.qty(position.lots)
        room = account.balance("perp", settle).total / abs(base)
        price = position.entry_price - room if position.lots > 0 else position.entry_price + room
        return _rounded(max(price, Decimal(0)))

    def position_push(self, account: Account, one: Instrument, now_ms: int) -> dict[str, Any] | None:
        """Return the push of ``futures/position``; None where there never was one."""
        rows = []
        setting, held = self._positions.setting(account, one), self._positions.held(account, one)
        known = self._positions.rows(account, one)
        if held.turned:
            held.turned = False
            known = [(LONG + SHORT - held.direction, Position()), *known]
        for kind, position in known:
            entry = _rounded(position.entry_price)
            rows.append(
                {
                    "symbol": one.symbol, "hold_volume": one.size_text(abs(position.lots)),
                    "position_type": kind, "open_type": OPEN_TYPES[setting.open_type], "frozen_volume": "0",
                    "close_volume": one.size_text(held.closed_lots), "hold_avg_price": entry,
                    "close_avg_price": "0", "open_avg_price": entry,
                    "liquidate_price": self._liquidation(account, one, position),
                    "create_time": held.opened_ms or position.updated_ms, "update_time": now_ms,
                    "position_mode": self._positions.mode(account),
                }
            )  # fmt: skip
        return {"group": "futures/position", "data": rows} if rows else None

    # -------------------------------------------------------------------------------------- wallets

    def assets(self, account: Account) -> list[dict[str, str]]:
        """Return the rows of ``/contract/private/assets-detail``."""
        return [self.asset(account, coin) for coin in COINS]

    def asset(self, account: Account, coin: str) -> dict[str, str]:
        """Return one margin wallet."""
        frozen = deposit = unrealised = Decimal(0)
        for one in self._listing.of("perp"):
            market = one.market
            is_active = one.symbol in account.positions or market.open_count.get(account.name)
            if market.spec.settle == coin and is_active:
                frozen += self._clearing.order_margin(account, market)
                deposit += self._clearing.position_margin(account, market)
                unrealised += self._clearing.unrealised(account, market)
        return {
            "currency": coin, "position_deposit": _rounded(deposit), "frozen_balance": _rounded(frozen),
            "available_balance": _rounded(self._clearing.available_margin(account, coin)),
            "equity": _rounded(account.balance("perp", coin).total + unrealised),
            "unrealized": _rounded(unrealised),
        }  # fmt: skip

    def asset_push(self, account: Account, coin: str) -> dict[str, Any]:
        """Return the push of ``futures/asset:<coin>``."""
        row = self.asset(account, coin)
        names = ("currency", "available_balance", "position_deposit", "frozen_balance")
        return {"group": f"futures/asset:{coin}", "data": {name: row[name] for name in names}}
