"""``symbols`` and ``trades``: what the venues list, what has traded; asked for once, or followed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from pathlib import Path
from typing import Any

import msgspec
from rich.table import Table

from engine.cli import output
from engine.cli.commands import load
from engine.config import Config
from engine.supervisor.engine import Engine, narrowed
from engine.telemetry.log import EventLog
from engine.transport.control import ControlClient

FOLLOW_S = 0.5
FOLLOW_COUNT = 1_000
"""Prints looked at each time while following: more than come in between."""


def _one_each(config: Config, exchange: str | None) -> Config:
    """Return the configuration with one instrument per product: the listing is read for it all the same."""
    config = narrowed(config, (), exchange)
    venues = {}
    for name, section in config.venues.items():
        instruments = msgspec.structs.replace(
            section.instruments, spot=section.instruments.spot[:1], perp=section.instruments.perp[:1]
        )
        venues[name] = msgspec.structs.replace(section, instruments=instruments)
    return msgspec.structs.replace(config, venues=venues)


@contextlib.asynccontextmanager
async def _asking(options: argparse.Namespace, full: Config, config: Config) -> AsyncIterator[Any]:
    """Yield ``ask``, of the running engine or of one opened for the moment, and whether it is the latter.

    An engine of one's own is not waited for: the questions wait for the listings.

    Args:
        full: where the running engine is. config: what an engine of one's own would serve.
    """
    path = Path(full.engine.control_socket)
    client = await ControlClient.connect(path) if full.engine.control_socket else None
    if client is not None:
        try:
            yield client.ask, False
        finally:
            client.close()
        return
    log = EventLog("error", "json" if options.json else "auto")
    engine = Engine(config, log, with_control=False)

    async def ask(command: str, timeout_s: float = 30.0, **arguments: Any) -> Any:
        return await engine.handle(command, arguments)

    try:
        await engine.start()
        yield ask, True
    finally:
        await engine.stop()
        log.close()


def _tell(errors: list[dict[str, Any]]) -> None:
    for error in errors:
        print(f"{error['venue']} {error['product']}: {error['error']}", file=sys.stderr)


# --------------------------------------------------------------------------------------------- symbols


async def symbols(options: argparse.Namespace) -> int:
    """``symbols``: what every venue lists, by universal name."""
    config = load(options)
    async with _asking(options, config, _one_each(config, options.exchange)) as (ask, is_own):
        answer = await ask("symbols", query=options.query, exchange=options.exchange)
    if is_own:  # the engine of the moment serves next to nothing: the configuration tells
        for row in answer["symbols"]:
            configured = getattr(config.venues[row["venue"]].instruments, row["product"])
            row["is_served"] = row["pair"] in configured
    if options.json:
        output.print_json(answer)
    else:
        if answer["is_near"]:
            print(f"nothing is called {options.query}; like it are:", file=sys.stderr)
        output.console().print(symbols_table(answer["symbols"]))
        _tell(answer["errors"])
    return 0 if answer["symbols"] and not answer["is_near"] and not answer["errors"] else 1


def symbols_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of ``symbols``; a star marks what the engine serves."""
    right = ("tick", "lot", "min qty", "min value", "contract", "multiplier")
    result = output.table("pair", "venue", "symbol", "status", *right, right=right)
    for row in rows:
        status = row["status"]
        result.add_row(
            row["pair"] + ("*" if row["is_served"] else ""),
            row["venue"],
            row["symbol"],
            status if status == "trading" else f"[magenta]{status}[/]",
            row["tick_size"],
            row["lot_size"],
            row["qty_min"] or "-",
            row["notional_min"] or "-",
            row["contract_size"],
            str(row["multiplier"]),
        )
    return result


# ---------------------------------------------------------------------------------------------- trades


