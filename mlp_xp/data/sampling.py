"""Validation split, weights and standardization, computed on the host before training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.checks import check_finite
from mlp_xp.data.dataset import Dataset
from mlp_xp.data.memory import blocks
from mlp_xp.data.split import Split
from mlp_xp.errors import InputError
from mlp_xp.nn.inputs import scale_inputs
from mlp_xp.nn.rng import stream
from mlp_xp.types import HostArray

CHUNK_ROWS = 4096
"""Rows that mean_and_std() reads at a time, so that the data can be larger than memory."""


def train_validation_split(data: Dataset, share: float, seed: int) -> tuple[Split, Split | None]:
    """The rows to train on and the rows to validate on, if any: (training, validation or None).

    The validation set is data.validation if there is one. Otherwise it is a random share of the
    training rows, ceil(share * N) of them, drawn by `seed`; share 0 means none. The rows of both
    stay in the data's order.

    Raises InputError for a share of data that has a validation set of its own, and for a share
    that leaves no row to train on.
    """
    if data.validation is not None:
        if share:
            raise InputError("a validation set and a share to hold out exclude each other")
        return data.train, data.validation
    if not share:
        return data.train, None
    n_rows = len(data.train)
    count = math.ceil(share * n_rows)
    if count >= n_rows:
        raise InputError(f"validation {share} of {n_rows} rows leaves none to train on")
    shuffled = stream(seed, "split").permutation(n_rows)
    training, validation = np.sort(shuffled[count:]), np.sort(shuffled[:count])
    return data.train.subset(training), data.train.subset(validation)


def sample_weights(
    split: Split, class_weight: str | Sequence[float] | None, n_outputs: int, dtype: str
) -> HostArray | None:
    """Each row's weight in the loss, for every row of the split's arrays, (N,) in dtype.

        w[i] = split.weights[i] * c[y[i]],   scaled to mean 1 over the rows of the split
        balanced: c[k] = rows / (classes * rows of class k)      King, Zeng 2001

    class_weight: c, a number for each class; `balanced`; or None for 1. Returns None if neither
    the split nor the classes have weights. Raises InputError if the class weights don't fit the
    classes, or if no row of the split has a weight above 0.
    """
    if split.weights is None and class_weight is None:
        return None
    index = split.index()
    weights: NDArray[np.floating] = (
        np.ones(len(split.y)) if split.weights is None else split.weights.astype(np.float64)
    )
    if class_weight is not None:
        weights *= _class_weights(class_weight, split.y[index], n_outputs)[split.y]
    with np.errstate(over="ignore"):
        mean = weights[index].mean()
    if not 0 < mean < math.inf:
        why = "are 0" if mean == 0 else "add up to infinity"
        raise InputError(f"the weights of all rows {why}; nothing would be learned")
    return np.asarray(weights / mean, dtype=dtype)


def _class_weights(
    class_weight: str | Sequence[float], y: HostArray, n_classes: int
) -> NDArray[np.float64]:
    if class_weight == "balanced":
        counts = np.bincount(y, minlength=n_classes)
        return np.asarray(counts.sum() / (len(counts) * np.maximum(counts, 1)))
    weights = np.array(class_weight, dtype=np.float64)
    if len(weights) != n_classes:
        raise InputError(f"class_weight has {len(weights)} numbers, the data {n_classes} classes")
    return weights


def mean_and_std(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each input over the split's rows, (n,) each.

        mean = (1/M) sum_i X[i],   std = sqrt((1/M) sum_i (X[i] - mean)^2)

    Bytes are scaled first, as in training. An input that never changes has the deviation 1, so
    that standardizing makes it 0. Raises InputError for NaN and infinity, and if the difference of
    two values is infinite.
    """

    def distances() -> Iterator[NDArray[np.float64]]:
        # From the first row, so that an input that never changes is exactly 0 here.
        for start in range(0, len(split), CHUNK_ROWS):
            X, _, _ = split.take(start, start + CHUNK_ROWS)
            yield scale_inputs(np, X, "float64") - first

    first = scale_inputs(np, split.take(0, 1)[0], "float64")[0]
    offset, largest = np.zeros(len(first)), np.zeros(len(first))
    with np.errstate(over="ignore", invalid="ignore"):
        for distance in distances():
            offset += distance.sum(axis=0) / len(split)
            np.maximum(largest, np.abs(distance).max(axis=0), out=largest)
        # Squared in units of the largest, since 1e-200 squared is 0 and 1e200 squared infinite.
        unit = np.where(largest > 0, largest, 1.0)
        squares = sum((((d - offset) / unit) ** 2).sum(axis=0) for d in distances())
        std = np.sqrt(squares / len(split)) * unit
        too_far = np.flatnonzero(~np.isfinite(first + offset + std))
    if len(too_far):
        for start, block in blocks(split.X):
            check_finite(block, "the training data", start)
        raise InputError(
            f"input {too_far[0]} can't be standardized: its values are too far apart for float64"
        )
    return first + offset, np.where(std > 0, std, 1.0)
