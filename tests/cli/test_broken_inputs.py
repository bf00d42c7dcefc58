"""Users' mistakes: each ends in one line that says what is wrong and where, and changes no file.

The corpus is CASES: functions that break something below `place` and return a command line, each
with a pattern that the one line on standard error must match.
"""

import errno
import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.ipc
import pyarrow.parquet
import pytest
import safetensors.numpy
from idx_file import idx_bytes
from PIL import Image
from processes import run_python

import mlp_xp
from mlp_xp import Network, load_model, save_model
from mlp_xp.cli import main
from mlp_xp.data import load_data, memory
from mlp_xp.devices import CPU

Break = Callable[[Path], list[str]]
CASES: dict[str, tuple[Break, str]] = {}
WITHOUT_MEMORY = ("npz_larger_than_memory", "pictures_beyond_memory", "csv_beyond_memory")
STATUS = {"option_hidden_beyond_memory": 3}  # all others: 2


def broken(pattern: str) -> Callable[[Break], Break]:
    """Add the decorated function to the corpus, under its own name."""

    def register(function: Break) -> Break:
        add(function.__name__, pattern, function)
        return function

    return register


def add(name: str, pattern: str, function: Break) -> None:
    assert name not in CASES
    CASES[name] = function, pattern


def train(data: Path, *options: str) -> list[str]:
    """A short run, whose folder must not be created."""
    return ["train", "--data", str(data), "--epochs", "1", "--device", "cpu",
            "--out", str(data.parent / "new"), *options]  # fmt: skip


X = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
Y = np.array([0, 1, 2, 0, 1, 2], dtype=np.uint8)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a good data set, a good model for it, and a finished run."""
    np.savez(tmp_path / "good.npz", X=X, y=Y)
    network = Network.initialize(CPU(), (4, 3, 3), seed=1)
    save_model(network, tmp_path / "model.safetensors")
    (tmp_path / "run").mkdir()
    save_model(network, tmp_path / "run" / "model.safetensors")
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# ---- IDX


def idx_case(name: str, pattern: str, file: str, content: bytes | None) -> None:
    """A folder of four good files, one of which is replaced or, by None, removed."""

    def function(place: Path) -> list[str]:
        folder = place / "idx"
        folder.mkdir()
        for split, rows in (("train", 6), ("t10k", 3)):
            (folder / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(X[:rows]))
            (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(Y[:rows]))
        (folder / file.removesuffix(".gz")).unlink(missing_ok=True)
        if content is not None:
            (folder / file).write_bytes(content)
        return train(folder)

    add(name, pattern, function)


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
GOOD, PACKED = idx_bytes(X), gzip.compress(idx_bytes(X))
for name, pattern, file, content in (
    ("idx_empty", r"starts with nothing, not an IDX file", IMAGES, b""),
    ("idx_cut_in_magic", r"starts with 00 00, not an IDX file", IMAGES, GOOD[:2]),
    ("idx_cut_in_axes", r"ends within its header; the file is truncated", IMAGES, GOOD[:9]),
    ("idx_cut_in_body", r"holds 8 of 24 bytes; the file is truncated", IMAGES, GOOD[:24]),
    ("idx_too_long", r"more bytes than the 24 that its header promises", IMAGES, GOOD + b"x"),
    ("idx_wrong_magic", r"starts with 89 50 4e 47, not an IDX", IMAGES, b"\x89PNG" + GOOD),
    ("idx_of_floats", r"starts with 00 00 0d 03, not an IDX file of unsigned bytes", IMAGES,
     b"\0\0\x0d\x03" + GOOD[4:]),
    ("idx_huge_axes", r"promises 79228162458924105385300197375 bytes, more than", IMAGES,
     GOOD[:4] + b"\xff" * 12 + GOOD[16:]),
    ("idx_huge_axes_and_none", r"claims the shape \(0, 4294967295, 4294967295\); get it again",
     IMAGES, GOOD[:4] + bytes(4) + b"\xff" * 8),
    ("idx_gzip_cut", r"damaged gzip file .* get it again", IMAGES + ".gz", PACKED[:-9]),
    ("idx_gzip_wrong_sum", r"damaged gzip file \(CRC", IMAGES + ".gz",
     PACKED[:-8] + b"abcd" + PACKED[-4:]),
    ("idx_gzip_damaged", r"damaged gzip file", IMAGES + ".gz",
     PACKED[:12] + b"\xff" * 8 + PACKED[20:]),
    ("idx_gzip_that_is_none", r"damaged gzip file \(Not a gzipped file", IMAGES + ".gz", GOOD),
    ("idx_gzip_bomb", r"more bytes than the 24 that its header", IMAGES + ".gz",
     gzip.compress(GOOD + bytes(10**7))),
    ("idx_no_labels", r"idx: not a data set; it needs .* train-labels", LABELS, None),
    ("idx_labels_of_other_length", r"6 training rows, but labels of shape \(2,\); give one",
     LABELS, idx_bytes(Y[:2])),
    ("idx_labels_that_are_images", r"labels of shape \(6, 2, 2\); give one", LABELS, GOOD),
    ("idx_no_rows", r"the training set is empty \(shape \(0, 2, 2\)\)", IMAGES, idx_bytes(X[:0])),
    ("idx_test_without_labels", r"one of test images and test labels is missing",
     "t10k-labels-idx1-ubyte", None),
    ("idx_test_of_other_width", r"test rows have 6 values, training rows 4; they must agree",
     "t10k-images-idx3-ubyte", idx_bytes(np.zeros((3, 2, 3), np.uint8))),
    ("idx_test_label_unseen", r"test label 9 does not occur in training.* 0 to 2",
     "t10k-labels-idx1-ubyte", idx_bytes(np.array([0, 9, 1], np.uint8))),
    ("idx_two_data_sets", r"more than one file of images \(letters-.*own", f"letters-{IMAGES}",
     GOOD),
):  # fmt: skip
    idx_case(name, pattern, file, content)
# The last of them keeps both.
CASES["idx_two_data_sets"] = (
    lambda place, make=CASES["idx_two_data_sets"][0]: (
        make(place), (place / "idx" / IMAGES).write_bytes(GOOD))[0],
    CASES["idx_two_data_sets"][1],
)  # fmt: skip


# ---- npz


MULTICLASS, MULTILABEL = ("--objective", "multiclass"), ("--objective", "multilabel")
REGRESSION = ("--objective", "regression")


def npz_case(name: str, pattern: str, options: tuple[str, ...] = (), **arrays: object) -> None:
    def function(place: Path) -> list[str]:
        np.savez(place / "bad.npz", **{"X": X, "y": Y, **arrays})
        return train(place / "bad.npz", *options)

    add(name, rf"bad(\.npz)?: .*{pattern}", function)


def content_case(name: str, pattern: str, file: str, content: Callable[[], bytes]) -> None:
    def function(place: Path) -> list[str]:
        (place / file).write_bytes(content())
        return train(place / file)

    add(name, rf"{re.escape(file)}: .*{pattern}", function)


def npz_bytes(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"X": X, "y": Y, **arrays})
    return file.getvalue()


def npy(header: str, body: bytes = bytes(64), version: int = 1, length: int | None = None) -> bytes:
    raw = header.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(raw) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + raw + body


def claim(descr: str, shape: str) -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}")


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def member(content: bytes) -> Callable[[], bytes]:
    return lambda: zipped(("X.npy", content), ("y.npy", content))


def encrypted() -> bytes:
    content = bytearray(npz_bytes())
    for place in (content.find(b"PK\3\4") + 6, content.find(b"PK\1\2") + 8):
        content[place] |= 1
    return bytes(content)


def lying_size() -> bytes:
    """An archive whose directory says that its first member unpacks to 3.7 GB, and a header too."""
    content = bytearray(zipped(("X.npy", claim("'|u1'", "(1000000, 3700)")), ("y.npy", b"")))
    place = content.find(b"PK\1\2")
    content[place + 24 : place + 28] = struct.pack("<I", 3_700_000_100)
    return bytes(content)


def flipped() -> bytes:
    content = bytearray(npz_bytes())
    content[content.find(X.tobytes()) + 5] ^= 1
    return bytes(content)


npz_case("npz_objects", "x: holds Python objects, which are never loaded; save numbers",
         X=np.array([None, {}]))  # fmt: skip
npz_case("npz_nan", "training data holds NaN or infinity, first in row 3; remove",
         X=np.where(np.arange(6)[:, None] == 3, np.nan, np.ones((6, 2))))  # fmt: skip
npz_case("npz_infinity", "holds NaN or infinity, first in row 0", X=np.full((6, 2), -np.inf))
npz_case("npz_complex", "x: is of type complex128; save numbers", X=np.ones((6, 2), complex))
npz_case("npz_dates", r"x: is of type datetime64\[D\]; save", X=np.zeros((6, 2), "M8[D]"))
npz_case("npz_text", "x: is of type <U3; save numbers", X=np.full((6, 2), "one"))
npz_case("npz_text_labels", "y: is of type <U3; save numbers", y=np.full(6, "cat"))
npz_case("npz_records", "x: is of type .*; save numbers", X=np.zeros(6, "f4,f4"))
npz_case("npz_fractions_as_classes", "labels of type float64; they must be whole", MULTICLASS,
         y=Y / 2)  # fmt: skip
npz_case("npz_nan_as_label", r"target nan in row 2, column 0; targets must be finite",
         y=np.array([0, 1, np.nan, 1, 0, 1]))  # fmt: skip
npz_case("npz_infinite_target", "target inf in row 1, column 0", y=np.where(Y == 1, np.inf, Y))
npz_case("npz_nan_as_class", "must be whole numbers", MULTICLASS,
         y=np.array([0, 1, np.nan, 1, 0, 1]))  # fmt: skip
npz_case("npz_negative_label", "target -1 in row 2, column 0; targets must be 0 or 1", MULTILABEL,
         y=np.array([0, 1, -1, 0, 1, 0]))  # fmt: skip
npz_case("npz_classes_beyond_counting", "holds more than 65536 classes", MULTICLASS,
         X=np.ones((65540, 1), np.uint8), y=np.maximum(np.arange(65540), 1))  # fmt: skip
npz_case("npz_two_classes_a_row", r"labels of shape \(6, 3\); give one integer label", MULTICLASS,
         y=1 - np.eye(3)[Y])  # fmt: skip
npz_case("npz_test_label_unseen", r"(holds the class '9'|label 9).* training", x_test=X[:2],
         y_test=Y[:2] + 8)  # fmt: skip
npz_case("npz_labels_of_three_axes", r"6 training rows, but labels of shape \(6, 3, 1\)",
         y=np.eye(3)[Y][..., np.newaxis])  # fmt: skip
npz_case("npz_one_class", "at least two", y=np.full(6, 3))
npz_case("npz_one_label_too_few", r"6 training rows, but labels of shape \(5,\)", y=Y[:5])
npz_case("npz_no_rows", r"training set is empty \(shape \(0, 2\)\); give it rows",
         X=np.ones((0, 2)), y=Y[:0])  # fmt: skip
npz_case("npz_no_columns", r"training set is empty \(shape \(6, 0\)\)", X=np.ones((6, 0)))
npz_case("npz_flat", r"training data has shape \(6,\); it needs one row a sample", X=Y)
npz_case("npz_scalar", r"training data has shape \(\)", X=np.float32(3))
npz_case("npz_test_labels_missing", "holds x_test alone; give both x_test and y_test", x_test=X)
npz_case("npz_test_nan", "test data holds NaN", x_test=np.full((6, 4), np.nan), y_test=Y)
npz_case("npz_names_twice", "holds x, y twice|occurs 2 times; keep one", x=X)
for name, pattern, content in (
    ("npz_that_is_empty", "damaged or not an .npz file", lambda: b""),
    ("npz_that_is_text", "damaged or not an .npz file .* get it again", lambda: b"hello" * 50),
    ("npz_cut_in_the_middle", "damaged or not an .npz", lambda: npz_bytes()[:200]),
    ("npz_cut_in_its_directory", "damaged or not an .npz", lambda: npz_bytes()[:-30]),
    ("npz_with_a_flipped_bit", "damaged or not an .npz file \\(Bad CRC", flipped),
    ("npz_without_y", "holds X|holds x; it needs", lambda: zipped(("X.npy", npy("")))),
    ("npz_with_nothing", "holds nothing; it needs x_train", lambda: zipped()),
    ("npz_of_nested_paths", r"holds \.\./x, a/y; it needs",
     lambda: zipped(("../x.npy", b""), ("a/y.npy", b""))),
    ("npz_with_a_password", "x: is encrypted; save it without a password", encrypted),
    ("npz_packed_by_lzma", "x: has an unsupported compression",
     lambda: zipped(("X.npy", b""), ("y.npy", b""), method=zipfile.ZIP_LZMA)),
    ("npz_that_lies_about_its_size",
     r"promises 3700000000 bytes, but the file holds at most \d+; it is truncated", lying_size),
    ("npz_member_that_is_no_array", "x: not an array in NumPy's format", member(b"hello, world")),
    ("npz_member_of_version_9", r"version \(9, 0\) is unknown|Invalid|only support",
     member(npy("{}", version=9))),
    ("npz_huge_header_length", "x: not an array in NumPy's format",
     member(npy("{}", version=2, length=2**32 - 1))),
    ("npz_header_that_is_code", "x: not an array in NumPy's format",
     member(npy("__import__('os').system('false')"))),
    ("npz_header_without_end", "x: not an array in NumPy's format", member(npy("{" * 300))),
    ("npz_promises_too_much", "promises 1000000000000 bytes, .*; it is truncated",
     member(claim("'|u1'", "(1000000, 1000000)"))),
    ("npz_shape_below_zero", r"claims the shape \(-1, 64\)", member(claim("'|u1'", "(-1, 64)"))),
    ("npz_shape_below_zero_twice", r"claims the shape \(-8, -8\)",
     member(claim("'|u1'", "(-8, -8)"))),
    ("npz_shape_beyond_counting", r"claims the shape",
     member(claim("'|u1'", "(0, 100000000000000000000)"))),
    ("npz_shape_of_100_axes", r"claims the shape", member(claim("'|u1'", f"{(1,) * 100}"))),
    ("npz_shape_of_text", "not an array", member(claim("'|u1'", "('a', 2)"))),
    ("npz_type_of_nothing", "is of type", member(claim("'|V0'", "(2, 2)"))),
    ("npz_type_unknown", "not an array in NumPy's format", member(claim("'wide'", "(2, 2)"))),
    ("npz_body_longer_than_promised", "x: more bytes than the 4 that",
     member(claim("'|u1'", "(2, 2)"))),
):  # fmt: skip
    content_case(name, pattern, "bad.npz", content)


@broken(r"big\.npz: x: needs 0\.0 GB of memory, 0\.0 GB are free; save the rows .* X\.npy")
def npz_larger_than_memory(place: Path) -> list[str]:
    np.savez(place / "big.npz", X=np.zeros((6, 9)), y=Y)
    return train(place / "big.npz")


# ---- npy


def npy_case(name: str, pattern: str, **files: bytes) -> None:
    def function(place: Path) -> list[str]:
        folder = place / "npy"
        folder.mkdir()
        for stem, content in files.items():
            (folder / f"{stem}.npy").write_bytes(content)
        return train(folder)

    add(name, rf"npy.*{pattern}", function)


def saved(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


npy_case("npy_x_alone", "holds x; it needs", X=saved(X))
npy_case("npy_cut", r"promises 24 bytes, .*truncated|\d+ bytes follow a header that promises 24",
         X=saved(X)[:-5], y=saved(Y))  # fmt: skip
npy_case("npy_too_long", "27 bytes follow a header that promises 24; save it again",
         X=saved(X) + b"abc", y=saved(Y))  # fmt: skip
npy_case("npy_objects", r"X\.npy: holds Python objects", X=saved([None, {}]), y=saved(Y))
npy_case("npy_empty", r"y\.npy: not an array in NumPy's format", X=saved(X), y=b"")
npy_case("npy_no_rows", "training set is empty", X=saved(X[:0]), y=saved(Y[:0]))
npy_case("npy_nan", "holds NaN or infinity, first in row 0", X=saved(np.where(X < 1, np.nan, X)),
         y=saved(Y))  # fmt: skip
npy_case("npy_lengths_differ", "6 training rows, but labels of shape", X=saved(X), y=saved(Y[1:]))
npy_case("npy_names_differ_in_case", r"X\.npy and x\.npy differ only in case; remove one",
         X=saved(X), x=saved(X), y=saved(Y))  # fmt: skip
content_case("npy_by_itself", "one array is not a data set; give a folder", "X.npy",
             lambda: saved(X))  # fmt: skip


# ---- tables


def csv_case(
    name: str, pattern: str, text: str | bytes, *options: str, file: str = "bad.csv"
) -> None:
    def function(place: Path) -> list[str]:
        content = text if isinstance(text, bytes) else text.encode()
        (place / file).write_bytes(content)
        return train(place / file, *options)

    add(name, rf"{re.escape(file)}: .*{pattern}", function)


HEAD = "a,b,label\n"
csv_case("csv_empty", "is empty; it needs a header line", "")
csv_case("csv_header_alone", "has columns but no rows", HEAD)
csv_case("csv_blank_lines_alone", "has columns but no rows", HEAD + "\n\n\n")
csv_case("csv_without_header", "line 1 holds numbers .* add a header line", "1,2,0\n3,4,1\n")
csv_case("csv_ragged_short", "line 3 has 2 values, the header names 3 columns; fix the line",
         HEAD + "1,2,0\n3,1\n")  # fmt: skip
csv_case("csv_ragged_long", "line 4 has 4 values, the header names 3", HEAD + "1,2,0\n\n3,4,5,1\n")
csv_case("csv_all_rows_short", "line 2 has 2 values, the header names 3", HEAD + "1,0\n3,1\n")
csv_case("csv_infinity", "column 'b': a value is infinite; correct it, .* --drop b",
         HEAD + "1,-inf,0\n3,4,1\n")  # fmt: skip
csv_case("csv_beyond_float64", "column 'a': a value is infinite", HEAD + "1e999,1,0\n2,1,1\n")
csv_case("csv_column_of_nothing", "column 'b': every value is missing; leave the column out",
         HEAD + "1,,0\n3,NaN,1\n4,?,1\n")  # fmt: skip
csv_case("csv_nothing_but_commas", "line 3, column 'label': the label is missing",
         HEAD + "1,2,0\n , ,\n")  # fmt: skip
csv_case("csv_no_label", "line 3, column 'label': the label is missing", HEAD + "1,2,0\n3,4,\n")
csv_case("csv_label_unknown", r"no column is named 'kind' \(--label\); it has a, b, label",
         HEAD + "1,2,0\n3,4,1\n", "--label", "kind")  # fmt: skip
csv_case("csv_label_twice", "2 columns are named 'a'", "a,a,b\n1,2,3\n", "--label", "a")
csv_case("csv_several_classes", "a row has one class, and --label names 2", HEAD + "1,2,0\n",
         "--label", "a,b", *MULTICLASS)  # fmt: skip
csv_case("csv_of_one_column", "has the one column 'label'; it needs features", "label\n1\n2\n")
csv_case("csv_of_colons", "has the one column 'a:b:label'.* a comma, a semicolon or a tab",
         "a:b:label\n1:2:0\n")  # fmt: skip
csv_case("csv_with_row_numbers", r"column 1 has no name.*index=False", ",a,label\n0,1,0\n1,2,1\n")
csv_case("csv_in_latin_1", "not UTF-8 text", "größe,label\n1,0\n2,1\n".encode("latin-1"))
csv_case("csv_in_latin_1_below", "not UTF-8 text|not a number", HEAD.encode() + b"1,\xe4,0\n")
csv_case("csv_in_utf_16", "is UTF-16 text; save it as UTF-8", (HEAD + "1,2,0\n").encode("utf-16"))
csv_case("csv_open_quote", "line 2: a quote isn't closed; close it|goes on in the next line",
         HEAD + '1,"2,0\n3,4,1\n')  # fmt: skip
csv_case("csv_label_with_an_open_quote", "'dog' goes on in the next line; close the quote",
         HEAD + '1,2,cat\n3,4,"dog\n5,6,cat\n7,8,dog\n')  # fmt: skip
csv_case("csv_label_over_two_lines", "'dog' goes on in the next line; close the quote",
         HEAD + '1,2,cat\n3,4,"dog\nor cat"\n7,8,dog\n')  # fmt: skip
csv_case("csv_open_quote_in_header", "line 1: a quote isn't closed", 'a,"b,label\n1,2,0\n')
csv_case("csv_class_is_a_fraction", "holds 0.5, a number, not a class; name the label",
         HEAD + "1,2,0.5\n3,4,1\n", *MULTICLASS)  # fmt: skip
csv_case("csv_of_zero_bytes", "is followed by a NUL byte; is this a text file",
         HEAD.encode() + b"\0,1,0\n2,2,1")  # fmt: skip
csv_case("tsv_with_commas", "has the one column", HEAD + "1,2,0\n", file="bad.tsv")
csv_case("csv_labels_neither_0_nor_1", "target 2.0 in row 0, column 0; targets must be 0 or 1",
         HEAD + "1,2,2\n3,4,1\n", *MULTILABEL)  # fmt: skip
csv_case("csv_every_column_a_label", "every column is a label; keep one", "a,b\n1,0\n",
         "--label", "a,b", *MULTILABEL)  # fmt: skip


@broken(
    r"bad: every training label is 'cat'; give at least two classes; if 'label' isn't the label"
)
def csv_one_class(place: Path) -> list[str]:
    (place / "bad.csv").write_text(HEAD + "1,2,cat\n3,4,cat\n")
    return train(place / "bad.csv")


@broken(r"test\.csv: lacks a, which the model learned from; its columns are b, c, label")
def table_folder_of_other_columns(place: Path) -> list[str]:
    (place / "t").mkdir()
    (place / "t" / "train.csv").write_text(HEAD + "1,2,0\n3,4,1\n")
    (place / "t" / "test.csv").write_text("b,c,label\n1,2,0\n")
    return train(place / "t")


@broken(r"test\.csv: column 'label' holds the class 'emu', which is not in training \(cat, dog\)")
def table_folder_of_other_classes(place: Path) -> list[str]:
    (place / "t").mkdir()
    (place / "t" / "train.csv").write_text(HEAD + "1,2,cat\n3,4,dog\n")
    (place / "t" / "test.csv").write_text(HEAD + "1,2,emu\n")
    return train(place / "t")


@broken(r"t: holds train\.csv and train\.tsv; remove one")
def table_folder_with_two_formats(place: Path) -> list[str]:
    (place / "t").mkdir()
    (place / "t" / "train.csv").write_text(HEAD + "1,2,cat\n3,4,dog\n")
    (place / "t" / "train.tsv").write_text(HEAD)
    return train(place / "t")


@broken(r"t\.parquet: damaged or not a parquet table \(.*\); get it again")
def parquet_invalid(place: Path) -> list[str]:
    (place / "t.parquet").write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    return train(place / "t.parquet")


@broken(r"good\.npz: has no named columns, so the label 'kind' names nothing")
def label_without_columns(place: Path) -> list[str]:
    return train(place / "good.npz", "--label", "kind")


@broken(r"mnist(\.npz)?: has no named columns, so the label 'target' names nothing")
def label_of_mnist(place: Path) -> list[str]:
    return ["train", "--label", "target"]


@broken(r"empty: (not a data set; it needs train-images|has no named columns, so the label)")
def label_of_a_folder_that_is_no_data(place: Path) -> list[str]:
    (place / "empty").mkdir()
    return train(place / "empty", "--label", "target")


# ---- paths


@broken(r"nowhere: no such file or folder; check the path")
def path_missing(place: Path) -> list[str]:
    return train(place / "nowhere")


@broken(r"data\.xlsx: not a data set; use \.npz, \.csv")
def path_of_unknown_kind(place: Path) -> list[str]:
    (place / "data.xlsx").write_bytes(b"PK")
    return train(place / "data.xlsx")


@broken(r"good\.npz/inner\.npz: no such file or folder; check the path")
def path_below_a_file(place: Path) -> list[str]:
    return [*train(place / "good.npz" / "inner.npz"), "--out", str(place / "new")]


@broken(r"empty: not a data set; it needs a folder of pictures")
def path_to_an_empty_folder(place: Path) -> list[str]:
    (place / "empty").mkdir()
    return train(place / "empty")


@broken(r"loop\.npz: (Too many levels|.*loop|no such)")
def path_symlink_loop(place: Path) -> list[str]:
    (place / "loop.npz").symlink_to(place / "loop.npz")
    return train(place / "loop.npz")


@broken(r"(File name too long|no such)")
def path_too_long(place: Path) -> list[str]:
    return train(place / ("long" * 100 + ".npz"))


@broken(r"two\\nlines \\x1b\[31m\.npz: no such file")
def path_with_terminal_escapes(place: Path) -> list[str]:
    return [*train(place / "two\nlines \x1b[31m.npz"), "--out", str(place / "new")]


@broken(r"bytes\\udcff\.npz: no such file")
def path_not_text(place: Path) -> list[str]:
    return [*train(place / os.fsdecode(b"bytes\xff.npz")), "--out", str(place / "new")]


@broken(r"null byte|no such")
def path_with_a_zero_byte(place: Path) -> list[str]:
    (place / "c.json").write_text(json.dumps({"data": "a\0b.npz"}))
    return ["train", "--config", str(place / "c.json"), "--out", str(place / "new")]


# ---- models


def model_case(name: str, pattern: str, content: Callable[[bytes], bytes]) -> None:
    def function(place: Path) -> list[str]:
        good = (place / "model.safetensors").read_bytes()
        (place / "bad.safetensors").write_bytes(content(good))
        return ["evaluate", str(place / "bad.safetensors"), "--data", str(place / "good.npz")]

    add(name, rf"bad\.safetensors: .*{pattern}", function)


def rewritten(
    change: Callable[[dict[str, np.ndarray], dict[str, object]], object],
) -> Callable[[bytes], bytes]:
    """The model with its arrays or its description changed."""

    def content(good: bytes) -> bytes:
        arrays = dict(safetensors.numpy.load(good))
        header = json.loads(good[8 : 8 + struct.unpack("<Q", good[:8])[0]])
        metadata = json.loads(header["__metadata__"]["mlp_xp"])
        change(arrays, metadata)
        return safetensors.numpy.save(arrays, {"mlp_xp": json.dumps(metadata)})

    return content


def described(**fields: object) -> Callable[[bytes], bytes]:
    """The model with these fields in its schema."""
    return rewritten(lambda arrays, metadata: metadata["schema"].update(fields))


for name, pattern, change in (
    ("model_empty", "not a model", lambda good: b""),
    ("model_that_is_text", "not a model", lambda good: b"hello, world" * 9),
    ("model_cut_in_header", "not a model", lambda good: good[:50]),
    ("model_cut_in_weights", "not a model", lambda good: good[:-4]),
    ("model_too_long", "not a model", lambda good: good + b"abcd"),
    ("model_huge_header_length", "not a model", lambda good: b"\xff" * 8 + good[8:]),
    ("model_large_header_length", "not a model",
     lambda good: struct.pack("<Q", 99_999_999) + good[8:]),
    ("model_of_another_project", "not a model",
     lambda good: safetensors.numpy.save({"a": np.ones(3)})),
    ("model_described_by_no_json", "not a model",
     lambda good: safetensors.numpy.save({"a": np.ones(3)}, {"mlp_xp": "{"})),
    ("model_described_without_end", "not a model",
     lambda good: safetensors.numpy.save({"a": np.ones(3)}, {"mlp_xp": "[" * 100_000})),
    ("model_of_the_future", "this version|not a model",
     rewritten(lambda arrays, metadata: metadata.update(format="mlp_xp model 999"))),
    ("model_with_nan", "layer.1.W holds NaN",
     rewritten(lambda arrays, metadata: arrays["layer.1.W"].__setitem__((0, 0), np.nan))),
    ("model_without_a_bias", "its arrays aren't the layers",
     rewritten(lambda arrays, metadata: arrays.pop("layer.0.b"))),
    # The inputs' two arrays stay: safetensors 0.4.3 writes no valid file where there is no array.
    ("model_without_layers", "its arrays aren't the layers",
     rewritten(lambda arrays, metadata: [
         arrays.clear(), arrays.update(dict.fromkeys(("input.mean", "input.std"), np.ones(4, "f4")))
     ])),
    ("model_of_shapes_that_disagree", "layer.1.W is float32",
     rewritten(lambda arrays, metadata: arrays.update({"layer.1.W": np.ones((9, 3), "f4")}))),
    ("model_of_mixed_types", "layer.0.b is float64",
     rewritten(lambda arrays, metadata: arrays.update({"layer.0.b": np.ones(3)}))),
    ("model_of_integers", "its weights are of type int",
     rewritten(lambda arrays, metadata: arrays.update(
         {name: array.astype("i4") for name, array in arrays.items()}))),
    ("model_of_flat_weights", "layer.0.W is float32",
     rewritten(lambda arrays, metadata: arrays.update({"layer.0.W": np.ones(12, "f4")}))),
    ("model_of_unknown_activation", "its activation is 'swish'",
     rewritten(lambda arrays, metadata: metadata.update(activation="swish"))),
    ("model_of_an_activation_that_is_no_text", r"its activation is \[1\]",
     rewritten(lambda arrays, metadata: metadata.update(activation=[1]))),
    ("model_of_unknown_objective", "its objective is None",
     rewritten(lambda arrays, metadata: metadata.pop("objective"))),
    ("model_of_too_few_names", "3 names fit, but output_names has 1",
     described(output_names=["a"])),
    ("model_of_names_that_are_no_text", "its schema can't be read .*are no names",
     described(output_names=[1, None, {}])),
    ("model_of_a_name_that_is_no_list", "its schema can't be read", described(output_names="abc")),
    ("model_without_a_schema", "its schema can't be read",
     rewritten(lambda arrays, metadata: metadata.pop("schema"))),
    ("model_of_a_schema_that_is_no_object", "its schema can't be read",
     rewritten(lambda arrays, metadata: metadata.update(schema=[1, 2]))),
    ("model_of_columns_that_are_no_list", "its schema can't be read", described(columns=5)),
    ("model_of_columns_without_a_kind", "its schema can't be read",
     described(columns=[{"name": "a", "levels": []}])),
    ("model_of_an_unknown_kind_of_column", "its schema can't be read .*not a column",
     described(columns=[{"name": "a", "kind": "sound", "levels": []}])),
    ("model_of_a_column_filled_with_text", "its schema can't be read",
     described(columns=[{"name": "a", "kind": "number", "fill": "x", "levels": []}])),
    ("model_of_levels_that_are_no_text", "its schema can't be read",
     described(columns=[{"name": "a", "kind": "category", "levels": [1, 2, 3, 4]}])),
    ("model_of_too_few_columns", "4 names fit, but columns has 1",
     described(columns=[{"name": "a", "kind": "number", "levels": []}])),
    ("model_of_too_many_features", "4 names fit, but feature_names has 5",
     described(feature_names=list("abcde"))),
    ("model_of_a_label_that_is_no_text", "its schema can't be read", described(label=7)),
    ("model_of_a_picture_of_another_size", "4 names fit, but picture has 9",
     described(picture={"height": 3, "width": 3, "channels": 1})),
    ("model_of_a_picture_of_no_size", "its schema can't be read .*not a picture",
     described(picture={"height": 0, "width": 4, "channels": 1})),
    ("model_of_a_picture_of_two_channels", "its schema can't be read",
     described(picture={"height": 1, "width": 2, "channels": 2})),
    ("model_of_a_picture_beyond_counting", "names fit, but picture has|its schema can't be read",
     described(picture={"height": 10**30, "width": 10**30, "channels": 3})),
    ("model_of_an_unknown_field", "its schema can't be read",
     described(picture={"height": 2, "width": 2, "depth": 1})),
    ("model_scaled_by_nothing", "input_scale is 0.0",
     rewritten(lambda arrays, metadata: metadata.update(input_scale=0.0))),
    ("model_scaled_by_text", "input_scale is 'big'",
     rewritten(lambda arrays, metadata: metadata.update(input_scale="big"))),
    ("model_of_a_range_without_an_end", "its arrays aren't the layers",
     rewritten(lambda arrays, metadata: arrays.update({"input.low": np.zeros(4)}))),
    ("model_of_a_range_of_other_inputs", r"input.high is float64 \(3,\), where float64 \(4,\) fits",
     rewritten(lambda arrays, metadata: arrays.update(
         {"input.low": np.zeros(4), "input.high": np.zeros(3)}))),
    ("model_of_a_range_in_float32", r"input.low is float32",
     rewritten(lambda arrays, metadata: arrays.update(
         {"input.low": np.zeros(4, "f4"), "input.high": np.zeros(4)}))),
    ("model_of_an_infinite_range", "input.high holds NaN or infinity",
     rewritten(lambda arrays, metadata: arrays.update(
         {"input.low": np.zeros(4), "input.high": np.full(4, np.inf)}))),
    ("model_of_a_prior_of_other_classes", r"output.prior is float64 \(2,\), where float64 \(3,\)",
     rewritten(lambda arrays, metadata: arrays.update({"output.prior": np.ones(2)}))),
    ("model_of_a_prior_of_nan", "output.prior holds NaN",
     rewritten(lambda arrays, metadata: arrays.update({"output.prior": np.full(3, np.nan)}))),
):  # fmt: skip
    model_case(name, pattern, change)


@broken(r"nowhere: (No such file|no such)")
def model_missing(place: Path) -> list[str]:
    return ["evaluate", str(place / "nowhere")]


@broken(r"empty: holds no model\.safetensors; a run has one once it is finished")
def model_in_an_empty_folder(place: Path) -> list[str]:
    (place / "empty").mkdir()
    return ["predict", str(place / "empty"), str(place / "good.npz")]


@broken(r"the network takes 4 inputs, the data has 9")
def model_of_other_inputs(place: Path) -> list[str]:
    np.savez(place / "wide.npz", X=np.ones((6, 9)), y=Y)
    return ["evaluate", str(place / "run"), "--data", str(place / "wide.npz")]


@broken(r"the data has a label 5, the network knows classes 0 to 2")
def model_of_fewer_classes(place: Path) -> list[str]:
    np.savez(place / "more.npz", X=X, y=Y + 3)
    return ["evaluate", str(place / "run"), "--data", str(place / "more.npz")]


# ---- rows to predict


def predict_case(name: str, pattern: str, file: str, content: Callable[[], bytes], *options: str):
    def function(place: Path) -> list[str]:
        (place / file).write_bytes(content())
        return ["predict", str(place / "run"), str(place / file), *options]

    add(name, rf"{re.escape(file)}: .*{pattern}", function)


def png(mode: str = "L", size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def png_bomb() -> bytes:
    """A few bytes that claim to be a picture of 60,000 by 60,000."""
    good = bytearray(png())
    good[16:24] = struct.pack(">II", 60_000, 60_000)
    good[29:33] = struct.pack(">I", __import__("zlib").crc32(good[12:29]))
    return bytes(good)


for name, pattern, file, content, *options in (
    ("rows_of_unknown_kind", r"predict reads \.npy, \.npz", "a.txt", lambda: b"1 2 3 4"),
    ("rows_too_wide", r"shape \(2, 5\); the model needs rows of 4", "a.npy",
     lambda: saved(np.ones((2, 5)))),
    ("rows_none", r"shape \(0, 4\)", "a.npy", lambda: saved(np.ones((0, 4)))),
    ("rows_scalar", r"shape \(\)", "a.npy", lambda: saved(3.0)),
    ("rows_nan", "holds NaN or infinity, first in row 1", "a.npy",
     lambda: saved([[1, 2, 3, 4], [1, 2, 3, np.nan]])),
    ("rows_text", "is of type <U1; save numbers", "a.npy", lambda: saved(["a"])),
    ("rows_cut", "promises|follow", "a.npy", lambda: saved(np.ones((2, 4)))[:-1]),
    ("rows_in_several_arrays", "holds a, b; call the array of rows x", "a.npz",
     lambda: zipped(("a.npy", saved(1)), ("b.npy", saved(1)))),
    ("rows_in_no_array", "holds nothing; call", "a.npz", lambda: zipped()),
    ("rows_with_a_label_too_many", "rows of 4 values; leave a column out with --label",
     "a.csv", lambda: b"a,b,c,d,e\n1,2,3,4,5\n"),
    ("rows_with_a_category", "line 2, column 'd': 'red' is not a number", "a.csv",
     lambda: b"a,b,c,d\n1,2,3,red\n"),
    ("rows_without_the_label_named", "no column is named 'kind'", "a.csv",
     lambda: b"a,b,c,d\n1,2,3,4\n", "--label", "kind"),
    ("rows_without_columns", "has no named columns", "a.npy", lambda: saved(X), "--label", "k"),
    ("picture_that_is_none", "not a picture in PNG", "a.png", lambda: b"hello"),
    ("picture_of_another_format", "not a picture in PNG", "a.png", lambda: b"GIF89a" + bytes(40)),
    ("picture_cut", "not a picture in PNG", "a.png", lambda: png()[:50]),
    ("picture_bomb", "not a picture in PNG.*(decompression bomb|exceeds)", "a.png", png_bomb),
    ("picture_of_16_bits", "has 16 bits a pixel; save it with 8", "a.png", lambda: png("I;16")),
):  # fmt: skip
    predict_case(name, pattern, file, content, *options)


# ---- more tables


csv_case("csv_changing_columns", "line 4 has 4 values, the header names 3",
         HEAD + "1,2,0\n3,4,1\n5,6,7,1\n8,9,1,0\n")  # fmt: skip
csv_case("csv_two_tables_in_one", "line 4 has 2 values, the header names 3",
         HEAD + "1,2,0\n3,4,1\nx,y\n1,2\n")  # fmt: skip
csv_case("csv_a_note_at_the_end", "line 4 has 1 values, the header names 3",
         HEAD + "1,2,0\n3,4,1\nsource: the web\n")  # fmt: skip
csv_case(
    "csv_a_title_above",
    "has the one column 'My table'; it needs features",
    "My table\n" + HEAD + "1,2,0",
)
csv_case("csv_commas_in_values", "line 2 has 4 values", HEAD + "1,234,2,0\n3,4,1\n")
csv_case("csv_number_with_a_unit", "column 'a': '12 kg' is not a number, but most values are",
         HEAD + "".join(f"{i * i},2,{i % 2}\n" for i in range(30)) + "12 kg,1,0\n")  # fmt: skip
csv_case("csv_names", "column 'a': has 120 different texts, such as 'name 0'; .* 100.*--drop a",
         HEAD + "".join(f"name {i},{i % 7},{i % 2}\n" for i in range(120)))  # fmt: skip
csv_case("csv_dates_mixed_with_text", r"column 'a': ('soon' is not a date, but|1\d\d different)",
         HEAD + "".join(f"2024-01-01 {i // 60:02}:{i % 60:02},1,{i % 2}\n" for i in range(120))
         + "soon,2,1\n")  # fmt: skip
csv_case("csv_row_numbers_with_a_name",
         "column 'a': only numbers the rows; leave the column out: --drop a",
         HEAD + "".join(f"{i + 1},{i % 5},{i % 2}\n" for i in range(12)))  # fmt: skip
csv_case("csv_row_numbers_from_0", "column 'a': only numbers the rows",
         HEAD + "".join(f"{i},{i % 5},{i % 2}\n" for i in range(12)))  # fmt: skip
csv_case("csv_label_of_names", "column 'label': every row has a class of its own",
         HEAD + "".join(f"{i * i},{i % 5},name {i}\n" for i in range(25)))  # fmt: skip
csv_case("csv_all_rows_alike", "all rows have the same values; there is nothing to learn",
         HEAD + "1,x,0\n1,x,1\n1,x,0\n")  # fmt: skip
csv_case("csv_a_label_that_is_na", "line 4, column 'label': the label is missing; fill it in",
         HEAD + "1,2,cat\n3,4,dog\n5,6,NA\n")  # fmt: skip
csv_case("csv_a_label_that_is_a_question", "line 2, column 'label': the label is missing",
         HEAD + "1,2,?\n3,4,dog\n5,6,cat\n")  # fmt: skip
csv_case(
    "csv_target_of_text",
    "line 3, column 'label': 'many' is not a number",
    HEAD + "1,2,0.5\n3,4,many\n",
    *REGRESSION,
)
csv_case("csv_target_missing", "line 3, column 'label': the label is missing",
         HEAD + "1,2,0.5\n3,4,\n", *REGRESSION)  # fmt: skip
csv_case("csv_target_infinite", "line 3, column 'label': the label.* inf",
         HEAD + "1,2,0.5\n3,4,inf\n", *REGRESSION)  # fmt: skip
csv_case("csv_one_of_two_targets_missing", "line 3, column 'b': the label is missing",
         HEAD + "1,2,0\n3,,1\n", "--label", "b,label")  # fmt: skip
csv_case("csv_one_of_two_targets_text", "line 3, column 'b': 'red' is not a number",
         HEAD + "1,2,0\n3,red,1\n", "--label", "b,label")  # fmt: skip
csv_case("csv_label_named_twice", r"--label names a column twice \(a, a\)", HEAD + "1,2,0\n",
         "--label", "a,a")  # fmt: skip
csv_case("csv_one_label_of_two_unknown", r"no column is named 'kind' \(--label\)", HEAD + "1,2,0\n",
         "--label", "a,kind")  # fmt: skip
csv_case("csv_label_of_no_name", r"no column is named '' \(--label\)", HEAD + "1,2,0\n",
         "--label", "")  # fmt: skip
csv_case("csv_beyond_memory", r"needs 0\.0 GB of memory, 0\.0 GB are free", HEAD + "1,2,0\n" * 30)
csv_case("csv_class_spelled_in_two_ways", "the same number; spell it in one way",
         HEAD + "1,2,10\n3,4,1e1\n5,6,a\n")  # fmt: skip

FLOWERS = "length,color,share,kind\n1,red,1,x\n2,blue,1,y\n3,red,1,x\n"
for name, pattern, *options in (
    ("label", r"no column is named 'kinds' \(--label\); did you mean 'kind'\?", "--label", "kinds"),
    ("drop", r"no column is named 'lenght' \(--drop\); did you mean 'length'\?",
     "--drop", "color,lenght"),
    ("drop_of_another_case", r"no column is named 'Color' \(--drop\); did you mean 'color'",
     "--drop", "Color"),
    ("weight", r"no column is named 'shares' \(--weight\); did you mean 'share'\?",
     "--weight", "shares"),
    ("weight_far_from_all", r"named 'q' \(--weight\); it has length, color, share, kind",
     "--weight", "q"),
    ("drop_of_the_label", r"'kind' is the label; --drop can't name it too",
     "--drop", "kind", "--label", "kind"),
    ("weight_of_the_label", r"'kind' is the label; --weight can't name it too",
     "--weight", "kind", "--label", "kind"),
    ("drop_twice", r"--drop names a column twice \(color, color\)", "--drop", "color,color"),
    ("drop_of_all_features", "keep one to learn from", "--drop", "length,color,share"),
    ("drop_of_everything", "every column is left out; keep a label and a feature",
     "--drop", "length,color,share,kind"),
    ("weight_of_text", "column 'color' holds weights; give each (row )?a number",
     "--weight", "color"),
    ("size_of_a_table", "is not a folder of pictures; leave the size out", "--size", "8x8"),
    ("test_of_all", "--test: '1' is not a share of the rows; write one from 0 to below 1",
     "--test", "1"),
    ("test_below_zero", "--test: '-0.1' is not a share", "--test", "-0.1"),
    ("test_of_text", "--test: 'abc' is not a share", "--test", "abc"),
    ("test_of_nan", "--test: 'nan' is not a share", "--test", "nan"),
    ("size_without_height", "--size: '0x5' is not a size; write height and width like 28x28",
     "--size", "0x5"),
    ("size_of_one_number", "--size: '28' is not a size", "--size", "28"),
    ("size_of_text", "--size: 'large' is not a size", "--size", "large"),
    ("recipe_unknown", "--recipe: invalid choice: 'table'", "--recipe", "table"),
    ("recipe_and_preset", "--recipe and --preset exclude each other; give one of them",
     "--recipe", "tabular", "--preset", "notebook"),
    ("recipe_and_config", "--recipe and --config exclude each other", "--recipe", "image",
     "--config", "c.json"),
    ("momentum_of_the_recipe", "momentum needs the optimizer sgd", "--momentum", "0.9"),
    ("class_weight_of_others", "class_weight has 3 numbers, the data 2", "--class-weight", "1,2,3"),
    ("smoothing_of_a_regression", "label_smoothing needs the objective multiclass",
     "--label", "length", "--label-smoothing", "0.1", *REGRESSION),
):  # fmt: skip

    def on_flowers(place: Path, options: list[str] = options) -> list[str]:
        (place / "bad.csv").write_text(FLOWERS)
        return train(place / "bad.csv", *options)

    add(f"flowers_{name}", pattern, on_flowers)

for name, pattern, weights in (
    ("negative", r"weight -2\.0 in row 1; weights must be finite, 0 or more", "1 -2 1"),
    ("missing", "column 'share' holds weights; give each (row )?a number", "1 NA 1"),
    ("text", "column 'share' holds weights; give each (row )?a number", "1 much 1"),
    ("infinite", "weight inf in row 2; weights must be finite", "1 1 inf"),
    ("all_zero", "the weights of all rows are 0; nothing would be learned", "0 0 0"),
):  # fmt: skip
    first, second, third = weights.split()
    text = f"length,share,kind\n1,{first},x\n2,{second},y\n3,{third},x\n"
    csv_case(f"weights_{name}", "", text, "--weight", "share")
    CASES[f"weights_{name}"] = CASES[f"weights_{name}"][0], pattern


# ---- tables in other formats


def parquet(**columns: object) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def arrow(**columns: object) -> bytes:
    file, table = io.BytesIO(), pyarrow.table(columns)
    with pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def zst(content: bytes) -> bytes:
    return pyarrow.compress(content, codec="zstd", asbytes=True)


GOOD_CSV = (HEAD + "1,2,0\n3,4,1\n5,1,0\n" * 500).encode()
NUMBERS = {"a": [1.0, 2.0, 3.0], "b": [3, 1, 2], "label": ["x", "y", "x"]}
for name, pattern, file, content in (
    ("gz_cut", r"damaged", "bad.csv.gz", lambda: gzip.compress(GOOD_CSV)[:-20]),
    ("gz_of_text", r"damaged", "bad.csv.gz", lambda: GOOD_CSV),
    ("gz_with_a_wrong_sum", r"damaged", "bad.csv.gz",
     lambda: gzip.compress(GOOD_CSV)[:-8] + b"abcd" + gzip.compress(GOOD_CSV)[-4:]),
    ("gz_called_csv", r"is compressed by gzip; add \.gz to its name", "bad.csv",
     lambda: gzip.compress(GOOD_CSV)),
    ("gz_called_zst", r"damaged", "bad.csv.zst", lambda: gzip.compress(GOOD_CSV)),
    ("gz_of_nothing", r"is empty|damaged", "bad.csv.gz", lambda: b""),
    ("gz_of_no_format", r"not a data set; use", "bad.gz", lambda: gzip.compress(GOOD_CSV)),
    ("zst_cut", r"damaged|has \d values", "bad.csv.zst", lambda: zst(GOOD_CSV)[:-9]),
    ("zst_called_csv", r"is compressed by zstd; add \.zst to its name", "bad.csv",
     lambda: zst(GOOD_CSV)),
    ("zst_called_gz", r"damaged", "bad.csv.gz", lambda: zst(GOOD_CSV)),
    ("excel_called_csv", r"is an Excel or zip file; save it as CSV", "bad.csv",
     lambda: b"PK\3\4" + bytes(50)),
    ("parquet_called_csv", r"is a Parquet file; name it \.parquet", "bad.csv",
     lambda: parquet(**NUMBERS)),
    ("arrow_called_csv", r"is an Arrow file; name it \.arrow", "bad.csv", lambda: arrow(**NUMBERS)),
    ("csv_called_parquet", r"damaged or not a parquet table .*; get it again", "bad.parquet",
     lambda: GOOD_CSV),
    ("parquet_cut", r"damaged or not a parquet table", "bad.parquet",
     lambda: parquet(**NUMBERS)[:-30]),
    ("parquet_empty", r"damaged or not a parquet table", "bad.parquet", lambda: b""),
    ("parquet_with_damaged_pages", r"damaged or not a parquet table", "bad.parquet",
     lambda: parquet(**NUMBERS)[:4] + bytes(60) + parquet(**NUMBERS)[64:]),
    ("parquet_without_rows", r"has columns but no rows", "bad.parquet",
     lambda: parquet(a=pyarrow.array([], "f8"), label=pyarrow.array([], "string"))),
    ("parquet_of_lists", r"column 'a' is of type list<.*leave it out: --drop a",
     "bad.parquet",
     lambda: parquet(**{**NUMBERS, "a": [[1, 2], [3], []]})),
    ("parquet_of_objects", r"column 'a' is of type struct<.*leave it out: --drop a",
     "bad.parquet", lambda: parquet(**{**NUMBERS, "a": [{"x": 1}, {"x": 2}, {"x": 3}]})),
    ("parquet_of_bytes", r"column 'a' is of type binary;.* leave it out", "bad.parquet",
     lambda: parquet(**{**NUMBERS, "a": [b"1", b"2", b"3"]})),
    ("parquet_of_durations", r"column 'a' is of type duration", "bad.parquet",
     lambda: parquet(**{**NUMBERS, "a": pyarrow.array([1, 2, 3], pyarrow.duration("s"))})),
    ("parquet_with_a_nested_label", r"column 'label' is of type list", "bad.parquet",
     lambda: parquet(**{**NUMBERS, "label": [[1], [2], [1]]})),
    ("parquet_of_infinity", r"column 'a': a value is infinite; correct it", "bad.parquet",
     lambda: parquet(**{**NUMBERS, "a": [1.0, np.inf, 2.0]})),
    ("parquet_of_one_column", r"has the one column 'a'", "bad.parquet", lambda: parquet(a=[1, 2])),
    ("parquet_with_a_gap_in_its_labels", r"row 1, column 'label': the label is missing",
     "bad.parquet", lambda: parquet(**{**NUMBERS, "label": ["x", None, "y"]})),
    ("arrow_cut", r"damaged or not a arrow table|damaged or not an arrow table", "bad.arrow",
     lambda: arrow(**NUMBERS)[:-40]),
    ("arrow_empty", r"damaged or not an? arrow table", "bad.feather", lambda: b""),
    ("arrow_of_text", r"damaged or not an? arrow table", "bad.arrow", lambda: GOOD_CSV),
    ("arrow_of_maps", r"column 'a' is of type map<", "bad.arrow",
     lambda: arrow(**{**NUMBERS, "a": pyarrow.array(
         [[("k", 1)]] * 3, pyarrow.map_("string", "int8"))})),
    ("arrow_gz_cut", r"damaged", "bad.arrow.gz", lambda: gzip.compress(arrow(**NUMBERS))[:-20]),
):  # fmt: skip
    content_case(name, pattern, file, content)


# ---- two tables that don't fit


def fit_case(name: str, pattern: str, other: str, *command: str) -> None:
    """A good table, beside another; {} in the command stands for the folder of both."""

    def function(place: Path) -> list[str]:
        (place / "good.csv").write_text(FLOWERS)
        (place / "table.safetensors").write_bytes(table_model())
        for folder in ("sub", "sub.csv"):
            (place / folder).mkdir()
        np.save(place / "x.npy", np.ones((2, 9)))
        (place / "a.png").write_bytes(png())
        (place / "old.csv").write_text("old")
        (place / "other.csv").write_text(other)
        return [word.replace("{}", str(place)) for word in command]

    add(name, pattern, function)


@cache
def table_model() -> bytes:
    """A model of the table FLOWERS, without its column of shares."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "flowers.csv")
        path.write_text(FLOWERS)
        model, _ = mlp_xp.train(load_data(path, drop=["share"]), epochs=1, device=CPU())
        save_model(model, path)
        return path.read_bytes()


