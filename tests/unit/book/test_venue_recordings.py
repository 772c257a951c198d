"""Recordings of OKX, Bybit, KuCoin and BitMart end in the books that an independent replay gives."""

from __future__ import annotations

import hashlib
import json
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.book.l2 import COMPILED, new_book, new_feed
from engine.book.pure import PureBook, PureDepthFeed
from engine.model.market import BookSnapshot, Feed
from tests.property.depth_dialects import (
    BITMART_FUTURES,
    BITMART_SPOT,
    BYBIT,
    DIALECTS,
    KUCOIN_FUTURES,
    KUCOIN_SPOT,
    KUCOIN_UTA,
    OKX,
    Dialect,
    Reference,
    Side,
    SpotReference,
)

SCALE = 10
MAKERS: list[tuple[Any, Any]] = [(PureBook, PureDepthFeed)]
if COMPILED:
    MAKERS.append((new_book, new_feed))


def _pairs(
    dialect: Dialect, route: str, contract_size: Decimal = Decimal(1), qty_scale: int = SCALE
) -> list[tuple[Any, Any]]:
    pairs = []
    for make_book, make_feed in MAKERS:
        book, feed = make_book("X", SCALE, qty_scale, 1, contract_size), make_feed(dialect.schema)
        feed.add(route, book)
        book.begin_sync()
        pairs.append((book, feed))
    return pairs


def _feed(pairs: list[tuple[Any, Any]], raw: bytes) -> Feed:
    (code,) = {Feed(feed.feed_code(raw)) for _, feed in pairs}
    return code


def _side(book: Any, side: int) -> Side:
    scale = -book.qty_scale
    return {Decimal(p).scaleb(-SCALE): Decimal(q).scaleb(scale) for p, q in book.depth(side).tolist()}


def _same(pairs: list[tuple[Any, Any]], reference: Reference) -> None:
    for book, _ in pairs:
        assert book.is_live == (reference.state == "LIVE")
        assert (_side(book, 0), _side(book, 1)) == (reference.bids, reference.asks)
        assert book.sequence == reference.last


def _received(path: Path, needle: str) -> list[bytes]:
    lines = [line.split(": ", 1) for line in path.read_text().splitlines() if " <" not in line[:200]]
    return [parts[1].encode() for parts in lines if len(parts) == 2 and needle in parts[1]]


# ---------------------------------------------------------------------------------------------- OKX


def _checksum(bids: dict[Decimal, tuple[str, str]], asks: dict[Decimal, tuple[str, str]]) -> int:
    best = [[bids[p] for p in sorted(bids, reverse=True)[:25]], [asks[p] for p in sorted(asks)[:25]]]
    parts: list[str] = []
    for rank in range(25):
        for side in best:
            if rank < len(side):
                parts += side[rank]
    value = zlib.crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


def _okx_chained(path: Path) -> list[bytes]:
    """Frames of 2022 have no ids: give them a chain that jumps, as today's have."""
    made, previous = [], -1
    for number, raw in enumerate(_received(path, '"channel":"books"')):
        message = json.loads(raw)
        if "data" not in message:
            made.append(raw)
            continue
        (data,) = message["data"]
        data["seqId"] = 32_032_594_283 + 7 * number
        data["prevSeqId"], previous = previous, data["seqId"]
        made.append(json.dumps(message).encode())
    return made


def test_okx_2022(shared_fixtures: Path) -> None:
    """Every frame's real checksum is that of our book: an oracle that neither side of the test computed."""
    frames = _okx_chained(shared_fixtures / "okx" / "recordings" / "2022-05-13_BTC-USDT.ws.txt")
    pairs, reference = _pairs(OKX, "books\nBTC-USDT"), Reference(OKX)
    texts: list[dict[Decimal, tuple[str, str]]] = [{}, {}]
    applied = 0
    for raw in frames:
        if b'"event"' in raw:
            assert _feed(pairs, raw) is Feed.PASS
            continue
        (data,) = json.loads(raw)["data"]
        assert _feed(pairs, raw) is Feed.APPLIED
        assert reference.feed(raw) == "APPLIED"
        applied += 1
        _same(pairs, reference)
        for text, key in zip(texts, ("bids", "asks"), strict=True):
            text.update({Decimal(row[0]): (row[0], row[1]) for row in data[key]})
        ours = [_side(pairs[0][0], side) for side in (0, 1)]
        live = [{p: t for p, t in texts[side].items() if p in ours[side]} for side in (0, 1)]
        assert _checksum(live[0], live[1]) == data["checksum"]
    assert applied == 98
    assert (pairs[0][0].levels(0), pairs[0][0].levels(1)) == (400, 400)


def test_okx_hole_is_found_where_it_is(shared_fixtures: Path) -> None:
    frames = _okx_chained(shared_fixtures / "okx" / "recordings" / "2022-05-13_BTC-USDT.ws.txt")
    frames = [raw for raw in frames if b'"event"' not in raw]
    pairs = _pairs(OKX, "books\nBTC-USDT")
    codes = [_feed(pairs, raw) for raw in [*frames[:40], *frames[41:]]]
    assert codes == [Feed.APPLIED] * 40 + [Feed.GAP] + [Feed.BUFFER] * 56


