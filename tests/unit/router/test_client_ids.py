"""Client order ids: short, plain, never repeated; a venue's tightest rule holds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import UsageError
from engine.router.client_ids import COUNTER_DIGITS, EPOCH_DIGITS, ClientIds, base36

INSTANCES = st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True)
EPOCHS = st.integers(0, 36**EPOCH_DIGITS - 1)


@given(INSTANCES, EPOCHS, INSTANCES, EPOCHS)
def test_shape_and_uniqueness_across_instances_and_boots(
    instance: str, epoch: int, other: str, later: int
) -> None:
    first, second = ClientIds(instance, epoch), ClientIds(other, later)
    mine, theirs = {first.next() for _ in range(50)}, {second.next() for _ in range(50)}
    assert len(mine) == 50
    for each in mine:
        assert re.fullmatch(r"[a-z0-9]{16,19}", each)
        assert first.is_ours(each)
    if (instance, epoch) == (other, later):
        return
    # Lengths tell instances of different lengths apart, the fixed fields all others.
    assert not mine & theirs
    if instance == other:
        assert all(first.is_ours(each) for each in theirs)


@given(EPOCHS, EPOCHS)
def test_later_boots_sort_later(one: int, other: int) -> None:
    texts = [ClientIds("x", epoch).next() for epoch in sorted((one, other))]
    assert texts == sorted(texts)


@given(st.integers(0, 36**6 - 1))
def test_base36_is_what_int_reads(value: int) -> None:
    assert int(base36(value, 6), 36) == value
    assert len(base36(value, 6)) == 6


@pytest.mark.parametrize("value", [-1, 36**6])
def test_what_does_not_fit_is_refused(value: int) -> None:
    with pytest.raises(UsageError, match="does not fit 6 base-36 digits"):
        base36(value, 6)


def test_ids_run_out_loudly() -> None:
    ids = ClientIds("x", 1)
    ids._count = 10**COUNTER_DIGITS - 2
    assert ids.next().endswith("9" * COUNTER_DIGITS)
    for _ in range(2):
        with pytest.raises(UsageError, match="used up"):
            ids.next()


@pytest.mark.parametrize("foreign", ["", "x", "web_123", "x-0000010000000012", "y000001000000001", "x" * 40])
def test_ids_of_others_are_not_ours(foreign: str) -> None:
    assert not ClientIds("x", 1).is_ours(foreign)
