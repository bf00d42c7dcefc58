"""Rows as callers have them: NumPy's, tables, sparse matrices, or arrays on a device by DLPack."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from mlp_xp.data.loader import Bounds, Rows, RowSource, array_rows, chunk_bounds
from mlp_xp.devices import Device, get_device
from mlp_xp.errors import InputError
from mlp_xp.training.setup import CHUNK_ROWS
from mlp_xp.types import Array, Chunk, Namespace

CHUNK_BYTES = 1 << 26
"""What the rows of a chunk may take: a sparse matrix can have a hundred thousand columns."""
CUDA = 2  # DLPack's kDLCUDA
FLOATS = (np.float64, np.float32)
NO_TARGETS = "no_validation"
"""As y, validate_data()'s word for rows that come without targets."""


def device_of(X: Any) -> str | None:
    """`cuda:N` for an array that lies on a GPU, and None for anything else."""
    if isinstance(X, np.ndarray) or not hasattr(X, "__dlpack_device__"):
        return None
    kind, index = X.__dlpack_device__()
    return f"cuda:{index}" if int(kind) == CUDA else None


def read_rows(estimator: Any, X: Any, y: Any = NO_TARGETS, *, reset: bool, **options: Any) -> Any:
    """X (N, n), float32 or float64, and y if it is given; n and the names are kept or compared.

    An array on a GPU stays there, in its device's namespace; a sparse matrix becomes CSR; all else
    becomes a NumPy array by scikit-learn's rules. options: validate_data()'s, for y. Raises
    ValueError and TypeError as scikit-learn does.
    """
    name = device_of(X)
    if name is not None:
        xp = get_device(name, require=True).xp
        X = _finite(_converted(X, xp), "X")
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X if y is NO_TARGETS else (X, _targets_of(X, y, xp))
    options |= {"accept_sparse": "csr", "reset": reset}
    if y is not NO_TARGETS:
        return validate_data(estimator, X, to_host(y), dtype=FLOATS, **options)
    X = validate_data(estimator, X, **options)  # refuses texts, which a dtype would convert
    return X if X.dtype in FLOATS else X.astype(np.float64)


def _converted(array: Any, xp: Namespace) -> Array:
    """The array as one of xp's, in the same memory."""
    return array if isinstance(array, xp.ndarray) else xp.from_dlpack(array)


def _finite(X: Array, name: str) -> Array:
    """Rows on a GPU, checked as check_array() checks those on the host."""
    if X.ndim != 2 or 0 in X.shape:
        raise InputError(f"{name} has the shape {X.shape}; give rows (N, n), at least one of each")
    if X.dtype.kind not in "fiub":
        raise InputError(f"{name} is of type {X.dtype}; give numbers")
    if X.dtype not in FLOATS:
        X = X.astype("float64")
    if not abs(X).max() < np.inf:  # NaN isn't either
        raise InputError(f"{name} contains NaN or infinity; fill in or leave out such rows")
    return X


def _targets_of(X: Array, y: Any, xp: Namespace) -> Array:
    """The targets of rows on a GPU: they stay where they are, as strings have to."""
    if device_of(y) is None:
        y = check_array(y, ensure_2d=False, dtype=None, accept_sparse="csr", input_name="y")
    else:
        y = _converted(y, xp)
        if y.dtype.kind == "f" and not abs(y).max() < np.inf:
            raise InputError("y contains NaN or infinity; fill in or leave out such rows")
    check_consistent_length(X, y)
    return y


def to_host(array: Any) -> Any:
    """y or weights on the host, wherever they lie; what isn't on a GPU stays as it is."""
    name = device_of(array)
    if name is None:
        return array
    device = get_device(name, require=True)
    return device.to_host(_converted(array, device.xp))


def like(X: Any, result: Array, device: Device) -> Any:
    """The result (device array) in an array of X's kind if X lies on a GPU, else in NumPy's."""
    if device_of(X) is None:
        return device.to_host(result)
    if isinstance(result, type(X)):
        return result
    if hasattr(X, "__array_namespace__"):
        return X.__array_namespace__().from_dlpack(result)
    return sys.modules[type(X).__module__.partition(".")[0]].from_dlpack(result)


class _SparseRows:
    """The rows of a CSR matrix and of arrays beside it: each chunk is made dense for the device."""

    def __init__(self, device: Device, arrays: Sequence[Any]):
        self.to_device, self.arrays = device.to_device, arrays

    def chunks(self, rows: Rows | None, bounds: Sequence[Bounds]) -> Iterator[Chunk]:
        """See RowSource."""
        for start, stop in bounds:
            index = slice(start, stop) if rows is None else rows[start:stop]
            X, *others = (array[index] for array in self.arrays)
            parts = [self.to_device(part) for part in (X.toarray(), *others)]
            yield parts[0], parts[1], parts[2] if len(parts) > 2 else None


class Loader:
    """Rows (X, y, weights) on the device, chunk by chunk, in any order.

    X (N, n) an array on the host or the device, or CSR; y (N,) or (N, K); weights (N,) or None.
    rows (M,): which of them, None for all. Chunks are of whole batches, of batch_size rows.
    """

    def __init__(
        self, device: Device, X: Any, y: Array, weights: Array | None = None, *,
        rows: Rows | None = None, batch_size: int = 1,
    ):  # fmt: skip
        n_features = X.shape[1]
        most = min(CHUNK_ROWS, CHUNK_BYTES // (X.dtype.itemsize * n_features))
        self.batch_size = batch_size
        self.chunk_rows = max(1, most // batch_size) * batch_size
        self.rows = rows
        self.n_rows = X.shape[0] if rows is None else len(rows)
        arrays = [X, y] if weights is None else [X, y, weights]
        self._source: RowSource = (
            _SparseRows(device, arrays) if sparse.issparse(X)
            else array_rows(device, arrays, min(self.chunk_rows, self.n_rows))
        )  # fmt: skip

    def chunks(self, order: Rows | None = None) -> Iterator[Chunk]:
        """All of them, in this order of their numbers or else their own."""
        rows = order if self.rows is None or order is None else self.rows[order]
        rows = self.rows if rows is None else rows
        return self._source.chunks(rows, chunk_bounds(self.n_rows, self.chunk_rows))


def check_weights(weights: Any, X: Any) -> Array:
    """The weights of the rows X, (N,), of NumPy and in its dtype; one number weighs all.

    Raises InputError, a ValueError, for others, and for some below 0.
    """
    n_rows = X.shape[0]
    if isinstance(weights, Real):
        weights = np.full(n_rows, weights)
    checked = check_array(
        to_host(weights), ensure_2d=False, dtype=str(X.dtype), input_name="sample_weight"
    )
    if checked.shape != (n_rows,):
        raise InputError(
            f"sample_weight has the shape {checked.shape}; give one for each of {n_rows} rows"
        )
    if checked.min() < 0 or not checked.max() > 0:
        raise InputError("sample_weight is below 0 for a row, or zero for all; give weights from 0")
    return checked
