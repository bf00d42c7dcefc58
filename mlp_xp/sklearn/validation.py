"""Rows to validate on: their loss and score after each epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlp_xp.nn.losses import Objective
from mlp_xp.nn.network import Network
from mlp_xp.sklearn.rows import Loader
from mlp_xp.types import HostArray

Score = Callable[[HostArray, HostArray, "HostArray | None"], float]
"""Of targets, the objective's predictions, and weights of rows."""


class Validation:
    """validation() is the network's mean loss and score at the moment."""

    def __init__(self, network: Network, objective: Objective, loader: Loader, score: Score):
        self.network, self.objective = network, objective
        self.loader, self.score = loader, score

    def __call__(self) -> tuple[float, float]:
        """The loss without penalty, and the score; both weighted, if the rows are."""
        network, to_host = self.network, self.network.device.to_host
        loss, total = 0.0, 0.0
        parts: list[list[HostArray]] = []
        for X, y, weights in self.loader.chunks():
            logits = network.logits(network.prepare(X))
            mean, _ = self.objective.loss(network.xp, logits, y, weights)
            loss += float(mean) * len(X)
            total += len(X) if weights is None else float(weights.sum())
            predictions = self.objective.predict(network.xp, logits)
            arrays = [y, predictions] if weights is None else [y, predictions, weights]
            parts.append([to_host(array) for array in arrays])
        y, predictions, *rest = map(np.concatenate, zip(*parts, strict=True))
        if not np.isfinite(predictions).all():
            return np.nan, np.nan
        return loss / total, self.score(y, predictions, rest[0] if rest else None)
