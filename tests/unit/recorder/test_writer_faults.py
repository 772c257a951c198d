"""Killed and frozen writers, full disks, leftovers, and more rows than there is room for."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import ConfigError
from engine.recorder.files import TEMPORARY, remove_leftovers
from engine.recorder.recorder import DEATHS_MAX, SMALL_CAPACITY, Recorder, boot_id
from tests.unit.recorder.recording import NOON_NS, frame, instrument, recording, rows, until
from tests.unit.recorder.test_files import trade


def feed_trades(recorder: Recorder, numbers: range) -> None:
    for number in numbers:
        recorder.record_trade("binance", trade(number, number, 1, NOON_NS + number))


def ids(root: Path) -> list[int]:
    return [row[0] for row in rows(root, "trades", "trade_id", "trade_id")]


async def test_kill_9_loses_nothing_that_was_handed_over(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        recorder = bench.recorder
        recorder.describe(1, instrument())
        feed_trades(recorder, range(500))
        await bench.flushed()
        for round_number in range(1, 4):
            # A frozen writer holds its batch for certain when it is killed.
            victim = recorder.writer_pid
            os.kill(victim, signal.SIGSTOP)
            feed_trades(recorder, range(round_number * 500, round_number * 500 + 400))
            recorder.poll(force=True)
            os.kill(victim, signal.SIGKILL)
            # From death to restart everything goes on: rows, flushes, new instruments, in this very tick.
            feed_trades(recorder, range(round_number * 500 + 400, round_number * 500 + 500))
            recorder.poll(force=True)
            recorder.describe(2, instrument("ETH/USDT"))
            await until(lambda wanted=round_number: recorder.writer_restarts == wanted)  # type: ignore[misc]
            recorder.poll(force=True)
            await bench.flushed()
        assert recorder.rows_lost == recorder.rows_dropped == 0
        assert recorder.rows_written == 2_000
        failures = bench.logged("task.failed")
        assert [line["error"] for line in failures] == ["exit code -9"] * 3
    assert ids(tmp_path) == list(range(2_000))


async def test_a_batch_that_kills_every_writer_is_given_up_and_counted(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        recorder = bench.recorder
        recorder.describe(1, instrument())
        recorder.describe(2, instrument("BAD/USDT", price_scale=1_000))  # no int8: a writer dies of it
        recorder.record_trade("binance", trade(1, 1, 1, NOON_NS, "BAD/USDT"))
        recorder.poll(force=True)
        feed_trades(recorder, range(10))
        recorder.poll(force=True)
        await bench.flushed()
        assert (recorder.writer_restarts, recorder.rows_lost, recorder.rows_written) == (DEATHS_MAX, 1, 10)
        assert bench.logged("parquet.shed")[0]["cause"] == "3 writers died of a batch of trades"
    assert ids(tmp_path) == list(range(10))


async def test_a_frozen_writer_costs_rows_that_are_counted_and_no_time(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        recorder = bench.recorder
        book, feed = bench.book(1)
        recorder.poll(force=True)
        await bench.flushed()
        os.kill(recorder.writer_pid, signal.SIGSTOP)
        fed = 0
        for last in range(101, 101 + 8_000):
            assert feed.feed(frame(last, [["90.0", f"{last}.0"]], []), 0, NOON_NS + last)
            fed += 1
            if last % 50 == 0:
                recorder.poll()
        assert book.is_live
        assert book.sequence == 8_100
        stats = recorder.stats()
        assert stats["rows_dropped"] == fed - (stats["rows_waiting"] + stats["rows_in_flight"])
        assert stats["rows_waiting"] == recorder.deltas.capacity
        bench.clock.advance(2_000_000_000)
        recorder.poll()
        os.kill(recorder.writer_pid, signal.SIGCONT)
        await bench.flushed()
        assert recorder.rows_written + recorder.rows_dropped == fed
        shed = bench.logged("parquet.shed")
        assert [line["cause"] for line in shed] == ["the writer is behind"]
        assert shed[0]["rows"] == recorder.rows_dropped
    sequences = [row[0] for row in rows(tmp_path, "l2_deltas", "last_sequence", "last_sequence")]
    assert len(set(sequences)) == len(sequences) == fed - recorder.rows_dropped


async def test_full_snapshots_without_room_are_taken_later(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        recorder = bench.recorder
        os.kill(recorder.writer_pid, signal.SIGSTOP)
        count = SMALL_CAPACITY // 70 * 4
        books = [bench.book(number, instrument(f"A{number % 20}/USDT"))[0] for number in range(count)]
        for book in books:
            recorder.record_snapshot(book, -1)  # more than the three sets hold
        assert recorder.rows_dropped == 0
        os.kill(recorder.writer_pid, signal.SIGCONT)
        await bench.flushed()
        await until(lambda: recorder.rows_written == count * 70)
        assert recorder.rows_dropped == recorder.rows_lost == 0


@pytest.mark.parametrize("writer", ["process", "thread"])
async def test_a_full_disk_is_counted_and_recovered_from(tmp_path: Path, writer: Any) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with recording(tmp_path, writer=writer) as bench:
        recorder = bench.recorder
        recorder.describe(1, instrument())
        limited = recorder.writer_pid or os.getpid()
        resource.prlimit(limited, resource.RLIMIT_FSIZE, (1_000, before[1]))
        try:
            feed_trades(recorder, range(5_000))
            await bench.flushed()
        finally:
            resource.prlimit(limited, resource.RLIMIT_FSIZE, before)
        assert recorder.rows_lost == 5_000
        assert recorder.rows_written == 0
        assert "large" in recorder.last_error
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        feed_trades(recorder, range(5_000, 5_010))
        await bench.flushed()
        assert recorder.rows_written == 10
        assert recorder.last_error == ""
        assert bench.logged("parquet.shed")[0]["rows"] == 5_000
    assert ids(tmp_path) == list(range(5_000, 5_010))


async def test_after_a_hole_books_are_wanted_in_full_once_rows_are_written_again(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with recording(tmp_path) as bench:
        recorder = bench.recorder
        recorder.describe(1, instrument())
        feed_trades(recorder, range(10))
        await bench.flushed()
        wishes = [recorder.wants_bases]
        resource.prlimit(recorder.writer_pid, resource.RLIMIT_FSIZE, (1_000, before[1]))
        feed_trades(recorder, range(5_000))
        await bench.flushed()
        assert recorder.rows_lost == 5_000
        wishes.append(recorder.wants_bases)
        resource.prlimit(recorder.writer_pid, resource.RLIMIT_FSIZE, before)
        feed_trades(recorder, range(10, 20))
        await bench.flushed()
        wishes.append(recorder.wants_bases)
        recorder.wants_bases = False
        feed_trades(recorder, range(20, 30))
        await bench.flushed()
        wishes.append(recorder.wants_bases)
    # None while nothing can be written: full books would be lost as well. One hole, one wish.
    assert wishes == [False, False, True, False]


async def test_rows_left_at_the_end_count_as_lost(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        recorder = bench.recorder
        recorder.describe(1, instrument())
        os.kill(recorder.writer_pid, signal.SIGSTOP)
        feed_trades(recorder, range(10))
        await recorder.close(timeout_s=0.05)
        assert recorder.rows_lost == 10
        assert bench.logged("parquet.shed")[0]["rows"] == 10


async def test_an_instrument_never_described_is_an_error_not_a_crash(tmp_path: Path) -> None:
    async with recording(tmp_path) as bench:
        book, feed = bench.book(1)
        bench.recorder._described.clear()
        unknown, other = bench.book(2)
        unknown.book_id = 99
        assert other.feed(frame(101, [["90.0", "1.0"]], []), 0, NOON_NS)
        assert feed.feed(frame(101, [["90.0", "1.0"]], []), 0, NOON_NS)
        await bench.flushed()
        assert bench.recorder.rows_lost == 1
        assert bench.recorder.last_error == "book 99 is not described"
        assert book.is_live


def test_leftovers_are_removed_and_files_in_use_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "exchange=binance" / "pair=BTC%2FUSDT" / "date=2026-07-10"
    folder.mkdir(parents=True)
    dead, held, good = (
        folder / name for name in (f"a.parquet{TEMPORARY}", f"b.parquet{TEMPORARY}", "c.parquet")
    )
    for path in (dead, held, good):
        path.write_bytes(b"PAR1half")
    with open(held, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert remove_leftovers(tmp_path) == 1
    assert sorted(path.name for path in folder.iterdir()) == [held.name, good.name]
    assert remove_leftovers(tmp_path) == 1
    assert [path.name for path in folder.iterdir()] == [good.name]


ENGINE = """
import asyncio, sys
from pathlib import Path
from tests.unit.recorder.recording import recording, instrument
from tests.unit.recorder.test_writer_faults import feed_trades
async def main():
    async with recording(Path(sys.argv[1])) as bench:
        bench.recorder.describe(1, instrument())
        feed_trades(bench.recorder, range(1000))
        bench.recorder.poll(force=True)
        feed_trades(bench.recorder, range(1000, 1100))
        print(bench.recorder.writer_pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_killed_engine_leaves_whole_files_and_no_writer(tmp_path: Path) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with engine:
        assert engine.stdout is not None
        writer = int(engine.stdout.readline())
        engine.kill()
        deadline = time.monotonic() + 30
        while _is_alive(writer):
            assert time.monotonic() < deadline, "the writer outlives the engine"
            time.sleep(0.01)
    assert ids(tmp_path) == list(range(1000))  # what was handed over; the set being filled is gone
    assert remove_leftovers(tmp_path) == 0


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kind", ["a file", "no permission"])
async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "x"
    if kind == "a file":
        root.write_text("")
    else:
        root = Path("/proc/nowhere")
    with pytest.raises(ConfigError, match=r"recorder\.directory .* must be writable"):
        async with recording(root):
            pass


async def test_a_writer_that_cannot_start_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match="did not start"):
        async with recording(tmp_path):
            pass
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ConfigError, match="cannot be started: No such file"):
        async with recording(tmp_path):
            pass


async def test_a_writer_that_cannot_come_back_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with recording(tmp_path) as bench:
        recorder = bench.recorder
        recorder.describe(1, instrument())
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/bin/false")
            os.kill(recorder.writer_pid, signal.SIGKILL)
            feed_trades(recorder, range(10))
            recorder.poll(force=True)
            await until(lambda: recorder.writer_restarts == 1)
            await until(lambda: bench.recorder._log.counts.get("task.failed", 0) >= 2)
        await bench.flushed()
        assert recorder.rows_lost == 0
    assert ids(tmp_path) == list(range(10))


def test_boots_differ_even_in_one_second_and_sort() -> None:
    boots = [boot_id(NOON_NS) for _ in range(20)]
    assert len(set(boots)) == 20
    assert boot_id(NOON_NS) < boot_id(NOON_NS + 10**9)
