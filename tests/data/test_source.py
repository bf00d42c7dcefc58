"""Where a run's data comes from, and a validation set beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_xp import InputError, load_data
from mlp_xp.data import DataSource


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_source_in_absolute_paths(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = DataSource("a.csv", "kind", "b.csv").absolute()
    assert source == DataSource(str(tmp_path / "a.csv"), "kind", str(tmp_path / "b.csv"))
    assert source.absolute() == source
    assert DataSource().absolute() == DataSource("mnist", None, None)


def test_a_source_with_a_validation_set(tmp_path: Path) -> None:
    """Its classes are numbered as in training; some may be missing."""
    train = write_csv(tmp_path / "train.csv", "a,kind", "1,emu", "2,cat", "3,dog")
    other = write_csv(tmp_path / "other.csv", "a,kind", "4,emu", "5,dog")
    data = DataSource(str(train), "kind", str(other)).load("multiclass")
    assert data.validation is not None
    assert data.validation.X.tolist() == [[4], [5]]
    assert data.validation.y.tolist() == [2, 1]
    assert (data.test, data.n_outputs) == (None, 3)
    assert DataSource(str(train), "kind").load("multiclass").validation is None
    write_csv(other, "kind,b,a", "emu,no,4", "dog,,5")
    again = DataSource(str(train), "kind", str(other)).load("multiclass")
    assert again.fingerprint() == data.fingerprint()
    write_csv(other, "b,kind", "4,emu")
    with pytest.raises(
        InputError, match=r"other\.csv: lacks a, which the model learned from; its co"
    ):
        DataSource(str(train), "kind", str(other)).load("multiclass")
    write_csv(other, "a,kind", "4,emu", "5,yak")
    with pytest.raises(InputError, match=r"other\.csv: column 'kind' holds the class 'yak', which"):
        DataSource(str(train), "kind", str(other)).load("multiclass")
    for name, y in (("fewer", [0, 1, 0]), ("more", [0, 1, 2])):
        np.savez(tmp_path / f"{name}.npz", X=np.eye(3), y=y)
    fewer, more = (str(tmp_path / f"{name}.npz") for name in ("fewer", "more"))
    with pytest.raises(InputError, match=r"more\.npz: validation label 2 does not occur in train"):
        DataSource(fewer, validation_data=more).load("multiclass")
    data = DataSource(more, validation_data=fewer).load("multiclass")
    assert data.validation is not None
    assert (data.n_outputs, data.validation.y.tolist()) == (3, [0, 1, 0])
    for name, y in (("one", [[1.0], [0.0]]), ("two", np.eye(2))):
        np.savez(tmp_path / f"{name}.npz", X=np.eye(2), y=y)
    both = [str(tmp_path / f"{name}.npz") for name in ("one", "two")]
    for data, validation in (both, both[::-1]):
        with pytest.raises(InputError, match=rf"{validation}: \d targets a validation row, but \d"):
            DataSource(data, validation_data=validation).load("multilabel")


@pytest.mark.parametrize("path", [None, 3, ["mnist"]])
def test_a_source_that_is_no_text(path: Any) -> None:
    with pytest.raises(InputError, match="no such path; name a file or a folder"):
        load_data(path)
    with pytest.raises(InputError, match=r"data is .*; it must be a string"):
        DataSource(path)


@pytest.mark.parametrize("path", ["", "a\0b", "\0.csv"])
def test_what_is_no_path(path: Any) -> None:
    message = "no such path; name a file or a folder"
    with pytest.raises(InputError, match=message):
        load_data(path)
    for source in (DataSource(path), DataSource("mnist", None, path)):
        with pytest.raises(InputError, match=message):
            source.absolute()
        with pytest.raises(InputError, match=message):
            source.load("multiclass")


def test_a_path_that_ends_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    with pytest.raises(InputError, match=r"loop\.csv: "):
        load_data(DataSource(str(tmp_path / "loop.csv")).absolute().data)


def test_a_label_that_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="label is 3; give the name of a column"):
        load_data(write_csv(tmp_path / "t.csv", "a,3", "1,0"), label=3)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_folder_that_is_named_like_a_table(suffix: str, tmp_path: Path) -> None:
    """Spark writes such folders; others are folders like any."""
    folder = tmp_path / f"x{suffix}"
    folder.mkdir()
    (folder / f"part-00000{suffix}").write_text("a,label\n1,0\n")
    with pytest.raises(InputError, match=rf"x\{suffix}: is a folder, not a table; write all rows"):
        load_data(folder)
    write_csv(folder / "train.csv", "a,label", "1,0", "2,1")
    assert load_data(folder).train.X.tolist() == [[1], [2]]
    (folder / f"test{suffix}").mkdir()
    with pytest.raises(
        InputError, match=rf"test\{suffix}: is a folder, not a table; write all row"
    ):
        load_data(folder)
    (folder / "train.csv").unlink()
    np.save(folder / "X.npy", np.eye(3))
    np.save(folder / "y.npy", np.arange(3))
    assert load_data(folder).train.X.tolist() == np.eye(3).tolist()
