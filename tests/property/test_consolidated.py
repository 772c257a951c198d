"""Consolidated top, ladder and price impact equal brute force; compiled and pure tops agree at every step."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book import consolidated as module
from engine.book.consolidated import FEE_UNIT, Consolidated, Excluded
from engine.book.impact import price_impact
from engine.book.l2 import COMPILED, new_book, new_feed
from engine.book.pure import PureBook
from engine.book.pure_consolidated import PureTop
from engine.model.errors import UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import BookSnapshot, BookState, DepthSchema, Feed, SequenceRule, Side

VENUES = ("binance", "okx", "bybit")
SCALES = ((2, 3), (1, 4), (3, 2))  # price and quantity decimals of each venue
LOTS = (Decimal("0.005"), Decimal("0.0001"), Decimal("0.01"))


def instrument(number: int) -> Instrument:
    price_scale, qty_scale = SCALES[number]
    lot = int(LOTS[number].scaleb(qty_scale))
    return Instrument(
        venue=VENUES[number], product=Product.SPOT, symbol="X", universal="X/Y", base="X", quote="Y",
        settle=None, status=InstrumentStatus.TRADING, price_scale=price_scale, qty_scale=qty_scale,
        tick_size=1, lot_size=lot, market_lot_size=lot, price_min=0, price_max=0, qty_min=0, qty_max=0,
        market_qty_max=0, notional_min=Decimal(0), notional_max=Decimal(0),
    )  # fmt: skip


Levels = list[tuple[int, int]]
"""(price in hundredths, quantity in thousandths), of which each venue keeps what its scales can say."""


def load(book: Any, bids: Levels, asks: Levels, sequence: int = 1) -> None:
    rows = []
    for levels, reverse in ((bids, True), (asks, False)):
        side = dict(levels)
        rows.append(np.array(sorted(side.items(), reverse=reverse), dtype=np.int64).reshape(-1, 2))
    book.begin_sync()
    book.load_snapshot(BookSnapshot(sequence, rows[0], rows[1], None))
    book.accept_snapshot()


sides = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), max_size=8)
venue_books = st.tuples(sides, sides)


def uncrossed(bids: Levels, asks: Levels, offset: int) -> tuple[Levels, Levels]:
    """Put a venue's sides around its own middle: bids below 100 + offset, asks above."""
    middle = 100 + offset
    return [(middle - price, qty) for price, qty in bids], [(middle + price, qty) for price, qty in asks]


def build(
    books: list[tuple[Levels, Levels]],
    offsets: list[int],
    states: list[bool],
    fees: list[Decimal],
    make_book: Callable[..., Any] = new_book,
) -> Consolidated:
    made = Consolidated("X/Y")
    for number, ((bids, asks), offset, is_live, fee) in enumerate(
        zip(books, offsets, states, fees, strict=True)
    ):
        price_scale, qty_scale = SCALES[number]
        book = make_book(VENUES[number], price_scale, qty_scale, number)
        made.add(VENUES[number], book, instrument(number), fee)
        load(book, *uncrossed(bids, asks, offset))
        if not is_live:
            book.mark_stale("test")
    return made


def naive(made: Consolidated, side: Side) -> list[tuple[Decimal, Decimal, int]]:
    """Return every level of the venues that take part, in Decimals, unsorted."""
    rows = []
    for slot, book in enumerate(made.books):
        if book.is_live:
            for price, qty in book.depth(int(side)).tolist():
                rows.append(
                    (Decimal(price).scaleb(-book.price_scale), Decimal(qty).scaleb(-book.qty_scale), slot)
                )
    return rows


