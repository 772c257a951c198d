"""Binary messages that are deflate streams: inflated before the sink, bounded, refused where none."""

from __future__ import annotations

import asyncio
import zlib
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picows import WSMsgType
from websockets.asyncio.server import ServerConnection

from engine.book.l2 import new_book, new_feed
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Product
from engine.transport import listener as listeners
from engine.transport import websocket
from engine.venues.bitmart.market_data import depth_schema
from tests.unit.transport.test_websocket import client, echo, rules_of, served, until
from tests.unit.transport.test_websocket_hostile import TEXT, frame, raw_peer

BINARY, CONTINUED = 0x82, 0x00
LIMIT = 10_000


def deflated(payload: bytes, level: int = 6) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(payload) + packer.flush(zlib.Z_FINISH)


def inflating(limit: int = LIMIT) -> Any:
    return msgspec.structs.replace(rules_of(), inflated_bytes_max=limit)


@pytest.fixture(params=["used", "pure"], autouse=True)
def either_listener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(websocket, "FrameListener", listeners.PureFrameListener)


async def test_every_frame_is_told_by_its_opcode() -> None:
    plain, packed = b'{"event":"subscribe"}', b'{"table":"spot/ticker","data":[]}' * 20

    async def handler(connection: ServerConnection) -> None:
        await connection.send(plain.decode())
        for _ in range(3):  # each a stream of its own
            await connection.send(deflated(packed))
        await connection.send("pong")
        await connection.send(deflated(b""))
        await echo(connection)

    async with served(handler) as url, client(url, rules=inflating()) as made:
        await until(lambda: len(made.messages) == 6)
        assert made.messages == [plain, packed, packed, packed, b"pong", b""]
        assert made.session.messages == 6
        assert made.session.bytes_received == len(plain) + 3 * len(deflated(packed)) + 4 + len(deflated(b""))
        assert not made.downs


async def test_connections_without_the_rule_take_binary_messages_as_they_are() -> None:
    """KuCoin sends plain JSON in binary frames."""
    plain, packed = b'{"type":"welcome"}', deflated(b"x" * 500)

    async def handler(connection: ServerConnection) -> None:
        await connection.send(plain)
        await connection.send(packed)
        await echo(connection)

    async with served(handler) as url, client(url) as made:
        await until(lambda: len(made.messages) == 2)
        assert made.messages == [plain, packed]


async def test_a_fragmented_stream_is_put_together_first() -> None:
    payload = b'{"table":"spot/trade"}' * 50
    packed = deflated(payload)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(0x02, packed[:7]) + frame(0x89, b"ping") + frame(CONTINUED, packed[7:20]))
        writer.write(frame(0x80, packed[20:]) + frame(TEXT, b"after"))
        await reader.read()

    async with raw_peer(talk) as url, client(url, rules=inflating()) as made:
        await until(lambda: len(made.messages) == 2)
        assert made.messages == [payload, b"after"]


@pytest.mark.fault("W10")
async def test_what_is_no_whole_stream_ends_the_connection() -> None:
    """A lost update could hide behind a sign of life that repeats its version: nothing may be skipped."""
    packed = deflated(b'{"version":5}' * 30)
    synced = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    broken = [
        b"",
        packed[:-1],
        packed[:10],
        packed + b"\x00",
        packed + packed,
        zlib.compress(b"with a zlib header"),
        b'{"plain":"text"}',
        b"\xff" * 40,
        synced.compress(b"never finished") + synced.flush(zlib.Z_SYNC_FLUSH),
    ]
    sent = list(broken)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if sent:
            writer.write(frame(BINARY, sent.pop(0)) + frame(TEXT, b"behind it"))
        await reader.read()

    async with raw_peer(talk) as url, client(url, rules=inflating()) as made:
        await until(lambda: len(made.downs) == len(broken) and made.session.is_open)
        for down in made.downs:
            assert down.reason == "protocol violation: 1007 not one whole deflate stream"
        assert made.messages == []


