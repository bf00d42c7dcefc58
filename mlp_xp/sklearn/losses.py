"""The losses of scikit-learn's networks, by its scale: summed or halved where ours are means.

Facts from scikit-learn 1.9, sklearn/neural_network/_base.py. Its weighted means divide by the sum
of a batch's weights, ours by its rows, and its penalty is part of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlp_xp.nn.losses import (
    Loss,
    Multiclass,
    Multilabel,
    Objective,
    Regression,
    mean_over_rows,
)
from mlp_xp.nn.network import Network
from mlp_xp.types import Array, Arrays, HostArray, Namespace


def bounded_log(xp: Namespace, p: Array) -> Array:
    """log p, with p kept from 0 and 1 by its dtype's eps: a row's loss is at most 36, or 16."""
    eps = float(xp.finfo(p.dtype).eps)
    return xp.log(xp.minimum(xp.maximum(p, eps), 1 - eps))


@dataclass(frozen=True)
class BoundedClasses(Multiclass):
    """Softmax cross-entropy in nats of bounded probabilities; its gradient has no bounds."""

    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        rows, s = xp.arange(len(y)), self.label_smoothing
        p = self.predict(xp, logits)
        losses = -bounded_log(xp, p[rows, y])
        if s:
            losses = (1 - s) * losses - s * bounded_log(xp, p).mean(axis=-1)
            p -= s / p.shape[-1]
        p[rows, y] -= 1 - s
        return mean_over_rows(losses, p, weights)


@dataclass(frozen=True)
class SummedLabels(Multilabel):
    """Binary cross-entropy in nats of bounded probabilities, summed over the outputs.

    A single output tells two classes apart. label_smoothing s: each y becomes (1 - s) y + s / 2.
    """

    label_smoothing: float = 0.0

    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        s = self.label_smoothing
        y = y.astype(logits.dtype, copy=False)
        y = (1 - s) * y + s / 2 if s else y
        p = self.predict(xp, logits)
        losses = -(y * bounded_log(xp, p) + (1 - y) * bounded_log(xp, 1 - p)).sum(axis=-1)
        return mean_over_rows(losses, p - y, weights)


class HalfSquaredError(Regression):
    """(1/2) (z - y)^2: the loss is its mean over the outputs, the gradient that of its sum."""

    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        loss, dlogits = super().loss(xp, logits, y, weights)
        dlogits *= logits.shape[-1] / 2
        return loss / 2, dlogits


class HalfPoisson(Regression):
    """Half the Poisson deviance, y log(y / m) - y + m with m = exp(z), summed over the outputs."""

    valid_targets = "numbers from 0"

    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        y = y.astype(logits.dtype, copy=False)
        mean = xp.exp(logits)
        y_log_y = y * xp.log(xp.where(y > 0, y, xp.ones_like(y)))
        losses = (y_log_y - y * logits - y + mean).sum(axis=-1)
        return mean_over_rows(losses, mean - y, weights)

    def predict(self, xp: Namespace, logits: Array) -> Array:
        return xp.exp(logits)

    def is_valid(self, y: HostArray) -> HostArray:
        return super().is_valid(y) & (y >= 0)


def loss_and_gradients(
    network: Network,
    objective: Objective,
    alpha: float,
    batch: tuple[Array, Array, Array | None],
    masks: Arrays | None = None,
) -> tuple[Array, Array | float, Arrays]:
    """A batch's loss, its penalty, and their gradients in network.parameters().

        loss    = sum_i w_i loss_i / sum_i w_i
        penalty = (alpha / 2) sum over layers of |W|^2 / sum_i w_i
    batch: X (B, n), y and weights w (B,), None for 1, as Objective.loss() takes them; masks: see
    Network.dropout_masks(). The first two stay on the device, of shape (). A batch whose weights
    are all 0 counts as one whose sum is B.
    """
    X, y, weights = batch
    xp, total = network.xp, len(X)
    A, Z = network.forward(network.prepare(X), masks)
    loss, dlogits = objective.loss(xp, Z[-1], y, weights)
    if weights is not None:
        total = weights.sum()
        total = xp.where(total > 0, total, xp.full_like(total, len(X)))
        scale = len(X) / total
        dlogits *= scale
        loss = loss * scale
    gradients = network.backward(A, Z, dlogits, masks)
    penalty: Array | float = 0.0
    if alpha:
        decay = alpha / total
        for i, layer in enumerate(network.layers):
            gradients[2 * i] += decay * layer.W
            penalty += xp.vdot(layer.W, layer.W)
        penalty *= decay / 2
    return loss, penalty, gradients
