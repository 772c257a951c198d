"""Busy polling: it spins, falls quiet, wakes, stops, and never leaves a second timer behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from engine.model.errors import ConfigError
from engine.transport.busy_poll import BusyPoll, pin_to
from tests.unit.transport.test_reconnect import HandClock


class Loop:
    """Keeps what was scheduled, to be run by hand."""

    class Timer:
        """What call_later returns."""

        def __init__(self, callback: Callable[[], None]) -> None:
            self.callback = callback
            self.is_cancelled = False

        def cancel(self) -> None:
            self.is_cancelled = True

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.later: list[Loop.Timer] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Loop.Timer:
        self.later.append(Loop.Timer(callback))
        return self.later[-1]

    def turn(self) -> int:
        """Run what is due; return how many there were."""
        due, self.soon = self.soon, []
        for callback in due:
            callback()
        return len(due)

    def fire(self) -> int:
        """Run the timers that were not cancelled; return how many there were."""
        due, self.later = [each for each in self.later if not each.is_cancelled], []
        for timer in due:
            timer.callback()
        return len(due)


def made(quiet_ms: int) -> tuple[BusyPoll, Any, HandClock, list[int]]:
    loop: Any = Loop()
    clock, activity = HandClock(), [0]
    poll = BusyPoll(loop, clock, lambda: activity[0], quiet_ms)
    return poll, loop, clock, activity


def test_always_means_always_until_stopped() -> None:
    poll, loop, clock, _ = made(0)
    poll.start()
    for _ in range(100):
        clock.now_ms += 1_000
        assert loop.turn() == 1
    assert poll.spins == 100
    poll.stop()
    loop.turn()
    assert loop.turn() == 0


def test_adaptive_sleeps_after_silence_and_spins_again_with_the_first_message() -> None:
    poll, loop, clock, activity = made(5)
    poll.start()
    for _ in range(20):
        clock.now_ms += 4
        activity[0] += 1
        assert loop.turn() == 1
    clock.now_ms += 6
    loop.turn()
    assert loop.turn() == 0, "still spinning"
    assert loop.fire() == 1
    assert loop.turn() == 0, "nothing came, and it spins"
    activity[0] += 1
    assert loop.fire() == 1
    assert loop.turn() == 1


def test_being_woken_again_and_again_leaves_one_timer() -> None:
    poll, loop, clock, _ = made(5)
    poll.start()
    for _ in range(50):
        clock.now_ms += 6
        while loop.turn():
            clock.now_ms += 6
        poll.wake()
    clock.now_ms += 6
    while loop.turn():
        clock.now_ms += 6
    assert loop.fire() == 1


def test_stop_ends_timers_and_wakes_nobody() -> None:
    poll, loop, clock, activity = made(5)
    poll.start()
    loop.turn()
    clock.now_ms += 6
    loop.turn()
    poll.stop()
    activity[0] += 1
    assert loop.fire() == 0
    poll.wake()
    assert loop.turn() == 0


async def test_a_real_loop_still_serves_others() -> None:
    loop = asyncio.get_running_loop()
    poll = BusyPoll(loop, HandClock(), lambda: 0)
    poll.start()
    reader, writer = await asyncio.wait_for(_pipe(), 5.0)
    writer.write(b"x")
    assert await asyncio.wait_for(reader.read(1), 5.0) == b"x"
    writer.close()
    assert poll.spins > 0
    poll.stop()
    spins = poll.spins
    for _ in range(5):
        await asyncio.sleep(0)
    assert poll.spins <= spins + 1


async def _pipe() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader = asyncio.StreamReader()
    read_end, write_end = os.pipe()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb"))
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.streams.FlowControlMixin(), os.fdopen(write_end, "wb")
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def test_pinning_to_a_core_that_is_not_ours() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ConfigError, match=r"loop\.cpu = 9999: this process may use cores"):
        pin_to(9999)
    assert os.sched_getaffinity(0) == before
    try:
        pin_to(min(before))
        assert os.sched_getaffinity(0) == {min(before)}
    finally:
        os.sched_setaffinity(0, before)
