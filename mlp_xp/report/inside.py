"""How a network's weights and activations are spread.

N rows, H hidden units of a layer.
"""

from __future__ import annotations

import numpy as np

from mlp_xp.report.findings import Histogram
from mlp_xp.report.parts import plural, share
from mlp_xp.training import Model
from mlp_xp.types import HostArray

BINS = 60
ROWS = 1000
"""Rows whose activations are looked at."""


def weight_histograms(model: Model) -> list[Histogram]:
    """The weights of each layer, without biases."""
    return [
        _histogram(f"layer {i}: {len(layer.W):,} × {layer.W.shape[1]:,} weights", layer.W)
        for i, layer in enumerate(model.layers, start=1)
    ]


def activation_histograms(model: Model, X: HostArray) -> list[Histogram]:
    """The activations of each hidden layer on at most ROWS rows X (N, n), without those of 0.

    The label tells the share of zeros, as ReLU gives, and of units that are 0 in every row.
    """
    A, _ = model.forward(model.prepare(X[:ROWS]))
    histograms = []
    for i, activations in enumerate(A[1:], start=1):
        label = f"hidden layer {i}: {activations.shape[1]:,} units"
        zeros, silent = (activations == 0).mean(), int((activations == 0).all(axis=0).sum())
        if zeros:
            label += f"\n{share(zeros, 0)} of the values are 0"
        if silent:
            label += f", {plural(silent, 'unit')} always"
        histograms.append(_histogram(label, activations[activations != 0]))
    return histograms


def _histogram(label: str, values: HostArray) -> Histogram:
    low, high = (float(f(values)) for f in (np.min, np.max)) if len(values) else (0.0, 1.0)
    if not high - low > 1e-9 * abs(low):  # bins as narrow as that may not exist
        low, high = low - (abs(low) or 1) / 2, high + (abs(low) or 1) / 2
    counts, edges = np.histogram(values.astype(np.float64), BINS, (low, high))
    return Histogram(label, edges, counts)
