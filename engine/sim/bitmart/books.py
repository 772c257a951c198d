"""Order books as BitMart publishes them: versioned deltas over a window of levels, and whole windows.

A delta stream knows the window that it last showed and, from what its market's batches say, what is different
now. ``version`` counts the stream's own pushes; which published book a version stands for is noted on the
market, so that the admin address can show the truth at a version.

Source: BitMart spot docs, "Depth-Increase Channel"; futures v2 docs, "Depth" and "Depth-Increase Channel",
mirrored copy of 2025-11; 10,462 futures updates probed on 2026-09-23.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable
from typing import Protocol

from engine.sim.bitmart.frames import damaged
from engine.sim.bitmart.instruments import Instrument
from engine.sim.faultpoints import FaultPoints
from engine.sim.market import BookSide
from engine.sim.model import Batch

SPOT_DEPTH = 100
QUIET_MS = 1_000
"""Pause after which a quiet spot book says so; its length is our choice."""
VERSIONS_APART = 100_000_000
_EVERYTHING = -(1 << 62)

Rows = list[tuple[int, int]]


def spot_rows(one: Instrument, rows: Iterable[tuple[int, int]]) -> str:
    """Return levels as the inside of an array of pairs."""
    price, size = one.price.text, one.size_text
    return ",".join([f'["{price(ticks)}","{size(lots)}"]' for ticks, lots in rows])


def futures_rows(one: Instrument, rows: Iterable[tuple[int, int]]) -> str:
    """Return levels as the inside of an array of objects; ``vol`` is contracts."""
    price, size = one.price.text, one.size_text
    return ",".join([f'{{"price":"{price(ticks)}","vol":"{size(lots)}"}}' for ticks, lots in rows])


class Window:
    """The best levels of one side as the stream has shown them.

    Args:
        announces_exits: a level pushed out of the window by better ones is announced as gone (futures) or
            not at all (spot, where the client trims).
    """

    __slots__ = ("_announces_exits", "_depth", "_edge", "_side", "changed", "shown")

    def __init__(self, side: BookSide, depth: int, announces_exits: bool) -> None:
        self._side = side
        self._depth = depth
        self._announces_exits = announces_exits
        self._edge = _EVERYTHING
        self.changed: dict[int, int] = {}
        self.shown: dict[int, int] = {}

    def _edge_now(self) -> int:
        keys = self._side.keys
        return keys[-self._depth] if len(keys) > self._depth else _EVERYTHING

    def begin(self) -> None:
        """Show the book as it is."""
        self.changed = {}
        self.shown = dict(itertools.islice(self._side.best_first(), self._depth))
        self._edge = self._edge_now()

    def advance(self) -> Rows:
        """Move on to the book as it is, which must be the published one; return what to say, best first."""
        sign, keys, shown = self._side.sign, self._side.keys, self.shown
        before, now = self._edge, self._edge_now()
        changed, self.changed = self.changed, {}
        self._edge = now
        rows: Rows = []
        for price, lots in changed.items():
            if lots and sign * price >= now:
                if shown.get(price) != lots:
                    shown[price] = lots
                    rows.append((price, lots))
            elif shown.pop(price, None) is not None and (not lots or self._announces_exits):
                rows.append((price, 0))
        if now > before:
            for key in keys[bisect.bisect_left(keys, before) : bisect.bisect_left(keys, now)]:
                if shown.pop(sign * key, None) is not None and self._announces_exits:
                    rows.append((sign * key, 0))
        elif now < before:
            for key in keys[bisect.bisect_left(keys, now) : bisect.bisect_left(keys, before)]:
                price = sign * key
                if price not in shown:
                    shown[price] = self._side.levels[price].total
                    rows.append((price, shown[price]))
        if len(rows) > 1:
            rows.sort(key=lambda row: -sign * row[0])
        return rows

    def rows(self) -> Rows:
        """Return the levels shown, best first."""
        sign = self._side.sign
        return sorted(self.shown.items(), key=lambda row: -sign * row[0])


class Stream(Protocol):
    """One depth topic of one instrument.

    Attributes:
        sent_ms: when it last said something. pace_ms: least time between two pushes.
    """

    one: Instrument
    topic: str
    sent_ms: int
    pace_ms: int

    def begin(self) -> None:
        """Start for the first listener, on the book as published."""
        ...

    def first(self, now_ms: int) -> list[bytes]:
        """Return what a new listener hears first."""
        ...

    def advance(self, now_ms: int) -> list[bytes]:
        """Return what changed since the last push."""
        ...


class DeltaStream:
    """``spot/depth/increase100:SYM`` or ``futures/depthIncrease*:SYM``.

    Attributes:
        version: of the latest push. is_repeat: that push only said that a spot book is quiet.
        held: a frame that is to come after its successor; has_lost: one was dropped (faults).
    """

    def __init__(self, one: Instrument, topic: str, depth: int, pace_ms: int, number: int) -> None:
        self.one = one
        self.topic = topic
        self.pace_ms = pace_ms
        self.sent_ms = 0
        self.version = (number + 1) * VERSIONS_APART + 1
        self.is_repeat = False
        self.held: bytes | None = None
        self.has_lost = False
        market = one.market
        self._bids = Window(market.bids, depth, one.is_futures)
        self._asks = Window(market.asks, depth, one.is_futures)

    def note(self, batch: Batch) -> None:
        """Note what a batch has changed."""
        self._bids.changed.update(batch.bids)
        self._asks.changed.update(batch.asks)

    def begin(self) -> None:
        """Start for the first listener, on the book as published."""
        self._bids.begin()
        self._asks.begin()
        self._step()

    def restart(self, now_ms: int) -> bytes:
        """Begin again at version 1, as after a restart of the venue's service."""
        self.version = 0
        self.begin()
        return self.snapshot(now_ms)

    def _step(self) -> None:
        self.version += 1
        self.one.market.note_number(self.version)

    def first(self, now_ms: int) -> list[bytes]:
        """Return the window whole."""
        return [self.snapshot(now_ms)]

    def snapshot(self, now_ms: int) -> bytes:
        """Return the window whole, with the version of the latest push."""
        return self._message("snapshot", self.version, self._bids.rows(), self._asks.rows(), now_ms)

    def stale_snapshot(self, now_ms: int) -> bytes:
        """Return the window as the version before last had it (a fault)."""
        version = self.version - 2
        reference = self.one.market.published_at(version)
        if reference is None:
            return self.snapshot(now_ms)
        depth = max(len(self._bids.shown), 1)
        bids = sorted(reference.bids.items(), reverse=True)[:depth]
        return self._message("snapshot", version, bids, sorted(reference.asks.items())[:depth], now_ms)

    def advance(self, now_ms: int) -> list[bytes]:
        """Return what changed.

        An update without rows says that the book is quiet: on futures it counts like any other, on spot it
        repeats the version. A book without a level is silent.
        """
        bids, asks = self._bids.advance(), self._asks.advance()
        if not bids and not asks:
            if not self._bids.shown and not self._asks.shown:
                return []
            if now_ms - self.sent_ms < max(self.pace_ms, 0 if self._is_paced_futures else QUIET_MS):
                return []
        self.is_repeat = not (bids or asks or self.one.is_futures)
        if not self.is_repeat:
            self._step()
        return [self._message("update", self.version, bids, asks, now_ms)]

    @property
    def _is_paced_futures(self) -> bool:
        return self.one.is_futures and self.pace_ms > 0

    def disguised(self, now_ms: int) -> bytes:
        """Return five levels of the whole book that call themselves an update of a version passed already."""
        return self._message("update", self.version - 1, self._bids.rows()[:5], self._asks.rows()[:5], now_ms)

    def _message(self, kind: str, version: int, bids: Rows, asks: Rows, now_ms: int) -> bytes:
        self.sent_ms = now_ms
        one = self.one
        if one.is_futures:
            text = (
                f'{{"data":{{"symbol":"{one.symbol}","asks":[{futures_rows(one, asks)}],'
                f'"bids":[{futures_rows(one, bids)}],"ms_t":{now_ms},"version":{version},"type":"{kind}"}},'
                f'"group":"{self.topic}"}}'
            )
        else:
            text = (
                f'{{"data":[{{"asks":[{spot_rows(one, asks)}],"bids":[{spot_rows(one, bids)}],'
                f'"ms_t":{now_ms},"symbol":"{one.symbol}","type":"{kind}","version":{version}}}],'
                f'"table":"spot/depth/increase100"}}'
            )
        return text.encode()


