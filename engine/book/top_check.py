"""Holds a book to the venue's own top-of-book stream, where that tells every change on the depth's count.

Between two tops that follow each other, the best bid and ask are those of the first. So whenever the book
stands at an id between the two, its touch must be that one: an exact check, for nothing.
"""

from __future__ import annotations

from collections import deque

from engine.book.l2 import BookLike
from engine.model.market import TopOfBook

KEPT = 512
TOLERATED = 3
"""Disagreements in a row before the book is distrusted: a stream may repeat or reorder one."""


BEHIND_MAX = 64


class TopCheck:
    """The check of one book.

    Attributes:
        agreed, disagreed: comparisons made. last_difference: the latest disagreement, for the log.
    """

    def __init__(self, book: BookLike) -> None:
        self._book = book
        self._tops: deque[TopOfBook] = deque(maxlen=KEPT)
        self._in_a_row = 0
        self._compared_at = -1
        self._behind = 0
        self.agreed = 0
        self.disagreed = 0
        self.last_difference = ""

    def hear(self, top: TopOfBook) -> None:
        """Take the next top of the stream, and compare.

        One that is behind is a slower twin's copy; many in a row are a count that began anew.
        """
        tops = self._tops
        if tops and top.sequence <= tops[-1].sequence:
            self._behind += top.sequence < tops[-1].sequence
            if self._behind < BEHIND_MAX:
                return
            tops.clear()
        self._behind = 0
        tops.append(top)
        self.check()

    def restart(self) -> None:
        """Forget what was heard: the stream may have had a hole."""
        self._tops.clear()
        self._in_a_row = self._behind = 0

    def check(self) -> bool:
        """Compare, if the book stands between two tops; return False when it must not be believed."""
        book, tops = self._book, self._tops
        sequence = book.sequence
        while len(tops) >= 2 and tops[1].sequence <= sequence:
            tops.popleft()
        if book.is_live and len(tops) >= 2 and tops[0].sequence <= sequence != self._compared_at:
            self._compared_at = sequence
            self._compare(tops[0])
        return self._in_a_row < TOLERATED

    def _compare(self, top: TopOfBook) -> None:
        told = (top.bid_price, top.bid_qty, top.ask_price, top.ask_qty)
        touch = self._book.touch()
        if touch == told:
            self.agreed += 1
            self._in_a_row = 0
            return
        self.disagreed += 1
        self._in_a_row += 1
        self.last_difference = f"book {touch} at {self._book.sequence}, venue {told} at {top.sequence}"
