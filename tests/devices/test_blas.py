"""BLAS has one thread during training and its old limit afterward; two threads share a product."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
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


def elsewhere(function: Callable[[], object]) -> object:
    """What the function returns on a thread that then ends.

    A thread that has set the threads of OpenBLAS and lives on keeps others from setting them.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


@pytest.fixture(autouse=True)
def two_threads():
    """Two BLAS threads, a limit that a user may have set."""
    limits = elsewhere(lambda: threadpool_limits(2, user_api="blas"))
    if blas() != {2}:
        pytest.skip(f"the threads of this BLAS can't be limited: {threadpool_info()}")
    yield
    elsewhere(limits.restore_original_limits)


@pytest.mark.parametrize("by", [nullcontext, lambda: threadpool_limits(2, user_api="blas")])
def test_the_limit_holds_in_the_block_alone(by):
    with by():
        assert blas_threads() == 2
        with one_blas_thread():
            assert blas() == {1}
            assert blas_threads() == 2, "what a training is made with, whatever else runs"
        assert blas() == {2}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_overlapping_blocks_end_in_any_order(order, fail, n_threads):
    """In threads that outlive them."""
    error = ValueError("in the block") if fail else None
    threads = [ThreadPoolExecutor(1) for _ in range(n_threads)]
    blocks = [(one_blas_thread(), threads[number % n_threads]) for number in range(3)]
    for block, thread in blocks:
        thread.submit(block.__enter__).result()
    for number in order:
        assert blas() == {1}
        block, thread = blocks[number]
        assert not thread.submit(block.__exit__, error and ValueError, error, None).result()
    assert blas() == {2}
    for thread in threads:
        thread.shutdown()


def test_a_block_without_a_limit_leaves_the_others_alone():
    with one_blas_thread(unless=True):
        assert blas() == {2}
        with one_blas_thread():
            with one_blas_thread(unless=True):
                assert blas() == {1}
            assert blas() == {1}
        assert blas() == {2}


def test_an_error_from_a_signal_leaves_the_limit_as_it_was(monkeypatch):
    """It may come up wherever a handler is called, such as while the limit is being set."""
    started = threading.Thread.start

    def start_and_fail(self):
        started(self)
        raise TimeoutError("from a handler")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_and_fail)
        with pytest.raises(TimeoutError), one_blas_thread():
            pass
    with one_blas_thread():
        assert blas() == {1}
    assert blas() == {2}


def test_threads_that_train_at_once_leave_the_limit_as_it_was():
    seen = set()

    def train(_: int) -> None:
        with one_blas_thread():
            seen.update(blas())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(train, range(100)))
    assert seen == {1}
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


def test_both_halves_of_a_shared_product_may_overflow_in_silence():
    """The upper one as the calling thread is set to, by the command line for example."""
    a, b, out = np.full((1000, 200), 1e300), np.full((200, 100), 1e300), np.empty((1000, 100))
    product = SharedProduct(np, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        product(a, b, out)
    assert np.isinf(out).all()
    product.second.submit(np.matmul, a, b).result()  # if it started too late for its half


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
