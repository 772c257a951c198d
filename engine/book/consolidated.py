"""One universal symbol over all venues: best bid and ask, the whole ladder, who takes part and who does not.

Best bid and ask are kept current by the books themselves (``NativeTop``, or its twin where nothing could be
compiled): a venue whose book is not LIVE drops out in the very call that made it so. The ladder is put
together when it is asked for. Prices of venues with different scales meet in the finest of them; quantities
are base units everywhere.

A crossed consolidated book (best bid of one venue above best ask of another) is no error: it is an arbitrage,
or a feed that is behind; the ages tell.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from engine.book.l2 import COMPILED as BOOKS_COMPILED
from engine.book.l2 import BookLike
from engine.book.pure_consolidated import PureTop
from engine.model.errors import UsageError
from engine.model.instrument import Instrument
from engine.model.market import BookState, Side
from engine.telemetry.histogram import HistogramLike

try:
    from engine.book._consolidated import NativeTop as _NativeTop

    COMPILED = BOOKS_COMPILED
except ImportError:
    COMPILED = False

FEE_UNIT = 10**8
"""Fees are counted in parts of this: 0.1 % = 100_000."""


class TopLike(Protocol):
    """Best bid and ask over the LIVE ones of several books, in the finest scales among them.

    Of venues with the same best price the one with the larger quantity is named; equal there too, the one
    that was added first.

    Attributes:
        version: how often the best changed, price, quantity or venue.
        on_change: called with this after each such change, or ``None``. It runs inside the receive path: be
            quick. What it raises is counted in ``errors`` and kept in ``last_error``.
        wire_to_top_ns: bytes received to best changed, of changes that a delta made.
    """

    on_change: Callable[[Any], None] | None

    @property
    def price_scale(self) -> int:
        """Return the decimals of prices."""
        ...

    @property
    def qty_scale(self) -> int:
        """Return the decimals of quantities."""
        ...

    @property
    def version(self) -> int:
        """Return how often the best changed."""
        ...

    @property
    def errors(self) -> int:
        """Return how often ``on_change`` raised."""
        ...

    @property
    def last_error(self) -> str:
        """Return what it raised last."""
        ...

    @property
    def wire_to_top_ns(self) -> HistogramLike:
        """Return the histogram of bytes received to best changed."""
        ...

    def add(self, book: Any) -> int:
        """Watch one more book and return its slot; raises UsageError."""
        ...

    def remove_all(self) -> None:
        """Stop watching; the top is empty from then on."""
        ...

    def touch(self) -> tuple[int, int, int, int, int, int]:
        """Return (bid, bid qty, bid slot, ask, ask qty, ask slot), scaled; 0, 0, -1 for an empty side."""
        ...

    def slot_touch(self, number: int) -> tuple[int, int, int, int]:
        """Return one book's (bid, bid qty, ask, ask qty) in common scales; zeros unless it takes part."""
        ...

    def is_misfit(self, number: int) -> bool:
        """Tell whether a LIVE book was left out because its numbers do not fit the common scales."""
        ...


def new_top() -> TopLike:
    """Return an empty top of the best implementation there is; it takes books of ``new_book``."""
    return _NativeTop() if COMPILED else PureTop()


class Excluded(msgspec.Struct, frozen=True):
    """A venue that takes no part now, and why."""

    venue: str
    state: BookState
    reason: str


class Best(msgspec.Struct, frozen=True):
    """Best bid and ask over the venues that take part. ``None`` where no LIVE book has that side.

    Attributes:
        bid_venues, ask_venues: every venue at the best price, largest quantity first.
        bid_qty, ask_qty: base units at the best price over all of them.
        bid_net, ask_net: what a taker gets and pays after fees, where fees were asked for.
        excluded: who takes no part.
    """

    universal: str
    bid: Decimal | None
    bid_qty: Decimal | None
    bid_venues: tuple[str, ...]
    ask: Decimal | None
    ask_qty: Decimal | None
    ask_venues: tuple[str, ...]
    excluded: tuple[Excluded, ...]
    bid_net: Decimal | None = None
    ask_net: Decimal | None = None

    @property
    def mid(self) -> Decimal | None:
        """Return the middle of best bid and ask."""
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2

    @property
    def is_crossed(self) -> bool:
        """Tell whether somebody bids more than another asks."""
        return self.bid is not None and self.ask is not None and self.bid >= self.ask


