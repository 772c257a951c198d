"""Is a LIVE book the exchange's? Compares it with an independent answer that has no sequence in common.

The rule needs no ids, so it serves every venue: what no delta touched between a while before the question and
a while after the answer was the same all that time, on both sides. So every price that was not touched must
have the same quantity in the book and in the answer, down to where both know all levels. Prices that were
touched prove nothing and are left out; the rotation of audits comes back to them.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from engine.book.l2 import BookLike
from engine.model.market import BookSnapshot, Levels

SHOWN = 3
"""Differences that are told of each side."""


class AuditResult(msgspec.Struct, frozen=True):
    """What one comparison said.

    Attributes:
        compared: prices compared, both sides. skipped: prices left out because they were touched.
        only_book, only_venue: (side, price, qty), scaled, that one side has and the other has not, or with
            another quantity: a few of each, best first.
    """

    compared: int
    skipped: int
    only_book: tuple[tuple[int, int, int], ...]
    only_venue: tuple[tuple[int, int, int], ...]

    @property
    def is_equal(self) -> bool:
        """Tell whether nothing differed."""
        return not self.only_book and not self.only_venue


def compare(book: BookLike, answer: BookSnapshot, touched: set[int]) -> AuditResult:
    """Compare a book with a snapshot of the same while; ``touched`` as ``BookLike.touched`` collected it."""
    compared = skipped = 0
    only_book: list[tuple[int, int, int]] = []
    only_venue: list[tuple[int, int, int]] = []
    for side, theirs in enumerate((answer.bids, answer.asks)):
        sign = 1 if side == 0 else -1
        ours = book.depth(side)
        marks = np.fromiter((sign * each for each in touched if each * sign > 0), dtype=np.int64)
        limit = _limit(book, side, ours, theirs)
        kept = [_within(rows, sign, limit) for rows in (ours, theirs)]
        reach = sign * int(theirs[-1, 0]) if len(theirs) else limit
        deeper = _within(ours, sign, reach)[len(kept[0]) :]
        if len(deeper):  # nothing is missing there that the book should know, but what it holds must be true
            kept = [np.concatenate((kept[0], deeper)), _within(theirs, sign, int(sign * deeper[-1, 0]))]
            kept[1] = kept[1][np.isin(kept[1][:, 0], deeper[:, 0]) | (kept[1][:, 0] * sign >= limit)]
        plain = [rows[~np.isin(rows[:, 0], marks)] for rows in kept]
        skipped += len(kept[0]) - len(plain[0])
        compared += len(plain[0])
        for mine, other, found in ((plain[0], plain[1], only_book), (plain[1], plain[0], only_venue)):
            known = {(price, qty) for price, qty in other.tolist()}
            found.extend(
                [(side, price, qty) for price, qty in mine.tolist() if (price, qty) not in known][:SHOWN]
            )
    return AuditResult(compared, skipped, tuple(only_book), tuple(only_venue))


def beyond(book: BookLike, side: int, answer: BookSnapshot, touched: set[int]) -> Levels:
    """Return the answer's levels beyond the book's horizon that were not touched, best first.

    Empty where the book has no horizon, or the answer does not reach it.
    """
    sign = 1 if side == 0 else -1
    theirs = answer.asks if side else answer.bids
    horizon = book.horizon(side)
    if not horizon or not len(theirs):
        return theirs[:0]
    rows = theirs[theirs[:, 0] * sign < horizon * sign]
    marks = np.fromiter((sign * each for each in touched if each * sign > 0), dtype=np.int64)
    return rows[~np.isin(rows[:, 0], marks)]


def _limit(book: BookLike, side: int, ours: Levels, theirs: Levels) -> int:
    """Return the worst price, as a key that grows with quality, down to which both know every level.

    A book ends where its stream's window does, or where its snapshot did; the answer at its own last level.
    """
    sign = 1 if side == 0 else -1
    keys = [sign * int(theirs[-1, 0])] if len(theirs) else []
    if horizon := book.horizon(side):
        keys.append(sign * horizon)
    if len(ours):
        keys.append(sign * int(ours[-1, 0]))
    return max(keys, default=-(2**62))


def _within(rows: Levels, sign: int, limit: int) -> npt.NDArray[np.int64]:
    return rows[rows[:, 0] * sign >= limit]