worlds = st.tuples(
    st.lists(venue_books, min_size=3, max_size=3),
    st.lists(st.integers(-5, 5), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(
        st.sampled_from([Decimal(0), Decimal("0.001"), Decimal("-0.0001"), Decimal("0.05")]),
        min_size=3,
        max_size=3,
    ),
)


@given(worlds)
def test_best_is_the_best_of_all_levels(world: Any) -> None:
    made = build(*world)
    best, net = made.best(), made.best_after_fees()
    bids, asks = naive(made, Side.BUY), naive(made, Side.SELL)
    assert best.bid == max((price for price, _, _ in bids), default=None)
    assert best.ask == min((price for price, _, _ in asks), default=None)
    for word, rows in (("bid", bids), ("ask", asks)):
        price = getattr(best, word)
        here = sorted([(-qty, slot) for level, qty, slot in rows if level == price])
        assert getattr(best, f"{word}_venues") == tuple(VENUES[slot] for _, slot in here)
        assert getattr(best, f"{word}_qty") == (-sum(qty for qty, _ in here) if here else None)
    fee = [Fraction(each, FEE_UNIT) for each in made.taker_fees]
    nets = [Fraction(price) * (1 - fee[slot]) for price, _, slot in bids]
    costs = [Fraction(price) * (1 + fee[slot]) for price, _, slot in asks]
    assert (None if net.bid_net is None else Fraction(net.bid_net)) == max(nets, default=None)
    assert (None if net.ask_net is None else Fraction(net.ask_net)) == min(costs, default=None)
    stale = [VENUES[slot] for slot in range(3) if not made.books[slot].is_live]
    assert [each.venue for each in best.excluded] == stale


@given(worlds, st.sampled_from([-1, 0, 1, 3, 100]), st.booleans(), st.sampled_from(["", *VENUES]))
def test_ladder_is_every_level_in_order(world: Any, limit: int, after_fees: bool, venue: str) -> None:
    made = build(*world)
    for side in Side:
        rows = [row for row in naive(made, side) if not venue or VENUES[row[2]] == venue]
        sign = -1 if side is Side.BUY else 1
        fee = [(sign * Fraction(each, FEE_UNIT) if after_fees else Fraction(0)) for each in made.taker_fees]
        rows.sort(key=lambda row: (sign * Fraction(row[0]) * (1 + fee[row[2]]), -row[1], row[2]))
        expected = [(price, qty, VENUES[slot]) for price, qty, slot in rows]
        if limit >= 0:
            expected = expected[:limit]
        assert made.ladder(side, limit, after_fees=after_fees, venue=venue).rows() == expected


def brute_force(
    made: Consolidated, side: Side, venue: str, with_fees: bool, base: Decimal | None, quote: Decimal | None
) -> tuple[dict[int, Decimal], bool]:
    """Take the cheapest grain, one at a time; return what each venue fills and whether it was not enough."""
    opposite = Side.SELL if side is Side.BUY else Side.BUY
    sign = 1 if side is Side.BUY else -1
    grain = Decimal(1).scaleb(-made.top.qty_scale)
    rows: list[Any] = [[*row] for row in naive(made, opposite) if not venue or VENUES[row[2]] == venue]
    fees = [Fraction(each, FEE_UNIT) if with_fees else Fraction(0) for each in made.taker_fees]
    rows.sort(key=lambda row: (sign * Fraction(row[0]) * (1 + sign * fees[row[2]]), -row[1], row[2]))
    filled: dict[int, Decimal] = {}
    left = base if base is not None else quote
    assert left is not None
    for price, qty, slot in rows:
        while qty > 0:
            step = grain if base is not None else grain * price
            if left < step:
                return filled, False
            left -= step
            qty -= grain
            filled[slot] = filled.get(slot, Decimal(0)) + grain
    return filled, left >= (grain if base is not None else Decimal(0)) and (left > 0 or base is None)


@settings(max_examples=60, deadline=None)
@given(
    worlds, st.sampled_from(list(Side)), st.booleans(), st.sampled_from(["", *VENUES]),
    st.integers(1, 400), st.booleans(),
)  # fmt: skip
def test_impact_equals_brute_force(
    world: Any, side: Side, with_fees: bool, venue: str, amount: int, is_base: bool
) -> None:
    made = build(*world)
    wanted = Decimal(amount) / 1000 if is_base else Decimal(amount) / 100
    base, quote = (wanted, None) if is_base else (None, wanted)
    answer = price_impact(made, side, base_qty=base, quote_amount=quote, venue=venue, with_fees=with_fees)
    filled, is_short = brute_force(made, side, venue, with_fees, base, quote)
    assert (answer.outcome == "insufficient_depth") == is_short
    lots = {slot: qty - qty % LOTS[slot] for slot, qty in filled.items()}
    assert {each.venue: each.base_qty for each in answer.children} == {
        VENUES[slot]: qty for slot, qty in lots.items() if qty
    }
    assert answer.base_qty == sum(lots.values())
    assert answer.quote_amount == sum(each.quote_amount for each in answer.children)
    for child in answer.children:
        slot = VENUES.index(child.venue)
        assert Fraction(child.fee) == Fraction(child.quote_amount) * Fraction(made.taker_fees[slot], FEE_UNIT)
    if answer.base_qty:
        sign = 1 if side is Side.BUY else -1
        paid = Fraction(answer.quote_amount) + (sign * Fraction(answer.fee) if with_fees else 0)
        average = paid / Fraction(answer.base_qty)
        assert answer.average_price is not None
        assert abs(Fraction(answer.average_price) - average) < Fraction(1, 10**20)
        if answer.mid:
            assert answer.impact_bps is not None
            expected = sign * (average / Fraction(answer.mid) - 1) * 10_000
            assert abs(Fraction(answer.impact_bps) - expected) < Fraction(1, 10**15)
    else:
        assert (answer.average_price, answer.worst_price, answer.impact_pct) == (None, None, None)
    done = answer.base_qty if is_base else answer.quote_amount
    assert answer.unfilled == wanted - done


steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["load", "stale", "halt", "clear", "sync", "live"]),
        venue_books,
        st.integers(-3, 3),
    ),
    max_size=25,
)


