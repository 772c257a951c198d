"""``impact`` as it is asked: an amount that buys nothing is not called filled."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from engine import config as configuration
from engine.model.errors import UsageError
from engine.supervisor.markets import Markets
from tests.property.test_consolidated import build

ROOT = Path(__file__).resolve().parents[3]


def markets() -> Markets:
    made = Markets(configuration.load(ROOT / "engine.toml"))
    levels = [([(1, 5)], [(1, 5)]), ([], []), ([], [])]
    made.books["BTC/USDT"] = build(levels, [0, 0, 0], [True] * 3, [Decimal(0)] * 3)
    return made


@pytest.mark.parametrize("unit", ["base", "quote"])
def test_less_than_a_lot_is_refused(unit: str) -> None:
    with pytest.raises(UsageError, match=r"^0\.00000000001 is less than one lot of "):
        markets().impact({"symbol": "BTC/USDT", "side": "buy", unit: "0.00000000001"})


def test_a_lot_is_filled() -> None:
    answer = markets().impact({"symbol": "BTC/USDT", "side": "buy", "base": "0.005"})
    assert answer["outcome"] == "filled"
    assert Decimal(answer["base_qty"]) > 0


@pytest.mark.parametrize("text", ["1_000", "１", "NaN", "-inf", "ten", ""])
def test_what_is_no_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=r"^base: "):
        markets().impact({"symbol": "BTC/USDT", "side": "buy", "base": text})
