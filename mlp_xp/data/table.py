"""Tables with named columns, in any format: features, and the labels to predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlp_xp.data import csv, parquet
from mlp_xp.data.classes import ClassCodes
from mlp_xp.data.dataset import Names, RawData
from mlp_xp.data.memory import check_memory
from mlp_xp.errors import InputError

FORMATS = {".csv": csv, ".tsv": csv, ".parquet": parquet}


def named_so(path: Path) -> bool:
    """Whether a path is named like a table."""
    return path.suffix.lower() in FORMATS


def check_file(path: Path) -> None:
    """Raise InputError for a folder that is named like a table: Spark writes a table's parts so."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a table; write all rows to one file")


def load(path: Path, label: str | None, like: Names | None, *, single_label: bool) -> RawData:
    """The arrays of one table, or of a folder's train and test tables; see load_data().

    single_label: y is the class of each row, from one column; otherwise it is the numbers of one
    or more columns.
    """
    train = find(path, "train") if path.is_dir() else path
    test = find(path, "test") if path.is_dir() else None
    assert train is not None  # load_data() looked for it
    raw = _read_labeled(train, label, like, single_label=single_label)
    if test is None:
        return raw
    return raw._replace(test=_read_labeled(test, None, raw, single_label=single_label).train)


def find(folder: Path, stem: str) -> Path | None:
    """The folder's table of this name, in any format, if there is one."""
    found = [path for suffix in FORMATS if (path := folder / (stem + suffix)).exists()]
    if len(found) > 1:
        raise InputError(f"{folder}: holds {found[0].name} and {found[1].name}; remove one")
    return found[0] if found else None


def read_features(
    path: Path, label: str | None = None, names: Sequence[str] | None = None
) -> NDArray[np.floating]:
    """The columns of a table with these names, in this order, (N, n).

    Without names, all columns except those that `label` names. float32 if that loses nothing, else
    float64. Raises InputError, naming the place, for a column that is missing and for a value that
    isn't a finite number.
    """
    header = _header(path)
    labels = [] if label is None else _find_columns(header, _split_label(label, header), path)
    return _read_columns(path, header, _feature_columns(path, header, labels, names))


def _read_labeled(
    path: Path, label: str | None, like: Names | None, *, single_label: bool
) -> RawData:
    """The rows of one table, as training rows, with the names of its columns and outputs."""
    header = _header(path)
    labels = _label_columns(path, header, label, like, single_label=single_label)
    features = _feature_columns(path, header, labels, None if like is None else like.feature_names)
    columns, names = [*features, *labels], tuple(header[i] for i in features)
    if not single_label:
        table = _read_columns(path, header, columns)
        pair = table[:, : len(features)], table[:, len(features) :]
        return RawData(pair, None, tuple(header[i] for i in labels), names)
    codes, kind = ClassCodes(), header[labels[0]]
    table = _read_columns(path, header, columns, labels[0], codes.encode)
    where = f"{path}: column {kind!r}"
    classes = codes.sorted_names(where) if like is None else like.output_names
    to_class = codes.to_classes(classes, where)
    y = to_class[table[:, -1].astype(np.int64)]
    return RawData((table[:, :-1], y), None, classes, names, kind)


def _label_columns(
    path: Path, header: list[str], label: str | None, like: Names | None, *, single_label: bool
) -> list[int]:
    """Which columns are labels: those that `label` names, else those of `like`, else the last."""
    if len(header) < 2:
        raise InputError(
            f"{path}: has the one column {header[0][:40]!r}; it needs features and a label, "
            "with a comma between them in .csv and a tab in .tsv"
        )
    outputs = None if single_label or like is None else like.output_names
    if label is not None:
        names = _split_label(label, header)
        # In the order of the model's outputs, if they are the same.
        names = list(outputs) if outputs and sorted(names) == sorted(outputs) else names
        if outputs and names != list(outputs) and set(names) & set(outputs):
            raise InputError(
                f"{path}: --label names {_listed(names)}, but the model's outputs are "
                f"{_listed(outputs)}; name all of them, or none"
            )
    elif outputs:
        names = list(outputs)
    else:
        names = [(None if like is None else like.label) or header[-1]]
    labels = _find_columns(header, names, path)
    if single_label and len(labels) > 1:
        raise InputError(f"{path}: a row has one class, and --label names {len(labels)} columns")
    return labels


