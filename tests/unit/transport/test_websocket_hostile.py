"""The WebSocket session when closing, refused, flooded, or joined to a peer that does not read."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import http
import random
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from engine.model.errors import NotSent
from engine.model.wire import ConnectionRules, Heartbeat
from engine.telemetry.clock import SystemClock
from engine.transport import listener as listeners
from engine.transport import websocket
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.websocket import SessionDown, SessionUp, WebSocketSession
from tests.unit.transport.test_websocket import client, echo, rules_of, served, until

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

TEXT, CLOSE, PING = 0x81, 0x88, 0x89


def frame(first: int, payload: bytes) -> bytes:
    """Return an unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    return bytes((first, 126)) + struct.pack(">H", size) + payload


def pause_reading(writer: asyncio.StreamWriter) -> None:
    transport: Any = writer.transport
    transport.pause_reading()


@pytest.fixture(params=["used", "pure"])
def either_listener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(websocket, "FrameListener", listeners.PureFrameListener)


@contextlib.asynccontextmanager
async def raw_peer(talk: Talk, upgrade: bool = True) -> AsyncIterator[str]:
    """Serve the bare upgrade, then bytes as ``talk`` writes them."""
    tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks[task] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if upgrade:
                head = await reader.readuntil(b"\r\n\r\n")
                key = next(
                    line.split(b":")[1].strip()
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"sec-websocket-key")
                )
                digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
                )
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        known = -1
        while known != len(tasks):  # what was dialled last may be accepted only now
            known = len(tasks)
            for task, writer in tasks.items():
                writer.transport.abort()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------- closing states


@pytest.mark.fault("W11", "W12")
@pytest.mark.usefixtures("either_listener")
async def test_after_the_peers_close_nothing_is_sent_or_heard() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TEXT, b"one") + frame(CLOSE, b"\x03\xe9bye") + frame(TEXT, b"two"))
        await reader.read()

    refused: list[NotSent] = []

    def on_down(event: SessionDown) -> None:
        downs.append(event)
        try:
            made.session.send(b"x")
        except NotSent as error:
            refused.append(error)

    downs: list[SessionDown] = []
    async with raw_peer(talk) as url, client(url) as made:
        made.session._on_down = on_down
        await until(lambda: downs)
        assert downs[0].reason == "closed by the peer: 1001 bye"
        assert made.messages[:1] == [b"one"]
        assert b"two" not in made.messages
        assert refused


@pytest.mark.fault("W04")
@pytest.mark.usefixtures("either_listener")
async def test_a_broken_rule_ends_the_connection_with_a_reason() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(broken.pop(0) if broken else b"")
        await reader.read()

    broken = [frame(0xC1, b"rsv"), frame(0x80, b"no start"), frame(TEXT, b"\xff"), frame(CLOSE, b"x"),
              frame(CLOSE, b"\x03\xec"), frame(0x83, b"unknown")]  # fmt: skip
    reasons = [
        "1002 reserved bits", "1002 a continuation", "1007 invalid UTF-8", "1002 Received CLOSE with invalid",
        "1002 Received CLOSE with invalid", "1002",
    ]  # fmt: skip
    async with raw_peer(talk) as url, client(url) as made:
        await until(lambda: len(made.downs) == len(reasons) and made.session.is_open)
        for down, reason in zip(made.downs, reasons, strict=True):
            assert down.reason.startswith(f"protocol violation: {reason}")
        assert not made.messages


@pytest.mark.fault("W06")
@pytest.mark.usefixtures("either_listener")
async def test_a_server_that_masks_is_read_no_further_or_read_right() -> None:
    """Only clients mask: the connection ends, or the text is what was meant; never the masked bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mask = b"\x11\x22\x33\x44"
        body = bytes(byte ^ mask[at % 4] for at, byte in enumerate(b"hello"))
        writer.write(bytes((TEXT, 0x80 | len(body))) + mask + body)
        await reader.read()

    async with raw_peer(talk) as url, client(url) as made:
        await until(lambda: made.downs or made.messages)
        assert set(made.messages) <= {b"hello"}


@pytest.mark.usefixtures("either_listener")
async def test_a_peer_that_closes_but_does_not_read_cannot_delay_the_end() -> None:
    """What waits to leave would keep a graceful close open for as long as the peer likes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pause_reading(writer)
        await full.wait()
        writer.write(frame(CLOSE, b"\x03\xe8"))
        await asyncio.Event().wait()

    def send_much(session: WebSocketSession) -> None:
        for _ in range(1_000):
            session.send(b"x" * 65_000)

    full = asyncio.Event()
    async with raw_peer(talk) as url, client(url) as made:
        await until(lambda: made.session.is_open)
        with pytest.raises(NotSent, match="bytes are waiting to leave already"):
            send_much(made.session)
        full.set()
        await until(lambda: made.downs)
        assert made.downs[0].reason.startswith("closed by the peer: 1000")
        await until(lambda: len(made.ups) > 1)


