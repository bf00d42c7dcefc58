"""Tables as people write them, which a first look from outside found read wrongly."""

import numpy as np
import pytest

from mlp_xp import InputError, load_data, train
from mlp_xp.errors import TrainingWarning
from mlp_xp.training.start import wanted_schema

pytest.importorskip("pyarrow")


def write(path, head: str, rows) -> str:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_points_between_thousands(tmp_path):
    """Where numbers have decimal commas, 2.581 is 2581, and -1.234.567,5 a number too."""
    rows = [f"{i}.581;{i % 9},5;{-i}.234.567,5;{'ab'[i % 2]}" for i in range(1, 41)]
    X = load_data(write(tmp_path / "t.csv", "a;b;c;kind", [*rows, "861;2,5;7;a"])).train.X
    assert X[1].tolist() == [2581, 2.5, -2234567.5]
    assert X[-1].tolist() == [861, 2.5, 7]
    # Without a decimal comma, a point is what it is elsewhere.
    rows = [f"{i}.581;{i % 9};{'ab'[i % 2]}" for i in range(1, 41)]
    assert load_data(write(tmp_path / "t.csv", "a;b;kind", rows)).train.X[1].tolist() == [2.581, 2]


def test_all_columns_that_cannot_be_inputs_are_named_at_once(tmp_path):
    rows = [f"{i + 1},name {i},t{i},{i % 7},{'ab'[i % 2]}" for i in range(150)]
    table = write(tmp_path / "t.csv", "id,Name,Ticket,n,kind", rows)
    with pytest.raises(InputError, match=r"'id', 'Name', 'Ticket' .* --drop id,Name,Ticket$"):
        load_data(table)
    assert load_data(table, drop=["id", "Name", "Ticket"]).feature_names == ("n",)


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("True", "False"), ("1", "0")])
def test_labels_of_yes_and_no(tmp_path, yes, no):
    rows = [f"{i % 5},{yes if i % 2 else no},{yes if i % 3 else no}" for i in range(30)]
    data = load_data(write(tmp_path / "t.csv", "a,rain,wind", rows), label="rain,wind")
    assert data.objective == "multilabel"
    assert data.train.y[:4].tolist() == [[0, 0], [1, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize(("label", "words"), [
    (lambda i: "on request" if i == 9 else 1000 + i, "'on request' is not a number, but most"),
    (lambda i: f"${1000 + i // 2 if i else 7}", "too many to learn; name the label's column"),
])  # fmt: skip
def test_a_label_that_is_no_class(tmp_path, label, words):
    rows = [f"{i % 5},{label(i)}" for i in range(60)]
    with pytest.raises(InputError, match=words):
        load_data(write(tmp_path / "t.csv", "a,price", rows))


def test_whole_numbers_that_do_not_count_classes_are_a_regression(tmp_path):
    ages = [f"{i % 5},{18 + i % 58}" for i in range(1160)]
    assert load_data(write(tmp_path / "t.csv", "a,age", ages)).objective == "regression"
    digits = [f"{i % 5},{i % 58}" for i in range(1160)]
    data = load_data(write(tmp_path / "t.csv", "a,kind", digits))
    assert (data.objective, data.n_outputs) == ("multiclass", 58)


def test_what_pandas_left_as_texts_is_read(tmp_path):
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2020-01-01", periods=60).strftime("%Y-%m-%d")
    table = pandas.DataFrame({"day": days, "n": [str(i * 0.5) for i in range(60)]})
    table["kind"] = ["ab"[i % 2] for i in range(60)]
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    of_text, of_texts = load_data(tmp_path / "t.csv"), load_data(tmp_path / "t.parquet")
    assert of_text.columns == of_texts.columns
    np.testing.assert_array_equal(of_text.train.X, of_texts.train.X)
    again = load_data(tmp_path / "t.parquet", like=of_text)
    np.testing.assert_array_equal(again.train.X, of_text.train.X)


def test_a_category_of_numbers_is_found_in_any_spelling(tmp_path):
    rows = [f"{['2', '3', 'more'][i % 3]},{'ab'[i % 2]}" for i in range(30)]
    data = load_data(write(tmp_path / "t.csv", "doors,kind", rows))
    other = [line.replace("2,", "2.0,").replace("3,", "3.0,") for line in rows]
    again = load_data(write(tmp_path / "o.csv", "doors,kind", other), like=data)
    np.testing.assert_array_equal(again.train.X, data.train.X)


def test_a_column_that_is_empty_is_told_even_if_training_had_gaps(tmp_path):
    rows = [f"{i if i % 5 else ''},{i % 3},{'ab'[i % 2]}" for i in range(40)]
    data = load_data(write(tmp_path / "t.csv", "a,b,kind", rows))
    with pytest.warns(TrainingWarning, match="column 'a' is empty, and wasn't in training"):
        load_data(write(tmp_path / "e.csv", "a,b,kind", [f",1,{'ab'[i % 2]}" for i in range(20)]),
                  like=data)  # fmt: skip


def test_numbers_that_count_the_rows_from_anywhere(tmp_path):
    def rows(n: int) -> list[str]:
        return [f"{100001 + i},{i % 7},{'ab'[i % 2]}" for i in range(n)]

    with pytest.raises(InputError, match=r"column 'id': only numbers the rows; leave .* --drop id"):
        load_data(write(tmp_path / "t.csv", "id,n,kind", rows(120)))
    assert load_data(write(tmp_path / "t.csv", "year,n,kind", rows(60))).n_features == 2


def test_the_nearest_class_is_named(tmp_path):
    rows = [f"{i % 5},{'xy'[i % 2]}es" for i in range(9)]
    data = load_data(write(tmp_path / "t.csv", "a,kind", rows))
    with pytest.raises(InputError, match=r"'xes\.', which is not in .*; did you mean 'xes'"):
        load_data(write(tmp_path / "o.csv", "a,kind", ["1,xes."]), like=data)


def test_a_model_of_arrays_goes_on_with_a_table_of_other_classes(tmp_path):
    X = np.arange(20.0).reshape(10, 2)
    model, _ = train(X, np.arange(10) % 2, epochs=1)
    table = write(tmp_path / "t.csv", "a,b,kind", [f"{i % 5},1,{'xy'[i % 2]}" for i in range(9)])
    with pytest.raises(InputError, match="holds the class 'x', which is not in training"):
        load_data(table, like=model)
    assert load_data(table, like=wanted_schema(model)).output_names == ("x", "y")


def test_a_test_table_needs_no_weights(tmp_path):
    write(tmp_path / "train.csv", "a,w,kind", [f"{i % 5},{i},{'xy'[i % 2]}" for i in range(9)])
    write(tmp_path / "test.csv", "kind,a", ["x,1", "y,2"])
    data = load_data(tmp_path, weight="w")
    assert (data.n_features, len(data.test), data.train.weights[3]) == (1, 2, 3)
