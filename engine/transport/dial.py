"""Connected TCP sockets: a host's addresses are raced, and DNS trouble falls back on what worked before."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any

RESOLVE_TIMEOUT_S = 2.0
NEXT_ADDRESS_S = 0.25
"""How long one address has before the next is tried beside it (RFC 8305 advises 250 ms)."""

Address = tuple[int, tuple[Any, ...]]
"""Family and the socket address of that family."""


class Dialer:
    """Opens TCP connections; remembers the addresses of each host.

    Where resolving fails or times out, the addresses that were last resolved are used, however old: the
    name in the certificate is verified all the same. The address that last answered is tried first.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], list[Address]] = {}
        self._answered: dict[tuple[str, int], Address] = {}

    async def connect(self, host: str, port: int) -> socket.socket:
        """Return a connected, non-blocking socket with TCP_NODELAY set; the caller owns it.

        There is no deadline in here: the operating system's is minutes, so callers bring their own.

        Raises:
            OSError: no address could be found, or none of them took the connection.
        """
        addresses = await self._resolve(host, port)
        connected, address = await _race(addresses)
        self._answered[host, port] = address
        return connected

    async def _resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses to try, families interleaved, the one that last answered first."""
        loop = asyncio.get_running_loop()
        key = (host, port)
        try:
            found = await asyncio.wait_for(
                loop.getaddrinfo(host, port, type=socket.SOCK_STREAM), RESOLVE_TIMEOUT_S
            )
            if not found:
                raise OSError(f"{host} has no address")
        except (OSError, TimeoutError, UnicodeError) as error:  # UnicodeError: no name that DNS could hold
            if key not in self._known:
                why = "timed out" if isinstance(error, TimeoutError) else str(error)
                raise OSError(f"{host}: name resolution: {why}") from None
        else:
            self._known[key] = _interleave([(family, address) for family, _, _, _, address in found])
        addresses = list(self._known[key])
        best = self._answered.get(key)
        if best in addresses:
            addresses.remove(best)
            addresses.insert(0, best)
        return addresses


def _interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternate between the families, in the order in which they first appear."""
    queues: dict[int, deque[Address]] = {}
    for address in dict.fromkeys(addresses):
        queues.setdefault(address[0], deque()).append(address)
    result = []
    while queues:
        for family in list(queues):
            result.append(queues[family].popleft())
            if not queues[family]:
                del queues[family]
    return result


async def _attempt(address: Address) -> tuple[socket.socket, Address]:
    family, target = address
    attempt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        attempt.setblocking(False)
        attempt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(attempt, target)
    except BaseException:
        attempt.close()
        raise
    return attempt, address


def _close_late(task: asyncio.Task[tuple[socket.socket, Address]]) -> None:
    """Close what connected after another had won, or after nobody waited any more."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].close()


async def _race(addresses: Sequence[Address]) -> tuple[socket.socket, Address]:
    """Try the addresses one after the other, each with a head start, and return the first to connect."""
    loop = asyncio.get_running_loop()
    waiting = deque(addresses)
    running: set[asyncio.Task[tuple[socket.socket, Address]]] = set()
    errors: list[str] = []
    winner: tuple[socket.socket, Address] | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                running.add(loop.create_task(_attempt(waiting.popleft())))
            done, running = await asyncio.wait(
                running, timeout=NEXT_ADDRESS_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is not None:
                    errors.append(str(error) or type(error).__name__)
                elif winner is None:
                    winner = task.result()
                else:
                    task.result()[0].close()
    finally:
        for task in running:
            task.add_done_callback(_close_late)
            task.cancel()
    if winner is None:
        raise OSError("; ".join(dict.fromkeys(errors)))
    return winner
