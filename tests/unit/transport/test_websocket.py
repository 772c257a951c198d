"""The WebSocket session against servers that vanish, refuse, fall silent and talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import http
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from engine.model.errors import NotSent
from engine.model.wire import ConnectionRules, Heartbeat
from engine.telemetry.clock import SystemClock
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.websocket import SessionDown, SessionUp, WebSocketSession

Handler = Callable[[ServerConnection], Awaitable[None]]


async def until(done: Callable[[], Any], seconds: float = 10.0) -> None:
    """Poll with a deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not done():
        assert loop.time() < deadline, "not in time"
        await asyncio.sleep(0.005)


class Client:
    """A session and everything it told."""

    def __init__(self, url: str, **options: Any) -> None:
        self.events: list[SessionUp | SessionDown] = []
        self.messages: list[bytes] = []
        self.quarantined: list[tuple[bytes, Exception]] = []
        clock = SystemClock()
        rules = options.pop("rules", None) or rules_of()
        options.setdefault("on_message", lambda payload, *_: self.messages.append(payload))
        options.setdefault("budget", ConnectionBudget(100, 60, clock))
        self.session = WebSocketSession(
            name="test", url=options.pop("ask", lambda: url), rules=rules, clock=clock,
            backoff=Backoff(10, 50, random.Random(1)), on_up=self.events.append,
            on_down=self.events.append, on_quarantine=lambda *what: self.quarantined.append(what), **options,
        )  # fmt: skip

    @property
    def downs(self) -> list[SessionDown]:
        return [event for event in self.events if isinstance(event, SessionDown)]

    @property
    def ups(self) -> list[SessionUp]:
        return [event for event in self.events if isinstance(event, SessionUp)]


def rules_of(heartbeat: Heartbeat | None = None) -> ConnectionRules:
    return ConnectionRules(heartbeat or Heartbeat(silence_ms=60_000), 1000, 1024, 100, 60, 0)


@contextlib.asynccontextmanager
async def served(handler: Handler, **options: Any) -> AsyncIterator[str]:
    tls = options.get("ssl")
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws{'s' if tls else ''}://127.0.0.1:{port}/"
        server.close(close_connections=True)


@contextlib.asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Client]:
    made = Client(url, **options)
    made.session.start()
    try:
        yield made
    finally:
        await asyncio.wait_for(made.session.stop(), 5.0)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.fault("W01")
async def test_messages_go_both_ways_also_in_pieces() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(["in ", "three ", "pieces"])
        await echo(connection)

    async with served(handler) as url, client(url) as made:
        await until(lambda: made.messages == [b"in three pieces"])
        made.session.send(b'{"id":1}')
        await until(lambda: made.messages[1:] == [b'{"id":1}'])
        assert made.session.messages == 2
        assert made.session.is_open


@pytest.mark.fault("N02", "P04")
async def test_a_lost_connection_is_made_again_with_a_new_epoch_and_greeted_again() -> None:
    heard: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        heard.append(await connection.recv())
        if len(heard) < 3:
            connection.transport.abort()
        await echo(connection)

    async with served(handler) as url, client(url, greeting=lambda: (b"subscribe",)) as made:
        await until(lambda: len(heard) == 3)
        assert [event.epoch for event in made.ups] == [1, 2, 3]
        assert all(down.was_up and down.reason for down in made.downs)
    assert heard == ["subscribe"] * 3


async def test_an_address_that_has_to_be_asked_for_is_asked_for_each_time() -> None:
    paths: list[str] = []
    asked = 0

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        if len(paths) < 3:
            connection.transport.abort()
        await echo(connection)

    async with served(handler) as url:

        async def ask() -> str | None:
            nonlocal asked
            asked += 1
            if asked == 2:
                raise OSError("the token service is away")
            await asyncio.sleep(0)
            return f"{url}?token={asked}"

        async with client(url, ask=ask) as made:
            await until(lambda: len(paths) == 3)
            assert [down.reason for down in made.downs if not down.was_up] == [
                "cannot connect: the token service is away"
            ]
    assert paths == ["/?token=1", "/?token=3", "/?token=4"]


