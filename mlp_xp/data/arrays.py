"""What people have in memory, as a data set takes it: arrays, lists, tables; labels of any kind."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlp_xp.data.checks import MAX_CLASSES, as_array, check_classes, find_objective, unpacked
from mlp_xp.data.classes import class_key
from mlp_xp.data.frames import (
    FrameTable,
    column_names,
    keys_of,
    rows_of,
    values_of,
    without,
)
from mlp_xp.data.labels import LabelBuilder, are_classes
from mlp_xp.data.raw import RawData, listed
from mlp_xp.data.table import fit_frame
from mlp_xp.data.values import Numbers
from mlp_xp.errors import InputError, TrainingWarning
from mlp_xp.schema import Picture, Schema
from mlp_xp.types import HostArray

__all__ = ["column_names", "read_arrays", "rows_of"]

LEAST_SIDE = 8
"""Pixels: a smaller square in an array of three axes is more likely something else."""


def recognize_targets(y: HostArray) -> str:
    """The objective that targets (N,) or (N, K) are for.

    Texts are classes, `multiclass`, and so are whole numbers where are_classes() says so. Columns
    of 0 and 1 are classes where each row has one 1, as one-hot encoding makes them, and else
    `multilabel`. All others are a `regression`.
    """
    if y.dtype.kind not in "biuf":
        return "multiclass"
    if y.ndim == 2 and y.shape[1] > 1:
        if not ((y == 0) | (y == 1)).all():
            return "regression"
        return "multiclass" if (y.sum(axis=1) == 1).all() else "multilabel"
    if y.dtype.kind == "b":
        return "multiclass"
    if not np.isfinite(y).all() or (y.dtype.kind == "f" and (y != np.floor(y)).any()):
        return "regression"
    if not y.size or not y.ndim:
        return "multiclass"  # refused by its shape
    distinct = np.unique(y)
    is_classes = are_classes(len(distinct), float(distinct[0]), float(distinct[-1]), len(y))
    return "multiclass" if is_classes else "regression"


def read_classes(
    y: HostArray, known: Sequence[str] | None, where: str, *, new: bool, numbered: bool = True
) -> tuple[HostArray, tuple[str, ...] | None]:
    """Classes (N,) int64 and their names, of labels (N,) of any type, or one-hot (N, K).

    known: the classes' names, if they have any; new: whether others may come; numbered: whether
    whole numbers may stand for classes whose names are no numbers. Whole numbers from 0 on that
    leave none out are the classes themselves and need no names. Any other labels are classes by
    name.
    """
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf" and _is_one_hot(y):
        return y.argmax(axis=1).astype(np.int64), None if known is None else tuple(known)
    if y.ndim == 2 and y.shape[1] == 1:  # as Keras has CIFAR
        y = y[:, 0]
    if y.ndim != 1 or not len(y):
        return y, None  # refused by its shape
    if y.dtype.kind == "b" and not (new and known is not None):
        y = np.where(y, "True", "False")
    if y.dtype.kind in "biuf" and (known is not None or _counts_from_0(y) or not _is_whole(y)):
        by_name = known is not None and all(
            class_key(name).removeprefix("-").isdecimal() for name in known
        )
        if known is not None and not by_name and not numbered:
            raise InputError(
                f"{where}: the labels are numbers, and the model's classes are {listed(known)}; "
                "give their names"
            )
        if not by_name:
            return np.array(check_classes(y, where)), None if known is None else tuple(known)
    label = LabelBuilder(["label"], where, "multiclass")
    values = values_of(y.astype(np.int64) if y.dtype.kind == "f" else y, f"{where}: labels")
    if isinstance(values, Numbers) and values.kind == "date":
        raise InputError(f"{where}: the labels are dates; give numbers or texts")
    label.add([values], "row {}".format)
    found = label.finish(None if known is None else tuple(known), new=known is None and new)
    return found.y, found.output_names


def _is_one_hot(y: HostArray) -> bool:
    return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def _is_whole(y: HostArray) -> bool:
    return y.dtype.kind in "iu" or (
        y.dtype.kind == "f" and bool(np.isfinite(y).all() and (y == np.floor(y)).all())
    )


def _counts_from_0(y: HostArray) -> bool:
    """Whether whole numbers are 0, 1, ... up to some number, with none left out."""
    # In float64, as float16 ends below MAX_CLASSES.
    if not _is_whole(y) or y.min() != 0 or np.float64(y.max()) >= MAX_CLASSES:
        return False
    return bool(np.bincount(y.astype(np.int64)).all())


def read_arrays(
    X: Any,
    y: Any,
    weights: Any,
    others: Mapping[str, Any],
    objective: str | None,
    names: Schema,
    where: str,
    *,
    new: bool = True,
    numbered: bool = True,
) -> RawData:
    """Training rows and those of `others`, pairs (X, y) by name; see Dataset.from_arrays().

    new: whether classes without names may be others than whole numbers from 0, which get names.
    numbered: whether whole numbers may stand for classes with names.
    """
    X, y, label = split_label(X, y, names.label, where)
    if label is not None and label in (column_names(X) or ()):
        raise InputError(
            f"{where}: y is the column {label[:40]!r}, which X holds too; leave it out of X, or "
            "give y as its name"
        )
    targets, target_names = _targets(y, where, names.output_names)
    if objective is None:
        objective = recognize_targets(targets)
        if objective == "regression" and targets.ndim < 3 and _is_whole(targets):
            note = (
                f"{where}: the labels are whole numbers of many values, and are taken for a "
                "regression; the objective multiclass makes them classes"
            )
            warnings.warn(note, TrainingWarning, stacklevel=4)
    single = find_objective(objective).single_label
    if target_names and len(target_names) == 1:
        label = label or target_names[0]
    label = label if single else None
    columns, given = None, X
    notes: tuple[str, ...] = ()
    if column_names(X) is not None:
        columns, given, notes = fit_frame(FrameTable(X, where))
        features: tuple[str, ...] | None = tuple(
            n for column in columns for n in column.feature_names
        )
    else:
        features = names.feature_names
    one_hot = target_names is not None and len(target_names) > 1
    output_names = names.output_names or (target_names if one_hot or not single else None)
    is_numbered = numbered and targets.dtype.kind in "biuf"
    if single:
        targets, output_names = read_classes(
            targets, output_names, where, new=new, numbered=is_numbered
        )
    schema = Schema(columns, features, output_names, label, _picture(X))
    splits = {
        which: _other(pair, which, schema, where, single=single, numbered=is_numbered)
        for which, pair in others.items()
    }
    return RawData(
        (given, targets, weights), splits.get("test"), schema, objective, notes,
        splits.get("validation"),
    )  # fmt: skip


def check_width(X: Any, schema: Schema, where: str) -> None:
    """Raise InputError if the rows of an array X are longer or shorter than a model's."""
    shape, names = getattr(X, "shape", ()), schema.feature_names
    if names is not None and len(shape) > 1 and math.prod(shape[1:]) != len(names):
        raise InputError(
            f"{where}: rows have {math.prod(shape[1:])} values, and the model's {len(names)} "
            f"({listed(names)}); they must agree"
        )


