"""The peers, and the interface that they share."""

from __future__ import annotations

import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.problem import Array, Labels, Problem, Rows

OURS = "ours"


class PeerInfo(NamedTuple):
    """A peer's name in tables, the module that it needs, and its class."""

    label: str
    requires: str
    implementation: str


PEERS = {
    OURS: PeerInfo("mlp_xp", "mlp_xp", "ours.Ours"),
    "ours_no_graph": PeerInfo("mlp_xp, no graph", "mlp_xp", "ours.WithoutGraph"),
    "ours_cpu": PeerInfo("mlp_xp, CPU", "mlp_xp", "ours.OnCPU"),
    "jax_bytes": PeerInfo("JAX, bytes", "jax", "jax_scan.FromBytes"),
    "jax_floats": PeerInfo("JAX, floats", "jax", "jax_scan.FromFloats"),
    "jax_epoch": PeerInfo("JAX, epoch gathered", "jax", "jax_scan.GatheredEpoch"),
    "torch_eager": PeerInfo("PyTorch, eager", "torch", "pytorch.Eager"),
    "torch_compiled": PeerInfo("PyTorch, compiled", "torch", "pytorch.Compiled"),
    "torch_graph": PeerInfo("PyTorch, CUDA graph", "torch", "pytorch.CUDAGraph"),
    "sklearn": PeerInfo("scikit-learn", "sklearn", "sklearn.Classifier"),
    "tinygrad": PeerInfo("tinygrad, TinyJit", "tinygrad", "tinygrad.Jit"),
    "notebook": PeerInfo("the notebook's loop", "numpy", "notebook.Loop"),
}


class Epoch(NamedTuple):
    """The mean loss of an epoch's rows, each before its own update; and the epoch's seconds."""

    loss: float
    seconds: float


class Peer:
    """A network with problem.weights(), ready to train on rows X and labels y."""

    def __init__(self, problem: Problem, X: Rows, y: Labels) -> None:
        self.problem = problem

    def train(self) -> list[Epoch]:
        """Train for every epoch. The clock covers drawing the order and all that follows."""
        history: list[Epoch] = []
        training_start = time.perf_counter()
        for number in range(1, self.problem.epochs + 1):
            start = time.perf_counter()
            loss = self.epoch(self.problem.order(number), self.problem.rates(number))
            end = time.perf_counter()
            history.append(Epoch(loss, end - start))
            if number >= 2 and end - training_start > self.problem.budget:
                break
        return history

    def epoch(self, order: NDArray[np.int64], rates: NDArray[np.float64]) -> float:
        """Train for one epoch in this order. Returns its mean loss, once all work is done."""
        raise NotImplementedError

    def predict(self, X: Rows) -> Array:
        """The probability of each class for each row, on the host: (N, 10)."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the weights to a file, in the peer's own documented way."""
        raise NotImplementedError


def find(name: str) -> type[Peer]:
    """The class of a peer. Raises ImportError if what it needs isn't installed."""
    module, _, attribute = PEERS[name].implementation.partition(".")
    peer: type[Peer] = getattr(import_module(f"bench.peers.{module}"), attribute)
    return peer


def absent(name: str) -> str | None:
    """Why a peer can't run, or None if it can; doesn't import it."""
    module = PEERS[name].requires
    return None if find_spec(module) else f"{module} is not installed"
