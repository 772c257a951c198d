"""``replay``: recorded frames to final books, one JSON line per instrument."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.cli import output
from engine.config import VENUES
from engine.model.errors import UsageError
from engine.model.instrument import Product
from engine.replay.replay import replay_files
from engine.supervisor import wiring


def main(options: argparse.Namespace) -> int:
    """Run the command; 0 even when a book is not LIVE at the end: its line says so."""
    if options.venue not in VENUES:
        raise UsageError(f"--venue {options.venue}: known are {', '.join(VENUES)}")
    adapter = wiring.replay_adapter(options.venue, Product(options.product))
    files = [Path(name) for name in (*options.files, *options.snapshots)]
    listing = Path(options.instruments) if options.instruments else None
    rows = replay_files(adapter, files, listing, options.dump_books)
    if not rows:
        raise UsageError("no depth frames in these files (is --product right?)")
    for row in rows:
        output.print_json(row)
    return 0
