"""Every format gives back what was put in, and nothing but InputError for what is damaged."""

import gzip
import hashlib
import importlib.util
import io
import mmap
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from mlp_xp.cli import main
from mlp_xp.datasets import Dataset, Split, idx, load, memory, npz, table
from mlp_xp.datasets.dataset import check_rows
from mlp_xp.errors import InputError

# Of the four files, unpacked, as they have been published since 1998.
PUBLISHED = {
    "train X": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train y": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test X": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test y": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

anew = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
needs_pyarrow = pytest.mark.skipif(
    importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed"
)


def write_idx(folder: Path, X: np.ndarray, y: np.ndarray, split: str = "train") -> None:
    (folder / f"{split}-images-idx3-ubyte").write_bytes(idx.write(X))
    (folder / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx.write(y)))


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


# ---- MNIST


def test_mnist_is_the_published_one(mnist: Dataset) -> None:
    assert mnist.test is not None
    found = {
        f"{name} {part}": hashlib.sha256(idx.write(array)).hexdigest()
        for name, split in (("train", mnist.train), ("test", mnist.test))
        for part, array in (
            ("X", split.X.reshape(-1, 28, 28)),
            ("y", split.y.astype(np.uint8)),
        )
    }
    assert found == PUBLISHED
    assert (mnist.n_features, mnist.n_classes, mnist.train.X.dtype) == (784, 10, np.uint8)


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
    data = load(tmp_path)
    assert_holds(data.train, X, y)
    assert data.test is not None
    assert_holds(data.test, X[:5], y[:5])
    assert (data.name, data.n_classes, data.class_names) == (tmp_path.name, 3, None)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, rows: tuple[np.ndarray, np.ndarray], save) -> None:
    X, y = rows
    path = tmp_path / "some.npz"
    save(path, x_train=X, y_train=y, x_test=X[:5], y_test=y[:5])
    data = load(path)
    assert_holds(data.train, X, y)
    assert data.test is not None
    assert_holds(data.test, X[:5], y[:5])
    save(path, X=X, y=y, other=np.array([None]))  # what isn't asked for isn't opened
    data = load(path)
    assert data.test is None
    assert_holds(data.train, X, y)
    assert data.name == "some"


def test_folder_of_npy_stays_on_the_disk(tmp_path: Path, rng: np.random.Generator) -> None:
    for dtype in ("uint8", "float32", "float64"):
        X = rng.integers(0, 256, (20, 6)).astype(dtype)
        np.save(tmp_path / "X.npy", X)
        np.save(tmp_path / "y.npy", np.arange(20) % 3)
        data = load(tmp_path)
        assert_holds(data.train, X, np.arange(20) % 3, dtype)
        assert isinstance(data.train.X, np.memmap)
    np.save(tmp_path / "X_test.npy", X[:2])
    np.save(tmp_path / "y_test.npy", np.array([0, 2]))
    data = load(tmp_path)
    assert data.test is not None
    assert len(data.test) == 2


