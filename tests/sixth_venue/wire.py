"""Acorn on the wire, as strict as it says it is, on the matching core that all simulated venues share.

Written from the venue's own description and not from the adapter: nothing of ``engine`` but ``engine.sim`` is
imported here.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web
from websockets.asyncio.server import ServerConnection

from engine.sim.accounts import Account
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import (
    Batch,
    FillRecord,
    NewOrder,
    Order,
    OrderEvent,
    OrderKind,
    OrderStatus,
    RefusalReason,
    Refused,
    TradePrint,
)
from engine.sim.ports import Settings, WsServer
from engine.sim.sockets import CountedConnection

ROUND_S = 0.1
VALID_MS = 2_000
STATES = {
    OrderStatus.NEW: "open",
    OrderStatus.PARTIALLY_FILLED: "open",
    OrderStatus.FILLED: "done",
    OrderStatus.CANCELED: "cancelled",
    OrderStatus.EXPIRED: "expired",
    OrderStatus.EXPIRED_IN_MATCH: "expired",
}
REFUSALS = {
    RefusalReason.INSUFFICIENT_BALANCE: "funds",
    RefusalReason.WOULD_TAKE: "would_take",
    RefusalReason.DUPLICATE_CLIENT_ID: "twice",
    RefusalReason.UNKNOWN_ORDER: "no_order",
    RefusalReason.TOO_MANY_ORDERS: "too_many",
    RefusalReason.MARKET_CLOSED: "closed",
    RefusalReason.CANCEL_ONLY: "closed",
}


class AcornError(Exception):
    """An answer that is an error; nothing was done."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


def order_view(
    order: Order, filled_lots: int | None = None, fill: FillRecord | None = None
) -> dict[str, Any]:
    """Return an order as every message tells it."""
    market = order.market
    view: dict[str, Any] = {
        "no": order.order_id,
        "id": order.client_order_id,
        "market": market.spec.symbol,
        "side": order.side.lower(),
        "price": market.price_text(order.price_ticks),
        "qty": market.qty_text(order.qty_lots),
        "filled": market.qty_text(order.filled_lots if filled_lots is None else filled_lots),
        "value": f"{order.filled_quote:f}",
        "state": STATES[order.status],
        "at": order.updated_ms,
    }
    if fill is not None:
        view["fill"] = {
            "no": fill.trade_id,
            "price": market.price_text(fill.price_ticks),
            "qty": market.qty_text(fill.qty_lots),
            "fee": f"{fill.fee:f}",
            "fee_asset": fill.fee_asset,
            "is_maker": fill.is_maker,
        }
    return view


