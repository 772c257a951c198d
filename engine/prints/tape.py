"""The latest prints of one instrument, each once and in order, and what is missing between them.

Prints come live, twice where two connections bring them, and as rows of the venue's list of latest prints,
asked for after a connection was lost or when the ids show a hole. Rows fill the hole and nothing else: what
was seen live is known by its id, or, where the list has no ids, by what it says. A list without ids is
believed only if it has the print before the hole, or the one after it.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence

import msgspec

from engine.model.market import Trade
from engine.model.trades import MissedTrades, TradeIds

KEPT = 2_000
"""Prints remembered: more than the longest list has rows."""
RANGES_KEPT = 64

_Key = tuple[int, int]
_Content = tuple[int, int, int, int]


def order_of(trade: Trade) -> _Key:
    """Return what prints are put in order by: the venue's time, then the id."""
    return trade.venue_utc_ns, trade.trade_id


class Hole(msgspec.Struct):
    """Where prints may be missing: after ``last``, until a print that is known to follow.

    Attributes:
        last: the last print before it; ``None`` where none was ever seen.
        first: the first live print after it, once it has come.
    """

    last: Trade | None
    first: Trade | None = None


class Filled(msgspec.Struct, frozen=True):
    """What a list of prints has done to a hole.

    Attributes:
        trades: the missing ones, in order. is_closed: nothing is missing any more that could be had.
        missed: what is lost for good, because the list does not reach back so far.
    """

    trades: list[Trade]
    is_closed: bool
    missed: MissedTrades | None = None


