"""Every format returns the data that was written."""

import gzip
import hashlib
import importlib.util
import json
import os
import signal
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from idx_file import idx_bytes

from mlp_xp import Dataset, InputError, Split, load_data
from mlp_xp.cli import main
from mlp_xp.data import memory, read_rows, table
from mlp_xp.data.classes import ClassCodes
from mlp_xp.data.roles import Roles
from mlp_xp.schema import Schema

# Of the four files, unpacked, as they have been published since 1998.
PUBLISHED = {
    "train X": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train y": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test X": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test y": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

X, Y = np.arange(12.0).reshape(3, 4), np.arange(3)

needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
)


def write_idx(folder: Path, X: np.ndarray, y: np.ndarray, split: str = "train") -> None:
    (folder / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(X))
    (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(y)))


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ---- MNIST


def test_mnist_is_the_published_one(mnist: Dataset) -> None:
    assert mnist.test is not None
    found = {
        f"{name} {part}": hashlib.sha256(idx_bytes(array)).hexdigest()
        for name, split in (("train", mnist.train), ("test", mnist.test))
        for part, array in (
            ("X", split.X.reshape(-1, 28, 28)),
            ("y", split.y.astype(np.uint8)),
        )
    }
    assert found == PUBLISHED
    assert (mnist.n_features, mnist.n_outputs, mnist.train.X.dtype) == (784, 10, np.uint8)


# ---- the same rows through every format


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 256, (20, 3, 2), dtype=np.uint8), np.arange(20, dtype=np.uint8) % 3


def assert_holds(split: Split, X: np.ndarray, y: np.ndarray, dtype: str = "uint8") -> None:
    np.testing.assert_array_equal(split.X, X.reshape(len(X), -1))
    np.testing.assert_array_equal(split.y, y)
    assert (split.X.dtype, split.y.dtype) == (np.dtype(dtype), np.int64)


def test_folder_of_idx(tmp_path: Path, rows: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = rows
    write_idx(tmp_path, X, y)
    write_idx(tmp_path, X[:5], y[:5], "t10k")
    data = load_data(tmp_path)
    assert_holds(data.train, X, y)
    assert data.test is not None
    assert_holds(data.test, X[:5], y[:5])
    assert (data.name, data.n_outputs, data.output_names) == (tmp_path.name, 3, None)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, rows: tuple[np.ndarray, np.ndarray], save) -> None:
    X, y = rows
    path = tmp_path / "some.npz"
    save(path, x_train=X, y_train=y, x_test=X[:5], y_test=y[:5])
    data = load_data(path)
    assert_holds(data.train, X, y)
    assert data.test is not None
    assert_holds(data.test, X[:5], y[:5])
    save(path, X=X, y=y, other=np.array([None]))  # an array that isn't used isn't opened
    data = load_data(path)
    assert data.test is None
    assert_holds(data.train, X, y)
    assert data.name == "some"


def test_folder_of_npy_stays_on_the_disk(tmp_path: Path, rng: np.random.Generator) -> None:
    for dtype in ("uint8", "float32", "float64"):
        X = rng.integers(0, 256, (20, 6)).astype(dtype)
        np.save(tmp_path / "X.npy", X)
        np.save(tmp_path / "y.npy", np.arange(20) % 3)
        data = load_data(tmp_path)
        assert_holds(data.train, X, np.arange(20) % 3, dtype)
        assert isinstance(data.train.X, np.memmap)
    np.save(tmp_path / "X_test.npy", X[:2])
    np.save(tmp_path / "y_test.npy", np.array([0, 2]))
    data = load_data(tmp_path)
    assert data.test is not None
    assert len(data.test) == 2


def test_rows_that_cant_stay_as_they_are_are_read(tmp_path: Path, monkeypatch) -> None:
    X = np.arange(12, dtype=">f4").reshape(4, 3)
    np.save(tmp_path / "y.npy", np.array([0, 1, 0, 1]))
    for stored in (X, np.asfortranarray(X.astype("float32"))):
        np.save(tmp_path / "X.npy", stored)
        assert_holds(load_data(tmp_path).train, X, np.array([0, 1, 0, 1]), "float32")
    monkeypatch.setattr(memory, "available_memory", lambda: 40)
    with pytest.raises(InputError, match=r"training data: needs .* of memory"):
        load_data(tmp_path)


