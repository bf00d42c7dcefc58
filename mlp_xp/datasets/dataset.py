"""What a data set is once it has been loaded, and the checks that make it one."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_xp.datasets.memory import blocks, check_room
from mlp_xp.errors import InputError

MOST_CLASSES = 65_536
TARGETS = ("classes", "binary", "numbers")

Arrays = tuple[NDArray[Any], NDArray[Any]]


class Parts(NamedTuple):
    """What a file holds, as it came: X and y for training and for the test, names of classes."""

    train: Arrays
    test: Arrays | None
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Split:
    """Rows and what is to be learned from them.

    X (N, n) uint8, float32 or float64, in memory or mapped from a file (numpy.memmap);
    y (N,) int64, classes from 0; or (N, K) float32, where the target is `binary` or `numbers`;
    weights (N,) float, each row's weight in the loss, None if all weigh the same.
    """

    X: NDArray[Any]
    y: NDArray[Any]
    weights: NDArray[np.floating] | None = None

    def __len__(self) -> int:
        """The number of rows, N."""
        return len(self.y)


@dataclass(frozen=True)
class Dataset:
    """Training rows, test and validation rows where there are any, and what their y means.

    n_classes is the number of a network's outputs: of classes, or of columns of y where target is
    `binary` (each 0 or 1) or `numbers`. class_names are those outputs' names, where the data had
    some.
    """

    name: str
    train: Split
    test: Split | None
    n_classes: int
    target: str = "classes"
    class_names: tuple[str, ...] | None = None
    validation: Split | None = None

    @property
    def n_features(self) -> int:
        """Inputs a row, n."""
        return int(self.train.X.shape[1])

    @property
    def scored(self) -> tuple[str, Split]:
        """What a network is judged by: `test` and the test rows, or else `train` and those."""
        return ("test", self.test) if self.test else ("train", self.train)

    def fingerprint(self) -> str:
        """128 bits of BLAKE2b, in hex, over every value, shape and dtype, and the classes' names.

        Two data sets that train alike have the same one wherever they lie and whenever they were
        written; one bit more or less changes it. It reads everything, a few megabytes at a time.
        """
        digest = hashlib.blake2b(digest_size=16)
        for split in (self.train, self.test, self.validation):
            arrays = (split.X, split.y, split.weights) if split else ()
            digest.update(repr([array is not None and array.shape for array in arrays]).encode())
            for array in (array for array in arrays if array is not None):
                digest.update(array.dtype.str.encode())
                for _, block in blocks(array):
                    digest.update(np.ascontiguousarray(block).data)
        digest.update(repr((self.target, self.n_classes, self.class_names)).encode())
        return digest.hexdigest()


def make_dataset(name: str, parts: Parts, where: str, target: str = "classes") -> Dataset:
    """Check the arrays and build a Dataset; rows are flattened, (N, 28, 28) becomes (N, 784).

    The number of classes is that of the names, or else the largest training label + 1. Raises
    InputError, starting with `where`, for shapes that disagree, empty sets, NaN, infinity, and
    labels that are not what the target needs.
    """
    train = _split(*parts.train, where, "training", target)
    test = None if parts.test is None else _split(*parts.test, where, "test", target)
    if target == "classes":
        n_classes = len(parts.class_names or ()) or int(train.y.max()) + 1
    else:
        n_classes = train.y.shape[1]
    if test is not None:
        features, expected = test.X.shape[1], train.X.shape[1]
        if features != expected:
            raise InputError(
                f"{where}: test rows have {features} values, training rows {expected}; "
                "they must agree"
            )
        if test.y.shape[1:] != train.y.shape[1:]:
            raise InputError(
                f"{where}: {test.y.shape[1]} targets a test row, {n_classes} a training row; "
                "they must agree"
            )
        if target == "classes" and test.y.max() >= n_classes:
            raise InputError(
                f"{where}: test label {test.y.max()} does not occur in training, "
                f"whose labels are 0 to {n_classes - 1}; leave its rows out"
            )
    return Dataset(name, train, test, n_classes, target, parts.class_names)


def _split(X: NDArray[Any], y: NDArray[Any], where: str, which: str, target: str) -> Split:
    if X.ndim < 2:
        raise InputError(f"{where}: {which} data has shape {X.shape}; it needs one row a sample")
    if X.size == 0:
        raise InputError(f"{where}: the {which} set is empty (shape {X.shape}); give it rows")
    if len(y.shape) not in ((1,) if target == "classes" else (1, 2)) or len(y) != len(X):
        wanted = "one integer label" if target == "classes" else "one target, or one row of them,"
        raise InputError(
            f"{where}: {len(X)} {which} rows, but labels of shape {y.shape}; give {wanted} a row"
        )
    rows = check_rows(X.reshape(len(X), -1), f"{where}: {which} data")
    return Split(rows, _labels(y, where) if target == "classes" else _targets(y, where, target))


def check_rows(X: NDArray[Any], where: str) -> NDArray[Any]:
    """X (N, n) as uint8, float32 or float64 of this machine's byte order, all finite.

    Other types become float32 where that loses nothing, else float64. What is mapped from a file
    stays so unless its type or order must change, and is looked at a block at a time. Raises
    InputError for types that are no numbers, NaN and infinity, naming the first row with one.
    """
    if X.dtype.kind not in "iufb":
        raise InputError(f"{where} is of type {X.dtype}; numbers are needed")
    exact = X.dtype.itemsize <= 2 or (X.dtype.kind == "f" and X.dtype.itemsize == 4)
    dtype = np.dtype(np.uint8 if X.dtype == np.uint8 else np.float32 if exact else np.float64)
    if X.dtype != dtype or not X.flags.c_contiguous:
        check_room(X.size * dtype.itemsize, where)
        with np.errstate(over="ignore"):  # what a long double holds beyond float64 is found below
            X = np.ascontiguousarray(X, dtype=dtype)
    if dtype == np.uint8:
        return X
    for start, block in blocks(X):
        # A sum is finite only if its terms are, and needs no array of truth values.
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(block.sum(dtype=np.float64))
        if not math.isfinite(total):
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(bad):
                raise InputError(
                    f"{where} holds NaN or infinity, first in row {start + bad[0]}; remove them"
                )
    return X


def _labels(y: NDArray[Any], where: str) -> NDArray[np.int64]:
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and np.all(y == np.floor(y))):
        raise InputError(f"{where}: labels of type {y.dtype}; they must be whole numbers from 0")
    if not (y.min() >= 0 and y.max() < MOST_CLASSES):
        row = int(np.flatnonzero((y < 0) | (y >= MOST_CLASSES))[0])
        raise InputError(
            f"{where}: label {y[row]} in row {row}; labels count the classes from 0, "
            f"at most {MOST_CLASSES} of them"
        )
    return y.astype(np.int64)


def _targets(y: NDArray[Any], where: str, target: str) -> NDArray[np.float32]:
    if y.dtype.kind not in "biuf" or y.size == 0:
        raise InputError(f"{where}: targets of type {y.dtype}, shape {y.shape}; give numbers")
    y = y.reshape(len(y), -1)
    check_room(4 * y.size, where)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(y, dtype=np.float32)
    bad = ~np.isfinite(numbers) if target == "numbers" else (numbers != 0) & (numbers != 1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        wanted = "finite numbers" if target == "numbers" else "0 or 1"
        raise InputError(
            f"{where}: target {y[row, column]} in row {row}, column {column}; "
            f"targets must be {wanted}"
        )
    return numbers
