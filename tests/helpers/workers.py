"""Workers of a training as threads of this process, and settings under which a test has some."""

import pickle
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from mlp_xp.devices import flush_denormals


def lower_the_limits(monkeypatch: pytest.MonkeyPatch, chunk_rows: int | None = None) -> None:
    """Let every training have its workers, however small it is, and no windows."""
    for name in ("WORTH_SHARING", "WORTH_STARTING"):
        monkeypatch.setattr(f"mlp_xp.training.workers.{name}", 0)
    monkeypatch.setattr("mlp_xp.training.setup.windowed_step", lambda *_, **__: None)
    if chunk_rows is not None:
        monkeypatch.setattr("mlp_xp.training.setup.CHUNK_ROWS", chunk_rows)


class OrdinaryMemory:
    """Stands in for SharedMemory between threads: the n-th array is the same for all of them."""

    def __init__(self) -> None:
        self.descriptors: list[Any] = []  # arrays, in place of numbers

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self.descriptors.append(np.zeros(shape, dtype))
        return self.descriptors[-1]

    def close(self) -> None:
        self.descriptors = list(self.descriptors)


class ThreadWorker:
    """Stands in for Worker: a thread that does what process._work() does."""

    made: ClassVar[list["ThreadWorker"]] = []

    def __init__(self, rank: int, job: Any, descriptors: list[Any]):
        self.rank, self.size = rank, job.size
        self.thread, self.tasks = ThreadPoolExecutor(1), list[Future]()
        ThreadWorker.made.append(self)

    def begin(self, rank: int, job: Any, descriptors: list[np.ndarray]) -> None:
        self.job = pickle.loads(pickle.dumps(job.lean()))
        arrays = iter(descriptors)

        def allocate(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
            array = next(arrays)
            assert (array.shape, array.dtype) == (tuple(shape), np.dtype(dtype))
            return array

        self.arrays = self.job.chunk_arrays(allocate)
        self.shard = self.job.shard(rank, allocate, lambda: None)

    def send(self, message: Any) -> None:
        self.tasks.append(self.thread.submit(self._work, *pickle.loads(pickle.dumps(message))))

    def _work(self, n: int, lrs: Any, rng: Any, settings: Any) -> None:
        vars(self.job.optimizer).update(settings)
        X, y, *weights = (array[:n] for array in self.arrays)
        with np.errstate(all="ignore"), flush_denormals():
            self.shard((X, y, weights[0] if weights else None), lrs, rng)
        self.shard.team.barrier()

    def check(self) -> None:
        for task in self.tasks:
            if task.done():
                task.result()

    def stop(self) -> None:
        self.thread.shutdown()
        self.check()


@pytest.fixture
def threads_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are threads, which wait for each other without keeping the interpreter's lock."""
    lower_the_limits(monkeypatch)
    ThreadWorker.made.clear()
    module = "mlp_xp.training.workers"
    monkeypatch.setattr(f"{module}.step.Worker", ThreadWorker)
    monkeypatch.setattr(f"{module}.step.SharedMemory", OrdinaryMemory)
    monkeypatch.setattr(f"{module}.team.SPINS", 0)
    waiting = SimpleNamespace(sched_yield=lambda: time.sleep(0))
    monkeypatch.setattr(f"{module}.team.os", waiting)


PRELUDE = """
import sys
import mlp_xp.training.setup, mlp_xp.training.workers as workers
workers.WORTH_SHARING = workers.WORTH_STARTING = 0
mlp_xp.training.setup.windowed_step = lambda *_, **__: None
"""
"""What a program starts with to have workers in a small training."""
