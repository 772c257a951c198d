"""``funding``: what perpetuals pay, on every venue that lists them, and what they paid."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rich.table import Table

from engine.cli import output
from engine.cli.commands import answering, load

_STATES = {"live": "green", "settling": "yellow", "stale": "red", "empty": "red"}


async def funding(options: argparse.Namespace) -> int:
    """``funding``: rates, intervals and next settlements; with ``--history`` what was settled."""
    config = load(options)
    symbols = tuple(options.symbols)
    async with answering(options, config, symbols, options.exchange) as ask:
        answer = await ask(
            "funding", symbols=list(symbols), exchange=options.exchange, history=options.history
        )
    rows = answer["funding"]
    is_whole = bool(rows) and all(row["state"] in ("live", "settling") for row in rows)
    is_whole = is_whole and not any(each["error"] for each in answer["history"])
    if options.json:
        output.print_json(answer)
        return 0 if is_whole else 1
    out = output.console()
    out.print(funding_table(rows))
    for history in answer["history"]:
        out.print()
        out.print(history_table(history))
        if history["error"]:
            print(f"{history['venue']} {history['pair']}: {history['error']}", file=sys.stderr)
    for error in answer["errors"]:
        print(f"{error['venue']}: {error['error']}", file=sys.stderr)
    return 0 if is_whole else 1


def funding_table(rows: list[dict[str, Any]]) -> Table:
    """Return one line a contract and venue."""
    right = ("rate", "every", "in", "annualised", "mark", "index", "open interest", "age")
    names = ("pair", "venue", "state", "rate", "predicted", "every", "next settlement (UTC)", "in",
             "annualised", "last settled", "mark", "index", "open interest", "age")  # fmt: skip
    result = output.table(*names, right=(*right, "last settled"))
    for row in rows:
        colour = _STATES[row["state"]]
        state = f"[{colour}]{row['state']}[/]" + (f" [dim]{row['reason']}[/]" if row["reason"] else "")
        result.add_row(
            row["pair"],
            row["venue"],
            state,
            percent(row["rate"]),
            predicted_text(row),
            interval_text(row["interval_h"]),
            row["next_settlement_utc"] or "-",
            duration_text(row["next_settlement_in_s"]),
            percent(row["annualised"], 2),
            percent(row["last_settled_rate"]),
            *(row[key] or "-" for key in ("mark", "index", "open_interest")),
            output.age_text(row["age_ms"]),
        )
    return result


def history_table(history: dict[str, Any]) -> Table:
    """Return the settled rates of one contract, newest first."""
    title = f"{history['venue']} {history['pair']}: {len(history['rates'])} settled"
    right = ("rate", "every", "annualised")
    result = output.table("settled (UTC)", *right, right=right, title=title)
    for row in history["rates"]:
        result.add_row(
            row["settled_utc"],
            percent(row["rate"]),
            interval_text(row["interval_h"]),
            percent(row["annualised"], 2),
        )
    return result


def interval_text(interval_h: str | None) -> str:
    """Return an interval, ``8 h``; one below an hour (an accelerated simulation's) in seconds."""
    if interval_h is None:
        return "-"
    return f"{interval_h} h" if float(interval_h) >= 1 else f"{float(interval_h) * 3600:.0f} s"


def predicted_text(row: dict[str, Any]) -> str:
    """Return the predicted rate, or why there is none."""
    if row["predicted_rate"] is None:
        return "not offered"
    return "= rate" if row["predicted"] == "same as current" else percent(row["predicted_rate"])


def percent(rate: str | None, digits: int = 6) -> str:
    """Return a fraction as a percentage for people, ``-`` for none; ``--json`` has the exact number."""
    return "-" if rate is None else f"{float(rate) * 100:.{digits}f}%"


def duration_text(seconds: float | None) -> str:
    """Return a time to wait, ``7 h 59 min``; what is over says so."""
    if seconds is None:
        return "-"
    if seconds < 0:
        return f"{-seconds:.0f} s ago"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