class AcornWire:
    """The spot product: REST, the public stream and the private one; hears the exchange."""

    def __init__(self, exchange: Exchange, board: FaultBoard, clock: SimClock) -> None:
        self._exchange = exchange
        self._clock = clock
        self._faults = FaultPoints(board, "acorn", "spot")
        self._clock_fault = ClockFault(self._faults, clock)
        self._markets = {symbol: each for (_, symbol), each in exchange.markets.items()}
        self._followers: dict[tuple[str, str], set[ServerConnection]] = {}
        self._private: dict[ServerConnection, Account] = {}
        self._sends: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.http = web.Application(middlewares=[self._answer])
        self.http.add_routes(
            [
                web.get("/api/time", self._time),
                web.get("/api/markets", self._listing),
                web.post("/api/order", self._place),
                web.get("/api/order", self._query),
                web.delete("/api/order", self._cancel),
                web.get("/api/orders", self._open_orders),
                web.get("/api/balances", self._balances),
            ]
        )
        kwargs = {"create_connection": CountedConnection, "compression": None, "ping_interval": None}
        self.ws_servers: Mapping[str, WsServer] = {
            "public": WsServer(self._serve_public, kwargs=kwargs),
            "private": WsServer(self._serve_private, kwargs=kwargs),
        }
        exchange.listeners.append(self)

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses for the endpoints file."""
        return {"rest": http_base, "ws_public": ws_bases["public"], "ws_private": ws_bases["private"]}

    async def start(self) -> None:
        """Start to publish."""
        for market in self._markets.values():
            market.start_publishing()
        self._task = asyncio.get_running_loop().create_task(self._publish())

    async def stop(self) -> None:
        """Stop publishing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _publish(self) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            self._clock_fault.tick()
            if self._faults.take("disconnect") is not None:
                for connection in {each for group in self._followers.values() for each in group}:
                    connection.transport.abort()
            for market in self._markets.values():
                self._exchange.publish(market)

    # ------------------------------------------------------------------------------------------ sending

    def _send(self, connection: ServerConnection, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        task = asyncio.get_running_loop().create_task(self._write(connection, text))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _write(self, connection: ServerConnection, text: str) -> None:
        try:
            await connection.send(text)
        except Exception:  # the client is gone: its handler ends by itself
            self._forget(connection)

    def _forget(self, connection: ServerConnection) -> None:
        self._private.pop(connection, None)
        for group in self._followers.values():
            group.discard(connection)

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Tell followers what changed."""
        symbol = market.spec.symbol
        group = self._followers.get((symbol, "book"))
        if not group or self._faults.take("drop_depth", symbol) is not None:
            return
        frame = {
            "market": symbol, "kind": "change", "from": batch.first_id, "to": batch.last_id,
            "at": self._clock.now_ms(), "bids": self._levels(market, batch.bids),
            "asks": self._levels(market, batch.asks),
        }  # fmt: skip
        times = 1 if self._faults.take("duplicate_depth", symbol) is None else 2
        is_garbage = self._faults.take("garbage_frame", symbol) is not None
        for connection in group:
            for _ in range(times):
                self._send(connection, frame)
            if is_garbage:
                self._send(connection, json.dumps(frame)[:-20])

    def _levels(self, market: Market, levels: Mapping[int, int]) -> list[tuple[str, str]]:
        return [(market.price_text(ticks), market.qty_text(lots)) for ticks, lots in levels.items()]

    def _whole_book(self, market: Market) -> dict[str, Any]:
        book = market.published_at()
        assert book is not None
        return {
            "market": market.spec.symbol, "kind": "book", "from": book.last_id, "to": book.last_id,
            "at": self._clock.now_ms(), "bids": self._levels(market, book.bids),
            "asks": self._levels(market, book.asks),
        }  # fmt: skip

    def on_trade(self, trade: TradePrint) -> None:
        """Tell followers of a trade."""
        market = trade.market
        row = {
            "market": market.spec.symbol, "no": trade.trade_id, "price": market.price_text(trade.price_ticks),
            "qty": market.qty_text(trade.qty_lots), "taker": trade.taker_side.lower(), "at": trade.time_ms,
        }  # fmt: skip
        for connection in self._followers.get((market.spec.symbol, "prints"), ()):
            self._send(connection, {"print": row})

    def _tell(self, account: Account, message: dict[str, Any]) -> None:
        for connection, owner in self._private.items():
            if owner is account and self._faults.take("drop_private") is None:
                self._send(connection, message)

    def on_order(self, event: OrderEvent) -> None:
        """Tell the owner what became of an order."""
        self._tell(event.order.account, {"order": order_view(event.order, event.filled_lots, event.fill)})

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Tell the owner which balances changed."""
        self._tell(account, {"balances": self._rows(account, assets)})

    def _rows(self, account: Account, assets: tuple[str, ...]) -> list[dict[str, str]]:
        return [
            {"asset": each, "free": f"{balance.free:f}", "locked": f"{balance.locked:f}"}
            for each in assets
            for balance in [account.balance("spot", each)]
        ]

    def on_top(self, market: Market) -> None:
        """Acorn has no such stream."""

    def on_position(self, account: Account, market: Market) -> None:
        """Acorn trades spot only."""

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Acorn trades spot only."""

    # -------------------------------------------------------------------------------------- connections

    async def _serve_public(self, connection: ServerConnection) -> None:
        try:
            async for text in connection:
                self._follow(connection, json.loads(text))
        finally:
            self._forget(connection)

    def _follow(self, connection: ServerConnection, wish: dict[str, Any]) -> None:
        symbol, channel, verb = (str(wish.get(name)) for name in ("market", "channel", "do"))
        is_known = symbol in self._markets and channel in ("book", "prints")
        if not is_known or verb not in ("follow", "leave"):
            self._send(connection, {"re": wish.get("id"), "error": "no such channel"})
            return
        group = self._followers.setdefault((symbol, channel), set())
        self._send(connection, {"re": wish.get("id"), "error": None})
        if verb == "leave":
            group.discard(connection)
            return
        group.add(connection)
        if channel == "book":
            self._send(connection, self._whole_book(self._markets[symbol]))

    async def _serve_private(self, connection: ServerConnection) -> None:
        try:
            async for text in connection:
                login = json.loads(text)
                account = self._exchange.accounts.get(login.get("key"))
                stamp = login.get("time")
                if account is None or login.get("sign") != _sign(account, f"{stamp}LOGIN", b""):
                    self._send(connection, {"re": login.get("id"), "error": "key"})
                    continue
                self._private[connection] = account
                self._send(connection, {"re": login.get("id"), "error": None})
        finally:
            self._forget(connection)

    # --------------------------------------------------------------------------------------------- REST

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        is_order = request.method == "POST"
        try:
            if is_order and self._faults.take("rate_limit_429") is not None:
                raise AcornError("slow_down", "too many requests", 429)
            answer: web.StreamResponse = await handler(request)
        except AcornError as error:
            body = {"error": {"code": error.code, "text": str(error)}}
            return web.json_response(body, status=error.status)
        except Refused as refused:
            body = {"error": {"code": REFUSALS.get(refused.reason, "malformed"), "text": str(refused)}}
            return web.json_response(body, status=400)
        if is_order and self._faults.take("drop_answer_accepted") is not None:
            assert request.transport is not None
            request.transport.close()
        return answer

    async def _time(self, request: web.Request) -> web.Response:
        return web.json_response({"now": self._clock.now_ms()})

    async def _listing(self, request: web.Request) -> web.Response:
        rows = [
            {
                "name": symbol, "base": each.spec.base, "quote": each.spec.quote,
                "tick": f"{each.spec.tick_size:f}", "lot": f"{each.spec.lot_size:f}",
                "most": f"{each.spec.max_qty:f}", "least_value": f"{each.spec.min_notional:f}",
                "is_open": each.status == "TRADING",
            }
            for symbol, each in self._markets.items()
        ]  # fmt: skip
        return web.json_response({"markets": rows})

    async def _account(self, request: web.Request) -> tuple[Account, bytes]:
        body = await request.read()
        account = self._exchange.accounts.get(request.headers.get("A-Key", ""))
        stamp = request.headers.get("A-Time", "")
        signed = f"{stamp}{request.method}{request.raw_path}"
        if account is None or request.headers.get("A-Sign") != _sign(account, signed, body):
            raise AcornError("key", "unknown key or wrong signature", 401)
        if not stamp.isdecimal() or abs(int(stamp) - self._clock.now_ms()) > VALID_MS:
            raise AcornError("clock", "the request's time is off")
        return account, body

    def _market(self, symbol: str | None) -> Market:
        market = self._markets.get(symbol or "")
        if market is None:
            raise AcornError("malformed", "no such market")
        return market

    async def _place(self, request: web.Request) -> web.Response:
        account, body = await self._account(request)
        wish = json.loads(body)
        market = self._market(wish.get("market"))
        is_limit = wish.get("kind") == "limit"
        order = self._exchange.submit(
            NewOrder(
                account=account,
                market=market,
                side="BUY" if wish.get("side") == "buy" else "SELL",
                kind=OrderKind.LIMIT if is_limit else OrderKind.MARKET,
                price_ticks=_steps(wish.get("price"), market.spec.tick_size) if is_limit else 0,
                qty_lots=_steps(wish.get("qty"), market.spec.lot_size),
                time_in_force=wish["life"].upper() if is_limit else "GTC",
                post_only=bool(wish.get("is_post_only")),
                client_order_id=str(wish.get("id", "")),
            )
        )
        return web.json_response({"order": order_view(order)})

    async def _order(self, request: web.Request) -> Order:
        account, _ = await self._account(request)
        number = request.query.get("no")
        market = self._market(request.query.get("market"))
        return self._exchange.find(account, market, int(number) if number else None, request.query.get("id"))

    async def _query(self, request: web.Request) -> web.Response:
        return web.json_response({"order": order_view(await self._order(request))})

    async def _cancel(self, request: web.Request) -> web.Response:
        order = await self._order(request)
        self._exchange.cancel(order)
        return web.json_response({"order": order_view(order)})

    async def _open_orders(self, request: web.Request) -> web.Response:
        account, _ = await self._account(request)
        symbol = request.query.get("market")
        market = self._market(symbol) if symbol else None
        rows = self._exchange.open_orders(account, "spot", market)
        return web.json_response({"orders": [order_view(each) for each in rows]})

    async def _balances(self, request: web.Request) -> web.Response:
        account, _ = await self._account(request)
        return web.json_response({"balances": self._rows(account, tuple(account.balances["spot"]))})


def _sign(account: Account, text: str, body: bytes) -> str:
    return hmac.new(account.secret.encode(), text.encode() + body, hashlib.sha256).hexdigest()


def _steps(text: object, step: Decimal) -> int:
    try:
        steps = Decimal(str(text)) / step
    except InvalidOperation:
        raise AcornError("malformed", "not a number") from None
    if steps <= 0 or steps != int(steps):
        raise AcornError("malformed", f"{text} is no multiple of {step}")
    return int(steps)


class Acorn:
    """The venue: one product."""

    def __init__(self, wire: AcornWire) -> None:
        self.products = {"spot": wire}


def build(exchange: Exchange, board: FaultBoard, clock: SimClock, settings: Settings) -> Acorn:
    """Put an exchange on Acorn's wire."""
    return Acorn(AcornWire(exchange, board, clock))