@pytest.mark.parametrize("order", ["C", "F"])
def test_no_copy_of_pictures_is_made_without_room_for_it(order, tmp_path: Path, monkeypatch):
    pictures = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    np.save(tmp_path / "X.npy", np.asarray(pictures, order=order))
    np.save(tmp_path / "y.npy", np.array([0, 1, 0, 1]))
    readers = (
        lambda: load_data(tmp_path).train.X, lambda: next(read_rows(tmp_path / "X.npy", 6))[1]
    )  # fmt: skip
    for read in readers:
        assert read().tolist() == pictures.reshape(4, 6).tolist()
    monkeypatch.setattr(memory, "available_memory", lambda: 95)
    copied = mock.Mock(side_effect=AssertionError("a copy of all rows"))
    monkeypatch.setattr(np, "ascontiguousarray", copied)
    for read in readers:
        if order == "C":
            assert isinstance(read(), np.memmap)
        else:
            with pytest.raises(InputError, match=r"needs 0\.0 GB of memory, 0\.0 GB are free"):
                read()


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_table_of_text(tmp_path: Path, suffix: str) -> None:
    lines = ["kind,width, height ", "dog,1,2.5", 'cat,"3",-4e-1', "", "dog, 5 ,6"]
    path = write_csv(tmp_path / f"t{suffix}", *lines)
    if suffix == ".tsv":
        path.write_text(path.read_text().replace(",", "\t"))
    data = load_data(path, label="kind")
    assert data.output_names == ("cat", "dog")
    assert data.n_outputs == 2
    assert_holds(data.train, np.array([[1, 2.5], [3, -0.4], [5, 6]]), [1, 0, 1], "float64")
    for schema in (Schema(), data.schema):
        ((ids, X),) = table.read_features(path, schema, Roles("kind"))
        assert ids is None
        np.testing.assert_array_equal(X, np.array([[1, 2.5], [3, -0.4], [5, 6]]))


def test_labels_of_a_table_are_the_last_column_in_the_order_of_their_values(tmp_path) -> None:
    path = write_csv(tmp_path / "t.csv", "\ufeffa,label", "1,10\r", "2,9\r", "3,-1\r")
    data = load_data(path)
    assert data.output_names == ("-1", "9", "10")
    assert_holds(data.train, np.array([[1], [2], [3]]), [2, 1, 0], "float32")


def test_classes_of_a_model_number_the_labels(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "a,label", "1,c", "2,b")
    like = Dataset.from_arrays(X[:, :1], Y, output_names=("a", "b", "c"))
    data = load_data(path, like=like)
    assert (data.train.y.tolist(), data.n_outputs) == ([2, 1], 3)
    write_csv(path, "a,label", "1,c", "2,d")
    with pytest.raises(InputError, match="the class 'd', which is not in training"):
        load_data(path, like=like)


def test_classes_of_a_model_without_names_are_numbers(tmp_path: Path) -> None:
    """Those of arrays: a table in which class 0 is missing mustn't count from 1."""
    path = write_csv(tmp_path / "t.csv", "a,label", "1,1", "2,2")
    data = load_data(path, like=Dataset.from_arrays(X[:, :1], Y))
    assert (data.train.y.tolist(), data.output_names) == ([1, 2], None)
    write_csv(path, "a,label", "1,one", "2,2")
    with pytest.raises(InputError, match=r"the class 'one', which is not in training \(whole numb"):
        load_data(path, like=Dataset.from_arrays(X[:, :1], Y))


