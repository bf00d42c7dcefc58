"""Data sets: `load()` reads any of them into the same arrays, checked once and for all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlp_xp.datasets import idx, npz, table
from mlp_xp.datasets.dataset import TARGETS, Dataset, Parts, Split, make_dataset
from mlp_xp.errors import InputError

__all__ = ["Dataset", "Split", "load"]

MNIST = Path(__file__).with_name("mnist.npz")


def load(
    source: str | Path = "mnist",
    *,
    label: str | None = None,
    target: str = "classes",
    classes: Sequence[str] | None = None,
) -> Dataset:
    """The data set called `mnist`, a file, or a folder.

    - an .npz with x_train, y_train, x_test, y_test (Keras' layout; the test may be left out) or
      with X and y; or a folder that holds the same as .npy files, which are mapped and not read:
      training on more than fits in memory works
    - a folder of MNIST's four IDX files, plain or .gz, whatever they contain: Fashion-MNIST,
      KMNIST, EMNIST
    - a table with named columns, .csv, .tsv or .parquet (with pyarrow), or a folder with train and
      test tables. `label` names its column of labels, by default the last; all others are features

    target: `classes` makes y (N,) int64; `binary` (each value 0 or 1) and `numbers` make it (N, K)
    float32, from an array of that shape or from a table's columns, `label` naming them with commas
    between. A table's classes are names, numbered in order: by value if all are whole numbers, else
    by alphabet. classes: the names that a trained model has, to number or to find them by instead.

    Raises InputError, which names file, place and remedy, for anything that isn't a data set.
    """
    if target not in TARGETS:
        raise InputError(f"target is {target!r}; use {', '.join(TARGETS)}")
    path = MNIST if str(source) == "mnist" else Path(source)
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; --data takes mnist or a path")
        is_table = path.suffix.lower() in table.FORMATS or (
            path.is_dir() and table.find(path, "train") is not None
        )
        if label is not None and not is_table:
            raise InputError(f"{path}: has no named columns, so the label {label!r} names nothing")
        parts = table.load(path, label, target, classes) if is_table else _arrays(path)
        name = path.resolve().name if path.is_dir() else path.stem
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return make_dataset(name or "data", parts, str(path), target)


def _arrays(path: Path) -> Parts:
    if path.is_dir():
        return npz.load_folder(path) if any(path.glob("*.npy")) else idx.load(path)
    if path.suffix.lower() == ".npz":
        return npz.load(path)
    if path.suffix.lower() == ".npy":
        raise InputError(f"{path}: one array is no data set; give the folder with X.npy and y.npy")
    raise InputError(
        f"{path}: not a data set; use .npz, .csv, .tsv or .parquet, or a folder of IDX or .npy"
    )
