"""What is installed, as a report on a problem has to name it."""

from __future__ import annotations

import importlib.metadata
import platform

import numpy as np
from threadpoolctl import threadpool_info

import mlp_xp

CUPY = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
"""The distributions that contain CuPy; two of them overwrite each other's files."""


def versions() -> dict[str, str]:
    """The version of each part, and what else decides what it computes; CuPy isn't imported."""
    return {
        "mlp_xp": mlp_xp.__version__,
        "Python": f"{platform.python_version()}, {platform.platform()}",
        "NumPy": f"{np.__version__}, {blas()}",
        "CuPy": ", ".join(_distributions(CUPY)) or "not installed",
    }


def _distributions(names: tuple[str, ...]) -> list[str]:
    """Those of the names that are installed, each with its version."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def blas() -> str:
    """NumPy's BLAS, the processor that its kernels are for, and its threads at the moment."""
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    described = [
        f"{library['internal_api']} {library['version']} "
        f"({library.get('architecture', 'unknown')}), {library['num_threads']} threads"
        for library in loaded
    ]
    return "; ".join(described) or "unknown BLAS"  # Apple's, which threadpoolctl doesn't know
