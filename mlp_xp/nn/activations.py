"""Activation functions on any array namespace `xp`, each beside its derivative.

All are elementwise, on Z of any shape, and leave Z as it is. The result has Z's dtype and device:
constants are Python numbers, which never promote an array. To add one, write two functions and

    ACTIVATIONS["softsign"] = Activation(softsign, softsign_derivative, initializer="glorot")
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from mlp_xp.types import Array, Namespace

LEAK = 0.01  # the slope of leaky_relu below 0, as in its paper
GELU_SCALE, GELU_CUBIC = math.sqrt(2 / math.pi), 0.044715

# Variance of the initial weights, from n_in and n_out.
INITIALIZERS: dict[str, Callable[[int, int], float]] = {
    "he": lambda n_in, n_out: 2 / n_in,  # He et al. 2015, equation 10: for ReLU
    "glorot": lambda n_in, n_out: 2 / (n_in + n_out),  # Glorot, Bengio 2010, equation 12: for tanh
    "lecun": lambda n_in, n_out: 1 / n_in,  # LeCun et al. 1998, equation 16: keeps A's variance
    "notebook": lambda n_in, n_out: 2 / n_in,  # as "he", from NumPy's legacy generator
}


@dataclass(frozen=True)
class Activation:
    """A = function(xp, Z) and dA/dZ = derivative(xp, Z, A), which uses the cheaper of Z and A."""

    function: Callable[[Namespace, Array], Array]
    derivative: Callable[[Namespace, Array, Array], Array]
    initializer: str
    """A key of INITIALIZERS: it keeps the variance of A from layer to layer."""


def relu(xp: Namespace, Z: Array) -> Array:
    """max(0, Z)."""
    return xp.maximum(Z, 0)


def relu_derivative(xp: Namespace, Z: Array, A: Array) -> Array:
    """1 where Z > 0, else 0, also at Z = 0."""
    return xp.sign(A)  # Z > 0 would be boolean, and need a conversion


def leaky_relu(xp: Namespace, Z: Array) -> Array:
    """max(Z, LEAK Z).    Maas, Hannun, Ng 2013."""
    return xp.maximum(Z * LEAK, Z)


def leaky_relu_derivative(xp: Namespace, Z: Array, A: Array) -> Array:
    """1 where Z > 0, else LEAK."""
    return xp.maximum(xp.sign(A), LEAK)


def _gelu_tanh(xp: Namespace, Z: Array) -> Array:
    """t = tanh(GELU_SCALE (Z + GELU_CUBIC Z^3))."""
    return xp.tanh((Z * Z * (GELU_SCALE * GELU_CUBIC) + GELU_SCALE) * Z)


def gelu(xp: Namespace, Z: Array) -> Array:
    """Z (1 + t) / 2,  t = tanh(sqrt(2/pi) (Z + 0.044715 Z^3)).   Hendrycks, Gimpel 2016, sec. 2."""
    return (_gelu_tanh(xp, Z) + 1) * Z * 0.5


def gelu_derivative(xp: Namespace, Z: Array, A: Array) -> Array:
    """(1 + t)/2 (1 + Z (1 - t) sqrt(2/pi) (1 + 3 * 0.044715 Z^2)), from dt = (1 - t^2) d(...)."""
    t = _gelu_tanh(xp, Z)
    slope = (Z * Z * (3 * GELU_CUBIC * GELU_SCALE) + GELU_SCALE) * Z * (1 - t)
    return (slope + 1) * (t + 1) * 0.5


def tanh(xp: Namespace, Z: Array) -> Array:
    """tanh(Z)."""
    return xp.tanh(Z)


def tanh_derivative(xp: Namespace, Z: Array, A: Array) -> Array:
    """1 - A^2."""
    return 1 - A * A


def sigmoid(xp: Namespace, Z: Array) -> Array:
    """1 / (1 + exp(-Z)), as exp(min(Z, 0)) / (1 + exp(-|Z|)): no exponent that could overflow."""
    return xp.exp(xp.minimum(Z, 0)) / (xp.exp(-xp.abs(Z)) + 1)


def sigmoid_derivative(xp: Namespace, Z: Array, A: Array) -> Array:
    """A (1 - A)."""
    return (1 - A) * A


def identity(xp: Namespace, Z: Array) -> Array:
    """Z itself, in an array of its own."""
    return xp.positive(Z)


def identity_derivative(xp: Namespace, Z: Array, A: Array) -> Array:
    """1."""
    return xp.ones_like(A)


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(relu, relu_derivative, initializer="he"),
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative, initializer="he"),
    "gelu": Activation(gelu, gelu_derivative, initializer="he"),
    "tanh": Activation(tanh, tanh_derivative, initializer="glorot"),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, initializer="glorot"),
    "identity": Activation(identity, identity_derivative, initializer="lecun"),
}
