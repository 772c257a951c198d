"""What people see of funding: percentages, times to wait, tables of rows as the engine answers them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from engine.cli import funding
from engine.cli.parser import build_parser

ROW: dict[str, Any] = {
    "venue": "okx", "product": "perp", "pair": "BTC/USDT:USDT", "state": "live", "reason": "",
    "rate": "0.0001", "predicted_rate": None, "predicted": "rate of the interval after the next settlement",
    "interval_h": "8", "annualised": "0.1095", "next_settlement_utc": "2026-11-27T16:00:00Z",
    "next_settlement_in_s": 9_765.7, "last_settled_rate": "-0.00003", "mark": "76916.9", "index": None,
    "open_interest": "100", "age_ms": 300.0, "terms_age_ms": 600.0,
}  # fmt: skip
UNKNOWN = ROW | dict.fromkeys(
    ("rate", "interval_h", "annualised", "next_settlement_utc", "next_settlement_in_s", "last_settled_rate",
     "mark", "open_interest", "age_ms")
) | {"state": "empty", "reason": "the venue has told no rate", "venue": "bybit"}  # fmt: skip


def shown(table: Any) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=300).print(table)
    return text.getvalue().splitlines()


def test_a_row() -> None:
    _, row, unknown = shown(funding.funding_table([ROW, UNKNOWN]))
    assert row.split() == [
        "BTC/USDT:USDT", "okx", "live", "0.010000%", "not", "offered", "8", "h", "2026-11-27T16:00:00Z",
        "2", "h", "42", "min", "10.95%", "-0.003000%", "76916.9", "-", "100", "300", "ms",
    ]  # fmt: skip
    assert "empty the venue has told no rate" in unknown
    assert unknown.split()[-9:] == ["-"] * 9


def test_a_history() -> None:
    rows = [
        {"settled_utc": "2026-11-27T08:00:00Z", "rate": "0.0001", "interval_h": "4", "annualised": "0.219"},
        {"settled_utc": "2026-11-27T04:00:00Z", "rate": "0", "interval_h": None, "annualised": None},
    ]
    title, _, first, last = shown(
        funding.history_table({"venue": "okx", "pair": "BTC/USDT:USDT", "rates": rows, "error": ""})
    )
    assert title.strip() == "okx BTC/USDT:USDT: 2 settled"
    assert first.split() == ["2026-11-27T08:00:00Z", "0.010000%", "4", "h", "21.90%"]
    assert last.split() == ["2026-11-27T04:00:00Z", "0.000000%", "-", "-"]


@pytest.mark.parametrize(
    ("predicted", "rate", "text"),
    [
        ("not offered", None, "not offered"),
        ("rate of the interval after the next settlement", None, "not offered"),
        ("rate of the interval after the next settlement", "0", "0.000000%"),  # zero is a rate
        ("rate of the interval after the next settlement", "-0.00025", "-0.025000%"),
        ("same as current", "0.0001", "= rate"),
        ("same as current", None, "not offered"),
    ],
)
def test_predictions(predicted: str, rate: str | None, text: str) -> None:
    assert funding.predicted_text({"predicted": predicted, "predicted_rate": rate}) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0.0, "0 s"), (119.4, "119 s"), (120.0, "2 min"), (3_599.0, "59 min"),
        (3_600.0, "1 h 00 min"), (28_799.9, "7 h 59 min"), (-16.2, "16 s ago"),
    ],
)  # fmt: skip
def test_times_to_wait(seconds: float | None, text: str) -> None:
    assert funding.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("hours", "text"), [(None, "-"), ("8", "8 h"), ("1", "1 h"), ("0.005555556", "20 s")]
)
def test_intervals(hours: str | None, text: str) -> None:
    assert funding.interval_text(hours) == text


def test_the_words_of_the_command() -> None:
    options = build_parser().parse_args(["funding", "BTC/USDT:USDT", "--exchange", "okx", "--history", "30"])
    assert (options.command, options.symbols, options.exchange) == ("funding", ["BTC/USDT:USDT"], "okx")
    assert (options.history, options.json) == (30, False)
    assert build_parser().parse_args(["funding"]).symbols == []
