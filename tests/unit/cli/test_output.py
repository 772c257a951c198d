"""What people read: nothing is squeezed, cut or folded, whatever the venues have to tell."""

from __future__ import annotations

from typing import Any

import pytest

from engine.book.l2 import FRAME_STAGES
from engine.cli import output

BUDGET = {f"bitmart.perp.window_{number}": f"{number}/40" for number in range(12)}


def venue(**changed: Any) -> dict[str, Any]:
    row = {
        "venue": "bitmart", "product": "perp", "state": "up", "error": "", "books": 10, "live": 10,
        "messages": 123_456, "reconnects": 2, "gaps": 0, "resyncs": 3, "rejected": 0, "budget": BUDGET,
        "wire_to_book_ns": {"p50": 6_300, "p99": 21_500}, "not_live": [],
        "frame_stages_ns": None,
        "feed_latency_ns": {"p50": 1_300_000, "error_ns": 400_000},
    }  # fmt: skip
    return {**row, **changed}


def status(*venues: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "0.1.0", "instance": "te1", "pid": 7, "ready": True, "uptime_s": 33.0,
        "kernel": "compiled", "stalls": 0, "sim_trouble": "", "venues": list(venues),
        "trading": [], "orders": None, "recorder": None,
    }  # fmt: skip


def test_status_has_room_for_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_status(status(venue()))
    out = capsys.readouterr().out
    assert "…" not in out
    line = next(line for line in out.splitlines() if line.startswith("bitmart"))
    assert line.split() == [
        "bitmart", "perp", "up", "10/10", "123456", "2", "0", "3", "0", "6.3", "21.5", "1.3",
        "±0.4", "bitmart.perp.window_11", "11/40",
    ]  # fmt: skip


def test_status_tells_stages_where_they_are_stamped(capsys: pytest.CaptureFixture[str]) -> None:
    stages = {name: {"p50": 310, "p99": 1_900} for name in FRAME_STAGES}
    output.print_status(status(venue(frame_stages_ns=stages), venue(venue="okx")))
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if "0.31 / 1.9" in line)
    assert line.split()[:2] == ["bitmart", "perp"]
    assert line.count("0.31 / 1.9") == len(FRAME_STAGES)
    assert "decided" in out
    assert "okx" not in line


def test_status_tells_a_long_error_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    error = "cannot connect: [Errno 111] Connect call failed ('127.0.0.1', 25502) " + "and more of it " * 6
    output.print_status(status(venue(state="down", error=error)))
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("bitmart"))
    assert line.split()[:4] == ["bitmart", "perp", "down", "10/10"]
    assert "[Errno 111]" in out
    assert " ".join(out.split()).count("and more of it") == 6


def test_status_tells_what_the_recorder_could_not_do(capsys: pytest.CaptureFixture[str]) -> None:
    stats = {"rows_written": 12_934, "files": 39, "rows_dropped": 0, "rows_lost": 0, "error": ""}
    output.print_status({**status(venue()), "recorder": stats})
    assert "recorder: 12934 rows in 39 files\n" in capsys.readouterr().out
    bad = {**stats, "rows_lost": 11_365, "error": "[Errno 28] No space left on device"}
    output.print_status({**status(venue()), "recorder": bad})
    out = capsys.readouterr().out
    assert "0 dropped, 11365 lost; cannot write: [Errno 28] No space left on device" in out


def test_the_fullest_budget_is_a_share_not_a_count() -> None:
    assert output.fullest_budget({"big": "100/6000", "small": "2/3"}) == "small 2/3"
    assert output.fullest_budget({"big": "0/6000"}) == "-"
    assert output.fullest_budget({}) == "-"


def test_the_heading_of_a_book_stays_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    book = {
        "venue": "binance", "pair": "BTC/USDT:USDT", "state": "LIVE", "sequence": 50_093_017_462,
        "age_ms": 12.0, "bids": [["1", "2"]], "asks": [["3", "4"]],
    }  # fmt: skip
    output.console().print(output.book_table(book))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "binance",
        "BTC/USDT:USDT",
        "LIVE",
        "sequence",
        "50093017462",
        "age",
        "12",
        "ms",
    ]
    assert [line.split() for line in lines[1:]] == [
        ["bid", "qty", "bid", "ask", "ask", "qty"], ["2", "1", "3", "4"],
    ]  # fmt: skip
