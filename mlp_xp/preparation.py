"""What is worked out from the training rows, on the host, before a run begins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.config import PLATEAU, Config
from mlp_xp.datasets import Dataset, Split
from mlp_xp.errors import InputError
from mlp_xp.functions import scale_inputs

CHUNK = 4096  # rows at a time, so that data larger than memory can be read

HELD_OUT = 3  # the last word of a generator's seed: what it is for


def hold_out(
    data: Dataset, config: Config
) -> tuple[NDArray[np.int64] | None, tuple[Split, NDArray[np.int64] | None] | None]:
    """Which training rows train, and which rows validate: (rows, (split, rows) or None).

    rows None means all of them. The validation set is data.validation where there is one, else a
    share config.validation of the training rows, drawn by config.seed, else none.
    Raises InputError if a setting needs a validation set and there is none, or none is left over.
    """
    n_rows = len(data.train)
    if data.validation is not None:
        if config.validation:
            raise InputError("a validation set and a share to hold out exclude each other")
        return None, (data.validation, None)
    if not config.validation:
        for name, given in (
            ("patience", config.patience),
            ("schedule", config.schedule == PLATEAU),
        ):
            if given:
                raise InputError(f"{name} needs a validation set: give --validation 0.1 or a file")
        return None, None
    count = math.ceil(config.validation * n_rows)
    if count >= n_rows:
        raise InputError(f"validation {config.validation} of {n_rows} rows leaves none to train on")
    shuffled = np.random.default_rng([config.seed, 0, HELD_OUT]).permutation(n_rows)
    return np.sort(shuffled[count:]), (data.train, np.sort(shuffled[:count]))


def row_weights(
    data: Dataset, config: Config, rows: NDArray[np.int64] | None
) -> NDArray[np.floating] | None:
    """Each training row's weight in the loss, (N,) in the run's dtype, or None if all are 1.

        w[i] = sample weight[i] * class weight[y[i]],   scaled to mean 1 over the rows that train
        balanced: class weight[k] = rows / (classes * rows of class k)      King, Zeng 2001

    Raises InputError if the class weights don't fit the classes.
    """
    split = data.train
    if split.weights is None and config.class_weight is None:
        return None
    used = slice(None) if rows is None else rows
    weights: NDArray[np.floating] = (
        np.ones(len(split)) if split.weights is None else split.weights.astype(np.float64)
    )
    if config.class_weight is not None:
        if config.class_weight == "balanced":
            counts = np.bincount(split.y[used], minlength=data.n_classes)
            by_class = counts.sum() / (len(counts) * np.maximum(counts, 1))
        else:
            by_class = np.array(config.class_weight, dtype=np.float64)
            if len(by_class) != data.n_classes:
                raise InputError(
                    f"class_weight has {len(by_class)} numbers, the data {data.n_classes} classes"
                )
        weights *= by_class[split.y]
    mean = weights[used].mean()
    if not mean > 0:
        raise InputError("the weights of all rows are 0; nothing would be learned")
    return np.asarray(weights / mean, dtype=config.dtype)


def fit_standardisation(
    X: NDArray[Any], rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each input over the rows that train, (n,) each.

    X (N, n) as loaded; bytes are scaled first, as in training. An input that never changes gets
    deviation 1, so it becomes 0.
    """

    count = len(X) if rows is None else len(rows)

    def chunks() -> Iterator[NDArray[np.float64]]:
        for start in range(0, count, CHUNK):
            part = slice(start, start + CHUNK)
            yield scale_inputs(np, X[part if rows is None else rows[part]], "float64")

    zero = np.zeros(X.shape[1])
    # From the first row on, so that an input that never changes is exactly 0 and stays so.
    first = scale_inputs(np, X[:1] if rows is None else X[rows[:1]], "float64")[0]
    offset = sum(((chunk - first).sum(axis=0) for chunk in chunks()), zero) / count
    squares = sum((((chunk - first - offset) ** 2).sum(axis=0) for chunk in chunks()), zero)
    deviation = np.sqrt(squares / count)
    return first + offset, np.where(deviation > 0, deviation, 1.0)
