"""Whether two backends, or two precisions, compute the same training from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlp_xp.backend import Backend
from mlp_xp.config import Config
from mlp_xp.datasets import Dataset
from mlp_xp.training import Run, train

# The largest difference allowed, relative to the largest value of an array. Sums in another order
# move float32 weights apart by 4e-8 in 100 steps, but by 5e-2 in 5,000, when a unit of a ReLU
# network has come to lie on the other side of 0: so float32 is compared over 20 steps.
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}

Trace = dict[str, list[NDArray[np.floating]]]
"""What was computed, in order: the name of a stage, and its arrays on the host."""


@dataclass(frozen=True)
class Agreement:
    """One stage of two traces: its largest relative difference, and whether that is allowed."""

    stage: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """NaN on either side counts as a difference."""
        return self.difference <= self.tolerance


def trace(backend: Backend, data: Dataset, config: Config) -> Trace:
    """Train on `backend` and keep all that another backend should reproduce.

    The weights as they begin; activations, loss and every gradient of the first batch of rows; the
    loss of each epoch; the weights at the end.
    """
    network = Run(data, config, backend).network
    X = backend.to_device(data.train.X[: config.batch_size])
    y = backend.to_device(data.train.y[: config.batch_size])
    A, Z = network.forward(network.prepare(X))
    loss, dlogits = network.output.loss(network.xp, Z[-1], y)
    stages = {
        "initial weights": network.parameters(),
        "activations": [*A, *Z],
        "loss": [loss],
        "gradients": network.backward(A, Z, dlogits),
    }
    kept = {stage: [backend.to_host(array) for array in stages[stage]] for stage in stages}
    trained, history = train(data, config, backend)
    losses = np.array([epoch.loss for epoch in history])
    weights = [backend.to_host(array) for array in trained.parameters()]
    return {**kept, "training losses": [losses], "trained weights": weights}


def compare(reference: Trace, other: Trace, tolerance: float) -> Iterator[Agreement]:
    """Hold each stage of one trace against the other's; initial weights must agree bit for bit.

    Weights are drawn in float64 and rounded, so this is true of two precisions as well.
    """
    for stage, arrays in reference.items():
        pairs = list(zip(arrays, other[stage], strict=True))
        exact = stage == "initial weights"
        differences = [difference(a.astype(b.dtype) if exact else a, b) for a, b in pairs]
        # max() of Python would pass over a NaN.
        yield Agreement(stage, float(np.max(differences)), 0.0 if exact else tolerance)


def difference(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """max |a - b| / max |a|, over all elements; 0 if both are 0 everywhere."""
    if a.shape != b.shape:
        return float("inf")
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(a - b).max()
        return float(apart / np.abs(a).max()) if apart else 0.0
