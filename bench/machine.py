"""What a result was measured on: the processor, its limits, and every library's version.

python -m bench.machine        prints the limits as JSON, for OMP_NUM_THREADS threads
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import time
import timeit
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

PACKAGES = (
    "mlp_xp",
    "numpy",
    "jax",
    "jaxlib",
    "torch",
    "scikit-learn",
    "tinygrad",
    "mpi4py",
    "mpich",
    "cupy-cuda12x",
    "cupy-cuda13x",
)
STAT = Path("/proc/stat")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
SIDE = 1024  # of the square matrices whose product is timed
SIZES_MB = ("0.4", "8", "256")  # a first layer's weights, a cache's size, and more than any cache
TRIES = 7  # the fastest counts


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as far as the system knows it.

    A virtual machine often hides the generation in the name, but not in family and model.
    """
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    lines = re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", text, re.M)
    found = dict(reversed(lines))  # of the first core
    if "model name" not in found:
        return platform.processor() or platform.machine()
    name = re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", "", found.pop("model name"))
    details = [f"{key.removeprefix('cpu ')} {value}" for key, value in sorted(found.items())]
    return ", ".join((" ".join(name.split()), *details))


def blas() -> dict[str, str]:
    """The BLAS that NumPy uses: library, version, and the processor that its kernels are for."""
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    keys = ("internal_api", "version", "architecture")
    return {key: str(found[0].get(key) or "unknown") if found else "unknown" for key in keys}


def variables() -> dict[str, str]:
    """What the environment says to BLAS and OpenMP, before the runner sets the threads."""
    names = ("OPENBLAS_", "OMP_", "MKL_")
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(names)}


def describe() -> dict[str, Any]:
    """The machine. `load` is from before the first measurement and should be close to 0."""
    try:
        governor = GOVERNOR.read_text().strip()
    except OSError:
        governor = "not readable"
    return {
        "processor": processor(),
        "blas": blas(),
        "variables": variables(),
        "cores": cores(),
        "governor": governor,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2),
    }


class Busy:
    """How many cores other processes have kept busy since it was made: close to 0 on a quiet
    machine, and on another one no ratio means anything."""

    def __init__(self) -> None:
        self.start = self.now()

    def now(self) -> tuple[float, float]:
        """Wall-clock seconds, and the processors' seconds that aren't this benchmark's."""
        try:
            fields = STAT.read_text().split(maxsplit=9)[1:9]
        except OSError:
            return time.monotonic(), math.nan
        user, nice, system, _, _, irq, softirq, steal = map(int, fields)
        everyone = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        spent = os.times()
        return time.monotonic(), everyone - sum(spent[:4])

    def others(self) -> float | None:
        """The number of cores, on average; None where the system doesn't tell."""
        wall, busy = (now - start for now, start in zip(self.now(), self.start, strict=True))
        return None if math.isnan(busy) else round(max(0.0, busy / wall), 2)


def versions() -> dict[str, str]:
    """The versions of Python and of every package that is installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def slug() -> str:
    """The machine, with its kernels, as part of a file name."""
    name = f"{processor()} {cores()} cores {blas()['architecture']}"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few tries: a limit is what is possible at all."""
    return min(timeit.repeat(work, number=1, repeat=TRIES))


def product_gflop_s(dtype: str) -> float:
    """The speed of NumPy's BLAS in a large matrix product."""
    A = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(dtype)
    out = np.empty_like(A)
    return 2 * SIDE**3 / best(lambda: np.matmul(A, A, out=out)) / 1e9


def copy_gb_s(megabytes: float, threads: int) -> float:
    """The speed of copying memory, every byte counted twice: once read, once written.

    Each thread copies its own part, repeatedly, so that a try is long enough to be timed.
    """
    count = int(megabytes * 1e6 / 8 / threads)
    pairs = [(np.zeros(count), np.ones(count)) for _ in range(threads)]
    repeat = max(1, int(64 / megabytes))

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(repeat):
            np.copyto(*pair)

    with ThreadPoolExecutor(threads) as pool:
        each = map if threads == 1 else pool.map
        seconds = best(lambda: list(each(copy, pairs)))
    return 2 * 8 * count * threads * repeat / seconds / 1e9


def roofline(threads: int) -> dict[str, Any]:
    """What arithmetic and memory can do at most: the roof over every other figure."""
    return {
        "float32_gflop_s": product_gflop_s("float32"),
        "float64_gflop_s": product_gflop_s("float64"),
        "copy_gb_s": {size: copy_gb_s(float(size), threads) for size in SIZES_MB},
    }


if __name__ == "__main__":
    print(json.dumps(roofline(int(os.environ.get("OMP_NUM_THREADS", "1")))))
