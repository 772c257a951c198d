"""What a failure means in each phase of a request, and what a pool does under cancellation and pressure."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from engine.model.errors import NotSent, ProtocolViolation, Unanswered, UsageError
from engine.telemetry.clock import SystemClock
from engine.transport import http
from engine.transport.dial import Dialer
from engine.transport.framing import Framing, frame_body, status_of
from engine.transport.http import HttpPool, HttpResponse
from tests.unit.transport.test_http import GET, OK, POST, answering, ask, peer, pool


async def until(done: Callable[[], Any], seconds: float = 10.0) -> None:
    """Poll with a deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not done():
        assert loop.time() < deadline, "not in time"
        await asyncio.sleep(0.002)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything and say nothing."""
    await reader.read()


# --------------------------------------------------------------------------------------- framing, by table

HEAD = b"HTTP/1.1 200 OK\r\n"
FRAMES: dict[bytes, Framing] = {
    b"Content-Length: 5": Framing(5, False, False, True),
    b"content-length:\t5 ": Framing(5, False, False, True),
    b"Content-Length: 0": Framing(0, False, False, True),
    b"Content-Length: 5\r\nConnection:close": Framing(5, False, False, False),
    b"Content-Length: 5\r\nConnection: keep-alive, Close": Framing(5, False, False, False),
    b"Content-Length: 5\r\nConnection: keep-alive": Framing(5, False, False, True),
    b"Content-Length: 5\r\nContent-Encoding: identity": Framing(5, False, False, True),
    b"Transfer-Encoding:chunked": Framing(0, True, False, True),
    b"transfer-encoding: CHUNKED": Framing(0, True, False, True),
    b"Server: x": Framing(0, False, True, False),
}
REFUSED = [
    b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 5, 5",
    b"Content-Length:",
    b"Content-Length: 0x5",
    b"Content-Length: 5 5",
    b"Content-Length: \xb2",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunkedX",
    b"Transfer-Encoding:",
    b"Transfer-Encoding : chunked",
    b"Content-Length : 5",
    b"Content-Length: 5\r\n Transfer-Encoding: chunked",
    b"X: a\nContent-Length: 5",
    b"Content-Length",
    b": 5",
    b"Content-Encoding: identity, gzip",
    b"Content-Encoding: identity\r\nContent-Encoding: br",
]


@pytest.mark.parametrize("lines", FRAMES)
def test_how_a_body_ends(lines: bytes) -> None:
    assert frame_body(HEAD + lines, 200) == FRAMES[lines]


@pytest.mark.parametrize("lines", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(lines: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        frame_body(HEAD + lines, 200)


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_that_never_have_a_body(status: int) -> None:
    assert frame_body(HEAD + b"Server: x", status) == Framing(0, False, False, True)
    assert frame_body(HEAD + b"Content-Length: 0", status) == Framing(0, False, False, True)
    assert frame_body(HEAD + b"Content-Length: 5", status) == Framing(0, False, False, False)


def test_an_old_server_never_keeps_and_never_chunks() -> None:
    old = b"HTTP/1.0 200 OK\r\n"
    assert not frame_body(old + b"Content-Length: 5\r\nConnection: keep-alive", 200).keep
    with pytest.raises(ProtocolViolation):
        frame_body(old + b"Transfer-Encoding: chunked", 200)


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 2000 OK", b"HTTP/1.1 99 OK", b"HTTP/1.1 600 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1  200",
     b"ICY 200 OK", b"HTTP/1.1 20\xb2 OK", b""],
)  # fmt: skip
def test_start_lines_that_are_none(start: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        status_of(start + b"\r\nContent-Length: 5")


# ------------------------------------------------------------------------------------------ answers, hostile

HOSTILE = {
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + OK,
    "endless interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 3000 + OK,
    "folded length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\nhello",
    "blank before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "chunked and more": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "bare newlines": b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello",
    "endless trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20_000,
    "oversize chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3FFFFFF\r\n",
    "empty chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n",
    "long head": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: " + b"x" * 66_000 + b"\r\n\r\nhello",
}


@pytest.mark.fault("H03", "H04")
@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_answers_leave_the_outcome_unknown(answer: bytes) -> None:
    with pytest.raises(Unanswered) as caught:
        await ask(answer, POST)
    assert caught.value.reason == "malformed"


SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG"
CARRIERS = {
    "length": OK,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "no body": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n",
}


@pytest.mark.fault("H12")
@pytest.mark.parametrize("cut", [1, 20, len(SMUGGLED)])
@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
async def test_a_smuggled_answer_is_never_taken_for_the_next_ones(carrier: bytes, cut: int) -> None:
    """The first answer drags a part of another along; the rest of it comes with the second request."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(carrier + SMUGGLED[:cut])
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SMUGGLED[cut:] + OK)
        await writer.drain()

    async with peer(script) as served, pool(served.base) as session:
        for _ in range(3):
            assert (await session.request(GET, 5.0)).body in (b"hello", b"")
        assert served.connections >= 3