def test_okx_worked_example() -> None:
    """The documentation's own chain: snapshot 10, update 15, sign of life 15, reset 3, update 5."""
    pairs = _pairs(OKX, OKX.route, OKX.contract_size)
    shape = (
        '{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"%s","data":[{"asks":[%s],"bids":[],'
        '"ts":"1597026383085","checksum":0,"seqId":%d,"prevSeqId":%d}]}'
    )
    row = '["8476.98","415","0","13"]'
    chain = [
        ("snapshot", row, 10, -1),
        ("update", row, 15, 10),
        ("update", "", 15, 15),
        ("update", "", 3, 15),
    ]
    codes = [_feed(pairs, (shape % step).encode()) for step in [*chain, ("update", row, 5, 3)]]
    assert codes == [Feed.APPLIED, Feed.APPLIED, Feed.OLD, Feed.APPLIED, Feed.APPLIED]
    assert _feed(pairs, (shape % ("update", row, 5, 5)).encode()) is Feed.GAP
    for book, _ in pairs:
        assert _side(book, 1) == {Decimal("8476.98"): Decimal("4.15")}
        assert book.venue_utc_ns == 1597026383085 * 1_000_000


@pytest.mark.parametrize("name", ["books_l2_tbt.books_snapshot.json", "books_l2_tbt.books_update.json"])
def test_okx_frames_of_2025(shared_fixtures: Path, name: str) -> None:
    raw = (shared_fixtures / "okx" / "frames_roq" / name).read_bytes()
    arg = json.loads(raw)["arg"]
    pairs = _pairs(OKX, f"{arg['channel']}\n{arg['instId']}")
    assert _feed(pairs, raw) is (Feed.APPLIED if "snapshot" in name else Feed.BUFFER)


# -------------------------------------------------------------------------------------------- Bybit


def test_bybit_2024(shared_fixtures: Path) -> None:
    (path,) = (shared_fixtures / "bybit" / "recordings").glob("*.jsonl")
    frames = path.read_bytes().splitlines()
    pairs, reference = _pairs(BYBIT, "orderbook.500.XRPUSDT"), Reference(BYBIT)
    for raw in frames:
        assert _feed(pairs, raw) is Feed.APPLIED
        reference.feed(raw)
        _same(pairs, reference)
    assert len(frames) == 26
    assert (pairs[0][0].levels(0), pairs[0][0].levels(1), pairs[0][0].sequence) == (500, 500, 20254894)


def test_bybit_hole_is_found_where_it_is(shared_fixtures: Path) -> None:
    (path,) = (shared_fixtures / "bybit" / "recordings").glob("*.jsonl")
    frames = path.read_bytes().splitlines()
    pairs = _pairs(BYBIT, "orderbook.500.XRPUSDT")
    codes = [_feed(pairs, raw) for raw in [*frames[:10], *frames[11:14], frames[0]]]
    assert codes == [Feed.APPLIED] * 10 + [Feed.GAP, Feed.BUFFER, Feed.BUFFER, Feed.APPLIED]


# ------------------------------------------------------------------------------------------- KuCoin


