"""The control socket: who may use it, and what a hostile client can do to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import ConfigError, UsageError
from engine.transport import control
from engine.transport.control import CLIENTS_MAX, ControlClient, ControlServer


async def until(done: Callable[[], Any], seconds: float = 10.0) -> None:
    """Poll with a deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not done():
        assert loop.time() < deadline, "not in time"
        await asyncio.sleep(0.002)


class Served:
    """A control server that echoes, refuses, fails or pours out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: list[str] = []
        self.hang = asyncio.Event()
        self.server = ControlServer(path, self.handle, self.refused.append)

    async def handle(self, command: str, arguments: dict[str, Any]) -> Any:
        if command == "refuse":
            raise UsageError("not now")
        if command == "fail":
            raise KeyError("a bug")
        if command == "pour":
            return "x" * 8_000_000
        if command == "hang":
            await self.hang.wait()
        return {"command": command, **arguments}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path / "run" / "control.sock")
    await made.server.start()
    yield made
    await made.server.stop()
    await asyncio.sleep(0)


async def connect(served: Served) -> ControlClient:
    client = await ControlClient.connect(served.path)
    assert client is not None
    return client


async def raw(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(str(served.path))


async def test_a_frozen_engine_with_a_full_queue_keeps_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with contextlib.ExitStack() as kept, socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(path))
        frozen.listen(0)
        clients = [kept.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(20)]
        for client in clients:
            client.setblocking(False)
        refused = [client.connect_ex(str(path)) for client in clients]
        assert refused[0] == 0
        assert refused[-1] == errno.EAGAIN, "the queue is full"
        with pytest.raises(ConfigError, match="another engine already serves"):
            await Served(path).server.start()
        assert path.exists(), "the frozen engine's socket was taken away"


async def test_only_the_owner_may_use_it(served: Served) -> None:
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(served.path.parent.stat().st_mode) == 0o700


async def test_question_and_answer(served: Served) -> None:
    client = await connect(served)
    assert await client.ask("status", depth=3) == {"command": "status", "depth": 3}
    with pytest.raises(UsageError, match="not now"):
        await client.ask("refuse")
    assert await client.ask("status") == {"command": "status"}
    client.close()


async def test_a_bug_in_a_command_is_told_and_escalated(served: Served) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    client = await connect(served)
    with pytest.raises(UsageError, match="internal error: KeyError"):
        await client.ask("fail")
    assert await client.ask("status") == {"command": "status"}
    assert [repr(each["exception"]) for each in told] == ["KeyError('a bug')"]
    client.close()


@pytest.mark.parametrize(
    "line",
    [b"", b"garbage", b"\xff\xfe\x00", b"[]", b"{}", b'{"command":1}', b'{"command":"x","extra":1}',
     b'{"command":"x","arguments":[]}', b"[" * 60_000, b'{"command":"x","arguments":{"a":' + b"[" * 5_000],
    ids=range(10),
)  # fmt: skip
async def test_garbage_is_answered_and_the_connection_stays(served: Served, line: bytes) -> None:
    reader, writer = await raw(served)
    writer.write(line + b"\n" + b'{"command":"status"}\n')
    refusal, answer = [json.loads(await reader.readline()) for _ in range(2)]
    assert refusal["ok"] is False
    assert refusal["error"].startswith("malformed request")
    assert answer == {"ok": True, "result": {"command": "status"}}
    assert len(served.refused) == 1
    writer.close()


async def test_a_huge_line_ends_the_client_not_the_server(served: Served) -> None:
    reader, writer = await raw(served)
    with contextlib.suppress(ConnectionError):
        writer.write(b"x" * 1_000_000)
        assert await reader.read() == b""
    assert served.refused == ["request longer than 64 KiB"]
    writer.close()
    client = await connect(served)
    assert await client.ask("status") == {"command": "status"}
    client.close()


async def test_a_client_that_does_not_read_is_cut_and_nothing_is_kept_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.1)
    with socket.socket(socket.AF_UNIX) as slow:
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, str(served.path))
        await loop.sock_sendall(slow, b'{"command":"pour"}\n')
        await until(lambda: served.server._clients)
        await until(lambda: not served.server._clients)
        received = 0
        with contextlib.suppress(ConnectionError):
            while part := await asyncio.wait_for(loop.sock_recv(slow, 1 << 20), 5.0):
                received += len(part)
        assert received < 8_000_000


async def test_an_idle_client_is_let_go(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.05)
    reader, writer = await raw(served)
    writer.write(b'{"command":"half')
    assert await asyncio.wait_for(reader.read(), 5.0) == b""
    writer.close()


async def test_too_many_clients(served: Served) -> None:
    clients = [await raw(served) for _ in range(CLIENTS_MAX)]
    await until(lambda: len(served.server._clients) == CLIENTS_MAX)
    reader, writer = await raw(served)
    assert await asyncio.wait_for(reader.read(), 5.0) == b""
    assert served.refused == [f"more than {CLIENTS_MAX} clients"]
    for _, each in [*clients, (reader, writer)]:
        each.close()
    await until(lambda: not served.server._clients)


async def test_a_late_answer_is_never_taken_for_the_next_ones(served: Served) -> None:
    client = await connect(served)
    with pytest.raises(UsageError, match="did not answer 'hang'"):
        await client.ask("hang", timeout_s=0.05)
    served.hang.set()
    with pytest.raises(UsageError, match="did not answer"):
        await client.ask("status", timeout_s=5.0)
    client.close()


@pytest.mark.parametrize("answer", [b"garbage\n", b"[]\n", b"{}\n", b"", b"x" * 3_000_000])
async def test_an_engine_that_talks_nonsense(
    tmp_path: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
        writer.close()
        ended.set()

    monkeypatch.setattr(control, "ANSWER_BYTES_MAX", 1_000_000)
    ended = asyncio.Event()
    server = await asyncio.start_unix_server(serve, str(tmp_path / "s"))
    client = await ControlClient.connect(tmp_path / "s")
    assert client is not None
    with pytest.raises(UsageError, match="did not answer"):
        await client.ask("status", timeout_s=5.0)
    await asyncio.wait_for(ended.wait(), 5.0)
    server.close()
    await asyncio.sleep(0)


async def test_a_second_engine_is_refused_and_a_dead_ones_socket_replaced(served: Served) -> None:
    second = Served(served.path)
    with pytest.raises(ConfigError, match="already serves"):
        await second.server.start()
    await served.server.stop()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(served.path))
    assert served.path.exists()
    await second.server.start()
    client = await connect(second)
    assert await client.ask("status") == {"command": "status"}
    client.close()
    await second.server.stop()
    assert not served.path.exists()
    assert await ControlClient.connect(served.path) is None


async def test_a_file_is_never_deleted_for_a_socket(tmp_path: Path) -> None:
    precious = tmp_path / "engine.toml"
    precious.write_text("precious")
    link = tmp_path / "link"
    link.symlink_to(precious)
    for path in (precious, link):
        with pytest.raises(ConfigError, match="not a socket"):
            await Served(path).server.start()
    assert precious.read_text() == "precious"
    assert link.is_symlink()


async def test_stop_leaves_another_engines_socket(served: Served) -> None:
    os.unlink(served.path)
    other = Served(served.path)
    await other.server.start()
    await served.server.stop()
    client = await connect(other)
    client.close()
    await other.server.stop()


async def test_paths_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than 107 bytes"):
        await Served(tmp_path / ("x" * 108)).server.start()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"engine\.control_socket .*; name a path that you may write to"):
        await Served(tmp_path / "file" / "control.sock").server.start()


async def test_stop_cuts_those_who_wait(served: Served) -> None:
    client = await connect(served)
    asking = asyncio.ensure_future(client.ask("hang"))
    await until(lambda: served.server._clients)
    await asyncio.wait_for(served.server.stop(), 5.0)
    with pytest.raises(UsageError, match="did not answer"):
        await asyncio.wait_for(asking, 5.0)
    client.close()
