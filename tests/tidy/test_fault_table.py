"""The fault table is whole: codes exist, and every row has a test, or a reason for having none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fault_table import ROOT, TABLE, registered


def test_every_code_in_use_has_a_row() -> None:
    unknown = {code: tests for code, tests in registered().items() if code not in TABLE}
    assert not unknown


@pytest.mark.parametrize("code", TABLE)
def test_every_row_has_a_test_or_a_reason(code: str) -> None:
    has_tests = code in registered()
    assert has_tests != bool(TABLE[code].reason), "a test or a reason, and not both"


def test_the_table_prints_every_row() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fault_table"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines() if line[0].isalpha()] == list(TABLE)
    assert f"{len(TABLE)} rows" in done.stdout
