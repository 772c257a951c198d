"""One market's book: price-time priority, background liquidity, published batches and their history.

Each level is a queue of account orders and of background quantity (everybody else, lumped together). A
new order queues behind what rests; background that leaves is taken from the back of the queue, trades
take from the front. So an account order has a true place among the anonymous quantity around it.
"""

from __future__ import annotations

import bisect
import itertools
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from engine.sim.model import Batch, MarketSpec, Order, SideName

HISTORY_BATCHES = 6_000
NUMBERS_KEPT = 24_000


class Level:
    """One price: its total and its queue (``list`` of one-element ``[lots]`` background chunks or orders)."""

    __slots__ = ("queue", "total")

    def __init__(self) -> None:
        self.total = 0
        self.queue: list[list[int] | Order] = []

    def add_background(self, lots: int) -> None:
        """Queue anonymous quantity at the back."""
        self.total += lots
        if self.queue and isinstance(self.queue[-1], list):
            self.queue[-1][0] += lots
        else:
            self.queue.append([lots])

    def take_background(self, lots: int) -> int:
        """Take anonymous quantity away from the back; return how much there was to take."""
        taken = 0
        for index in range(len(self.queue) - 1, -1, -1):
            chunk = self.queue[index]
            if isinstance(chunk, list):
                part = min(chunk[0], lots - taken)
                chunk[0] -= part
                taken += part
                if chunk[0] == 0:
                    del self.queue[index]
                if taken == lots:
                    break
        self.total -= taken
        return taken

    @property
    def background(self) -> int:
        """Return the anonymous quantity."""
        return sum(chunk[0] for chunk in self.queue if isinstance(chunk, list))


