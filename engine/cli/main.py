"""Entry of ``python -m engine``: parse, install uvloop, run one command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from engine.cli.parser import build_parser
from engine.model.errors import EngineError

Runner = Callable[[Coroutine[Any, Any, int]], int]


def main(argv: list[str], runner: Runner) -> int:
    """Run one command and return its exit code; ``runner`` runs a coroutine on the loop of choice."""
    if argv[:1] == ["sim"]:  # everything after it belongs to the simulated exchange
        from engine.cli import commands

        return commands.sim(argv[1:])
    options = build_parser().parse_args(argv)
    from engine.cli import commands

    is_json = bool(getattr(options, "json", False))
    name = options.command.replace("-", "_")
    try:
        if name == "replay":
            from engine.cli import replay

            return int(replay.main(options))
        if name in ("symbols", "trades"):
            from engine.cli import public

            return runner(getattr(public, name)(options))
        if name == "funding":
            from engine.cli import funding

            return runner(funding.funding(options))
        function = getattr(commands, name)
        return runner(function(options))
    except EngineError as error:
        return commands.explain(error, is_json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141


def asyncio_runner(coroutine: Coroutine[Any, Any, int]) -> int:
    """Run on the standard loop, where uvloop cannot be used."""
    return asyncio.run(coroutine)
