"""The network: layers of weights, forward and backward, on one screen.

This is the specification. training/step.py trains with it. training/windowed/ and training/workers/
compute the same updates faster, training/captured.py has a GPU repeat them; tests check that all
agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np

from mlp_xp.devices import Device
from mlp_xp.errors import InputError
from mlp_xp.nn.activations import ACTIVATIONS, INITIALIZERS
from mlp_xp.nn.inputs import scale_inputs
from mlp_xp.nn.losses import OBJECTIVES
from mlp_xp.nn.rng import kept, notebook_stream, stream
from mlp_xp.schema import Schema
from mlp_xp.types import Array, Arrays, HostArray, Namespace


@dataclass
class Dense:
    """Z = A W + b.   A (B, n_in), W (n_in, n_out), b (n_out,), Z (B, n_out)."""

    W: Array
    b: Array


class Network:
    """A multi-layer perceptron: Dense layers on a device, with an activation between them.

    activation and objective are keys of ACTIVATIONS and OBJECTIVES. What the data means, or None:
    input_scale, what every input is divided by; standardization, each input's mean and deviation
    after that, (n_in,) float64; target_scaling, each target's, (K,) float64 on the host, by which
    the outputs are scaled too; value_range, each input's least and largest value in training,
    (n_in,) float64 on the host; prior, each class's share or target's mean there, (K,) likewise.
    """

    def __init__(
        self,
        device: Device,
        layers: Sequence[Dense],
        activation: str = "relu",
        objective: str = "multiclass",
    ):
        self.device = device
        self.layers = list(layers)
        self.activation_name, self.activation = activation, ACTIVATIONS[activation]
        self.objective_name, self.objective = objective, OBJECTIVES[objective]()
        self.input_scale: float | None = None
        self.standardization: tuple[Array, Array] | None = None
        self.target_scaling: tuple[HostArray, HostArray] | None = None
        self.schema = Schema()
        self.value_range: tuple[HostArray, HostArray] | None = None
        self.prior: HostArray | None = None

    @classmethod
    def initialize(
        cls,
        device: Device,
        sizes: Sequence[int],
        *,
        activation: str = "relu",
        objective: str = "multiclass",
        init: str | None = None,
        seed: int = 0,
        dtype: str = "float32",
    ) -> Self:
        """Weights from N(0, variance) by INITIALIZERS[init], biases zero.

        sizes: (n_in, hidden..., n_out); init: None for the activation's own. Weights are drawn
        on the host in float64, so that every device and dtype starts from the same numbers.
        `"notebook"` draws (n_out, n_in) from NumPy's legacy generator, as the notebook did.
        """
        init = init or ACTIVATIONS[activation].initializer
        legacy, rng = notebook_stream(seed), stream(seed, "weights")
        layers = []
        for n_in, n_out in pairwise(sizes):
            W = (
                legacy.randn(n_out, n_in).T
                if init == "notebook"
                else rng.standard_normal((n_in, n_out))
            )
            W = np.ascontiguousarray(W * math.sqrt(INITIALIZERS[init](n_in, n_out)), dtype=dtype)
            b = np.zeros(n_out, dtype=dtype)
            layers.append(Dense(device.to_device(W), device.to_device(b)))
        return cls(device, layers, activation, objective)

    @property
    def xp(self) -> Namespace:
        """The device's array namespace."""
        return self.device.xp  # not kept: a module can't be pickled

    @property
    def sizes(self) -> tuple[int, ...]:
        """(n_in, hidden..., n_out)."""
        return (self.layers[0].W.shape[0], *(layer.W.shape[1] for layer in self.layers))

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """The dtype of every weight and of all that is computed from them."""
        return self.layers[0].W.dtype  # type: ignore[no-any-return]

    def parameters(self) -> Arrays:
        """W and b of each layer, from the first to the last: the arrays themselves."""
        return [array for layer in self.layers for array in (layer.W, layer.b)]

    def standardize(self, mean: HostArray, std: HostArray) -> None:
        """Make prepare() turn each input x into (x - mean) / std; both (n_in,), on the host."""
        to_device = self.device.to_device
        self.standardization = to_device(mean.astype("float64")), to_device(std.astype("float64"))

    def prepare(self, X: Array, out: Array | None = None) -> Array:
        """Rows (B, n_in) of a data set, scaled and standardized, in the network's dtype.

        out (B, n_in): where to put them. Raises InputError for rows of another width.
        """
        if X.shape[1] != self.sizes[0]:
            raise InputError(f"the network takes {self.sizes[0]} inputs, the data has {X.shape[1]}")
        scale = self.input_scale
        if self.standardization is not None:
            mean, std = self.standardization
            # float32 would round away what differs between time stamps before it is subtracted.
            X, scale = scale_inputs(self.xp, X, "float64", scale) - mean, None
            X /= std
        return scale_inputs(self.xp, X, str(self.dtype), scale, out)

    def dropout_masks(self, rng: np.random.Generator, rows: int, rate: float) -> Arrays:
        """A mask for each hidden layer, (rows, width): 0 with probability `rate`, else 1/(1-rate).

        The mean stays, so prediction needs no mask.    Srivastava et al. 2014, section 10.
        """
        masks = [kept(rng, (rows, layer.W.shape[1]), rate) for layer in self.layers[:-1]]
        return [self.device.to_device(mask).astype(self.dtype) / (1 - rate) for mask in masks]

    def forward(self, X: Array, masks: Arrays | None = None) -> tuple[Arrays, Arrays]:
        """Every layer's input A, before dropout, and output Z.

            A[0] = X,   Z[l] = (A[l] * mask[l]) W[l] + b[l],   A[l+1] = activation(Z[l])

        X (B, n_in), in the network's dtype; masks as dropout_masks() draws them, None for no
        dropout. Returns A and Z, one array a layer each; Z[-1] are the logits, (B, n_out).
        """
        A: Arrays = [X]
        Z: Arrays = []
        for layer in self.layers:
            if Z:
                A.append(self.activation.function(self.xp, Z[-1]))
            Z.append(_masked(A[-1], masks, len(Z)) @ layer.W + layer.b)
        return A, Z

    def backward(self, A: Arrays, Z: Arrays, dlogits: Array, masks: Arrays | None = None) -> Arrays:
        """The gradient of every parameter, in the order of parameters().

            dW[l] = (A[l] * mask[l])^T dZ[l],   db[l] = sum over rows of dZ[l]
            dZ[l-1] = (dZ[l] W[l]^T) * mask[l] * activation'(Z[l-1])
                                                              Rumelhart, Hinton, Williams 1986

        A, Z as forward() returned them with the same masks; dlogits (B, n_out) = d loss / d Z[-1].
        """
        gradients: Arrays = []
        dZ = dlogits
        for i in reversed(range(len(self.layers))):
            gradients[:0] = [_masked(A[i], masks, i).T @ dZ, dZ.sum(axis=0)]
            if i > 0:
                dZ = _masked(dZ @ self.layers[i].W.T, masks, i)
                dZ *= self.activation.derivative(self.xp, Z[i - 1], A[i])
        return gradients

    def logits(self, X: Array) -> Array:
        """The last layer's output for X (B, n_in), shape (B, n_out)."""
        return self.forward(X)[1][-1]


def _masked(A: Array, masks: Arrays | None, i: int) -> Array:
    """A * mask[i], where A is the input of layer i; the first layer's has no mask."""
    return A if masks is None or i == 0 else A * masks[i - 1]