async def test_a_venue_that_speaks_first_is_greeted_when_it_has_spoken() -> None:
    heard: list[Any] = []

    async def handler(connection: ServerConnection) -> None:
        with contextlib.suppress(TimeoutError):
            heard.append(await asyncio.wait_for(connection.recv(), 0.05))
        await connection.send("welcome")
        heard.append(await connection.recv())
        heard.append(await connection.recv())

    def on_message(payload: bytes, mono_ns: int, utc_ns: int) -> None:
        made.session.greet()

    async with (
        served(handler) as url,
        client(url, greeting=lambda: (b"a", b"b"), greets_late=True, on_message=on_message) as made,
    ):
        await until(lambda: len(heard) == 2)
    assert heard == ["a", "b"]


async def test_a_liveness_rule_that_the_venue_dictates_holds_for_that_connection() -> None:
    async with served(echo) as url, client(url) as made:
        await until(lambda: made.session.is_open)
        assert not made.downs
        made.session.heartbeat = Heartbeat(silence_ms=200)
        made.session.drop("test")
        await until(lambda: len(made.downs) == 2)
        assert made.downs[1].reason == "silent for 200 ms"


@pytest.mark.fault("N03")
async def test_a_silent_peer_is_given_up() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()

    quick = rules_of(heartbeat=Heartbeat(silence_ms=300))
    async with served(handler, ping_interval=None) as url, client(url, rules=quick) as made:
        await until(lambda: made.downs)
        assert "silent" in made.downs[0].reason
        await until(lambda: len(made.ups) > 1)


@pytest.mark.fault("N03", "W14")
async def test_a_peer_that_does_not_answer_pings_is_given_up() -> None:
    # A real upgrade by the library, then a peer whose process hangs: its socket stays open.
    hung: list[ServerConnection] = []

    async def handler(connection: ServerConnection) -> None:
        hung.append(connection)
        connection.transport.pause_reading()
        await connection.wait_closed()

    beats = Heartbeat(silence_ms=60_000, ping_interval_ms=50, pong_timeout_ms=200)
    async with served(handler, ping_interval=None) as url:
        async with client(url, rules=rules_of(heartbeat=beats)) as made:
            await until(lambda: made.downs)
            assert made.downs[0].reason == "no pong"
        for connection in hung:
            connection.transport.abort()


@pytest.mark.fault("N23")
@pytest.mark.parametrize(
    ("status", "headers", "least_ms"), [(429, {"Retry-After": "7"}, 7_000), (418, {}, 5_000), (503, {}, 0)]
)
async def test_a_refused_upgrade_is_honoured(status: int, headers: dict[str, str], least_ms: int) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return Response(status, http.HTTPStatus(status).phrase, Headers(headers), b"no")

    async with served(echo, process_request=refuse) as url, client(url) as made:
        await until(lambda: made.downs)
        down = made.downs[0]
        assert down.reason == f"upgrade refused: HTTP {status}"
        assert not down.was_up
        assert down.retry_ms >= least_ms
        with pytest.raises(NotSent):
            made.session.send(b"x")


@pytest.mark.fault("N22")
async def test_attempts_stay_within_the_budget() -> None:
    attempts = 0

    def refuse(connection: ServerConnection, request: Request) -> Response:
        nonlocal attempts
        attempts += 1
        return Response(404, "Not Found", Headers(), b"no")

    budget = ConnectionBudget(3, 3600, SystemClock())
    async with served(echo, process_request=refuse) as url, client(url, budget=budget) as made:
        await until(lambda: attempts == 3)
        await until(lambda: budget.wait_ms() > 0)
        for _ in range(50):
            await asyncio.sleep(0.005)
        assert attempts == 3
        assert len(made.downs) == 3


