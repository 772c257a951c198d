"""OKX depth frames recorded before they had ids: the checksum of that time proves what ids prove today.

    {"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["29010.2","0.5","0","2"]],
    "bids":[],"ts":"1652459225566","checksum":-1369545133}]}

Until 2025 each frame of ``books`` carried a CRC32 of the best 25 levels of either side after it, and no
``seqId``. A frame whose checksum is that of the levels so far continues a chain made here; one whose checksum
is another gets a predecessor that nobody has, so that the reader sees the gap that there is.

Source: OKX v5 API docs, "WS / Order book channel", "Checksum" (since withdrawn); recorded frames of 2022.
"""

from __future__ import annotations

import zlib
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Any

import msgspec

CHECKED_LEVELS = 25
UNKNOWN_ID = 2**52
"""A predecessor that no frame of the chain has."""

_Side = dict[Decimal, tuple[str, str]]


class ChecksumChain:
    """Gives old frames the ids that they lack; frames that have ids, and any others, pass unchanged."""

    def __init__(self) -> None:
        self._sides: dict[str, tuple[_Side, _Side]] = {}
        self._last: dict[str, int] = {}

    def translate(self, payload: bytes) -> bytes:
        """Return the frame with ``seqId`` and ``prevSeqId``, or as it came."""
        if b'"checksum"' not in payload or b'"seqId"' in payload:
            return payload
        try:
            message = msgspec.json.decode(payload)
            symbol = message["arg"]["instId"]
            (data,) = message["data"]
            is_snapshot = message["action"] == "snapshot"
            is_proven = self._apply(symbol, data, is_snapshot) == data["checksum"]
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, IndexError, InvalidOperation):
            return payload  # malformed, or another channel's: the feed says what it makes of it
        last = self._last.get(symbol, 0)
        self._last[symbol] = last + 1
        data["seqId"] = last + 1
        data["prevSeqId"] = -1 if is_snapshot else last if is_proven else UNKNOWN_ID
        return msgspec.json.encode(message)

    def _apply(self, symbol: str, data: dict[str, Any], is_snapshot: bool) -> int:
        if is_snapshot or symbol not in self._sides:
            self._sides[symbol] = ({}, {})
        bids, asks = self._sides[symbol]
        for side, rows in ((bids, data["bids"]), (asks, data["asks"])):
            for row in rows:
                price = Decimal(row[0])
                if Decimal(row[1]):
                    side[price] = (row[0], row[1])
                else:
                    side.pop(price, None)
        return checksum(bids, asks)


def checksum(bids: _Side, asks: _Side) -> int:
    """Return the signed CRC32 of ``bid:qty:ask:qty:...`` over the best levels, in the venue's own text."""
    best_bids = [bids[price] for price in sorted(bids, reverse=True)[:CHECKED_LEVELS]]
    best_asks = [asks[price] for price in sorted(asks)[:CHECKED_LEVELS]]
    parts = [text for pair in zip_longest(best_bids, best_asks, fillvalue=()) for row in pair for text in row]
    value = zlib.crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value
