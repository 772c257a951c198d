"""What each command does: asks the running engine, or opens a short-lived one of its own."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from engine import config as configuration
from engine.cli import live, output
from engine.cli.waiting import wait_for_books, with_a_word
from engine.config import Config
from engine.model.errors import ConfigError, EngineError, UsageError
from engine.model.instrument import Product
from engine.supervisor import wiring
from engine.supervisor.engine import Engine, narrowed
from engine.telemetry.log import EventLog
from engine.transport.control import ControlClient

PROGRESS_S = 5.0


def load(options: argparse.Namespace) -> Config:
    """Read the configuration that the options name."""
    path = Path(options.config) if options.config else configuration.default_path()
    return configuration.load(path)


# ---------------------------------------------------------------------------------------------- run


async def run(options: argparse.Namespace) -> int:
    """``run``: the daemon."""
    config = load(options)
    if options.record:
        config = msgspec.structs.replace(
            config, recorder=msgspec.structs.replace(config.recorder, enabled=True)
        )
    shows_table = sys.stdout.isatty() and not options.no_table and not options.json
    style = "json" if options.json else config.log.format
    level = "error" if shows_table else config.log.level
    log = EventLog(level, style)
    engine = Engine(config, log)
    viewer: asyncio.Task[None] | None = None
    try:
        with output.console().status("starting ...") if shows_table else contextlib.nullcontext():
            await engine.start()  # an embedded exchange takes some seconds
        if shows_table:
            viewer = asyncio.create_task(live.show(engine))
        else:
            viewer = asyncio.create_task(engine.report(PROGRESS_S))
        await engine.run(options.duration)
    finally:
        if viewer is not None:
            viewer.cancel()
            await asyncio.gather(viewer, return_exceptions=True)
        await engine.stop()
        log.close()
    return 0 if not engine.has_failed else 1


# ----------------------------------------------------------------------------------------- questions


@contextlib.asynccontextmanager
async def answering(
    options: argparse.Namespace,
    config: Config,
    symbols: tuple[str, ...],
    exchange: str | None = None,
    *,
    has_orders: bool = False,
) -> AsyncIterator[Any]:
    """Yield ``ask(command, **arguments)``: the running engine's, or that of one opened for the moment.

    The moment's engine serves only the symbols asked for, and is waited for until their books are LIVE; with
    ``has_orders`` until orders can be sent, too. It logs nothing: what is wrong stands in the answer.
    """
    path = Path(config.engine.control_socket)
    client = await ControlClient.connect(path) if config.engine.control_socket else None
    if client is not None:
        serving = client

        async def ask_it(command: str, timeout_s: float = 30.0, **arguments: Any) -> Any:
            return await with_a_word(serving.ask(command, timeout_s, **arguments), is_quiet=options.json)

        try:
            yield ask_it
        finally:
            client.close()
        return
    log = EventLog("critical", "json" if options.json else "auto")
    engine = Engine(narrowed(config, symbols, exchange), log, with_control=False)

    async def ask(command: str, timeout_s: float = 30.0, **arguments: Any) -> Any:
        return await engine.handle(command, arguments)

    try:
        await engine.start()
        await wait_for_books(engine, is_quiet=options.json)
        if has_orders and any(venue.is_listed.is_set() for venue in engine.venues):
            await engine.desks_ready()
        yield ask
    finally:
        await engine.stop()
        log.close()


async def quotes(options: argparse.Namespace) -> int:
    """``quotes``: best bid and ask."""
    if options.fees and options.exchange:
        raise UsageError("--fees compares venues: leave --exchange out")
    config = load(options)
    symbols = tuple(options.symbols)
    async with answering(options, config, symbols, options.exchange) as ask:
        answer = await ask("quotes", symbols=list(symbols), exchange=options.exchange, fees=options.fees)
    rows = answer["quotes"]
    if options.json:
        output.print_json(answer)
    else:
        out = output.console()
        out.print(output.quotes_table(sorted(rows, key=lambda row: (row["pair"], row["venue"]))))
        if any(len(row["bid_venues"]) and row["pair"] for row in answer["best"]):
            out.print()
            out.print(output.best_table(answer["best"]))
        _print_errors(answer["errors"])
    return 0 if rows and all(row["state"] == "LIVE" for row in rows) and not answer["errors"] else 1


def _print_errors(errors: list[dict[str, Any]]) -> None:
    """Name the venue products that are not up, and why."""
    for error in errors:
        print(f"{error['venue']} {error['product']}: {error['error']}", file=sys.stderr)


async def impact(options: argparse.Namespace) -> int:
    """``impact``: what an order would cost now."""
    config = load(options)
    exchange = None if options.all else options.exchange
    async with answering(options, config, (options.symbol,), exchange) as ask:
        answer = await ask(
            "impact",
            symbol=options.symbol,
            side=options.side,
            base=options.base,
            quote=options.quote,
            exchange=exchange,
            fees=options.fees,
        )
    if options.json:
        output.print_json(answer)
    else:
        output.print_impact(answer)
        _print_errors(answer["errors"])
    return 0 if answer["outcome"] == "filled" else 1


async def book(options: argparse.Namespace) -> int:
    """``book``: one ladder."""
    config = load(options)
    async with answering(options, config, (options.symbol,), options.exchange) as ask:
        view = await ask("book", symbol=options.symbol, exchange=options.exchange, depth=options.depth)
    if options.json:
        output.print_json(view)
    else:
        output.console().print(output.book_table(view))
        if view["state"] != "LIVE":
            print(f"not LIVE: {view['reason']}", file=sys.stderr)
    return 0 if view["state"] == "LIVE" else 1


async def place(options: argparse.Namespace) -> int:
    """``place``: one order, and what is proven of it."""
    config = load(options)
    if (options.type == "limit") != (options.price is not None):
        raise UsageError("--price goes with --type limit, and only with it")
    async with answering(options, config, (options.pair,), options.exchange, has_orders=True) as ask:
        row = await ask(
            "place",
            exchange=options.exchange,
            pair=options.pair,
            side=options.side,
            qty=options.qty,
            price=options.price,
            time_in_force=options.time_in_force,
            post_only=options.post_only,
            reduce_only=options.reduce_only,
            transport=options.transport,
        )
    return _show_orders([row], options.json)


async def amend(options: argparse.Namespace) -> int:
    """``amend``: new terms of one working order, and what is proven of them."""
    config = load(options)
    if options.qty is None and options.price is None:
        raise UsageError("--qty, --price, or both: there is nothing to change otherwise")
    async with answering(options, config, (options.pair,), options.exchange, has_orders=True) as ask:
        row = await ask(
            "amend",
            exchange=options.exchange,
            pair=options.pair,
            id=options.id,
            qty=options.qty,
            price=options.price,
            transport=options.transport,
        )
    code = _show_orders([row], options.json)
    change = row["amend"] or {}
    unchanged = change.get("state") != "none" or change.get("reason")
    if unchanged and not options.json:
        print(f"not amended: {change.get('reason') or change.get('state')}", file=sys.stderr)
    return 1 if unchanged else code


async def cancel(options: argparse.Namespace) -> int:
    """``cancel``: one order, or all of an instrument."""
    config = load(options)
    async with answering(options, config, (options.pair,), options.exchange, has_orders=True) as ask:
        rows = await ask(
            "cancel",
            exchange=options.exchange,
            pair=options.pair,
            id=options.id,
            all=options.all,
            transport=options.transport,
        )
    if not rows and not options.json:
        print(f"no open order of {options.pair}")
        return 0
    return _show_orders(rows, options.json)


def _show_orders(rows: list[dict[str, Any]], is_json: bool) -> int:
    if is_json:
        output.print_json(rows)
    else:
        output.console().print(output.order_table(rows))
    bad = ("rejected", "not_sent", "in_doubt", "absent")
    return 1 if any(row["state"] in bad for row in rows) else 0


async def status(options: argparse.Namespace) -> int:
    """``status``: the running engine's health."""
    config = load(options)
    path = Path(config.engine.control_socket)
    client = await ControlClient.connect(path) if config.engine.control_socket else None
    if client is None:
        raise UsageError(f"no engine serves {path}; start one with: python -m engine run")
    try:
        result = await with_a_word(client.ask("status", orders=options.orders), is_quiet=options.json)
    finally:
        client.close()
    if options.json:
        output.print_json(result)
    else:
        output.print_status(result)
    return 0 if result["ready"] else 1


