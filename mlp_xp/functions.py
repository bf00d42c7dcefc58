"""The mathematics, on any array namespace `xp`: each function beside its derivative.

`xp` comes first and is NumPy or CuPy; nothing here knows which. Results live where the
arguments live and keep their dtype: constants are Python numbers, which never promote an array.

Shapes: B rows in a batch, K classes; Z and A of any shape, element by element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Array: TypeAlias = Any
Namespace: TypeAlias = Any

LEAK = 0.01  # the slope of leaky_relu below 0
GELU_SCALE, GELU_CUBIC = math.sqrt(2 / math.pi), 0.044715


def relu(xp: Namespace, Z: Array, out: Array | None = None, zero: Array | float = 0) -> Array:
    """max(0, Z), elementwise. zero: 0, or an array () of Z's dtype that holds it."""
    return xp.maximum(Z, zero, out=out)


def relu_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1 where Z > 0, else 0 (also at Z = 0, as in the notebook), in the dtype of A = relu(Z).

    As sign(A): it has the dtype wanted, where Z > 0 would be a boolean to convert.
    """
    return xp.sign(A, out=out)


def leaky_relu(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """max(Z, LEAK Z), elementwise.    Maas, Hannun, Ng 2013."""
    out = xp.multiply(Z, LEAK, out=out)
    return xp.maximum(out, Z, out=out)


def leaky_relu_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1 where Z > 0, else LEAK: the sign of A, with 0 and -1 raised to LEAK."""
    out = xp.sign(A, out=out)
    return xp.maximum(out, LEAK, out=out)


