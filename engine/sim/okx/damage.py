"""Faults of the ``books`` channel: lost, doubled, late and malformed frames."""

from __future__ import annotations

import json

from engine.sim.faultpoints import FaultPoints
from engine.sim.okx.books import BookChannel
from engine.sim.sockets import text_frame

_NOISE = bytes(range(256))


def spoiled(
    faults: FaultPoints, symbol: str, held: dict[str, bytes], payload: bytes, book: BookChannel, now_ms: int
) -> list[bytes]:
    """Return the frames to send in place of one healthy update, as the armed faults want it."""
    take = faults.take
    frame = text_frame(payload)
    if take("drop_depth", symbol) is not None:
        return []
    if symbol not in held and take("reorder_depth", symbol) is not None:
        held[symbol] = frame
        return []
    frames: list[bytes] = []
    garbage = take("garbage_frame", symbol)
    if garbage is not None:
        frames.append(damaged(str(garbage.get("kind", "truncated")), payload))
        if garbage.get("instead", False):
            return frames
    if take("partial_depth_as_diff", symbol) is not None:
        frames.append(text_frame(book.best("books5", 5, now_ms).replace("books5", "books").encode()))
    frames.append(frame)
    if take("duplicate_depth", symbol) is not None:
        frames.append(frame)
    if take("unknown_event", symbol) is not None:
        frames.append(
            text_frame(b'{"arg":{"channel":"something-new","instId":"NEW"},"data":[{"zz":[1,null]}]}')
        )
    if symbol in held:
        frames.append(held.pop(symbol))
    return frames


def damaged(kind: str, payload: bytes) -> bytes:
    """Return a whole WebSocket frame with malformed content.

    Args:
        kind: ``types``, ``huge``, ``utf8``, ``bytes``, ``nesting`` or ``empty``; anything else truncates.
    """
    if kind == "types":
        event = json.loads(payload)
        event["data"][0] |= {"seqId": "x", "bids": {"0": 1}, "asks": [[1, None], "z"]}
        return text_frame(json.dumps(event, separators=(",", ":")).encode())
    if kind == "huge":
        return text_frame(payload.replace(b'"seqId":', b'"seqId":' + b"9" * 400 + b',"was":'))
    if kind == "utf8":
        return text_frame(payload.replace(b'"ts":"', b'"ts":"\xff\xfe\xc3('))
    if kind == "bytes":
        return text_frame(_NOISE)
    if kind == "nesting":
        return text_frame(b"[" * 20_000)
    if kind == "empty":
        return text_frame(b"")
    return text_frame(payload[: max(1, len(payload) * 2 // 3)])
