"""``python -m engine``: the command line, on uvloop."""

from __future__ import annotations

import os
import sys

# Before numpy is imported: its linear algebra, which nothing here uses, would start a thread for each core.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import uvloop

from engine.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], uvloop.run))
