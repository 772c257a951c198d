"""Order books as Bybit publishes them: snapshots, then deltas whose ``u`` rises by one per message.

A stream remembers the levels it last showed and publishes the difference to the book as it is now, so a
delete never names a level that was not shown. ``seq`` is the id of the last change that the exchange had
published when the frame was made; the admin address can show the book as it was at that number, and at ``u``.

Source: Bybit v5 docs, "Orderbook" (WebSocket), seen 2026-07; frames recorded in 2024-12.
"""

from __future__ import annotations

import json

from engine.sim.bybit.instruments import Instrument
from engine.sim.bybit.window import Rows, Window
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import Batch
from engine.sim.sockets import text_frame

PACE_MS = {1: 10, 50: 20, 200: 100, 1000: 200}
REPEAT_MS = 3_000
MATCHING_LEAD_MS = 2
FIRST_IDS = 1_000_000
"""A symbol's streams number so far apart that each number is one book of the exchange, until a restart."""
_NOISE = bytes(range(256))


class DepthStream:
    """One ``orderbook.{depth}.{symbol}`` topic.

    Attributes:
        update_id: ``u`` of the latest message.
        sent_ms: when it was made. held: a frame that is to come after its successor (a fault).
    """

    def __init__(self, one: Instrument, depth: int) -> None:
        self.one = one
        self.depth = depth
        self.topic = f"orderbook.{depth}.{one.symbol}"
        self.update_id = FIRST_IDS * depth
        self.sent_ms = 0
        self.held: bytes | None = None
        self._seen_id = 0
        self._linear_head = one.is_linear and depth != 1
        self._due_ms = 0
        self._bids = Window(one.market.bids, depth)
        self._asks = Window(one.market.asks, depth)

    def is_due(self, now_ms: int) -> bool:
        """Tell whether the stream's pace allows a message now, and count it as used.

        Late ticks do not slow a stream down: the next message is due by the schedule.
        """
        pace_ms = PACE_MS[self.depth]
        if now_ms < self._due_ms <= now_ms + pace_ms:
            return False
        following = self._due_ms + pace_ms
        self._due_ms = following if now_ms < following <= now_ms + pace_ms else now_ms + pace_ms
        return True

    def note(self, batch: Batch) -> None:
        """Hear what a batch has published."""
        self._bids.note(batch.bids)
        self._asks.note(batch.asks)

    def advance(self, now_ms: int) -> str | None:
        """Move on to the book as it is; return the message, None when nothing visible changed.

        Must be called while the exchange's book is exactly what its last batch published (depth 1: always).
        """
        market = self.one.market
        if market.last_id == self._seen_id:
            return None
        self._seen_id = market.last_id
        bids, asks = self._bids.advance(), self._asks.advance()
        if not bids and not asks:
            return None
        self.update_id += 1
        if self.depth == 1:
            return self._whole(now_ms)
        market.note_number(self.update_id)
        return self._message("delta", bids, asks, now_ms)

    def snapshot(self, now_ms: int) -> str:
        """Return what the stream shows, whole, with the number of its latest message."""
        return self._whole(now_ms)

    def restart(self, now_ms: int, keeps_count: bool = False) -> str:
        """Begin again at ``u`` 1, as after a restart of the venue's service, or with the next number."""
        market = self.one.market
        self._seen_id = market.last_id
        self._bids.advance()
        self._asks.advance()
        self.update_id = self.update_id + 1 if keeps_count else 1
        if self.depth > 1:
            market.note_number(self.update_id)
        return self._whole(now_ms)

    def repeat(self, now_ms: int) -> str:
        """Return the latest snapshot again, same ``u``: level 1 does so after three silent seconds."""
        return self._whole(now_ms)

    def levels(self, limit: int) -> tuple[Rows, Rows]:
        """Return the best levels shown, bids and asks."""
        return self._bids.rows(limit), self._asks.rows(limit)

    def disguised(self, now_ms: int) -> str:
        """Return five levels of the whole book that call themselves a delta (a fault)."""
        bids, asks = self.levels(5)
        return self._message("delta", bids, asks, now_ms)

    def _whole(self, now_ms: int) -> str:
        return self._message("snapshot", self._bids.rows(), self._asks.rows(), now_ms)

    def _message(self, kind: str, bids: Rows, asks: Rows, now_ms: int) -> str:
        self.sent_ms = now_ms
        one = self.one
        sequence = one.market.last_id if self.depth == 1 else one.market.published_id
        stamp, word = f'"ts":{now_ms}', f'"type":"{kind}"'
        head = f"{word},{stamp}" if self._linear_head else f"{stamp},{word}"
        return (
            f'{{"topic":"{self.topic}",{head},"data":{{"s":"{one.symbol}",'
            f'"b":[{_rows(one, bids)}],"a":[{_rows(one, asks)}],'
            f'"u":{self.update_id},"seq":{sequence}}},"cts":{now_ms - MATCHING_LEAD_MS}}}'
        )


def _rows(one: Instrument, levels: Rows) -> str:
    """Return the inside of a JSON array of levels; a deleted one has the bare size ``"0"``."""
    price, size = one.price.text, one.size.text
    return ",".join([f'["{price(at)}","{size(lots) if lots else 0}"]' for at, lots in levels])


def spoiled(faults: FaultPoints, stream: DepthStream, payload: bytes, now_ms: int) -> list[bytes]:
    """Return the frames to send in place of one healthy message, as the armed faults want it."""
    take, symbol, frame = faults.take, stream.one.symbol, text_frame(payload)
    if take("drop_depth", symbol) is not None:
        return []
    if stream.held is None and take("reorder_depth", symbol) is not None:
        stream.held = frame
        return []
    frames: list[bytes] = []
    garbage = take("garbage_frame", symbol)
    if garbage is not None:
        frames.append(damaged(str(garbage.get("kind", "truncated")), payload))
        if garbage.get("instead", False):
            return frames
    if take("partial_depth_as_diff", symbol) is not None:
        frames.append(text_frame(stream.disguised(now_ms).encode()))
    frames.append(frame)
    if take("duplicate_depth", symbol) is not None:
        frames.append(frame)
    if take("unknown_event", symbol) is not None:
        frames.append(text_frame(b'{"topic":"something.new","type":"odd","ts":1,"data":{"zz":[1,null]}}'))
    if stream.held is not None:
        frames.append(stream.held)
        stream.held = None
    return frames


def damaged(kind: str, payload: bytes) -> bytes:
    """Return a whole WebSocket frame with malformed content.

    Args:
        kind: ``types``, ``huge``, ``utf8``, ``bytes``, ``nesting`` or ``empty``; anything else truncates.
    """
    if kind == "types":
        event = json.loads(payload)
        event["data"] |= {"u": "x", "b": {"0": 1}, "a": [[1, None], "z"]}
        return text_frame(json.dumps(event, separators=(",", ":")).encode())
    if kind == "huge":
        return text_frame(payload.replace(b'"u":', b'"u":' + b"9" * 400 + b',"was":'))
    if kind == "utf8":
        return text_frame(payload.replace(b'"s":"', b'"s":"\xff\xfe\xc3('))
    if kind == "bytes":
        return text_frame(_NOISE)
    if kind == "nesting":
        return text_frame(b"[" * 20_000)
    if kind == "empty":
        return text_frame(b"")
    return text_frame(payload[: max(1, len(payload) * 2 // 3)])
