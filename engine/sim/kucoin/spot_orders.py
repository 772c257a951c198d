"""Signed requests of the classic spot host: HF orders, their queries, accounts, fees.

The older ``/api/v1/orders`` paths are served over the same orders, for clients that still use them.

Source: KuCoin API docs, "Spot Trading / Orders", "Account Info", seen 2025-11.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.calls import Call, Route, Routes, between, page
from engine.sim.kucoin.errors import KucoinError, no_order, wrong
from engine.sim.kucoin.instruments import Listing, plain
from engine.sim.kucoin.trading import Trading, amount, existing
from engine.sim.kucoin.views import Views, client_oid
from engine.sim.model import Order

HF = "/api/v1/hf"
BATCH_MOST = 5
DEAD_MAN_S = (5, 86_400)


def too_young(faults: FaultPoints, order: Order, now_ms: int) -> bool:
    """Tell whether an order is hidden from queries for a moment (a fault)."""
    symbol = order.market.spec.symbol
    if not faults.lasts("not_found_for_a_moment", symbol):
        return False
    age_ms = int(faults.params("not_found_for_a_moment", symbol).get("age_ms", 1000))
    return now_ms - order.created_ms < age_ms and faults.take("not_found_for_a_moment", symbol) is not None


class SpotOrders:
    """Answers a spot customer's requests."""

    def __init__(
        self, exchange: Exchange, listing: Listing, views: Views, trading: Trading, faults: FaultPoints,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._trading = trading
        self._faults = faults
        self._now_ms = now_ms
        self._dead_men: dict[str, tuple[asyncio.TimerHandle, int, str, int]] = {}

    def routes(self) -> Routes:
        """Return the routes."""
        routes: Routes = {
            f"POST {HF}/orders": _order(self.place),
            f"POST {HF}/orders/sync": _order(self.place_sync),
            f"POST {HF}/orders/test": _order(self._test),
            f"POST {HF}/orders/multi": _order(self._multi),
            f"POST {HF}/orders/multi/sync": _order(self._multi_sync),
            f"POST {HF}/orders/alter": _order(self.alter, 3),
            f"DELETE {HF}/orders": _order(self._cancel_symbol, 2),
            f"DELETE {HF}/orders/cancelAll": _order(self._cancel_everything, 30),
            f"DELETE {HF}/orders/{{orderId}}": _order(self.cancel),
            f"DELETE {HF}/orders/client-order/{{clientOid}}": _order(self.cancel),
            f"DELETE {HF}/orders/sync/{{orderId}}": _order(self.cancel_sync),
            f"DELETE {HF}/orders/sync/client-order/{{clientOid}}": _order(self.cancel_sync),
            f"DELETE {HF}/orders/cancel/{{orderId}}": _order(self._reduce, 2),
            f"POST {HF}/orders/dead-cancel-all": _signed(self._dead_man, 2),
            f"GET {HF}/orders/dead-cancel-all/query": _signed(self._dead_man_view, 2),
            f"GET {HF}/orders/active": _signed(self._active, 2),
            f"GET {HF}/orders/active/page": _signed(lambda call: page(self._active(call), call, 20), 2),
            f"GET {HF}/orders/active/symbols": _signed(self._active_symbols, 2),
            f"GET {HF}/orders/done": _signed(self._done, 2),
            f"GET {HF}/orders/{{orderId}}": _signed(self._one, 2),
            f"GET {HF}/orders/client-order/{{clientOid}}": _signed(self._one, 2),
            f"GET {HF}/fills": _signed(self._fills, 2),
            f"GET {HF}/accounts/opened": Route(lambda call: True, "management", 30, is_signed=True),
            "POST /api/v1/orders": _order(self.place, 2),
            "DELETE /api/v1/orders/{orderId}": _order(self._cancel_old, 3),
            "GET /api/v1/orders/{orderId}": _signed(self._one, 2),
            "GET /api/v1/orders": _signed(self._old_orders, 2),
            "GET /api/v1/fills": _signed(self._old_fills, 10),
        }
        management = {
            "GET /api/v1/accounts": Route(self._accounts, "management", 5, is_signed=True),
            "GET /api/v1/accounts/{accountId}": Route(self._account, "management", 5, is_signed=True),
            "GET /api/v1/trade-fees": Route(self._trade_fees, "spot", 3, is_signed=True),
            "GET /api/v1/base-fee": Route(self._base_fee, "spot", 3, is_signed=True),
            "GET /api/v2/user-info": Route(lambda call: {"level": 0}, "management", 20, is_signed=True),
            "GET /api/v3/margin/symbols": Route(
                lambda call: {"timestamp": self._now_ms(), "items": []}, weight=3
            ),
            "GET /api/v1/isolated/symbols": Route(lambda call: [], "spot", 3, is_signed=True),
        }
        return routes | management

    # ---------------------------------------------------------------------------------- place, alter

    def _placed(self, account: Account, item: Any) -> Order:
        order = self._trading.place(account, item, is_futures=False)
        assert order is not None
        return order

    def place(self, call: Call) -> dict[str, Any]:
        """Place an order."""
        order = self._placed(call.account, call.item)
        return {"orderId": self._views.order_id(order), "clientOid": client_oid(order)}

    def place_sync(self, call: Call) -> dict[str, Any]:
        """Place an order and tell what became of it."""
        return self._views.spot_result(self._placed(call.account, call.item))

    def _test(self, call: Call) -> dict[str, Any]:
        item = call.item
        self._trading.place(call.account, item, is_futures=False, is_test=True)
        return {"orderId": f"{self._now_ms():024x}", "clientOid": item.get("clientOid", "")}

    def _batch(self, call: Call, answer: Callable[[Order], dict[str, Any]]) -> list[dict[str, Any]]:
        orders = call.item.get("orderList")
        if not isinstance(orders, list) or not 1 <= len(orders) <= BATCH_MOST:
            raise wrong("orderList is invalid.")
        rows: list[dict[str, Any]] = []
        for each in orders:
            try:
                if not isinstance(each, dict):
                    raise wrong("order is invalid.")
                rows.append(answer(self._placed(call.account, each)) | {"success": True})
            except KucoinError as error:
                rows.append({"success": False, "failMsg": error.message})
        return rows

    def _multi(self, call: Call) -> list[dict[str, Any]]:
        return self._batch(
            call, lambda order: {"orderId": self._views.order_id(order), "clientOid": client_oid(order)}
        )

    def _multi_sync(self, call: Call) -> list[dict[str, Any]]:
        return self._batch(call, self._views.spot_result)

    def alter(self, call: Call) -> dict[str, Any]:
        """Change an order's price or size: it gets another id."""
        order = self._trading.alter(call.account, call.item)
        return {"newOrderId": self._views.order_id(order), "clientOid": client_oid(order)}

    # ---------------------------------------------------------------------------------------- cancel

    def _canceled(self, call: Call) -> Order:
        item = call.item
        self._trading.spot(item)
        return self._trading.cancel(
            self._trading.named(call.account, item, is_futures=False), is_futures=False
        )

    def cancel(self, call: Call) -> dict[str, Any]:
        """Cancel an order by one of its ids; answers with the one that was used."""
        item = call.item
        self._canceled(call)
        name = "orderId" if item.get("orderId") else "clientOid"
        return {name: item[name]}

    def cancel_sync(self, call: Call) -> dict[str, Any]:
        """Cancel an order and tell what became of it."""
        item = call.item
        row = self._views.spot_result(self._canceled(call))
        names = ("originSize", "dealSize", "remainSize", "canceledSize", "status")
        name = "orderId" if item.get("orderId") else "clientOid"
        return {name: item[name]} | {field: row[field] for field in names}

    def _cancel_symbol(self, call: Call) -> str:
        self._trading.cancel_all(call.account, False, self._trading.spot(call.query).symbol)
        return "success"

    def _cancel_everything(self, call: Call) -> dict[str, Any]:
        orders = self._trading.cancel_all(call.account, is_futures=False)
        symbols = list(dict.fromkeys(order.market.spec.symbol for order in orders))
        return {"succeedSymbols": symbols, "failedSymbols": []}

    def _cancel_old(self, call: Call) -> dict[str, Any]:
        order = self._trading.named(call.account, call.item, is_futures=False)
        self._trading.cancel(order, is_futures=False)
        return {"cancelledOrderIds": [call.path["orderId"]]}

    def _reduce(self, call: Call) -> dict[str, Any]:
        item = call.item
        order = self._trading.named(call.account, item, is_futures=False)
        return {"orderId": item["orderId"], "cancelSize": self._trading.reduce(call.account, order, item)}

    # ------------------------------------------------------------------------------- dead man's switch

    def _dead_man(self, call: Call) -> dict[str, Any]:
        item, name = call.item, call.account.name
        before = self._dead_men.pop(name, None)
        if before is not None:
            before[0].cancel()
        now = self._now_ms() // 1000
        if str(item.get("timeout")) == "-1":
            return {"currentTime": now, "triggerTime": 0}
        seconds = int(amount(item, "timeout"))
        if not DEAD_MAN_S[0] <= seconds <= DEAD_MAN_S[1]:
            raise wrong("timeout is invalid.")
        symbols = str(item.get("symbols") or "")
        wanted = symbols.split(",") if symbols else []
        for symbol in wanted:
            self._trading.spot({"symbol": symbol})

        def strike() -> None:
            self._dead_men.pop(name, None)
            for symbol in wanted:
                self._trading.cancel_all(call.account, False, symbol)
            if not wanted:
                self._trading.cancel_all(call.account, False)

        timer = asyncio.get_running_loop().call_later(seconds, strike)
        self._dead_men[name] = (timer, seconds, symbols, now + seconds)
        return {"currentTime": now, "triggerTime": now + seconds}

    def _dead_man_view(self, call: Call) -> dict[str, Any] | None:
        armed = self._dead_men.get(call.account.name)
        if armed is None:
            return None
        _, seconds, symbols, due = armed
        return {
            "timeout": seconds, "symbols": symbols, "currentTime": self._now_ms() // 1000, "triggerTime": due
        }  # fmt: skip

    # --------------------------------------------------------------------------------------- queries

    def _one(self, call: Call) -> dict[str, Any]:
        item = call.item
        if "client-order" in item or call.query.get("symbol"):
            self._trading.spot(item)
        order = existing(self._trading.named(call.account, item, is_futures=False))
        if too_young(self._faults, order, self._now_ms()):
            raise no_order()
        return self._views.spot_order(order)

    def _active(self, call: Call) -> list[dict[str, Any]]:
        market = self._trading.spot(call.query).market
        orders = self._exchange.open_orders(call.account, "spot", market)
        now = self._now_ms()
        kept = [order for order in orders if not too_young(self._faults, order, now)]
        return [self._views.spot_order(order) for order in reversed(kept)]

    def _active_symbols(self, call: Call) -> dict[str, Any]:
        orders = self._exchange.open_orders(call.account, "spot")
        return {"symbols": list(dict.fromkeys(order.market.spec.symbol for order in orders))}

    def _done(self, call: Call) -> dict[str, Any]:
        market = self._trading.spot(call.query).market
        orders = [order for order in self._exchange.history(call.account, market) if not order.is_open]
        orders = between(orders, call, lambda order: int(order.updated_ms), ("startAt", "endAt"))
        side, kind = call.query.get("side"), call.query.get("type")
        limit, last = call.number("limit", 20, 100), call.number("lastId", 0)
        rows = [
            order for order in reversed(orders)
            if side in (None, order.side.lower()) and kind in (None, order.kind.value.lower())
            and (not last or order.order_id < last)
        ][:limit]  # fmt: skip
        return {
            "lastId": rows[-1].order_id if rows else 0,
            "items": [self._views.spot_order(order) for order in rows],
        }

    def _fill_rows(self, call: Call, symbol: str | None) -> list[dict[str, Any]]:
        market = self._trading.spot({"symbol": symbol}).market if symbol else None
        fills = [fill for fill in self._exchange.fills(call.account, market)
                 if fill.order.market.spec.product == "spot"]  # fmt: skip
        fills = between(fills, call, lambda fill: int(fill.time_ms), ("startAt", "endAt"))
        wanted = call.query.get("orderId")
        rows = [self._views.spot_fill(fill) for fill in reversed(fills)]
        return [row for row in rows if wanted in (None, row["orderId"])]

    def _fills(self, call: Call) -> dict[str, Any]:
        rows = self._fill_rows(call, self._trading.spot(call.query).symbol)
        last, limit = call.number("lastId", 0), call.number("limit", 20, 100)
        rows = [row for row in rows if not last or row["id"] < last][:limit]
        return {"items": rows, "lastId": rows[-1]["id"] if rows else 0}

    def _old_fills(self, call: Call) -> dict[str, Any]:
        return page(self._fill_rows(call, call.query.get("symbol")), call)

    def _old_orders(self, call: Call) -> dict[str, Any]:
        symbol = call.query.get("symbol")
        wants_open = call.query.get("status") == "active"
        rows = []
        for one in self._listing.of(False):
            if symbol in (None, one.symbol):
                rows += [order for order in self._exchange.history(call.account, one.market)
                         if order.is_open == wants_open]  # fmt: skip
        rows.sort(key=lambda order: -order.created_ms)
        return page([self._views.spot_order(order) | {"isActive": order.is_open} for order in rows], call)

    # -------------------------------------------------------------------------------------- accounts

    def _accounts(self, call: Call) -> list[dict[str, Any]]:
        """Return the accounts; ``trade_hf`` is the trade account's other name, told to who asks by it."""
        currency, kind = call.query.get("currency"), call.query.get("type")
        rows = self._views.spot_accounts(call.account)
        if kind == "trade_hf":
            rows = [row | {"type": kind} for row in rows if row["type"] == "trade"]
        return [
            row for row in rows
            if currency in (None, row["currency"]) and kind in (None, row["type"])
        ]  # fmt: skip

    def _account(self, call: Call) -> dict[str, Any]:
        for row in self._views.spot_accounts(call.account):
            if row["id"] == call.path["accountId"]:
                return {name: row[name] for name in ("currency", "balance", "available", "holds")}
        raise KucoinError("400100", "account not exist")

    def _trade_fees(self, call: Call) -> list[dict[str, str]]:
        symbols = call.query.get("symbols", "").split(",")
        if len(symbols) > 10:
            raise wrong("symbols are too many.")
        specs = [self._trading.spot({"symbol": symbol}).market.spec for symbol in symbols]
        return [
            {
                "symbol": spec.symbol,
                "takerFeeRate": plain(spec.taker_fee),
                "makerFeeRate": plain(spec.maker_fee),
            }
            for spec in specs
        ]

    def _base_fee(self, call: Call) -> dict[str, str]:
        return {"takerFeeRate": "0.001", "makerFeeRate": "0.001"}


def _order(run: Callable[[Call], Any], weight: int = 1) -> Route:
    return Route(run, "spot", weight, is_signed=True, product="spot")


def _signed(run: Callable[[Call], Any], weight: int) -> Route:
    return Route(run, "spot", weight, is_signed=True)
