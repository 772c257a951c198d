"""The compiled scan of ordinary answers against its twin, on answers that were damaged at random."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.transport.answer import pure_scan_answer
from engine.transport.framing import Framing, frame_body, status_of

compiled = pytest.importorskip("engine.transport._answer", reason="nothing was compiled")

LINES = st.sampled_from(
    [
        b"Content-Type: application/json", b"content-length: 5", b"Content-Length:5", b"CONTENT-LENGTH: 5 ",
        b"Content-Length: 05", b"Content-Length: +5", b"Content-Length: 123456789", b"Content-Length: ",
        b"Content-Length : 5", b"Connection: keep-alive", b"Connection: Keep-Alive", b"connection: close",
        b"Connection: keep-alive, upgrade", b"Connection:", b"Transfer-Encoding: chunked",
        b"content-encoding: gzip", b"Content-Encoding: identity", b"X: \n", b"", b"a:b\rc", b"x-used: 1",
        b" folded", b"\tfolded", b"Content-Length\t: 5", b"Connection : close", b"Content-Lengthy: 6",
        b"Connection", b"no colon", b": no name",
    ]
)  # fmt: skip
STARTS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 204 No",
     b"HTTP/1.1 304 Same", b"HTTP/1.1 503 Busy", b"HTTP/1.0 200 OK", b"HTTP/1.1 100 Continue",
     b"HTTP/1.1 600 No", b"HTTP/1.1 2000", b"http/1.1 200 OK", b"HTTP/1.1  200", b"garbage"]
)  # fmt: skip


def both(data: bytes) -> tuple[int, bytes, bytes] | None:
    room = bytearray(data) + bytearray(b"\r\n\r\nleft over")
    results = [scan(room, len(data)) for scan in (compiled.scan_answer, pure_scan_answer)]
    assert results[0] == results[1], data
    found: tuple[int, bytes, bytes] | None = results[0]
    if found is not None:  # the general parser would have said the same
        status, head, body = found
        assert status_of(head) == status
        assert frame_body(head, status) == Framing(len(body), False, False, True), data
    return found


@given(
    STARTS, st.lists(LINES, max_size=5), st.sampled_from([b"hello", b"", b"hell", b"hello!", b"\r\n\r\nx"])
)
@example(b"HTTP/1.1 200 OK", [b"Content-Length: 5"], b"hello")
@example(b"HTTP/1.1 200 OK", [b"content-length: 5", b"content-length: 5"], b"hello")
@example(
    b"HTTP/1.1 200 OK", [b"Content-Length: 5", b"Connection: keep-alive", b"Connection: close"], b"hello"
)
@example(b"HTTP/1.1 204 No", [b"Content-Length: 5"], b"hello")
def test_both_see_the_same(start: bytes, lines: list[bytes], body: bytes) -> None:
    both(b"\r\n".join([start, *lines]) + b"\r\n\r\n" + body)


@given(st.data())
def test_both_see_the_same_in_damaged_answers(data: st.DataObject) -> None:
    whole = bytearray(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nA: b\r\n\r\nhello")
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    both(bytes(whole))


@pytest.mark.parametrize("size", range(60))
def test_a_part_is_not_an_answer(size: int) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now\r\n\r\nhello"
    found = both(whole[:size])
    assert (found is not None) == (size >= len(whole))
    if found is not None:
        assert found == (200, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: now", b"hello")
