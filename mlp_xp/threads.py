"""How many threads the matrix products of a training use: NumPy's BLAS has one, the large ones two.

BLAS's own threads spin while they wait for each other. On a machine that does something else too,
small products then take 3 to 10 times as long with two threads as with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_info, threadpool_limits

from mlp_xp.functions import Array, Namespace

WORTH_SHARING = 20_000_000
"""Multiplications in a product from which on it is shared. Steps of 784-128-10 on two cores: 512
rows, 50 million, take 0.77 of the time that way; 128 rows, 13 million, 1.09."""


WORTH_BLAS_THREADS = 100_000_000
"""Multiplications from which on BLAS keeps its threads where nothing else shares a product: 256
rows through 1024 x 1024 took 0.58 of the time with two, 512 through 784 x 128 0.69 to 1.4."""


def blas_threads() -> int:
    """How many threads BLAS may have at the moment, by the machine or by whoever limits it."""
    libraries = threadpool_info()
    return max((lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"), default=1)


@contextmanager
def one_blas_thread(unless: bool = False) -> Iterator[None]:
    """Within, BLAS has one thread, or what it had; afterwards as many as before."""
    with threadpool_limits(None if unless else 1, user_api="blas"):
        yield


class Product:
    """out = a b, a large one in two halves: the upper one here, the lower one on a second thread.

    If that thread hasn't begun by the time the first half is done, because the machine is busy,
    the second half is done here too. It is the same two products either way, and the same bits.
    """

    def __init__(self, xp: Namespace, threads: int):
        self.xp = xp
        self.second = ThreadPoolExecutor(1, thread_name_prefix="product") if threads > 1 else None

    def __call__(self, a: Array, b: Array, out: Array) -> None:
        """a (m, k), b (k, n), out (m, n), whose rows follow each other in memory."""
        if self.second is None or a.shape[0] * b.shape[0] * b.shape[1] < WORTH_SHARING:
            a.dot(b, out)
            return
        half = len(a) // 2
        # matmul takes a transposed slice as it is, where dot copies it.
        lower = self.second.submit(self.xp.matmul, a[half:], b, out=out[half:])
        self.xp.matmul(a[:half], b, out=out[:half])
        if lower.cancel():
            self.xp.matmul(a[half:], b, out=out[half:])
        else:
            lower.result()
