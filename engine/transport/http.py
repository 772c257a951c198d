"""Keep-alive HTTP/1.1 sessions: warm connections, one request at a time on each, honest outcomes.

Own code because it is the order path: a ready client costs five to fifty times the round trip of this one
on loopback. Small on purpose: no redirects, no cookies, no pipelining, no compression (never asked for,
refused if sent). What it must be right about is what a failure means: ``NotSent`` if no byte left,
``Unanswered`` if any may have.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiofastnet
import msgspec

from engine.model.errors import NotSent, ProtocolViolation, Unanswered, UsageError
from engine.model.ports import Clock
from engine.model.wire import HttpRequest
from engine.transport.answer import AnswerReader
from engine.transport.dial import Dialer
from engine.transport.encoding import RequestEncoder
from engine.transport.framing import BODY_BYTES_MAX, frame_body, status_of

HEAD_BYTES_MAX = 64 * 1024
INTERIM_MAX = 16
"""Interim (1xx) answers before the real one."""
BUFFER_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 5.0
"""From the first SYN to the connection that can take a request, TLS included."""
LATE_S = 30.0
"""How long an answer is still listened for after its deadline."""
SWEEP_S = 0.005
"""How often deadlines are looked at; a request may be reported this much late."""
IDLE_S_MAX = 55.0
"""An idle connection older than this is replaced before use: venues close theirs after about a minute."""


class HttpResponse(msgspec.Struct, gc=False):
    """One answer.

    Attributes:
        status: HTTP status. head: start line and headers. body: whole body.
        written_mono_ns: when the request was handed to the socket.
        first_mono_ns, done_mono_ns: when its first byte and its last byte had come.
    """

    status: int
    head: bytes
    body: bytes
    written_mono_ns: int
    first_mono_ns: int
    done_mono_ns: int

    @property
    def headers(self) -> dict[str, str]:
        """Parse and return the headers, names in lower case; repeated ones are joined."""
        headers: dict[str, str] = {}
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                key, text = name.strip().lower(), value.strip()
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return headers


Done = Callable[[HttpResponse | Exception], None]
"""Told the response, or ``NotSent`` / ``Unanswered`` / ``ProtocolViolation``."""


class _Connection(AnswerReader, asyncio.BufferedProtocol):
    """One connection and the request that is on it."""

    def __init__(self, pool: HttpPool) -> None:
        super().__init__(BUFFER_BYTES)
        self._pool = pool
        self._clock = pool.clock
        self._head: bytes | None = None
        self._status = 0
        self._body_at = 0
        self._body_size = 0
        self._is_chunked = False
        self._until_close = False
        self._keep = True
        self._chunks: list[bytes] = []
        self._chunk_at = 0
        self._interim = 0
        self._done: Done | None = None
        self.deadline_ns = 0
        self.is_late = False
        self.written_ns = 0
        self.last_used_ns = 0
        self.transport: Any = None
        self.is_alive = False

    # ------------------------------------------------------------------------------- asyncio's side

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.is_alive = True
        self.last_used_ns = self._clock.mono_ns()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_alive = False
        if self._done is not None:
            if self._head is not None and self._until_close and error is None:
                self._finish(self._bytes(self._body_at, self.filled), self.filled)
            else:
                reason = "truncated" if self.filled else "closed"
                self.fail(Unanswered("the connection ended before the answer did", reason))
        self._pool.forget(self)

    def answered(self, status: int, head: bytes, body: bytes) -> None:
        """Take a whole, ordinary answer."""
        self._status, self._head, self._keep = status, head, True
        self._finish(body, self.filled)

    def piece(self) -> None:
        """Look at what came of an answer that is not ordinary, or not whole yet."""
        try:
            self._parse()
        except ProtocolViolation as violation:
            self.fail(Unanswered(str(violation), "malformed"))

    def unasked(self) -> None:
        """Close: answers and requests could no longer be matched on this connection."""
        self.close()

    def eof_received(self) -> bool:
        return False

    # ------------------------------------------------------------------------------------- request

    def send(self, data: bytes, timeout_s: float, done: Done) -> None:
        """Write a request; ``done`` is called exactly once, unless NotSent is raised."""
        if not self.is_alive or self.transport.is_closing():
            raise NotSent("the connection is closed")
        assert self._done is None
        self.transport.write(data)
        self.written_ns = now = self._clock.mono_ns()
        # Only now, on the wire already: nothing can have come back, the loop has not run since.
        self._done = done
        self.is_late = self.is_in_pieces = False
        self.is_awaiting = True
        self.filled = self._interim = 0
        self._head = None
        self.deadline_ns = now + int(timeout_s * 1e9)
        self._pool.watch_deadlines()

    def look_at_deadline(self, now_ns: int) -> bool:
        """Report a deadline that has passed, once; return whether a request is on this connection.

        An answer that still comes is late evidence and is reported too.
        """
        done = self._done
        if done is None:
            return False
        if now_ns < self.deadline_ns:
            return True
        if self.is_late:
            self._take_done()
            self.close()
            return False
        self.is_late = True
        self.deadline_ns = now_ns + int(LATE_S * 1e9)
        self._tell(done, Unanswered("no answer within the deadline", "deadline"))
        return True

    def fail(self, error: Exception) -> None:
        """Close, and report the request on this connection, unless its deadline was reported before."""
        done = self._take_done()
        self.close()
        if done is not None and not self.is_late:
            self._tell(done, error)

    def _tell(self, done: Done, result: HttpResponse | Exception) -> None:
        """Report; whoever is told may fail without taking others' deadlines or this connection along."""
        try:
            done(result)
        except Exception as error:  # the callback's edge
            self._pool.loop.call_exception_handler(
                {"message": "an answer's callback failed", "exception": error}
            )

    def _take_done(self) -> Done | None:
        done, self._done = self._done, None
        self.is_awaiting = False
        return done

    def close(self) -> None:
        """Close; a connection in doubt is never used again."""
        self.is_alive = False
        if self.transport is not None:
            self.transport.abort()

    # --------------------------------------------------------------------------------------- answer

    def _bytes(self, start: int, end: int) -> bytes:
        return bytes(memoryview(self.buffer)[start:end])

    def _parse(self) -> None:
        if self._head is None and not self._parse_head():
            return
        if self._is_chunked:
            self._parse_chunks()
        elif self._until_close:
            if self.filled - self._body_at > BODY_BYTES_MAX:
                raise ProtocolViolation("the body is longer than 64 MiB")
        elif self.filled - self._body_at >= self._body_size:
            end = self._body_at + self._body_size
            self._finish(self._bytes(self._body_at, end), end)

    def _parse_head(self) -> bool:
        """Find the head of the final answer and how its body ends; return whether it is whole."""
        while True:
            end = self.buffer.find(b"\r\n\r\n", 0, self.filled)
            if max(end, self.filled if end < 0 else 0) > HEAD_BYTES_MAX:
                raise ProtocolViolation("the header is longer than 64 KiB")
            if end < 0:
                return False
            head = self._bytes(0, end)
            status = status_of(head)
            if status >= 200:
                break
            self._interim += 1  # the real answer follows
            if status == 101 or self._interim > INTERIM_MAX:
                raise ProtocolViolation(f"interim answer {self._interim}: {status}", head)
            rest = self._bytes(end + 4, self.filled)
            self.buffer[: len(rest)] = rest
            self.filled = len(rest)
        self._status, self._head, self._body_at = status, head, end + 4
        self._body_size, self._is_chunked, self._until_close, self._keep = frame_body(head, status)
        self._chunks, self._chunk_at = [], self._body_at
        if self._body_size > len(self.buffer) - self._body_at:
            self.resize(self._body_at + self._body_size)
        return True

    def _parse_chunks(self) -> None:
        while True:
            line_end = self.buffer.find(b"\r\n", self._chunk_at, self.filled)
            if line_end < 0:
                if self.filled - self._chunk_at > 256:
                    raise ProtocolViolation("chunk header too long")
                return
            text = self._bytes(self._chunk_at, line_end).split(b";")[0].strip()
            if not text or len(text) > 8 or text.strip(b"0123456789abcdefABCDEF"):
                raise ProtocolViolation(f"chunk size {text[:20]!r}")
            size = int(text, 16)
            start = line_end + 2
            if size == 0:
                self._end_chunks(start)
                return
            if start + size > BODY_BYTES_MAX:
                raise ProtocolViolation("the body is longer than 64 MiB")
            if self.filled < start + size + 2:
                return
            if not self.buffer.startswith(b"\r\n", start + size):
                raise ProtocolViolation("a chunk does not end where it says")
            self._chunks.append(self._bytes(start, start + size))
            self._chunk_at = start + size + 2

    def _end_chunks(self, start: int) -> None:
        """Wait for the (empty) trailer; trailers themselves are ignored."""
        if self.filled < start + 2:
            return
        end = start + 2
        if not self.buffer.startswith(b"\r\n", start):
            end = self.buffer.find(b"\r\n\r\n", start, self.filled) + 4
            if end < 4:
                if self.filled - start > HEAD_BYTES_MAX:
                    raise ProtocolViolation("the trailer is longer than 64 KiB")
                return
            self._keep = False
        self._finish(b"".join(self._chunks), end)

    def _finish(self, body: bytes, end: int) -> None:
        """Report the answer, which ends at ``end``; more than was asked for ends the connection."""
        done, self._done = self._done, None
        self.is_awaiting = False
        now = self._clock.mono_ns()
        assert self._head is not None
        response = HttpResponse(self._status, self._head, body, self.written_ns, self.first_ns, now)
        self.last_used_ns = now
        keep = self._keep and self.filled == end and not self.is_late
        self.filled = 0
        self._chunks = []
        if len(self.buffer) > 16 * BUFFER_BYTES:
            self.resize(BUFFER_BYTES)
        if keep:
            self._pool.give_back(self)
        else:
            self.close()
        if done is not None:
            self._tell(done, response)


