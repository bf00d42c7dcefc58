"""Sums over the GPUs of an MPI program's ranks, by NVIDIA's NCCL and CuPy's bindings for it.

This hasn't run on real GPUs yet, only on emulated ones with a stand-in for NCCL.
"""

from __future__ import annotations

import platform
import warnings
import weakref
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from mlp_xp.devices.base import Device
from mlp_xp.devices.cuda import CUDA
from mlp_xp.devices.probe import first_line
from mlp_xp.types import Array

PATIENCE = 60.0
"""Seconds in which the ranks' GPUs have to find each other."""
NO_ANSWER = f"the others didn't answer within {PATIENCE:.0f} s"
STAGED = "MPI through pinned host memory"


class NCCL:
    """NCCL among all ranks, each of which makes one at the same time, for a GPU of its own.

    identifier: what get_unique_id() returned on one of them.
    """

    def __init__(self, device: CUDA, identifier: bytes, rank: int, size: int):
        from cupy.cuda import nccl

        self._device, self._cuda, self._add = device, device.xp.cuda, nccl.NCCL_SUM
        self._types = {"f": nccl.NCCL_FLOAT32, "d": nccl.NCCL_FLOAT64}
        with device.current():
            self._communicator = nccl.NcclCommunicator(size, identifier, rank)
        # The class itself would wait for the other ranks, which may have died.
        self.close = weakref.finalize(self, self._communicator.abort)

    def sum(self, array: Array) -> None:
        """Replace an array in float32 or float64 by its sum over all ranks.

        The current stream does it in its turn, and nothing waits for that. Raises CuPy's NcclError,
        also for an earlier sum that failed meanwhile: see device_errors().
        """
        address, stream = array.data.ptr, self._cuda.get_current_stream().ptr
        with self._device.current():
            self._communicator.check_async_error()
            self._communicator.allReduce(
                address, address, array.size, self._types[array.dtype.char], self._add, stream
            )


def connect(communicator: Any, device: Device) -> tuple[NCCL | None, str]:
    """NCCL among the ranks of a communicator of mpi4py's, and the way that sums take, in words.

    Where it can't be used there is none. All ranks call this together and get the same answer.
    """
    gpu, (version, missing) = _gpu(device), _nccl_of(device)
    gpus, versions, lacks = zip(*communicator.allgather((gpu, version, missing)), strict=True)
    if not any(gpus):
        return None, "MPI"
    if not all(gpus):
        return None, f"{STAGED}, as rank {gpus.index('')} has no GPU"
    for rank, found in enumerate(gpus):
        if (other := gpus.index(found)) < rank:
            return None, f"{STAGED}, as rank {other} and rank {rank} share a GPU"
    if any(lacks):
        rank = next(rank for rank, lack in enumerate(lacks) if lack)
        return None, f"{STAGED}, as on rank {rank} {lacks[rank]}"
    if len(set(versions)) > 1:
        return None, f"{STAGED}, as the ranks have NCCL {' and '.join(sorted(set(versions)))}"
    assert isinstance(device, CUDA)
    nccl, failure = _start(communicator, device)
    if failure:
        return None, f"{STAGED}, as NCCL {version} failed {failure}"
    return nccl, f"NCCL {version}"


def nccl_version() -> tuple[str, str]:
    """The version of NCCL, such as 2.27.7, or nothing; and why it can't be used, or nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where the library is missing, CuPy warns
            import cupy
            from cupy.cuda import nccl
        if not nccl.available:
            major = cupy.cuda.runtime.runtimeGetVersion() // 1000
            return "", f"NCCL isn't installed: pip install nvidia-nccl-cu{major}"
        version = nccl.get_version()
    except Exception as error:  # a broken library can raise anything
        return "", f"NCCL can't be loaded ({first_line(error) or type(error).__name__})"
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}", ""


def _nccl_of(device: Device) -> tuple[str, str]:
    return nccl_version() if isinstance(device, CUDA) else ("", "")


def _gpu(device: Device) -> str:
    """What tells a GPU from all others of all hosts; nothing for a CPU.

    Parts of one that is divided (MIG) are the same one, between which NCCL doesn't work.
    """
    if not isinstance(device, CUDA):
        return ""
    try:  # containers of one host have the same
        host = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        host = platform.node()
    return f"{host} {device.pci_bus_id}"


def _start(communicator: Any, device: CUDA) -> tuple[NCCL | None, str]:
    """NCCL where it has started on all ranks; else none, and on which rank why not.

    Ranks wait without end for one on which it can't start, so they do it in a thread.
    """
    rank, size = communicator.Get_rank(), communicator.Get_size()
    identifier, failure = communicator.bcast(_identifier() if rank == 0 else None)
    if failure:
        return None, f"on rank 0: {failure}"
    answer: SimpleQueue[tuple[NCCL | None, str]] = SimpleQueue()

    def start() -> None:
        try:
            answer.put((NCCL(device, identifier, rank, size), ""))
        except Exception as error:
            answer.put((None, first_line(error) or type(error).__name__))

    Thread(target=start, daemon=True).start()
    try:
        nccl, failure = answer.get(timeout=PATIENCE)
    except Empty:
        nccl, failure = None, NO_ANSWER
    failures = communicator.allgather(failure)
    if not any(failures):
        return nccl, ""
    if nccl is not None:
        nccl.close()
    # Where one has failed, the others wait for it.
    failed = next((f for f in failures if f not in ("", NO_ANSWER)), NO_ANSWER)
    return None, f"on rank {failures.index(failed)}: {failed}"


def _identifier() -> tuple[bytes, str]:
    from cupy.cuda import nccl

    try:
        return nccl.get_unique_id(), ""
    except Exception as error:
        return b"", first_line(error) or type(error).__name__
