"""The checks that arrays pass, and the fingerprint of a data set."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from mlp_xp import Dataset, InputError, Split, load_data
from mlp_xp.data import memory
from mlp_xp.data.checks import check_rows
from mlp_xp.nn import OBJECTIVES

X, Y = np.arange(24.0).reshape(6, 4), np.array([0, 1, 2, 0, 1, 2])

# ---- from arrays


def test_from_arrays() -> None:
    data = Dataset.from_arrays(X, Y)
    assert np.shares_memory(data.train.X, X)
    np.testing.assert_array_equal(data.train.X, X)
    np.testing.assert_array_equal(data.train.y, Y)
    assert (data.name, data.n_features, data.n_outputs, data.objective) == (
        "data", 4, 3, "multiclass")  # fmt: skip
    assert (data.test, data.validation, data.output_names) == (None, None, None)
    assert (data.feature_names, data.label) == (None, None)
    assert Dataset.from_arrays(X, Y, feature_names=list("abcd")).feature_names == tuple("abcd")
    assert (data.train.weights, data.train.rows) == (None, None)
    assert data.evaluation_split == ("train", data.train)


def test_from_lists() -> None:
    data = Dataset.from_arrays(
        [[[1, 2], [3, 4]], [[5, 6], [7, 0.5]]],
        [1, 0],
        weights=[0, 3],
        test=([[1, 2, 3, 4]], [1]),
        validation=[[[5, 6, 7, 8]], (0,)],
        output_names=["cat", "dog", "emu"],
        name="some",
    )
    assert data.train.X.tolist() == [[1, 2, 3, 4], [5, 6, 7, 0.5]]
    assert (data.train.y.dtype, data.train.weights.dtype) == (np.int64, np.float64)
    assert (data.train.y.tolist(), data.train.weights.tolist()) == ([1, 0], [0, 3])
    assert data.test.X.tolist() == [[1, 2, 3, 4]]
    assert data.validation.X.tolist() == [[5, 6, 7, 8]]
    assert (data.test.y.tolist(), data.validation.y.tolist()) == ([1], [0])
    assert (data.n_outputs, data.output_names) == (3, ("cat", "dog", "emu"))
    assert data.evaluation_split == ("test", data.test)


def test_columns_from_arrays() -> None:
    data = Dataset.from_arrays(X, np.eye(6)[:, :2], objective="multilabel", output_names=("a", "b"))
    assert (data.train.y.dtype, data.train.y.shape) == (np.float32, (6, 2))
    assert (data.n_outputs, data.output_names) == (2, ("a", "b"))
    data = Dataset.from_arrays(X, Y / 2, objective="regression", test=(X, Y))
    assert data.train.y.tolist() == [[y / 2] for y in Y]
    assert (data.n_outputs, data.test.y.shape) == (1, (6, 1))


def test_labels_in_one_column() -> None:
    """As Keras has CIFAR."""
    data = Dataset.from_arrays(X, Y[:, None], test=(X[:2], np.array([[2], [0]], dtype=np.uint8)))
    assert (data.train.y.tolist(), data.test.y.tolist()) == (Y.tolist(), [2, 0])
    assert (data.train.y.dtype, data.n_outputs) == (np.int64, 3)


class Sparse:
    """Has the method of SciPy's sparse arrays."""

    def toarray(self) -> np.ndarray:
        return X


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no rows": ({"X": [], "y": []}, r"training data has shape \(0,\); it needs one row a sample"),
    "rows of nothing": ({"X": [[]], "y": [0]}, r"training set is empty \(shape \(1, 0\)\)"),
    "no rows of some width": ({"X": np.ones((0, 4)), "y": []}, r"training set is empty \(shape"),
    "one row": ({"X": [1, 2], "y": [0]}, r"training data has shape \(2,\)"),
    "a number": ({"X": 3, "y": [0]}, r"training data has shape \(\)"),
    "nothing": ({"X": None}, r"training data has shape \(\)"),
    "ragged": ({"X": [[1, 2], [3]], "y": [0, 1]}, "training data can't be converted to an array"),
    "text": ({"X": [["a"]] * 6}, "training data is of type <U1; convert it to numbers"),
    "objects": ({"X": [[None]] * 6}, "training data is of type object; convert it to numbers"),
    "beyond floats": ({"X": [[10**400]] * 6}, "training data: int too large to convert to float"),
    "sparse": ({"X": Sparse()}, "training data is a sparse array; give its toarray"),
    "objects of two kinds": ({"X": [[1, None]] * 6}, "training data is of type object; convert"),
    "complex": ({"X": X * 1j}, "training data is of type complex128"),
    "NaN": ({"X": np.where(X == 9, np.nan, X)}, "data holds NaN or infinity, first in row 2"),
    "infinity": ({"X": np.where(X > 19, np.inf, X)}, "data holds NaN or infinity, first in row 5"),
    "too few labels": ({"y": Y[1:]}, r"6 training rows, but labels of shape \(5,\); give one"),
    "one label": ({"y": 1}, r"6 training rows, but labels of shape \(\)"),
    "ragged labels": ({"y": [[0], [1, 2]]}, "training labels can't be converted to an array"),
    "columns for classes": ({"y": X, "objective": "multiclass"},
                            r"labels of shape \(6, 4\); give one integer label"),
    "fractions": ({"y": Y / 2, "objective": "multiclass"},
                  "labels of type float64; they must be whole numbers from 0"),
    "NaN as label": ({"y": Y * np.nan}, "target nan in row 0, column 0; targets must be finite"),
    "NaN as class": ({"y": Y * np.nan, "objective": "multiclass"},
                     "labels of type float64; they must be whole"),
    "infinity as label": ({"y": Y + np.inf}, "target inf in row 0, column 0; targets must be fin"),
    "infinity as class": ({"y": Y + np.inf, "objective": "multiclass"},
                          "label inf in row 0; labels count the classes from 0"),
    "a missing name": ({"y": ["a", "b", None, "a", "b", "c"]}, "row 2, .*the label is missing"),
    "dates as labels": ({"y": Y.astype("datetime64[D]")}, "the labels are dates; give numbers or"),
    "3 axes": ({"y": np.ones((6, 1, 1)), "objective": "regression"}, "give one target, or one row"),
    "no columns": ({"y": np.ones((6, 0)), "objective": "regression"}, "give numbers"),
    "NaN to learn": ({"y": Y * np.nan, "objective": "regression"},
                     "target nan in row 0, column 0; targets must be finite numbers"),
    "beyond float32": ({"y": Y * 1e300, "objective": "regression"}, r"target 1e\+300 in row 1"),
    "neither 0 nor 1": ({"y": Y, "objective": "multilabel"},
                        "target 2 in row 2, column 0; targets must be 0 or 1"),
    "unknown objective": ({"objective": "classes"}, "objective is 'classes'; use multiclass, mult"),
    "no objective": ({"objective": []}, r"objective is \[\]; use multiclass"),
    "a weight too few": ({"weights": np.ones(5)}, r"weights of type float64, shape \(5,\); give"),
    "weights in columns": ({"weights": np.ones((6, 1))}, r"shape \(6, 1\); give one number for"),
    "text as weights": ({"weights": list("abcdef")}, "weights of type <U1"),
    "ragged weights": ({"weights": [[1], [1, 2]]}, "weights can't be converted to an array"),
    "NaN as weight": ({"weights": [1, 1, np.nan, 1, 1, 1]}, "weight nan in row 2; weights must be"),
    "a weight below 0": ({"weights": [1, 1, 1, 1, 1, -1]}, "weight -1.0 in row 5; weights must be"),
    "too few names": ({"output_names": ["a", "b"]}, "2 names for 3 classes; give one for each"),
    "too many names": ({"y": Y * 0, "objective": "multilabel", "output_names": ["a", "b"]},
                       "2 names for 1 columns of targets; give one for each"),
    "names in a text": ({"feature_names": "abc"}, "feature_names is 'abc'; it must be a list"),
    "features of one name": ({"feature_names": list("abca")}, "two features are named 'a'"),
    "a name too many": ({"feature_names": list("abcde")}, "5 names for 4 features; give one"),
    "no pair": ({"test": X}, r"the test set must be a pair \(X, y\)"),
    "three arrays": ({"validation": (X, Y, Y)}, r"the validation set must be a pair \(X, y\)"),
    "empty test": ({"test": (X[:0], Y[:0])}, "the test set is empty"),
    "NaN in the test": ({"test": (X * np.nan, Y)}, "test data holds NaN or infinity, first in row"),
    "another width": ({"test": (X[:, :3], Y)}, "test rows have 3 values, training rows 4; they mu"),
    "validation of another width": ({"validation": (X[:, :3], Y)}, "validation rows have 3 values"),
    "other columns": ({"y": X, "test": (X, X[:, :3]), "objective": "regression"},
                      "3 targets a test row, but 4 outputs; they must agree"),
    "another class": ({"y": list("abcabc"), "test": (X, list("abcabd"))}, "holds the class 'd', "),
    "an unseen label": ({"validation": (X, Y + 1)},
                        "validation label 3 does not occur in training, whose labels are 0 to 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("where", [None, "some file"])
def test_invalid_arrays(name: str, where: str | None) -> None:
    given, words = REFUSED[name]
    prefix = "" if "objective is" in words else f"{where or 'here'}: .*"
    with pytest.raises(InputError, match=prefix + words) as caught:
        Dataset.from_arrays(**{"X": X, "y": Y, "name": "here", "where": where} | given)
    assert "\n" not in str(caught.value)


anything = st.one_of(
    nps.arrays(
        st.one_of(nps.scalar_dtypes(), nps.byte_string_dtypes(), nps.unicode_string_dtypes()),
        nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    ),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=2),
        lambda values: st.lists(values, max_size=3),
        max_leaves=9,
    ),
)


