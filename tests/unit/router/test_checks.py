"""Pre-trade checks: exactly what was asked for leaves, or nothing does and the text says why."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import UsageError
from engine.model.instrument import INT64_SAFE_MAX, Instrument, InstrumentStatus, Product
from engine.model.market import Side
from engine.model.orders import NewOrder, OrderType, TimeInForce
from engine.router.checks import amended_terms, exact, new_order

SPOT = Instrument(
    venue="binance", product=Product.SPOT, symbol="BTCUSDT", universal="BTC/USDT", base="BTC", quote="USDT",
    settle=None, status=InstrumentStatus.TRADING, price_scale=8, qty_scale=8, tick_size=10**6,
    lot_size=1_000, market_lot_size=10_000, price_min=10**6, price_max=10**14, qty_min=1_000,
    qty_max=9_000 * 10**8, market_qty_max=100 * 10**8, notional_min=Decimal(5),
    notional_max=Decimal(9_000_000),
)  # fmt: skip
FREE = msgspec.structs.replace(
    SPOT, tick_size=1, lot_size=1, price_min=0, price_max=0, qty_min=0, qty_max=0, market_qty_max=0,
    notional_min=Decimal(0), notional_max=Decimal(0),
)  # fmt: skip
PERP = msgspec.structs.replace(SPOT, product=Product.PERP, universal="BTC/USDT:USDT", settle="USDT")


def make(
    instrument: Instrument = SPOT,
    side: Side = Side.BUY,
    qty: Any = "0.01",
    price: Any = "65000",
    **options: Any,
) -> NewOrder:
    return new_order(instrument, "c1", side, qty, price, **options)


def test_what_keeps_the_rules_leaves_as_it_was() -> None:
    for qty, price in (("0.01", "65000"), (Decimal("0.010"), Decimal("6.5e4")), ("0.01000000", 65000)):
        order = make(qty=qty, price=price)
        assert (order.qty, order.price) == (10**6, 65_000 * 10**8)
        assert order.order_type is OrderType.LIMIT
    assert make(price=None).order_type is OrderType.MARKET
    assert make(price=None).price == 0


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"qty": 0.01}, "qty: pass a decimal text, not float 0.01"),
    ({"price": 65000.0}, "price: pass a decimal text, not float"),
    ({"qty": True}, "not bool"),
    ({"qty": None}, "not NoneType"),
    ({"qty": b"1"}, "not bytes"),
    ({"qty": ""}, "is not a decimal number"),
    ({"qty": "1,5"}, "is not a decimal number"),
    ({"qty": "NaN"}, "is not a finite number"),
    ({"qty": "sNaN"}, "is not a finite number"),
    ({"price": "Infinity"}, "is not a finite number"),
    ({"qty": "0"}, "qty of BTC/USDT must be positive"),
    ({"qty": "-0.01"}, "must be positive"),
    ({"price": "0"}, "price of BTC/USDT must be positive"),
    ({"price": "-1"}, "must be positive"),
    ({"qty": "0.010001"}, "qty of BTC/USDT 0.010001 is not a multiple of 0.00001; nearest: 0.01 or 0.01001"),
    ({"qty": "0.000001"}, "nearest: 0.00001"),
    ({"price": "65000.005"}, "is not a multiple of 0.01; nearest: 65000 or 65000.01"),
    ({"price": "65000.01" + "0" * 40 + "1"}, "is not a multiple of 0.01"),
    ({"price": "1000000.01"}, "price of BTC/USDT 1000000.01 must lie between 0.01 and 1000000"),
    ({"qty": "9000.00001"}, "must lie between 0.00001 and 9000"),
    ({"qty": "101", "price": None}, "must lie between 0.00001 and 100"),
    ({"qty": "0.00001"}, "value of BTC/USDT order is 0.65 USDT; it must be at least 5 and at most 9000000"),
    ({"qty": "200"}, "value of BTC/USDT order is 13000000 USDT"),
    ({"qty": "0.00005", "price": None}, "is not a multiple of 0.0001"),
    (
        {"qty": "0.0001", "price": None, "reference_price": 100 * 10**8},
        "value of BTC/USDT order is 0.01 USDT",
    ),
    ({"qty": "1e300"}, "is too large"),
    ({"qty": "1e999999999"}, "is too large"),
    ({"qty": "1e-999999999"}, "more decimals than any venue takes"),
    ({"qty": "0." + "0" * 70 + "1"}, "more decimals than any venue takes"),
    ({"qty": "9" * 5_000}, "is too large"),
    ({"qty": 10**4_000}, "is too large"),
    ({"reduce_only": True}, "reduce-only exists for perpetuals only"),
    ({"post_only": True, "price": None}, "post-only goes with a limit price"),
    ({"post_only": True, "time_in_force": TimeInForce.IOC}, "good-till-cancelled only"),
]


@pytest.mark.parametrize(("options", "text"), REFUSED)
def test_what_breaks_a_rule_is_refused_by_its_name(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(**options)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "status", [status for status in InstrumentStatus if status is not InstrumentStatus.TRADING]
)
def test_no_orders_while_the_venue_takes_none(status: InstrumentStatus) -> None:
    with pytest.raises(UsageError, match=f"is {status.value} at binance: no new orders"):
        make(msgspec.structs.replace(SPOT, status=status))


def test_reduce_only_perpetuals_may_be_small() -> None:
    assert make(PERP, qty="0.00001", reduce_only=True).reduce_only
    with pytest.raises(UsageError, match="value of"):
        make(PERP, qty="0.00001")


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 65_000), (Side.SELL, 65_000_01)])
def test_passive_normalisation_never_moves_towards_the_market(side: Side, price: int) -> None:
    order = make(side=side, qty="0.0100199", price="65000.001", normalise="passive")
    assert order.qty == 1_001_000
    expected = 6_500_000 if side is Side.BUY else 6_500_001
    assert order.price == expected * 10**6


def test_passive_normalisation_does_not_make_nothing_of_something() -> None:
    with pytest.raises(UsageError, match="below one step"):
        make(qty="0.000009", normalise="passive")
    with pytest.raises(UsageError, match="below one step"):
        make(price="0.001", normalise="passive")


NUMBERS = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.decimals(min_value=Decimal("1e-12"), max_value=Decimal("1e12")),
    st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,12})?", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}\.[0-9]{20,45}", fullmatch=True),
    st.text(alphabet="0123456789.eE+-_ ", max_size=12),
    st.integers(-10, 10**20),
)


@given(NUMBERS, NUMBERS, st.sampled_from(Side), st.sampled_from([SPOT, FREE, PERP]))
def test_what_passes_is_exactly_what_was_asked_for(
    qty: Decimal | str | int, price: Decimal | str | int, side: Side, instrument: Instrument
) -> None:
    try:
        order = make(instrument, side, qty, price)
    except UsageError:
        return
    # Compared as fractions: Decimal's own arithmetic rounds to 28 digits.
    assert Decimal(qty).as_integer_ratio() == instrument.qty(order.qty).as_integer_ratio()
    assert Decimal(price).as_integer_ratio() == instrument.price(order.price).as_integer_ratio()
    assert 0 < order.qty <= INT64_SAFE_MAX
    assert 0 < order.price <= INT64_SAFE_MAX
    assert order.qty % instrument.lot_size == 0
    assert order.price % instrument.tick_size == 0


@given(NUMBERS, NUMBERS, st.sampled_from(Side), st.sampled_from([SPOT, FREE]))
def test_passive_is_never_more_and_never_nearer(
    qty: Decimal | str | int, price: Decimal | str | int, side: Side, instrument: Instrument
) -> None:
    try:
        order = make(instrument, side, qty, price, normalise="passive")
    except UsageError:
        return
    assert instrument.qty(order.qty) <= Decimal(qty)
    moved = Fraction(instrument.price(order.price)) - Fraction(Decimal(price))  # a Decimal would round
    assert moved <= 0 if side is Side.BUY else moved >= 0
    assert abs(moved) < Fraction(instrument.price(instrument.tick_size))
    assert order.qty > 0
    assert order.price > 0


@pytest.mark.parametrize("text", ["1_0", "2_", "\u0661\u0662", "1,5", "", "0x10", "NaN", "Infinity", "1 0"])
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="number"):
        exact(text, "qty")


def test_exact_keeps_every_digit() -> None:
    text = "0.1" + "0" * 50 + "1"
    assert str(exact(text, "qty")) == text


def amended(qty: Any = None, price: Any = None, **options: Any) -> tuple[int, int]:
    known = {"known_qty": 10**6, "known_price": 65_000 * 10**8, **options}
    return amended_terms(SPOT, Side.BUY, qty, price, **known)


def test_amends_keep_what_is_not_named_and_the_rules_of_new_orders() -> None:
    assert amended(qty="0.02") == (2 * 10**6, 65_000 * 10**8)
    assert amended(price="65000.01") == (10**6, 65_000 * 10**8 + 10**6)
    assert amended("0.02", "64000") == (2 * 10**6, 64_000 * 10**8)
    assert amended(price="65000.019", normalise="passive") == (10**6, 65_000 * 10**8 + 10**6)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({}, "a new quantity, a new price, or both"),
        ({"qty": 0.02}, "pass a decimal text"),
        ({"qty": "0.000010001"}, "not a multiple of 0.00001"),
        ({"qty": "9001"}, "must lie between"),
        ({"price": "65000.001"}, "not a multiple of 0.01"),
        ({"price": "0.001"}, "not a multiple of 0.01"),
        ({"price": "1000000.01"}, "must lie between"),
        ({"qty": "0.00007"}, "it must be at least 5"),
        ({"price": "100"}, "it must be at least 5"),
        ({"qty": "-1"}, "must be positive"),
    ],
)
def test_amends_are_refused_with_the_rule_that_they_break(options: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        amended(**options)


def test_a_reduce_only_order_may_be_amended_below_the_least_value() -> None:
    known: dict[str, Any] = {"known_qty": 10**6, "known_price": 65_000 * 10**8}
    small = amended_terms(PERP, Side.SELL, "0.00007", None, reduce_only=True, **known)
    assert small == (7_000, 65_000 * 10**8)


def test_an_instrument_that_does_not_trade_takes_no_amends() -> None:
    halted = msgspec.structs.replace(SPOT, status=InstrumentStatus.HALTED)
    with pytest.raises(UsageError, match="no amends"):
        amended_terms(halted, Side.BUY, "0.02", None, known_qty=1, known_price=1)
