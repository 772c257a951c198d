"""The REST face of one product: one aiohttp application that looks operations up by method and path.

Source: Binance spot API docs, "General API Information"; USDⓈ-M docs, "General Info".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from engine.sim.binance.desk import Answer, Desk, HtmlPage, NoAnswer, to_json
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Operation
from engine.sim.faultpoints import delay_s

CONTENT_TYPE = "application/json;charset=UTF-8"
HTML_PAGE = (
    "<html><head><title>Bad Gateway</title></head><body><center><h1>Bad Gateway</h1></center></body></html>"
)
BODY_LIMIT = 256 * 1024

Routes = Mapping[tuple[str, str], Operation]


class RestApi:
    """Serves operations under their REST names."""

    def __init__(self, desk: Desk, routes: Routes) -> None:
        self._desk = desk
        self._routes = routes

    def application(self) -> web.Application:
        """Return the application; everything goes through one catch-all route."""
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        operation = self._routes.get((request.method, path))
        address = request.remote or "127.0.0.1"
        if operation is None:
            known = any(route == path for _, route in self._routes)
            return web.Response(status=405 if known else 404, text="")
        body = await request.read()
        slow = self._desk.faults.take("slow_request")
        if slow is not None:
            await asyncio.sleep(delay_s(slow, 1000))
        try:
            answer, account = await self._answer(operation, request, query, body, address)
        except HtmlPage as page:
            return web.Response(status=page.status, text=HTML_PAGE, content_type="text/html")
        except NoAnswer:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return self._respond(answer, address, account)

    async def _answer(
        self, operation: Operation, request: web.Request, query: str, body: bytes, address: str
    ) -> tuple[Answer, str | None]:
        desk = self._desk
        account: str | None = None
        now = desk.gate.now_ms()
        try:
            desk.refuse_by_fault(address)
            desk.limits.admit(address, now)
        except ApiError as refusal:
            return Answer(to_json(refusal.body()), refusal, False), None
        try:
            raw_query = query.encode("utf-8", "surrogateescape")
            call = desk.gate.rest(operation, request.headers.get("X-MBX-APIKEY"), raw_query, body, address)
            if call.credential is not None:
                account = call.account.name
            answer = await desk.perform(operation, call)
        except ApiError as refusal:
            desk.limits.charge(address, 1, now)
            return Answer(to_json(refusal.body()), refusal, False), account
        return answer, account

    def _respond(self, answer: Answer, address: str, account: str | None) -> web.Response:
        limits = self._desk.limits
        now = self._desk.gate.now_ms()
        headers = limits.headers(address, account if answer.counts_orders else None, now)
        headers["Content-Type"] = CONTENT_TYPE
        refusal = answer.refusal
        if refusal is not None and refusal.retry_after_s is not None and limits.rules.retry_header:
            headers["Retry-After"] = str(refusal.retry_after_s)
        return web.Response(status=answer.status, body=answer.text.encode(), headers=headers)
