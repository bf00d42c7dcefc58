"""What this machine can run, and whether its backends agree: a report to paste into an issue."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import mlp_xp
from mlp_xp.backend import Backend, Unusable, cpu, cuda_index, device_errors, probe, resolve
from mlp_xp.config import Config
from mlp_xp.datasets import Dataset, load
from mlp_xp.errors import DeviceError
from mlp_xp.parity import TOLERANCE, compare, trace
from mlp_xp.training import train

# Twenty steps.
PARITY: dict[str, Any] = {"hidden": (128, 64), "batch_size": 32, "epochs": 4, "lr": 0.1}
PARITY_ROWS = 160
SPEED_BATCHES = (1, 32, 1024)
SPEED_SECONDS = 0.1  # an epoch as long as this can be read off

# What an environment may say that changes how things run.
VARIABLES = ("CUDA_", "CUPY_", "MLP_XP_", "OPENBLAS_", "OMP_NUM_", "MKL_NUM_", "NVIDIA_VISIBLE_")


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: the part of the report it belongs to, its name, how it went."""

    part: str
    name: str
    passed: bool
    found: str
    values: dict[str, float] = field(default_factory=dict)


def machine() -> dict[str, str]:
    """What is installed here, without touching a GPU or importing CuPy."""
    return {
        "mlp_xp": mlp_xp.__version__,
        "Python": f"{platform.python_version()}, {platform.platform()}",
        "CPU": f"{platform.machine()}, {_cpus()} to use",
        "NumPy": f"{np.__version__}, {_blas()}",
        "CuPy": ", ".join(cupy_packages()) or "not installed",
        "driver": _driver(),
        "environment": _environment(),
    }


def examine(asked: str) -> Iterator[Finding]:
    """Try a device: each step of the probe, its agreement with NumPy, its speed.

    The CPU, which has no other to agree with, is held against itself in float64. Findings come as
    they are made; after one that has not passed, no more may follow.
    """
    if asked == "cpu":
        backend = cpu()
    else:
        try:
            for name, found in probe(cuda_index(asked)):
                yield Finding("probe", name, True, found)
            backend = resolve(asked, require=True).backend
        except (Unusable, DeviceError) as error:
            yield Finding("probe", "", False, str(error))
            return
    data = load("mnist")
    try:
        with device_errors():
            yield from _parity(backend, _first(data, PARITY_ROWS))
            yield from _speed(backend, data)
    except DeviceError as error:
        yield Finding("run", "", False, str(error))


def _parity(backend: Backend, data: Dataset) -> Iterator[Finding]:
    reference = cpu()
    configs = {dtype: Config(**PARITY, dtype=dtype) for dtype in TOLERANCE}
    if backend.device == "cpu":
        pairs = [("float32 against float64", "float64", "float32")]
    else:
        pairs = [(f"against cpu, {dtype}", dtype, dtype) for dtype in TOLERANCE]
    for part, ours, theirs in pairs:
        left = trace(reference, data, configs[ours])
        right = trace(backend, data, configs[theirs])
        for stage in compare(left, right, TOLERANCE[theirs]):
            values = {"difference": stage.difference, "tolerance": stage.tolerance}
            found = f"difference {stage.difference:.1e}, allowed {stage.tolerance:.0e}"
            yield Finding(part, stage.stage, stage.holds, found, values)


def _speed(backend: Backend, data: Dataset) -> Iterator[Finding]:
    for batch_size in SPEED_BATCHES:
        config = Config(hidden=(128,), batch_size=batch_size, epochs=2, lr=0.01)
        rows, seconds = batch_size * 8, 0.0
        while seconds < SPEED_SECONDS and rows < len(data.train):
            rows *= 4
            # The first epoch is for compiling kernels and warming up.
            last = train(_first(data, rows), config, backend).history[-1]
            seconds, speed = last.seconds, last.samples_per_second
        values = {"batch_size": batch_size, "samples_per_second": speed}
        found = f"{speed:,.0f} samples/s"
        yield Finding("784-128-10, float32", f"batch {batch_size}", True, found, values)


def _first(data: Dataset, rows: int) -> Dataset:
    split = data.train
    return replace(data, train=replace(split, X=split.X[:rows], y=split.y[:rows]), test=None)


def cupy_packages() -> list[str]:
    """The CuPy packages that are installed, with version; two of them overwrite each other."""
    names = ("cupy", "cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x")
    return [f"{name} {importlib.metadata.version(name)}" for name in names if _installed(name)]


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _blas() -> str:
    """NumPy's BLAS and its threads; threadpoolctl knows both as they are at this moment."""
    loaded = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return "; ".join(
        f"{library['internal_api']} {library['version']} "
        f"({library.get('architecture', 'unknown')}), {library['num_threads']} threads"
        for library in loaded
    )


def _driver() -> str:
    """The loaded NVIDIA driver's own line; containers see it too."""
    try:
        line = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return "none loaded"
    return line.partition(":")[2].strip()


def _environment() -> str:
    told = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    return ", ".join(f"{name}={value}" for name, value in sorted(told.items())) or "nothing set"
