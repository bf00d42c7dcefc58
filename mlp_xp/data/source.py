"""Where data comes from: load_data() reads every format into a checked Dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mlp_xp.data import idx, npz, table
from mlp_xp.data.checks import check_path, find_objective
from mlp_xp.data.classes import class_key
from mlp_xp.data.dataset import Dataset, Names, RawData
from mlp_xp.errors import InputError

MNIST = Path(__file__).with_name("mnist.npz")
"""The data set called `mnist`, which comes with the package."""


def load_data(
    source: str | Path = "mnist",
    *,
    label: str | None = None,
    objective: str = "multiclass",
    like: Names | None = None,
) -> Dataset:
    """The data set called `mnist`, or the one in a file or folder.

    source may be

    - an .npz file with the arrays x_train, y_train, x_test, y_test (Keras' layout; the test set is
      optional) or X and y; or a folder of .npy files with these names. A folder's files are mapped,
      not read, so they may be larger than memory
    - a folder of four IDX files, plain or .gz, named like MNIST's: Fashion-MNIST, KMNIST, EMNIST
    - a table with named columns, .csv, .tsv or .parquet (which needs pyarrow), or a folder with
      train and test tables. `label` names the column with the labels, by default the last; all
      others are features

    objective: a key of OBJECTIVES. For `multiclass`, y is (N,) int64. For `multilabel` (values 0
    and 1) and `regression` it is (N, K) float32, from an array of that shape or from the columns
    of a table, whose names `label` gives with commas between them. The classes of a table are
    names, numbered in order of value if all of them are whole numbers, else alphabetically.
    like: a data set, or a trained network, that a table has to fit. Its columns of features and
    labels are then found by their names, and all others ignored; its classes are numbered as
    there, where classes without names are whole numbers. `label` goes before the label of `like`.
    Where `like` has no names of features, all columns but the labels are features, in their order.

    Raises InputError, with the file, the place and the remedy, for anything that isn't a data set.
    """
    single_label = find_objective(objective).single_label
    path = MNIST if str(source) == "mnist" else check_path(source)
    if not isinstance(label, str | None):
        raise InputError(f"label is {label!r}; give the name of a column")
    if not isinstance(like, Names | None):
        raise InputError(f"like is of type {type(like).__name__}; give a Dataset or a Network")
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; give mnist, or the path of one")
        is_table = table.find(path, "train") is not None if path.is_dir() else table.named_so(path)
        if is_table:
            raw = table.load(path, label, like, single_label=single_label)
        else:
            _check_classes_count_from_0(path, like)
            raw = _load_arrays(path)
            if label is not None:
                raise InputError(
                    f"{source}: has no named columns, so the label {label!r} names nothing"
                )
        name = path.resolve().name if path.is_dir() else path.stem
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return Dataset.from_arrays(
        *raw.train,
        test=raw.test,
        objective=objective,
        output_names=raw.output_names,
        feature_names=raw.feature_names,
        label=raw.label,
        name=name or "data",
        where=str(path),
    )


def _check_classes_count_from_0(path: Path, like: Names | None) -> None:
    """Raise InputError for a model of a table whose classes are other numbers than an array's."""
    names = like.output_names if like is not None and like.label is not None else None
    keys = [class_key(name) for name in names or ()]
    if any(key != str(k) and key.removeprefix("-").isdecimal() for k, key in enumerate(keys)):
        raise InputError(
            f"{path}: labels in arrays count the classes from 0, but the model's classes are "
            f"{', '.join((names or ())[:8])}; give a table"
        )


def _load_arrays(path: Path) -> RawData:
    if path.is_dir():
        if any(path.glob("*.npy")):
            return npz.load_folder(path)
        if table.named_so(path) and not any(path.glob("*ubyte*")):
            table.check_file(path)
        return idx.load(path)
    if path.suffix.lower() == ".npz":
        return npz.load(path)
    if path.suffix.lower() == ".npy":
        raise InputError(f"{path}: one array is not a data set; give a folder with X.npy and y.npy")
    raise InputError(
        f"{path}: not a data set; use .npz, .csv, .tsv or .parquet, or a folder of IDX or .npy"
    )


@dataclass(frozen=True)
class DataSource:
    """Where a run's data is: data and label as load_data() takes them, and a validation set.

    validation_data: the path of another data set, whose training rows validate.
    """

    data: str = "mnist"
    label: str | None = None
    validation_data: str | None = None

    def absolute(self) -> DataSource:
        """The same source with absolute paths, which are valid from any folder."""
        validation = None if self.validation_data is None else _absolute(self.validation_data)
        return replace(self, data=_absolute(self.data), validation_data=validation)

    def load(self, objective: str) -> Dataset:
        """The data set, with targets for the objective, and its validation set if one is named.

        Raises InputError as load_data() does, and if the two don't fit together.
        """
        data = load_data(self.data, label=self.label, objective=objective)
        if self.validation_data is None:
            return data
        other = load_data(self.validation_data, label=self.label, objective=objective, like=data)
        return replace(data, validation=other.train, where=self.validation_data)


def _absolute(source: str) -> str:
    if source == "mnist":
        return source
    try:
        return str(check_path(source).resolve())
    except (OSError, RuntimeError) as error:  # a loop of links, before Python 3.13
        raise InputError(f"{source}: can't be found ({error}); name another file") from error
