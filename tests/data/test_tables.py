"""Tables in files: every format gives the same arrays as pandas, whatever the spelling."""

import io
import math
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlp_xp import InputError, load_data
from mlp_xp.data import read_rows
from mlp_xp.data.roles import Roles
from mlp_xp.errors import TrainingWarning

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
COMPRESSION = {"": None, ".gz": "gzip", ".zst": "zstd"}


def write(path: Path, text: str) -> Path:
    """The text as a file, compressed as its name says."""
    with pa.output_stream(str(path), compression=COMPRESSION.get(path.suffix)) as file:
        file.write(text.encode())
    return path


@pytest.fixture
def frame(rng) -> Any:
    """A column of each kind, with gaps."""
    n = 60
    frame = pd.DataFrame({
        "x": rng.standard_normal(n), "n": rng.integers(-9, 10**12, n),
        "color": rng.choice(["red", "green", "light blue"], n),
        "is": rng.choice([True, False], n),
        "day": pd.Timestamp("1969-07-20") + pd.to_timedelta(rng.integers(0, 30000, n), unit="D"),
        "gap": np.where(np.arange(n) % 7, rng.integers(0, 99, n) / 4, np.nan),
        "kind": rng.choice(["u", "v", "w"], n),
    })  # fmt: skip
    frame.loc[3:5, "color"] = None
    return frame


def expected(frame: Any) -> np.ndarray:
    """What pandas makes of it."""
    dummies = pd.get_dummies(frame["color"])
    days = (frame["day"] - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    parts = [
        frame["x"], frame["n"], dummies["green"], dummies["light blue"], dummies["red"],
        frame["color"].isna(), frame["is"], days, frame["gap"].fillna(frame["gap"].median()),
        frame["gap"].isna(),
    ]  # fmt: skip
    return np.stack([np.asarray(part, dtype=np.float64) for part in parts], axis=1)


def save(frame: Any, path: Path) -> Path:
    """The frame in the format that the path's name says."""
    kind = path.name.split(".")[1]
    plain = path.with_name(f"plain.{kind}")
    if kind in ("csv", "tsv"):
        frame.to_csv(plain, index=False, sep="," if kind == "csv" else "\t")
    elif kind == "parquet":
        frame.to_parquet(plain)
    else:
        frame.to_feather(plain)
    with pa.output_stream(str(path), compression=COMPRESSION.get(path.suffix)) as file:
        file.write(plain.read_bytes())
    return path


@pytest.mark.parametrize("end", COMPRESSION)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".arrow", ".feather"])
def test_every_format_is_the_same(suffix: str, end: str, frame, tmp_path: Path) -> None:
    data = load_data(save(frame, tmp_path / f"t{suffix}{end}"))
    np.testing.assert_allclose(data.train.X, expected(frame), rtol=1e-15)
    names, y = np.unique(frame["kind"], return_inverse=True)
    assert (data.output_names, data.train.y.tolist()) == (tuple(names), y.tolist())
    assert data.feature_names == (
        "x", "n", "color=green", "color=light blue", "color=red", "color is missing", "is", "day",
        "gap", "gap is missing",
    )  # fmt: skip
    ((_, X),) = read_rows(tmp_path / f"t{suffix}{end}", 10, data.schema)
    np.testing.assert_array_equal(X, data.train.X)
    again = load_data(tmp_path / f"t{suffix}{end}", like=data)
    np.testing.assert_array_equal(again.train.X, data.train.X)
    assert again.train.y.tolist() == data.train.y.tolist()