TRAIN = ("train", "--data", "{}/good.csv", "--device", "cpu", "--epochs", "1", "--out", "{}/new")
VALIDATION = (*TRAIN, "--validation", "{}/other.csv")
EVALUATE = ("evaluate", "{}/table.safetensors", "--device", "cpu", "--data", "{}/other.csv")
PREDICT = ("predict", "{}/table.safetensors", "--device", "cpu", "{}/other.csv")
MORE = ("train", "--data", "{}/other.csv", "--device", "cpu", "--epochs", "1", "--out", "{}/new",
        "--init-from", "{}/table.safetensors")  # fmt: skip
LACKS = r"other\.csv: lacks length, which the model learned from; its columns are size, color"
for name, pattern, other, *command in (
    ("validation_of_other_columns", LACKS, FLOWERS.replace("length", "size"), *VALIDATION),
    ("validation_of_other_classes", r"other\.csv: .*holds the class 'z', which is not in training",
     FLOWERS.replace("x", "z"), *VALIDATION),
    ("validation_of_texts", r"other\.csv: line 2, column 'length': 'long' is not a number, as it w",
     FLOWERS.replace("\n1", "\nlong"), *VALIDATION),
    ("validation_without_rows", r"other\.csv: has columns but no rows",
     FLOWERS.partition("\n")[0], *VALIDATION),
    ("validation_without_a_label", r"other\.csv: no column is named 'kind'",
     "length,color,share\n1,red,1\n", *VALIDATION),
    ("validation_of_an_array", r"good\.npz: rows have 4 values, and the model's 4|good\.npz",
     "", *TRAIN, "--validation", "{}/good.npz"),
    ("evaluation_of_other_columns", LACKS, FLOWERS.replace("length", "size"), *EVALUATE),
    ("evaluation_of_no_known_class", r"holds the class 'p', which is not in training \(x, y\)",
     FLOWERS.replace(",x", ",p").replace(",y", ",q"), *EVALUATE),
    ("evaluation_of_one_unknown_class", r"holds the class 'q', which is not in training",
     FLOWERS.replace(",y", ",q"), *EVALUATE),
    ("evaluation_without_a_label", r"other\.csv: no column is named 'kind'",
     "length,color\n1,red\n", *EVALUATE),
    ("evaluation_of_an_unknown_label", r"no column is named 'kinds' .*did you mean 'kind'",
     FLOWERS, *EVALUATE, "--label", "kinds"),
    ("evaluation_of_a_feature", r"the model learned from column 'color' as a feature, so it is no",
     FLOWERS, *EVALUATE, "--label", "color"),
    ("evaluation_of_a_gap_in_the_label", r"line 3, column 'kind': the label is missing",
     FLOWERS.replace(",y", ","), *EVALUATE),
    ("evaluation_of_an_array", r"good\.npz", "",
     *EVALUATE[:-1], "{}/good.npz"),
    ("prediction_of_other_columns", LACKS, FLOWERS.replace("length", "size"), *PREDICT),
    ("prediction_of_text", r"other\.csv: line 3, column 'length': 'long' is not a number",
     FLOWERS.replace("\n2", "\nlong"), *PREDICT),
    ("prediction_of_infinity", r"other\.csv: line 3, column 'length': the value is infinite",
     FLOWERS.replace("\n2", "\ninf"), *PREDICT),
    ("prediction_of_no_rows", r"other\.csv: has columns but no rows; add some",
     FLOWERS.partition("\n")[0] + "\n", *PREDICT),
    ("prediction_of_ragged_rows", r"other\.csv: line 3 has 3 values, the header names 4",
     FLOWERS.replace("blue,", ""), *PREDICT),
    ("prediction_of_an_unknown_id", r"no column is named 'colour' \(--id\); did you mean 'color'",
     FLOWERS, *PREDICT, "--id", "colour"),
    ("prediction_of_a_picture_by_a_table", r"a\.png", "",
     *PREDICT[:-1], "{}/a.png"),
    ("prediction_of_an_array_by_a_table", r"x\.npy: shape \(2, 9\); the model needs rows of", "",
     *PREDICT[:-1], "{}/x.npy"),
    ("init_of_other_columns", LACKS, FLOWERS.replace("length", "size"), *MORE),
    ("init_of_another_objective", r"objective", FLOWERS.replace(",1,", ",1.5,", 1), *MORE,
     "--label", "share"),
    ("init_of_nothing", r"nowhere: [Nn]o such file", FLOWERS, *MORE[:-1], "{}/nowhere"),
    ("init_of_a_table", r"good\.csv: not a model", FLOWERS, *MORE[:-1], "{}/good.csv"),
    ("init_of_an_empty_folder", r"holds no model\.safetensors", FLOWERS, *MORE[:-1], "{}/sub"),
    ("init_and_other_layers", r"hidden", FLOWERS, *MORE, "--hidden", "7"),
    ("init_and_another_activation", r"activation", FLOWERS, *MORE, "--activation", "tanh"),
    ("init_of_arrays", r"good\.npz", "", *MORE[:2], "{}/good.npz", *MORE[3:]),
    ("init_and_resume", r"leave out --init-from", FLOWERS, "train", "--resume", "{}/run",
     "--init-from", "{}/table.safetensors"),
    ("resume_with_a_recipe", r"leave out --recipe", "", "train", "--resume", "{}/run",
     "--recipe", "image"),
    ("resume_with_other_columns", r"leave out --label, --drop, --weight, --test, --size",
     "", "train", "--resume", "{}/run", "--label", "a", "--drop", "b", "--weight", "c",
     "--test", "0", "--size", "8x8"),
    ("out_of_no_suffix", r"pred: can't tell its format; name it \.csv, \.tsv, \.jsonl, \.parquet",
     FLOWERS, *PREDICT, "--out", "{}/pred"),
    ("out_of_another_suffix", r"pred\.xlsx: can't tell its format", FLOWERS, *PREDICT,
     "--out", "{}/pred.xlsx"),
    ("out_that_is_a_folder", r"sub\.csv: is a folder; name a file in it", FLOWERS, *PREDICT,
     "--out", "{}/sub.csv"),
    ("out_that_is_the_input", r"other\.csv: is one of the files to read; name another", FLOWERS,
     *PREDICT, "--out", "{}/other.csv"),
    ("out_in_no_folder", r"there is no folder .*nowhere; make it, or name another", FLOWERS,
     *PREDICT, "--out", "{}/nowhere/pred.csv"),
    ("out_of_rows_that_fail", r"line 3, column 'length'", FLOWERS.replace("\n2", "\nlong"),
     *PREDICT, "--out", "{}/good.csv"),
    ("out_of_a_second_file_that_fails", r"line 3, column 'length'",
     FLOWERS.replace("\n2", "\nlong"), *PREDICT[:-1], "{}/good.csv", "{}/other.csv",
     "--out", "{}/old.csv"),
    ("stdin_of_nothing", r"-: is empty; it needs a header line", "", *PREDICT[:-1], "-"),
    ("stdin_of_a_header", r"-: has columns but no rows", "", *PREDICT[:-1], "-"),
    ("stdin_of_other_columns", r"-: lacks length, color", "", *PREDICT[:-1], "-"),
    ("stdin_in_latin_1", r"-: not UTF-8 text", "", *PREDICT[:-1], "-"),
    ("stdin_of_a_parquet_file", r"-: ", "", *PREDICT[:-1], "-"),
):  # fmt: skip
    fit_case(name, pattern, other, *command)
