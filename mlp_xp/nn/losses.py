"""Objectives: what a network's outputs stand for, with each loss beside its gradient.

Shapes: B rows in a batch, N in a data set, K outputs. To add an objective, derive from the class
whose targets it shares, write `loss` or `predict`, and register the class:

    OBJECTIVES["poisson"] = Poisson
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from mlp_xp.nn.activations import sigmoid
from mlp_xp.types import Array, HostArray, Namespace

Loss: TypeAlias = tuple[Array, Array]
"""The mean loss of a batch, shape (), and its gradient in the logits, (B, K)."""


def log_softmax(xp: Namespace, logits: Array) -> Array:
    """Z - log sum_k exp(Z[:, k]), (B, K).    Goodfellow et al., Deep Learning, section 4.1.

    logits Z (B, K) float. The shift by each row's maximum keeps exp() from overflowing.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(xp: Namespace, logits: Array) -> Array:
    """exp(log_softmax): each row's probabilities, which add up to 1.   logits (B, K) float."""
    return xp.exp(log_softmax(xp, logits))


def mean_over_rows(losses: Array, dlogits: Array, weights: Array | None) -> Loss:
    """(1/B) sum_i w_i losses[i], and the gradients d losses[i] / d logits[i] scaled to match."""
    # Divided by B, not by sum_i w_i: a row's gradient must not depend on the rest of its batch.
    if weights is not None:
        losses = losses * weights
        dlogits *= weights[:, None]
    dlogits /= len(losses)
    return losses.mean(), dlogits


class Objective(ABC):
    """The loss and its gradient, what the logits predict, and which targets can be learned."""

    single_label: ClassVar[bool] = False
    """True: y is (N,), the class of each row, from 0. False: y is (N, K), a column per output."""
    scales_targets: ClassVar[bool] = False
    """Whether standardized targets can stand for y; each class has to say so itself."""
    valid_targets: ClassVar[str] = "finite numbers"
    """What is_valid() accepts, for error messages."""

    @abstractmethod
    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        """The mean loss and its gradient, on the device and in the dtype of logits (B, K).

        y (B,) or (B, K), any dtype; weights (B,) in the dtype of logits, None for 1. The loss stays
        an array: reading it would wait for the GPU.
        """

    @abstractmethod
    def predict(self, xp: Namespace, logits: Array) -> Array:
        """The prediction from logits (B, K), (B, K): probabilities, or the numbers themselves."""

    def decide(self, logits: HostArray) -> HostArray | None:
        """The classes or labels that logits (B, K) predict, in the shape of y; None for numbers."""
        return None

    def chosen(self, predictions: HostArray) -> HostArray | None:
        """The same from predict()'s result (B, K), where a label holds if p > 0.5."""
        return None

    def is_valid(self, y: HostArray) -> HostArray:
        """Which elements of y, float32, can be learned."""
        return abs(y) < math.inf


@dataclass(frozen=True)
class Multiclass(Objective):
    """One class of K a row."""

    label_smoothing: float = 0.0
    single_label: ClassVar[bool] = True

    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        """Mean softmax cross-entropy in nats, and its gradient.

        loss    = -(1/B) sum_i w_i sum_k q[i, k] log p[i, k],    p = softmax(logits)
        dlogits = w (p - q) / B                        Bishop, PRML, section 4.3.4
        q       = (1 - s) onehot(y) + s / K,  s = label_smoothing
                                                       Szegedy et al. 2016, section 7
        """
        smoothing = self.label_smoothing
        rows = xp.arange(len(y))
        log_p = log_softmax(xp, logits)
        log_likelihood = log_p[rows, y]
        dlogits = xp.exp(log_p)
        dlogits[rows, y] -= 1 - smoothing
        if smoothing:
            log_likelihood = (1 - smoothing) * log_likelihood + smoothing * log_p.mean(axis=-1)
            dlogits -= smoothing / logits.shape[-1]
        mean, dlogits = mean_over_rows(log_likelihood, dlogits, weights)
        return -mean, dlogits

    def predict(self, xp: Namespace, logits: Array) -> Array:
        return softmax(xp, logits)

    def decide(self, logits: HostArray) -> HostArray:
        return logits.argmax(axis=-1)  # type: ignore[no-any-return]

    def chosen(self, predictions: HostArray) -> HostArray:
        return predictions.argmax(axis=-1)  # type: ignore[no-any-return]


class Multilabel(Objective):
    """K labels a row, each true or false."""

    valid_targets = "0 or 1"

    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        """Mean binary cross-entropy in nats, and its gradient.

            loss    = -(1/BK) sum_i w_i sum_k (y log p + (1 - y) log(1 - p))[i, k],  p = sigmoid(z)
                    =  (1/BK) sum_i w_i sum_k (max(z, 0) - z y + log(1 + exp(-|z|)))[i, k]
            dlogits = w (p - y) / BK,  z = logits          Bishop, PRML, section 4.3.2
        The second form of the loss is the one computed: it can't overflow.
        """
        y = y.astype(logits.dtype, copy=False)
        losses = xp.maximum(logits, 0) - logits * y + xp.log1p(xp.exp(-xp.abs(logits)))
        dlogits = sigmoid(xp, logits)
        dlogits -= y
        dlogits /= logits.shape[-1]
        return mean_over_rows(losses.mean(axis=-1), dlogits, weights)

    def predict(self, xp: Namespace, logits: Array) -> Array:
        return sigmoid(xp, logits)

    def decide(self, logits: HostArray) -> HostArray:
        return logits > 0

    def chosen(self, predictions: HostArray) -> HostArray:
        return predictions > 0.5

    def is_valid(self, y: HostArray) -> HostArray:
        return (y == 0) | (y == 1)  # type: ignore[no-any-return]


class Regression(Objective):
    """K numbers a row."""

    scales_targets = True

    def loss(self, xp: Namespace, logits: Array, y: Array, weights: Array | None = None) -> Loss:
        """Mean squared error, and its gradient.

        loss    = (1/BK) sum_i w_i sum_k (logits - y)^2 [i, k]
        dlogits = 2 w (logits - y) / BK                Bishop, PRML, section 3.1.1
        """
        dlogits = logits - y.astype(logits.dtype, copy=False)
        losses = (dlogits * dlogits).mean(axis=-1)
        dlogits *= 2 / logits.shape[-1]
        return mean_over_rows(losses, dlogits, weights)

    def predict(self, xp: Namespace, logits: Array) -> Array:
        return logits


OBJECTIVES: dict[str, type[Objective]] = {
    "multiclass": Multiclass, "multilabel": Multilabel, "regression": Regression,
}  # fmt: skip
