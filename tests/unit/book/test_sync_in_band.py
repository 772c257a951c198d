"""Books whose snapshot comes on the stream: what is subscribed anew, when, and what is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.book.l2 import new_book, new_feed
from engine.book.sync import CROSSED_MS, IN_BAND_WAIT_MS, RETRY_FIRST_MS, RETRY_MAX_MS, STEADY_MS, BookSync
from engine.model.errors import BookNotLive
from engine.model.market import BookState, DepthSchema, SequenceRule

MS = 1_000_000
SCHEMA = DepthSchema(
    rule=SequenceRule.CHAIN,
    route_keys=("s",),
    containers=(),
    first_key=None,
    last_key="u",
    previous_key="p",
    bids_key="b",
    asks_key="a",
    kind_key="t",
)


class Rig:
    """Two books on one connection; requests and changes are kept in lists."""

    def __init__(self) -> None:
        self.feed = new_feed(SCHEMA)
        self.feed.on_attention = self._attend
        self.requests: list[tuple[str, int]] = []
        self.changes: list[tuple[str, str]] = []
        self.now = 1_000 * MS
        self.syncs: dict[str, BookSync] = {}
        for name in ("A", "B"):
            book = new_book(name, 2, 2)
            self.feed.add(name, book)
            self.syncs[name] = BookSync(
                book,
                self.feed,
                lambda sync, delay_ms: self.requests.append((sync.book.name, delay_ms)),
                lambda sync, cause: self.changes.append((sync.book.name, cause)),
                is_in_band=True,
            )

    def _attend(self, book: Any, code: int, payload: bytes) -> None:
        self.syncs[book.name].on_attention(code, payload, self.now, 0)

    def send(self, name: str, kind: str, previous: int, last: int, ask: str = "101") -> None:
        frame = {"s": name, "t": kind, "p": previous, "u": last, "b": [["100", "1"]], "a": [[ask, "2"]]}
        self.feed.feed(json.dumps(frame).encode(), self.now)

    def tick(self, ms: int = 0) -> None:
        self.now += ms * MS
        for sync in self.syncs.values():
            sync.tick(self.now)

    def begin(self) -> None:
        for sync in self.syncs.values():
            sync.begin("connected")

    def live(self) -> Rig:
        self.begin()
        for name in self.syncs:
            self.send(name, "snapshot", -1, 10)
        self.tick()
        assert self.changes == [("A", ""), ("B", "")]
        self.changes.clear()
        return self


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_subscription_is_its_own_request(rig: Rig) -> None:
    rig.begin()
    rig.send("A", "update", 9, 10)
    assert rig.syncs["A"].book.state is BookState.SYNCING
    assert rig.syncs["A"].buffered == 0
    rig.send("A", "snapshot", -1, 10)
    rig.tick()
    assert rig.changes == [("A", "")]
    assert rig.requests == []


@pytest.mark.fault("W16")
def test_a_snapshot_before_the_acknowledgement_is_kept(rig: Rig) -> None:
    rig.send("A", "snapshot", -1, 10)
    rig.send("A", "update", 10, 12)
    rig.begin()
    assert rig.syncs["A"].book.is_live
    assert rig.syncs["A"].book.sequence == 12
    rig.tick()
    assert rig.changes == [("A", "")]


def test_a_book_that_fell_before_the_acknowledgement_is_subscribed_anew(rig: Rig) -> None:
    rig.send("A", "snapshot", -1, 10)
    rig.send("A", "update", 11, 12)
    rig.begin()
    assert rig.requests == [("A", 0)]


def test_a_gap_subscribes_that_topic_alone_anew(rig: Rig) -> None:
    rig.live()
    rig.tick(STEADY_MS)
    rig.send("A", "update", 11, 12)
    assert rig.requests == [("A", 0)]
    assert rig.changes == [("A", "sequence gap")]
    assert rig.syncs["A"].gaps == 1
    assert rig.syncs["B"].book.is_live
    rig.send("A", "update", 12, 13)  # of the old subscription
    assert rig.syncs["A"].book.state is BookState.SYNCING
    rig.syncs["A"].on_resubscribed(rig.syncs["A"].generation, rig.now)
    rig.send("A", "snapshot", -1, 20)
    rig.tick()
    assert rig.changes[-1] == ("A", "")
    assert rig.requests == [("A", 0)]


@pytest.mark.fault("P08")
def test_an_unasked_snapshot_makes_the_request_obsolete(rig: Rig) -> None:
    rig.live()
    rig.send("A", "update", 11, 12)
    generation = rig.syncs["A"].generation
    rig.send("A", "snapshot", -1, 30)
    rig.tick()
    assert rig.syncs["A"].generation != generation
    assert rig.syncs["A"].book.is_live


def test_a_book_that_falls_again_and_again_waits_longer_each_time(rig: Rig) -> None:
    rig.live()
    for last in range(20, 32):
        rig.send("A", "update", last, last + 1)
        rig.syncs["A"].on_resubscribed(rig.syncs["A"].generation, rig.now)
        rig.send("A", "snapshot", -1, last)
        rig.tick(10)
    delays = [delay for name, delay in rig.requests if name == "A"]
    assert delays[:3] == [RETRY_FIRST_MS, 2 * RETRY_FIRST_MS, 4 * RETRY_FIRST_MS]
    assert delays == sorted(delays)
    assert delays[-1] == RETRY_MAX_MS
    rig.tick(STEADY_MS)
    rig.tick(STEADY_MS)
    rig.send("A", "update", 99, 100)
    assert rig.requests[-1] == ("A", 0)


def test_a_snapshot_that_crosses_at_once_is_not_asked_for_in_a_tight_loop(rig: Rig) -> None:
    rig.live()
    rig.tick(STEADY_MS)
    for _ in range(3):
        rig.send("A", "snapshot", -1, 40, ask="100")  # falls before any tick saw it LIVE
        rig.syncs["A"].on_resubscribed(rig.syncs["A"].generation, rig.now)
    assert [delay for _, delay in rig.requests] == [0, RETRY_FIRST_MS, 2 * RETRY_FIRST_MS]
    assert rig.syncs["A"].crossed == 3


@pytest.mark.fault("P07")
def test_a_snapshot_that_does_not_come_is_subscribed_for_anew(rig: Rig) -> None:
    rig.begin()
    rig.send("B", "snapshot", -1, 10)
    rig.tick()
    rig.tick(IN_BAND_WAIT_MS - 1)
    assert rig.requests == []
    rig.tick(1)
    assert rig.requests == [("A", RETRY_FIRST_MS)]
    rig.tick(10 * IN_BAND_WAIT_MS)
    assert len(rig.requests) == 1  # one is out already
    assert rig.syncs["A"].on_snapshot_failed(rig.syncs["A"].generation) == 2 * RETRY_FIRST_MS
    assert len(rig.requests) == 2
    rig.syncs["A"].on_resubscribed(rig.syncs["A"].generation, rig.now)
    rig.tick(IN_BAND_WAIT_MS)
    assert len(rig.requests) == 3


def test_a_lost_connection_asks_for_nothing(rig: Rig) -> None:
    rig.live()
    for sync in rig.syncs.values():
        sync.lost("connection lost")
    rig.tick(10 * IN_BAND_WAIT_MS)
    assert rig.requests == []
    assert not rig.syncs["A"].book.is_live
    rig.changes.clear()
    rig.live()


def test_distrust_subscribes_anew(rig: Rig) -> None:
    rig.live()
    rig.syncs["B"].distrust("connection silent")
    assert rig.requests == [("B", 0)]
    assert rig.changes == [("B", "connection silent")]
    assert rig.syncs["B"].book.state is BookState.SYNCING


@pytest.mark.fault("P13")
def test_a_book_that_crosses_for_a_moment_is_not_asked_for(rig: Rig) -> None:
    rig.live()
    sync = rig.syncs["A"]
    rig.send("A", "update", 10, 11, ask="50")
    assert sync.book.state is BookState.CROSSED
    with pytest.raises(BookNotLive, match="crossed"):
        sync.book.touch()
    rig.tick(CROSSED_MS - 1)
    ask = {"s": "A", "t": "update", "p": 11, "u": 12, "b": [], "a": [["50", "0"]]}
    rig.feed.feed(json.dumps(ask).encode(), rig.now)
    assert sync.book.is_live
    rig.tick(10 * CROSSED_MS)
    assert rig.requests == []
    assert sync.crossed == 1


@pytest.mark.fault("P13")
def test_a_book_that_stays_crossed_is_subscribed_anew(rig: Rig) -> None:
    rig.live()
    rig.send("A", "update", 10, 11, ask="50")
    rig.tick(CROSSED_MS // 2)
    rig.send("A", "update", 11, 12, ask="51")
    rig.tick(CROSSED_MS // 2)
    assert rig.requests == [("A", RETRY_FIRST_MS)]
    assert rig.changes == [("A", "crossed")]
    assert rig.syncs["A"].crossed == 2
    assert rig.syncs["A"].book.state is BookState.SYNCING
