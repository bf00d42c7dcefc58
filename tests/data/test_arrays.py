"""What people have in memory: every kind of frame and array gives the same rows."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from mlp_xp import Dataset, InputError
from mlp_xp.data.arrays import column_names, recognize_targets, rows_of
from mlp_xp.errors import TrainingWarning

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

COLUMNS: dict[str, list[Any]] = {
    "x": [1.5, None, -2.0, 0.25], "n": [3, 1, 4, 1], "c": ["p", "q", None, "p"],
    "is": [True, False, None, True],
    "d": [dt.date(1970, 1, 2), None, dt.date(2024, 2, 29), dt.date(1969, 12, 31)],
}  # fmt: skip
# x and whether it's missing; n; p, q, whether c is missing; is, ...; days, ...
INPUTS = [
    [1.5, 0, 3, 1, 0, 0, 1, 0, 1, 0],
    [0.25, 1, 1, 0, 1, 0, 0, 0, 1, 1],
    [-2, 0, 4, 0, 0, 1, 1, 1, 19782, 0],
    [0.25, 0, 1, 1, 0, 0, 1, 0, -1, 0],
]
FEATURES = ("x", "x is missing", "n", "c=p", "c=q", "c is missing", "is", "is is missing", "d",
            "d is missing")  # fmt: skip
Y = [0, 1, 1, 0]


def nullable() -> Any:
    kinds = {"x": "Float64", "n": "Int64", "c": "string", "is": "boolean"}
    frame = pd.DataFrame(COLUMNS).astype(kinds)
    return frame.assign(d=pd.to_datetime(frame["d"]))


FRAMES = {
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas, nullable": nullable,
    "pandas, nanoseconds": lambda: nullable().astype({"d": "datetime64[ns]", "c": "category"}),
    "pandas, with a zone": lambda: nullable().assign(d=nullable()["d"].dt.tz_localize("UTC")),
    "pandas, Arrow": lambda: pa.table(COLUMNS).to_pandas(types_mapper=pd.ArrowDtype),
    "pandas, an index": lambda: pd.DataFrame(COLUMNS, index=[9, 9, 7, 8]),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars, categories": lambda: pl.DataFrame(COLUMNS).with_columns(
        pl.col("c").cast(pl.Categorical), pl.col("d").cast(pl.Datetime("us"))),
    "Arrow": lambda: pa.table(COLUMNS),
    "Arrow, batch": lambda: pa.RecordBatch.from_pydict(COLUMNS),
    "Arrow, dictionary": lambda: pa.table(COLUMNS | {"c": pa.array(COLUMNS["c"])
                                                     .dictionary_encode()}),
}  # fmt: skip


def reordered(frame: Any) -> Any:
    """Its columns in another order."""
    names = column_names(frame)[::-1]
    return frame.select(names) if hasattr(frame, "select") else frame[names]


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_gives_the_same_rows(kind: str) -> None:
    frame = FRAMES[kind]()
    data = Dataset.from_arrays(frame, Y)
    assert data.train.X.tolist() == INPUTS
    assert (data.feature_names, data.train.y.tolist()) == (FEATURES, Y)
    assert rows_of(reordered(frame), data.schema, "here").tolist() == INPUTS
    other = FRAMES["polars"]()
    pair = Dataset.from_arrays(frame, Y, test=(reordered(other), Y), validation=(other, Y))
    assert pair.test.X.tolist() == pair.validation.X.tolist() == INPUTS
    again = Dataset.like(data.schema, reordered(other), Y, "multiclass")
    assert again.train.X.tolist() == INPUTS
    with pytest.raises(InputError, match="here: lacks n, which the model learned from"):
        rows_of(frame.drop("n") if kind.startswith("polars") else
                frame.drop(columns="n") if kind.startswith("pandas") else
                frame.drop_columns(["n"]), data.schema, "here")  # fmt: skip


@pytest.mark.parametrize("kind", FRAMES)
def test_y_may_be_the_name_of_a_column(kind: str) -> None:
    data = Dataset.from_arrays(FRAMES[kind](), "n", objective="multiclass")
    assert data.train.X.tolist() == [row[:2] + row[3:] for row in INPUTS]
    assert (data.output_names, data.label) == (("1", "3", "4"), "n")
    assert data.train.y.tolist() == [1, 0, 2, 0]


def test_names_of_columns_that_are_no_texts() -> None:
    frame = pd.DataFrame([[1, 2, 0], [3, 5, 1]], columns=[7, ("a", "b"), "y"])
    data = Dataset.from_arrays(frame, "y")
    assert data.feature_names == ("7", "('a', 'b')")
    levels = pd.MultiIndex.from_tuples([("a", "x"), ("a", "z"), ("b", "x")])
    data = Dataset.from_arrays(frame.set_axis(levels, axis=1), [0, 1])
    assert data.feature_names == ("('a', 'x')", "('a', 'z')", "('b', 'x')")
    assert data.train.X.tolist() == [[1, 2, 0], [3, 5, 1]]
    odd = pd.DataFrame({"select": [1, 2], "column_names": [3, 5], "columns": [0, 1]})
    data = Dataset.from_arrays(odd, "columns")
    assert data.train.X.tolist() == [[1, 3], [2, 5]]


def test_a_lazy_frame_has_no_rows_yet() -> None:
    with pytest.raises(InputError, match=r"give its collect\(\)"):
        Dataset.from_arrays(pl.LazyFrame({"a": [1, 2]}), [0, 1])


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_moment_is_the_same_in_every_zone(zone: str) -> None:
    moments = pd.to_datetime(["2024-02-29 06:00", "2024-07-01 18:00", None]).tz_localize("UTC")
    there = moments.tz_convert(zone)
    objects = [None if pd.isna(m) else m.to_pydatetime() for m in there]
    for column in (there, pd.Series(objects, dtype=object)):
        data = Dataset.from_arrays(pd.DataFrame({"d": column}), [0, 1, 0])
        assert data.train.X.tolist() == [[19782.25, 0], [19905.75, 0], [19844, 1]]
    frame = pl.DataFrame({"d": objects})
    assert Dataset.from_arrays(frame, [0, 1, 0]).train.X.tolist() == data.train.X.tolist()


def test_columns_of_objects() -> None:
    """Numbers of all kinds are numbers; with texts, all are texts."""
    values = [1, 2.5, Decimal("3.25"), np.float32(0.5), True, None, math.nan, Decimal("NaN")]
    X = Dataset.from_arrays(pd.DataFrame({"a": pd.Series(values, dtype=object)}), Y * 2).train.X
    assert X[:, 0].tolist() == [1, 2.5, 3.25, 0.5, 1, 1, 1, 1]
    mixed = pd.DataFrame({"a": pd.Series([1, "x ", None, "x"], dtype=object)})
    data = Dataset.from_arrays(mixed, Y)
    assert data.feature_names == ("a=1", "a=x", "a is missing")
    assert data.train.X.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]


def test_further_frames_of_another_kind() -> None:
    """Whole numbers where training had texts, and booleans where it had numbers, are the same."""
    train = pd.DataFrame({"c": ["1", "2", "more"], "n": [0, 1, 5]})
    data = Dataset.from_arrays(train, [0, 1, 0])
    rows = rows_of(pd.DataFrame({"n": [True, False], "c": [2, 1]}), data.schema, "here")
    assert rows.tolist() == [[0, 1, 0, 1], [1, 0, 0, 0]]
    with pytest.warns(TrainingWarning, match="column 'c' holds '3.5', 'inf', which training didn"):
        rows = rows_of(pd.DataFrame({"n": [1, 0], "c": [3.5, np.inf]}), data.schema, "here")
    assert rows[:, :3].tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.raises(InputError, match="here: row 1, column 'n': 'x' is not a number"):
        rows_of(pd.DataFrame({"n": [1, "x"], "c": [1, 2]}), data.schema, "here")


X = np.arange(12.0).reshape(4, 3) / 4


@pytest.mark.parametrize("rows", [
    X.tolist(), X.astype("float16"), np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2],
    X[::-1][::-1], X.astype(object), [tuple(row) for row in X], X.astype(">f8"),
    [[Decimal(str(v)) for v in row] for row in X] and X.astype("longdouble"),
], ids=str)  # fmt: skip
def test_every_array_gives_the_same_rows(rows: Any) -> None:
    data = Dataset.from_arrays(rows, Y)
    np.testing.assert_array_equal(data.train.X, X)
    assert data.train.X.flags.c_contiguous


# ---- labels


@pytest.mark.parametrize(("y", "names", "classes"), [
    ([0, 1, 1, 0], None, [0, 1, 1, 0]),
    ([1, 2, 2, 1], ("1", "2"), [0, 1, 1, 0]),
    ([-1, 1, 1, -1], ("-1", "1"), [0, 1, 1, 0]),
    ([0, 2, 2, 0], ("0", "2"), [0, 1, 1, 0]),
    ([1.0, 2.0, 2.0, 1.0], ("1", "2"), [0, 1, 1, 0]),
    (["b", "a", "a", "b"], ("a", "b"), [1, 0, 0, 1]),
    (["10", "9", "9", "10"], ("9", "10"), [1, 0, 0, 1]),
    ([True, False, False, True], ("False", "True"), [1, 0, 0, 1]),
    ([[0], [1], [1], [0]], None, [0, 1, 1, 0]),
    (np.eye(3)[[2, 0, 1, 2]], None, [2, 0, 1, 2]),
    (np.eye(3, dtype=bool)[[2, 0, 1, 2]], None, [2, 0, 1, 2]),
    (np.array(["u", "v", "v", "u"], dtype=object), ("u", "v"), [0, 1, 1, 0]),
    (np.array([3, 5, 5, 3], dtype=object), ("3", "5"), [0, 1, 1, 0]),
    (np.array([b"u", b"v", b"v", b"u"]).astype("U"), ("u", "v"), [0, 1, 1, 0]),
])  # fmt: skip
def test_classes(y: Any, names: tuple | None, classes: list[int]) -> None:
    y = np.asarray(y)
    makers = [lambda: y, lambda: y.tolist()]
    if y.ndim == 1:
        makers += [lambda: pd.Series(y.tolist()), lambda: pl.Series(y.tolist()),
                   lambda: pa.array(y.tolist()), lambda: pd.Categorical(y.tolist())]  # fmt: skip
    for make in makers:
        data = Dataset.from_arrays(X, make(), test=(X, make()))
        assert (data.objective, data.output_names) == ("multiclass", names)
        assert data.train.y.tolist() == data.test.y.tolist() == classes


@pytest.mark.parametrize(("y", "objective"), [
    (np.arange(4) / 2, "regression"), (np.eye(2)[[0, 1, 1, 0]] * 2, "regression"),
    (np.array([[0, 1], [1, 1]]), "multilabel"), (np.array([[0, 0], [1, 0]]), "multilabel"),
    (np.arange(60), "regression"), (np.arange(600) % 30, "multiclass"),
    (np.arange(60) % 20, "multiclass"), (np.arange(70_000) // 20, "multiclass"),
    (np.arange(700_000) // 10, "regression"), (np.array(["a"]), "multiclass"),
    (np.array([[1.0], [0.5]]), "regression"), (np.array([1, math.nan]), "regression"),
])  # fmt: skip
def test_objectives_are_recognized(y: np.ndarray, objective: str) -> None:
    assert recognize_targets(y) == objective


def test_whole_numbers_of_many_values_are_a_regression_with_a_warning() -> None:
    with pytest.warns(TrainingWarning, match="taken for a regression; the objective"):
        data = Dataset.from_arrays(np.arange(120.0).reshape(60, 2), np.arange(60))
    assert data.objective == "regression"
    data = Dataset.from_arrays(np.arange(120.0).reshape(60, 2), np.arange(60),
                               objective="multiclass")  # fmt: skip
    assert data.n_outputs == 60


@pytest.mark.parametrize("kind", ["Float64", "float64[pyarrow]", object])
def test_numbers_in_any_series_are_a_regression(kind: Any) -> None:
    y = pd.Series([1.5, 2, 3.25, -1], dtype=kind, name="price")
    data = Dataset.from_arrays(X, y)
    assert (data.objective, data.train.y.tolist()) == ("regression", [[1.5], [2], [3.25], [-1]])


def test_labels_in_a_dictionary_of_arrow() -> None:
    """NumPy reads a null in one as some other value."""
    y = pa.chunked_array([pa.array(["u", "v", "v", "u"]).dictionary_encode()])
    assert Dataset.from_arrays(X, y).train.y.tolist() == [0, 1, 1, 0]
    y = pa.chunked_array([pa.array(["u", "v", None, "u"]).dictionary_encode()])
    with pytest.raises(InputError, match=r"row 2, .*the label is missing"):
        Dataset.from_arrays(X, y)


def test_names_of_labels() -> None:
    assert Dataset.from_arrays(X, pd.Series(Y, name="kind")).label == "kind"
    assert Dataset.from_arrays(X, pl.Series("kind", Y)).label == "kind"
    assert Dataset.from_arrays(X, pd.DataFrame({"kind": Y})).label == "kind"
    assert Dataset.from_arrays(X, pd.Series(Y)).label is None
    assert Dataset.from_arrays(X, pd.Series(Y, name="kind"), label="sort").label == "sort"


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_labels_in_several_columns_are_found_by_name(make: Any) -> None:
    y, other = {"p": [0.5, 1, 2, 3], "q": [1, 2, 3, 5]}, {"q": [7, 8], "p": [1, 2]}
    data = Dataset.from_arrays(X, make(y), test=(X[:2], make(other)))
    assert (data.objective, data.output_names) == ("regression", ("p", "q"))
    assert data.train.y.tolist() == [[0.5, 1], [1, 2], [2, 3], [3, 5]]
    assert data.test.y.tolist() == [[1, 7], [2, 8]]
    one_hot = {"cat": [1, 0, 0, 1], "dog": [0, 1, 1, 0]}
    data = Dataset.from_arrays(X, make(one_hot), test=(X, make(dict(reversed(one_hot.items())))))
    assert (data.objective, data.output_names) == ("multiclass", ("cat", "dog"))
    assert data.train.y.tolist() == data.test.y.tolist() == [0, 1, 1, 0]


def test_dummies_of_pandas_are_its_categories() -> None:
    y = pd.get_dummies(pd.Series(["u", "v", "u", "w"]))
    data = Dataset.from_arrays(X, y)
    assert (data.output_names, data.train.y.tolist()) == (("u", "v", "w"), [0, 1, 0, 2])
