"""A small OKX on loopback for tests: real servers, few markets, quiet books."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection

from engine.sim.accounts import Account, Balance
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import MarketSpec, ProductName
from engine.sim.okx.options import Options
from engine.sim.okx.wire import OkxWire, build
from engine.sim.ports import ProductWire, Settings
from tests.sim.loopback_rig import DEADLINE_S, JsonSocket, LoopbackRig, Message, lay_book

SECRETS = {"alice": "aliceSecret", "bob": "bobSecret", "demi": "demiSecret"}
SPOT, SWAP = "BTC-USDT", "BTC-USDT-SWAP"
MANY = Options(connects_per_s=1_000)


def spec(product: ProductName, symbol: str, price: str, tick: str, lot: str, **more: Any) -> MarketSpec:
    base, quote = symbol.split("-")[:2]
    rest: dict[str, Any] = {"max_qty": D(1000), "max_num_orders": 500} | more
    return MarketSpec(
        venue="okx", product=product, symbol=symbol, base=base, quote=quote,
        settle=None if product == "spot" else quote, tick_size=D(tick), lot_size=D(lot), price_decimals=2,
        qty_decimals=6, min_qty=D(lot), initial_price=D(price), min_notional=D(0),
        **rest,
    )  # fmt: skip


SPECS = [
    spec("spot", SPOT, "60000", "0.1", "0.000001"),
    spec("spot", "ETH-USDT", "3000", "0.01", "0.00001"),
    spec("perp", SWAP, "60000", "0.1", "0.0001", contract_size=D("0.01"), max_qty=D(100),
         maker_fee=D("0.0002"), taker_fee=D("0.0005")),
    spec("perp", "ETH-USDT-SWAP", "3000", "0.01", "0.001", contract_size=D("0.1"), funding_interval_h=4),
]  # fmt: skip


NUMBERLESS = spec("perp", "BTC-USDC-SWAP", "60000", "0.1", "0.0001", contract_size=D("0.0001"))


def sign(name: str, text: str) -> str:
    digest = hmac.new(SECRETS[name].encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


class Socket(JsonSocket):
    """One client connection; what came in is kept in order."""

    def __init__(self, connection: ClientConnection, rig: Rig) -> None:
        super().__init__(connection)
        self.rig = rig
        self.passed: list[Message] = []

    async def until(self, wanted: Callable[[Message], bool]) -> Message:
        """Return the first message that fits and was not returned before; the others are kept."""
        for index, message in enumerate(self.passed):
            if wanted(message):
                return self.passed.pop(index)
        return await self.new(wanted)

    async def new(self, wanted: Callable[[Message], bool]) -> Message:
        """Return the first message from now on that fits; the others are kept for `until`."""
        async with asyncio.timeout(DEADLINE_S):
            while not wanted(message := await self.next()):
                self.passed.append(message)
        return message

    async def ask(self, operation: str, *args: Message, number: str = "") -> Message:
        """Send a control request and return the event that answers it."""
        await self.send({"op": operation, "args": list(args)} | ({"id": number} if number else {}))
        return await self.new(lambda each: each.get("event") in (operation, "error"))

    async def push(self, channel: str, fits: Callable[[Message], bool] = lambda row: True) -> Message:
        """Return the next push of a channel whose first row fits."""

        def is_it(each: Message) -> bool:
            is_push = "data" in each and each.get("arg", {}).get("channel") == channel
            return is_push and (not each["data"] or fits(each["data"][0]))

        return await self.until(is_it)

    async def login(self, name: str = "alice", **changed: Any) -> Message:
        stamp = str(self.rig.clock.now_ms() // 1000 + changed.pop("shift_s", 0))
        arg = {
            "apiKey": f"{name}Key", "passphrase": f"{name}Pass", "timestamp": stamp,
            "sign": sign(name, f"{stamp}GET/users/self/verify"),
        }  # fmt: skip
        return await self.ask("login", arg | changed)

    async def order(self, operation: str, *items: Message, number: str | None = None, **root: Any) -> Message:
        """Send an order request and return what answers it."""
        name = number if number is not None else f"r{next(self.rig.numbers)}"
        await self.send({"id": name, "op": operation, "args": list(items), **root})
        return await self.new(lambda each: each.get("op") == operation and each.get("id") == name)


class Rig(LoopbackRig[OkxWire]):
    """Start with ``async with Rig() as rig``."""

    def __init__(self, options: Options = MANY, specs: list[MarketSpec] | None = None) -> None:
        self.clock = SimClock()
        self.faults = FaultBoard(11)
        accounts = []
        for number, name in enumerate(SECRETS):
            kind = "demo" if name == "demi" else "hmac"
            account = Account(
                name, f"{name}Key", SECRETS[name], kind, f"{name}Pass", uid=354_937_000 + number
            )
            account.balances["spot"] = {"USDT": Balance(D(1_000_000)), "BTC": Balance(D(10))}
            accounts.append(account)
        exchange = Exchange("okx", specs or SPECS, accounts, self.clock)
        for market in exchange.markets.values():
            lay_book(market, levels=100)
        super().__init__(exchange, build(exchange, self.faults, self.clock, Settings(), options))
        self.codes = {one.inst_id: one.code for one in self.wire.venue.listing.all}
        self.numbers = itertools.count(1)

    @property
    def served(self) -> Mapping[str, ProductWire]:
        """One server has both products."""
        return {"spot": self.wire.products["spot"]}

    def market(self, inst_id: str = SWAP) -> Market:
        return self.wire.venue.listing.by_id[inst_id].market

    def shake(self, inst_id: str, step: int) -> None:
        """Change the book near and around its best prices, as a moving market does."""
        market = self.market(inst_id)
        middle = round(market.spec.initial_price / market.spec.tick_size)
        market.set_background(market.bids, middle - 1 - step % 60, (step * 7) % 5 * 100)
        market.set_background(market.asks, middle + 1 + step % 60, (step * 3) % 4 * 100)
        self.exchange.publish(market)

    async def socket(self, kind: str = "public") -> Socket:
        return Socket(await self.opened(self.urls["spot"]["ws_public"].removesuffix("public") + kind), self)

    async def listening(self, channel: str, inst_id: str = SWAP, kind: str = "public") -> Socket:
        """Return a connection that listens to one public channel."""
        socket = await self.socket(kind)
        answer = await socket.ask("subscribe", {"channel": channel, "instId": inst_id})
        assert answer["event"] == "subscribe", answer
        return socket

    async def private(self, *args: Message, name: str = "alice") -> Socket:
        """Return a connection that is logged in and listens to these private channels."""
        socket = await self.socket("private")
        assert (await socket.login(name))["code"] == "0"
        for arg in args:
            assert (await socket.ask("subscribe", arg))["event"] == "subscribe"
        return socket

    async def raw(
        self, method: str, path: str, query: str = "", body: str = "", name: str | None = "alice",
        shift_ms: int = 0, headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Return status, body and headers of an answer; ``name`` None: unsigned."""
        target = f"/api/v5{path}" + (f"?{query}" if query else "")
        sent = {"Content-Type": "application/json"} if body else {}
        if name is not None:
            moment = datetime.fromtimestamp((self.clock.now_ms() + shift_ms) / 1000, UTC)
            stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
            sent |= {
                "OK-ACCESS-KEY": f"{name}Key", "OK-ACCESS-PASSPHRASE": f"{name}Pass",
                "OK-ACCESS-TIMESTAMP": stamp, "OK-ACCESS-SIGN": sign(name, stamp + method + target + body),
            }  # fmt: skip
        sent = {key: value for key, value in (sent | (headers or {})).items() if value}
        return await self.fetched(method, self.urls["spot"]["rest"] + target, body, sent)

    async def get(self, path: str, name: str | None = None, **params: Any) -> Any:
        """Return the body of a GET, signed where a name is given."""
        return (await self.raw("GET", path, urlencode(params), name=name))[1]

    async def rows(self, path: str, name: str | None = None, **params: Any) -> list[Any]:
        """Return the rows of a GET that must succeed."""
        answer = await self.get(path, name, **params)
        assert answer["code"] == "0", answer
        return list(answer["data"])

    async def post(self, path: str, body: Any, name: str = "alice", **headers: str) -> Any:
        """Return the body of a signed POST; underscores of header names stand for hyphens."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return (await self.raw("POST", path, body=json.dumps(body), name=name, headers=named))[1]

    def item(self, inst_id: str = SWAP, **changed: Any) -> Message:
        """Return an order: by default a little bought far below the market."""
        item = {
            "instId": inst_id, "tdMode": "cross" if inst_id.endswith("-SWAP") else "cash", "side": "buy",
            "ordType": "limit", "px": "58000", "sz": "1" if inst_id.endswith("-SWAP") else "0.01", **changed,
        }  # fmt: skip
        return {key: value for key, value in item.items() if value is not None}

    def coded(self, inst_id: str = SWAP, **changed: Any) -> Message:
        """Return the same for sockets: the instrument's number instead of its name."""
        item = self.item(inst_id, **changed)
        return {"instIdCode": self.codes[item.pop("instId")], **item}

    async def place(self, inst_id: str = SWAP, name: str = "alice", **changed: Any) -> Any:
        """Return the row that answers an order over REST."""
        return (await self.post("/trade/order", self.item(inst_id, **changed), name))["data"][0]