class WholeStream:
    """A topic that pushes its whole window again and again.

    Args:
        form: ``spot`` (both sides), ``side`` (futures, one side per frame) or ``all`` (futures, both).
    """

    def __init__(self, one: Instrument, topic: str, depth: int, pace_ms: int, form: str) -> None:
        self.one = one
        self.topic = topic
        self.pace_ms = pace_ms
        self.sent_ms = 0
        self._depth = depth
        self._form = form
        self._sides: tuple[Rows, Rows] = ([], [])

    def begin(self) -> None:
        """Start for the first listener."""
        self._sides = self._now()

    def _now(self) -> tuple[Rows, Rows]:
        market = self.one.market
        bids, asks = (list(itertools.islice(s.best_first(), self._depth)) for s in (market.bids, market.asks))
        return bids, asks

    def first(self, now_ms: int) -> list[bytes]:
        """Return both sides."""
        return self._messages(self._sides, ([], []), now_ms)

    def advance(self, now_ms: int) -> list[bytes]:
        """Return the sides that changed, whole."""
        before, self._sides = self._sides, self._now()
        return self._messages(self._sides, before, now_ms) if self._sides != before else []

    def _messages(self, sides: tuple[Rows, Rows], before: tuple[Rows, Rows], now_ms: int) -> list[bytes]:
        self.sent_ms = now_ms
        one, (bids, asks) = self.one, sides
        if self._form == "spot":
            table = self.topic.partition(":")[0]
            return [
                f'{{"table":"{table}","data":[{{"asks":[{spot_rows(one, asks)}],'
                f'"bids":[{spot_rows(one, bids)}],"symbol":"{one.symbol}","ms_t":{now_ms}}}]}}'.encode()
            ]
        if self._form == "all":
            return [
                f'{{"group":"{self.topic}","data":{{"symbol":"{one.symbol}",'
                f'"asks":[{futures_rows(one, asks)}],"bids":[{futures_rows(one, bids)}],'
                f'"ms_t":{now_ms}}}}}'.encode()
            ]
        return [
            f'{{"group":"{self.topic}","data":{{"symbol":"{one.symbol}","way":{way},'
            f'"depths":[{futures_rows(one, side)}],"ms_t":{now_ms}}}}}'.encode()
            for way, side, old in ((1, bids, before[0]), (2, asks, before[1]))
            if side != old
        ]


