"""BLAS has one thread while small products are computed, and as many as before afterwards."""

from typing import ClassVar

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mlp_xp import Callback, Config, Dataset, Network, Run, Split
from mlp_xp.backend import cpu
from mlp_xp.threads import WORTH_SHARING, blas_threads


def blas() -> set[int]:
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    """NumPy's BLAS as a user may have set it."""
    with threadpool_limits(2, user_api="blas"):
        if blas() != {2}:
            pytest.skip(f"threads of this BLAS can't be set: {threadpool_info()}")
        yield


@pytest.mark.parametrize(("batch_size", "threads"), [(1, {1}), (32, {1}), (512, {2})])
def test_threads_follow_from_the_largest_product(batch_size, threads):
    network = Network.initialise(cpu(), (784, 128, 10))
    assert (784 * 128 * batch_size >= WORTH_SHARING) == (threads == {2})
    with blas_threads(network, batch_size):
        assert blas() == threads
    assert blas() == {2}


@pytest.mark.parametrize("fail", [False, True])
def test_training_leaves_the_threads_as_they_were(fail):
    class Watch(Callback):
        seen: ClassVar[set[int]] = set()

        def on_segment(self, run: Run) -> None:
            Watch.seen = blas()
            if fail:
                raise KeyboardInterrupt

    data = Dataset("small", Split(np.eye(4), np.arange(4)), None, 4)
    try:
        Run(data, Config(hidden=(3,), epochs=1), cpu()).go([Watch()])
    except KeyboardInterrupt:
        assert fail
    assert Watch.seen == {1}
    assert blas() == {2}
