"""Large matrix products, split between two Python threads while BLAS is limited to one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mlp_xp.types import Array, Namespace

WORTH_SHARING = 20_000_000
"""Multiplications in a product from which it is split. Steps of 784-128-10 on two cores, relative
to one thread: 0.77 of the time with 512 rows, 50 million; 1.09 with 128 rows, 13 million."""


class SharedProduct:
    """Computes out = a b; a large one in two halves, the lower one on a second thread.

    If the second thread hasn't started when the upper half is done, because the machine is busy,
    the calling thread computes the lower half too. Either way these are the same two products, so
    the result has the same bits.
    """

    def __init__(self, xp: Namespace, threads: int):
        self.xp = xp
        self.second = None
        if threads > 1:
            # NumPy's settings for errors belong to a thread; the calling one has its caller's.
            self.second = ThreadPoolExecutor(1, "product", xp.seterr, ("ignore",))

    def __call__(self, a: Array, b: Array, out: Array) -> None:
        """a (m, k), b (k, n), out (m, n) with contiguous rows; all of one dtype."""
        if self.second is None or a.shape[0] * b.shape[0] * b.shape[1] < WORTH_SHARING:
            a.dot(b, out)
            return
        half = len(a) // 2
        # matmul reads a transposed slice in place, where dot would copy it first.
        lower = self.second.submit(self.xp.matmul, a[half:], b, out=out[half:])
        self.xp.matmul(a[:half], b, out=out[:half])
        if lower.cancel():
            self.xp.matmul(a[half:], b, out=out[half:])
        else:
            lower.result()
