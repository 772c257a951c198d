"""The boot epoch: a number on disk that grows with every start, so that client order ids never repeat."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from engine.model.errors import ConfigError

DIGITS_MAX = 9


def next_epoch(data_dir: Path) -> int:
    """Return a larger number than at any earlier start, on disk before it is used.

    Starts at the same instant take turns; a power cut cannot bring an older number back.

    Raises:
        ConfigError: the directory cannot be written, or the file does not hold a number.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # let go of by the close, or by the end of the process
            epoch = _read(data_dir / "boot_epoch") + 1
            _write(data_dir, epoch)
            os.fsync(folder)  # the new name itself
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"engine.data_dir {data_dir}: {error.strerror}; it must be writable") from None
    return epoch


def _read(file: Path) -> int:
    try:
        text = file.read_bytes().strip()
    except FileNotFoundError:
        return 0
    if not text.isdigit() or len(text) > DIGITS_MAX:
        raise ConfigError(f"{file} does not hold a number; remove it only if no order of ours is open")
    return int(text)


def _write(data_dir: Path, epoch: int) -> None:
    temporary = data_dir / f".boot_epoch.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, f"{epoch}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(data_dir / "boot_epoch")
