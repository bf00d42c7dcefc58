"""The number of threads that NumPy's BLAS uses: one during training, unless products are large.

BLAS threads busy-wait for each other. On a machine that is also busy with something else, small
products take 3 to 10 times as long with two threads as with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_info, threadpool_limits

WORTH_BLAS_THREADS = 100_000_000
"""Multiplications in a product from which BLAS keeps its threads, unless SharedProduct splits it.
Two threads took 0.58 of the time for 256 rows through 1024 x 1024, 0.69 to 1.4 for 512 rows
through 784 x 128."""


def blas_threads() -> int:
    """How many threads BLAS may use now: as many as the machine has, or the limit that is set."""
    libraries = threadpool_info()
    return max((lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"), default=1)


@contextmanager
def one_blas_thread(unless: bool = False) -> Iterator[None]:
    """Limit BLAS to one thread in the block, or leave it alone with `unless`; then restore it."""
    with threadpool_limits(None if unless else 1, user_api="blas"):
        yield
