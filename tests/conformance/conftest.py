"""Clients that nobody here wrote, imported once."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session")
def ccxt() -> Any:
    """Return ccxt with its socket half, imported once: it loads every exchange there is."""
    return pytest.importorskip("ccxt.pro", reason="ccxt is not installed (the conformance extra brings it)")
