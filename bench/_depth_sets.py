"""Depth streams for benchmarks: recorded ones where they lie beside the checkout, and synthetic ones."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.model.market import BookSnapshot
from engine.replay.recordings import RecordKind, read_recordings
from engine.venues.binance.numbers import scaled

SCALE = 8


class Start(msgspec.Struct):
    """One symbol's snapshot."""

    symbol: str
    stream: str
    last_id: int
    bids: list[list[str]]
    asks: list[list[str]]

    def snapshot(self) -> BookSnapshot:
        """Return it in scaled integers."""
        sides = [
            np.array([[scaled(p, SCALE), scaled(q, SCALE)] for p, q in rows], dtype=np.int64).reshape(-1, 2)
            for rows in (self.bids, self.asks)
        ]
        return BookSnapshot(self.last_id, sides[0], sides[1], None)


class DepthSet(msgspec.Struct):
    """One workload: snapshots by symbol, then combined-stream frames that join them, in order."""

    name: str
    is_perp: bool
    starts: list[Start]
    frames: list[bytes]

    def reference(self) -> dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]]:
        """Return every symbol's final levels, by a replay in Decimals that shares no code with a book."""
        books: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
        for start in self.starts:
            bids = {Decimal(price): Decimal(qty) for price, qty in start.bids}
            asks = {Decimal(price): Decimal(qty) for price, qty in start.asks}
            books[start.stream] = (bids, asks)
        for frame in self.frames:
            message = json.loads(frame)
            for side, key in zip(books[message["stream"]], ("b", "a"), strict=True):
                for price, qty in message["data"][key]:
                    if Decimal(qty):
                        side[Decimal(price)] = Decimal(qty)
                    else:
                        side.pop(Decimal(price), None)
        return books


def recorded(folder: Path) -> list[DepthSet]:
    """Return the recorded Binance sets that ``folder`` holds."""
    found = []
    for name, is_perp, files in (
        ("spot BTC 2024", False, ["spot_btcusdt_20240808.rec.gz"]),
        ("USD-M BTC 2024", True, ["usdm_btcusdt_20240808.rec.gz"]),
        ("spot x4 2021", False, ["cryptofeed_spot_2021.ws.txt", "cryptofeed_spot_2021.http.txt"]),
        ("USD-M x4 2021", True, ["cryptofeed_usdm_2021.ws.txt", "cryptofeed_usdm_2021.http.txt"]),
    ):
        paths = [folder / "binance" / file for file in files]
        if all(path.exists() for path in paths):
            found.append(_joined(name, is_perp, paths))
    return found


def _joined(name: str, is_perp: bool, paths: list[Path]) -> DepthSet:
    snapshots: dict[str, Any] = {}
    frames: list[tuple[str, bytes]] = []
    for record in read_recordings(paths):
        if record.kind is RecordKind.SNAPSHOT:
            snapshots.setdefault(record.name, json.loads(record.payload))
        elif record.kind is RecordKind.FRAME and "@depth@" in record.name:
            frames.append((record.name, record.payload))
    if set(snapshots) == {""}:
        snapshots = {frames[0][0].split("@")[0].upper(): snapshots[""]}
    starts, kept = {}, []
    for stream, payload in frames:
        symbol = stream.split("@")[0].upper()
        snapshot = snapshots[symbol]
        last = json.loads(payload)["data"]["u"]
        if last < snapshot["lastUpdateId"] or (not is_perp and last == snapshot["lastUpdateId"]):
            continue
        kept.append(payload)
        if symbol not in starts:
            starts[symbol] = Start(
                symbol, stream, snapshot["lastUpdateId"], snapshot["bids"], snapshot["asks"]
            )
    return DepthSet(name, is_perp, list(starts.values()), kept)


def synthetic(
    frames: int, levels: int = 1000, symbols: int = 1, changes: int = 40, seed: int = 11
) -> DepthSet:
    """Return seeded spot streams: changes near the touch, 60/20/20 overwrite, insert, delete.

    Args:
        frames: how many, over all symbols, which take turns at random.
        levels: on each side at the start.
        symbols: how many streams. changes: a frame has 5 to this many.
    """
    generator = random.Random(seed)
    middle = 4_500_000
    starts, books, lasts = [], [], [1_000] * symbols
    for number in range(symbols):
        name = f"TOP{number}USDT" if symbols > 1 else "TOPUSDT"
        sides = [{middle - 1 - i: 1 for i in range(levels)}, {middle + i: 1 for i in range(levels)}]
        for side in sides:
            for tick in side:
                side[tick] = generator.randint(1, 5_000_000)
        books.append(sides)
        starts.append(
            Start(
                name,
                f"{name.lower()}@depth@100ms",
                1_000,
                [[_price(tick), _qty(qty)] for tick, qty in sorted(sides[0].items(), reverse=True)],
                [[_price(tick), _qty(qty)] for tick, qty in sorted(sides[1].items())],
            )
        )
    made = []
    for number in range(frames):
        at = generator.randrange(symbols)
        rows = _changes(generator, books[at], middle, generator.randint(5, changes))
        first, lasts[at] = lasts[at] + 1, lasts[at] + sum(map(len, rows))
        data = {"e": "depthUpdate", "E": 1_790_000_000_000 + number, "s": starts[at].symbol, "U": first,
                "u": lasts[at], "b": rows[0], "a": rows[1]}  # fmt: skip
        made.append(json.dumps({"stream": starts[at].stream, "data": data}, separators=(",", ":")).encode())
    return DepthSet(f"synthetic top-{levels}", False, starts, made)


def _changes(
    generator: random.Random, sides: list[dict[int, int]], middle: int, count: int
) -> tuple[list[list[str]], list[list[str]]]:
    """Change ``count`` levels and return them as a frame tells them."""
    levels = max(map(len, sides))
    changes: tuple[list[list[str]], list[list[str]]] = ([], [])
    for _ in range(count):
        which = generator.randrange(2)
        side = sides[which]
        distance = min(int(generator.expovariate(1 / 12)), levels)
        tick = middle - 1 - distance if which == 0 else middle + distance
        removes = tick in side and generator.random() < 0.2 and len(side) > levels // 2
        qty = 0 if removes else generator.randint(1, 5_000_000)
        if removes:
            side.pop(tick)
        else:
            side[tick] = qty
        changes[which].append([_price(tick), _qty(qty)])
    return changes


def _price(tick: int) -> str:
    return f"{tick // 100}.{tick % 100:02d}000000"


def _qty(lots: int) -> str:
    return f"{lots // 100_000}.{lots % 100_000:05d}000"
