"""Faults that concern whole connections and markets rather than one frame or one request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints, delay_s
from engine.sim.okx.hub import Hub, Session
from engine.sim.okx.instruments import Instrument, Listing

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
        self._touched: set[Instrument] = set()

    def tick(self) -> None:
        """Strike, and undo lasting faults that are over."""
        self._clock_fault.tick()
        armed = False
        for faults in self._faults.values():
            if faults.armed:
                armed = True
                self._strike(faults)
        if armed or self._touched or self._hub.silent:
            for one in self._listing.all:
                self._last(one, self._faults[one.market.spec.product])

    def _strike(self, faults: FaultPoints) -> None:
        take, sessions = faults.take, list(self._sessions)
        public = [session for session in sessions if session.url != "private"]
        if take("disconnect") is not None:
            for session in public:
                session.outlet.abort()
        if (closing := take("close")) is not None:
            for session in public:
                session.outlet.close(int(closing.get("code", 1001)), "closed by fault")
        if take("half_open") is not None:
            for session in sessions:
                session.outlet.mute()
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

    def _last(self, one: Instrument, faults: FaultPoints) -> None:
        wanted = None
        for name, status in (("symbol_halt", "HALTED"), ("symbol_cancel_only", "CANCEL_ONLY")):
            if faults.lasts(name, one.inst_id):
                wanted = status
                if one not in self._touched:
                    faults.note(name)
                break
        if wanted is not None or one in self._touched:
            (self._touched.add if wanted else self._touched.discard)(one)
            self._exchange.set_status(one.market, wanted or "TRADING")
        silent = faults.lasts("silent_topic", one.inst_id)
        if silent != (one.inst_id in self._hub.silent):
            (self._hub.silent.add if silent else self._hub.silent.discard)(one.inst_id)
            if silent:
                faults.note("silent_topic")
