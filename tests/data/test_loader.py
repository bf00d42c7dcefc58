"""Rows come in the epoch's order, the same whether they are on the device or streamed to it."""

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_xp import Config, Dataset, Device, Split, Trainer
from mlp_xp.data import DataLoader
from mlp_xp.data import loader as loader_module
from mlp_xp.data.loader import epoch_order
from mlp_xp.devices import CPU

memories = pytest.mark.parametrize("device_memory", [None, 1], ids=["resident", "streamed"])


def split_of(rows: int = 50) -> Split:
    rng = np.random.default_rng(rows)
    X = rng.integers(0, 256, (rows, 6), dtype=np.uint8)
    return Split(X, rng.integers(0, 10, rows), rng.random(rows, dtype=np.float32))


def expected_rows(split: Split, seed: int, number: int, *, shuffle: bool) -> np.ndarray:
    """Where in the arrays the rows of an epoch lie, written out independently."""
    rows = np.arange(len(split.y)) if split.rows is None else split.rows
    if not shuffle:
        return rows
    return rows[np.random.default_rng([seed, number, 1]).permutation(len(rows))]


def assert_is(chunk: tuple[Any, ...], split: Split, rows: np.ndarray) -> None:
    sources = (split.X, split.y, split.weights)
    assert len(chunk) == 3
    for found, source in zip(chunk, sources, strict=True):
        assert (found is None) == (source is None)
        if source is not None:
            np.testing.assert_array_equal(found, source[rows])
            assert found.dtype == source.dtype


def test_the_order_of_an_epoch_is_a_permutation_of_its_own():
    order = epoch_order(7, 3, 50)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(order, np.random.default_rng([7, 3, 1]).permutation(50))
    assert not np.array_equal(order, epoch_order(7, 4, 50))
    assert not np.array_equal(order, epoch_order(8, 3, 50))


@pytest.mark.parametrize("shuffle", [False, True], ids=["own order", "shuffled"])
@memories
def test_an_epoch_is_the_rows_in_its_order(device_memory, shuffle, device, check, rng):
    whole = split_of()
    # Only some rows train if others validate.
    for split in (whole, whole.subset(rng.permutation(50)[:31])):
        loader = DataLoader(
            device, split, chunk_rows=16, shuffle=shuffle, seed=5, device_memory=device_memory
        )
        assert loader.resident == (device_memory is None)
        for number in (1, 2):
            order = expected_rows(split, 5, number, shuffle=shuffle)
            chunks = list(loader.epoch(number))
            sizes = [len(chunk[1]) for chunk in chunks]
            assert sizes == ([16, 16, 16, 2] if split is whole else [16, 15])
            for part, source in enumerate((split.X, split.y, split.weights)):
                found = [check(chunk[part], str(source.dtype)) for chunk in chunks]
                assert np.concatenate(found).tobytes() == source[order].tobytes()


