"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Return the folder of recorded messages, or skip where it is not beside the checkout."""
    for candidate in (os.environ.get("SHARED_FIXTURES"), ROOT.parent / "shared" / "fixtures"):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("recorded messages are not beside this checkout (../shared/fixtures or $SHARED_FIXTURES)")
