"""WebSocket sessions that stay up: connect, watch for silence, reconnect, close cleanly.

A session owns one logical connection. Each physical connection it makes has an epoch; what an older one
still delivers is dropped. Frames go to a ``FrameSink`` in C first and only then, if the sink passes them
on, to a Python handler. Handlers may raise: the message is set aside and counted, the link stays.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from picows import WSError, WSMsgType, ws_connect

from engine.model.errors import NotSent
from engine.model.ports import Clock, MessageHandler
from engine.model.wire import ConnectionRules
from engine.transport.listener import FrameListener
from engine.transport.reconnect import Backoff, ConnectionBudget

CONNECT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
OUTBOUND_BYTES_MAX = 1024 * 1024
STABLE_AFTER_S = 10.0
"""A connection that lived this long has proven itself: the next loss is retried at once."""

_QUIET = logging.getLogger("engine.transport.picows")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False
_QUIET.setLevel(logging.CRITICAL + 1)


class SessionUp(msgspec.Struct, frozen=True):
    """A connection is open."""

    session: str
    epoch: int


class SessionDown(msgspec.Struct, frozen=True):
    """A connection is gone, or could not be made; ``retry_ms`` is the pause before the next attempt."""

    session: str
    epoch: int
    reason: str
    retry_ms: int
    was_up: bool


class WebSocketSession:
    """One logical WebSocket connection.

    Args:
        name: secret-free, for logs and counters.
        url: called before every attempt; an address may hold a fresh token. It may raise NotSent or
            return None to say "not now" (counts as a failed attempt).
        rules: the venue's limits for this kind of connection.
        sink: takes messages in C first, or None.
        on_message: takes what the sink passed on.
        on_up, on_down: told of ``SessionUp`` and ``SessionDown``, synchronously.
        on_quarantine: told (payload, exception) when a handler raised.
        budget: connection attempts, shared per host.
        tls: context for ``wss``; its verification is never switched off here.
    """

    def __init__(
        self,
        *,
        name: str,
        url: Callable[[], str | None],
        rules: ConnectionRules,
        clock: Clock,
        backoff: Backoff,
        budget: ConnectionBudget,
        on_message: MessageHandler,
        on_up: Callable[[SessionUp], None],
        on_down: Callable[[SessionDown], None],
        on_quarantine: Callable[[bytes, Exception], None],
        sink: Any = None,
        tls: ssl.SSLContext | None = None,
        greeting: Callable[[], tuple[bytes, ...]] = tuple,
    ) -> None:
        self.name = name
        self.epoch = 0
        self._url = url
        self._rules = rules
        self._clock = clock
        self._backoff = backoff
        self._budget = budget
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._on_quarantine = on_quarantine
        self._sink = sink
        self._tls = tls
        self._greeting = greeting
        self._listener: Any = None
        self._is_open = False
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._pong_mono_ns = 0
        self._up_since_ns = 0
        self._next_send_ns = 0
        self._messages_before = 0
        self._bytes_before = 0
        self.reconnects = 0
        self.quarantined = 0

    # ------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Connect, and stay connected until :meth:`stop`."""
        assert self._task is None
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"session {self.name}")

    async def stop(self) -> None:
        """Close cleanly within about a second and do not reconnect."""
        self._is_stopping = True
        listener = self._listener
        if listener is not None and self._is_open:
            listener.close(1000, "stopping")
            try:
                await asyncio.wait_for(self._ended.wait(), CLOSE_TIMEOUT_S)
            except TimeoutError:
                listener.abort("close timed out")
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def drop(self, reason: str) -> None:
        """Cut the connection now; it is made again at once."""
        if self._listener is not None and self._is_open:
            self._backoff.reset()
            self._listener.abort(reason)

    @property
    def is_open(self) -> bool:
        """Tell whether the connection is open."""
        return self._is_open

    @property
    def messages(self) -> int:
        """Return how many messages have come since the start."""
        return self._messages_before + (self._listener.messages if self._listener is not None else 0)

    @property
    def bytes_received(self) -> int:
        """Return how many payload bytes have come since the start."""
        return self._bytes_before + (self._listener.bytes_received if self._listener is not None else 0)

    @property
    def last_mono_ns(self) -> int:
        """Return when anything was last received; 0 before the first connection."""
        return self._listener.last_mono_ns if self._listener is not None else 0

    async def _run(self) -> None:
        while not self._is_stopping:
            wait_ms = self._budget.wait_ms()
            while wait_ms:
                await asyncio.sleep(wait_ms / 1000)
                wait_ms = self._budget.wait_ms()
            self.epoch += 1
            self._ended.clear()
            reason = await self._connect()
            was_up = reason is None
            if was_up:
                reason = await self._watch()
            if self._should_stop():
                break
            if was_up and self._clock.mono_ns() - self._up_since_ns > STABLE_AFTER_S * 1e9:
                self._backoff.reset()
            retry_ms = self._backoff.next_ms()
            self.reconnects += 1
            self._on_down(SessionDown(self.name, self.epoch, reason or "", retry_ms, was_up))
            if retry_ms:
                await asyncio.sleep(retry_ms / 1000)

    def _should_stop(self) -> bool:
        return self._is_stopping

    async def _connect(self) -> str | None:
        """Open a connection; return None, or why it could not be opened."""
        try:
            url = self._url()
            if url is None:
                return "no address yet"
            secure = urlsplit(url).scheme == "wss"
            await asyncio.wait_for(
                ws_connect(
                    self._new_listener,
                    url,
                    ssl_context=self._tls if secure else None,
                    websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                    enable_auto_ping=False,
                    enable_auto_pong=False,
                    disconnect_on_exception=False,
                    max_frame_size=MESSAGE_BYTES_MAX,
                    max_redirects=0,
                    logger_name=_QUIET,
                ),
                CONNECT_TIMEOUT_S + 1.0,
            )
        except TimeoutError:
            return "connect timed out"
        except ssl.SSLCertVerificationError as error:
            return f"certificate refused: {error.verify_message}"
        except (OSError, WSError, NotSent, ValueError) as error:
            return f"cannot connect: {_brief(error)}"
        if not self._is_open:
            return "closed during the handshake"
        return None

    def _new_listener(self) -> Any:
        if self._listener is not None:
            self._messages_before += self._listener.messages
            self._bytes_before += self._listener.bytes_received
        self._listener = FrameListener(
            self._sink,
            self._on_message,
            self._quarantine,
            self._opened,
            self._closed,
            self._ponged,
            MESSAGE_BYTES_MAX,
        )
        return self._listener

    def _opened(self, listener: Any) -> None:
        if listener is not self._listener:
            return
        self._is_open = True
        self._up_since_ns = self._clock.mono_ns()
        self._pong_mono_ns = self._up_since_ns
        self._next_send_ns = 0
        raw = listener.transport.underlying_transport.get_extra_info("socket")
        if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A second guard against a peer that is gone: unacknowledged data ends the connection.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self._rules.heartbeat.silence_ms)
        self._on_up(SessionUp(self.name, self.epoch))

    def _closed(self, listener: Any) -> None:
        if listener is self._listener:
            self._is_open = False
            self._ended.set()

    def _ponged(self, mono_ns: int) -> None:
        self._pong_mono_ns = mono_ns

    def _quarantine(self, payload: bytes, error: Exception) -> None:
        self.quarantined += 1
        self._on_quarantine(payload, error)

    async def _watch(self) -> str:
        """Greet, then watch an open connection until it ends; return why it did."""
        greeter = asyncio.get_running_loop().create_task(self._greet(), name=f"greet {self.name}")
        heartbeat = self._rules.heartbeat
        ping_ns = heartbeat.ping_interval_ms * 1_000_000
        next_ping = self._clock.mono_ns() + ping_ns
        tick_s = max(0.05, min(1.0, heartbeat.silence_ms / 8000, heartbeat.pong_timeout_ms / 4000))
        awaiting_since = 0
        try:
            while True:
                try:
                    await asyncio.wait_for(self._ended.wait(), tick_s)
                except TimeoutError:
                    pass
                else:
                    return str(self._listener.close_reason)
                now = self._clock.mono_ns()
                if now - self._listener.last_mono_ns > heartbeat.silence_ms * 1_000_000:
                    self._listener.abort(f"silent for {heartbeat.silence_ms} ms")
                    continue
                if awaiting_since and self._pong_mono_ns >= awaiting_since:
                    awaiting_since = 0
                if awaiting_since and now - awaiting_since > heartbeat.pong_timeout_ms * 1_000_000:
                    self._listener.abort("no pong")
                    continue
                if ping_ns and now >= next_ping and self._is_open:
                    next_ping = now + ping_ns
                    awaiting_since = awaiting_since or now
                    self._listener.transport.send_ping(b"")
        finally:
            greeter.cancel()

    async def _greet(self) -> None:
        """Send what a fresh connection must hear, within the message budget."""
        epoch = self.epoch
        for message in self._greeting():
            wait = self.reserve_send()
            if wait:
                await asyncio.sleep(wait)
            if epoch != self.epoch or not self._is_open:
                return
            self._listener.transport.send(WSMsgType.TEXT, message)

    # ---------------------------------------------------------------------------------- sending

    def reserve_send(self) -> float:
        """Take the next place in the message budget; return how many seconds to wait for it."""
        now = self._clock.mono_ns()
        # One below the documented rate: pongs and the venue's own clock have a share in it.
        gap = 1_000_000_000 // max(1, self._rules.messages_per_s - 1)
        at = max(now, self._next_send_ns)
        self._next_send_ns = at + gap
        return (at - now) / 1e9

    def send(self, payload: bytes) -> None:
        """Write a text message now, without pacing (order entry is not paced by message count).

        Raises:
            NotSent: no connection, or the peer does not drain what was written before.
        """
        if not self._is_open:
            raise NotSent(f"{self.name}: not connected")
        transport = self._listener.transport
        if transport.underlying_transport.get_write_buffer_size() > OUTBOUND_BYTES_MAX:
            raise NotSent(f"{self.name}: {OUTBOUND_BYTES_MAX} bytes are waiting to leave already")
        transport.send(WSMsgType.TEXT, payload)


def _brief(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:160]
