"""Both implementations of request templates against the words they are made of, and each other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.forms import Form, Gap, PureForm

BOTH = pytest.mark.parametrize("kind", [PureForm, Form])
PIECES = (b"t=", Gap.STAMP, b"&id=", Gap.CLIENT_ID, b"&q=", Gap.QTY, b"&p=", Gap.PRICE, b"&end")
INT64 = st.integers(0, 2**63 - 1)


@BOTH
def test_gaps_are_filled_with_the_shortest_exact_text(kind: type[PureForm]) -> None:
    form = kind(PIECES, 5, 2)
    assert form.fill("te1-1", 1_250, 5_000_010, 1_795_478_400_000) == (
        b"t=1795478400000&id=te1-1&q=0.0125&p=50000.1&end"
    )
    assert form.fill("a", 0, 100, 0) == b"t=0&id=a&q=0&p=1&end"


@BOTH
def test_no_gap_or_nothing_but_gaps(kind: type[PureForm]) -> None:
    assert kind([b"as", b" it is"], 0, 0).fill("x", 1, 2, 3) == b"as it is"
    assert kind([Gap.QTY, Gap.PRICE, Gap.QTY], 1, 0).fill("x", 15, 2, 3) == b"1.521.5"
    assert kind([], 0, 0).fill("x", 1, 2, 3) == b""


@given(
    client_id=st.text(alphabet="abcXYZ019_-.", max_size=128),
    qty=INT64,
    price=INT64,
    stamp=INT64,
    scales=st.tuples(st.integers(0, 27), st.integers(0, 27)),
    pieces=st.lists(st.one_of(st.binary(max_size=50), st.sampled_from(Gap)), max_size=8),
)
def test_both_write_the_same(
    client_id: str, qty: int, price: int, stamp: int, scales: tuple[int, int], pieces: Sequence[bytes | Gap]
) -> None:
    told = [kind(pieces, *scales).fill(client_id, qty, price, stamp) for kind in (PureForm, Form)]
    assert told[0] == told[1]


@BOTH
@pytest.mark.parametrize(
    "wrong", [("né", 1, 1, 1), ("x" * 129, 1, 1, 1), ("x", -1, 1, 1), ("x", 1, -1, 1), ("x", 1, 1, -1)]
)
def test_what_no_order_has_is_refused(kind: type[PureForm], wrong: tuple[str, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no "):
        kind(PIECES, 5, 2).fill(*wrong)


@BOTH
def test_impossible_forms_are_refused(kind: type[PureForm]) -> None:
    for pieces, scale in ((PIECES, 28), (PIECES, -1), ([Gap.QTY] * 9, 2)):
        with pytest.raises(ValueError, match="form"):
            kind(pieces, scale, 2)