@pytest.mark.fault("N01", "H02")
async def test_a_reset_in_the_body_is_a_truncated_answer() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhel")  # delimited by the connection's end
        await writer.drain()
        await go.wait()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    go = asyncio.Event()
    async with peer(script) as served, pool(served.base) as session:
        results: list[HttpResponse | Exception] = []
        session.send_now(POST, 5.0, results.append)
        await until(lambda: any(each.filled for each in session._all))
        go.set()
        await until(lambda: results)
    (result,) = results
    assert isinstance(result, Unanswered)
    assert result.reason == "truncated"


async def test_a_connection_closed_by_the_peer_while_idle_takes_no_order() -> None:
    """A close that was noticed is NotSent or a fresh connection, never an order in doubt."""
    hold = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if served.connections == 1:
            return  # closed while idle
        await hold.wait()

    async with peer(script) as served, pool(served.base) as session:
        await until(lambda: served.connections >= 1 and session.idle == 0)
        with pytest.raises(NotSent, match=r"test\.place"):
            session.send_now(POST, 1.0, lambda _: None)
        hold.set()


# ------------------------------------------------------------------------------------ pool under pressure


async def test_a_callback_that_raises_costs_nobody_else_his_deadline() -> None:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    others: list[HttpResponse | Exception] = []

    def failing(result: HttpResponse | Exception) -> None:
        raise RuntimeError("a bug in the caller")

    async with peer(silent) as served, pool(served.base, warm=2) as session:
        session.send_now(POST, 0.03, failing)
        session.send_now(POST, 0.06, others.append)
        await until(lambda: others)
        assert isinstance(others[0], Unanswered)
    assert [str(each["exception"]) for each in told] == ["a bug in the caller"]


async def test_an_answers_callback_that_raises_keeps_the_connection() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def failing(result: HttpResponse | Exception) -> None:
        raise RuntimeError("a bug in the caller")

    async with peer(answering(OK, OK)) as served, pool(served.base) as session:
        session.send_now(POST, 5.0, failing)
        await until(lambda: told)
        assert (await session.request(GET, 5.0)).body == b"hello"
        assert served.connections == 1


async def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    release = asyncio.Event()

    def cancel_second() -> None:
        second.cancel()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await release.wait()
        writer.write(OK)
        await answering(OK, OK)(reader, writer)

    async with peer(script) as served, pool(served.base, limit=1) as session:
        # Told in the very call that wakes the next one: it is cancelled before it can run.
        session.send_now(GET, 5.0, lambda _: cancel_second())
        second = asyncio.ensure_future(session.request(GET, 5.0))
        third = asyncio.ensure_future(session.request(GET, 5.0))
        await until(lambda: len(session._waiters) == 2)
        release.set()
        assert (await asyncio.wait_for(third, 2.0)).body == b"hello"
        with pytest.raises(asyncio.CancelledError):
            await second
        assert session.requests == 2, "a cancelled request was sent"


