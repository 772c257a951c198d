"""The usual HTTP answer, read in one go: a whole one with a length, on a connection that stays open.

Everything else (pieces, chunks, interim answers, odd or hostile heads) is None here and read by ``http.py``
with all of RFC 9112's caution. Compiled, this costs a tenth of that; below is the readable twin.
"""

from __future__ import annotations

import re

_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])[ \r]")
_UNUSUAL = re.compile(rb"\n(?:transfer-encoding|content-encoding)", re.IGNORECASE)
_LENGTH = re.compile(rb"\ncontent-length:([^\n]*)\r\n", re.IGNORECASE)
_CONNECTION = re.compile(rb"\nconnection: *([^\n]*)\r\n", re.IGNORECASE)
_NUMBER = re.compile(rb" *[0-9]{1,8} *")
_BARE_NEWLINE = re.compile(rb"[^\r]\n")


def pure_scan_answer(buffer: bytearray, filled: int) -> tuple[int, bytes, bytes] | None:
    """Return (status, head, body) of a whole, ordinary answer that keeps its connection, else None.

    Ordinary: HTTP/1.1, status 200 to 599, exactly one content length of at most eight digits that ends where
    the bytes end, no transfer or content encoding, ``Connection`` absent or keep-alive, lines ended by CRLF.

    Args:
        buffer: what was received. filled: how much of it.
    """
    end = buffer.find(b"\r\n\r\n", 0, filled)
    if end < 0:
        return None
    head = bytes(buffer[: end + 2])
    status = _HEAD.match(head)
    lengths = _LENGTH.findall(head)
    if status is None or len(lengths) != 1 or _UNUSUAL.search(head) or _BARE_NEWLINE.search(head):
        return None
    if not _NUMBER.fullmatch(lengths[0]):
        return None
    if any(word.lower() != b"keep-alive" for word in _CONNECTION.findall(head)):
        return None
    if filled != end + 4 + int(lengths[0]):
        return None
    return int(status[1]), head[:-2], bytes(buffer[end + 4 : filled])


def _read_elsewhere(buffer: bytearray, filled: int) -> tuple[int, bytes, bytes] | None:
    """Leave it to the general parser, which is faster than the twin."""
    return None


try:
    from engine.transport._answer import scan_answer as scan_answer
except ImportError:
    scan_answer = _read_elsewhere
