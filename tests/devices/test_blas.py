"""BLAS has one thread during training and its old limit afterward; two threads share a product."""

import threading
from typing import ClassVar

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mlp_xp import Callback, Config, Dataset, Split, Trainer
from mlp_xp.devices import CPU
from mlp_xp.devices.blas import WORTH_BLAS_THREADS, blas_threads, one_blas_thread
from mlp_xp.training.windowed.product import WORTH_SHARING, SharedProduct


def blas() -> set[int]:
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    """Two BLAS threads, a limit that a user may have set."""
    with threadpool_limits(2, user_api="blas"):
        if blas() != {2}:
            pytest.skip(f"the threads of this BLAS can't be limited: {threadpool_info()}")
        yield


def test_the_limit_holds_in_the_block_alone():
    assert blas_threads() == 2
    with one_blas_thread():
        assert blas() == {1}
        assert blas_threads() == 1
    assert blas() == {2}


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("rows", [3, 1000])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_shared_product_is_the_product(busy, rows, transposed, rng):
    """Even if the second thread is busy and never starts on its half."""
    a = rng.standard_normal((200, rows)).T if transposed else rng.standard_normal((rows, 200))
    b, out = rng.standard_normal((200, 100)), np.empty((rows, 100))
    assert (rows * 200 * 100 >= WORTH_SHARING) == (rows == 1000)
    product, done = SharedProduct(np, 2), threading.Event()
    if busy:
        product.second.submit(done.wait)
    product(a, b, out)
    done.set()
    np.testing.assert_allclose(out, a @ b, rtol=1e-12, atol=1e-12)
    again = np.empty_like(out)
    product(a, b, again)
    assert again.tobytes() == out.tobytes()


def test_an_error_on_the_second_thread_is_raised():
    product = SharedProduct(np, 2)
    with pytest.raises(ValueError, match="matmul"):
        product(np.ones((1000, 200)), np.ones((201, 100)), np.ones((1000, 100)))


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({}, {1}),
        ({"optimizer": "adam"}, {1}),
        ({"hidden": (1000,), "batch_size": 100_000}, {1}),  # splits its products itself
        ({"hidden": (1000,), "batch_size": 100_000, "optimizer": "adam"}, {2}),
    ],
)
def test_training_leaves_the_threads_as_they_were(fail, settings, threads):
    class Watch(Callback):
        seen: ClassVar[set[int]] = set()

        def on_chunk(self, trainer: Trainer) -> None:
            Watch.seen = blas()
            if fail:
                raise KeyboardInterrupt

    assert WORTH_BLAS_THREADS <= 4 * 1000 * 100_000
    data = Dataset("small", Split(np.eye(4), np.arange(4)), None, 4)
    config = Config(**{"hidden": (3,), "epochs": 1, **settings})
    try:
        Trainer(data, config, CPU()).fit([Watch()])
    except KeyboardInterrupt:
        assert fail
    assert Watch.seen == threads
    assert blas() == {2}
