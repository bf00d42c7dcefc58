"""The rows that are held out as a test set, beside scikit-learn's."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from mlp_xp import Dataset
from mlp_xp.data import DataSource
from mlp_xp.data.sampling import hold_out


def make(y: np.ndarray, **options) -> Dataset:
    return Dataset.from_arrays(np.arange(2.0 * len(y)).reshape(len(y), 2), y, **options)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_each_class_has_its_share(share: float, rng) -> None:
    y = rng.choice(5, 997, p=[0.5, 0.3, 0.15, 0.04, 0.01])
    data = hold_out(make(y), share, seed=0)
    train, test = data.train.rows, data.test.rows
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(997))
    assert len(test) == round(share * 997)
    _, theirs = train_test_split(y, test_size=len(test), stratify=y, random_state=0)
    assert np.abs(np.bincount(y[test], minlength=5) - np.bincount(theirs, minlength=5)).max() <= 1
    assert f"{len(test):,} of 997 rows are held out to test the result" in data.notes[-1]
    assert (np.diff(test) > 0).all()


def test_the_seed_decides() -> None:
    y = np.arange(100) % 3
    rows = [hold_out(make(y), 0.2, seed).test.rows.tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]
    of_targets = hold_out(make(y / 2, objective="regression"), 0.2, 0)
    assert len(of_targets.test) == 20


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("y", [
    [0] * 30 + [1], [0] * 20 + [1, 2, 3], np.arange(24) // 2, [0, 1] * 20, [0] * 25,
], ids=str)  # fmt: skip
def test_a_row_of_every_class_stays(y, share: float) -> None:
    y = np.asarray(y)
    data = hold_out(make(y, objective="multiclass"), share, 0)
    assert set(y[data.train.rows]) == set(y)
    assert len(data.test) >= 1


def test_too_few_rows_and_data_with_a_test_set() -> None:
    few = make(np.arange(19) % 2)
    assert hold_out(few, 0.2, 0).test is None
    assert "fewer than 20 rows, so none is held out" in hold_out(few, 0.2, 0).notes[-1]
    single = make(np.arange(25), objective="multiclass")
    assert hold_out(single, 0.2, 0).test is None
    assert "each class has one row, so none is held out" in hold_out(single, 0.2, 0).notes[-1]
    many = make(np.arange(50) % 2)
    assert hold_out(many, 0, 0) is many
    tested = make(np.arange(50) % 2, test=(np.eye(2), [0, 1]))
    assert hold_out(tested, 0.2, 0) is tested


def test_a_source_holds_out_a_fifth(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", X=np.eye(100), y=np.arange(100) % 4)
    source = DataSource(str(tmp_path / "t.npz"))
    data = source.load(seed=3)
    assert np.bincount(data.test.y[data.test.rows]).tolist() == [5, 5, 5, 5]
    assert data.test.rows.tolist() == source.load(seed=3).test.rows.tolist()
    assert DataSource(source.data, test=0).load().test is None


def test_a_subset_is_split_within_itself() -> None:
    data = make(np.arange(100) % 2)
    odd = Dataset("odd", data.train.subset(np.arange(1, 100, 2)), None, 2)
    held = hold_out(odd, 0.2, 0)
    assert len(held.test) == 10
    assert set(held.test.rows) | set(held.train.rows) == set(range(1, 100, 2))
