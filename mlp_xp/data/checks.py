"""Checks of arrays before training or prediction."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlp_xp.data.memory import blocks, check_memory
from mlp_xp.errors import InputError
from mlp_xp.nn.losses import OBJECTIVES, Objective
from mlp_xp.types import HostArray

MAX_CLASSES = 65_536
"""A label beyond this is more likely an identifier than a class."""


def find_objective(name: str) -> Objective:
    """The objective with this name. Raises InputError if OBJECTIVES has none."""
    if name not in list(OBJECTIVES):
        raise InputError(f"objective is {name!r}; use {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]()


def check_path(source: str | Path) -> Path:
    """A path that a system may have. Raises InputError for an empty one, and for what is none."""
    if not isinstance(source, str | os.PathLike) or not str(source) or "\0" in str(source):
        raise InputError(f"{source!r}: no such path; name a file or a folder")
    return Path(source)


def check_rows(X: HostArray, where: str) -> HostArray:
    """X (N, ...) as rows (N, n) of uint8, float32 or float64 in this machine's byte order, finite.

    Other types become float32 where that loses nothing, else float64. An array that is mapped from
    a file stays mapped unless its type or order must change, and is read a block at a time.
    Raises InputError, starting with `where`, for types that aren't numbers, and for NaN and
    infinity, with the first row that holds one.
    """
    X = as_numbers(X, where)
    if X.dtype != np.uint8:
        for start, block in blocks(X):
            check_finite(block, where, start)
    return X


def as_numbers(X: HostArray, where: str) -> HostArray:
    """X (N, ...) as check_rows() returns it, whether finite or not."""
    if X.dtype.kind == "O":
        X = unpacked(X, where)
    if X.dtype.kind not in "iufb":
        raise InputError(f"{where} is of type {X.dtype}; convert it to numbers")
    exact = X.dtype.itemsize <= 2 or (X.dtype.kind == "f" and X.dtype.itemsize == 4)
    dtype = np.dtype(np.uint8 if X.dtype == np.uint8 else np.float32 if exact else np.float64)
    if X.dtype != dtype or not X.flags.c_contiguous:
        check_memory(X.size * dtype.itemsize, where)
        with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinity
            X = np.ascontiguousarray(X, dtype=dtype)
    if X.ndim > 2:
        X = X.reshape(len(X), -1)  # no copy, now that it is contiguous
    return X


def unpacked(array: HostArray, where: str) -> HostArray:
    """An array of Python's objects as float64, or itself if they aren't all numbers."""
    if not all(isinstance(value, int | float | np.number | np.bool_) for value in array.flat):
        return array
    if any(isinstance(value, np.complexfloating) for value in array.flat):
        return array
    try:
        return array.astype(np.float64)
    except OverflowError as error:
        raise InputError(f"{where}: {error}; give smaller numbers") from error


def check_finite(X: HostArray, where: str, first_row: int = 0) -> None:
    """Raise InputError for NaN and infinity in X (B, n), whose first row is called first_row."""
    # The sum is finite only if every term is, and needs no array of booleans.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = X.dtype.kind == "f" and not math.isfinite(X.sum())
    if suspicious:
        bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
        if len(bad):
            raise InputError(
                f"{where} holds NaN or infinity, first in row {first_row + bad[0]}; remove them"
            )


def as_array(values: ArrayLike, where: str) -> HostArray:
    """The values as an array. Raises InputError, starting with `where`, if they aren't one."""
    # asarray() would hide that an array is mapped.
    if isinstance(values, np.memmap):
        return values
    if hasattr(values, "filled"):  # only masked arrays have it; naming numpy.ma would load it
        raise InputError(f"{where} is a masked array, whose mask would be lost; fill it in")
    if hasattr(values, "toarray"):
        raise InputError(f"{where} is a sparse array; give its toarray()")
    if str(getattr(values, "type", "")).startswith("dictionary<"):
        # Of Arrow, whose nulls NumPy would read as some other value.
        encoded: Any = values
        values = encoded.cast(encoded.type.value_type)
    try:
        return np.asarray(values)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(
            f"{where} can't be converted to an array ({why}); give a NumPy array"
        ) from error


