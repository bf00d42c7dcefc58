"""Data sets: splits for training, testing and validation, and what their targets stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlp_xp.data.arrays import check_width, read_arrays, rows_of, split_label
from mlp_xp.data.checks import MAX_CLASSES, check_pair, check_targets, find_objective
from mlp_xp.data.memory import blocks
from mlp_xp.data.raw import RawData, names_of
from mlp_xp.data.split import Split
from mlp_xp.errors import InputError
from mlp_xp.nn.losses import Objective
from mlp_xp.schema import Column, Picture, Schema


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training rows, optional test and validation rows, and what y stands for.

    n_outputs is the number of outputs that a network for this data has: of classes, or of columns
    of y. objective is a key of OBJECTIVES. output_names are the names of the outputs, if the
    data has any. feature_names are the columns of X, and label is the column of classes, both in a
    table; None where there is none. columns: the table's own columns, which have become X.
    picture: the size of a row, where rows are pictures. notes: lines that tell what was done to
    the data.

    Raises InputError unless all of this fits together; `where` is how messages start, by default
    the name. The values of X aren't read here, see Split. A list of names becomes a tuple.
    """

    name: str
    train: Split
    test: Split | None
    n_outputs: int
    objective: str = "multiclass"
    output_names: tuple[str, ...] | None = None
    validation: Split | None = None
    feature_names: tuple[str, ...] | None = None
    label: str | None = None
    columns: tuple[Column, ...] | None = None
    picture: Picture | None = None
    notes: tuple[str, ...] = ()
    where: InitVar[str | None] = None

    def __post_init__(self, where: str | None) -> None:
        where = str(self.name) if where is None else where
        objective = find_objective(self.objective)
        splits = {"training": self.train, "test": self.test, "validation": self.validation}
        for which, split in splits.items():
            if not isinstance(split, Split) and (split is not None or which == "training"):
                raise InputError(
                    f"{where}: the {which} set is of type {type(split).__name__}; give a Split"
                )
        most = MAX_CLASSES if objective.single_label else 2**53
        if not isinstance(self.n_outputs, int | np.integer) or not 1 <= self.n_outputs <= most:
            raise InputError(
                f"{where}: n_outputs is {self.n_outputs!r}; give a number from 1 to {most}"
            )
        for which, split in splits.items():
            if split is not None:
                self._check_split(split, which, where, objective)
        if not isinstance(self.label, str | None):
            raise InputError(f"{where}: label is {self.label!r}; give the name of a column")
        outputs = "classes" if objective.single_label else "columns of targets"
        names = names_of(self.output_names, "output_names", where)
        _check_count(names, self.n_outputs, outputs, where)
        features = names_of(self.feature_names, "feature_names", where)
        _check_count(features, self.n_features, "features", where)
        object.__setattr__(self, "n_outputs", int(self.n_outputs))
        object.__setattr__(self, "output_names", names)
        object.__setattr__(self, "feature_names", features)

    def _check_split(self, split: Split, which: str, where: str, objective: Objective) -> None:
        """Raise InputError unless a split has the inputs and outputs of this data set."""
        features = split.X.shape[1]
        if features != self.n_features:
            raise InputError(
                f"{where}: {which} rows have {features} values, training rows {self.n_features}; "
                "they must agree"
            )
        y = split.y[split.index()]
        if objective.single_label != (y.ndim == 1):
            needed = "one class" if objective.single_label else "a row of targets"
            raise InputError(
                f"{where}: {which} labels of shape {split.y.shape}; {self.objective} needs "
                f"{needed} for each row"
            )
        if not objective.single_label:
            if y.shape[1] != self.n_outputs:
                raise InputError(
                    f"{where}: {y.shape[1]} targets a {which} row, but {self.n_outputs} outputs; "
                    "they must agree"
                )
            check_targets(y, y, where, objective)
        elif y.max() >= self.n_outputs:
            seen = "is beyond the classes" if which == "training" else "does not occur in training"
            raise InputError(
                f"{where}: {which} label {y.max()} {seen}, whose labels are 0 to "
                f"{self.n_outputs - 1}; leave its rows out"
            )

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: Any,
        *,
        weights: ArrayLike | None = None,
        test: tuple[Any, Any] | None = None,
        validation: tuple[Any, Any] | None = None,
        objective: str | None = None,
        output_names: Iterable[str] | None = None,
        feature_names: Iterable[str] | None = None,
        label: str | None = None,
        name: str = "data",
        where: str | None = None,
    ) -> Dataset:
        """A data set from what people have: arrays, lists, or tables of pandas, polars or Arrow.

        X (N, ...) numbers: each row is flattened, so (N, 28, 28) becomes (N, 784). uint8, float32
        and float64 stay as they are, without a copy; other types become float32 where that loses
        nothing, else float64. A table's columns become inputs as those of a file do: categories
        one-hot, missing numbers the median with an indicator, dates days.
        y: for multiclass (N,) or (N, 1) whole numbers or texts, or one-hot (N, K); for multilabel
        (N, K), 0 or 1; for regression (N, K) or (N,), finite numbers. Whole numbers that count the
        classes from 0 are those; others become names.
        weights (N,): the weight of each training row in the loss, 0 or more.
        test, validation: pairs (X, y) of the same kind; tables are matched by name.
        objective: a key of OBJECTIVES; None to recognize it by y, see recognize_targets().
        output_names: a name for each output. feature_names: a name for each value in a row of an
        array. label: the name of y, for classes.
        where: how error messages start, by default the name.

        Raises InputError for shapes that disagree, empty arrays, NaN, infinity, values that aren't
        numbers, and targets that the objective can't learn.
        """
        where = name if where is None else where
        raw = read_arrays(
            X, y, weights, {"test": test, "validation": validation}, objective,
            Schema(
                None, names_of(feature_names, "feature_names", where),
                names_of(output_names, "output_names", where), label,
            ),
            where,
        )  # fmt: skip
        return cls.from_raw(raw, name, where)

    @classmethod
    def like(
        cls, schema: Schema, X: Any, y: Any, objective: str, *, new_classes: bool = False
    ) -> Dataset:
        """A data set of X and y, as from_arrays() takes them, that fits a model's schema.

        new_classes: whether the labels may be other classes, where the schema names none.
        """
        where = "data"
        X, y, _ = split_label(X, y, schema.label, where)
        X = rows_of(X, schema, where)
        check_width(X, schema, where)
        names = Schema(None, schema.feature_names, schema.output_names, schema.label)
        return cls.from_raw(
            read_arrays(
                X, y, None, {}, objective, names, where, new=new_classes, numbered=new_classes
            ),
            where,
            where,
        )

    @classmethod
    def from_raw(cls, raw: RawData, name: str, where: str) -> Dataset:
        """A data set of arrays that a source has given, checked; see from_arrays()."""
        objective, schema = find_objective(raw.objective), raw.schema
        splits = {}
        for which in ("train", "test", "validation"):
            arrays = getattr(raw, which)
            if arrays is not None:
                X, y, weights = arrays
                spelled = "training" if which == "train" else which
                pair = check_pair(X, y, where, spelled, objective)
                splits[which] = Split(*pair, weights, where=where)
        train = splits["train"]
        if objective.single_label:
            n_outputs = max(int(train.y.max()) + 1, len(schema.output_names or ()))
        else:
            n_outputs = train.y.shape[1]
        return cls(
            name, train, splits.get("test"), n_outputs, raw.objective, schema.output_names,
            splits.get("validation"), schema.feature_names, schema.label, schema.columns,
            schema.picture, raw.notes, where,
        )  # fmt: skip

    @property
    def schema(self) -> Schema:
        """What the inputs and outputs are called, and made of."""
        return Schema(self.columns, self.feature_names, self.output_names, self.label, self.picture)

    @property
    def n_features(self) -> int:
        """The number of inputs, n: values in a row."""
        return int(self.train.X.shape[1])

    @property
    def evaluation_split(self) -> tuple[str, Split]:
        """The rows that a network is evaluated on, with their name: `test`, else `train`."""
        return ("test", self.test) if self.test else ("train", self.train)

    def fingerprint(self) -> str:
        """128 bits of BLAKE2b, in hex, over every value, shape and dtype, and the names of columns.

        The same arrays and names have the same fingerprint whatever file they come from and
        whatever the data set's name; a single different bit changes it. Reads all of the data, a
        few megabytes at a time.
        """
        digest, seen = hashlib.blake2b(digest_size=16), set()
        for split in (self.train, self.test, self.validation):
            arrays = [] if split is None else [split.X, split.y, split.weights]
            if split is not None and split.rows is not None:
                arrays.append(split.rows)
            digest.update(repr([array is not None and array.shape for array in arrays]).encode())
            for array in (array for array in arrays if array is not None):
                digest.update(array.dtype.str.encode())
                if id(array) not in seen:
                    seen.add(id(arrays[0]))  # X, which rows that are held out share
                    for _, block in blocks(array):
                        digest.update(np.ascontiguousarray(block).data)
        digest.update(repr((self.objective, self.n_outputs, self.schema)).encode())
        return digest.hexdigest()


def _check_count(names: tuple[str, ...] | None, count: int, what: str, where: str) -> None:
    """Raise InputError unless there is one name for each, all different, or none at all."""
    if names and len(names) != count:
        raise InputError(f"{where}: {len(names)} names for {count} {what}; give one for each")
    if names and len(set(names)) != count:
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: two {what} are named {twice!r}; give each its own name")