@pytest.mark.skipif(not COMPILED, reason="nothing was compiled: there is no second implementation")
@given(steps)
def test_compiled_and_pure_tops_agree_at_every_step(script: Any) -> None:
    assert module.COMPILED
    worlds: list[tuple[Any, Any, list[Any]]] = []
    for make_book, make_top in ((new_book, module.new_top), (PureBook, PureTop)):
        top: Any = make_top()
        heard: list[Any] = []
        books: list[Any] = [make_book(VENUES[number], *SCALES[number], number) for number in range(3)]
        assert [top.add(book) for book in books] == [0, 1, 2]
        top.on_change = lambda each, heard=heard: heard.append(each.touch())
        worlds.append((top, books, heard))
    for number, action, (bids, asks), offset in script:
        for _, books, heard in worlds:
            book = books[number]
            if action == "load":
                load(book, *uncrossed(bids, asks, offset))
            elif action == "stale":
                book.mark_stale("test")
            elif action == "halt":
                book.halt()
            elif action == "clear":
                book.clear()
            elif action == "sync":
                book.begin_sync()
            elif book.state is BookState.JOINING:
                book.accept_snapshot()
            assert heard == worlds[0][2][: len(heard)]
        (top, books, heard), (pure, _, pure_heard) = worlds
        assert top.touch() == pure.touch()
        assert heard == pure_heard
        assert top.version == pure.version
        for slot in range(3):
            assert top.slot_touch(slot) == pure.slot_touch(slot)
            if not books[slot].is_live:
                assert top.slot_touch(slot) == (0, 0, 0, 0)


def tops() -> list[tuple[Any, Any]]:
    made: list[tuple[Any, Any]] = [(PureBook, PureTop)]
    if module.COMPILED:
        made.append((new_book, module.new_top))
    return made


@pytest.mark.parametrize(("make_book", "make_top"), tops())
def test_what_does_not_fit_is_left_out_and_named(make_book: Any, make_top: Any) -> None:
    top = make_top()
    small, large = make_book("small", 0, 0), make_book("large", 18, 18)
    top.add(small)
    load(small, [(5, 7)], [(2_000, 3)])
    assert top.touch() == (5, 7, 0, 2_000, 3, 0)
    top.add(large)
    assert top.is_misfit(0)
    assert not top.is_misfit(1)
    assert top.touch() == (0, 0, -1, 0, 0, -1)
    load(large, [(5 * 10**18, 7 * 10**18)], [])
    assert top.touch()[:3] == (5 * 10**18, 7 * 10**18, 1)
    load(small, [(5, 8)], [(9, 9)])
    assert not top.is_misfit(0)
    assert top.touch() == (5 * 10**18, 8 * 10**18, 0, 9 * 10**18, 9 * 10**18, 0)


