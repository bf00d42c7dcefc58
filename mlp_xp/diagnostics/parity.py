"""Comparing a training run between two devices, or two precisions, from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data import Dataset, Split
from mlp_xp.devices import Device
from mlp_xp.training import Config, Trainer, train

TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
"""The largest difference allowed in each dtype, relative to the largest value of an array.

Two orders of summation move float32 weights apart by 4e-8 in 100 steps, but by 5e-2 in 5,000, once
a unit of a ReLU network has ended up on the other side of 0: compare float32 over 20 steps."""

Trace: TypeAlias = dict[str, list[NDArray[np.floating]]]
"""What a training run computed, in order: from the name of each stage to its arrays on the host."""


@dataclass(frozen=True)
class Agreement:
    """One stage of two traces: its largest relative difference, and the largest that is allowed."""

    stage: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is allowed; NaN in either trace never is."""
        return self.difference <= self.tolerance


def first_rows(data: Dataset, rows: int) -> Dataset:
    """The data set with only its first training rows, and no test set. Nothing is copied."""
    return replace(data, train=Split(*data.train.take(0, rows)), test=None)


def trace(device: Device, data: Dataset, config: Config) -> Trace:
    """Train on a device, and record everything that another device should reproduce.

    Its stages are the initial weights; the activations, loss and gradients of the first batch of
    rows; the loss of each epoch; and the trained weights.
    """
    network = Trainer(data, config, device).network
    first_X, first_y, _ = data.train.take(0, config.batch_size)
    A, Z = network.forward(network.prepare(device.to_device(first_X)))
    loss, dlogits = network.objective.loss(network.xp, Z[-1], device.to_device(first_y))
    stages = {
        "initial weights": network.parameters(),
        "activations": [*A, *Z],
        "loss": [loss],
        "gradients": network.backward(A, Z, dlogits),
    }
    on_host = {stage: [device.to_host(array) for array in stages[stage]] for stage in stages}
    trained, history = train(data, config, device)
    losses = np.array([epoch.loss for epoch in history])
    weights = [device.to_host(array) for array in trained.parameters()]
    return {**on_host, "training losses": [losses], "trained weights": weights}


def compare(reference: Trace, other: Trace, tolerance: float) -> Iterator[Agreement]:
    """Compare two traces stage by stage. The initial weights must agree bit for bit.

    They do so in two precisions as well: weights are drawn in float64, then rounded. Raises
    ValueError if a stage has another number of arrays.
    """
    for stage, arrays in reference.items():
        pairs = list(zip(arrays, other[stage], strict=True))
        exact = stage == "initial weights"
        differences = [difference(a.astype(b.dtype) if exact else a, b) for a, b in pairs]
        # Python's max() would ignore a NaN.
        yield Agreement(stage, float(np.max(differences)), 0.0 if exact else tolerance)


def difference(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """max |a - b| / max |a| over all elements; 0 if a and b are equal, inf for other shapes."""
    if a.shape != b.shape:
        return float("inf")
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(a - b).max()
        return float(apart / np.abs(a).max()) if apart else 0.0
