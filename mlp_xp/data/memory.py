"""Large data in bounded memory: how much is free, and arrays read block by block."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.devices.cores import control_groups, read_limit
from mlp_xp.errors import InputError
from mlp_xp.types import HostArray

BLOCK_BYTES = 1 << 22
"""Bytes read at a time: enough to make the cost of a call negligible, little beside any memory."""

DEFLATE_LIMIT = 1032
"""The largest factor by which a DEFLATE stream can expand.    zlib's technical details."""

GROUP_LIMITS = ("memory.max", "memory.limit_in_bytes")
"""The file with a control group's memory limit, in versions 2 and 1."""


def available_memory() -> float:
    """Bytes this process can still allocate: the machine's free memory, or its container's limit.

    Infinity where neither is known.
    """
    sizes = [math.inf]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    except OSError:  # not Linux
        if hasattr(os, "sysconf"):
            sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for group in control_groups("memory"):
        limits = (read_limit(group / name) for name in GROUP_LIMITS)
        sizes += [int(limit) for limit in limits if limit.isdecimal()]
    return min(sizes)


def check_memory(size: int, where: str) -> None:
    """Raise InputError, starting with `where`, if `size` bytes don't fit into the free memory."""
    available = available_memory()
    if size > available:
        raise InputError(
            f"{where}: needs {size / 1e9:,.1f} GB of memory, {available / 1e9:,.1f} GB are free; "
            "save the rows as uint8 or float32 in a folder with X.npy and y.npy, which is read "
            "from the disk as needed"
        )


def read_bytes(file: Any, size: int, where: str) -> NDArray[np.uint8]:
    """The rest of an open binary file, which must be `size` bytes, as an array (size,).

    The system provides memory only as bytes arrive, so a header that claims more than its file
    holds costs nothing. Raises InputError, starting with `where`, if there are more or fewer bytes.
    """
    check_memory(size, where)
    try:
        body = np.empty(size, dtype=np.uint8)
    except MemoryError as error:
        raise InputError(f"{where}: no memory for {size / 1e9:,.1f} GB") from error
    view, done = body.data, 0
    while done < size and (count := file.readinto(view[done : done + BLOCK_BYTES])):
        done += count
    if done < size:
        raise InputError(f"{where}: holds {done} of {size} bytes; the file is truncated")
    if file.read(1):  # a compressed file verifies its checksum only when it is read to the end
        raise InputError(f"{where}: more bytes than the {size} that its header promises")
    return body


def blocks(array: HostArray) -> Iterator[tuple[int, HostArray]]:
    """An array's rows, about BLOCK_BYTES at a time, each block with the index of its first row."""
    rows = max(1, BLOCK_BYTES * len(array) // max(1, array.nbytes))
    advise(array, in_order=True)
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
    advise(array, in_order=False)


def advise(array: HostArray, *, in_order: bool) -> None:
    """Advise the system how a mapped array will be read; do nothing for any other array.

    By default the system reads 128 kB around each row that it fetches. When rows are taken in
    random order from a file larger than memory, that evicts pages which are still needed.
    """
    mapped = _mapping(array)
    if mapped is not None:
        scattered = not in_order and array.nbytes > available_memory() / 2
        mapped.madvise(mmap.MADV_RANDOM if scattered else mmap.MADV_NORMAL)


def read_ahead(array: HostArray, rows: NDArray[np.int64]) -> None:
    """Ask the disk for all of these rows of a mapped array at once, before they are used.

    Does nothing unless the array is larger than half of the free memory. Rows of
    1 kB in random order then take 15 us each from a solid-state disk, instead of 75.
    """
    mapped = _mapping(array)
    if mapped is not None and array.nbytes > available_memory() / 2:
        begin = array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
        for start, length in page_spans(begin, array.strides[0], rows):
            mapped.madvise(mmap.MADV_WILLNEED, start, length)


def page_spans(begin: int, size: int, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """The offset and length, in bytes, of the span from a page's start to the end of each row.

    Row 0 begins at byte `begin`, and each row has `size` bytes. madvise() takes whole pages only.
    """
    first = begin + rows * size
    starts = first - first % mmap.PAGESIZE
    return zip(starts.tolist(), (first + size - starts).tolist(), strict=True)


def _mapping(array: Any) -> Any:
    """The mmap object under a mapped array or a view of one; None without one, or madvise()."""
    # asarray() of a memmap is a plain view, whose base is the memmap.
    while isinstance(array, np.ndarray) and not hasattr(array, "_mmap"):
        array = array.base
    mapped = getattr(array, "_mmap", None)
    return mapped if hasattr(mapped, "madvise") else None
