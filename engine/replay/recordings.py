"""Readers for recorded venue traffic: several file formats in, one kind of record out.

The format is told by content, not by name; gzip is opened on the way. Payloads are the venue's bytes,
untouched. Nothing here knows a venue beyond how such files name a stream or a symbol.

    hftbacktest     <receive time, UTC ns> <message>       a REST depth body stands between the frames
    cryptofeed ws   <url> <-> <unix s>                     first line, then
                    <url> <- <unix s>: <message>           sent, not received: left out
                    <unix s>: <message>
    cryptofeed http <url> -> <unix s>: <body>
    jsonl           <message>                              no times
"""

from __future__ import annotations

import enum
import gzip
import heapq
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

import msgspec

from engine.model.errors import EngineError

LINE_BYTES_MAX = 64 * 1024 * 1024
"""A longer line is no recording (the largest real ones, whole exchangeInfo bodies, have 2 MB)."""


class RecordKind(enum.Enum):
    """What a recorded payload is."""

    FRAME = "frame"
    """A WebSocket message."""
    SNAPSHOT = "snapshot"
    """A REST depth answer."""
    INSTRUMENTS = "instruments"
    """A REST answer that lists the venue's instruments."""
    HTTP = "http"
    """Any other REST answer."""


class RecordFormat(enum.Enum):
    """How a file is laid out."""

    HFTBACKTEST = "hftbacktest"
    CRYPTOFEED_WS = "cryptofeed ws"
    CRYPTOFEED_HTTP = "cryptofeed http"
    JSONL = "jsonl"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One recorded message.

    Attributes:
        recv_utc_ns: the recorder's clock, which may be seconds off the venue's; 0 where none was kept.
        name: the stream of a combined frame, the venue's symbol of a REST answer; "" where neither is told.
        payload: the venue's bytes.
        line: line number in its file, from 1.
    """

    recv_utc_ns: int
    kind: RecordKind
    name: str
    payload: bytes
    line: int


class RecordingError(EngineError):
    """A recording that cannot be read; the text begins with file and, where there is one, line.

    Attributes:
        path, line: where; line 0 is the file as a whole.
    """

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")
        self.path = path
        self.line = line


_NS_LINE = re.compile(rb"([0-9]{18,19}) (?=[\[{])")
_WS_HEAD = re.compile(rb"wss?://\S+ <-> [0-9]{9,11}(?:\.[0-9]+)?")
_WS_SENT = re.compile(rb"wss?://\S+ <- [0-9]{9,11}(?:\.[0-9]+)?: ")
_WS_LINE = re.compile(rb"([0-9]{9,11})(?:\.([0-9]{1,9}))?: (?=[\[{])")
_HTTP_LINE = re.compile(rb"(https?://\S+) -> ([0-9]{9,11})(?:\.([0-9]{1,9}))?: (?=[\[{])")
_CONFIGURATION = b"configuration: "
_STREAM = re.compile(rb'\{"stream":"([^"\\]{1,200})"')
_SNAPSHOT_HEAD = b'{"lastUpdateId":'
_FETCHED = re.compile(rb'"generated":\s*true,\s*"topic":\s*"[^"]{1,40}[sS]napshot:([^"\\]{1,60})"')
"""A REST book that the recorder itself (tardis) put between the frames, by its symbol."""
_SNAPSHOT_PATHS = ("/depth", "/orderbook/level2", "/orderbook/level2_100", "/level2/snapshot")
_LISTING_PATHS = (
    "/exchangeInfo", "/public/instruments", "/instruments-info", "/contracts/active", "/api/v2/symbols",
    "/symbols/details", "/public/details", "/market/instrument",
)  # fmt: skip
_FAILURE = re.compile(rb'\{"code":\s*"?-?(?!0\b|1000\b|200000\b)[0-9]+')


def read_recordings(paths: Iterable[Path]) -> Iterator[Record]:
    """Yield the records of several files, merged by receive time; equal times keep the files' order.

    Raises:
        RecordingError: as :func:`read_recording`.
    """
    return heapq.merge(*(read_recording(path) for path in paths), key=lambda record: record.recv_utc_ns)


def read_recording(path: Path) -> Iterator[Record]:
    """Yield the records of one file, in its order.

    Raises:
        RecordingError: the file cannot be opened or unpacked, its format is none of the known ones, or a
            line does not follow it. Records before that line have been yielded.
    """
    number = 0
    try:
        with _open(path) as file:
            lines = _lines(path, file)
            first = next(lines, None)
            if first is None:
                raise RecordingError(path, 0, "the file is empty")
            number, text = first
            layout = _format_of(text)
            if layout is None:
                raise RecordingError(
                    path,
                    number,
                    "unknown format: known are hftbacktest, cryptofeed (ws, http) and JSON lines",
                )
            parser = _Parser(path)
            if layout is not RecordFormat.CRYPTOFEED_WS:  # whose first line only says what was connected
                yield from parser.parse(layout, number, text)
            for number, text in lines:
                yield from parser.parse(layout, number, text)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(path, number, f"cannot be read: {error}") from None


def format_of(path: Path) -> RecordFormat:
    """Return the format of a file; raises RecordingError as :func:`read_recording`."""
    try:
        with _open(path) as file:
            number, text = next(_lines(path, file), (0, b""))
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise RecordingError(path, 0, f"cannot be read: {why}") from None
    layout = _format_of(text)
    if layout is None:
        raise RecordingError(path, number, "unknown format")
    return layout


def _open(path: Path) -> BinaryIO:
    file = path.open("rb")
    try:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if is_gzip:
            file.close()
            return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile reads like a BinaryIO
    except BaseException:
        file.close()
        raise
    return file


def _lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line without its end) of every line that is not blank."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise RecordingError(path, number, f"a line is longer than {LINE_BYTES_MAX} bytes")
        line = line.rstrip(b"\r\n")
        if line:
            yield number, line


def _format_of(line: bytes) -> RecordFormat | None:
    if _NS_LINE.match(line):
        return RecordFormat.HFTBACKTEST
    if _WS_HEAD.fullmatch(line):
        return RecordFormat.CRYPTOFEED_WS
    if _HTTP_LINE.match(line):
        return RecordFormat.CRYPTOFEED_HTTP
    if line.startswith((b"{", b"[")):
        return RecordFormat.JSONL
    return None


class _Parser:
    """Turns lines into records; remembers which streams it saw, to name a snapshot that has no name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._symbols: set[str] = set()

    def parse(self, layout: RecordFormat, number: int, line: bytes) -> Iterator[Record]:
        if layout is RecordFormat.JSONL:
            if not line.startswith((b"{", b"[")):
                raise RecordingError(self._path, number, "not a JSON message")
            yield self._message(0, line, number)
        elif layout is RecordFormat.HFTBACKTEST:
            match = self._match(_NS_LINE, line, number, "<UTC ns> <message>")
            yield self._message(int(match[1]), line[match.end() :], number)
        elif layout is RecordFormat.CRYPTOFEED_WS:
            if _WS_HEAD.fullmatch(line) or _WS_SENT.match(line):  # a reconnect, or what the client said
                return
            match = self._match(_WS_LINE, line, number, "<unix s>: <message>")
            yield self._message(_unix_ns(match[1], match[2]), line[match.end() :], number)
        elif not line.startswith(_CONFIGURATION):
            match = self._match(_HTTP_LINE, line, number, "<url> -> <unix s>: <body>")
            body = line[match.end() :]
            kind, symbol = _http_kind(match[1].decode("utf-8", "replace"), body)
            yield Record(_unix_ns(match[2], match[3]), kind, symbol, body, number)

    def _match(self, pattern: re.Pattern[bytes], line: bytes, number: int, shape: str) -> re.Match[bytes]:
        match = pattern.match(line)
        if match is None:
            start = line[:60].decode("utf-8", "replace")
            raise RecordingError(self._path, number, f"expected {shape!r}, found {start!r}")
        return match

    def _message(self, recv_utc_ns: int, payload: bytes, number: int) -> Record:
        stream = _STREAM.match(payload)
        if stream is not None:
            name = stream[1].decode("utf-8", "replace")
            self._symbols.add(name.partition("@")[0].upper())
            return Record(recv_utc_ns, RecordKind.FRAME, name, payload, number)
        if payload.startswith(_SNAPSHOT_HEAD):
            symbol = next(iter(self._symbols)) if len(self._symbols) == 1 else ""
            return Record(recv_utc_ns, RecordKind.SNAPSHOT, symbol, payload, number)
        fetched = _FETCHED.search(payload, 0, 200)
        if fetched is not None:
            return Record(recv_utc_ns, RecordKind.SNAPSHOT, fetched[1].decode(), payload, number)
        return Record(recv_utc_ns, RecordKind.FRAME, "", payload, number)


def _unix_ns(seconds: bytes, fraction: bytes | None) -> int:
    return int(seconds) * 1_000_000_000 + int((fraction or b"").ljust(9, b"0"))


def _http_kind(url: str, body: bytes) -> tuple[RecordKind, str]:
    parts = urlsplit(url)
    symbol = parse_qs(parts.query).get("symbol", [""])[0]
    if _FAILURE.match(body):
        return RecordKind.HTTP, symbol
    if parts.path.endswith(_SNAPSHOT_PATHS):
        return RecordKind.SNAPSHOT, symbol
    if parts.path.endswith(_LISTING_PATHS):
        return RecordKind.INSTRUMENTS, symbol
    return RecordKind.HTTP, symbol
