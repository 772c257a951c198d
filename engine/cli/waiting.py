"""Waiting for the engine that a one-shot command opens: as long as there is hope, and with a sign of life."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from rich.console import Console
from rich.status import Status

from engine.supervisor.engine import Engine
from engine.supervisor.venue import VenueProduct

T = TypeVar("T")

SILENT_S = 2.0
"""Nobody is left without a word for longer."""
DOWN_S = 4.0
"""What is still missing has failed and says why: enough tries for one question."""
PARTIAL_S = 6.0
"""Others have answered: what is not up by then is named and left out."""
PATIENCE_S = 30.0
"""Nothing has answered and nothing has failed."""
POLL_S = 0.02


async def wait_for_books(engine: Engine, *, is_quiet: bool) -> None:
    """Wait until every book is LIVE, or until waiting longer makes no sense; what is missing then says so.

    Args:
        is_quiet: no word of progress on standard error.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    status: Status | None = None
    has_told = False
    try:
        while late := [venue for venue in engine.venues if not venue.is_whole]:
            waited = loop.time() - began
            if is_hopeless(late, len(engine.venues), waited):
                return
            if waited > SILENT_S and not is_quiet:
                if sys.stderr.isatty():
                    if status is None:
                        status = Console(stderr=True).status(awaited(late))
                        status.start()
                    status.update(awaited(late))
                elif not has_told:
                    has_told = True
                    print(awaited(late), file=sys.stderr, flush=True)
            await asyncio.sleep(POLL_S)
    finally:
        if status is not None:
            status.stop()


async def with_a_word(answer: Coroutine[Any, Any, T], *, is_quiet: bool) -> T:
    """Return the running engine's answer; say that it is waited for when it takes long."""
    task = asyncio.ensure_future(answer)
    try:
        done, _ = await asyncio.wait({task}, timeout=SILENT_S)
        if not done and not is_quiet:
            print("waiting for the running engine to answer ...", file=sys.stderr, flush=True)
        return await task
    finally:
        task.cancel()


def is_hopeless(late: list[VenueProduct], venues: int, waited_s: float) -> bool:
    """Tell whether to stop waiting for ``late``, some of ``venues`` venue products."""
    if waited_s > DOWN_S and all(venue.error for venue in late):
        return True
    return waited_s > (PARTIAL_S if len(late) < venues else PATIENCE_S)


def awaited(late: list[VenueProduct]) -> str:
    """Return who is waited for, and why it takes so long."""
    names = (
        f"{venue.venue} {venue.product.value}" + (f" ({venue.error[:80]})" if venue.error else "")
        for venue in late
    )
    return f"waiting for {', '.join(names)} ..."