async def test_not_sent_in_each_state() -> None:
    async with served(echo) as url:
        async with client(url) as made:
            with pytest.raises(NotSent, match="not connected"):
                made.session.send(b"before")
            await until(lambda: made.session.is_open)
            made.session.drop("a test")
            with pytest.raises(NotSent, match=r"closing|not connected"):
                made.session.send(b"dropped")
            await until(lambda: len(made.ups) == 2)
            stopping = asyncio.ensure_future(made.session.stop())
            await asyncio.sleep(0)
            with pytest.raises(NotSent, match=r"closing|not connected"):
                made.session.send(b"stopping")
            await stopping
        with pytest.raises(NotSent, match="not connected"):
            made.session.send(b"stopped")
        assert not made.messages


async def test_stop_is_bounded_when_the_peer_never_answers_the_close() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pause_reading(writer)
        await asyncio.Event().wait()

    async with raw_peer(talk) as url, client(url) as made:
        await until(lambda: made.session.is_open)
        await asyncio.wait_for(made.session.stop(), 5.0)
        assert not made.session.is_open
        assert not made.downs, "no SessionDown follows stop()"


async def test_stop_while_the_upgrade_hangs_leaves_no_connection() -> None:
    ended = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        ended.set()

    asked = asyncio.Event()
    async with raw_peer(talk, upgrade=False) as url, client(url) as made:
        await asyncio.wait_for(asked.wait(), 5.0)
        await asyncio.wait_for(made.session.stop(), 5.0)
        await asyncio.wait_for(ended.wait(), 5.0)
        assert made.events == []


@pytest.mark.fault("N07")
async def test_an_upgrade_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "OPEN_TIMEOUT_S", 0.1)
    ends: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        ends.append(await reader.read())

    async with raw_peer(talk, upgrade=False) as url, client(url) as made:
        await until(lambda: made.downs and ends)
        assert "timed out" in made.downs[0].reason or "cannot connect" in made.downs[0].reason


