"""Every log event: its constant name, a sentence, its keys. Nothing else may be logged.

Levels: info = state change, warning = heals itself, error = someone must look, critical = stopping.
"""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One kind of log line.

    Attributes:
        name: ``<noun>.<past participle>``, constant for ever.
        level: ``debug``, ``info``, ``warning``, ``error`` or ``critical``.
        sentence: what it means, for whoever reads the log at night.
        keys: names of the values that travel with it.
    """

    name: str
    level: str
    sentence: str
    keys: tuple[str, ...] = ()


EVENTS: dict[str, Event] = {}


def _event(name: str, level: str, sentence: str, *keys: str) -> Event:
    assert name not in EVENTS, name
    event = Event(name, level, sentence, keys)
    EVENTS[name] = event
    return event


ENGINE_STARTED = _event(
    "engine.started",
    "info",
    "The process is up and begins to connect.",
    "version",
    "instance",
    "pid",
    "kernel",
    "venues",
)
ENGINE_READY = _event(
    "engine.ready",
    "info",
    "Every book was LIVE, but for those of the venue products that are not up.",
    "books",
    "seconds",
    "without",
)
ENGINE_STOPPING = _event("engine.stopping", "info", "A stop was asked for.", "reason")
ENGINE_STOPPED = _event("engine.stopped", "info", "Everything is closed and flushed.", "seconds")
ENGINE_FAILED = _event("engine.failed", "critical", "The engine cannot go on.", "error", "next_step")
KERNEL_MISSING = _event(
    "kernel.missing",
    "warning",
    "The compiled kernels are not there; the pure-Python path serves, several times slower.",
    "next_step",
)
BUILD_STALE = _event(
    "build.stale",
    "warning",
    "Compiled modules are older than their sources: what runs is not what the sources say.",
    "modules",
    "next_step",
)
VENUE_PUBLIC_ONLY = _event(
    "venue.restricted",
    "warning",
    "No keys, or no consent: what the venue will not be used for.",
    "venue",
    "reason",
)
VENUE_FAILED = _event(
    "venue.failed",
    "error",
    "A venue product could not start; it is tried again.",
    "venue",
    "product",
    "error",
    "retry_s",
)
INSTRUMENTS_LOADED = _event(
    "instruments.loaded", "info", "The venue's listing was read.", "venue", "product", "listed", "used"
)
INSTRUMENT_MISSING = _event(
    "instrument.missing",
    "error",
    "A configured symbol is not listed by the venue.",
    "venue",
    "product",
    "symbol",
    "nearest",
)
TRADES_MISSED = _event(
    "trades.missed",
    "warning",
    "Prints of this stretch were not seen, and the venue's list does not reach back to them: they are lost.",
    "venue",
    "instrument",
    "from_id",
    "to_id",
    "from_utc_ns",
    "to_utc_ns",
    "count",
)
INSTRUMENT_COLLIDED = _event(
    "instrument.collided",
    "error",
    "Two listed symbols have one universal name: which is meant is not known, neither is served.",
    "venue",
    "product",
    "instrument",
    "symbols",
)
INSTRUMENT_LISTED = _event(
    "instrument.listed", "info", "The venue lists a new instrument.", "venue", "instrument", "symbol"
)
INSTRUMENT_DELISTED = _event(
    "instrument.delisted",
    "warning",
    "The venue's listing does not have the instrument any more: nothing can be ordered.",
    "venue",
    "instrument",
    "symbol",
)
INSTRUMENT_CHANGED = _event(
    "instrument.changed",
    "warning",
    "The venue changed a served instrument: orders are checked by the new rule from now on.",
    "venue",
    "instrument",
    "field",
    "old",
    "new",
)
INSTRUMENT_FROZEN = _event(
    "instrument.frozen",
    "error",
    "The venue changed what the numbers of books and orders mean: the instrument rests until a restart.",
    "venue",
    "instrument",
    "reason",
)
LISTING_FAILED = _event(
    "listing.failed",
    "warning",
    "The venue's instruments could not be read again: what was known stays in force.",
    "venue",
    "product",
    "error",
    "retry_s",
)
CLOCK_MEASURED = _event(
    "clock.measured",
    "info",
    "Offset of the venue's clock from ours, as an interval.",
    "venue",
    "product",
    "offset_ms",
    "error_ms",
)
CLOCK_STEPPED = _event(
    "clock.stepped",
    "warning",
    "The venue's clock was set, or ours stood still: two answers contradict what was known; it is dropped.",
    "venue",
    "product",
    "step_ms",
)
CLOCK_REFUSED = _event(
    "clock.refused",
    "error",
    "The venue's clock and ours are more than a day apart: one of them is wrong, its time is not used.",
    "venue",
    "product",
    "offset_ms",
)
SESSION_CONNECTED = _event("session.connected", "info", "A connection is up.", "session", "epoch")
SESSION_LOST = _event(
    "session.lost",
    "warning",
    "A connection ended; it is tried again.",
    "session",
    "epoch",
    "reason",
    "retry_ms",
)
SESSION_QUARANTINED = _event(
    "session.quarantined",
    "warning",
    "A message could not be understood; it was set aside.",
    "session",
    "error",
    "raw",
)
SUBSCRIPTION_REFUSED = _event(
    "subscription.refused", "error", "The venue refused a subscription.", "session", "request_id", "error"
)
BOOK_DISAGREED = _event(
    "book.disagreed",
    "warning",
    "An audit found that a LIVE book and the venue's REST answer differ; the book is synchronised anew.",
    "venue",
    "instrument",
    "sequence",
    "ours",
    "theirs",
)
TOP_DISAGREED = _event(
    "top.disagreed",
    "warning",
    "A LIVE book's best prices are not those of the venue's own stream; the book is synchronised anew.",
    "venue",
    "instrument",
    "difference",
)
TOPIC_SILENT = _event(
    "topic.silenced",
    "warning",
    "A topic went dead on a living connection: silent beyond its budget, and the venue's book is another.",
    "venue",
    "instrument",
    "budget_ms",
    "action",
)
SESSION_PROMOTED = _event(
    "session.promoted", "info", "Another connection of the same plan leads now.", "session", "cause"
)
ROTATION_STARTED = _event(
    "rotation.started", "info", "A replacement is opened before the connection is closed.", "session", "cause"
)
ROTATION_COMPLETED = _event(
    "rotation.completed", "info", "The replacement serves; the old connection is closed.", "session", "old"
)
ROTATION_FAILED = _event(
    "rotation.failed", "warning", "No replacement could be opened; tried again later.", "session", "cause"
)
SHUTDOWN_ANNOUNCED = _event(
    "shutdown.announced", "info", "The venue will close this connection; it is replaced.", "session"
)
BOOK_SYNCED = _event("book.synced", "info", "The book is LIVE.", "venue", "instrument", "sequence", "resyncs")
BOOK_LOST = _event(
    "book.lost",
    "warning",
    "The book is not LIVE any more and is rebuilt.",
    "venue",
    "instrument",
    "cause",
    "sequence",
)
SNAPSHOT_FAILED = _event(
    "snapshot.failed",
    "warning",
    "A depth snapshot did not come; it is asked for again.",
    "venue",
    "instrument",
    "error",
    "retry_ms",
)
ORDER_FINISHED = _event(
    "order.finished",
    "info",
    "An order reached its end.",
    "venue",
    "instrument",
    "client_order_id",
    "state",
    "cum_qty",
    "reason",
)
ORDER_IN_DOUBT = _event(
    "order.in_doubt",
    "warning",
    "An order request got no definite answer; it is being asked for.",
    "venue",
    "instrument",
    "client_order_id",
    "cause",
)
ORDER_RESOLVED = _event(
    "order.resolved",
    "info",
    "An order that was in doubt is proven now.",
    "venue",
    "instrument",
    "client_order_id",
    "state",
)
PRIVATE_LOST = _event(
    "private_stream.lost",
    "warning",
    "The private stream ended; it is opened again.",
    "venue",
    "product",
    "reason",
)
PRIVATE_UP = _event(
    "private_stream.connected", "info", "The private stream is up and reconciled.", "venue", "product"
)
PARQUET_FLUSHED = _event("parquet.flushed", "debug", "A batch was written.", "table", "rows")
PARQUET_SHED = _event(
    "parquet.shed", "error", "Rows were dropped: the disk or the writer could not keep up.", "rows", "cause"
)
ACCOUNT_UNFIT = _event(
    "account.unfit",
    "error",
    "The account's settings do not allow what orders need: none leaves until they are changed.",
    "venue",
    "product",
    "reason",
)
ACCOUNT_STRANDED = _event(
    "account.stranded",
    "error",
    "The venue has told nothing of this account for too long; status lists what was known, with its age.",
    "venue",
    "product",
    "silent_s",
    "reason",
)
ACCOUNT_REACHED = _event(
    "account.reached", "info", "A stranded account is told of again by its venue.", "venue", "product"
)
CIRCUIT_OPENED = _event(
    "circuit.opened",
    "error",
    "Too many failures in a row; requests rest for a while.",
    "venue",
    "product",
    "seconds",
)
CIRCUIT_CLOSED = _event("circuit.closed", "info", "Requests flow again.", "venue", "product")
TASK_FAILED = _event(
    "task.failed", "error", "A background task died and is started again.", "task", "error", "retry_s"
)
SIM_STARTED = _event("sim.started", "info", "The embedded simulated exchange answers.", "pid", "admin")
SIM_LOST = _event(
    "sim.lost",
    "error",
    "The embedded simulated exchange ended; it is started again. ``last_words``: its last complaint.",
    "exit_code",
    "last_words",
)
CONTROL_REFUSED = _event("control.refused", "warning", "A control request was not served.", "error")
LOOP_STALLED = _event(
    "loop.stalled", "warning", "The event loop did not run for longer than it should.", "stall_ms"
)
PROGRESS_REPORTED = _event(
    "progress.reported",
    "info",
    "Counters since the last report.",
    "live",
    "books",
    "messages_per_s",
    "resyncs",
    "wire_to_book_us",
)
FUNDING_FAILED = _event(
    "funding.failed",
    "warning",
    "What a venue's answers tell of funding could not be had; it is asked for again.",
    "venue",
    "product",
    "error",
    "retry_s",
)