STDIN = {
    "stdin_of_a_header": b"length,color\n", "stdin_of_other_columns": b"a,b\n1,2\n",
    "stdin_in_latin_1": "length,color\n1,gr\u00fcn\n".encode("latin-1"),
    "stdin_of_a_parquet_file": parquet(**NUMBERS),
}  # fmt: skip

for name, pattern, train_table, test_table in (
    ("test_of_other_columns", r"test\.csv: lacks b, which", HEAD + "1,2,0\n3,4,1\n",
     "a,c,label\n1,2,0\n"),
    ("test_without_a_label", r"test\.csv: no column is named 'label'", HEAD + "1,2,0\n3,4,1\n",
     "a,b\n1,2\n"),
    ("test_without_rows", r"test\.csv: has columns but no rows", HEAD + "1,2,0\n3,4,1\n", HEAD),
    ("test_of_no_class_of_training", r"test\.csv: .*'p', which is not in training \(x, y\)",
     HEAD + "1,2,x\n3,4,y\n", HEAD + "1,2,p\n3,4,q\n"),
    ("test_of_ragged_rows", r"test\.csv: line 3 has 4 values", HEAD + "1,2,0\n3,4,1\n",
     HEAD + "1,2,0\n1,2,3,0\n"),
    ("test_of_texts_for_numbers", r"test\.csv: line 2, column 'b': 'red' is not a number",
     HEAD + "1,2,0\n3,4,1\n", HEAD + "1,red,0\n"),
    ("test_of_texts_for_dates", r"test\.csv: line 2, column 'b': 'soon' is not a date",
     HEAD + "1,2024-05-01,0\n3,2024-05-02,1\n", HEAD + "1,soon,0\n"),
    ("test_of_a_target_that_is_text", r"test\.csv: line 2, column 'label': 'much' is not a number",
     HEAD + "1,2,0.5\n3,4,1.5\n", HEAD + "1,2,much\n"),
    ("test_of_an_empty_file", r"test\.csv: is empty", HEAD + "1,2,0\n3,4,1\n", ""),
    ("training_without_rows", r"train\.csv: has columns but no rows", HEAD, HEAD + "1,2,0\n"),
):  # fmt: skip

    def folder_of_two(place: Path, texts: tuple[str, str] = (train_table, test_table)) -> list[str]:
        (place / "t").mkdir()
        for stem, text in zip(("train", "test"), texts, strict=True):
            (place / "t" / f"{stem}.csv").write_text(text)
        return train(place / "t")

    add(f"folder_{name}", pattern, folder_of_two)


