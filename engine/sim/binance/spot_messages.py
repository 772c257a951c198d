"""Order and account messages of spot, every key in the venue's order and numeric style.

Quantities and prices have eight decimals; an absent commission is ``"0"``.

Source: Binance spot API docs, trading endpoints, account endpoints, user-data-stream; a captured
executionReport.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.binance.board import MarketView
from engine.sim.binance.filters import fixed
from engine.sim.binance.info import ASSET_DECIMALS
from engine.sim.model import EndReason, ExecType, FillRecord, Order, OrderEvent, OrderKind

NOTHING = "0.00000000"

_EXPIRY = {
    EndReason.IOC_REST: "UNFILLED_IOC_QUANTITY_EXPIRED",
    EndReason.FOK_UNFILLED: "UNFILLED_FOK_ORDER_EXPIRED",
    EndReason.NO_LIQUIDITY: "INSUFFICIENT_LIQUIDITY",
    EndReason.VENUE: "EXCHANGE_CANCELED",
}
_EXECUTION = {
    ExecType.NEW: "NEW", ExecType.TRADE: "TRADE", ExecType.CANCELED: "CANCELED", ExecType.EXPIRED: "EXPIRED",
    ExecType.AMENDED: "REPLACED",
}  # fmt: skip


def amount(value: Decimal) -> str:
    """Return an amount of an asset in eight decimals."""
    return fixed(value, ASSET_DECIMALS)


def type_of(order: Order) -> str:
    """Return the order's type in the venue's words."""
    if order.kind is OrderKind.MARKET:
        return "MARKET"
    return "LIMIT_MAKER" if order.post_only else "LIMIT"


def price_of(view: MarketView, order: Order) -> str:
    """Return the order's price text, zero for market orders."""
    return NOTHING if order.kind is OrderKind.MARKET else view.price.text(order.price_ticks)


def _quote_quantity(order: Order) -> str:
    return NOTHING if order.quote_amount is None else amount(order.quote_amount)


def ack(view: MarketView, order: Order) -> dict[str, Any]:
    """Return the ACK answer to a new order."""
    return {
        "symbol": view.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.updated_ms,
    }


def _state(view: MarketView, order: Order) -> dict[str, Any]:
    return {
        "price": price_of(view, order),
        "origQty": view.qty.text(order.qty_lots),
        "executedQty": view.qty.text(order.filled_lots),
        "origQuoteOrderQty": _quote_quantity(order),
        "cummulativeQuoteQty": amount(order.filled_quote),
        "status": order.status.value,
        "timeInForce": order.time_in_force,
        "type": type_of(order),
        "side": order.side,
    }


def result(view: MarketView, order: Order) -> dict[str, Any]:
    """Return the RESULT answer to a new order."""
    body = ack(view, order) | _state(view, order)
    body["workingTime"] = order.created_ms
    body["selfTradePreventionMode"] = order.stp_mode
    if order.end_reason in _EXPIRY:
        body["expiryReason"] = _EXPIRY[order.end_reason]
    return body


def full(view: MarketView, order: Order) -> dict[str, Any]:
    """Return the FULL answer to a new order: RESULT with its fills so far."""
    body = result(view, order)
    self_trade_prevention = body.pop("selfTradePreventionMode")
    body["fills"] = [
        {
            "price": view.price.text(fill.price_ticks),
            "qty": view.qty.text(fill.qty_lots),
            "commission": amount(fill.fee),
            "commissionAsset": fill.fee_asset,
            "tradeId": fill.trade_id,
        }
        for fill in order.fills
    ]
    body["selfTradePreventionMode"] = self_trade_prevention
    return body


def canceled(view: MarketView, order: Order, cancel_id: str) -> dict[str, Any]:
    """Return the answer to a cancel; ``clientOrderId`` is the cancel's own id."""
    return {
        "symbol": view.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": cancel_id,
        "transactTime": order.updated_ms,
        **_state(view, order),
        "selfTradePreventionMode": order.stp_mode,
    }


def queried(view: MarketView, order: Order) -> dict[str, Any]:
    """Return the answer to an order query."""
    state = _state(view, order)
    quote_quantity = state.pop("origQuoteOrderQty")
    body = {
        "symbol": view.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        **state,
        "stopPrice": NOTHING,
        "icebergQty": NOTHING,
        "time": order.created_ms,
        "updateTime": order.updated_ms,
        "isWorking": True,
        "workingTime": order.created_ms,
        "origQuoteOrderQty": quote_quantity,
        "selfTradePreventionMode": order.stp_mode,
    }
    if order.end_reason in _EXPIRY:
        body["expiryReason"] = _EXPIRY[order.end_reason]
    return body


