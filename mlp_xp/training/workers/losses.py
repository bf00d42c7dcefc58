"""The loss of each step's rows with its gradient: Objective.loss(), and less work for softmax."""

from __future__ import annotations

import numpy as np

from mlp_xp.nn.losses import Multiclass, Objective
from mlp_xp.training.windowed.buffers import MANY_CLASSES
from mlp_xp.types import Array, Chunk


class ChunkLoss:
    """Adds up the losses of a chunk's rows, step by step, by Objective.loss()."""

    def __init__(self, objective: Objective):
        self.objective = objective

    def begin(self, chunk: Chunk, batch_size: int) -> None:
        """Start with the labels of a chunk, and its weights if there are any."""
        _, self.y, self.weights = chunk
        self.total = np.zeros((), "float64")

    def gradient(self, logits: Array, rows: slice) -> Array:
        """The gradient of these rows' mean loss in their logits (b, K), which may change."""
        weights = None if self.weights is None else self.weights[rows]
        loss, dlogits = self.objective.loss(np, logits, self.y[rows], weights)
        self.total += loss * len(logits)
        return dlogits

    def end(self) -> Array:
        """The sum of the losses of all rows, each before its step: float64, shape ()."""
        return self.total


class SoftmaxLoss(ChunkLoss):
    """Stands in for Multiclass.loss() without weights and smoothing, in a quarter of the calls.

    With e = exp(z - max z) for a row's logits z, a batch of b rows has the gradient
    e / (b sum e) - onehot(y) / b. The loss, log(sum e) - (z - max z)[y], is taken for all rows of a
    chunk at once. A product with a K x K matrix of b gives b sum e, K times over, so that dividing
    by it needs no broadcast.
    """

    def __init__(self, objective: Objective, n_out: int, dtype: object):
        super().__init__(objective)
        self.n_out, self.dtype = n_out, dtype
        self.shifted: Array = np.empty((0, n_out), dtype)

    def begin(self, chunk: Chunk, batch_size: int) -> None:
        """See ChunkLoss; makes the arrays of a chunk (n, K), and onehot(y) / b."""
        _, self.y, _ = chunk
        n, shape = len(self.y), (len(self.y), self.n_out)
        if self.shifted.shape != shape:
            self.shifted, self.sums, self.targets = (np.empty(shape, self.dtype) for _ in range(3))
            self.lengths = np.full(n, batch_size)
            self.lengths[n - n % batch_size :] = n % batch_size
            self.factors = {
                b: np.full((self.n_out, self.n_out), b, self.dtype)
                for b in set(self.lengths.tolist())
            }
        self.targets.fill(0)
        self.targets[np.arange(n), self.y] = 1 / self.lengths

    def gradient(self, logits: Array, rows: slice) -> Array:
        """See ChunkLoss."""
        shifted, sums = self.shifted[rows], self.sums[rows]
        np.subtract(logits, logits.max(axis=1, keepdims=True), shifted)
        np.exp(shifted, logits)
        np.dot(logits, self.factors[len(logits)], sums)
        np.divide(logits, sums, logits)
        return np.subtract(logits, self.targets[rows], logits)

    def end(self) -> Array:
        """See ChunkLoss."""
        n = len(self.y)
        losses = np.log(self.sums[:, 0] / self.lengths) - self.shifted[np.arange(n), self.y]
        return losses.sum(dtype="float64")


def chunk_loss(objective: Objective, n_out: int, dtype: object, *, weighted: bool) -> ChunkLoss:
    """The quickest way to compute this objective, for n_out outputs of this dtype."""
    plain = type(objective) is Multiclass and not objective.label_smoothing and not weighted
    if plain and n_out < MANY_CLASSES:
        return SoftmaxLoss(objective, n_out, dtype)
    return ChunkLoss(objective)
