"""Columns of tables are found by their names, in any order."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mlp_xp import Dataset, InputError, load_data
from mlp_xp.data import read_rows
from mlp_xp.data.encoder import Encoder
from mlp_xp.data.roles import Roles
from mlp_xp.data.values import Numbers
from mlp_xp.schema import Column, Schema

X, Y = np.arange(12.0).reshape(3, 4), np.arange(3)

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
)


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def inputs(path: Path, n_inputs: int, *options) -> list[list[float]]:
    """All rows to predict from."""
    return [row for _, X in read_rows(path, n_inputs, *options) for row in X.tolist()]


TRAIN = ("id,width,kind,height", "9,1,cat,2", "8,3,dog,4", "7,5,emu,6")
MIXED = ("height,note,kind,width", "20,none,emu,10", "40,,cat,30")  # another order, another column
LIKE_MIXED = ([[10, 20], [30, 40]], [2, 0])


@pytest.fixture
def trained(tmp_path: Path) -> Dataset:
    """A data set of a table with the features width and height."""
    lines = [line.partition(",")[2] for line in TRAIN]
    return load_data(write_csv(tmp_path / "trained.csv", *lines), label="kind")


def test_a_table_names_its_columns(trained: Dataset, tmp_path: Path) -> None:
    assert (trained.feature_names, trained.label) == (("width", "height"), "kind")
    several = load_data(write_csv(tmp_path / "t.csv", "a,b,c", "1,0,1"), label="c,b",
                        objective="multilabel")  # fmt: skip
    assert (several.feature_names, several.output_names, several.label) == (
        ("a",),
        ("c", "b"),
        None,
    )


def test_columns_are_found_by_their_names(trained: Dataset, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", *MIXED)
    for label in (None, "kind"):
        data = load_data(table, like=trained, label=label)
        assert (data.train.X.tolist(), data.train.y.tolist()) == LIKE_MIXED
        assert (data.feature_names, data.label) == (("width", "height"), "kind")
    for schema in (trained.schema, Schema(feature_names=("width", "height"))):
        assert inputs(table, 2, schema) == LIKE_MIXED[0]
        assert inputs(table, 2, schema, Roles("kind")) == LIKE_MIXED[0]
    write_csv(table, *(line.replace("kind", "sort") for line in MIXED))
    assert load_data(table, like=trained, label="sort").train.y.tolist() == LIKE_MIXED[1]
    with pytest.raises(
        InputError, match=r"no column is named 'kind' \(--label\); it has height, n"
    ):
        load_data(table, like=trained)


def test_classes_of_arrays_are_found_by_their_names(tmp_path: Path) -> None:
    """Label 1 of an array is the first class of a table's 1, 2, 3, and the second of its a, b."""
    np.savez(tmp_path / "t.npz", X=np.ones((2, 2)), y=np.array([1, 2]))
    for classes, y in ((("1", "2", "3"), [0, 1]), (("-1", "1", "2"), [1, 2]), ("abc", [1, 2])):
        lines = [f"{i},2,{name}" for i, name in enumerate(classes)]
        table = write_csv(tmp_path / "t.csv", "a,b,kind", *lines)
        assert load_data(tmp_path / "t.npz", like=load_data(table)).train.y.tolist() == y
    write_csv(table, "a,b,kind", "1,2,-1", "2,2,0", "3,2,1")
    with pytest.raises(InputError, match="holds the class '2', which is not in training"):
        load_data(tmp_path / "t.npz", like=load_data(table))
    write_csv(table, "a,b,kind", "1,2,0", "3,4,1", "5,6,other")
    assert load_data(tmp_path / "t.npz", like=load_data(table)).train.y.tolist() == [1, 2]


def test_what_has_no_names_is_refused(trained: Dataset) -> None:
    for like in ("t.csv", {}, ("a", "b")):
        kind = type(like).__name__
        with pytest.raises(InputError, match=f"like is of type {kind}; give a Dataset or a Model"):
            load_data("mnist", like=like)


