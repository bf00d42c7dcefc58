"""How good a network is, and what it says of rows that it hasn't seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data import Split
from mlp_xp.errors import InputError
from mlp_xp.nn.network import Network
from mlp_xp.types import Array, HostArray

BATCH_ROWS = 512  # what lies between two layers then stays in the cache


@dataclass(frozen=True)
class Evaluation:
    """Mean loss over the rows, in nats, or in squared units for numbers.

    accuracy, from 0 to 1: the share of rows whose largest probability is the label's; of labels
    whose probability is on the right side of 1/2, where there are K of them; None for numbers.
    confusion (K, K) int64: true by predicted class, None unless a row has one class.
    """

    loss: float
    accuracy: float | None
    confusion: NDArray[np.int64] | None


def predict(network: Network, X: HostArray) -> NDArray[np.floating]:
    """What the network says of each row of X (N, n), on the host: (N, K).

    The probability of each class, which add up to 1; of each label; or the numbers. X as a data
    set holds it. Raises InputError for no rows, or rows of another length than the network's.
    """
    if len(X) == 0:
        raise InputError("there are no rows to predict")
    forward = _forward(network)
    predictions = [
        network.objective.predict(network.xp, forward(X[start : start + BATCH_ROWS]))
        for start in range(0, len(X), BATCH_ROWS)
    ]
    return np.concatenate([network.device.to_host(prediction) for prediction in predictions])


def evaluate(network: Network, split: Split) -> Evaluation:
    """Loss, accuracy and confusion matrix over the rows of a split.

    Raises InputError if inputs or targets don't fit the network.
    """
    device, objective, n_outputs = network.device, network.objective, network.sizes[-1]
    forward = _forward(network)
    confusion = np.zeros(n_outputs**2, dtype=np.int64)
    loss_sum, correct, answers = 0.0, 0, 0
    for start in range(0, len(split), BATCH_ROWS):
        X, y, _ = split.take(start, min(start + BATCH_ROWS, len(split)))
        logits = forward(X)
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
    """Raise InputError unless these are targets of the network's kind and number."""
    n_outputs, single = network.sizes[-1], network.objective.single_label
    if single != (y.ndim == 1):
        wanted = "one class a row" if single else f"{n_outputs} columns"
        raise InputError(f"the network was trained for {wanted}, the data's targets are others")
    if single and y.max() >= n_outputs:
        raise InputError(
            f"the data has a label {y.max()}, the network knows classes 0 to {n_outputs - 1}"
        )
    if not single and y.shape[1] != n_outputs:
        raise InputError(f"the network has {n_outputs} outputs, the data {y.shape[1]} columns")


def _forward(network: Network) -> Callable[[HostArray], Array]:
    """A function from rows on the host, at most BATCH_ROWS of them, to their logits (B, K)."""
    # Bytes become numbers in an array that is made once: a new one costs as much as the filling.
    space: list[Array] = []

    def forward(X: HostArray) -> Array:
        if not space:
            space.append(network.xp.empty((BATCH_ROWS, X.shape[1]), dtype=network.dtype))
        batch = network.device.to_device(X)
        return network.logits(network.prepare(batch, space[0][: len(batch)]))

    return forward
