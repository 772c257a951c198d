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
from typing import Any, cast
from urllib.parse import urlsplit

import aiofastnet

from engine.model.errors import NotSent, Unanswered, UsageError
from engine.model.ports import Clock
from engine.model.wire import HttpRequest
from engine.transport.dial import Dialer
from engine.transport.encoding import RequestEncoder
from engine.transport.http_connection import ConnectionOwner, Done, HttpConnection
from engine.transport.http_connection import HttpResponse as HttpResponse

CONNECT_TIMEOUT_S = 5.0
"""From the first SYN to the connection that can take a request, TLS included."""
SWEEP_S = 0.005
"""How often deadlines are looked at; a request may be reported this much late."""
IDLE_S_MAX = 55.0
"""An idle connection older than this is replaced before use: venues close theirs after about a minute."""


class HttpPool(ConnectionOwner):
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
        self._idle: deque[HttpConnection] = deque()
        self._all: set[HttpConnection] = set()
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
        connection: HttpConnection | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connected = await self._dialer.connect(self._host, self._port)
                _, connection = await aiofastnet.create_connection(
                    self.loop,
                    lambda: cast("Any", HttpConnection(self)),
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

    def give_back(self, connection: HttpConnection) -> None:
        """Take a connection that is free again."""
        self._idle.append(connection)
        if self._waiters:
            self._wake()

    def forget(self, connection: HttpConnection) -> None:
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


def _deadline(connection: HttpConnection) -> int:
    return connection.deadline_ns


def _has_port(base: str) -> bool:
    """Tell whether the port, if there is one, is a number from 1 to 65535."""
    try:
        return urlsplit(base).port != 0
    except ValueError:
        return False
