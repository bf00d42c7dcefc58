"""The mathematics, on any array namespace `xp`: each function beside its derivative.

`xp` comes first and is NumPy or CuPy; nothing here knows which. Results live where the
arguments live and keep their dtype: constants are Python numbers, which never promote an array.

Shapes: B rows in a batch, K classes; Z and A of any shape, element by element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Array: TypeAlias = Any
Namespace: TypeAlias = Any


def relu(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """max(0, Z), elementwise."""
    return xp.maximum(Z, 0, out=out)


def relu_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1 where Z > 0, else 0 (also at Z = 0, as in the notebook), in the dtype of A = relu(Z).

    As sign(A): it has the dtype wanted, where Z > 0 would be a boolean to convert.
    """
    return xp.sign(A, out=out)


@dataclass(frozen=True)
class Activation:
    """A = function(xp, Z, out) and dA/dZ = derivative(xp, Z, A, out), both elementwise.

    The derivative gets Z and A, and uses whichever makes it cheaper.
    """

    function: Callable[..., Array]
    derivative: Callable[..., Array]
    initialiser: str
    """The key of network.INITIALISERS that suits it."""


ACTIVATIONS = {
    "relu": Activation(relu, relu_derivative, initialiser="he"),
}


def scale_inputs(xp: Namespace, X: Array, dtype: str) -> Array:
    """Input rows as the network reads them: bytes as byte / 255, other numbers unchanged.

    The quotient is rounded to float32 first, whatever the dtype: the notebook's inputs, exactly.

    X (B, n) uint8 or float. Returns (B, n) in dtype; X itself if there is nothing to do.
    """
    if X.dtype == xp.uint8:
        X = X.astype(xp.float32) / 255
    return X.astype(dtype, copy=False)


def log_softmax(xp: Namespace, logits: Array) -> Array:
    """Z - log sum_k exp(Z[:, k]), row by row, shifted by each row's maximum against overflow.

    logits (B, K) float. Returns (B, K).    Goodfellow et al., Deep Learning, section 4.1.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def softmax_cross_entropy(xp: Namespace, logits: Array, labels: Array) -> tuple[Array, Array]:
    """Mean softmax cross-entropy in nats, and its gradient in the logits.

        loss    = -(1/B) sum_i log p[i, labels[i]],    p = softmax(logits)
        dlogits = (p - onehot(labels)) / B             Bishop, PRML, section 4.3.4

    logits (B, K) float; labels (B,) integers in [0, K), checked when the data was loaded.
    Returns loss, shape (), and dlogits (B, K), on the device and in the dtype of logits.
    The loss is not a Python float: reading it would wait for the GPU.
    """
    rows = xp.arange(len(labels))
    log_p = log_softmax(xp, logits)
    loss = -log_p[rows, labels].mean()
    dlogits = xp.exp(log_p)
    dlogits[rows, labels] -= 1
    dlogits /= len(labels)
    return loss, dlogits
