"""Where data comes from: load_data() reads every format into a checked Dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mlp_xp.data import idx, npz, pictures, table
from mlp_xp.data.arrays import check_width, read_arrays
from mlp_xp.data.checks import check_path, find_objective
from mlp_xp.data.dataset import Dataset
from mlp_xp.data.raw import RawData, RawSplit
from mlp_xp.data.roles import Roles
from mlp_xp.data.sampling import hold_out
from mlp_xp.errors import InputError
from mlp_xp.schema import HasSchema, Schema

MNIST = Path(__file__).with_name("mnist.npz")
"""The data set called `mnist`, which comes with the package."""


def load_data(
    source: str | Path = "mnist",
    *,
    label: str | None = None,
    weight: str | None = None,
    drop: tuple[str, ...] | list[str] = (),
    objective: str | None = None,
    like: HasSchema | None = None,
    size: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The data set called `mnist`, or the one in a file or folder.

    source may be

    - an .npz file with the arrays x_train, y_train, x_test, y_test (Keras' layout; the test set is
      optional) or X and y; or a folder of .npy files with these names. A folder's files are mapped,
      not read, so they may be larger than memory
    - a folder of four IDX files, plain or .gz, named like MNIST's: Fashion-MNIST, KMNIST, EMNIST
    - a table with named columns, .csv, .tsv, .parquet, .arrow or .feather, plain, .gz or .zst
      (which needs pyarrow), or a folder with train and test tables. `label` names the column with
      the labels, by default the last; `weight` one with the rows' weights in the loss; `drop`
      columns to leave out. All others are features: see Column
    - a folder with a folder of pictures for each class, or with these in train and test (which
      needs Pillow); `size` (height, width) is what they are brought to, see pictures.load(), and
      progress(done, total) is called after each

    objective: a key of OBJECTIVES; None to recognize it by the labels: see recognize() for a table
    and recognize_targets() for arrays. For `multiclass`, y is (N,) int64. For `multilabel` (values
    0 and 1) and `regression` it is (N, K) float32, from an array of that shape or from the columns
    of a table, whose names `label` gives with commas between them. The classes of a table are
    names, numbered in order of value if all of them are whole numbers, else alphabetically.
    like: a data set, or a trained model, that this one has to fit. A table's columns of features
    and labels are then found by their names, and all others ignored; its classes are numbered as
    there. `label` goes before the label of `like`. Where `like` has no names of features, all
    columns but the labels are features, in their order.

    Raises InputError, with the file, the place and the remedy, for anything that isn't a data set.
    """
    if objective is not None:
        find_objective(objective)
    path = MNIST if str(source) == "mnist" else check_path(source)
    for name, value in (("label", label), ("weight", weight)):
        if not isinstance(value, str | None):
            raise InputError(f"{name} is {value!r}; give the name of a column")
    if isinstance(drop, str) or not all(isinstance(name, str) for name in drop):
        raise InputError(f"drop is {drop!r}; give a list of columns")
    if not isinstance(like, HasSchema | None):
        raise InputError(f"like is of type {type(like).__name__}; give a Dataset or a Model")
    schema = None if like is None else like.schema
    if like is not None and objective is None:
        objective = getattr(like, "objective_name", None) or getattr(like, "objective", None)
    roles = Roles(label, weight, tuple(drop))
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        is_pictures = path.is_dir() and pictures.is_folder(path)
        if size is not None and not is_pictures:
            raise InputError(f"{path}: is not a folder of pictures; leave the size out")
        is_table = table.find(path, "train") is not None if path.is_dir() else table.named_so(path)
        # A model's classes without names are numbers; a bare schema leaves them to the data.
        new = isinstance(like, Schema | None) and (schema is None or schema.output_names is None)
        if is_pictures:
            _check_no_columns(path, roles)
            raw = _from_pictures(path, size, schema, objective, progress, new)
        elif is_table:
            raw = table.load(path, roles, schema, objective, new=new)
        else:
            _check_no_columns(path, roles)
            raw = _from_arrays(_load_arrays(path), schema or Schema(), objective, str(path), new)
        name = path.resolve().name if path.is_dir() else path.name.partition(".")[0]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return Dataset.from_raw(raw, name or "data", str(path))


def _check_no_columns(path: Path, roles: Roles) -> None:
    """Raise InputError where columns are named, and the data has none."""
    names = {"label": roles.label, "weight": roles.weight, "column to drop": ", ".join(roles.drop)}
    for what, name in names.items():
        if name:
            raise InputError(f"{path}: has no named columns, so the {what} {name!r} names nothing")


