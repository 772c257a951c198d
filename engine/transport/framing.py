"""Where an HTTP answer's body ends (RFC 9112, section 6.3); what could be read in two ways is refused.

An answer that two readers delimit differently is how one request gets another's answer, so nothing is
guessed here: folded lines, bare newlines, blanks before a colon and doubled lengths are all violations.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.model.errors import ProtocolViolation

BODY_BYTES_MAX = 64 * 1024 * 1024
_START = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: |$)")
_NUMBER = re.compile(rb"[0-9]{1,12}")


class Framing(NamedTuple):
    """How a body is delimited.

    Attributes:
        size: its bytes, if neither of the next two. is_chunked: by chunks. until_close: by the connection.
        keep: the connection may serve another request afterwards.
    """

    size: int
    is_chunked: bool
    until_close: bool
    keep: bool


def status_of(head: bytes) -> int:
    """Return the status of an answer's head.

    Raises:
        ProtocolViolation: this is no HTTP/1 answer.
    """
    match = _START.match(head.partition(b"\r\n")[0])
    if match is None:
        raise ProtocolViolation("not an HTTP/1 answer", head)
    return int(match[1])


def frame_body(head: bytes, status: int) -> Framing:
    """Decide how the body of a final answer ends.

    Args:
        head: start line and headers, without the empty line. status: 200 or more.

    Raises:
        ProtocolViolation: it cannot be told for certain, or the body is compressed, which was not asked for.
    """
    fields = _fields(head)
    if any(coding != b"identity" for coding in _words(fields, b"content-encoding")):
        raise ProtocolViolation("a compressed body, which was not asked for", head)
    keep = head.startswith(b"HTTP/1.1") and b"close" not in _words(fields, b"connection")
    codings = _words(fields, b"transfer-encoding")
    lengths = fields.get(b"content-length", [])
    if len(lengths) > 1:
        raise ProtocolViolation("two content lengths", head)
    if b"transfer-encoding" in fields:
        if lengths or codings != [b"chunked"] or not head.startswith(b"HTTP/1.1"):
            raise ProtocolViolation("ambiguous body length", head)
        if status not in (204, 304):
            return Framing(0, True, False, keep)
        return Framing(0, False, False, False)
    size = 0
    if lengths:
        if not _NUMBER.fullmatch(lengths[0]) or int(lengths[0]) > BODY_BYTES_MAX:
            raise ProtocolViolation(f"content length {lengths[0][:20]!r}", head)
        size = int(lengths[0])
    if status in (204, 304):  # never have a body, whatever they say; but then let nothing follow
        return Framing(0, False, False, keep and size == 0)
    return Framing(size, False, not lengths, keep and bool(lengths))


def _fields(head: bytes) -> dict[bytes, list[bytes]]:
    """Return the values of each field, names in lower case."""
    first, *lines = head.split(b"\r\n")
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name != name.strip(b" \t") or b"\n" in line:
            raise ProtocolViolation(f"header line {line[:40]!r}", head)
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if b"\n" in first:
        raise ProtocolViolation("a bare newline in the start line", head)
    return fields


def _words(fields: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    """Return the comma-separated words of a field, in lower case."""
    return [word.strip().lower() for value in fields.get(name, []) for word in value.split(b",") if word]