def test_folder_of_tables_shares_its_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", "a,label", "1,x", "2,y", "3,z")
    write_csv(tmp_path / "test.csv", "a,label", "4,z", "5,y")
    data = load_data(tmp_path)
    assert data.test is not None
    assert_holds(data.test, np.array([[4], [5]]), [2, 1], "float32")
    write_csv(tmp_path / "test.csv", "b,label", "4,z")
    with pytest.raises(InputError, match=r"test\.csv: lacks a, which the model learned from"):
        load_data(tmp_path)


def test_a_table_takes_no_more_bits_than_its_values_need(tmp_path: Path) -> None:
    for value, dtype in (("7", "float32"), ("0.5", "float32"), ("0.1", "float64"), ("16777217",
                         "float64"), ("1e300", "float64")):  # fmt: skip
        X = load_data(write_csv(tmp_path / "t.csv", "a,label", f"{value},0", "1,1")).train.X
        assert (X.dtype, X[0, 0]) == (np.dtype(dtype), float(value))


def test_csv_in_many_batches(tmp_path: Path, rng: np.random.Generator, monkeypatch) -> None:
    """Batches of lines, some of whole numbers and some not, make one table."""
    monkeypatch.setattr("mlp_xp.data.csv.BLOCK_BYTES", 50)
    X = rng.integers(0, 9, (200, 3)) + np.where(np.arange(200) < 100, 0, 0.25)[:, None]
    y = rng.integers(0, 4, 200)
    body = [",".join(map(str, row)) + f",{label}" for row, label in zip(X.tolist(), y, strict=True)]
    data = load_data(write_csv(tmp_path / "t.csv", "a,b,c,label", *body))
    assert_holds(data.train, X, y, "float32")


def test_a_fraction_is_never_cut(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "a,b,label", "1.5,2,0", "-0.5,1e-3,1")
    assert load_data(path).train.X.tolist() == [[1.5, 2], [-0.5, 1e-3]]


@pytest.mark.parametrize("rows", [["1", "2"], ["1.5", "2"]], ids=["integers", "fractions"])
@pytest.mark.parametrize("when", ["2", "3"])
def test_ctrl_c_at_a_label_stops_the_reading(rows, when: str, tmp_path: Path, monkeypatch) -> None:
    encode = ClassCodes.encode

    def interrupted(self: ClassCodes, text: str) -> float:
        if text == f"k{when}":
            signal.raise_signal(signal.SIGINT)
        return encode(self, text)

    monkeypatch.setattr(ClassCodes, "encode", interrupted)
    path = write_csv(tmp_path / "t.csv", "a,label", *(f"{a},k{i}" for i, a in enumerate(rows, 2)))
    with pytest.raises(KeyboardInterrupt):
        load_data(path)


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.08, 0.12, 0.2])
def test_ctrl_c_at_any_moment_stops_the_reading(delay: float, tmp_path: Path) -> None:
    lines = [f"{-i},{i / 8 if i > 9000 else i},k{i % 7}" for i in range(10_000)]
    path = write_csv(tmp_path / "t.csv", "a,b,label", *lines)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
    deadline = time.monotonic() + delay + 2
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        timer.start()
        while time.monotonic() < deadline:
            load_data(path)
    timer.join()


def test_what_a_converter_raises_is_not_taken_for_a_fraction(tmp_path: Path, monkeypatch) -> None:
    def encode(self: ClassCodes, text: str) -> float:
        raise MemoryError(text)

    monkeypatch.setattr(ClassCodes, "encode", encode)
    with pytest.raises(MemoryError, match="cat"):
        load_data(write_csv(tmp_path / "t.csv", "a,label", "1,cat"))


