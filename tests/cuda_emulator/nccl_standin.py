"""Stands in for `cupy.cuda.nccl` among ranks with emulated GPUs: MPI adds up their memory.

It has the names and arguments that CuPy 14.2 has. What NCCL itself does isn't shown: it works on
the GPUs in the background, in its own order of addition.
"""

import ctypes
import sys
import time
from typing import Any

import numpy as np

available = True
NCCL_FLOAT32, NCCL_FLOAT64, NCCL_SUM = 7, 8, 0
fails = ""
"""What fails on this rank: `identifier`, `start` or `sum`."""


class NcclError(RuntimeError):
    """As of the module that CuPy's is defined in."""


NcclError.__module__ = "cupy_backends.cuda.libs.nccl"


def install() -> Any:
    """Put this module in the place of CuPy's; returns it."""
    import cupy

    cupy.cuda.nccl = sys.modules["cupy.cuda.nccl"] = sys.modules[__name__]
    return cupy.cuda.nccl


def get_version() -> int:
    return 22707


def get_unique_id() -> bytes:
    if fails == "identifier":
        raise NcclError("NCCL_ERROR_SYSTEM_ERROR: no network")
    return bytes(range(128))


class NcclCommunicator:
    """One rank's; all make it together and wait for each other, as with NCCL."""

    def __init__(self, size: int, identifier: bytes, rank: int):
        import cupy
        from mpi4py import MPI

        assert identifier == bytes(range(128))
        assert (size, rank) == (MPI.COMM_WORLD.size, MPI.COMM_WORLD.rank)
        if fails == "start":
            raise NcclError("NCCL_ERROR_UNHANDLED_CUDA_ERROR: unhandled cuda error")
        self.device, self.calls, self.aborted = cupy.cuda.runtime.getDevice(), 0, False
        self.wire = MPI.COMM_WORLD
        arrived = self.wire.Ibarrier()
        while not arrived.Test():
            time.sleep(0.001)

    def check_async_error(self) -> None:
        if fails == "sum":
            raise NcclError("NCCL_ERROR_REMOTE_ERROR: a process has exited")

    def allReduce(
        self, source: int, out: int, count: int, kind: int, operation: int, stream: int
    ) -> None:
        import cupy

        assert source == out
        assert operation == NCCL_SUM
        assert stream == cupy.cuda.get_current_stream().ptr
        assert cupy.cuda.runtime.getDevice() == self.device
        assert not self.aborted
        cupy.cuda.runtime.streamSynchronize(stream)
        dtype = np.dtype({NCCL_FLOAT32: "float32", NCCL_FLOAT64: "float64"}[kind])
        memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(source)
        values = np.frombuffer(memory, dtype)
        self.wire.Allreduce(values.copy(), values)
        self.calls += 1

    def abort(self) -> None:
        self.aborted = True
