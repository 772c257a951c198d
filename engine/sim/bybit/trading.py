"""Orders on Bybit: create, amend, cancel, cancel-all and the batch forms; the same for REST and WebSocket.

An acknowledgement says only that a request was accepted; what became of the order is pushed.

Source: Bybit v5 docs, "Trade", seen 2026-07.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

from engine.sim.accounts import Account
from engine.sim.bybit import rules
from engine.sim.bybit.errors import BybitError, refusal, wrong
from engine.sim.bybit.instruments import CATEGORIES, Instrument, Listing
from engine.sim.bybit.rules import Item, given
from engine.sim.exchange import Exchange
from engine.sim.model import NewOrder, Order, OrderKind, OrderStatus, RefusalReason, Refused

BATCH_MOST = {"linear": 20, "spot": 10}
CANCEL_ALL_MOST = 500
SPOT_OPEN_MOST = 500


def category_of(item: Item) -> str:
    """Return the category; raises BybitError."""
    category = item.get("category")
    if category not in CATEGORIES:
        raise wrong("Illegal category")
    return str(category)


class Trading:
    """Executes order requests.

    Args:
        is_strict: refuse fields that the venue would only ignore.
        race: called before a cancel; True when the order was just filled, so that the cancel comes too late.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, now_ms: Callable[[], int],
        race: Callable[[Order, Instrument], bool], is_strict: bool = False,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._now_ms = now_ms
        self._race = race
        self._is_strict = is_strict
        self._link_ids: set[tuple[str, str, str]] = set()
        self.actions: dict[str, Callable[[Account, Item], dict[str, Any]]] = {
            "create": self.create, "amend": self.amend, "cancel": self.cancel,
        }  # fmt: skip

    def instrument(self, action: str, item: Item) -> Instrument:
        """Return the instrument of a request; raises BybitError."""
        if self._is_strict:
            rules.check_known(action, item)
        return self._listing.one(category_of(item), str(item.get("symbol", "")))

    # --------------------------------------------------------------------------------------- create

    def create(self, account: Account, item: Item) -> dict[str, Any]:
        """Place an order; raises BybitError."""
        one = self.instrument("create", item)
        side: Literal["BUY", "SELL"] = (
            "BUY" if rules.choice(item, "side", ("Buy", "Sell")) == "Buy" else "SELL"
        )
        is_market = rules.choice(item, "orderType", ("Limit", "Market")) == "Market"
        tif = rules.choice(item, "timeInForce", rules.TIMES_IN_FORCE, "GTC")
        if is_market:
            tif = "IOC"
        smp = rules.choice(item, "smpType", rules.SMP, "None")
        rules.check_fields(item, one)
        reduces = rules.flag(item, "reduceOnly") and one.is_linear
        closes = rules.flag(item, "closeOnTrigger") and one.is_linear
        link_id = self._link_id(account, item, one)
        unit = self._market_unit(item, one, side, is_market)
        price = 0 if is_market else rules.price_ticks(item, one, side)
        quote_amount: Decimal | None = None
        lots = 0
        if unit == "quoteCoin":
            quote_amount = rules.amount(item, one)
        elif reduces and closes and rules.number(item, "qty", least=0) == 0:
            lots = abs(account.position(one.symbol).lots)
        else:
            lots = rules.lots(item, one, price, is_market, reduces)
        self._check_count(account, one)
        self._check_funds(account, one, side, quote_amount, lots, price, reduces)
        extra: dict[str, object] = {
            "orderLinkId": link_id, "timeInForce": tif, "smpType": smp, "marketUnit": unit,
            "closeOnTrigger": closes,
            "isLeverage": "" if one.is_linear else str(given(item, "isLeverage") or 0),
            "lastPriceOnCreated": one.price.text(one.market.last_price_ticks),
        }  # fmt: skip
        new = NewOrder(
            account=account, market=one.market, side=side,
            kind=OrderKind.MARKET if is_market else OrderKind.LIMIT, price_ticks=price, qty_lots=lots,
            quote_amount=quote_amount,
            time_in_force="FOK" if tif == "FOK" else "IOC" if tif == "IOC" else "GTC",
            post_only=tif == "PostOnly", post_only_cancels=True, reduce_only=reduces,
            client_order_id=link_id, stp_mode=rules.SMP[smp], extra=extra,
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
        if not isinstance(value, str) or rules.LINK_ID.fullmatch(value) is None:
            raise wrong("params error: OrderLinkId invalid")
        if (account.name, one.category, value) in self._link_ids:
            raise refusal(RefusalReason.DUPLICATE_CLIENT_ID, one.is_linear)
        return value

    def _market_unit(self, item: Item, one: Instrument, side: str, is_market: bool) -> str:
        if one.is_linear or not is_market:
            return ""
        default = "quoteCoin" if side == "BUY" else "baseCoin"
        unit = rules.choice(item, "marketUnit", ("baseCoin", "quoteCoin"), default)
        if side == "SELL" and unit == "quoteCoin":
            raise wrong("params error: marketUnit quoteCoin is not supported for a sell")
        return unit

    def _check_count(self, account: Account, one: Instrument) -> None:
        """Refuse the 501st open spot order of an account: on spot all symbols count together."""
        if one.is_linear:
            return
        count = sum(each.market.open_count.get(account.name, 0) for each in self._listing.of("spot"))
        if count >= SPOT_OPEN_MOST:
            raise refusal(RefusalReason.TOO_MANY_ORDERS, False)

    def _check_funds(
        self, account: Account, one: Instrument, side: str, quote_amount: Decimal | None, lots: int,
        price: int, reduces: bool,
    ) -> None:  # fmt: skip
        """Refuse what the one wallet cannot pay: what margin or spot orders hold is not there twice."""
        market, spec = one.market, one.market.spec
        if reduces or (not one.is_linear and side == "SELL"):
            return
        value = quote_amount or market.qty(lots) * market.price(price or market.last_price_ticks)
        if one.is_linear:
            held = account.position(one.symbol).lots
            if held and (held > 0) != (side == "BUY"):
                value *= Decimal(max(0, lots - abs(held))) / lots
            value /= self._exchange.clearing.leverage(account, market)
        coin = (spec.settle or spec.quote) if one.is_linear else spec.quote
        free = self._exchange.clearing.available_margin(account, coin)
        if value > free - account.balance("spot", coin).locked:
            reason = RefusalReason.MARGIN if one.is_linear else RefusalReason.INSUFFICIENT_BALANCE
            raise refusal(reason, one.is_linear)

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
        one = self.instrument("cancel", item)
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
        """Change price or total quantity; raises BybitError.

        UNCONFIRMED: whether the queue place survives (not documented); here less at the same price keeps it.
        """
        one = self.instrument("amend", item)
        rules.check_fields(item, one)
        order = self._open(account, item, one, "replace")
        price, lots = order.price_ticks, order.qty_lots
        if given(item, "price") is not None:
            price = rules.price_ticks(item, one, order.side)
        if given(item, "qty") is not None:
            lots = rules.lots(item, one, price, False, order.reduce_only)
            if lots <= order.filled_lots:
                code = 110064 if one.is_linear else 170313
                raise BybitError(code, "The modified qty should not be less than the executed qty")
        if one.is_linear:
            self._check_growth(order, one, price, lots)
        try:
            if price == order.price_ticks and lots < order.qty_lots:
                self._exchange.reduce_in_place(order, lots)
            else:
                self._exchange.amend(order, price, lots)
        except Refused as error:
            raise refusal(error.reason, one.is_linear) from None
        return self._answer(order, one)

    def _check_growth(self, order: Order, one: Instrument, price: int, lots: int) -> None:
        """Refuse an amend of a linear order whose larger value the margin does not carry."""
        spec, account = one.market.spec, order.account
        more = (lots - order.filled_lots) * price - order.leaves_lots * order.price_ticks
        need = more * spec.tick_size * spec.lot_size / self._exchange.clearing.leverage(account, one.market)
        coin = spec.settle or spec.quote
        free = self._exchange.clearing.available_margin(account, coin) - account.balance("spot", coin).locked
        if need > max(free, Decimal(0)) and not order.reduce_only:
            raise refusal(RefusalReason.MARGIN, True)

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
