"""The HTTP session against a peer that answers byte by byte, wrongly, late, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trustme

from engine.model.errors import NotSent, Unanswered, UsageError
from engine.model.wire import HttpRequest
from engine.telemetry.clock import SystemClock
from engine.transport.http import HttpPool, HttpResponse

GET = HttpRequest(method="GET", target="/api/time?x=1", label="test.time", headers=b"X-KEY: secret\r\n")
POST = HttpRequest(method="POST", target="/api/order", label="test.place", body=b"a=1", idempotent=False)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server that runs ``script`` for each connection, and keeps what it was asked."""

    def __init__(self, script: Serve) -> None:
        self._script = script
        self.requests: list[bytes] = []
        self.connections = 0
        self.base = ""
        self.tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Return the next whole request; raises IncompleteReadError at the end."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        data = head + (await reader.readexactly(size) if size else b"")
        self.requests.append(data)
        return data

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks[task] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._script(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def peer(script: Serve, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Peer]:
    served = Peer(script)
    server = await asyncio.start_server(served.run, "127.0.0.1", port, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    served.base = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        yield served
    finally:
        server.close()
        for _ in range(10):  # those accepted a moment ago get their task first
            await asyncio.sleep(0)
        for task, writer in served.tasks.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*served.tasks, return_exceptions=True)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def pool(
    base: str, warm: int = 1, limit: int = 4, tls: ssl.SSLContext | None = None
) -> AsyncIterator[HttpPool]:
    made = HttpPool(base, SystemClock(), warm=warm, limit=limit, tls=tls)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def answering(*answers: bytes) -> Serve:
    """Answer each request on a connection with the next of these; then close."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return script


async def ask(answer: bytes, request: HttpRequest = GET, timeout_s: float = 5.0) -> HttpResponse:
    """Return what the session makes of one answer."""
    async with peer(answering(answer)) as served, pool(served.base) as session:
        return await session.request(request, timeout_s)


# ------------------------------------------------------------------------------------------ what is read

SHAPES = {
    "length": OK,
    "lower case": b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK,
    "two interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK,
    "closing": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", SHAPES.values(), ids=SHAPES)
async def test_a_whole_answer_in_one_piece(answer: bytes) -> None:
    response = await ask(answer)
    assert (response.status, response.body) == (200, b"hello")
    assert response.written_mono_ns <= response.first_mono_ns <= response.done_mono_ns


@pytest.mark.parametrize("answer", SHAPES.values(), ids=SHAPES)
async def test_an_answer_split_at_every_byte(answer: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for cut in range(1, len(answer)):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer[:cut])
            await writer.drain()
            for _ in range(3):  # let the reader see the first part alone
                await asyncio.sleep(0)
            writer.write(answer[cut:])
            await writer.drain()
            if b"close" in answer or b"HTTP/1.0" in answer:
                return

    async with peer(script) as served, pool(served.base) as session:
        for _ in range(1, len(answer)):
            response = await session.request(GET, 5.0)
            assert (response.status, response.body) == (200, b"hello")


async def test_a_body_that_ends_with_the_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Oops\r\nServer: x\r\n\r\n<html>")
        await writer.drain()

    async with peer(script) as served, pool(served.base) as session:
        response = await session.request(GET, 5.0)
    assert (response.status, response.body) == (500, b"<html>")


async def test_statuses_without_a_body_and_repeated_headers() -> None:
    response = await ask(b"HTTP/1.1 204 No Content\r\nA: 1\r\na: 2\r\n\r\n")
    assert (response.status, response.body) == (204, b"")
    assert response.headers["a"] == "1, 2"


async def test_a_large_body_comes_whole() -> None:
    body = bytes(range(256)) * 20_000
    response = await ask(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert response.body == body


# ------------------------------------------------------------------------------------ what is refused

MALFORMED = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "status": b"HTTP/1.1 abc OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nhello",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nhe\r\n0\r\n\r\n",
    "chunk too big": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\nhe\r\n0\r\n\r\n",
    "chunk end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nheXX0\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
    "endless chunk header": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 300,
}


@pytest.mark.fault("H03", "H04", "H05")
@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_answers_leave_the_outcome_unknown(answer: bytes) -> None:
    with pytest.raises(Unanswered) as caught:
        await ask(answer, POST)
    assert caught.value.reason == "malformed"


@pytest.mark.fault("H02")
@pytest.mark.parametrize("cut", [1, 12, 30, len(OK) - 1])
async def test_a_truncated_answer_leaves_the_outcome_unknown(cut: int) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:cut])
        await writer.drain()

    async with peer(script) as served, pool(served.base) as session:
        with pytest.raises(Unanswered) as caught:
            await session.request(POST, 5.0)
    assert caught.value.reason == "truncated"


@pytest.mark.fault("H12")
async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG")
        await writer.drain()
        await reader.read()

    async with peer(script) as served, pool(served.base) as session:
        for _ in range(3):
            assert (await session.request(GET, 5.0)).body == b"hello"
    assert served.connections >= 3


# -------------------------------------------------------------------------------------- what a failure means


async def test_refused_connection_is_not_sent() -> None:
    async with pool("http://127.0.0.1:1") as session:
        with pytest.raises(NotSent, match=r"test\.place"):
            await session.request(POST, 0.3)
        with pytest.raises(NotSent):
            session.send_now(POST, 0.3, lambda _: None)


@pytest.mark.fault("H01")
async def test_an_order_is_never_repeated_a_read_is_once() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)

    async with peer(script) as served, pool(served.base) as session:
        with pytest.raises(Unanswered) as caught:
            await session.request(POST, 5.0)
        assert caught.value.reason == "closed"
        assert len(served.requests) == 1
        with pytest.raises(Unanswered):
            await session.request(GET, 5.0)
        assert len(served.requests) == 3


@pytest.mark.fault("H01")
async def test_a_kept_alive_connection_closed_by_the_peer_is_replaced() -> None:
    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    async with peer(one_each) as served, pool(served.base) as session:
        for _ in range(5):
            assert (await session.request(GET, 5.0)).body == b"hello"
        assert served.connections >= 5


@pytest.mark.fault("H10", "H11")
async def test_the_deadline_and_the_late_answer() -> None:
    release = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        writer.write(OK)
        await writer.drain()
        await reader.read()

    results: list[HttpResponse | Exception] = []
    async with peer(script) as served, pool(served.base) as session:
        session.send_now(POST, 0.05, results.append)
        while not results:
            await asyncio.sleep(0.005)
        first = results[0]
        assert isinstance(first, Unanswered)
        assert first.reason == "deadline"
        release.set()
        while len(results) < 2:
            await asyncio.sleep(0.005)
        late = results[1]
        assert isinstance(late, HttpResponse)
        assert late.body == b"hello"
        assert not session._all or all(not each.is_late for each in session._all), "never used again"


async def test_one_request_at_a_time_on_a_connection() -> None:
    busy = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal busy
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0)
            assert reader._buffer == bytearray(), "a second request before the answer"  # type: ignore[attr-defined]
            busy += 1
            writer.write(OK)
            await writer.drain()

    async with peer(script) as served, pool(served.base, warm=2, limit=3) as session:
        answers = await asyncio.gather(*[session.request(GET, 5.0) for _ in range(30)])
    assert [each.body for each in answers] == [b"hello"] * 30
    assert busy == 30
    assert served.connections <= 3


async def test_stop_ends_what_is_in_flight() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    results: list[HttpResponse | Exception] = []
    async with peer(script) as served:
        session = HttpPool(served.base, SystemClock(), warm=1)
        await session.start()
        session.send_now(POST, 5.0, results.append)
        await session.stop()
    (result,) = results
    assert isinstance(result, Unanswered)
    with pytest.raises(NotSent):
        await session.request(GET, 0.2)


async def test_what_goes_over_the_wire() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            writer.write(OK)
            await writer.drain()

    async with peer(script) as served, pool(served.base) as session:
        await session.request(GET, 5.0)
        await session.request(POST, 5.0)
    host = served.base.removeprefix("http://").encode()
    assert served.requests[0].startswith(b"GET /api/time?x=1 HTTP/1.1\r\nHost: " + host + b"\r\n")
    assert b"\r\nX-KEY: secret\r\n" in served.requests[0]
    assert b"ccept-Encoding" not in served.requests[0]
    assert served.requests[1].endswith(
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1"
    )


# ------------------------------------------------------------------------------------------------- TLS


async def test_tls_is_verified() -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server, client, fooled = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        *[ssl.create_default_context() for _ in "ab"],
    )
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    stranger.configure_trust(fooled)
    async with peer(answering(OK, OK), server) as served:
        async with pool(served.base, tls=client) as session:
            assert (await session.request(GET, 5.0)).body == b"hello"
        async with pool(served.base, tls=fooled) as session:
            with pytest.raises(NotSent, match=r"(?i)certificate"):
                await session.request(GET, 0.5)
        assert len(served.requests) == 0
        with pytest.raises(UsageError, match="TLS context"):
            HttpPool(served.base, SystemClock())


@pytest.mark.fault("N18")
async def test_a_certificate_for_another_name_is_refused() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("api.example.org").configure_cert(server)
    authority.configure_trust(client)
    async with peer(answering(OK), server) as served, pool(served.base, tls=client) as session:
        with pytest.raises(NotSent, match=r"(?i)certificate"):
            await session.request(GET, 0.5)


@pytest.mark.parametrize("base", ["ftp://x", "127.0.0.1:80", "http://", ""])
async def test_addresses_that_make_no_sense(base: str) -> None:
    with pytest.raises(UsageError, match="address"):
        HttpPool(base, SystemClock())