# -------------------------------------------------------------------------------------------- record


async def record(options: argparse.Namespace) -> int:
    """``record``: market data to Parquet for a while."""
    config = load(options)
    section = msgspec.structs.replace(
        config.recorder,
        enabled=True,
        directory=options.out or config.recorder.directory,
        snapshot_interval_ms=int(options.interval * 1000),
        snapshot_depth=options.depth,
        flush_interval_ms=min(config.recorder.flush_interval_ms, max(500, int(options.duration * 500))),
    )
    config = narrowed(config, tuple(options.pair), options.exchange)
    config = msgspec.structs.replace(config, recorder=section)
    log = EventLog("warning", "json" if options.json else "auto")
    engine = Engine(config, log, with_control=False)
    try:
        await engine.start()
        await wait_for_books(engine, is_quiet=options.json)
        await _count_down(options.duration, engine, is_quiet=options.json or not sys.stderr.isatty())
    finally:
        await engine.stop()
        log.close()
    assert engine.recorder is not None
    errors = engine.errors(engine.venues)
    stats = {**engine.recorder.stats(), "directory": section.directory, "errors": errors}
    if options.json:
        output.print_json(stats)
    else:
        print(
            f"{stats['rows_written']} rows in {stats['files']} files under {section.directory}"
            f" ({stats['rows_dropped']} dropped, {stats['rows_lost']} lost)"
        )
        _print_errors(errors)
    return 1 if stats["rows_dropped"] or stats["rows_lost"] or errors or not stats["rows_written"] else 0


