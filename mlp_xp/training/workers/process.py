"""A worker process: how it is started and ended, and what it does."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from mlp_xp.devices import flush_denormals
from mlp_xp.errors import DeviceError, printable
from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import Optimizer
from mlp_xp.training.config import Config
from mlp_xp.training.workers.memory import SharedMemory
from mlp_xp.training.workers.shard import Shard
from mlp_xp.training.workers.team import Allocate, SharedTeam
from mlp_xp.types import Array

START = """# a worker of mlp_xp
import pickle, sys
try:
    sys.path += pickle.load(sys.stdin.buffer)
    from mlp_xp.training.workers.process import main
    main()
except EOFError:
    pass  # the training has ended
except Exception as error:
    print(f"{type(error).__name__}: {error}"[:300])
    sys.exit(1)
"""
"""The program of a worker, a new interpreter."""
FLAGS = ("-I", "-S", "-B")
"""Without what the environment and the current folder may bring in; it writes no files."""

PACKAGES = [str(Path(__file__).parents[3]), str(Path(np.__file__).parents[1])]
"""Where this package and NumPy are: a worker must have the same, wherever others may be."""
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Job:
    """What the workers of a training have in common.

    longest: rows of the longest batch. arrays: shape and dtype of the longest chunk's X, y and,
    where they are weighted, weights.
    """

    size: int
    network: Network
    objective: Objective
    optimizer: Optimizer
    config: Config
    longest: int
    arrays: list[tuple[tuple[int, ...], Any]]
    weighted: bool

    def lean(self) -> Job:
        """The same without what workers don't need, which may be large or can't be pickled."""
        network = Network(self.network.device, self.network.layers)
        for name in ("activation", "input_scale", "standardization"):
            setattr(network, name, getattr(self.network, name))
        optimizer = copy(self.optimizer)
        optimizer.state = {}
        return replace(self, network=network, optimizer=optimizer)

    # Every worker calls these two in this order, as arrays in common memory are told by it.

    def chunk_arrays(self, allocate: Allocate) -> list[Array]:
        """The arrays for a chunk."""
        return [allocate(shape, dtype) for shape, dtype in self.arrays]

    def shard(self, rank: int, allocate: Allocate, check: Callable[[], None]) -> Shard:
        """The shard of one worker."""
        team = SharedTeam(rank, self.size, allocate, check)
        return Shard(
            self.network, self.objective, self.optimizer, self.config, team, self.longest,
            weighted=self.weighted,
        )  # fmt: skip


class Worker:
    """A worker process as the training sees it.

    descriptors: of the common memory. Raises DeviceError if the system starts no more processes.
    """

    def __init__(self, rank: int, job: Job, descriptors: Sequence[int]):
        self.name = f"worker {rank + 1} of {job.size}"
        # Ctrl-C, and what else a whole group of processes is sent, is for the training to act on:
        # the new process has all of it blocked, from its first moment on.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.process = subprocess.Popen(
                [sys.executable, *FLAGS, "-c", START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **ONE_THREAD},
                pass_fds=descriptors,
            )
        except OSError as error:
            raise DeviceError(f"{self.name} can't be started ({error}); use --threads 1") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def begin(self, rank: int, job: Job, descriptors: Sequence[int]) -> None:
        """Give it what it needs before its first task."""
        # Nobody knows from which folder a relative entry counted.
        path = [entry for entry in sys.path if isinstance(entry, str) and os.path.isabs(entry)]
        self.send([*PACKAGES, *path])
        self.send((rank, job.lean(), list(descriptors), os.getpid()))

    def send(self, message: Any) -> None:
        """Give it its next task. Raises DeviceError if the process has ended."""
        assert self.process.stdin is not None
        try:
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait()
            self.check()

    def check(self) -> None:
        """Raise DeviceError if the process has ended."""
        status = self.process.poll()
        if status is not None:
            assert self.process.stdout is not None
            said = self.process.stdout.read().decode(errors="replace").strip()
            why = said or (f"signal {-status}" if status < 0 else f"exit status {status}")
            raise DeviceError(
                f"{self.name} has ended ({printable(why)}); go on from the last checkpoint, with "
                "--threads 1 if it happens again"
            )

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # of what was still to be sent
                pipe.close()


def _end_with(training: int) -> None:
    """End this process when the training has: a fork of that one may keep the pipe open."""
    while os.getppid() == training:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Take the steps of one chunk after another, until EOFError says that there are no more."""
    tasks = sys.stdin.buffer
    np.seterr(all="ignore")
    rank, job, descriptors, training = pickle.load(tasks)
    Thread(target=_end_with, args=(training,), daemon=True).start()
    memory = SharedMemory(descriptors)
    arrays = job.chunk_arrays(memory.allocate)
    shard = job.shard(rank, memory.allocate, lambda: None)
    with flush_denormals():
        while True:
            n, lrs, rng, settings = pickle.load(tasks)
            vars(job.optimizer).update(settings)
            X, y, *weights = (array[:n] for array in arrays)
            shard((X, y, weights[0] if weights else None), lrs, rng)
            shard.team.barrier()
