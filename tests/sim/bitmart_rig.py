"""A small BitMart on loopback for tests: real servers, few markets, quiet books."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal as D
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection

from engine.sim.accounts import Account, Balance
from engine.sim.bitmart.feed import Paces
from engine.sim.bitmart.limits import FUTURES, SPOT_PRIVATE, SPOT_PUBLIC, SocketLimits
from engine.sim.bitmart.wire import BitMartWire, WireOptions, build
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import MarketSpec, ProductName
from engine.sim.ports import Settings
from tests.sim.loopback_rig import JsonSocket, LoopbackRig, Message, lay_book

SECRETS = {"alice": "aliceSecret", "bob": "bobSecret"}
MEMOS = {"alice": "aliceMemo", "bob": "bobMemo"}
MARKETS = {"spot": "BTC_USDT", "perp": "BTCUSDT"}
BOOKS = {"spot": "spot/depth/increase100:BTC_USDT", "perp": "futures/depthIncrease50:BTCUSDT@100ms"}


def spec(product: ProductName, symbol: str, price: str, tick: str, lot: str, **more: Any) -> MarketSpec:
    return MarketSpec(
        venue="bitmart", product=product, symbol=symbol, base=symbol[:3], quote="USDT",
        settle=None if product == "spot" else "USDT", tick_size=D(tick), lot_size=D(lot), price_decimals=2,
        qty_decimals=5, min_qty=D(lot), max_qty=D(1000), min_notional=D(5), initial_price=D(price),
        max_num_orders=500, **more,
    )  # fmt: skip


SPECS = [
    spec("spot", "BTC_USDT", "60000", "0.01", "0.00001"),
    spec("spot", "ETH_USDT", "3000", "0.01", "0.0001"),
    spec("perp", "BTCUSDT", "60000", "0.1", "0.001", contract_size=D("0.001"), taker_fee=D("0.0006"),
         maker_fee=D("0.0002")),
    spec("perp", "ETHUSDT", "3000", "0.01", "0.02", contract_size=D("0.01")),
]  # fmt: skip


def sign(name: str, stamp: str, body: bytes | str) -> str:
    payload = body.encode() if isinstance(body, str) else body
    text = f"{stamp}#{MEMOS[name]}#".encode() + payload
    return hmac.new(SECRETS[name].encode(), text, hashlib.sha256).hexdigest()


class Socket(JsonSocket):
    """One client connection; what came in is kept in order."""

    def __init__(self, connection: ClientConnection, rig: Rig, product: str) -> None:
        super().__init__(connection)
        self.rig = rig
        self.verb = "op" if product == "spot" else "action"
        self.binary: list[bytes] = []

    def inflated(self, frame: bytes) -> str:
        self.binary.append(frame)
        return zlib.decompress(frame, -15).decode()

    async def ask(self, operation: str, *topics: str) -> Message:
        """Send a request; return the answer (for several topics: to the first of them)."""
        await self.send({self.verb: operation, "args": list(topics)})
        return await self.until(lambda each: operation in (each.get("event"), each.get("action")))

    async def push(self, topic: str, wanted: Callable[[Any], bool] = lambda data: True) -> Any:
        """Return the data of a topic's next push that fits; spot's one row without the list around it."""
        table = topic.partition(":")[0]

        def data(each: Message) -> Any:
            rows = each["data"]
            return rows[0] if "table" in each and len(rows) == 1 else rows

        found = await self.until(
            lambda each: (
                "data" in each
                and (each.get("table") == table or each.get("group") == topic)
                and wanted(data(each))
            )
        )
        return data(found)

    async def login(self, name: str = "alice", shift_ms: int = 0) -> Message:
        stamp = str(self.rig.clock.now_ms() + shift_ms)
        args = [f"{name}Key", stamp, sign(name, stamp, "bitmart.WebSocket")]
        if self.verb == "op":
            return await self.ask("login", *args)
        return await self.ask("access", *args, "web")


class Rig(LoopbackRig[BitMartWire]):
    """Start with ``async with Rig() as rig``."""

    def __init__(
        self, book_ms: int = 20, strict: bool = False, clock: SimClock | None = None, time_scale: float = 1.0,
        **sockets: Any,
    ) -> None:  # fmt: skip
        self.clock = clock or SimClock()
        self.faults = FaultBoard(11)
        accounts = []
        for number, name in enumerate(SECRETS):
            account = Account(name, f"{name}Key", SECRETS[name], passphrase=MEMOS[name], uid=1000 + number)
            account.balances["spot"] = {"USDT": Balance(D(1_000_000)), "BTC": Balance(D(10))}
            account.balances["perp"] = {"USDT": Balance(D(1_000_000))}
            accounts.append(account)
        exchange = Exchange("bitmart", SPECS, accounts, self.clock)
        for market in exchange.markets.values():
            lay_book(market, levels=160)

        def changed(limits: SocketLimits) -> SocketLimits:
            return limits if strict and not sockets else replace(limits, **sockets)

        options = WireOptions(
            Paces(book_ms),
            {
                "spot": (changed(SPOT_PUBLIC), changed(SPOT_PRIVATE)),
                "perp": (changed(FUTURES), changed(FUTURES)),
            },
            1 if strict else 1000,
        )
        settings = Settings(time_scale=time_scale)
        super().__init__(exchange, build(exchange, self.faults, self.clock, settings, options))
        self.numbers = itertools.count(1)

    def market(self, product: str = "spot", symbol: str = "") -> Market:
        return self.exchange.markets[product, symbol or MARKETS[product]]

    # -------------------------------------------------------------------------------------- sockets

    async def socket(self, product: str, kind: str = "public", compression: str | None = None) -> Socket:
        url = self.urls[product][f"ws_{kind}"]
        return Socket(await self.opened(url, compression), self, product)

    async def listening(self, product: str, *topics: str) -> Socket:
        """Return a public connection with these topics."""
        socket = await self.socket(product)
        for topic in topics:
            answer = await socket.ask("subscribe", topic)
            assert topic in (answer.get("topic"), answer.get("group")), answer
            assert answer.get("success", True) is True
        return socket

    async def private(self, product: str, *topics: str, name: str = "alice") -> Socket:
        """Return a logged-in connection with these topics."""
        socket = await self.socket(product, "private")
        answer = await socket.login(name)
        assert answer in ({"event": "login"}, {"action": "access", "success": True})
        for topic in topics:
            answer = await socket.ask("subscribe", topic)
            assert topic in (answer.get("topic"), answer.get("group")), answer
            assert answer.get("success", True) is True
        return socket

    # ----------------------------------------------------------------------------------------- REST

    async def raw(
        self, product: str, method: str, path: str, query: str = "", body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Return status, body and headers of an answer."""
        url = self.urls[product]["rest"] + path + (f"?{query}" if query else "")
        return await self.fetched(method, url, body, headers)

    async def get(self, product: str, path: str, name: str | None = None, **params: Any) -> Any:
        """Return the body of a GET; with a name it carries that account's key and nothing else."""
        headers = {} if name is None else {"X-BM-KEY": f"{name}Key"}
        return (await self.raw(product, "GET", path, urlencode(params), b"", headers))[1]

    async def post_raw(
        self, product: str, path: str, body: bytes | Message, name: str = "alice", shift_ms: int = 0
    ) -> tuple[int, Any, Any]:
        """Return status, body and headers of a signed POST."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        stamp = str(self.clock.now_ms() + shift_ms)
        headers = {
            "X-BM-KEY": f"{name}Key", "X-BM-TIMESTAMP": stamp, "X-BM-SIGN": sign(name, stamp, payload),
            "Content-Type": "application/json",
        }  # fmt: skip
        return await self.raw(product, "POST", path, "", payload, headers)

    async def post(self, product: str, path: str, body: Message, name: str = "alice") -> Any:
        """Return the body of a signed POST."""
        return (await self.post_raw(product, path, body, name))[1]

    async def place(self, product: str, name: str = "alice", **changed: Any) -> Any:
        """Return the answer to an order: by default 0.01 BTC bought far below the market."""
        if product == "spot":
            body: Message = {
                "symbol": "BTC_USDT",
                "side": "buy",
                "type": "limit",
                "size": "0.01",
                "price": "50000",
            }
            path = "/spot/v2/submit_order"
        else:
            body = {"symbol": "BTCUSDT", "side": 1, "type": "limit", "size": 10, "price": "50000",
                    "open_type": "cross"}  # fmt: skip
            path = "/contract/private/submit-order"
        body |= changed
        return await self.post(product, path, {key: each for key, each in body.items() if each != ""}, name)

    async def placed(self, product: str, name: str = "alice", **changed: Any) -> Any:
        """Return the id of an order that was accepted."""
        answer = await self.place(product, name, **changed)
        assert answer["code"] == 1000, answer
        return answer["data"]["order_id"]
