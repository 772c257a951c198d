"""WebSocket frames as BitMart sends them, made once and shared by all subscribers.

Spot market data above a few hundred bytes goes out as BINARY frames that hold one complete raw-deflate
stream; everything else is TEXT. Futures frames are TEXT, compressed by permessage-deflate without context
takeover where the client has offered it.

Source: BitMart spot docs, "WebSocket Subscription / Compression"; futures host as probed, 2026-09-23. Which
spot frames are really compressed is UNCONFIRMED.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate

from engine.sim.sockets import CountedConnection, text_frame
from engine.sim.texts import compact_json

DEFLATE_ABOVE = 200
WINDOW_BITS = -12
"""Raw deflate, 4 KiB window: setting up a larger one costs more than it saves on messages of this size."""
LEVEL = 1
_TAIL = b"\x00\x00\xff\xff"
_NOISE = bytes(range(256))


def to_json(value: Any) -> bytes:
    """Return compact JSON."""
    return compact_json(value).encode()


def raw_deflate(payload: bytes) -> bytes:
    """Return a complete raw-deflate stream, final block included."""
    return zlib.compress(payload, LEVEL, wbits=WINDOW_BITS)


def binary_frame(payload: bytes) -> bytes:
    """Return one unmasked, final WebSocket binary frame."""
    return b"\x82" + text_frame(payload)[1:]


def market_frame(payload: bytes) -> bytes:
    """Return the frame of a spot market-data push."""
    if len(payload) <= DEFLATE_ABOVE:
        return text_frame(payload)
    return binary_frame(raw_deflate(payload))


def compressed_frame(payload: bytes) -> bytes:
    """Return a text frame compressed by permessage-deflate, decodable without earlier frames (RFC 7692)."""
    engine = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS)
    body = engine.compress(payload) + engine.flush(zlib.Z_SYNC_FLUSH)
    return b"\xc1" + text_frame(body.removesuffix(_TAIL))[1:]


def takes_compressed(connection: CountedConnection) -> bool:
    """Tell whether a client has agreed to permessage-deflate with a window that holds ours."""
    return any(
        isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits >= -WINDOW_BITS
        for extension in connection.protocol.extensions
    )


def damaged(kind: str, payload: bytes, is_spot: bool) -> bytes:
    """Return a whole WebSocket frame with malformed content.

    Args:
        kind: ``types``, ``huge``, ``utf8``, ``bytes``, ``nesting`` or ``empty``; anything else truncates:
            spot's deflate stream, or the JSON of futures.
    """
    pack = market_frame if is_spot else text_frame
    if kind == "types":
        message = json.loads(payload)
        data: Mapping[str, Any] = message["data"][0] if is_spot else message["data"]
        spoiled = {**data, "version": "x", "bids": {"0": 1}, "asks": [[1, None], "z"]}
        return pack(to_json({**message, "data": [spoiled] if is_spot else spoiled}))
    if kind == "huge":
        return pack(payload.replace(b'"version":', b'"version":' + b"9" * 400 + b',"was":'))
    if kind == "utf8":
        return pack(payload.replace(b'"symbol":"', b'"symbol":"\xff\xfe\xc3('))
    if kind == "bytes":
        return binary_frame(_NOISE)
    if kind == "nesting":
        return pack(b"[" * 20_000)
    if kind == "empty":
        return text_frame(b"")
    if is_spot:
        stream = raw_deflate(payload)
        return binary_frame(stream[: max(1, len(stream) * 2 // 3)])
    return text_frame(payload[: max(1, len(payload) * 2 // 3)])
