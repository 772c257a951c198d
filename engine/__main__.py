"""``python -m engine``: the command line, on uvloop."""

from __future__ import annotations

import sys

import uvloop

from engine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], uvloop.run))
