"""WebSocket sessions that stay up: connect, watch for silence, reconnect, replace in time, close cleanly.

A session owns one logical connection. Each physical connection it makes has an epoch; what an older one
still delivers is dropped. Frames go to a ``FrameSink`` in C first and only then, if the sink passes them
on, to a Python handler. Handlers may raise: the message is set aside and counted, the link stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from picows import WSHandshakeError, WSMsgType, ws_connect

from engine.model.errors import NotSent
from engine.model.ports import Clock, MessageHandler
from engine.model.wire import ConnectionRules
from engine.transport.dial import Dialer
from engine.transport.listener import FrameListener
from engine.transport.reconnect import Backoff, ConnectionBudget

DIAL_TIMEOUT_S = 3.0
OPEN_TIMEOUT_S = 5.0
"""From the first SYN to the upgraded connection, TLS included."""
CLOSE_TIMEOUT_S = 1.0
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
OUTBOUND_BYTES_MAX = 1024 * 1024
STABLE_AFTER_S = 10.0
"""A connection that lived this long has proven itself: the next loss is retried at once."""
REFUSED_PAUSE_S = 5
"""Pause after an upgrade refused for rate or ban that does not say how long."""
REFUSED_PAUSE_S_MAX = 3 * 24 * 3600
ROTATE_RETRY_S = 60.0


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


class _Ears:
    """Stands where picows expects a logger: the one place where it says why it fails a connection."""

    def __init__(self) -> None:
        self.listener: Any = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the logger's own name for it
        return False

    def debug(self, message: str, *args: object) -> None: ...

    info = warning = debug

    def error(self, message: str, *args: object) -> None:
        """Take the code and the reason of a broken rule: the arguments of picows' WSProtocolError."""
        if self.listener is not None and args and isinstance(args[0], tuple) and len(args[0]) == 2:
            code, reason = args[0]
            self.listener.violated(int(code), str(reason))

    def exception(self, message: str, *args: object) -> None:
        """Escalate what the listener itself should have caught."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": message % args if args else message, "exception": sys.exc_info()[1]}
        )


class WebSocketSession:
    """One logical WebSocket connection.

    Args:
        name: secret-free, for logs and counters.
        url: called before every attempt; an address may hold a fresh token, and may have to be asked for:
            then an awaitable comes back. It may raise, or give None to say "not now"; either counts as a
            failed attempt.
        rules: the venue's limits for this kind of connection. Shortly before ``lifetime_s`` the connection
            is replaced, see :meth:`rotate`.
        clock: its ``mono_ns`` must be CLOCK_MONOTONIC, by which frames are stamped.
        sink: takes messages in C first, or None.
        on_message: takes what the sink passed on.
        on_up, on_down: told of ``SessionUp`` and ``SessionDown``, synchronously, ``on_down`` in the very
            loop tick in which the connection was lost. No SessionDown follows :meth:`stop`.
        on_quarantine: told (payload, exception) when a handler raised; the payload is empty when it was
            ``on_up``, ``on_down`` or ``greeting``.
        budget: connection attempts, shared per host.
        tls: context for ``wss``; its verification is never switched off here.
        greeting: the messages that a fresh connection must hear, sent within the message budget.
        greets_late: the venue speaks first; whoever decodes its words calls :meth:`greet`.
        may_rotate: asked before a planned replacement, e.g. "is nothing in flight?".
        dialer: opens the sockets; shared, it shares what it learnt of addresses.
    """

    def __init__(
        self,
        *,
        name: str,
        url: Callable[[], str | Awaitable[str | None] | None],
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
        greets_late: bool = False,
        may_rotate: Callable[[], bool] = lambda: True,
        dialer: Dialer | None = None,
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
        self._greets_late = greets_late
        self.heartbeat = rules.heartbeat
        """The liveness rule of the next connection: a venue may dictate it with the address."""
        self._may_rotate = may_rotate
        self._dialer = dialer or Dialer()
        self._listener: Any = None
        self._successor: Any = None
        self._replaced: Any = None
        self._last_opened: Any = None
        self._is_open = False
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._greeter: asyncio.Task[None] | None = None
        self._rotation: asyncio.Task[bool] | None = None
        self._is_stopping = False
        self._rotate_reason = ""
        self._rotate_at_ns = 0
        self._retry_ms = 0
        self._refused_until_ns = 0
        self._pong_mono_ns = 0
        self._pinged_mono_ns = 0
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
        self._task.add_done_callback(self._escalate)

    async def stop(self) -> None:
        """Close cleanly within about a second and do not reconnect."""
        self._is_stopping = True
        if self._is_open:
            self._listener.close(1000, "stopping")
            if not await self._ends_within(CLOSE_TIMEOUT_S):
                self._listener.abort("close timed out")
                await self._ends_within(CLOSE_TIMEOUT_S)
        if self._replaced is not None:
            self._replaced.abort("stopping")
        tasks = [task for task in (self._task, self._greeter, self._rotation) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = self._greeter = self._rotation = None

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def drop(self, reason: str) -> None:
        """Cut the connection now, deliver nothing more of it, and make it again at once."""
        if self._is_open:
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

    def take_ping(self) -> int:
        """Return when the oldest unanswered text ping left, 0 if there is none; its answer is here.

        An answer that never came makes the next one's round trip longer, never shorter.
        """
        pinged, self._pinged_mono_ns = self._pinged_mono_ns, 0
        return pinged

    @property
    def last_mono_ns(self) -> int:
        """Return when anything was last received; 0 before the first connection."""
        return self._listener.last_mono_ns if self._listener is not None else 0

    async def _run(self) -> None:
        while not self._is_stopping:
            while wait_ms := self._budget.wait_ms():
                await asyncio.sleep(wait_ms / 1000)
            self.epoch += 1
            self._ended.clear()
            failure = await self._connect(self._first_listener)
            if failure is None:
                await self._watch()
            elif not self._should_stop():
                self._report_down(failure, was_up=False)
            if self._retry_ms and not self._should_stop():
                await asyncio.sleep(self._retry_ms / 1000)

    def _should_stop(self) -> bool:
        return self._is_stopping

    def _escalate(self, task: asyncio.Task[None]) -> None:
        """Nothing may end silently."""
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": f"{task.get_name()} has ended", "exception": error, "task": task}
            )

    # ---------------------------------------------------------------------------------- opening

    async def _connect(self, new_listener: Callable[[_Ears], Any]) -> str | None:
        """Open a connection; return None, or why it could not be opened."""
        ears = _Ears()
        sockets: list[socket.socket] = []
        try:
            url = await self._address()
            if url is None:
                return "no address yet"
            await asyncio.wait_for(self._upgrade(url, new_listener, ears, sockets), OPEN_TIMEOUT_S)
        except TimeoutError:
            return "connect timed out"
        except ssl.SSLCertVerificationError as error:
            return f"certificate refused: {error.verify_message}"
        except WSHandshakeError as error:
            return self._refused(error)
        except Exception as error:  # an attempt's edge: whatever it was, the next attempt is later
            return f"cannot connect: {_brief(error)}"
        finally:
            if not self._has_opened(ears.listener):
                for each in sockets:  # picows leaves a connection behind whose handshake is given up
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
        return None if self._has_opened(ears.listener) else "closed during the handshake"

    async def _address(self) -> str | None:
        url = self._url()
        if url is None or isinstance(url, str):
            return url
        return await asyncio.wait_for(url, OPEN_TIMEOUT_S)

    def _has_opened(self, listener: Any) -> bool:
        return listener is not None and listener is self._last_opened

    async def _upgrade(
        self, url: str, new_listener: Callable[[_Ears], Any], ears: _Ears, sockets: list[socket.socket]
    ) -> None:
        async def dial(target: Any) -> socket.socket:
            # Not wait_for: until Python 3.12 it loses the socket when it is cancelled in that very moment.
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                sockets.append(await self._dialer.connect(target.host, target.port))
            return sockets[-1]

        await ws_connect(
            lambda request, response: new_listener(ears),
            url,
            ssl_context=self._tls if urlsplit(url).scheme == "wss" else None,
            websocket_handshake_timeout=OPEN_TIMEOUT_S,
            enable_auto_ping=False,
            enable_auto_pong=False,
            disconnect_on_exception=False,
            max_frame_size=MESSAGE_BYTES_MAX,
            max_redirects=0,
            logger_name=ears,  # type: ignore[arg-type]  # anything with a logger's methods will do
            socket_factory=dial,
        )

    def _refused(self, error: WSHandshakeError) -> str:
        """Return why the upgrade was refused, and note for how long the venue wants to be left alone."""
        if error.response is None:
            return f"cannot connect: {_brief(error)}"
        status = int(error.response.status)
        if status in (403, 418, 429, 503):
            text = error.response.headers.get("Retry-After", "")
            wait_s = 0 if status == 503 else REFUSED_PAUSE_S
            if text.isdecimal():
                wait_s = int(text[:9])
            wait_ms = min(wait_s, REFUSED_PAUSE_S_MAX) * 1000
            self._refused_until_ns = self._clock.mono_ns() + wait_ms * 1_000_000
            if status != 503:
                self._budget.hold(wait_ms)  # meant for this address, not for this session alone
        return f"upgrade refused: HTTP {status}"

    def _new_listener(self, ears: _Ears) -> Any:
        ears.listener = FrameListener(
            self._sink,
            self._on_message,
            self._quarantine,
            self._opened,
            self._closed,
            self._ponged,
            MESSAGE_BYTES_MAX,
            self._rules.inflated_bytes_max,
        )
        return ears.listener

    def _first_listener(self, ears: _Ears) -> Any:
        self._take_over(self._new_listener(ears))
        return self._listener

    def _next_listener(self, ears: _Ears) -> Any:
        self._successor = self._new_listener(ears)
        return self._successor

    def _take_over(self, listener: Any) -> None:
        if self._listener is not None:
            self._messages_before += self._listener.messages
            self._bytes_before += self._listener.bytes_received
        self._listener = listener

    # ----------------------------------------------------------------------- what listeners report

    def _opened(self, listener: Any) -> None:
        if listener is self._successor and self._is_open and not self._is_stopping:
            self._succeed()
        elif listener is not self._listener or self._is_stopping:
            # A replacement for a connection that was lost meanwhile, or one that nobody waits for.
            listener.abort("not wanted any more")
            return
        self._last_opened = listener
        self._is_open = True
        now = self._clock.mono_ns()
        self._up_since_ns = self._pong_mono_ns = now
        self._pinged_mono_ns = 0
        self._next_send_ns = 0
        self._rotate_at_ns = now + self._lifetime_ns() if self._rules.lifetime_s else 0
        raw = listener.transport.underlying_transport.get_extra_info("socket")
        if raw is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A second guard against a peer that is gone: unacknowledged data ends the connection.
            with contextlib.suppress(OSError):  # gone again already
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.heartbeat.silence_ms)
        try:
            self._on_up(SessionUp(self.name, self.epoch))
        except Exception as error:  # the handler's edge: what hangs on this connection is not set up
            self._quarantine(b"", error)
            listener.abort(f"on_up failed: {_brief(error)}")
            return
        if self._greeter is not None:
            self._greeter.cancel()
        if not self._greets_late:
            self.greet()

    def greet(self) -> None:
        """Say the greeting on the open connection; the session does it by itself unless it greets late."""
        if self._is_open:
            self._greeter = asyncio.get_running_loop().create_task(
                self._greet(self._listener), name=f"greet {self.name}"
            )

    def _closed(self, listener: Any) -> None:
        if listener is not self._listener or not self._is_open:
            return
        self._is_open = False
        if not self._is_stopping:
            self._report_down(str(listener.close_reason), was_up=True)
        self._ended.set()

    def _report_down(self, reason: str, was_up: bool) -> None:
        if was_up and self._clock.mono_ns() - self._up_since_ns > STABLE_AFTER_S * 1e9:
            self._backoff.reset()
        refused_ms = -(-(self._refused_until_ns - self._clock.mono_ns()) // 1_000_000)
        self._retry_ms = max(self._backoff.next_ms(), refused_ms)
        self.reconnects += 1
        self._tell_down(SessionDown(self.name, self.epoch, reason, self._retry_ms, was_up))

    def _tell_down(self, event: SessionDown) -> None:
        try:
            self._on_down(event)
        except Exception as error:  # the handler's edge: the session must go on
            self._quarantine(b"", error)

    def _ponged(self, mono_ns: int) -> None:
        self._pong_mono_ns = mono_ns

    def _quarantine(self, payload: bytes, error: Exception) -> None:
        self.quarantined += 1
        self._on_quarantine(payload, error)

    # ---------------------------------------------------------------------------------- watching

    async def _watch(self) -> None:
        """Watch an open connection, and those that replace it, until one ends."""
        heartbeat = self.heartbeat
        ping_ns = heartbeat.ping_interval_ms * 1_000_000
        next_ping = self._clock.mono_ns() + ping_ns
        tick_s = max(0.05, min(1.0, heartbeat.silence_ms / 8000, heartbeat.pong_timeout_ms / 4000))
        awaiting_since = closing_since = 0
        while not await self._ends_within(tick_s):
            now = self._clock.mono_ns()
            if self._listener.is_closing:
                # Deaf already; a peer that does not read what is left to write must not delay the end.
                closing_since = closing_since or now
                if now - closing_since > CLOSE_TIMEOUT_S * 1e9:
                    self._listener.abort("close timed out")
                continue
            closing_since = 0
            if now - self._listener.last_mono_ns > heartbeat.silence_ms * 1_000_000:
                self._listener.abort(f"silent for {heartbeat.silence_ms} ms")
                continue
            heard_ns = self._listener.last_mono_ns if heartbeat.ping_text else self._pong_mono_ns
            if awaiting_since and heard_ns >= awaiting_since:
                awaiting_since = 0
            if awaiting_since and now - awaiting_since > heartbeat.pong_timeout_ms * 1_000_000:
                self._listener.abort("no pong")
                continue
            if ping_ns and now >= next_ping and self._is_open:
                next_ping = now + ping_ns
                awaiting_since = awaiting_since or now
                if heartbeat.ping_text:
                    self._pinged_mono_ns = self._pinged_mono_ns or self._clock.mono_ns()
                    self._listener.transport.send(WSMsgType.TEXT, heartbeat.ping_text)
                else:
                    self._listener.transport.send_ping(b"")
            if self._rotate_at_ns and now >= self._rotate_at_ns and self._may_rotate():
                self._rotate_at_ns = now + int(ROTATE_RETRY_S * 1e9)
                self._rotation = asyncio.get_running_loop().create_task(self.rotate("near its lifetime"))
        with contextlib.suppress(Exception):  # told already, as the reason; asked for, lest it be logged
            await self._listener.transport.wait_disconnected()

    def _lifetime_ns(self) -> int:
        """Return the age at which to replace a connection, spread by name so that not all go at once."""
        share = 0.85 + 0.1 * (zlib.crc32(self.name.encode()) % 1000) / 1000
        return int(self._rules.lifetime_s * share * 1e9)

    async def rotate(self, reason: str) -> bool:
        """Replace the connection; the old one serves until the new one is open, then is closed cleanly.

        ``on_down`` (with no pause) and ``on_up`` are told in one go at the moment of the change. Return
        False, leaving everything as it is, when no replacement could be opened.
        """
        if not self._is_open or self._successor is not None or self._is_stopping:
            return False
        if self._clock.mono_ns() < self._refused_until_ns or self._budget.wait_ms():
            return False
        self._rotate_reason = reason
        epoch = self.epoch
        try:
            await self._connect(self._next_listener)
        finally:
            self._successor = None
        return self.epoch > epoch

    def _succeed(self) -> None:
        """Put the replacement, which is open, in the place of the connection that still serves."""
        self._replaced, epoch = self._listener, self.epoch
        self._take_over(self._successor)
        self._successor = None
        self.epoch += 1
        self._replaced.close(1000, "replaced")
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._replaced.abort, "replaced")
        self._tell_down(SessionDown(self.name, epoch, f"replaced: {self._rotate_reason}", 0, True))

    async def _greet(self, listener: Any) -> None:
        """Send what a fresh connection must hear, within the message budget."""
        try:
            for message in self._greeting():
                if wait := self.reserve_send():
                    await asyncio.sleep(wait)
                if listener is not self._listener or not self._is_open:
                    return
                self.send(message)
        except Exception as error:  # a task's edge: half a greeting is none
            self._quarantine(b"", error)
            listener.abort(f"greeting failed: {_brief(error)}")

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
            NotSent: no connection, or it is closing, or the peer does not drain what was written before.
        """
        if not self._is_open:
            raise NotSent(f"{self.name}: not connected")
        listener = self._listener
        transport = listener.transport
        if listener.is_closing or transport.is_close_frame_sent or transport.is_disconnected:
            raise NotSent(f"{self.name}: the connection is closing")
        if transport.underlying_transport.get_write_buffer_size() > OUTBOUND_BYTES_MAX:
            raise NotSent(f"{self.name}: {OUTBOUND_BYTES_MAX} bytes are waiting to leave already")
        transport.send(WSMsgType.TEXT, payload)


def _brief(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:160]