@settings(max_examples=300)
@given(X=anything, y=anything, weights=anything, test=st.none() | st.tuples(anything, anything),
       objective=st.sampled_from(sorted(OBJECTIVES)))  # fmt: skip
def test_whatever_is_given_is_a_data_set_or_an_input_error(X, y, weights, test, objective) -> None:
    with np.errstate(all="ignore"):
        try:
            data = Dataset.from_arrays(X, y, weights=weights, test=test, objective=objective)
        except InputError as error:
            data, message = None, str(error)
    if data is None:
        assert message.startswith("data: ")
        return
    assert len(data.train) == len(data.train.X) == len(data.train.y) > 0
    assert np.isfinite(data.train.X).all()
    assert data.n_outputs > 0


# ---- the rows


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
    monkeypatch.setattr(memory, "BLOCK_BYTES", 64)
    X = np.zeros((100, 3), dtype=dtype)
    check_rows(X, "here")
    X[77, 2], X[91, 0] = bad, -bad
    with pytest.raises(InputError, match=r"^here holds NaN or infinity, first in row 77"):
        check_rows(X, "here")


def test_large_finite_rows_are_not_infinite() -> None:
    X = np.full((4, 3), np.finfo("float64").max)
    assert check_rows(X, "here") is X
    with pytest.raises(InputError, match="row 0"):
        check_rows(np.full((2, 2), np.finfo("longdouble").max), "here")


