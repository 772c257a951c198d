"""KuCoin's recordings through the replay: books equal to an independent reference, gaps where they are."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.instrument import Product
from engine.replay.replay import replay_files
from engine.supervisor.wiring import replay_adapter

Row = dict[str, Any]


@pytest.fixture
def kucoin(shared_fixtures: Path) -> Path:
    return shared_fixtures / "kucoin"


def replayed(product: Product, *files: Path) -> dict[str, Row]:
    rows = replay_files(replay_adapter("kucoin", product), files, None, True)
    return {row["instrument"]: row for row in rows}


def digest(row: Row) -> str:
    lines = [
        f"{letter} {Decimal(price).normalize():f} {Decimal(qty).normalize():f}"
        for letter, side in (("b", "bids"), ("a", "asks"))
        for price, qty in row[side]
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_classic_spot_of_2021_ends_in_the_published_books(kucoin: Path) -> None:
    folder = kucoin / "recorded_2021-04-25"
    expected = json.loads((folder / "expected_books.json").read_text())
    rows = replayed(Product.SPOT, folder / "ws_frames.txt", folder / "rest_level2.txt")
    assert set(rows) == set(expected)
    for symbol, row in rows.items():
        want = expected[symbol]
        assert (row["state"], row["gaps"]) == ("LIVE", 0), symbol
        assert row["sequence"] == want["last_sequence"]
        assert row["applied"] == want["frames_applied"]
        assert digest(row) == want["canonical_sha256"], symbol


@pytest.mark.parametrize("symbol", ["BCHSV-USDT", "ANKR-BTC"])
def test_classic_spot_with_a_frame_missing_is_a_gap(kucoin: Path, tmp_path: Path, symbol: str) -> None:
    folder = kucoin / "recorded_2021-04-25"
    expected = json.loads((folder / "expected_books.json").read_text())[symbol]
    lines = (folder / "ws_frames.txt").read_text().splitlines(keepends=True)
    needle = f'"topic":"/market/level2:{symbol}","type":"message"'
    depth = [index for index, line in enumerate(lines) if needle in line]
    gone = depth[expected["frames_dropped_before_snapshot"] + 2]
    damaged = tmp_path / "damaged.ws.txt"
    damaged.write_text("".join(line for index, line in enumerate(lines) if index != gone))
    rows = replayed(Product.SPOT, damaged, folder / "rest_level2.txt")
    assert (rows[symbol]["state"], rows[symbol]["gaps"]) == ("SYNCING", 1)
    assert all(row["gaps"] == 0 for name, row in rows.items() if name != symbol)


def split(path: Path, folder: Path, needle: str) -> Path:
    """Write the lines that hold ``needle``: a file of one interface's frames."""
    found = [line for line in path.read_text().splitlines(keepends=True) if needle in line]
    assert found
    part = folder / "part.jsonl"
    part.write_text("".join(found))
    return part


def test_captured_unified_frames(kucoin: Path, tmp_path: Path) -> None:
    """One snapshot and one delta, of two contracts: the second has no snapshot to follow."""
    frames = split(kucoin / "captured_2026-09-22" / "frames.jsonl", tmp_path, '"T":"obu.')
    rows = replayed(Product.PERP, frames)
    eth, xbt = rows["ETHUSDTM"], rows["XBTUSDTM"]
    assert (eth["state"], eth["sequence"]) == ("LIVE", 1736604716203)
    assert eth["bids"] == [["2749.68", "277"], ["2749.61", "45"]]
    assert eth["asks"] == [["2749.69", "96"], ["2749.7", "102"]]
    assert (xbt["state"], xbt["applied"], xbt["bids"]) == ("SYNCING", 0, [])


def test_captured_classic_frame_joins_its_rest_book(kucoin: Path, tmp_path: Path) -> None:
    frames = split(kucoin / "captured_2026-09-22" / "frames.jsonl", tmp_path, "/contractMarket/level2:")
    rest = tmp_path / "rest.http.txt"
    rest.write_text(
        "https://api-futures.kucoin.com/api/v1/level2/snapshot?symbol=XBTUSDTM -> 1790113097: "
        '{"code":"200000","data":{"sequence":1747821025243,"symbol":"XBTUSDTM","bids":[[83613,5]],'
        '"asks":[[83615.5,7]],"ts":1790113097000000000}}\n'
    )
    row = replayed(Product.PERP, frames, rest)["XBTUSDTM"]
    assert (row["state"], row["sequence"], row["gaps"]) == ("LIVE", 1747821025244, 0)
    assert (row["bids"], row["asks"]) == ([["83614", "12"], ["83613", "5"]], [["83615.5", "7"]])


def test_literals_of_2024_with_the_recorders_own_rest_book(kucoin: Path) -> None:
    """Five frames of a contract and, between them, the book that the recorder had fetched."""
    path = kucoin / "tardis_test_literals" / "futures.jsonl"
    book: dict[str, dict[Decimal, Decimal]] = {}
    frames, sequence = [], 0
    for line in path.read_text().splitlines():
        message = json.loads(line, parse_float=Decimal)
        topic = message["topic"]
        if topic.startswith("/contractMarket/level2Snapshot"):
            data = message["data"]
            sequence = data["sequence"]
            book = {side: {Decimal(p): Decimal(q) for p, q in data[side]} for side in ("bids", "asks")}
        elif topic.startswith("/contractMarket/level2:"):
            frames.append(message["data"])
    applied = 0
    for data in frames:
        if data["sequence"] <= sequence:
            continue
        assert data["sequence"] == sequence + 1
        sequence, applied = sequence + 1, applied + 1
        price, word, qty = data["change"].split(",")
        side = book["bids" if word == "buy" else "asks"]
        side.pop(Decimal(price), None)
        if Decimal(qty):
            side[Decimal(price)] = Decimal(qty)
    row = replayed(Product.PERP, path)["MYROUSDTM"]
    assert (row["state"], row["sequence"], row["applied"], row["gaps"]) == ("LIVE", sequence, applied, 0)
    assert applied == 3
    for name, levels in book.items():
        assert {Decimal(p): Decimal(q) for p, q in row[name]} == levels


def test_literals_of_2022_have_a_hole(kucoin: Path) -> None:
    """Two frames of one pair that are far apart: without a snapshot nothing is claimed."""
    row = replayed(Product.SPOT, kucoin / "tardis_test_literals" / "spot.jsonl")["BTC-USDT"]
    assert (row["state"], row["applied"], row["bids"]) == ("SYNCING", 0, [])
