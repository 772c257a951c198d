"""Books whose snapshot comes by REST: when a snapshot that no delta joined may be believed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from engine.book.l2 import new_book, new_feed
from engine.book.sync import GRACE_MS, JOIN_MS, BookSync
from engine.model.market import BookSnapshot, BookState, DepthSchema, SequenceRule

MS = 1_000_000
SCHEMA = DepthSchema(
    rule=SequenceRule.RANGE, route_keys=("s",), containers=(), first_key="U", last_key="u", previous_key=None,
    bids_key="b", asks_key="a",
)  # fmt: skip


class Rig:
    """One book with a snapshot in it that waits for a delta."""

    def __init__(self) -> None:
        self.now = 1_000 * MS
        self.feed = new_feed(SCHEMA)
        self.book = new_book("A", 0, 0)
        self.feed.add("A", self.book)
        self.requests: list[int] = []
        self.sync = BookSync(
            self.book, self.feed, lambda _, delay_ms: self.requests.append(delay_ms), lambda _, cause: None
        )
        self.feed.on_attention = lambda _, code, raw: self.sync.on_attention(code, raw, self.now, 0)
        self.sync.begin("connected")
        self.requests.clear()
        rows: Any = np.array([[100, 1]], dtype=np.int64)
        asks: Any = np.array([[101, 1]], dtype=np.int64)
        self.sync.on_snapshot(BookSnapshot(500, rows, asks, None), self.sync.generation, self.now)
        assert self.book.state is BookState.JOINING

    def delta(self, last: int) -> None:
        self.feed.feed(json.dumps({"s": "A", "U": last, "u": last, "b": [], "a": []}).encode(), self.now)

    def tick(self, ms: int) -> None:
        self.now += ms * MS
        self.sync.tick(self.now)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_snapshot_that_nothing_contradicts_is_accepted(rig: Rig) -> None:
    rig.tick(GRACE_MS - 1)
    assert rig.book.state is BookState.JOINING
    rig.tick(1)
    assert rig.book.is_live
    assert rig.requests == []


def test_deltas_that_it_contains_begin_the_wait_anew(rig: Rig) -> None:
    rig.tick(GRACE_MS - 10)
    rig.delta(498)
    rig.tick(10)
    assert rig.book.state is BookState.JOINING
    rig.tick(GRACE_MS)
    assert rig.book.is_live


def test_a_snapshot_of_another_count_is_never_believed(rig: Rig) -> None:
    """After a reset of the ids, a cached snapshot of the old count seems to contain everything that comes."""
    for number in range(JOIN_MS // 1_000):
        rig.delta(3 + number)
        rig.tick(1_000)
        assert not rig.book.is_live
    assert rig.book.state is BookState.SYNCING
    assert rig.requests == [100]
