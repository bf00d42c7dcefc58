"""The training step, as every textbook has it: forward, loss, backward, update.

It supports every option. On a CPU, windowed/ and workers/ compute the same updates faster.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

from mlp_xp.devices.blas import blas_threads_for
from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import Optimizer, clip_gradients
from mlp_xp.training.config import Config
from mlp_xp.types import Array, Chunk


class TrainStep(Protocol):
    """Takes the steps of one chunk of rows, one for each learning rate, and changes the network."""

    def running(self) -> AbstractContextManager[None]:
        """What surrounds the calls of a training: BLAS's threads, worker processes."""

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: np.random.Generator) -> Array:
        """Take the steps; rng draws the chunk's dropout masks.

        Returns the sum of the rows' losses, each before its step: float64, shape (), on the device.
        """


class PlainStep:
    """Mini-batch by mini-batch, by Network.forward() and Network.backward(): a TrainStep."""

    def __init__(
        self, network: Network, objective: Objective, optimizer: Optimizer, config: Config
    ):
        self.network, self.objective, self.optimizer = network, objective, optimizer
        self.batch_size, self.dropout = config.batch_size, config.dropout
        self.clip_norm, self.threads = config.clip_norm, config.threads

    def running(self) -> AbstractContextManager[None]:
        """One BLAS thread, unless products are large."""
        return blas_threads_for(self.batch_size, self.network.parameters(), self.threads)

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: np.random.Generator) -> Array:
        """Take the steps; see TrainStep."""
        X, y, weights = chunk
        network, xp = self.network, self.network.xp
        loss_sum = xp.zeros((), dtype="float64")
        for i, lr in enumerate(lrs):
            rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
            x = network.prepare(X[rows])
            masks = network.dropout_masks(rng, len(x), self.dropout) if self.dropout else None
            A, Z = network.forward(x, masks)
            w = None if weights is None else weights[rows]
            loss, dlogits = self.objective.loss(xp, Z[-1], y[rows], w)
            gradients = network.backward(A, Z, dlogits, masks)
            if self.clip_norm is not None:
                clip_gradients(xp, gradients, self.clip_norm)
            self.optimizer.step(network.parameters(), gradients, lr)
            loss_sum += loss * len(x)
        return loss_sum
