"""Predictions as files, read back by whatever reads such files."""

import csv
import gc
import io
import json
import os
import resource
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlp_xp import InputError
from mlp_xp.data.predictions import Header, check_out, open_writer, text
from mlp_xp.nn.losses import OBJECTIVES

SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet"]
# What a reader could take for something else, and 1 for the rest of the names to be text.
NAMES = (
    "a,b",
    'say "x"',
    "two\nlines",
    "cr\rhere",
    "crlf\r\n",
    "tab\there",
    "=1+1",
    "日本 é",
    "%d%%",
    " x ",
)
TINY = np.array([[1 / 3, 2 / 3], [1e-30, 1], [0.1, 0.9], [2**-149, 2**-126]], dtype=np.float32)


def header(kind: str = "multiclass", names: tuple[str, ...] = ("a", "b"), **rest: Any) -> Header:
    return Header(OBJECTIVES[kind](), names, **rest)


def write(out: Path | None, made: Header, values: Any, ids: Any = None, **rest: Any) -> None:
    with open_writer(out, made) as writer:
        writer.write(range(len(values)) if ids is None else ids, np.asarray(values), **rest)


def one_each(names: tuple[str, ...]) -> Any:
    """Rows whose classes are 0 to K - 1, so that all names are predicted."""
    return np.eye(len(names), dtype=np.float32)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, by the standard library, and by pyarrow for Parquet."""
    if path.suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line, parse_constant=pytest.fail) for line in file]
        return list(
            csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        )


@pytest.fixture(params=SUFFIXES)
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"scores{request.param}"


def test_classes(tmp_path: Path) -> None:
    write(tmp_path / "s.csv", header(label="species"), [[0.25, 0.75], [0.5, 0.5]])
    assert (tmp_path / "s.csv").read_bytes() == (
        b"row,species,p(a),p(b)\n0,b,0.250000000,0.750000000\n1,a,0.500000000,0.500000000\n"
    )
    write(tmp_path / "s.jsonl", header(names=("a", "é")), [[0.25, 0.75]])
    assert (tmp_path / "s.jsonl").read_text(encoding="utf-8") == (
        '{"row": 0, "class": "é", "p(a)": 0.250000000, "p(é)": 0.750000000}\n'
    )


def test_labels(tmp_path: Path) -> None:
    write(tmp_path / "s.tsv", header("multilabel"), [[0.25, 0.75], [1.0, 0.5]])
    assert (tmp_path / "s.tsv").read_text() == (
        "row\ta\tb\tp(a)\tp(b)\n"
        "0\t0\t1\t0.250000000\t0.750000000\n1\t1\t0\t1.000000000\t0.500000000\n"
    )


def test_numbers(tmp_path: Path) -> None:
    write(tmp_path / "s.csv", header("regression"), [[-2.5, 1e9]])
    assert (tmp_path / "s.csv").read_text() == "row,a,b\n0,-2.5,1000000000.0\n"


def test_names_of_rows_and_files(out: Path) -> None:
    made = header(id_name="name", with_file=True)
    with open_writer(out, made) as writer:
        writer.write(["x", 'y,"'], TINY[:2], file="one,two.csv")
        writer.write(np.array(["z"]), TINY[2:3], file=Path("b.npy"))
    rows = [(row["name"], row["file"], row["class"]) for row in read(out)]
    assert rows == [("x", "one,two.csv", "b"), ('y,"', "one,two.csv", "b"), ("z", "b.npy", "b")]


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_come_back(kind: str, dtype: str, out: Path, rng: np.random.Generator) -> None:
    values = np.concatenate([TINY, rng.random((500, 2)) ** 9]).astype(dtype)
    values = np.concatenate([values, -values * 1e9 * (kind == "regression")])
    write(out, header(kind), values)
    keys = ["a", "b"] if kind == "regression" else ["p(a)", "p(b)"]
    back = np.array([[float(row[key]) for key in keys] for row in read(out)])
    if kind == "regression" or out.suffix == ".parquet":
        np.testing.assert_array_equal(back.astype(dtype), values)
    else:
        np.testing.assert_array_equal(back, [[float(f"{p:.9f}") for p in row] for row in values])
        assert abs(back - values).max() <= 5e-10
        large = (values >= 2**-6) & (dtype == "float32")
        np.testing.assert_array_equal(back.astype(dtype)[large], values[large])


def decimals(p: Any) -> list[str]:
    """The decimals of p (N,) as the writer makes them."""
    return [bytes(row[0]).decode() for row in text._decimals(np.asarray(p)[:, None])]


@given(st.lists(st.floats(0, 1, width=32), min_size=1))
@example([0, 2**-149, 1, 1 - 2**-24, 2**-30, 2**-10, 3 * 2**-10, 0.5, 1e-9, 5e-10, 0.09999999])
def test_nine_decimals_of_float32(p: list[float]) -> None:
    assert decimals(np.float32(p)) == [f"{x:.9f}" for x in np.float32(p).tolist()]


def test_nine_decimals_of_ties_and_of_all_sizes(rng: np.random.Generator) -> None:
    ties = np.arange(1, 1024, 2, dtype=np.float32) / 1024  # 2^-10 has ten decimals, the last is 5
    sizes = np.exp2(-rng.random(100_000) * 40).astype(np.float32)
    near = np.nextafter(np.float32([0.1, 0.01, 0.001, 1]), np.float32([[0], [1]])).ravel()
    for p in (ties, sizes, near):
        assert decimals(p) == [f"{x:.9f}" for x in p.tolist()]


@given(st.lists(st.floats(0, 1), min_size=1))
def test_nine_decimals_of_float64(p: list[float]) -> None:
    for x, digits in zip(p, decimals(np.float64(p)), strict=True):
        product = Fraction(x) * 10**9
        # The product rounds, so what lies within its rounding of a tie may go either way.
        assert abs(product - int(digits.replace(".", ""))) <= Fraction(1, 2) + product / 2**53
        assert digits[1] == "."


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1))
@example([0])
@example([9, 10, 99, 100, 9999, 10_000, 99_999_999, 100_000_000])
def test_numbers_of_rows(numbers: list[int]) -> None:
    rows = text._integers(np.array(numbers))
    assert [bytes(row[row != text.PAD]).decode() for row in rows] == [str(n) for n in numbers]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_longest_numbers_fit_their_cells(dtype: str, tmp_path: Path) -> None:
    limits = np.finfo(dtype)
    values = np.array([[-limits.max], [-limits.tiny], [-limits.smallest_subnormal], [-0.0]], dtype)
    write(tmp_path / "s.csv", header("regression", ("y",)), values)
    back = np.array([row["y"] for row in read(tmp_path / "s.csv")], dtype)
    np.testing.assert_array_equal(back, values[:, 0])
    assert text._exact(values).shape == (4, 1, int(text.EXACT[dtype][2:4]))


def test_a_long_name_of_a_row_takes_little_memory(tmp_path: Path) -> None:
    names = ["x"] * 9999 + ["y" * 1_000_000]
    tracemalloc.start()
    write(tmp_path / "s.csv", header(), np.ones((10_000, 2), np.float32), ids=names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    lines = (tmp_path / "s.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == names


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_names_come_back(kind: str, out: Path) -> None:
    write(out, header(kind, NAMES, label="the,\nlabel"), one_each(NAMES))
    rows = read(out)
    texts = [f"p({name})" for name in NAMES]
    middle = {"multiclass": ["the,\nlabel", *texts], "multilabel": [*NAMES, *texts]}
    assert list(rows[0]) == ["row", *middle.get(kind, NAMES)]
    if kind == "multiclass":
        assert [row["the,\nlabel"] for row in rows] == list(NAMES)


@pytest.mark.parametrize("reader", ["pandas", "polars", "pyarrow.csv"])
def test_other_readers_of_csv(reader: str, tmp_path: Path) -> None:
    library = pytest.importorskip(reader)
    path = tmp_path / "s.csv"
    write(path, header(names=NAMES, label="the,\nlabel"), one_each(NAMES))
    if reader == "pyarrow.csv":
        options = library.ParseOptions(newlines_in_values=True)
        table = library.read_csv(path, parse_options=options).to_pydict()
    elif reader == "polars":
        table = library.read_csv(path).to_dict(as_series=False)
        # Polars leaves the two quotes that stand for one in a column's name, though not in values.
        table = {name.replace('""', '"'): values for name, values in table.items()}
    else:
        table = library.read_csv(path).to_dict("list")
    assert list(table) == ["row", "the,\nlabel", *(f"p({name})" for name in NAMES)]
    assert table["the,\nlabel"] == list(NAMES)
    assert [table[f"p({name})"] for name in NAMES] == one_each(NAMES).tolist()


def test_types_in_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "s.parquet"
    for kind, middle in (("multiclass", ["string"]), ("multilabel", ["int8"] * 2)):
        write(path, header(kind, with_file=True), TINY, file="f")
        types = [str(kind) for kind in parquet.read_schema(path).types]
        assert types == ["int64", "string", *middle, "float", "float"]


@pytest.mark.parametrize(
    ("made", "columns"),
    [
        (header(names=("row", "x"), label="row"), "row row_2 p(row) p(x)"),
        (header(names=("x", "x"), id_name="p(x)"), "p(x) class p(x)_2 p(x)_3"),
        (header("multilabel", ("file", "p(file)"), with_file=True),
         "row file file_2 p(file) p(file)_2 p(p(file))"),
        (header("regression", ("row", "row_2", "class")), "row row_2 row_2_2 class"),
        (header(label=""), "row class p(a) p(b)"),
    ],
)  # fmt: skip
def test_no_two_columns_share_a_name(made: Header, columns: str) -> None:
    assert made.columns() == columns.split(" ")


def test_what_is_no_unicode_is_spelled_out(out: Path) -> None:
    write(out, header(names=("a\udcff", "b"), with_file=True), TINY[:1, ::-1], file="\udc80.npy")
    (row,) = read(out)
    assert (row["file"], row["class"]) == ("\\udc80.npy", "a\\udcff")
    assert "p(a\\udcff)" in row


def test_blocks_and_their_parts_are_one_table(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "BLOCK_BYTES", 300)  # two or three rows
    monkeypatch.setattr("mlp_xp.data.predictions.parquet.GROUP_VALUES", 20)
    values = np.linspace(0, 1, 22, dtype=np.float32).reshape(11, 2)
    buffer = np.empty((1, 2), dtype=np.float32)  # which is used again, as a caller may
    with open_writer(out, header("regression")) as writer:
        writer.write(range(5), values[:5])
        for row in range(5, 11):
            buffer[:] = values[row]
            writer.write([row], buffer)
    rows = read(out)
    assert [int(row["row"]) for row in rows] == list(range(11))
    np.testing.assert_array_equal([np.float32(row["b"]) for row in rows], values[:, 1])
    if out.suffix == ".parquet":
        groups = pytest.importorskip("pyarrow.parquet").ParquetFile(out).num_row_groups
        assert groups == 2


def test_one_column_of_a_buffer_that_is_used_again(out: Path) -> None:
    buffer = np.zeros((1, 1), dtype=np.float32)
    with open_writer(out, header("regression", ("y",))) as writer:
        for row in range(3):
            buffer[:] = row
            writer.write([row], buffer)
    assert [float(row["y"]) for row in read(out)] == [0, 1, 2]


def test_no_rows(out: Path) -> None:
    with open_writer(out, header(with_file=True)):
        pass
    assert read(out) == []
    assert out.exists()


def test_text_needs_no_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write(tmp_path / "s.csv", header(), TINY)
    write(tmp_path / "s.jsonl", header(), TINY)
    path = tmp_path / "s.parquet"
    with pytest.raises(InputError) as caught:
        write(path, header(), TINY)
    assert str(caught.value) == (
        f"{path}: writing Parquet needs pyarrow: pip install '.[table]' in the clone"
    )


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    write(None, header(names=("a\x1b[2J", "b")), TINY[:1, ::-1])
    assert capsys.readouterr().out.splitlines() == [
        "row,class,p(a\x1b[2J),p(b)", "0,a\x1b[2J,0.666666687,0.333333343"
    ]  # fmt: skip


def test_a_terminal_gets_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    evil = "\x1b[2J\n,"
    made = header(names=(evil, "b"), label=evil, id_name=evil, with_file=True)
    write(None, made, TINY[:1, ::-1], ids=[evil], file=evil)
    assert all(c == "\n" or c.isprintable() for c in stream.getvalue())
    assert len(stream.getvalue().splitlines()) == 2
    (row,) = csv.reader(stream.getvalue().splitlines()[1:])
    assert row[:3] == ["\\x1b[2J\\n,"] * 3


def test_an_older_file_is_replaced_at_the_end(out: Path) -> None:
    out.write_text("old")
    with open_writer(out, header()) as writer:
        writer.write(range(4), TINY)
        assert out.read_text() == "old"
    assert len(read(out)) == 4
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("unrelated"), InputError("row 3")])
def test_an_error_leaves_the_older_file_alone(
    out: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlp_xp.data.predictions.parquet.GROUP_VALUES", 4)
    noise: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", noise.append)
    out.write_text("old")

    def fail() -> None:
        with open_writer(out, header()) as writer:
            writer.write(range(4), TINY)
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert out.read_text() == "old"
    assert list(out.parent.iterdir()) == [out]
    caught.value.__traceback__ = None
    gc.collect()  # what remains of the writer complains no more
    assert noise == []


@pytest.mark.parametrize("blocks", [1, 300], ids=["at the end", "in between"])
def test_a_full_disk(
    out: Path, blocks: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for it."""
    monkeypatch.setattr("mlp_xp.data.predictions.parquet.GROUP_VALUES", 4000)
    values = rng.random((100, 2), dtype=np.float32)
    done = 0

    def fill() -> None:
        nonlocal done
        with open_writer(out, header()) as writer:
            for _ in range(blocks):
                writer.write(range(100), values)
                done += 1

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(InputError) as caught:
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == f"{out}: can't be written: File too large"
    assert list(out.parent.iterdir()) == []
    assert done < max(blocks, 2)


