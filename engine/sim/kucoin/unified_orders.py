"""Signed requests of the unified API: orders, fills, positions, balances, of classic and unified accounts.

An account is either: requests under the other one's path are refused.

Source: KuCoin API docs, "UTA / Order", "UTA / Account", "UTA / Position", seen 2025-11; samples of clients.
UNCONFIRMED: the code for classic requests of a unified account; 400200 (forbidden) here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.calls import Call, Route, Routes, between
from engine.sim.kucoin.errors import KucoinError, no_order, wrong
from engine.sim.kucoin.instruments import Listing, plain
from engine.sim.kucoin.private import is_unified
from engine.sim.kucoin.spot_orders import too_young
from engine.sim.kucoin.trading import Trading, amount, existing, from_unified
from engine.sim.kucoin.unified_market import UA
from engine.sim.kucoin.unified_views import UnifiedViews
from engine.sim.kucoin.views import NS, Views, client_oid
from engine.sim.model import Order

BATCH_MOST = 20
MODES = ("unified", "classic")


def check_mode(account: Account, mode: str) -> None:
    """Refuse a request under the path of another kind of account; raises KucoinError."""
    if mode == "unified" and not is_unified(account):
        raise KucoinError("112010", "Invalid Unified Account user.")
    if mode == "classic" and is_unified(account):
        raise KucoinError("400200", "Forbidden: the account is a unified one.")


class UnifiedOrders:
    """Answers the signed requests of the unified API.

    Args:
        faults: fault hooks by product.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, views: Views, unified: UnifiedViews, trading: Trading,
        faults: Mapping[str, FaultPoints], now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._unified = unified
        self._trading = trading
        self._faults = faults
        self._now_ms = now_ms

    def routes(self) -> Routes:
        """Return the routes."""
        routes: Routes = {
            f"GET {UA}/account/mode": _signed(self._mode),
            f"GET {UA}/account/balance": _signed(self._classic_balance),
            f"GET {UA}/user/fee-rate": _signed(self._fee_rate),
        }
        for mode in MODES:
            orders = f"{UA}/{mode}/order"
            routes |= {
                f"POST {orders}/place": _order(mode, self.place),
                f"POST {orders}/place-batch": _order(mode, self._place_batch),
                f"POST {orders}/cancel": _order(mode, self.cancel),
                f"POST {orders}/cancel-batch": _order(mode, self._cancel_batch),
                f"POST {orders}/cancel-all": _order(mode, self._cancel_all),
                f"GET {orders}/detail": _signed(self._detail, mode),
                f"GET {orders}/open-list": _signed(lambda call: self._orders(call, True), mode),
                f"GET {orders}/history": _signed(lambda call: self._orders(call, False), mode),
                f"GET {orders}/execution": _signed(self._executions, mode),
                f"GET {UA}/{mode}/position/open-list": _signed(self._positions, mode),
                f"GET {UA}/{mode}/account/balance": _signed(self._balance, mode),
                f"POST {UA}/{mode}/account/modify-leverage": _signed(self._leverage, mode),
            }
        return routes

    # ---------------------------------------------------------------------------------- place, cancel

    def _product(self, item: Mapping[str, Any]) -> bool:
        kind = item.get("tradeType")
        if kind not in ("SPOT", "FUTURES"):
            raise wrong("tradeType is invalid.")
        return bool(kind == "FUTURES")

    def _told(self, order: Order) -> dict[str, Any]:
        one = self._listing.by_market[order.market]
        return {
            "orderId": self._views.order_id(order), "tradeType": one.trade_type, "ts": self._now_ms() * NS,
            "clientOid": client_oid(order),
        }  # fmt: skip

    def place(self, call: Call) -> dict[str, Any]:
        """Place an order."""
        item = call.item
        is_futures = self._product(item)
        order = self._trading.place(call.account, from_unified(item), is_futures, is_unified=True)
        assert order is not None
        return self._told(order)

    def cancel(self, call: Call) -> dict[str, Any]:
        """Cancel an order by one of its ids."""
        item = call.item
        is_futures = self._product(item)
        return self._told(
            self._trading.cancel(self._trading.named(call.account, item, is_futures), is_futures)
        )

    def amend(self, call: Call) -> dict[str, Any]:
        """Change a spot order; raises KucoinError for futures, which know no change."""
        item = call.item
        if self._product(item):
            raise wrong("Futures orders cannot be amended.")
        if "price" in item or "size" in item:
            item |= {"newPrice": item.get("price"), "newSize": item.get("size")}
        return self._told(self._trading.alter(call.account, item))

    def _each(self, call: Call, run: Callable[[Call], dict[str, Any]]) -> dict[str, Any]:
        item = call.item
        orders = item.get("orderList") or item.get("cancelOrderList") or item.get("items")
        if not isinstance(orders, list) or not 1 <= len(orders) <= BATCH_MOST:
            raise wrong("orderList is invalid.")
        rows = []
        for each in orders:
            if not isinstance(each, dict):
                raise wrong("order is invalid.")
            words = {"tradeType": item.get("tradeType")} | each
            try:
                rows.append(run(Call({}, words, {}, call.account)) | {"code": "200000", "msg": "success"})
            except KucoinError as error:
                rows.append({"clientOid": each.get("clientOid"), "code": error.code, "msg": error.message})
        return {"tradeType": item.get("tradeType"), "ts": self._now_ms() * NS, "items": rows}

    def _place_batch(self, call: Call) -> dict[str, Any]:
        return self._each(call, self.place)

    def _cancel_batch(self, call: Call) -> dict[str, Any]:
        return self._each(call, self.cancel)

    def _cancel_all(self, call: Call) -> dict[str, Any]:
        item = call.item
        is_futures = self._product(item)
        orders = self._trading.cancel_all(call.account, is_futures, item.get("symbol") or None)
        rows = [{"orderId": self._views.order_id(order)} for order in orders]
        return {"tradeType": item["tradeType"], "ts": self._now_ms() * NS, "items": rows}

    # ---------------------------------------------------------------------------------------- queries

    def _hidden(self, order: Order) -> bool:
        return too_young(self._faults[order.market.spec.product], order, self._now_ms())

    def _detail(self, call: Call) -> dict[str, Any]:
        item = call.item
        is_futures = self._product(item)
        order = existing(self._trading.named(call.account, item, is_futures))
        if self._hidden(order):
            raise no_order()
        return self._unified.order(order) | {"tradeType": item["tradeType"], "tradeId": ""}

    def _orders(self, call: Call, is_open: bool) -> dict[str, Any]:
        is_futures, symbol = self._product(call.query), call.query.get("symbol")
        found = [
            order for one in self._listing.of(is_futures) if symbol in (None, "", one.symbol)
            for order in self._exchange.history(call.account, one.market)
            if order.is_open == is_open and not self._hidden(order)
        ]  # fmt: skip
        found = between(found, call, lambda order: int(order.created_ms), ("startAt", "endAt"))
        found.sort(key=lambda order: (-order.created_ms, -order.order_id))
        size, at = call.number("pageSize", 50, 200), max(1, call.number("pageNumber", 1))
        return {
            "pageNumber": at, "pageSize": size, "totalNum": len(found), "totalPage": -(-len(found) // size),
            "items": [self._unified.order(order) for order in found[(at - 1) * size : at * size]],
            "tradeType": call.query["tradeType"],
        }  # fmt: skip

    def _executions(self, call: Call) -> dict[str, Any]:
        is_futures, symbol = self._product(call.query), call.query.get("symbol")
        wanted, last = call.query.get("orderId"), call.number("lastId", 0)
        fills = [
            fill for fill in self._exchange.fills(call.account)
            if (fill.order.market.spec.product == "perp") == is_futures
            and symbol in (None, "", fill.order.market.spec.symbol)
            and wanted in (None, "", self._views.order_id(fill.order))
            and (not last or fill.execution_id < last)
        ]  # fmt: skip
        fills = between(fills, call, lambda fill: int(fill.time_ms), ("startAt", "endAt"))
        fills = fills[::-1][: call.number("pageSize", 50, 200)]
        return {
            "tradeType": call.query["tradeType"], "lastId": fills[-1].execution_id if fills else 0,
            "items": [self._unified.execution(fill) for fill in fills],
        }  # fmt: skip

    def _positions(self, call: Call) -> list[dict[str, Any]]:
        symbol = call.query.get("symbol")
        account, modes = call.account, self._trading.modes
        return [
            self._unified.position(account, one, modes.mode(account, one.symbol))
            for one in self._listing.of(True)
            if symbol in (None, "", one.symbol) and one.symbol in account.positions
            and account.position(one.symbol).lots
        ]  # fmt: skip

    # --------------------------------------------------------------------------------------- account

    def _mode(self, call: Call) -> dict[str, Any]:
        word = "UNIFIED" if is_unified(call.account) else "CLASSIC"
        return {"selfAccountMode": word, "unifiedSubAccount": [], "classicSubAccount": []}

    def _currencies(self, account: Account, product: str, kind: str) -> dict[str, Any]:
        rows = [self._unified.currency(account, product, name) for name in account.balances.get(product, {})]
        return {"accountType": kind, "ts": self._now_ms(), "accounts": [{"currencies": rows}]}

    def _balance(self, call: Call) -> dict[str, Any]:
        if is_unified(call.account):
            return self._currencies(call.account, "perp", "UNIFIED")
        return self._classic_balance(call)

    def _classic_balance(self, call: Call) -> dict[str, Any]:
        kind = call.query.get("accountType", "SPOT")
        if kind not in ("SPOT", "FUTURES", "TRADE", "FUNDING"):
            raise wrong("accountType is invalid.")
        if kind == "FUNDING":
            return {"accountType": kind, "ts": self._now_ms(), "accounts": [{"currencies": []}]}
        return self._currencies(call.account, "perp" if kind == "FUTURES" else "spot", kind)

    def _fee_rate(self, call: Call) -> dict[str, Any]:
        is_futures, rows = self._product(call.query), []
        for symbol in call.query.get("symbol", "").split(","):
            one = self._listing.find(symbol, is_futures)
            if one is None:
                raise KucoinError("900001", "symbol not exists")
            spec = one.market.spec
            rows.append({"symbol": symbol, "takerFeeRate": plain(spec.taker_fee),
                         "makerFeeRate": plain(spec.maker_fee)})  # fmt: skip
        return {"tradeType": call.query["tradeType"], "list": rows}

    def _leverage(self, call: Call) -> bool:
        one, wanted = self._trading.contract(call.item), amount(call.item, "leverage")
        if not 1 <= wanted <= one.market.spec.max_leverage:
            raise wrong("Leverage parameter invalid.")
        call.account.leverage[one.symbol] = int(wanted)
        return True


def _checked(mode: str, run: Callable[[Call], Any]) -> Callable[[Call], Any]:
    def answer(call: Call) -> Any:
        check_mode(call.account, mode)
        return run(call)

    return answer


def _order(mode: str, run: Callable[[Call], Any]) -> Route:
    return Route(_checked(mode, run), "unified", 1, is_signed=True, product="*")


def _signed(run: Callable[[Call], Any], mode: str = "") -> Route:
    return Route(_checked(mode, run), "unified", 1, is_signed=True)