def test_some_of_a_models_outputs_are_not_taken_for_the_others(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", "a,p,q,r", "1,2,3,4")
    trained = load_data(table, label="p,q", objective="regression")
    with pytest.raises(InputError, match="--label names q, r, but the model's outputs are p, q"):
        load_data(table, label="q,r", objective="regression", like=trained)


def test_a_missing_column_is_named(trained: Dataset, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", "height,kind,Width", "1,cat,2")
    with pytest.raises(InputError, match=r"t\.csv: lacks width, which .* height, kind, Width"):
        load_data(table, like=trained)
    with pytest.raises(InputError, match=r"t\.csv: lacks a, b, c, \.\.\., which the model"):
        inputs(table, 5, Schema(feature_names=("a", "height", "b", "c", "d")))
    with pytest.raises(InputError, match="learned from column 'height' as a feature, so it is no"):
        load_data(write_csv(table, "width,kind,height", "1,cat,2"), like=trained, label="height")


def test_features_without_names_are_found_by_position(tmp_path: Path) -> None:
    arrays = Dataset.from_arrays(X[:, :3], Y, output_names=("cat", "dog", "emu"))
    data = load_data(write_csv(tmp_path / "t.csv", *TRAIN), like=arrays, label="kind")
    assert data.train.X.tolist() == [[9, 1, 2], [8, 3, 4], [7, 5, 6]]
    assert data.feature_names == ("id", "width", "height")


def test_arrays_have_no_columns_to_find(trained: Dataset, tmp_path: Path) -> None:
    """They are taken in their order, and are as many."""
    np.savez(tmp_path / "t.npz", X=X[:, :2], y=Y)
    data = load_data(tmp_path / "t.npz", like=trained)
    np.testing.assert_array_equal(data.train.X, X[:, :2])
    assert (data.feature_names, data.label) == (("width", "height"), "kind")
    np.savez(tmp_path / "t.npz", X=X, y=Y)
    with pytest.raises(InputError, match=r"rows have 4 values, and the model's 2 \(width, height"):
        load_data(tmp_path / "t.npz", like=trained)


def test_targets_are_found_by_the_names_of_the_outputs(tmp_path: Path) -> None:
    first = write_csv(tmp_path / "a.csv", "a,sun,rain", "1,0,1", "2,1,1")
    other = write_csv(tmp_path / "b.csv", "rain,a,sun,x", "1,5,0,-", "0,6,1,-")
    data = load_data(first, label="rain,sun", objective="multilabel")
    for label in (None, "sun,rain", "rain,sun"):
        found = load_data(other, label=label, objective="multilabel", like=data)
        assert found.train.X.tolist() == [[5], [6]]
        assert found.train.y.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(InputError, match=r"--label names a column twice \(sun, sun\)"):
        load_data(first, label="sun,sun", objective="multilabel")


@needs_pyarrow
def test_columns_of_parquet_are_found_by_their_names(trained: Dataset, tmp_path: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    table = pyarrow.csv.read_csv(write_csv(tmp_path / "t.csv", *MIXED))
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    data = load_data(tmp_path / "t.parquet", like=trained)
    assert (data.train.X.tolist(), data.train.y.tolist()) == LIKE_MIXED


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_columns_of_one_name_are_refused(suffix: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "a,b,c,b", "1,2,3,0")
    if suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pytest.importorskip("pyarrow").table([[1]] * 4, names=["a", "b", "c", "b"])
        parquet.write_table(table, path := tmp_path / "t.parquet")
    for read in (load_data, lambda path: inputs(path, 4)):
        with pytest.raises(InputError, match=r"2 columns are named 'b', 2 and 4; rename one"):
            read(path)


def test_a_folder_of_tables_finds_columns_by_their_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", *(line.partition(",")[2] for line in TRAIN))
    write_csv(tmp_path / "test.csv", *MIXED)
    data = load_data(tmp_path, label="kind")
    assert data.test is not None
    assert (data.test.X.tolist(), data.test.y.tolist()) == LIKE_MIXED


def test_what_stands_for_a_missing_value_is_not_rounded_by_the_rows_beside_it() -> None:
    column = Column("at", "number", fill=1_700_000_000.01)
    alone, beside = (
        Encoder([column]).encode([Numbers(np.array(values))], "rows", str)
        for values in ([np.nan], [np.nan, 1_700_000_000.02])
    )
    assert alone[0, 0] == beside[0, 0] == column.fill
