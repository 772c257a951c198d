"""Frames that came too early: kept until the twin connection has brought what they follow.

Where two connections feed one book, the first copy of each delta wins and the other is old news. A connection
that is ahead of its twin (it was opened later, or the other one is slow) brings deltas that do not continue
the book yet; they are kept here and tried again whenever the book has moved. What waits too long follows
something that neither connection will bring: a gap.
"""

from __future__ import annotations

from collections import deque

from engine.book.l2 import BookLike, DepthFeedLike
from engine.model.market import Feed

WAIT_NS = 1_000_000_000
FRAMES_MAX = 4_096


class TwinBuffer:
    """Deltas of one book that are ahead of it.

    Attributes:
        drained: frames that continued the book later. overflowed: frames shed because too many waited.
    """

    def __init__(self, book: BookLike, frames_max: int = FRAMES_MAX, wait_ns: int = WAIT_NS) -> None:
        self._book = book
        self._frames_max = frames_max
        self._wait_ns = wait_ns
        self._frames: deque[tuple[DepthFeedLike, bytes, int, int]] = deque()
        self._is_draining = False
        self.drained = 0
        self.overflowed = 0

    def __len__(self) -> int:
        return len(self._frames)

    def hold(self, feed: DepthFeedLike, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        """Keep a frame that ``feed`` answered with AHEAD (not those of :meth:`drain`, which stay)."""
        if self._is_draining:
            return
        if len(self._frames) == self._frames_max:
            self._frames.popleft()
            self.overflowed += 1
        self._frames.append((feed, payload, mono_ns, utc_ns))

    def drain(self) -> None:
        """Try the waiting frames again, oldest first, until one is still ahead. For when the book moved."""
        if not self._frames or self._is_draining:
            return
        self._is_draining = True
        try:
            while self._frames:
                feed, payload, mono_ns, utc_ns = self._frames[0]
                stages, feed.stages = feed.stages, 0  # waiting here is not latency
                try:
                    code = feed.feed_code(payload, mono_ns, utc_ns)
                finally:
                    feed.stages = stages
                if code == Feed.AHEAD:
                    break
                self._frames.popleft()
                self.drained += code == Feed.APPLIED
        finally:
            self._is_draining = False

    def forget(self, feed: DepthFeedLike) -> None:
        """Drop what a connection brought that has ended: the other one brings it all, in its own order.

        Set ``feeds`` of the book first; then what is left is tried again.
        """
        self._frames = deque(frame for frame in self._frames if frame[0] is not feed)
        self.drain()

    def force(self) -> None:
        """Try what waits as if one connection were left: its snapshot is taken, or there is a gap."""
        feeds, self._book.feeds = self._book.feeds, 1
        try:
            self.drain()
        finally:
            self._book.feeds = feeds

    def has_waited_too_long(self, mono_ns: int) -> bool:
        """Tell whether the oldest frame still waits after all the time that a twin may take."""
        return bool(self._frames) and mono_ns - self._frames[0][2] > self._wait_ns

    def clear(self) -> None:
        """Forget what waits: the book is synchronised anew."""
        self._frames.clear()
