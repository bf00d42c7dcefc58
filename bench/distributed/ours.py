"""This project on the ranks of mpiexec: Trainer(..., communicator=MPI.COMM_WORLD)."""

from __future__ import annotations

import time

import numpy as np
from mpi4py import MPI

import mlp_xp
from bench.peers import Epoch
from bench.peers.ours import SETTINGS, Clock, Ours
from bench.problem import SEED, Labels, Problem, Rows
from mlp_xp.training.ranks import Ranks
from mlp_xp.types import Arrays

SUMS = 20  # that are timed by themselves


class OnRanks(Ours):
    """Ours, with one thread on each rank."""

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        self.rank = MPI.COMM_WORLD.Get_rank()

    def trainer(self) -> mlp_xp.Trainer:
        settings = {name: getattr(self.problem, name) for name in SETTINGS}
        config = mlp_xp.Config(**settings, threads=1, seed=SEED)
        return mlp_xp.Trainer(
            self.data, config, self.device, self.network, communicator=MPI.COMM_WORLD
        )

    def train(self) -> list[Epoch]:
        clock = Clock(self.problem.budget)
        self.trainer().fit([clock])
        return clock.epochs


class Watched(OnRanks):
    """The same, with its sums over ranks timed."""

    def trainer(self) -> mlp_xp.Trainer:
        trainer = super().trainer()
        total = trainer.team.total
        self.seconds: list[float] = []
        """Of each sum, with the waiting for other ranks."""

        def timed(arrays: Arrays) -> Arrays:
            start = time.perf_counter()
            sums = total(arrays)
            self.seconds.append(time.perf_counter() - start)
            return sums

        trainer.team.total = timed  # type: ignore[method-assign]
        return trainer

    def share(self, epochs: list[Epoch]) -> float:
        """The share of sums in the time of all epochs after the first."""
        first = len(self.seconds) // len(epochs)
        return sum(self.seconds[first:]) / sum(epoch.seconds for epoch in epochs[1:])

    def sum_seconds(self) -> float:
        """The median of sums of the gradients that all ranks begin at the same time."""
        ranks = Ranks(MPI.COMM_WORLD, self.device)
        gradients = [array for layer in self.problem.weights() for array in layer]
        found = []
        for _ in range(SUMS):
            MPI.COMM_WORLD.Barrier()
            start = time.perf_counter()
            ranks.total(gradients)
            found.append(time.perf_counter() - start)
        return float(np.median(found))
