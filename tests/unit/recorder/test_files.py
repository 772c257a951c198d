"""What was recorded is what is read, exactly, by readers that know nothing of us."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow.parquet as pq
import pytest

from engine.model.instrument import Product
from engine.model.market import Side, Trade
from engine.recorder.schema import partition
from tests.unit.recorder.recording import (
    NOON_NS,
    arrow_rows,
    frame,
    instrument,
    recording,
    rows,
)

WRITERS: list[Literal["process", "thread"]] = ["process", "thread"]
UNIT = 10**8


def trade(trade_id: int, price: int, qty: int, at: int, universal: str = "BTC/USDT") -> Trade:
    return Trade(universal, trade_id, price, qty, Side(trade_id % 2), at - 3, at, 0)


@pytest.mark.parametrize("writer", WRITERS)
async def test_deltas_trades_and_snapshots_come_back_exactly(
    tmp_path: Path, writer: Literal["process", "thread"]
) -> None:
    generator = random.Random(7)
    deltas: list[tuple[int, ...]] = []
    trades: list[tuple[int, ...]] = []
    async with recording(tmp_path, writer=writer) as bench:
        book, feed = bench.book(7)
        for last in range(101, 401):
            at = NOON_NS + last * 1_000_003
            sides: list[list[list[str]]] = [[], []]
            for side in (0, 1):
                for level in generator.sample(range(30), generator.randrange(5)):
                    price = (90 - level if side == 0 else 102 + level) * UNIT + generator.randrange(UNIT)
                    qty = generator.choice((0, 1, generator.randrange(10**15)))
                    sides[side].append([f"{Decimal(price) / UNIT:.8f}", f"{Decimal(qty) / UNIT:.8f}"])
                    deltas.append((at, (1_783_684_800_000 + last) * 10**6, last, last, side, price, qty))
            assert feed.feed(frame(last, sides[0], sides[1]), 0, at)
            trades.append((at, at - 3, last, last % 2, generator.randrange(1, 10**17), 2**63 - 1 - last))
            bench.recorder.record_trade("binance", trade(last, trades[-1][4], trades[-1][5], at))
            if last % 100 == 0:
                await bench.flushed()
        bench.clock.advance(5)
        bench.recorder.record_snapshot(book, 10)
        bench.recorder.record_snapshot(book, -1)
        expected = [[tuple(level) for level in book.depth(side).tolist()] for side in (0, 1)]
        await bench.flushed()
        # Written and readable while the recorder still runs.
        assert bench.recorder.stats()["rows_lost"] == bench.recorder.rows_dropped == 0
        names = "recv_utc_ns, venue_utc_ns, first_sequence, last_sequence, side, price, qty"
        assert sorted(rows(tmp_path, "l2_deltas", names)) == sorted(deltas)
    keys = names.split(", ")
    assert sorted(tuple(row[key] for key in keys) for row in arrow_rows(tmp_path, "l2_deltas")) == sorted(
        deltas
    )
    names = "recv_utc_ns, venue_utc_ns, trade_id, aggressor, price, qty"
    assert rows(tmp_path, "trades", names) == trades
    for row in arrow_rows(tmp_path, "trades"):
        assert (row["exchange"], row["pair"], row["date"]) == ("binance", "BTC/USDT", "2026-07-10")
        assert (row["price_scale"], row["qty_scale"]) == (8, 8)
    for is_full, limit in ((0, 10), (1, None)):
        for side in (0, 1):
            found = rows(tmp_path, "book_snapshots", "side, is_full, level, price, qty, sequence", "level")
            mine = [(price, qty) for s, f, _, price, qty, _ in found if (s, f) == (side, is_full)]
            assert mine == expected[side][:limit]
            assert {sequence for *_, sequence in found} == {400}


async def test_decimals_as_the_documented_query_gives_them(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        bench.recorder.describe(1, instrument(price_scale=2, qty_scale=5))
        bench.recorder.record_trade("binance", trade(1, 6_500_012, 100_001, NOON_NS))
    found = rows(
        tmp_path, "trades",
        "exchange, pair, date, price / 10.0**price_scale, qty / 10.0**qty_scale",
    )  # fmt: skip
    assert found == [("binance", "BTC/USDT", date(2026, 7, 10), 65000.12, 1.00001)]


async def test_midnight_utc_parts_the_days(tmp_path: Path) -> None:
    midnight = NOON_NS + 12 * 3_600_000_000_000
    async with recording(tmp_path) as bench:
        bench.recorder.describe(1, instrument())
        for number, at in enumerate((midnight - 2, midnight - 1, midnight, midnight + 1)):
            bench.recorder.record_trade("binance", trade(number, 1, 1, at))
    days = {path.parent.name: pq.read_table(path).num_rows for path in tmp_path.rglob("trades-*.parquet")}
    assert days == {"date=2026-07-10": 2, "date=2026-07-11": 2}


@pytest.mark.parametrize(
    "universal",
    [
        "BTC/USDT:USDT", "../../etc/x", "..", ".", "a=b", "A%2FB", "A\\B", "A\nB", "A B", "'; drop --",
        "币安人生/USDT", "pair=x", "*", "A?B#C", "\u202eX", "~",
    ],
)  # fmt: skip
async def test_hostile_pair_names_stay_inside_and_come_back(tmp_path: Path, universal: str) -> None:
    root = tmp_path / "inside"
    async with recording(root, writer="thread") as bench:
        bench.recorder.describe(1, instrument(universal, Product.PERP))
        bench.recorder.record_trade("binance", trade(1, 5, 6, NOON_NS, universal))
    (file,) = tmp_path.rglob("*.parquet")
    assert file.parent.relative_to(root) == Path(partition("binance", universal, "2026-07-10"))
    assert len(file.relative_to(root).parts) == 4
    assert rows(root, "trades", "pair, price, qty") == [(universal, 5, 6)]
    assert [row["pair"] for row in arrow_rows(root, "trades")] == [universal]


async def test_a_name_too_long_for_the_disk_costs_its_own_rows_only(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        bench.recorder.describe(1, instrument("X" * 300))
        bench.recorder.describe(2, instrument("BTC/USDT"))
        bench.recorder.record_trade("binance", trade(1, 5, 6, NOON_NS, "X" * 300))
        bench.recorder.record_trade("binance", trade(2, 5, 6, NOON_NS))
        await bench.flushed()
        assert bench.recorder.rows_lost == 1
        assert "name too long" in bench.recorder.last_error
    assert rows(tmp_path, "trades", "trade_id") == [(2,)]


async def test_files_say_what_they_are(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        bench.recorder.describe(1, instrument())
        bench.recorder.record_trade("binance", trade(1, 5, 6, NOON_NS))
    (file,) = tmp_path.rglob("*.parquet")
    metadata = pq.read_schema(file).metadata
    assert metadata[b"symbol"] == b"BTCUSDT"
    assert metadata[b"product"] == b"spot"
    assert metadata[b"format"] == b"tecore 1"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != file]


async def test_prints_that_were_asked_for_are_marked(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        bench.recorder.describe(1, instrument())
        live = trade(7, 5, 6, NOON_NS)
        bench.recorder.record_trade("binance", live)
        bench.recorder.record_trade("binance", msgspec.structs.replace(live, trade_id=6, is_backfilled=True))
        await bench.flushed()
    assert rows(tmp_path, "trades", "trade_id, is_backfilled", "trade_id") == [(6, 1), (7, 0)]
