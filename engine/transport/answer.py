"""Reading HTTP answers: the usual one, whole and with a length on a connection that stays, in one go.

Everything else (pieces, chunks, interim answers, odd or hostile heads) is passed on to ``http.py``'s parser,
which has all of RFC 9112's caution. Compiled, the usual one costs a tenth of that; here is the twin.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])[ \r]")
_UNUSUAL = re.compile(rb"\n(?:transfer-encoding|content-encoding)", re.IGNORECASE)
# Folded lines and blanks before a colon are ways to say a length that others do not hear.
_LINE = re.compile(rb"[^ \t:](?:[^:]*[^ \t:])?:")
_LENGTH = re.compile(rb"\ncontent-length:([^\n]*)\r(?=\n)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\nconnection: *([^\n]*)\r(?=\n)", re.IGNORECASE)
_NUMBER = re.compile(rb" *[0-9]{1,8} *")
_BARE_NEWLINE = re.compile(rb"[^\r]\n")


def pure_scan_answer(buffer: bytearray, filled: int) -> tuple[int, bytes, bytes] | None:
    """Return (status, head, body) of a whole, ordinary answer that keeps its connection, else None.

    Ordinary: HTTP/1.1, status 200 to 599, exactly one content length of at most eight digits that ends where
    the bytes end (and none for 204 and 304), no transfer or content encoding, ``Connection`` absent or
    keep-alive, lines ended by CRLF, each with a name and a colon.

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
    if not all(_LINE.match(line) for line in head[:-2].split(b"\r\n")[1:]):
        return None
    if not _NUMBER.fullmatch(lengths[0]):
        return None
    if any(word.lower() != b"keep-alive" for word in _CONNECTION.findall(head)):
        return None
    if filled != end + 4 + int(lengths[0]) or (status[1] in (b"204", b"304") and filled != end + 4):
        return None
    return int(status[1]), head[:-2], bytes(buffer[end + 4 : filled])


if TYPE_CHECKING:
    scan_answer = pure_scan_answer
    COMPILED = True
else:
    try:
        from engine.transport._answer import scan_answer

        COMPILED = True
    except ImportError:
        scan_answer = pure_scan_answer
        COMPILED = False
"""Only the compiled ``scan_answer`` is worth its while: its twin is slower than the general parser."""
