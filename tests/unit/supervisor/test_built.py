"""An edit without a build must not go unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

from engine.supervisor.built import stale_modules


def test_a_module_older_than_its_source_is_named(tmp_path: Path) -> None:
    package = tmp_path / "engine"
    (package / "router").mkdir(parents=True)
    compiled = package / "router" / "order.cpython-311-x86_64-linux-gnu.so"
    source = package / "router" / "order.py"
    source.write_text("")
    compiled.write_bytes(b"")
    assert stale_modules(package) == []
    later = compiled.stat().st_mtime + 60
    os.utime(source, (later, later))
    assert stale_modules(package) == ["engine/router/order"]


def test_the_checkout_under_test_is_built() -> None:
    assert stale_modules() == [], "run: make build"
