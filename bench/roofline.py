"""What this machine's memory and arithmetic can do, measured: the roof over every figure.

    python -m bench.roofline        prints JSON, for as many threads as OMP_NUM_THREADS says

Matrix products by NumPy's BLAS; memory by copying, every byte counted as read once and written
once, at three sizes: a first layer's weights, eight megabytes, and more than any cache.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SIDE = 1024
SIZES_MB = ("0.4", "8", "256")
TRIES = 7


def best(work: Callable[[], object], repeat: int = 1) -> float:
    """Seconds of one call, from the best of a few tries: a roof is what is possible at all."""
    seconds = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        for _ in range(repeat):
            work()
        seconds.append((time.perf_counter() - begun) / repeat)
    return min(seconds)


def product_gflop_s(dtype: str) -> float:
    A = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(dtype)
    out = np.empty_like(A)
    return 2 * SIDE**3 / best(lambda: np.matmul(A, A, out=out)) / 1e9


def copy_gb_s(megabytes: float, threads: int) -> float:
    """Each thread copies its own part, as often as makes a try long enough to time."""
    count = int(megabytes * 1e6 / 8 / threads)
    pairs = [(np.zeros(count), np.ones(count)) for _ in range(threads)]
    repeat = max(1, int(64 / megabytes))

    def part(pair: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(repeat):
            np.copyto(*pair)

    if threads == 1:
        seconds = best(lambda: part(pairs[0]))
    else:
        with ThreadPoolExecutor(threads) as pool:
            seconds = best(lambda: list(pool.map(part, pairs)))
    return 2 * 8 * count * threads * repeat / seconds / 1e9


def measure(threads: int) -> dict[str, object]:
    return {
        "float32_gflop_s": product_gflop_s("float32"),
        "float64_gflop_s": product_gflop_s("float64"),
        "copy_gb_s": {size: copy_gb_s(float(size), threads) for size in SIZES_MB},
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(os.environ.get("OMP_NUM_THREADS", "1")))))
