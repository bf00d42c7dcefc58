"""What a result was measured on: the processor, its limits, and every library's version.

python -m bench.machine        prints the limits as JSON, for OMP_NUM_THREADS threads
"""

from __future__ import annotations

import json
import os
import platform
import re
import timeit
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = ("mlp_xp", "numpy", "jax", "jaxlib", "torch", "scikit-learn", "tinygrad")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
SIDE = 1024  # of the square matrices whose product is timed
SIZES_MB = ("0.4", "8", "256")  # a first layer's weights, a cache's size, and more than any cache
TRIES = 7  # the fastest counts


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as far as the system knows it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def describe() -> dict[str, Any]:
    """The machine. `load` is from before the first measurement and should be close to 0."""
    try:
        governor = GOVERNOR.read_text().strip()
    except OSError:
        governor = "not readable"
    return {
        "processor": processor(),
        "cores": cores(),
        "governor": governor,
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 2),
    }


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
    """The machine as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", f"{processor()} {cores()} cores".lower()).strip("-")


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