async def test_late_answers_do_not_keep_a_cancel_from_leaving() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await served.request(reader)
        if request.startswith(b"GET"):
            writer.write(OK)
            await writer.drain()
        await reader.read()

    results: list[HttpResponse | Exception] = []
    async with peer(script) as served, pool(served.base, warm=2, limit=2) as session:
        session.send_now(POST, 0.02, results.append)
        session.send_now(POST, 0.02, results.append)
        await until(lambda: len(results) == 2)
        assert all(each.is_late for each in session._all)
        assert (await session.request(GET, 5.0)).body == b"hello"
        assert len(results) == 2


async def test_stop_wakes_those_who_wait_and_sends_nothing_more() -> None:
    sent_by_callback: list[Exception] = []

    def again(result: HttpResponse | Exception) -> None:
        try:
            session.send_now(POST, 1.0, lambda _: None)
        except NotSent as error:
            sent_by_callback.append(error)

    async with peer(silent) as served:
        session = HttpPool(served.base, SystemClock(), warm=2, limit=1)
        await session.start()
        session.send_now(POST, 60.0, again)
        while session.idle:
            session.send_now(POST, 60.0, again)
        waiting = asyncio.ensure_future(session.request(GET, 60.0))
        await until(lambda: session._waiters)
        await asyncio.wait_for(session.stop(), 2.0)
        with pytest.raises(NotSent, match="stopping"):
            await asyncio.wait_for(waiting, 2.0)
    assert len(sent_by_callback) == 2


@pytest.mark.fault("N07", "N19")
async def test_no_answer_to_tls_is_given_up_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_S", 0.1)
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # the client's hello, and then the end
        ended.set()

    async with peer(script) as served:
        base = served.base.replace("http:", "https:")
        session = HttpPool(base, SystemClock(), tls=ssl.create_default_context(), warm=0)
        with pytest.raises(NotSent):
            await session.request(POST, 0.3)
        await asyncio.wait_for(ended.wait(), 5.0)
        await session.stop()


async def test_answers_over_tls_byte_by_byte() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for at in range(len(OK)):
            writer.write(OK[at : at + 1])
            await writer.drain()
        await reader.read()

    async with peer(script, server) as served, pool(served.base, tls=client) as session:
        assert (await session.request(GET, 5.0)).body == b"hello"


async def test_sockets_come_from_the_dialer_that_is_shared() -> None:
    class Counting(Dialer):
        asked: tuple[tuple[str, int], ...] = ()

        async def connect(self, host: str, port: int) -> socket.socket:
            self.asked += ((host, port),)
            return await super().connect(host, port)

    dialer = Counting()
    async with peer(answering(OK)) as served:
        session = HttpPool(served.base, SystemClock(), warm=0, dialer=dialer)
        assert (await session.request(GET, 5.0)).body == b"hello"
        await session.stop()
    assert dialer.asked == (("127.0.0.1", int(served.base.rpartition(":")[2])),)


async def test_the_error_of_an_earlier_attempt_is_forgotten_once_connected() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        port = reserved.getsockname()[1]
    session = HttpPool(f"http://127.0.0.1:{port}", SystemClock(), warm=1)
    await session.start()
    assert session.last_error

    async with peer(answering(OK), port=port):
        assert (await session.request(GET, 5.0)).body == b"hello"
        assert session.last_error == ""
        await session.stop()


@pytest.mark.parametrize(
    "base",
    [
        "http://h/path",
        "http://h?x=1",
        "http://h#x",
        "http://u:p@h",
        "http://h:99999",
        "http://h:x",
        "http://h:0",
    ],
)
async def test_base_addresses_that_would_be_used_in_part_are_refused(base: str) -> None:
    with pytest.raises(UsageError):
        HttpPool(base, SystemClock())


async def test_the_host_header_of_an_ipv6_address() -> None:
    session = HttpPool("http://[::1]:8080", SystemClock())
    assert b"\r\nHost: [::1]:8080\r\n" in session._encoder.encode(GET)
