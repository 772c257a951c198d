"""The command line: every command, its options, and examples in each ``--help``."""

from __future__ import annotations

import argparse

from engine import __version__

_EXAMPLES = {
    "": """examples:
  python -m engine run                         engine on the embedded simulated exchange
  python -m engine quotes BTC/USDT             best bid and ask, with state and age
  python -m engine <command> --help            options and examples of one command""",
    "run": """examples:
  python -m engine run                                   live table on a terminal, JSON lines otherwise
  python -m engine run --config config/engine-live.toml  the real exchange (data and account only)
  python -m engine run --duration 60                     stop by itself after a minute""",
    "sim": """examples:
  python -m engine sim --endpoints run/sim.json          then: sim.endpoints = "run/sim.json"
  python -m engine sim --seed 3 --rate 5000""",
    "quotes": """examples:
  python -m engine quotes                                every configured instrument
  python -m engine quotes BTC/USDT                       every venue, and the best of them
  python -m engine quotes BTC/USDT BTC/USDT:USDT --fees --json""",
    "impact": """examples:
  python -m engine impact BTC/USDT --side buy --quote 50000                split best over all venues
  python -m engine impact BTC/USDT:USDT --side sell --base 2 --exchange okx --json
  python -m engine impact BTC/USDT --side buy --base 1.5 --fees            cheapest after taker fees

Walks the books as they stand. Child sizes are whole lots of each venue; what lots leave over is unfilled.
Exit code 1: the books do not hold that much.""",
    "symbols": """examples:
  python -m engine symbols                               everything that the enabled venues list
  python -m engine symbols BTC/USDT:USDT                 one unit on every venue, with its own names and steps
  python -m engine symbols SHIB --exchange bybit --json  by coin; parts of names and slips are found too

A star marks what this configuration serves. 1000SHIB is a thousand coins (multiplier), on every venue.
Exit code 1: nothing has that name (what is like it is shown), or a venue is not up.""",
    "trades": """examples:
  python -m engine trades BTC/USDT --count 50                      latest prints of all venues, by their time
  python -m engine trades BTC/USDT:USDT --exchange okx --follow    as they come, one line each
  python -m engine trades BTC/USDT --candles 1s --count 10 --json
  python -m engine trades ETH/USDT --candles 1m --follow           each candle once it is final

A candle is incomplete where prints of it were missed, or from before this engine listened; a far print lies
ten times off what traded before.""",
    "funding": """examples:
  python -m engine funding BTC/USDT:USDT                      every venue that lists it
  python -m engine funding BTC/USDT:USDT --exchange okx --history 30
  python -m engine funding --json                             all configured perpetuals, exact numbers

The rate is what the next settlement would pay, still moving; positive: longs pay shorts. Predicted is what
the venue itself calls so, "= rate" where that is the same number. Annualised: rate * 24 h / interval * 365.
Exit code 1: a rate is unknown or too old, or a history could not be had.""",
    "book": """examples:
  python -m engine book BTC/USDT --depth 20
  python -m engine book BTC/USDT:USDT --exchange binance --json""",
    "place": """examples:
  python -m engine place --exchange binance --pair BTC/USDT --side buy --qty 0.001 --price 50000 --post-only
  python -m engine place --exchange binance --pair BTC/USDT:USDT --side sell --qty 0.01 --type market --json

Prices and quantities are exact decimals in quote and base units; what does not fit tick or lot is refused.
Uses the running engine (see engine.control_socket); without one it opens its own session.""",
    "amend": """examples:
  python -m engine amend --exchange binance --pair BTC/USDT:USDT --id te1a0001000000f --price 50000.5
  python -m engine amend --exchange okx --pair BTC/USDT --id te1a0001000000f --qty 0.002 --price 50001 --json

--qty is the whole quantity, what was filled included. The order works with its old terms until the venue
has answered. Exit code 1: it was not changed, or is not proven to be. `venues` says who amends orders.""",
    "cancel": """examples:
  python -m engine cancel --exchange binance --pair BTC/USDT --id te1a0001000000f
  python -m engine cancel --exchange binance --pair BTC/USDT --all""",
    "status": """examples:
  python -m engine status                                books, sessions, latencies of the running engine
  python -m engine status --orders --json""",
    "record": """examples:
  python -m engine record --exchange binance --pair BTC/USDT --duration 60 --interval 5
  python -m engine record --exchange binance --pair BTC/USDT:USDT --pair ETH/USDT --out data/parquet""",
    "replay": """examples:
  python -m engine replay day.rec.gz --venue binance --product spot --dump-books
  python -m engine replay f.ws.txt --snapshots f.http.txt --venue binance --product perp --dump-books""",
    "venues": """examples:
  python -m engine venues
  python -m engine venues --json""",
    "check-config": """examples:
  python -m engine check-config
  python -m engine check-config --config config/engine-live.toml --json""",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m engine``."""
    parser = argparse.ArgumentParser(
        prog="python -m engine",
        description="Cross-exchange trading engine core.",
        epilog=_EXAMPLES[""],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tecore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, config: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if config:
            sub.add_argument("--config", metavar="FILE", help="configuration (default: engine.toml)")
            sub.add_argument("--json", action="store_true", help="print JSON for machines")
        return sub

    run = command("run", "run the engine until SIGINT or SIGTERM")
    run.add_argument("--duration", type=_seconds, metavar="S", help="stop after this many seconds")
    run.add_argument(
        "--record", action="store_true", help="record to Parquet whatever the configuration says"
    )
    run.add_argument("--no-table", action="store_true", help="log lines instead of the live table")

    sim = command("sim", "run the simulated exchange alone (options: see `sim --help`)", config=False)
    sim.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to python -m engine.sim")

    quotes = command("quotes", "show best bid and ask")
    quotes.add_argument(
        "symbols", nargs="*", metavar="SYMBOL", help="universal symbols; default: all configured"
    )
    quotes.add_argument("--exchange", metavar="VENUE", help="only this venue")

    quotes.add_argument("--fees", action="store_true", help="best after taker fees (venues.X.taker_fees)")

    impact = command("impact", "show what an order would cost, on one venue or split over all")
    impact.add_argument("symbol", metavar="SYMBOL")
    impact.add_argument("--side", choices=("buy", "sell"), required=True)
    amount = impact.add_mutually_exclusive_group(required=True)
    amount.add_argument("--base", metavar="QTY", help="quantity in base units")
    amount.add_argument("--quote", metavar="AMOUNT", help="amount in quote units")
    where = impact.add_mutually_exclusive_group()
    where.add_argument("--exchange", metavar="VENUE", help="this venue alone")
    where.add_argument("--all", action="store_true", help="split over all venues (the default)")
    impact.add_argument("--fees", action="store_true", help="count taker fees (venues.X.taker_fees)")

    symbols = command("symbols", "show what the venues list: names, steps, limits, statuses")
    symbols.add_argument("query", nargs="?", metavar="QUERY", help="universal name, coin, or venue's name")
    symbols.add_argument("--exchange", metavar="VENUE", help="only this venue")

    trades = command("trades", "show the latest trades of a symbol, or candles made of them")
    trades.add_argument("symbol", metavar="SYMBOL")
    trades.add_argument("--exchange", metavar="VENUE", help="only this venue")
    trades.add_argument("--count", type=_rows, default=20, metavar="N", help="how many (default 20)")
    trades.add_argument("--follow", action="store_true", help="go on until interrupted")
    trades.add_argument("--candles", choices=("1s", "1m"), help="candles instead of single trades")

    funding = command("funding", "show funding rates, next settlements, and what was settled")
    funding.add_argument(
        "symbols", nargs="*", metavar="SYMBOL", help="perpetuals, e.g. BTC/USDT:USDT; default: all configured"
    )
    funding.add_argument("--exchange", metavar="VENUE", help="only this venue")
    funding.add_argument(
        "--history", type=_positive, metavar="N", help="settled rates of each, newest first (at most 1000)"
    )

    book = command("book", "show one book's levels")
    book.add_argument("symbol", metavar="SYMBOL")
    book.add_argument("--exchange", metavar="VENUE", help="default: the first venue that lists it")
    book.add_argument("--depth", type=_positive, default=10, metavar="N", help="levels a side (default 10)")

    place = command("place", "place one order and print its outcome")
    _order_target(place)
    place.add_argument("--side", choices=("buy", "sell"), required=True)
    place.add_argument("--qty", required=True, metavar="BASE", help="quantity in base units")
    place.add_argument("--price", metavar="QUOTE", help="limit price; leave out with --type market")
    place.add_argument("--type", choices=("limit", "market"), default="limit")
    place.add_argument("--time-in-force", choices=("gtc", "ioc", "fok"), default="gtc")
    place.add_argument("--post-only", action="store_true", help="refuse rather than take liquidity")
    place.add_argument("--reduce-only", action="store_true", help="perpetuals: never open or turn a position")
    place.add_argument("--transport", choices=("rest", "ws"), help="default: trading.transport")

    amend = command("amend", "change price or quantity of a working order and print its outcome")
    _order_target(amend)
    amend.add_argument("--id", required=True, metavar="CLIENT_ORDER_ID")
    amend.add_argument("--qty", metavar="BASE", help="new whole quantity in base units (default: as it is)")
    amend.add_argument("--price", metavar="QUOTE", help="new limit price (default: as it is)")
    amend.add_argument("--transport", choices=("rest", "ws"), help="default: trading.transport")

    cancel = command("cancel", "cancel one order or all of an instrument")
    _order_target(cancel)
    which = cancel.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", metavar="CLIENT_ORDER_ID")
    which.add_argument("--all", action="store_true", help="every open order of the instrument")
    cancel.add_argument("--transport", choices=("rest", "ws"), help="default: trading.transport")

    status = command("status", "show the running engine's health, books, orders and latencies")
    status.add_argument("--orders", action="store_true", help="list orders too")

    record = command("record", "record market data to Parquet for a while")
    record.add_argument("--exchange", required=True, metavar="VENUE")
    record.add_argument("--pair", action="append", required=True, metavar="SYMBOL", help="may be repeated")
    record.add_argument("--duration", type=_seconds, default=60.0, metavar="S", help="seconds (default 60)")
    record.add_argument(
        "--interval", type=_seconds, default=5.0, metavar="S", help="seconds between top-N snapshots"
    )
    record.add_argument(
        "--depth", type=_positive, default=20, metavar="N", help="levels a snapshot (default 20)"
    )
    record.add_argument("--out", metavar="DIR", help="default: recorder.directory")

    replay = command("replay", "run recorded frames through adapter, sync and book", config=False)
    replay.add_argument("files", nargs="+", metavar="FILE", help="format is detected")
    replay.add_argument("--venue", required=True)
    replay.add_argument("--product", choices=("spot", "perp"), required=True)
    replay.add_argument(
        "--snapshots", action="append", default=[], metavar="FILE", help="REST snapshots, if apart"
    )
    replay.add_argument(
        "--instruments", metavar="FILE", help="the venue's listing, for exact scales (optional)"
    )
    replay.add_argument("--dump-books", action="store_true", help="print every level of each final book")
    replay.add_argument(
        "--json", action="store_true", help="accepted for symmetry: the output is JSON lines anyway"
    )

    venues = command("venues", "show what each venue offers, as far as this engine speaks it", config=False)
    venues.add_argument("--json", action="store_true", help="print JSON for machines")

    command("check-config", "check a configuration and say what it would do")
    return parser


def _order_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exchange", required=True, metavar="VENUE")
    parser.add_argument("--pair", required=True, metavar="SYMBOL", help="universal symbol, e.g. BTC/USDT")


def _rows(text: str) -> int:
    value = _positive(text)
    if value > 2_000:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 2000")
    return value


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 1000000")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 31_536_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.05 to a year")
    return value
