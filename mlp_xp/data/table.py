"""Tables with named columns: features, which become inputs, and the labels to predict."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data.checks import find_objective
from mlp_xp.data.columns import ColumnBuilder, ColumnError, NotNumbers, describe
from mlp_xp.data.csv import TextTable
from mlp_xp.data.encoder import Encoder, warn
from mlp_xp.data.labels import LabelBuilder
from mlp_xp.data.memory import check_memory
from mlp_xp.data.raw import RawData, listed
from mlp_xp.data.roles import Roles, find_columns, known_columns, places_of
from mlp_xp.data.tablefile import (
    COMPRESSED,
    STDIN,
    SUFFIXES,
    ArrowTable,
    ParquetTable,
    TableFile,
    check_names,
    table_format,
)  # fmt: skip
from mlp_xp.data.values import Numbers, Texts, Values, as_texts
from mlp_xp.errors import InputError
from mlp_xp.schema import Column, Schema
from mlp_xp.types import HostArray


def named_so(path: Path) -> bool:
    """Whether a path is named like a table."""
    return table_format(path) is not None


def open_table(path: Path) -> TableFile:
    """A table. Raises InputError if it can't be read, or names its columns wrongly."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a table; write all rows to one file")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"{path}: reading tables needs pyarrow: pip install '.[table]' in the clone"
        ) from error
    if path != STDIN:
        os.close(os.open(path, os.O_RDONLY))  # raises errors that are clearer than pyarrow's
    kinds: dict[str | None, type[TableFile]] = {
        "text": TextTable, "parquet": ParquetTable, "arrow": ArrowTable,
    }  # fmt: skip
    table = kinds[table_format(path)](path)
    check_names(table.names, path)
    return table


def find(folder: Path, stem: str) -> Path | None:
    """The folder's table of this name, in any format, if there is one."""
    names = [stem + suffix + end for suffix in SUFFIXES for end in ("", *COMPRESSED)]
    found = [folder / name for name in names if (folder / name).exists()]
    if len(found) > 1:
        raise InputError(f"{folder}: holds {found[0].name} and {found[1].name}; remove one")
    return found[0] if found else None


def load(
    path: Path, roles: Roles, like: Schema | None, objective: str | None, *, new: bool = False
) -> RawData:
    """The arrays of one table, or of a folder's train and test tables; see load_data().

    new: whether the classes may be others than those of `like`, where it has no names for them.
    objective: None to recognize it by the labels.
    """
    folder, path = path, path if not path.is_dir() else find(path, "train") or path
    table = open_table(path)
    if like is None:
        raw = _fit(table, roles, objective)
    else:
        raw = _read(table, roles, like, objective, new=new)
    test = find(folder, "test") if folder.is_dir() else None
    if test is None:
        return raw
    # All columns are known by now, and weights are of the training alone.
    return raw._replace(test=_read(open_table(test), Roles(), raw.schema, raw.objective).train)


FEW_ROWS = 10
"""From so many rows on, a column that counts them is no accident."""


def _fit(table: TableFile, roles: Roles, objective: str | None) -> RawData:
    """The rows of a table to learn from, and what its columns are."""
    labels, weight, features = places_of(table, roles)
    if not features:
        raise InputError(f"{table.path}: every column is a label; keep one to learn from")
    source = str(table.path)
    texts: set[int] = set()
    while True:
        label = LabelBuilder([table.names[i] for i in labels], source, objective)
        builders = [ColumnBuilder(table.names[i], i, source) for i in features]
        weights = _Weights(table, weight)
        try:
            read = table.blocks([*features, *labels, *weight], texts | label.texts(labels))
            with closing(read) as blocks:
                for values in blocks:
                    for builder, part in zip(builders, values, strict=False):
                        builder.add(part)
                    label.add(values[len(features) : len(features) + len(labels)], table.place)
                    weights.add(values[-1])
                    # For the inputs, which are as much again.
                    check_memory(sum(builder.size for builder in builders), source)
            break
        except NotNumbers as changed:  # only from a later block on
            texts.add(changed.place)
    if not label.n_rows:
        raise InputError(f"{source}: has columns but no rows; add some")
    columns = _finish(source, builders, label.n_rows)
    found = label.finish()
    note = f"{describe(columns, builders, [*table.left_out, *roles.drop])}; {found.note}"
    X = _inputs(columns, builders, label.n_rows, source)
    names = tuple(name for column in columns for name in column.feature_names)
    schema = Schema(columns, names, found.output_names, found.label)
    return RawData((X, found.y, weights.array()), None, schema, found.objective, (note,))


def fit_frame(
    table: TableFile,
) -> tuple[tuple[Column, ...], NDArray[np.floating], tuple[str, ...]]:
    """The columns of a table in memory, which are all features; its inputs; a note on them."""
    source = str(table.path)
    builders = [ColumnBuilder(name, i, source) for i, name in enumerate(table.names)]
    for values in table.blocks(range(len(builders)), ()):
        for builder, part in zip(builders, values, strict=True):
            builder.add(part)
    n_rows = builders[0].n_rows if builders else 0
    if not n_rows:
        raise InputError(f"{source}: has no rows; give it some")
    columns = _finish(source, builders, n_rows)
    note = describe(columns, builders, [])
    return columns, _inputs(columns, builders, n_rows, source), (note,)