def test_rows_that_cant_stay_as_they_are_are_read(tmp_path: Path, monkeypatch) -> None:
    X = np.arange(12, dtype=">f4").reshape(4, 3)
    np.save(tmp_path / "y.npy", np.array([0, 1, 0, 1]))
    for stored in (X, np.asfortranarray(X.astype("float32"))):
        np.save(tmp_path / "X.npy", stored)
        assert_holds(load(tmp_path).train, X, np.array([0, 1, 0, 1]), "float32")
    monkeypatch.setattr(memory, "room", lambda: 40)
    with pytest.raises(InputError, match=r"training data: needs .* of memory"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_table_of_text(tmp_path: Path, suffix: str) -> None:
    lines = ["kind,width, height ", "dog,1,2.5", 'cat,"3",-4e-1', "", "dog, 5 ,6"]
    path = write_csv(tmp_path / f"t{suffix}", *lines)
    if suffix == ".tsv":
        path.write_text(path.read_text().replace(",", "\t"))
    data = load(path, label="kind")
    assert data.class_names == ("cat", "dog")
    assert data.n_classes == 2
    assert_holds(data.train, np.array([[1, 2.5], [3, -0.4], [5, 6]]), [1, 0, 1], "float64")
    np.testing.assert_array_equal(
        table.read_rows(path, "kind"), np.array([[1, 2.5], [3, -0.4], [5, 6]])
    )


def test_labels_of_a_table_are_the_last_column_in_the_order_of_their_values(tmp_path) -> None:
    path = write_csv(tmp_path / "t.csv", "\ufeffa,label", "1,10\r", "2,9\r", "3,-1\r")
    data = load(path)
    assert data.class_names == ("-1", "9", "10")
    assert_holds(data.train, np.array([[1], [2], [3]]), [2, 1, 0], "float32")


def test_classes_of_a_model_number_the_labels(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "a,label", "1,c", "2,b")
    data = load(path, classes=("a", "b", "c"))
    assert (data.train.y.tolist(), data.n_classes) == ([2, 1], 3)
    with pytest.raises(InputError, match="the class 'b', which training didn't have"):
        load(path, classes=("a", "c"))


def test_folder_of_tables_shares_its_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", "a,label", "1,x", "2,y", "3,z")
    write_csv(tmp_path / "test.csv", "a,label", "4,z", "5,y")
    data = load(tmp_path)
    assert data.test is not None
    assert_holds(data.test, np.array([[4], [5]]), [2, 1], "float32")
    write_csv(tmp_path / "test.csv", "b,label", "4,z")
    with pytest.raises(InputError, match=r"test\.csv: its columns differ"):
        load(tmp_path)


def test_a_table_takes_no_more_bits_than_its_values_need(tmp_path: Path) -> None:
    for value, dtype in (("7", "float32"), ("0.5", "float32"), ("0.1", "float64"), ("16777217",
                         "float64"), ("1e300", "float64")):  # fmt: skip
        X = load(write_csv(tmp_path / "t.csv", "a,label", f"{value},0", "1,1")).train.X
        assert (X.dtype, X[0, 0]) == (np.dtype(dtype), float(value))


def test_csv_in_many_batches(tmp_path: Path, rng: np.random.Generator, monkeypatch) -> None:
    """Batches of lines, some of whole numbers and some not, make one table."""
    monkeypatch.setattr("mlp_xp.datasets.csv.BLOCK", 50)
    X = rng.integers(0, 9, (200, 3)) + np.where(np.arange(200) < 100, 0, 0.25)[:, None]
    y = rng.integers(0, 4, 200)
    body = [",".join(map(str, row)) + f",{label}" for row, label in zip(X.tolist(), y, strict=True)]
    data = load(write_csv(tmp_path / "t.csv", "a,b,c,label", *body))
    assert_holds(data.train, X, y, "float32")


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
    data = load(path, label="kind")
    assert_holds(data.train, np.array([[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]]), [1, 0, 1],
                 "float32")  # fmt: skip
    assert data.class_names == ("cat", "dog")
    del columns["kind"]
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert load(path, label="x", target="numbers").train.y.tolist() == [[0.5], [1.5], [2.5]]
    columns["kind"] = ["dog", "cat", "dog"]
    pyarrow.parquet.write_table(pyarrow.table(columns | {"kind": ["dog", None, "cat"]}), path)
    with pytest.raises(InputError, match="column 'kind': nothing is there"):
        load(path, label="kind")
    pyarrow.parquet.write_table(pyarrow.table(columns | {"x": [1.0, float("nan"), 2.0]}), path)
    with pytest.raises(InputError, match="column 'x': NaN"):
        load(path, label="kind")
    with pytest.raises(InputError, match="column 'kind' is of type string"):
        load(path, label="n")


# ---- what y may be


def test_targets_of_several_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    y = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    np.savez(path, X=np.eye(3), y=y)
    for target in ("binary", "numbers"):
        data = load(path, target=target)
        np.testing.assert_array_equal(data.train.y, y)
        assert (data.train.y.dtype, data.n_classes, data.target) == (np.float32, 2, target)
    np.savez(path, X=np.eye(3), y=[1.5, 2.5, -3])
    assert load(path, target="numbers").train.y.tolist() == [[1.5], [2.5], [-3]]
    with pytest.raises(InputError, match=r"target 1\.5 in row 0, column 0; targets must be 0 or 1"):
        load(path, target="binary")
    np.savez(path, X=np.eye(3), y=[1.5, np.inf, -3])
    with pytest.raises(InputError, match="target inf in row 1, column 0"):
        load(path, target="numbers")


def test_targets_of_a_table(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", "sun,a,rain,b", "0,1,1,2", "1,3,0,4")
    data = load(path, label="rain,sun", target="binary")
    assert data.train.y.tolist() == [[1, 0], [0, 1]]
    assert data.train.X.tolist() == [[1, 2], [3, 4]]
    assert (data.class_names, data.n_classes) == (("rain", "sun"), 2)
    again = load(path, target="binary", classes=("rain", "sun"))
    assert again.fingerprint() == data.fingerprint()
    assert load(path, target="numbers").train.y.tolist() == [[2], [4]]
    assert table.read_rows(path, "rain,sun").tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InputError, match="a row has one class"):
        load(path, label="rain,sun")


def test_names_of_classes_go_through_the_model_and_back(tmp_path: Path, capsys) -> None:
    """Train, evaluate and predict on tables; in the second, a class is missing."""
    rows = [f"{k},{9 - k},{'low' if k < 5 else 'high'}" for k in range(10)]
    data = write_csv(tmp_path / "t.csv", "a,b,kind", *rows)
    run = str(tmp_path / "run")
    options = ["--hidden", "8", "--epochs", "60", "--batch-size", "2", "--lr", "0.05"]
    assert main(["train", "--data", str(data), "--out", run, "--device", "cpu", *options]) == 0
    capsys.readouterr()
    high = write_csv(tmp_path / "high.csv", "a,b,kind", *rows[5:])
    assert main(["evaluate", run, "--data", str(high), "--device", "cpu"]) == 0
    first, head, *table = capsys.readouterr().out.splitlines()
    assert first.startswith("train accuracy 100.00%")
    assert head.split() == ["true", "\\", "predicted", "high", "low"]
    assert [line.split() for line in table] == [["high", "5", "0"], ["low", "0", "0"]]
    assert main(["predict", run, str(data), "--label", "kind", "--device", "cpu"]) == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == [f"{data}:{k}" for k in range(10)]
    assert [line[1] for line in lines] == ["low"] * 5 + ["high"] * 5
    for line in lines:
        assert sum(map(float, line[2].split())) == pytest.approx(1, abs=1e-3)


# ---- the checks


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [("uint8", "uint8"), ("bool", "float32"), ("int8", "float32"), ("uint16", "float32"),
     ("int32", "float64"), ("int64", "float64"), ("uint64", "float64"), ("float16", "float32"),
     (">f4", "float32"), (">f8", "float64"), ("longdouble", "float64")],
)  # fmt: skip
def test_types_that_rows_become(dtype: str, kept: str) -> None:
    X = check_rows(np.array([[0, 1], [1, 0]], dtype=dtype), "here")
    assert X.dtype == np.dtype(kept)
    assert X.dtype.isnative
    assert X.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_what_is_not_finite_is_found_in_any_block(bad: float, dtype: str, monkeypatch) -> None:
    monkeypatch.setattr(memory, "BLOCK", 64)
    X = np.zeros((100, 3), dtype=dtype)
    check_rows(X, "here")
    X[77, 2], X[91, 0] = bad, -bad
    with pytest.raises(InputError, match=r"^here holds NaN or infinity, first in row 77"):
        check_rows(X, "here")


