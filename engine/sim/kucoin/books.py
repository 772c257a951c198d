"""Order books as KuCoin publishes them; every stream of a market bears the market's own sequence numbers.

* ``obu`` ``increment@10ms``: one snapshot of at most 500 levels a side, then what changed inside that
  window, with ``"0"`` for levels pushed out of it; ``O`` is the number after the previous ``C``.
* ``obu`` ``increment``: each batch as it happens, over the whole book, without a snapshot.
* ``/market/level2``: three-field changes, mostly one number a frame, price 0 where nothing visible changed,
  and now and then several numbers in one frame, not in order.
* ``/contractMarket/level2``: one level and one number a frame.

Source: KuCoin API docs, unified "Order book", spot "Market Level2", futures "Level2"; frames recorded in
2021-04 (spot) and on 2026-09-22 (unified, futures). UNCONFIRMED: how today's spot stream bundles numbers.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Callable, Iterable

from engine.sim.faultpoints import FaultPoints
from engine.sim.kucoin.instruments import Instrument, Steps
from engine.sim.market import BookSide
from engine.sim.model import Batch

WINDOW_LEVELS = 500
BUNDLE_EVERY = 8
_NOISE = bytes(range(256))
_FLOOR = -(1 << 62)
Levels = Iterable[tuple[int, int]]


def pairs(price: Steps, size: Steps, levels: Levels) -> str:
    """Return the inside of a JSON array of ``["price","size"]`` pairs."""
    price_text, size_text = price.text, size.text
    return ",".join([f'["{price_text(ticks)}","{size_text(lots)}"]' for ticks, lots in levels])


def obu(one: Instrument, depth: str, kind: str, opened: int, closed: int, now_ns: int, bids: Levels,
        asks: Levels) -> str:  # fmt: skip
    """Return an ``obu`` message, spaced and ordered as recorded."""
    sides = f'"a":[{pairs(one.price, one.size, asks)}],"b":[{pairs(one.price, one.size, bids)}]'
    named = f'"s":"{one.symbol}","C":{closed}' if kind == "snapshot" else f'"C":{closed},"s":"{one.symbol}"'
    return (
        f'{{"T":"obu.{one.trade_type}", "dp":"{depth}", "t":"{kind}", "P":{now_ns + 410_662}, '
        f'"d":{{{sides},{named},"M":{now_ns},"O":{opened}}}}}'
    )


def best(side: BookSide, count: int) -> list[tuple[int, int]]:
    """Return the best levels of a side."""
    return list(itertools.islice(side.best_first(), count))


class Window:
    """The top of one book as ``increment@10ms`` shows it.

    Must be moved while the exchange's book is exactly what its last batch published.

    Attributes:
        last: ``C`` of the latest message.
    """

    depth = "increment@10ms"

    def __init__(self, one: Instrument) -> None:
        self.one = one
        self.last = 0
        self.is_shown = False
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._bid_edge = self._ask_edge = _FLOOR
        self._dirty_bids: set[int] = set()
        self._dirty_asks: set[int] = set()

    def note(self, batch: Batch) -> None:
        """Remember which levels changed."""
        self._dirty_bids.update(batch.bids)
        self._dirty_asks.update(batch.asks)

    def show(self) -> None:
        """Begin to follow the book."""
        market = self.one.market
        self._bids, self._asks = (
            dict(best(market.bids, WINDOW_LEVELS)),
            dict(best(market.asks, WINDOW_LEVELS)),
        )
        self._bid_edge, self._ask_edge = _edge(market.bids), _edge(market.asks)
        self._dirty_bids.clear()
        self._dirty_asks.clear()
        self.last = market.published_id
        self.is_shown = True

    def snapshot(self, now_ns: int) -> str:
        """Return what is shown, whole."""
        market = self.one.market
        bids, asks = best(market.bids, WINDOW_LEVELS), best(market.asks, WINDOW_LEVELS)
        return obu(self.one, self.depth, "snapshot", self.last, self.last, now_ns, bids, asks)

    def advance(self, now_ns: int) -> str | None:
        """Move on to the book as it is; return the message, None when nothing visible changed."""
        market = self.one.market
        if not self._dirty_bids and not self._dirty_asks:
            return None
        bids = _changes(market.bids, self._bids, self._dirty_bids, self._bid_edge)
        asks = _changes(market.asks, self._asks, self._dirty_asks, self._ask_edge)
        self._bid_edge, self._ask_edge = _edge(market.bids), _edge(market.asks)
        self._dirty_bids.clear()
        self._dirty_asks.clear()
        if not bids and not asks:
            return None
        opened, self.last = self.last + 1, market.published_id
        bid_rows = sorted(bids.items(), reverse=True)
        return obu(self.one, self.depth, "delta", opened, self.last, now_ns, bid_rows, sorted(asks.items()))

    def disguised(self, now_ns: int) -> str:
        """Return five levels of the book that call themselves a delta (a fault)."""
        market = self.one.market
        bids, asks = best(market.bids, 5), best(market.asks, 5)
        return obu(self.one, self.depth, "delta", self.last, self.last, now_ns, bids, asks)


def _edge(side: BookSide) -> int:
    return side.keys[-WINDOW_LEVELS] if len(side.keys) >= WINDOW_LEVELS else _FLOOR


def _changes(side: BookSide, shown: dict[int, int], dirty: set[int], edge: int) -> dict[int, int]:
    """Return what changed inside the window since ``edge`` was its far end, and update ``shown``."""
    keys, levels, sign = side.keys, side.levels, side.sign
    new_edge = _edge(side)
    changes: dict[int, int] = {}
    for price in dirty:
        level = levels.get(price)
        lots = level.total if level is not None and sign * price >= new_edge else 0
        if shown.get(price, 0) != lots:
            changes[price] = lots
    if new_edge != edge:
        low, high = (
            bisect.bisect_left(keys, min(edge, new_edge)),
            bisect.bisect_left(keys, max(edge, new_edge)),
        )
        for key in keys[low:high]:
            price = sign * key
            lots = levels[price].total if new_edge < edge else 0
            if shown.get(price, 0) != lots:
                changes[price] = lots
    for price, lots in changes.items():
        if lots:
            shown[price] = lots
        else:
            shown.pop(price, None)
    return changes


def _spread(batch: Batch, told: int) -> list[tuple[int, bool, int, int] | None]:
    """Return (number, is bid, ticks, lots) for each number since ``told``, None where nothing is visible.

    Levels that go come first: then no book is crossed between two frames, as none is on the venue.
    """
    count = batch.last_id - told
    rows = [(True, ticks, lots) for ticks, lots in batch.bids.items()]
    rows += [(False, ticks, lots) for ticks, lots in batch.asks.items()]
    rows.sort(key=lambda row: row[2] > 0)
    entries: list[tuple[int, bool, int, int] | None] = [None] * count
    for place, (is_bid, ticks, lots) in enumerate(rows):
        at = place * count // len(rows)
        entries[at] = (told + 1 + at, is_bid, ticks, lots)
    return entries


def spot_frames(one: Instrument, batch: Batch, told: int, now_ms: int, is_bundle: bool) -> list[str]:
    """Return a batch as ``/market/level2`` messages; numbers start after ``told``."""
    price, size = one.price.text, one.size.text
    entries = _spread(batch, told)
    tail = f'"symbol":"{one.symbol}","time":{now_ms}}}}}'
    head = (
        f'{{"topic":"/market/level2:{one.symbol}","type":"message","subject":"trade.l2update",'
        f'"data":{{"changes":{{"asks":['
    )
    if is_bundle:
        sides: tuple[list[str], list[str]] = ([], [])
        for entry in reversed(entries):
            if entry is not None:
                number, is_bid, ticks, lots = entry
                sides[is_bid].append(f'["{price(ticks)}","{size(lots)}","{number}"]')
        asks, bids = ",".join(sides[0]), ",".join(sides[1])
        return [
            f'{head}{asks}],"bids":[{bids}]}},"sequenceStart":{told + 1},"sequenceEnd":{batch.last_id},{tail}'
        ]
    frames = []
    for at, entry in enumerate(entries, told + 1):
        ask, bid = f'["0","0","{at}"]', ""
        if entry is not None:
            _, is_bid, ticks, lots = entry
            row = f'["{price(ticks)}","{size(lots)}","{at}"]'
            ask, bid = ("", row) if is_bid else (row, "")
        frames.append(f'{head}{ask}],"bids":[{bid}]}},"sequenceStart":{at},"sequenceEnd":{at},{tail}')
    return frames


def futures_frames(one: Instrument, batch: Batch, told: int, now_ms: int) -> list[str]:
    """Return a batch as ``/contractMarket/level2`` messages.

    Every number has a frame: a level that changed more than once in the batch is told again, with its final
    size.
    """
    price, size = one.price.text, one.size.text
    frames = []
    latest: tuple[bool, int, int] | None = None
    for at, entry in enumerate(_spread(batch, told), told + 1):
        if entry is not None:
            latest = entry[1:]
        if latest is None:
            continue
        is_bid, ticks, lots = latest
        change = f"{price(ticks)},{'buy' if is_bid else 'sell'},{size(lots)}"
        frames.append(
            f'{{"topic":"/contractMarket/level2:{one.symbol}","type":"message","subject":"level2","sn":{at},'
            f'"data":{{"sequence":{at},"change":"{change}","timestamp":{now_ms}}}}}'
        )
    return frames


class Spoiler:
    """Damages depth messages as the armed faults want it.

    Attributes:
        held: by stream, a frame that is to come after its successor.
    """

    def __init__(self, faults: FaultPoints) -> None:
        self._faults = faults
        self.held: dict[object, bytes] = {}

    @property
    def is_due(self) -> bool:
        """Tell whether messages have to pass through here."""
        return self._faults.armed or bool(self.held)

    def frames(
        self, stream: object, symbol: str, payload: bytes, framed: Callable[[bytes], bytes],
        disguised: Callable[[], str] | None = None,
    ) -> list[bytes]:  # fmt: skip
        """Return the frames to send in place of one healthy message."""
        take, frame = self._faults.take, framed(payload)
        if take("drop_depth", symbol) is not None:
            return []
        if stream not in self.held and take("reorder_depth", symbol) is not None:
            self.held[stream] = frame
            return []
        frames: list[bytes] = []
        garbage = take("garbage_frame", symbol)
        if garbage is not None:
            frames.append(framed(damaged(str(garbage.get("kind", "truncated")), payload)))
            if garbage.get("instead", False):
                return frames
        if disguised is not None and take("partial_depth_as_diff", symbol) is not None:
            frames.append(framed(disguised().encode()))
        frames.append(frame)
        if take("duplicate_depth", symbol) is not None:
            frames.append(frame)
        if take("unknown_event", symbol) is not None:
            frames.append(
                framed(b'{"T":"something.new","P":1,"d":{"zz":[1,null]},"type":"odd","topic":"/odd"}')
            )
        if stream in self.held:
            frames.append(self.held.pop(stream))
        return frames


def damaged(kind: str, payload: bytes) -> bytes:
    """Return a malformed message.

    Args:
        kind: ``types``, ``huge``, ``utf8``, ``bytes``, ``nesting`` or ``empty``; anything else truncates.
    """
    if kind == "types":
        event = json.loads(payload)
        for name in ("d", "data"):
            if name in event:
                event[name] |= {
                    "C": "x",
                    "a": {"0": 1},
                    "b": [[1, None], "z"],
                    "sequence": None,
                    "changes": 7,
                }
        return json.dumps(event, separators=(",", ":")).encode()
    if kind == "huge":
        return payload.replace(b'"C":', b'"C":' + b"9" * 400 + b',"was":').replace(
            b'"sequence', b'"sequence":' + b"9" * 400 + b',"was', 1
        )
    if kind == "utf8":
        return payload.replace(b"USDT", b"\xff\xfe\xc3(", 1)
    if kind == "bytes":
        return _NOISE
    if kind == "nesting":
        return b"[" * 20_000
    if kind == "empty":
        return b""
    return payload[: max(1, len(payload) * 2 // 3)]