def check_shapes(
    X: HostArray, y: HostArray, where: str, which: str = "", *, single_label: bool = False
) -> None:
    """Raise InputError, starting with `where`, unless X has rows and y has labels for each.

    which: the rows' name, followed by a space. single_label: y must be (N,), not (N, K).
    """
    if X.ndim < 2:
        raise InputError(f"{where}: {which}data has shape {X.shape}; it needs one row a sample")
    if X.size == 0:
        raise InputError(f"{where}: the {which}set is empty (shape {X.shape}); give it rows")
    if y.ndim not in ((1,) if single_label else (1, 2)) or len(y) != len(X):
        needed = "one integer label" if single_label else "one target, or one row of them,"
        raise InputError(
            f"{where}: {len(X)} {which}rows, but labels of shape {y.shape}; give {needed} a row"
        )


def check_pair(
    X: ArrayLike, y: ArrayLike, where: str, which: str, objective: Objective
) -> tuple[HostArray, HostArray]:
    """X (N, n) and y of the `which` rows (training, test, validation), as a Split holds them.

    Raises InputError, starting with `where`, if they are empty, if their shapes disagree, or if
    the objective can't learn them.
    """
    X, y = as_array(X, f"{where}: {which} data"), as_array(y, f"{where}: {which} labels")
    if objective.single_label and y.ndim == 2 and y.shape[1] == 1:  # as Keras has CIFAR
        y = y[:, 0]
    check_shapes(X, y, where, f"{which} ", single_label=objective.single_label)
    rows = check_rows(X, f"{where}: {which} data")
    if objective.single_label:
        return rows, np.array(check_classes(y, where))
    columns = to_columns(y, where)
    check_targets(columns, y.reshape(len(y), -1), where, objective)
    return rows, columns


def check_classes(y: HostArray, where: str) -> HostArray:
    """Classes (N,) as int64, the same array if it is that. Raises InputError for anything else."""
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and np.all(y == np.floor(y))):
        raise InputError(f"{where}: labels of type {y.dtype}; they must be whole numbers from 0")
    limit = np.float64(MAX_CLASSES)  # which no type of y is too narrow for
    if not (y.min() >= 0 and y.max() < limit):
        row = int(np.flatnonzero((y < 0) | (y >= limit))[0])
        raise InputError(
            f"{where}: label {y[row]} in row {row}; labels count the classes from 0, "
            f"at most {MAX_CLASSES} of them"
        )
    return y.astype(np.int64, copy=False)


def to_columns(y: HostArray, where: str) -> HostArray:
    """Targets (N, K) as float32, from (N, K) or (N,). Raises InputError if they aren't numbers."""
    if y.dtype.kind not in "biuf" or y.size == 0:
        raise InputError(f"{where}: targets of type {y.dtype}, shape {y.shape}; give numbers")
    y = y if y.ndim == 2 else y[:, np.newaxis]
    if y.dtype == np.float32 and y.flags.c_contiguous:
        return y
    check_memory(4 * y.size, where)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(y, dtype=np.float32)


def check_targets(y: HostArray, given: HostArray, where: str, objective: Objective) -> None:
    """Raise InputError unless the objective can learn y (N, K); `given` is y before conversion."""
    bad = ~objective.is_valid(y)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{where}: target {given[row, column]} in row {row}, column {column}; "
            f"targets must be {objective.valid_targets}"
        )


def check_weights(weights: ArrayLike, n_rows: int, where: str) -> NDArray[np.floating]:
    """Weights (n_rows,) as float32, if they are that, or float64.

    Raises InputError, starting with `where`, for another shape, and unless all are finite and 0 or
    more.
    """
    array = as_array(weights, f"{where}: weights")
    if array.shape != (n_rows,) or array.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: weights of type {array.dtype}, shape {array.shape}; give one number for "
            f"each of the {n_rows} rows"
        )
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    with np.errstate(over="ignore"):
        numbers: NDArray[np.floating] = array.astype(dtype, copy=False)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(bad):
        raise InputError(
            f"{where}: weight {numbers[bad[0]]} in row {bad[0]}; weights must be finite, 0 or more"
        )
    return numbers