def test_large_finite_rows_are_no_infinity() -> None:
    X = np.full((4, 3), np.finfo("float64").max)
    assert check_rows(X, "here") is X
    with pytest.raises(InputError, match="row 0"):
        check_rows(np.full((2, 2), np.finfo("longdouble").max), "here")


def test_labels_that_are_floats_but_whole(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.eye(2), y=np.array([0.0, 4.0]))
    assert load(tmp_path / "t.npz").n_classes == 5
    np.savez(tmp_path / "t.npz", X=np.eye(2), y=np.array([0.0, 0.5]))
    with pytest.raises(InputError, match="labels of type float64"):
        load(tmp_path / "t.npz")


def test_large_arrays_are_refused_before_they_fill_the_memory(tmp_path: Path, monkeypatch) -> None:
    np.savez(tmp_path / "t.npz", X=np.zeros((1000, 10)), y=np.zeros(1000, dtype=int))
    monkeypatch.setattr(memory, "room", lambda: 79_999)
    with pytest.raises(InputError, match=r"t\.npz: x: needs .* GB of memory"):
        load(tmp_path / "t.npz")


def test_room_is_no_more_than_the_machine_has() -> None:
    assert 0 < memory.room() < 1e15


@given(begin=st.integers(0, 10**5), size=st.integers(1, 10**5),
       rows=st.lists(st.integers(0, 10**7), min_size=1, max_size=5))  # fmt: skip
