"""How long may a topic be silent? Learnt from how it speaks, so that a quiet market is not a dead one.

The mean interval between updates is followed; a silence of many means is not to be explained by chance.
What was found to be mere quiet widens the budget, for a market that was asleep whole nights.
"""

from __future__ import annotations

MEANS = 40
"""A silence of so many mean intervals has a chance of exp(-40) for arrivals at random; bursts need it."""
LEARN_FROM = 20
MEMORY = 200
WIDEST = 64


class SilenceBudget:
    """The budget of one topic; all times in nanoseconds of one clock.

    Args:
        floor_ns, ceiling_ns: the budget lies between these; until enough was heard it is the ceiling.
    """

    def __init__(self, floor_ns: int, ceiling_ns: int, now_ns: int) -> None:
        self._floor_ns = floor_ns
        self._ceiling_ns = ceiling_ns
        self._count = 0
        self._heard = 0
        self._mean_ns = 0.0
        self._width = 1
        self._last_ns = now_ns

    @property
    def budget_ns(self) -> int:
        """Return how long it may be silent."""
        if self._heard < LEARN_FROM:
            return self._ceiling_ns * self._width
        learnt = int(self._mean_ns * MEANS)
        return max(self._floor_ns, min(learnt, self._ceiling_ns)) * self._width

    def hear(self, count: int, now_ns: int) -> None:
        """Take the topic's update counter; call it a few times a second."""
        fresh = count - self._count
        if fresh > 0:
            interval = (now_ns - self._last_ns) / fresh
            self._heard += fresh
            share = max(1 / min(self._heard, MEMORY), min(1.0, fresh / MEMORY))
            self._mean_ns += (interval - self._mean_ns) * share
            self._last_ns = now_ns
            self._width = max(1, self._width // 2)
        self._count = count

    def restart(self, now_ns: int) -> None:
        """Begin anew to wait, after a connection or a subscription was made anew."""
        self._last_ns = now_ns

    def is_exceeded(self, now_ns: int) -> bool:
        """Tell whether the silence is longer than the budget."""
        return now_ns - self._last_ns > self.budget_ns

    def was_quiet(self, now_ns: int) -> None:
        """Widen the budget: the venue itself says that nothing happened."""
        self._width = min(WIDEST, self._width * 2)
        self._last_ns = now_ns