@pytest.mark.parametrize("shuffle", [False, True], ids=["own order", "shuffled"])
@pytest.mark.parametrize("subset", [False, True], ids=["all rows", "subset"])
@memories
def test_an_epoch_from_a_later_row_is_the_tail_of_the_whole(
    device_memory, subset, shuffle, device, check
):
    split = split_of().subset(np.arange(1, 50, 2)) if subset else split_of()
    loader = DataLoader(
        device, split, chunk_rows=8, shuffle=shuffle, seed=1, device_memory=device_memory
    )
    whole = list(loader.epoch(3))
    for first in (8, 16):  # where a checkpoint can be
        tail = list(loader.epoch(3, first))
        assert len(tail) == len(whole) - first // 8
        for chunk, expected in zip(tail, whole[first // 8 :], strict=True):
            for found, array, source in zip(
                chunk, expected, (split.X, split.y, split.weights), strict=True
            ):
                dtype = str(source.dtype)
                assert check(found, dtype).tobytes() == check(array, dtype).tobytes()
    (rest,) = loader.epoch(3, len(split) - 3)
    rows = expected_rows(split, 1, 3, shuffle=shuffle)[-3:]
    assert check(rest[0], "uint8").tobytes() == split.X[rows].tobytes()
    assert list(loader.epoch(3, len(split))) == []


@memories
def test_without_weights_there_are_none(device_memory, device, check):
    split = Split(split_of().X, split_of().y)
    for X, y, weights in DataLoader(
        device, split, chunk_rows=20, device_memory=device_memory
    ).epoch(1):
        assert weights is None
        assert len(check(X, "uint8")) == len(check(y, "int64"))


@given(
    st.lists(st.tuples(st.integers(0, 49), st.integers(0, 8)), min_size=1, max_size=8),
    st.integers(1, 60),
    st.booleans(),
    st.booleans(),
)
def test_streamed_rows_are_right_whatever_epochs_are_begun_and_left(
    epochs, chunk_rows, shuffle, interleaved
):
    split = split_of()
    loader = DataLoader(CPU(), split, chunk_rows=chunk_rows, shuffle=shuffle, device_memory=1)
    taken, opened = [], []
    for number, (first_row, count) in enumerate(epochs, 1):
        rows = expected_rows(split, 0, number, shuffle=shuffle)
        chunks = loader.epoch(number, first_row)
        starts = range(first_row, 50, chunk_rows)
        for start, chunk in zip(starts[:count], chunks, strict=False):
            taken.append((rows[start : start + chunk_rows], chunk))
        if interleaved:
            opened.append((rows, starts[count:], chunks))
    for rows, starts, chunks in opened:  # those that are still open continue
        for start, chunk in zip(starts, chunks, strict=True):
            taken.append((rows[start : start + chunk_rows], chunk))
    for rows, chunk in taken:  # no chunk is overwritten later
        assert_is(chunk, split, rows)


def test_interleaved_epochs_do_not_disturb_each_other():
    split = split_of()
    loader = DataLoader(CPU(), split, chunk_rows=8, device_memory=1)
    orders = [expected_rows(split, 0, number, shuffle=True) for number in (1, 2)]
    chunks = list(zip(loader.epoch(1), loader.epoch(2), strict=True))
    assert len(chunks) == 7
    for k, both in enumerate(chunks):
        for order, chunk in zip(orders, both, strict=True):
            assert_is(chunk, split, order[8 * k : 8 * k + 8])


def test_device_memory_bounds_what_is_copied_to_the_device():
    split = split_of()
    needed = split.X.nbytes + split.y.nbytes + split.weights.nbytes + 8 * len(split)

    class Card(CPU):
        free: int

        def free_memory(self) -> int:
            return self.free

    def resident(device: Device, device_memory: int | None = None, rows: Split = split) -> bool:
        return DataLoader(device, rows, chunk_rows=8, device_memory=device_memory).resident

    assert resident(CPU(), needed)
    assert not resident(CPU(), needed - 1)
    without = Split(split.X, split.y)
    assert resident(CPU(), needed - split.weights.nbytes, without)
    assert not resident(CPU(), needed - split.weights.nbytes - 1, without)
    # Half of what is free, where the device has memory of its own.
    card = Card()
    for card.free, fits in ((2 * needed, True), (2 * needed - 2, False)):
        assert resident(card) == fits
    card.free = 0
    assert resident(card, needed)  # an explicit limit takes precedence


def test_on_the_cpu_nothing_is_copied():
    split = split_of()
    loader = DataLoader(CPU(), split, chunk_rows=4, shuffle=False)
    for chunk in loader.epoch(1):
        for found, source in zip(chunk, (split.X, split.y, split.weights), strict=True):
            assert np.shares_memory(found, source)


@memories
def test_rows_come_from_a_file_as_they_are_needed(device_memory, tmp_path):
    split = split_of()
    np.save(tmp_path / "X.npy", split.X)
    mapped = Split(np.load(tmp_path / "X.npy", mmap_mode="r"), split.y)
    loader = DataLoader(CPU(), mapped, chunk_rows=20, device_memory=device_memory)
    order = expected_rows(mapped, 0, 1, shuffle=True)
    chunks = list(loader.epoch(1))
    for found, rows in zip(chunks, (order[:20], order[20:40], order[40:]), strict=True):
        assert_is(found, Split(split.X, split.y), rows)


@memories
def test_rows_of_a_large_file_are_read_ahead(device_memory, tmp_path, monkeypatch):
    """In the order of the epoch, before they are taken; an order of its own needs no advice."""
    asked = []
    monkeypatch.setattr(
        loader_module, "read_ahead", lambda array, rows: asked.append((array.shape, rows.tolist()))
    )
    split = split_of()
    loader = DataLoader(CPU(), split, chunk_rows=25, device_memory=device_memory)
    for _ in loader.epoch(1):
        pass
    rows = expected_rows(split, 0, 1, shuffle=True).tolist()
    shapes = [(50, 6), (50,), (50,)]
    assert asked == [(shape, part) for part in (rows[:25], rows[25:]) for shape in shapes]


class LateCopies(CPU):
    """A device that copies as late as it may: when someone waits for the copy, or at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []
        self.buffers: list[np.ndarray] = []

    def empty_pinned(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.buffers.append(np.empty(shape, dtype=dtype))
        return self.buffers[-1]

    def upload(self, source: np.ndarray, out: np.ndarray) -> Callable[[], None]:
        def copy() -> None:
            if copy in self.waiting:
                self.waiting.remove(copy)
                np.copyto(out, source)

        assert any(np.shares_memory(source, buffer) for buffer in self.buffers)
        self.waiting.append(copy)
        return copy


@pytest.mark.parametrize("shuffle", [False, True], ids=["own order", "shuffled"])
def test_a_buffer_is_written_only_when_the_device_has_read_it(shuffle):
    device = LateCopies()
    split = Split(split_of().X, split_of().y)
    loader = DataLoader(device, split, chunk_rows=10, shuffle=shuffle, device_memory=1)
    taken = []
    for number in (1, 2, 3):
        rows = expected_rows(split, 0, number, shuffle=shuffle)
        for start, chunk in zip(range(0, 50, 10), loader.epoch(number), strict=False):
            taken.append((rows[start : start + 10], chunk))
            assert len(device.waiting) <= 4  # two arrays each in two sets of buffers
            if number == 2 and start == 20:
                break  # while the fourth chunk is being read
    assert len(taken) == 13
    for copy in list(device.waiting):
        copy()
    assert len(device.buffers) == 4
    assert {len(buffer) for buffer in device.buffers} == {10}
    for rows, chunk in taken:
        assert_is(chunk, split, rows)


def test_the_next_rows_are_read_meanwhile(monkeypatch):
    split = split_of()
    reads, copy_rows = [], loader_module._copy_rows
    arrived = threading.Semaphore(0)

    def watched(arrays: Any, rows: Any, outs: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        outs = copy_rows(arrays, rows, outs)
        reads.append((rows, [out.copy() for out in outs]))
        arrived.release()
        return outs

    monkeypatch.setattr(loader_module, "_copy_rows", watched)
    chunks = DataLoader(CPU(), split, chunk_rows=20, shuffle=False, device_memory=1).epoch(1)
    assert reads == []
    assert_is(next(chunks), split, np.arange(20))
    for _ in range(2):  # the second chunk is read although nobody has requested it
        assert arrived.acquire(timeout=10)
    assert not arrived.acquire(timeout=0.05)  # and it is the only one
    assert [rows for rows, _ in reads] == [slice(0, 20), slice(20, 40)]
    np.testing.assert_array_equal(reads[1][1][0], split.X[20:40])
    assert_is(next(chunks), split, np.arange(20, 40))
    assert arrived.acquire(timeout=10)
    assert reads[2][0] == slice(40, 50)
    assert_is(next(chunks), split, np.arange(40, 50))
    assert next(chunks, None) is None
    assert len(reads) == 3


def test_an_error_of_the_reading_thread_is_raised(monkeypatch):
    def fail(*_: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(loader_module, "_copy_rows", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        next(DataLoader(CPU(), split_of(), chunk_rows=20, device_memory=1).epoch(1))


def test_no_thread_outlives_its_loader():
    before = set(threading.enumerate())
    loader = DataLoader(CPU(), split_of(), chunk_rows=10, device_memory=1)
    chunks = loader.epoch(1)
    next(chunks)
    (thread,) = set(threading.enumerate()) - before
    del loader, chunks
    gc.collect()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_training_is_the_same_bit_for_bit(batch_size, weighted, device, rng, monkeypatch):
    X = rng.integers(0, 256, (60, 7), dtype=np.uint8)
    weights = rng.random(60) if weighted else None
    data = Dataset.from_arrays(X, np.arange(60) % 3, weights=weights)
    monkeypatch.setattr("mlp_xp.training.setup.CHUNK_ROWS", 16)  # three chunks an epoch
    config = Config(hidden=(6,), batch_size=batch_size, epochs=2, validation=0.2)
    parameters = []
    for device_memory in (None, 1):
        trainer = Trainer(data, config, device, device_memory=device_memory)
        assert trainer.loader.resident == (device_memory is None)
        trainer.fit()
        parameters.append([device.to_host(a).tobytes() for a in trainer.network.parameters()])
    assert parameters[0] == parameters[1]