async def _count_down(seconds: float, engine: Engine, is_quiet: bool) -> None:
    """Wait, showing progress, until the time is over or a signal asks to stop."""
    import signal

    from rich.console import Console
    from rich.progress import Progress

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    end = loop.time() + seconds
    with Progress(console=Console(stderr=True), disable=is_quiet, transient=True) as progress:
        task = progress.add_task("recording", total=seconds)
        while not stop.is_set() and loop.time() < end:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(0.25, max(0.01, end - loop.time())))
            assert engine.recorder is not None
            rows = engine.recorder.rows_written + engine.recorder.stats()["rows_waiting"]
            done = seconds - max(0.0, end - loop.time())
            progress.update(task, completed=done, description=f"recording, {rows} rows")


# --------------------------------------------------------------------------------------------- other


async def venues(options: argparse.Namespace) -> int:
    """``venues``: the capability matrix."""
    rows = [
        {
            "venue": venue,
            "product": product.value,
            "environments": ["sim", *(name for name in made.real if name not in made.refused)],
            "refused": dict(made.refused),
            **msgspec.to_builtins(offers),
        }
        for (venue, product), (offers, made) in wiring.capabilities().items()
    ]
    if options.json:
        output.print_json(rows)
        return 0
    for product in Product:
        of_product = [row for row in rows if row["product"] == product.value]
        output.console().print(output.matrix_table(product.value, of_product))
    return 0


async def check_config(options: argparse.Namespace) -> int:
    """``check-config``: what this configuration would do."""
    config = load(options)
    rows = []
    for name, section in config.venues.items():
        credentials = wiring.credentials_for(name, config) if section.enabled else None
        wiring.check_section(name, section)
        rows.append(
            {
                "venue": name,
                "enabled": section.enabled,
                "environment": section.environment,
                "products": list(section.products),
                "instruments": {word: len(getattr(section.instruments, word)) for word in section.products},
                "keys": credentials is not None,
                "orders": section.enabled and credentials is not None and config.orders_allowed(name),
                "why": _restriction(name, config, credentials is not None),
            }
        )
    if options.json:
        output.print_json({"ok": True, "venues": rows})
        return 0
    table = output.table("venue", "environment", "products", "keys", "orders", "note")
    for row in rows:
        products = ", ".join(f"{word} ({count})" for word, count in row["instruments"].items())  # type: ignore[attr-defined]
        table.add_row(
            str(row["venue"]), str(row["environment"]) if row["enabled"] else "disabled", products,
            "yes" if row["keys"] else "no", "yes" if row["orders"] else "no", str(row["why"]),
        )  # fmt: skip
    output.console().print("configuration is fine")
    output.console().print(table)
    return 0


def _restriction(name: str, config: Config, has_keys: bool) -> str:
    section = config.venues[name]
    if not section.enabled:
        return ""
    if not has_keys:
        return "no keys: public data only (see env.example)"
    if not config.orders_allowed(name):
        return "no orders: environment is live, but [trading] live_orders is false"
    return ""


def sim(arguments: list[str]) -> int:
    """``sim``: replace this process by the simulated exchange."""
    os.execv(sys.executable, [sys.executable, "-m", "engine.sim", *arguments])  # noqa: S606 - our own program, no shell


def explain(error: EngineError, is_json: bool) -> int:
    """Print an error in one line and return the exit code that fits it (sysexits)."""
    if is_json:
        output.print_json({"ok": False, "error": str(error)})
    else:
        print(f"error: {error}", file=sys.stderr)
    return 78 if isinstance(error, ConfigError) else 64 if isinstance(error, UsageError) else 1
