"""The loss of each step's rows with its gradient: Objective.loss(), and less work for softmax."""

from __future__ import annotations

import numpy as np

from mlp_xp.nn.losses import Multiclass, Objective
from mlp_xp.nn.network import Network
from mlp_xp.training.windowed.buffers import MANY_CLASSES
from mlp_xp.types import Array, Chunk


class ChunkLoss:
    """Adds up the losses of a chunk's rows, step by step, by Objective.loss()."""

    def __init__(self, network: Network, objective: Objective):
        self.objective, self.xp = objective, network.xp

    def begin(self, chunk: Chunk, batch_size: int) -> None:
        """Start with the labels of a chunk, and its weights if there are any."""
        _, self.y, self.weights = chunk
        self.total = self.xp.zeros((), "float64")

    def gradient(self, logits: Array, rows: slice) -> Array:
        """The gradient of these rows' mean loss in their logits (b, K), which may change."""
        weights = None if self.weights is None else self.weights[rows]
        loss, dlogits = self.objective.loss(self.xp, logits, self.y[rows], weights)
        self.total += loss * len(logits)
        return dlogits

    def end(self) -> Array:
        """The sum of the losses of all rows, each before its step: float64, shape ()."""
        return self.total


class SoftmaxLoss(ChunkLoss):
    """Stands in for Multiclass.loss() on a CPU without weights and smoothing, in a quarter of the
    calls.

    With e = exp(z - max z) for a row's logits z, a batch of b rows has the gradient
    e / (b sum e) - onehot(y) / b. The loss, log(sum e) - (z - max z)[y], is taken for all rows of a
    chunk at once. A product with a K x K matrix of b gives b sum e, K times over, so that dividing
    by it needs no broadcast.
    """

    def __init__(self, network: Network, objective: Objective):
        super().__init__(network, objective)
        self.n_out, self.dtype = network.sizes[-1], network.dtype
        self.shifted: Array = np.empty((0, self.n_out), self.dtype)

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


class OneHotLoss(ChunkLoss):
    """Stands in for Multiclass.loss() on a GPU, in two thirds of the calls: no pairs of indices.

    With z the logits less their row's maximum, e = exp(z) and q as in Multiclass.loss(), the loss
    is log(sum e) - sum q z and its gradient e / sum e - q.
    """

    def __init__(self, network: Network, objective: Multiclass):
        super().__init__(network, objective)
        self.smoothing, self.dtype = objective.label_smoothing, network.dtype
        self.classes = self.xp.arange(network.sizes[-1])

    def gradient(self, logits: Array, rows: slice) -> Array:
        """See ChunkLoss."""
        xp, s, K = self.xp, self.smoothing, len(self.classes)
        q = xp.equal(self.y[rows, None], self.classes, out=xp.empty(logits.shape, self.dtype))
        if s:
            q *= 1 - s
            q += s / K
        z = logits - logits.max(axis=1, keepdims=True)
        e = xp.exp(z)
        sums = e.sum(axis=1, keepdims=True)
        e /= sums
        e -= q
        q *= z
        losses = xp.log(sums[:, 0]) - q.sum(axis=1)
        if self.weights is not None:
            losses *= self.weights[rows]
            e *= self.weights[rows, None]
        e /= len(logits)
        self.total += losses.sum(dtype="float64")
        return e


def chunk_loss(network: Network, objective: Objective, *, weighted: bool) -> ChunkLoss:
    """The quickest way to compute this objective for the network's outputs."""
    if type(objective) is not Multiclass:
        return ChunkLoss(network, objective)
    if not network.device.on_host:
        return OneHotLoss(network, objective)
    plain = not objective.label_smoothing and not weighted
    if plain and network.sizes[-1] < MANY_CLASSES:
        return SoftmaxLoss(network, objective)
    return ChunkLoss(network, objective)
