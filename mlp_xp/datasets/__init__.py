"""Data sets: `load()` reads any of them into the same arrays, checked once and for all."""

from __future__ import annotations

from pathlib import Path

from mlp_xp.datasets import idx, npz
from mlp_xp.datasets.dataset import Dataset, Split
from mlp_xp.errors import InputError

__all__ = ["Dataset", "Split", "load"]

MNIST = Path(__file__).with_name("mnist.npz")


def load(source: str | Path = "mnist") -> Dataset:
    """The data set called `mnist`, an .npz file, or a folder of IDX files.

    An .npz holds x_train, y_train, x_test, y_test (Keras' layout) or X and y. A folder holds
    MNIST's four files, plain or .gz, whatever they contain: Fashion-MNIST, KMNIST, EMNIST.

    Raises InputError, which names file, place and remedy, for anything that isn't a data set.
    """
    if str(source) == "mnist":
        return npz.load(MNIST)
    path = Path(source)
    try:
        if path.is_dir():
            return idx.load(path)
        if path.suffix == ".npz":
            return npz.load(path)
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; --data takes mnist or a path")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    raise InputError(f"{path}: not a data set; use an .npz file or a folder of IDX files")
