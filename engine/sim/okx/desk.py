"""Order requests of either transport: admitted as a whole, executed item by item, spoiled by faults.

Source: OKX v5 docs, "Order Book Trading / Trade", seen 2026-08.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.model import Refused
from engine.sim.okx.errors import OkxError
from engine.sim.okx.instruments import Instrument
from engine.sim.okx.limits import RateLimits
from engine.sim.okx.trading import Trading
from engine.sim.unanswered import NoAnswer

Target = Instrument | OkxError
"""The instrument of an item, or why there is none."""


def _timed_out(params: Mapping[str, Any]) -> OkxError:
    """Return a refusal that says nothing of what happened; ``code`` 51054 and 51149 mean the same."""
    return OkxError(str(params.get("code", "50004")), "API endpoint request timeout")


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One admitted request; ``run`` executes it and returns the rows of its answer."""

    run: Callable[[], list[dict[str, Any]]]
    faults: FaultPoints
    symbol: str | None


class Desk:
    """Takes order requests.

    Args:
        faults: fault hooks by product. deliver: sends the private events that wait.
    """

    def __init__(
        self,
        exchange: Exchange,
        trading: Trading,
        limits: RateLimits,
        faults: Mapping[str, FaultPoints],
        deliver: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self.trading = trading
        self._limits = limits
        self._faults = faults
        self._deliver = deliver

    def check_deadline(self, deadline: Any) -> None:
        """Refuse a request that its sender has given up; raises OkxError 50036."""
        if deadline in (None, ""):
            return
        moment = str(deadline)
        if not moment.isdecimal() or int(moment) < self._limits.now_ms():
            raise OkxError(
                "50036",
                "The expTime can't be earlier than the current system time. "
                "Please adjust the expTime and try again.",
            )

    def admit(
        self, action: str, account: Account, items: list[dict[str, Any]], targets: Sequence[Target]
    ) -> OrderRequest:
        """Count a request against its limits; raises OkxError, and then nothing was executed."""
        self._limits.take_orders(
            action, account.name, [one if isinstance(one, Instrument) else None for one in targets]
        )

        def run() -> list[dict[str, Any]]:
            return [
                self._execute(action, account, item, one)
                for item, one in zip(items, targets, strict=True)
            ]  # fmt: skip

        first = targets[0]
        product = first.market.spec.product if isinstance(first, Instrument) else "spot"
        return OrderRequest(
            run, self._faults[product], first.inst_id if isinstance(first, Instrument) else None
        )

    async def run(self, request: OrderRequest) -> list[dict[str, Any]]:
        """Execute a request as the armed faults want it; raises NoAnswer, OkxError."""
        take, symbol = request.faults.take, request.symbol
        if not request.faults.armed:
            return request.run()
        if take("drop_request", symbol) is not None:
            raise NoAnswer
        if (late := take("error_1007_not_accepted", symbol)) is not None:
            raise _timed_out(late)
        rows = request.run()
        if take("drop_answer_accepted", symbol) is not None:
            raise NoAnswer
        if (late := take("error_1007_accepted", symbol)) is not None:
            raise _timed_out(late)
        for name, default_ms in (("slow_answer_accepted", 5000), ("fill_before_ack", 50)):
            if (strike := take(name, symbol)) is not None:
                self._deliver()
                await asyncio.sleep(delay_s(strike, default_ms))
        return rows

    def _execute(self, action: str, account: Account, item: dict[str, Any], one: Target) -> dict[str, Any]:
        if action == "cancel" and isinstance(one, Instrument):
            self._race(account, item, one)
        run: Callable[[Account, Any, Instrument], dict[str, Any]] = getattr(self.trading, action)
        return self.trading.answer(run, account, item, one)

    def _race(self, account: Account, item: dict[str, Any], one: Instrument) -> None:
        """Fill an order just before its cancel, where that fault is armed."""
        faults = self._faults[one.market.spec.product]
        if not faults.lasts("cancel_race_fill", one.inst_id):
            return
        try:
            order = self.trading.find(account, item, one)
        except (OkxError, Refused):
            return
        if order.is_open and faults.take("cancel_race_fill", one.inst_id) is not None:
            self._exchange.fill_resting(order, order.leaves_lots)
