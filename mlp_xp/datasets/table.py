"""Tables with named columns, whatever their format: which columns are features and labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_xp.datasets import csv, parquet
from mlp_xp.datasets.dataset import MOST_CLASSES, Parts
from mlp_xp.datasets.memory import check_room
from mlp_xp.errors import InputError

FORMATS = {".csv": csv, ".tsv": csv, ".parquet": parquet}


def load(path: Path, label: str | None, target: str, classes: Sequence[str] | None = None) -> Parts:
    """The arrays of one table, or of a folder's train and test table; see datasets.load()."""
    train = find(path, "train") if path.is_dir() else path
    test = find(path, "test") if path.is_dir() else None
    assert train is not None  # as datasets.load() made sure
    X, y, names = _read(train, label, target, classes)
    if test is None:
        return Parts((X, y), None, names)
    if _header(test) != _header(train):
        raise InputError(f"{test}: its columns differ from those of {train.name}; give both alike")
    X_test, y_test, _ = _read(test, label, target, names)
    return Parts((X, y), (X_test, y_test), names)


def find(folder: Path, stem: str) -> Path | None:
    """The folder's table of this name, if there is one."""
    found = [path for suffix in FORMATS if (path := folder / (stem + suffix)).exists()]
    if len(found) > 1:
        raise InputError(f"{folder}: holds {found[0].name} and {found[1].name}; remove one")
    return found[0] if found else None


def read_rows(path: Path, leave_out: str | None = None) -> NDArray[Any]:
    """Every column of a table but those left out: (N, n), float32 if that loses nothing.

    Raises InputError, naming the place, for what is no finite number.
    """
    header = _header(path)
    left_out = [] if leave_out is None else _columns(header, leave_out, path)
    wanted = [i for i in range(len(header)) if i not in left_out]
    if len(left_out) == 1:  # which may hold names, or nothing
        return _gather(path, header, wanted, left_out[0], lambda _: 0)[:, wanted]
    return _gather(path, header, wanted, -1, float)[:, wanted]


class _Codes(dict[str, int]):
    """The names in a column of text, each numbered as it first occurs."""

    def code(self, text: str) -> float:
        """The number of a name; NaN if there is none."""
        name = text.strip()
        return self.setdefault(name, len(self)) if name else math.nan


def _read(
    path: Path, label: str | None, target: str, classes: Sequence[str] | None
) -> tuple[NDArray[Any], NDArray[Any], tuple[str, ...] | None]:
    """X (N, n), y, and the names of the classes where the target is classes."""
    header = _header(path)
    if len(header) < 2:
        raise InputError(
            f"{path}: has the one column {header[0][:40]!r}; it needs features and a label, "
            "with a comma between them in .csv and a tab in .tsv"
        )
    if label is not None:
        labels = _columns(header, label, path)
    elif target != "classes" and classes:
        labels = [_index(header, name, path) for name in classes]
    else:
        labels = [len(header) - 1]
    if target == "classes" and len(labels) > 1:
        raise InputError(f"{path}: a row has one class, and --label names {len(labels)} columns")
    features = [i for i in range(len(header)) if i not in labels]
    if not features:
        raise InputError(f"{path}: every column is a label; keep one to learn from")
    codes = _Codes()
    coded = labels[0] if target == "classes" else -1
    table = _gather(path, header, [*features, *labels], coded, codes.code)
    if target != "classes":
        return table[:, features], table[:, labels], tuple(header[i] for i in labels)
    where = f"{path}: column {header[coded]!r}"
    names = _in_order(codes, where) if classes is None else tuple(classes)
    unknown = codes.keys() - set(names)
    if unknown:
        raise InputError(
            f"{where} holds the class {min(unknown)[:40]!r}, which training didn't have "
            f"({', '.join(names[:8])}{', ...' if names[8:] else ''}); leave its rows out"
        )
    position = {name: k for k, name in enumerate(names)}
    to_class = np.array([position[name] for name in codes], dtype=np.int64)
    return table[:, features], to_class[table[:, coded].astype(np.int64)], names


def _in_order(codes: _Codes, where: str) -> tuple[str, ...]:
    """The names of all classes: by value if all are whole numbers, else by alphabet."""
    if len(codes) > MOST_CLASSES:
        raise InputError(
            f"{where} holds more than {MOST_CLASSES} classes; name the label's column with --label"
        )
    try:
        values = {name: float(name) for name in codes}
    except ValueError:
        return tuple(sorted(codes))
    fraction = next((name for name, value in values.items() if not value.is_integer()), None)
    if fraction is not None:
        raise InputError(
            f"{where} holds {fraction[:40]}, a number and no class; name the label's column with "
            "--label, or learn numbers"
        )
    return tuple(sorted(codes, key=lambda name: (values[name], name)))


def _header(path: Path) -> list[str]:
    """The names of the columns, each of which has one."""
    header: list[str] = FORMATS[path.suffix.lower()].header(path)
    if not header or "" in header:
        where = f"column {header.index('') + 1}" if header else "the table"
        raise InputError(
            f"{path}: {where} has no name; name it, or leave it out if it numbers the rows "
            "(pandas: index=False)"
        )
    return header


def _columns(header: list[str], label: str, path: Path) -> list[int]:
    """The columns that --label names: one, or several with commas between."""
    names = [label] if label in header else label.split(",")
    return [_index(header, name, path) for name in names]


def _index(header: list[str], name: str, path: Path) -> int:
    count = header.count(name)
    if count != 1:
        held = ", ".join(column[:40] for column in header[:8]) + (", ..." if header[8:] else "")
        raise InputError(
            f"{path}: {count or 'no'} columns are named {name!r}, of {held}; --label takes the "
            "name of one"
        )
    return header.index(name)


def _gather(
    path: Path, header: list[str], wanted: list[int], coded: int, code: Callable[[str], float]
) -> NDArray[np.floating]:
    """All rows, (N, columns): float32 if that loses nothing, else float64."""
    parts: list[NDArray[np.floating]] = []
    size = 0
    for rows in FORMATS[path.suffix.lower()].blocks(path, header, wanted, coded, code):
        with np.errstate(over="ignore"):
            small = rows.astype(np.float32)
        parts.append(small if np.array_equal(small, rows) else rows.astype(np.float64))
        size += parts[-1].nbytes
        check_room(size, str(path))  # that the parts, which are there, need again to become one
    if not parts:
        raise InputError(f"{path}: has columns but no rows; add some")
    return np.concatenate(parts)
