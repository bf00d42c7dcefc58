"""Rows to predict from, in every format."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlp_xp import InputError
from mlp_xp.data import read_rows
from mlp_xp.data.roles import Roles

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def inputs(path: Any, n_inputs: int, *options: Any) -> np.ndarray:
    """All rows to predict from."""
    return np.concatenate([X for _, X in read_rows(path, n_inputs, *options)])


def test_rows_of_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X.reshape(3, 2, 2))
    np.savez(tmp_path / "only.npz", anything=X)
    np.savez(tmp_path / "x.npz", x=X, y=np.arange(3))
    np.savez(tmp_path / "test.npz", x_test=X, x_train=X[:1], y_test=np.arange(3))
    np.savez(tmp_path / "both.npz", x_test=X[:1], x=X)
    for name in ("a.npy", "only.npz", "x.npz", "test.npz", "both.npz"):
        rows = inputs(tmp_path / name, 4)
        np.testing.assert_array_equal(rows, X)
        assert rows.dtype == np.float32
    assert isinstance(next(read_rows(tmp_path / "a.npy", 4))[1], np.memmap)
    assert inputs(str(tmp_path / "a.npy"), 4).shape == (3, 4)


@pytest.mark.parametrize("shape", [(12,), (3, 4), (1, 12), (1, 3, 4)])
def test_a_single_row_may_have_any_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X.reshape(shape))
    assert inputs(tmp_path / "a.npy", 12).tolist() == [X.ravel().tolist()]


def test_rows_of_a_table_without_its_label(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,kind,b\n1,cat,2.5\n3,,4\n")
    assert inputs(path, 2, None, Roles("kind")).tolist() == [[1, 2.5], [3, 4]]
    path.write_text("a,b\n1,2\n")
    assert inputs(path, 2).tolist() == [[1, 2]]
    assert inputs(path, 1, None, Roles("a")).tolist() == [[2]]
    with pytest.raises(
        InputError, match=r"shape \(1, 2\); the model needs rows of 3 values; leave"
    ):
        inputs(path, 3)
    path.write_text("a\n1\n2\n3\n")  # three rows, not one of three values
    with pytest.raises(InputError, match=r"shape \(3, 1\); the model needs rows of 3 values"):
        inputs(path, 3)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_a_picture(mode: str, inverted: bool, tmp_path: Path) -> None:
    """The result is light ink on dark ground, whichever the picture has."""
    ink = np.zeros((4, 4), dtype=np.uint8)
    ink[1:3, 1] = 255
    Image.fromarray(255 - ink if inverted else ink).convert(mode).save(tmp_path / "a.png")
    rows = inputs(tmp_path / "a.png", 16)
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows, ink.reshape(1, 16))


def test_what_is_transparent_is_paper(tmp_path: Path) -> None:
    ink = np.zeros((4, 4, 4), dtype=np.uint8)
    ink[1:3, 1, 3] = 255  # black on nothing
    Image.fromarray(ink).save(tmp_path / "a.png")
    np.testing.assert_array_equal(inputs(tmp_path / "a.png", 16), ink[..., 3].reshape(1, 16))


def test_a_picture_takes_the_size_that_the_model_needs(tmp_path: Path) -> None:
    Image.new("L", (50, 30), 0).save(tmp_path / "a.png")
    assert inputs(tmp_path / "a.png", 784).shape == (1, 784)
    with pytest.raises(InputError, match="the model's 15 inputs don't form a square"):
        inputs(tmp_path / "a.png", 15)


@pytest.mark.parametrize(
    "name", ["a.npy", "a.npz", "a.csv", "a.parquet", "a.arrow", "a.csv.gz", "a.png"]
)
def test_a_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{name}: No such file or directory"):
        inputs(tmp_path / name, 4)
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=rf"{name}: (Is a directory|is a folder, not a table; wr)"):
        inputs(tmp_path / name, 4)


@pytest.mark.parametrize("path", ["", "a\0.npy", "\0.csv", None, 3])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(InputError, match="no such path; name a file or a folder"):
        inputs(path, 4)


@pytest.mark.parametrize("name", ["a.npy", "a.txt", "a.png"])
def test_a_label_without_columns(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no named columns, so --label 'k' names nothing"):
        inputs(tmp_path / name, 4, None, Roles("k"))
    with pytest.raises(InputError, match="has no named columns, so --id 'k' names nothing"):
        inputs(tmp_path / name, 4, None, None, "k")
