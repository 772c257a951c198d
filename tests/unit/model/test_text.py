"""Decimal text: the compiled functions, their twins, and Decimal itself agree."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import text as module
from engine.model.text import pure_plain, pure_scale_text

SCALERS = {"pure": pure_scale_text, "used": module.scale_text}
PLAINS = {"pure": pure_plain, "used": module.plain}
NUMBERS = st.one_of(
    st.from_regex(r"[0-9]{0,20}\.?[0-9]{0,20}", fullmatch=True),
    st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,12})?", fullmatch=True),
    st.text(max_size=70),
    st.text(alphabet="0123456789.-+e ", max_size=70),
)


@given(NUMBERS, st.integers(-2, 22))
def test_both_read_alike_and_rightly(text: str, scale: int) -> None:
    found = {name: scaler(text, scale) for name, scaler in SCALERS.items()}
    assert len(set(found.values())) == 1, found
    value = found["pure"]
    if value >= 0:
        assert Decimal(text) == Decimal(value).scaleb(-scale)
        assert value < 10**18


@given(st.integers(0, 2**63 - 1), st.integers(0, 27))
def test_both_write_alike_and_rightly(value: int, scale: int) -> None:
    texts = {plain(value, scale) for plain in PLAINS.values()}
    assert len(texts) == 1, texts
    (text,) = texts
    number = Decimal(text)
    assert number == Decimal(value) / Decimal(10) ** scale or number == Decimal(value).scaleb(-scale)
    assert "e" not in text.lower()
    assert not ("." in text and text.endswith("0"))
    assert not text.startswith(".")


@given(st.integers(0, 10**18 - 1), st.integers(0, 18))
def test_there_and_back(value: int, scale: int) -> None:
    for scaler in SCALERS.values():
        for plain in PLAINS.values():
            assert scaler(plain(value, scale), scale) == value


@pytest.mark.parametrize("plain", PLAINS.values(), ids=PLAINS)
def test_what_has_no_plain_text(plain: object) -> None:
    for value, scale in ((-1, 2), (1, -1), (1, 28)):
        with pytest.raises(ValueError, match="no plain text"):
            plain(value, scale)  # type: ignore[operator]


@pytest.mark.parametrize("scaler", [module.PureScaler, module.Scaler])
def test_the_unusual_is_asked_about(scaler: type[module.PureScaler]) -> None:
    asked = []

    def unusual(text: str, scale: int) -> int:
        asked.append((text, scale))
        raise ValueError(text)

    scaled = scaler(unusual).scale
    assert scaled("1.50", 2) == 150
    with pytest.raises(ValueError, match=r"1\.505"):
        scaled("1.505", 2)
    assert asked == [("1.505", 2)]
