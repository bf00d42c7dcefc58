"""Whole numbers are one class by value, however they are spelled; all other names are texts."""

import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_xp import Dataset, InputError, load_data
from mlp_xp.data.classes import class_key


def write(path: Path, labels: list[str]) -> Path:
    path.write_text("a,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)))
    return path


@given(st.from_regex(r"[+-]?[0-9]{1,25}(\.0{0,3})?", fullmatch=True),
       st.from_regex(r"[+-]?[0-9]{1,25}(\.0{0,3})?", fullmatch=True))  # fmt: skip
def test_two_spellings_are_one_class_if_their_values_are_equal(first: str, second: str) -> None:
    assert (class_key(first) == class_key(second)) == (Decimal(first) == Decimal(second))
    assert Decimal(class_key(first)) == Decimal(first)


@pytest.mark.parametrize(("labels", "names", "y"), [
    (["1", "0", "1.0", "01", "+1", "-0", "0.", "00"], ("0", "1"), [1, 0, 1, 1, 1, 0, 0, 0]),
    (["2.0", "10", "2", "-3", "-3.0"], ("-3", "2.0", "10"), [1, 2, 1, 0, 0]),
    (["cat", "07", "7", "7.0"], ("07", "cat"), [1, 0, 0, 0]),
    (["1_0", "10", "1_0"], ("10", "1_0"), [1, 0, 1]),
    (["1e0", "cat", "\u0661", "2"], ("1e0", "2", "cat", "\u0661"), [0, 2, 3, 1]),
    (["v1.0", "v1", "1.0.0", "1"], ("1", "1.0.0", "v1", "v1.0"), [3, 2, 1, 0]),
])  # fmt: skip
def test_spellings_of_one_class(labels: list[str], names, y: list[int], tmp_path: Path) -> None:
    data = load_data(write(tmp_path / "t.csv", labels))
    assert (data.output_names, data.train.y.tolist()) == (names, y)


def test_spellings_across_files(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ["1", "0", "2"])
    write(tmp_path / "test.csv", ["2.0", "01", "-0"])
    data = load_data(tmp_path)
    assert data.test is not None
    assert (data.output_names, data.test.y.tolist()) == (("0", "1", "2"), [2, 1, 0])
    assert load_data(tmp_path / "test.csv", like=data).train.y.tolist() == [2, 1, 0]
    arrays = Dataset.from_arrays([[0.0]] * 3, [0, 1, 2])
    assert load_data(tmp_path / "test.csv", like=arrays).train.y.tolist() == [2, 1, 0]
    with pytest.raises(InputError, match=r"the classes '1' and '1\.0' are the same number; spell"):
        Dataset.from_arrays([[0.0]] * 3, [0, 1, 2], output_names=["1", "1.0", "2"])
    twice = Dataset.from_arrays([[0.0]] * 3, list("abc"), output_names=["a", "b", "c"])
    twice = replace(twice, output_names=("1", "1.0", "2"))
    with pytest.raises(InputError, match=r"the classes '1' and '1\.0' are the same number; spell"):
        load_data(tmp_path / "test.csv", like=twice)


def test_spellings_in_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    data = load_data(write(tmp_path / "t.csv", ["10", "2", "0"]))
    for labels in ([2.0, 10.0, -0.0], [2, 10, 0], ["02", "+10", "0.0"]):
        table = pyarrow.table({"a": [0, 1, 2], "label": labels})
        parquet.write_table(table, tmp_path / "t.parquet")
        assert load_data(tmp_path / "t.parquet", like=data).train.y.tolist() == [1, 2, 0]


@pytest.mark.parametrize(("first", "second"), [
    ("1e3", "1000"), ("1000.0", "1E+3"), ("0e5", "0"), ("1e0", "10e-1"), ("2.50", "2.5"),
])  # fmt: skip
@pytest.mark.parametrize("others", [[], ["cat"]])
def test_two_names_of_one_number_are_refused(
    first: str, second: str, others: list[str], tmp_path: Path
) -> None:
    """Without an objective, they are a regression, unless a text is among them."""
    path = write(tmp_path / "t.csv", [first, "3", second, *others])
    if not others:
        y = load_data(path).train.y
        assert y[0] == y[2] != y[1]
    with pytest.raises(InputError) as caught:
        load_data(path, objective="multiclass")
    assert f"classes {first!r} and {second!r} are the same number; spell" in str(caught.value)


def test_long_numbers_are_told_apart_at_once(tmp_path: Path) -> None:
    """Beyond what a float tells apart, and what int() reads."""
    for digits in (20, 5000, 200_000):
        name = "9" * digits
        labels = [name, f"{name[:-1]}8", f"-{name}", f"-{name[:-1]}8", f"00{name}.0"]
        start = time.perf_counter()
        data = load_data(write(tmp_path / "t.csv", labels))
        assert data.output_names == (labels[2], labels[3], labels[1], labels[0])
        assert data.train.y.tolist() == [3, 2, 0, 1, 3]
        assert time.perf_counter() - start < 5


@pytest.mark.parametrize("label", ["1e999999999", "1e" + "9" * 99, "9" * 10**6 + "x", "\u0131nf"])
def test_a_class_beyond_reading(label: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [label, "1"])
    assert load_data(path, objective="multiclass").output_names == ("1", label)
    if label == "1e999999999":
        with pytest.raises(
            InputError, match="column 'label': the label '1e999999999' is no finite"
        ):
            load_data(path)


def test_a_missing_class_among_numbers_is_no_class(tmp_path: Path) -> None:
    for missing in ("NaN", "", " ? ", "NULL"):
        path = write(tmp_path / "t.csv", ["1", missing, "2"])
        with pytest.raises(InputError, match="line 3, column 'label': the label is missing; fill"):
            load_data(path)


@pytest.mark.parametrize("label", ["0.5", "1e-999999999", "-Infinity"])
def test_a_number_that_is_no_class(label: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"holds {label}, a number, not a class; name the label's"):
        load_data(write(tmp_path / "t.csv", [label, "1"]), objective="multiclass")
