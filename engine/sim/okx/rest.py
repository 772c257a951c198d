"""OKX over REST: one aiohttp application for all products.

Source: OKX v5 docs, "Overview / REST", "Trade" and "Error Code", seen 2026-08.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.okx.calls import Call, Route
from engine.sim.okx.desk import Desk
from engine.sim.okx.errors import OkxError
from engine.sim.okx.instruments import Instrument
from engine.sim.okx.limits import RateLimits
from engine.sim.okx.signing import Gate
from engine.sim.okx.trading import envelope
from engine.sim.unanswered import NoAnswer

HTML = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
PREFIX = "/api/v5"
LARGEST_BODY = 256 * 1024
ORDER_PATHS = {
    "/trade/order": ("place", False), "/trade/batch-orders": ("place", True),
    "/trade/cancel-order": ("cancel", False), "/trade/cancel-batch-orders": ("cancel", True),
    "/trade/amend-order": ("amend", False), "/trade/amend-batch-orders": ("amend", True),
}  # fmt: skip


class RestApi:
    """Serves REST.

    Args:
        routes: every endpoint but those of order requests.
        desk: runs order requests. faults: fault hooks by product (``spot``, ``perp``).
    """

    def __init__(
        self,
        routes: Mapping[tuple[str, str], Route],
        desk: Desk,
        gate: Gate,
        faults: Mapping[str, FaultPoints],
        limits: RateLimits,
    ) -> None:
        self._desk = desk
        self._gate = gate
        self._faults = faults
        self._limits = limits
        self._routes = dict(routes)
        for path, (action, is_batch) in ORDER_PATHS.items():
            run = functools.partial(self._items, action=action, is_batch=is_batch)
            self._routes["POST", path] = Route(run, is_signed=True, is_order=True)
        self._paths = {path for _, path in self._routes}

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path, _, _ = request.raw_path.partition("?")
        name = path.removeprefix(PREFIX)
        if not path.startswith(PREFIX) or name not in self._paths:
            return web.json_response({"msg": "Not Found", "code": "404", "data": []}, status=404)
        body = (await request.read()).decode("utf-8", "replace")
        every = list(self._faults.values())
        for faults in every:
            if (slow := faults.take("slow_request")) is not None:
                await asyncio.sleep(delay_s(slow, 1000))
        came_us = time.time_ns() // 1000
        try:
            for faults in every:
                if (limited := faults.take("rate_limit_429")) is not None:
                    told = {"code": str(limited.get("code", "50011")), "msg": "Too Many Requests", "data": []}
                    return web.json_response(told, status=429, headers={"Retry-After": "1"})
            value = await self._answer(request, name, body, came_us)
        except OkxError as error:
            told = {"code": error.code, "msg": error.message, "data": []}
            return web.json_response(told, status=error.status)
        except NoAnswer:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return value if isinstance(value, web.Response) else web.json_response(value)

    async def _answer(self, request: web.Request, name: str, body: str, came_us: int) -> Any:
        route = self._routes.get((request.method, name))
        if route is None:
            raise OkxError("50115", "Invalid request method.")
        call = Call(request.query)
        owner = request.remote or "127.0.0.1"
        if route.is_signed:
            call.account = self._gate.rest(request.headers, request.method, request.raw_path, body)
            owner = call.owner.name
        if request.method == "POST":
            call.body = self._decoded(request, body)
        if route.is_order:
            self._desk.check_deadline(request.headers.get("expTime"))
            return await self._order_answer(call, route, came_us)
        self._limits.take(name, route.limit, owner, call.text(route.limit.per) if route.limit.per else "")
        if name == "/market/books":
            for faults in self._faults.values():
                if (late := faults.take("slow_snapshot")) is not None:
                    await asyncio.sleep(delay_s(late, 2000))
                if (broken := faults.take("snapshot_error")) is not None:
                    return web.Response(status=int(broken.get("status", 500)), text=HTML)
        return {"code": "0", "msg": "", "data": route.run(call)}

    def _decoded(self, request: web.Request, body: str) -> Any:
        if not body:
            raise OkxError("50000", "Body for POST request cannot be empty.")
        if request.content_type != "application/json":
            raise OkxError("50006", "Invalid Content-Type, please use application/json.")
        try:
            return json.loads(body)
        except ValueError:
            raise OkxError("50002", "JSON syntax error") from None

    # ------------------------------------------------------------------------------- order requests

    def _items(self, call: Call, action: str, is_batch: bool) -> tuple[str, list[dict[str, Any]]]:
        """Return the action and the objects of an order request's body; raises OkxError."""
        items = call.body if is_batch else [call.body]
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise OkxError("50002", "JSON syntax error")
        if len(items) > 20:
            raise OkxError("51000", "Parameter args error")
        return action, items

    async def _order_answer(self, call: Call, route: Route, came_us: int) -> Any:
        action, items = route.run(call)
        targets = [self._desk.trading.by_id(item) for item in items]
        request = self._desk.admit(action, call.owner, items, targets)
        first = targets[0]
        product = first.market.spec.product if isinstance(first, Instrument) else "spot"
        faults, symbol = self._faults[product], first.inst_id if isinstance(first, Instrument) else None
        if faults.armed and (lost := self._lost(faults, symbol, request.run)) is not None:
            return lost
        rows = await self._desk.run(request)
        return envelope(rows, came_us, time.time_ns() // 1000)

    def _lost(self, faults: FaultPoints, symbol: str | None, run: Callable[[], Any]) -> Any:
        """Strike where only HTTP can: nothing is executed unless the fault says so."""
        take = faults.take
        if (page := take("html_error", symbol)) is not None:
            if page.get("accepted"):
                run()
            return web.Response(status=int(page.get("status", 502)), text=HTML, content_type="text/html")
        if (unknown := take("http_503_unknown", symbol)) is not None:
            if unknown.get("accepted", True):
                run()
            raise OkxError("50001", "Service temporarily unavailable. Try again later")
        if take("http_503_unavailable", symbol) is not None:
            raise OkxError("50001", "Service temporarily unavailable. Try again later")
        if take("http_503_internal", symbol) is not None:
            raise OkxError("50026", "System error. Try again later")
        return None
