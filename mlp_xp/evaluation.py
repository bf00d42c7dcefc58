"""How good a network is, and what it says of rows it hasn't seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.datasets import Split
from mlp_xp.errors import InputError
from mlp_xp.functions import log_softmax, scale_inputs
from mlp_xp.network import Network

BATCH = 1024  # rows at a time: large enough for the matrix product, small enough for any memory


@dataclass(frozen=True)
class Evaluation:
    """Accuracy from 0 to 1, mean cross-entropy in nats, confusion (K, K): true by predicted."""

    accuracy: float
    loss: float
    confusion: NDArray[np.int64]


def predict(network: Network, X: NDArray[Any]) -> NDArray[np.floating]:
    """The probability of each class for each row of X (N, n), on the host: (N, K), rows sum to 1.

    X as a data set holds it: bytes are scaled as in training. Raises InputError for rows of
    another length than the network's inputs.
    """
    xp, to_host = network.xp, network.backend.to_host
    return np.concatenate([to_host(xp.exp(log_p)) for log_p in _log_probabilities(network, X)])


def evaluate(network: Network, split: Split) -> Evaluation:
    """Accuracy by argmax, mean loss and confusion matrix over a split.

    Raises InputError if rows or labels don't fit the network.
    """
    to_host = network.backend.to_host
    log_p = np.concatenate([to_host(part) for part in _log_probabilities(network, split.X)])
    n_classes = network.sizes[-1]
    if split.y.max() >= n_classes:
        raise InputError(
            f"the data has a label {split.y.max()}, the network knows classes 0 to {n_classes - 1}"
        )
    predicted = log_p.argmax(axis=1)
    confusion = np.bincount(split.y * n_classes + predicted, minlength=n_classes**2)
    return Evaluation(
        accuracy=float((predicted == split.y).mean()),
        loss=float(-log_p[np.arange(len(split)), split.y].mean(dtype=np.float64)),
        confusion=confusion.reshape(n_classes, n_classes),
    )


def _log_probabilities(network: Network, X: NDArray[Any]) -> Iterator[Any]:
    """log_softmax of the logits, (B, K) on the device, batch by batch."""
    for start in range(0, len(X), BATCH):
        batch = network.backend.to_device(X[start : start + BATCH])
        yield log_softmax(
            network.xp, network.logits(scale_inputs(network.xp, batch, str(network.dtype)))
        )