def _canonical(book: Any) -> str:
    lines = []
    for letter, side in (("b", 0), ("a", 1)):
        for price, qty in _side(book, side).items():
            lines.append(f"{letter} {price.normalize():f} {qty.normalize():f}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _rest_books(path: Path) -> dict[str, Any]:
    found = {}
    for line in path.read_text().splitlines():
        head, _, body = line.partition(": ")
        found[head.split("symbol=")[1].split(" ")[0]] = json.loads(body)["data"]
    return found


def _loaded(rest: dict[str, Any]) -> tuple[BookSnapshot, Side, Side, int]:
    """Return the snapshot, both sides, and the decimals of its quantities: old ones have many."""
    sides = [{Decimal(p): Decimal(q) for p, q in rest[key]} for key in ("bids", "asks")]
    scale = max(-int(q.as_tuple().exponent) for side in sides for q in side.values())
    rows = [
        np.array([[int(p.scaleb(SCALE)), int(q.scaleb(scale))] for p, q in side.items()], dtype=np.int64)
        for side in sides
    ]
    return BookSnapshot(int(rest["sequence"]), rows[0], rows[1], None), sides[0], sides[1], scale


@pytest.mark.parametrize("symbol", ["BCHSV-USDT", "CAPP-BTC", "ANKR-BTC", "DAPPT-BTC", "COV-BTC"])
def test_kucoin_2021(shared_fixtures: Path, symbol: str) -> None:
    folder = shared_fixtures / "kucoin" / "recorded_2021-04-25"
    expected = json.loads((folder / "expected_books.json").read_text())[symbol]
    topic = f"/market/level2:{symbol}"
    snapshot, bids, asks, scale = _loaded(_rest_books(folder / "rest_level2.txt")[symbol])
    pairs, reference = _pairs(KUCOIN_SPOT, topic, qty_scale=scale), SpotReference(KUCOIN_SPOT)
    frames = _received(folder / "ws_frames.txt", f'"topic":"{topic}","type":"message"')
    for book, _ in pairs:
        book.load_snapshot(snapshot)
    reference.load(bids, asks, snapshot.sequence)
    codes = []
    for raw in frames:
        codes.append(_feed(pairs, raw))
        assert codes[-1].name == reference.feed(raw)
    assert codes.count(Feed.OLD) == expected["frames_dropped_before_snapshot"]
    assert codes.count(Feed.APPLIED) == expected["frames_applied"]
    assert len(codes) == codes.count(Feed.OLD) + codes.count(Feed.APPLIED)
    _same(pairs, reference)
    for book, _ in pairs:
        assert book.sequence == expected["last_sequence"]
        assert _canonical(book) == expected["canonical_sha256"]


def test_kucoin_captured_frames(shared_fixtures: Path) -> None:
    """Frames of 2026: the unified stream's snapshot and delta, the classic futures' single change."""
    lines = (shared_fixtures / "kucoin" / "captured_2026-09-22" / "frames.jsonl").read_bytes().splitlines()
    (snapshot,) = [line for line in lines if b'"t":"snapshot"' in line and b"obu.FUTURES" in line]
    (delta,) = [line for line in lines if b'"t":"delta"' in line]
    (change,) = [line for line in lines if b'"change":' in line]
    pairs = _pairs(KUCOIN_UTA, "obu.FUTURES\nincrement@10ms\nETHUSDTM", Decimal("0.01"))
    assert _feed(pairs, delta) is Feed.PASS  # another symbol's
    assert _feed(pairs, snapshot) is Feed.APPLIED
    for book, _ in pairs:
        assert _side(book, 0) == {Decimal("2749.68"): Decimal("2.77"), Decimal("2749.61"): Decimal("0.45")}
        assert (book.sequence, book.venue_utc_ns) == (1736604716203, 1790114460671676191)
    pairs = _pairs(KUCOIN_FUTURES, KUCOIN_FUTURES.route, KUCOIN_FUTURES.contract_size)
    assert _feed(pairs, change) is Feed.BUFFER
    rest = {"sequence": "1747821025243", "bids": [["83613", "5"]], "asks": [["83615", "5"]]}
    for book, _ in pairs:
        book.load_snapshot(_loaded(rest)[0])
    assert _feed(pairs, change) is Feed.APPLIED
    assert pairs[0][0].touch()[:2] == (83614 * 10**SCALE, 12 * 10 ** (SCALE - 3))


# ------------------------------------------------------------------------------------------ BitMart


def test_bitmart_captured_frames(shared_fixtures: Path) -> None:
    path = shared_fixtures / "bitmart" / "captured_2026-09-23" / "futures_ws.jsonl"
    pairs = _pairs(BITMART_FUTURES, "futures/depthIncrease50:ASTEROIDETHUSDT@100ms")
    reference = Reference(BITMART_FUTURES)
    ours = [
        raw for raw in path.read_bytes().splitlines() if b"ASTEROIDETHUSDT@100ms" in raw and b"version" in raw
    ]
    assert len(ours) >= 2
    for raw in path.read_bytes().splitlines():
        code = _feed(pairs, raw)
        assert code is (Feed.APPLIED if raw in ours else Feed.PASS)
        if raw in ours:
            reference.feed(raw)
    _same(pairs, reference)


def test_bitmart_documented_frames(shared_fixtures: Path) -> None:
    path = shared_fixtures / "bitmart" / "official_doc_ws_samples" / "samples.tsv"
    texts = [line.split("\t")[2].encode() for line in path.read_text().splitlines() if '"version"' in line]
    spot = [raw for raw in texts if b'"table"' in raw]
    pairs, reference = _pairs(BITMART_SPOT, BITMART_SPOT.route), Reference(BITMART_SPOT)
    assert len(spot) == 2
    for raw in spot:
        assert _feed(pairs, raw) is Feed.APPLIED
        reference.feed(raw)
    _same(pairs, reference)


@pytest.mark.fault("P32")
def test_acknowledgements_that_repeat_the_route_are_nobodys() -> None:
    """They hold the book's route and no levels: a book must not fall over them."""
    cases = {
        "okx": b'{"id":"1","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"connId":"a"}',  # noqa: E501
        "bybit": b'{"success":true,"ret_msg":"","conn_id":"2324d924","req_id":"test","op":"subscribe"}',
        "kucoin_uta": b'{"id":"p1","result":true}',
        "kucoin_spot": b'{"id":"1","type":"ack"}',
        "kucoin_futures": b'{"id":"1","type":"ack"}',
        "bitmart_spot": b'{"topic":"spot/depth/increase100:BTC_USDT","event":"subscribe"}',
        "bitmart_futures": b'{"action":"subscribe","group":"futures/depthIncrease50:BTCUSDT@100ms","success":true}',  # noqa: E501
    }
    for dialect in DIALECTS:
        pairs = _pairs(dialect, dialect.route)
        assert _feed(pairs, cases[dialect.name]) is Feed.PASS