# ---- folders of pictures


def folder_case(name: str, pattern: str, files: dict[str, bytes | None], *options: str) -> None:
    """A folder with these files, or folders where there are no bytes."""

    def function(place: Path) -> list[str]:
        for file, content in files.items():
            path = place / "animals" / file
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)
        return train(place / "animals", *options)

    add(f"pictures_{name}", pattern, function)


def picture(side: int = 8, kind: str = "PNG", mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 99 if mode == "L" else (9, 99, 200)).save(file, kind)
    return file.getvalue()


PICTURE = picture()
CATS = {"cats/1.png": PICTURE, "cats/2.png": PICTURE}
TWO = {**CATS, "dogs/1.png": PICTURE}
for name, pattern, files, *options in (
    ("of_one_class", r"animals: has a folder for one class alone; it takes two or more", CATS),
    ("with_a_broken_file", r"dogs/2\.png: not a picture .*; remove it or save it again",
     {**TWO, "dogs/2.png": PICTURE[:50]}),
    ("with_two_broken_files", r"cats/2\.png: not a picture.*; nor can these be read: dogs/2\.png",
     {**TWO, "cats/2.png": b"x", "dogs/2.png": b"x"}),
    ("with_text", r"dogs/2\.png: not a picture \(no BMP", {**TWO, "dogs/2.png": b"hello"}),
    ("of_nothing", r"dogs/2\.png: not a picture", {**TWO, "dogs/2.png": b""}),
    ("nested", r"dogs/small: a folder inside a class; move its pictures one up",
     {**TWO, "dogs/small/3.png": PICTURE}),
    ("with_an_empty_class", r"emus: holds no pictures \(\.bmp .*\); remove it",
     {**TWO, "emus": None}),
    ("with_a_class_of_text_files", r"emus: holds no pictures", {**TWO, "emus/1.txt": b"emu"}),
    ("beside_the_classes", r"3\.png: lies beside the folders of classes; move it into one",
     {**TWO, "3.png": PICTURE}),
    ("of_a_label", r"animals: has no named columns, so the label 'kind' names nothing", TWO,
     "--label", "kind"),
    ("of_columns_to_drop", r"animals: has no named columns, so the column to drop 'a'", TWO,
     "--drop", "a"),
    ("of_numbers", r"animals: folders of pictures are classes; leave the objective out", TWO,
     *REGRESSION),
    ("of_a_test_class_that_is_new", r"emus: the training set has no such class, but cats, dogs",
     {**{f"train/{file}": content for file, content in TWO.items()}, "test/emus/1.png": PICTURE}),
    ("for_tests_alone", r"animals: holds test; call one folder train, and one test",
     {f"test/{file}": content for file, content in TWO.items()}),
    ("of_16_bits", r"dogs/2\.png: has more than 8 bits a pixel; save it with 8",
     {**TWO, "dogs/2.png": png("I;16")}),
    ("that_is_a_bomb", r"dogs/2\.png: larger than \d+ pixels", {**TWO, "dogs/2.png": png_bomb()}),
    ("beyond_memory", r"cats: needs 0\.0 GB of memory", TWO),
    ("of_a_size_of_nothing", r"'8x0' is not a size", TWO, "--size", "8x0"),
):  # fmt: skip
    folder_case(name, pattern, files, *options)


