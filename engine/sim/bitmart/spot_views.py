"""Orders, fills and balances of spot accounts, as REST (v4) and the private channels show them.

Source: BitMart spot docs, "Query Order", "Account Trade List", private channels, mirrored copy of 2025-11.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bitmart.instruments import Listing, amount_text
from engine.sim.model import EndReason, FillRecord, Order, OrderEvent, OrderStatus

STATES = {"new": "4", "partially_filled": "5", "filled": "6", "canceled": "8", "partially_canceled": "12"}
_ORDER_TYPES = {"limit": "0", "market": "0", "limit_maker": "1", "ioc": "3"}
_ENTRUST = {"limit": "NORMAL", "market": "NORMAL", "limit_maker": "LIMIT_MAKER", "ioc": "IOC"}


def state(order: Order) -> str:
    """Return the venue's word for where an order stands."""
    words = {
        OrderStatus.NEW: "new", OrderStatus.PARTIALLY_FILLED: "partially_filled",
        OrderStatus.FILLED: "filled",
    }  # fmt: skip
    return words.get(order.status) or ("partially_canceled" if order.filled_lots else "canceled")


class SpotViews:
    """Turns the exchange's objects into spot's rows."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def client_id(self, order: Order) -> str:
        """Return ``clientOrderId``: the order's own id where the client gave none."""
        given = str(order.extra.get("client_order_id", ""))
        return given or str(self._listing.by_market[order.market].order_id(order.order_id))

    def order(self, order: Order) -> dict[str, Any]:
        """Return an order of ``/spot/v4/query/*``."""
        one, market = self._listing.by_market[order.market], order.market
        average = order.filled_quote / market.qty(order.filled_lots) if order.filled_lots else Decimal(0)
        amount = order.quote_amount or one.value(order.price_ticks, order.qty_lots)
        return {
            "orderId": str(one.order_id(order.order_id)), "clientOrderId": self.client_id(order),
            "symbol": one.symbol, "side": order.side.lower(), "orderMode": "spot",
            "type": order.extra["type"], "state": state(order), "cancelSource": self._cancel_source(order),
            "stpMode": order.extra["stpMode"], "price": one.price.text(order.price_ticks),
            "priceAvg": f"{average:.{market.spec.price_decimals}f}", "size": one.size.text(order.qty_lots),
            "filledSize": one.size.text(order.filled_lots), "notional": amount_text(amount),
            "filledNotional": amount_text(order.filled_quote), "createTime": order.created_ms,
            "updateTime": order.updated_ms,
        }  # fmt: skip

    def _cancel_source(self, order: Order) -> str:
        if order.is_open or order.status is OrderStatus.FILLED:
            return ""
        return {EndReason.NONE: "user", EndReason.STP: "stp"}.get(order.end_reason, "system")

    def fill(self, fill: FillRecord) -> dict[str, Any]:
        """Return a row of ``/spot/v4/query/trades``."""
        order = fill.order
        one = self._listing.by_market[order.market]
        return {
            "tradeId": str(fill.trade_id), "orderId": str(one.order_id(order.order_id)),
            "clientOrderId": self.client_id(order), "symbol": one.symbol, "side": order.side.lower(),
            "orderMode": "spot", "type": order.extra["type"], "price": one.price.text(fill.price_ticks),
            "size": one.size.text(fill.qty_lots),
            "notional": amount_text(one.value(fill.price_ticks, fill.qty_lots)),
            "fee": amount_text(fill.fee), "feeCoinName": fill.fee_asset,
            "tradeRole": "maker" if fill.is_maker else "taker", "createTime": fill.time_ms,
            "updateTime": fill.time_ms,
        }  # fmt: skip

    def order_push(self, event: OrderEvent, now_ms: int) -> dict[str, str]:
        """Return the row of ``spot/user/order``: texts only; a fill is present where its count is above 0."""
        order, fill = event.order, event.fill
        one, market = self._listing.by_market[order.market], order.market
        kind = str(order.extra["type"])
        # The order may have moved on since: what this event is about stands in the event.
        filled = market.qty(event.filled_lots)
        quote = sum((one.value(f.price_ticks, f.qty_lots) for f in self._until(order, fill)), Decimal(0))
        word = {"NEW": "new", "PARTIALLY_FILLED": "partially_filled", "FILLED": "filled"}.get(
            event.status.value, "partially_canceled" if event.filled_lots else "canceled"
        )
        notional = "" if order.quote_amount is None else f"{order.quote_amount:.10f}"
        return {
            "symbol": one.symbol, "side": order.side.lower(), "type": kind, "notional": notional,
            "size": f"{market.qty(order.qty_lots):.10f}", "ms_t": str(now_ms),
            "price": f"{market.price(order.price_ticks):.10f}", "filled_notional": f"{quote:.10f}",
            "filled_size": f"{filled:.10f}", "margin_trading": "0", "state": STATES[word],
            "order_id": str(one.order_id(order.order_id)), "order_type": _ORDER_TYPES[kind],
            "last_fill_time": str(fill.time_ms) if fill is not None else "0",
            "last_fill_price": one.price.text(fill.price_ticks) if fill is not None else "0",
            "last_fill_count": one.size.text(fill.qty_lots) if fill is not None else "0",
            "exec_type": ("M" if fill.is_maker else "T") if fill is not None else "",
            "detail_id": str(fill.trade_id) if fill is not None else "",
            "client_order_id": self.client_id(order), "create_time": str(order.created_ms),
            "update_time": str(event.time_ms), "order_mode": "0", "entrust_type": _ENTRUST[kind],
            "order_state": word, "dealFee": amount_text(fill.fee) if fill is not None else "",
            "deal_fee_coin_name": fill.fee_asset if fill is not None else "",
        }  # fmt: skip

    @staticmethod
    def _until(order: Order, fill: FillRecord | None) -> list[FillRecord]:
        return order.fills if fill is None else order.fills[: order.fills.index(fill) + 1]

    def balance_push(self, account: Account, coin: str, now_ms: int) -> dict[str, Any]:
        """Return the push of ``spot/user/balance``: one row that holds one coin."""
        balance = account.balance("spot", coin)
        detail = {"ccy": coin, "av_bal": amount_text(balance.free), "fz_bal": amount_text(balance.locked)}
        row = {
            "event_type": "TRANSACTION_COMPLETED", "event_time": str(now_ms), "balance_details": [detail],
        }  # fmt: skip
        return {"data": [row], "table": "spot/user/balance"}
