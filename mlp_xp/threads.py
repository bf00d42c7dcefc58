"""How many threads NumPy's BLAS may use while a network trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from threadpoolctl import threadpool_limits

from mlp_xp.network import Network

WORTH_SHARING = 20_000_000
"""Multiplications in a product from which on several BLAS threads are left to share it.

784-128-10 on two cores, time with two threads over time with one: batch 32 0.93, batch 128 0.82,
batch 512 0.69; 784-256-10, batch 32 1.35; 784-1024-1024-10, batch 256 0.58. That is on a machine
that does nothing else. On a busy one the threads wait for each other: 3 to 10 times as long up to
batch 128, where 13 million are multiplied.
"""


@contextmanager
def blas_threads(network: Network, batch_size: int) -> Iterator[None]:
    """Within, BLAS has one thread if the network's products are small; afterwards as before."""
    products = (batch_size * n_in * n_out for n_in, n_out in pairwise(network.sizes))
    if max(products) >= WORTH_SHARING:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield
