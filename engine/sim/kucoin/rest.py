"""KuCoin over REST: one aiohttp application per host.

The unified API belongs to the spot host; it is served at the futures address too, because a simulated
product has one REST address.

Source: KuCoin API docs, "Making a request", "Rate Limit", seen 2025-11; envelopes recorded 2026-09-22.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.kucoin.calls import Call, Raw, Route, Routes
from engine.sim.kucoin.desk import Desk
from engine.sim.kucoin.errors import KucoinError, wrong
from engine.sim.kucoin.gate import Gate, Left, Pools, Spent, Tokens
from engine.sim.kucoin.hub import to_json
from engine.sim.kucoin.market_queries import BOOK_PATHS
from engine.sim.kucoin.private import is_unified
from engine.sim.unanswered import NoAnswer, Page

HTML = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
NOT_FOUND = {"code": "404", "msg": "Not Found", "retry": False, "success": False}
PING_INTERVAL_MS = 18_000
PING_TIMEOUT_MS = 10_000


class RestApi:
    """Serves one host.

    Args:
        host: ``spot`` or ``futures``. routes: its endpoints. faults: fault hooks by product.
        socket: returns the address of the host's classic socket, and of the unified private one.

    Attributes:
        names: ``METHOD /path/{variable}`` of every endpoint.
    """

    def __init__(
        self, host: str, routes: Routes, gate: Gate, pools: Pools, tokens: Tokens, desk: Desk,
        faults: Mapping[str, FaultPoints], socket: Callable[[str], str], is_tls: bool,
    ) -> None:  # fmt: skip
        self._host = host
        self._product = "perp" if host == "futures" else "spot"
        self._gate = gate
        self._pools = pools
        self._tokens = tokens
        self._desk = desk
        self._faults = faults
        self._socket = socket
        self._is_tls = is_tls
        self._banned_until_ms: dict[str, int] = {}
        self.names = tuple(routes)
        self._plain: dict[str, Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for name, route in routes.items():
            if "{" not in name:
                self._plain[name] = route
            else:
                pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(name))
                self._patterns.append((re.compile(pattern), route))

    def application(self) -> web.Application:
        """Return an application."""
        app = web.Application(client_max_size=1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        target = request.raw_path
        body = (await request.read()).decode("utf-8", "replace")
        faults = self._faults[self._product]
        if (slow := faults.take("slow_request")) is not None:
            await asyncio.sleep(delay_s(slow, 1000))
        address, now = request.remote or "127.0.0.1", self._pools.now_ms()
        if (ban := faults.take("ban_418")) is not None:
            self._banned_until_ms[address] = now + int(float(ban.get("seconds", 3)) * 1000)
        if now < self._banned_until_ms.get(address, 0):
            return web.Response(status=429, text="error code: 1015")
        try:
            return await self._answer(request, target, body, address)
        except Spent as error:
            return self._error(error, error.left)
        except KucoinError as error:
            return self._error(error, None)
        except Page as broken:
            return web.Response(status=broken.status, text=HTML, content_type="text/html")
        except NoAnswer:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)

    def _find(self, name: str) -> tuple[Route, Mapping[str, str]] | None:
        route = self._plain.get(name)
        if route is not None:
            return route, {}
        for pattern, candidate in self._patterns:
            if (match := pattern.fullmatch(name)) is not None:
                return candidate, match.groupdict()
        return None

    async def _answer(self, request: web.Request, target: str, body: str, address: str) -> web.StreamResponse:
        name = f"{request.method} {request.path}"
        if "/bullet-" in name:
            return self._bullet(request, target, body, address)
        found = self._find(name)
        if found is None:
            return web.json_response(NOT_FOUND, status=404)
        route, path = found
        sender: Account | None = None
        if route.is_signed:
            sender = self._gate.rest(request.headers, request.method, target, body)
        left = self._count(route, sender, address)
        call = Call(request.query, self._body(body), path, sender)
        is_book = any(word in name for word in BOOK_PATHS) and request.method == "GET"
        if is_book:
            await self._book_faults(request.query.get("symbol"))
        if route.product:
            data = await self._order(route, call)
        else:
            data = route.run(call)
        return self._reply(data, left)

    def _count(self, route: Route, sender: Account | None, address: str) -> Left | None:
        if not route.pool:
            return None
        if self._faults[self._product].take("rate_limit_429") is not None:
            raise self._pools.empty(route.pool)
        owner = address if sender is None else sender.name
        return self._pools.take(route.pool, owner, route.weight)

    @staticmethod
    def _body(text: str) -> Any:
        if not text:
            return {}
        try:
            return json.loads(text)
        except ValueError:
            raise wrong("Request body is not JSON.") from None

    async def _order(self, route: Route, call: Call) -> Any:
        item = call.body[0] if isinstance(call.body, list) and call.body else call.body
        words = {**call.query, **item} if isinstance(item, dict) else dict(call.query)
        product = route.product
        if product == "*":
            product = "perp" if words.get("tradeType") == "FUTURES" else "spot"
        elif is_unified(call.account):
            raise KucoinError("400200", "Forbidden: the account is a unified one.")
        symbol = str(words["symbol"]) if words.get("symbol") else None
        return await self._desk.run(product, symbol, lambda: route.run(call))

    async def _book_faults(self, symbol: str | None) -> None:
        take = self._faults[self._product].take
        if (late := take("slow_snapshot", symbol)) is not None:
            await asyncio.sleep(delay_s(late, 1000))
        if (broken := take("snapshot_error", symbol)) is not None:
            raise Page(int(broken.get("status", 500)))

    # ----------------------------------------------------------------------------------- bullet tokens

    def _bullet(self, request: web.Request, target: str, body: str, address: str) -> web.StreamResponse:
        version, _, kind = request.path.removeprefix("/api/").partition("/")
        is_known = version in ("v1", "v2") and kind in ("bullet-public", "bullet-private")
        if request.method != "POST" or not is_known or (version == "v2" and kind == "bullet-public"):
            return web.json_response(NOT_FOUND, status=404)
        sender: Account | None = None
        if kind == "bullet-private":
            sender = self._gate.rest(request.headers, "POST", target, body)
        left = self._count(Route(lambda call: None, self._host if sender else "public", 10), sender, address)
        host = "unified" if version == "v2" else self._host
        server = {
            "endpoint": self._socket(host), "encrypt": self._is_tls, "protocol": "websocket",
            "pingInterval": PING_INTERVAL_MS, "pingTimeout": PING_TIMEOUT_MS,
        }  # fmt: skip
        return self._reply({"token": self._tokens.make(host, sender), "instanceServers": [server]}, left)

    # ----------------------------------------------------------------------------------------- answers

    def _reply(self, data: Any, left: Left | None) -> web.StreamResponse:
        text = data.encode() if isinstance(data, Raw) else to_json(data)
        headers = left.headers() if left is not None else None
        return web.Response(
            body=b'{"code":"200000","data":' + text + b"}", content_type="application/json", headers=headers
        )

    def _error(self, error: KucoinError, left: Left | None) -> web.StreamResponse:
        headers = left.headers() if left is not None else None
        return web.Response(
            body=to_json(error.view()), status=error.status, content_type="application/json", headers=headers
        )
