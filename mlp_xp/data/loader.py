"""A split's rows on the device, chunk by chunk, in the order of the epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.memory import read_ahead
from mlp_xp.data.split import Split
from mlp_xp.devices import Device
from mlp_xp.nn.rng import stream
from mlp_xp.types import Array, Chunk, HostArray

Rows: TypeAlias = NDArray[np.int64]
Bounds: TypeAlias = tuple[int, int]

INDEX_BYTES = 8  # of an int64, for the order


def epoch_order(seed: int, epoch: int, n_rows: int) -> Rows:
    """The order in which an epoch (from 1) takes its rows: a permutation, (n_rows,) int64.

    It depends on the seed and the epoch alone, so a resumed run finds the same order again.
    """
    return stream(seed, "order", epoch).permutation(n_rows)


class DataLoader:
    """Puts the rows of a split on a device, epoch by epoch, `chunk_rows` at a time.

    shuffle: each epoch takes the rows in a new random order, epoch_order(seed, number, rows);
    otherwise in their own. Rows keep the dtype that they were loaded with: bytes stay bytes.

    If the split's arrays and an order fit into `device_memory` bytes, the loader is `resident`:
    the arrays are copied to the device once, and rows are selected there. On the CPU nothing is
    copied; rows of a memory-mapped array are read when they are needed. Otherwise rows are
    streamed: they stay on the host, and a thread reads the next chunk while the device works on
    the current one. Both give the same bytes. device_memory None: unlimited on the CPU, half of
    the free memory on a GPU.

    own: the places in an epoch's order whose rows are wanted, ascending, (M,) int64; None for all.
    Chunks begin and end at the same places, so that they have fewer rows then, or none.
    """

    def __init__(
        self,
        device: Device,
        split: Split,
        *,
        chunk_rows: int,
        shuffle: bool = True,
        seed: int = 0,
        device_memory: int | None = None,
        own: Rows | None = None,
    ):
        self.split, self.chunk_rows = split, chunk_rows
        self.shuffle, self.seed, self.own = shuffle, seed, own
        arrays = [split.X, split.y] + ([] if split.weights is None else [split.weights])
        self._source = array_rows(device, arrays, min(chunk_rows, len(split)), device_memory)
        self.resident = isinstance(self._source, _ResidentArrays)

    def epoch(self, number: int, first_row: int = 0) -> Iterator[Chunk]:
        """The rows of epoch `number` (from 1) in its order, from position first_row on.

        Yields (X, y, weights) on the device, of chunk_rows rows each, fewer in the last; weights
        is None if the split has none. Treat them as read-only: they can share the split's memory.
        """
        n_rows = len(self.split)
        order = epoch_order(self.seed, number, n_rows) if self.shuffle else None
        bounds = chunk_bounds(n_rows, self.chunk_rows, first_row)
        if self.own is not None:
            order = self.own if order is None else order[self.own]
            ends = np.searchsorted(self.own, bounds).tolist()
            bounds = [(start, stop) for start, stop in ends]
        return self._source.chunks(self.split.rows_in_order(order), bounds)


class RowSource(Protocol):
    """Where a loader takes its rows from."""

    def chunks(self, rows: Rows | None, bounds: Sequence[Bounds]) -> Iterator[Chunk]:
        """On the device, rows from start to stop, of `rows` or else of all, for each of bounds."""
        ...


def chunk_bounds(n_rows: int, chunk_rows: int, first_row: int = 0) -> list[Bounds]:
    """(start, stop) of each chunk of so many rows, from the first one on."""
    starts = range(first_row, n_rows, chunk_rows)
    return [(start, min(start + chunk_rows, n_rows)) for start in starts]


def array_rows(
    device: Device, arrays: Sequence[Array], chunk_rows: int, device_memory: int | None = None
) -> RowSource:
    """The rows of arrays X, y and, if there are three, weights: resident or streamed.

    Arrays that are on the device already stay there. Chunks have up to chunk_rows rows;
    device_memory: see DataLoader.
    """
    if device_memory is None and (free := device.free_memory()) is not None:
        device_memory = free // 2
    on_host = [array for array in arrays if isinstance(array, np.ndarray)]
    needed = sum(array.nbytes for array in on_host) + INDEX_BYTES * len(arrays[0])
    if device_memory is None or needed <= device_memory or len(on_host) < len(arrays):
        return _ResidentArrays(device, arrays)
    return _StreamedArrays(device, arrays, chunk_rows)


def _chunk(arrays: Sequence[Array]) -> Chunk:
    return arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else None


class _ResidentArrays:
    """Arrays whose rows are all on the device."""

    def __init__(self, device: Device, arrays: Sequence[Array]):
        self.to_device = device.to_device
        self.arrays = [device.to_device(array) for array in arrays]

    def chunks(self, rows: Rows | None, bounds: Sequence[Bounds]) -> Iterator[Chunk]:
        """Rows from start to stop, of `rows` or else of the arrays, for each (start, stop)."""
        if rows is None:
            for start, stop in bounds:
                yield _chunk([array[start:stop] for array in self.arrays])
            return
        order = self.to_device(rows)
        for start, stop in bounds:
            index = order[start:stop]
            for array in self.arrays:
                read_ahead(array, index)
            yield _chunk([array[index] for array in self.arrays])


class _Buffers:
    """Page-locked memory for the rows of one chunk on their way to the device."""

    def __init__(self, device: Device, arrays: Sequence[HostArray], n_rows: int):
        self.arrays = [
            device.empty_pinned((n_rows, *array.shape[1:]), array.dtype) for array in arrays
        ]
        self.uploads: list[Callable[[], None]] = []
        """Each waits until the device has read the buffer, which may then be overwritten."""

    def wait(self) -> None:
        for wait in self.uploads:
            wait()
        self.uploads = []


class _StreamedArrays:
    """Arrays whose rows stay on the host, or on its disk; chunks are copied to the device.

    Two sets of buffers take turns: while the device copies from one and computes, a thread reads
    the next chunk into the other.
    """

    def __init__(self, device: Device, arrays: Sequence[HostArray], chunk_rows: int):
        self.device, self.arrays, self.chunk_rows = device, arrays, chunk_rows
        self.reader = ThreadPoolExecutor(1, thread_name_prefix="data-loader")
        self.free_buffers: list[list[_Buffers]] = []
        """Pairs that no epoch uses at the moment. An epoch that ends early returns its pair
        while a read still runs, which is harmless: the thread runs one read after the other."""

    def chunks(self, rows: Rows | None, bounds: Sequence[Bounds]) -> Iterator[Chunk]:
        """Rows from start to stop, of `rows` or else of the arrays, for each (start, stop)."""
        if not bounds:
            return
        pair = self.free_buffers.pop() if self.free_buffers else self._new_pair()
        try:
            read = self._start_read(pair[0], rows, bounds[0])
            for turn, following in enumerate((*bounds[1:], None)):
                sources = read.result()
                if following is not None:
                    read = self._start_read(pair[1 - turn % 2], rows, following)
                yield self._upload(pair[turn % 2], sources)
        finally:
            self.free_buffers.append(pair)

    def _new_pair(self) -> list[_Buffers]:
        return [_Buffers(self.device, self.arrays, self.chunk_rows) for _ in range(2)]

    def _start_read(
        self, buffers: _Buffers, rows: Rows | None, bounds: Bounds
    ) -> Future[list[HostArray]]:
        """Wait until the device has read the buffers, then have the thread fill them with rows."""
        buffers.wait()
        start, stop = bounds
        outs = [array[: stop - start] for array in buffers.arrays]
        selected = slice(start, stop) if rows is None else rows[start:stop]
        return self.reader.submit(_copy_rows, self.arrays, selected, outs)

    def _upload(self, buffers: _Buffers, sources: Sequence[HostArray]) -> Chunk:
        arrays = [self.device.xp.empty(source.shape, dtype=source.dtype) for source in sources]
        buffers.uploads = [
            self.device.upload(source, array) for source, array in zip(sources, arrays, strict=True)
        ]
        return _chunk(arrays)


def _copy_rows(
    arrays: Sequence[HostArray], rows: slice | Rows, outs: list[HostArray]
) -> list[HostArray]:
    for array, out in zip(arrays, outs, strict=True):
        if isinstance(rows, slice):
            np.copyto(out, array[rows])
        else:
            read_ahead(array, rows)
            # Without a mode, take() would copy into a buffer of its own first.
            np.take(array, rows, axis=0, out=out, mode="clip")
    return outs