@pytest.mark.parametrize(("make_book", "make_top"), tops())
def test_who_listens_cannot_break_the_books(make_book: Any, make_top: Any) -> None:
    top, book = make_top(), make_book("a", 2, 2)
    top.add(book)

    def fail(_: Any) -> None:
        raise RuntimeError("strategy")

    top.on_change = fail
    load(book, [(5, 7)], [(6, 3)])
    assert book.is_live
    assert (top.errors, top.last_error) == (1, "RuntimeError: strategy")
    with pytest.raises(UsageError, match="watched already"):
        top.add(book)
    with pytest.raises(UsageError, match="no slot"):
        top.slot_touch(1)
    top.remove_all()
    assert top.touch() == (0, 0, -1, 0, 0, -1)
    make_top().add(book)


def test_misuse_is_told() -> None:
    made = build([([], []), ([], []), ([], [])], [0, 0, 0], [True, True, False], [Decimal(0)] * 3)
    assert made.excluded() == (Excluded("bybit", BookState.STALE, "test"),)
    assert made.best().mid is None
    with pytest.raises(UsageError, match="takes part"):
        made.add("okx", new_book("z", 1, 1), instrument(1))
    with pytest.raises(UsageError, match="no part of an amount"):
        Consolidated("X/Y").add("okx", new_book("z", 1, 1), instrument(1), Decimal("1e-9"))
    for options in ({}, {"base_qty": Decimal(1), "quote_amount": Decimal(1)}, {"base_qty": Decimal("NaN")},
                    {"quote_amount": Decimal(0)}, {"base_qty": Decimal(1), "venue": "kraken"}):  # fmt: skip
        with pytest.raises(UsageError):
            price_impact(made, Side.BUY, **options)
    nothing = price_impact(made, Side.BUY, base_qty=Decimal(1))
    assert nothing.outcome == "insufficient_depth"
    assert (nothing.base_qty, nothing.unfilled) == (Decimal(0), Decimal(1))
    made.close()
    assert made.best().excluded == ()


@pytest.mark.parametrize("unit", ["base_qty", "quote_amount"])
def test_an_amount_beyond_all_reason_is_refused(unit: str) -> None:
    made = build([([(1, 5)], [(1, 5)]), ([], []), ([], [])], [0, 0, 0], [True] * 3, [Decimal(0)] * 3)
    for amount in (Decimal("1e400"), Decimal(10) ** 18 + 1):
        options: dict[str, Any] = {unit: amount}
        with pytest.raises(UsageError, match="is too large") as caught:
            price_impact(made, Side.BUY, **options)
        assert len(str(caught.value)) < 80
    largest: dict[str, Any] = {unit: Decimal(10) ** 18}
    assert price_impact(made, Side.BUY, **largest).outcome == "insufficient_depth"


@pytest.mark.fault("P15")
def test_what_lies_beyond_a_horizon_is_told() -> None:
    made = build([([(1, 5)], [(1, 5)]), ([], []), ([], [])], [0, 0, 0], [True] * 3, [Decimal(0)] * 3)
    within = price_impact(made, Side.SELL, base_qty=Decimal("0.005"))
    assert within.outcome == "filled"
    assert not within.is_beyond_horizon
    feed = new_feed(
        DepthSchema(
            rule=SequenceRule.RANGE, route_keys=("s",), containers=(), first_key=None, last_key="u",
            previous_key=None, bids_key="b", asks_key="a",
        )
    )  # fmt: skip
    feed.add("x", made.books[0])
    assert feed.feed_code(b'{"s":"x","u":2,"b":[["0.90","0.005"]],"a":[]}') == Feed.APPLIED
    beyond = price_impact(made, Side.SELL, base_qty=Decimal("0.010"))
    assert beyond.outcome == "filled"
    assert beyond.is_beyond_horizon
