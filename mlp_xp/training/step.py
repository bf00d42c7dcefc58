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
from mlp_xp.training.team import Team
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
    """Mini-batch by mini-batch, by Network.forward() and Network.backward(): a TrainStep. Each of a
    team's workers has some rows of a batch, and they add up their gradients: see ranks.py."""

    def __init__(
        self, network: Network, objective: Objective, optimizer: Optimizer, config: Config,
        team: Team | None = None,
    ):  # fmt: skip
        self.network, self.objective, self.optimizer = network, objective, optimizer
        self.batch_size, self.dropout = config.batch_size, config.dropout
        self.clip_norm, self.threads, self.team = config.clip_norm, config.threads, team or Team()

    def running(self) -> AbstractContextManager[None]:
        """One BLAS thread, unless products are large."""
        return blas_threads_for(self.batch_size, self.network.parameters(), self.threads)

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: np.random.Generator) -> Array:
        """Take the steps; see TrainStep."""
        (X, y, weights), network, xp = chunk, self.network, self.network.xp
        loss_sum, left, stop = xp.zeros((), dtype="float64"), self.team.count(len(X)), 0
        for lr in lrs:
            b = min(self.batch_size, left)
            own, left = self.team.share(b), left - b
            rows = slice(stop, stop := stop + own.stop - own.start)
            x = network.prepare(X[rows])
            drawn = network.dropout_masks(rng, b, self.dropout) if self.dropout else []
            masks = [mask[own] for mask in drawn] or None
            A, Z = network.forward(x, masks)
            w = None if weights is None else weights[rows]
            loss, dlogits = self.objective.loss(xp, Z[-1], y[rows], w) if len(x) else (0, Z[-1])
            dlogits *= len(x) / b  # the mean is the batch's
            gradients = self.team.total(network.backward(A, Z, dlogits, masks))
            if self.clip_norm is not None:
                clip_gradients(xp, gradients, self.clip_norm)
            self.optimizer.step(network.parameters(), gradients, lr)
            loss_sum += loss * len(x)
        return self.team.total([loss_sum])[0]
