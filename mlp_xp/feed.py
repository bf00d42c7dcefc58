"""A data set's rows on the device, in the order of the epoch: all of them there, or read ahead."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.backend import Backend
from mlp_xp.datasets.memory import read_ahead
from mlp_xp.errors import InputError
from mlp_xp.functions import Array

Order: TypeAlias = NDArray[np.int64] | None


class Feed:
    """Rows on the device, as they were loaded: bytes stay bytes.

    arrays: X, y and whatever else has an entry for each row, on the host. begin(order) opens an
    epoch; take(start, stop) gives its rows from start to stop.

    Where the arrays and an order fit into `device_memory` bytes, they are put on the device once,
    and rows are gathered there; on the CPU nothing is copied, and a memory-mapped array is read
    row by row as needed. Where they don't fit, rows are streamed: see _Stream. Both give the same
    bytes. device_memory None: no bound on the CPU, half of what is free on a GPU.
    """

    def __init__(
        self, backend: Backend, *arrays: NDArray[Any], device_memory: int | None = None
    ) -> None:
        if device_memory is None and (free := backend.free_memory()) is not None:
            device_memory = free // 2
        needed = sum(array.nbytes for array in arrays) + 8 * len(arrays[0])  # 8: an index a row
        self.resident = device_memory is None or needed <= device_memory
        source = _Resident if self.resident else _Stream
        self._source: _Resident | _Stream = source(backend, arrays)

    def begin(self, order: Order) -> None:
        """Open an epoch whose i-th row is the data's row order[i], or its i-th row if None."""
        self._source.begin(order)

    def take(self, start: int, stop: int) -> tuple[Array, ...]:
        """The epoch's rows from start to stop of every array, (stop - start, ...) each."""
        return self._source.take(start, stop)


class _Resident:
    """All rows on the device."""

    def __init__(self, backend: Backend, arrays: Sequence[NDArray[Any]]):
        self.to_device = backend.to_device
        self.arrays = [backend.to_device(array) for array in arrays]
        self.order: Array | None = None

    def begin(self, order: Order) -> None:
        self.order = None if order is None else self.to_device(order)

    def take(self, start: int, stop: int) -> tuple[Array, ...]:
        if self.order is None:
            return tuple(array[start:stop] for array in self.arrays)
        rows = self.order[start:stop]
        for array in self.arrays:
            read_ahead(array, rows)
        return tuple(array[rows] for array in self.arrays)


class _Stream:
    """All rows on the host, or on its disk; only what is taken comes to the device.

    Two sets of page-locked buffers take turns: while the device copies from one and computes, a
    thread gathers into the other what will be taken next, which is taken to be as many rows again.
    """

    def __init__(self, backend: Backend, arrays: Sequence[NDArray[Any]]):
        self.backend = backend
        self.arrays = arrays
        self.n_rows = len(arrays[0])
        self.order: Order = None
        self.buffers: list[list[NDArray[Any]]] = [[], []]
        self.sent: list[list[Callable[[], None]]] = [[], []]
        self.turn = 0
        self.ahead: tuple[int, int, Future[list[NDArray[Any]]]] | None = None
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="feed")

    def begin(self, order: Order) -> None:
        self.order, self.ahead = order, None
        self.n_rows = len(self.arrays[0] if order is None else order)

    def take(self, start: int, stop: int) -> tuple[Array, ...]:
        if self.ahead is None or self.ahead[:2] != (start, stop):
            self.ahead = self._read(start, stop)
        gathered, backend = self.ahead[2].result(), self.backend
        taken = [backend.xp.empty(array.shape, dtype=array.dtype) for array in gathered]
        self.sent[self.turn] = [backend.send(a, b) for a, b in zip(gathered, taken, strict=True)]
        end = min(stop + (stop - start), self.n_rows)
        self.ahead = self._read(stop, end) if stop < end else None
        return tuple(taken)

    def _read(self, start: int, stop: int) -> tuple[int, int, Future[list[NDArray[Any]]]]:
        """Have the thread gather these rows into the other set of buffers, once that is free."""
        self.turn = turn = 1 - self.turn
        for wait in self.sent[turn]:
            wait()
        self.sent[turn] = []
        count = stop - start
        if not self.buffers[turn] or len(self.buffers[turn][0]) < count:
            self.buffers[turn] = [
                self.backend.empty_pinned((count, *array.shape[1:]), array.dtype)
                for array in self.arrays
            ]
        outs = [buffer[:count] for buffer in self.buffers[turn]]
        rows = slice(start, stop) if self.order is None else self.order[start:stop]
        return start, stop, self.thread.submit(_gather, self.arrays, rows, outs)


def _gather(
    arrays: Sequence[NDArray[Any]], rows: slice | NDArray[np.int64], outs: list[NDArray[Any]]
) -> list[NDArray[Any]]:
    for array, out in zip(arrays, outs, strict=True):
        if isinstance(rows, slice):
            np.copyto(out, array[rows])
        else:
            # Without a mode, take() would gather into a buffer of its own first.
            np.take(array, rows, axis=0, out=out, mode="clip")
    return outs


def parse_bytes(text: str) -> int:
    """A number of bytes as one writes it: `2G` is 2 * 1024**3; K, M, G, T or nothing.

    Raises InputError for anything else, and for less than one byte.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)", text.strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if size < 1:
        raise InputError(f"'{text}' is not an amount of memory; write it like 500M or 2G")
    return size