def _other(
    pair: Any, which: str, schema: Schema, where: str, *, single: bool, numbered: bool
) -> tuple[Any, Any, None] | None:
    """X and y of further rows, as the schema has them."""
    if pair is None:
        return None
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(f"{where}: the {which} set must be a pair (X, y)")
    X, y, _ = split_label(pair[0], pair[1], schema.label, where)
    targets, _ = _targets(y, where, schema.output_names)
    if single:
        targets, _ = read_classes(targets, schema.output_names, where, new=False, numbered=numbered)
    return rows_of(X, schema, f"{where}: {which} data"), targets, None


def split_label(X: Any, y: Any, label: str | None, where: str) -> tuple[Any, Any, str | None]:
    """X, y and the label's name, where y may be the name of a column of X."""
    if not isinstance(y, str):
        name = getattr(y, "name", None)
        return X, y, label or (name if isinstance(name, str) and name else None)
    names = column_names(X)
    if names is None or y not in names:
        raise InputError(f"{where}: no column is named {y[:40]!r}; give y, or the name of a column")
    return without(X, y), X[(keys_of(X) or [])[names.index(y)]], y


def _targets(
    y: Any, where: str, order: Sequence[str] | None = None
) -> tuple[HostArray, tuple[str, ...] | None]:
    """Targets as an array, and the names of their columns, if they have any.

    order: the order that columns of these names are brought to.
    """
    if keys_of(y) is None:
        array = as_array(y, f"{where}: training labels")
        return unpacked(array, where) if array.dtype.kind == "O" else array, None
    table = FrameTable(y, f"{where}: labels")
    if len(table.names) == 1:
        return _targets(y[table.keys[0]], where)[0], tuple(table.names)
    if order is not None and sorted(order) == sorted(table.names):
        names = list(order)
    else:
        names = table.names
    columns = [y[table.keys[table.names.index(name)]] for name in names]
    parts = [values_of(column, f"{where}: labels") for column in columns]
    if not all(isinstance(part, Numbers) for part in parts):
        raise InputError(f"{where}: labels in several columns must be numbers; name one column")
    return np.stack([part[0] for part in parts], axis=1), tuple(names)


def _picture(X: Any) -> Picture | None:
    """The size of pictures in an array (N, height, width), or with a last axis of 1 or 3 colors."""
    shape: tuple[int, ...] = getattr(X, "shape", ())
    sized = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if not sized or min(shape[1:3]) < LEAST_SIDE:
        return None
    return Picture(int(shape[1]), int(shape[2]), int(shape[3]) if len(shape) == 4 else 1)
