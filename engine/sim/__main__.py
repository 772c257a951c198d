"""``python -m engine.sim``: run the simulated exchanges until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from engine.sim.config import SimConfigError, load
from engine.sim.flow import CHANGES_MEAN
from engine.sim.ports import Settings

PORT_BASE_MAX = 65_000

_EXAMPLES = """examples:
  python -m engine.sim --endpoints run/sim.json
  python -m engine.sim --venues binance,okx --seed 3 --rate 5000 --tls --endpoints run/sim.json
  curl 'http://127.0.0.1:PORT/truth/book?venue=binance&product=spot&symbol=BTCUSDT'
  curl -d '{"name": "drop_depth", "symbol": "BTCUSDT", "count": 1}' http://127.0.0.1:PORT/fault

The endpoints file is written once everything answers: {venue: {product: {"rest", "ws_public",
"ws_private", "ws_trade"}}, "admin": url, "ca": file (with --tls)}."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine.sim",
        description="Simulated exchanges on loopback: strict wire protocols over one matching core.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", default="config/sim.toml", metavar="FILE", help="markets and accounts")
    parser.add_argument("--venues", default="", metavar="A,B", help="default: all of them")
    parser.add_argument(
        "--seed", type=int, default=7, help="seed of the order flow and of faults (default 7)"
    )
    parser.add_argument(
        "--rate", type=float, default=200.0, metavar="N",
        help="depth diffs per second of each venue product, in total over its markets (default 200)",
    )  # fmt: skip
    parser.add_argument(
        "--rates", type=_rates, default={}, metavar="VENUE=N,...", help="other rates for some venues"
    )
    parser.add_argument(
        "--changes", type=int, default=CHANGES_MEAN, metavar="N",
        help=f"levels that a diff changes on average, 2 to 30 (default {CHANGES_MEAN})",
    )  # fmt: skip
    parser.add_argument("--endpoints", metavar="FILE", help="write the addresses there once ready")
    parser.add_argument("--tls", action="store_true", help="https and wss under a throw-away authority")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default 127.0.0.1)")
    parser.add_argument(
        "--port-base", type=int, default=0, metavar="PORT", help="first port (default: any free)"
    )
    parser.add_argument(
        "--time-scale", type=float, default=1.0, metavar="X",
        help="run long periods (24 h connection life, listen keys) X times faster",
    )  # fmt: skip
    parser.add_argument(
        "--book-ms", type=int, metavar="MS",
        help="least time between two pushes of a book, 0: every change (default: the venue's; BitMart only)",
    )  # fmt: skip
    parser.add_argument(
        "--funding-scale", type=int, default=1, metavar="X", help="settle funding X times as often"
    )
    parser.add_argument("--strict", action="store_true", help="refuse parameters the venue would only ignore")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input closes")
    return parser


def _rates(text: str) -> dict[str, float]:
    """Read ``binance=1500,okx=900``."""
    pairs = [part.split("=") for part in text.split(",")]
    return {venue: float(number) for venue, number in pairs}


def main(argv: list[str] | None = None) -> int:
    """Run; return 0 after a clean stop, 78 for a configuration that cannot be used."""
    options = _parser().parse_args(argv)
    try:
        _check(options)
        with contextlib.suppress(KeyboardInterrupt):
            return asyncio.run(_run(options))
        return 0
    except (SimConfigError, OSError) as error:
        print(f"simulated exchange: {error}", file=sys.stderr)
        return 78


def _check(options: argparse.Namespace) -> None:
    try:
        loopback = options.host == "localhost" or ipaddress.ip_address(options.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SimConfigError(f"--host {options.host} is not a loopback address")
    for rate in (options.rate, *options.rates.values()):
        if not 0 < rate <= 200_000:
            raise SimConfigError(f"a rate of {rate} must lie above 0 and at most at 200000")
    if not 2 <= options.changes <= 30:
        raise SimConfigError(f"--changes {options.changes} must lie between 2 and 30")
    if options.time_scale <= 0 or options.funding_scale < 1:
        raise SimConfigError("--time-scale must be above 0 and --funding-scale at least 1")
    if options.port_base and not 1_024 <= options.port_base <= PORT_BASE_MAX:
        raise SimConfigError(f"--port-base {options.port_base} must lie between 1024 and {PORT_BASE_MAX}")
    if options.book_ms is not None and not 0 <= options.book_ms <= 60_000:
        raise SimConfigError(f"--book-ms {options.book_ms} must lie between 0 and 60000")


async def _run(options: argparse.Namespace) -> int:
    from engine.sim.server import WIRES, SimServer, write_endpoints

    venues = [venue.strip() for venue in options.venues.split(",") if venue.strip()] or list(WIRES)
    unknown = [venue for venue in venues if venue not in WIRES]
    if unknown:
        raise SimConfigError(f"--venues {options.venues}: known are {', '.join(WIRES)}")
    if strangers := options.rates.keys() - set(venues):
        raise SimConfigError(f"--rates names {', '.join(sorted(strangers))}, which --venues does not")
    config = load(Path(options.config), venues)
    server = SimServer(
        config,
        seed=options.seed,
        rate=options.rate,
        rates=options.rates,
        changes=options.changes,
        settings=Settings(options.time_scale, options.strict, options.tls, options.book_ms),
        host=options.host,
        port_base=options.port_base,
        funding_scale=options.funding_scale,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _on_input, stop)
    endpoints = Path(options.endpoints) if options.endpoints else None
    folder = endpoints.parent if endpoints else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    await server.start(folder / f"sim-ca-{os.getpid()}.pem" if options.tls else None)
    if endpoints:
        write_endpoints(endpoints, server.addresses)
    print(json.dumps(server.addresses), flush=True)
    waiter = asyncio.ensure_future(stop.wait())
    broken = asyncio.ensure_future(server.failed())
    await asyncio.wait([waiter, broken], return_when=asyncio.FIRST_COMPLETED)
    await server.stop()
    if broken.done() and not broken.cancelled():
        broken.result()
    broken.cancel()
    waiter.cancel()
    return 0


def _on_input(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()


if __name__ == "__main__":
    sys.exit(main())
