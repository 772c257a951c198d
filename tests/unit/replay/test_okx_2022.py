"""OKX frames of 2022 through the replay: proven by their checksums, a gap where one is missing."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.model.instrument import Product
from engine.replay.recordings import RecordKind, read_recording
from engine.replay.replay import replay_files, route_of
from engine.supervisor.wiring import replay_adapter
from engine.venues.okx.recorded import ChecksumChain

OKX_2022 = "2022-05-13_BTC-USDT.ws.txt"


@pytest.fixture
def okx_2022(shared_fixtures: Path) -> Path:
    return shared_fixtures / "okx" / "recordings" / OKX_2022


def reference(path: Path, dropped: int = -1) -> dict[str, dict[Decimal, Decimal]]:
    """Return the book that the recorded frames build, by Decimal dicts alone."""
    book: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
    number = 0
    for record in read_recording(path):
        message: Any = msgspec.json.decode(record.payload)
        if message.get("arg", {}).get("channel") != "books" or "data" not in message:
            continue
        number += 1
        if number == dropped:
            continue
        if message["action"] == "snapshot":
            book = {"bids": {}, "asks": {}}
        for word, side in book.items():
            for price, qty, *_ in message["data"][0][word]:
                side[Decimal(price)] = Decimal(qty)
                if not Decimal(qty):
                    del side[Decimal(price)]
    return book


def test_okx_2022_ends_in_the_reference_book(okx_2022: Path) -> None:
    (row,) = replay_files(replay_adapter("okx", Product.SPOT), [okx_2022], None, True)
    assert (row["state"], row["applied"], row["gaps"]) == ("LIVE", 98, 0)
    expected = reference(okx_2022)
    for word, levels in expected.items():
        best_first = sorted(levels.items(), reverse=word == "bids")
        assert [(Decimal(price), Decimal(qty)) for price, qty in row[word]] == best_first


def test_okx_2022_with_a_frame_missing_is_a_gap(okx_2022: Path, tmp_path: Path) -> None:
    lines = okx_2022.read_bytes().splitlines(keepends=True)
    depth = [index for index, line in enumerate(lines) if b'"channel":"books"' in line and b'"data"' in line]
    damaged = tmp_path / OKX_2022
    damaged.write_bytes(b"".join(line for index, line in enumerate(lines) if index != depth[40]))
    (row,) = replay_files(replay_adapter("okx", Product.SPOT), [damaged], None, False)
    assert (row["state"], row["applied"], row["gaps"]) == ("SYNCING", 40, 1)


def test_frames_with_ids_and_foreign_frames_pass_the_chain_unchanged() -> None:
    chain = ChecksumChain()
    for payload in (
        b'{"arg":{"channel":"books","instId":"A"},"action":"update","data":[{"asks":[],"bids":[],'
        b'"checksum":0,"seqId":7,"prevSeqId":6}]}',
        b'{"event":"error","code":"60012"}',
        b'{"checksum":',
        b'{"arg":{"instId":"A"},"action":"update","data":[{"asks":[["x"]],"bids":[],"checksum":1}]}',
    ):
        assert chain.translate(payload) == payload


@pytest.mark.parametrize("name", ["okx", "binance"])
def test_routes_are_told_by_the_schema(shared_fixtures: Path, name: str) -> None:
    schema = replay_adapter(name, Product.SPOT).schema
    path = {"okx": f"okx/recordings/{OKX_2022}", "binance": "binance/cryptofeed_spot_2021.ws.txt"}[name]
    records = [each for each in read_recording(shared_fixtures / path) if each.kind is RecordKind.FRAME]
    routes = {route_of(each.payload, schema) for each in records} - {None}
    assert len(routes) >= 3
    assert route_of(b"[1]", schema) is None
    assert route_of(b"{" * 100_000, schema) is None