def test_a_stream_of_arrow_and_types_of_its_own(tmp_path: Path) -> None:
    from decimal import Decimal

    table = pa.table({
        "f16": pa.array(np.array([0.5, 2], dtype=np.float16)), "i8": pa.array([-3, 4], pa.int8()),
        "dec": pa.array([Decimal("1.25"), Decimal("2.50")]), "big": pa.array(["x", "y"]),
        "dict": pa.array(["p", "q"]).dictionary_encode(),
        "codes": pa.DictionaryArray.from_arrays([0, 1], pa.array([7, 9])), "y": ["a", "b"],
    })  # fmt: skip
    table = table.set_column(3, "big", table["big"].cast(pa.large_string()))
    path = tmp_path / "t.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    data = load_data(path)
    assert data.train.X.tolist() == [[0.5, -3, 1.25, 1, 0, 1, 0, 7], [2, 4, 2.5, 0, 1, 0, 1, 9]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_delimiter(delimiter: str, tmp_path: Path) -> None:
    lines = [["a", "b c", "kind"], ["1.5", "x", "u"], ["-2", '"y, z;|"', "v"]]
    text = "\n".join(delimiter.join(line) for line in lines)
    for first in ("", f"sep={delimiter}\n", "\ufeff"):
        data = load_data(write(tmp_path / "t.csv", first + text))
        assert data.feature_names == ("a", "b c=x", "b c=y, z;|")
        assert data.train.X.tolist() == [[1.5, 1, 0], [-2, 0, 1]]
    text = text.replace("\n", "\r\n") + "\r\n"
    assert load_data(write(tmp_path / "t.csv", text)).train.X[:, 0].tolist() == [1.5, -2]


def test_commas_in_names_where_a_semicolon_separates(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Länge,cm;Breite,cm;Art\n1,5;2,5;u\n2,5;3,5;v\n")
    data = load_data(path)
    assert data.feature_names == ("Länge,cm", "Breite,cm")
    assert data.train.X.tolist() == [[1.5, 2.5], [2.5, 3.5]]


def test_sep_names_any_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "sep=:\na:b,c;d:kind\n1:2:u\n3:4:v\n")
    assert load_data(path).feature_names == ("a", "b,c;d")


def test_a_decimal_comma(tmp_path: Path) -> None:
    text = "a;b;c;y\n1,5;x;2;0,25\n-0,5;y;,5;1,5\n1.5;y;1,5e2;-3,75\n"
    data = load_data(write(tmp_path / "t.csv", text))
    columns = "a", "c", "y"
    read = pd.read_csv(tmp_path / "t.csv", sep=";", usecols=columns, dtype=str)
    a, c, y = (read[name].str.replace(",", ".").astype(float).tolist() for name in columns)
    assert data.train.X[:, 0].tolist() == a
    assert data.train.X[:, 3].tolist() == c
    assert (data.objective, data.train.y[:, 0].tolist()) == ("regression", y)
    write(tmp_path / "t.csv", 'a,b\n"1,5",0\n"2,5",1\n')  # no number where a comma separates
    assert load_data(tmp_path / "t.csv").feature_names == ("a=1,5", "a=2,5")


def test_spellings_of_values(tmp_path: Path) -> None:
    """As numbers, booleans, dates; with spaces, quotes and every word for a missing value."""
    column = ["1", " 2 ", "+3", '"4"', "1e1", ".5", "-7.", "NA", " NaN ", "?", "null", '""', "#N/A"]
    lines = [f"{value},{i % 2}" for i, value in enumerate(column)]
    data = load_data(write(tmp_path / "t.csv", "a,y\n" + "\n".join(lines)))
    assert data.feature_names == ("a", "a is missing")
    known = [1, 2, 3, 4, 10, 0.5, -7]
    assert data.train.X[:, 0].tolist() == [*known, *[np.median(known)] * 6]
    assert data.train.X[:, 1].tolist() == [0] * 7 + [1] * 6
    write(tmp_path / "t.csv", "a,y\nTrue,0\nFALSE,1\n true,0\nNA,1\n")
    data = load_data(tmp_path / "t.csv")
    assert (data.columns[0].kind, data.columns[0].fill) == ("boolean", 1)
    assert data.train.X.tolist() == [[1, 0], [0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(("texts", "days"), [
    (["1970-01-02", "2024-02-29", "1969-12-31"], [1, 19782, -1]),
    (["2024-02-29 06:00", "2024-02-29T12:00:00", "2024-03-01 00:00:00"],
     [19782.25, 19782.5, 19783]),
    (["2024-02-29 06:00:00.000000", "2024-02-29 18:00:00.5", "NA"], [19782.25, 19782.750006, None]),
    (["2024-02-29T00:00:00Z", "2024-02-29 00:00:00+06:00", "2024-02-29T00:00:00-0600"],
     [19782, 19781.75, 19782.25]),
    (["2024-02-29 12:00:00.123456789", "2300-01-01", "0001-01-01"], None),
])  # fmt: skip
def test_dates(texts: list[str], days: list | None, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "d,y\n" + "".join(f"{t},{i}\n" for i, t in enumerate(texts)))
    data = load_data(path)
    if days is None:  # no type holds all of them
        assert data.columns[0].kind == "category"
        return
    assert data.columns[0].kind == "date"
    for value, day in zip(data.train.X[:, 0].tolist(), days, strict=True):
        assert value == pytest.approx(data.columns[0].fill if day is None else day, abs=1e-6)


def test_dates_of_every_type_of_arrow(tmp_path: Path) -> None:
    import pyarrow.parquet

    moment = pd.Timestamp("2024-02-29 06:00")
    for kind in (pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"),
                 pa.timestamp("us", "UTC"), pa.timestamp("ns", "Europe/Berlin"), pa.date32(),
                 pa.date64()):  # fmt: skip
        column = pa.array([moment, None, moment + pd.Timedelta(days=2)], kind)
        pyarrow.parquet.write_table(pa.table({"d": column, "y": [0, 1, 0]}), tmp_path / "t.parquet")
        data = load_data(tmp_path / "t.parquet")
        day = 19782 if kind in (pa.date32(), pa.date64()) else 19782.25
        assert data.train.X.tolist() == [[day, 0], [day + 1, 1], [day + 2, 0]]


# ---- block by block


@pytest.fixture
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr("mlp_xp.data.csv.BLOCK_BYTES", 64)
    monkeypatch.setattr("mlp_xp.data.csv.FIRST_BYTES", 64)
    monkeypatch.setattr("mlp_xp.data.tablefile.BLOCK_BYTES", 64)


CHANGES = {  # values of rows 0 to 99, then those of 100 to 199
    "numbers, then a text": (range(3), ["more"], "category"),
    "nothing, then texts": ([""], ["p", "q"], "category"),
    "texts, then nothing": (["p", "q"], [""], "category"),
    "nothing, then numbers": ([""], range(9), "number"),
    "numbers, then other spellings": (range(9), [" NA ", '"2"', " 5 "], "number"),
    "texts, then numbers": (["p"], [1, 2], "category"),
    "booleans, then numbers": (["true", "false"], [7], "category"),
    "dates, then texts": (["2024-01-01"], ["later"], "category"),
    "dates, then nothing": (["2024-01-01", "2024-01-02"], ["NA"], "date"),
    "nothing, then booleans": (["NA"], ["true", "false"], "boolean"),
    "whole, then fractions": ([1, 2], [0.1, 0.2], "number"),
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.usefixtures("small_blocks")
def test_a_column_that_changes_in_a_late_block(case: str, tmp_path: Path) -> None:
    first, then, kind = CHANGES[case]
    values = [list(part)[i % len(part)] for part in (first, then) for i in range(100)]
    text = "c,x,y\n" + "".join(f"{v},{i % 7},{i % 2}\n" for i, v in enumerate(values))
    data = load_data(write(tmp_path / "t.csv", text))
    assert data.columns[0].kind == kind
    assert data.train.X[:, -1].tolist() == [i % 7 for i in range(200)]
    column = pd.read_csv(tmp_path / "t.csv", skipinitialspace=True, na_values=["NA "],
                         dtype=str if kind == "category" else None)["c"]  # fmt: skip
    if kind == "category":
        wanted = pd.get_dummies(column)[list(data.columns[0].levels)]
    elif kind == "date":
        wanted = (pd.to_datetime(column) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    else:
        wanted = column.astype(float)
    wanted = np.asarray(wanted, dtype=float).reshape(200, -1)
    missing = column.isna().to_numpy()
    found = data.train.X[:, : wanted.shape[1]]
    np.testing.assert_array_equal(found[~missing], wanted[~missing])
    fill = 0 if kind == "category" else np.nanmedian(wanted)
    assert (found[missing] == fill).all()
    assert data.columns[0].has_gaps == missing.any()
    rows = np.concatenate([X for _, X in read_rows(tmp_path / "t.csv", len(data.feature_names),
                                                   data.schema)])  # fmt: skip
    np.testing.assert_array_equal(rows, data.train.X)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_and_empty_lines_lose_no_row(tmp_path: Path) -> None:
    """Even where the kind of a column is guessed wrongly, and all is read in another way."""
    lines = [f"{-i},{'x' if i == 150 else i % 5},{i % 3}" + "\n" * (1 + i % 2) for i in range(200)]
    path = write(tmp_path / "t.csv", "a,b,y\n" + "".join(lines))
    data = load_data(path)
    assert data.train.X[:, 0].tolist() == [-i for i in range(200)]
    number = load_data(write(tmp_path / "n.csv", "a,b,y\n1,2,0\n2,3,1\n3,1,2"))
    with pytest.raises(InputError, match="line 227, column 'b': 'x' is not a number"):
        list(read_rows(path, 2, number.schema))


def test_a_large_table_is_read_in_blocks(tmp_path: Path) -> None:
    """More than 8 MB: it takes the memory of its values, not that of its text."""
    path = tmp_path / "t.csv"
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (60_000, 50))
    header = ",".join(f"p{i}" for i in range(49)) + ",y"
    np.savetxt(path, np.column_stack([X[:, :49], X[:, 49] % 10]), "%d", ",", header=header,
               comments="")  # fmt: skip
    assert path.stat().st_size > 8 << 20
    data = load_data(path)
    np.testing.assert_array_equal(data.train.X, X[:, :49])
    sizes, seen = [], 0
    tracemalloc.start()
    for _, block in read_rows(path, 49, data.schema):
        np.testing.assert_array_equal(block, X[seen : seen + len(block), :49])
        seen += len(block)
        sizes.append(block.nbytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (seen, sum(sizes)) == (60_000, 60_000 * 49 * 4)
    assert len(sizes) > 1
    assert peak < 50e6


# ---- roles, further rows, standard input


def test_weights_ids_and_columns_that_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,w,a,kind,note\nr1,2,5,u,\nr2,0.5,6,v,-\n")
    data = load_data(path, weight="w", drop=["id", "note"])
    assert (data.feature_names, data.label) == (("a",), "kind")
    assert data.train.weights.tolist() == [2, 0.5]
    assert "left out id, note" in data.notes[0]
    ((ids, X),) = read_rows(path, 1, data.schema, Roles(), "id")
    assert (ids, X.tolist()) == (["r1", "r2"], [[5], [6]])
    ((ids, _),) = read_rows(path, 1, data.schema, None, "a")
    assert ids == ["5", "6"]


def test_what_training_has_not_seen_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "c,n,y\np,1,0\nq,2,1\np,3,0\n")
    data = load_data(path)
    write(path, "c,n,y\nz,1,0\nq,,1\nz,3,0\n,1,0\nx,1,1\n")
    with pytest.warns(TrainingWarning) as caught:
        X = load_data(path, like=data).train.X
    assert X.tolist() == [[0, 0, 1], [0, 1, 2], [0, 0, 3], [0, 0, 1], [0, 0, 1]]
    unseen, *gaps = [str(warning.message) for warning in caught]
    assert unseen.endswith("column 'c' holds 'z', 'x', which training didn't have, in 3 rows; they "
                           "count as none of its categories")  # fmt: skip
    assert "column 'c' has 1 missing values, and had none in training" in gaps[0]
    assert "column 'n' has 1 missing values, and had none in training" in gaps[1]
    with pytest.warns(TrainingWarning):
        ((_, again),) = read_rows(path, 3, data.schema)
    assert again.tolist() == X.tolist()


def test_a_table_on_standard_input(monkeypatch, tmp_path: Path) -> None:
    data = load_data(write(tmp_path / "t.csv", "c,n,y\np,1,0\nq,2,1\n"))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"n\tc\n5\tq\n")))
    ((_, X),) = read_rows("-", 3, data.schema)
    assert X.tolist() == [[0, 1, 5]]


# ---- what labels are


@pytest.mark.parametrize(("labels", "objective", "names"), [
    (["0.5", "1", "2"] * 9, "regression", None),
    ([f"{i}" for i in range(60)], "regression", None),
    ([f"{i % 30}" for i in range(600)], "multiclass", [f"{i}" for i in range(30)]),
    ([f"{i % 20}" for i in range(60)], "multiclass", [f"{i}" for i in range(20)]),
    (["1", "2", "3"] * 9, "multiclass", ["1", "2", "3"]),
    (["-1", "1"] * 9, "multiclass", ["-1", "1"]),
    (["1.0", "2.0"] * 9, "multiclass", ["1.0", "2.0"]),
    (["yes", "no"] * 9, "multiclass", ["no", "yes"]),
    (["1", "2", "x"] * 9, "multiclass", ["1", "2", "x"]),
    (["01", "02", "10"] * 9, "multiclass", ["01", "02", "10"]),
    (["True", "False"] * 9, "multiclass", ["False", "True"]),
    (["1e3", "2e3"] * 9, "regression", None),
])  # fmt: skip
def test_labels_are_recognized(labels, objective, names, tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{i % 11},{label}\n" for i, label in enumerate(labels))
    data = load_data(write(tmp_path / "t.csv", text))
    assert data.objective == objective
    if names is None:
        assert data.train.y[:, 0].tolist() == list(map(float, labels))
    else:
        assert [data.output_names[k] for k in data.train.y] == labels
        assert data.output_names == tuple(names)


# ---- any table at all, beside pandas


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), max_size=6)
columns = st.sampled_from(["integers", "floats", "texts", "booleans", "dates"])
VALUES = {
    "integers": st.integers(-(2**60), 2**60).map(str),
    "floats": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "texts": texts.map(lambda text: f"~{text}"),
    "booleans": st.sampled_from(["True", "False"]),
    "dates": st.dates().map(str),
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_table_is_read_as_pandas_reads_it(data: st.DataObject, tmp_path: Path) -> None:
    n_rows = data.draw(st.integers(2, 12))
    kinds = data.draw(st.lists(columns, min_size=1, max_size=4))
    frame = pd.DataFrame({
        f"c{k}": data.draw(st.lists(st.none() | VALUES[kind], min_size=n_rows, max_size=n_rows))
        for k, kind in enumerate(kinds)
    })  # fmt: skip
    assume(frame.notna().any().all())
    frame["y"] = [f"k{i % 3}" for i in range(n_rows)]
    path = tmp_path / "t.csv"
    sep = data.draw(st.sampled_from(",\t|"))
    frame.to_csv(path, index=False, sep=sep)
    read = pd.read_csv(path, sep=sep, keep_default_na=False,
                       na_values=[""])  # fmt: skip
    try:
        found = load_data(path)
    except InputError as error:
        assume("all rows have the same values" not in str(error))
        assume("numbers the rows" not in str(error))
        raise
    first = 0
    for column, kind in zip(found.columns, kinds, strict=True):
        X = found.train.X[:, first : first + column.width]
        first += column.width
        given_ = read[column.name]
        missing = given_.isna().to_numpy()
        assert column.has_gaps == missing.any()
        if kind == "texts":
            dummies = pd.get_dummies(given_)
            assert sorted(dummies) == list(column.levels)
            np.testing.assert_array_equal(X[:, : len(column.levels)], dummies[list(column.levels)])
            continue
        values = given_[~missing]
        if kind == "dates":
            wanted = [(pd.Timestamp(day).date() - pd.Timestamp(0).date()).days for day in values]
        else:
            wanted = values.map(lambda v: float(str(v) == "True") if str(v) in VALUES_OF else v)
        np.testing.assert_allclose(X[~missing, 0], np.asarray(wanted, dtype=float), rtol=1e-15)
        assert math.isfinite(column.fill)


VALUES_OF = ("True", "False")
