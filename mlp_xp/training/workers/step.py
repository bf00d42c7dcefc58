"""Stands in for training/step.py on a CPU: every array made once, on one core or on several.

A test checks that the two agree. shard.py has the derivation, docs/benchmarks.md what it gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mlp_xp.devices.blas import blas_threads_for
from mlp_xp.errors import DeviceError
from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import Optimizer
from mlp_xp.training.config import Config
from mlp_xp.training.workers.memory import SharedMemory
from mlp_xp.training.workers.process import Job, Worker
from mlp_xp.training.workers.shard import Shard
from mlp_xp.types import Array, Chunk


class WorkersStep:
    """A TrainStep by `size` workers: this process and size - 1 others, which running() ends.

    They work on copies of the weights and of the optimizer's state, made when a chunk starts and
    written back when it ends: the network is up to date whenever a call returns, and unchanged if
    one fails. chunk_rows: of the longest chunk. The result depends on `size` up to rounding, and on
    nothing else that isn't a setting.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        optimizer: Optimizer,
        config: Config,
        size: int,
        chunk_rows: int,
    ):
        self.network, self.objective, self.optimizer = network, objective, optimizer
        self.config, self.size, self.chunk_rows = config, size, chunk_rows
        self.workers: list[Worker] = []
        self.shard: Shard | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Each has one BLAS thread, or all if it is alone with large products; all end with it."""
        threads = self.config.threads if self.size == 1 else 1
        with blas_threads_for(self.config.batch_size, self.network.parameters(), threads):
            try:
                yield
            finally:
                for worker in self.workers:
                    worker.stop()
                self.workers, self.shard = [], None

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: np.random.Generator) -> Array:
        """Take the steps; see TrainStep. Raises DeviceError if a worker has ended."""
        shard = self.shard or self._start(chunk)
        given = [array for array in chunk if array is not None]
        if self.workers:
            rows = len(given[0])
            for array, common in zip(given, self.arrays, strict=True):
                common[:rows] = array
            given = [common[:rows] for common in self.arrays]
        shard.copy(self.network, self.optimizer, back=False)
        # A callback may have changed one; the state is in common memory.
        settings = {name: value for name, value in vars(self.optimizer).items() if name != "state"}
        for worker in self.workers:
            worker.send((len(given[0]), lrs, rng, settings))
        X, y, *weights = given
        loss_sum = shard((X, y, weights[0] if weights else None), lrs, rng)
        shard.team.barrier()  # the others have taken their last step too
        shard.copy(self.network, self.optimizer, back=True)
        return loss_sum

    def _start(self, chunk: Chunk) -> Shard:
        """Make the arrays, and start the processes that share them."""
        given = [array for array in chunk if array is not None]
        kinds = [((self.chunk_rows, *array.shape[1:]), array.dtype) for array in given]
        job = Job(
            self.size, self.network, self.objective, self.optimizer, self.config,
            min(self.config.batch_size, self.chunk_rows), kinds, weighted=chunk[2] is not None,
        )  # fmt: skip
        if self.size == 1:
            self.shard = job.shard(0, np.zeros, self._check)
            return self.shard
        memory = SharedMemory()
        try:
            self.arrays = job.chunk_arrays(memory.allocate)
            self.shard = job.shard(0, memory.allocate, self._check)
            for rank in range(1, self.size):
                self.workers.append(Worker(rank, job, memory.descriptors))
            for rank, worker in enumerate(self.workers, start=1):
                worker.begin(rank, job, memory.descriptors)
        except OSError as error:
            raise DeviceError(
                f"{self.size} workers can't share memory ({error}); use --threads 1"
            ) from error
        finally:
            memory.close()
        return self.shard

    def _check(self) -> None:
        for worker in self.workers:
            worker.check()
