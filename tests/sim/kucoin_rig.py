"""A small KuCoin on loopback for tests: real servers, few markets, quiet books."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping
from decimal import Decimal as D
from typing import Any
from urllib.parse import quote, urlencode

from engine.sim.accounts import Account, Balance
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faults import FaultBoard
from engine.sim.kucoin.gate import POOLS
from engine.sim.kucoin.wire import KucoinWire, WireOptions, build
from engine.sim.market import Market
from engine.sim.model import MarketSpec, ProductName
from engine.sim.ports import Settings
from tests.sim.loopback_rig import JsonSocket, LoopbackRig, Message, lay_book

SECRETS = {"alice": "aliceSecret", "bob": "bobSecret", "carol": "carolSecret"}


def spec(product: ProductName, symbol: str, base: str, price: str, tick: str, lot: str) -> MarketSpec:
    is_perp = product == "perp"
    return MarketSpec(
        venue="kucoin", product=product, symbol=symbol, base=base, quote="USDT",
        settle="USDT" if is_perp else None, tick_size=D(tick), lot_size=D(lot), price_decimals=2,
        qty_decimals=8, min_qty=D(lot) if is_perp else D("0.00001"), max_qty=D(1000),
        min_notional=D(0) if is_perp else D("0.1"), initial_price=D(price), max_num_orders=200,
        maker_fee=D("0.0002") if is_perp else D("0.001"), taker_fee=D("0.0006") if is_perp else D("0.001"),
        contract_size=D(lot) if is_perp else D(1), fee_in_quote=not is_perp,
    )  # fmt: skip


SPECS = [
    spec("spot", "BTC-USDT", "BTC", "60000", "0.1", "0.00000001"),
    spec("spot", "ETH-USDT", "ETH", "3000", "0.01", "0.0000001"),
    spec("perp", "XBTUSDTM", "XBT", "60000", "0.1", "0.001"),
    spec("perp", "ETHUSDTM", "ETH", "3000", "0.01", "0.01"),
]
FUNDING_MS = 8 * 3_600_000
LOTS = {"spot": 100_000_000, "perp": 1000}


def sign(name: str, text: str) -> str:
    """Return the base64 HMAC of a text."""
    return base64.b64encode(hmac.new(SECRETS[name].encode(), text.encode(), hashlib.sha256).digest()).decode()


class Socket(JsonSocket):
    """One client connection; what came in is kept in order."""

    async def ask(self, message: Message) -> Message:
        """Send a request and return the answer with its id."""
        await self.send(message)
        return await self.until(lambda each: each.get("id") == str(message["id"]))

    async def topic(self, topic: str, **fields: Any) -> Message:
        """Return the next push of a topic whose data bears these fields."""

        def fits(each: Message) -> bool:
            data = each.get("data", each.get("d"))
            if topic not in (each.get("topic"), each.get("T")) or not isinstance(data, dict):
                return False
            return all(data.get(name, each.get(name)) == value for name, value in fields.items())

        return await self.until(fits)

    async def subscribe(self, topic: str, number: str = "s1") -> Message:
        """Subscribe to a classic topic and return the answer."""
        return await self.ask({
            "id": number, "type": "subscribe", "topic": topic, "privateChannel": False, "response": True
        })  # fmt: skip

    async def follow(self, channel: str, number: str = "s1", **fields: Any) -> Message:
        """Subscribe to a unified channel and return the answer."""
        return await self.ask({"id": number, "action": "SUBSCRIBE", "channel": channel, **fields})


class Rig(LoopbackRig[KucoinWire]):
    """Start with ``async with Rig() as rig``."""

    def __init__(self, settings: Settings | None = None, options: WireOptions | None = None) -> None:
        self.clock = SimClock()
        self.faults = FaultBoard(11)
        accounts = []
        for number, name in enumerate(SECRETS):
            kind = "unified" if name == "carol" else "hmac"
            account = Account(name, f"{name}Key", SECRETS[name], kind, f"{name}Pass", uid=1000 + number)
            account.balances["spot"] = {"USDT": Balance(D(1_000_000)), "BTC": Balance(D(10))}
            account.balances["perp"] = {"USDT": Balance(D(100_000))}
            accounts.append(account)
        exchange = Exchange("kucoin", SPECS, accounts, self.clock)
        for market in exchange.markets.values():
            lay_book(market, levels=600, lots=LOTS[market.spec.product])
            market.next_funding_ms = (self.clock.now_ms() // FUNDING_MS + 1) * FUNDING_MS
        many = {pool: (10_000_000, length) for pool, (_, length) in POOLS.items()}
        chosen = options or WireOptions(pools=many, snapshot_delay_s=0.0)
        wire = build(exchange, self.faults, self.clock, settings or Settings(), chosen)
        super().__init__(exchange, wire)
        self.numbers = itertools.count(1)

    def market(self, symbol: str = "BTC-USDT") -> Market:
        return self.exchange.markets["spot" if "-" in symbol else "perp", symbol]

    # ------------------------------------------------------------------------------------------- REST

    def headers(
        self,
        name: str,
        method: str,
        target: str,
        body: str = "",
        shift_ms: int = 0,
        version: str | None = "2",
    ) -> dict[str, str]:
        stamp = str(self.clock.now_ms() + shift_ms)
        passphrase = f"{name}Pass" if version is None else sign(name, f"{name}Pass")
        made = {
            "KC-API-KEY": f"{name}Key", "KC-API-TIMESTAMP": stamp, "KC-API-PASSPHRASE": passphrase,
            "KC-API-SIGN": sign(name, stamp + method + target + body), "Content-Type": "application/json",
        }  # fmt: skip
        return made if version is None else made | {"KC-API-KEY-VERSION": version}

    async def raw(
        self, product: str, method: str, target: str, body: str = "", name: str | None = None,
        shift_ms: int = 0, version: str | None = "2", changed: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Return status, body and headers of an answer; ``name`` None: unsigned."""
        sent: dict[str, str] = {}
        if name is not None:
            sent = self.headers(name, method, target, body, shift_ms, version)
        sent |= changed or {}
        return await self.fetched(method, self.urls[product]["rest"] + target, body, sent)

    async def call(
        self, method: str, path: str, body: Any = None, product: str = "spot", name: str | None = "alice",
        **query: Any,
    ) -> Any:  # fmt: skip
        """Return the body of an answer."""
        target = path + (f"?{urlencode(query)}" if query else "")
        text = "" if body is None else json.dumps(body)
        return (await self.raw(product, method, target, text, name))[1]

    async def get(self, path: str, product: str = "spot", name: str | None = None, **query: Any) -> Any:
        """Return the ``data`` of a GET that must succeed."""
        answer = await self.call("GET", path, None, product, name, **query)
        assert answer["code"] == "200000", answer
        return answer["data"]

    async def spot(self, name: str = "alice", path: str = "", **changed: Any) -> Any:
        """Place a spot order: by default 0.01 BTC bought below the market."""
        body = {
            "clientOid": f"c{next(self.numbers)}", "symbol": "BTC-USDT", "side": "buy", "type": "limit",
            "size": "0.01", "price": "58000", **changed,
        }  # fmt: skip
        kept = {key: value for key, value in body.items() if value != ""}
        return await self.call("POST", f"/api/v1/hf/orders{path}", kept, name=name)

    async def future(self, name: str = "alice", **changed: Any) -> Any:
        """Place a futures order: by default ten lots of XBTUSDTM bought below the market."""
        body = {
            "clientOid": f"f{next(self.numbers)}", "symbol": "XBTUSDTM", "side": "buy", "type": "limit",
            "size": 10, "price": "58000", "leverage": 5, **changed,
        }  # fmt: skip
        kept = {key: value for key, value in body.items() if value != ""}
        return await self.call("POST", "/api/v1/orders", kept, "perp", name)

    # ---------------------------------------------------------------------------------------- sockets

    async def _open(self, url: str) -> Socket:
        return Socket(await self.opened(url))

    async def push(self, product: str = "perp") -> Socket:
        """Open a unified public socket and pass its welcome."""
        socket = await self._open(self.urls[product]["ws_public"])
        await socket.until(lambda each: each.get("message") == "welcome")
        return socket

    async def private(self, name: str = "alice") -> Socket:
        """Open the unified private socket with a token."""
        token = (await self.call("POST", "/api/v2/bullet-private", name=name))["data"]["token"]
        socket = await self._open(f"{self.urls['spot']['ws_private']}?token={quote(token)}")
        await socket.until(lambda each: each.get("message") == "welcome")
        return socket

    async def bare_private(self) -> Socket:
        """Open the unified private socket without a token."""
        socket = await self._open(self.urls["spot"]["ws_private"])
        await socket.until(lambda each: each.get("message") == "welcome")
        return socket

    async def bullet(self, product: str, name: str | None = None) -> Any:
        """Return the data of a bullet answer."""
        kind = "public" if name is None else "private"
        return (await self.call("POST", f"/api/v1/bullet-{kind}", product=product, name=name))["data"]

    async def classic(self, product: str = "spot", name: str | None = None, query: str = "") -> Socket:
        """Open a classic socket and pass its welcome; ``name`` makes it a private one."""
        data = await self.bullet(product, name)
        url = f"{data['instanceServers'][0]['endpoint']}?token={quote(data['token'])}&connectId=c7{query}"
        socket = await self._open(url)
        welcome = await socket.until(lambda each: True)
        assert welcome == {"id": "c7", "type": "welcome"}
        return socket

    def trade_url(self, name: str = "alice", **changed: str) -> str:
        """Return the signed address of the order-entry socket."""
        stamp = str(self.clock.now_ms())
        words = {"apikey": f"{name}Key", "timestamp": stamp, "sign": sign(name, f"{name}Key{stamp}"),
                 "passphrase": sign(name, f"{name}Pass"), **changed}  # fmt: skip
        return f"{self.urls['spot']['ws_trade']}?{urlencode(words)}"

    async def trade(self, name: str = "alice") -> Socket:
        """Open the order-entry socket and answer its challenge."""
        socket = await self._open(self.trade_url(name))
        await socket.until(lambda each: "timestamp" in each)
        challenge = socket.raw[-1]
        assert isinstance(challenge, str)
        await socket.send(sign(name, challenge))
        await socket.until(lambda each: each.get("data") == "welcome")
        return socket
