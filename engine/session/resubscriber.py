"""Repairs in-band books: ends one topic's subscription and, once that is acknowledged, makes it anew.

Where the venue gives a fresh snapshot to those who ask for it, that is tried first.

For venues that send a book's snapshot at the start of its subscription. One desk per connection; what was
begun is ended: an unsubscription that was sent is followed by its subscription, or the connection is
dropped, because a connection with a topic missing looks healthy and is not.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from engine.book.sync import BookSync
from engine.model.errors import NotSent
from engine.model.instrument import Instrument
from engine.model.ports import Clock
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.venues.base import ControlReply

ANSWER_S = 5.0
ASK_AGAIN_S = 20.0
"""A book that falls again within this time of its last asking is subscribed anew; longer than a snapshot is
waited for (``sync.IN_BAND_WAIT_MS``)."""
AT_ONCE = 2
"""Topics made anew at the same time: a connection's control messages are few in a second."""


class Resubscriber:
    """Answers the requests of one connection's in-band ``BookSync``s.

    Args:
        message: builds the control message: (instrument, is_wanted, request id).
        reserve: takes a place in the connection's message budget; returns the seconds to wait for it.
        send: puts a message on the connection; raises NotSent when there is none.
        drop: ends the connection, with the reason.
        instrument_of: finds a book's instrument by the book's id.
        snapshot_message: builds the message that asks for a fresh snapshot, ``None`` where there is none.
    """

    def __init__(
        self,
        message: Callable[[Instrument, bool, str], bytes],
        reserve: Callable[[], float],
        send: Callable[[bytes], None],
        drop: Callable[[str], None],
        instrument_of: Callable[[int], Instrument],
        clock: Clock,
        log: EventLog,
        snapshot_message: Callable[[Instrument], bytes] | None = None,
    ) -> None:
        self._message = message
        self._snapshot_message = snapshot_message
        self._asked_ns: dict[int, int] = {}
        self._reserve = reserve
        self._send = send
        self._drop = drop
        self._instrument_of = instrument_of
        self._clock = clock
        self._log = log
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[str | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.made_anew = 0

    def request(self, sync: BookSync, delay_ms: int) -> None:
        """Make a book's subscription anew after a pause; ``sync`` hears how it went."""
        task = asyncio.get_running_loop().create_task(self._renew(sync, sync.generation, delay_ms))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def renew_topic(self, book_id: int) -> bool:
        """End a book's subscription and make it anew; return whether the venue acknowledged it."""
        instrument = self._instrument_of(book_id)
        async with self._slots:
            await self._ask(instrument, is_wanted=False)
            refused = await self._ask(instrument, is_wanted=True)
        if refused is None:
            self.made_anew += 1
        return refused is None

    def heard(self, reply: ControlReply) -> bool:
        """Take a control reply; return whether it answers one of these requests."""
        waiting = self._waiting.pop(reply.request_id or "", None)
        if waiting is None:
            return False
        if not waiting.done():
            waiting.set_result(reply.error)
        return True

    def lost(self) -> None:
        """The connection is gone: its successor subscribes everything by itself."""
        for task in list(self._tasks):
            task.cancel()
        self._waiting.clear()

    async def stop(self) -> None:
        """Abandon what is under way."""
        self.lost()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.emit(events.TASK_FAILED, task="resubscribe", error=repr(error)[:200], retry_s=None)
            self._drop("a subscription could not be made anew")

    async def _renew(self, sync: BookSync, generation: int, delay_ms: int) -> None:
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        async with self._slots:
            if sync.generation != generation:
                return  # another restart has asked anew, or the book became LIVE by itself
            instrument = self._instrument_of(sync.book.book_id)
            if self._snapshot_message is not None and self._may_ask(sync.book.book_id):
                if await self._ask_snapshot(self._snapshot_message(instrument)):
                    sync.on_resubscribed(generation, self._clock.mono_ns())
                return
            refused = await self._ask(instrument, is_wanted=False)
            # A refusal mostly means that there was no such subscription: then the new one is what lacks.
            if refused is None or not refused.startswith(_NO_ANSWER):
                refused = await self._ask(instrument, is_wanted=True)
        if refused is not None:
            self._log.emit(
                events.SNAPSHOT_FAILED, venue=instrument.venue, instrument=instrument.universal,
                error=refused[:200], retry_ms=sync.on_snapshot_failed(generation),
            )  # fmt: skip
            if refused.startswith(_NO_ANSWER):
                self._drop(f"{instrument.universal}: a subscription request was not answered")
            return
        self.made_anew += 1
        sync.on_resubscribed(generation, self._clock.mono_ns())

    def _may_ask(self, book_id: int) -> bool:
        """Tell whether a snapshot may be asked for: one of a moment ago did not come, or did not help."""
        now = self._clock.mono_ns()
        asked_ns = self._asked_ns.get(book_id)
        self._asked_ns[book_id] = now
        return asked_ns is None or now - asked_ns > ASK_AGAIN_S * 1e9

    async def _ask_snapshot(self, message: bytes) -> bool:
        """Send the message; return whether it left. Its answer comes on the stream, or the wait ends."""
        try:
            if wait := self._reserve():
                await asyncio.sleep(wait)
            self._send(message)
        except NotSent as error:
            self._drop(f"a snapshot could not be asked for: {error}")
            return False
        return True

    async def _ask(self, instrument: Instrument, *, is_wanted: bool) -> str | None:
        """Send one control message; return None when it was acknowledged, else why not."""
        request_id = f"r{next(self._ids)}"
        answered: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answered
        try:
            if wait := self._reserve():
                await asyncio.sleep(wait)
            self._send(self._message(instrument, is_wanted, request_id))
            return await asyncio.wait_for(answered, ANSWER_S)
        except NotSent as error:
            return f"{_NO_ANSWER}: {error}"
        except TimeoutError:
            return f"{_NO_ANSWER} within {ANSWER_S:g} s"
        finally:
            self._waiting.pop(request_id, None)


_NO_ANSWER = "no answer"