def _feature_columns(
    path: Path, header: list[str], labels: list[int], names: Sequence[str] | None
) -> list[int]:
    """Which columns are features: those with these names, or else all that are no labels."""
    if names is None:
        features = [i for i in range(len(header)) if i not in labels]
        if not features:
            raise InputError(f"{path}: every column is a label; keep one to learn from")
        return features
    places = {name: i for i, name in enumerate(header)}
    missing = [name for name in names if name not in places]
    if missing:
        raise InputError(
            f"{path}: lacks {_listed(missing, 3)}, which the model learned from; its columns are "
            f"{_listed(header)}"
        )
    features = [places[name] for name in names]
    for i in set(features).intersection(labels):
        raise InputError(
            f"{path}: the model learned from column {header[i]!r} as a feature, so it is no label; "
            "name the label's column with --label"
        )
    return features


def _header(path: Path) -> list[str]:
    """The names of the columns. Raises InputError if one is empty, or two are the same."""
    check_file(path)
    header: list[str] = FORMATS[path.suffix.lower()].header(path)
    places: dict[str, int] = {}
    for i, name in enumerate(header):
        if name and places.setdefault(name, i) != i:
            raise InputError(
                f"{path}: 2 columns are named {name[:40]!r}, {places[name] + 1} and {i + 1}; "
                "rename one, or leave it out"
            )
    if not header or "" in header:
        where = f"column {header.index('') + 1}" if header else "the table"
        raise InputError(
            f"{path}: {where} has no name; name it, or leave it out if it numbers the rows "
            "(pandas: index=False)"
        )
    return header


def _split_label(label: str, header: list[str]) -> list[str]:
    """The names in a label: one, or several with commas between them."""
    return [label] if label in header else label.split(",")


def _find_columns(header: list[str], names: Sequence[str], path: Path) -> list[int]:
    """Where in the header the columns of labels are."""
    for name in names:
        if name not in header:
            raise InputError(
                f"{path}: no columns are named {name[:40]!r}, of {_listed(header)}; --label takes "
                "the name of one"
            )
    if len(set(names)) < len(names):
        raise InputError(f"{path}: --label names a column twice ({_listed(names)}); name it once")
    return [header.index(name) for name in names]


def _listed(names: Sequence[str], count: int = 8) -> str:
    """Names for a message: a few of them, each short."""
    return ", ".join(name[:40] for name in names[:count]) + (", ..." if names[count:] else "")


def _read_columns(
    path: Path,
    header: list[str],
    columns: list[int],
    text_column: int | None = None,
    encode: Callable[[str], float] = float,
) -> NDArray[np.floating]:
    """These columns of all rows, (N, len(columns)): float32 if that loses nothing, else float64.

    text_column and encode: see csv.read_blocks().
    """
    blocks: list[NDArray[np.floating]] = []
    size = 0
    read_blocks = FORMATS[path.suffix.lower()].read_blocks
    for rows in read_blocks(path, header, columns, text_column, encode):
        rows = rows.take(columns, axis=1)
        with np.errstate(over="ignore"):
            small = rows.astype(np.float32)
        blocks.append(small if np.array_equal(small, rows) else rows.astype(np.float64))
        size += blocks[-1].nbytes
        check_memory(size, str(path))  # for concatenate(), which needs the same amount again
    if not blocks:
        raise InputError(f"{path}: has columns but no rows; add some")
    return np.concatenate(blocks)
