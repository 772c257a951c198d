"""Keep the event loop awake: for those who give the engine a core of its own.

A halted core takes tens of microseconds to wake, more than everything the engine does with a frame. A
callback that schedules itself makes the loop poll its selector without blocking. ``adaptive`` spins
while something happens and lets the loop sleep after a stretch of silence.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from engine.model.errors import ConfigError
from engine.model.ports import Clock


class BusyPoll:
    """Spins the running loop.

    Args:
        activity: returns a counter that grows with every message; adaptive mode watches it.
        quiet_ms: adaptive mode blocks after this much silence; 0 = always spin.

    In adaptive mode a blocked loop is woken by its own I/O; ``wake`` (called by the first message's
    handler, or by a short timer) starts the spin again.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, activity: Callable[[], int], quiet_ms: int = 0
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._activity = activity
        self._quiet_ns = quiet_ms * 1_000_000
        self._seen = -1
        self._since = 0
        self._is_on = False
        self._is_spinning = False
        self._timer: asyncio.TimerHandle | None = None
        self._again = self._spin
        self.spins = 0

    def start(self) -> None:
        """Begin to spin."""
        self._is_on = True
        self._since = self._clock.mono_ns()
        self.wake()

    def stop(self) -> None:
        """Let the loop sleep again."""
        self._is_on = False
        if self._timer is not None:
            self._timer.cancel()

    def wake(self) -> None:
        """Spin again after a silence."""
        if self._is_on and not self._is_spinning:
            if self._timer is not None:
                self._timer.cancel()
            self._since = self._clock.mono_ns()
            self._is_spinning = True
            self._loop.call_soon(self._again)

    def _spin(self) -> None:
        self.spins += 1
        if not self._is_on:
            self._is_spinning = False
            return
        if self._quiet_ns:
            now = self._clock.mono_ns()
            seen = self._activity()
            if seen != self._seen:
                self._seen, self._since = seen, now
            elif now - self._since > self._quiet_ns:
                self._is_spinning = False
                self._timer = self._loop.call_later(self._quiet_ns / 1e9, self._look)
                return
        self._loop.call_soon(self._again)

    def _look(self) -> None:
        """While blocked, look now and then whether messages have come."""
        if not self._is_on:
            return
        if self._activity() != self._seen:
            self._since = self._clock.mono_ns()
            self.wake()
        else:
            self._timer = self._loop.call_later(self._quiet_ns / 1e9, self._look)


def pin_to(cpu: int) -> None:
    """Pin this process to one core.

    Raises:
        ConfigError: there is no such core, or the process may not use it.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if cpu not in allowed:
        raise ConfigError(f"loop.cpu = {cpu}: this process may use cores {', '.join(map(str, allowed))}")
    os.sched_setaffinity(0, {cpu})
