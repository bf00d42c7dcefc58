"""Checks of arrays before training or prediction."""

from __future__ import annotations

import math

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


def check_rows(X: HostArray, where: str) -> HostArray:
    """X (N, n) as uint8, float32 or float64 in this machine's byte order, all finite.

    Other types become float32 where that loses nothing, else float64. An array that is mapped from
    a file stays mapped unless its type or order must change, and is read a block at a time.
    Raises InputError, starting with `where`, for types that aren't numbers, and for NaN and
    infinity, with the first row that holds one.
    """
    if X.dtype.kind not in "iufb":
        raise InputError(f"{where} is of type {X.dtype}; convert it to numbers")
    exact = X.dtype.itemsize <= 2 or (X.dtype.kind == "f" and X.dtype.itemsize == 4)
    dtype = np.dtype(np.uint8 if X.dtype == np.uint8 else np.float32 if exact else np.float64)
    if X.dtype != dtype or not X.flags.c_contiguous:
        check_memory(X.size * dtype.itemsize, where)
        with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinity
            X = np.ascontiguousarray(X, dtype=dtype)
    if dtype == np.uint8:
        return X
    for start, block in blocks(X):
        # The sum is finite only if every term is, and needs no array of booleans.
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(block.sum(dtype=np.float64))
        if not math.isfinite(total):
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(bad):
                raise InputError(
                    f"{where} holds NaN or infinity, first in row {start + bad[0]}; remove them"
                )
    return X


def as_array(values: ArrayLike, where: str) -> HostArray:
    """The values as an array. Raises InputError, starting with `where`, if they aren't one."""
    # asarray() would hide that an array is mapped.
    if isinstance(values, np.memmap):
        return values
    if hasattr(values, "filled"):  # only masked arrays have it; naming numpy.ma would load it
        raise InputError(f"{where} is a masked array, whose mask would be lost; fill it in")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(
            f"{where} can't be converted to an array ({why}); give a NumPy array"
        ) from error


def check_pair(
    X: ArrayLike, y: ArrayLike, where: str, which: str, objective: Objective
) -> tuple[HostArray, HostArray]:
    """X (N, n) and y of the `which` rows (training, test, validation), as a Split holds them.

    Raises InputError, starting with `where`, if they are empty, if their shapes disagree, or if
    the objective can't learn them.
    """
    X, y = as_array(X, f"{where}: {which} data"), as_array(y, f"{where}: {which} labels")
    if X.ndim < 2:
        raise InputError(f"{where}: {which} data has shape {X.shape}; it needs one row a sample")
    if X.size == 0:
        raise InputError(f"{where}: the {which} set is empty (shape {X.shape}); give it rows")
    if y.ndim not in ((1,) if objective.single_label else (1, 2)) or len(y) != len(X):
        targets = "one target, or one row of them,"
        needed = "one integer label" if objective.single_label else targets
        raise InputError(
            f"{where}: {len(X)} {which} rows, but labels of shape {y.shape}; give {needed} a row"
        )
    rows = check_rows(X.reshape(len(X), -1), f"{where}: {which} data")
    check_targets = _check_classes if objective.single_label else _check_columns
    return rows, check_targets(y, where, objective)


def _check_classes(y: HostArray, where: str, objective: Objective) -> HostArray:
    """Classes (N,) int64."""
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and np.all(y == np.floor(y))):
        raise InputError(f"{where}: labels of type {y.dtype}; they must be whole numbers from 0")
    if not (y.min() >= 0 and y.max() < MAX_CLASSES):
        row = int(np.flatnonzero((y < 0) | (y >= MAX_CLASSES))[0])
        raise InputError(
            f"{where}: label {y[row]} in row {row}; labels count the classes from 0, "
            f"at most {MAX_CLASSES} of them"
        )
    return y.astype(np.int64)


def _check_columns(y: HostArray, where: str, objective: Objective) -> HostArray:
    """Targets (N, K) float32, from (N, K) or (N,)."""
    if y.dtype.kind not in "biuf" or y.size == 0:
        raise InputError(f"{where}: targets of type {y.dtype}, shape {y.shape}; give numbers")
    y = y.reshape(len(y), -1)
    check_memory(4 * y.size, where)
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(y, dtype=np.float32)
    bad = ~objective.is_valid(numbers)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"{where}: target {y[row, column]} in row {row}, column {column}; "
            f"targets must be {objective.valid_targets}"
        )
    return numbers


def check_weights(weights: ArrayLike, n_rows: int, where: str) -> NDArray[np.float64]:
    """Weights (n_rows,) float64. Raises InputError, starting with `where`, if they aren't that."""
    array = as_array(weights, f"{where}: weights")
    if array.shape != (n_rows,) or array.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: weights of type {array.dtype}, shape {array.shape}; give one number for "
            f"each of the {n_rows} training rows"
        )
    with np.errstate(over="ignore"):
        numbers: NDArray[np.float64] = array.astype(np.float64)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(bad):
        raise InputError(
            f"{where}: weight {numbers[bad[0]]} in row {bad[0]}; weights must be finite, 0 or more"
        )
    return numbers