def test_spans_are_the_pages_that_hold_the_rows(begin: int, size: int, rows: list[int]) -> None:
    for row, (start, length) in zip(rows, memory.spans(begin, size, np.array(rows)), strict=True):
        first = begin + row * size
        assert start % mmap.PAGESIZE == 0
        assert 0 <= first - start < mmap.PAGESIZE
        assert start + length == first + size


def test_reading_ahead_changes_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "room", lambda: 0)
    X = np.arange(60_000, dtype=np.float32).reshape(1000, 60)
    np.save(tmp_path / "X.npy", X)
    mapped, rows = npz.map_array(tmp_path / "X.npy"), np.array([999, 0, 5])
    for array in (mapped, np.asarray(mapped), mapped[10:].reshape(-1, 60), X):
        before = array[-1].tolist()
        memory.read_ahead(array, rows[1:])
        assert array[-1].tolist() == before


# ---- the fingerprint


def test_fingerprint_is_of_the_content(tmp_path: Path, rng: np.random.Generator) -> None:
    X, y = rng.integers(0, 256, (50, 4), dtype=np.uint8), np.arange(50) % 3
    np.savez(tmp_path / "a.npz", X=X, y=y)
    np.savez_compressed(tmp_path / "b.npz", x_train=X, y_train=y.astype(np.int8))
    folder = tmp_path / "c"
    folder.mkdir()
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    prints = {load(tmp_path / name).fingerprint() for name in ("a.npz", "b.npz", "c")}
    assert len(prints) == 1


def test_fingerprint_tells_all_that_differs(rng: np.random.Generator, monkeypatch) -> None:
    monkeypatch.setattr(memory, "BLOCK", 16)
    X, y = rng.random((50, 4), dtype=np.float32), np.arange(50) % 3
    data = Dataset("a", Split(X, y), None, 3)
    flipped = X.copy()
    flipped.view(np.uint8)[37, 5] ^= 1
    other = y.copy()
    other[49] += 1
    split = data.train
    variants = [
        data,
        replace(data, train=Split(flipped, y)),
        replace(data, train=Split(X, other)),
        replace(data, train=Split(X[:-1], y[:-1])),
        replace(data, train=Split(X.reshape(100, 2)[:50], y)),
        replace(data, train=Split(X.view(np.int32), y)),
        replace(data, train=Split(X, y, np.ones(50))),
        replace(data, test=split),
        replace(data, validation=split),
        replace(data, test=split, validation=split),
        replace(data, class_names=("a", "b", "c")),
        replace(data, n_classes=4),
    ]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)
    assert replace(data, name="b").fingerprint() == data.fingerprint()


# ---- round trips and damage, by hypothesis

numbers = st.one_of(
    nps.unsigned_integer_dtypes(), nps.integer_dtypes(), nps.floating_dtypes(), nps.boolean_dtypes()
)
arrays = nps.arrays(numbers, nps.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


@anew
@given(array=nps.arrays(np.uint8, nps.array_shapes(max_dims=4, min_side=0)), packed=st.booleans())
def test_idx_round_trip(array: np.ndarray, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx.write(array)) if packed else idx.write(array))
    found = idx.read(path)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@anew
@given(
    array=arrays,
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    fortran=st.booleans(),
    packed=st.booleans(),
)
def test_npy_round_trip(array, version, fortran, packed, tmp_path: Path) -> None:
    array = np.asfortranarray(array) if fortran else array
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    (tmp_path / "a.npy").write_bytes(file.getvalue())
    with zipfile.ZipFile(tmp_path / "a.npz", "w", 8 if packed else 0) as archive:
        archive.writestr("a.npy", file.getvalue())
    for found in (
        npz.map_array(tmp_path / "a.npy"),
        npz.read(tmp_path / "a.npz", lambda names: list(names))["a"],
    ):
        assert (found.shape, found.dtype) == (array.shape, array.dtype)
        assert found.tobytes("A" if array.ndim else "C") == array.tobytes("A")


