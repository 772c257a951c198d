"""Faults of the depth stream: lost, doubled, late and malformed frames."""

from __future__ import annotations

import json
import random
from typing import Protocol

from engine.sim.binance.topics import Topic
from engine.sim.faultpoints import FaultPoints
from engine.sim.sockets import text_frame

_RANDOM = random.Random(20_260_923)


class Holder(Protocol):
    """Keeps a frame that is to come after its successor."""

    held: bytes | None

    def partial_as_diff(self) -> bytes:
        """Return the best five levels as the partial stream would send them."""
        ...


def publish_depth(
    faults: FaultPoints, symbol: str, holder: Holder, topics: list[Topic], payload: bytes
) -> None:
    """Publish a depth event on ``topics``, spoiled by whichever fault strikes."""
    take = faults.take
    if take("drop_depth", symbol) is not None:
        return
    if holder.held is None and take("reorder_depth", symbol) is not None:
        holder.held = payload
        return
    garbage = take("garbage_frame", symbol)
    if garbage is not None:
        frame = damaged(str(garbage.get("kind", "truncated")), payload)
        for topic in topics:
            topic.publish_damaged(frame)
        if not garbage.get("instead", False):
            _publish(topics, payload)
        return
    if take("partial_depth_as_diff", symbol) is not None:
        _publish(topics, holder.partial_as_diff())
    _publish(topics, payload)
    if take("duplicate_depth", symbol) is not None:
        _publish(topics, payload)
    if take("unknown_event", symbol) is not None:
        _publish(topics, b'{"e":"somethingNew","E":1790000000000,"s":"NEW","zz":[1,{"y":null}],"T":true}')
    if holder.held is not None:
        held, holder.held = holder.held, None
        _publish(topics, held)


def _publish(topics: list[Topic], payload: bytes) -> None:
    for topic in topics:
        topic.publish(payload)


def damaged(kind: str, payload: bytes) -> bytes:
    """Return a whole WebSocket frame with malformed content.

    Args:
        kind: ``types``, ``huge``, ``utf8``, ``bytes``, ``nesting`` or ``empty``; anything else truncates.
        payload: a healthy event to spoil.
    """
    if kind == "types":
        event = json.loads(payload) | {"u": "x", "s": 5, "b": {"0": 1}, "a": [[1, None], "z"]}
        return text_frame(json.dumps(event).encode())
    if kind == "huge":
        return text_frame(payload.replace(b'"u":', b'"u":' + b"9" * 400 + b',"was":'))
    if kind == "utf8":
        return text_frame(payload.replace(b'"s":"', b'"s":"\xff\xfe\xc3('))
    if kind == "bytes":
        return text_frame(bytes(_RANDOM.choices(range(256), k=200)))
    if kind == "nesting":
        return text_frame(b"[" * 20_000)
    if kind == "empty":
        return text_frame(b"")
    return text_frame(payload[: max(1, len(payload) * 2 // 3)])
