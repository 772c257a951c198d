"""Order filters: the boundary of each rule, its code and its text."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import pytest

from engine.sim.binance import filters
from engine.sim.binance.errors import ApiError
from engine.sim.binance.filters import MarketRules

SPOT = MarketRules(D("0.01"), D("0.00001"), D("0.00001"), D(9000), D(5), 200, 8, 8, D(60000))
PERP = MarketRules(D("0.10"), D("0.001"), D("0.001"), D(1000), D(50), 200, 2, 3, D(60000))


@pytest.mark.parametrize(
    ("price", "failure"),
    [
        ("60000", None), ("60000.01", None), ("72000", None), ("30000", None),
        ("60000.001", (-1013, "Filter failure: PRICE_FILTER")),
        ("0", (-1013, "Filter failure: PRICE_FILTER")),
        ("1000000.01", (-1013, "Filter failure: PRICE_FILTER")),
        ("60000.000000001", (-1111, "Parameter 'price' has too much precision.")),
        ("72000.01", (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")),
        ("29999.99", (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")),
    ],
)  # fmt: skip
def test_spot_buy_prices(price: str, failure: tuple[int, str] | None) -> None:
    judge(lambda: filters.check_spot_price(SPOT, "BUY", D(price), D(60000)), failure)


@pytest.mark.parametrize(
    ("price", "failure"),
    [("120000", None), ("48000", None), ("120000.01", (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")),
     ("47999.99", (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"))],
)  # fmt: skip
def test_spot_sell_prices(price: str, failure: tuple[int, str] | None) -> None:
    judge(lambda: filters.check_spot_price(SPOT, "SELL", D(price), D(60000)), failure)


@pytest.mark.parametrize(
    ("quantity", "market", "failure"),
    [
        ("0.00001", False, None), ("9000", False, None), ("1125", True, None),
        ("0", False, (-1013, "Filter failure: LOT_SIZE")),
        ("9000.00001", False, (-1013, "Filter failure: LOT_SIZE")),
        ("0.000015", False, (-1013, "Filter failure: LOT_SIZE")),
        ("0.000000001", False, (-1111, "Parameter 'quantity' has too much precision.")),
        ("1125.00001", True, (-1013, "Filter failure: MARKET_LOT_SIZE")),
    ],
)  # fmt: skip
def test_spot_quantities(quantity: str, market: bool, failure: tuple[int, str] | None) -> None:
    judge(lambda: filters.check_spot_quantity(SPOT, D(quantity), market), failure)


@pytest.mark.parametrize(
    ("notional", "market", "failure"),
    [
        ("5", False, None), ("5", True, None), ("9000000", False, None), ("9000001", True, None),
        ("4.99", False, (-1013, "Filter failure: NOTIONAL")),
        ("4.99", True, (-1013, "Filter failure: NOTIONAL")),
        ("9000000.01", False, (-1013, "Filter failure: NOTIONAL")),
    ],
)  # fmt: skip
def test_spot_notional(notional: str, market: bool, failure: tuple[int, str] | None) -> None:
    judge(lambda: filters.check_spot_notional(SPOT, D(notional), market), failure)


@pytest.mark.parametrize(
    ("side", "price", "failure"),
    [
        ("BUY", "63000", None), ("SELL", "57000", None), ("BUY", "0.10", None), ("SELL", "3600000", None),
        ("BUY", "60000.05", (-4014, "Price not increased by tick size.")),
        ("BUY", "60000.001", (-1111, "Precision is over the maximum defined for this asset.")),
        ("BUY", "0", (-4001, "Price less than 0.")),
        ("BUY", "0.05", (-4013, "Price less than min price 0.1.")),
        ("SELL", "3600000.10", (-4002, "Price greater than max price.")),
        ("BUY", "63000.10", (-4016, "Price is higher than mark price multiplier cap.")),
        ("SELL", "56999.90", (-4024, "Price is lower than mark price multiplier floor.")),
    ],
)  # fmt: skip
def test_perp_prices(side: str, price: str, failure: tuple[int, str] | None) -> None:
    judge(lambda: filters.check_perp_price(PERP, side, D(price), D(60000)), failure)


@pytest.mark.parametrize(
    ("quantity", "market", "failure"),
    [
        ("0.001", False, None), ("1000", False, None), ("125", True, None),
        ("0", False, (-4003, "Quantity less than or equal to zero.")),
        ("0.0015", False, (-1111, "Precision is over the maximum defined for this asset.")),
        ("1000.001", False, (-4005, "Quantity greater than max quantity.")),
        ("125.001", True, (-4005, "Quantity greater than max quantity.")),
    ],
)  # fmt: skip
def test_perp_quantities(quantity: str, market: bool, failure: tuple[int, str] | None) -> None:
    judge(lambda: filters.check_perp_quantity(PERP, D(quantity), market), failure)


def test_perp_step_and_minimum_have_their_own_codes() -> None:
    coarse = MarketRules(D("0.0001"), D("5"), D("10"), D(100), D(5), 200, 4, 0, D("0.5"))
    judge(
        lambda: filters.check_perp_quantity(coarse, D(12), False), (-4023, "Qty not increased by step size.")
    )
    judge(
        lambda: filters.check_perp_quantity(coarse, D(5), False), (-4004, "Quantity less than min quantity.")
    )
    judge(lambda: filters.check_perp_notional(PERP, D(50)), None)
    text = "Order's notional must be no smaller than 50 (unless you choose reduce only)."
    judge(lambda: filters.check_perp_notional(PERP, D("49.99")), (-4164, text))


def test_texts_of_numbers() -> None:
    assert filters.fixed(D("0.1"), 8) == "0.10000000"
    assert filters.fixed(D("1.99999"), 2) == "1.99"
    assert [filters.plain(D(text)) for text in ("0.10", "50", "0.000", "1E+3", "100.0")] == [
        "0.1",
        "50",
        "0",
        "1000",
        "100",
    ]
    assert [filters.decimals(D(text)) for text in ("1.500", "100", "0.00", "1E-9")] == [1, 0, 0, 9]


def judge(check: Callable[[], None], failure: tuple[int, str] | None) -> None:
    if failure is None:
        check()
        return
    with pytest.raises(ApiError) as refused:
        check()
    assert (refused.value.code, refused.value.msg) == failure
    assert refused.value.status == 400
