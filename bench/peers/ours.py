"""This project, by its public functions train() and predict(), as the README uses them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import mlp_xp
from bench.peers import Epoch, Peer
from bench.problem import SEED, Array, Labels, Problem, Rows
from mlp_xp.nn import Dense

SETTINGS = (
    *("hidden", "batch_size", "epochs", "optimizer", "lr", "momentum", "dropout"),
    *("schedule", "shuffle", "dtype"),
)
OWN_SETTINGS = ("threads", "window", "graph")


class Clock(mlp_xp.Callback):
    """Times epochs from outside, so that the time between two of them counts too.

    budget: seconds after which the training stops, as in Peer.train().
    """

    def __init__(self, budget: float) -> None:
        self.epochs: list[Epoch] = []
        self.start = time.perf_counter()
        self.until = self.start + budget

    def on_epoch(self, trainer: mlp_xp.Trainer) -> None:
        now = time.perf_counter()
        self.epochs.append(Epoch(trainer.history[-1].loss, now - self.start))
        if len(self.epochs) >= 2 and now > self.until:
            trainer.stop()
        self.start = time.perf_counter()


class Ours(Peer):
    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(problem, X, y)
        split = mlp_xp.Split(X[: problem.rows], y[: problem.rows])
        self.data = mlp_xp.Dataset("mnist", split, None, 10)
        self.device = mlp_xp.get_device(problem.device, require=True)
        layers = [Dense(*map(self.device.to_device, layer)) for layer in problem.weights()]
        self.network = mlp_xp.Network(self.device, layers)
        self.network.input_scale = 255  # training sets it; `predict` comes without

    def train(self) -> list[Epoch]:
        settings = {name: getattr(self.problem, name) for name in SETTINGS}
        own = {name: getattr(self.problem, name) for name in OWN_SETTINGS}
        settings |= {name: value for name, value in own.items() if value is not None}
        clock = Clock(self.problem.budget)
        mlp_xp.train(
            self.data, mlp_xp.Config(**settings, seed=SEED), self.device, [clock], self.network
        )
        return clock.epochs

    def predict(self, X: Rows) -> Array:
        return mlp_xp.predict(self.network, X)

    def save(self, path: Path) -> None:
        mlp_xp.save_model(self.network, path)


class WithoutGraph(Ours):
    """On a GPU, with each operation launched by itself."""

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(replace(problem, graph=False), X, y)


class OnCPU(Ours):
    """On the CPU, whatever the problem's device."""

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        super().__init__(replace(problem, device="cpu"), X, y)
