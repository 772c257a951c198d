"""Order entry over WebSocket: the operations, their envelope, and what makes a whole request fail.

Source: OKX v5 docs, "WS / Place order" and its siblings, seen 2026-08.
"""

from __future__ import annotations

import re
import time
from typing import Any

from engine.sim.okx.desk import Desk
from engine.sim.okx.errors import OkxError
from engine.sim.okx.hub import Session
from engine.sim.okx.trading import envelope
from engine.sim.unanswered import NoAnswer

ORDER_OPS = {
    "order": ("place", False), "batch-orders": ("place", True), "cancel-order": ("cancel", False),
    "batch-cancel-orders": ("cancel", True), "amend-order": ("amend", False),
    "batch-amend-orders": ("amend", True),
}  # fmt: skip
REQUEST_ID = re.compile(r"[A-Za-z0-9]{1,32}")
LARGEST_BATCH = 20


class OrderOps:
    """Runs order operations of the private path."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def operate(self, session: Session, request: dict[str, Any]) -> None:
        """Execute one request and answer it, unless a fault takes the answer away."""
        came_us = time.time_ns() // 1000
        echo = {"id": request.get("id"), "op": request["op"]}
        try:
            rows = await self._rows(session, request)
        except NoAnswer:
            session.outlet.abort()
            return
        except OkxError as error:
            times = {"inTime": str(came_us), "outTime": str(time.time_ns() // 1000)}
            session.send(echo | {"data": [], "code": error.code, "msg": error.message} | times)
            return
        told = envelope(rows, came_us, time.time_ns() // 1000)
        session.send(echo | {"data": told.pop("data")} | told)

    async def _rows(self, session: Session, request: dict[str, Any]) -> list[dict[str, Any]]:
        if session.url != "private":
            raise OkxError("60028", "The current operation is not supported by this URL.")
        if session.account is None:
            raise OkxError("60011", "Please log in")
        number, items = request.get("id"), request.get("args")
        if not isinstance(number, str) or REQUEST_ID.fullmatch(number) is None:
            raise OkxError("60033", "Parameter id error")
        action, is_batch = ORDER_OPS[request["op"]]
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise OkxError("60013", "Invalid args")
        if not 1 <= len(items) <= (LARGEST_BATCH if is_batch else 1):
            raise OkxError("60013", "Invalid args")
        self._desk.check_deadline(request.get("expTime"))
        targets = [self._desk.trading.by_code(item) for item in items]
        admitted = self._desk.admit(action, session.account, items, targets)
        if (limited := admitted.faults.take("rate_limit_429", admitted.symbol)) is not None:
            raise OkxError(str(limited.get("code", "50011")), "Too Many Requests")
        return await self._desk.run(admitted)
