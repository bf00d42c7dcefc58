"""A network that knows what its inputs and outputs mean, and takes rows as people have them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data import Dataset, Split
from mlp_xp.data.arrays import rows_of
from mlp_xp.data.checks import as_array
from mlp_xp.data.sampling import is_square
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.nn.network import Network
from mlp_xp.training.evaluation import evaluate, predict
from mlp_xp.training.metrics import Evaluation
from mlp_xp.types import HostArray

FACTOR = 20
"""How many times larger or smaller pictures' values are if they are in another unit."""
FEW_ROWS = 10
"""Fewer rows may all be far from those of training."""
ROWS_LOOKED_AT = 4096
"""Of many rows, whose unit is the same."""


class Model(Network):
    """A Network that takes rows as people have them, and checks that they mean what they meant."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """The name of each output: a class, or a column of y; its number where it has none."""
        return self.schema.outputs(self.sizes[-1])

    def predict(self, X: Any) -> NDArray[np.floating]:
        """The prediction for each row of X, (N, K): see the function predict().

        X: rows as Dataset.from_arrays() takes them; a table's columns are found by their names.
        Warns of columns that can't mean what they meant in training.
        """
        rows = as_array(rows_of(X, self.schema, "the data"), "the data")
        self.check_range(rows)
        return predict(self, rows)

    def evaluate(self, X: Any, y: Any = None) -> Evaluation:
        """How well the network predicts y from X, as Dataset.from_arrays() takes both, or a Split.

        See the function evaluate().
        """
        if isinstance(X, Split):
            return evaluate(self, X)
        if y is None:
            raise InputError("evaluate() takes rows and their labels, or a Split")
        data = Dataset.like(self.schema, X, y, self.objective_name)
        self.check_range(data.train.X)
        return evaluate(self, data.train)

    def check_range(self, X: HostArray) -> None:
        """Warn if the values of X (N, ...) can't mean what they meant in training."""
        surprise = self.surprise(X)
        if surprise is not None:
            warnings.warn(surprise, TrainingWarning, stacklevel=3)

    def surprise(self, X: HostArray) -> str | None:
        """Why the rows X (N, ...) can't be meant as in training; None if they can.

        Pictures whose values are all at most a FACTOR of those of training, or that much larger.
        Of other rows, from FEW_ROWS on, a column whose median lies outside of its range in
        training by more than the width of that range. The first ROWS_LOOKED_AT are looked at.
        """
        if self.value_range is None or X.ndim < 2 or not X.size or X.dtype.kind not in "iuf":
            return None
        rows = X[:ROWS_LOOKED_AT].reshape(min(len(X), ROWS_LOOKED_AT), -1)
        if rows.shape[1] != self.sizes[0]:
            return None
        low, high = self.value_range
        if self.schema.picture is not None or (self.input_scale and is_square(rows.shape[1])):
            here, there = float(rows.max()), float(high.max())
            if 0 < here * FACTOR < there or here > there * FACTOR:
                return (
                    f"the values are {rows.min():g} to {here:g}, where training saw "
                    f"{low.min():g} to {there:g}; give them in the same unit"
                )
            return None
        width, median = high - low, np.median(rows, axis=0)
        outside = np.flatnonzero((width > 0) & ((median < low - width) | (median > high + width)))
        if not len(outside) or len(rows) < FEW_ROWS:
            return None
        i = int(outside[0])
        names = self.schema.feature_names
        more = f", and {len(outside) - 1} more columns" if len(outside) > 1 else ""
        return (
            f"column {names[i] if names else i!r} is {rows[:, i].min():g} to {rows[:, i].max():g}, "
            f"where training saw {low[i]:g} to {high[i]:g}{more}; check its unit"
        )
