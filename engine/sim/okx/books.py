"""Order books as OKX publishes them: a window of 400 levels kept by deletes and adds, jumping numbers.

``seqId`` is the id of the last change that the exchange had published when the frame was made, so the
admin address can show the book as it was at that number.

Source: OKX v5 docs, "Order book channel", seen 2026-08.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping

from engine.sim.market import BookSide
from engine.sim.model import Batch
from engine.sim.okx.instruments import Instrument

WINDOW = 400
_NO_LIMIT = -(2**62)


def row_texts(instrument: Instrument, levels: Iterable[tuple[int, int]]) -> list[list[str]]:
    """Return ``[price, size, "0", orders]`` rows in the order given."""
    price, size = instrument.price_text, instrument.size_text
    return [[price(ticks), size(lots), "0", str(_orders(lots))] for ticks, lots in levels]


def _orders(lots: int) -> int:
    """Return how many orders a level is said to have: the crowd's quantity has no orders of its own."""
    return 1 + lots % 7 if lots else 0


def rows_text(instrument: Instrument, levels: Iterable[tuple[int, int]]) -> str:
    """Return the inside of a JSON array of ``[price, size, "0", orders]`` rows in the order given."""
    price, size = instrument.price_text, instrument.size_text
    return ",".join([f'["{price(ticks)}","{size(lots)}","0","{_orders(lots)}"]' for ticks, lots in levels])


class SideWindow:
    """The visible part of one side: every level whose key is not below ``worst``."""

    def __init__(self, side: BookSide) -> None:
        self._side = side
        self._worst = self._limit()

    def _limit(self) -> int:
        keys = self._side.keys
        return keys[-WINDOW] if len(keys) >= WINDOW else _NO_LIMIT

    def changes(self, batch: Mapping[int, int]) -> list[tuple[int, int]]:
        """Return what the batch changed in the window, best first: 0 deletes, what enters is added."""
        sign, keys, levels = self._side.sign, self._side.keys, self._side.levels
        old, new = self._worst, self._limit()
        self._worst = new
        changed: dict[int, int] = {}
        for price, lots in batch.items():
            key = sign * price
            if key >= new and lots:
                changed[price] = lots
            elif key >= old:
                changed[price] = 0
        if new < old:
            entering = keys[bisect.bisect_left(keys, new) : bisect.bisect_left(keys, old)]
            changed |= {sign * key: levels[sign * key].total for key in entering}
        elif new > old:
            leaving = keys[bisect.bisect_left(keys, old) : bisect.bisect_left(keys, new)]
            changed |= {sign * key: 0 for key in leaving}
        return sorted(changed.items(), key=lambda row: -sign * row[0])

    def whole(self, levels: int = WINDOW) -> list[tuple[int, int]]:
        """Return the best levels."""
        return list(itertools.islice(self._side.best_first(), levels))


class BookChannel:
    """The ``books`` channel of one instrument, and the best levels that ``books5`` and ``bbo-tbt`` show.

    Attributes:
        sequence: ``seqId`` of the latest frame. sent_ms: when the latest frame was made.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.sequence = instrument.market.published_id
        self.bids = SideWindow(instrument.market.bids)
        self.asks = SideWindow(instrument.market.asks)
        self.sent_ms = 0

    def update(self, batch: Batch, now_ms: int) -> str | None:
        """Move on to the end of ``batch``; return the frame, None if nothing is visible.

        Must be called while the exchange's book is exactly what that batch published.
        """
        bids, asks = self.bids.changes(batch.bids), self.asks.changes(batch.asks)
        if not bids and not asks:
            return None
        before, self.sequence = self.sequence, batch.last_id
        return self._frame("update", bids, asks, before, now_ms)

    def heartbeat(self, now_ms: int) -> str:
        """Return the frame that says that nothing has changed."""
        return self._frame("update", [], [], self.sequence, now_ms)

    def restart(self, first_id: int) -> None:
        """Let the numbers go back, as the venue's maintenance does: the next frame has a lower ``seqId``.

        The market's batch must have been closed just before.
        """
        self.instrument.market.renumber(first_id)

    def earlier(self, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]], int]:
        """Return asks, bids and ``seqId`` of the oldest book that is still known."""
        bids, asks, at = self.instrument.market.oldest()
        return sorted(asks.items())[:levels], sorted(bids.items(), reverse=True)[:levels], at

    def snapshot(self, now_ms: int) -> str:
        """Return the window whole; the market's batch must have been closed just before."""
        return self._frame("snapshot", self.bids.whole(), self.asks.whole(), -1, now_ms)

    def _frame(
        self, action: str, bids: list[tuple[int, int]], asks: list[tuple[int, int]], before: int, now_ms: int
    ) -> str:
        self.sent_ms = now_ms
        one = self.instrument
        return (
            f'{{"arg":{{"channel":"books","instId":"{one.inst_id}"}},"action":"{action}","data":[{{'
            f'"asks":[{rows_text(one, asks)}],"bids":[{rows_text(one, bids)}],"ts":"{now_ms}",'
            f'"checksum":0,"seqId":{self.sequence},"prevSeqId":{before}}}]}}'
        )

    def best(self, channel: str, levels: int, now_ms: int) -> str:
        """Return the best levels whole, as ``books5`` and ``bbo-tbt`` do."""
        one = self.instrument
        name = f'"instId":"{one.inst_id}",' if channel == "books5" else ""
        return (
            f'{{"arg":{{"channel":"{channel}","instId":"{one.inst_id}"}},"data":[{{'
            f'"asks":[{rows_text(one, self.asks.whole(levels))}],'
            f'"bids":[{rows_text(one, self.bids.whole(levels))}],{name}"ts":"{now_ms}",'
            f'"seqId":{one.market.last_id}}}]}}'
        )
