"""Validation split, weights and standardization, computed on the host before training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
CHUNK_VALUES = 1 << 22
"""Values that it reads at a time at most: 32 MB in float64."""


FEW_ROWS = 20
"""Of fewer rows, a share is too small to test on."""


LEAST_PIXELS = 64
"""The smallest picture, 8 x 8: rows of fewer bytes are more likely a table's."""


def is_square(n_features: int) -> bool:
    """Whether a row may hold one or three values for each pixel of a square picture."""
    pixels = [n_features // parts for parts in (1, 3) if n_features % parts == 0]
    return any(n >= LEAST_PIXELS and math.isqrt(n) ** 2 == n for n in pixels)


def hold_out(data: Dataset, share: float, seed: int) -> Dataset:
    """The data set with a share of its training rows, drawn by `seed`, as its test set.

    Of each class the same share is held out, rounded so that round(share * N) rows are in all, and
    never the only row of a class. A data set that has a test set stays as it is, and so does one of
    fewer than FEW_ROWS rows; a note says what was done.
    """
    n_rows = len(data.train)
    if data.test is not None or not share:
        return data
    if n_rows < FEW_ROWS:
        note = f"fewer than {FEW_ROWS} rows, so none is held out, and nothing tests the result"
        return replace(data, notes=(*data.notes, note))
    shuffled, most = stream(seed, "test").permutation(n_rows), n_rows - 1
    y = data.train.y[data.train.index()]
    if y.ndim == 1:
        # In an order that takes turns between the classes, each by its share.
        order = np.argsort(y[shuffled], kind="stable")
        shuffled = shuffled[order]
        counts = np.bincount(y)
        rank = np.concatenate([np.arange(count) for count in counts])
        # The last of each class is never drawn.
        position = (rank + 0.5) / counts[y[shuffled]] + (rank == counts[y[shuffled]] - 1)
        # Ties by the drawn order, so that it doesn't matter how the classes are numbered.
        shuffled = shuffled[np.lexsort((order, position))]
        most = n_rows - len(np.unique(y))
    count = min(max(1, round(share * n_rows)), most)
    if not count:
        note = "each class has one row, so none is held out, and nothing tests the result"
        return replace(data, notes=(*data.notes, note))
    test, train = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    note = f"{count:,} of {n_rows:,} rows are held out to test the result (--test {share:g})"
    return replace(
        data, train=data.train.subset(train), test=data.train.subset(test),
        notes=(*data.notes, note),
    )  # fmt: skip


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


def chunks(split: Split) -> Iterator[HostArray]:
    """The rows of a split, X, some at a time."""
    rows = max(1, min(CHUNK_ROWS, CHUNK_VALUES // split.X.shape[1]))
    for start in range(0, len(split), rows):
        yield split.take(start, start + rows)[0]


def value_range(split: Split) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the largest value of each input over the split's rows, (n,) each.

    Bytes aren't read: they are 0 to 255.
    """
    n_features = split.X.shape[1]
    if split.X.dtype == np.uint8:
        return np.zeros(n_features), np.full(n_features, 255.0)
    low, high = np.full(n_features, math.inf), np.full(n_features, -math.inf)
    for X in chunks(split):
        np.minimum(low, X.min(axis=0), out=low)
        np.maximum(high, X.max(axis=0), out=high)
    return low, high


def shares(y: HostArray, n_outputs: int, *, single_label: bool) -> NDArray[np.float64]:
    """What is said without looking at a row, (K,): the share of each class, or the mean of y."""
    if single_label:
        return np.asarray(np.bincount(y, minlength=n_outputs) / len(y))
    return np.asarray(y.mean(axis=0, dtype=np.float64))


def mean_and_std(
    split: Split, divisor: float | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each input over the split's rows, (n,) each.

        mean = (1/M) sum_i X[i],   std = sqrt((1/M) sum_i (X[i] - mean)^2)

    Inputs are divided by the divisor first, as in training. An input that never changes has the
    deviation 1, so that standardizing makes it 0. Raises InputError for NaN and infinity, and if
    the difference of two values is infinite.
    """

    def distances() -> Iterator[NDArray[np.float64]]:
        # From the first row, so that an input that never changes is exactly 0 here.
        for X in chunks(split):
            yield scale_inputs(np, X, "float64", divisor) - first

    first = scale_inputs(np, split.take(0, 1)[0], "float64", divisor)[0]
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
