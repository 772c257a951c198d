"""A byte proxy on loopback: delays, slices, throttles, corrupts, holds or cuts what passes through."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

CHUNK = 65_536


class Pipe:
    """One proxied connection."""

    def __init__(self, down: asyncio.StreamWriter, up: asyncio.StreamWriter) -> None:
        self.down, self.up = down, up
        self.is_frozen = False

    def reset(self) -> None:
        """Send RST to the client."""
        raw = self.down.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.down.transport.abort()
        self.up.transport.abort()

    def finish(self) -> None:
        """Send FIN to the client, without a WebSocket close frame."""
        self.is_frozen = True
        self.down.close()
        self.up.transport.abort()


class ByteProxy:
    """Passes bytes between clients and one address; what it does to them may change at any time.

    Attributes:
        upstream: where connections go to.
        delay_s: each chunk towards the client comes so much later, in its order.
        slice_bytes: chunks are cut into pieces of this size, each written by itself; 0 = whole.
        pause_s: after each piece. bytes_per_s: of the way to the client; 0 = unlimited.
        is_held: nothing reaches clients until it is taken back, then everything at once.
        corrupts: change one byte of the next chunk.
    """

    def __init__(self) -> None:
        self.upstream: tuple[str, int] | None = None
        self.port = 0
        self.pipes: list[Pipe] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.calm()

    def calm(self) -> None:
        """Pass everything on as it is."""
        self.delay_s = self.pause_s = 0.0
        self.slice_bytes = self.bytes_per_s = 0
        self.is_held = self.corrupts = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        assert self.upstream is not None
        try:
            back, up = await asyncio.open_connection(*self.upstream)
        except OSError:
            writer.transport.abort()
            return
        for each in (writer, up):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipe = Pipe(writer, up)
        self.pipes.append(pipe)
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                self._forward(reader, pipe), self._read(back, queue), self._write(queue, pipe)
            )
        for each in (writer, up):
            each.transport.abort()
        self.pipes.remove(pipe)

    async def _forward(self, reader: asyncio.StreamReader, pipe: Pipe) -> None:
        while data := await reader.read(CHUNK):
            if not pipe.is_frozen:
                pipe.up.write(data)
        pipe.up.close()

    async def _read(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(CHUNK):
            queue.put_nowait((loop.time() + self.delay_s, data))
        queue.put_nowait((loop.time(), b""))

    async def _write(self, queue: asyncio.Queue[tuple[float, bytes]], pipe: Pipe) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            while self.is_held or pipe.is_frozen or (self.delay_s and loop.time() < due):
                await asyncio.sleep(0.005)
            while not queue.empty() and not self.bytes_per_s and not self.delay_s:
                data += queue.get_nowait()[1]  # what waited goes at once
            if not data:
                pipe.down.close()
                return
            if self.corrupts:
                self.corrupts = False
                data = data[:-1] + bytes([data[-1] ^ 0x40])
            while data:
                size = self.slice_bytes or (max(1, self.bytes_per_s // 50) if self.bytes_per_s else len(data))
                pipe.down.write(data[:size])
                data = data[size:]
                if self.pause_s or self.bytes_per_s:
                    await asyncio.sleep(self.pause_s or 0.02)
                else:
                    await pipe.down.drain()

    async def stop(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def byte_proxy() -> AsyncIterator[ByteProxy]:
    """Listen on loopback; set ``upstream`` before the first client comes."""
    proxy = ByteProxy()
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
