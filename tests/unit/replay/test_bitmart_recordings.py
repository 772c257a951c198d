"""BitMart's recorded and documented frames through the replay: books equal to an independent reference."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.instrument import Product
from engine.replay.replay import replay_files
from engine.supervisor.wiring import replay_adapter
from tests.property.depth_dialects import BITMART_FUTURES, BITMART_SPOT, Dialect, Reference

Row = dict[str, Any]
DIALECTS = {Product.SPOT: BITMART_SPOT, Product.PERP: BITMART_FUTURES}


@pytest.fixture
def bitmart(shared_fixtures: Path) -> Path:
    return shared_fixtures / "bitmart"


def replayed(product: Product, path: Path) -> dict[str, Row]:
    rows = replay_files(replay_adapter("bitmart", product), [path], None, True)
    return {row["instrument"]: row for row in rows}


def depth_frames(lines: list[bytes], product: Product) -> dict[str, list[bytes]]:
    """Return the depth frames of each symbol, told by what they hold and nothing else."""
    found: dict[str, list[bytes]] = {}
    for raw in lines:
        message = json.loads(raw)
        if ("table" in message) != (product is Product.SPOT):
            continue
        data = message.get("data")
        data = data[0] if isinstance(data, list) and data else data
        if isinstance(data, dict) and "version" in data:
            found.setdefault(data["symbol"], []).append(raw)
    return found


def assert_same(row: Row, dialect: Dialect, frames: list[bytes]) -> None:
    reference = Reference(dialect)
    for raw in frames:
        reference.feed(raw)
    assert (row["state"], row["gaps"], row["sequence"]) == ("LIVE", 0, reference.last)
    for key, side in (("bids", reference.bids), ("asks", reference.asks)):
        assert {Decimal(price): Decimal(qty) for price, qty in row[key]} == side


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"\n".join(line.strip() for line in lines) + b"\n")
    return path


def test_the_captured_futures_frames(bitmart: Path) -> None:
    path = bitmart / "captured_2026-09-23" / "futures_ws.jsonl"
    frames = depth_frames(path.read_bytes().splitlines(), Product.PERP)
    rows = replayed(Product.PERP, path)
    assert set(rows) == set(frames) == {"ASTEROIDETHUSDT"}  # and none for an acknowledgement's topic
    for symbol, row in rows.items():
        assert row["applied"] == len(frames[symbol]) == 2
        assert_same(row, BITMART_FUTURES, frames[symbol])


@pytest.mark.parametrize("product", list(Product))
def test_the_documented_frames(bitmart: Path, tmp_path: Path, product: Product) -> None:
    table = (bitmart / "official_doc_ws_samples" / "samples.tsv").read_text()
    lines = [line.split("\t")[2].replace("\xa0", " ") for line in table.splitlines()]
    raws = [line.encode() for line in lines if line.strip().startswith("{")]
    frames = depth_frames([raw for raw in raws if b'"version"' in raw], product)
    rows = replayed(product, write(tmp_path / "documented.jsonl", raws))
    assert set(rows) == set(frames)
    assert len(rows) == 1
    for symbol, row in rows.items():
        assert row["applied"] == len(frames[symbol]) == 2
        assert_same(row, DIALECTS[product], frames[symbol])


def test_the_deflated_snapshot(bitmart: Path, tmp_path: Path) -> None:
    vectors = [json.loads(line) for line in (bitmart / "deflate_vectors.jsonl").read_text().splitlines()]
    inflated = [zlib.decompress(bytes.fromhex(each["raw_deflate_hex"]), -15) for each in vectors]
    assert [raw.decode() for raw in inflated] == [each["text"] for each in vectors]
    frames = depth_frames(inflated, Product.SPOT)
    rows = replayed(Product.SPOT, write(tmp_path / "inflated.jsonl", inflated))
    assert set(rows) == {"BTC_USDT"}
    assert_same(rows["BTC_USDT"], BITMART_SPOT, frames["BTC_USDT"])


def test_a_transcript_of_a_client(bitmart: Path, tmp_path: Path) -> None:
    text = (bitmart / "client_samples_bitmart_net" / "Subscriptions" / "Spot" / "OrderBook.txt").read_text()
    raw = json.dumps(json.loads(text.partition("=")[2])).encode()
    rows = replayed(Product.SPOT, write(tmp_path / "client.jsonl", [raw]))
    assert set(rows) == {"ETH_USDT"}
    assert_same(rows["ETH_USDT"], BITMART_SPOT, [raw])


@pytest.mark.parametrize("product", list(Product))
def test_a_missing_frame_is_a_gap(bitmart: Path, tmp_path: Path, product: Product) -> None:
    table = (bitmart / "official_doc_ws_samples" / "samples.tsv").read_text()
    lines = [line.split("\t")[2].replace("\xa0", " ").encode() for line in table.splitlines()]
    (pair,) = depth_frames([raw for raw in lines if b'"version"' in raw], product).values()
    snapshot, update = pair
    version = json.loads(update)["data"]
    last = (version[0] if isinstance(version, list) else version)["version"]
    later = update.replace(b"%d" % last, b"%d" % (last + 1))
    (row,) = replayed(product, write(tmp_path / "hole.jsonl", [snapshot, later])).values()
    assert (row["state"], row["gaps"]) == ("SYNCING", 1)
    repaired = snapshot.replace(b"%d" % (last - 1), b"%d" % (last + 1))
    (row,) = replayed(product, write(tmp_path / "mended.jsonl", [snapshot, later, repaired])).values()
    assert (row["state"], row["sequence"]) == ("LIVE", last + 1)
