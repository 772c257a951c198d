"""The boot epoch: never the same number twice, whatever happens to the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.model.errors import ConfigError
from engine.router.client_ids import EPOCH_DIGITS, ClientIds
from engine.supervisor.epoch import DIGITS_MAX, next_epoch


def test_epochs_grow(tmp_path: Path) -> None:
    data = tmp_path / "a" / "b"
    assert [next_epoch(data) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert (data / "boot_epoch").stat().st_mode & 0o077 == 0
    assert [path.name for path in data.iterdir()] == ["boot_epoch"]


@pytest.mark.parametrize(
    "content", [b"", b"x", b"-1", b"1.5", b"\xff\xfe", "٣".encode(), b"1" * 5_000, b"1 2"]
)
def test_a_spoiled_file_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "boot_epoch").write_bytes(content)
    with pytest.raises(ConfigError, match="does not hold a number; remove it only if"):
        next_epoch(tmp_path)
    assert (tmp_path / "boot_epoch").read_bytes() == content


def test_a_crash_between_the_two_files_costs_nothing(tmp_path: Path) -> None:
    next_epoch(tmp_path)
    (tmp_path / f".boot_epoch.{os.getpid()}").write_text("garb")
    assert next_epoch(tmp_path) == 2


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"engine\.data_dir .*must be writable"):
        next_epoch(tmp_path / "file")


CODE = """
import sys
from pathlib import Path
from engine.supervisor.epoch import next_epoch
sys.stdin.readline()
print(*[next_epoch(Path(sys.argv[1])) for _ in range(50)])
"""


def test_starts_at_the_same_instant_get_different_numbers(tmp_path: Path) -> None:
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("go\n")
        start.stdin.flush()
    numbers = [int(word) for start in starts for word in start.communicate(timeout=60)[0].split()]
    assert sorted(numbers) == list(range(1, 201))


def test_every_epoch_that_the_file_can_hold_makes_ids_until_it_says_so() -> None:
    assert 10**DIGITS_MAX - 1 < 36**EPOCH_DIGITS
    assert len(ClientIds("a", 10**DIGITS_MAX - 1).next()) == 1 + EPOCH_DIGITS + 9
