"""The network: layers of weights, forward and backward, on one screen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mlp_xp.errors import InputError
from mlp_xp.functions import ACTIVATIONS, OUTPUTS, Array, scale_inputs

if TYPE_CHECKING:
    from mlp_xp.backend import Backend

# Variance of the initial weights, from n_in and n_out.
INITIALISERS: dict[str, Callable[[int, int], float]] = {
    "he": lambda n_in, n_out: 2 / n_in,  # He et al. 2015, equation 10: for ReLU
    "glorot": lambda n_in, n_out: 2 / (n_in + n_out),  # Glorot, Bengio 2010, equation 12: for tanh
    "lecun": lambda n_in, n_out: 1 / n_in,  # LeCun et al. 1998, equation 16: keeps A's variance
    "notebook": lambda n_in, n_out: 2 / n_in,  # as "he", from NumPy's legacy generator
}


@dataclass
class Dense:
    """Z = A W + b.   A (B, n_in), W (n_in, n_out), b (n_out,), Z (B, n_out)."""

    W: Array
    b: Array


class Network:
    """A multi-layer perceptron: Dense layers with an activation between them.

    activation and output are keys of functions.ACTIVATIONS and functions.OUTPUTS; `output` says
    what the logits stand for, and so the loss. Every array lives on `backend`, all in one dtype.
    """

    def __init__(
        self,
        backend: Backend,
        layers: Sequence[Dense],
        activation: str = "relu",
        output: str = "softmax",
    ):
        self.backend = backend
        self.xp = backend.xp
        self.layers = list(layers)
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]
        self.output_name = output
        self.output = OUTPUTS[output]
        self.classes: tuple[str, ...] | None = None
        """The names of the outputs, where the data had names."""
        self.standardisation: tuple[Array, Array] | None = None
        """Mean and deviation of each input, (n_in,), where prepare() standardises."""

    @classmethod
    def initialise(
        cls,
        backend: Backend,
        sizes: Sequence[int],
        *,
        activation: str = "relu",
        output: str = "softmax",
        init: str | None = None,
        seed: int = 0,
        dtype: str = "float32",
    ) -> Network:
        """Weights from N(0, variance) by INITIALISERS[init], biases zero.

        sizes: (n_in, hidden..., n_out); init: by default the one that suits the activation. All
        is drawn on the host in float64, layer by layer, so that every backend starts from the
        same numbers. `"notebook"` draws (n_out, n_in) from NumPy's legacy generator, as it did.
        """
        init = init or ACTIVATIONS[activation].initialiser
        legacy = np.random.RandomState(seed)
        rng = np.random.default_rng(seed)
        layers = []
        for n_in, n_out in pairwise(sizes):
            if init == "notebook":
                W = legacy.randn(n_out, n_in).T
            else:
                W = rng.standard_normal((n_in, n_out))
            W = np.ascontiguousarray(W * math.sqrt(INITIALISERS[init](n_in, n_out)), dtype=dtype)
            b = np.zeros(n_out, dtype=dtype)
            layers.append(Dense(backend.to_device(W), backend.to_device(b)))
        return cls(backend, layers, activation, output)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(n_in, hidden..., n_out)."""
        return (self.layers[0].W.shape[0], *(layer.W.shape[1] for layer in self.layers))

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The dtype of every weight and of all that is computed from them."""
        return self.layers[0].W.dtype  # type: ignore[no-any-return]

    def parameters(self) -> list[Array]:
        """W and b of each layer, from the first to the last: the arrays themselves."""
        return [array for layer in self.layers for array in (layer.W, layer.b)]

    def standardise(self, mean: np.ndarray[Any, Any], deviation: np.ndarray[Any, Any]) -> None:
        """Have prepare() make each input (x - mean) / deviation; both (n_in,), on the host."""
        to_device = self.backend.to_device
        self.standardisation = (
            to_device(mean.astype(self.dtype)),
            to_device(deviation.astype(self.dtype)),
        )

    def prepare(self, X: Array, out: Array | None = None) -> Array:
        """Rows as a data set holds them, (B, n_in), as the first layer takes them.

        out (B, n_in), in the network's dtype, may receive them.
        """
        X = scale_inputs(self.xp, X, str(self.dtype), out)
        if self.standardisation is not None:
            mean, deviation = self.standardisation
            X = self.xp.subtract(X, mean, out=out)
            X /= deviation
        return X

    def dropout_masks(self, rng: np.random.Generator, rows: int, rate: float) -> list[Array]:
        """A mask for each hidden layer, (rows, width): 0 with probability `rate`, else 1/(1-rate).

        Inverted dropout: the mean stays, so prediction needs no mask. Drawn on the host, so that
        every backend drops the same.    Srivastava et al. 2014, section 10.
        """
        shapes = [(rows, layer.W.shape[1]) for layer in self.layers[:-1]]
        kept = [rng.random(shape, dtype=np.float32) >= rate for shape in shapes]
        return [self.backend.to_device(keep).astype(self.dtype) / (1 - rate) for keep in kept]

    def forward(
        self, X: Array, masks: list[Array] | None = None
    ) -> tuple[list[Array], list[Array]]:
        """Every layer's input A, before dropout, and output Z.

            A[0] = X,   Z[l] = (A[l] * mask[l]) W[l] + b[l],   A[l+1] = activation(Z[l])

        X (B, n_in), in the network's dtype; masks as dropout_masks() draws them, None for no
        dropout; X has no mask. Returns A and Z, a list each, one array a layer; Z[-1] are the
        logits, (B, n_out).
        """
        A: list[Array] = [X]
        Z: list[Array] = []
        for layer in self.layers:
            if Z:
                A.append(self.activation.function(self.xp, Z[-1]))
            Z.append(_masked(A[-1], masks, len(Z)) @ layer.W + layer.b)
        return A, Z

    def backward(
        self, A: list[Array], Z: list[Array], dlogits: Array, masks: list[Array] | None = None
    ) -> list[Array]:
        """The gradient of every parameter, in the order of parameters().

            dW[l] = (A[l] * mask[l])^T dZ[l],   db[l] = sum over rows of dZ[l]
            dZ[l-1] = (dZ[l] W[l]^T) * mask[l] * activation'(Z[l-1])
                                                              Rumelhart, Hinton, Williams 1986

        A and Z as forward() returned them with the same masks; dlogits (B, n_out) = d loss / d
        Z[-1]. The inputs' own gradient is never computed.
        """
        gradients: list[Array] = []
        dZ = dlogits
        for i in reversed(range(len(self.layers))):
            gradients[:0] = [_masked(A[i], masks, i).T @ dZ, dZ.sum(axis=0)]
            if i > 0:
                dZ = _masked(dZ @ self.layers[i].W.T, masks, i)
                dZ *= self.activation.derivative(self.xp, Z[i - 1], A[i])
        return gradients

    def logits(self, X: Array) -> Array:
        """The last layer's output for X (B, n_in), shape (B, n_out)."""
        if X.shape[1] != self.sizes[0]:
            raise InputError(f"the network takes {self.sizes[0]} inputs, the data has {X.shape[1]}")
        return self.forward(X)[1][-1]


def _masked(A: Array, masks: list[Array] | None, i: int) -> Array:
    """A * mask[i], of the input of layer i: the first layer's has no mask."""
    return A if masks is None or i == 0 else A * masks[i - 1]