class BookSide:
    """One side: levels by price, and prices sorted so that the best is last."""

    __slots__ = ("keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, Level] = {}
        self.keys: list[int] = []

    def level(self, price: int) -> Level:
        """Return the level at ``price``, creating an empty one."""
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level()
            bisect.insort(self.keys, self.sign * price)
        return level

    def drop(self, price: int) -> None:
        """Remove an empty level."""
        del self.levels[price]
        key = self.sign * price
        if self.keys[-1] == key:
            self.keys.pop()
        else:
            del self.keys[bisect.bisect_left(self.keys, key)]

    @property
    def best(self) -> int | None:
        """Return the best price, None when the side is empty."""
        return self.sign * self.keys[-1] if self.keys else None

    def best_first(self) -> Iterator[tuple[int, int]]:
        """Yield (price, lots), best first."""
        for key in reversed(self.keys):
            price = self.sign * key
            yield price, self.levels[price].total


@dataclass(slots=True)
class Reference:
    """The book as it was published: a base and the batches since."""

    bids: dict[int, int]
    asks: dict[int, int]
    last_id: int


class Market:
    """One market of the exchange.

    Attributes:
        ids: gives update ids: own and contiguous for spot, shared by all perpetuals.
        last_id: id of the latest change; published_id: of the last one in a batch.
        status: ``TRADING``, ``CANCEL_ONLY``, ``HALTED``, ``PRE_TRADING`` or ``SETTLING``, venue-neutral.
        prints: latest trades as (id, price in ticks, lots, the taker's side, time in ms), the newest last.
        mark_price, index_price, funding_rate, next_funding_ms: perpetuals only.
        funding_estimates: what the running rate was, with the time (ms) from which on; the newest last.
    """

    def __init__(self, spec: MarketSpec, ids: Iterator[int]) -> None:
        self.spec = spec
        self.ids = ids
        self.status = "TRADING"
        self.bids = BookSide(1)
        self.asks = BookSide(-1)
        self.last_id = next(ids)
        self.published_id = self.last_id
        self.changed_ms = 0
        self.orders: dict[int, Order] = {}
        self.orders_by_client_id: dict[tuple[str, str], Order] = {}
        self.open_count: dict[str, int] = {}
        self.order_ids = itertools.count(1_000_001)
        self.trade_ids = itertools.count(500_001)
        self.last_price_ticks = round(spec.initial_price / spec.tick_size)
        self.mark_price = self.index_price = spec.initial_price
        self.funding_rate = Decimal("0.0001")
        self.next_funding_ms = 0
        self.funding_history: deque[tuple[int, Decimal, Decimal]] = deque(maxlen=2_000)
        self.funding_estimates: deque[tuple[int, Decimal]] = deque(maxlen=300)
        self.prints: deque[tuple[int, int, int, str, int]] = deque(maxlen=5_000)
        self.open_interest_lots = 1_000_000
        self._first_id = 0
        self._dirty_bids: dict[int, int] = {}
        self._dirty_asks: dict[int, int] = {}
        self._top = (0, 0, 0, 0)
        self._reference = Reference({}, {}, self.last_id)
        self._history: deque[tuple[int, array[int]]] = deque()
        self._numbers: dict[int, int] = {}

    # ------------------------------------------------------------------------------------ changes

    def side(self, side: SideName) -> BookSide:
        """Return the side of the book on which an order of ``side`` rests."""
        return self.bids if side == "BUY" else self.asks

    def opposite(self, side: SideName) -> BookSide:
        """Return the side of the book that an order of ``side`` takes from."""
        return self.asks if side == "BUY" else self.bids

    def touch(self, side: BookSide, price: int) -> None:
        """Note that the level at ``price`` changed: gives it an id and marks it dirty; drops it if empty."""
        level = side.levels.get(price)
        total = level.total if level is not None else 0
        if level is not None and total == 0:
            side.drop(price)
        self._mark(side, price, total)

    def _mark(self, side: BookSide, price: int, total: int) -> None:
        """Give a change its id and put it into the running batch."""
        self.last_id = next(self.ids)
        if self._first_id == 0:
            self._first_id = self.last_id
        if side is self.bids:
            self._dirty_bids[price] = total
        else:
            self._dirty_asks[price] = total

    def set_background(self, side: BookSide, price: int, lots: int) -> None:
        """Bring the anonymous quantity at ``price`` to ``lots``."""
        level = side.levels.get(price)
        if level is None:
            if lots <= 0:
                return
            level = side.level(price)
            level.queue.append([lots])
            level.total = lots
            self._mark(side, price, lots)
            return
        if len(level.queue) == 1 and type(chunk := level.queue[0]) is list:
            # Nobody but the crowd is here, as nearly everywhere: front and back of the queue are one chunk.
            if chunk[0] == lots:
                return
            if lots > 0:
                chunk[0] = level.total = lots
            else:
                side.drop(price)
            self._mark(side, price, lots)
            return
        now = level.background
        if lots > now:
            level.add_background(lots - now)
        elif lots < now:
            level.take_background(now - lots)
        else:
            return
        self.touch(side, price)

    def top(self) -> tuple[int, int, int, int]:
        """Return (bid ticks, bid lots, ask ticks, ask lots); zeros for an empty side."""
        bid, ask = self.bids.best, self.asks.best
        return (
            bid or 0,
            self.bids.levels[bid].total if bid is not None else 0,
            ask or 0,
            self.asks.levels[ask].total if ask is not None else 0,
        )

    def top_changed(self) -> bool:
        """Tell whether the top differs from the last time this was asked."""
        top = self.top()
        if top == self._top:
            return False
        self._top = top
        return True

    # ---------------------------------------------------------------------------------- publication

    def close_batch(self) -> Batch | None:
        """Return what changed since the last batch and start a new one; None when nothing did."""
        if self._first_id == 0:
            return None
        batch = Batch(self._first_id, self.last_id, self.published_id, self._dirty_bids, self._dirty_asks)
        self._first_id = 0
        self._dirty_bids, self._dirty_asks = {}, {}
        self.published_id = batch.last_id
        self._history.append((batch.last_id, _packed(batch)))
        if len(self._history) > HISTORY_BATCHES:
            last_id, changes = self._history.popleft()
            _apply(self._reference, changes)
            self._reference.last_id = last_id
        return batch

    def start_publishing(self) -> None:
        """Take the book as it is for the base of all that will be published."""
        self._reference = Reference(
            {price: level.total for price, level in self.bids.levels.items()},
            {price: level.total for price, level in self.asks.levels.items()},
            self.last_id,
        )
        self._history.clear()
        self._first_id = 0
        self._dirty_bids, self._dirty_asks = {}, {}
        self.published_id = self.last_id
        self._top = self.top()

    def note_number(self, number: int) -> None:
        """Remember a wire's own number for the book as last published: `published_at` then knows it too."""
        self._numbers.pop(number, None)
        self._numbers[number] = self.published_id
        oldest, book = next(iter(self._numbers.items()))
        is_lost = bool(self._history) and book < self._history[0][0] and book != self._reference.last_id
        if is_lost or len(self._numbers) > NUMBERS_KEPT:
            del self._numbers[oldest]

    def published_at(self, sequence: int | None = None) -> Reference | None:
        """Return the published book as of a batch's last id (default: the latest), None if unknown."""
        wanted = self.published_id if sequence is None else self._numbers.get(sequence, sequence)
        base = self._reference
        result = Reference(dict(base.bids), dict(base.asks), base.last_id)
        if wanted == base.last_id:
            return result
        for last_id, changes in self._history:
            _apply(result, changes)
            result.last_id = last_id
            if last_id == wanted:
                return result
            if last_id > wanted:
                break
        return None

    def oldest(self) -> tuple[dict[int, int], dict[int, int], int]:
        """Return bids, asks and last id of the oldest published book that is still known."""
        base = self._reference
        return dict(base.bids), dict(base.asks), base.last_id

    def renumber(self, first_id: int) -> None:
        """Let the ids of changes start over; earlier books can no longer be asked for by number.

        The batch must have been closed just before; the latest book keeps its number until the next one.
        """
        latest = self.published_at()
        assert latest is not None
        assert self._first_id == 0
        self._reference = latest
        self._history.clear()
        self.ids = itertools.count(first_id)

    # ------------------------------------------------------------------------------------- numbers

    def price(self, ticks: int) -> Decimal:
        """Return ticks as a price in quote units."""
        return ticks * self.spec.tick_size

    def qty(self, lots: int) -> Decimal:
        """Return lots as a quantity in base units."""
        return lots * self.spec.lot_size

    def price_text(self, ticks: int) -> str:
        """Return a price in the venue's width."""
        return f"{ticks * self.spec.tick_size:.{self.spec.price_decimals}f}"

    def qty_text(self, lots: int) -> str:
        """Return a quantity in the venue's width."""
        return f"{lots * self.spec.lot_size:.{self.spec.qty_decimals}f}"

    def __repr__(self) -> str:
        return f"Market({self.spec.product} {self.spec.symbol})"


def _packed(batch: Batch) -> array[int]:
    """Return a batch's changes in a fifth of the memory: there are thousands of them for each market.

    The number of bids, their prices, their quantities; then the asks' prices and quantities.
    """
    bids, asks = batch.bids, batch.asks
    return array("q", [len(bids), *bids, *bids.values(), *asks, *asks.values()])


def _apply(book: Reference, changes: array[int]) -> None:
    bids = changes[0]
    first_ask = 1 + 2 * bids
    asks = (len(changes) - first_ask) // 2
    for levels, start, count in ((book.bids, 1, bids), (book.asks, first_ask, asks)):
        middle = start + count
        for price, lots in zip(changes[start:middle], changes[middle : middle + count], strict=True):
            if lots:
                levels[price] = lots
            else:
                levels.pop(price, None)
