"""Keeps one book synchronised: buffers deltas, asks for snapshots, joins them, starts again on a gap.

Sans-I/O: time is an argument, the snapshot is asked for through a callback and handed back later. One
instance per instrument; a gap here says nothing about any other instrument on the connection.

The order of things (both Binance procedures and most others have this shape):
1. Subscribed: ``begin``. Deltas are buffered, a snapshot is requested.
2. ``on_snapshot``: the snapshot is loaded and the buffer replayed through the feed, which drops what the
   snapshot contains, joins, and applies the rest.
3. Snapshot older than the buffer: the buffer is kept and a new snapshot asked for after a pause.
4. LIVE. On a gap the book is STALE at once, the delta that revealed it is the first of a new buffer.

Where the snapshot comes on the stream (``is_in_band``) nothing is buffered or joined: the feed makes the
book LIVE by itself when the snapshot arrives, asked for or not. What is requested then is a new
subscription of this one topic, and only when the book fell, or when its snapshot does not come.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.book.l2 import BookLike, DepthFeedLike
from engine.model.errors import UsageError
from engine.model.market import BookSnapshot, BookState, Feed

RETRY_FIRST_MS = 100
RETRY_MAX_MS = 10_000
GRACE_MS = 2_000
"""A snapshot that no delta contradicts for this long is accepted: the stream was subscribed before it."""
JOIN_MS = 10_000
"""A snapshot that deltas keep passing by for this long counts otherwise than they do."""
IN_BAND_WAIT_MS = 15_000
"""A subscription that has brought no snapshot for this long is made anew."""
CROSSED_MS = 500
"""A book that stays crossed for this long is resynchronised: no venue takes so long for one event."""
STEADY_MS = 30_000
"""A book that was LIVE for this long is resynchronised at once when it falls; a younger one after a pause."""


class BookSync:
    """The synchroniser of one book.

    Args:
        book, feed: the book and the feed that serves it.
        request: called with (sync, delay_ms) when a snapshot is wanted; exactly one request is out at
            a time, and it ends in ``on_snapshot`` or ``on_snapshot_failed``. In-band: called when the topic
            must be subscribed anew; it ends in ``on_resubscribed`` or ``on_snapshot_failed``. A request
            whose ``generation`` has passed need not be begun; an unsubscription that was sent must always
            be followed by its subscription.
        changed: called with (sync, cause) when the book became LIVE (cause "") or stopped being so.
        frames_max, bytes_max: bounds of the buffer; when it is full it starts anew.
        is_in_band: snapshots come on the stream (``DepthSchema.is_in_band``).

    Attributes:
        gaps, rejected, crossed, resyncs, snapshots_old, overflows: counters since the start.
    """

    def __init__(
        self,
        book: BookLike,
        feed: DepthFeedLike,
        request: Callable[[BookSync, int], None],
        changed: Callable[[BookSync, str], None],
        *,
        frames_max: int = 5_000,
        bytes_max: int = 16_000_000,
        is_in_band: bool = False,
    ) -> None:
        self.book = book
        self._feed = feed
        self._request = request
        self._changed = changed
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._frames: list[tuple[bytes, int, int]] = []
        self._bytes = 0
        self._is_replaying = False
        self._is_requested = False
        self._is_up = False
        self._generation = 0
        self._joining_since_ns = 0
        self._dropped_last = -1
        self._dropped_ns = 0
        self._retry_ms = RETRY_FIRST_MS
        self._is_in_band = is_in_band
        self._is_waiting = False
        self._has_fallen_early = False
        self._waiting_since_ns = 0
        self._live_since_ns = 0
        self._crossed_since_ns = 0
        self._crossed_updates = 0
        self._halted = ""
        self.gaps = 0
        self.rejected = 0
        self.crossed = 0
        self.resyncs = 0
        self.snapshots_old = 0
        self.overflows = 0

    @property
    def generation(self) -> int:
        """Return a number that changes whenever an outstanding snapshot would come too late."""
        return self._generation

    @property
    def buffered(self) -> int:
        """Return how many deltas wait for a snapshot."""
        return len(self._frames)

    def begin(self, cause: str) -> None:
        """Start on a fresh connection: forget the old one's deltas, buffer, ask for a snapshot.

        In-band the subscription itself is the request. Its snapshot may have come before the venue
        acknowledged the subscription: then the book is LIVE already, and stays so.
        """
        self._is_up = True
        self._clear_buffer()
        if self._halted:
            return
        if not self._is_in_band:
            self._restart(cause, 0)
            return
        self._is_waiting = True
        self._waiting_since_ns = self._live_since_ns = 0
        has_fallen, self._has_fallen_early = self._has_fallen_early, False
        if self.book.is_live:
            return  # ``tick`` tells
        self._restart(cause, 0 if has_fallen else None)

    def use(self, feed: DepthFeedLike) -> None:
        """Replay buffered deltas through another connection's feed from now on; ``begin`` comes next."""
        self._feed = feed

    def follow(self, feed: DepthFeedLike, mono_ns: int) -> None:
        """Go on with another connection, which feeds the book already: LIVE stays LIVE.

        A book that is not LIVE is synchronised anew on that connection.
        """
        self._feed = feed
        if self.book.state not in (BookState.LIVE, BookState.CROSSED):
            self.begin("another connection leads")
            return
        self._is_up = True
        self._generation += 1  # what the old connection was asked for need not come any more
        self._is_requested = self._is_waiting = self._has_fallen_early = False
        self._clear_buffer()
        self._live_since_ns = mono_ns

    def lost(self, cause: str) -> None:
        """The connection is gone: the book is STALE and nothing is asked for until ``begin``."""
        self._is_up = False
        self._generation += 1
        self._is_requested = self._is_waiting = self._has_fallen_early = False
        self._clear_buffer()
        if self._halted:
            return
        was_live = self.book.is_live
        self.book.mark_stale(cause)
        if was_live:
            self._changed(self, cause)

    def halt(self, cause: str) -> None:
        """Nothing is traded: the book is HALTED, and nothing is asked for, until ``resume``."""
        was_live = self.book.is_live
        self._halted = cause
        self._generation += 1
        self._is_requested = self._is_waiting = self._has_fallen_early = False
        self._clear_buffer()
        self.book.halt(cause)
        if was_live:
            self._changed(self, cause)

    def resume(self, cause: str) -> None:
        """The venue trades the instrument again: synchronise anew."""
        if not self._halted:
            return
        self._halted = ""
        if self._is_up:
            self._restart(cause, 0)
        else:
            self.book.mark_stale(cause)

    def distrust(self, cause: str) -> None:
        """Something else showed that the book is wrong (an audit, silence): resynchronise."""
        if self._is_up and not self._halted and self.book.state is not BookState.SYNCING:
            was_live = self.book.is_live
            self.book.mark_stale(cause)
            if was_live:
                self._changed(self, cause)
            self._restart(cause, 0)

    def on_attention(self, code: int, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        """Take a delta that the feed did not apply (BUFFER, GAP, REJECTED or CROSSED)."""
        if self._halted:
            if self.book.state is not BookState.HALTED:  # a malformed frame made it STALE
                self.book.halt(self._halted)
            return
        if code == Feed.CROSSED and self.book.state is BookState.CROSSED:
            self._on_crossed(mono_ns)
            return
        if self._is_in_band:
            self._on_fall(code, mono_ns)
            return
        if self._is_replaying or not self._is_up:
            return
        if code == Feed.BUFFER:
            self._keep(payload, mono_ns, utc_ns)
            return
        cause = self.book.reason
        self._count(code)
        if code == Feed.GAP:
            self._keep(payload, mono_ns, utc_ns)
        if self.book.state is BookState.SYNCING:
            # A malformed delta among the buffered ones: what it held is lost, later snapshots cover it.
            self._clear_buffer()
            return
        self._changed(self, cause)
        self._restart(cause, 0)

    def on_snapshot(self, snapshot: BookSnapshot, generation: int, mono_ns: int) -> bool:
        """Load a snapshot and replay the buffer; return whether the book is LIVE.

        A snapshot asked for before the latest restart (another ``generation``) is ignored.
        """
        if generation != self._generation:
            return False
        self._is_requested = False
        try:
            self.book.load_snapshot(snapshot)
        except UsageError as error:
            self._restart(f"unusable snapshot: {error}", self._next_retry_ms())
            return False
        if not self._replay():
            return False
        self._joining_since_ns = mono_ns
        self._dropped_last, self._dropped_ns = self.book.dropped_last, mono_ns
        if self.book.is_crossed and self.book.state is BookState.JOINING:
            self._restart("crossed snapshot", self._next_retry_ms())
            return False
        return self._settle()

    def on_resubscribed(self, generation: int, mono_ns: int) -> None:
        """In-band: the topic was subscribed anew; its snapshot is awaited from now on."""
        if generation == self._generation:
            self._is_requested = False
            self._waiting_since_ns = mono_ns

    def on_snapshot_failed(self, generation: int) -> int:
        """Ask again after a growing pause; return that pause in milliseconds (0: not ours any more)."""
        if generation != self._generation:
            return 0
        self._is_requested = False
        delay = self._next_retry_ms()
        self._ask(delay)
        return delay

    def tick(self, mono_ns: int) -> None:
        """Accept a snapshot that no delta contradicted during the grace time. Call a few times a second.

        In-band: notice that the snapshot came, or that it does not come.
        """
        if self._halted:
            return
        if self.book.state is BookState.CROSSED and self._is_up:
            if mono_ns - self._crossed_since_ns >= CROSSED_MS * 1_000_000:
                self._changed(self, "crossed")
                self._restart("crossed", self._next_retry_ms())
            return
        if self._is_in_band:
            self._watch(mono_ns)
            return
        if self.book.state is not BookState.JOINING or not self._is_up:
            return
        if self.book.dropped_last != self._dropped_last:
            self._dropped_last, self._dropped_ns = self.book.dropped_last, mono_ns
        if mono_ns - self._joining_since_ns >= JOIN_MS * 1_000_000:
            # Deltas keep coming that the snapshot seems to contain: the two do not count alike.
            self._restart("no delta joins the snapshot", self._next_retry_ms())
        elif mono_ns - max(self._joining_since_ns, self._dropped_ns) >= GRACE_MS * 1_000_000:
            if self.book.accept_snapshot():
                self._synced()
            else:
                self._restart("crossed snapshot", self._next_retry_ms())

    def joined(self) -> None:
        """Tell that a delta made the JOINING book LIVE (the session sees it on its next tick)."""
        if self.book.is_live:
            self._synced()

    def _on_crossed(self, mono_ns: int) -> None:
        """Note since when the book is crossed without a break; ``tick`` gives it a while to part."""
        self.crossed += 1
        if self.book.updates != self._crossed_updates + 1:
            self._crossed_since_ns = mono_ns
        self._crossed_updates = self.book.updates

    # --------------------------------------------------------------------------------------- in-band

    def _on_fall(self, code: int, mono_ns: int) -> None:
        """Take what the feed could not apply; deltas that come before their snapshot are dropped."""
        if code == Feed.BUFFER:
            return
        self._count(code)
        if not self._is_up:
            self._has_fallen_early = True
            return
        if self.book.state is BookState.SYNCING:
            return  # a malformed frame while a snapshot is awaited; were it the snapshot, ``_watch`` notices
        is_steady = self._live_since_ns and mono_ns - self._live_since_ns >= STEADY_MS * 1_000_000
        cause = self.book.reason
        self._changed(self, cause)
        self._restart(cause, 0 if is_steady else self._next_retry_ms())

    def _watch(self, mono_ns: int) -> None:
        if not self._is_up:
            return
        if self.book.is_live:
            if self._is_waiting:
                self._is_waiting = self._is_requested = False
                self._generation += 1  # a subscription not yet made anew need not be
                self._live_since_ns = mono_ns
                self._changed(self, "")
            elif mono_ns - self._live_since_ns >= STEADY_MS * 1_000_000:
                self._retry_ms = RETRY_FIRST_MS
            return
        if not self._is_waiting or self._is_requested or self.book.state is not BookState.SYNCING:
            return
        if not self._waiting_since_ns:
            self._waiting_since_ns = mono_ns
        elif mono_ns - self._waiting_since_ns >= IN_BAND_WAIT_MS * 1_000_000:
            self._restart("no snapshot came", self._next_retry_ms())

    # ------------------------------------------------------------------------------------------------

    def _replay(self) -> bool:
        """Feed the buffered deltas; False when one of them needs another snapshot."""
        frames, self._frames, self._bytes = self._frames, [], 0
        self._is_replaying = True
        stages, self._feed.stages = self._feed.stages, 0  # waiting in the buffer is not latency
        applied = 0
        try:
            for index, (payload, mono_ns, utc_ns) in enumerate(frames):
                code = self._feed.feed_code(payload, mono_ns, utc_ns)
                if code == Feed.APPLIED or (code == Feed.CROSSED and self.book.state is BookState.CROSSED):
                    applied += 1
                elif code in (Feed.GAP, Feed.REJECTED, Feed.CROSSED):
                    keep_from = index if code == Feed.GAP else index + 1
                    for frame in frames[keep_from:]:
                        self._keep(*frame)
                    self._count_replay_failure(code, applied)
                    return False
        finally:
            self._is_replaying = False
            self._feed.stages = stages
        return True

    def _count_replay_failure(self, code: int, applied: int) -> None:
        if code == Feed.GAP and not applied:
            self.snapshots_old += 1
            self._restart("snapshot older than the buffered deltas", self._next_retry_ms())
            return
        self._count(code)
        self._restart(self.book.reason, self._next_retry_ms())

    def _count(self, code: int) -> None:
        if code == Feed.GAP:
            self.gaps += 1
        elif code == Feed.REJECTED:
            self.rejected += 1
        elif code == Feed.CROSSED:
            self.crossed += 1

    def _settle(self) -> bool:
        book = self.book
        if book.state is BookState.JOINING and book.dropped_last == book.sequence:
            book.accept_snapshot()  # the last buffered delta ends exactly at the snapshot: nothing is between
        if book.is_live:
            self._synced()
            return True
        return False

    def _synced(self) -> None:
        self._retry_ms = RETRY_FIRST_MS
        self._changed(self, "")

    def _restart(self, cause: str, delay_ms: int | None) -> None:
        """Synchronise anew; ``None`` where nothing need be asked for."""
        if self.book.updates:
            self.resyncs += 1
        self.book.begin_sync(cause)
        self._generation += 1
        self._is_requested = False
        self._is_waiting = self._is_in_band
        self._waiting_since_ns = self._live_since_ns = 0
        if delay_ms is not None:
            self._ask(delay_ms)

    def _ask(self, delay_ms: int) -> None:
        if not self._is_requested and self._is_up:
            self._is_requested = True
            self._request(self, delay_ms)

    def _next_retry_ms(self) -> int:
        delay, self._retry_ms = self._retry_ms, min(self._retry_ms * 2, RETRY_MAX_MS)
        return delay

    def _keep(self, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        if len(self._frames) >= self._frames_max or self._bytes + len(payload) > self._bytes_max:
            self.overflows += 1
            self._clear_buffer()  # an old buffer is worthless once it has a hole: start a new one
        self._frames.append((payload, mono_ns, utc_ns))
        self._bytes += len(payload)

    def _clear_buffer(self) -> None:
        self._frames = []
        self._bytes = 0