class Ladder(msgspec.Struct, frozen=True):
    """Levels of one side over all venues, best first; a price stands once for each venue that has it.

    Attributes:
        prices, qtys: int64, shape (n,), in ``price_scale`` and ``qty_scale``.
        slots: int64, shape (n,): index into ``venues``.
        horizons: by slot, the worst price (common scale) down to which that book knows every level; 0 = all.
    """

    side: Side
    prices: npt.NDArray[np.int64]
    qtys: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int64]
    venues: tuple[str, ...]
    price_scale: int
    qty_scale: int
    horizons: tuple[int, ...]

    def is_known(self, price: int, slot: int) -> bool:
        """Tell whether a venue's book knows every level down to this price."""
        horizon = self.horizons[slot]
        return not horizon or (price >= horizon if self.side is Side.BUY else price <= horizon)

    def rows(self, limit: int = -1) -> list[tuple[Decimal, Decimal, str]]:
        """Return (price, quantity, venue) of the best levels as exact Decimals."""
        stop = None if limit < 0 else limit
        return [
            (
                Decimal(price).scaleb(-self.price_scale),
                Decimal(qty).scaleb(-self.qty_scale),
                self.venues[slot],
            )
            for price, qty, slot in zip(
                self.prices[:stop].tolist(),
                self.qtys[:stop].tolist(),
                self.slots[:stop].tolist(),
                strict=True,
            )
        ]


