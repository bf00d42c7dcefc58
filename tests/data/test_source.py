"""Where a run's data comes from, and a validation set beside it."""

from pathlib import Path

import numpy as np
import pytest

from mlp_xp import InputError
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
    write_csv(other, "a,b,kind", "4,4,emu")
    with pytest.raises(InputError, match=r"other\.csv: 2 inputs and 3 outputs, but .* 1 and 3"):
        DataSource(str(train), "kind", str(other)).load("multiclass")
    write_csv(other, "a,kind", "4,emu", "5,yak")
    with pytest.raises(InputError, match=r"other\.csv: column 'kind' holds the class 'yak', which"):
        DataSource(str(train), "kind", str(other)).load("multiclass")
    for name, y in (("fewer", [0, 1, 0]), ("more", [0, 1, 2])):
        np.savez(tmp_path / f"{name}.npz", X=np.eye(3), y=y)
    fewer, more = (str(tmp_path / f"{name}.npz") for name in ("fewer", "more"))
    with pytest.raises(InputError, match=r"more\.npz: 3 inputs and 3 outputs, but .* has 3 and 2"):
        DataSource(fewer, validation_data=more).load("multiclass")
    data = DataSource(more, validation_data=fewer).load("multiclass")
    assert data.validation is not None
    assert (data.n_outputs, data.validation.y.tolist()) == (3, [0, 1, 0])
    for name, y in (("one", [[1.0], [0.0]]), ("two", np.eye(2))):
        np.savez(tmp_path / f"{name}.npz", X=np.eye(2), y=y)
    both = [str(tmp_path / f"{name}.npz") for name in ("one", "two")]
    for data, validation in (both, both[::-1]):
        with pytest.raises(InputError, match=r"2 inputs and \d outputs, but .* has 2 and \d"):
            DataSource(data, validation_data=validation).load("multilabel")