def test_errors_of_standard_output_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, end = os.pipe()
    os.close(reader)
    for target, error in (("/dev/full", OSError), (end, BrokenPipeError)):
        with io.FileIO(target, "w") as file, monkeypatch.context() as patch:
            patch.setattr("sys.stdout", SimpleNamespace(
                isatty=lambda: False, write=lambda text, file=file: file.write(text.encode())
            ))  # fmt: skip
            with pytest.raises(error) as caught:
                write(None, header(), TINY)
            assert caught.type is error


def test_names_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, message in {
        "s.txt": "can't tell its format; name it .csv, .tsv, .jsonl, .parquet",
        "scores": "can't tell its format; name it .csv, .tsv, .jsonl, .parquet",
        "folder.csv": "is a folder; name a file in it",
        "pipe.csv": "is not a regular file; name another",
        "no/s.csv": f"there is no folder {tmp_path / 'no'}; make it, or name another",
    }.items():
        with pytest.raises(InputError) as caught, open_writer(tmp_path / name, header()):
            pass
        assert str(caught.value) == f"{tmp_path / name}: {message}"


def test_the_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    write(tmp_path / "S.CSV", header(), TINY)
    assert (tmp_path / "S.CSV").read_text().startswith("row,class,")


def test_the_input_is_no_output(tmp_path: Path) -> None:
    rows, link, other = tmp_path / "rows.csv", tmp_path / "link.csv", tmp_path / "other.csv"
    rows.write_text("x\n1\n")
    link.symlink_to(rows)
    for path in (rows, link, tmp_path / ".." / tmp_path.name / "rows.csv"):
        with pytest.raises(InputError, match="is one of the files to read; name another"):
            check_out(path, [tmp_path / "missing.csv", rows])
    check_out(other, [rows])
    other.write_text("")
    check_out(other, [rows])


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "s.csv", tmp_path / "far" / "real.csv"
    link.symlink_to(target)
    write(link, header(), TINY)
    assert link.is_symlink()
    assert target.read_text().startswith("row,")
