"""BitMart over REST: levels, limits, signatures, faults and envelopes around the calls of one product.

Source: BitMart docs, "Authentication", "Rate Limit", "Status Code", mirrored copy of 2025-11; forms of
gateway errors as probed on the futures host, 2026-09-23.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.bitmart.errors import BitMartError, not_found
from engine.sim.bitmart.gate import MINUTE_MS, V4_WINDOW_MS, Gate
from engine.sim.bitmart.limits import Limited, Rate, RestLimits
from engine.sim.bitmart.params import Item
from engine.sim.bitmart.quotes import trace
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.unanswered import NoAnswer, Page

NONE, KEYED, SIGNED = "NONE", "KEYED", "SIGNED"
HTML = (
    "<!DOCTYPE html><html><head><title>{status} | bitmart</title></head>"
    "<body><h1>Error {status}</h1><center>cloudflare</center></body></html>"
)
REFUSED_AGENTS = ("Python-urllib", "Java/")
"""Default agents of libraries, which the front refuses with its error 1010."""


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint.

    Attributes:
        run: called with the account (None on public calls) and the parameters.
        level: ``NONE``, ``KEYED`` or ``SIGNED``. ok: the text of success.
        trades: it places, changes or cancels orders. places: it brings in new quantity.
    """

    run: Callable[[Any, Item], Any]
    rate: Rate
    level: str = NONE
    ok: str = "OK"
    trades: bool = False
    places: bool = False


