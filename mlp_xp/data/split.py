"""Rows with their targets, and selections of them."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlp_xp.data.checks import as_array, check_classes, check_shapes, check_weights, to_columns
from mlp_xp.errors import InputError
from mlp_xp.types import HostArray

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Rows with their targets: all rows of its arrays, or those that `rows` selects.

    X (N, n) uint8, float32 or float64, in memory or mapped from a file (numpy.memmap);
    y (N,) int64, a class from 0 on each row, or (N, K) float32, a column for each output;
    weights (N,) float, each row's weight in the loss, or None if all weigh the same;
    rows (M,) int64, the indices in the arrays of the rows that belong to the split, in its order,
    or None if all of them do. len() is M, or N, which is never 0.

    X is kept as it is, and never read here, because it may be larger than memory. All others may be
    of another type that holds such numbers, and are converted. where: how error messages start.
    Raises InputError for shapes that disagree, for another type, and for classes, weights or
    indices out of range, but not for NaN and infinity in X: Dataset.from_arrays() and load_data()
    look for them.
    """

    X: HostArray
    y: HostArray
    weights: HostArray | None = None
    rows: Index | None = None
    where: InitVar[str] = "split"

    def __post_init__(self, where: str) -> None:
        X, y = as_array(self.X, f"{where}: X"), as_array(self.y, f"{where}: y")
        check_shapes(X, y, where)
        if X.ndim != 2 or X.dtype not in (np.uint8, np.float32, np.float64):
            raise InputError(
                f"{where}: X is of type {X.dtype}, shape {X.shape}; give rows (N, n) of uint8, "
                "float32 or float64"
            )
        y = check_classes(y, where) if y.ndim == 1 else to_columns(y, where)
        weights = self.weights
        if weights is not None:
            weights = check_weights(weights, len(X), where)
        rows = None if self.rows is None else _check_index(self.rows, len(X), where)
        for name, value in (("X", X), ("y", y), ("weights", weights), ("rows", rows)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.y if self.rows is None else self.rows)

    def subset(self, rows: ArrayLike) -> Split:
        """A split of only these rows of this one, in the same arrays; nothing is copied.

        rows: an array of indices into this split, which may repeat and, below 0, count from its
        end, or a mask of len(self) booleans. Raises InputError if they are none, out of range or of
        another type.
        """
        try:
            selected = np.arange(len(self))[as_array(rows, "subset: rows")]
        except IndexError as error:
            raise InputError(f"subset: {error}; give indices of rows, or a mask") from error
        return replace(self, rows=self.rows_in_order(selected))

    def rows_in_order(self, order: Index | None) -> Index | None:
        """The indices of this split's rows in its arrays, in the given order.

        order: a permutation of the split's rows, or None for their own order. Returns None if
        that is every row of the arrays, from the first to the last.
        """
        if order is None:
            return self.rows
        return order if self.rows is None else self.rows[order]

    def index(self, start: int = 0, stop: int | None = None) -> slice | Index:
        """The slice or indices of the split's rows from `start` up to `stop` in its arrays."""
        part = slice(start, stop)
        return part if self.rows is None else self.rows[part]

    def take(self, start: int, stop: int) -> tuple[HostArray, HostArray, HostArray | None]:
        """X, y and weights (or None) of the split's rows from `start` up to `stop`."""
        index = self.index(start, stop)
        return self.X[index], self.y[index], None if self.weights is None else self.weights[index]


def _check_index(rows: ArrayLike, n_rows: int, where: str) -> Index:
    """Indices of rows, (M,) int64. Raises InputError, starting with `where`, for anything else."""
    array = as_array(rows, f"{where}: rows")
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array):
        raise InputError(
            f"{where}: rows of type {array.dtype}, shape {array.shape}; give the indices of one "
            "row or more"
        )
    if array.min() < 0 or array.max() >= n_rows:
        raise InputError(
            f"{where}: rows {array.min()} to {array.max()} are selected, of 0 to {n_rows - 1}"
        )
    return array.astype(np.int64, copy=False)