def spoiled(
    faults: FaultPoints, stream: DeltaStream, payload: bytes, pack: Callable[[bytes], bytes], now_ms: int
) -> list[bytes]:
    """Return the frames to send in place of one healthy push, as the armed faults want it.

    A quiet book's repetition of the version would hide that a push is missing: it waits for the next change.
    """
    take, symbol, frame = faults.take, stream.one.symbol, pack(payload)
    if stream.is_repeat:
        return [] if stream.has_lost or stream.held is not None else [frame]
    if take("drop_depth", symbol) is not None:
        stream.has_lost = True
        return []
    stream.has_lost = False
    if stream.held is None and take("reorder_depth", symbol) is not None:
        stream.held = frame
        return []
    frames: list[bytes] = []
    garbage = take("garbage_frame", symbol)
    if garbage is not None:
        kind = str(garbage.get("kind", "truncated"))
        frames.append(damaged(kind, payload, not stream.one.is_futures))
        if garbage.get("instead", False):
            return frames
    if take("partial_depth_as_diff", symbol) is not None:
        frames.append(pack(stream.disguised(now_ms)))
    frames.append(frame)
    if take("duplicate_depth", symbol) is not None:
        frames.append(frame)
    if take("unknown_event", symbol) is not None:
        odd = b'{"group":"futures/news","data":{"zz":[1,null]}}'
        if not stream.one.is_futures:
            odd = b'{"table":"spot/news","data":[{"zz":[1,null]}]}'
        frames.append(pack(odd))
    if stream.held is not None:
        frames.append(stream.held)
        stream.held = None
    return frames
