"""Arrays that processes share, in memory without a name, which ends with the last of them."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlp_xp.types import HostArray

SYS_MEMFD_CREATE = 319
"""The number of this call of the system, which Linux has given it for good, on x86-64."""


def _descriptor() -> int:
    """A descriptor of new memory; never 0 to 2, which are others in a worker."""
    import fcntl  # Windows has none

    if hasattr(os, "memfd_create"):
        first = os.memfd_create("mlp_xp")
    else:  # a Python that was built for systems older than this one, as conda's is
        system = ctypes.CDLL(None, use_errno=True)
        first = system.syscall(SYS_MEMFD_CREATE, b"mlp_xp", 1)  # 1: not for other programs
        if first < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        return fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(first)


class SharedMemory:
    """Makes arrays of zeros that other processes can share, one after another.

    descriptors: of the process that made them, to get the same arrays by the same calls.
    """

    def __init__(self, descriptors: Sequence[int] | None = None):
        self.descriptors: list[int] = []
        self.given: Iterator[int] | None = None if descriptors is None else iter(descriptors)

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> HostArray:
        """An array in common memory. Raises OSError if the system has none left."""
        size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
        if self.given is None:
            descriptor = _descriptor()
            self.descriptors.append(descriptor)
            os.ftruncate(descriptor, size)
        else:
            descriptor = next(self.given)
        memory = mmap.mmap(descriptor, size)
        return np.frombuffer(memory, dtype, math.prod(shape)).reshape(shape)

    def close(self) -> None:
        """Close the descriptors; the arrays stay as long as someone has them."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []
