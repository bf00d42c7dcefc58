"""Activation functions on any array namespace `xp`, each beside its derivative.

All are elementwise: Z, of any shape, is unchanged, and the result has its dtype and device, since
constants are Python numbers, which never promote an array. `out`, if given, receives the result and
is returned; it may be neither Z nor A. To add one, write two functions, with or without `out`, and

    ACTIVATIONS["softsign"] = Activation(softsign, softsign_derivative, initializer="glorot")
"""

from __future__ import annotations

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

    function: Callable[..., Array]
    derivative: Callable[..., Array]
    initializer: str
    """A key of INITIALIZERS: it keeps the variance of A from layer to layer."""
    writes_to_out: bool = False
    """Whether both functions take `out` as their last argument, and always write to it."""
    constants: tuple[float, ...] = ()
    """Defaults of further arguments of `function`. Passed as arrays () of Z's dtype they save NumPy
    0.4 microseconds a call, which counts at batch 1."""


def relu(xp: Namespace, Z: Array, out: Array | None = None, zero: Array | float = 0) -> Array:
    """max(0, Z)."""
    return xp.maximum(Z, zero, out=out)


def relu_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1 where Z > 0, else 0, also at Z = 0."""
    return xp.sign(A, out=out)  # Z > 0 would be boolean, and need a conversion


def leaky_relu(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """max(Z, LEAK Z).    Maas, Hannun, Ng 2013."""
    out = xp.multiply(Z, LEAK, out=out)
    return xp.maximum(out, Z, out=out)


def leaky_relu_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1 where Z > 0, else LEAK."""
    return xp.maximum(xp.sign(A, out=out), LEAK, out=out)


def _gelu_tanh(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """t = tanh(GELU_SCALE (Z + GELU_CUBIC Z^3))."""
    out = xp.multiply(Z, Z, out=out)
    out *= GELU_SCALE * GELU_CUBIC
    out += GELU_SCALE
    out *= Z
    return xp.tanh(out, out=out)


def gelu(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """Z (1 + t) / 2,  t = tanh(sqrt(2/pi) (Z + 0.044715 Z^3)).    Hendrycks, Gimpel 2016, sec. 2.

    It approximates Z times the normal distribution function at Z.
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
    """tanh(Z)."""
    return xp.tanh(Z, out=out)


def tanh_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1 - A^2."""
    out = xp.multiply(A, A, out=out)
    return xp.subtract(1, out, out=out)


def sigmoid(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-Z)), as exp(min(Z, 0)) / (1 + exp(-|Z|)): no exponent that could overflow."""
    denominator = xp.exp(-xp.abs(Z))
    denominator += 1
    out = xp.minimum(Z, 0, out=out)
    out = xp.exp(out, out=out)
    out /= denominator
    return out


def sigmoid_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """A (1 - A)."""
    out = xp.subtract(1, A, out=out)
    out *= A
    return out


def identity(xp: Namespace, Z: Array, out: Array | None = None) -> Array:
    """A copy of Z."""
    return xp.positive(Z, out=out)


def identity_derivative(xp: Namespace, Z: Array, A: Array, out: Array | None = None) -> Array:
    """1."""
    out = xp.empty_like(A) if out is None else out
    out.fill(1)
    return out


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(relu, relu_derivative, "he", writes_to_out=True, constants=(0,)),
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative, "he", writes_to_out=True),
    "gelu": Activation(gelu, gelu_derivative, "he", writes_to_out=True),
    "tanh": Activation(tanh, tanh_derivative, "glorot", writes_to_out=True),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, "glorot", writes_to_out=True),
    "identity": Activation(identity, identity_derivative, "lecun", writes_to_out=True),
}