@pytest.mark.fault("S12")
async def test_a_handler_that_raises_costs_the_message_not_the_connection() -> None:
    seen: list[bytes] = []

    def on_message(payload: bytes, mono_ns: int, utc_ns: int) -> None:
        if payload == b"bad":
            raise ValueError("cannot be read")
        seen.append(payload)

    async def handler(connection: ServerConnection) -> None:
        for text in ("one", "bad", "two"):
            await connection.send(text)
        await connection.wait_closed()

    async with served(handler) as url, client(url, on_message=on_message) as made:
        await until(lambda: seen == [b"one", b"two"])
        ((payload, error),) = made.quarantined
        assert (payload, str(error)) == (b"bad", "cannot be read")
        assert not made.downs
        assert made.session.quarantined == 1


@pytest.mark.fault("W17")
async def test_a_replacement_leaves_no_gap() -> None:
    """Before its lifetime ends a connection is replaced while it still serves."""
    open_now: list[ServerConnection] = []

    async def handler(connection: ServerConnection) -> None:
        open_now.append(connection)
        try:
            for number in range(10_000):
                await connection.send(str(number))
                await asyncio.sleep(0.001)
        finally:
            open_now.remove(connection)

    async with served(handler) as url, client(url) as made:
        await until(lambda: len(made.messages) > 20)
        assert await made.session.rotate("a test")
        assert made.session.is_open
        assert [type(event) for event in made.events] == [SessionUp, SessionDown, SessionUp]
        assert made.downs[0].reason == "replaced: a test"
        assert made.downs[0].retry_ms == 0
        assert made.ups[-1].epoch == 2
        count = len(made.messages)
        await until(lambda: len(made.messages) > count + 20)
        await until(lambda: len(open_now) == 1)
        assert len(made.downs) == 1


async def test_a_replacement_that_cannot_be_made_leaves_the_old_one() -> None:
    async with served(echo) as url, client(url) as made:
        await until(lambda: made.session.is_open)
        made.session._url = lambda: "ws://127.0.0.1:1/"
        assert not await made.session.rotate("a test")
        assert made.session.is_open
        made.session.send(b"still here")
        await until(lambda: made.messages == [b"still here"])
        assert not made.downs


async def test_nothing_is_sent_on_a_connection_that_is_going() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(1001, "going away")

    async with served(handler) as url, client(url) as made:
        with pytest.raises(NotSent):
            made.session.send(b"too early")
        await until(lambda: made.session.is_open)
        made.session.send(b"x")
        await until(lambda: made.downs)
        assert made.downs[0].reason == "closed by the peer: 1001 going away"
    with pytest.raises(NotSent):
        made.session.send(b"too late")


@pytest.mark.fault("P04")
async def test_a_dropped_connection_delivers_nothing_more() -> None:
    async def handler(connection: ServerConnection) -> None:
        for number in range(100_000):
            await connection.send(str(number))

    async with served(handler) as url, client(url) as made:
        await until(lambda: made.messages)
        made.session.drop("a gap")
        count, epoch = len(made.messages), made.session.epoch
        await until(lambda: made.session.epoch > epoch and len(made.messages) > count)
        assert made.messages[count] == b"0", "what came next was of the new connection"


@pytest.mark.fault("N18")
async def test_certificates_are_verified() -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    good, bad = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(good)
    stranger.configure_trust(bad)
    async with served(echo, ssl=server) as url:
        async with client(url, tls=good) as made:
            await until(lambda: made.session.is_open)
        async with client(url, tls=bad) as made:
            await until(lambda: made.downs)
            assert "certificate" in made.downs[0].reason.lower()
            assert not made.ups


async def test_stop_is_quick_while_connecting_to_a_black_hole() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client(f"ws://127.0.0.1:{port}/") as made:
        await asyncio.sleep(0.05)
        assert not made.session.is_open
    server.close()
