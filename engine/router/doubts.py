"""Whom to ask for, and when: orders whose state or terms are not proven, with growing pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from engine.model.orders import OrderState
from engine.model.ports import Clock
from engine.router.order import Order
from engine.telemetry import events
from engine.telemetry.log import EventLog

QUERY_PAUSES_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
TICK_S = 0.02


class Doubts:
    """The orders of one venue product that are asked for until they are proven.

    Args:
        ask: sends the query for one order; an exception costs that one attempt.
    """

    def __init__(self, venue: str, clock: Clock, log: EventLog, ask: Callable[[str], None]) -> None:
        self._venue = venue
        self._clock = clock
        self._log = log
        self._ask = ask
        # Client id -> (attempt, next query mono_ns); attempt -1 waits for a report before anybody asks.
        self._due: dict[str, tuple[int, int]] = {}

    def __contains__(self, client_order_id: object) -> bool:
        return client_order_id in self._due

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._due))

    def soon(self, order: Order) -> None:
        """Ask for an order from now on, if it is not final."""
        if not order.state.is_final:
            self._due.setdefault(order.client_order_id, (0, self._clock.mono_ns()))

    def unless_reported(self, order: Order, within_ns: int) -> None:
        """Ask for an order from then on, if no report has settled it."""
        self._due.setdefault(order.client_order_id, (-1, self._clock.mono_ns() + within_ns))

    def drop(self, client_order_id: str) -> None:
        """Stop asking."""
        self._due.pop(client_order_id, None)

    def settle(self, order: Order) -> None:
        """Stop asking for an order of which something new is known.

        Not where that tells nothing of the cancel or amend that is asked for (a fill does not).
        """
        if order.state is OrderState.PENDING_CANCEL or order.is_amend_unproven:
            return
        attempt, _ = self._due.pop(order.client_order_id)
        if attempt < 0:
            return  # the report came before anybody had to ask
        self._log.emit(
            events.ORDER_RESOLVED,
            venue=self._venue,
            instrument=order.universal,
            client_order_id=order.client_order_id,
            state=order.state.value,
        )

    async def run(self, failed: Callable[[], None]) -> None:
        """Ask when it is due, for ever; ``failed`` is told of each attempt that could not be made."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._clock.mono_ns()
            for client_order_id, (attempt, due) in list(self._due.items()):
                if now < due:
                    continue
                attempt = max(attempt, 0)
                pause = QUERY_PAUSES_S[min(attempt, len(QUERY_PAUSES_S) - 1)]
                self._due[client_order_id] = (attempt + 1, now + int(pause * 1e9))
                try:
                    self._ask(client_order_id)
                except Exception as error:  # the others in doubt must be asked for all the same
                    failed()
                    self._log.emit(
                        events.TASK_FAILED,
                        task=f"query of {client_order_id}",
                        error=repr(error)[:200],
                        retry_s=pause,
                    )
