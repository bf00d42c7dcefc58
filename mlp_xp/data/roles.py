"""Which of a table's columns are for what: features, labels, weights."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlp_xp.data.raw import listed
from mlp_xp.data.tablefile import TableFile
from mlp_xp.errors import InputError
from mlp_xp.schema import Column, Schema


@dataclass(frozen=True)
class Roles:
    """Which columns of a table aren't features.

    label: the column to predict, or several with commas between them; None for the model's, or the
    last. weight: the column with each row's weight in the loss. drop: columns to leave out.
    """

    label: str | None = None
    weight: str | None = None
    drop: tuple[str, ...] = ()


def places_of(
    table: TableFile,
    roles: Roles,
    like: Schema | None = None,
    outputs: Sequence[str] | None = None,
    *,
    labels_needed: bool = True,
) -> tuple[list[int], list[int], list[int]]:
    """Where the columns are: labels, the weight (one or none), and all others but the dropped.

    outputs: the columns of y that a model `like` this one has learned, if they are no classes.
    """
    names = table.names
    by_name = like is not None and (like.columns or like.feature_names) is not None
    dropped = [] if by_name else find_columns(table, roles.drop, "--drop")
    weight = [] if roles.weight is None else find_columns(table, [roles.weight], "--weight")
    if len(names) < 2 and labels_needed:
        raise InputError(
            f"{table.path}: has the one column {names[0][:40]!r}; it needs features and a label, "
            "with a comma, a semicolon or a tab between them"
        )
    taken = [*dropped, *weight]
    labels = _label_places(table, roles.label, like, outputs, taken, needed=labels_needed)
    for i in labels:
        if i in dropped or i in weight:
            option = "--drop" if i in dropped else "--weight"
            raise InputError(f"{table.path}: {names[i]!r} is the label; {option} can't name it too")
    return labels, weight, [i for i in range(len(names)) if i not in {*taken, *labels}]


def _label_places(
    table: TableFile,
    label: str | None,
    like: Schema | None,
    outputs: Sequence[str] | None,
    taken: list[int],
    *,
    needed: bool,
) -> list[int]:
    """The columns that `label` names, else those of `like`, else the last that has no other use."""
    if label is not None:
        names = _split(label, table.names)
        # In the order of the model's outputs, if they are the same.
        names = list(outputs) if outputs and sorted(names) == sorted(outputs) else names
        if outputs and names != list(outputs) and set(names) & set(outputs):
            raise InputError(
                f"{table.path}: --label names {listed(names)}, but the model's outputs are "
                f"{listed(outputs)}; name all of them, or none"
            )
    elif outputs:
        names = list(outputs)
    elif like is not None and like.label is not None:
        names = [like.label]
    elif needed:
        names = [name for i, name in enumerate(table.names) if i not in taken][-1:]
        if not names:
            raise InputError(f"{table.path}: every column is left out; keep a label and a feature")
    else:
        names = []
    if not needed:
        names = [name for name in names if name in table.names or label is not None]
    return find_columns(table, names, "--label")


def find_columns(table: TableFile, names: Sequence[str], option: str) -> list[int]:
    """Where these columns are. Raises InputError, naming the nearest, for one that isn't there."""
    for name in names:
        if name not in table.names:
            near = difflib.get_close_matches(name, table.names, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {listed(table.names)}"
            raise InputError(f"{table.path}: no column is named {name[:40]!r} ({option}); {hint}")
    if len(set(names)) < len(names):
        raise InputError(f"{table.path}: {option} names a column twice ({listed(names)})")
    return [table.names.index(name) for name in names]


def _split(text: str, names: Sequence[str]) -> list[str]:
    """The names in a label: one, or several with commas between them."""
    return [text] if text in names else [part.strip() for part in text.split(",")]


def known_columns(
    table: TableFile, like: Schema, taken: Sequence[int], others: Sequence[int]
) -> tuple[list[Column], list[int]]:
    """The columns that `like` was trained on, and where the table has them.

    A model of arrays has none, but may have names; without them, `others` are its inputs.
    """
    if like.columns is None and like.feature_names is None:
        if not others:
            raise InputError(f"{table.path}: every column is a label; keep one to learn from")
        return [Column(table.names[i], "number", math.nan) for i in others], list(others)
    columns = like.columns
    if columns is None:
        columns = tuple(Column(name, "number", math.nan) for name in like.feature_names or ())
    missing = [column.name for column in columns if column.name not in table.names]
    if missing:
        raise InputError(
            f"{table.path}: lacks {listed(missing, 3)}, which the model learned from; its columns "
            f"are {listed(table.names)}"
        )
    features = [table.names.index(column.name) for column in columns]
    for i in set(features).intersection(taken):
        raise InputError(
            f"{table.path}: the model learned from column {table.names[i]!r} as a feature, so it "
            "is no label; name the label's column with --label"
        )
    return list(columns), features
