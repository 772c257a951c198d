"""The admin address: the exchange's own truth, faults, funding intervals. Loopback HTTP, JSON, no keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.faults import SENTENCES, FaultBoard, FaultError
from engine.sim.flow import Flow
from engine.sim.market import Market
from engine.sim.model import FillRecord, Order

_FAULT_KEYS = {"name", "venue", "product", "symbol", "count", "probability", "duration_s", "seed", "params"}


class _AdminError(Exception):
    """A request that makes no sense; the text says what to send."""


def _reply(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, dumps=lambda data: json.dumps(data, ensure_ascii=False))


@web.middleware
async def _explain(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        result: web.StreamResponse = await handler(request)
    except (_AdminError, FaultError, TypeError) as error:
        return _reply({"error": str(error)}, 400)
    return result


class Admin:
    """Builds the admin application over the running exchanges."""

    def __init__(
        self, exchanges: Mapping[str, Exchange], faults: FaultBoard, flows: Sequence[Flow] = ()
    ) -> None:
        self._exchanges = exchanges
        self._faults = faults
        self._flows = flows

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(middlewares=[_explain])
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/truth/book", self._book),
                web.get("/truth/orders", self._orders),
                web.get("/truth/fills", self._fills),
                web.get("/truth/trades", self._trades),
                web.get("/truth/positions", self._positions),
                web.get("/truth/balances", self._balances),
                web.get("/truth/funding", self._funding),
                web.get("/faults", self._list_faults),
                web.post("/fault", self._arm),
                web.delete("/fault", self._clear),
                web.post("/funding", self._set_funding),
            ]
        )
        return app

    # ---------------------------------------------------------------------------------------- truth

    def _exchange(self, request: web.Request) -> Exchange:
        venue = request.query.get("venue", "")
        if not venue and len(self._exchanges) == 1:
            return next(iter(self._exchanges.values()))
        if venue not in self._exchanges:
            raise _AdminError(f"venue={venue!r}: give one of {', '.join(self._exchanges)}")
        return self._exchanges[venue]

    def _account(self, request: web.Request) -> Account:
        exchange = self._exchange(request)
        name = request.query.get("account", "")
        account = exchange.account_named(name)
        if account is None:
            names = ", ".join(account.name for account in exchange.accounts.values())
            raise _AdminError(f"account={name!r}: give one of {names}")
        return account

    def _market(self, request: web.Request) -> Market:
        exchange = self._exchange(request)
        symbol, product = request.query.get("symbol", ""), request.query.get("product", "")
        found = [
            market
            for (name, known), market in exchange.markets.items()
            if known == symbol and product in ("", name)
        ]
        if len(found) != 1:
            reason = "add product=spot or product=perp" if found else "no such symbol"
            raise _AdminError(f"symbol={symbol!r}: {reason}")
        return found[0]

    async def _index(self, request: web.Request) -> web.Response:
        return _reply(
            {
                "venues": {
                    venue: [
                        {"product": product, "symbol": symbol, "status": market.status}
                        for (product, symbol), market in exchange.markets.items()
                    ]
                    for venue, exchange in self._exchanges.items()
                },
                "paths": ["/truth/book", "/truth/orders", "/truth/fills", "/truth/trades", "/truth/positions",
                          "/truth/balances", "/truth/funding", "/faults", "/fault", "/funding"],
            }
        )  # fmt: skip

    async def _book(self, request: web.Request) -> web.Response:
        market = self._market(request)
        at = request.query.get("at")
        if at is not None and not at.isdecimal():
            raise _AdminError(f"at={at!r}: give the last id of a published batch")
        reference = market.published_at(int(at) if at is not None else None)
        if reference is None:
            return _reply({"error": f"no batch ended at {at}, or it is too long ago"}, 404)
        return _reply(
            {
                "venue": market.spec.venue,
                "product": market.spec.product,
                "symbol": market.spec.symbol,
                "sequence": reference.last_id,
                "latest": market.published_id,
                "bids": [
                    [market.price_text(price), market.qty_text(lots)]
                    for price, lots in sorted(reference.bids.items(), reverse=True)
                ],
                "asks": [
                    [market.price_text(price), market.qty_text(lots)]
                    for price, lots in sorted(reference.asks.items())
                ],
            }
        )

    async def _orders(self, request: web.Request) -> web.Response:
        exchange, account = self._exchange(request), self._account(request)
        return _reply([order_view(order) for order in exchange.orders if order.account is account])

    async def _trades(self, request: web.Request) -> web.Response:
        market = self._market(request)
        return _reply(
            [
                {
                    "trade_id": trade_id, "price": market.price_text(price), "qty": market.qty_text(lots),
                    "side": side, "traded_ms": traded_ms,
                }
                for trade_id, price, lots, side, traded_ms in market.prints
            ]
        )  # fmt: skip

    async def _fills(self, request: web.Request) -> web.Response:
        return _reply([fill_view(fill) for fill in self._exchange(request).fills(self._account(request))])

    async def _positions(self, request: web.Request) -> web.Response:
        exchange, account = self._exchange(request), self._account(request)
        rows = []
        for symbol, position in account.positions.items():
            market = exchange.markets["perp", symbol]
            rows.append(
                {
                    "symbol": symbol,
                    "qty": str(market.qty(position.lots)),
                    "entry_price": str(position.entry_price),
                    "realised": str(position.realised),
                    "unrealised": str(exchange.clearing.unrealised(account, market)),
                    "mark_price": str(market.mark_price),
                    "leverage": exchange.clearing.leverage(account, market),
                }
            )
        return _reply(rows)

    async def _balances(self, request: web.Request) -> web.Response:
        account = self._account(request)
        return _reply(
            {
                product: {
                    asset: {"free": str(balance.free), "locked": str(balance.locked)}
                    for asset, balance in assets.items()
                }
                for product, assets in account.balances.items()
            }
        )

    def _contract(self, request: web.Request) -> Market:
        market = self._market(request)
        if market.spec.product != "perp":
            raise _AdminError(f"symbol={market.spec.symbol!r} has no funding: add product=perp")
        return market

    async def _funding(self, request: web.Request) -> web.Response:
        """Answer with a contract's funding as it stands, and everything that was settled, newest first."""
        market = self._contract(request)
        return _reply(
            {
                "symbol": market.spec.symbol,
                "rate": str(market.funding_rate),
                "estimates": [[at, str(rate)] for at, rate in market.funding_estimates],
                "interval_h": market.spec.funding_interval_h,
                "next_ms": market.next_funding_ms,
                "mark": str(market.mark_price),
                "index": str(market.index_price),
                "open_interest": str(market.qty(market.open_interest_lots)),
                "settled": [
                    {"time_ms": at, "rate": str(rate), "mark": str(mark)}
                    for at, rate, mark in reversed(market.funding_history)
                ],
            }
        )

    async def _set_funding(self, request: web.Request) -> web.Response:
        """Change a contract's interval: ``POST /funding?venue=okx&symbol=BTC-USDT-SWAP&interval_h=4``."""
        market, text = self._contract(request), request.query.get("interval_h", "")
        if text not in ("1", "2", "4", "8"):
            raise _AdminError(f"interval_h={text!r}: give 1, 2, 4 or 8")
        for flow in self._flows:
            if any(each.market is market for each in flow.flows):
                flow.set_funding_interval(market, int(text))
        return _reply({"interval_h": market.spec.funding_interval_h, "next_ms": market.next_funding_ms})

    # --------------------------------------------------------------------------------------- faults

    async def _list_faults(self, request: web.Request) -> web.Response:
        return _reply(
            {
                "known": SENTENCES,
                "armed": [fault.view() for fault in self._faults.armed],
                "happened": self._faults.happened,
            }
        )

    async def _arm(self, request: web.Request) -> web.Response:
        try:
            data = await request.json()
        except ValueError:
            raise _AdminError('send JSON, e.g. {"name": "drop_depth", "count": 1}') from None
        if not isinstance(data, dict) or "name" not in data:
            raise _AdminError('send an object with "name"')
        unknown = set(data) - _FAULT_KEYS
        if unknown:
            raise _AdminError(f"unknown key {sorted(unknown)[0]!r}; known: {', '.join(sorted(_FAULT_KEYS))}")
        params = data.pop("params", {})
        fault = self._faults.arm(**data, **params)
        return _reply(fault.view())

    async def _clear(self, request: web.Request) -> web.Response:
        number = request.query.get("number")
        if number is not None and not number.isdecimal():
            raise _AdminError(f"number={number!r} is not a fault's number")
        return _reply({"cleared": self._faults.clear(int(number) if number is not None else None)})


