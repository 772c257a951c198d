"""Faults that concern whole connections and markets rather than one frame or one request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints, delay_s
from engine.sim.okx.hub import Hub, Session
from engine.sim.okx.instruments import Listing
from engine.sim.strikes import LastingFaults, strike_connections

NOTICE = "The connection will soon be closed for a service upgrade. Please reconnect."


class Strikes:
    """Applies the venue's connection, market and clock faults, asked on every tick.

    Args:
        faults: fault hooks by product. whole_venue: those of what both products share: the clock.
        sessions: every open connection.
    """

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        hub: Hub,
        faults: Mapping[str, FaultPoints],
        whole_venue: FaultPoints,
        clock: SimClock,
        sessions: Iterable[Session],
    ) -> None:
        self._exchange = exchange
        self._listing = listing
        self._hub = hub
        self._faults = faults
        self._sessions = sessions
        self._clock_fault = ClockFault(whole_venue, clock)
        self._lasting = LastingFaults(exchange, hub.silent)

    def tick(self) -> None:
        """Strike, and undo lasting faults that are over."""
        self._clock_fault.tick()
        armed = False
        for faults in self._faults.values():
            if faults.armed:
                armed = True
                self._strike(faults)
        if armed or self._lasting.in_force:
            for one in self._listing.all:
                faults = self._faults[one.market.spec.product]
                self._lasting.apply(one.market, one.inst_id, one.inst_id, faults)

    def _strike(self, faults: FaultPoints) -> None:
        take, sessions = faults.take, list(self._sessions)
        public = [session for session in sessions if session.url != "private"]
        strike_connections(faults, public, sessions, "closed by fault")
        if take("revoke_session") is not None:
            for session in sessions:
                if session.account is not None:
                    session.outlet.close(4007, "API key has been modified or deleted.")
        if (shutdown := take("server_shutdown")) is not None:
            self._shut_down(sessions, delay_s(shutdown, 3000))

    def _shut_down(self, sessions: list[Session], delay: float) -> None:
        for session in sessions:
            session.event("notice", "", code="64008", msg=NOTICE)

        def close() -> None:
            for session in sessions:
                session.outlet.close(1001, "service upgrade")

        asyncio.get_running_loop().call_later(delay, close)
