"""The three tables, as readers see them.

Prices and quantities are exact integers; ``price / 10**price_scale`` is the decimal. Both scales stand in
every row (they compress to nothing), so a query needs no side file:

    duckdb:  select recv_utc_ns, side, price / 10.0**price_scale as price, qty / 10.0**qty_scale as qty
             from read_parquet('data/parquet/**/l2_deltas-*.parquet', hive_partitioning = true)
             where pair = 'BTC/USDT' order by last_sequence

Partitions are ``exchange=<venue>/pair=<universal symbol>/date=<UTC day of receipt>``; characters of the
symbol that a path cannot hold are percent-encoded (readers decode them). Files begin with their table's
name; a file under its final name is complete.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

from engine.model.rows import COLUMN_NAMES

TableName = Literal["l2_deltas", "book_snapshots", "trades"]

COLUMNS: dict[TableName, tuple[str, ...]] = {
    "l2_deltas": COLUMN_NAMES,
    "book_snapshots": (
        "recv_utc_ns", "venue_utc_ns", "sequence", "book_id", "side", "level", "is_full", "price", "qty",
    ),
    "trades": (
        "recv_utc_ns", "venue_utc_ns", "trade_id", "book_id", "aggressor", "price", "qty", "is_backfilled",
    ),
}  # fmt: skip
"""Columns that travel to the writer, all int64. ``book_id`` is ours and is not written; ``side`` and
``aggressor`` are 0 for buy, 1 for sell; ``level`` counts from 0 at the touch; ``is_full`` marks the whole
book written when it came LIVE, from which deltas can be applied; ``is_backfilled`` marks prints that were
asked for after a connection was lost: order trades by ``venue_utc_ns``, then ``trade_id``."""

SMALL_COLUMNS = frozenset({"side", "aggressor", "is_full", "is_backfilled"})
"""Written as int8."""
STEADY_COLUMNS = frozenset(
    {"recv_utc_ns", "venue_utc_ns", "first_sequence", "last_sequence", "sequence", "trade_id", "level"}
)
"""Delta-encoded; price and quantity are byte-stream-split, which suits zstd best."""


def partition(venue: str, universal: str, date: str) -> str:
    """Return the folder of an instrument's day; every part is safe, whatever the symbol holds."""
    return f"exchange={quote(venue, safe='')}/pair={quote(universal, safe='')}/date={date}"
