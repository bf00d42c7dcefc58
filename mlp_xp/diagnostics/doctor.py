"""A report to paste into an issue: what this machine can run, and whether its devices agree."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlp_xp.data import Dataset, load_data
from mlp_xp.devices import CPU, Device, device_errors, get_device
from mlp_xp.devices.cores import usable_cores
from mlp_xp.devices.device import cuda_index
from mlp_xp.devices.probe import probe
from mlp_xp.diagnostics.kernels import PRODUCTS, kernel_speeds
from mlp_xp.diagnostics.parity import TOLERANCE, compare, first_rows, trace
from mlp_xp.diagnostics.ranks import mpi_library, way_of_sums
from mlp_xp.errors import DeviceError, DeviceUnavailable
from mlp_xp.training import Config, Trainer, train
from mlp_xp.training.captured import CapturedStep
from mlp_xp.versions import versions

# Twenty steps: five batches in each of four epochs.
PARITY: dict[str, Any] = {"hidden": (128, 64), "batch_size": 32, "epochs": 4, "lr": 0.1}
PARITY_ROWS = 160
SPEED_BATCHES = (1, 32, 1024)
SPEED_SECONDS = 0.1  # long enough an epoch to measure

# Prefixes of the environment variables that change how things run.
VARIABLES = (
    "CUDA_", "CUPY_", "MLP_XP_", "OPENBLAS_", "OMP_NUM_", "MKL_NUM_", "NVIDIA_VISIBLE_",
    "NVIDIA_TF32_",
)  # fmt: skip

# Steps that are recorded each in a way of its own, where there are graphs.
RECORDED: dict[str, dict[str, Any]] = {
    "SGD, in windows": {},
    "Adam": {"optimizer": "adam", "lr": 0.001},
}


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: its part of the report, its name, and what was found.

    passed: None for a measurement, which can't fail.
    """

    part: str
    name: str
    passed: bool | None
    found: str
    values: dict[str, float] = field(default_factory=dict)


def machine() -> dict[str, str]:
    """The machine and what is installed on it, without using a GPU or importing CuPy."""
    return {
        **versions(),
        "CPU": f"{platform.machine()}, {usable_cores()} CPUs available",
        "driver": _driver(),
        "environment": _environment(),
    }


def examine(name: str) -> Iterator[Finding]:
    """Check a device: each step of the probe, its agreement with NumPy, its speed, and its ranks.

    The CPU is compared with itself in float64 instead, and OpenBLAS's kernels with each other.
    Findings come as soon as they are made. If the device can't be used, or fails, the finding that
    says so is the last one.
    """
    device: Device = CPU()
    if name != "cpu":
        try:
            for step, found in probe(cuda_index(name)):
                yield Finding("probe", step, True, found)
            device = get_device(name, require=True)
        except (DeviceUnavailable, DeviceError) as error:
            yield Finding("probe", "", False, str(error))
            return
    data = load_data("mnist")
    try:
        with device_errors():
            yield from _parity(device, first_rows(data, PARITY_ROWS))
            if not device.on_host:
                yield from _graphs(device, first_rows(data, PARITY_ROWS))
            yield from _speed(device, data, graph=True)
            if device.on_host:
                yield from _kernels()
            else:
                yield from _speed(device, data, graph=False)
            yield from _ranks(device)
    except DeviceError as error:
        yield Finding("run", "", False, str(error))


def _parity(device: Device, data: Dataset) -> Iterator[Finding]:
    reference = CPU()
    if device.on_host:
        comparisons = [("float32 against float64", "float64", "float32", True)]
    else:
        comparisons = [
            *((f"against cpu, {dtype}", dtype, dtype, True) for dtype in TOLERANCE),
            ("against cpu, float32, --no-graph", "float32", "float32", False),
        ]
    for part, reference_dtype, dtype, graph in comparisons:
        expected = trace(reference, data, Config(**PARITY, dtype=reference_dtype))
        computed = trace(device, data, Config(**PARITY, dtype=dtype, graph=graph))
        for stage in compare(expected, computed, TOLERANCE[dtype]):
            values = {"difference": stage.difference, "tolerance": stage.tolerance}
            found = f"difference {stage.difference:.1e}, allowed {stage.tolerance:.0e}"
            yield Finding(part, stage.stage, stage.holds, found, values)


def _graphs(device: Device, data: Dataset) -> Iterator[Finding]:
    """Whether steps can be recorded as CUDA graphs; without them training isn't worse, but
    probably slower."""
    for name, settings in RECORDED.items():
        trainer = Trainer(data, Config(**{**PARITY, **settings}), device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the finding says it
            trainer.fit()
        assert isinstance(trainer.train_step, CapturedStep)
        refused = trainer.train_step.refused
        found = f"not used: the steps {refused}" if refused else "used; they repeat the same steps"
        yield Finding("CUDA graphs", name, None if refused else True, found)


def _speed(device: Device, data: Dataset, *, graph: bool) -> Iterator[Finding]:
    part = "784-128-10, float32" if graph else "784-128-10, float32, --no-graph"
    for batch_size in SPEED_BATCHES:
        config = Config(hidden=(128,), batch_size=batch_size, epochs=2, lr=0.01, graph=graph)
        rows, seconds = batch_size * 8, 0.0
        while seconds < SPEED_SECONDS and rows < len(data.train):
            rows *= 4
            # The first epoch compiles kernels and warms up.
            last = train(first_rows(data, rows), config, device).history[-1]
            seconds, speed = last.seconds, last.samples_per_second
        values = {"batch_size": batch_size, "samples_per_second": speed}
        found = f"{speed:,.0f} samples/s"
        yield Finding(part, f"batch {batch_size}", None, found, values)


def _kernels() -> Iterator[Finding]:
    for kernel, gflops, remark in kernel_speeds():
        sizes = ["x".join(map(str, product)) for product in PRODUCTS]
        speeds = [f"{speed:,.0f} ({size})" for speed, size in zip(gflops, sizes, strict=False)]
        found = "; ".join(filter(None, [", ".join(speeds), remark]))
        values = {f"gflops_{size}": speed for size, speed in zip(sizes, gflops, strict=False)}
        yield Finding("OpenBLAS's kernels, GFLOP/s on one thread", kernel, None, found, values)


def _ranks(device: Device) -> Iterator[Finding]:
    yield Finding("ranks, as mpiexec starts them", "MPI", None, mpi_library())
    if not device.on_host:
        yield Finding("ranks, as mpiexec starts them", "sums", None, way_of_sums())


def _driver() -> str:
    """The NVIDIA driver's description of itself, which containers see too."""
    try:
        line = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return "none loaded"
    return line.partition(":")[2].strip()


def _environment() -> str:
    names = sorted(name for name in os.environ if name.startswith(VARIABLES))
    return ", ".join(f"{name}={os.environ[name]}" for name in names) or "nothing set"