def amended(view: MarketView, order: Order, previous_id: str, execution_id: int) -> dict[str, Any]:
    """Return the answer to a priority-keeping amend."""
    return {
        "transactTime": order.updated_ms,
        "executionId": execution_id,
        "amendedOrder": {
            "symbol": view.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "origClientOrderId": previous_id,
            "clientOrderId": order.client_order_id,
            "price": price_of(view, order),
            "qty": view.qty.text(order.qty_lots),
            "executedQty": view.qty.text(order.filled_lots),
            "preventedQty": NOTHING,
            "quoteOrderQty": _quote_quantity(order),
            "cumulativeQuoteQty": amount(order.filled_quote),
            "status": order.status.value,
            "timeInForce": order.time_in_force,
            "type": type_of(order),
            "side": order.side,
            "workingTime": order.created_ms,
            "selfTradePreventionMode": order.stp_mode,
        },
    }


def my_trade(view: MarketView, fill: FillRecord) -> dict[str, Any]:
    """Return one row of the account's trades."""
    return {
        "symbol": view.symbol,
        "id": fill.trade_id,
        "orderId": fill.order.order_id,
        "orderListId": -1,
        "price": view.price.text(fill.price_ticks),
        "qty": view.qty.text(fill.qty_lots),
        "quoteQty": amount(view.notional(fill.price_ticks, fill.qty_lots)),
        "commission": amount(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ms,
        "isBuyer": fill.order.side == "BUY",
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def execution_report(view: MarketView, event: OrderEvent, now_ms: int) -> dict[str, Any]:
    """Return an ``executionReport`` of what happened to an order."""
    order, fill = event.order, event.fill
    previous = str(order.extra.get("previous_client_id", ""))
    client_id, original_id = order.client_order_id, ""
    if event.exec_type is ExecType.CANCELED:
        client_id, original_id = event.cancel_id or order.client_order_id, order.client_order_id
    elif event.exec_type is ExecType.AMENDED:
        original_id = previous
    traded = [done for done in order.fills if done.execution_id <= event.execution_id]
    quote = sum((view.notional(done.price_ticks, done.qty_lots) for done in traded), Decimal(0))
    is_open = event.status.is_open
    body: dict[str, Any] = {
        "e": "executionReport", "E": now_ms, "s": view.symbol, "c": client_id, "S": order.side,
        "o": type_of(order), "f": order.time_in_force, "q": view.qty.text(order.qty_lots),
        "p": price_of(view, order), "P": NOTHING, "F": NOTHING, "g": -1, "C": original_id,
        "x": _EXECUTION[event.exec_type], "X": event.status.value, "r": "NONE", "i": order.order_id,
        "l": NOTHING if fill is None else view.qty.text(fill.qty_lots),
        "z": view.qty.text(event.filled_lots),
        "L": NOTHING if fill is None else view.price.text(fill.price_ticks),
        "n": "0" if fill is None else amount(fill.fee),
        "N": None if fill is None else fill.fee_asset,
        "T": event.time_ms, "t": -1 if fill is None else fill.trade_id, "I": event.execution_id,
        "w": is_open, "m": fill is not None and fill.is_maker, "M": fill is not None,
        "O": order.created_ms, "Z": amount(quote),
        "Y": NOTHING if fill is None else amount(view.notional(fill.price_ticks, fill.qty_lots)),
        "Q": _quote_quantity(order), "W": order.created_ms, "V": order.stp_mode,
    }  # fmt: skip
    if event.exec_type is ExecType.EXPIRED and order.end_reason in _EXPIRY:
        body["eR"] = _EXPIRY[order.end_reason]
    return body


def account_position(account: Account, assets: Sequence[str], now_ms: int) -> dict[str, Any]:
    """Return an ``outboundAccountPosition`` with the absolute balances of ``assets``."""
    rows = [(asset, account.balance("spot", asset)) for asset in assets]
    return {
        "e": "outboundAccountPosition",
        "E": now_ms,
        "u": account.updated_ms or now_ms,
        "B": [{"a": asset, "f": amount(row.free), "l": amount(row.locked)} for asset, row in rows],
    }


def balance_update(asset: str, delta: Decimal, now_ms: int) -> dict[str, Any]:
    """Return a ``balanceUpdate`` of a deposit, withdrawal or transfer."""
    return {"e": "balanceUpdate", "E": now_ms, "a": asset, "d": amount(delta), "T": now_ms}


def account_info(
    account: Account, maker: Decimal, taker: Decimal, assets: Iterable[str], omit_zero: bool
) -> dict[str, Any]:
    """Return the account: commission rates and balances of ``assets``."""
    held = [(asset, account.balance("spot", asset)) for asset in assets]
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": amount(maker),
            "taker": amount(taker),
            "buyer": NOTHING,
            "seller": NOTHING,
        },
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.updated_ms,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": amount(row.free), "locked": amount(row.locked)}
            for asset, row in held
            if not omit_zero or row.total
        ],
        "permissions": ["SPOT"],
        "uid": account.uid,
    }
