"""How fast OpenBLAS's kernels are on this machine, each in a process of its own.

A process keeps the kernels it started with, and one that the processor can't run would crash it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mlp_xp.devices.blas import openblas_kernel
from mlp_xp.devices.kernels import VARIABLE, processor, runnable_kernels

PRODUCTS = ((128, 784, 128), (1024, 1024, 1024))
"""Rows, inputs and outputs of the products: a batch of 128 on MNIST, and a large one."""
SECONDS = 0.1  # for each product: enough for its clock to settle, and to miss most disturbances
TIMEOUT = 10.0
WORTH_TELLING = 1.1
"""Less than this between two kernels may be chance."""


class KernelSpeed(NamedTuple):
    """A kernel, its GFLOP/s on each of PRODUCTS, and a remark; no speeds if it doesn't run."""

    kernel: str
    gflops: tuple[float, ...]
    remark: str = ""


def kernel_speeds() -> Iterator[KernelSpeed]:
    """Measure OpenBLAS's own choice, the kernel in use, and the others that may be faster.

    In float32 on one thread. A faster one has the remark what to set. There are none where NumPy's
    BLAS isn't OpenBLAS, or where no process can be started.
    """
    used = openblas_kernel()
    own = _measure_elsewhere(None) if used else None
    if used is None or own is None:
        return
    speeds = {own.kernel: own}
    for kernel in (used, *runnable_kernels(processor())):
        if kernel not in speeds:
            speed = _measure_elsewhere(kernel) or KernelSpeed(kernel, (), "doesn't run here")
            if speed.kernel == kernel:  # a build of OpenBLAS may lack it and take another
                speeds[kernel] = speed
    for kernel, speed in speeds.items():
        yield speed if speed.remark else speed._replace(remark=_remark(kernel, used, own, speeds))


def measure() -> None:
    """Print this process's kernel and its speeds, for the process that started it."""
    print(json.dumps([openblas_kernel(), *map(_gflops, PRODUCTS)]))  # noqa: T201


def _gflops(sizes: tuple[int, int, int]) -> float:
    rows, n_in, n_out = sizes
    A, W = np.ones((rows, n_in), np.float32), np.ones((n_in, n_out), np.float32)
    Z = A @ W
    shortest, end = math.inf, time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < end:
        np.matmul(A, W, out=Z)
        shortest = min(shortest, time.perf_counter() - started)
    return 2 * math.prod(sizes) / shortest / 1e9


def _measure_elsewhere(kernel: str | None) -> KernelSpeed | None:
    """What measure() prints in a process that asks for the kernel; None if it fails.

    kernel: None to leave the choice to OpenBLAS.
    """
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment |= {VARIABLE: kernel} if kernel else {}
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    code = "from mlp_xp.diagnostics.kernels import measure; measure()"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=True,
        )  # fmt: skip
        name, *gflops = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return KernelSpeed(name, tuple(gflops)) if isinstance(name, str) else None


def _remark(kernel: str, used: str, own: KernelSpeed, speeds: dict[str, KernelSpeed]) -> str:
    """Whether a kernel is in use; for the fastest, what it gains and what to set.

    The one in use is compared with OpenBLAS's own choice, which other programs get.
    """
    base = own if kernel == used else speeds.get(used, own)
    times = _times_as_fast(speeds[kernel], base)
    fastest = max(speeds.values(), key=lambda speed: _times_as_fast(speed, base)).kernel
    remark = "in use" if kernel == used else ""
    if kernel != fastest or times <= WORTH_TELLING:
        return remark
    remedy = f"unset {VARIABLE}" if kernel == own.kernel else f"set {VARIABLE}={kernel}"
    where = " for programs of your own too" if kernel == used else ""
    gain = f"{times:.1f} times as fast as {base.kernel}: {remedy}{where}"
    return f"{remark}, {gain}" if remark else gain


def _times_as_fast(speed: KernelSpeed, base: KernelSpeed) -> float:
    """On the product where it gains less; 0 for one that doesn't run."""
    return min((a / b for a, b in zip(speed.gflops, base.gflops, strict=False)), default=0.0)
