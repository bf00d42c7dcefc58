"""Evaluation and prediction with a trained network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data import Split
from mlp_xp.errors import InputError
from mlp_xp.nn.network import Network
from mlp_xp.types import Array, HostArray

BATCH_ROWS = 512  # few enough that activations stay in the cache


@dataclass(frozen=True)
class Evaluation:
    """loss: the mean over the rows, in nats, or in squared units for regression.

    accuracy, from 0 to 1: the share of correct classes or labels, as Objective.decide() decides
    them; None for regression. confusion (K, K) int64: true by predicted class; None unless each
    row has one class.
    """

    loss: float
    accuracy: float | None
    confusion: NDArray[np.int64] | None


def predict(network: Network, X: HostArray) -> NDArray[np.floating]:
    """The network's prediction for each row of X (N, n), on the host: (N, K).

    Probabilities of the classes, which add up to 1; probabilities of the labels; or numbers. X: as
    a Split holds it. Raises InputError for no rows, or rows of the wrong length.
    """
    if len(X) == 0:
        raise InputError("there are no rows to predict")
    buffer = _buffer(network, X)
    predictions = [
        network.objective.predict(
            network.xp, _logits(network, X[start : start + BATCH_ROWS], buffer)
        )
        for start in range(0, len(X), BATCH_ROWS)
    ]
    return np.concatenate([network.device.to_host(prediction) for prediction in predictions])


def evaluate(network: Network, split: Split) -> Evaluation:
    """Loss, accuracy and confusion matrix over the rows of a split.

    Raises InputError if inputs or targets don't fit the network.
    """
    device, objective, n_outputs = network.device, network.objective, network.sizes[-1]
    buffer = _buffer(network, split.X)
    confusion = np.zeros(n_outputs**2, dtype=np.int64)
    loss_sum, correct, answers = 0.0, 0, 0
    for start in range(0, len(split), BATCH_ROWS):
        X, y, _ = split.take(start, min(start + BATCH_ROWS, len(split)))
        logits = _logits(network, X, buffer)
        _check_targets(network, y)
        loss, _ = objective.loss(network.xp, logits, device.to_device(y))
        loss_sum += float(loss) * len(y)
        decided = objective.decide(device.to_host(logits))
        if decided is not None:
            correct, answers = correct + int((decided == y).sum()), answers + y.size
            if objective.single_label:
                confusion += np.bincount(y * n_outputs + decided, minlength=n_outputs**2)
    return Evaluation(
        loss_sum / len(split),
        correct / answers if answers else None,
        confusion.reshape(n_outputs, n_outputs) if objective.single_label else None,
    )


def _check_targets(network: Network, y: HostArray) -> None:
    """Raise InputError unless the targets fit the network's objective and outputs."""
    n_outputs, single = network.sizes[-1], network.objective.single_label
    if single != (y.ndim == 1):
        wanted = "one class a row" if single else f"{n_outputs} columns"
        raise InputError(f"the network was trained for {wanted}, but the data's targets differ")
    if single and y.max() >= n_outputs:
        raise InputError(
            f"the data has a label {y.max()}, the network knows classes 0 to {n_outputs - 1}"
        )
    if not single and y.shape[1] != n_outputs:
        raise InputError(f"the network has {n_outputs} outputs, the data {y.shape[1]} columns")


def _buffer(network: Network, X: HostArray) -> Array:
    """An array for BATCH_ROWS prepared rows."""
    # Used again and again: allocating a new array takes as long as filling it.
    return network.xp.empty((BATCH_ROWS, X.shape[1]), dtype=network.dtype)


def _logits(network: Network, X: HostArray, buffer: Array) -> Array:
    """The logits (B, K) of at most BATCH_ROWS rows on the host."""
    batch = network.device.to_device(X)
    return network.logits(network.prepare(batch, buffer[: len(batch)]))
