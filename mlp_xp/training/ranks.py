"""Training on the ranks of an MPI program: each takes its share of every batch's rows.

The sum of their gradients is the batch's, so that all take the same step:

    d loss / d W = sum over ranks r of (b_r / B) d loss_r / d W

for a batch of B rows, of which rank r has b_r, with their mean loss loss_r.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlp_xp.devices import Device
from mlp_xp.devices.blas import default_threads
from mlp_xp.devices.cores import usable_cores
from mlp_xp.devices.nccl import connect
from mlp_xp.errors import InputError
from mlp_xp.training.team import Team
from mlp_xp.types import Array, Arrays, HostArray

T = TypeVar("T")

SMALL_BYTES = 2**18
"""Bytes up to which copying an array takes less than a message more does, between hosts."""
A_LOOK = 0.001
"""Seconds between two looks at whether the others have come, where that may take long."""


class Ranks(Team):
    """The ranks of a communicator of mpi4py's, which is duplicated.

    Messages of a user's own on the same communicator don't meet those of the training. The order of
    a sum is MPI's, or NCCL's: it depends on the number of values, and of ranks on which hosts.

    transport: the way that sums take, in words, such as "MPI" or "NCCL 2.27.7".
    """

    def __init__(self, communicator: Any, device: Device):
        self.communicator, self.device = _own(communicator), device
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()
        self._nccl, self.transport = connect(self.communicator, device)
        self._kept: dict[Any, tuple[Array, HostArray | None]] = {}

    def barrier(self) -> None:
        request = self.communicator.Ibarrier()
        while not request.Test():  # MPI's own waiting would keep a core busy
            time.sleep(A_LOOK)

    def sum(self, addends: Arrays, out: Array) -> Array:
        """The sum in out; addends holds this rank's own alone. Both are on the host."""
        np.copyto(out, addends[0])
        return self._add_up(out)

    def total(self, arrays: Arrays) -> Arrays:
        """The sums; what has them may be overwritten by the next call.

        On the host each large array is added up in its own memory, all others together.
        """
        alone = [self.device.on_host and array.nbytes > SMALL_BYTES for array in arrays]
        others = [array for array, large in zip(arrays, alone, strict=True) if not large]
        together = iter(self._total_together(others) if others else [])
        return [
            self._add_up(np.ascontiguousarray(array)) if large else next(together)
            for array, large in zip(arrays, alone, strict=True)
        ]

    def _total_together(self, arrays: Arrays) -> Arrays:
        """The sums, by one message: the arrays one after another in a flat buffer."""
        ends = np.cumsum([array.size for array in arrays]).tolist()
        flat, staged = self._buffers(ends[-1], arrays[0].dtype)
        self.device.xp.concatenate([array.reshape(-1) for array in arrays], out=flat)
        if self._nccl is not None:
            self._nccl.sum(flat)
        elif staged is None:
            self._add_up(flat)
        else:
            self._add_up(self.device.to_host(flat, staged))
            self.device.upload(staged, flat)()
        parts = self.device.xp.split(flat, ends[:-1])
        return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]

    def _buffers(self, size: int, dtype: Any) -> tuple[Array, HostArray | None]:
        """For so many values, kept: one on the device, and the one on the host that they pass."""
        if (size, dtype) not in self._kept:
            by_host = self._nccl is None and not self.device.on_host
            staged = self.device.empty_pinned((size,), dtype) if by_host else None
            self._kept[size, dtype] = self.device.xp.empty(size, dtype), staged
        return self._kept[size, dtype]

    def _add_up(self, array: HostArray) -> HostArray:
        """The sum, in the array's own memory: MPI would first copy it from another."""
        self.communicator.Allreduce(None, array)
        return array

    def count(self, n: int) -> int:
        return int(self.communicator.allreduce(n))

    def from_first(self, function: Callable[[], T]) -> T:
        found: tuple[T | None, Exception | None] = (None, None)
        if self.rank == 0:
            try:
                found = function(), None
            except Exception as error:
                found = None, error
        self.barrier()  # the others may have to wait for long
        result, failure = self.communicator.bcast(found)
        if failure is not None:
            raise failure
        return result  # type: ignore[no-any-return]

    def difference(self, values: Callable[[], dict[str, Hashable]]) -> str | None:
        first, *others = self.communicator.allgather(values())
        for rank, theirs in enumerate(others, start=1):
            for name, value in first.items():
                if theirs[name] != value:
                    return f"rank 0 and rank {rank} differ in their {name}"
        return None


def team_of(communicator: Any, device: Device) -> Team:
    """The ranks of a communicator, such as MPI.COMM_WORLD, which train together, each with the same
    data and settings; a worker alone for none, and where there is one rank.

    Raises InputError for anything but a communicator of mpi4py's.
    """
    return Ranks(communicator, device) if _size(communicator) > 1 else Team()


@cache
def _key() -> Any:
    from mpi4py import MPI

    return MPI.Comm.Create_keyval()


def _own(communicator: Any) -> Any:
    """A communicator's duplicate, made once: there may be a few hundred of them at a time."""
    found = communicator.Get_attr(_key())
    if found is None:
        found = communicator.Dup()
        communicator.Set_attr(_key(), found)
    return found


def _size(communicator: Any) -> int:
    if communicator is None:
        return 1
    if not all(hasattr(communicator, name) for name in ("Dup", "Allreduce", "allgather")):
        raise InputError(
            f"communicator is of type {type(communicator).__name__}; give one of mpi4py's, such as "
            "MPI.COMM_WORLD"
        )
    if not communicator:
        raise InputError("communicator is MPI.COMM_NULL: this process has no part in it")
    return int(communicator.Get_size())


def threads_for(communicator: Any) -> int:
    """default_threads() for each of a communicator's ranks, which share the cores of their hosts.

    All ranks have to have the same number of threads, so it is that of the host where it is lowest.
    """
    own = default_threads()
    if _size(communicator) == 1:
        return own
    host = host_of(communicator)
    return int(min(communicator.allgather(max(1, min(own, host.cores // host.ranks)))))


class Host(NamedTuple):
    """What a rank shares: the number of cores that its host's ranks may use, how many they are, and
    its place among them."""

    cores: int
    ranks: int
    place: int


def host_of(communicator: Any) -> Host:
    """The host of this rank, which all call together."""
    from mpi4py import MPI

    on_host = communicator.Split_type(MPI.COMM_TYPE_SHARED)
    usable = usable_cores()
    own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(usable))
    together = set().union(*on_host.allgather(own))  # a launcher may bind each rank to some
    cores = len(together) if len(own) <= usable else usable  # the least, where there is a quota
    host = Host(cores, on_host.Get_size(), on_host.Get_rank())
    on_host.Free()
    return host


def own_rows(team: Team, n_rows: int, batch_size: int) -> NDArray[np.int64] | None:
    """The places, in an epoch's order, of the rows that are this worker's: its share of each batch.

    None for all of them.
    """
    if team.size == 1:
        return None
    whole = n_rows - n_rows % batch_size
    rows = np.arange(n_rows)
    batches, rest = rows[:whole].reshape(-1, batch_size), rows[whole:]
    own = batches[:, team.share(batch_size)].ravel(), rest[team.share(len(rest))]
    return np.concatenate(own)


def digest(device: Device, arrays: Arrays) -> str:
    """128 bits of BLAKE2b, in hex, over the values of arrays."""
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(np.ascontiguousarray(device.to_host(array)).data)
    return state.hexdigest()
