"""A small Binance on loopback for tests: real servers, few markets, quiet books unless a test adds flow."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal as D
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from websockets.asyncio.client import ClientConnection, connect
from yarl import URL

from engine.sim.accounts import Account, Balance
from engine.sim.binance.wire import BinanceWire, WireOptions, build
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.flow import Flow
from engine.sim.market import Market
from engine.sim.model import MarketSpec, ProductName
from engine.sim.ports import Settings
from tests.sim.loopback_rig import DEADLINE_S, LoopbackRig, lay_book

ED25519 = "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7"
KEYS = {"alice": "aliceKey" + "0" * 56, "bob": "bobKey00" + "0" * 56, "carol": "carolKey" + "0" * 56}
SECRETS = {"alice": "aliceSecret", "bob": "bobSecret", "carol": ED25519}


def spec(
    product: ProductName, symbol: str, base: str, price: str, tick: str, lot: str, **more: Any
) -> MarketSpec:
    spot = product == "spot"
    return MarketSpec(
        venue="binance", product=product, symbol=symbol, base=base, quote="USDT",
        settle=None if spot else "USDT", tick_size=D(tick), lot_size=D(lot),
        price_decimals=8 if spot else more.pop("price_decimals", 2),
        qty_decimals=8 if spot else more.pop("qty_decimals", 3),
        min_qty=D(lot), max_qty=D(9000), min_notional=D(5), initial_price=D(price), **more,
    )  # fmt: skip


SPECS = [
    spec("spot", "BTCUSDT", "BTC", "60000", "0.01", "0.00001", max_num_orders=20),
    spec("spot", "ETHUSDT", "ETH", "3000", "0.01", "0.0001"),
    spec("spot", "测试USDT", "测试", "2", "0.001", "0.1"),
    spec("perp", "BTCUSDT", "BTC", "60000", "0.1", "0.001", max_num_orders=20),
    spec("perp", "ETHUSDT", "ETH", "3000", "0.01", "0.001", funding_interval_h=4),
]


def accounts() -> list[Account]:
    made = []
    for number, name in enumerate(KEYS):
        kind = "ed25519" if name == "carol" else "hmac"
        account = Account(name, KEYS[name], SECRETS[name], kind, uid=1000 + number)
        account.balances["spot"] = {
            "USDT": Balance(D(1_000_000)),
            "BTC": Balance(D(10)),
            "ETH": Balance(D(100)),
        }
        account.balances["perp"] = {"USDT": Balance(D(100_000))}
        made.append(account)
    return made


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: Any
    text: str

    @property
    def code(self) -> int:
        return int(self.body["code"])


class Rig(LoopbackRig[BinanceWire]):
    """Start with ``async with Rig() as rig``."""

    def __init__(
        self,
        *,
        options: WireOptions | None = None,
        settings: Settings | None = None,
        clock: SimClock | None = None,
        flow_rate: float | None = None,
        specs: list[MarketSpec] | None = None,
    ) -> None:
        self.clock = clock or SimClock()
        self.faults = FaultBoard(11)
        exchange = Exchange("binance", specs or SPECS, accounts(), self.clock)
        self.flows = []
        if flow_rate is None:
            for market in exchange.markets.values():
                lay_book(market)
        else:
            self.flows = [Flow(exchange, product, 5, flow_rate) for product in ("spot", "perp")]
        self.options = options or WireOptions(snapshot_delay_s=0.0, connection_attempts=None)
        wire = build(exchange, self.faults, self.clock, settings or Settings(), self.options)
        super().__init__(exchange, wire)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._tasks = [asyncio.create_task(self._pump(flow)) for flow in self.flows]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await super().__aexit__(kind, error, trace)

    async def _pump(self, flow: Flow) -> None:
        while True:
            wait = flow.advance()
            await asyncio.sleep(min(wait, 0.01))

    def market(self, product: str, symbol: str = "BTCUSDT") -> Market:
        return self.exchange.markets[product, symbol]

    # -- REST --------------------------------------------------------------------------------------------

    async def raw(
        self, product: str, method: str, path: str, query: str = "", body: str = "", key: str | None = None
    ) -> Reply:
        """Send exactly these bytes."""
        url = self.urls[product]["rest"] + path + ("?" + query if query else "")
        headers = {} if key is None else {"X-MBX-APIKEY": key}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        async with self.http.request(
            method, URL(url, encoded=True), data=body or None, headers=headers
        ) as reply:
            text = await reply.text()
            parsed = json.loads(text) if text and "json" in reply.headers.get("Content-Type", "") else None
            return Reply(reply.status, parsed, reply.headers, text)

    async def public(self, product: str, path: str, **params: Any) -> Reply:
        return await self.raw(product, "GET", path, urlencode(params))

    async def signed(
        self, product: str, method: str, path: str, who: str = "alice", in_body: bool = False, **params: Any
    ) -> Reply:
        """Send a signed request as ``who``."""
        params.setdefault("timestamp", self.clock.now_ms())
        payload = urlencode(params, quote_via=quote)
        payload += "&signature=" + quote(sign(who, payload), safe="")
        if in_body:
            return await self.raw(product, method, path, body=payload, key=KEYS[who])
        return await self.raw(product, method, path, payload, key=KEYS[who])

    async def order(self, product: str, who: str = "alice", **params: Any) -> Reply:
        """Place a GTC limit order on BTCUSDT unless ``params`` say otherwise."""
        filled = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"} | params
        filled = {name: value for name, value in filled.items() if value is not None}
        path = "/api/v3/order" if product == "spot" else "/fapi/v1/order"
        return await self.signed(product, "POST", path, who, **filled)

    # -- sockets -----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def stream(self, product: str, path: str, **kwargs: Any) -> AsyncIterator[Frames]:
        kwargs.setdefault("ping_interval", None)
        async with connect(self.urls[product]["ws_public"] + path, **kwargs) as connection:
            yield Frames(connection)

    @contextlib.asynccontextmanager
    async def api(self, product: str, **kwargs: Any) -> AsyncIterator[ApiClient]:
        kwargs.setdefault("ping_interval", None)
        async with connect(self.urls[product]["ws_trade"], **kwargs) as connection:
            yield ApiClient(self, connection)


def sign(who: str, payload: str) -> str:
    if who == "carol":
        key = load_der_private_key(base64.b64decode(ED25519), None)
        assert isinstance(key, Ed25519PrivateKey)
        return base64.b64encode(key.sign(payload.encode())).decode()
    return hmac.new(SECRETS[who].encode(), payload.encode(), hashlib.sha256).hexdigest()


class Frames:
    """Reads JSON frames of a connection with a deadline."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._ids = itertools.count(1)
        self.skipped: list[Any] = []

    async def next(self, timeout_s: float = DEADLINE_S) -> Any:
        return json.loads(await asyncio.wait_for(self.connection.recv(), timeout_s))

    async def until(self, wanted: Callable[[Any], bool], timeout_s: float = DEADLINE_S) -> Any:
        """Return the first frame that fits; the others are kept in ``skipped``."""
        deadline = time.monotonic() + timeout_s
        while True:
            frame = await self.next(max(0.01, deadline - time.monotonic()))
            if wanted(frame):
                return frame
            self.skipped.append(frame)

    async def ask(self, method: str, *params: Any, request_id: Any = ...) -> Any:
        """Send a control message and return its answer."""
        number = next(self._ids) if request_id is ... else request_id
        message: dict[str, Any] = {"method": method, "id": number}
        if params:
            message["params"] = list(params)
        await self.connection.send(json.dumps(message))
        return await self.until(lambda frame: "result" in frame or "error" in frame)

    async def silent(self, wanted: Callable[[Any], bool], for_s: float = 0.3) -> bool:
        """Tell whether no fitting frame comes for a while."""
        try:
            await self.until(wanted, for_s)
        except TimeoutError:
            return True
        return False


class ApiClient(Frames):
    """Speaks the WebSocket API."""

    def __init__(self, rig: Rig, connection: ClientConnection) -> None:
        super().__init__(connection)
        self._rig = rig

    async def call(self, method: str, who: str | None = None, **params: Any) -> Any:
        """Send a request, signed as ``who`` if given, and return its answer."""
        if who is not None:
            params["apiKey"] = KEYS[who]
            params.setdefault("timestamp", self._rig.clock.now_ms())
            payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
            params["signature"] = sign(who, payload)
        number = next(self._ids)
        await self.connection.send(json.dumps({"id": number, "method": method, "params": params}))
        return await self.until(lambda frame: frame.get("id") == number)

    async def event(self, kind: str, timeout_s: float = DEADLINE_S) -> Any:
        """Return the next private event of a kind, also one that came before."""
        for index, frame in enumerate(self.skipped):
            if frame.get("event", {}).get("e") == kind:
                return self.skipped.pop(index)["event"]
        frame = await self.until(lambda one: one.get("event", {}).get("e") == kind, timeout_s)
        return frame["event"]
