"""Runs recorded frames through the venue's adapter, the synchroniser and the book, as if they were live."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.book.l2 import BookLike, DepthFeedLike, levels_text, new_book, new_feed
from engine.book.sync import BookSync
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import DepthSchema, Feed
from engine.replay.recordings import Record, RecordKind, read_recordings
from engine.venues.base import MarketDataAdapter, Recorded, RecordedDialect

DEFAULT_SCALE = 8
"""Decimals of prices and quantities where no listing was given, unless the recording has more."""
DIGITS_MAX = 18
"""What an int64 holds of any number."""

Scales = dict[str, tuple[int, int]]
"""Venue symbol to decimals of prices and of quantities."""

_LEVEL = re.compile(rb'[\[,:]\s*"([0-9]{1,18})(?:\.([0-9]{1,18}))?",\s*"([0-9]{1,18})(?:\.([0-9]{1,18}))?"')


class _Dialect:
    """One shape of depth frames with the feed that takes them."""

    def __init__(self, told: RecordedDialect) -> None:
        self.told = told
        self.feed: DepthFeedLike = new_feed(told.schema)
        self.feed.stages = 0


class Replay:
    """One replay. Instruments appear as their frames and snapshots do.

    Args:
        listing: the venue's instruments, for exact scales and universal names; without it symbols are
            shown as the venue writes them, and quantities in the venue's own units.
        scales: decimals by symbol, for those that no listing names.
    """

    def __init__(
        self, adapter: MarketDataAdapter, listing: Iterable[Instrument] = (), scales: Scales | None = None
    ) -> None:
        self._adapter = adapter
        self._listing = {each.symbol: each for each in listing}
        self._scales = scales or {}
        self._dialects = [_Dialect(each) for each in dialects_of(adapter)]
        self._syncs: dict[str, BookSync] = {}
        self._instruments: dict[str, Instrument] = {}
        self._by_id: dict[int, BookSync] = {}
        self._routes: set[str] = set()
        self._pending: list[Record] = []
        self._now = 0
        for dialect in self._dialects:
            dialect.feed.on_attention = self._attend

    def run(self, records: Iterable[Record]) -> None:
        """Feed every record in order.

        Raises:
            ProtocolViolation: a snapshot cannot be read.
            UsageError: a snapshot's instrument cannot be told.
        """
        for record in records:
            self._now = record.recv_utc_ns
            if record.kind is RecordKind.FRAME:
                self._frame(record)
            elif record.kind is RecordKind.SNAPSHOT:
                self._snapshot(record)
            elif record.kind is RecordKind.INSTRUMENTS and not self._listing:
                self._listing = {
                    each.symbol: each for each in self._adapter.decode_instruments(record.payload)
                }

    def _frame(self, record: Record) -> None:
        for dialect in self._dialects:
            translate = dialect.told.translate
            payload = translate(record.payload) if translate else record.payload
            if dialect.feed.feed_code(payload, self._now, self._now) != Feed.PASS:
                break
            route = route_of(payload, dialect.told.schema)
            if route is None:
                continue
            if route in self._routes:
                break
            self._routes.add(route)
            symbol = dialect.told.symbol_of(route)
            if symbol is not None:
                self._serve(symbol, dialect.feed, route, dialect.told.schema.is_in_band)
                dialect.feed.feed_code(payload, self._now, self._now)
            break
        for sync in self._syncs.values():
            if sync.book.is_live:
                sync.tick(self._now)

    def _serve(self, symbol: str, feed: DepthFeedLike, route: str, is_in_band: bool) -> None:
        sync = self._syncs.get(symbol)
        if sync is not None:
            raise UsageError(f"{symbol} has two depth streams in these files; replay one of them")
        instrument = self._listing.get(symbol) or _unlisted(
            self._adapter.venue, self._adapter.product, symbol, self._scales.get(symbol)
        )
        book = new_book(
            symbol,
            instrument.price_scale,
            instrument.qty_scale,
            len(self._syncs) + 1,
            instrument.contract_size,
        )
        feed.add(route, book)
        sync = BookSync(
            book,
            feed,
            _no_request,
            _no_change,
            frames_max=1_000_000,
            bytes_max=1 << 30,
            is_in_band=is_in_band,
        )
        sync.begin("waiting for a snapshot")
        self._syncs[symbol] = sync
        self._instruments[symbol] = instrument
        self._by_id[book.book_id] = sync
        waiting, self._pending = self._pending, []
        for record in waiting:  # snapshots that stood before the first frame of their instrument
            self._snapshot(record)

    def _snapshot(self, record: Record) -> None:
        symbol = record.name
        if not symbol and len(self._syncs) == 1:
            symbol = next(iter(self._syncs))
        sync = self._syncs.get(symbol)
        if sync is None:
            self._pending.append(record)
            return
        if sync.book.is_live or sync.book.state_name == "JOINING":
            return  # the book is synchronised: nobody would have asked for this
        snapshot = self._adapter.decode_snapshot(self._instruments[symbol], record.payload)
        sync.on_snapshot(snapshot, sync.generation, self._now)

    def _attend(self, book: BookLike, code: int, payload: bytes) -> None:
        self._by_id[book.book_id].on_attention(code, payload, self._now, self._now)

    def results(self, with_levels: bool) -> list[dict[str, Any]]:
        """Return one row per instrument: sequence, state, deltas applied, gaps, and levels if asked."""
        rows = []
        for symbol, sync in self._syncs.items():
            book = sync.book
            row: dict[str, Any] = {
                "instrument": self._instruments[symbol].universal,
                "sequence": book.sequence,
                "state": book.state_name,
                "applied": book.updates,
                "gaps": sync.gaps,
            }
            if with_levels:
                row["bids"] = levels_text(book, 0)
                row["asks"] = levels_text(book, 1)
            else:
                row["levels"] = [book.levels(0), book.levels(1)]
            if book.reason:
                row["reason"] = book.reason
            rows.append(row)
        return rows


def _no_request(sync: BookSync, delay_ms: int) -> None:
    """Snapshots come from the recording, when it has them."""


def _no_change(sync: BookSync, cause: str) -> None:
    """A replay tells at its end."""


def dialects_of(adapter: MarketDataAdapter) -> list[RecordedDialect]:
    """Return the shapes in which depth frames of this product may have been recorded."""
    if isinstance(adapter, Recorded):
        return list(adapter.recorded_dialects())
    return [RecordedDialect(adapter.schema, adapter.depth_symbol)]


def route_of(payload: bytes, schema: DepthSchema) -> str | None:
    """Return the values of the schema's route keys, wherever the frame has them; None for any other frame."""
    if not all(key.encode() in payload for key in schema.route_keys):
        return None
    try:
        frame = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    found: dict[str, str] = {}
    for each in _objects(frame, schema):
        if any(key in each for key in schema.control_keys):
            return None  # an acknowledgement that repeats the route
        for key in schema.route_keys:
            if isinstance(each.get(key), str):
                found.setdefault(key, each[key])
    if len(found) < len(schema.route_keys):
        return None
    return "\n".join(found[key] for key in schema.route_keys)


