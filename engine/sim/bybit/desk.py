"""Where an order request is executed: limits first, then faults, then the exchange; for REST and WebSocket.

Source: Bybit v5 docs, "Rate Limit Rules" and "Error Codes", seen 2026-07.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bybit.errors import BybitError, wrong
from engine.sim.bybit.gate import Left, Limits
from engine.sim.bybit.instruments import CATEGORIES
from engine.sim.bybit.trading import Trading
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.unanswered import NoAnswer, Page

PER_SECOND = {
    "create": {"linear": 10, "spot": 20}, "amend": {"linear": 10, "spot": 10},
    "cancel": {"linear": 10, "spot": 20}, "cancel-all": {"linear": 10, "spot": 20},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """An accepted request: ``result``, ``retExtInfo``, what is left of the limit, how long it is held."""

    result: Any
    left: Left
    extra: Any = field(default_factory=dict)
    hold_s: float = 0.0


def _symbol_of(item: Mapping[str, Any]) -> str | None:
    """Return the one symbol that a request is about, None where there are several or none."""
    batch = item.get("request")
    rows = batch if isinstance(batch, list) else [item]
    symbols = {row.get("symbol") for row in rows if isinstance(row, dict)} - {None, ""}
    return str(symbols.pop()) if len(symbols) == 1 else None


class Desk:
    """Executes order operations (``create``, ``create-batch``, ``cancel-all``, ...).

    Args:
        faults: fault hooks by category. deliver: sends private events that wait.
    """

    def __init__(
        self, trading: Trading, limits: Limits, faults: Mapping[str, FaultPoints],
        per_second: Mapping[str, Mapping[str, int]], deliver: Callable[[], None],
    ) -> None:  # fmt: skip
        self._trading = trading
        self._limits = limits
        self._faults = faults
        self._per_second = per_second
        self._deliver = deliver

    def run(self, operation: str, account: Account, item: Mapping[str, Any]) -> Outcome:
        """Execute; raises BybitError, NoAnswer, Page."""
        category = item.get("category")
        if category not in CATEGORIES:
            raise wrong("Illegal category")
        assert isinstance(category, str)
        is_batch = operation.endswith("-batch")
        action = operation.removesuffix("-batch")
        limit = self._per_second[action][category]
        owner = f"{account.name} {category}"
        orders = item.get("request") if is_batch else None
        cost = len(orders) if isinstance(orders, list) else 1
        room = min(cost, max(1, self._limits.room(operation, owner, limit))) if is_batch else cost
        left = self._limits.take(operation, owner, limit, room)
        try:
            return self._execute(operation, account, item, left, room)
        except BybitError as error:
            error.headers = left.headers()
            raise

    def _execute(
        self, operation: str, account: Account, item: Mapping[str, Any], left: Left, room: int
    ) -> Outcome:
        is_batch, action = operation.endswith("-batch"), operation.removesuffix("-batch")

        def execute() -> Outcome:
            if is_batch:
                result, extra = self._trading.batch(action, account, item, room)
                return Outcome(result, left, extra)
            if operation == "cancel-all":
                return Outcome(self._trading.cancel_all(account, item), left)
            return Outcome(self._trading.actions[action](account, item), left)

        faults = self._faults[str(item["category"])]
        if not faults.armed:
            return execute()
        symbol = _symbol_of(item)
        self._before(faults, symbol, execute)
        outcome = execute()
        return replace(outcome, hold_s=self._after(faults, symbol))

    def _before(self, faults: FaultPoints, symbol: str | None, execute: Callable[[], Outcome]) -> None:
        """Strike before the engine: nothing is executed unless the fault says so."""
        take = faults.take
        if take("drop_request", symbol) is not None:
            raise NoAnswer
        if (page := take("html_error", symbol)) is not None:
            if page.get("accepted"):
                execute()
            raise Page(int(page.get("status", 502)))
        if (unknown := take("http_503_unknown", symbol)) is not None:
            if unknown.get("accepted", True):
                execute()
            raise BybitError(10016, "Internal server error. Service is restarting")
        if take("http_503_unavailable", symbol) is not None:
            raise BybitError(10429, "System frequency protection")
        if take("http_503_internal", symbol) is not None:
            raise BybitError(10016, "Internal server error.")
        if take("error_1007_not_accepted", symbol) is not None:
            raise BybitError(10000, "Server Timeout")

    def _after(self, faults: FaultPoints, symbol: str | None) -> float:
        """Strike after the engine: no answer, a time-out, or a held answer; return for how long."""
        take = faults.take
        if take("drop_answer_accepted", symbol) is not None:
            raise NoAnswer
        if take("error_1007_accepted", symbol) is not None:
            raise BybitError(10000, "Server Timeout")
        for name, default_ms in (("slow_answer_accepted", 5000), ("fill_before_ack", 50)):
            if (strike := take(name, symbol)) is not None:
                self._deliver()
                return delay_s(strike, default_ms)
        return 0.0