class Consolidated:
    """One universal symbol over the venues that list it.

    Attributes:
        top: best bid and ask, current at any instant.
        venues: names by slot. instruments: by slot.
        taker_fees: by slot, parts of ``FEE_UNIT``.
    """

    def __init__(self, universal: str) -> None:
        self.universal = universal
        self.top = new_top()
        self.venues: list[str] = []
        self.books: list[BookLike] = []
        self.instruments: list[Instrument] = []
        self.taker_fees: list[int] = []

    def add(
        self, venue: str, book: BookLike, instrument: Instrument, taker_fee: Decimal = Decimal(0)
    ) -> None:
        """Let one more venue take part whenever its book is LIVE.

        Args:
            taker_fee: part of the quote amount, 0.001 = 0.1 %; negative where the venue pays takers.

        Raises:
            UsageError: the venue takes part already, or its fee is no part of an amount.
        """
        if venue in self.venues:
            raise UsageError(f"{venue} takes part in {self.universal} already")
        fee = taker_fee * FEE_UNIT
        if not fee.is_finite() or fee != int(fee) or abs(fee) >= FEE_UNIT:
            raise UsageError(f"{venue}: a taker fee of {taker_fee} is no part of an amount with 8 decimals")
        self.top.add(book)
        self.venues.append(venue)
        self.books.append(book)
        self.instruments.append(instrument)
        self.taker_fees.append(int(fee))

    def close(self) -> None:
        """Stop to watch the books."""
        self.top.remove_all()
        self.venues, self.books, self.instruments, self.taker_fees = [], [], [], []

    # ---------------------------------------------------------------------------------------- readers

    def excluded(self) -> tuple[Excluded, ...]:
        """Return the venues that take no part now, each with its state and reason."""
        found = []
        for slot, (venue, book) in enumerate(zip(self.venues, self.books, strict=True)):
            if not book.is_live:
                found.append(Excluded(venue, book.state, book.reason))
            elif self.top.is_misfit(slot):
                found.append(Excluded(venue, book.state, "its numbers do not fit the common scales"))
        return tuple(found)

    def best(self) -> Best:
        """Return best bid and ask with every venue at that price."""
        bid, _, _, ask, _, _ = self.top.touch()
        touches = [self.top.slot_touch(slot) for slot in range(len(self.books))]
        bids = {slot: touch[1] for slot, touch in enumerate(touches) if bid and touch[0] == bid}
        asks = {slot: touch[3] for slot, touch in enumerate(touches) if ask and touch[2] == ask}
        return Best(
            self.universal,
            self._price(bid) if bid else None,
            self._qty(sum(bids.values())) if bid else None,
            self._names(bids),
            self._price(ask) if ask else None,
            self._qty(sum(asks.values())) if ask else None,
            self._names(asks),
            self.excluded(),
        )

    def best_after_fees(self) -> Best:
        """Return the bid that brings a taker most and the ask that costs a taker least, fees included."""
        bids: list[tuple[int, int, int, int]] = []
        asks: list[tuple[int, int, int, int]] = []
        for slot in range(len(self.books)):
            bid, bid_qty, ask, ask_qty = self.top.slot_touch(slot)
            if bid:
                bids.append((-bid * (FEE_UNIT - self.taker_fees[slot]), -bid_qty, slot, bid))
            if ask:
                asks.append((ask * (FEE_UNIT + self.taker_fees[slot]), -ask_qty, slot, ask))
        bids.sort()
        asks.sort()
        bid_here = {slot: -qty for net, qty, slot, _ in bids if net == bids[0][0]}
        ask_here = {slot: -qty for net, qty, slot, _ in asks if net == asks[0][0]}
        return Best(
            self.universal,
            self._price(bids[0][3]) if bids else None,
            self._qty(sum(bid_here.values())) if bids else None,
            self._names(bid_here),
            self._price(asks[0][3]) if asks else None,
            self._qty(sum(ask_here.values())) if asks else None,
            self._names(ask_here),
            self.excluded(),
            self._price(-bids[0][0]) / FEE_UNIT if bids else None,
            self._price(asks[0][0]) / FEE_UNIT if asks else None,
        )

    def ladder(self, side: Side, limit: int = -1, *, after_fees: bool = False, venue: str = "") -> Ladder:
        """Return the levels of one side over the venues that take part, best first.

        Args:
            side: ``BUY`` for bids, ``SELL`` for asks.
            limit: levels at most, -1 for all.
            after_fees: order by what a taker gets or pays, fees included; prices stay the venues' own.
            venue: only this one.

        Raises:
            UsageError: no such venue takes part in this symbol.
        """
        if venue and venue not in self.venues:
            raise UsageError(f"{venue} does not list {self.universal}; there are: {', '.join(self.venues)}")
        parts: list[npt.NDArray[np.int64]] = []
        for slot, book in enumerate(self.books):
            if not book.is_live or self.top.is_misfit(slot) or (venue and venue != self.venues[slot]):
                continue
            levels = book.depth(int(side), limit)
            price_factor = 10 ** (self.top.price_scale - book.price_scale)
            qty_factor = 10 ** (self.top.qty_scale - book.qty_scale)
            keep = (levels[:, 0] <= _MAX // price_factor) & (levels[:, 1] <= _MAX // qty_factor)
            if not keep.all():
                levels = levels[: int(np.argmin(keep))]  # levels behind one that does not fit are unknown
            part = np.empty((len(levels), 3), dtype=np.int64)
            part[:, 0] = levels[:, 0] * price_factor
            part[:, 1] = levels[:, 1] * qty_factor
            part[:, 2] = slot
            parts.append(part)
        if after_fees:
            merged = self._merged_after_fees(side, parts, limit)
        else:
            merged = np.concatenate(parts) if parts else np.empty((0, 3), dtype=np.int64)
            sign = -1 if side is Side.BUY else 1
            merged = merged[np.lexsort((merged[:, 2], -merged[:, 1], sign * merged[:, 0]))]
        if limit >= 0:
            merged = merged[:limit]
        return Ladder(
            side,
            merged[:, 0],
            merged[:, 1],
            merged[:, 2],
            tuple(self.venues),
            self.top.price_scale,
            self.top.qty_scale,
            tuple(
                book.horizon(int(side)) * 10 ** (self.top.price_scale - book.price_scale)
                for book in self.books
            ),
        )

    def _merged_after_fees(
        self, side: Side, parts: list[npt.NDArray[np.int64]], limit: int
    ) -> npt.NDArray[np.int64]:
        """Merge sorted parts by net price: exact in Python's integers, which an int64 product is not."""

        def keyed(part: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int, int]]:
            for price, qty, slot in part.tolist():
                fee = self.taker_fees[slot]
                net = -price * (FEE_UNIT - fee) if side is Side.BUY else price * (FEE_UNIT + fee)
                yield net, -qty, slot, price

        rows: list[tuple[int, int, int]] = []
        for _, qty, slot, price in heapq.merge(*[keyed(part) for part in parts]):
            if len(rows) == limit:
                break
            rows.append((price, -qty, slot))
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def _price(self, scaled: int) -> Decimal:
        return Decimal(scaled).scaleb(-self.top.price_scale)

    def _qty(self, scaled: int) -> Decimal:
        return Decimal(scaled).scaleb(-self.top.qty_scale)

    def _names(self, qtys: Mapping[int, int]) -> tuple[str, ...]:
        return tuple(self.venues[slot] for slot in sorted(qtys, key=lambda slot: (-qtys[slot], slot)))


_MAX = 2**63 - 1
