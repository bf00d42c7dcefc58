"""Rows come in the epoch's order, the same whether they are on the device or streamed to it."""

import gc
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workout import small_data

from mlp_xp import Config, InputError, Run, resolve
from mlp_xp.backend import Backend
from mlp_xp.feed import Feed, parse_bytes

CPU = resolve("cpu").backend


def arrays(rows: int = 50) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    X = rng.integers(0, 256, (rows, 6), dtype=np.uint8)
    return X, rng.integers(0, 10, rows), rng.random(rows, dtype=np.float32)


@pytest.mark.parametrize("shuffled", [False, True], ids=["own order", "shuffled"])
@pytest.mark.parametrize("device_memory", [None, 1], ids=["resident", "streamed"])
def test_an_epoch_is_the_rows_in_its_order(device_memory, shuffled, backend, check, rng):
    data = arrays()
    feed = Feed(backend, *data, device_memory=device_memory)
    assert feed.resident == (device_memory is None)
    for rows in (50, 31):  # a part of the rows trains where some are held out
        order = rng.permutation(50)[:rows] if shuffled or rows < 50 else None
        feed.begin(order)
        for start in range(0, rows, 16):
            stop = min(start + 16, rows)
            taken = feed.take(start, stop)
            assert len(taken) == len(data)
            for found, source in zip(taken, data, strict=True):
                expected = (source if order is None else source[order])[start:stop]
                assert check(found, str(source.dtype)).tobytes() == expected.tobytes()


@given(
    st.lists(st.tuples(st.integers(0, 49), st.integers(1, 50)), min_size=1, max_size=12),
    st.booleans(),
)
def test_streamed_rows_are_right_in_whatever_order_they_are_asked_for(asked, shuffled):
    data = arrays()
    feed = Feed(CPU, *data, device_memory=1)
    order = np.random.default_rng(0).permutation(50) if shuffled else np.arange(50)
    feed.begin(order if shuffled else None)
    kept = []
    for start, count in asked:
        stop = min(start + count, 50)
        kept.append((order[start:stop], feed.take(start, stop)))
    for rows, taken in kept:  # nothing that was taken is written over later
        for found, source in zip(taken, data, strict=True):
            np.testing.assert_array_equal(found, source[rows])


def test_device_memory_bounds_what_lies_on_the_device():
    X, y, weights = arrays()
    needed = X.nbytes + y.nbytes + weights.nbytes + 8 * len(y)
    assert Feed(CPU, X, y, weights, device_memory=needed).resident
    assert not Feed(CPU, X, y, weights, device_memory=needed - 1).resident
    # Half of what is free, where the device has memory of its own.
    for free, resident in ((2 * needed, True), (2 * needed - 2, False)):
        device = replace(CPU, free_memory=lambda free=free: free)
        assert Feed(device, X, y, weights).resident == resident


def test_on_the_cpu_nothing_is_copied():
    X, y, _ = arrays()
    feed = Feed(CPU, X, y)
    feed.begin(None)
    for found, source in zip(feed.take(5, 9), (X, y), strict=True):
        assert np.shares_memory(found, source)


@pytest.mark.parametrize("device_memory", [None, 1], ids=["resident", "streamed"])
def test_rows_come_from_a_file_as_they_are_needed(device_memory, tmp_path):
    X, y, _ = arrays()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    feed = Feed(CPU, mapped, y, device_memory=device_memory)
    order = np.random.default_rng(0).permutation(50)
    feed.begin(order)
    found, _ = feed.take(10, 30)
    np.testing.assert_array_equal(found, X[order[10:30]])


class LateCopies:
    """A device that copies as late as it may: when someone waits for the copy, or at the end."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.buffers: list[np.ndarray] = []

    def empty_pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.buffers.append(np.empty(shape, dtype=dtype))
        return self.buffers[-1]

    def send(self, source: np.ndarray, out: np.ndarray) -> Callable[[], None]:
        def copy() -> None:
            if copy in self.waiting:
                self.waiting.remove(copy)
                np.copyto(out, source)

        assert any(np.shares_memory(source, buffer) for buffer in self.buffers)
        self.waiting.append(copy)
        return copy

    def backend(self) -> Backend:
        return replace(CPU, empty_pinned=self.empty_pinned, send=self.send)


def test_a_buffer_is_written_only_when_the_device_has_read_it():
    device = LateCopies()
    X, y, _ = arrays()
    feed = Feed(device.backend(), X, y, device_memory=1)
    taken = []
    for order in (None, np.random.default_rng(0).permutation(50)):
        feed.begin(order)
        taken += [(order, i, feed.take(i, i + 10)) for i in range(0, 50, 10)]
        assert len(device.waiting) <= 4  # two arrays each in two sets of buffers
    for copy in list(device.waiting):
        copy()
    assert len(device.buffers) == 4
    for order, i, (found, labels) in taken:
        rows = slice(i, i + 10) if order is None else order[i : i + 10]
        np.testing.assert_array_equal(found, X[rows])
        np.testing.assert_array_equal(labels, y[rows])


def test_the_next_rows_are_gathered_meanwhile():
    X, y, _ = arrays()
    feed = Feed(CPU, X, y, device_memory=1)
    feed.begin(None)
    feed.take(0, 10)
    source = feed._source
    start, stop, gathered = source.ahead
    assert (start, stop) == (10, 20)
    np.testing.assert_array_equal(gathered.result(timeout=10)[0], X[10:20])
    found, _ = feed.take(10, 45)  # more than was read ahead
    np.testing.assert_array_equal(found, X[10:45])
    assert source.ahead[:2] == (45, 50)
    order = np.arange(50)[::-1][:48]
    feed.begin(order)  # before all of the last epoch was taken
    np.testing.assert_array_equal(feed.take(45, 48)[0], X[order[45:48]])
    assert source.ahead is None
    feed.take(40, 44)
    feed.begin(None)
    np.testing.assert_array_equal(feed.take(44, 48)[0], X[44:48])


def test_no_thread_outlives_its_feed():
    before = set(threading.enumerate())
    feed = Feed(CPU, *arrays(), device_memory=1)
    feed.begin(None)
    feed.take(0, 10)
    (thread,) = set(threading.enumerate()) - before
    del feed
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize("batch_size", [1, 8])
def test_training_is_the_same_bit_for_bit(batch_size, backend):
    data = small_data()
    config = Config(hidden=(6,), batch_size=batch_size, epochs=2, validation=0.2)
    weights = []
    for device_memory in (None, 1):
        run = Run(data, config, backend)
        run.feed = Feed(backend, data.train.X, data.train.y, device_memory=device_memory)
        run.go()
        weights.append([backend.to_host(a).tobytes() for a in run.network.parameters()])
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("2G", 2 << 30), ("500m", 500 << 20), ("1.5k", 1536), (" 1T ", 1 << 40)],
)
def test_amounts_of_memory(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "0", "0.5", "-1G", "2GB", "1e9", "nan", "٣", "2 G", "1.G"]
)
def test_what_is_no_amount_of_memory(text):
    with pytest.raises(InputError, match="write it like 500M or 2G"):
        parse_bytes(text)