class PrintTape:
    """The prints of one instrument.

    Args:
        resolution_ns: how fine the list's times are; only used where it has no ids.

    Attributes:
        hole: what is being filled, if anything is.
    """

    def __init__(self, universal: str, ids: TradeIds, resolution_ns: int = 1, kept: int = KEPT) -> None:
        self.universal = universal
        self._ids = ids
        self._resolution_ns = resolution_ns
        self._kept = kept
        self._trades: list[Trade] = []
        self._seen: dict[int, None] = {}
        self._ranges: list[list[int]] = []
        self._owed: Counter[_Content] = Counter()
        self.hole: Hole | None = None

    @property
    def trades(self) -> list[Trade]:
        """Return the latest prints, oldest first."""
        return self._trades[-self._kept :]

    @property
    def last(self) -> Trade | None:
        """Return the latest print."""
        return self._trades[-1] if self._trades else None

    # ----------------------------------------------------------------------------------------- live

    def take(self, trade: Trade) -> Trade | None:
        """Take a live print; return it, or ``None`` where it is known already.

        A print that stands for several ids of which some were filled comes back as the rest of it. Where ids
        are consecutive a hole may be open afterwards.
        """
        if self._ids is TradeIds.CONSECUTIVE and trade.trade_id:
            return self._take_numbered(trade)
        if trade.trade_id:
            if trade.trade_id in self._seen:
                return None
            self._remember(trade.trade_id)
        if self._owed and self._pay(trade):
            return None  # the list has had it
        self._keep(trade)
        self._note_first(trade)
        return trade

    def _take_numbered(self, trade: Trade) -> Trade | None:
        first, last = trade.trade_id - trade.count + 1, trade.trade_id
        missing = self._uncovered(first, last)
        if not missing:
            return None
        before = self.last
        if self._ranges and first > self._ranges[-1][1] + 1 and self.hole is None:
            self.hole = Hole(before)
        self._cover(first, last)
        if missing < trade.count:
            known = sum(
                each.qty for each in self._trades if first <= each.trade_id <= last and each.is_backfilled
            )
            if trade.qty <= known:
                return None
            trade = msgspec.structs.replace(trade, qty=trade.qty - known, count=missing)
        self._keep(trade)
        self._note_first(trade)
        return trade

    def _note_first(self, trade: Trade) -> None:
        if self.hole is not None and self.hole.first is None:
            self.hole.first = trade

    def _remember(self, trade_id: int) -> None:
        self._seen[trade_id] = None
        if len(self._seen) > 2 * self._kept:
            del self._seen[next(iter(self._seen))]

    def _keep(self, trade: Trade) -> None:
        trades = self._trades
        if not trades or order_of(trade) >= order_of(trades[-1]):
            trades.append(trade)
        else:
            insort(trades, trade, key=order_of)
        if len(trades) > 2 * self._kept:
            del trades[: self._kept]

    # ---------------------------------------------------------------------------------------- holes

    def cut(self) -> None:
        """Note that the connection is lost: from the last print on, prints may be missing."""
        if self.hole is None:
            self.hole = Hole(self.last)

    def fill(self, rows: Sequence[Trade], is_capped: bool) -> Filled:
        """Take the venue's latest prints, oldest first.

        Args:
            is_capped: the list is as long as it can be: older prints may exist.
        """
        hole = self.hole
        if hole is None:
            return Filled([], True)
        rows = [row for row in rows if row.universal == self.universal]
        new = self._missing_of(rows, hole)
        for trade in new:
            self._keep(trade)
        missed = None
        reaches_back = not is_capped or self._reaches_back(rows, hole.last)
        if not reaches_back and hole.last is not None and rows:
            missed = self._missed(hole.last, rows[0])
        is_closed = self._reaches_forward(rows, hole)
        if self._ids is TradeIds.CONSECUTIVE and rows:
            self._cover(rows[0].trade_id, rows[-1].trade_id)  # ids in between that are no prints
            if is_closed:
                self._join()
        if missed is not None:
            hole.last = rows[0]  # what came before is told, and lost
        if is_closed:
            self.hole = None
        return Filled(new, is_closed, missed)

    def abandon(self, now_utc_ns: int) -> MissedTrades | None:
        """Give a hole up; return what may be missing.

        Args:
            now_utc_ns: its end where no print has come since.
        """
        hole, self.hole = self.hole, None
        self._join()
        if hole is None or (hole.last is None and hole.first is None):
            return None
        first, last = hole.first, hole.last
        count = None
        if self._ids is TradeIds.CONSECUTIVE and first is not None and last is not None:
            count = first.trade_id - first.count - last.trade_id
            if count <= 0:
                return None
        end = first.venue_utc_ns if first is not None else now_utc_ns
        return MissedTrades(
            self.universal,
            last.trade_id if last is not None else 0,
            first.trade_id if first is not None else 0,
            last.venue_utc_ns if last is not None else min(end, now_utc_ns),
            end,
            count,
        )

    def _missed(self, last: Trade, oldest: Trade) -> MissedTrades:
        count = None
        if self._ids is TradeIds.CONSECUTIVE:
            count = oldest.trade_id - oldest.count - last.trade_id
        return MissedTrades(
            self.universal, last.trade_id, oldest.trade_id, last.venue_utc_ns, oldest.venue_utc_ns, count
        )

    def _missing_of(self, rows: Sequence[Trade], hole: Hole) -> list[Trade]:
        if not rows or (hole.last is None and hole.first is None and not self._trades):
            return self._begin(rows)
        if self._ids is TradeIds.NONE:
            return self._missing_by_content(rows, hole) if self._is_anchored(rows, hole) else []
        if self._ids is TradeIds.UNIQUE:
            return self._missing_by_id(rows, hole)
        new = []
        for row in rows:
            is_ours = not self._ranges or row.trade_id >= self._ranges[0][0]
            if is_ours and self._uncovered(row.trade_id, row.trade_id):
                self._cover(row.trade_id, row.trade_id)
                new.append(row)
        return new

    def _missing_by_id(self, rows: Sequence[Trade], hole: Hole) -> list[Trade]:
        """Return rows after the last print before the hole, but for those seen since."""
        last = hole.last if hole.last is not None else self._trades[0]
        at = next((at for at, row in enumerate(rows) if row.trade_id == last.trade_id), None)
        after = rows[at + 1 :] if at is not None else rows
        new = []
        for row in after:
            if row.trade_id not in self._seen and row.venue_utc_ns >= last.venue_utc_ns:
                self._remember(row.trade_id)
                new.append(row)
        return new

    def _begin(self, rows: Sequence[Trade]) -> list[Trade]:
        """Nothing was ever seen: the list shows where the prints of this process begin, and fills nothing."""
        if rows:
            if self._ids is TradeIds.CONSECUTIVE:
                self._cover(rows[-1].trade_id, rows[-1].trade_id)
            for row in rows:
                self._remember(row.trade_id)
        return []

    def _missing_by_content(self, rows: Sequence[Trade], hole: Hole) -> list[Trade]:
        """Return rows that say what no known print says, as often as they say it more often.

        What was printed at the very moment of the first print ever seen cannot be told from what was missed
        then, where the hole begins in that moment too.
        """
        last = hole.last if hole.last is not None else self._trades[0]
        since = last.venue_utc_ns // self._resolution_ns
        known = Counter(
            self._content(each) for each in self._trades if each.venue_utc_ns // self._resolution_ns >= since
        )
        new = []
        for row in rows:
            content = self._content(row)
            if content[0] < since:
                continue
            if known[content] > 0:
                known[content] -= 1
                continue
            self._owed[content] += 1
            new.append(row)
        return new

    def _is_anchored(self, rows: Sequence[Trade], hole: Hole) -> bool:
        """Tell whether a list without ids shows a print that was seen live, at either end of the hole."""
        ends = {self._content(each) for each in (hole.last, hole.first) if each is not None}
        return any(self._content(row) in ends for row in rows)

    def _content(self, trade: Trade) -> _Content:
        return self._tick(trade), trade.price, trade.qty, int(trade.aggressor)

    def _pay(self, trade: Trade) -> bool:
        """Tell whether a live print is one that the list has brought already; each is so once."""
        content = self._content(trade)
        newest = max(each[0] for each in self._owed)
        if content[0] > newest:
            self._owed.clear()  # the stream has gone past everything that was filled
            return False
        if self._owed[content] <= 0:
            return False
        self._owed[content] -= 1
        return True

    def _reaches_back(self, rows: Sequence[Trade], last: Trade | None) -> bool:
        if last is None:
            return True
        if not rows:
            return False
        if self._ids is TradeIds.CONSECUTIVE:
            return rows[0].trade_id - rows[0].count <= last.trade_id
        if self._ids is TradeIds.UNIQUE:
            is_there = any(row.trade_id == last.trade_id for row in rows)
        else:
            is_there = any(self._content(row) == self._content(last) for row in rows)
        return is_there or self._tick(rows[0]) < self._tick(last)

    def _reaches_forward(self, rows: Sequence[Trade], hole: Hole) -> bool:
        """Tell whether the list goes on to where the live prints begin again."""
        first = hole.first
        if self._ids is TradeIds.CONSECUTIVE:
            return len(self._ranges) < 2 or (bool(rows) and rows[-1].trade_id >= self._ranges[-1][0] - 1)
        if self._ids is TradeIds.NONE and not self._is_anchored(rows, hole):
            return hole.last is None and first is None
        if first is None:
            return True  # nothing has come since: what comes will be live
        if self._ids is TradeIds.UNIQUE:
            return any(row.trade_id == first.trade_id for row in rows)
        return bool(rows) and (
            self._tick(rows[-1]) > self._tick(first)
            or any(self._content(row) == self._content(first) for row in rows)
        )

    def _tick(self, trade: Trade) -> int:
        return trade.venue_utc_ns // self._resolution_ns

    # --------------------------------------------------------------------------------------- ranges

    def _uncovered(self, first: int, last: int) -> int:
        """Return how many ids of a range are not known yet."""
        missing = last - first + 1
        for low, high in self._ranges:
            missing -= max(0, min(high, last) - max(low, first) + 1)
        return missing

    def _cover(self, first: int, last: int) -> None:
        """Know a range of ids from now on."""
        ranges = self._ranges
        at = bisect_right(ranges, [first, last])
        ranges.insert(at, [first, last])
        merged: list[list[int]] = []
        for each in ranges:
            if merged and each[0] <= merged[-1][1] + 1:
                merged[-1][1] = max(merged[-1][1], each[1])
            else:
                merged.append(each)
        self._ranges = merged[-RANGES_KEPT:]

    def _join(self) -> None:
        """Call everything up to the newest id known: what is missing is lost."""
        if len(self._ranges) > 1:
            self._ranges = [[self._ranges[0][0], self._ranges[-1][1]]]
