"""Every Binance recording ends in books equal, level for level, to a replay in Decimals made here."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.book import l2
from engine.book.pure import PureBook, PureDepthFeed
from engine.model.instrument import Product
from engine.replay import replay as replay_module
from engine.replay.replay import replay_files
from engine.supervisor.wiring import replay_adapter

Side = dict[Decimal, Decimal]


class Reference:
    """The venue's own procedure, in Decimals, written from the documentation and from nothing else here."""

    def __init__(self, snapshot: dict[str, Any], is_perp: bool) -> None:
        self.bids: Side = {Decimal(p): Decimal(q) for p, q in snapshot["bids"]}
        self.asks: Side = {Decimal(p): Decimal(q) for p, q in snapshot["asks"]}
        self.last = snapshot["lastUpdateId"]
        self.is_perp = is_perp
        self.applied = self.gaps = 0

    def feed(self, data: dict[str, Any]) -> None:
        if not self.applied:
            if data["u"] < self.last or (not self.is_perp and data["u"] == self.last):
                return
            joins = data["U"] <= self.last + (0 if self.is_perp else 1)
        else:
            joins = data["pu"] == self.last if self.is_perp else data["U"] == self.last + 1
        if not joins:
            self.gaps += 1
        for side, key in ((self.bids, "b"), (self.asks, "a")):
            for price, qty in data[key]:
                if Decimal(qty) == 0:
                    side.pop(Decimal(price), None)
                else:
                    side[Decimal(price)] = Decimal(qty)
        self.last = data["u"]
        self.applied += 1


def _lines(path: Path) -> list[bytes]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [line for line in raw.split(b"\n") if line]


def _inline(path: Path, is_perp: bool) -> dict[str, Reference]:
    bodies = [json.loads(line.split(b" ", 1)[1]) for line in _lines(path)]
    snapshot = next(body for body in bodies if "lastUpdateId" in body)
    reference = Reference(snapshot, is_perp)
    for body in bodies:
        if "@depth@" in body.get("stream", ""):
            reference.feed(body["data"])
    return {"BTCUSDT": reference}


def _apart(ws: Path, http: Path, is_perp: bool) -> dict[str, Reference]:
    references = {}
    for line in _lines(http):
        head, _, body = line.partition(b": ")
        if b"/depth?" in head:
            symbol = head.split(b"symbol=")[1].split(b"&")[0].decode()
            references[symbol] = Reference(json.loads(body), is_perp)
    for line in _lines(ws)[1:]:
        body = json.loads(line.split(b": ", 1)[1])
        if "@depth@" in body.get("stream", ""):
            references[body["stream"].split("@")[0].upper()].feed(body["data"])
    return references


CASES = [
    ("spot", ["spot_btcusdt_20240808.rec.gz"], 1195),
    ("perp", ["usdm_btcusdt_20240808.rec.gz"], 1145),
    ("spot", ["spot_btcusdt_20240808.head.rec"], 8),
    ("perp", ["usdm_btcusdt_20240808.head.rec"], 15),
    ("spot", ["cryptofeed_spot_2021.ws.txt", "cryptofeed_spot_2021.http.txt"], 172),
    ("perp", ["cryptofeed_usdm_2021.ws.txt", "cryptofeed_usdm_2021.http.txt"], 752),
]
"""Applied counts are those of the fixtures' own README (an independent replay)."""


@pytest.mark.parametrize(("product", "files", "applied"), CASES)
@pytest.mark.parametrize("implementation", ["best", "pure"])
def test_recordings(
    shared_fixtures: Path, product: str, files: list[str], applied: int, implementation: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if implementation == "pure":
        monkeypatch.setattr(replay_module, "new_book", PureBook)
        monkeypatch.setattr(replay_module, "new_feed", PureDepthFeed)
    elif not l2.COMPILED:
        pytest.skip("the kernel is not compiled here: the pure case covers it")
    paths = [shared_fixtures / "binance" / name for name in files]
    is_perp = product == "perp"
    references = _inline(paths[0], is_perp) if len(paths) == 1 else _apart(paths[0], paths[1], is_perp)
    rows = replay_files(replay_adapter("binance", Product(product)), paths, None, True)
    assert {row["instrument"] for row in rows} == set(references)
    assert sum(row["applied"] for row in rows) == applied
    for row in rows:
        reference = references[row["instrument"]]
        assert (row["state"], row["gaps"], row["sequence"]) == ("LIVE", reference.gaps, reference.last)
        assert row["applied"] == reference.applied
        for key, side, reverse in (("bids", reference.bids, True), ("asks", reference.asks, False)):
            expected = sorted(side.items(), reverse=reverse)
            assert [(Decimal(p), Decimal(q)) for p, q in row[key]] == expected


def test_a_hole_in_a_recording_is_found_where_it_is(shared_fixtures: Path, tmp_path: Path) -> None:
    lines = _lines(shared_fixtures / "binance" / "spot_btcusdt_20240808.rec.gz")
    depth = [number for number, line in enumerate(lines) if b"@depth@" in line]
    del lines[depth[600]]
    damaged = tmp_path / "damaged.rec"
    damaged.write_bytes(b"\n".join(lines) + b"\n")
    (row,) = replay_files(replay_adapter("binance", Product.SPOT), [damaged], None, False)
    assert (row["gaps"], row["state"]) == (1, "SYNCING")


@pytest.mark.parametrize(("product", "name"), [("spot", "spot"), ("perp", "usdm")])
def test_the_top_of_book_stream_is_the_referee(shared_fixtures: Path, product: str, name: str) -> None:
    """After the delta that ends at ``u`` the newest bookTicker not above ``u`` is the top of our book."""
    path = shared_fixtures / "binance" / f"{name}_btcusdt_20240808.rec.gz"
    adapter = replay_adapter("binance", Product(product))
    book, feed = l2.new_book("BTCUSDT", 8, 8), l2.new_feed(adapter.schema)
    feed.add(f"btcusdt@depth@{'100ms' if product == 'spot' else '0ms'}", book)
    book.begin_sync()
    messages = [line.split(b" ", 1)[1] for line in _lines(path)]
    tickers = sorted(
        (data["u"], data["b"], data["B"], data["a"], data["A"])
        for data in (json.loads(raw)["data"] for raw in messages if b"@bookTicker" in raw[:40])
    )
    kept: list[bytes] = []
    at = checked = 0
    for raw in messages:
        if raw.startswith(b'{"lastUpdateId"'):
            book.load_snapshot(adapter.decode_snapshot(_unlisted(product), raw))
            pending = kept
        elif b"@depth@" in raw[:40]:
            if not book.sequence:
                kept.append(raw)
                continue
            pending = [raw]
        else:
            continue
        for each in pending:
            feed.feed_code(each)
            if not book.is_live:
                continue
            while at + 1 < len(tickers) and tickers[at + 1][0] <= book.sequence:
                at += 1
            if tickers[at][0] <= book.sequence:
                bid, bid_qty, ask, ask_qty = book.touch()
                expected = [int(Decimal(text) * 10**8) for text in tickers[at][1:]]
                assert [bid, bid_qty, ask, ask_qty] == expected
                checked += 1
    assert checked > 1_100


def _unlisted(product: str) -> Any:
    return replay_module._unlisted("binance", Product(product), "BTCUSDT")