def _objects(value: object, schema: DepthSchema) -> Iterator[dict[str, Any]]:
    """Yield the frame and the objects that the schema descends into."""
    if not isinstance(value, dict):
        return
    yield value
    for key in schema.containers:
        yield from _objects(value.get(key), schema)
    for key in schema.array_containers:
        inner = value.get(key)
        if isinstance(inner, list) and len(inner) == 1:
            yield from _objects(inner[0], schema)


def _unlisted(venue: str, product: Product, symbol: str, scales: tuple[int, int] | None = None) -> Instrument:
    """Return an instrument for a symbol of which nothing but the name is known."""
    price_scale, qty_scale = scales or (DEFAULT_SCALE, DEFAULT_SCALE)
    return Instrument(
        venue=venue, product=product, symbol=symbol, universal=symbol, base="", quote="", settle=None,
        status=InstrumentStatus.TRADING, price_scale=price_scale, qty_scale=qty_scale, tick_size=1,
        lot_size=1, market_lot_size=1, price_min=0, price_max=0, qty_min=0, qty_max=0, market_qty_max=0,
        notional_min=Decimal(0), notional_max=Decimal(0),
    )  # fmt: skip


def recorded_scales(adapter: MarketDataAdapter, records: Iterable[Record]) -> Scales:
    """Return the decimals that the levels of each symbol were recorded with, at least ``DEFAULT_SCALE``.

    Fewer where the largest number would not fit an int64 otherwise.
    """
    dialects = dialects_of(adapter)
    seen: dict[str, list[int]] = {}
    for record in records:
        symbol: str | None = record.name
        if record.kind is RecordKind.FRAME:
            symbol = next(
                (
                    found
                    for each in dialects
                    if (route := route_of(record.payload, each.schema)) is not None
                    and (found := each.symbol_of(route)) is not None
                ),
                None,
            )
        elif record.kind is not RecordKind.SNAPSHOT:
            symbol = None
        if symbol is not None:
            digits = seen.setdefault(symbol, [0, 0, DEFAULT_SCALE, DEFAULT_SCALE])
            for whole, part, qty_whole, qty_part in _LEVEL.findall(record.payload):
                digits[0] = max(digits[0], len(whole))
                digits[1] = max(digits[1], len(qty_whole))
                digits[2] = max(digits[2], len(part))
                digits[3] = max(digits[3], len(qty_part))
    return {
        symbol: (min(digits[2], DIGITS_MAX - digits[0]), min(digits[3], DIGITS_MAX - digits[1]))
        for symbol, digits in seen.items()
    }


def replay_files(
    adapter: MarketDataAdapter, files: Iterable[Path], listing_file: Path | None, with_levels: bool
) -> list[dict[str, Any]]:
    """Replay files merged by receive time and return the final books.

    Raises:
        RecordingError: a file cannot be read. ProtocolViolation, UsageError: see :meth:`Replay.run`.
    """
    paths = list(files)
    listing: list[Instrument] = []
    scales: Scales = {}
    if listing_file is not None:
        listing = list(_listing(adapter, listing_file))
    else:
        scales = recorded_scales(adapter, read_recordings(paths))
    replay = Replay(adapter, listing, scales)
    replay.run(read_recordings(paths))
    return replay.results(with_levels)


def _listing(adapter: MarketDataAdapter, file: Path) -> Iterable[Instrument]:
    try:
        body = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    if body[:1] == b"{":
        return adapter.decode_instruments(body)
    for record in read_recordings([file]):
        if record.kind is RecordKind.INSTRUMENTS:
            return adapter.decode_instruments(record.payload)
    raise ProtocolViolation(f"{file} holds no listing of instruments")
