"""Reads settled funding rates page by page, whatever a venue's pages are: by count, by time, or one alone.

:class:`HistoryWalk` decides and holds no connection: it says which page comes next and takes what came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.model.errors import NotSent
from engine.model.funding import FundingPage, SettledRate, newest_first, with_intervals
from engine.model.instrument import Instrument
from engine.model.orders import VenueError
from engine.model.ports import FundingReader
from engine.session.order_gateway import punish
from engine.transport.http import HttpPool
from engine.transport.request_budget import RequestBudget

CONTEXT_ROWS = 2
"""Read besides those that were asked for: the interval of the oldest is told by the ones before it."""
EMPTY_WINDOWS_MAX = 2
"""So many windows of time without a settlement, one after another, are the history's beginning."""
PAGES_MAX = 100
BUDGET_PAUSE_S = 0.1


class HistoryWalk:
    """The newest settled rates of one contract, walked from new to old.

    Args:
        before_utc_ns: rates settled at or after this time are left out.
        limit: how many are wanted.
    """

    def __init__(self, reader: FundingReader, instrument: Instrument, before_utc_ns: int, limit: int) -> None:
        self._reader = reader
        self._instrument = instrument
        self._before_utc_ns = before_utc_ns
        self._limit = limit
        self._rates: dict[int, SettledRate] = {}
        self._empty_windows = 0
        self._pages = 0
        self.is_complete = False

    def next_page(self) -> FundingPage | None:
        """Return the next page to ask for, ``None`` when enough is known or nothing older can be had."""
        missing = self._limit + CONTEXT_ROWS - len(self._rates)
        if self.is_complete or missing <= 0 or self._before_utc_ns <= 0 or self._pages == PAGES_MAX:
            return None
        self._pages += 1
        return self._reader.page(self._instrument, self._before_utc_ns, missing)

    def take(self, page: FundingPage, rates: Sequence[SettledRate]) -> None:
        """Take what came: rows that are known already, or newer than asked for, are left out.

        Raises:
            ProtocolViolation: one settlement paid two different rates.
        """
        newest_first([*self._rates.values(), *rates])  # checks that the copies agree
        fresh = [each for each in rates if each.settled_utc_ns < self._before_utc_ns]
        self._rates.update({each.settled_utc_ns: each for each in fresh})
        if page.is_last:
            self.is_complete = True
        elif page.since_utc_ns is not None:
            self._empty_windows = 0 if fresh else self._empty_windows + 1
            self.is_complete = self._empty_windows == EMPTY_WINDOWS_MAX
            self._before_utc_ns = page.since_utc_ns
        elif fresh:
            self._before_utc_ns = min(each.settled_utc_ns for each in fresh)
        else:
            self.is_complete = True

    def rates(self) -> list[SettledRate]:
        """Return what was found, newest first, each with the interval that it ended."""
        found = newest_first(list(self._rates.values()))
        return with_intervals(found)[: self._limit]


async def settled_rates(
    reader: FundingReader,
    instrument: Instrument,
    before_utc_ns: int,
    limit: int,
    pool: HttpPool,
    budget: RequestBudget,
    timeout_s: float,
) -> list[SettledRate] | VenueError:
    """Return the newest settled rates before a time, newest first, or the venue's refusal.

    Raises:
        NotSent, Unanswered: a page could not be had; half a history is none.
        ProtocolViolation: a page is malformed, or contradicts another.
    """
    walk = HistoryWalk(reader, instrument, before_utc_ns, limit)
    while (page := walk.next_page()) is not None:
        await _take(budget, page, timeout_s)
        response = await pool.request(page.request, timeout_s)
        budget.learn(response.headers, page.request)
        answer = reader.decode_page(
            instrument, response.status, response.body, response.headers.get("retry-after")
        )
        if isinstance(answer, VenueError):
            punish(budget, answer)
            return answer
        walk.take(page, answer)
    return walk.rates()


async def _take(budget: RequestBudget, page: FundingPage, timeout_s: float) -> None:
    """Book a page, waiting for the budget's next window where this one is used up; raises NotSent."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            return budget.take(page.request)
        except NotSent:
            if budget.is_blocked or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(BUDGET_PAUSE_S)