@needs_pyarrow
def test_parquet(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "t.parquet"
    columns = {
        "kind": ["dog", "cat", "dog"],
        "n": pyarrow.array([1, 2, 3], pyarrow.int16()),
        "x": [0.5, 1.5, 2.5],
        "is": [True, False, True],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    data = load_data(path, label="kind")
    assert_holds(data.train, np.array([[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]]), [1, 0, 1],
                 "float32")  # fmt: skip
    assert data.output_names == ("cat", "dog")
    del columns["kind"]
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    numbers = load_data(path, label="x", objective="regression")
    assert numbers.train.y.tolist() == [[0.5], [1.5], [2.5]]
    columns["kind"] = ["dog", "cat", "dog"]
    pyarrow.parquet.write_table(pyarrow.table(columns | {"kind": ["dog", None, "cat"]}), path)
    with pytest.raises(InputError, match=r"row 1, column 'kind': the label is missing; fill it in"):
        load_data(path, label="kind")
    pyarrow.parquet.write_table(pyarrow.table(columns | {"x": [1.0, float("nan"), 2.0]}), path)
    data = load_data(path, label="kind")
    assert data.feature_names == ("n", "x", "x is missing", "is")
    assert data.train.X[:, 1:3].tolist() == [[1, 0], [1.5, 1], [2, 0]]
    data = load_data(path, label="n")
    assert data.feature_names == ("x", "x is missing", "is", "kind=cat", "kind=dog")


def write_as_pandas(path: Path, columns: dict[str, list], metadata: bytes) -> Path:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(columns).replace_schema_metadata({b"pandas": metadata})
    pyarrow.parquet.write_table(table, path)
    return path


@needs_pyarrow
@pytest.mark.parametrize("name", ["__index_level_0__", "passenger"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_the_index_of_a_pandas_table_is_no_column(name: str, place: int, tmp_path: Path) -> None:
    """The metadata are those that to_parquet() writes; the index comes last unless it is moved."""
    columns = [("a", [1.5, 2.5, 3.5]), ("b", [4, 5, 6]), ("kind", ["x", "y", "x"])]
    columns.insert(place, (name, [17, 3, 8]))
    metadata = {"index_columns": [name], "columns": [
        {"name": None if key == "__index_level_0__" else key, "field_name": key, "metadata": None}
        for key, _ in columns
    ]}  # fmt: skip
    path = write_as_pandas(tmp_path / "t.parquet", dict(columns), json.dumps(metadata).encode())
    data = load_data(path)
    assert data.train.X.tolist() == [[1.5, 4], [2.5, 5], [3.5, 6]]
    assert (data.train.y.tolist(), data.output_names) == ([0, 1, 0], ("x", "y"))


@needs_pyarrow
def test_the_index_is_no_column_without_its_metadata_either(tmp_path: Path) -> None:
    """As when another tool has read and written the file."""
    columns = {"a": [1.5, 2.5], "kind": ["x", "y"], "__index_level_0__": [17, 3]}
    data = load_data(write_as_pandas(tmp_path / "t.parquet", columns, b"{}"))
    assert data.train.X.tolist() == [[1.5], [2.5]]
    assert data.output_names == ("x", "y")


@needs_pyarrow
@pytest.mark.parametrize("metadata", [
    {"index_columns": [{"kind": "range", "name": None, "start": 0, "stop": 2, "step": 1}]},
    {"index_columns": ["gone"]}, {"index_columns": []}, {},
])  # fmt: skip
def test_a_pandas_table_without_a_stored_index(metadata: dict, tmp_path: Path) -> None:
    text = json.dumps(metadata).encode()
    data = load_data(write_as_pandas(tmp_path / "t.parquet", {"a": [1, 2], "b": [0, 1]}, text))
    assert (data.train.X.tolist(), data.train.y.tolist()) == ([[1], [2]], [0, 1])


@needs_pyarrow
@pytest.mark.parametrize("metadata", [
    b"", b"{", b"\xff", b"[]", b"3", b'{"index_columns": null}', b'{"index_columns": 3}',
    b'{"index_columns": "ab"}', b"[" * 10**5,
])  # fmt: skip
def test_damaged_pandas_metadata(metadata: bytes, tmp_path: Path) -> None:
    path = write_as_pandas(tmp_path / "t.parquet", {"a": [1, 2], "b": [0, 1]}, metadata)
    with pytest.raises(
        InputError, match=r"t\.parquet: what pandas noted about its columns is dama"
    ):
        load_data(path)


# ---- what y may be


def test_targets_of_several_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    y = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    np.savez(path, X=np.eye(3), y=y)
    for objective in ("multilabel", "regression"):
        data = load_data(path, objective=objective)
        np.testing.assert_array_equal(data.train.y, y)
        assert (data.train.y.dtype, data.n_outputs, data.objective) == (np.float32, 2, objective)
    np.savez(path, X=np.eye(3), y=[1.5, 2.5, -3])
    assert load_data(path, objective="regression").train.y.tolist() == [[1.5], [2.5], [-3]]
    with pytest.raises(InputError, match=r"target 1\.5 in row 0, column 0; targets must be 0 or 1"):
        load_data(path, objective="multilabel")
    np.savez(path, X=np.eye(3), y=[1.5, np.inf, -3])
    with pytest.raises(InputError, match="target inf in row 1, column 0"):
        load_data(path, objective="regression")


def test_targets_of_a_table(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "sun,a,rain,b", "0,1,1,2", "1,3,0,4")
    data = load_data(path, label="rain,sun", objective="multilabel")
    assert data.train.y.tolist() == [[1, 0], [0, 1]]
    assert data.train.X.tolist() == [[1, 2], [3, 4]]
    assert (data.output_names, data.n_outputs) == (("rain", "sun"), 2)
    again = load_data(path, objective="multilabel", like=data)
    assert again.fingerprint() == data.fingerprint()
    assert load_data(path, objective="regression").train.y.tolist() == [[2], [4]]
    ((_, X),) = table.read_features(path, Schema(), Roles("rain,sun"))
    assert X.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InputError, match="a row has one class"):
        load_data(path, label="rain,sun", objective="multiclass")
    assert load_data(path, label="rain,sun").objective == "multilabel"
    assert load_data(path, label="b,a").objective == "regression"


def test_names_of_classes_go_through_the_model_and_back(tmp_path: Path, capsys) -> None:
    """Train, evaluate and predict on tables; in the second, a class is missing."""
    rows = [f"{k / 2},{9 - k},{'low' if k < 5 else 'high'}" for k in range(10)]
    data = write_csv(tmp_path / "t.csv", "a,b,kind", *rows)
    run = str(tmp_path / "run")
    options = ["--hidden", "8", "--epochs", "60", "--batch-size", "2", "--lr", "0.05"]
    assert main(["train", "--data", str(data), "--out", run, "--device", "cpu", *options]) == 0
    capsys.readouterr()
    high = write_csv(tmp_path / "high.csv", "a,b,kind", *rows[5:])
    assert main(["evaluate", run, "--data", str(high), "--device", "cpu"]) == 0
    first, *_, head, true_high, true_low = capsys.readouterr().out.splitlines()
    assert "accuracy 100.00%" in first
    assert head.split() == ["true", "\\", "predicted", "high", "low"]
    assert [true_high.split(), true_low.split()] == [["high", "5", "0"], ["low", "0", "0"]]
    assert main(["predict", run, str(data), "--label", "kind", "--device", "cpu"]) == 0
    head, *lines = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert head == ["row", "kind", "p(high)", "p(low)"]
    assert [line[0] for line in lines] == list(map(str, range(10)))
    assert [line[1] for line in lines] == ["low"] * 5 + ["high"] * 5
    for line in lines:
        assert sum(map(float, line[2:])) == pytest.approx(1, abs=1e-6)


def test_labels_that_are_floats_but_whole(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.eye(2), y=np.array([0.0, 4.0]))
    assert load_data(tmp_path / "t.npz").output_names == ("0", "4")
    np.savez(tmp_path / "t.npz", X=np.eye(2), y=np.array([0.0, 0.5]))
    assert load_data(tmp_path / "t.npz").objective == "regression"
    with pytest.raises(InputError, match="labels of type float64"):
        load_data(tmp_path / "t.npz", objective="multiclass")


def test_an_unknown_objective_is_named_before_anything_is_read() -> None:
    for objective in ("classes", "", ["multiclass"]):
        with pytest.raises(InputError, match="use multiclass, multilabel, regression"):
            load_data("nowhere", objective=objective)
