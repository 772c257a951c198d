"""The last step of private events: sent as they are, or as the armed faults want them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from engine.sim.faultpoints import FaultPoints, delay_s

Event = TypeVar("Event")


class PrivatePost(Generic[Event]):
    """Sends events one by one: lost, late, doubled or behind their successor where a fault strikes.

    Args:
        send: writes one event to whoever listens. wake: asks for a round, after an event that came late.
    """

    def __init__(self, send: Callable[[Event], None], wake: Callable[[], None]) -> None:
        self._send = send
        self._wake = wake
        self._held: Event | None = None

    @property
    def holds(self) -> bool:
        """Tell whether an event waits for the one that it is to follow."""
        return self._held is not None

    def deliver(self, event: Event, faults: FaultPoints) -> None:
        """Send an event, through the faults of the product that it is about."""
        if not faults.armed and self._held is None:
            self._send(event)
            return
        take = faults.take
        if take("drop_private") is not None:
            return
        if (late := take("events_after_ack")) is not None:
            asyncio.get_running_loop().call_later(delay_s(late, 200), self._send_later, event)
            return
        if self._held is None and take("reorder_private") is not None:
            self._held = event
            return
        self._send(event)
        if take("duplicate_private") is not None:
            self._send(event)
        if self._held is not None:
            held, self._held = self._held, None
            self._send(held)

    def _send_later(self, event: Event) -> None:
        self._send(event)
        self._wake()