def _inputs(
    columns: Sequence[Column], builders: Sequence[ColumnBuilder], n_rows: int, source: str
) -> NDArray[np.floating]:
    """All inputs, (N, n): float32 if that loses nothing, else float64."""
    wide = any(block.dtype == np.float64 for builder in builders for block in builder.blocks)
    dtype = np.dtype(np.float64 if wide else np.float32)
    width = sum(column.width for column in columns)
    check_memory(n_rows * width * dtype.itemsize, source)
    X = np.zeros((n_rows, width), dtype=dtype)
    row = 0
    while row < n_rows:  # a block of all columns at a time, which the processor's cache can hold
        stop, first = row + len(builders[0].blocks[0]), 0
        for column, builder in zip(columns, builders, strict=True):
            builder.write(column, X[row:stop, first : first + column.width])
            first += column.width
        row = stop
    return X


def _finish(source: str, builders: Sequence[ColumnBuilder], n_rows: int) -> tuple[Column, ...]:
    """The columns. Raises InputError for rows that are all alike, and for columns that can't be.

    That is one error for all of them, with the option that leaves them out.
    """
    if n_rows > 1 and all(builder.is_constant for builder in builders):
        raise InputError(f"{source}: all rows have the same values; there is nothing to learn from")
    columns, errors = [], []
    for builder in builders:
        try:
            columns.append(builder.finish())
            if builder.counts_rows and n_rows >= FEW_ROWS and len(builders) > 1:
                raise builder.error("only numbers the rows")
        except ColumnError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        names = [error.name for error in errors]
        raise InputError(
            f"{source}: columns {listed(list(map(repr, names)))} can't be inputs (of the first: "
            f"{errors[0].what}); leave them out: --drop {shlex.quote(','.join(names))}"
        )
    return tuple(columns)


class _Weights:
    """The column of weights, if there is one."""

    def __init__(self, table: TableFile, place: Sequence[int]):
        self.table, self.place = table, place
        self.blocks: list[HostArray] = []

    def add(self, values: Values) -> None:
        if not self.place:
            return
        name = self.table.names[self.place[0]]
        is_number = isinstance(values, Numbers) and values.kind != "date"
        if not isinstance(values, Numbers) or not is_number or np.isnan(values.values).any():
            raise InputError(
                f"{self.table.path}: column {name!r} holds weights; give each a number"
            )
        self.blocks.append(values.values)

    def array(self) -> HostArray | None:
        return np.concatenate(self.blocks) if self.place else None


def _read(
    table: TableFile, roles: Roles, like: Schema, objective: str | None, *, new: bool = False
) -> RawData:
    """The rows of a table by the columns and the classes that are known already."""
    objective = objective or "multiclass"
    single = find_objective(objective).single_label
    outputs = None if single or like.label is not None else like.output_names
    labels, weight, others = places_of(table, roles, like, outputs)
    columns, features = known_columns(table, like, [*labels, *weight], others)
    label = LabelBuilder([table.names[i] for i in labels], str(table.path), objective)
    weights, encoder = _Weights(table, weight), Encoder(columns)
    blocks: list[NDArray[np.floating]] = []
    texts = _texts(columns, features) | label.texts(labels)
    for values in table.blocks([*features, *labels, *weight], texts):
        blocks.append(encoder.encode(values[: len(features)], str(table.path), table.place))
        label.add(values[len(features) : len(features) + len(labels)], table.place)
        weights.add(values[-1])
    if not blocks:
        raise InputError(f"{table.path}: has columns but no rows; add some")
    warn(encoder, str(table.path))
    found = label.finish(like.output_names if single else None, new=new)
    schema = replace(
        like, label=like.label or found.label, output_names=found.output_names,
        feature_names=like.feature_names or tuple(column.name for column in columns),
    )  # fmt: skip
    return RawData((np.concatenate(blocks), found.y, weights.array()), None, schema, objective, ())


def read_features(
    path: Path, like: Schema, roles: Roles, id_column: str | None = None
) -> Iterator[tuple[list[str] | None, NDArray[np.floating]]]:
    """The inputs of a table for a model, block by block, (B, n), each with the rows' ids.

    Columns are found by their names; for a model of arrays, they are all columns in their order
    but those of `roles`. id_column: the column with the ids; without it they are None.
    Raises InputError, naming the place, for a column that is missing and for a value that isn't of
    the column's kind.
    """
    table = open_table(path)
    ids = [] if id_column is None else find_columns(table, [id_column], "--id")
    known = like.output_names or ()
    # A model of arrays has no label, and its outputs are columns or classes.
    outputs = known if like.label is None and set(known) <= set(table.names) else None
    labels, weight, others = places_of(table, roles, like, outputs, labels_needed=False)
    others = [i for i in others if i not in ids]
    columns, features = known_columns(table, like, [*labels, *weight], others)
    encoder = Encoder(columns)
    texts = _texts(columns, features) | (set(ids) - set(features))
    for values in table.blocks([*features, *ids], texts):
        X = encoder.encode(values[: len(features)], str(path), table.place)
        yield _spelled(values[-1]) if ids else None, X
    warn(encoder, str(path))


def _spelled(values: Values) -> list[str]:
    """Texts row by row, empty where one is missing."""
    texts = values if isinstance(values, Texts) else as_texts(values)
    levels = [*texts.levels, ""]
    return [levels[code] for code in texts.codes]


def _texts(columns: Sequence[Column], places: Sequence[int]) -> set[int]:
    """Which places hold columns of categories."""
    return {i for i, c in zip(places, columns, strict=True) if c.kind == "category"}
