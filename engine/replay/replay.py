"""Runs recorded frames through the venue's adapter, the synchroniser and the book, as if they were live."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.book.l2 import BookLike, DepthFeedLike, levels_text, new_book, new_feed
from engine.book.sync import BookSync
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.replay.recordings import Record, RecordKind, read_recordings
from engine.venues.base import MarketDataAdapter

DEFAULT_SCALE = 8
"""Decimals of prices and quantities where no listing was given: enough for every text of 8 decimals."""


class Replay:
    """One replay. Instruments appear as their frames and snapshots do.

    Args:
        listing: the venue's instruments, for exact scales and universal names; without it symbols are
            shown as the venue writes them, at 8 decimals.
    """

    def __init__(self, adapter: MarketDataAdapter, listing: Iterable[Instrument] = ()) -> None:
        self._adapter = adapter
        self._listing = {each.symbol: each for each in listing}
        self._combined: DepthFeedLike = new_feed(adapter.schema)
        self._raw: DepthFeedLike = new_feed(adapter.raw_schema())
        self._syncs: dict[str, BookSync] = {}
        self._instruments: dict[str, Instrument] = {}
        self._by_id: dict[int, BookSync] = {}
        self._streams: set[str] = set()
        self._pending: list[Record] = []
        self._now = 0
        for feed in (self._combined, self._raw):
            feed.stages = 0
            feed.on_attention = self._attend

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
        if record.name:
            if record.name not in self._streams:
                self._streams.add(record.name)
                symbol = self._adapter.depth_symbol(record.name)
                if symbol is not None:
                    self._serve(symbol, self._combined, record.name)
            self._combined.feed_code(record.payload, self._now, self._now)
            return
        symbol = _raw_symbol(record.payload)
        if symbol is not None:
            route = f"depthUpdate\n{symbol}"
            if route not in self._streams:
                self._streams.add(route)
                self._serve(symbol, self._raw, route)
            self._raw.feed_code(record.payload, self._now, self._now)

    def _serve(self, symbol: str, feed: DepthFeedLike, route: str) -> None:
        sync = self._syncs.get(symbol)
        if sync is not None:
            raise UsageError(f"{symbol} has two depth streams in these files; replay one of them")
        instrument = self._listing.get(symbol) or _unlisted(
            self._adapter.venue, self._adapter.product, symbol
        )
        book = new_book(symbol, instrument.price_scale, instrument.qty_scale, len(self._syncs) + 1)
        feed.add(route, book)
        sync = BookSync(book, feed, _no_request, _no_change, frames_max=1_000_000, bytes_max=1 << 30)
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


def _raw_symbol(payload: bytes) -> str | None:
    """Return the symbol of an unwrapped depth frame."""
    if b'"depthUpdate"' not in payload[:64]:
        return None
    try:
        symbol = json.loads(payload).get("s")
    except (ValueError, AttributeError, RecursionError):
        return None
    return symbol if isinstance(symbol, str) else None


def _unlisted(venue: str, product: Product, symbol: str) -> Instrument:
    """Return an instrument for a symbol of which nothing but the name is known."""
    return Instrument(
        venue=venue, product=product, symbol=symbol, universal=symbol, base="", quote="", settle=None,
        status=InstrumentStatus.TRADING, price_scale=DEFAULT_SCALE, qty_scale=DEFAULT_SCALE, tick_size=1,
        lot_size=1, market_lot_size=1, price_min=0, price_max=0, qty_min=0, qty_max=0, market_qty_max=0,
        notional_min=Decimal(0), notional_max=Decimal(0),
    )  # fmt: skip


def replay_files(
    adapter: MarketDataAdapter, files: Iterable[Path], listing_file: Path | None, with_levels: bool
) -> list[dict[str, Any]]:
    """Replay files merged by receive time and return the final books.

    Raises:
        RecordingError: a file cannot be read. ProtocolViolation, UsageError: see :meth:`Replay.run`.
    """
    listing: list[Instrument] = []
    if listing_file is not None:
        listing = list(_listing(adapter, listing_file))
    replay = Replay(adapter, listing)
    replay.run(read_recordings(files))
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
