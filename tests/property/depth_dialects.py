"""Depth dialects of four venues: schema, a writer of frames, and an independent reader in Decimals.

The reader and its sequence rules are written from the venues' documentation and share nothing with the
kernel or its twin.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.model.market import DepthSchema, SequenceRule

Rows = list[tuple[Decimal, Decimal]]
Side = dict[Decimal, Decimal]


@dataclass
class Frame:
    """What one depth message says, whatever its spelling."""

    is_snapshot: bool
    previous: int
    first: int
    last: int
    clock_ms: int
    bids: Rows
    asks: Rows


@dataclass
class Dialect:
    """One venue's way to say it."""

    name: str
    schema: DepthSchema
    route: str
    write: Callable[[Frame], Any]
    read: Callable[[Any], Frame]
    contract_size: Decimal = Decimal(1)
    is_single_id: bool = True
    is_one_change: bool = False

    def text(self, frame: Frame) -> bytes:
        """Return the frame's bytes."""
        return json.dumps(self.write(frame), separators=(",", ":")).encode()


@dataclass
class Reference:
    """A venue's own procedure over Decimal dicts."""

    dialect: Dialect
    state: str = "WAIT"
    last: int = -1
    recent: list[int] = field(default_factory=list)
    bids: Side = field(default_factory=dict)
    asks: Side = field(default_factory=dict)

    def load(self, bids: Side, asks: Side, last: int) -> None:
        """Take a snapshot that came by REST; the next frame has to join."""
        self.bids, self.asks, self.last, self.state = dict(bids), dict(asks), last, "JOIN"

    def feed(self, raw: bytes) -> str:
        """Take one whole frame and return the name of its outcome."""
        frame = self.dialect.read(json.loads(raw))
        if frame.is_snapshot:
            self.bids, self.asks = dict(frame.bids), dict(frame.asks)
            return self._applied(frame)
        if self.state not in ("LIVE", "JOIN", "CROSSED"):
            return "BUFFER"
        if self.dialect.name == "okx":
            if frame.previous != self.last:
                return "OLD" if self.state != "JOIN" and frame.last in self.recent else self._gap()
            if frame.last == self.last:
                return "OLD"
        else:
            if frame.last <= self.last:
                return "OLD"
            if frame.first > self.last + 1:
                return self._gap()
        for side, rows in ((self.bids, frame.bids), (self.asks, frame.asks)):
            for price, qty in rows:
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
        return self._applied(frame)

    def _applied(self, frame: Frame) -> str:
        window = self.dialect.schema.window
        if window:
            self.bids = dict(sorted(self.bids.items(), reverse=True)[:window])
            self.asks = dict(sorted(self.asks.items())[:window])
        if frame.last < self.last:
            self.recent = []
        self.recent = [*self.recent[-255:], frame.last]
        self.last, self.state = frame.last, "LIVE"
        if self.bids and self.asks and max(self.bids) >= min(self.asks):
            self.state = "STALE" if frame.is_snapshot else "CROSSED"
            return "CROSSED"
        return "APPLIED"

    def _gap(self) -> str:
        self.state = "STALE"
        return "GAP"


def _pairs(rows: Rows) -> list[list[str]]:
    return [[f"{price}", f"{qty}"] for price, qty in rows]


def _decimals(rows: list[list[Any]]) -> Rows:
    return [(Decimal(row[0]), Decimal(row[1])) for row in rows]


# ---------------------------------------------------------------------------------------------- OKX