@anew
@given(
    X=nps.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)),
                 elements=st.floats(allow_nan=False, allow_infinity=False)),
    names=st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=1),
                   min_size=6, max_size=6),
)  # fmt: skip
def test_csv_round_trip(X: np.ndarray, names: list[str], tmp_path: Path) -> None:
    """Every float64 and every name comes back as it was, quoted as the csv module quotes."""
    import csv

    names = [f"<{name}>" for name in names[: len(X)]]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"c{i}" for i in range(X.shape[1])] + ["label"])
        writer.writerows([*row, name] for row, name in zip(X.tolist(), names, strict=True))
    data = load(tmp_path / "t.csv")
    np.testing.assert_array_equal(data.train.X, X)
    assert data.class_names is not None
    assert [data.class_names[k] for k in data.train.y] == names


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A small intact file of each format."""
    folder = tmp_path_factory.mktemp("files")
    X, y = np.arange(24, dtype=np.uint8).reshape(4, 3, 2), np.array([0, 1, 2, 1])
    write_idx(folder, X, y.astype(np.uint8))
    np.save(folder / "X.npy", X.astype("float32"))
    np.savez(folder / "stored.npz", X=X, y=y)
    np.savez_compressed(folder / "packed.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    write_csv(folder / "t.csv", "a,b,label", "1,2,cat", "3,4.5,dog", "5,6,cat")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_any(path: Path) -> None:
    """What a reader makes of a file: an array of numbers, all of them there, or InputError."""
    try:
        if path.suffix == ".npz" or path.suffix == ".csv":
            data = load(path)
            found = [data.train.X]
            assert data.train.y.min() >= 0
            assert data.train.y.max() < data.n_classes
        else:
            found = [npz.map_array(path) if path.suffix == ".npy" else idx.read(path)]
    except InputError as error:
        found, said = [], str(error)
    else:
        said = str(path)
    assert "\n" not in said
    assert str(path) in said
    for array in found:
        array.sum(dtype=np.float64)


def test_every_prefix_of_every_file(files: dict[str, bytes], tmp_path: Path) -> None:
    """A file cut at any byte is refused, but for text, which may be whole at a line's end."""
    for name, content in files.items():
        path = tmp_path / name
        for length in range(len(content)):
            path.write_bytes(content[:length])
            if name.endswith(".csv"):
                read_any(path)
                continue
            with pytest.raises(InputError) as caught:
                load(path) if name.endswith(".npz") else (
                    npz.map_array(path) if name.endswith(".npy") else idx.read(path)
                )
            assert "\n" not in str(caught.value)
            assert str(path) in str(caught.value)


@settings(anew, max_examples=400)
@given(data=st.data())
def test_flipped_bytes(data: st.DataObject, files: dict[str, bytes], tmp_path: Path) -> None:
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    flips = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, byte in data.draw(st.lists(flips, min_size=1, max_size=6)):
        content[place] = byte
    (tmp_path / name).write_bytes(content)
    with np.errstate(all="ignore"):
        read_any(tmp_path / name)


@settings(anew, max_examples=300)
@given(header=st.binary(max_size=200), version=st.sampled_from([1, 2, 3, 9]), body=st.binary())
def test_any_npy_header(header: bytes, version: int, body: bytes, tmp_path: Path) -> None:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header + body)
    read_any(tmp_path / "a.npy")


dimensions = st.one_of(
    st.integers(-3, 3), st.sampled_from([-(2**63), 2**31, 2**40, 2**63, 2**64, 10**30])
)
descriptions = st.sampled_from(
    ["<f4", ">f8", "|u1", "|O", "<M8[s]", "<U3", "|V0", "|S0", "<c16", "<f16", "|b1", "nonsense",
     [("a", "<f4")], ("<f4", (2,)), None, 3]
)  # fmt: skip


@settings(anew, max_examples=500)
@given(
    descr=descriptions,
    shape=st.one_of(st.lists(dimensions, max_size=5).map(tuple), st.none(), st.just((1,) * 65)),
    fortran=st.sampled_from([True, False, 0, "no"]),
    body=st.binary(max_size=64),
)
def test_any_claim_in_a_npy_header(descr, shape, fortran, body: bytes, tmp_path: Path) -> None:
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body
    (tmp_path / "a.npy").write_bytes(content)
    read_any(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", content)
    with np.errstate(all="ignore"):
        read_any(tmp_path / "a.npz")