@pytest.mark.parametrize("kind", ["float16", "float32", "int8", "uint64", "bool"])
def test_labels_of_any_type_of_number(kind: str) -> None:
    y = np.array([0, 1, 1], dtype=kind)
    assert Dataset.from_arrays(np.ones((3, 2)), y).train.y.tolist() == [0, 1, 1]
    if kind != "bool" and kind != "uint64":
        data = Dataset.from_arrays(np.ones((3, 2)), -y)
        assert (data.train.y.tolist(), data.output_names) == ([1, 0, 0], ("-1", "0"))


# ---- the fingerprint


def test_names_of_any_kind_of_list() -> None:
    names = ["a", "b", "c"]
    for kind in (tuple(names), np.array(names), iter(names), dict.fromkeys(names).keys()):
        data = Dataset.from_arrays(np.eye(3), np.arange(3), output_names=kind)
        assert data.output_names == ("a", "b", "c")
    for nothing in (None, [], np.array([])):
        data = Dataset.from_arrays(np.eye(3), np.arange(3), feature_names=nothing)
        assert data.feature_names is None


def test_fingerprint_is_of_the_content(tmp_path: Path, rng: np.random.Generator) -> None:
    X, y = rng.integers(0, 256, (50, 4), dtype=np.uint8), np.arange(50) % 3
    np.savez(tmp_path / "a.npz", X=X, y=y)
    np.savez_compressed(tmp_path / "b.npz", x_train=X, y_train=y.astype(np.int8))
    folder = tmp_path / "c"
    folder.mkdir()
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    prints = {load_data(tmp_path / name).fingerprint() for name in ("a.npz", "b.npz", "c")}
    assert len(prints) == 1


def test_fingerprint_tells_all_that_differs(rng: np.random.Generator, monkeypatch) -> None:
    monkeypatch.setattr(memory, "BLOCK_BYTES", 16)
    X, y = rng.random((50, 4), dtype=np.float32), np.arange(50) % 3
    data = Dataset("a", Split(X, y), None, 3)
    flipped = X.copy()
    flipped.view(np.uint8)[37, 5] ^= 1
    other = y.copy()
    other[49] += 1
    split, columns = data.train, Split(X, np.eye(3)[y])
    variants = [
        data,
        replace(data, train=Split(flipped, y)),
        replace(data, train=Split(X, other)),
        replace(data, train=Split(X[:-1], y[:-1])),
        replace(data, train=Split(X.reshape(100, 2)[:50], y)),
        replace(data, train=Split(X.view(np.float64), y)),
        replace(data, train=Split(X, y, np.ones(50))),
        replace(data, train=Split(X, y, np.where(np.arange(50) == 49, 1 + 2**-52, 1))),
        replace(data, train=split.subset(np.arange(50))),
        replace(data, train=split.subset(np.arange(49))),
        replace(data, train=split.subset(np.arange(50)[::-1])),
        replace(data, test=split),
        replace(data, validation=split),
        replace(data, test=split, validation=split),
        replace(data, output_names=("a", "b", "c")),
        replace(data, feature_names=("a", "b", "c", "d")),
        replace(data, feature_names=("b", "a", "c", "d")),
        replace(data, label="a"),
        replace(data, n_outputs=4),
        replace(data, train=columns, objective="regression"),
        replace(data, train=columns, objective="multilabel"),
    ]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)
    assert replace(data, name="b").fingerprint() == data.fingerprint()


def test_a_masked_array_and_names_in_one_string_are_refused() -> None:
    X, y = np.eye(3), np.arange(3)
    masked = np.ma.masked_equal(X, 1)
    with pytest.raises(InputError, match="training data is a masked array, whose mask would be"):
        Dataset.from_arrays(masked, y)
    for names in ("abc", 5, np.array("abc"), {"a", "b", "c"}):
        with pytest.raises(InputError, match=r"output_names is .*; it must be a list of names"):
            Dataset.from_arrays(X, y, output_names=names)