@cache
def picture_model() -> bytes:
    """A model of cats and dogs of 8 x 8 pixels in gray."""
    with tempfile.TemporaryDirectory() as folder:
        for file, content in TWO.items():
            Path(folder, file).parent.mkdir(exist_ok=True)
            Path(folder, file).write_bytes(content)
        model, _ = mlp_xp.train(load_data(folder), epochs=1, device=CPU())
        path = Path(folder, "model.safetensors")
        save_model(model, path)
        return path.read_bytes()


def picture_model_case(name: str, pattern: str, file: str, content: bytes, *command: str) -> None:
    def function(place: Path) -> list[str]:
        (place / "pictures.safetensors").write_bytes(picture_model())
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(content)
        return [word.replace("{}", str(place)) for word in command]

    add(f"picture_model_{name}", pattern, function)


OF_PICTURES = "{}/pictures.safetensors"
for name, pattern, file, content, *command in (
    ("and_text", r"a\.png: not a picture", "a.png", b"hello", "predict", OF_PICTURES, "{}/a.png"),
    ("and_no_file", r"b\.jpg: [Nn]o such file", "a.png", b"", "predict", OF_PICTURES, "{}/b.jpg"),
    ("and_a_table", r"a\.csv: ", "a.csv", FLOWERS.encode(), "predict", OF_PICTURES, "{}/a.csv"),
    ("and_an_array_of_another_size", r"a\.npy: shape \(2, 9, 9\); the model needs rows of 64",
     "a.npy", saved(np.ones((2, 9, 9), np.uint8)), "predict", OF_PICTURES, "{}/a.npy"),
    ("and_an_id", r"a\.png: has no named columns, so --id 'kind' names nothing", "a.png", PICTURE,
     "predict", OF_PICTURES, "{}/a.png", "--id", "kind"),
    ("and_another_class", r"emus: the model has no such class, but cats, dogs", "p/emus/1.png",
     PICTURE, "evaluate", OF_PICTURES, "--data", "{}/p"),
    ("and_another_size", r"p: size 9 x 9, but the model reads 8 x 8; leave the size out",
     "p/cats/1.png", PICTURE, "train", "--data", "{}/p", "--init-from", OF_PICTURES,
     "--size", "9x9", "--out", "{}/new"),
    ("and_mnist", r"the model to start from has 64|takes 64 inputs|784", "a.png", PICTURE,
     "train", "--init-from", OF_PICTURES, "--out", "{}/new", "--device", "cpu"),
):  # fmt: skip
    picture_model_case(name, pattern, file, content, *command)


