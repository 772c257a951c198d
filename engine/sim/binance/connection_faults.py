"""Faults that concern whole connections, markets and the clock rather than one frame or one request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.sim.binance.topics import Hub, Subscriber
from engine.sim.binance.ws_api import ApiSession, WsApi
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.sockets import Outlet


class Announcer(Protocol):
    """Tells a stream connection that its end is near."""

    def announce_end(self, subscriber: Subscriber) -> None:
        """Send the product's notice, if it has one."""
        ...


class ConnectionFaults:
    """Applies one product's connection faults, asked on every tick.

    Args:
        product: ``spot`` or ``perp``.
        exchange: whose markets may be halted.
        faults: the product's fault hooks.
        hub: its stream connections.
        streams, api: its servers.
        expire_keys: ends every listen key (futures).
        call_later: schedules a callback after seconds.
    """

    def __init__(
        self,
        product: str,
        exchange: Exchange,
        faults: FaultPoints,
        hub: Hub,
        streams: Announcer,
        api: WsApi,
        expire_keys: Callable[[], None],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._markets = [market for (kind, _), market in exchange.markets.items() if kind == product]
        self._exchange = exchange
        self._faults = faults
        self._hub = hub
        self._streams = streams
        self._api = api
        self._expire_keys = expire_keys
        self._call_later = call_later
        self._touched: set[str] = set()
        self._silenced: set[str] = set()

    def tick(self) -> None:
        """Strike, and undo lasting faults that are over."""
        if self._faults.armed:
            self._strike()
        if self._faults.armed or self._touched:
            self._statuses()
        if self._faults.armed or self._silenced:
            self._silences()

    def _strike(self) -> None:
        take = self._faults.take
        if take("disconnect") is not None:
            for outlet in self._stream_outlets():
                outlet.abort()
        closing = take("close")
        if closing is not None:
            for outlet in self._stream_outlets():
                outlet.close(int(closing.get("code", 1001)), "closed by fault")
        if take("half_open") is not None:
            for outlet in (*self._stream_outlets(), *(session.outlet for session in self._api.sessions)):
                outlet.mute()
        if take("revoke_session") is not None:
            for session in list(self._api.sessions):
                self._api.revoke(session)
        if take("listenkey_expire") is not None:
            self._expire_keys()
        shutdown = take("server_shutdown")
        if shutdown is not None:
            self._shut_down(delay_s(shutdown, 3000))

    def _shut_down(self, delay: float) -> None:
        subscribers: list[Subscriber] = list(self._hub.subscribers)
        sessions: list[ApiSession] = list(self._api.sessions)
        for subscriber in subscribers:
            self._streams.announce_end(subscriber)
        for session in sessions:
            self._api.announce_end(session)
        outlets = [subscriber.outlet for subscriber in subscribers] + [session.outlet for session in sessions]

        def close() -> None:
            for outlet in outlets:
                outlet.close(1001, "server shutdown")

        self._call_later(delay, close)

    def _stream_outlets(self) -> list[Outlet]:
        return [subscriber.outlet for subscriber in self._hub.subscribers]

    def _statuses(self) -> None:
        for market in self._markets:
            symbol = market.spec.symbol
            wanted = None
            for name, status in (("symbol_halt", "HALTED"), ("symbol_cancel_only", "CANCEL_ONLY")):
                if self._faults.lasts(name, symbol):
                    wanted = status
                    if symbol not in self._touched:
                        self._faults.note(name)
                    break
            if wanted is not None:
                self._touched.add(symbol)
                self._exchange.set_status(market, wanted)
            elif symbol in self._touched:
                self._touched.discard(symbol)
                self._exchange.set_status(market, "TRADING")

    def _silences(self) -> None:
        for market in self._markets:
            symbol = market.spec.symbol
            silent = self._faults.lasts("silent_topic", symbol)
            if silent != (symbol in self._silenced):
                self._hub.silence(symbol.lower(), silent)
                (self._silenced.add if silent else self._silenced.discard)(symbol)
                if silent:
                    self._faults.note("silent_topic")
