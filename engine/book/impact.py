"""What an order would do to the books now: average and worst price, impact against mid, child sizes.

Exact: the walk is in Python integers, results are Decimals. It says what stands in the books, not what a
resting order behind it would add: an order that large moves the market.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from typing import Literal

import msgspec

from engine.book.consolidated import FEE_UNIT, Consolidated, Excluded
from engine.model.errors import UsageError
from engine.model.market import Side

DIVISION_DIGITS = 28
"""Significant digits of averages and percentages; everything else is exact."""
EXACT_DIGITS = 80
AMOUNT_MAX = Decimal(10) ** 18
"""More than any book holds, and few enough digits for exact results."""
FEW_LEVELS = 128
"""Most orders end within these; only one that does not is worth the whole ladders."""


class Child(msgspec.Struct, frozen=True):
    """The part of the order that one venue would take.

    Attributes:
        base_qty: whole lots of that venue. quote_amount: price times quantity. fee: quote units.
        worst_price: the limit price that fills it.
    """

    venue: str
    base_qty: Decimal
    quote_amount: Decimal
    fee: Decimal
    worst_price: Decimal


class Impact(msgspec.Struct, frozen=True):
    """The answer.

    Attributes:
        outcome: ``filled``, or ``insufficient_depth``: what there is, is told all the same.
        wanted_base, wanted_quote: the amount asked for; the other one is ``None``.
        base_qty, quote_amount: what would be filled; without fees.
        unfilled: what is missing of the amount asked for, in its unit; what the venues' lots leave over too.
        fee: quote units, in ``average_price`` only if fees were asked for.
        average_price, worst_price: ``None`` where nothing would be filled.
        mid: between best bid and ask of the venues that take part, before the order.
        is_beyond_horizon: levels deeper than a book surely knows were taken: there may be more than these.
        impact_pct, impact_bps: how much worse than mid the average is, positive = costs.
    """

    universal: str
    side: Side
    outcome: Literal["filled", "insufficient_depth"]
    wanted_base: Decimal | None
    wanted_quote: Decimal | None
    base_qty: Decimal
    quote_amount: Decimal
    unfilled: Decimal
    fee: Decimal
    is_fee_included: bool
    average_price: Decimal | None
    worst_price: Decimal | None
    mid: Decimal | None
    impact_pct: Decimal | None
    impact_bps: Decimal | None
    children: tuple[Child, ...]
    excluded: tuple[Excluded, ...]
    is_beyond_horizon: bool


def price_impact(
    book: Consolidated,
    side: Side,
    *,
    base_qty: Decimal | None = None,
    quote_amount: Decimal | None = None,
    venue: str = "",
    with_fees: bool = False,
) -> Impact:
    """Walk the books with an order of ``base_qty`` base or ``quote_amount`` quote units.

    Args:
        side: ``BUY`` takes asks, ``SELL`` takes bids.
        quote_amount: what is spent or brought in; fees come on top, with or without ``with_fees``.
        venue: walk this venue alone; else the cheapest levels over all venues are taken, wherever they are.
        with_fees: choose levels by what a taker gets or pays after fees, and count fees in the average.

    Raises:
        UsageError: not exactly one positive amount was given, it is beyond all reason, or the venue does not
            list the symbol.
    """
    wanted = base_qty if base_qty is not None else quote_amount
    if (base_qty is None) == (quote_amount is None) or wanted is None:
        raise UsageError("give either a base or a quote amount")
    if not wanted.is_finite() or wanted <= 0:
        raise UsageError(f"an amount must be a positive number, not {wanted}")
    if wanted > AMOUNT_MAX:
        raise UsageError(f"an amount of {wanted:.3E} is too large; at most {AMOUNT_MAX:.0E}")
    with localcontext(Context(prec=EXACT_DIGITS)):
        for levels in (FEW_LEVELS, -1):
            walk = _Walk(book, side, venue, with_fees, levels)
            if base_qty is not None:
                walk.take_base(base_qty)
            else:
                walk.take_quote(wanted)
            if not walk.is_short:
                break
        return walk.answer(base_qty, quote_amount)


class _Walk:
    """Takes levels, best first; integers in common scales (quote amounts have both scales' decimals)."""

    def __init__(self, book: Consolidated, side: Side, venue: str, with_fees: bool, limit: int) -> None:
        opposite = Side.SELL if side is Side.BUY else Side.BUY
        self._book, self._side, self._venue, self._with_fees = book, side, venue, with_fees
        ladder = book.ladder(opposite, limit, after_fees=with_fees, venue=venue)
        self._levels = list(
            zip(ladder.prices.tolist(), ladder.qtys.tolist(), ladder.slots.tolist(), strict=True)
        )
        self._ladder = ladder
        self._price_scale, self._qty_scale = ladder.price_scale, ladder.qty_scale
        self._excluded = tuple(each for each in book.excluded() if venue in ("", each.venue))
        self._mid = self._mid_of(venue)
        self._lots = [each.lot_size * 10 ** (self._qty_scale - each.qty_scale) for each in book.instruments]
        self._taken: list[tuple[int, int, int]] = []
        self.is_short = False

    def _mid_of(self, venue: str) -> Decimal | None:
        if not venue:
            return self._book.best().mid
        bid, _, ask, _ = self._book.top.slot_touch(self._book.venues.index(venue))
        return Decimal(bid + ask).scaleb(-self._price_scale) / 2 if bid and ask else None

    def take_base(self, wanted: Decimal) -> None:
        """Take levels until the quantity is reached, rounded down to what the scale can say."""
        left = int(wanted.scaleb(self._qty_scale))
        for price, qty, slot in self._levels:
            part = min(qty, left)
            if part:
                self._taken.append((price, part, slot))
                left -= part
        self.is_short = left > 0

    def take_quote(self, wanted: Decimal) -> None:
        """Take levels until the amount is spent; the last one in part, rounded down."""
        left = int(wanted.scaleb(self._price_scale + self._qty_scale))
        for price, qty, slot in self._levels:
            part = min(qty, left // price)
            if part:
                self._taken.append((price, part, slot))
                left -= part * price
            if part < qty:
                return
        self.is_short = True

    def _children(self) -> list[tuple[int, list[tuple[int, int]]]]:
        """Return (slot, [(price, qty), ...]), each venue's total cut to whole lots from its worst levels."""
        by_slot: dict[int, list[tuple[int, int]]] = {}
        for price, qty, slot in self._taken:
            by_slot.setdefault(slot, []).append((price, qty))
        children = []
        for slot, rows in sorted(by_slot.items()):
            extra = sum(qty for _, qty in rows) % self._lots[slot]
            while extra and rows:
                price, qty = rows.pop()
                cut = min(qty, extra)
                extra -= cut
                if qty > cut:
                    rows.append((price, qty - cut))
            if rows:
                children.append((slot, rows))
        return children

    def answer(self, wanted_base: Decimal | None, wanted_quote: Decimal | None) -> Impact:
        """Put the answer together."""
        sign = 1 if self._side is Side.BUY else -1
        children: list[Child] = []
        base = quote = fee_units = 0
        worst: int | None = None
        for slot, rows in self._children():
            qty = sum(part for _, part in rows)
            amount = sum(price * part for price, part in rows)
            limit = max(price for price, _ in rows) if sign > 0 else min(price for price, _ in rows)
            fee = amount * self._book.taker_fees[slot]
            children.append(
                Child(
                    self._book.venues[slot],
                    self._qty(qty),
                    self._quote(amount),
                    self._fee(fee),
                    self._price(limit),
                )
            )
            base += qty
            quote += amount
            fee_units += fee
            worst = limit if worst is None else (max(worst, limit) if sign > 0 else min(worst, limit))
        average = percent = None
        if base:
            with localcontext(Context(prec=DIVISION_DIGITS)):
                paid = self._quote(quote) + (sign * self._fee(fee_units) if self._with_fees else 0)
                average = paid / self._qty(base)
                if self._mid:
                    percent = sign * (average - self._mid) / self._mid * 100
        wanted = wanted_base if wanted_base is not None else wanted_quote
        assert wanted is not None
        done = self._qty(base) if wanted_base is not None else self._quote(quote)
        return Impact(
            universal=self._book.universal,
            side=self._side,
            outcome="insufficient_depth" if self.is_short else "filled",
            wanted_base=wanted_base,
            wanted_quote=wanted_quote,
            base_qty=self._qty(base),
            quote_amount=self._quote(quote),
            unfilled=wanted - done,
            fee=self._fee(fee_units),
            is_fee_included=self._with_fees,
            average_price=average,
            worst_price=None if worst is None else self._price(worst),
            mid=self._mid,
            impact_pct=percent,
            impact_bps=None if percent is None else percent * 100,
            children=tuple(children),
            excluded=self._excluded,
            is_beyond_horizon=not all(self._ladder.is_known(price, slot) for price, _, slot in self._taken),
        )

    def _price(self, scaled: int) -> Decimal:
        return Decimal(scaled).scaleb(-self._price_scale)

    def _qty(self, scaled: int) -> Decimal:
        return Decimal(scaled).scaleb(-self._qty_scale)

    def _quote(self, scaled: int) -> Decimal:
        return _exact(scaled, self._price_scale + self._qty_scale)

    def _fee(self, units: int) -> Decimal:
        return _exact(units, self._price_scale + self._qty_scale + len(str(FEE_UNIT)) - 1)


def _exact(scaled: int, decimals: int) -> Decimal:
    """Return ``scaled * 10**-decimals`` exactly: quote amounts can have more digits than the context."""
    digits = tuple(int(each) for each in str(abs(scaled)))
    return Decimal((1 if scaled < 0 else 0, digits, -decimals))