# ---- settings


def option_case(name: str, pattern: str, *options: str) -> None:
    add(name, pattern, lambda place: train(place / "good.npz", *options))


def config_case(name: str, pattern: str, content: str | bytes) -> None:
    def function(place: Path) -> list[str]:
        raw = content if isinstance(content, bytes) else content.encode()
        (place / "c.json").write_bytes(raw)
        return train(place / "good.npz", "--config", str(place / "c.json"))

    add(name, pattern, function)


for name, pattern, *options in (
    ("option_unknown", "unrecognized arguments: --learning-rate", "--learning-rate", "1"),
    ("option_of_no_number", "--lr: invalid float value: 'fast'", "--lr", "fast"),
    ("option_lr_nan", "lr is nan; it must be a number above 0", "--lr", "nan"),
    ("option_lr_below_zero", "lr is -1.0; it must be", "--lr", "-1"),
    ("option_lr_infinite", "lr is inf", "--lr", "inf"),
    ("option_no_batch", "batch_size is 0; it must be a whole number from 1", "--batch-size", "0"),
    ("option_no_epochs", "epochs is -3; it must be", "--epochs", "-3"),
    ("option_seed_below_zero", "seed is -1; it must be", "--seed", "-1"),
    ("option_hidden_of_text", "'wide' is not a list of numbers; write 128 or 512,256",
     "--hidden", "wide"),
    ("option_hidden_of_zero", "hidden is 0; it must be", "--hidden", "5,0"),
    ("option_hidden_beyond_memory", "memory", "--hidden", "1000000000000"),
    ("option_hidden_beyond_counting", "hidden is 10{30}; it must be", "--hidden", f"1{'0' * 30}"),
    ("option_batch_beyond_counting", "batch_size is 10", "--batch-size", f"1{'0' * 30}"),
    ("option_epochs_beyond_counting", "epochs is 10", "--epochs", f"1{'0' * 400}"),
    ("option_device_unknown", "device 'gpu'", "--device", "gpu"),
    ("option_nesterov_alone", "nesterov needs a momentum",
     "--nesterov", "--optimizer", "sgd"),
    ("option_momentum_of_adam", "momentum needs the optimizer sgd",
     "--momentum", "0.9", "--optimizer", "adam"),
    ("option_patience_without_validation", "patience 3 needs a validation set: give",
     "--patience", "3"),
    ("option_validation_of_all", "validation is 1.0; it must be", "--validation", "1"),
    ("option_validation_leaves_nothing", "leaves none to train on", "--validation", "0.99"),
    ("option_validation_of_nothing", "nowhere: no such", "--validation", "nowhere"),
    ("option_weights_of_other_classes", "class_weight has 2 numbers, the data 3",
     "--class-weight", "1,2"),
    ("option_smoothing_of_numbers", "label_smoothing needs the objective multiclass",
     "--label-smoothing", "0.1", "--objective", "regression"),
    ("option_interval_of_nothing", "'0s' is not an interval; write 30s",
     "--checkpoint-every", "0s"),
    ("option_memory_of_nothing", "'0G' is not an amount of memory; write it like 500M or 2G",
     "--device-memory", "0G"),
    ("option_memory_of_400_digits", "999' is not an amount of memory",
     "--device-memory", "9" * 400),
    ("option_out_of_nothing", "--out: the path is empty", "--out", ""),
    ("option_data_of_nothing", "'': no such path", "--data", ""),
    ("option_config_of_nothing", "--config: the path is empty", "--config", ""),
    ("option_plateau_without_validation", "the schedule plateau needs a validation set: give",
     "--schedule", "plateau"),
    ("option_objective_unknown", "--objective: invalid choice: 'softmax'",
     "--objective", "softmax"),
    ("option_betas_of_one", r"betas is \[0\.9\]; it must be 2 numbers", "--betas", "0.9"),
    ("option_of_a_flag_with_a_value", "ignored explicit argument 'yes'", "--shuffle=yes"),
    ("option_preset_and_config", "--preset and --config exclude each other; give one",
     "--preset", "notebook", "--config", "c.json"),
    ("option_preset_unknown", "invalid choice: 'book'", "--preset", "book"),
):  # fmt: skip
    option_case(name, pattern, *options)

for name, pattern, content in (
    (
        "config_of_an_interval_that_is_none",
        r"'soon' is not an interval",
        '{"checkpoint_every": "soon"}',
    ),
    (
        "config_of_an_interval_of_numbers",
        r"checkpoint_every is 60; it must be a string",
        '{"checkpoint_every": 60}',
    ),
    ("config_empty", r"c\.json: not valid JSON", ""),
    ("config_cut", r"c\.json: not valid JSON", '{"lr": 0.1'),
    ("config_of_bytes", r"c\.json: not valid JSON", b"\xff\xfe\x00"),
    ("config_of_a_list", r"c\.json: not a settings file; it must hold a JSON object", "[1, 2]"),
    ("config_without_end", r"c\.json: not valid JSON", "[" * 200_000),
    ("config_of_unknown_setting", "unknown setting rate", '{"rate": 1}'),
    (
        "config_of_a_name_in_two_lines",
        r"unknown setting a\\nb\\x1b\[31m in",
        '{"a\\nb\\u001b[31m": 1}',
    ),
    ("config_of_wrong_type", "batch_size is '32'; it must be", '{"batch_size": "32"}'),
    ("config_of_a_truth", "batch_size is True; it must be", '{"batch_size": true}'),
    ("config_of_hidden_number", "hidden is 5; it must be a list", '{"hidden": 5}'),
    ("config_of_nested_hidden", r"hidden is \[1\]; it must be", '{"hidden": [[1]]}'),
    ("config_of_infinity", "lr is inf", '{"lr": Infinity}'),
    ("config_of_a_number_beyond_floats", "lr is 1000.*it must be", f'{{"lr": 1{"0" * 400}}}'),
    ("config_of_a_list_as_choice", r"dtype is \[\]; use", '{"dtype": []}'),
    ("config_of_no_path", "label is 5; it must be a string", '{"label": 5}'),
):
    config_case(name, pattern, content)


