"""What keeps a venue's wire going: the ticks of its clock, and a round of writing after whatever happened."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Clockwork:
    """Ticks while anyone uses it, and runs one round for all that happened in a turn of the event loop.

    Args:
        name: of the wire, for the task and for complaints.
        tick: does what is due by the clock, every ``tick_s`` seconds.
        finish_round: writes what has happened since the last round; it may also be called in between.
    """

    def __init__(
        self, name: str, tick_s: float, tick: Callable[[], None], finish_round: Callable[[], None]
    ) -> None:
        self._name = name
        self._tick_s = tick_s
        self._tick = tick
        self._finish_round = finish_round
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._users = 0
        self._round_due = False

    def wake(self) -> None:
        """Ask for a round at the end of this turn of the event loop."""
        if not self._round_due and self._loop is not None:
            self._round_due = True
            self._loop.call_soon(self._finish_round)

    def begin_round(self) -> None:
        """Hear that a round runs: whoever wakes the clockwork from now on needs another one."""
        self._round_due = False

    async def start(self) -> None:
        """Start ticking, with the first user."""
        self._users += 1
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._tick_for_ever(), name=self._name)
            self._task.add_done_callback(_report_failure)

    async def stop(self) -> None:
        """Stop it, with the last."""
        self._users -= 1
        if self._task is not None and self._users <= 0:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _tick_for_ever(self) -> None:
        while True:
            self._tick()
            await asyncio.sleep(self._tick_s)


def _report_failure(task: asyncio.Task[None]) -> None:
    """Say loudly that a clockwork has stopped: without it streams and faults fall asleep."""
    if not task.cancelled() and (error := task.exception()) is not None:
        message = f"{task.get_name()}: the clockwork has stopped"
        context = {"message": message, "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)
