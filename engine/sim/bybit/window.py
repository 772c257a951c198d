"""The best levels of one side of a book, as a stream last showed them, brought up to date by what changed."""

from __future__ import annotations

from collections.abc import Iterable

from engine.sim.market import BookSide

Rows = list[tuple[int, int]]
"""Price in ticks and quantity in lots, best first; a quantity of 0 takes a level out of view."""


class Window:
    """One side.

    Works on keys (price, negated for asks), so that the larger key is the better price on both sides. What
    changes is noted as it is published and looked at when the stream moves on; too much of it, and the
    window is compared as a whole.

    Args:
        depth: how many levels it shows. A window of one is always compared: it shows the side as it is,
            published or not.
    """

    __slots__ = ("_depth", "_dirty", "_dirty_most", "_is_followed", "_shown", "_side")

    def __init__(self, side: BookSide, depth: int) -> None:
        self._side = side
        self._depth = depth
        self._shown: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._dirty_most = depth + 100
        self._is_followed = False

    def note(self, prices: Iterable[int]) -> None:
        """Note which prices a published batch has changed."""
        if not self._is_followed:
            return
        if self._side.sign > 0:
            self._dirty.update(prices)
        else:
            self._dirty.update([-price for price in prices])
        if len(self._dirty) > self._dirty_most:
            self._is_followed = False
            self._dirty.clear()

    def advance(self) -> Rows:
        """Move on to the side as it is and return what changed in view."""
        keys = self._side.keys[-self._depth :]
        changed = self._follow(keys) if self._is_followed and keys else self._compare(keys)
        self._dirty.clear()
        self._is_followed = self._depth > 1
        if not changed:
            return []
        sign = self._side.sign
        return [(sign * key, changed[key]) for key in sorted(changed, reverse=True)]

    def _follow(self, keys: list[int]) -> dict[int, int]:
        shown, levels, sign, worst = self._shown, self._side.levels, self._side.sign, keys[0]
        changed: dict[int, int] = {}
        for key in self._dirty:
            level = levels.get(sign * key) if key >= worst else None
            if level is not None:
                lots = level.total
                if shown.get(key) != lots:
                    shown[key] = changed[key] = lots
            elif key in shown:
                del shown[key]
                changed[key] = 0
        # Beyond that only the worst levels change: better ones push them out, or gone ones let them in.
        if len(shown) > len(keys):
            for key in [key for key in shown if key < worst]:
                del shown[key]
                changed[key] = 0
        for key in keys:
            if len(shown) == len(keys):
                break
            if key not in shown:
                shown[key] = changed[key] = levels[sign * key].total
        return changed

    def _compare(self, keys: list[int]) -> dict[int, int]:
        levels, sign, before = self._side.levels, self._side.sign, self._shown
        self._shown = after = {key: levels[sign * key].total for key in keys}
        changed = {key: lots for key, lots in after.items() if before.get(key) != lots}
        changed.update({key: 0 for key in before if key not in after})
        return changed

    def rows(self, limit: int | None = None) -> Rows:
        """Return what is shown, the best ``limit`` levels of it."""
        sign, shown = self._side.sign, self._shown
        return [(sign * key, shown[key]) for key in sorted(shown, reverse=True)[:limit]]
