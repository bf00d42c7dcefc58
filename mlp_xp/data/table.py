"""Tables with named columns, in any format: features, and the labels to predict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data import csv, parquet
from mlp_xp.data.checks import MAX_CLASSES
from mlp_xp.data.dataset import RawData
from mlp_xp.data.memory import check_memory
from mlp_xp.errors import InputError
from mlp_xp.types import HostArray

FORMATS = {".csv": csv, ".tsv": csv, ".parquet": parquet}


def load(
    path: Path, label: str | None, *, single_label: bool, output_names: Sequence[str] | None = None
) -> RawData:
    """The arrays of one table, or of a folder's train and test tables; see load_data().

    single_label: y is the class of each row, from one column; otherwise it is the numbers of one
    or more columns.
    """
    train = find(path, "train") if path.is_dir() else path
    test = find(path, "test") if path.is_dir() else None
    assert train is not None  # load_data() looked for it
    X, y, names = _read_labeled(train, label, output_names, single_label=single_label)
    if test is None:
        return RawData((X, y), None, names)
    if _header(test) != _header(train):
        raise InputError(f"{test}: its columns differ from {train.name}'s; give both the same")
    X_test, y_test, _ = _read_labeled(test, label, names, single_label=single_label)
    return RawData((X, y), (X_test, y_test), names)


def find(folder: Path, stem: str) -> Path | None:
    """The folder's table of this name, in any format, if there is one."""
    found = [path for suffix in FORMATS if (path := folder / (stem + suffix)).exists()]
    if len(found) > 1:
        raise InputError(f"{folder}: holds {found[0].name} and {found[1].name}; remove one")
    return found[0] if found else None


def read_features(path: Path, label: str | None = None) -> NDArray[np.floating]:
    """All columns of a table except those that `label` names, (N, n).

    float32 if that loses nothing, else float64. Raises InputError, naming the place, for a value
    that isn't a finite number.
    """
    header = _header(path)
    labels = [] if label is None else _find_columns(header, label, path)
    features = [i for i in range(len(header)) if i not in labels]
    # The label column isn't used, so its values may be text or missing.
    text_column = labels[0] if len(labels) == 1 else None
    return _read_columns(path, header, features, text_column, lambda _: 0)[:, features]


class _ClassCodes(dict[str, int]):
    """The class names in a column of text, numbered in the order in which they first occur."""

    def encode(self, text: str) -> float:
        """The number of a name, or NaN for an empty one."""
        name = text.strip()
        return self.setdefault(name, len(self)) if name else math.nan


def _read_labeled(
    path: Path, label: str | None, output_names: Sequence[str] | None, *, single_label: bool
) -> tuple[HostArray, HostArray, tuple[str, ...]]:
    """X (N, n), y, and the names of the classes, or of the columns in y."""
    header = _header(path)
    labels = _label_columns(path, header, label, output_names, single_label=single_label)
    features = [i for i in range(len(header)) if i not in labels]
    if not features:
        raise InputError(f"{path}: every column is a label; keep one to learn from")
    codes = _ClassCodes()
    text_column = labels[0] if single_label else None
    table = _read_columns(path, header, [*features, *labels], text_column, codes.encode)
    if not single_label:
        return table[:, features], table[:, labels], tuple(header[i] for i in labels)
    where = f"{path}: column {header[labels[0]]!r}"
    names = _sorted_names(codes, where) if output_names is None else tuple(output_names)
    unknown = codes.keys() - set(names)
    if unknown:
        raise InputError(
            f"{where} holds the class {min(unknown)[:40]!r}, which is not in training "
            f"({', '.join(names[:8])}{', ...' if names[8:] else ''}); leave its rows out"
        )
    position = {name: k for k, name in enumerate(names)}
    to_class = np.array([position[name] for name in codes], dtype=np.int64)
    return table[:, features], to_class[table[:, labels[0]].astype(np.int64)], names


def _label_columns(
    path: Path,
    header: list[str],
    label: str | None,
    output_names: Sequence[str] | None,
    *,
    single_label: bool,
) -> list[int]:
    """Which columns are labels: those that `label` names, else a model's outputs, else the last."""
    if len(header) < 2:
        raise InputError(
            f"{path}: has the one column {header[0][:40]!r}; it needs features and a label, "
            "with a comma between them in .csv and a tab in .tsv"
        )
    if label is not None:
        labels = _find_columns(header, label, path)
    elif not single_label and output_names:
        labels = [_find_column(header, name, path) for name in output_names]
    else:
        labels = [len(header) - 1]
    if single_label and len(labels) > 1:
        raise InputError(f"{path}: a row has one class, and --label names {len(labels)} columns")
    return labels


def _sorted_names(codes: _ClassCodes, where: str) -> tuple[str, ...]:
    """The names of the classes: in order of value if all are whole numbers, else alphabetically."""
    if len(codes) > MAX_CLASSES:
        raise InputError(
            f"{where} holds more than {MAX_CLASSES} classes; name the label's column with --label"
        )
    try:
        values = {name: float(name) for name in codes}
    except ValueError:
        return tuple(sorted(codes))
    fraction = next((name for name, value in values.items() if not value.is_integer()), None)
    if fraction is not None:
        raise InputError(
            f"{where} holds {fraction[:40]}, a number, not a class; name the label's column with "
            "--label, or train with --objective regression"
        )
    return tuple(sorted(codes, key=lambda name: (values[name], name)))


def _header(path: Path) -> list[str]:
    """The names of the columns. Raises InputError if one is empty."""
    header: list[str] = FORMATS[path.suffix.lower()].header(path)
    if not header or "" in header:
        where = f"column {header.index('') + 1}" if header else "the table"
        raise InputError(
            f"{path}: {where} has no name; name it, or leave it out if it numbers the rows "
            "(pandas: index=False)"
        )
    return header


def _find_columns(header: list[str], label: str, path: Path) -> list[int]:
    """The columns of a label, which is one name, or several with commas between them."""
    names = [label] if label in header else label.split(",")
    return [_find_column(header, name, path) for name in names]


def _find_column(header: list[str], name: str, path: Path) -> int:
    count = header.count(name)
    if count != 1:
        listed = ", ".join(column[:40] for column in header[:8]) + (", ..." if header[8:] else "")
        raise InputError(
            f"{path}: {count or 'no'} columns are named {name!r}, of {listed}; --label takes the "
            "name of one"
        )
    return header.index(name)


def _read_columns(
    path: Path,
    header: list[str],
    columns: list[int],
    text_column: int | None,
    encode: Callable[[str], float],
) -> NDArray[np.floating]:
    """All rows, (N, all columns): float32 if that loses nothing, else float64."""
    blocks: list[NDArray[np.floating]] = []
    size = 0
    read_blocks = FORMATS[path.suffix.lower()].read_blocks
    for rows in read_blocks(path, header, columns, text_column, encode):
        with np.errstate(over="ignore"):
            small = rows.astype(np.float32)
        blocks.append(small if np.array_equal(small, rows) else rows.astype(np.float64))
        size += blocks[-1].nbytes
        check_memory(size, str(path))  # for concatenate(), which needs the same amount again
    if not blocks:
        raise InputError(f"{path}: has columns but no rows; add some")
    return np.concatenate(blocks)
