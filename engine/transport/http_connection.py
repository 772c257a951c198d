"""One keep-alive HTTP/1.1 connection: a request out, its answer back, and what a failure of it means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engine.model.errors import NotSent, ProtocolViolation, Unanswered
from engine.model.ports import Clock
from engine.transport.answer import COMPILED, scan_answer
from engine.transport.framing import BODY_BYTES_MAX, frame_body, status_of

HEAD_BYTES_MAX = 64 * 1024
INTERIM_MAX = 16
"""Interim (1xx) answers before the real one."""
BUFFER_BYTES = 64 * 1024
LATE_S = 30.0
"""How long an answer is still listened for after its deadline."""


class HttpResponse:
    """One answer.

    Attributes:
        status: HTTP status. head: start line and headers. body: whole body.
        written_mono_ns: when the request was handed to the socket.
        first_mono_ns, done_mono_ns: when its first byte and its last byte had come.
    """

    __slots__ = ("body", "done_mono_ns", "first_mono_ns", "head", "status", "written_mono_ns")

    def __init__(
        self,
        status: int,
        head: bytes,
        body: bytes,
        written_mono_ns: int,
        first_mono_ns: int,
        done_mono_ns: int,
    ) -> None:
        self.status = status
        self.head = head
        self.body = body
        self.written_mono_ns = written_mono_ns
        self.first_mono_ns = first_mono_ns
        self.done_mono_ns = done_mono_ns

    def __repr__(self) -> str:
        return f"HttpResponse({self.status}, {len(self.body)} bytes)"

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


class ConnectionOwner:
    """What a connection knows of its pool.

    Attributes:
        clock: the pool's. loop: the event loop that the pool lives in.
    """

    clock: Clock
    loop: asyncio.AbstractEventLoop

    def give_back(self, connection: HttpConnection) -> None:
        """Take a connection that is free again."""

    def forget(self, connection: HttpConnection) -> None:
        """Drop a connection that is gone."""

    def watch_deadlines(self) -> None:
        """Look after the deadline of a request that was just written."""


class HttpConnection:
    """One connection and the request that is on it: a buffered protocol (asyncio's word).

    Attributes:
        filled: how much was received of the present answer.
        is_awaiting: a request is out. is_late: and its deadline was reported.
        deadline_ns, written_ns, last_used_ns: mono_ns.
    """

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._room = BUFFER_BYTES
        self.filled = 0
        self._first_ns = 0
        self.is_awaiting = False
        self._is_in_pieces = False
        self._clock = owner.clock
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
        """Take note that the connection is open."""
        self.transport = transport
        self.is_alive = True
        self.last_used_ns = self._clock.mono_ns()

    def connection_lost(self, error: Exception | None) -> None:
        """End the request that is on it; one whose answer ends with the connection is answered."""
        self.is_alive = False
        if self._done is not None:
            if self._head is not None and self._until_close and error is None:
                self._finish(self._bytes(self._body_at, self.filled), self.filled)
            else:
                reason = "truncated" if self.filled else "closed"
                self.fail(Unanswered("the connection ended before the answer did", reason))
        self._owner.forget(self)

    def is_buffered_protocol(self) -> bool:
        """Tell aiofastnet what asyncio asks a base class."""
        return True

    def get_buffer(self, hint: int) -> memoryview:
        """Return where received bytes go."""
        if self.filled == 0:
            return self._view
        if self.filled == self._room:
            self._resize(2 * self._room)
        return self._view[self.filled :]

    def buffer_updated(self, size: int) -> None:
        """Take what was received."""
        if self.filled == 0:
            self._first_ns = self._clock.mono_ns()
        self.filled += size
        if not self.is_awaiting:
            self.close()  # answers and requests could no longer be matched on this connection
            return
        if COMPILED and not self._is_in_pieces:
            whole = scan_answer(self._buffer, self.filled)
            if whole is not None:
                self._status, self._head, body = whole
                self._keep = True
                self._finish(body, self.filled)
                return
            self._is_in_pieces = True
        try:
            self._parse()
        except ProtocolViolation as violation:
            self.fail(Unanswered(str(violation), "malformed"))

    def _resize(self, size: int) -> None:
        """Move to a buffer of another size; what was received is kept."""
        buffer = bytearray(size)
        buffer[: self.filled] = self._view[: self.filled]
        self._buffer, self._view, self._room = buffer, memoryview(buffer), size

    def eof_received(self) -> bool:
        """Let the transport close."""
        return False

    def pause_writing(self) -> None:
        """Requests are small: what the socket does not take at once, the transport keeps."""

    def resume_writing(self) -> None:
        """Nothing waited."""

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
        self.is_late = self._is_in_pieces = False
        self.is_awaiting = True
        self.filled = self._interim = 0
        self._head = None
        self.deadline_ns = now + int(timeout_s * 1e9)
        self._owner.watch_deadlines()

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
            self._owner.loop.call_exception_handler(
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
        return bytes(self._view[start:end])

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
            end = self._buffer.find(b"\r\n\r\n", 0, self.filled)
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
            self._view[: len(rest)] = rest
            self.filled = len(rest)
        self._status, self._head, self._body_at = status, head, end + 4
        self._body_size, self._is_chunked, self._until_close, self._keep = frame_body(head, status)
        self._chunks, self._chunk_at = [], self._body_at
        if self._body_size > self._room - self._body_at:
            self._resize(self._body_at + self._body_size)
        return True

    def _parse_chunks(self) -> None:
        while True:
            line_end = self._buffer.find(b"\r\n", self._chunk_at, self.filled)
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
            if not self._buffer.startswith(b"\r\n", start + size):
                raise ProtocolViolation("a chunk does not end where it says")
            self._chunks.append(self._bytes(start, start + size))
            self._chunk_at = start + size + 2

    def _end_chunks(self, start: int) -> None:
        """Wait for the (empty) trailer; trailers themselves are ignored."""
        if self.filled < start + 2:
            return
        end = start + 2
        if not self._buffer.startswith(b"\r\n", start):
            end = self._buffer.find(b"\r\n\r\n", start, self.filled) + 4
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
        response = HttpResponse(self._status, self._head, body, self.written_ns, self._first_ns, now)
        self.last_used_ns = now
        keep = self._keep and self.filled == end and not self.is_late
        self.filled = 0
        self._chunks = []
        if self._room > 16 * BUFFER_BYTES:
            self._resize(BUFFER_BYTES)
        if keep:
            self._owner.give_back(self)
        else:
            self.close()
        if done is not None:
            self._tell(done, response)
