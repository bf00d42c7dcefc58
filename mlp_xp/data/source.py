"""Where data comes from: load_data() reads every format into a checked Dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlp_xp.data import idx, npz, table
from mlp_xp.data.checks import find_objective
from mlp_xp.data.dataset import Dataset, RawData
from mlp_xp.errors import InputError
from mlp_xp.nn.losses import OBJECTIVES

MNIST = Path(__file__).with_name("mnist.npz")
"""The data set called `mnist`, which comes with the package."""


def load_data(
    source: str | Path = "mnist",
    *,
    label: str | None = None,
    objective: str = "multiclass",
    output_names: Sequence[str] | None = None,
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
    output_names: the names of a trained model's outputs. A table's classes are numbered by them,
    and its label columns found by them.

    Raises InputError, with the file, the place and the remedy, for anything that isn't a data set.
    """
    single_label = find_objective(objective).single_label
    path = MNIST if str(source) == "mnist" else Path(source)
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; --data takes mnist or a path")
        is_table = path.suffix.lower() in table.FORMATS or (
            path.is_dir() and table.find(path, "train") is not None
        )
        if label is not None and not is_table:
            raise InputError(f"{path}: has no named columns, so the label {label!r} names nothing")
        if is_table:
            raw = table.load(path, label, single_label=single_label, output_names=output_names)
        else:
            raw = _load_arrays(path)
        name = path.resolve().name if path.is_dir() else path.stem
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return Dataset.from_arrays(
        *raw.train,
        test=raw.test,
        objective=objective,
        output_names=raw.output_names,
        name=name or "data",
        where=str(path),
    )


def _load_arrays(path: Path) -> RawData:
    if path.is_dir():
        return npz.load_folder(path) if any(path.glob("*.npy")) else idx.load(path)
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
        validation = self.validation_data and _absolute(self.validation_data)
        return replace(self, data=_absolute(self.data), validation_data=validation)

    def load(self, objective: str) -> Dataset:
        """The data set, with targets for the objective, and its validation set if one is named.

        Raises InputError as load_data() does, and if the two don't fit together.
        """
        data = load_data(self.data, label=self.label, objective=objective)
        if self.validation_data is None:
            return data
        other = load_data(
            self.validation_data,
            label=self.label,
            objective=objective,
            output_names=data.output_names,
        )
        # Classes may be missing in the validation set; columns may not.
        if OBJECTIVES[objective].single_label:
            outputs_fit = other.n_outputs <= data.n_outputs
        else:
            outputs_fit = other.n_outputs == data.n_outputs
        if other.n_features != data.n_features or not outputs_fit:
            raise InputError(
                f"{self.validation_data}: {other.n_features} inputs and {other.n_outputs} outputs, "
                f"but {self.data} has {data.n_features} and {data.n_outputs}"
            )
        return replace(data, validation=other.train)


def _absolute(source: str) -> str:
    return source if source == "mnist" else str(Path(source).resolve())
