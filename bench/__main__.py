"""``python -m bench NAME``: run one benchmark, or ``all`` of them."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import bench


def names() -> list[str]:
    """Return the benchmarks: the modules of this package that have a ``main``."""
    return sorted(
        module.name.replace("_", "-")
        for module in pkgutil.iter_modules(bench.__path__)
        if not module.name.startswith("_") and not module.ispkg
    )


def main(argv: list[str]) -> int:
    """Dispatch to ``bench.<name>.main(rest)``; its return value is the exit code."""
    known = names()
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m bench NAME [--small] [--json] [options of that benchmark]\n")
        for name in known:
            module = importlib.import_module(f"bench.{name.replace('-', '_')}")
            summary = (module.__doc__ or "").strip().splitlines()[0]
            print(f"  {name:14} {summary}")
        print("  all            every one of them, in turn\n\nexample: python -m bench wire-to-book --json")
        return 0 if argv else 64
    name, rest = argv[0], argv[1:]
    if name == "all":
        for each in known:
            print(f"== {each}", flush=True)
            code = run(each, rest)
            if code:
                print(f"bench {each} failed with exit code {code}", file=sys.stderr)
                return code
        return 0
    if name not in known:
        print(f"no benchmark {name!r}; there are: {', '.join(known)}, all", file=sys.stderr)
        return 64
    return run(name, rest)


def run(name: str, argv: list[str]) -> int:
    """Run one benchmark and return its exit code."""
    module = importlib.import_module(f"bench.{name.replace('-', '_')}")
    code: int = module.main(argv)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