@broken(r"none\.json: No such file")
def config_missing(place: Path) -> list[str]:
    return train(place / "good.npz", "--config", str(place / "none.json"))


@broken(r"required: COMMAND")
def command_missing(place: Path) -> list[str]:
    return []


@broken(r"invalid choice: 'learn'")
def command_unknown(place: Path) -> list[str]:
    return ["learn"]


# ---- the run's folder


@broken(r"run: already holds a run \(model\.safetensors\); use another folder")
def out_that_is_taken(place: Path) -> list[str]:
    return [*train(place / "good.npz"), "--out", str(place / "run")]


@broken(r"good\.npz/sub: can't be created: Not a directory; use another --out")
def out_below_a_file(place: Path) -> list[str]:
    return [*train(place / "good.npz"), "--out", str(place / "good.npz" / "sub")]


@broken(r"good\.npz: can't be created: File exists|good\.npz: ")
def out_that_is_a_file(place: Path) -> list[str]:
    return [*train(place / "good.npz"), "--out", str(place / "good.npz")]


@broken(r"run: this run is finished")
def resume_of_a_finished_run(place: Path) -> list[str]:
    return ["train", "--resume", str(place / "run")]


@broken(r"nowhere: no run is in there")
def resume_missing(place: Path) -> list[str]:
    return ["train", "--resume", str(place / "nowhere")]


@broken(r"--resume continues with the run's own settings; leave out --lr")
def resume_with_other_settings(place: Path) -> list[str]:
    return ["train", "--resume", str(place / "run"), "--lr", "1"]


@broken(r"checkpoint\.safetensors: not a checkpoint")
def resume_from_a_damaged_checkpoint(place: Path) -> list[str]:
    (place / "run" / "config.json").write_text(json.dumps({"data": str(place / "good.npz")}))
    (place / "run" / "model.safetensors").unlink()
    (place / "run" / "checkpoint.safetensors").write_bytes(b"\xff" * 100)
    return ["train", "--resume", str(place / "run"), "--device", "cpu"]


@broken(r"run: this run is finished; .* without checkpoint\.safetensors it can't be extended")
def resume_with_no_more_epochs(place: Path) -> list[str]:
    return ["train", "--resume", str(place / "run"), "--epochs", "10"]


@broken(r"model\.safetensors: damaged model: input\.std holds 0 or less")
def model_that_divides_by_zero(place: Path) -> list[str]:
    network = load_model(place / "run", CPU())
    network.standardize(np.zeros(4), np.zeros(4))
    save_model(network, place / "run" / "model.safetensors")
    return ["predict", str(place / "run"), str(place / "good.npz")]


@broken(r"run: holds no model\.safetensors; a run has one once it is finished")
def evaluate_an_unfinished_run(place: Path) -> list[str]:
    (place / "run" / "model.safetensors").unlink()
    return ["evaluate", str(place / "run")]


@broken(r"model\.safetensors: belongs to no run, so give the data with --data")
def evaluate_a_model_without_data(place: Path) -> list[str]:
    (place / "run" / "config.json").unlink()
    return ["evaluate", str(place / "run" / "model.safetensors")]


# ---- the tests


def test_the_corpus_is_large() -> None:
    assert len(CASES) >= 400


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_nothing_changed(name: str, place: Path, capsys, monkeypatch) -> None:
    function, pattern = CASES[name]
    arguments = function(place)
    if name in WITHOUT_MEMORY:
        monkeypatch.setattr(memory, "available_memory", lambda: 100)
    stdin = io.TextIOWrapper(io.BytesIO(STDIN.get(name, b"")))
    monkeypatch.setattr(sys, "stdin", stdin)
    before = snapshot(place)
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    assert status == STATUS.get(name, 2), printed.err
    assert printed.out == ""
    assert re.fullmatch(r"mlp_xp( \w+)?: error: [^\n]+\n", printed.err), printed.err
    assert re.search(pattern, printed.err), printed.err
    assert len(printed.err) < 700
    assert snapshot(place) == before


@pytest.mark.parametrize(
    "name",
    ["idx_gzip_cut", "npz_objects", "csv_column_of_nothing", "model_huge_header_length",
     "picture_bomb", "option_hidden_beyond_memory", "config_without_end", "command_missing"],
)  # fmt: skip
def test_the_same_in_a_process_of_its_own(name: str, place: Path) -> None:
    function, pattern = CASES[name]
    done = run_python(*function(place), folder=place)
    expected = STATUS.get(name, 2), "", 1
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == expected, done.stderr
    assert re.search(pattern, done.stderr)


def test_parquet_without_pyarrow(place: Path, capsys, monkeypatch) -> None:
    (place / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(train(place / "t.parquet")) == 2
    assert capsys.readouterr().err == (
        f"mlp_xp: error: {place / 't.parquet'}: reading tables needs pyarrow: "
        "pip install '.[table]' in the clone\n"
    )


def test_a_loss_that_overflows_ends_the_run(place: Path, capsys) -> None:
    np.savez(place / "far.npz", X=np.full((6, 4), 1e30), y=Y)
    before = snapshot(place)
    options = ["--recipe", "image", "--epochs", "5", "--quiet"]
    assert main([*train(place / "far.npz"), *options]) == 2
    assert re.fullmatch(
        r"mlp_xp: error: [^\n]*the loss became (nan|inf) in epoch [12], in step 1: "
        r"lower --lr[^\n]*\n", capsys.readouterr().err,
    )  # fmt: skip
    after = snapshot(place)
    assert {name: after[name] for name in before} == before
    assert "new/model.safetensors" not in after


# Root can read everything, so these run as another user. Python itself may be installed where only
# root can read it, so everything is imported before.
AS_NOBODY = """
import encodings.cp437, locale, numpy.random, os, sys
import mlp_xp.cli.evaluate, mlp_xp.cli.progress, mlp_xp.cli.train, mlp_xp.runs
from mlp_xp.cli import main
os.setgid(65534)
os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
@pytest.mark.parametrize(
    ("closed", "arguments"),
    [("data", ["train", "--data", "data"]), ("data", ["train", "--data", "data/good.npz"]),
     ("data", ["evaluate", "data/model.safetensors"]),
     ("out", ["train", "--data", "good.npz", "--out", "out/run"]),
     ("out", ["train", "--data", "good.npz", "--out", "out"])],
)  # fmt: skip
def test_without_permission(closed: str, arguments: list[str], place: Path) -> None:
    folder = place / closed
    folder.mkdir()
    (folder / "good.npz").write_bytes((place / "good.npz").read_bytes())
    folder.chmod(0o700)
    # pytest's own folders are for one user alone.
    for parent in [place, *list(place.parents)[:3]]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    before = snapshot(place)
    done = run_python(*arguments, folder=place, program=("-c", AS_NOBODY))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert re.search(rf"{closed}[\w./]*: .*Permission denied", done.stderr)
    assert snapshot(place) == before


def test_a_full_disk(place: Path) -> None:
    """No file may grow beyond 1,000 bytes: the model, of 4,804 weights, can't be written."""
    import resource

    old = {"run/model.safetensors": (place / "run" / "model.safetensors").read_bytes()}

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    arguments = [*train(place / "good.npz", "--hidden", "600", "--quiet")]
    done = run_python(*arguments, folder=place, preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    for name, line in zip(("checkpoint", "model"), done.stderr.splitlines(), strict=True):
        assert f"new/{name}.safetensors: can't be written: {os.strerror(errno.EFBIG)}" in line
    left = snapshot(place)
    assert left["run/model.safetensors"] == old["run/model.safetensors"]
    assert {name for name in left if name.startswith("new/")} <= {
        "new/config.json", "new/metrics.jsonl"
    }  # fmt: skip


PEAK = """
import resource, sys
import mlp_xp.cli.evaluate, mlp_xp.cli.progress, mlp_xp.cli.train, mlp_xp.runs
from mlp_xp.cli import main
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
status = main(sys.argv[1:])
print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
@pytest.mark.parametrize("kind", ["gzip", "npz header", "npz directory", "header length", "line"])
def test_bombs_take_no_memory(kind: str, place: Path) -> None:
    """Files that unpack to a gigabyte or more, or claim to, take at most 100 MB of memory."""
    gigabyte = 2**30
    if kind == "gzip":
        folder = place / "idx"
        folder.mkdir()
        with gzip.open(folder / f"{IMAGES}.gz", "wb", compresslevel=1) as file:
            file.write(GOOD)
            for _ in range(1024):
                file.write(bytes(2**20))
        (folder / LABELS).write_bytes(idx_bytes(Y))
        arguments = train(folder)
    elif kind == "npz header":
        content = member(claim("'|u1'", f"({gigabyte}, 1)"))()
        (place / "bad.npz").write_bytes(content)
        arguments = train(place / "bad.npz")
    elif kind == "npz directory":
        (place / "bad.npz").write_bytes(lying_size())
        arguments = train(place / "bad.npz")
    elif kind == "header length":
        good = (place / "model.safetensors").read_bytes()
        (place / "bad").write_bytes(struct.pack("<Q", 50 * gigabyte) + good[8:])
        arguments = ["evaluate", str(place / "bad")]
    else:
        with (place / "bad.csv").open("wb") as file:
            file.write(HEAD.encode())
            file.truncate(gigabyte)  # a line of zero bytes, which takes no space on the disk
        arguments = train(place / "bad.csv")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments],
        capture_output=True,
        text=True,
        cwd=Path(mlp_xp.__file__).parent.parent,
        timeout=120,
        check=True,
    )
    status, kilobytes = map(int, done.stdout.split())
    assert status == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert kilobytes < 100_000, done.stderr
