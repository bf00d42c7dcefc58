"""Property tests: files round trip, and damaged ones raise nothing but InputError."""

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from idx_file import idx_bytes

from mlp_xp import InputError, load_data
from mlp_xp.data import idx, npz

property_settings = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
numbers = st.one_of(
    nps.unsigned_integer_dtypes(), nps.integer_dtypes(), nps.floating_dtypes(), nps.boolean_dtypes()
)
arrays = nps.arrays(numbers, nps.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))


@property_settings
@given(array=nps.arrays(np.uint8, nps.array_shapes(max_dims=4, min_side=0)), packed=st.booleans())
def test_idx_round_trip(array: np.ndarray, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    found = idx.read(path)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@property_settings
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


@property_settings
@given(
    X=nps.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)),
                 elements=st.floats(allow_nan=False, allow_infinity=False)),
    names=st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), min_size=1),
                   min_size=6, max_size=6),
)  # fmt: skip
def test_csv_round_trip(X: np.ndarray, names: list[str], tmp_path: Path) -> None:
    """Every float64 and every name comes back as it was, quoted as the csv module quotes."""
    import csv

    assume(len(X) == 1 or len(np.unique(X, axis=0)) > 1)  # all rows alike are refused
    names = [f"<{name}>" for name in names[: len(X)]]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"c{i}" for i in range(X.shape[1])] + ["label"])
        writer.writerows([*row, name] for row, name in zip(X.tolist(), names, strict=True))
    data = load_data(tmp_path / "t.csv")
    np.testing.assert_array_equal(data.train.X, X)
    assert data.output_names is not None
    assert [data.output_names[k] for k in data.train.y] == names


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A small intact file of each format."""
    folder = tmp_path_factory.mktemp("files")
    X, y = np.arange(24, dtype=np.uint8).reshape(4, 3, 2), np.array([0, 1, 2, 1])
    labels = idx_bytes(y.astype(np.uint8))
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(X))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    np.save(folder / "X.npy", X.astype("float32"))
    np.savez(folder / "stored.npz", X=X, y=y)
    np.savez_compressed(folder / "packed.npz", x_train=X, y_train=y, x_test=X, y_test=y)
    (folder / "t.csv").write_text("a,b,label\n1,2,cat\n3,4.5,dog\n5,6,cat\n")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_any(path: Path) -> None:
    """A file's array, with every element readable, or InputError."""
    try:
        if path.suffix == ".npz" or path.suffix == ".csv":
            data = load_data(path)
            found = [data.train.X]
            assert data.train.y.min() >= 0
            assert data.train.y.max() < data.n_outputs
        else:
            found = [npz.map_array(path) if path.suffix == ".npy" else idx.read(path)]
    except InputError as error:
        found, message = [], str(error)
    else:
        message = str(path)
    assert "\n" not in message
    assert str(path) in message
    for array in found:
        array.sum(dtype=np.float64)


def test_every_prefix_of_every_file(files: dict[str, bytes], tmp_path: Path) -> None:
    """A truncated file is refused, except text, which may be valid up to a line's end."""
    for name, content in files.items():
        path = tmp_path / name
        for length in range(len(content)):
            path.write_bytes(content[:length])
            if name.endswith(".csv"):
                read_any(path)
                continue
            with pytest.raises(InputError) as caught:
                load_data(path) if name.endswith(".npz") else (
                    npz.map_array(path) if name.endswith(".npy") else idx.read(path)
                )
            assert "\n" not in str(caught.value)
            assert str(path) in str(caught.value)


@settings(property_settings, max_examples=400)
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


@settings(property_settings, max_examples=300)
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


@settings(property_settings, max_examples=500)
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
