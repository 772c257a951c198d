"""Builds the compiled kernels; every one is optional, the pure-Python twins serve where it fails."""

from __future__ import annotations

from Cython.Build import cythonize
from setuptools import Extension, setup

MODULES = (
    "engine.model._native",
    "engine.model._text",
    "engine.transport._answer",
    "engine.telemetry._histogram",
    "engine.book._kernel",
    "engine.transport._listener",
)

setup(
    ext_modules=cythonize(
        [
            Extension(
                name,
                [name.replace(".", "/") + ".pyx"],
                extra_compile_args=["-O3", "-fno-plt", "-Wno-unreachable-code"],
                optional=True,
            )
            for name in MODULES
        ],
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
    )
)