@pytest.mark.fault("W13", "H14")
@pytest.mark.parametrize(
    "answer",
    [
        b"\x00" * 100 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n",
        b"",
    ],
    ids=["zeros", "200", "wrong accept", "nothing"],
)
async def test_what_is_no_upgrade_is_an_attempt_that_failed(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with raw_peer(talk, upgrade=False) as url, client(url) as made:
        await until(lambda: len(made.downs) >= 2)
        assert all(not down.was_up and down.reason for down in made.downs)
        assert not made.ups


# ------------------------------------------------------------------------------------------------- refusals


def refusing(status: int, headers: dict[str, str]) -> Callable[[ServerConnection, Request], Response]:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return Response(status, http.HTTPStatus(status).phrase, Headers(headers), b"no")

    return refuse


@pytest.mark.parametrize(
    ("retry_after", "least_ms"), [("9" * 5_000, 259_200_000), ("-1", 5_000), ("Wed, 21 Oct 2015", 5_000)]
)
async def test_odd_pauses_do_not_end_the_session(retry_after: str, least_ms: int) -> None:
    refuse = refusing(429, {"Retry-After": retry_after})
    async with served(echo, process_request=refuse) as url, client(url) as made:
        await until(lambda: made.downs)
        assert made.downs[0].retry_ms == least_ms
        assert made.session._task is not None
        assert not made.session._task.done()


@pytest.mark.fault("N23")
async def test_a_ban_holds_every_session_of_the_host() -> None:
    budget = ConnectionBudget(100, 60, SystemClock())
    refuse = refusing(418, {"Retry-After": "60"})
    async with served(echo, process_request=refuse) as url, client(url, budget=budget) as one:
        await until(lambda: one.downs)
        assert budget.wait_ms() > 50_000
        async with client(url, budget=budget) as other:
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert other.session.epoch == 0, "an attempt inside the ban"


async def test_a_replacement_waits_for_the_pause_that_was_asked_for() -> None:
    attempts = 0

    def refuse_later(connection: ServerConnection, request: Request) -> Response | None:
        nonlocal attempts
        attempts += 1
        return refusing(503, {"Retry-After": "60"})(connection, request) if attempts > 1 else None

    async with served(echo, process_request=refuse_later) as url, client(url) as made:
        await until(lambda: made.session.is_open)
        assert not await made.session.rotate("a test")
        assert not await made.session.rotate("again, too early")
        assert attempts == 2
        made.session.send(b"still here")
        await until(lambda: made.messages == [b"still here"])


# -------------------------------------------------------------------------------------------- life, planned


async def test_a_connection_is_replaced_before_its_lifetime_ends_when_nothing_is_in_flight() -> None:
    allowed = False
    old = ConnectionRules(Heartbeat(silence_ms=400), 1000, 1024, 100, 60, 1)

    async def handler(connection: ServerConnection) -> None:
        while True:
            await connection.send("tick")
            await asyncio.sleep(0.02)

    async with served(handler) as url, client(url, rules=old, may_rotate=lambda: allowed) as made:
        await until(lambda: made.session.is_open)
        made.session._rotate_at_ns = 1  # its time has come
        count = len(made.messages)
        await until(lambda: len(made.messages) > count + 10)
        assert made.session.epoch == 1, "replaced while something was in flight"
        allowed = True
        await until(lambda: made.session.epoch == 2)
        assert [type(event) for event in made.events] == [SessionUp, SessionDown, SessionUp]
        assert made.downs[0].reason == "replaced: near its lifetime"


async def test_connections_that_die_young_are_made_again_ever_more_slowly() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with raw_peer(talk) as url, client(url) as made:
        made.session._backoff = Backoff(20, 40, random.Random(1))
        await until(lambda: len(made.downs) >= 5)
        assert made.downs[0].retry_ms == 0
        assert all(down.retry_ms > 0 for down in made.downs[1:])


# --------------------------------------------------------------------------------------------- floods and TLS


@pytest.mark.fault("W14")
@pytest.mark.usefixtures("either_listener")
async def test_a_flood_of_pings_is_answered_in_part() -> None:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(PING, b"p") * 1_000 + frame(TEXT, b"end"))
        while part := await reader.read(65_536):
            heard.extend(part)

    async with raw_peer(talk) as url, client(url) as made:
        await until(lambda: made.messages == [b"end"])
        made.session.send(b"marker")
        await until(lambda: len(heard) % 7 == 5)  # pongs of 7 bytes, the marker has 12
        assert 50 <= (len(heard) - 12) // 7 <= 100
        assert not made.downs


@pytest.mark.fault("W09")
@pytest.mark.usefixtures("either_listener")
async def test_fragments_without_end_are_refused_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MESSAGE_BYTES_MAX", 100_000)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(0x01, b"x" * 60_000))
        while True:
            writer.write(frame(0x00, b"x" * 60_000))
            await writer.drain()

    async with raw_peer(talk) as url, client(url) as made:
        await until(lambda: made.downs)
        assert made.downs[0].reason == "protocol violation: 1009 message too big"
        assert not made.messages


@pytest.mark.fault("S12")
async def test_handlers_that_raise_when_told_of_the_connection() -> None:
    def failing(event: object) -> None:
        raise RuntimeError("a bug")

    async with served(echo) as url, client(url) as made:
        made.session._on_down = failing
        await until(lambda: made.session.is_open)
        made.session.drop("a test")
        await until(lambda: len(made.ups) == 2)
        made.session.send(b"alive")
        await until(lambda: made.messages == [b"alive"])
        assert [(payload, str(error)) for payload, error in made.quarantined] == [(b"", "a bug")]


@pytest.mark.fault("N18")
async def test_a_certificate_for_another_name_or_none_is_refused() -> None:
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("stream.example.org").configure_cert(server)
    authority.configure_trust(trusting)
    async with served(echo, ssl=server) as url, client(url, tls=trusting) as made:
        await until(lambda: made.downs)
        assert made.downs[0].reason.startswith("certificate refused: ")
        assert not made.ups


@pytest.mark.fault("W19")
def test_the_message_budget_spreads_what_is_sent_at_once() -> None:
    async def run() -> list[float]:
        async with served(echo) as url, client(url, rules=slow) as made:
            await until(lambda: made.session.is_open)
            return [made.session.reserve_send() for _ in range(5)]

    slow: Any = ConnectionRules(Heartbeat(silence_ms=60_000), 5, 1024, 100, 60, 0)
    waits = asyncio.run(run())
    assert waits[0] == 0
    assert all(0.2 < after - before <= 0.25 for before, after in pairwise(waits))
    assert rules_of().messages_per_s == 1000
