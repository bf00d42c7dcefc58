"""This project, by its public functions: train() and predict(), as the README has them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mlp_xp
from bench.peers import Epoch, Peer
from bench.problem import SEED, Array, Problem
from mlp_xp.network import Dense


class Clock(mlp_xp.Callback):
    """Times epochs from outside, so that nothing between two of them is left out."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self.begun = time.perf_counter()

    def on_epoch(self, run: mlp_xp.Run) -> None:
        now = time.perf_counter()
        self.epochs.append(Epoch(run.history[-1].loss, now - self.begun))
        self.begun = time.perf_counter()


class Implementation(Peer):
    def __init__(self, problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        super().__init__(problem, X, y)
        split = mlp_xp.Split(X[: problem.rows], y[: problem.rows])
        self.data = mlp_xp.Dataset("mnist", split, None, 10)
        self.backend = mlp_xp.resolve("cpu").backend
        layers = [Dense(W, b) for W, b in problem.weights()]
        self.network = mlp_xp.Network(self.backend, layers)

    def train(self) -> list[Epoch]:
        problem = self.problem
        config = mlp_xp.Config(
            hidden=problem.hidden,
            batch_size=problem.batch_size,
            epochs=problem.epochs,
            lr=problem.lr,
            schedule=problem.schedule,
            shuffle=problem.shuffle,
            seed=SEED,
            dtype=problem.dtype,
        )
        clock = Clock()
        mlp_xp.train(self.data, config, self.backend, [clock], network=self.network)
        return clock.epochs

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        raise NotImplementedError("train() has its own loop over epochs")

    def predict(self, X: NDArray[np.uint8]) -> Array:
        return mlp_xp.predict(self.network, X)

    def save(self, path: Path) -> None:
        mlp_xp.save_model(self.network, path)