def _okx_write(frame: Frame) -> Any:
    data = {
        "asks": [[p, q, "0", "3"] for p, q in _pairs(frame.asks)],
        "bids": [[p, q, "0", "1"] for p, q in _pairs(frame.bids)],
        "ts": str(frame.clock_ms),
        "checksum": 0,
        "seqId": frame.last,
        "prevSeqId": -1 if frame.is_snapshot else frame.previous,
    }
    action = "snapshot" if frame.is_snapshot else "update"
    return {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": action, "data": [data]}


def _okx_read(message: Any) -> Frame:
    (data,) = message["data"]
    last = data["seqId"]
    return Frame(
        message["action"] == "snapshot", data["prevSeqId"], last, last, int(data["ts"]),
        _decimals(data["bids"]), _decimals(data["asks"]),
    )  # fmt: skip


OKX = Dialect(
    "okx",
    DepthSchema(
        rule=SequenceRule.CHAIN, route_keys=("channel", "instId"), containers=("arg",),
        array_containers=("data",), control_keys=("event",), first_key=None, last_key="seqId",
        previous_key="prevSeqId", bids_key="bids", asks_key="asks", kind_key="action",
        is_quoting_integers=True, event_time_key="ts",
    ),
    "books\nBTC-USDT-SWAP", _okx_write, _okx_read, Decimal("0.01"),
)  # fmt: skip


# -------------------------------------------------------------------------------------------- Bybit


def _bybit_write(frame: Frame) -> Any:
    data = {"s": "XRPUSDT", "b": _pairs(frame.bids), "a": _pairs(frame.asks), "u": frame.last, "seq": 7}
    kind = "snapshot" if frame.is_snapshot and frame.last != 1 else "delta"
    return {
        "topic": "orderbook.50.XRPUSDT", "type": kind, "ts": frame.clock_ms, "data": data,
        "cts": frame.clock_ms - 2,
    }  # fmt: skip


def _bybit_read(message: Any) -> Frame:
    data = message["data"]
    return Frame(
        message["type"] == "snapshot" or data["u"] == 1, -1, data["u"], data["u"], message["ts"],
        _decimals(data["b"]), _decimals(data["a"]),
    )  # fmt: skip


BYBIT = Dialect(
    "bybit",
    DepthSchema(
        rule=SequenceRule.RANGE, route_keys=("topic",), containers=("data",), first_key=None, last_key="u",
        previous_key=None, bids_key="b", asks_key="a", kind_key="type", delta_kind="delta", restart_id=1,
        event_time_key="ts", transaction_time_key="cts",
    ),
    "orderbook.50.XRPUSDT", _bybit_write, _bybit_read,
)  # fmt: skip


# ------------------------------------------------------------------------------------------- KuCoin


def _uta_write(frame: Frame) -> Any:
    data = {
        "a": _pairs(frame.asks), "b": _pairs(frame.bids), "C": frame.last, "s": "XBTUSDTM",
        "M": frame.clock_ms * 1_000_000, "O": frame.last if frame.is_snapshot else frame.first,
    }  # fmt: skip
    kind = "snapshot" if frame.is_snapshot else "delta"
    push = frame.clock_ms * 1_000_000 + 676_191
    return {"T": "obu.FUTURES", "dp": "increment@10ms", "t": kind, "P": str(push), "d": data}


def _uta_read(message: Any) -> Frame:
    data = message["d"]
    return Frame(
        message["t"] == "snapshot", -1, data["O"], data["C"], data["M"] // 1_000_000,
        _decimals(data["b"]), _decimals(data["a"]),
    )  # fmt: skip


KUCOIN_UTA = Dialect(
    "kucoin_uta",
    DepthSchema(
        rule=SequenceRule.RANGE, route_keys=("T", "dp", "s"), containers=("d",), first_key="O",
        last_key="C", previous_key=None, bids_key="b", asks_key="a", kind_key="t", delta_kind="delta",
        is_quoting_integers=True, event_time_key="P", transaction_time_key="M", time_unit_ns=1,
    ),
    "obu.FUTURES\nincrement@10ms\nXBTUSDTM", _uta_write, _uta_read, Decimal("0.001"), False,
)  # fmt: skip


def _spot_rows(rows: Rows, first: int, last: int) -> list[list[str]]:
    """Levels with ids, the later first; what changes nothing visible has the price 0."""
    made = [[f"{p}", f"{q}", str(min(first + i, last))] for i, (p, q) in enumerate(rows)]
    return list(reversed(made)) or [["0", "0", str(last)]]


def _spot_write(frame: Frame) -> Any:
    return {
        "topic": "/market/level2:BTC-USDT", "type": "message", "subject": "trade.l2update",
        "data": {
            "changes": {
                "asks": _spot_rows(frame.asks, frame.first, frame.last),
                "bids": _spot_rows(frame.bids, frame.first, frame.last),
            },
            "sequenceStart": frame.first, "sequenceEnd": frame.last, "symbol": "BTC-USDT",
            "time": frame.clock_ms,
        },
    }  # fmt: skip


class SpotReference(Reference):
    """KuCoin's classic spot stream: each level has an id, and counts only beyond the book's."""

    def feed(self, raw: bytes) -> str:
        """Take one whole frame and return the name of its outcome."""
        message = json.loads(raw)
        for side, rows in message["data"]["changes"].items():
            kept = [row for row in rows if int(row[2]) > self.last and Decimal(row[0])]
            newest: dict[Decimal, list[str]] = {}
            for row in kept:
                price = Decimal(row[0])
                if price not in newest or int(newest[price][2]) < int(row[2]):
                    newest[price] = row
            message["data"]["changes"][side] = list(newest.values())
        return super().feed(json.dumps(message).encode())


def _spot_read(message: Any) -> Frame:
    data = message["data"]
    return Frame(
        False, -1, data["sequenceStart"], data["sequenceEnd"], data.get("time", 0),
        _decimals(data["changes"]["bids"]), _decimals(data["changes"]["asks"]),
    )  # fmt: skip


KUCOIN_SPOT = Dialect(
    "kucoin_spot",
    DepthSchema(
        rule=SequenceRule.RANGE, route_keys=("topic",), containers=("data", "changes"),
        first_key="sequenceStart", last_key="sequenceEnd", previous_key=None, bids_key="bids",
        asks_key="asks", has_level_ids=True, is_zero_price_void=True, event_time_key="time",
    ),
    "/market/level2:BTC-USDT", _spot_write, _spot_read, is_single_id=False,
)  # fmt: skip


def _change_write(frame: Frame) -> Any:
    word, ((price, qty),) = ("buy", frame.bids) if frame.bids else ("sell", frame.asks)
    return {
        "topic": "/contractMarket/level2:XBTUSDTM", "type": "message", "subject": "level2", "sn": frame.last,
        "data": {
            "sequence": frame.last, "change": f"{price},{word},{qty}", "timestamp": frame.clock_ms,
        },
    }  # fmt: skip


def _change_read(message: Any) -> Frame:
    data = message["data"]
    price, side, qty = data["change"].split(",")
    rows = [(Decimal(price), Decimal(qty))]
    return Frame(
        False, -1, data["sequence"], data["sequence"], data["timestamp"],
        rows if side == "buy" else [], rows if side == "sell" else [],
    )  # fmt: skip


KUCOIN_FUTURES = Dialect(
    "kucoin_futures",
    DepthSchema(
        rule=SequenceRule.RANGE, route_keys=("topic",), containers=("data",), first_key=None,
        last_key="sequence", previous_key=None, change_key="change", event_time_key="timestamp",
    ),
    "/contractMarket/level2:XBTUSDTM", _change_write, _change_read, Decimal("0.001"), is_one_change=True,
)  # fmt: skip


# ------------------------------------------------------------------------------------------ BitMart


def _bitmart_spot_write(frame: Frame) -> Any:
    data = {
        "asks": _pairs(frame.asks), "bids": _pairs(frame.bids), "ms_t": frame.clock_ms,
        "symbol": "BTC_USDT", "type": "snapshot" if frame.is_snapshot else "update", "version": frame.last,
    }  # fmt: skip
    return {"data": [data], "table": "spot/depth/increase100"}


def _bitmart_read(message: Any) -> Frame:
    data = message["data"]
    if isinstance(data, list):
        (data,) = data

    def rows(side: list[Any]) -> Rows:
        return _decimals([[r["price"], r["vol"]] if isinstance(r, dict) else r for r in side])

    version = data["version"]
    return Frame(
        data["type"] == "snapshot", -1, version, version, data["ms_t"], rows(data["bids"]), rows(data["asks"])
    )


BITMART_SPOT = Dialect(
    "bitmart_spot",
    DepthSchema(
        rule=SequenceRule.RANGE, route_keys=("table", "symbol"), containers=(), array_containers=("data",),
        control_keys=("event",), first_key=None, last_key="version", previous_key=None, bids_key="bids",
        asks_key="asks", kind_key="type", window=30, has_heartbeats=True, event_time_key="ms_t",
    ),
    "spot/depth/increase100\nBTC_USDT", _bitmart_spot_write, _bitmart_read,
)  # fmt: skip


def _bitmart_futures_write(frame: Frame) -> Any:
    def rows(side: Rows) -> list[dict[str, str]]:
        return [{"price": f"{price}", "vol": f"{qty}"} for price, qty in side]

    data = {
        "symbol": "BTCUSDT", "asks": rows(frame.asks), "bids": rows(frame.bids), "ms_t": frame.clock_ms,
        "version": frame.last, "type": "snapshot" if frame.is_snapshot else "update",
    }  # fmt: skip
    return {"data": data, "group": "futures/depthIncrease50:BTCUSDT@100ms"}


BITMART_FUTURES = Dialect(
    "bitmart_futures",
    DepthSchema(
        rule=SequenceRule.RANGE, route_keys=("group",), containers=("data",), control_keys=("success",),
        first_key=None, last_key="version", previous_key=None, bids_key="bids", asks_key="asks",
        level_keys=("price", "vol"), kind_key="type", event_time_key="ms_t",
    ),
    "futures/depthIncrease50:BTCUSDT@100ms", _bitmart_futures_write, _bitmart_read, Decimal("0.001"),
)  # fmt: skip

DIALECTS = (OKX, BYBIT, KUCOIN_UTA, KUCOIN_SPOT, KUCOIN_FUTURES, BITMART_SPOT, BITMART_FUTURES)