def _from_arrays(
    arrays: tuple[RawSplit, RawSplit | None],
    like: Schema,
    objective: str | None,
    where: str,
    new: bool,
) -> RawData:
    (X, y, weights), test = arrays
    check_width(X, like, where)
    others = {"test": None if test is None else test[:2], "validation": None}
    return read_arrays(X, y, weights, others, objective, like, where, new=new)


def _from_pictures(
    path: Path,
    size: tuple[int, int] | None,
    like: Schema | None,
    objective: str | None,
    progress: Callable[[int, int], None] | None,
    new: bool,
) -> RawData:
    if objective is not None and not find_objective(objective).single_label:
        raise InputError(f"{path}: folders of pictures are classes; leave the objective out")
    found = pictures.load(path, size, like, progress, new=new)
    (X, y), test = found.train, found.test
    label = None if like is None else like.label
    schema = Schema(None, None, found.output_names, label, found.picture)
    splits = (X, y, None), None if test is None else (*test, None)
    return RawData(*splits, schema, objective or "multiclass", found.notes)


def _load_arrays(path: Path) -> tuple[RawSplit, RawSplit | None]:
    if path.is_dir():
        if any(path.glob("*.npy")):
            return npz.load_folder(path)
        if table.named_so(path) and not any(path.glob("*ubyte*")):
            table.open_table(path)
        return idx.load(path)
    if path.suffix.lower() == ".npz":
        return npz.load(path)
    if path.suffix.lower() == ".npy":
        raise InputError(f"{path}: one array is not a data set; give a folder with X.npy and y.npy")
    raise InputError(
        f"{path}: not a data set; use .npz, .csv, .tsv, .parquet, .arrow or .feather, or a folder "
        "of IDX or .npy files, or of pictures"
    )


@dataclass(frozen=True)
class DataSource:
    """Where a run's data is, and which of it is for what.

    data, label, weight, drop, size: as load_data() takes them. validation_data: the path of
    another data set, whose training rows validate. test: the share of rows to hold out as a test
    set, where the data has none; 0 for none.
    """

    data: str = "mnist"
    label: str | None = None
    validation_data: str | None = None
    weight: str | None = None
    drop: tuple[str, ...] = ()
    test: float = 0.2
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Raise InputError for a value of another type, or out of range."""
        for name in ("data", "label", "weight", "validation_data"):
            value = getattr(self, name)
            if not (isinstance(value, str) or (value is None and name != "data")):
                raise InputError(f"{name} is {value!r}; it must be a string")
        if not isinstance(self.drop, list | tuple) or not all(
            isinstance(d, str) for d in self.drop
        ):
            raise InputError(f"drop is {self.drop!r}; it must be a list of columns")
        if type(self.test) not in (int, float) or not 0 <= self.test < 1:
            raise InputError(f"test is {self.test!r}; it must be a share from 0 to below 1")
        size = self.size
        if size is not None and not (
            isinstance(size, list | tuple)
            and len(size) == 2
            and all(type(side) is int and side > 0 for side in size)
        ):
            raise InputError(f"size is {size!r}; it must be two numbers, height and width")
        object.__setattr__(self, "drop", tuple(self.drop))
        object.__setattr__(self, "size", None if size is None else tuple(size))

    def absolute(self) -> DataSource:
        """The same source with absolute paths, which are valid from any folder."""
        validation = None if self.validation_data is None else _absolute(self.validation_data)
        return replace(self, data=_absolute(self.data), validation_data=validation)

    def load(
        self,
        objective: str | None = None,
        *,
        like: HasSchema | None = None,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Dataset:
        """The data set, with its test set and, if one is named, its validation set.

        seed: of the rows that are held out. progress: see load_data(). Raises InputError as
        load_data() does, and if the data sets don't fit together.
        """
        data = load_data(
            self.data, label=self.label, weight=self.weight, drop=self.drop, objective=objective,
            like=like, size=self.size, progress=progress,
        )  # fmt: skip
        data = hold_out(data, self.test, seed)
        if self.validation_data is None:
            return data
        other = load_data(
            self.validation_data, label=self.label, objective=data.objective, like=data
        )
        return replace(data, validation=other.train, where=self.validation_data)


def _absolute(source: str) -> str:
    if source == "mnist":
        return source
    try:
        return str(check_path(source).resolve())
    except (OSError, RuntimeError) as error:  # a loop of links, before Python 3.13
        raise InputError(f"{source}: can't be found ({error}); name another file") from error
