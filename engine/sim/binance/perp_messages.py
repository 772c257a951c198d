"""Order, position and account messages of USDⓈ-M, every key in the venue's order and numeric style.

Answers keep the contract's widths (``0.010``); the user data stream drops trailing zeros (``0.1``), except
for TRADE_LITE, which keeps them.

Source: USDⓈ-M docs, trade and account endpoints, user data streams; captured ORDER_TRADE_UPDATE and
TRADE_LITE.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account, Position
from engine.sim.binance.board import MarketView
from engine.sim.binance.filters import fixed, plain
from engine.sim.model import EndReason, ExecType, FillRecord, Order, OrderEvent, OrderKind

ZERO = Decimal(0)
MAINTENANCE_RATE = Decimal("0.0065")
MAX_NOTIONAL = Decimal(1_000_000)

_EXECUTION = {
    ExecType.NEW: "NEW", ExecType.TRADE: "TRADE", ExecType.CANCELED: "CANCELED", ExecType.EXPIRED: "EXPIRED",
    ExecType.AMENDED: "AMENDMENT",
}  # fmt: skip
_EXPIRY = {
    EndReason.STP: "1",
    EndReason.IOC_REST: "2",
    EndReason.FOK_UNFILLED: "2",
    EndReason.NO_LIQUIDITY: "9",
}


def eight(value: Decimal) -> str:
    """Return an amount in eight decimals."""
    return fixed(value, 8)


def type_of(order: Order) -> str:
    """Return the order's type in the venue's words."""
    return order.kind.value


def time_in_force_of(order: Order) -> str:
    """Return the time in force; post-only is GTX."""
    return "GTX" if order.post_only else str(order.extra.get("timeInForce", order.time_in_force))


def price_of(view: MarketView, order: Order) -> str:
    """Return the order's price in the contract's width, zero for market orders."""
    return view.price.text(0 if order.kind is OrderKind.MARKET else order.price_ticks)


def average_price(view: MarketView, order: Order) -> Decimal:
    """Return the average price of what was filled, zero before the first fill."""
    return order.filled_quote / view.qty.value(order.filled_lots) if order.filled_lots else ZERO


def order_answer(view: MarketView, order: Order, slim: bool) -> dict[str, Any]:
    """Return the answer to a placement, amend or cancel.

    Args:
        view: the contract.
        order: the order as it stands.
        slim: leave out ``avgPrice`` and ``cumQuote``, as the documentation of mid 2026 does.
    """
    filled = view.qty.text(order.filled_lots)
    body: dict[str, Any] = {
        "orderId": order.order_id, "symbol": view.symbol, "status": order.status.value,
        "clientOrderId": order.client_order_id, "price": price_of(view, order),
        "avgPrice": fixed(average_price(view, order), view.rules.price_decimals),
        "origQty": view.qty.text(order.qty_lots), "executedQty": filled, "cumQty": filled,
        "cumQuote": fixed(order.filled_quote, view.rules.price_decimals + view.rules.qty_decimals),
        "timeInForce": time_in_force_of(order), "type": type_of(order), "reduceOnly": order.reduce_only,
        "closePosition": False, "side": order.side, "positionSide": "BOTH", "stopPrice": view.price.text(0),
        "workingType": "CONTRACT_PRICE", "priceProtect": False, "origType": type_of(order),
        "priceMatch": str(order.extra.get("priceMatch", "NONE")), "selfTradePreventionMode": order.stp_mode,
        "goodTillDate": order.extra.get("goodTillDate", 0), "updateTime": order.updated_ms,
    }  # fmt: skip
    if slim:
        del body["avgPrice"], body["cumQuote"]
    return body


def queried(view: MarketView, order: Order) -> dict[str, Any]:
    """Return the answer to an order query."""
    body = order_answer(view, order, slim=False)
    del body["cumQty"]
    updated = body.pop("updateTime")
    return body | {"time": order.created_ms, "updateTime": updated}


def user_trade(view: MarketView, fill: FillRecord) -> dict[str, Any]:
    """Return one row of the account's trades."""
    quote = view.notional(fill.price_ticks, fill.qty_lots)
    quantity = view.qty.text(fill.qty_lots)
    return {
        "symbol": view.symbol,
        "id": fill.trade_id,
        "orderId": fill.order.order_id,
        "side": fill.order.side,
        "price": view.price.text(fill.price_ticks),
        "qty": quantity,
        "realizedPnl": eight(fill.realised_pnl),
        "quoteQty": plain(quote),
        "commission": eight(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.time_ms,
        "positionSide": "BOTH",
        "maker": fill.is_maker,
        "buyer": fill.order.side == "BUY",
        "pair": view.symbol,
        "marginAsset": fill.fee_asset,
        "baseQty": quantity,
    }


def order_trade_update(
    view: MarketView, event: OrderEvent, bid_notional: Decimal, ask_notional: Decimal, now_ms: int
) -> dict[str, Any]:
    """Return an ``ORDER_TRADE_UPDATE``; the two notionals are the account's open orders of the contract."""
    order, fill = event.order, event.fill
    price = ZERO if order.kind is OrderKind.MARKET else view.price.value(order.price_ticks)
    done = [row for row in order.fills if row.execution_id <= event.execution_id]
    lots = sum(row.qty_lots for row in done)
    quote = sum((view.notional(row.price_ticks, row.qty_lots) for row in done), ZERO)
    average = quote / view.qty.value(lots) if lots else ZERO
    places = view.rules.price_decimals
    body: dict[str, Any] = {
        "s": view.symbol, "c": order.client_order_id, "S": order.side, "o": type_of(order),
        "f": time_in_force_of(order), "q": plain(view.qty.value(order.qty_lots)), "p": plain(price),
        "ap": plain(Decimal(fixed(average, places + 2))), "sp": "0", "x": _EXECUTION[event.exec_type],
        "X": event.status.value, "i": order.order_id,
        "l": "0" if fill is None else plain(view.qty.value(fill.qty_lots)),
        "z": plain(view.qty.value(event.filled_lots)),
        "L": "0" if fill is None else plain(view.price.value(fill.price_ticks)),
        "n": "0" if fill is None else plain(Decimal(eight(fill.fee))),
        "N": view.market.spec.settle or view.market.spec.quote,
        "T": event.time_ms, "t": 0 if fill is None else fill.trade_id,
        "b": plain(bid_notional), "a": plain(ask_notional),
        "m": fill is not None and fill.is_maker, "R": order.reduce_only, "wt": "CONTRACT_PRICE",
        "ot": type_of(order), "ps": "BOTH", "cp": False,
        "rp": "0" if fill is None else plain(Decimal(eight(fill.realised_pnl))),
        "pP": False, "si": 0, "ss": 0, "V": order.stp_mode, "pm": str(order.extra.get("priceMatch", "NONE")),
        "gtd": order.extra.get("goodTillDate", 0),
        "er": _EXPIRY.get(order.end_reason, "0") if event.exec_type is ExecType.EXPIRED else "0",
    }  # fmt: skip
    if event.exec_type is ExecType.AMENDED and "modifyId" in order.extra:
        body["M"] = order.extra["modifyId"]
    return {"e": "ORDER_TRADE_UPDATE", "T": event.time_ms, "E": now_ms, "o": body}


def trade_lite(view: MarketView, event: OrderEvent, now_ms: int) -> dict[str, Any]:
    """Return the ``TRADE_LITE`` of a fill."""
    order, fill = event.order, event.fill
    assert fill is not None
    return {
        "e": "TRADE_LITE", "E": now_ms, "T": event.time_ms, "s": view.symbol,
        "q": view.qty.text(order.qty_lots), "p": price_of(view, order), "m": fill.is_maker,
        "c": order.client_order_id, "S": order.side, "L": view.price.text(fill.price_ticks),
        "l": view.qty.text(fill.qty_lots), "t": fill.trade_id, "i": order.order_id,
    }  # fmt: skip


def account_update(
    reason: str,
    asset: str,
    wallet: Decimal,
    change: Decimal,
    positions: Iterable[dict[str, Any]],
    event_ms: int,
    now_ms: int,
) -> dict[str, Any]:
    """Return an ``ACCOUNT_UPDATE``; ``change`` is what moved the wallet besides profit and commission."""
    balance = {"a": asset, "wb": plain(Decimal(eight(wallet))), "cw": plain(Decimal(eight(wallet))),
               "bc": plain(Decimal(fixed_signed(change)))}  # fmt: skip
    rows = list(positions)
    return {
        "e": "ACCOUNT_UPDATE", "T": event_ms, "E": now_ms, "a": {"B": [balance], "P": rows, "m": reason},
    }  # fmt: skip


def fixed_signed(value: Decimal) -> str:
    """Return a signed amount in eight decimals."""
    return f"{value.quantize(Decimal('0.00000001')):f}"


def position_entry(
    view: MarketView, position: Position, unrealised: Decimal, taker_fee: Decimal
) -> dict[str, Any]:
    """Return the ``P`` entry of an ACCOUNT_UPDATE."""
    return {
        "s": view.symbol,
        "pa": plain(_signed(view, position)),
        "ep": plain(Decimal(eight(position.entry_price))),
        "cr": plain(Decimal(fixed_signed(position.realised))),
        "up": plain(Decimal(fixed_signed(unrealised))),
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
        "ma": view.market.spec.settle or view.market.spec.quote,
        "bep": plain(Decimal(eight(break_even(position, taker_fee)))),
    }


def _signed(view: MarketView, position: Position) -> Decimal:
    return position.lots * view.market.spec.lot_size


def break_even(position: Position, taker_fee: Decimal) -> Decimal:
    """Return the price at which closing pays the fees of entry."""
    if position.lots == 0:
        return ZERO
    return position.entry_price * (1 + taker_fee if position.lots > 0 else 1 - taker_fee)


def position_risk(
    view: MarketView, position: Position, unrealised: Decimal, position_margin: Decimal,
    order_margin: Decimal, bid_notional: Decimal, ask_notional: Decimal,
) -> dict[str, Any]:  # fmt: skip
    """Return one row of ``positionRisk`` v3 (no leverage, no margin type)."""
    spec, places = view.market.spec, view.rules.qty_decimals
    amount = _signed(view, position)
    notional = amount * view.market.mark_price
    return {
        "symbol": view.symbol,
        "positionSide": "BOTH",
        "positionAmt": f"{amount:.{places}f}",
        "entryPrice": plain(Decimal(eight(position.entry_price))),
        "breakEvenPrice": plain(Decimal(eight(break_even(position, spec.taker_fee)))),
        "markPrice": eight(view.market.mark_price),
        "unRealizedProfit": fixed_signed(unrealised),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": fixed_signed(notional),
        "marginAsset": spec.settle or spec.quote,
        "isolatedWallet": "0",
        "initialMargin": eight(position_margin + order_margin),
        "maintMargin": eight(abs(notional) * MAINTENANCE_RATE),
        "positionInitialMargin": eight(position_margin),
        "openOrderInitialMargin": eight(order_margin) if order_margin else "0",
        "adl": 2 if position.lots else 0,
        "bidNotional": plain(bid_notional),
        "askNotional": plain(ask_notional),
        "updateTime": position.updated_ms,
    }


def account_position(
    view: MarketView, position: Position, unrealised: Decimal, position_margin: Decimal
) -> dict[str, Any]:
    """Return one row of ``positions`` in ``account`` v3."""
    amount = _signed(view, position)
    notional = amount * view.market.mark_price
    return {
        "symbol": view.symbol,
        "positionSide": "BOTH",
        "positionAmt": f"{amount:.{view.rules.qty_decimals}f}",
        "unrealizedProfit": fixed_signed(unrealised),
        "isolatedMargin": "0",
        "notional": fixed_signed(notional),
        "isolatedWallet": "0",
        "initialMargin": eight(position_margin),
        "maintMargin": eight(abs(notional) * MAINTENANCE_RATE),
        "updateTime": position.updated_ms,
    }


def balance_row(account: Account, asset: str, unrealised: Decimal, available: Decimal) -> dict[str, Any]:
    """Return one row of ``balance`` v3."""
    wallet = account.balance("perp", asset).total
    return {
        "accountAlias": alias(account),
        "asset": asset,
        "balance": fixed_signed(wallet),
        "crossWalletBalance": fixed_signed(wallet),
        "crossUnPnl": fixed_signed(unrealised),
        "availableBalance": fixed_signed(max(ZERO, available)),
        "maxWithdrawAmount": fixed_signed(max(ZERO, min(wallet, available))),
        "marginAvailable": True,
        "updateTime": account.updated_ms,
    }


def asset_row(
    account: Account, asset: str, unrealised: Decimal, position_margin: Decimal, order_margin: Decimal,
    maintenance: Decimal, available: Decimal,
) -> dict[str, Any]:  # fmt: skip
    """Return one row of ``assets`` in ``account`` v3."""
    wallet = account.balance("perp", asset).total
    free = fixed_signed(max(ZERO, available))
    return {
        "asset": asset,
        "walletBalance": fixed_signed(wallet),
        "unrealizedProfit": fixed_signed(unrealised),
        "marginBalance": fixed_signed(wallet + unrealised),
        "maintMargin": eight(maintenance),
        "initialMargin": eight(position_margin + order_margin),
        "positionInitialMargin": eight(position_margin),
        "openOrderInitialMargin": eight(order_margin),
        "crossWalletBalance": fixed_signed(wallet),
        "crossUnPnl": fixed_signed(unrealised),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "updateTime": account.updated_ms if wallet else 0,
    }


def alias(account: Account) -> str:
    """Return the account's short unique code."""
    return f"{account.uid:x}".rjust(4, "S")
