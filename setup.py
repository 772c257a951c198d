"""Builds the compiled modules; every one is optional, pure Python serves where it fails.

Two kinds: kernels written in Cython (``.pyx``) with readable twins in Python, and the modules of the order
path, compiled from the very same ``.py`` that runs without a compiler; a ``.pxd`` beside one makes C structs
of its classes. After a change: ``make build``; the engine says at start when a compiled module is older than
its source. The order path's modules know each other's structs, so all of them are compiled or none is.
"""

from __future__ import annotations

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = (
    "engine.model._native",
    "engine.model._text",
    "engine.model._acks",
    "engine.model._mac",
    "engine.model._forms",
    "engine.transport._answer",
    "engine.telemetry._histogram",
    "engine.book._kernel",
    "engine.book._consolidated",
    "engine.transport._listener",
)
ORDER_PATH = (
    "engine.router.breaker",
    "engine.router.checks",
    "engine.router.order",
    "engine.router.router",
    "engine.router.stats",
    "engine.session.order_gateway",
    "engine.transport.busy_poll",
    "engine.transport.encoding",
    "engine.transport.http",
    "engine.transport.http_connection",
    "engine.transport.request_budget",
)


def _extension(name: str, suffix: str, *flags: str) -> Extension:
    source = name.replace(".", "/") + suffix
    return Extension(name, [source], extra_compile_args=[*flags, "-fno-plt", "-g0"])


class BuildTogether(build_ext):
    """Builds what can be built; where one module of the order path cannot, Python serves for all of them.

    setuptools itself forgives an optional module only some of the errors that a compiler, or its absence,
    makes.
    """

    def finalize_options(self) -> None:
        """Make all modules optional: cythonize does not pass that on."""
        super().finalize_options()
        self.failed: dict[str, str] = {}
        for each in self.extensions:
            each.optional = True

    def build_extension(self, ext: Extension) -> None:
        """Build one module, or note why not."""
        try:
            super().build_extension(ext)
        except Exception as error:  # whatever it is, the module's twin in Python serves
            self.failed[ext.name] = str(error).splitlines()[0][:200]

    def run(self) -> None:
        """Build all modules."""
        super().run()
        for name, why in self.failed.items():
            self.warn(f"{name} was not compiled: {why}")
        if self.failed.keys() & {*ORDER_PATH, "engine.model._native"}:
            for name in ORDER_PATH:
                Path(self.get_ext_fullpath(name)).unlink(missing_ok=True)
            self.warn("the order path is not compiled: it runs in Python")


setup(
    cmdclass={"build_ext": BuildTogether},
    ext_modules=[
        *cythonize(
            [_extension(name, ".pyx", "-O3", "-Wno-unreachable-code") for name in KERNELS],
            language_level=3,
            build_dir="build",
            compiler_directives={
                "boundscheck": False,
                "wraparound": False,
                "initializedcheck": False,
                "cdivision": True,
                "embedsignature": True,
                "freethreading_compatible": False,
            },
        ),
        *cythonize(
            [_extension(name, ".py", "-O2") for name in ORDER_PATH],
            language_level=3,
            build_dir="build",
            # The meaning of Python to the letter: annotations are not taken for C types.
            compiler_directives={"annotation_typing": False, "binding": True},
        ),
    ],
)
