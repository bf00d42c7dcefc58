"""How good a network is, and what it says of rows it hasn't seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.datasets import Split
from mlp_xp.errors import InputError
from mlp_xp.functions import Array
from mlp_xp.network import Network

BATCH = 512  # rows at a time: what lies between two layers stays in the cache


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


def predict(network: Network, X: NDArray[Any]) -> NDArray[np.floating]:
    """What the network says of each row of X (N, n), on the host: (N, K).

    The probability of each class, which add up to 1; of each label; or the numbers. X as a data
    set holds it. Raises InputError for rows of another length than the network's inputs.
    """
    if len(X) == 0:
        raise InputError("there are no rows to predict")
    to_host = network.backend.to_host
    return np.concatenate(
        [
            to_host(network.output.predict(network.xp, logits))
            for _, logits in _logits(network, X, None)
        ]
    )


def evaluate(network: Network, split: Split, rows: NDArray[np.int64] | None = None) -> Evaluation:
    """Loss, accuracy and confusion matrix over a split, or over the rows of it that are named.

    Raises InputError if inputs or labels don't fit the network.
    """
    n_outputs = network.sizes[-1]
    one_class = network.output_name == "softmax"
    confusion = np.zeros(n_outputs**2, dtype=np.int64)
    loss_sum, right = 0.0, 0
    for used, logits in _logits(network, split.X, rows):
        y = split.y[used]
        _check_labels(y, n_outputs, one_class=one_class)
        loss, _ = network.output.loss(network.xp, logits, network.backend.to_device(y))
        loss_sum += float(loss) * len(y)
        said = network.backend.to_host(logits)
        if one_class:
            confusion += np.bincount(y * n_outputs + said.argmax(axis=1), minlength=n_outputs**2)
        else:
            right += int(((said > 0) == y).sum())
    n_rows = len(split) if rows is None else len(rows)
    if network.output_name == "identity":
        return Evaluation(loss_sum / n_rows, None, None)
    if not one_class:
        return Evaluation(loss_sum / n_rows, right / (n_rows * n_outputs), None)
    table = confusion.reshape(n_outputs, n_outputs)
    return Evaluation(loss_sum / n_rows, float(table.trace() / n_rows), table)


def _check_labels(y: NDArray[Any], n_outputs: int, *, one_class: bool) -> None:
    if one_class != (y.ndim == 1):
        wanted = "one class a row" if one_class else f"{n_outputs} columns"
        raise InputError(f"the network was trained for {wanted}, the data's targets are others")
    if one_class and y.max() >= n_outputs:
        raise InputError(
            f"the data has a label {y.max()}, the network knows classes 0 to {n_outputs - 1}"
        )
    if not one_class and y.shape[1] != n_outputs:
        raise InputError(f"the network has {n_outputs} outputs, the data {y.shape[1]} columns")


def _logits(
    network: Network, X: NDArray[Any], rows: NDArray[np.int64] | None
) -> Iterator[tuple[slice | NDArray[np.int64], Array]]:
    """Batch by batch: which rows, and their logits (B, K) on the device."""
    count = len(X) if rows is None else len(rows)
    # Bytes become numbers in an array that is made once: a new one costs as much as the filling.
    space = network.xp.empty((BATCH, X.shape[1]), dtype=network.dtype)
    for start in range(0, count, BATCH):
        part = slice(start, min(start + BATCH, count))
        used = part if rows is None else rows[part]
        batch = network.backend.to_device(X[used])
        yield used, network.logits(network.prepare(batch, space[: len(batch)]))