class HttpPool:
    """Warm connections to one host.

    Args:
        base: scheme, host and port, e.g. ``https://api.binance.com``.
        warm: connections kept open; more are opened when all are busy, up to ``limit``.
        dialer: opens the sockets; shared, it shares what it learnt of addresses.

    Raises:
        UsageError: the base makes no sense, or https without a context.
    """

    def __init__(
        self,
        base: str,
        clock: Clock,
        *,
        tls: ssl.SSLContext | None = None,
        warm: int = 2,
        limit: int = 16,
        dialer: Dialer | None = None,
    ) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(base):
            raise UsageError(f"{base!r} is not an http or https address")
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
            raise UsageError(f"{base!r}: only scheme, host and port belong into a base address")
        self.clock = clock
        self.loop = asyncio.get_running_loop()
        self._secure = parts.scheme == "https"
        if self._secure and tls is None:
            raise UsageError(f"{base}: https needs a TLS context")
        self._tls = tls if self._secure else None
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        host = f"{host}:{parts.port}" if parts.port else host
        self._encoder = RequestEncoder(host)
        self._warm = warm
        self._limit = limit
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self._opening = 0
        self._dialer = dialer or Dialer()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._keeper: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False
        self.connects = 0
        self.requests = 0
        self.last_error = ""

    # ----------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Open the warm connections; failing to is not an error, they are opened in the background."""
        self._keeper = self.loop.create_task(self._keep_warm(), name=f"http {self._host}")
        await asyncio.gather(*[self._open() for _ in range(self._warm)])

    async def stop(self) -> None:
        """Close every connection; requests in flight end as Unanswered, those not sent yet as NotSent."""
        self._is_closed = True
        self._idle.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._all):
            connection.fail(Unanswered("the engine is stopping", "stopped"))
        while self._waiters:
            self._wake()

    async def _keep_warm(self) -> None:
        pause = 0.25
        while True:
            await asyncio.sleep(pause)
            self._drop_old()
            missing = self._warm - len(self._all) - self._opening
            opened = [await self._open() for _ in range(max(0, missing))]
            pause = min(pause * 2, 10.0) if opened and not all(opened) else 0.25

    def watch_deadlines(self) -> None:
        """Look every few milliseconds at what is in flight: cheaper than a timer for each request."""
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        now = self.clock.mono_ns()
        self._sweeper = None
        busy = sum(connection.look_at_deadline(now) for connection in tuple(self._all))
        if busy:
            self.watch_deadlines()

    def _drop_old(self) -> None:
        horizon = self.clock.mono_ns() - int(IDLE_S_MAX * 1e9)
        for connection in [each for each in self._idle if each.last_used_ns < horizon]:
            self._idle.remove(connection)
            connection.close()

    async def _open(self) -> bool:
        """Open one connection into the idle queue; return whether that worked."""
        self._opening += 1
        return await self._connect()

    def _open_more(self) -> None:
        """Open another connection in the background, if the limit allows; counted from this very moment.

        At the limit, a connection that waits for an answer after its deadline is given up for it: to be able
        to send a cancel is worth more than late evidence.
        """
        if self._is_closed:
            return
        if len(self._all) + self._opening >= self._limit:
            late = [each for each in self._all if each.is_late]
            if not late:
                return
            oldest = min(late, key=_deadline)
            self._all.discard(oldest)
            oldest.close()
        self._opening += 1
        task = self.loop.create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> bool:
        self.connects += 1
        connected: socket.socket | None = None
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connected = await self._dialer.connect(self._host, self._port)
                _, connection = await aiofastnet.create_connection(
                    self.loop,
                    lambda: _Connection(self),
                    sock=connected,
                    ssl=self._tls,
                    server_hostname=self._host if self._secure else None,
                )
        except Exception as error:  # an attempt's edge: whatever it was, the next attempt is later
            self.last_error = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        finally:
            self._opening -= 1
            if connection is None and connected is not None:
                with contextlib.suppress(OSError):  # ends a TLS handshake that was given up
                    connected.shutdown(socket.SHUT_RDWR)
        if connection is None:
            self._wake()
            return False
        if self._is_closed or not connection.is_alive:
            connection.close()
            return False
        self.last_error = ""
        self._all.add(connection)
        self.give_back(connection)
        return True

    def give_back(self, connection: _Connection) -> None:
        """Take a connection that is free again."""
        self._idle.append(connection)
        if self._waiters:
            self._wake()

    def forget(self, connection: _Connection) -> None:
        """Drop a connection that is gone."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(True)
                return

    @property
    def idle(self) -> int:
        """Return how many connections could take a request now."""
        return len(self._idle)

    # -------------------------------------------------------------------------------------- requests

    def send_now(self, request: HttpRequest, timeout_s: float, done: Done) -> int:
        """Write a request on an idle connection in this very call; return the write's mono_ns.

        Raises:
            NotSent: no connection is idle; no byte left. The pool opens another in the background.
        """
        data = self._encoder.encode(request)
        while self._idle:
            # The latest used is the warmest, in the kernel's caches and against idle time-outs.
            connection = self._idle.pop()
            try:
                connection.send(data, timeout_s, done)
            except NotSent:
                self.forget(connection)
                continue
            self.requests += 1
            return connection.written_ns
        self._open_more()
        raise NotSent(
            f"{request.label}: no open connection to {self._host} ({self.last_error or 'all busy'})"
        )

    async def request(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        """Send a request, waiting for a connection if need be, and return its answer.

        An idempotent request is repeated once when its kept-alive connection turns out to be closed.

        Raises:
            NotSent: no connection within the deadline; certainly not done.
            Unanswered: bytes may have left and no whole answer came.
        """
        deadline = self.loop.time() + timeout_s
        for attempt in (0, 1):
            await self._ready(request, deadline)
            future: asyncio.Future[HttpResponse] = self.loop.create_future()

            def done(result: HttpResponse | Exception, future: asyncio.Future[HttpResponse] = future) -> None:
                if future.done():
                    return
                if isinstance(result, HttpResponse):
                    future.set_result(result)
                else:
                    future.set_exception(result)

            try:
                self.send_now(request, max(0.001, deadline - self.loop.time()), done)
                return await future
            except Unanswered as error:
                if attempt or not request.idempotent or error.reason != "closed":
                    raise
            except NotSent:
                if attempt or self.loop.time() >= deadline:
                    raise
        raise AssertionError("unreachable")

    async def _ready(self, request: HttpRequest, deadline: float) -> None:
        while not self._idle:
            if self._is_closed:
                raise NotSent(f"{request.label}: the engine is stopping")
            self._open_more()
            waiter: asyncio.Future[bool] = self.loop.create_future()
            self._waiters.append(waiter)
            timer = self.loop.call_at(deadline, _expire, waiter)
            try:
                is_in_time = await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():
                    self._wake()  # it was this one's turn; it is another's now
                raise
            finally:
                timer.cancel()
            if not is_in_time:
                why = self.last_error or "all busy"
                where = f"{self._host}:{self._port}"
                raise NotSent(f"{request.label}: no connection to {where} ({why})")
            if not self._idle and self.last_error and not self._all:
                await asyncio.sleep(min(0.05, max(0.0, deadline - self.loop.time())))


def _expire(waiter: asyncio.Future[bool]) -> None:
    if not waiter.done():
        waiter.set_result(False)


def _deadline(connection: _Connection) -> int:
    return connection.deadline_ns


def _has_port(base: str) -> bool:
    """Tell whether the port, if there is one, is a number from 1 to 65535."""
    try:
        return urlsplit(base).port != 0
    except ValueError:
        return False
