"""A small Bybit on loopback for tests: real servers, few markets, quiet books."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping
from decimal import Decimal as D
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection

from engine.sim.accounts import Account, Balance
from engine.sim.bybit.wire import BybitWire, WireOptions, build
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import MarketSpec, ProductName
from engine.sim.ports import Settings
from tests.sim.loopback_rig import JsonSocket, LoopbackRig, Message, lay_book

SECRETS = {"alice": "aliceSecret", "bob": "bobSecret"}


def spec(product: ProductName, symbol: str, price: str, tick: str, lot: str, **more: Any) -> MarketSpec:
    return MarketSpec(
        venue="bybit", product=product, symbol=symbol, base=symbol[:3], quote="USDT",
        settle=None if product == "spot" else "USDT", tick_size=D(tick), lot_size=D(lot), price_decimals=2,
        qty_decimals=6, min_qty=D(lot), max_qty=D(1000), min_notional=D(5), initial_price=D(price),
        max_num_orders=500, **more,
    )  # fmt: skip


SPECS = [
    spec("spot", "BTCUSDT", "60000", "0.1", "0.000001"),
    spec("spot", "ETHUSDT", "3000", "0.01", "0.00001"),
    spec("perp", "BTCUSDT", "60000", "0.10", "0.001", maker_fee=D("-0.0001"), taker_fee=D("0.00055")),
    spec("perp", "ETHUSDT", "3000", "0.01", "0.01", funding_interval_h=4),
]


def sign(name: str, text: str) -> str:
    payload = text.encode("utf-8", "surrogateescape")
    return hmac.new(SECRETS[name].encode(), payload, hashlib.sha256).hexdigest()


class Socket(JsonSocket):
    """One client connection; what came in is kept in order."""

    def __init__(self, connection: ClientConnection, rig: Rig) -> None:
        super().__init__(connection)
        self.rig = rig

    async def ask(self, message: Message) -> Message:
        """Send a request and return what answers its op."""
        await self.send(message)
        return await self.until(
            lambda each: each.get("op") in (message["op"], "pong") and "topic" not in each
        )

    async def topic(self, topic: str, **fields: Any) -> Message:
        """Return the next push of a topic whose row or data bears these fields."""

        def fits(each: Message) -> bool:
            if each.get("topic") != topic:
                return False
            data = each["data"]
            row = data[0] if isinstance(data, list) else data
            return all(row.get(name, each.get(name)) == value for name, value in fields.items())

        return await self.until(fits)

    async def login(self, name: str) -> Message:
        expires = self.rig.clock.now_ms() + 5_000
        args = [f"{name}Key", expires, sign(name, f"GET/realtime{expires}")]
        return await self.ask({"op": "auth", "req_id": "login", "args": args})

    async def order(self, operation: str, body: Message, request_id: str | None = None) -> Message:
        now = str(self.rig.clock.now_ms())
        number = request_id or f"r{next(self.rig.numbers)}"
        message = {"reqId": number, "header": {"X-BAPI-TIMESTAMP": now}, "op": operation, "args": [body]}
        await self.send(message)
        return await self.until(lambda each: each.get("reqId") == number)


class Rig(LoopbackRig[BybitWire]):
    """Start with ``async with Rig() as rig``."""

    def __init__(self, settings: Settings | None = None, clock: SimClock | None = None) -> None:
        self.clock = clock or SimClock()
        self.faults = FaultBoard(11)
        accounts = []
        for number, name in enumerate(SECRETS):
            account = Account(name, f"{name}Key", SECRETS[name], uid=1000 + number)
            account.balances["spot"] = {"USDT": Balance(D(1_000_000)), "BTC": Balance(D(10))}
            accounts.append(account)
        exchange = Exchange("bybit", SPECS, accounts, self.clock)
        for market in exchange.markets.values():
            lay_book(market, levels=100)
        many = {
            action: {"linear": 1000, "spot": 1000} for action in ("create", "amend", "cancel", "cancel-all")
        }
        options = WireOptions(per_second=many) if settings is None else WireOptions()
        wire = build(exchange, self.faults, self.clock, settings or Settings(), options)
        super().__init__(exchange, wire)
        self.numbers = itertools.count(1)

    def market(self, product: str = "perp", symbol: str = "BTCUSDT") -> Market:
        return self.exchange.markets[product, symbol]

    async def socket(self, kind: str, product: str = "perp", query: str = "") -> Socket:
        return Socket(await self.opened(self.urls[product][f"ws_{kind}"] + query), self)

    async def private(self, *topics: str, name: str = "alice") -> Socket:
        socket = await self.socket("private")
        assert (await socket.login(name))["success"] is True
        answer = await socket.ask({"op": "subscribe", "args": list(topics)})
        assert answer["success"] is True, answer
        return socket

    async def trade(self, name: str = "alice") -> Socket:
        socket = await self.socket("trade")
        assert (await socket.login(name))["retCode"] == 0
        return socket

    def signed(self, name: str, payload: str, shift_ms: int = 0) -> dict[str, str]:
        """Return the headers that sign a query or body."""
        stamp = str(self.clock.now_ms() + shift_ms)
        return {
            "X-BAPI-API-KEY": f"{name}Key", "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign(name, f"{stamp}{name}Key5000{payload}"), "Content-Type": "application/json",
        }  # fmt: skip

    async def raw(
        self, method: str, path: str, query: str = "", body: str = "", name: str | None = "alice",
        shift_ms: int = 0, headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Return status, body and headers of an answer; ``name`` None: unsigned."""
        payload = query if method == "GET" else body
        sent = self.signed(name, payload, shift_ms) if name is not None else {}
        sent |= headers or {}
        url = self.urls["spot"]["rest"] + path + (f"?{query}" if query else "")
        return await self.fetched(method, url, body, sent)

    async def get(self, path: str, name: str | None = None, **params: Any) -> Any:
        """Return the body of a GET, signed where a name is given."""
        return (await self.raw("GET", f"/v5{path}", urlencode(params), name=name))[1]

    async def post(self, path: str, body: Message, name: str = "alice") -> Any:
        """Return the body of a signed POST."""
        return (await self.raw("POST", f"/v5{path}", body=json.dumps(body), name=name))[1]

    async def place(self, name: str = "alice", **changed: Any) -> Any:
        """Return the answer of order/create: by default 0.01 BTC bought far below the market on linear."""
        body = {
            "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
            "price": "50000", **changed,
        }  # fmt: skip
        return await self.post(
            "/order/create", {key: value for key, value in body.items() if value != ""}, name
        )
