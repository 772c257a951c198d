"""Bybit over REST: one aiohttp application for both categories.

Source: Bybit v5 docs, "Market", "Trade", "Position", "Account", "User", "Rate Limit Rules", seen 2026-07.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.bybit.desk import Desk
from engine.sim.bybit.errors import BybitError, wrong
from engine.sim.bybit.gate import Gate, Left, Limits, Spent
from engine.sim.bybit.queries import Queries
from engine.sim.bybit.query import Query
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.unanswered import NoAnswer, Page

PREFIX = "/v5"
SETTINGS_PER_SECOND = 10
_compact = partial(json.dumps, separators=(",", ":"))
HTML = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
ORDER_PATHS = {
    f"/order/{operation}": operation
    for operation in (
        "create", "amend", "cancel", "cancel-all", "create-batch", "amend-batch", "cancel-batch",
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Route:
    """One GET endpoint: ``limit`` requests per second and account; 0 for public ones."""

    run: Callable[[Query], Any]
    limit: int = 0


@contextlib.contextmanager
def _counted(left: Left | None) -> Iterator[None]:
    """Let a refusal tell what is left of the limit, as an answer does."""
    try:
        yield
    except BybitError as error:
        if left is not None:
            error.headers = left.headers()
        raise


class RestApi:
    """Serves REST.

    Args:
        faults: fault hooks by category.
    """

    def __init__(
        self, queries: Queries, desk: Desk, gate: Gate, limits: Limits, faults: Mapping[str, FaultPoints]
    ) -> None:
        self._queries = queries
        self._desk = desk
        self._gate = gate
        self._limits = limits
        self._faults = faults
        public = queries.public()
        self._routes = {path: Route(run) for path, run in public.items()}
        self._routes |= {path: Route(run, limit) for path, (run, limit) in queries.private().items()}

    def application(self) -> web.Application:
        """Return an application."""
        app = web.Application(client_max_size=256 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        target, _, query = request.raw_path.partition("?")
        body = (await request.read()).decode("utf-8", "surrogateescape")
        path = target.removeprefix(PREFIX)
        address = request.remote or "127.0.0.1"
        every = list(self._faults.values())
        for faults in every:
            if (slow := faults.take("slow_request")) is not None:
                await asyncio.sleep(delay_s(slow, 1000))
            if (ban := faults.take("ban_418")) is not None:
                self._limits.ban(address, int(float(ban.get("seconds", 3)) * 1000))
        if not self._limits.admit(address):
            return self._error(BybitError(10403, "access too frequent", 403))
        if request.method == "GET" and body:
            return self._error(BybitError(10001, "GET with a body", 403))
        if request.method not in ("GET", "POST"):
            return self._error(BybitError(10001, "Bad request: use GET or POST", 400))
        try:
            if any(faults.take("rate_limit_429") is not None for faults in every):
                raise Spent(Left(10, 0, self._limits.now_ms() + 1000))
            return await self._answer(request, target, path, query, body)
        except BybitError as error:
            return self._error(error)
        except Page as page:
            return web.Response(status=page.status, text=HTML, content_type="text/html")
        except NoAnswer:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)

    async def _answer(
        self, request: web.Request, target: str, path: str, query: str, body: str
    ) -> web.StreamResponse:
        route = self._routes.get(path) if request.method == "GET" else None
        is_post = request.method == "POST" and (path in ORDER_PATHS or path in self._queries.settings)
        if not target.startswith(PREFIX) or (route is None and not is_post):
            return self._error(BybitError(10404, "Not Found", 404))
        if route is not None:
            return await self._read(request, route, path, query)
        account = self._gate.rest(request.headers, body)
        try:
            item = json.loads(body)
        except (ValueError, RecursionError):
            raise wrong("params error: body is not JSON") from None
        if not isinstance(item, dict):
            raise wrong("params error: body is not an object")
        if path in self._queries.settings:
            left = self._limits.take(path, account.name, SETTINGS_PER_SECOND)
            with _counted(left):
                return self._reply(self._queries.settings[path](account, item), left)
        outcome = self._desk.run(ORDER_PATHS[path], account, item)
        if outcome.hold_s:
            await asyncio.sleep(outcome.hold_s)
        return self._reply(outcome.result, outcome.left, outcome.extra)

    async def _read(self, request: web.Request, route: Route, path: str, query: str) -> web.StreamResponse:
        account: Account | None = None
        left: Left | None = None
        if route.limit:
            account = self._gate.rest(request.headers, query)
            left = self._limits.take(path, account.name, route.limit)
        call = Query(request.query, account)
        if path == "/market/orderbook":
            for faults in self._faults.values():
                if (late := faults.take("slow_snapshot")) is not None:
                    await asyncio.sleep(delay_s(late, 1000))
                if (broken := faults.take("snapshot_error")) is not None:
                    raise Page(int(broken.get("status", 500)))
        with _counted(left):
            return self._reply(route.run(call), left)

    def _reply(self, result: Any, left: Left | None, extra: Any = None) -> web.StreamResponse:
        message = {
            "retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": extra or {},
            "time": self._limits.now_ms(),
        }  # fmt: skip
        headers = self._trace() | (left.headers() if left else {})
        return web.json_response(message, headers=headers, dumps=_compact)

    def _error(self, error: BybitError) -> web.StreamResponse:
        message = {
            "retCode": error.code, "retMsg": error.message, "result": {}, "retExtInfo": {},
            "time": self._limits.now_ms(),
        }  # fmt: skip
        headers = self._trace() | dict(error.headers)
        return web.json_response(message, status=error.status, headers=headers, dumps=_compact)

    def _trace(self) -> dict[str, str]:
        return {"Timenow": str(self._limits.now_ms()), "Traceid": f"{time.monotonic_ns():032x}"}
