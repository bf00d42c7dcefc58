"""The training step with scikit-learn's penalty: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np

from mlp_xp.devices.blas import blas_threads_for
from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Network
from mlp_xp.nn.optimizers import Optimizer, clip_gradients
from mlp_xp.sklearn.losses import loss_and_gradients
from mlp_xp.types import Array, Chunk


class PenalizedStep:
    """Batch by batch, the loss with its penalty: a TrainStep; see loss_and_gradients()."""

    def __init__(
        self, network: Network, objective: Objective, optimizer: Optimizer, batch_size: int,
        alpha: float, dropout: float, clip_norm: float | None,
    ):  # fmt: skip
        self.network, self.objective, self.optimizer = network, objective, optimizer
        self.batch_size, self.alpha = batch_size, alpha
        self.dropout, self.clip_norm = dropout, clip_norm

    def running(self) -> AbstractContextManager[None]:
        """One BLAS thread, unless products are large."""
        return blas_threads_for(self.batch_size, self.network.parameters())

    def __call__(self, chunk: Chunk, lrs: Sequence[float], rng: np.random.Generator) -> Array:
        """Take the steps; see TrainStep."""
        X, y, weights = chunk
        network, xp = self.network, self.network.xp
        loss_sum = xp.zeros((), dtype="float64")
        for i, lr in enumerate(lrs):
            rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
            x, w = X[rows], None if weights is None else weights[rows]
            masks = network.dropout_masks(rng, len(x), self.dropout) if self.dropout else None
            loss, penalty, gradients = loss_and_gradients(
                network, self.objective, self.alpha, (x, y[rows], w), masks
            )
            if self.clip_norm is not None:
                clip_gradients(xp, gradients, self.clip_norm)
            self.optimizer.step(network.parameters(), gradients, lr)
            loss_sum += (loss + penalty) * len(x)
        return loss_sum
