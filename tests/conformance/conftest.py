"""Clients that nobody here wrote, imported once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Collect what the clients leave open in their own tests, not in whatever test comes later."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def ccxt() -> Any:
    """Return ccxt with its socket half, imported once: it loads every exchange there is."""
    return pytest.importorskip("ccxt.pro", reason="ccxt is not installed (the conformance extra brings it)")
