"""Builds the compiled modules; every one is optional, pure Python serves where it fails.

Two kinds: kernels written in Cython (``.pyx``) with readable twins in Python, and the modules of the order
path, compiled from the very same ``.py`` that runs without a compiler; a ``.pxd`` beside one makes C structs
of its classes. After a change: ``make build``; the engine says at start when a compiled module is older than
its source.
"""

from __future__ import annotations

from Cython.Build import cythonize
from setuptools import Extension, setup

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
    return Extension(name, [source], extra_compile_args=[*flags, "-fno-plt", "-g0"], optional=True)


setup(
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
    ]
)
