"""Compiled modules that no longer say what their sources say."""

from __future__ import annotations

from pathlib import Path

import engine

_SOURCES = (".pyx", ".pxd", ".py")


def stale_modules(package: Path | None = None) -> list[str]:
    """Return the compiled modules that are older than their source, e.g. ``engine/router/order``.

    A compiled module is imported before its source: after an edit without ``make build`` the old one runs.
    """
    root = package or Path(engine.__file__).parent
    stale = []
    for compiled in sorted(root.rglob("*.so")):
        stem = compiled.with_name(compiled.name.partition(".")[0])
        sources = [path for suffix in _SOURCES if (path := stem.with_suffix(suffix)).exists()]
        if any(path.stat().st_mtime > compiled.stat().st_mtime + 1 for path in sources):
            stale.append(str(stem.relative_to(root.parent)))
    return stale
