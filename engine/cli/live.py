"""The live table of ``run``: redrawn twice a second, off the hot path."""

from __future__ import annotations

import asyncio

from rich.console import Group
from rich.live import Live
from rich.text import Text

from engine.cli.output import console, quotes_table
from engine.supervisor.engine import Engine

REFRESH_S = 0.5


async def show(engine: Engine) -> None:
    """Redraw the table until cancelled."""
    with Live(console=console(), refresh_per_second=4, transient=False) as live:
        while True:
            live.update(Group(_headline(engine), quotes_table(_rows(engine))))
            await asyncio.sleep(REFRESH_S)


def _rows(engine: Engine) -> list[dict[str, object]]:
    return [row for venue in engine.venues for row in venue.quote_rows()]


def _headline(engine: Engine) -> Text:
    books = sum(len(venue.books) for venue in engine.venues)
    live = sum(venue.live_books for venue in engine.venues)
    parts = [f"{live}/{books} books LIVE"]
    parts.extend(f"{each.venue} {each.product.value}: {each.error}" for each in engine.venues if each.error)
    parts.append("Ctrl-C stops")
    return Text("   ".join(parts), style="bold" if live == books else "yellow")
