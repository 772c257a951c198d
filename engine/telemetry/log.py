"""Structured logs on standard error, written by a thread so that a blocked pipe never blocks the loop."""

from __future__ import annotations

import queue
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

import structlog

from engine.telemetry.events import EVENTS, Event

_QUEUE_LINES_MAX = 10_000
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_SECRET = re.compile(
    r"(?i)(signature|listenkey|token|passphrase|apikey|api_key|x-mbx-apikey|secret)(\"?\s*[=:]\s*\"?)([^&\s\"',}]+)"
)


def redact(text: str) -> str:
    """Return ``text`` with the values of secret-bearing names masked; the one place that does it."""
    return _SECRET.sub(r"\1\2***", text)


class _LineWriter:
    """Hands finished lines to a thread; drops and counts when the queue is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._queue: queue.Queue[str | threading.Event | None] = queue.Queue(_QUEUE_LINES_MAX)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                if isinstance(line, str):
                    self._stream.write(line + "\n")
                if self._queue.empty():
                    self._stream.flush()
            except (OSError, ValueError):
                self.dropped += 1
            if isinstance(line, threading.Event):
                line.set()

    def flush(self, timeout_s: float) -> bool:
        written = threading.Event()
        try:
            self._queue.put(written, timeout=timeout_s)
        except queue.Full:
            return False
        return written.wait(timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)


class _Sink:
    """The logger object at the end of structlog's chain."""

    def __init__(self, writer: _LineWriter) -> None:
        self.msg = writer.write

    debug = info = warning = error = critical = lambda self, line: self.msg(line)


class EventLog:
    """Writes declared events. One instance per process, passed down by the supervisor.

    Args:
        level: least level written.
        style: ``json``, ``console`` or ``auto`` (console on a terminal).
        stream: defaults to standard error.
    """

    def __init__(self, level: str = "info", style: str = "auto", stream: TextIO | None = None) -> None:
        target = stream if stream is not None else sys.stderr
        self._writer = _LineWriter(target)
        self._level = _LEVELS[level]
        pretty = style == "console" or (style == "auto" and target.isatty())
        renderer: Any
        renderer = (
            structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(default=str)
        )
        self._log = structlog.wrap_logger(
            _Sink(self._writer),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _redact_values,
                renderer,
            ],
            wrapper_class=structlog.BoundLogger,
        )
        self.counts: dict[str, int] = {}

    @property
    def dropped(self) -> int:
        """Return how many lines a full queue or a dead stream has cost."""
        return self._writer.dropped

    def emit(self, event: Event, **keys: object) -> None:
        """Write one declared event.

        Keys must be among the event's own; anything else is a bug and raises AssertionError.
        """
        assert EVENTS.get(event.name) is event, event.name
        assert not keys.keys() - set(event.keys), (event.name, keys.keys() - set(event.keys))
        self.counts[event.name] = self.counts.get(event.name, 0) + 1
        if _LEVELS[event.level] >= self._level:
            getattr(self._log, event.level)(event.name, **keys)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until what was emitted before has been written; return whether it was in time. Blocks."""
        return self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what is queued, for at most two seconds."""
        self._writer.close()


def _redact_values(_logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}
