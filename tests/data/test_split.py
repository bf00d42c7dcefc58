"""Splits, their subsets, and splits and data sets that are put together by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_xp import Dataset, InputError, Network, Split, evaluate, get_device

X, Y = np.arange(24.0).reshape(6, 4), np.array([0, 1, 2, 0, 1, 2])


def a_split() -> Split:
    return Split(np.arange(40, dtype=np.uint8).reshape(20, 2), np.arange(20), np.arange(20) / 10)


def assert_takes(split: Split, start: int, stop: int, rows: list[int]) -> None:
    whole = a_split()
    for found, source in zip(
        split.take(start, stop), (whole.X, whole.y, whole.weights), strict=True
    ):
        assert found.dtype == source.dtype
        np.testing.assert_array_equal(found, source[rows])


def test_all_rows_of_a_split() -> None:
    split = a_split()
    assert len(split) == 20
    assert split.rows is None
    assert split.rows_in_order(None) is None
    assert split.index(3, 5) == slice(3, 5)
    order = np.array([3, 1, 2])
    assert split.rows_in_order(order) is order
    assert_takes(split, 3, 6, [3, 4, 5])
    assert_takes(split, 18, 30, [18, 19])
    assert np.shares_memory(split.take(3, 6)[0], split.X)


def test_a_subset_of_a_subset() -> None:
    split = a_split()
    odd = split.subset(np.arange(1, 20, 2))
    assert len(odd) == 10
    np.testing.assert_array_equal(odd.rows_in_order(None), np.arange(1, 20, 2))
    assert_takes(odd, 2, 4, [5, 7])
    part = odd.subset([9, 0, 4])
    assert len(part) == 3
    np.testing.assert_array_equal(part.rows, [19, 1, 9])
    assert_takes(part, 0, 3, [19, 1, 9])
    assert_takes(part, 1, 2, [1])
    assert_takes(part, 2, 9, [9])
    np.testing.assert_array_equal(part.rows_in_order(np.array([2, 0, 1])), [9, 19, 1])
    for subset in (odd, part):  # the arrays are those of the whole split
        assert (subset.X is split.X, subset.y is split.y, subset.weights is split.weights) == (
            True, True, True)  # fmt: skip
    assert split.rows is None
    last = part.subset([2, 2])
    assert_takes(last, 0, 2, [9, 9])


def test_a_subset_by_a_mask_or_from_the_end() -> None:
    split = a_split()
    np.testing.assert_array_equal(split.subset(split.y > 16).rows, [17, 18, 19])
    assert split.subset([-1]).rows.tolist() == [19]


NO_ROWS: list[Any] = [
    [20], [-21], [0.5], np.ones(19, dtype=bool), [], None, "ab", [[0, 1]], 3, [[0], [1, 2]],
]  # fmt: skip


@pytest.mark.parametrize("rows", NO_ROWS)
def test_rows_that_a_split_does_not_have(rows: Any) -> None:
    for split in (a_split(), a_split().subset(np.arange(10, 15))):
        with pytest.raises(InputError):
            split.subset(rows)
    if rows is not None:
        with pytest.raises(InputError, match=r"split: .*rows"):
            replace(a_split(), rows=rows)
    with pytest.raises(InputError, match="subset: index 10 is out of bounds"):
        a_split().subset(np.arange(10)).subset([10])


def test_a_split_without_weights_takes_none() -> None:
    split = replace(a_split(), weights=None)
    assert split.take(0, 3)[2] is None
    assert split.subset([3]).take(0, 1)[2] is None


# ---- splits and data sets by hand


def test_a_split_has_the_types_that_it_promises(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    small = Y.astype(np.uint8)
    split = Split(mapped, small, weights=small, rows=small[:4])
    assert split.X is mapped
    assert isinstance(split.subset([0]).X, np.memmap)
    assert [array.dtype for array in (split.y, split.weights, split.rows)] == [
        np.int64, np.float64, np.int64]  # fmt: skip
    columns = Split(X, np.eye(6), np.ones(6, dtype="float32"))
    assert (columns.X is X, columns.y.dtype, columns.weights.dtype) == (True, "float32", "float32")
    again = replace(columns, rows=np.array([5, 3]))
    assert (again.X is X, again.y is columns.y, again.weights is columns.weights) == (True,) * 3
    assert Split([[0.5, 2]], [1]).take(0, 1)[0].tolist() == [[0.5, 2]]


def test_a_class_times_the_number_of_classes_is_no_overflow() -> None:
    """In the 8 bits of the labels given, the confusion matrix would have counted anywhere."""
    network = Network.initialize(get_device("cpu"), (4, 100), seed=1)
    y = (Y + 90).astype(np.uint8)
    confusion = evaluate(network, Split(X, y)).confusion
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(y, minlength=100))


NO_SPLIT: dict[str, tuple[dict[str, Any], str]] = {
    "one row": ({"X": [1.0, 2.0], "y": [0]}, r"data has shape \(2,\); it needs one row a sample"),
    "three axes": ({"X": np.ones((6, 2, 2))}, r"shape \(6, 2, 2\); give rows \(N, n\) of uint8"),
    "nothing": ({"X": None}, r"data has shape \(\)"),
    "no labels": ({"y": None}, r"6 rows, but labels of shape \(\)"),
    "text": ({"X": "abc"}, r"data has shape \(\)"),
    "texts": ({"X": [["a"]] * 6}, "X is of type <U1"),
    "ragged": ({"X": [[1], [2, 3]]}, "X can't be converted to an array"),
    "ragged labels": ({"y": [[1], [2, 3]]}, "y can't be converted to an array"),
    "empty": ({"X": X[:0], "y": Y[:0]}, r"the set is empty \(shape \(0, 4\)\); give it rows"),
    "integers": ({"X": X.astype(int)}, "X is of type int64"),
    "swapped bytes": ({"X": X.astype(">f8")}, "X is of type >f8"),
    "other lengths": ({"y": Y[1:]}, r"6 rows, but labels of shape \(5,\)"),
    "below 0": ({"y": Y - 1}, "label -1 in row 0; labels count the classes from 0"),
    "fractions": ({"y": Y / 2}, "labels of type float64; they must be whole numbers"),
    "names": ({"y": list("abcabc")}, "labels of type <U1"),
    "text in columns": ({"y": [["a"]] * 6}, "targets of type <U1"),
    "a weight too few": ({"weights": np.ones(5)}, r"shape \(5,\); give one number for each of"),
    "a weight below 0": ({"weights": -np.ones(6)}, "weight -1.0 in row 0"),
    "rows out of range": ({"rows": [0, 6]}, "rows 0 to 6 are selected, of 0 to 5"),
    "rows below 0": ({"rows": [-1, 2]}, "rows -1 to 2 are selected, of 0 to 5"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_SPLIT)
def test_a_split_by_hand_that_is_none(name: str) -> None:
    given, words = NO_SPLIT[name]
    with pytest.raises(InputError, match=f"^split: .*{words}") as caught:
        Split(**{"X": X, "y": Y} | given)
    assert "\n" not in str(caught.value)


NO_DATASET: dict[str, tuple[dict[str, Any], str]] = {
    "arrays": ({"train": (X, Y)}, "the training set is of type tuple; give a Split"),
    "nothing": ({"train": None}, "the training set is of type NoneType; give a Split"),
    "an array to test": ({"test": X}, "the test set is of type ndarray; give a Split"),
    "no outputs": ({"n_outputs": 0}, "n_outputs is 0; give a number from 1 to 65536"),
    "outputs beyond memory": ({"n_outputs": 10**12}, "n_outputs is 1000000000000; give a number"),
    "text outputs": ({"n_outputs": "3"}, "n_outputs is '3'; give a number"),
    "a class too many": ({"n_outputs": 2}, "training label 2 is beyond the classes"),
    "columns for classes": ({"train": Split(X, np.eye(6))}, r"shape \(6, 6\); multiclass needs"),
    "classes for columns": ({"objective": "multilabel"}, r"shape \(6,\); multilabel needs"),
    "other columns": ({"train": Split(X, np.eye(6)), "objective": "multilabel"},
                      "6 targets a training row, but 3 outputs; they must agree"),
    "neither 0 nor 1": ({"train": Split(X, X[:, :3]), "objective": "multilabel"},
                        "target 2.0 in row 0, column 2; targets must be 0 or 1"),
    "another width": ({"test": Split(X[:, :3], Y)}, "test rows have 3 values, training rows 4; th"),
    "an unseen label": ({"validation": Split(X, Y + 1)}, "validation label 3 does not occur in"),
    "too few names": ({"output_names": ("a", "b")}, "2 names for 3 classes; give one for each"),
    "one name twice": ({"output_names": ("a", "b", "a")}, "two classes are named 'a'; give each"),
    "names in a text": ({"output_names": "abc"}, "output_names is 'abc'; it must be a list"),
    "too many features": ({"feature_names": list("abcde")}, "5 names for 4 features"),
    "a label that is no name": ({"label": 3}, "label is 3; give the name of a column"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_DATASET)
def test_a_data_set_by_hand_that_is_none(name: str) -> None:
    given, words = NO_DATASET[name]
    with pytest.raises(InputError, match=f"^here: .*{words}") as caught:
        Dataset(**{"name": "here", "train": Split(X, Y), "test": None, "n_outputs": 3} | given)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="objective is 'nope'; use multiclass"):
        Dataset("here", Split(X, Y), None, 3, "nope")


def test_what_a_data_set_by_hand_may_be() -> None:
    """Rows that a split doesn't select don't count; there may be more classes than occur."""
    unseen = Split(X, Y + 1).subset([0, 1])
    data = Dataset("here", Split(X, Y), unseen, np.int64(3), output_names=["a", "b", "c"],
                   feature_names=list("wxyz"), label="kind")  # fmt: skip
    assert (type(data.n_outputs), data.output_names) == (int, ("a", "b", "c"))
    assert (data.feature_names, data.label) == (tuple("wxyz"), "kind")
    assert replace(data, n_outputs=5, output_names=None).n_outputs == 5
