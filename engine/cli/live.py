"""The live view of ``run``: redrawn twice a second, off the hot path.

A few instruments are shown one by one; where they do not fit the terminal, venues are summed up and the best
of all venues stands below, as many symbols as there is room for.
"""

from __future__ import annotations

import asyncio
import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from engine.cli.output import best_table, console, quotes_table, venues_table
from engine.supervisor.engine import Engine

REFRESH_S = 0.5
ROWS_AROUND = 6
"""Lines that headings and gaps take."""


async def show(engine: Engine) -> None:
    """Redraw the view until cancelled."""
    rates = Rates()
    with Live(console=console(), refresh_per_second=4, transient=False) as live:
        while True:
            live.update(Group(_headline(engine), *_body(engine, rates, live.console.height)))
            await asyncio.sleep(REFRESH_S)


class Rates:
    """Messages per second by name, from counters that only grow."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, int]] = {}

    def of(self, name: str, count: int) -> float:
        """Return the rate since the last call for this name, 0 the first time."""
        now = time.monotonic()
        then, before = self._before.get(name, (now, count))
        self._before[name] = (now, count)
        return (count - before) / (now - then) if now > then else 0.0


def _body(engine: Engine, rates: Rates, height: int) -> list[RenderableType]:
    rows = [row for venue in engine.venues for row in venue.quote_rows()]
    if len(rows) + ROWS_AROUND <= height:
        return [quotes_table(rows), *_errors(engine)]
    health = [venue.health() for venue in engine.venues]
    for each in health:
        each["messages_per_s"] = rates.of(f"{each['venue']}.{each['product']}", each["messages"])
    room = max(0, height - len(health) - ROWS_AROUND - len(_errors(engine)))
    best = engine.markets.best_rows()
    parts: list[RenderableType] = [venues_table(health), *_errors(engine)]
    if room > 0:
        parts += [Text(""), best_table(best[:room])]
    return parts


def _errors(engine: Engine) -> list[RenderableType]:
    """Return a line for each venue product that is not up: what the state is due to."""
    lines = [f"{each.venue} {each.product.value}: {each.error}" for each in engine.venues if each.error]
    return [Text(line, style="red", no_wrap=True, overflow="ellipsis") for line in lines]


def _headline(engine: Engine) -> Text:
    books = sum(len(venue.books) for venue in engine.venues)
    live = sum(venue.live_books for venue in engine.venues)
    parts = [f"{live}/{books} books LIVE"]
    if engine.sim_trouble:
        parts.append(engine.sim_trouble)
    parts.append("Ctrl-C stops")
    return Text("   ".join(parts), style="bold" if live == books else "yellow")