def _gelu_tanh(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """t = tanh(GELU_SCALE (Z + GELU_CUBIC Z^3)), elementwise."""
    out = xp.multiply(Z, Z, out=out)
    out *= GELU_SCALE * GELU_CUBIC
    out += GELU_SCALE
    out *= Z
    return xp.tanh(out, out=out)


def gelu(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """Z (1 + t) / 2, elementwise: Z times the normal distribution at Z, by its tanh form.

    t = tanh(sqrt(2/pi) (Z + 0.044715 Z^3))    Hendrycks, Gimpel 2016, section 2
    """
    out = _gelu_tanh(xp, Z, out)
    out += 1
    out *= Z
    out *= 0.5
    return out


def gelu_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """(1 + t)/2 (1 + Z (1 - t) sqrt(2/pi) (1 + 3 * 0.044715 Z^2)), from dt = (1 - t^2) d(...)."""
    t = _gelu_tanh(xp, Z)
    out = xp.multiply(Z, Z, out=out)
    out *= 3 * GELU_CUBIC * GELU_SCALE
    out += GELU_SCALE
    out *= Z
    out *= 1 - t
    out += 1
    t += 1
    out *= t
    out *= 0.5
    return out


def tanh(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """tanh(Z), elementwise."""
    return xp.tanh(Z, out=out)


def tanh_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1 - A^2, elementwise."""
    out = xp.multiply(A, A, out=out)
    return xp.subtract(1, out, out=out)


def sigmoid(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-Z)), elementwise.

    As exp(min(Z, 0)) / (1 + exp(-|Z|)): no exponent is positive, so nothing overflows, and small
    values keep all their digits.
    """
    denominator = xp.exp(-xp.abs(Z))
    denominator += 1
    out = xp.minimum(Z, 0, out=out)
    out = xp.exp(out, out=out)
    out /= denominator
    return out


def sigmoid_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """A (1 - A), elementwise."""
    out = xp.subtract(1, A, out=out)
    out *= A
    return out


def identity(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """Z itself, in an array of its own."""
    return xp.positive(Z, out=out)


def identity_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1, elementwise."""
    out = xp.empty_like(A) if out is None else out
    out.fill(1)
    return out


@dataclass(frozen=True)
class Activation:
    """A = function(xp, Z, out) and dA/dZ = derivative(xp, Z, A, out), both elementwise.

    The derivative gets Z and A, and uses whichever makes it cheaper. `out`, if given, receives the
    result and is returned; it may be neither Z nor A, which stay as they are.
    """

    function: Callable[..., Array]
    derivative: Callable[..., Array]
    initialiser: str
    """The key of network.INITIALISERS that suits it."""
    constants: tuple[float, ...] = ()
    """Numbers that function also takes, after `out`. By default it has them as Python numbers; as
    arrays () of Z's dtype they cost NumPy 0.4 microseconds less, which a step at batch 1 feels."""


ACTIVATIONS = {
    "relu": Activation(relu, relu_derivative, initialiser="he", constants=(0,)),
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative, initialiser="he"),
    "gelu": Activation(gelu, gelu_derivative, initialiser="he"),
    "tanh": Activation(tanh, tanh_derivative, initialiser="glorot"),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, initialiser="glorot"),
    "identity": Activation(identity, identity_derivative, initialiser="lecun"),
}


def scale_inputs(xp: Namespace, X: Array, dtype: str, out: Array | None = None) -> Array:
    """Input rows as the network reads them: bytes as byte / 255, other numbers unchanged.

    The quotient is rounded to float32 first, whatever the dtype: the notebook's inputs, exactly.

    X (B, n) uint8 or float. Returns (B, n) in dtype: out, or a new array, or X itself if there is
    nothing to do.
    """
    if X.dtype == xp.uint8:
        out = xp.empty(X.shape, dtype=dtype) if out is None else out
        return xp.divide(X, 255, out=out, dtype=xp.float32)
    if out is None:
        return X.astype(dtype, copy=False)
    out[...] = X
    return out


def log_softmax(xp: Namespace, logits: Array) -> Array:
    """Z - log sum_k exp(Z[:, k]), row by row, shifted by each row's maximum against overflow.

    logits (B, K) float. Returns (B, K).    Goodfellow et al., Deep Learning, section 4.1.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def softmax(xp: Namespace, logits: Array) -> Array:
    """exp(log_softmax): each row's probabilities, which add up to 1.   logits (B, K) float."""
    return xp.exp(log_softmax(xp, logits))


def softmax_cross_entropy(
    xp: Namespace,
    logits: Array,
    labels: Array,
    weights: Array | None = None,
    smoothing: float = 0.0,
) -> tuple[Array, Array]:
    """Mean softmax cross-entropy in nats, and its gradient in the logits.

        loss    = -(1/B) sum_i w_i sum_k q[i, k] log p[i, k],    p = softmax(logits)
        dlogits = w (p - q) / B                        Bishop, PRML, section 4.3.4
        q       = (1 - smoothing) onehot(labels) + smoothing / K
                                                       Szegedy et al. 2016, section 7

    logits (B, K) float; labels (B,) integers in [0, K), checked when the data was loaded;
    weights w (B,) in the dtype of logits, None for 1; smoothing in [0, 1).
    Returns loss, shape (), and dlogits (B, K), on the device and in the dtype of logits.
    The loss is not a Python float: reading it would wait for the GPU.
    """
    rows = xp.arange(len(labels))
    log_p = log_softmax(xp, logits)
    log_likelihood = log_p[rows, labels]
    dlogits = xp.exp(log_p)
    dlogits[rows, labels] -= 1 - smoothing
    if smoothing:
        log_likelihood = (1 - smoothing) * log_likelihood + smoothing * log_p.mean(axis=1)
        dlogits -= smoothing / logits.shape[1]
    mean, dlogits = _mean_over_rows(log_likelihood, dlogits, weights)
    return -mean, dlogits


def sigmoid_cross_entropy(
    xp: Namespace, logits: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Mean binary cross-entropy in nats of K labels that are true or false each, and its gradient.

        loss    = -(1/BK) sum_i w_i sum_k (y log p + (1 - y) log(1 - p))[i, k],  p = sigmoid(logits)
                =  (1/BK) sum_i w_i sum_k (max(z, 0) - z y + log(1 + exp(-|z|)))[i, k]
        dlogits = w (p - y) / BK                       Bishop, PRML, section 4.3.2

    logits z (B, K) float; labels y (B, K), 0 or 1 in any dtype; weights and results as in
    softmax_cross_entropy. The second form is the one computed: it can't overflow.
    """
    y = labels.astype(logits.dtype, copy=False)
    losses = xp.maximum(logits, 0) - logits * y + xp.log1p(xp.exp(-xp.abs(logits)))
    dlogits = sigmoid(xp, logits)
    dlogits -= y
    dlogits /= logits.shape[1]
    return _mean_over_rows(losses.mean(axis=1), dlogits, weights)


def squared_error(
    xp: Namespace, logits: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Mean squared error of K numbers a row, and its gradient.

        loss    = (1/BK) sum_i w_i sum_k (logits - targets)^2 [i, k]
        dlogits = 2 w (logits - targets) / BK          Bishop, PRML, section 3.1.1

    logits (B, K) float; targets (B, K), any number; weights and results as in
    softmax_cross_entropy.
    """
    dlogits = logits - targets.astype(logits.dtype, copy=False)
    losses = (dlogits * dlogits).mean(axis=1)
    dlogits *= 2 / logits.shape[1]
    return _mean_over_rows(losses, dlogits, weights)


def _mean_over_rows(losses: Array, dlogits: Array, weights: Array | None) -> tuple[Array, Array]:
    """(1/B) sum_i w_i losses[i], and the gradients d losses[i] / d logits[i] scaled to match.

    The divisor is B, not sum_i w_i, which would make a row's gradient depend on which others are
    in its batch: weights that are 1 on average over the training set do the same to the whole.
    """
    if weights is not None:
        losses = losses * weights
        dlogits *= weights[:, None]
    dlogits /= len(losses)
    return losses.mean(), dlogits


@dataclass(frozen=True)
class Output:
    """What the logits stand for.

    loss(xp, logits, targets, weights) -> (mean loss, dlogits); predict(xp, logits) -> (B, K), what
    the network says: probabilities, or the numbers themselves. softmax's loss also takes smoothing.
    """

    loss: Callable[..., tuple[Array, Array]]
    predict: Callable[..., Array]
    target: str
    """What the data's y must be: `classes`, `binary` or `numbers`, see datasets.load()."""


OUTPUTS = {
    "softmax": Output(softmax_cross_entropy, softmax, "classes"),  # one class of K
    "sigmoid": Output(
        sigmoid_cross_entropy, sigmoid, "binary"
    ),  # K labels, any number of them true
    "identity": Output(squared_error, identity, "numbers"),  # regression to K numbers
}
