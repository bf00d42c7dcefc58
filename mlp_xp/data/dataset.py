"""Data sets: rows and targets, in memory or mapped from files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlp_xp.data.checks import check_pair, check_weights, find_objective
from mlp_xp.data.memory import blocks
from mlp_xp.errors import InputError
from mlp_xp.nn.losses import Objective
from mlp_xp.types import HostArray

Index = NDArray[np.int64]


class RawData(NamedTuple):
    """The arrays of a file before any check: (X, y) for training and testing, names of outputs."""

    train: tuple[HostArray, HostArray]
    test: tuple[HostArray, HostArray] | None
    output_names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Rows with their targets: all rows of its arrays, or those that `rows` selects.

    X (N, n) uint8, float32 or float64, in memory or mapped from a file (numpy.memmap);
    y (N,) int64, a class from 0 on each row, or (N, K) float32, a column for each output;
    weights (N,) float, each row's weight in the loss, or None if all weigh the same;
    rows (M,) int64, the indices in the arrays of the rows that belong to the split, in its order,
    or None if all of them do. len() is M, or N.
    """

    X: HostArray
    y: HostArray
    weights: HostArray | None = None
    rows: Index | None = None

    def __len__(self) -> int:
        return len(self.y if self.rows is None else self.rows)

    def subset(self, rows: ArrayLike) -> Split:
        """A split of only these rows of this one, in the same arrays; nothing is copied.

        rows: an array of indices into this split, which may repeat, or a mask of len(self)
        booleans. Raises IndexError if they are out of range or of another type.
        """
        selected = np.arange(len(self))[np.asarray(rows)]
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


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training rows, optional test and validation rows, and what y stands for.

    n_outputs is the number of outputs that a network for this data has: of classes, or of columns
    of y. objective is a key of OBJECTIVES. output_names are the names of the outputs, if the
    data has any.

    Dataset.from_arrays() and load_data() check everything; this constructor checks nothing.
    """

    name: str
    train: Split
    test: Split | None
    n_outputs: int
    objective: str = "multiclass"
    output_names: tuple[str, ...] | None = None
    validation: Split | None = None

    @classmethod
    def from_arrays(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        test: tuple[ArrayLike, ArrayLike] | None = None,
        validation: tuple[ArrayLike, ArrayLike] | None = None,
        objective: str = "multiclass",
        output_names: Iterable[str] | None = None,
        name: str = "data",
        where: str | None = None,
    ) -> Dataset:
        """A data set from arrays, or from anything that numpy.asarray() takes, checked.

        X (N, ...) numbers: each row is flattened, so (N, 28, 28) becomes (N, 784). uint8, float32
        and float64 stay as they are, without a copy; other types become float32 where that loses
        nothing, else float64.
        y: for multiclass (N,) whole numbers, the classes from 0 on; for multilabel (N, K) or (N,),
        0 or 1; for regression (N, K) or (N,), finite numbers.
        weights (N,): the weight of each training row in the loss, 0 or more.
        test, validation: pairs (X, y) of the same kind.
        output_names: a name for each output. Without them, a multiclass data set has as many
        classes as its largest training label + 1.
        where: how error messages start, by default the name.

        Raises InputError for shapes that disagree, empty arrays, NaN, infinity, values that aren't
        numbers, and targets that the objective can't learn.
        """
        where = name if where is None else where
        resolved = find_objective(objective)
        if isinstance(output_names, str) or not isinstance(output_names, Iterable | None):
            raise InputError(f"output_names is {output_names!r}; it must be a list of names")
        names = None if output_names is None else tuple(map(str, output_names))
        train = Split(*check_pair(X, y, where, "training", resolved))
        if weights is not None:
            train = replace(train, weights=check_weights(weights, len(train), where))
        n_outputs = _count_outputs(train, names, where, resolved)
        pairs = {"test": test, "validation": validation}
        others = {
            which: _check_other(pair, which, train, n_outputs, where, resolved)
            for which, pair in pairs.items()
            if pair is not None
        }
        return cls(name, train, others.get("test"), n_outputs, objective, names or None,
                   others.get("validation"))  # fmt: skip

    @property
    def n_features(self) -> int:
        """The number of inputs, n: values in a row."""
        return int(self.train.X.shape[1])

    @property
    def evaluation_split(self) -> tuple[str, Split]:
        """The rows that a network is evaluated on, with their name: `test`, else `train`."""
        return ("test", self.test) if self.test else ("train", self.train)

    def fingerprint(self) -> str:
        """128 bits of BLAKE2b, in hex, over every value, shape and dtype, and the outputs' names.

        The same arrays have the same fingerprint whatever file they come from and whatever the
        data set's name; a single different bit changes it. Reads all of the data, a few megabytes
        at a time.
        """
        digest = hashlib.blake2b(digest_size=16)
        for split in (self.train, self.test, self.validation):
            arrays = [] if split is None else [split.X, split.y, split.weights]
            if split is not None and split.rows is not None:
                arrays.append(split.rows)
            digest.update(repr([array is not None and array.shape for array in arrays]).encode())
            for array in (array for array in arrays if array is not None):
                digest.update(array.dtype.str.encode())
                for _, block in blocks(array):
                    digest.update(np.ascontiguousarray(block).data)
        digest.update(repr((self.objective, self.n_outputs, self.output_names)).encode())
        return digest.hexdigest()


def _count_outputs(
    train: Split, names: tuple[str, ...] | None, where: str, objective: Objective
) -> int:
    """The number of outputs, by their names or else by the training targets."""
    single = objective.single_label
    needed = int(train.y.max()) + 1 if single else int(train.y.shape[1])
    if not names:
        return needed
    if len(names) < needed or (len(names) > needed and not single):
        columns = "classes" if single else "columns of targets"
        raise InputError(f"{where}: {len(names)} names for {needed} {columns}; give one for each")
    return len(names)


def _check_other(
    pair: Any, which: str, train: Split, n_outputs: int, where: str, objective: Objective
) -> Split:
    """The test or validation split. Raises InputError unless it fits the training split."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(f"{where}: the {which} set must be a pair (X, y)")
    X, y = pair
    split = Split(*check_pair(X, y, where, which, objective))
    features, expected = split.X.shape[1], train.X.shape[1]
    if features != expected:
        raise InputError(
            f"{where}: {which} rows have {features} values, training rows {expected}; "
            "they must agree"
        )
    if split.y.shape[1:] != train.y.shape[1:]:
        raise InputError(
            f"{where}: {split.y.shape[1]} targets a {which} row, {n_outputs} a training row; "
            "they must agree"
        )
    if objective.single_label and split.y.max() >= n_outputs:
        raise InputError(
            f"{where}: {which} label {split.y.max()} does not occur in training, "
            f"whose labels are 0 to {n_outputs - 1}; leave its rows out"
        )
    return split