async def trades(options: argparse.Namespace) -> int:
    """``trades``: the latest prints of a symbol or its candles, once or for as long as they come."""
    config = load(options)
    own = narrowed(config, (options.symbol,), options.exchange)
    wanted = {"symbol": options.symbol, "exchange": options.exchange, "candles": options.candles}
    async with _asking(options, config, own) as (ask, _):
        answer = await ask("trades", count=options.count, **wanted)
        rows = answer["candles"] if options.candles else answer["trades"]
        if not options.follow:
            if options.json:
                output.print_json(answer)
            else:
                show = candles_table if options.candles else trades_table
                output.console().print(show(rows))
            return 0 if rows else 1
        await _follow(ask, options, wanted, rows)
    return 0


async def _follow(
    ask: Any, options: argparse.Namespace, wanted: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    """Print what is new, one line each, until interrupted. Candles are printed once they are final."""
    key = _candle_key if options.candles else _trade_key
    told: Counter[Hashable] = Counter()
    first = True
    while True:
        if options.candles:
            rows = [row for row in rows if row["is_final"]]
        seen: Counter[Hashable] = Counter()
        for row in rows:
            seen[key(row)] += 1
            if seen[key(row)] > told[key(row)]:
                _print_line(row, options)
        told |= seen
        if first and not options.candles:  # what the first answer left out is no news
            first, answer = False, await ask("trades", count=FOLLOW_COUNT, heard=True, **wanted)
            oldest = min((row["venue_utc_ns"] for row in rows), default=0)
            told |= Counter(key(row) for row in answer["trades"] if row["venue_utc_ns"] < oldest)
        if len(told) > 20 * FOLLOW_COUNT:
            told = Counter(dict(list(told.items())[-5 * FOLLOW_COUNT :]))
        await asyncio.sleep(FOLLOW_S)
        answer = await ask("trades", count=60 if options.candles else FOLLOW_COUNT, heard=True, **wanted)
        rows = answer["candles"] if options.candles else answer["trades"]


def _trade_key(row: dict[str, Any]) -> Hashable:
    if row["trade_id"]:
        return row["venue"], row["trade_id"]
    return row["venue"], row["venue_utc_ns"], row["price"], row["qty"], row["side"]


def _candle_key(row: dict[str, Any]) -> Hashable:
    return row["venue"], row["open_utc_ns"]


def _print_line(row: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        output.print_json(row)
    elif options.candles:
        prices = " ".join(f"{row[name] or '-':>12}" for name in ("open", "high", "low", "close"))
        note = "" if row["is_complete"] else "  incomplete"
        note += "  far print" if row["far"] else ""
        print(f"{row['time']} {row['venue']:8} {prices} {row['base_volume']:>14} {row['count']:>6}{note}")
    else:
        note = "  asked for" if row["is_backfilled"] else ""
        print(f"{row['time']} {row['venue']:8} {row['side']:4} {row['price']:>14} {row['qty']:>14}{note}")
    sys.stdout.flush()


def trades_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of ``trades``."""
    result = output.table(
        "time", "venue", "pair", "side", "price", "qty", "id", "", right=("price", "qty", "id")
    )
    for row in rows:
        colour = "green" if row["side"] == "buy" else "red"
        result.add_row(
            row["time"], row["venue"], row["pair"], f"[{colour}]{row['side']}[/]", row["price"], row["qty"],
            str(row["trade_id"] or "-"), "asked for" if row["is_backfilled"] else "",
        )  # fmt: skip
    return result


def candles_table(rows: list[dict[str, Any]]) -> Table:
    """Return the table of ``trades --candles``."""
    right = ("open", "high", "low", "close", "base volume", "quote volume", "trades")
    result = output.table("time", "venue", *right, "", right=right)
    for row in rows:
        said = {"open": not row["is_final"], "incomplete": not row["is_complete"], "far print": row["far"]}
        notes = [word for word, is_so in said.items() if is_so]
        result.add_row(
            row["time"], row["venue"], *[row[name] or "-" for name in ("open", "high", "low", "close")],
            row["base_volume"], row["quote_volume"], str(row["count"]), ", ".join(notes),
        )  # fmt: skip
    return result
