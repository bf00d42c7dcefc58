"""A split's rows on the device, in the order of the epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.backend import Backend
from mlp_xp.datasets import Split
from mlp_xp.functions import Array


class Feed:
    """The rows of a split on the device, as they were loaded: bytes stay bytes.

    begin(order) opens an epoch; take(start, stop) gives its rows from start to stop.
    """

    def __init__(self, backend: Backend, split: Split):
        self.backend = backend
        self.X = backend.to_device(split.X)
        self.y = backend.to_device(split.y)
        self.order: Array | None = None

    def begin(self, order: NDArray[Any] | None) -> None:
        """Open an epoch whose i-th row is the split's row order[i], or its i-th row if None."""
        self.order = None if order is None else self.backend.to_device(order.astype(np.int64))

    def take(self, start: int, stop: int) -> tuple[Array, Array]:
        """The epoch's rows from start to stop: X (stop - start, n) as loaded, y (stop - start,)."""
        rows: Any = slice(start, stop) if self.order is None else self.order[start:stop]
        return self.X[rows], self.y[rows]
