"""The local control socket: JSON lines over a Unix socket that only its owner may use.

One request a line, at most 64 KiB: ``{"command": "status", "arguments": {...}}``; one answer a line:
``{"ok": true, "result": ...}`` or ``{"ok": false, "error": "..."}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from engine.model.errors import ConfigError, EngineError, UsageError

REQUEST_BYTES_MAX = 65_536
ANSWER_BYTES_MAX = 16 * 1024 * 1024
IDLE_S = 30.0
CLIENTS_MAX = 16
_UNIX_PATH_MAX = 107

Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One control request."""

    command: str
    arguments: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True):
    """One control answer."""

    ok: bool
    result: Any = None
    error: str = ""


class ControlServer:
    """Serves control requests to processes of the same user.

    Args:
        path: the socket; its directory is created with mode 0700.
        handler: answers a command with something msgspec can encode; EngineError becomes an error
            answer.
        on_refused: told why a request was not served.
    """

    def __init__(self, path: Path, handler: Handler, on_refused: Callable[[str], None]) -> None:
        self._path = path
        self._handler = handler
        self._on_refused = on_refused
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._inode = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: another daemon serves this socket, or the path cannot be used.
        """
        if len(str(self._path).encode()) > _UNIX_PATH_MAX:
            raise ConfigError(f"engine.control_socket is longer than {_UNIX_PATH_MAX} bytes: {self._path}")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.path.lexists(self._path):
                if not stat.S_ISSOCK(self._path.lstat().st_mode):
                    raise ConfigError(
                        f"engine.control_socket {self._path} is a file that is not a socket; "
                        "remove it or name another path"
                    )
                if await is_served(self._path):
                    raise ConfigError(
                        f"{self._path}: another engine already serves this control socket; "
                        "stop it or set engine.control_socket"
                    )
                self._path.unlink()
            previous = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(
                    self._accept, str(self._path), limit=REQUEST_BYTES_MAX
                )
            finally:
                os.umask(previous)
            self._inode = self._path.lstat().st_ino
        except OSError as error:
            raise ConfigError(
                f"engine.control_socket {self._path}: {error.strerror or error}; name a path that you may"
                ' write to, e.g. "run/engine.sock"'
            ) from None

    async def stop(self) -> None:
        """Stop listening, cut every client, remove the socket."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._server = None
        with contextlib.suppress(OSError):  # another engine's, or gone already: leave it
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if len(self._clients) > CLIENTS_MAX:
                self._on_refused(f"more than {CLIENTS_MAX} clients")
            elif not _is_own_user(writer.get_extra_info("socket")):
                self._on_refused("another user's process")
            else:
                await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()  # what it did not read in time is not kept for it
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await asyncio.wait_for(reader.readuntil(b"\n"), IDLE_S)
            except (TimeoutError, asyncio.IncompleteReadError):
                return
            except asyncio.LimitOverrunError:
                self._on_refused("request longer than 64 KiB")
                return
            writer.write(await self._answer(line) + b"\n")
            await asyncio.wait_for(writer.drain(), IDLE_S)

    async def _answer(self, line: bytes) -> bytes:
        try:
            request = msgspec.json.decode(line, type=Request)
            result = await self._handler(request.command, request.arguments)
            return msgspec.json.encode({"ok": True, "result": result}, enc_hook=str)
        except (msgspec.DecodeError, RecursionError) as error:
            self._on_refused(f"malformed request: {str(error)[:200]}")
            return msgspec.json.encode({"ok": False, "error": f"malformed request: {error}"})
        except EngineError as error:
            return msgspec.json.encode({"ok": False, "error": str(error)})
        except Exception as error:  # the request's edge: escalated, and the client is told
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"control command {request.command!r} failed", "exception": error}
            )
            return msgspec.json.encode({"ok": False, "error": f"internal error: {type(error).__name__}"})


def _is_own_user(connection: socket.socket) -> bool:
    size = struct.calcsize("iII")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    uid = struct.unpack("iII", credentials)[1]
    return uid in (0, os.getuid())


async def is_served(path: Path) -> bool:
    """Tell whether a process listens on the control socket ``path``.

    Only a refused connection proves that none does: one that is stopped, or whose queue is full, still does.
    """
    try:
        _, writer = await asyncio.wait_for(asyncio.open_unix_connection(str(path)), 2.0)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except (OSError, TimeoutError):
        return True
    writer.close()
    return True


class ControlClient:
    """One connection to a running engine's control socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> ControlClient | None:
        """Return a client, or ``None`` when no engine serves the socket."""
        try:
            pair = await asyncio.wait_for(
                asyncio.open_unix_connection(str(path), limit=ANSWER_BYTES_MAX), 2.0
            )
        except (OSError, TimeoutError):
            return None
        return cls(*pair)

    async def ask(self, command: str, timeout_s: float = 30.0, **arguments: Any) -> Any:
        """Send one request and return its result.

        Raises:
            UsageError: the engine refused it (its text), or gave no answer in time; the connection is then
                closed, for a late answer would be taken for the next one's.
        """
        self._writer.write(msgspec.json.encode({"command": command, "arguments": arguments}) + b"\n")
        try:
            line = await asyncio.wait_for(self._reader.readuntil(b"\n"), timeout_s)
            answer = msgspec.json.decode(line, type=Answer)
        except (OSError, EOFError, asyncio.LimitOverrunError, msgspec.DecodeError) as error:
            self.close()
            raise UsageError(f"the engine did not answer {command!r} ({type(error).__name__})") from None
        if not answer.ok:
            raise UsageError(answer.error)
        return answer.result

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
