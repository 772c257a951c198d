"""Decimal text, scaled integers, Decimals: exact, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import ProtocolViolation
from engine.venues.binance.numbers import decimal, plain, scaled


@pytest.mark.parametrize(
    ("text", "scale", "value"),
    [
        ("0", 0, 0),
        ("0.00000000", 8, 0),
        ("61837.63000000", 8, 6_183_763_000_000),
        ("61837.63", 8, 6_183_763_000_000),
        ("61837.63000000", 2, 6_183_763),
        ("100", 3, 100_000),
        ("0.001", 3, 1),
        ("007.5", 1, 75),
        ("9223372036854775807", 0, 2**63 - 1),
        ("92233720368.54775807", 8, 2**63 - 1),
    ],
)
def test_text_becomes_the_exact_integer(text: str, scale: int, value: int) -> None:
    assert scaled(text, scale) == value


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "1.", ".5", "-1", "+1", " 1", "1 ", "1e3", "1E-7", "0x10", "1_000", "NaN", "Infinity", "1,5",
        "1.2.3", "٣", "１２", "1.٣", "½", "1\n", "--1", "1.-5", "9" * 61, "0." + "0" * 61,
    ],
)  # fmt: skip
def test_anything_but_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        scaled(text, 8)


@pytest.mark.parametrize(
    ("text", "scale"), [("0.001", 2), ("1.000000001", 8), ("9223372036854775808", 0), ("92233720369", 8)]
)
def test_a_value_that_does_not_fit_is_refused_and_not_rounded(text: str, scale: int) -> None:
    with pytest.raises(ProtocolViolation):
        scaled(text, scale)


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (0, 0, "0"),
        (0, 8, "0"),
        (1, 8, "0.00000001"),
        (100_000_000, 8, "1"),
        (123_450_000_000, 8, "1234.5"),
        (120, 0, "120"),
        (120, 1, "12"),
        (5, 1, "0.5"),
        (2**63 - 1, 8, "92233720368.54775807"),
    ],
)
def test_text_out_is_shortest_and_has_no_exponent(value: int, scale: int, text: str) -> None:
    assert plain(value, scale) == text


@given(st.integers(0, 2**63 - 1), st.integers(0, 18))
def test_text_round_trip_is_exact(value: int, scale: int) -> None:
    text = plain(value, scale)
    assert scaled(text, scale) == value
    assert Decimal(text) == Decimal(value).scaleb(-scale)
    assert text == "0" or not (text.startswith("0") and text[1] != ".")


@given(st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=8), st.integers(0, 12))
def test_scaled_agrees_with_decimal_arithmetic(value: Decimal, scale: int) -> None:
    exact = value.scaleb(scale)
    if exact == exact.to_integral_value() and exact <= 2**63 - 1:
        assert scaled(f"{value:f}", scale) == int(exact)
    else:
        with pytest.raises(ProtocolViolation):
            scaled(f"{value:f}", scale)


@pytest.mark.parametrize(("text", "value"), [("-0.012", "-0.012"), ("0", "0"), ("12.500", "12.500")])
def test_amounts_keep_sign_and_digits(text: str, value: str) -> None:
    assert decimal(text).as_tuple() == Decimal(value).as_tuple()


@pytest.mark.parametrize("text", ["", "-", "1e5", "NaN", "inf", " 1", "1.", ".1", "+1", "1" * 31, "٣"])
def test_amounts_that_are_no_decimals_are_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        decimal(text)
