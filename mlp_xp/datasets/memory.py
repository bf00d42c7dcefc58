"""Large data in bounded memory: how much there is, and reading no more than what is promised."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.errors import InputError

BLOCK = 1 << 22  # bytes looked at in one go: far more than a call costs, far less than memory
DEFLATE_LIMIT = 1032  # no DEFLATE stream unpacks to more than this many times its size
CGROUPS = {
    "": "/sys/fs/cgroup{}/memory.max",
    "memory": "/sys/fs/cgroup/memory{}/memory.limit_in_bytes",
}
"""Where the limit of a control group stands, by the controllers in its line: versions 2 and 1."""


def room() -> float:
    """Bytes that this process may still take: the machine's free memory, its container's limit."""
    sizes = [math.inf]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers in CGROUPS:
                # Within a container the group's own name may lead nowhere, and its root is it.
                for name in (group.rstrip("/"), ""):
                    limit = Path(CGROUPS[controllers].format(name))
                    text = limit.read_text().strip() if limit.exists() else ""
                    sizes += [int(text)] if text.isdecimal() else []
    except OSError:  # not Linux
        if hasattr(os, "sysconf"):
            sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(sizes)


def check_room(size: int, where: str) -> None:
    """Raise InputError, starting with `where`, if `size` bytes are more than memory can take."""
    if size > room():
        raise InputError(
            f"{where}: needs {size / 1e9:,.1f} GB of memory, {room() / 1e9:,.1f} GB are free; "
            "save the rows as uint8 or float32 in a folder with X.npy and y.npy, which is read "
            "from the disk as needed"
        )


def read_bytes(file: Any, size: int, where: str) -> NDArray[np.uint8]:
    """The rest of an open file, which must be `size` bytes, as an array (size,).

    Memory fills as bytes arrive, so a file that promises more than it holds costs nothing.
    Raises InputError, starting with `where`, if there are more or fewer.
    """
    check_room(size, where)
    try:
        body = np.empty(size, dtype=np.uint8)
    except MemoryError as error:
        raise InputError(f"{where}: no memory for {size / 1e9:,.1f} GB") from error
    view, done = body.data, 0
    while done < size and (count := file.readinto(view[done : done + BLOCK])):
        done += count
    if done < size:
        raise InputError(f"{where}: {done} of {size} bytes are there; the file is cut")
    if file.read(1):  # and a packed file checks its sum only at its end
        raise InputError(f"{where}: more bytes than the {size} that its header promises")
    return body


def advise(array: NDArray[Any], *, in_order: bool) -> None:
    """Tell the system how a mapped array will be read; any other array is left alone.

    Rows in a random order: without this, each one taken from the disk brings 128 kB around it,
    which pushes out of a full memory what was wanted.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        far = not in_order and array.nbytes > room() / 2
        mapped.madvise(mmap.MADV_RANDOM if far else mmap.MADV_NORMAL)


def blocks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """An array's rows, about BLOCK bytes at a time, each with the number of its first row."""
    rows = max(1, BLOCK * len(array) // max(1, array.nbytes))
    advise(array, in_order=True)
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]
    advise(array, in_order=False)


def read_ahead(array: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Have the disk fetch these rows of a mapped array at once, instead of each when it is taken.

    For what is much larger than memory; any other array is left alone. Rows of 1 kB in random
    order, from a solid-state disk: 15 us each instead of 75.
    """
    owner: Any = array  # the view of a mapped array isn't one itself, but stands on it
    while isinstance(owner, np.ndarray) and not hasattr(owner, "_mmap"):
        owner = owner.base
    mapped: Any = getattr(owner, "_mmap", None)
    if hasattr(mapped, "madvise") and array.nbytes > room() / 2:
        begin = array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
        for start, length in spans(begin, array.strides[0], rows):
            mapped.madvise(mmap.MADV_WILLNEED, start, length)


def spans(begin: int, size: int, rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where rows lie, from the start of a page: offsets and lengths, in bytes.

    Row 0 begins at `begin`, and a row has `size` bytes.
    """
    first = begin + rows * size
    starts = first - first % mmap.PAGESIZE
    return zip(starts.tolist(), (first + size - starts).tolist(), strict=True)
