"""Faults that concern connections, markets and the clock rather than one frame or one request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from engine.sim.bybit.hub import Hub, Session
from engine.sim.bybit.instruments import Instrument, Listing
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints, delay_s
from engine.sim.strikes import LastingFaults, strike_connections


class Strikes:
    """Asks on every tick which of these faults are due.

    Args:
        faults: fault hooks by category. sessions: every open connection.
        restart_books: begins an instrument's depth streams again; told whether ``u`` goes on (the fault's
            ``keeps_count``). restart_trading: forgets closed orders.
    """

    def __init__(
        self, exchange: Exchange, clock: SimClock, listing: Listing, hub: Hub,
        faults: Mapping[str, FaultPoints], sessions: Mapping[Session, None],
        restart_books: Callable[[Instrument, bool], None], restart_trading: Callable[[], None],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._hub = hub
        self._faults = faults
        self._sessions = sessions
        self._restart_books = restart_books
        self._restart_trading = restart_trading
        self._clocks = [ClockFault(points, clock) for points in faults.values()]
        self._lasting = LastingFaults(exchange, hub.silent)

    def tick(self) -> None:
        """Strike, and undo lasting faults that are over."""
        for clock in self._clocks:
            clock.tick()
        for category, faults in self._faults.items():
            if faults.armed:
                self._strike(category, faults)
            if faults.armed or self._lasting.in_force:
                for one in self._listing.of(category):
                    self._lasting.apply(one.market, (category, one.symbol), one.symbol, faults)

    def _strike(self, category: str, faults: FaultPoints) -> None:
        take = faults.take
        streams = [session for session in self._sessions if session.path in (category, "private")]
        served = [session for session in self._sessions if session.path in (category, "private", "trade")]
        strike_connections(faults, streams, served, "closed by fault")
        if take("revoke_session") is not None:
            for session in self._sessions:
                if session.account is not None:
                    session.outlet.close(1000, "")
        if (shutdown := take("server_shutdown")) is not None:
            self._shut_down(delay_s(shutdown, 3000))
        for one in self._listing.of(category):
            if (restart := take("restart_depth", one.symbol)) is not None:
                self._restart_books(one, bool(restart.get("keeps_count")))

    def _shut_down(self, after_s: float) -> None:
        """Restart the service: order requests are answered 10019, then every connection is closed."""
        sessions = list(self._sessions)
        for session in sessions:
            session.is_restarting = True
        self._restart_trading()

        def close() -> None:
            for session in sessions:
                session.outlet.close(1001, "")

        asyncio.get_running_loop().call_later(after_s, close)
