"""What a data set is once it has been loaded, and the checks that make it one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.errors import InputError

MOST_CLASSES = 65_536


@dataclass(frozen=True)
class Split:
    """Rows and their labels.   X (N, n) uint8, float32 or float64; y (N,) int64, from 0."""

    X: NDArray[Any]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        """The number of rows, N."""
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Training rows, test rows where there are any, and the number of classes."""

    name: str
    train: Split
    test: Split | None
    n_classes: int

    @property
    def n_features(self) -> int:
        """Inputs a row, n."""
        return int(self.train.X.shape[1])


def make_dataset(
    name: str,
    train: tuple[NDArray[Any], NDArray[Any]],
    test: tuple[NDArray[Any], NDArray[Any]] | None,
    where: str,
) -> Dataset:
    """Check the arrays and build a Dataset; rows are flattened, (N, 28, 28) becomes (N, 784).

    The number of classes is the largest training label + 1. Raises InputError, starting with
    `where`, for shapes that disagree, empty sets, NaN, infinity, and labels that are no classes.
    """
    train_split = _split(*train, where, "training")
    test_split = None if test is None else _split(*test, where, "test")
    n_classes = int(train_split.y.max()) + 1
    if test_split is not None:
        features, expected = test_split.X.shape[1], train_split.X.shape[1]
        if features != expected:
            raise InputError(
                f"{where}: test rows have {features} values, training rows {expected}; "
                "they must agree"
            )
        if test_split.y.max() >= n_classes:
            raise InputError(
                f"{where}: test label {test_split.y.max()} does not occur in training, "
                f"whose labels are 0 to {n_classes - 1}"
            )
    return Dataset(name, train_split, test_split, n_classes)


def _split(X: NDArray[Any], y: NDArray[Any], where: str, which: str) -> Split:
    if X.ndim < 2:
        raise InputError(f"{where}: {which} data has shape {X.shape}; it needs one row a sample")
    if len(X) == 0 or X[0].size == 0:
        raise InputError(f"{where}: the {which} set is empty (shape {X.shape})")
    if y.shape != (len(X),):
        raise InputError(
            f"{where}: {len(X)} {which} rows, but labels of shape {y.shape}; "
            "give one integer label a row"
        )
    return Split(check_rows(X.reshape(len(X), -1), f"{where}: {which} data"), _labels(y, where))


def check_rows(X: NDArray[Any], where: str) -> NDArray[Any]:
    """X (N, n) as uint8, float32 or float64, all finite; integers other than bytes become float64.

    Raises InputError for other dtypes, NaN and infinity, naming the first row that holds one.
    """
    if X.dtype == np.uint8:
        return np.ascontiguousarray(X)
    if X.dtype.kind not in "iufb":
        raise InputError(f"{where} is of type {X.dtype}; numbers are needed")
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(np.float32 if X.dtype == np.float16 else np.float64)
    X = np.ascontiguousarray(X)
    # One pass without a temporary as large as the data: a sum is finite only if its terms are.
    if not np.isfinite(X.sum(dtype=np.float64)):
        bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
        if len(bad):
            raise InputError(f"{where} holds NaN or infinity, first in row {bad[0]}; remove them")
    return X


def _labels(y: NDArray[Any], where: str) -> NDArray[np.int64]:
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and np.all(y == np.floor(y))):
        raise InputError(f"{where}: labels of type {y.dtype}; they must be whole numbers from 0")
    low, high = y.min(), y.max()
    if not (low >= 0 and high < MOST_CLASSES):
        row = int(np.flatnonzero((y < 0) | (y >= MOST_CLASSES))[0])
        raise InputError(
            f"{where}: label {y[row]} in row {row}; labels count the classes from 0, "
            f"at most {MOST_CLASSES} of them"
        )
    return y.astype(np.int64)