class RestApi:
    """Serves one host.

    Args:
        routes: by (method, path). deliver: sends private events that wait.
    """

    def __init__(
        self, routes: Mapping[tuple[str, str], Route], gate: Gate, limits: RestLimits, faults: FaultPoints,
        deliver: Callable[[], None],
    ) -> None:  # fmt: skip
        self._routes = routes
        self._gate = gate
        self._limits = limits
        self._faults = faults
        self._deliver = deliver

    def application(self) -> web.Application:
        """Return an application."""
        app = web.Application(client_max_size=256 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path, _, _ = request.raw_path.partition("?")
        headers: dict[str, str] = {}
        try:
            body = await request.read()
            if request.headers.get("User-Agent", "").startswith(REFUSED_AGENTS):
                raise Page(403)
            return await self._answer(request, path, body, headers)
        except BitMartError as error:
            return self._refuse(error, headers)
        except Page as page:
            text = HTML.format(status="1010" if page.status == 403 else page.status)
            return web.Response(status=page.status, text=text, content_type="text/html")
        except NoAnswer:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)

    async def _answer(
        self, request: web.Request, path: str, body: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        address = request.remote or "127.0.0.1"
        if self._faults.armed:
            await self._before_all(address)
        if path.startswith("/contract/v1/"):
            text = "Futures V1 API has been deprecated. Please use the V2 API"
            raise BitMartError(30030, text, 200, is_gateway=True)
        route = self._routes.get((request.method, path))
        if route is None:
            raise not_found()
        self._admit(route, path, address, request.headers, headers)
        account, stamp = None, 0
        if route.level == KEYED:
            account = self._gate.keyed(request.headers)
        elif route.level == SIGNED:
            account, stamp = self._gate.signed(request.headers, body)
        item = self._item(request, body)
        if route.level == SIGNED:
            is_v4 = "/v4/" in path
            self._gate.check_time(stamp, item.get("recvWindow", V4_WINDOW_MS) if is_v4 else MINUTE_MS)
        if not self._faults.armed:
            data = route.run(account, item)
        else:
            data = await self._run_spoiled(route, path, account, item)
        message = {"code": 1000, "message": route.ok, "data": data, "trace": trace()}
        return web.json_response(message, headers=headers)

    def _admit(
        self, route: Route, path: str, address: str, given: Mapping[str, str], headers: dict[str, str]
    ) -> None:
        """Count a request, by address or by the account that it claims to be from."""
        claimed = self._gate.known(given)
        owner = address if route.rate.mode == "IP" or claimed is None else claimed.name
        if self._limits.is_blocked(owner) or self._limits.is_blocked(address):
            raise Limited(is_blocked=True)
        told, is_within = self._limits.take(path, route.rate, owner)
        headers.update(told)
        if not is_within:
            self._limits.refused(owner)
            raise Limited

    @staticmethod
    def _item(request: web.Request, body: bytes) -> Item:
        if request.method != "POST":
            return request.query
        try:
            item = json.loads(body)
        except ValueError:
            item = None
        if not isinstance(item, dict):
            raise BitMartError(30018, "Request Body requires JSON format", 503)
        return item

    def _refuse(self, error: BitMartError, headers: Mapping[str, str]) -> web.StreamResponse:
        message: dict[str, Any]
        if error.is_gateway:
            message = {"trace": trace(), "msg": error.text, "code": error.code}
        else:
            message = {"code": error.code, "message": error.text, "trace": trace(), "data": {}}
        return web.json_response(message, status=error.status, headers=headers)

    # --------------------------------------------------------------------------------------- faults

    async def _before_all(self, address: str) -> None:
        take = self._faults.take
        if (slow := take("slow_request")) is not None:
            await asyncio.sleep(delay_s(slow, 1000))
        if (ban := take("ban_418")) is not None:
            self._limits.block(address, int(float(ban.get("seconds", 3)) * 1000))
        if take("rate_limit_429") is not None:
            raise Limited

    async def _run_spoiled(self, route: Route, path: str, account: Account | None, item: Item) -> Any:
        symbol = str(item["symbol"]) if item.get("symbol") else None
        faults = self._faults
        if path in ("/spot/quotation/v3/books", "/contract/public/depth"):
            if (late := faults.take("slow_snapshot", symbol)) is not None:
                await asyncio.sleep(delay_s(late, 1000))
            if (broken := faults.take("snapshot_error", symbol)) is not None:
                raise Page(int(broken.get("status", 500)))
        self._ending(route)
        if not route.trades:
            return route.run(account, item)
        self._before(route, account, item, symbol)
        data = route.run(account, item)
        await self._after(route, symbol)
        return data

    def _ending(self, route: Route) -> None:
        """Refuse what is not served any more while the venue winds down; the codes are our choice."""
        if not self._faults.lasts("trading_ends"):
            return
        is_all = self._faults.params("trading_ends").get("stage", "orders") == "all"
        if is_all and route.level != NONE:
            self._faults.note("trading_ends")
            raise BitMartError(30016, "Service maintenance, the function is temporarily unavailable", 200)
        if route.places:
            self._faults.note("trading_ends")
            raise BitMartError(30019, "You do not have the permissions to perform this operation", 200)

    def _before(self, route: Route, account: Account | None, item: Item, symbol: str | None) -> None:
        """Strike before the engine: nothing is executed unless the fault says so."""
        take = self._faults.take
        if take("drop_request", symbol) is not None:
            raise NoAnswer
        if (page := take("html_error", symbol)) is not None:
            if page.get("accepted"):
                route.run(account, item)
            raise Page(int(page.get("status", 502)))
        if (unknown := take("http_503_unknown", symbol)) is not None:
            if unknown.get("accepted", True):
                route.run(account, item)
            raise Page(503)
        if take("http_503_unavailable", symbol) is not None:
            raise BitMartError(30014, "Service unavailable", 503)
        if take("http_503_internal", symbol) is not None:
            raise self._internal(route)
        if take("error_1007_not_accepted", symbol) is not None:
            raise self._internal(route)

    async def _after(self, route: Route, symbol: str | None) -> None:
        take = self._faults.take
        if take("drop_answer_accepted", symbol) is not None:
            raise NoAnswer
        if take("error_1007_accepted", symbol) is not None:
            raise self._internal(route)
        for name, default_ms in (("slow_answer_accepted", 5000), ("fill_before_ack", 50)):
            if (strike := take(name, symbol)) is not None:
                self._deliver()
                await asyncio.sleep(delay_s(strike, default_ms))

    @staticmethod
    def _internal(route: Route) -> BitMartError:
        """Return the error after which nobody knows whether the order exists."""
        if route.ok == "Ok":
            return BitMartError(40012, "System error", 500)
        return BitMartError(59002, "Internal service error", 500)
