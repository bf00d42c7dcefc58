"""Bad tables: each is refused in one line that names the file, the place and the remedy."""

import gzip
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_xp import Dataset, InputError, load_data
from mlp_xp.data import read_rows

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
ROWS = "".join(f"{i / 7:.3f},{i % 5},{'uv'[i % 2]}\n" for i in range(40))
GOOD = "a,b,kind\n" + ROWS
LONG = "".join(f"{i / 7},name {i},{i % 2}\n" for i in range(150))

# The text of t.csv, and a part of the message.
TEXTS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty; it needs a header line and rows"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "is empty; it needs"),
    "blank lines": ("\n\n \n", "is empty; it needs a header line"),
    "a header alone": ("a,b,kind\n", "has columns but no rows; add some"),
    "a header without an end": ("a,b,kind", "has columns but no rows; add some"),
    "a header and blank lines": ("a,b,kind\n\n\n", "has columns but no rows; add some"),
    "no header": ("1,2,3\n4,5,6\n", "line 1 holds numbers where the columns' names belong; add"),
    "no header, with classes": ("1.5,2,u\n4,5,v\n", "line 1 holds numbers where the columns' na"),
    "one column": ("kind\nu\nv\n", "has the one column 'kind'; it needs features and a label"),
    "another delimiter": ("a:b:kind\n1:2:u\n", "has the one column 'a:b:kind'; .* a semicolon or"),
    "two of one name": ("a,b,a\n1,2,u\n", "2 columns are named 'a', 1 and 3; rename one"),
    "no name": ("a,,kind\n1,2,u\n", "column 2 has no name; name it, or leave it out"),
    "a delimiter too many": ("a,b,kind,\n1,2,u,\n", "column 4 has no name"),
    "a value too many": (GOOD + "1,2,u,3\n", "line 42 has 4 values, the header names 3 columns"),
    "a value too few": (GOOD + "1,2\n" + ROWS, "line 42 has 2 values, the header names 3 colu"),
    "cut off": (GOOD + "1,", "line 42 has 2 values, the header names 3 columns; fix the line"),
    "spaces in a line": (GOOD + "  \n" + ROWS, "can't be read as a table .*Expected 3 columns, go"),
    "an open quote": (GOOD + '1,"2,u\n' + ROWS, "line 42: a quote isn't closed; close it"),
    "an open quote in the header": ('a,"b,kind\n1,2,u\n', "line 1: a quote isn't closed; close it"),
    "a value of two lines": ('a,b,kind\n1,"x\ny",u\n2,z,v\n', "column 'b': 'x' goes on in the n"),
    "a label of two lines": ('a,b,kind\n1,2,"u\nw"\n2,3,v\n', "column 'kind': 'u' goes on in th"),
    "NUL in a value": ("a,b,kind\n1,x\0,u\n2,y,v\n", "column 'b': 'x' is followed by a NUL byte"),
    "NUL in the header": ("a,b\0,kind\n1,2,u\n", "line 1 holds NUL bytes; save it as UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), "holds NUL bytes; save it as UTF-8 text"),
    "Latin-1 in the header": ("größe,kind\n1,u\n".encode("latin-1"), "not UTF-8 text .*; save it"),
    "Latin-1 in a row": (GOOD.encode() + "1,2,ä\n".encode("latin-1"), "not UTF-8 text .*; save i"),
    "Parquet": (b"PAR1" + bytes(99), "is a Parquet file; name it .parquet"),
    "Arrow": (b"ARROW1" + bytes(99), "is an Arrow file; name it .arrow"),
    "Excel": (b"PK\3\4" + bytes(99), "is an Excel or zip file; save it as CSV"),
    "gzip": (gzip.compress(GOOD.encode()), "is compressed by gzip; add .gz to its name"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(99), "is compressed by zstd; add .zst to its name"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not UTF-8 text"),
    "a line without an end": ("x" * (1 << 24) + "\n", "line 1 is too long; is this a text file"),
    "a long row": (GOOD + "1," + "9" * (1 << 24) + ",u\n", "is this a text file|field larger than"),
    "no label": (GOOD + "1,2,\n", "line 42, column 'kind': the label is missing; fill it in, re"),
    "NA as label": (GOOD + "\n1,2, NA \n", "line 43, column 'kind': the label is missing; fill it"),
    "infinity": (GOOD + "inf,2,u\n", "column 'a': a value is infinite; correct it, or leave the c"),
    "beyond float64": (GOOD + "1e400,2,u\n", "column 'a': a value is infinite; correct it"),
    "digits beyond float64": (GOOD + "9" * 400 + ",2,u\n", "column 'a': a value is infinite"),
    "an infinite label": ("a,y\n1,.5\n2,inf\n", "column 'y': the label 'inf' is no finite number"),
    "a label beyond float32": ("a,y\n1,.5\n2,1e300\n", "target 1e[+]300 in row 1, column 0; ta"),
    "a typing error": (GOOD + "x7,2,u\n", "column 'a': 'x7' is not a number, but most values are"),
    "a column of nothing": ("a,b,kind\n,1,u\n,2,v\n", "column 'a': every value is missing; leave"),
    "all rows alike": ("a,b,kind\n1,x,u\n1,x,v\n", "all rows have the same values; there is nothi"),
    "row numbers": ("n,a,kind\n" + "".join(f"{i},{i % 3},u\n" for i in range(20)),
                    "column 'n': only numbers the rows; leave .*: --drop n"),
    "row numbers from 1": ("n,a,kind\n" + "".join(f"{i + 1},{i % 3},u\n" for i in range(20)),
                           "column 'n': only numbers the rows"),
    "thousands": ("a,y\n" + "".join(f'"{i},{i:03}",u\n' for i in range(1, 30)),
                  "column 'a': '1,001' is not a plain number, as 1234.5; write it so, or leave"),
    "money": ("a,y\n" + "".join(f"${i}.5,u\n" for i in range(30)), "'[$]0.5' is not a plain num"),
    "per cent": ("a,y\n" + "".join(f"{i} %,u\n" for i in range(30)), "'0 %' is not a plain numb"),
    "dates of a country": ("a,y\n" + "".join(f"{i + 1:02}.01.24,u\n" for i in range(30)),
                           "'01.01.24' is not a date as 2024-12-31; write it so, or leave the co"),
    "a text among dates": ("a,y\n" + "".join(f"2024-01-{i:02},u\n" for i in range(1, 32)) + "x,u\n",
                           "column 'a': 'x' is not a date, but most values are; correct it, or le"),
    "the header again": ("a,b,y\n1,2,u\n3,4,v\na,b,y\n5,6,u\n",
                         "columns 'a', 'b' can't be inputs .of the first: its own name is among"),
    "names": ("a,who,kind\n" + LONG, "'who': has 150 different texts, such as 'name 0'; at most 1"),
    "a class a row": ("kind,a\n" + "".join(f"{i % 3},name {i}\n" for i in range(30)),
                      "column 'a': every row has a class of its own, .*; name the label's column"),
    "every class another number": ("a,b\n1,1e0\n2,1\n3,x\n", "'1e0' and '1' are the same number"),
    "a quote within a value": (GOOD + '"1"x,2,u\n', "column 'a': '1x' is not a number, but most"),
}  # fmt: skip


def refused(read: Callable[[], Any], words: str, name: str) -> None:
    with pytest.raises(InputError, match=words or None) as caught:
        read()
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert len(message) < 400 + len(name)


@pytest.mark.parametrize("case", TEXTS)
def test_a_bad_text(case: str, tmp_path: Path) -> None:
    text, words = TEXTS[case]
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    refused(lambda: load_data(path), words, str(path))


@pytest.mark.parametrize("end", [".gz", ".zst"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_a_compressed_table_cut_off_anywhere(suffix: str, end: str, tmp_path: Path) -> None:
    from pyarrow import csv, feather, parquet

    table = pa.table({"a": np.arange(500) * 0.37, "b": ["u", "v"] * 250})
    writers = {
        ".csv": csv.write_csv, ".parquet": parquet.write_table, ".arrow": feather.write_feather,
    }  # fmt: skip
    writers[suffix](table, str(tmp_path / "plain"))
    content = (tmp_path / "plain").read_bytes()
    path = tmp_path / f"t{suffix}{end}"
    with pa.output_stream(str(path), compression={".gz": "gzip", ".zst": "zstd"}[end]) as file:
        file.write(content)
    assert len(load_data(path).train) == 500
    packed = path.read_bytes()
    for length in (0, 1, 9, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:length])
        refused(lambda: load_data(path), "", str(path))
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 255
    path.write_bytes(flipped)
    if end == ".gz":  # which has a checksum
        refused(lambda: load_data(path), "", str(path))


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_a_binary_table_that_is_none(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    for content in (b"", b"PAR1", b"ARROW1\0\0", GOOD.encode(), bytes(1000), b"PAR1" + bytes(99)):
        path.write_bytes(content)
        refused(lambda: load_data(path), "damaged or not an? .* table .*; get it again", str(path))


def test_every_prefix_and_many_flips_of_a_binary_table(tmp_path: Path) -> None:
    from pyarrow import feather, parquet

    table = pa.table({"a": np.arange(30) * 0.37, "b": ["u", None, "w"] * 10, "y": [0, 1] * 15})
    rng = np.random.default_rng(3)
    for suffix, write in ((".parquet", parquet.write_table), (".arrow", feather.write_feather)):
        path = tmp_path / f"t{suffix}"
        write(table, str(path))
        content = path.read_bytes()
        changed = [content[:length] for length in range(0, len(content), 7)]
        for _ in range(150):
            flipped = bytearray(content)
            flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
            changed.append(bytes(flipped))
        for damaged in changed:
            path.write_bytes(damaged)
            try:
                assert np.isfinite(load_data(path).train.X).all()
            except InputError as error:
                assert str(path) in str(error)  # noqa: PT017
                assert "\n" not in str(error)  # noqa: PT017


OF_NO_KIND = {
    "lists": pa.array([[1], [2]]), "structs": pa.array([{"x": 1}, {"x": 2}]),
    "durations": pa.array([timedelta(1), timedelta(2)]), "bytes": pa.array([b"x", b"y"]),
    "maps of texts": pa.array([[("x", 2)], []], pa.map_(pa.string(), pa.int8())),
    "times": pa.array([1, 2], pa.time32("s")), "maps": pa.array([[(1, 2)], []],
                                                                pa.map_(pa.int8(), pa.int8())),
}  # fmt: skip


@pytest.mark.parametrize("case", OF_NO_KIND)
def test_a_column_of_no_kind(case: str, tmp_path: Path) -> None:
    """It can be left out; in a frame likewise."""
    import pyarrow.parquet

    table = pa.table({"a": [1.5, 2], "odd": OF_NO_KIND[case], "y": [0, 1]})
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(table, path)
    refused(lambda: load_data(path), "'odd' is of type .*; leave it out: --drop odd", str(path))
    assert load_data(path, drop=["odd"]).train.X.tolist() == [[1.5], [2]]
    refused(lambda: Dataset.from_arrays(table, "y"), "column 'odd'", "data: ")
    refused(lambda: Dataset.from_arrays(table.to_pandas(), "y"), "column 'odd'", "data: ")
    refused(lambda: load_data(path, label="odd", drop=["y"]), "odd", str(path))


def test_all_missing(tmp_path: Path) -> None:
    import pyarrow.parquet

    path = tmp_path / "t.parquet"
    for kind in (pa.null(), pa.string(), pa.float64(), pa.date32(), pa.bool_()):
        table = pa.table({"a": [1.5, 2], "b": pa.array([None, None], kind), "y": [0, 1]})
        pyarrow.parquet.write_table(table, path)
        refused(lambda: load_data(path), "column 'b': every value is missing; leave", str(path))
        refused(lambda table=table: Dataset.from_arrays(table, "y"), "'b': every value is", "data")
        refused(lambda: load_data(path, label="b"), "column 'b': the label is missing", str(path))


# ---- which column is which, and further tables


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("options", "words"), [
    ({"label": "knd"}, r"no column is named 'knd' \(--label\); did you mean 'kind'"),
    ({"label": "zzz"}, r"no column is named 'zzz' \(--label\); it has a, b, kind"),
    ({"drop": ["B"]}, r"no column is named 'B' \(--drop\); it has a, b, kind"),
    ({"weight": "knid"}, r"no column is named 'knid' \(--weight\); did you mean 'kind'"),
    ({"drop": ["kind"], "label": "kind"}, "'kind' is the label; --drop can't name it too"),
    ({"weight": "kind", "label": "kind"}, "'kind' is the label; --weight can't name it too"),
    ({"drop": ["a", "b"]}, "every column is a label; keep one to learn from"),
    ({"drop": ["a", "b", "kind"]}, "every column is left out; keep a label and a feature"),
    ({"drop": ["a", "a"]}, r"--drop names a column twice \(a, a\)"),
    ({"label": "a,b,kind"}, "every column is a label; keep one to learn from"),
    ({"label": "a,kind"}, "column 'kind': 'u' is not a number; correct it, or name the label's"),
    ({"label": "day,a"}, r"no column is named 'day' \(--label\)"),
    ({"label": "a,a"}, "names a column twice"),
    ({"weight": "kind", "label": "b"}, "column 'kind' holds weights; give each a number"),
    ({"label": "a", "objective": "multiclass"}, "column 'a' holds .*, a number, not a class"),
    ({"label": "kind", "objective": "regression"}, "line 2, column 'kind': 'u' is not a number"),
    ({"label": "b", "objective": "multilabel"}, "target 2.0 in row 2, .* must be 0 or 1"),
])  # fmt: skip
def test_columns_that_are_named_wrongly(options: dict, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", GOOD)
    refused(lambda: load_data(path, **options), words, str(path))


def test_dates_are_no_targets(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a,p,q\n1,0,2024-01-01\n2,1,2024-01-02\n")
    refused(lambda: load_data(path, label="p,q"), "column 'q': the labels are dates", str(path))


def test_weights_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for value in ("", "x", "2024-01-01", "nan"):
        write(path, f"w,a,kind\n1,2,u\n{value},3,v\n")
        refused(lambda: load_data(path, weight="w"), "'w' holds weights; give each", str(path))
    for value in ("-1", "inf"):
        write(path, f"w,a,kind\n1,2,u\n{value},3,v\n")
        refused(lambda: load_data(path, weight="w"), "row 1; weights must be finite, 0", str(path))


@pytest.mark.parametrize(("test", "words"), [
    ("a,c,kind\n1,2,u\n", "lacks b, which the model learned from; its columns are a, c, kind"),
    ("a,b\n1,2\n", r"no column is named 'kind' \(--label\)"),
    ("a,b,kind\n1,2,w\n", "column 'kind' holds the class 'w', which is not in training .u, v.; le"),
    ("a,b,kind\n1,2,\n", "line 2, column 'kind': the label is missing"),
    ("a,b,kind\n\n1,x,u\n", "line 3, column 'b': 'x' is not a number, as it was in training; cor"),
    ("a,b,kind\n1,2024-05-05,u\n", "line 2, column 'b': the value is a date, and a number in trai"),
    ("a,b,kind\n1,inf,u\n", "line 2, column 'b': the value is infinite; correct it or remove"),
    ("a,b,kind\n", "has columns but no rows; add some"),
    ("", "is empty; it needs a header line and rows"),
])  # fmt: skip
def test_a_test_table_that_differs(test: str, words: str, tmp_path: Path) -> None:
    write(tmp_path / "train.csv", GOOD)
    path = write(tmp_path / "test.csv", test)
    refused(lambda: load_data(tmp_path), words, str(path))
    data = load_data(tmp_path / "train.csv")
    refused(lambda: load_data(path, like=data), words, str(path))


def test_values_of_another_kind_than_in_training(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "d,f,kind\n2024-01-01,true,u\n2024-01-02,false,v\n")
    data = load_data(path)
    for row, words in (("5,1", "column 'd': the value is a number, and a date in training"),
                       ("x,1", "column 'd': 'x' is not a date, as it was in training"),
                       ("2024-01-01,7", "column 'f': the value is not true or false; correct it"),
                       ("2024-01-01,yes", "column 'f': 'yes' is not a boolean, as it was in tra"),
                       ):  # fmt: skip
        write(path, f"d,f,kind\n{row},v\n")
        refused(lambda: load_data(path, like=data), words, str(path))
        refused(lambda: list(read_rows(path, 2, data.schema)), words, str(path))


def test_two_tables_of_one_name_and_folders(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", GOOD)
    with gzip.open(tmp_path / "train.csv.gz", "wt") as file:
        file.write(GOOD)
    refused(lambda: load_data(tmp_path), "holds train.csv and train.csv.gz; remove one", "train")
    for name in ("t.csv", "t.parquet", "t.arrow", "t.csv.gz"):
        (tmp_path / name).mkdir()
        refused(lambda name=name: load_data(tmp_path / name), "is a folder, not a table", name)


# ---- frames


FRAMES: dict[str, tuple[Callable[[], tuple[Any, Any]], str]] = {
    "two names": (lambda: (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [0, 1]),
                  "2 columns are named 'a', 1 and 2"),
    "two names as texts": (lambda: (pd.DataFrame([[1, 2], [3, 4]], columns=[1, "1"]), [0, 1]),
                           "2 columns are named '1', 1 and 2"),
    "no name": (lambda: (pd.DataFrame([[1, 2], [3, 4]], columns=["a", ""]), [0, 1]),
                "column 2 has no name"),
    "no rows": (lambda: (pd.DataFrame({"a": []}), []), "has no rows; give it some"),
    "no columns": (lambda: (pd.DataFrame(index=[0, 1]), [0, 1]), "the table has no name"),
    "fewer labels": (lambda: (pd.DataFrame({"a": [1, 2, 3]}), [0, 1]), "3 training rows, but lab"),
    "complex": (lambda: (pd.DataFrame({"a": [1j, 2]}), [0, 1]), "column 'a': holds a complex"),
    "lists": (lambda: (pd.DataFrame({"a": [[1], [2]]}), [0, 1]), "column 'a': holds a list"),
    "bytes": (lambda: (pd.DataFrame({"a": [b"x", b"y"]}), [0, 1]), "column 'a': holds a bytes"),
    "intervals": (lambda: (pd.DataFrame({"a": pd.timedelta_range("1D", periods=2)}), [0, 1]),
                  "column 'a': is of type timedelta64"),
    "infinity": (lambda: (pd.DataFrame({"a": [1, np.inf]}), [0, 1]), "'a': a value is infinite"),
    "large": (lambda: (pd.DataFrame({"a": [1, 10**400]}, dtype=object), [0, 1]), "too large to"),
    "large decimals": (lambda: (pd.DataFrame({"a": [1, Decimal("1e999")]}), [0, 1]),
                       "'a': a value is infinite"),
    "alike": (lambda: (pd.DataFrame({"a": [1, 1]}), [0, 1]), "all rows have the same values"),
    "mixed": (lambda: (pd.DataFrame({"a": ["x", pd.Timestamp("2024")]}), [0, 1]), "holds a Timest"),
    "no such label": (lambda: (pd.DataFrame({"a": [1, 2]}), "kind"), "no column is named 'kind'"),
    "text for labels": (lambda: (np.eye(2), "kind"), "no column is named 'kind'; give y, or the"),
    "labels of texts": (lambda: (np.eye(2), pd.DataFrame({"p": ["x", "y"], "q": [1, 2]})),
                        "labels in several columns must be numbers"),
    "missing labels": (lambda: (np.eye(2), pd.Series(["x", None])), "row 1, .* label is missing"),
    "missing numbers": (lambda: (np.eye(2), pd.Series([1, None], dtype="Int64")), "target nan in"),
    "an array of 3 kinds": (lambda: (pd.DataFrame({"a": [1, "x"]}).to_numpy(), [0, 1]),
                            "training data is of type object; convert it to numbers"),
    "dates as rows": (lambda: (np.array([["2024"], ["2025"]], dtype="M8[D]"), [0, 1]),
                      "training data is of type datetime64"),
}  # fmt: skip


@pytest.mark.parametrize("case", FRAMES)
def test_a_bad_frame(case: str) -> None:
    make, words = FRAMES[case]
    X, y = make()
    refused(lambda: Dataset.from_arrays(X, y, name="here"), words, "here: ")
