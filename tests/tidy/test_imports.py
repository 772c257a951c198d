"""The import rule of engine/README.md, as a test: imports point down, siblings are strangers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RANK = {
    "": 0, "model": 0, "config": 1, "telemetry": 1, "transport": 2, "venues": 2, "book": 2, "prints": 2,
    "recorder": 2, "session": 3, "router": 3, "replay": 3, "supervisor": 5, "cli": 5, "__main__": 6,
}  # fmt: skip

FENCES = {
    "socket": {"transport", "sim"}, "ssl": {"transport", "sim", "session", "supervisor"},
    "picows": {"transport"}, "aiofastnet": {"transport"}, "pyarrow": {"recorder"},
    "websockets": {"sim"}, "aiohttp": {"sim"}, "uvloop": {"__main__", "sim"}, "pandas": set(),
    "requests": set(), "pickle": set(),
}  # fmt: skip
"""Library to the packages that may import it. ``ssl`` in session and supervisor is the type of a context."""


def unit(module: str) -> str:
    """Return the unit of a dotted module below engine: "book", "venues.binance", "sim"."""
    parts = module.split(".")[1:]
    if not parts:
        return ""
    if parts[0] == "venues" and len(parts) > 1:
        return f"venues.{parts[1]}"
    return parts[0]


def may_import(importer: str, imported: str) -> bool:
    """Tell whether one unit may import another."""
    if (
        importer == imported
        or imported == ""
        or (importer.startswith("venues.") and imported == "venues.base")
    ):
        return True
    if "sim" in (importer, imported):
        return False
    if imported.startswith("venues.") and imported != "venues.base":
        return importer == "supervisor"
    return RANK[imported.split(".")[0]] < RANK[importer.split(".")[0]] or (
        importer in ("cli", "__main__") and imported in ("supervisor", "cli")
    )


def modules() -> list[tuple[str, Path]]:
    files = sorted((ROOT / "engine").rglob("*.py"))
    return [
        (".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), file)
        for file in files
    ]


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize(
    ("module", "file"), modules(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_imports_point_down(module: str, file: Path) -> None:
    importer = unit(module)
    for name in imports(file):
        if name.split(".")[0] == "engine":
            target = unit(name)
            if (
                target not in ("", "venues", "venues.base")
                and target.split(".")[0] not in RANK
                and target != "sim"
            ):
                continue  # a name of the package itself, such as engine.__version__
            assert may_import(importer, target), f"{module} ({importer}) imports {name} ({target})"
        else:
            library = name.split(".")[0]
            allowed = FENCES.get(library)
            assert allowed is None or importer.split(".")[0] in allowed, f"{module} imports {library}"


def test_the_rule_refuses_what_it_should() -> None:
    assert not may_import("book", "transport")
    assert not may_import("venues.binance", "venues.okx")
    assert not may_import("router", "session")
    assert not may_import("supervisor", "sim")
    assert not may_import("model", "telemetry")
    assert not may_import("session", "venues.binance")
    assert may_import("session", "venues.base")


def test_the_sixth_venue_keeps_the_rule() -> None:
    """Its two sides are strangers too: the wire knows the simulator alone, the adapter none of it."""
    folder = ROOT / "tests" / "sixth_venue"
    for file in ("errors.py", "market_data.py", "trading.py"):
        for name in imports(folder / file):
            inside = name.startswith(("engine.", "tests."))
            allowed = ("engine.model.", "engine.venues.base.", "tests.sixth_venue.errors.")
            assert not inside or name.startswith((*allowed, "tests.sixth_venue.market_data.")), (
                f"{file}: {name}"
            )
    for name in imports(folder / "wire.py"):
        assert not name.startswith("tests."), name
        assert not name.startswith("engine.") or name.startswith("engine.sim."), name


def test_compiled_modules_keep_the_rule() -> None:
    for file in (ROOT / "engine").rglob("*.p[yx][xd]"):
        importer = unit(".".join(file.relative_to(ROOT).with_suffix("").parts))
        for line in file.read_text().splitlines():
            words = line.split()
            if (
                len(words) > 3
                and words[0] == "from"
                and words[2] in ("import", "cimport")
                and words[1].startswith("engine.")
            ):
                assert may_import(importer, unit(words[1])), f"{file.name}: {line}"
            if len(words) > 3 and words[0] == "from" and words[1].startswith("picows"):
                assert importer == "transport"