@pytest.mark.fault("W10")
async def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bombs = [deflated(b"\x00" * size, 9) for size in (LIMIT + 1, 50_000_000)]
    fits = deflated(b"\x00" * LIMIT, 9)
    sent = [fits + b"", *bombs]

    async def handler(connection: ServerConnection) -> None:
        while sent:
            await connection.send(sent.pop(0))
        await echo(connection)

    async with served(handler) as url, client(url, rules=inflating()) as made:
        await until(lambda: made.downs)
        assert made.downs[0].reason == "protocol violation: 1009 message too big when inflated"
        assert made.messages == [b"\x00" * LIMIT]


async def test_the_books_take_inflated_frames_without_python_seeing_them() -> None:
    book = new_book("BTC/USDT", 2, 5, 1, Decimal(1))
    feed = new_feed(depth_schema(Product.SPOT))
    feed.add("spot/depth/increase100\nBTC_USDT", book)
    book.begin_sync()
    head = b'{"data":[{"asks":[["23200","0.69959"]],"bids":[["23105","1.80114"]],"ms_t":1698292343610,'
    tail = b'"symbol":"BTC_USDT","type":"snapshot","version":4}],"table":"spot/depth/increase100"}'
    update = (head + tail).replace(b"snapshot", b"update").replace(b'version":4', b'version":5')

    async def handler(connection: ServerConnection) -> None:
        await connection.send(deflated(head + tail))
        await connection.send(deflated(update.replace(b"0.69959", b"0.59959")))
        await connection.send(deflated(b'{"table":"spot/trade","data":[]}'))
        await echo(connection)

    async with served(handler) as url, client(url, rules=inflating(), sink=feed) as made:
        await until(lambda: made.messages)
        assert made.messages == [b'{"table":"spot/trade","data":[]}']
        assert (book.is_live, book.sequence) == (True, 5)
        assert book.touch() == (2_310_500, 180_114, 2_320_000, 59_959)


async def test_a_message_that_no_decoder_takes_does_not_cost_the_connection() -> None:
    def refuse(payload: bytes, *_: int) -> None:
        raise ProtocolViolation("not mine", payload)

    async def handler(connection: ServerConnection) -> None:
        await connection.send(deflated(b"\xff no text"))
        await echo(connection)

    async with served(handler) as url, client(url, rules=inflating(), on_message=refuse) as made:
        await until(lambda: made.quarantined)
        assert made.quarantined[0][0] == b"\xff no text"
        assert not made.downs


class _Ended:
    """Stands for a transport: what it is told to do is kept."""

    def __init__(self) -> None:
        self.closed: list[int] = []
        self.is_close_frame_sent = False

    def send_close(self, code: int, reason: bytes = b"") -> None:
        self.closed.append(int(code))

    def disconnect(self, graceful: bool = True) -> None: ...


@given(st.binary(max_size=300), st.integers(1, 200))
def test_any_bytes_are_inflated_or_refused(noise: bytes, limit: int) -> None:
    """The pure twin, byte for byte: never more than the bound, never half a stream, never an exception."""
    heard: list[bytes] = []
    listener = listeners.PureFrameListener(
        None, lambda payload, *_: heard.append(payload), lambda *_: None, lambda _: None, lambda _: None,
        lambda _: None, 1_000_000, limit,
    )  # fmt: skip
    for payload in (noise, deflated(noise), deflated(noise)[:-1]):
        heard.clear()
        listener.is_closing = False
        listener.transport = ended = _Ended()  # type: ignore[assignment]
        listener._deliver(payload, WSMsgType.BINARY, 1)
        assert len(heard) + len(ended.closed) == 1
        if payload == deflated(noise):
            assert heard == ([noise] if len(noise) <= limit else [])
        assert all(len(each) <= limit for each in heard)
