"""A venue that is gone: its connections are cut, and what knocks is refused by its front until it is back.

Works around any venue's wire: the server puts these doors in front of the venue's own.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from websockets.asyncio.server import Server, ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from engine.sim.faults import FaultBoard

FAULT = "venue_gone"
PAGE = (
    "<!DOCTYPE html><html><head><title>503 Service Temporarily Unavailable</title></head>"
    "<body><center><h1>503 Service Temporarily Unavailable</h1></center></body></html>"
)
ProcessRequest = Callable[[ServerConnection, Request], Any]


class Front:
    """Stands before one product of one venue.

    The fault's ``mode`` is ``page`` (the front answers with an HTML 503, the default) or ``cut`` (connections
    are accepted and cut).
    """

    def __init__(self, board: FaultBoard, venue: str, product: str) -> None:
        self._board = board
        self._venue = venue
        self._product = product
        self._was_gone = False

    @property
    def is_gone(self) -> bool:
        """Tell whether the venue is gone now."""
        return bool(self._board.armed) and self._board.is_armed(FAULT, self._venue, self._product)

    def _cuts(self) -> bool:
        return bool(self._board.params(FAULT, self._venue, self._product).get("mode") == "cut")

    def middleware(self) -> Middleware:
        """Return what stands before the REST application."""

        @web.middleware
        async def front(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.is_gone:
                return await handler(request)
            if self._cuts() and request.transport is not None:
                request.transport.abort()
            page = web.Response(status=503, text=PAGE, content_type="text/html")
            page.force_close()
            return page

        return front

    def process_request(self, own: ProcessRequest | None) -> ProcessRequest:
        """Return what stands before a WebSocket server's own hook."""

        def front(connection: ServerConnection, request: Request) -> Any:
            if not self.is_gone:
                return own(connection, request) if own is not None else None
            if self._cuts():
                connection.transport.abort()
            status, body = HTTPStatus.SERVICE_UNAVAILABLE, PAGE.encode()
            headers = Headers({
                "Connection": "close", "Content-Length": str(len(body)), "Content-Type": "text/html",
            })  # fmt: skip
            return Response(status.value, status.phrase, headers, body)

        return front

    def watch(self, servers: list[Server]) -> None:
        """Cut what is connected when the venue goes; to be called often."""
        gone = self.is_gone
        if gone and not self._was_gone:
            self._board.happened[FAULT] = self._board.happened.get(FAULT, 0) + 1
            for server in servers:
                for connection in server.connections:
                    connection.transport.abort()
        self._was_gone = gone
