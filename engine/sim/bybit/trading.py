"""Orders on Bybit: create, amend, cancel, cancel-all and the batch forms; the same for REST and WebSocket.

An acknowledgement says only that a request was accepted; what became of the order is pushed.

Source: Bybit v5 docs, "Trade", seen 2026-07.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from engine.sim.accounts import Account
from engine.sim.bybit.errors import BybitError, refusal, wrong
from engine.sim.bybit.instruments import CATEGORIES, LIMIT_RATIO, Instrument, Listing
from engine.sim.exchange import Exchange
from engine.sim.model import NewOrder, Order, OrderKind, OrderStatus, RefusalReason, Refused

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "PostOnly")
SMP = {
    "None": "NONE", "CancelMaker": "EXPIRE_MAKER", "CancelTaker": "EXPIRE_TAKER", "CancelBoth": "EXPIRE_BOTH",
}  # fmt: skip
BATCH_MOST = {"linear": 20, "spot": 10}
CANCEL_ALL_MOST = 500
Item = Mapping[str, Any]


def given(item: Item, name: str) -> Any:
    """Return a parameter, None where it is absent, empty or null."""
    value = item.get(name)
    return None if value in ("", None) else value


def number(item: Item, name: str) -> Decimal:
    """Return a positive decimal text that must be there; raises BybitError."""
    value = given(item, name)
    label = name.capitalize()
    if value is None or isinstance(value, bool):
        raise wrong(f"params error: {label} invalid")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise wrong(f"params error: {label} invalid") from None
    if not amount.is_finite() or amount <= 0 or len(amount.as_tuple().digits) > 40:
        raise wrong(f"params error: {label} invalid")
    return amount


def category_of(item: Item) -> str:
    """Return the category; raises BybitError."""
    category = item.get("category")
    if category not in CATEGORIES:
        raise wrong("Illegal category")
    return str(category)


class Trading:
    """Executes order requests.

    Args:
        race: called before a cancel; True when the order was just filled, so that the cancel comes too late.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, now_ms: Callable[[], int],
        race: Callable[[Order, Instrument], bool],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._now_ms = now_ms
        self._race = race
        self._link_ids: set[tuple[str, str, str]] = set()
        self.actions: dict[str, Callable[[Account, Item], dict[str, Any]]] = {
            "create": self.create, "amend": self.amend, "cancel": self.cancel,
        }  # fmt: skip

    def instrument(self, item: Item) -> Instrument:
        """Return the instrument of a request; raises BybitError."""
        return self._listing.one(category_of(item), str(item.get("symbol", "")))

    # --------------------------------------------------------------------------------------- create

    def create(self, account: Account, item: Item) -> dict[str, Any]:
        """Place an order; raises BybitError."""
        one = self.instrument(item)
        side_text, kind_text = item.get("side"), item.get("orderType")
        if side_text not in ("Buy", "Sell"):
            raise wrong("params error: side invalid")
        if kind_text not in ("Limit", "Market"):
            raise wrong("params error: OrderType invalid")
        side: Literal["BUY", "SELL"] = "BUY" if side_text == "Buy" else "SELL"
        is_market = kind_text == "Market"
        tif = "IOC" if is_market else str(given(item, "timeInForce") or "GTC")
        if tif not in TIMES_IN_FORCE:
            raise wrong("params error: TimeInForce invalid")
        smp = str(given(item, "smpType") or "None")
        if smp not in SMP:
            raise wrong("params error: SmpType invalid")
        if one.is_linear and int(str(given(item, "positionIdx") or 0)) != 0:
            raise wrong("position idx not match position mode")
        link_id = self._link_id(account, item, one)
        unit = self._market_unit(item, one, side, is_market)
        price = 0 if is_market else self._price(item, one, side)
        amount, lots = self._size(item, one, unit, price, is_market)
        extra: dict[str, object] = {
            "orderLinkId": link_id, "timeInForce": tif, "smpType": smp, "marketUnit": unit,
            "lastPriceOnCreated": one.price.text(one.market.last_price_ticks),
        }  # fmt: skip
        new = NewOrder(
            account=account, market=one.market, side=side,
            kind=OrderKind.MARKET if is_market else OrderKind.LIMIT, price_ticks=price, qty_lots=lots,
            quote_amount=amount, time_in_force="FOK" if tif == "FOK" else "IOC" if tif == "IOC" else "GTC",
            post_only=tif == "PostOnly", post_only_cancels=True,
            reduce_only=one.is_linear and item.get("reduceOnly") in (True, "true"),
            client_order_id=link_id, stp_mode=SMP[smp], extra=extra,
        )  # fmt: skip
        if is_market:
            new.time_in_force = "GTC"
        try:
            order = self._exchange.submit(new)
        except Refused as error:
            raise refusal(error.reason, one.is_linear) from None
        if link_id:
            self._link_ids.add((account.name, one.category, link_id))
        return {"orderId": one.order_id(order.order_id), "orderLinkId": link_id}

    def _link_id(self, account: Account, item: Item, one: Instrument) -> str:
        value = given(item, "orderLinkId")
        if value is None:
            return ""
        if not isinstance(value, str) or LINK_ID.fullmatch(value) is None:
            raise wrong("params error: OrderLinkId invalid")
        if (account.name, one.category, value) in self._link_ids:
            raise refusal(RefusalReason.DUPLICATE_CLIENT_ID, one.is_linear)
        return value

    def _market_unit(self, item: Item, one: Instrument, side: str, is_market: bool) -> str:
        if one.is_linear or not is_market:
            return ""
        unit = given(item, "marketUnit") or ("quoteCoin" if side == "BUY" else "baseCoin")
        if unit not in ("baseCoin", "quoteCoin") or (side == "SELL" and unit == "quoteCoin"):
            raise wrong("params error: marketUnit invalid")
        return str(unit)

    def _price(self, item: Item, one: Instrument, side: str) -> int:
        price, tick = number(item, "price"), one.market.spec.tick_size
        if price % tick:
            if one.is_linear:
                raise BybitError(110003, "price is invalid")
            raise BybitError(170134, "Order price decimal too long.")
        high, low = self.limits(one)
        if side == "BUY" and price > high:
            if one.is_linear:
                raise BybitError(110003, "Order price exceeds the allowable range.")
            raise BybitError(170193, f"Buy order price cannot be higher than {high:f}.")
        if side == "SELL" and price < low:
            if one.is_linear:
                raise BybitError(110003, "Order price exceeds the allowable range.")
            raise BybitError(170194, f"Sell order price cannot be lower than {low:f}.")
        return int(price / tick)

    def limits(self, one: Instrument) -> tuple[Decimal, Decimal]:
        """Return the highest price of a buy and the lowest of a sell."""
        market = one.market
        middle = market.mark_price if one.is_linear else market.price(market.last_price_ticks)
        tick = market.spec.tick_size
        high, low = middle * (1 + LIMIT_RATIO), middle * (1 - LIMIT_RATIO)
        return high - high % tick, low - low % tick

    def _size(
        self, item: Item, one: Instrument, unit: str, price: int, is_market: bool
    ) -> tuple[Decimal | None, int]:
        qty, spec = number(item, "qty"), one.market.spec
        if unit == "quoteCoin":
            if qty < spec.min_notional:
                raise BybitError(170140, "Order value exceeded lower limit.")
            return qty, 0
        if qty % spec.lot_size:
            if one.is_linear:
                raise wrong("Qty invalid")
            raise BybitError(170137, "Order quantity has too many decimals.")
        most = spec.max_qty / 2 if is_market else spec.max_qty
        if qty < spec.min_qty:
            if one.is_linear:
                raise wrong("The number of contracts is below the minimum allowed")
            raise BybitError(170136, "Order quantity exceeded lower limit.")
        if qty > most:
            if one.is_linear:
                raise wrong("The number of contracts exceeds maximum limit allowed: too large")
            raise BybitError(170124, "Order amount too large.")
        value = qty * one.market.price(price or one.market.last_price_ticks)
        if value < spec.min_notional and not (one.is_linear and item.get("reduceOnly") in (True, "true")):
            if one.is_linear:
                least = f"{spec.min_notional:f}{spec.settle}"
                raise BybitError(110094, f"Order does not meet minimum order value {least}")
            raise BybitError(170140, "Order value exceeded lower limit.")
        return None, int(qty / spec.lot_size)

    # -------------------------------------------------------------------------------- amend, cancel

    def find(self, account: Account, item: Item, one: Instrument) -> Order:
        """Return the order that ``orderId`` (which wins) or ``orderLinkId`` names; raises Refused."""
        order_id, link_id = given(item, "orderId"), given(item, "orderLinkId")
        if order_id is not None:
            return self._exchange.find(account, one.market, one.order_number(str(order_id)))
        if link_id is None:
            raise wrong("params error: OrderId or OrderLinkId is required")
        order = self._exchange.find(account, one.market, client_order_id=str(link_id))
        if order.extra.get("orderLinkId") != link_id:
            raise Refused(RefusalReason.UNKNOWN_ORDER)
        return order

    def _open(self, account: Account, item: Item, one: Instrument, verb: str) -> Order:
        """Return an order that still rests; raises BybitError."""
        try:
            order = self.find(account, item, one)
        except Refused:
            order = None
        if order is not None and order.is_open:
            return order
        if one.is_linear:
            raise BybitError(110001, f"order not exists or too late to {verb}")
        if order is None:
            raise BybitError(170213, "Order does not exist.")
        if order.status is OrderStatus.FILLED:
            raise BybitError(170139, "Order has been filled.")
        raise BybitError(170142, "Order has been canceled.")

    def cancel(self, account: Account, item: Item) -> dict[str, Any]:
        """Cancel an order; raises BybitError."""
        one = self.instrument(item)
        order = self._open(account, item, one, "cancel")
        if not self._race(order, one):
            self._cancel(order, one)
        return self._answer(order, one)

    def _cancel(self, order: Order, one: Instrument) -> None:
        try:
            self._exchange.cancel(order)
        except Refused as error:
            raise refusal(error.reason, one.is_linear) from None

    def _answer(self, order: Order, one: Instrument) -> dict[str, Any]:
        return {"orderId": one.order_id(order.order_id), "orderLinkId": order.extra.get("orderLinkId", "")}

    def amend(self, account: Account, item: Item) -> dict[str, Any]:
        """Change price or total quantity; raises BybitError."""
        one = self.instrument(item)
        order = self._open(account, item, one, "replace")
        price, lots = order.price_ticks, order.qty_lots
        if given(item, "price") is not None:
            price = self._price(item, one, order.side)
        if given(item, "qty") is not None:
            lots = self._size(item, one, "", price, False)[1]
            if lots <= order.filled_lots:
                code = 110064 if one.is_linear else 170313
                raise BybitError(code, "The modified qty should not be less than the executed qty")
        if price == order.price_ticks and lots == order.qty_lots:
            raise wrong("The order remains unchanged as the parameters entered match the existing ones.")
        try:
            if price == order.price_ticks and lots < order.qty_lots:
                self._exchange.reduce_in_place(order, lots)
            else:
                self._exchange.amend(order, price, lots)
        except Refused as error:
            raise refusal(error.reason, one.is_linear) from None
        return self._answer(order, one)

    def cancel_all(self, account: Account, item: Item) -> dict[str, Any]:
        """Cancel what the request covers, at most 500 orders; raises BybitError."""
        category = category_of(item)
        symbol, base, settle = (given(item, name) for name in ("symbol", "baseCoin", "settleCoin"))
        if category == "linear" and symbol is base is settle is None:
            raise wrong("params error: symbol, baseCoin or settleCoin is required")
        if symbol is not None:
            self._listing.one(category, str(symbol))
        rows: list[dict[str, Any]] = []
        for order in self._exchange.open_orders(account, "perp" if category == "linear" else "spot"):
            one = self._listing.by_market[order.market]
            spec = order.market.spec
            if symbol not in (None, one.symbol) or (symbol is None and base not in (None, spec.base)):
                continue
            if symbol is None and base is None and settle not in (None, spec.settle):
                continue
            if len(rows) == CANCEL_ALL_MOST:
                break
            self._cancel(order, one)
            rows.append(self._answer(order, one))
        return {"list": rows, "success": "1"}

    # --------------------------------------------------------------------------------------- batches

    def batch(self, action: str, account: Account, item: Item, room: int) -> tuple[Any, Any]:
        """Run a batch, the first ``room`` orders of it; return ``result`` and ``retExtInfo``."""
        category = category_of(item)
        orders = item.get("request")
        if not isinstance(orders, list) or not 1 <= len(orders) <= BATCH_MOST[category]:
            raise wrong("params error: request size")
        rows: list[dict[str, Any]] = []
        outcomes: list[dict[str, Any]] = []
        for place, each in enumerate(orders):
            row = {"category": category, "symbol": "", "orderId": "", "orderLinkId": ""}
            if action == "create":
                row["createAt"] = ""
            code, text = 0, "OK"
            try:
                if not isinstance(each, dict):
                    raise wrong("params error")
                row |= {
                    "symbol": str(each.get("symbol", "")),
                    "orderLinkId": str(each.get("orderLinkId", "")),
                }
                if place >= room:
                    raise BybitError(10006, "Too many visits!")
                row |= self.actions[action](account, {**each, "category": category})
                if action == "create":
                    row["createAt"] = str(self._now_ms())
            except BybitError as error:
                code, text = error.code, error.message
            rows.append(row)
            outcomes.append({"code": code, "msg": text})
        return {"list": rows}, {"list": outcomes}
