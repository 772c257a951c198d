"""One client's WebSocket connection, seen from the venue.

It sends prepared frames, counts what comes in, pings on schedule and ends at its age.

Frames are framed once (`text_frame`) and written to every subscriber's transport; a server's frames carry
no mask, so the same bytes serve all. Frames of one publishing round are joined into one write. A consumer
that does not read is cut when its write buffer passes `SocketRules.buffer_limit`, never buffered without end.

Source: Binance spot API docs, web-socket-streams "General WSS information"; USDⓈ-M docs, "Websocket Market
Streams".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class SocketRules:
    """The life of one kind of connection.

    Attributes:
        messages_per_s: incoming frames (text, ping, pong) allowed per second; more ends the connection.
            None: no limit.
        ping_interval_s: pause between the venue's pings.
        pong_deadline_s: a ping unanswered this long ends the connection.
        lifetime_s: age at which the venue ends the connection (24 h, scaled for tests).
        max_streams: most stream names of one connection.
        buffer_limit: unsent bytes at which a slow consumer is cut.
    """

    messages_per_s: int | None
    ping_interval_s: float
    pong_deadline_s: float
    lifetime_s: float
    max_streams: int = 1024
    buffer_limit: int = 16 * 1024 * 1024


def text_frame(payload: bytes) -> bytes:
    """Return one unmasked, final WebSocket text frame around ``payload`` (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class CountedConnection(ServerConnection):
    """A server connection that counts what comes in, control frames included."""

    messages_per_s: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._second = -1
        self._in_second = 0
        self.too_fast = False
        self.muted = False

    def send_data(self) -> None:
        """Write what the protocol wants sent, unless the connection is muted."""
        if self.muted:
            self.protocol.data_to_send()
        else:
            super().send_data()

    def end(self, code: int, reason: str) -> None:
        """Start the closing handshake without waiting; a client that does not answer it is cut."""
        if self.protocol.state is State.OPEN:
            self.protocol.send_close(code, reason)
            self.send_data()
            self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def process_event(self, event: Event) -> None:
        """Count a data or control frame before the library handles it."""
        if isinstance(event, Frame) and event.opcode is not Opcode.CLOSE:
            second = int(time.monotonic())
            if second != self._second:
                self._second = second
                self._in_second = 0
            self._in_second += 1
            limit = self.messages_per_s
            if limit is not None and self._in_second > limit and not self.too_fast:
                self.too_fast = True
                self.loop.call_soon(self.end, 1008, "Too many requests")
        super().process_event(event)


class Outlet:
    """The sending side of one connection.

    ``push`` collects a frame for the round, ``flush`` writes what was collected. ``muted`` connections
    stay open and send nothing more (the half-open fault).
    """

    __slots__ = ("_flushes", "_pending", "address", "buffer_limit", "connection", "muted")

    def __init__(self, connection: ServerConnection, buffer_limit: int, flushes: dict[Outlet, None]) -> None:
        assert isinstance(connection, CountedConnection), "serve() needs the keyword arguments of this wire"
        self.connection = connection
        self.buffer_limit = buffer_limit
        self.muted = False
        peer = connection.remote_address
        self.address = str(peer[0]) if peer else "127.0.0.1"
        self._pending: list[bytes] = []
        self._flushes = flushes

    def push(self, frame: bytes) -> None:
        """Collect one prepared frame for the next flush."""
        if not self._pending:
            self._flushes[self] = None
        self._pending.append(frame)

    def send(self, frame: bytes) -> None:
        """Write a prepared frame now, behind what was collected before."""
        self._pending.append(frame)
        self.flush()

    def flush(self) -> None:
        """Write the collected frames in one call; cut the connection if it does not read."""
        pending = self._pending
        if not pending:
            return
        connection = self.connection
        if not self.muted and connection.protocol.state is State.OPEN:
            transport = connection.transport
            transport.write(pending[0] if len(pending) == 1 else b"".join(pending))
            if transport.get_write_buffer_size() > self.buffer_limit:
                transport.abort()
        pending.clear()

    def mute(self) -> None:
        """Send nothing any more, pongs included, and keep the socket open (the half-open fault)."""
        self.muted = True
        self.connection.muted = True

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake without waiting for it."""
        self.connection.end(code, reason)

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        self.connection.transport.abort()


class Flushes:
    """The outlets with unsent frames of the running round."""

    __slots__ = ("_outlets",)

    def __init__(self) -> None:
        self._outlets: dict[Outlet, None] = {}

    def outlet(self, connection: ServerConnection, buffer_limit: int) -> Outlet:
        """Return a new outlet of this round-keeper."""
        return Outlet(connection, buffer_limit, self._outlets)

    def flush(self) -> None:
        """Write every outlet's collected frames."""
        if self._outlets:
            outlets = list(self._outlets)
            self._outlets.clear()
            for outlet in outlets:
                outlet.flush()


async def live(outlet: Outlet, rules: SocketRules, before_end: Callable[[], None]) -> None:
    """Ping the client on schedule and end the connection at its deadline or its age.

    Args:
        outlet: the connection.
        rules: its intervals, seconds.
        before_end: called once just before the connection is ended for its age (spot announces the shutdown).
    """
    connection = outlet.connection
    born = time.monotonic()
    waiting: dict[Any, float] = {}
    next_ping = born + rules.ping_interval_s
    while True:
        now = time.monotonic()
        for waiter in [waiter for waiter in waiting if waiter.done()]:
            del waiting[waiter]
        oldest = min(waiting.values(), default=now)
        if now - born >= rules.lifetime_s:
            before_end()
            outlet.close(1001, "Session expired")
            return
        if waiting and now - oldest >= rules.pong_deadline_s:
            outlet.close(1008, "Pong timeout")
            return
        if now >= next_ping:
            next_ping = now + rules.ping_interval_s
            if not outlet.muted:
                try:
                    waiting[await connection.ping(str(time.time_ns() // 1_000_000))] = now
                except ConnectionClosed:
                    return
        wake = min(next_ping, born + rules.lifetime_s)
        if waiting:
            wake = min(wake, min(waiting.values()) + rules.pong_deadline_s)
        await asyncio.sleep(max(0.001, wake - now))
