"""The boot epoch: a number on disk that grows with every start, so that client order ids never repeat."""

from __future__ import annotations

import os
from pathlib import Path

from engine.model.errors import ConfigError


def next_epoch(data_dir: Path) -> int:
    """Return a larger number than at any earlier start, written to disk before it is used.

    Raises:
        ConfigError: the directory cannot be written, or the file does not hold a number.
    """
    file = data_dir / "boot_epoch"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = file.read_text().strip() if file.exists() else "0"
        if not (text.isascii() and text.isdecimal()):
            raise ConfigError(f"{file} does not hold a number; remove it only if no order of ours is open")
        epoch = int(text) + 1
        temporary = file.with_name(f".boot_epoch.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, f"{epoch}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(file)
    except OSError as error:
        raise ConfigError(f"engine.data_dir {data_dir}: {error.strerror}; it must be writable") from None
    return epoch
