"""Raced addresses, DNS trouble, and no socket left behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from engine.transport import dial
from engine.transport.dial import Dialer

Found = list[tuple[int, int, int, str, tuple[Any, ...]]]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        yield server


def found(*addresses: tuple[str, int]) -> Found:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]


def resolve_to(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> None:
    """Let the next look-ups give these: addresses, an error, or None for never."""

    async def getaddrinfo(*args: Any, **options: Any) -> Found:
        answer = answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        result: Found = answer
        return result

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.fixture
def refusing() -> tuple[str, int]:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        address: tuple[str, int] = server.getsockname()
    return address


@contextlib.contextmanager
def deaf() -> Iterator[tuple[str, int]]:
    """Yield an address whose connection attempts hang: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()


async def test_a_connected_socket_without_delay(listening: socket.socket) -> None:
    with await Dialer().connect("127.0.0.1", listening.getsockname()[1]) as connected:
        assert connected.getpeername() == listening.getsockname()
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not connected.getblocking()
        assert not connected.get_inheritable()


@pytest.mark.fault("N05", "N16")
async def test_a_refusing_address_is_followed_by_the_next_at_once(
    listening: socket.socket, refusing: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "NEXT_ADDRESS_S", 3600.0)
    resolve_to(monkeypatch, [found(refusing, listening.getsockname())])
    with await asyncio.wait_for(Dialer().connect("venue.test", 443), 5.0) as connected:
        assert connected.getpeername() == listening.getsockname()


@pytest.mark.fault("N06", "N16")
async def test_a_hanging_address_is_overtaken_and_remembered_as_second(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "NEXT_ADDRESS_S", 0.02)
    with deaf() as hanging:
        both = found(hanging, listening.getsockname())
        resolve_to(monkeypatch, [list(both), list(both)])
        dialer = Dialer()
        with await asyncio.wait_for(dialer.connect("venue.test", 443), 5.0) as connected:
            assert connected.getpeername() == listening.getsockname()
        monkeypatch.setattr(dial, "NEXT_ADDRESS_S", 3600.0)
        with await asyncio.wait_for(dialer.connect("venue.test", 443), 5.0) as connected:
            assert connected.getpeername() == listening.getsockname(), "what answered last is tried first"


@pytest.mark.fault("N05")
async def test_all_refused_names_the_reason_once(
    refusing: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, [found(refusing, refusing)])
    with pytest.raises(OSError, match="111") as caught:
        await Dialer().connect("venue.test", 443)
    assert str(caught.value).count("111") == 1


@pytest.mark.fault("N15")
async def test_dns_trouble_falls_back_on_what_worked(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "RESOLVE_TIMEOUT_S", 0.02)
    gone = socket.gaierror(-3, "Temporary failure in name resolution")
    resolve_to(monkeypatch, [found(listening.getsockname()), gone, None, []])
    dialer = Dialer()
    for _ in range(4):
        with await dialer.connect("venue.test", 443) as connected:
            assert connected.getpeername() == listening.getsockname()


@pytest.mark.fault("N15")
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (socket.gaierror(-2, "Name or service not known"), "venue.test: .*not known"),
        (None, "venue.test: name resolution: timed out"),
        ([], "venue.test has no address"),
        (UnicodeError("label too long"), "venue.test: .*label"),
    ],
)
async def test_dns_trouble_at_the_first_time_says_so(
    answer: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "RESOLVE_TIMEOUT_S", 0.02)
    resolve_to(monkeypatch, [answer])
    with pytest.raises(OSError, match=text):
        await Dialer().connect("venue.test", 443)


@pytest.mark.fault("N17")
async def test_where_the_venue_has_moved_to_is_seen_at_the_next_connection(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as new_home:
        old, new = listening.getsockname(), new_home.getsockname()
        resolve_to(monkeypatch, [found(old), found(new), found(new, old), socket.gaierror(-3, "no answer")])
        dialer = Dialer()
        for home in (old, new, new, new):
            with await dialer.connect("venue.test", 443) as connected:
                assert connected.getpeername() == home, "the old home still answers, and is nobody's any more"


async def test_another_hosts_addresses_are_never_used(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, [found(listening.getsockname()), socket.gaierror(-2, "unknown")])
    dialer = Dialer()
    (await dialer.connect("one.test", 443)).close()
    with pytest.raises(OSError, match="unknown"):
        await dialer.connect("other.test", 443)


async def test_a_cancelled_connect_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    real = socket.socket

    def remember(*args: Any, **options: Any) -> socket.socket:
        opened.append(real(*args, **options))
        return opened[-1]

    monkeypatch.setattr(dial, "NEXT_ADDRESS_S", 0.01)
    with deaf() as one, deaf() as other:
        monkeypatch.setattr(socket, "socket", remember)
        resolve_to(monkeypatch, [found(one, other)])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Dialer().connect("venue.test", 443), 0.1)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(opened) == 2
        assert all(each.fileno() == -1 for each in opened)


def test_families_take_turns() -> None:
    four, six = socket.AF_INET, socket.AF_INET6
    given = [(six, ("a",)), (six, ("b",)), (six, ("b",)), (four, ("c",)), (four, ("d",)), (six, ("e",))]
    assert [address[0] for _, address in dial._interleave(given)] == ["a", "c", "b", "d", "e"]