def order_view(order: Order) -> dict[str, Any]:
    """Return an order as the truth shows it: decimals as text."""
    market = order.market
    return {
        "product": market.spec.product,
        "symbol": market.spec.symbol,
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "side": order.side,
        "kind": order.kind.value,
        "price": market.price_text(order.price_ticks),
        "qty": market.qty_text(order.qty_lots),
        "filled": market.qty_text(order.filled_lots),
        "status": order.status.value,
        "end_reason": order.end_reason.value,
        "time_in_force": order.time_in_force,
        "post_only": order.post_only,
        "created_ms": order.created_ms,
        "updated_ms": order.updated_ms,
    }


def fill_view(fill: FillRecord) -> dict[str, Any]:
    """Return a fill as the truth shows it."""
    market = fill.order.market
    return {
        "product": market.spec.product,
        "symbol": market.spec.symbol,
        "order_id": fill.order.order_id,
        "client_order_id": fill.order.client_order_id,
        "trade_id": fill.trade_id,
        "side": fill.order.side,
        "price": market.price_text(fill.price_ticks),
        "qty": market.qty_text(fill.qty_lots),
        "fee": str(fill.fee),
        "fee_asset": fill.fee_asset,
        "is_maker": fill.is_maker,
        "realised": str(fill.realised_pnl),
        "time_ms": fill.time_ms,
    }
