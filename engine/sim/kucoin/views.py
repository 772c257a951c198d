"""Orders, fills, positions and balances in the words of the classic API.

Source: KuCoin API docs, "Get Order By OrderId" and "Get Trade History" (spot HF and futures), "Get Position
List", "Get Account - Futures", "Get Account List - Spot", seen 2025-11.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO, Account
from engine.sim.clearing import Clearing
from engine.sim.kucoin.instruments import Instrument, Listing, cut, number, plain
from engine.sim.model import FillRecord, Order, OrderKind, OrderStatus

NS = 1_000_000
"""Nanoseconds in a millisecond."""


def client_oid(order: Order) -> str:
    """Return the ``clientOid`` that the client gave, "" without one."""
    return str(order.extra.get("clientOid", ""))


def generation(order: Order) -> int:
    """Return how often a spot order was altered: its id changes each time."""
    value = order.extra.get("generation", 0)
    assert isinstance(value, int)
    return value


def fees(order: Order) -> Decimal:
    """Return what an order has paid."""
    return sum((fill.fee for fill in order.fills), ZERO)


def ended_early(order: Order) -> bool:
    """Tell whether an order ended before it was filled."""
    return not order.is_open and order.status is not OrderStatus.FILLED


class Views:
    """Renders the exchange's objects for the classic API."""

    def __init__(self, listing: Listing, clearing: Clearing) -> None:
        self._listing = listing
        self._clearing = clearing

    def order_id(self, order: Order) -> str:
        """Return the id that an order has now."""
        return self._listing.by_market[order.market].order_id(order.order_id, generation(order))

    def spot_order(self, order: Order) -> dict[str, Any]:
        """Return an order of the HF queries."""
        one, market = self._listing.by_market[order.market], order.market
        spec = market.spec
        price = market.price(order.price_ticks)
        funds = order.quote_amount if order.quote_amount is not None else price * market.qty(order.qty_lots)
        ended, left = ended_early(order), order.leaves_lots
        remaining = left if order.is_open else 0
        given = order.extra
        return {
            "id": self.order_id(order), "clientOid": client_oid(order), "symbol": one.symbol,
            "opType": "DEAL", "type": order.kind.value.lower(), "side": order.side.lower(),
            "price": one.price.text(order.price_ticks), "size": one.size.text(order.qty_lots),
            "funds": plain(funds), "dealSize": one.size.text(order.filled_lots),
            "dealFunds": plain(order.filled_quote), "remainSize": one.size.text(remaining),
            "remainFunds": plain(max(ZERO, funds - order.filled_quote)) if order.is_open else "0",
            "cancelledSize": one.size.text(left) if ended else "0",
            "cancelledFunds": plain(price * market.qty(left)) if ended else "0",
            "fee": plain(fees(order)), "feeCurrency": spec.quote, "stp": given.get("stp") or None,
            "timeInForce": given.get("timeInForce", "GTC"), "postOnly": order.post_only,
            "hidden": given.get("hidden", False), "iceberg": given.get("iceberg", False), "visibleSize": "0",
            "cancelAfter": given.get("cancelAfter", 0), "channel": "API", "remark": given.get("remark"),
            "tags": given.get("tags"), "cancelExist": ended, "tradeType": "TRADE",
            "inOrderBook": order.is_open and order.kind is OrderKind.LIMIT, "active": order.is_open,
            "tax": "0", "createdAt": order.created_ms, "lastUpdatedAt": order.updated_ms,
        }  # fmt: skip

    def spot_result(self, order: Order) -> dict[str, Any]:
        """Return what the ``sync`` requests answer."""
        one = self._listing.by_market[order.market]
        left = order.leaves_lots
        return {
            "orderId": self.order_id(order), "clientOid": client_oid(order), "orderTime": order.created_ms,
            "originSize": one.size.text(order.qty_lots), "dealSize": one.size.text(order.filled_lots),
            "remainSize": one.size.text(left if order.is_open else 0),
            "canceledSize": one.size.text(left if ended_early(order) else 0),
            "status": "open" if order.is_open else "done", "matchTime": order.updated_ms,
        }  # fmt: skip

    def spot_fill(self, fill: FillRecord) -> dict[str, Any]:
        """Return a fill of ``/hf/fills``."""
        order = fill.order
        one, market = self._listing.by_market[order.market], order.market
        rate = market.spec.maker_fee if fill.is_maker else market.spec.taker_fee
        return {
            "id": fill.execution_id, "symbol": one.symbol, "tradeId": fill.trade_id,
            "orderId": self.order_id(order), "counterOrderId": one.order_id(900_000_000 + fill.trade_id),
            "side": order.side.lower(), "liquidity": "maker" if fill.is_maker else "taker",
            "forceTaker": False, "price": one.price.text(fill.price_ticks),
            "size": one.size.text(fill.qty_lots),
            "funds": plain(market.price(fill.price_ticks) * market.qty(fill.qty_lots)),
            "fee": plain(fill.fee), "feeRate": plain(rate), "feeCurrency": fill.fee_asset, "stop": "",
            "tradeType": "TRADE", "type": order.kind.value.lower(), "taxRate": "0", "tax": "0",
            "createdAt": fill.time_ms,
        }  # fmt: skip

    def futures_order(self, order: Order) -> dict[str, Any]:
        """Return an order of the futures queries: sizes are whole lots."""
        one, market, given = self._listing.by_market[order.market], order.market, order.extra
        filled = one.lots(order.filled_lots)
        value = plain(order.filled_quote)
        average = ZERO
        if order.filled_lots:
            average = order.filled_quote / market.qty(order.filled_lots)
        is_market = order.kind is OrderKind.MARKET
        price = market.mark_price if is_market else market.price(order.price_ticks)
        return {
            "id": self.order_id(order), "symbol": one.symbol, "type": order.kind.value.lower(),
            "side": order.side.lower(), "price": "0" if is_market else one.price.text(order.price_ticks),
            "size": one.lots(order.qty_lots), "value": cut(price * market.qty(order.qty_lots)),
            "dealValue": value, "dealSize": filled, "stp": given.get("stp", ""), "stop": "",
            "stopPriceType": "", "stopTriggered": False, "stopPrice": None,
            "timeInForce": given.get("timeInForce", "GTC"), "postOnly": order.post_only,
            "hidden": given.get("hidden", False), "iceberg": given.get("iceberg", False),
            "leverage": str(self._clearing.leverage(order.account, market)), "forceHold": False,
            "closeOrder": given.get("closeOrder", False), "visibleSize": 0, "clientOid": client_oid(order),
            "remark": given.get("remark"), "tags": given.get("tags", ""), "isActive": order.is_open,
            "cancelExist": ended_early(order), "createdAt": order.created_ms, "updatedAt": order.updated_ms,
            "endAt": None if order.is_open else order.updated_ms, "orderTime": order.created_ms * NS,
            "settleCurrency": market.spec.settle, "marginMode": given.get("marginMode", "ISOLATED"),
            "positionSide": "BOTH", "avgDealPrice": cut(average), "filledSize": filled,
            "filledValue": value, "status": "open" if order.is_open else "done",
            "reduceOnly": order.reduce_only,
        }  # fmt: skip

    def futures_fill(self, fill: FillRecord) -> dict[str, Any]:
        """Return a fill of ``/api/v1/fills``."""
        order = fill.order
        one, market = self._listing.by_market[order.market], order.market
        rate = market.spec.maker_fee if fill.is_maker else market.spec.taker_fee
        return {
            "symbol": one.symbol, "tradeId": str(fill.trade_id), "orderId": self.order_id(order),
            "side": order.side.lower(), "liquidity": "maker" if fill.is_maker else "taker",
            "forceTaker": False, "price": one.price.text(fill.price_ticks), "size": one.lots(fill.qty_lots),
            "value": plain(market.price(fill.price_ticks) * market.qty(fill.qty_lots)),
            "openFeePay": plain(fill.fee), "closeFeePay": "0", "stop": "", "feeRate": f"{rate:.5f}",
            "fixFee": "0", "feeCurrency": fill.fee_asset, "subTradeType": None,
            "marginMode": order.extra.get("marginMode", "ISOLATED"), "openFeeTaxPay": "0",
            "closeFeeTaxPay": "0", "displayType": order.kind.value.lower(), "fee": plain(fill.fee),
            "settleCurrency": market.spec.settle, "orderType": order.kind.value.lower(),
            "tradeType": "trade", "tradeTime": fill.time_ms * NS, "createdAt": fill.time_ms,
            "positionSide": "BOTH",
        }  # fmt: skip

    def position(self, account: Account, one: Instrument, margin_mode: str, now_ms: int) -> dict[str, Any]:
        """Return a position; numbers are JSON numbers, ``currentQty`` signed lots."""
        market, spec = one.market, one.market.spec
        held = account.position(one.symbol)
        qty, mark = market.qty(held.lots), market.mark_price
        leverage = self._clearing.leverage(account, market)
        cost, value = qty * held.entry_price, qty * mark
        margin, profit = abs(cost) / leverage, self._clearing.unrealised(account, market)
        keep = abs(value) / spec.max_leverage / 2
        direction = 1 if held.lots > 0 else -1
        bankrupt = held.entry_price * (1 - Decimal(direction) / leverage) if held.lots else ZERO
        share = profit / abs(cost) if cost else ZERO
        return {
            "id": f"5000000000{account.uid % 1000:03d}{one.number:05d}", "symbol": one.symbol,
            "autoDeposit": False, "crossMode": margin_mode == "CROSS", "riskLimitLevel": 1,
            "maintMarginReq": float(round(Decimal(1) / spec.max_leverage / 2, 6)), "riskLimit": 500_000,
            "realLeverage": number(Decimal(leverage)), "delevPercentage": 0.1,
            "openingTimestamp": held.updated_ms, "currentTimestamp": now_ms,
            "currentQty": one.lots(held.lots),
            "currentCost": number(cost), "currentComm": 0, "unrealisedCost": number(cost),
            "realisedGrossCost": number(-held.realised), "realisedCost": number(-held.realised),
            "isOpen": held.lots != 0, "markPrice": number(mark), "markValue": number(value),
            "posCost": number(cost), "posCross": 0, "posCrossMargin": 0, "posInit": number(margin),
            "posComm": 0, "posCommCommon": 0, "posLoss": 0, "posMargin": number(margin), "posFunding": 0,
            "posMaint": number(keep), "maintMargin": number(margin + profit),
            "realisedGrossPnl": number(held.realised), "realisedPnl": number(held.realised),
            "unrealisedPnl": number(profit), "unrealisedPnlPcnt": number(share, 4),
            "unrealisedRoePcnt": number(share * leverage, 4), "avgEntryPrice": number(held.entry_price),
            "liquidationPrice": number(bankrupt), "bankruptPrice": number(bankrupt),
            "settleCurrency": spec.settle, "isInverse": False,
            "maintainMargin": float(round(Decimal(1) / spec.max_leverage / 2, 6)), "marginMode": margin_mode,
            "positionSide": "BOTH", "leverage": leverage,
        }  # fmt: skip

    # -------------------------------------------------------------------------------------- money

    def margins(self, account: Account, currency: str) -> dict[str, Decimal]:
        """Return the sums of a futures wallet."""
        balance = account.balance("perp", currency).total
        profit = positions = orders = ZERO
        for one in self._listing.of(is_futures=True):
            market = one.market
            if market.spec.settle == currency and (
                one.symbol in account.positions or market.open_count.get(account.name)
            ):
                profit += self._clearing.unrealised(account, market)
                positions += self._clearing.position_margin(account, market)
                orders += self._clearing.order_margin(account, market)
        return {
            "balance": balance, "profit": profit, "positions": positions, "orders": orders,
            "available": max(ZERO, self._clearing.available_margin(account, currency)),
        }  # fmt: skip

    def overview(self, account: Account, currency: str) -> dict[str, Any]:
        """Return the futures account."""
        sums = self.margins(account, currency)
        equity = sums["balance"] + sums["profit"]
        return {
            "accountEquity": number(equity), "unrealisedPNL": number(sums["profit"]),
            "marginBalance": number(sums["balance"]), "positionMargin": number(sums["positions"]),
            "orderMargin": number(sums["orders"]), "frozenFunds": 0.0,
            "availableBalance": number(sums["available"]), "currency": currency,
            "riskRatio": number(sums["positions"] / equity) if equity else 0,
            "maxWithdrawAmount": number(sums["available"]), "availableMargin": number(sums["available"]),
        }  # fmt: skip

    def wallet(self, account: Account, currency: str, version: int, now_ms: int) -> dict[str, Any]:
        """Return the futures wallet as it is pushed."""
        sums = self.margins(account, currency)
        available = cut(sums["available"])
        return {
            "crossPosMargin": "0", "isolatedOrderMargin": cut(sums["orders"]), "holdBalance": "0",
            "equity": cut(sums["balance"] + sums["profit"]), "version": str(version),
            "availableBalance": available, "isolatedPosMargin": cut(sums["positions"]),
            "maxWithdrawAmount": available, "walletBalance": cut(sums["balance"]),
            "isolatedFundingFeeMargin": "0", "crossUnPnl": "0", "totalCrossMargin": available,
            "currency": currency, "isolatedUnPnl": cut(sums["profit"]), "availableMargin": available,
            "crossOrderMargin": "0", "timestamp": str(now_ms),
        }  # fmt: skip

    def spot_accounts(self, account: Account) -> list[dict[str, Any]]:
        """Return the spot accounts: an empty main and a full trade account per currency."""
        rows = []
        for at, (currency, balance) in enumerate(account.balances.get("spot", {}).items()):
            for kind, total, free, held in (
                ("main", ZERO, ZERO, ZERO), ("trade", balance.total, balance.free, balance.locked),
            ):  # fmt: skip
                rows.append({
                    "id": self.account_id(account, at, kind == "trade"), "currency": currency, "type": kind,
                    "balance": plain(total), "available": plain(free), "holds": plain(held),
                })  # fmt: skip
        return rows

    def account_id(self, account: Account, at: int, is_trade: bool) -> str:
        """Return the id of one currency's account."""
        return f"{548_000_000_000 + account.uid * 1000 + at * 2 + is_trade}"
