"""Faults that concern whole connections and whole markets, rather than one frame or one request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.market import Market
from engine.sim.sockets import Outlet

_STATUSES = (("symbol_halt", "HALTED"), ("symbol_cancel_only", "CANCEL_ONLY"))
Key = TypeVar("Key")


class Connected(Protocol):
    """A session, as far as faults concern it."""

    @property
    def outlet(self) -> Outlet:
        """Return the sending side of its connection."""
        ...


def strike_connections(
    faults: FaultPoints, streams: Iterable[Connected], everyone: Iterable[Connected], reason: str
) -> None:
    """Cut or close connections with streams, and silence those of everyone, where such a fault strikes.

    Args:
        reason: the text of the closing frame.
    """
    if faults.take("disconnect") is not None:
        for session in streams:
            session.outlet.abort()
    if (closing := faults.take("close")) is not None:
        for session in streams:
            session.outlet.close(int(closing.get("code", 1001)), reason)
    if faults.take("half_open") is not None:
        for session in everyone:
            session.outlet.mute()


class LastingFaults(Generic[Key]):
    """Halted markets and silent topics: begun, counted once, and taken back when the fault is over.

    Args:
        silent: what a hub tells nothing of, by whatever key it uses for a market.
    """

    def __init__(self, exchange: Exchange, silent: set[Key]) -> None:
        self._exchange = exchange
        self._silent = silent
        self._touched: set[Market] = set()

    @property
    def in_force(self) -> bool:
        """Tell whether any is in force, so that it may have to be taken back."""
        return bool(self._touched or self._silent)

    def apply(self, market: Market, key: Key, symbol: str, faults: FaultPoints) -> None:
        """Bring one market to what the armed faults want; ``symbol`` is its name on the fault board."""
        name, wanted = next((row for row in _STATUSES if faults.lasts(row[0], symbol)), ("", ""))
        is_touched = market in self._touched
        if wanted and not is_touched:
            self._touched.add(market)
            faults.note(name)
        elif is_touched and not wanted:
            self._touched.discard(market)
        if wanted or is_touched:
            self._exchange.set_status(market, wanted or "TRADING")
        if not faults.lasts("silent_topic", symbol):
            self._silent.discard(key)
        elif key not in self._silent:
            self._silent.add(key)
            faults.note("silent_topic")
