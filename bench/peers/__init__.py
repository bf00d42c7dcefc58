"""The peers: one file each, and the interface that they share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.problem import Array, Problem

OURS = "ours"


class About(NamedTuple):
    """A peer's name in tables, and the module that it can't do without."""

    label: str
    requires: str


PEERS = {
    OURS: About("mlp_xp", "mlp_xp"),
    "jax_scan": About("JAX, jit + scan", "jax"),
    "torch_eager": About("PyTorch, eager", "torch"),
    "torch_compiled": About("PyTorch, compiled", "torch"),
    "sklearn": About("scikit-learn", "sklearn"),
    "tinygrad": About("tinygrad, TinyJit", "tinygrad"),
    "notebook": About("the notebook's loop", "numpy"),
}


class Epoch(NamedTuple):
    """Mean loss of an epoch's rows, each before its own update; and the epoch's seconds."""

    loss: float
    seconds: float


class Peer(ABC):
    """A network with problem.weights(), ready to train on rows X (N, 784) uint8 and labels y."""

    @abstractmethod
    def __init__(self, problem: Problem, X: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        self.problem = problem

    def train(self) -> list[Epoch]:
        """Every epoch in turn. The clock covers the order of the rows and all that follows."""
        history: list[Epoch] = []
        started = time.perf_counter()
        for number in range(1, self.problem.epochs + 1):
            begun = time.perf_counter()
            loss = self.epoch(self.problem.order(number), self.problem.rates(number))
            now = time.perf_counter()
            history.append(Epoch(loss, now - begun))
            if number >= 2 and now - started > self.problem.budget:
                break
        return history

    @abstractmethod
    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        """One epoch in this order. Returns its mean loss, so all of its work is done."""

    @abstractmethod
    def predict(self, X: NDArray[np.uint8]) -> Array:
        """The probability of each class for each row, on the host: (N, 10)."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the weights to a file, in the peer's own documented way."""


def find(name: str) -> type[Peer]:
    """The class of a peer. Raises ImportError if what it needs isn't installed."""
    peer: type[Peer] = import_module(f"bench.peers.{name}").Implementation
    return peer


def absent(name: str) -> str | None:
    """Why a peer can't take part, None if it can, without importing it."""
    module = PEERS[name].requires
    return None if find_spec(module) else f"{module} is not installed"
