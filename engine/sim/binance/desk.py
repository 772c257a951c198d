"""Performs admitted requests: engine delay, fault hooks, weight and order counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.sim.binance import errors
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Call, Gate, Operation
from engine.sim.binance.limits import RateLimits
from engine.sim.faultpoints import FaultPoints, delay_s

UNKNOWN_503 = "Unknown error, please check your request or try again later."
UNAVAILABLE_503 = "Service Unavailable."


class NoAnswer(Exception):
    """The connection is cut instead of answered; the request may or may not have been executed."""


class HtmlPage(Exception):
    """The answer is an HTML page of some machine in between."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTML page with status {status}")
        self.status = status


class RawJson:
    """An answer that is JSON text already."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


@dataclass(frozen=True, slots=True)
class Answer:
    """An executed request: its JSON text, or the refusal, and whether order counts belong in the headers."""

    text: str
    refusal: ApiError | None
    counts_orders: bool

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return 200 if self.refusal is None else self.refusal.status


def to_json(value: Any) -> str:
    """Return compact JSON with symbols in their own letters."""
    return (
        value.text
        if isinstance(value, RawJson)
        else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    )


class Desk:
    """Runs the operations of one product.

    Args:
        gate: who has admitted the calls; asked again before the engine.
        faults: the product's fault hooks.
        queue_delay_s: pause between admission and the matching engine, seconds.
        snapshot_delay_s: pause between taking a depth snapshot and answering it, seconds.
        strict_params: whether unknown parameters are refused (−1104).
        deliver_events: sends private events that wait for their turn.
    """

    def __init__(
        self,
        gate: Gate,
        faults: FaultPoints,
        queue_delay_s: float,
        snapshot_delay_s: float,
        strict_params: bool,
        deliver_events: Callable[[], None],
    ) -> None:
        self.gate = gate
        self.faults = faults
        self.queue_delay_s = queue_delay_s
        self.snapshot_delay_s = snapshot_delay_s
        self.strict_params = strict_params
        self._deliver_events = deliver_events

    @property
    def limits(self) -> RateLimits:
        """Return the product's counters."""
        return self.gate.limits

    def refuse_by_fault(self, address: str) -> None:
        """Strike with the faults that hit before anything is read: 429 and 418."""
        if not self.faults.armed:
            return
        now = self.gate.now_ms()
        if (ban := self.faults.take("ban_418")) is not None:
            until = self.limits.ban(address, now, int(float(ban.get("seconds", 3)) * 1000))
            raise errors.banned(until, now)
        if self.faults.take("rate_limit_429") is not None:
            self.limits.exhaust(address, now)

    async def perform(self, operation: Operation, call: Call) -> Answer:
        """Execute one admitted call.

        Raises:
            NoAnswer: the answer is lost; whether the request was executed is for the client to find out.
        """
        symbol = call.params.raw("symbol")
        if self.strict_params and operation.accepts is not None:
            call.params.reject_unknown(operation.accepts)
        if operation.name == "depth":
            return await self._snapshot(operation, call, symbol)
        if not operation.trades:
            return self._execute(operation, call)
        if self.queue_delay_s:
            await asyncio.sleep(self.queue_delay_s)
        if not self.faults.armed:
            return self._execute(operation, call)
        lost = self._lost_before_engine(operation, call, symbol)
        if lost is not None:
            return self._fail(operation, call, lost)
        answer = self._execute(operation, call)
        return await self._after_engine(answer, symbol) if answer.refusal is None else answer

    def _execute(self, operation: Operation, call: Call) -> Answer:
        orders = operation.order_count(call.params)
        account = None if call.credential is None else call.account.name
        try:
            if operation.trades:
                self.gate.check_at_engine(call)
            if orders and account is not None:
                self.limits.take_orders(account, orders, call.now_ms)
            text = to_json(operation.run(call))
        except ApiError as refusal:
            return self._fail(operation, call, refusal)
        if not operation.free_on_success:
            self.limits.charge(call.address, operation.cost(call.params), call.now_ms)
        return Answer(text, None, bool(orders))

    def _fail(self, operation: Operation, call: Call, refusal: ApiError) -> Answer:
        self.limits.charge(call.address, operation.cost(call.params), call.now_ms)
        return Answer(to_json(refusal.body()), refusal, False)

    def _lost_before_engine(self, operation: Operation, call: Call, symbol: str | None) -> ApiError | None:
        take = self.faults.take
        if take("drop_request", symbol) is not None:
            raise NoAnswer
        page = take("html_error", symbol)
        if page is not None:
            if page.get("accepted"):
                operation.run(call)
            raise HtmlPage(int(page.get("status", 502)))
        unknown = take("http_503_unknown", symbol)
        if unknown is not None:
            if unknown.get("accepted", True):
                self._execute(operation, call)
            return errors.plain_503(UNKNOWN_503)
        if take("http_503_unavailable", symbol) is not None:
            return errors.plain_503(UNAVAILABLE_503)
        if take("http_503_internal", symbol) is not None:
            return errors.internal_perp()
        if take("error_1007_not_accepted", symbol) is not None:
            return errors.timeout_unknown()
        return None

    async def _after_engine(self, answer: Answer, symbol: str | None) -> Answer:
        take = self.faults.take
        if take("drop_answer_accepted", symbol) is not None:
            raise NoAnswer
        if take("error_1007_accepted", symbol) is not None:
            refusal = errors.timeout_unknown()
            return Answer(to_json(refusal.body()), refusal, False)
        for name, default_ms in (("slow_answer_accepted", 5000), ("fill_before_ack", 50)):
            strike = take(name, symbol)
            if strike is not None:
                self._deliver_events()
                await asyncio.sleep(delay_s(strike, default_ms))
        return answer

    async def _snapshot(self, operation: Operation, call: Call, symbol: str | None) -> Answer:
        if (broken := self.faults.take("snapshot_error", symbol)) is not None:
            refusal = ApiError(
                -1000,
                "An unknown error occurred while processing the request.",
                int(broken.get("status", 500)),
            )
            return self._fail(operation, call, refusal)
        answer = self._execute(operation, call)
        delay = self.snapshot_delay_s
        if (slow := self.faults.take("slow_snapshot", symbol)) is not None:
            delay += delay_s(slow, 2000)
        if delay:
            await asyncio.sleep(delay)
        return answer
